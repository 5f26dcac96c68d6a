//! The reference: a process that does the same I/O as the gateway and nothing else.
//!
//! It holds one open HTTPS connection to each device (hyper over rustls with ring) and an MQTT
//! connection. For `bare/<n>` it sends the POST and the GET that the gateway sends for
//! `room/<n>/audio/volume/set`, and publishes `bare/<n>/result`. The bench starts its own program
//! again to have this process.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use poly2mqtt_test_support::any_certificate;
use rumqttc::v5::mqttbytes::QoS;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Message;

use super::client;
use super::processes::{BenchDevice, Process};
use super::program::free_port;

const CHILD: &str = "POLY2MQTT_BENCH_BARE";

/// The bare process, seen from the bench.
pub struct Bare {
    pub process: Process,
    pub websocket: u16,
    answers: std::sync::mpsc::Receiver<String>,
}

impl Bare {
    pub fn start(broker: u16, devices: &[BenchDevice]) -> Self {
        let websocket = free_port();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env(CHILD, format!("{broker} {websocket}"));
        let mut process = Process::start(command.stdout(Stdio::piped()));
        let (sender, answers) = std::sync::mpsc::channel();
        let lines = process.lines();
        std::thread::spawn(move || lines.for_each(|line| drop(sender.send(line))));
        let mut bare = Self {
            process,
            websocket,
            answers,
        };
        for device in devices {
            bare.say(&format!("device {}", device.port));
        }
        bare.ask("ready");
        bare
    }

    fn say(&mut self, line: &str) {
        use std::io::Write as _;
        writeln!(self.process.stdin(), "{line}").unwrap();
    }

    fn ask(&mut self, line: &str) -> String {
        self.say(line);
        self.answers.recv().unwrap()
    }

    /// Sends POST and GET to all devices as fast as they answer, one command at a time to each.
    /// Gives the commands per second.
    pub fn saturate(&mut self, duration: Duration) -> f64 {
        self.ask(&format!("saturate {}", duration.as_millis()))
            .parse()
            .unwrap()
    }

    /// Sends GETs of these paths in turn, spread evenly over the devices, at this rate. Gives how
    /// many there were.
    pub fn pace(&mut self, duration: Duration, per_second: f64, paths: &[String]) -> f64 {
        let line = format!(
            "pace {} {per_second} {}",
            duration.as_millis(),
            paths.join(" ")
        );
        self.ask(&line).parse().unwrap()
    }
}

/// Whether this process was started as the bare process.
pub fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Runs as the bare process if it was started as that; false if it was not.
pub async fn run_if_asked() -> bool {
    let Ok(ports) = std::env::var(CHILD) else {
        return false;
    };
    let mut ports = ports.split(' ').map(|port| port.parse().unwrap());
    let (broker, websocket) = (ports.next().unwrap(), ports.next().unwrap());
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let tls = TlsConnector::from(Arc::new(any_certificate::client_config()));
    let mut devices = Vec::new();
    while let Ok(Some(line)) = lines.next_line().await {
        let Some(port) = line.strip_prefix("device ") else {
            break;
        };
        devices.push(Arc::new(
            WarmConnection::connect(port.parse().unwrap(), &tls).await,
        ));
    }
    let devices: Arc<[Arc<WarmConnection>]> = devices.into();
    relay(broker, devices.clone());
    serve(websocket, devices.clone()).await;
    println!("ready");
    while let Ok(Some(line)) = lines.next_line().await {
        let mut words = line.split(' ');
        let what = words.next().unwrap();
        let duration = Duration::from_millis(words.next().unwrap().parse().unwrap());
        match what {
            "saturate" => println!("{}", saturate(&devices, duration).await),
            _ => {
                let per_second: f64 = words.next().unwrap().parse().unwrap();
                let paths: Vec<String> = words.map(str::to_owned).collect();
                println!("{}", pace(&devices, duration, per_second, &paths).await);
            }
        }
    }
    true
}

/// An open connection to one device, with a session.
struct WarmConnection {
    sender: Mutex<SendRequest<Full<Bytes>>>,
    authority: String,
    cookie: String,
    token: String,
}

impl WarmConnection {
    async fn connect(port: u16, tls: &TlsConnector) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let stream = tls.connect(name, stream).await.unwrap();
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let authority = format!("127.0.0.1:{port}");
        let (cookie, token) = log_in(&mut sender, &authority).await;
        Self {
            sender: Mutex::new(sender),
            authority,
            cookie,
            token,
        }
    }

    async fn ask(&self, method: Method, path: &str, body: Bytes) -> Bytes {
        let mut request = Request::builder()
            .method(&method)
            .uri(path)
            .header("host", &self.authority)
            .header("cookie", &self.cookie);
        if method == Method::POST {
            request = request
                .header("x-xsrf-token", &self.token)
                .header("content-type", "application/json");
        }
        let request = request.body(Full::new(body)).unwrap();
        let mut sender = self.sender.lock().await;
        sender.ready().await.unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert!(
            response.status().is_success(),
            "{path}: {}",
            response.status()
        );
        response.into_body().collect().await.unwrap().to_bytes()
    }

    /// What the gateway sends for a volume: the change, and the read of the state.
    async fn set(&self, volume: Bytes) {
        self.ask(Method::POST, "/rest/audio/volume", volume).await;
        let state = self.ask(Method::GET, "/rest/audio", Bytes::new()).await;
        assert!(!state.is_empty());
    }
}

/// The `Cookie` and the token of a new session.
async fn log_in(sender: &mut SendRequest<Full<Bytes>>, authority: &str) -> (String, String) {
    let request = Request::builder()
        .method("POST")
        .uri("/rest/session")
        .header("host", authority)
        .header("content-type", "application/json")
        .body(Full::from("{\"user\":\"admin\",\"password\":\"456\"}"))
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert!(response.status().is_success(), "{}", response.status());
    let cookies: Vec<String> = response
        .headers()
        .get_all("set-cookie")
        .iter()
        .map(|cookie| {
            cookie
                .to_str()
                .unwrap()
                .split(';')
                .next()
                .unwrap()
                .to_owned()
        })
        .collect();
    response.into_body().collect().await.unwrap();
    let token = cookies
        .iter()
        .find_map(|cookie| cookie.strip_prefix("XSRF-TOKEN="));
    let token = token.unwrap_or_default().to_owned();
    (cookies.join("; "), token)
}

/// The `Cookie` and the token of a new session at a device, over a connection of its own.
pub async fn session(port: u16) -> (String, String) {
    let tls = TlsConnector::from(Arc::new(any_certificate::client_config()));
    let warm = WarmConnection::connect(port, &tls).await;
    (warm.cookie, warm.token)
}

/// The number behind `"volume":`.
fn volume(payload: &str) -> Bytes {
    let after = payload.split_once("\"volume\":").unwrap().1;
    let number = after.split(',').next().unwrap();
    Bytes::copy_from_slice(number.as_bytes())
}

fn relay(broker: u16, devices: Arc<[Arc<WarmConnection>]>) {
    let (mqtt, events) = client::connect("bare", broker, &["bare/+"]);
    let mut received = client::receive(events);
    tokio::spawn(async move {
        while let Some(message) = received.recv().await {
            let number: usize = message.topic["bare/".len()..].parse().unwrap();
            let device = devices[number - 1].clone();
            let mqtt = mqtt.clone();
            tokio::spawn(async move {
                let text = std::str::from_utf8(&message.payload).unwrap();
                device.set(volume(text)).await;
                let topic = format!("bare/{number}/result");
                mqtt.publish_bytes(topic, QoS::AtLeastOnce, false, message.payload)
                    .await
                    .unwrap();
            });
        }
    });
}

/// Over WebSocket every command goes to the first device.
async fn serve(port: u16, devices: Arc<[Arc<WarmConnection>]>) {
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            let device = devices[0].clone();
            tokio::spawn(async move {
                let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
                while let Some(Ok(Message::Text(text))) = socket.next().await {
                    device.set(volume(&text)).await;
                    socket.send(Message::Text(text)).await.unwrap();
                }
            });
        }
    });
}

async fn saturate(devices: &Arc<[Arc<WarmConnection>]>, duration: Duration) -> f64 {
    let count = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let end = begun + duration;
    let tasks: Vec<_> = devices
        .iter()
        .map(|device| {
            let (device, count) = (device.clone(), count.clone());
            tokio::spawn(async move {
                let mut volume = 0;
                while Instant::now() < end {
                    volume = (volume + 1) % 101;
                    device.set(volume.to_string().into()).await;
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    #[allow(clippy::cast_precision_loss)]
    let count = count.load(Ordering::Relaxed) as f64;
    count / begun.elapsed().as_secs_f64()
}

async fn pace(
    devices: &Arc<[Arc<WarmConnection>]>,
    duration: Duration,
    per_second: f64,
    paths: &[String],
) -> u64 {
    let count = Arc::new(AtomicU64::new(0));
    let end = Instant::now() + duration;
    #[allow(clippy::cast_precision_loss)]
    let each = Duration::from_secs_f64(devices.len() as f64 / per_second);
    let paths: Arc<[String]> = paths.into();
    let mut tasks = Vec::new();
    for (place, device) in devices.iter().enumerate() {
        let (device, count, paths) = (device.clone(), count.clone(), paths.clone());
        #[allow(clippy::cast_precision_loss)]
        let first = each.mul_f64(place as f64 / devices.len() as f64);
        tasks.push(tokio::spawn(async move {
            let mut next = tokio::time::Instant::now() + first;
            for path in paths.iter().cycle() {
                tokio::time::sleep_until(next).await;
                if Instant::now() >= end {
                    break;
                }
                device.ask(Method::GET, path, Bytes::new()).await;
                count.fetch_add(1, Ordering::Relaxed);
                next += each;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    count.load(Ordering::Relaxed)
}
