//! A gateway without MQTT, and clients for its other doors.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use poly2mqtt::app::{App, AppOptions};
use poly2mqtt::config::{AccessLevel, BrokerUrl, Config, HttpToken, RoomId, Secret, TlsFiles};
use poly2mqtt::doors::clients::ClientLimits;
use poly2mqtt_simulator::{Options, SimulatedDevice};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::gateway::{config, room, timings};
use super::{SOON, soon, until, watchdog};

pub struct Doors {
    pub device: SimulatedDevice,
    pub service: App,
    pub config: Config,
}

pub fn token(text: &str, level: AccessLevel, rooms: Option<&[&str]>) -> HttpToken {
    let id = |id: &&str| RoomId::new(id).unwrap();
    HttpToken {
        name: format!("the {text}"),
        token: Secret::new(text),
        rooms: rooms.map(|rooms| rooms.iter().map(id).collect()),
        level,
    }
}

impl Doors {
    pub async fn start() -> Self {
        Self::start_with(ClientLimits::default(), |_| {}).await
    }

    /// Starts a device and a gateway with room 1, and room 2 with the same device.
    pub async fn start_with(limits: ClientLimits, change: impl FnOnce(&mut Config)) -> Self {
        watchdog::watch();
        let device = SimulatedDevice::start(Options::default()).await.unwrap();
        let rooms = ["1", "2"].map(|id| (RoomId::new(id).unwrap(), room(&device)));
        let mut config = config(BrokerUrl::Off, BTreeMap::from(rooms));
        config.tcp.listen = config.http.listen;
        change(&mut config);
        let options = AppOptions {
            timings: timings(),
            limits,
            ..AppOptions::default()
        };
        let service = App::start_with(config.clone(), options).await.unwrap();
        let doors = Self {
            device,
            service,
            config,
        };
        doors.online().await;
        doors
    }

    async fn online(&self) {
        let store = self.service.store();
        let outbox = Arc::<poly2mqtt::state::Outbox<()>>::default();
        let subscriber: Arc<dyn poly2mqtt::state::Subscriber> = outbox.clone();
        store.subscribe(Arc::downgrade(&subscriber));
        let online = |id: &RoomId| {
            let state = store.get(&format!("room/{id}/availability"));
            state.is_some_and(|state| state.payload == "online")
        };
        let wait = async {
            while !self.config.rooms.keys().all(online) {
                outbox.next().await;
            }
        };
        soon("the rooms are online", wait).await;
    }

    pub fn addr(&self) -> SocketAddr {
        self.service.http_addr().unwrap()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr())
    }

    pub async fn ws(&self, path: &str) -> Socket {
        Socket::connect(&format!("ws://{}{path}", self.addr())).await
    }

    pub async fn tcp(&self) -> Lines {
        Lines::connect(self.service.tcp_addr().unwrap()).await
    }

    /// Waits until the metrics contain this line.
    pub async fn metric(&self, line: &str) {
        self.metric_with(line, "").await;
    }

    pub async fn metric_with(&self, line: &str, query: &str) {
        page_contains(&self.url(&format!("/metrics{query}")), line).await;
    }

    pub async fn stop(self) {
        soon("the end of the gateway", self.service.stop()).await;
        soon("the end of the device", self.device.stop()).await;
    }
}

/// An HTTP client that accepts any certificate. Tests check which one was shown.
pub fn http() -> reqwest::Client {
    static INSTALLED: std::sync::Once = std::sync::Once::new();
    INSTALLED.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    reqwest::Client::builder()
        .no_proxy()
        .tls_danger_accept_invalid_certs(true)
        .tls_info(true)
        .pool_max_idle_per_host(0)
        .connect_timeout(SOON)
        .read_timeout(SOON)
        .build()
        .unwrap()
}

pub async fn get(url: &str) -> reqwest::Response {
    http().get(url).send().await.unwrap()
}

pub async fn text(url: &str) -> String {
    get(url).await.text().await.unwrap()
}

/// Waits until a page contains this.
pub async fn page_contains(url: &str, wanted: &str) {
    request_contains(|| http().get(url), wanted).await;
}

/// Waits until the answer to this request contains this.
pub async fn request_contains(request: impl Fn() -> reqwest::RequestBuilder, wanted: &str) {
    let page = Mutex::new(String::new());
    let what = || format!("{wanted}\nin the page\n{}", page.lock().unwrap());
    until(what, async || {
        let text = request().send().await.unwrap().text().await.unwrap();
        let holds = text.contains(wanted);
        *page.lock().unwrap() = text;
        holds
    })
    .await;
}

/// Status and JSON of a POST.
pub async fn post(url: &str, payload: impl Into<reqwest::Body>) -> (u16, Value) {
    let response = http().post(url).body(payload).send().await.unwrap();
    let status = response.status().as_u16();
    let body = response.bytes().await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

pub struct Socket {
    pub inner: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Socket {
    pub async fn connect(url: &str) -> Self {
        let (inner, _) = soon(url, connect_async(url)).await.unwrap();
        Self { inner }
    }

    pub async fn send(&mut self, frame: &str) {
        let sent = self.inner.send(Message::text(frame));
        soon("a frame is sent", sent).await.unwrap();
    }

    /// The next message that is neither ping nor pong.
    pub async fn message(&mut self) -> Message {
        let next = async {
            loop {
                match self.inner.next().await {
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Ok(message)) => return message,
                    other => panic!("the WebSocket ended: {other:?}"),
                }
            }
        };
        soon("a message comes", next).await
    }

    pub async fn text(&mut self) -> String {
        match self.message().await {
            Message::Text(text) => text.as_str().to_owned(),
            other => panic!("no text: {other:?}"),
        }
    }

    pub async fn json(&mut self) -> Value {
        serde_json::from_str(&self.text().await).unwrap()
    }

    /// The next frame that matches. Earlier frames are skipped.
    pub async fn until(&mut self, holds: impl Fn(&Value) -> bool) -> Value {
        loop {
            let frame = self.json().await;
            if holds(&frame) {
                return frame;
            }
        }
    }

    /// Sends a frame that has this id, and waits for its answer.
    pub async fn ask(&mut self, id: u64, frame: &str) -> Value {
        self.send(&format!("{{\"id\":{id},{frame}}}")).await;
        self.until(|answer| answer["id"] == id).await
    }

    /// Like [`Socket::ask`]; gives every frame up to the answer.
    pub async fn frames_until(&mut self, id: u64, frame: &str) -> Vec<String> {
        self.send(&format!("{{\"id\":{id},{frame}}}")).await;
        let mut frames = Vec::new();
        loop {
            frames.push(self.text().await);
            let newest: Value = serde_json::from_str(frames.last().unwrap()).unwrap();
            if newest["id"] == id {
                return frames;
            }
        }
    }

    /// The code with which the socket is closed. Earlier messages are skipped.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.message().await {
                Message::Close(Some(frame)) => {
                    return (frame.code.into(), frame.reason.to_string());
                }
                Message::Close(None) => panic!("closed without a code"),
                _ => {}
            }
        }
    }
}

pub struct Lines {
    inner: BufReader<TcpStream>,
}

impl Lines {
    pub async fn connect(addr: SocketAddr) -> Self {
        let stream = soon("a connection", TcpStream::connect(addr)).await;
        Self {
            inner: BufReader::new(stream.unwrap()),
        }
    }

    pub async fn send(&mut self, text: &str) {
        self.send_bytes(text.as_bytes()).await;
    }

    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        let sent = self.inner.write_all(bytes);
        soon("bytes are sent", sent).await.unwrap();
    }

    /// So many bytes, whatever they are.
    pub async fn bytes(&mut self, number: usize) -> Vec<u8> {
        let mut bytes = vec![0; number];
        let read = self.inner.read_exact(&mut bytes);
        soon("bytes come", read).await.unwrap();
        bytes
    }

    /// The next line without its end; `None` once the connection has ended.
    pub async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match soon("a line comes", self.inner.read_line(&mut line)).await {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.strip_suffix("\r\n").unwrap().to_owned()),
        }
    }

    pub async fn until(&mut self, wanted: &str) {
        while self.line().await.expect("it has not ended") != wanted {}
    }
}

/// Creates a certificate for this machine, in files of `dir`.
pub fn certificate(dir: &std::path::Path) -> (TlsFiles, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let files = TlsFiles {
        certificate: dir.join("cert.pem"),
        key: dir.join("key.pem"),
    };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    (files, made.cert.der().to_vec())
}
