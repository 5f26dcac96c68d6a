//! Devices that send without end or in bulk: their own requests fail in words and in time, and the
//! other rooms' commands are answered meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use poly2mqtt::app::App;
use poly2mqtt::config::{BrokerUrl, Certificate, RoomId};
use poly2mqtt_simulator::{Options, SimulatedDevice};
use poly2mqtt_test_support::door::http;
use poly2mqtt_test_support::gateway::{config, room, timings};
use poly2mqtt_test_support::tls::acceptor;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_rustls::server::TlsStream;
use url::Url;

/// What a connection may take of a flood: the gateway's limit, and what the system's buffers of both
/// sides hold.
const MOST_TAKEN: usize = 16 << 20;
const GOOD: &str = "HTTP/1.1 200 OK\r\nSet-Cookie: session_id=a\r\nContent-Length: 16\r\n\r\n\
    {\"success\":true}";

/// What a device sends in place of an answer.
#[derive(Clone)]
struct Flood {
    start: String,
    /// Sent again and again.
    filler: Option<&'static str>,
    /// Between two fillers.
    pause: Duration,
}

fn endless(start: &str, filler: &'static str) -> Flood {
    Flood {
        start: start.into(),
        filler: Some(filler),
        pause: Duration::ZERO,
    }
}

fn body(text: &str) -> Flood {
    Flood {
        start: format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        ),
        filler: None,
        pause: Duration::ZERO,
    }
}

/// A device that takes every log-in and answers nothing else but with a flood.
struct FloodingDevice {
    url: Url,
    connections: Arc<AtomicUsize>,
    sent: Arc<AtomicUsize>,
}

impl FloodingDevice {
    async fn start(flood: Flood) -> Self {
        let acceptor = acceptor();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::<AtomicUsize>::default();
        let sent = Arc::<AtomicUsize>::default();
        let counts = (connections.clone(), sent.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, flood, counts) = (acceptor.clone(), flood.clone(), counts.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        counts.0.fetch_add(1, Ordering::Relaxed);
                        serve(stream, &flood, &counts.1).await;
                    }
                });
            }
        });
        Self {
            url: Url::parse(&format!("https://127.0.0.1:{port}")).unwrap(),
            connections,
            sent,
        }
    }
}

/// Serves a connection until the other side has gone.
async fn serve(mut stream: TlsStream<TcpStream>, flood: &Flood, sent: &AtomicUsize) -> Option<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut body).await.ok()?;
        if head.contains(" /rest/session ") {
            send(&mut stream, GOOD).await?;
            continue;
        }
        send(&mut stream, &flood.start).await?;
        let Some(filler) = flood.filler else {
            continue;
        };
        let piece = match flood.pause {
            Duration::ZERO => filler.repeat(16_384 / filler.len()),
            _ => filler.to_owned(),
        };
        loop {
            send(&mut stream, &piece).await?;
            sent.fetch_add(piece.len(), Ordering::Relaxed);
            sleep(flood.pause).await;
        }
    }
}

async fn send(stream: &mut TlsStream<TcpStream>, text: &str) -> Option<()> {
    stream.write_all(text.as_bytes()).await.ok()?;
    stream.flush().await.ok()
}

/// A gateway with a flooding room 1 and an honest room 2.
struct TwoRooms {
    flooding: FloodingDevice,
    honest: SimulatedDevice,
    app: App,
}

impl TwoRooms {
    async fn start(flood: Flood) -> Self {
        let flooding = FloodingDevice::start(flood).await;
        let honest = SimulatedDevice::start(Options::default()).await.unwrap();
        let mut first = room(&honest);
        first.url = flooding.url.clone();
        first.certificate = Certificate::Insecure;
        let rooms =
            [("1", first), ("2", room(&honest))].map(|(id, room)| (RoomId::new(id).unwrap(), room));
        let broker = BrokerUrl::Embedded(([127, 0, 0, 1], 0).into());
        let config = config(broker, BTreeMap::from(rooms));
        let app = App::start(config, timings()).await.unwrap();
        Self {
            flooding,
            honest,
            app,
        }
    }

    /// The result of a query of a room.
    async fn query(&self, room: &str) -> Value {
        let at = self.app.http_addr().unwrap();
        let url = format!("http://{at}/room/{room}/audio/volume/get");
        let answer = http().post(url).send().await.unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }

    /// The error of a query of the flooding room, which must come in time, while the honest room
    /// answers each query.
    async fn refused(&self) -> Value {
        let began = Instant::now();
        let mut refused = std::pin::pin!(self.query("1"));
        let error = loop {
            tokio::select! {
                result = &mut refused => break result["error"].clone(),
                honest = self.query("2") => assert_eq!(honest["ok"], true, "{honest}"),
            }
        };
        // A log-in, and the request until its deadline.
        let limit = timings().request_timeout * 3;
        assert!(began.elapsed() < limit, "{:?}", began.elapsed());
        let honest = self.query("2").await;
        assert_eq!(honest["ok"], true, "{honest}");
        error
    }

    async fn stop(self) {
        self.app.stop().await;
        self.honest.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_device_sends_without_end_is_taken_to_a_limit() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let surplus = "the device sends more than 1 MiB that is no answer";
    let head = "the response's headers are larger than 64 KiB or more than 100";
    for (start, filler, words) in [
        ("", "HTTP/1.1 100 Continue\r\n\r\n", surplus),
        (
            "",
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
            surplus,
        ),
        (chunked, "0", surplus),
        ("HTTP/1.1 200 OK\r\nX: ", "y", head),
        ("HTTP/1.1 200 OK\r\n", "X: y\r\n", head),
        ("HTTP/1.1 200 OK\r\n", "Set-Cookie: session_id=b\r\n", head),
    ] {
        let rooms = TwoRooms::start(endless(start, filler)).await;
        let error = rooms.refused().await;
        assert_eq!(error["code"], "offline", "{error}");
        // Once the room is offline, nothing is sent to it.
        let words = [words, "the device does not answer any more"];
        assert!(
            words.contains(&error["message"].as_str().unwrap()),
            "{error}"
        );
        let connections = rooms.flooding.connections.load(Ordering::Relaxed);
        let sent = rooms.flooding.sent.load(Ordering::Relaxed);
        assert!(sent < connections * MOST_TAKEN, "{filler}: {sent}");
        rooms.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_interim_answers_do_not_hold_up_the_deadline() {
    let rooms = TwoRooms::start(Flood {
        start: String::new(),
        filler: Some("HTTP/1.1 100 Continue\r\n\r\n"),
        pause: Duration::from_millis(50),
    })
    .await;
    let error = rooms.refused().await;
    let words = [
        "the device did not answer in time",
        "the device does not answer any more",
    ];
    assert!(
        words.contains(&error["message"].as_str().unwrap()),
        "{error}"
    );
    rooms.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_answer_is_refused_and_fills_no_state() {
    let rooms = TwoRooms::start(body(&format!("\"{}\"", "x".repeat(1 << 20)))).await;
    let error = rooms.refused().await;
    assert_eq!(error["code"], "too_large", "{error}");
    let words = "the device's answer is larger than the 1048576 bytes that are taken";
    assert_eq!(error["message"], words, "{error}");
    assert!(rooms.app.store().get("room/1/audio/volume").is_none());
    rooms.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_many_values_is_refused_before_it_is_read() {
    for item in ["{\"a\":1},", "[],", "0,"] {
        let text = format!("[{}0]", item.repeat((1 << 20) / item.len() - 2));
        let rooms = TwoRooms::start(body(&text)).await;
        let error = rooms.refused().await;
        assert_eq!(error["code"], "device_error", "{error}");
        let words = "the device's answer has more than 20000 values";
        assert_eq!(error["message"], words, "{error}");
        rooms.stop().await;
    }
}
