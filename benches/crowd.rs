//! A crowd at the WebSocket door: does one client that never reads slow the others down?
//!
//! `cargo bench --bench crowd` starts the demo as a process of its own and 1,000 clients that are
//! subscribed to everything. One of them sends commands, one after the other. In every second
//! round one client of the crowd has stopped reading; the rounds alternate, so that what else runs
//! on the machine weighs on both alike. Prints medians, the ratio, and the gateway's memory.
//! Arguments: how many clients, how many rounds, how many commands a round.
#![allow(clippy::unwrap_used, missing_docs)]

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

const ROOMS: &str = "2";

type Client = WebSocketStream<TcpStream>;

struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Demo {
    fn start(http: SocketAddr) -> Self {
        let at = |port: u16| format!("127.0.0.1:{port}");
        let child = Command::new(env!("CARGO_BIN_EXE_poly2mqtt"))
            .args(["demo", "--rooms", ROOMS])
            .args(["--listen", &at(free_port()), "--http", &http.to_string()])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// Resident memory in MiB, and open files.
    fn size(&self) -> (u64, usize) {
        let process = format!("/proc/{}", self.0.id());
        let status = std::fs::read_to_string(format!("{process}/status")).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        let files = std::fs::read_dir(format!("{process}/fd")).map_or(0, Iterator::count);
        (kib.unwrap_or(0) / 1024, files)
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A client with a receive buffer as small as the system allows, so that one that does not read is
/// felt at once.
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

/// A client that asks for more than the system buffers and never reads any of it.
async fn deaf(http: SocketAddr) -> Client {
    let mut client = connect(http, true).await;
    for _ in 0..256 {
        let query = "{\"topic\":\"room/2/camera/snapshot/near/get\"}";
        client.feed(Message::text(query)).await.unwrap();
    }
    client.flush().await.unwrap();
    // Its queries are the device's work, which is not to be measured.
    tokio::time::sleep(Duration::from_secs(2)).await;
    client
}

/// Sends commands one after the other; how long each took.
async fn commands(client: &mut Client, count: usize) -> Vec<Duration> {
    let mut took = Vec::with_capacity(count);
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

fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let place = (sorted.len() * percent / 100).min(sorted.len() - 1);
    sorted[place].as_secs_f64() * 1000.0
}

#[tokio::main]
async fn main() {
    let mut numbers = std::env::args().filter_map(|argument| argument.parse::<usize>().ok());
    // Without `--bench` (`cargo test`) only to see that it works.
    let [clients, rounds, count] = match std::env::args().any(|argument| argument == "--bench") {
        true => [1000, 6, 100],
        false => [20, 1, 10],
    };
    let clients = numbers.next().unwrap_or(clients);
    let rounds = numbers.next().unwrap_or(rounds);
    let count = numbers.next().unwrap_or(count);
    let http = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let demo = Demo::start(http);
    let mut sender = connect(http, false).await;
    commands(&mut sender, 20).await;
    let before = demo.size();
    for _ in 0..clients {
        let mut client = connect(http, true).await;
        tokio::spawn(async move { while let Some(Ok(_)) = client.next().await {} });
    }
    let crowd = demo.size();
    let mut reading = commands(&mut sender, count).await;
    reading.clear();
    let mut stuck = Vec::new();
    let mut most = crowd.0;
    for _ in 0..rounds {
        reading.extend(commands(&mut sender, count).await);
        let deaf = deaf(http).await;
        stuck.extend(commands(&mut sender, count).await);
        most = most.max(demo.size().0);
        drop(deaf);
    }
    let after = demo.size();
    reading.sort_unstable();
    stuck.sort_unstable();
    println!(
        "{clients} clients subscribed to everything, {rounds} rounds of {count} commands each way\n"
    );
    println!("| | all read | one never reads | ratio |\n|---|---|---|---|");
    for percent in [50, 99] {
        let (all, one) = (percentile(&reading, percent), percentile(&stuck, percent));
        println!(
            "| p{percent} of a command | {all:.2} ms | {one:.2} ms | {:.2} |",
            one / all
        );
    }
    println!("\n| the gateway with its simulated devices | memory | open files |\n|---|---|---|");
    println!("| before the crowd | {} MiB | {} |", before.0, before.1);
    println!("| with the crowd | {} MiB | {} |", crowd.0, crowd.1);
    println!("| most, while one never read | {most} MiB | |");
    println!("| at the end | {} MiB | {} |", after.0, after.1);
}
