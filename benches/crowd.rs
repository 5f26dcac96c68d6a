//! Many WebSocket clients: does one that never reads slow the others down?
//!
//! `cargo bench --bench crowd` starts the demo as a process of its own, and 1,000 clients that are
//! subscribed to everything. Another client sends commands, one after the other. In every second
//! round one more client subscribes and never reads. Rounds with and without it alternate, so that
//! other load on the machine affects both alike. Prints medians, their ratio, and the gateway's
//! memory. Arguments: the number of clients, of rounds, and of commands in a round.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use poly2mqtt_bench_support::figures::{Durations, compare, head};
use poly2mqtt_bench_support::full_or_trial;
use poly2mqtt_bench_support::processes::Process;
use poly2mqtt_bench_support::program::{free_port, program};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

const ROOMS: &str = "2";

type Client = WebSocketStream<TcpStream>;

/// The gateway with its devices and its broker.
fn start(http: SocketAddr) -> Process {
    let listen = format!("127.0.0.1:{}", free_port());
    let mut demo = program(&["demo", "--rooms", ROOMS, "--listen", &listen]);
    demo.args(["--http", &http.to_string()]);
    Process::start(demo.stdout(Stdio::null()))
}

/// Resident memory in MiB, and open files.
fn size(demo: &Process) -> (u64, usize) {
    (demo.memory() / 1024, demo.files())
}

/// A client with the smallest receive buffer that the system allows, so that the gateway notices
/// at once if it does not read.
async fn connect(http: SocketAddr, subscribe: bool) -> Client {
    let deadline = Instant::now() + Duration::from_secs(10);
    let stream = loop {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        match socket.connect(http).await {
            Ok(stream) => break stream,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    };
    stream.set_nodelay(true).unwrap();
    let query = if subscribe { "?subscribe=%23" } else { "" };
    let (client, _) = client_async(format!("ws://{http}/ws{query}"), stream)
        .await
        .unwrap();
    client
}

/// A client that asks for more than the system buffers, and never reads it.
async fn stalled_client(http: SocketAddr) -> Client {
    let mut client = connect(http, true).await;
    for _ in 0..256 {
        let query = "{\"topic\":\"room/2/camera/snapshot/near/get\"}";
        client.feed(Message::text(query)).await.unwrap();
    }
    client.flush().await.unwrap();
    // The device's work on these queries is not to be measured.
    tokio::time::sleep(Duration::from_secs(2)).await;
    client
}

/// Sends commands one after the other and gives how long each took.
async fn commands(client: &mut Client, count: usize) -> Durations {
    let mut took = Durations::default();
    for n in 0..count {
        let command = format!(
            "{{\"id\":{n},\"topic\":\"room/1/audio/volume/set\",\"payload\":{}}}",
            n % 100
        );
        let begun = Instant::now();
        client.send(Message::text(command)).await.unwrap();
        let id = format!("{{\"id\":{n},");
        loop {
            let message = client.next().await.unwrap().unwrap();
            if let Message::Text(text) = message
                && text.starts_with(&id)
            {
                assert!(text.contains("\"ok\":true"), "{text}");
                break;
            }
        }
        took.push(begun.elapsed());
    }
    took
}

#[tokio::main]
async fn main() {
    let mut numbers = std::env::args().filter_map(|argument| argument.parse::<usize>().ok());
    let [clients, rounds, count] = full_or_trial([1000, 6, 100], [20, 1, 10]);
    let clients = numbers.next().unwrap_or(clients);
    let rounds = numbers.next().unwrap_or(rounds);
    let count = numbers.next().unwrap_or(count);
    let http = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let demo = start(http);
    let mut sender = connect(http, false).await;
    commands(&mut sender, 20).await;
    let before = size(&demo);
    for _ in 0..clients {
        let mut client = connect(http, true).await;
        tokio::spawn(async move { while let Some(Ok(_)) = client.next().await {} });
    }
    let crowd = size(&demo);
    commands(&mut sender, count).await;
    let (mut reading, mut stuck) = (Durations::default(), Durations::default());
    let mut most = crowd.0;
    for _ in 0..rounds {
        reading.extend(commands(&mut sender, count).await);
        let stalled_client = stalled_client(http).await;
        stuck.extend(commands(&mut sender, count).await);
        most = most.max(size(&demo).0);
        drop(stalled_client);
    }
    let after = size(&demo);
    let title = format!(
        "{clients} clients subscribed to everything, {rounds} rounds of {count} commands each route"
    );
    let columns = ["", "one never reads", "all read", "ratio", "commands"];
    head(&title, &columns);
    compare("a command", &stuck, &reading);
    println!("\n| the gateway with its simulated devices | memory | open files |\n|---|---|---|");
    println!("| before the crowd | {} MiB | {} |", before.0, before.1);
    println!("| with the crowd | {} MiB | {} |", crowd.0, crowd.1);
    println!("| most, while one never read | {most} MiB | |");
    println!("| at the end | {} MiB | {} |", after.0, after.1);
}
