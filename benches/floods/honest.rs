//! Honest clients at every door: commands at a fixed rate, each with a result.
//!
//! One client over MQTT, one over WebSocket, one over lines; over HTTP every second command has a
//! connection of its own. All come from 127.0.0.1. A client that is disconnected connects again, and
//! that is noted.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use poly2mqtt_bench_support::client::request_id;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectProperties, Filter, Packet};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::gateway::{HONEST, HONEST_MQTT_ID, Ports};
use super::ledger::{DOORS, Door, Ledger, Order};

/// A command without a result after this time is lost.
pub const RESULT_TIMEOUT: Duration = Duration::from_secs(30);
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);
/// How long a client may take to connect and log in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// All honest clients.
pub struct HonestClients {
    ledger: Arc<Ledger>,
    ports: Ports,
    mqtt: AsyncClient,
    websocket: mpsc::UnboundedSender<String>,
    lines: mpsc::UnboundedSender<String>,
    /// The connection over which every second HTTP command goes.
    kept: Arc<Mutex<Option<TcpStream>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for HonestClients {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl HonestClients {
    /// Connects at every door.
    pub fn connect(ports: Ports, ledger: Arc<Ledger>) -> Self {
        let (mqtt, events) = mqtt_client(ports);
        let (websocket, frames) = mpsc::unbounded_channel();
        let (lines, written) = mpsc::unbounded_channel();
        let tasks = vec![
            tokio::spawn(talk_mqtt(mqtt.clone(), events, ledger.clone())),
            tokio::spawn(talk_websocket(ports, frames, ledger.clone())),
            tokio::spawn(talk_lines(ports, written, ledger.clone())),
        ];
        Self {
            ledger,
            ports,
            mqtt,
            websocket,
            lines,
            kept: Arc::default(),
            tasks,
        }
    }

    /// Sends commands at this rate until it is dropped.
    pub async fn send_at(&self, per_second: u32, rooms: usize, first: u64) {
        let mut beat = interval(Duration::from_secs(1) / per_second);
        beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for n in first.. {
            beat.tick().await;
            self.send(n, rooms).await;
        }
    }

    async fn send(&self, n: u64, rooms: usize) {
        let place = usize::try_from(n).unwrap();
        let (door, _) = DOORS[place % DOORS.len()];
        // A step of 7, so that consecutive commands go to rooms that are not neighbours.
        let room = place * 7 % rooms + 1;
        // Lines have no ids, and a volume may overtake: so over lines there are only tones. With few
        // rooms one volume would replace another that waits.
        let order = match (n / 4) % 3 {
            0 if door != Door::Lines && rooms >= 50 => Order::Volume(n % 101),
            _ => Order::Tone,
        };
        let (command, payload) = match order {
            Order::Tone => (
                "audio/dtmf/play",
                format!("{{\"keys\":\"{}\",\"request_id\":\"{n}\"}}", n % 8 + 1),
            ),
            Order::Volume(volume) => (
                "audio/volume/set",
                format!("{{\"volume\":{volume},\"request_id\":\"{n}\"}}"),
            ),
        };
        let topic = format!("room/{room}/{command}");
        self.ledger.send(n, door, room, order);
        match door {
            Door::Mqtt => {
                let sent = self
                    .mqtt
                    .try_publish(topic, QoS::AtLeastOnce, false, payload);
                if let Err(error) = sent {
                    self.ledger.answer(n, Err(format!("MQTT: {error}")));
                }
            }
            Door::WebSocket => {
                let frame = format!("{{\"id\":{n},\"topic\":\"{topic}\",\"payload\":{payload}}}");
                let _ = self.websocket.send(frame);
            }
            Door::Lines => {
                let _ = self.lines.send(format!("{topic} {}\r\n", n % 8 + 1));
            }
            Door::Http => {
                let kept = (n / 4).is_multiple_of(2).then(|| self.kept.clone());
                let (ledger, port) = (self.ledger.clone(), self.ports.http);
                tokio::spawn(async move {
                    let answer = timeout(RESULT_TIMEOUT, post(port, kept, &topic, &payload));
                    match answer.await {
                        Ok(Ok(answer)) => ledger.answer(n, outcome(answer.as_bytes())),
                        Ok(Err(error)) => ledger.answer(n, Err(format!("HTTP: {error}"))),
                        // It stays open in the ledger, and is lost.
                        Err(_) => {}
                    }
                });
            }
        }
    }

    /// Waits until every command has its result, or for as long as one may take.
    pub async fn finish(&self) {
        let deadline = Instant::now() + RESULT_TIMEOUT;
        while self.ledger.open() > 0 && Instant::now() < deadline {
            sleep(Duration::from_millis(20)).await;
        }
        // A doubled result would come now.
        sleep(Duration::from_millis(500)).await;
    }
}

/// What a result in JSON says.
fn outcome(result: &[u8]) -> Result<(), String> {
    let Ok(result) = serde_json::from_slice::<Value>(result) else {
        return Err(String::from_utf8_lossy(result).chars().take(80).collect());
    };
    let result = result.get("payload").unwrap_or(&result);
    if result["ok"] == true {
        return Ok(());
    }
    let error = &result["error"];
    let code = error["code"].as_str().or_else(|| error.as_str());
    Err(code.map_or_else(|| result.to_string(), str::to_owned))
}

fn mqtt_client(ports: Ports) -> (AsyncClient, EventLoop) {
    let mut options = MqttOptions::new(HONEST_MQTT_ID, "127.0.0.1", ports.broker);
    options.set_keep_alive(Duration::from_secs(60));
    options.set_max_packet_size(Some(64 << 20));
    options.set_credentials(HONEST.name, HONEST.secret);
    options.set_clean_start(false);
    let mut properties = ConnectProperties::new();
    properties.session_expiry_interval = Some(300);
    properties.max_packet_size = Some(64 << 20);
    options.set_connect_properties(properties);
    let mut network = rumqttc::NetworkOptions::new();
    network.set_tcp_nodelay(true);
    options.set_network_options(network);
    AsyncClient::new(options, 4096)
}

async fn talk_mqtt(client: AsyncClient, mut events: EventLoop, ledger: Arc<Ledger>) {
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(ack))) if !ack.session_present => {
                let filters = [
                    "room/+/audio/dtmf/play/result",
                    "room/+/audio/volume/set/result",
                    "gateway/availability",
                ];
                let filters = filters.map(|filter| Filter::new(filter, QoS::AtLeastOnce));
                let _ = client.try_subscribe_many(filters);
            }
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                if publish.topic == "gateway/availability" {
                    if publish.payload != "online" {
                        ledger.disconnected("gateway/availability says offline".into());
                    }
                } else if let Some(id) = request_id(&publish.payload) {
                    ledger.answer(id, outcome(&publish.payload));
                }
            }
            Ok(_) => {}
            Err(error) => {
                ledger.disconnected(format!("MQTT: {error}"));
                sleep(RECONNECT_PAUSE).await;
            }
        }
    }
}

/// Talks over one connection after the other.
async fn talk_websocket(
    ports: Ports,
    mut frames: mpsc::UnboundedReceiver<String>,
    ledger: Arc<Ledger>,
) {
    loop {
        let talk = websocket_session(ports, &mut frames, &ledger).await;
        let why = talk.unwrap_or_else(|error| error.to_string());
        ledger.disconnected(format!("WebSocket: {why}"));
        sleep(RECONNECT_PAUSE).await;
    }
}

async fn websocket_session(
    ports: Ports,
    frames: &mut mpsc::UnboundedReceiver<String>,
    ledger: &Ledger,
) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let mut request = format!("ws://127.0.0.1:{}/ws", ports.http).into_client_request()?;
    let token = format!("Bearer {}", HONEST.secret).parse()?;
    request.headers_mut().insert("authorization", token);
    let stream = TcpStream::connect(("127.0.0.1", ports.http)).await?;
    stream.set_nodelay(true)?;
    let connect = tokio_tungstenite::client_async(request, stream);
    let (mut socket, _) = timeout(CONNECT_TIMEOUT, connect).await??;
    loop {
        tokio::select! {
            frame = frames.recv() => match frame {
                Some(frame) => socket.send(Message::text(frame)).await?,
                None => return Ok("ended".into()),
            },
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    if let Some(id) = request_id(text.as_bytes()) {
                        ledger.answer(id, outcome(text.as_bytes()));
                    }
                }
                Some(Ok(Message::Close(frame))) => return Ok(format!("closed: {frame:?}")),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Ok("closed".into()),
            },
        }
    }
}

async fn talk_lines(
    ports: Ports,
    mut written: mpsc::UnboundedReceiver<String>,
    ledger: Arc<Ledger>,
) {
    loop {
        let talk = lines_session(ports, &mut written, &ledger).await;
        let why = talk.map_or_else(|error| error.to_string(), |()| "closed".to_owned());
        ledger.disconnected(format!("lines: {why}"));
        sleep(RECONNECT_PAUSE).await;
    }
}

async fn lines_session(
    ports: Ports,
    written: &mut mpsc::UnboundedReceiver<String>,
    ledger: &Ledger,
) -> io::Result<()> {
    let stream = TcpStream::connect(("127.0.0.1", ports.lines)).await?;
    stream.set_nodelay(true)?;
    let (reading, mut writing) = stream.into_split();
    let mut lines = BufReader::new(reading).lines();
    let token = format!("token {}\r\n", HONEST.secret);
    writing.write_all(token.as_bytes()).await?;
    loop {
        tokio::select! {
            line = written.recv() => match line {
                Some(line) => writing.write_all(line.as_bytes()).await?,
                None => return Ok(()),
            },
            line = lines.next_line() => {
                let Some(line) = line? else { return Ok(()) };
                let Some((topic, result)) = line.split_once("/result ") else { continue };
                let room = topic.split('/').nth(1).and_then(|room| room.parse().ok());
                let Some(room) = room else { continue };
                let result = match result.strip_prefix("error ") {
                    Some(why) => Err(why.split(' ').next().unwrap_or(why).to_owned()),
                    None => Ok(()),
                };
                ledger.answer_line(room, result);
            }
        }
    }
}

/// Sends a command over HTTP and gives the body of the answer. Over the kept connection if one is
/// given; there one command at a time is under way.
async fn post(
    port: u16,
    kept: Option<Arc<Mutex<Option<TcpStream>>>>,
    topic: &str,
    payload: &str,
) -> io::Result<String> {
    let Some(kept) = kept else {
        let mut stream = open(port).await?;
        return exchange(&mut stream, port, topic, payload).await;
    };
    let mut kept = kept.lock().await;
    let mut stream = match kept.take() {
        // A server may end a connection between two requests.
        Some(stream) if !is_closed(&stream) => stream,
        _ => open(port).await?,
    };
    let answer = exchange(&mut stream, port, topic, payload).await?;
    *kept = Some(stream);
    Ok(answer)
}

fn is_closed(stream: &TcpStream) -> bool {
    !matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

async fn open(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn exchange(
    stream: &mut TcpStream,
    port: u16,
    topic: &str,
    payload: &str,
) -> io::Result<String> {
    let request = format!(
        "POST /{topic} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {}\r\n\
         Content-Length: {}\r\n\r\n{payload}",
        HONEST.secret,
        payload.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    loop {
        if let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            let length = length.ok_or_else(|| io::Error::other("an answer without length"))?;
            if answer.len() >= end + 4 + length {
                return Ok(String::from_utf8_lossy(&answer[end + 4..]).into_owned());
            }
        }
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(io::Error::other("the connection ended without an answer"));
        }
    }
}
