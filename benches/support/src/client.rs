//! MQTT clients: the library's, and one that times the result of each command; a WebSocket client that does the same.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    Codec, Connect, Filter, Packet, PingReq, PubAck, Publish, Subscribe,
};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::{WebSocketStream, client_async};
use tokio_util::codec::Framed;

/// Connects with `TCP_NODELAY` and receives what matches the filters.
pub fn connect(id: &str, port: u16, filters: &[&str]) -> (AsyncClient, EventLoop) {
    let mut options = MqttOptions::new(id, "127.0.0.1", port);
    options.set_keep_alive(Duration::from_secs(60));
    options.set_max_packet_size(Some(64 << 20));
    options.set_receive_maximum(Some(u16::MAX));
    let mut network = rumqttc::NetworkOptions::new();
    network.set_tcp_nodelay(true);
    options.set_network_options(network);
    let (client, events) = AsyncClient::new(options, 4096);
    let filters = filters
        .iter()
        .map(|filter| Filter::new(*filter, QoS::AtLeastOnce));
    client.try_subscribe_many(filters).unwrap();
    (client, events)
}

/// A received message, with the time of its arrival.
pub struct Message {
    pub topic: String,
    pub payload: Bytes,
    pub came: Instant,
}

/// Passes on every received message. Ends with the client.
pub fn receive(mut events: EventLoop) -> mpsc::UnboundedReceiver<Message> {
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::Publish(publish))) => {
                    let message = Message {
                        topic: String::from_utf8_lossy(&publish.topic).into_owned(),
                        payload: publish.payload,
                        came: Instant::now(),
                    };
                    if sender.send(message).is_err() {
                        break;
                    }
                }
                Ok(_) => {}
                // The bench then fails because the message that it waits for does not come.
                Err(_) => break,
            }
        }
    });
    receiver
}

type Waiting = Mutex<HashMap<u64, oneshot::Sender<(Instant, Bytes)>>>;

/// Sends commands with a `request_id` and waits for the result that repeats it.
///
/// All that waits to be sent goes out in one write. The library's client writes packet by packet,
/// and at saturation the gateway would lose that processor time.
#[derive(Clone)]
pub struct CommandClient {
    orders: mpsc::UnboundedSender<Publish>,
    waiting: Arc<Waiting>,
    next: Arc<AtomicU64>,
}

type Link = Framed<TcpStream, Codec>;

impl CommandClient {
    /// Subscribes to the results of these commands, `{}` standing for any room. A result that two
    /// clients receive costs the broker twice, so subscribe to no others.
    pub async fn connect(port: u16, topics: &[&str]) -> Self {
        static COMMANDERS: AtomicU64 = AtomicU64::new(0);
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let codec = Codec {
            max_incoming_size: None,
            max_outgoing_size: None,
        };
        let mut link = Framed::new(stream, codec);
        let connect = Connect {
            keep_alive: 60,
            client_id: format!("bench-{}", COMMANDERS.fetch_add(1, Ordering::Relaxed)),
            clean_start: true,
            properties: None,
        };
        link.send(Packet::Connect(connect, None, None))
            .await
            .unwrap();
        let ack = link.next().await.unwrap().unwrap();
        assert!(matches!(ack, Packet::ConnAck(_)), "{ack:?}");
        let results = topics
            .iter()
            .map(|topic| topic.replace("{}", "+") + "/result");
        let filters = results.map(|topic| Filter::new(topic, QoS::AtLeastOnce));
        let mut subscribe = Subscribe::new_many(filters, None);
        subscribe.pkid = 1;
        link.send(Packet::Subscribe(subscribe)).await.unwrap();
        let ack = link.next().await.unwrap().unwrap();
        assert!(matches!(ack, Packet::SubAck(_)), "{ack:?}");
        let (orders, due) = mpsc::unbounded_channel();
        let waiting: Arc<Waiting> = Arc::default();
        tokio::spawn(talk(link, due, waiting.clone()));
        Self {
            orders,
            waiting,
            next: Arc::default(),
        }
    }

    /// Sends a volume and waits for its result. Gives the time it took, and the result.
    pub async fn set(&self, topic: &str) -> (Duration, Bytes) {
        let answer = tokio::time::timeout(Duration::from_secs(30), self.ask(topic));
        answer.await.expect("an answer")
    }

    /// Sends commands until one is answered.
    pub async fn until_answered(&self, topic: &str) {
        for _ in 0..600 {
            let answer = tokio::time::timeout(Duration::from_millis(100), self.ask(topic));
            if answer.await.is_ok() {
                return;
            }
        }
        panic!("nothing answers at {topic}");
    }

    async fn ask(&self, topic: &str) -> (Duration, Bytes) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        self.waiting.lock().unwrap().insert(id, sender);
        let volume = (id / 2) % 101;
        let payload = format!("{{\"volume\":{volume},\"request_id\":\"{id}\"}}");
        let begun = Instant::now();
        let publish = Publish::new(topic, QoS::AtLeastOnce, payload, None);
        self.orders.send(publish).unwrap();
        let (came, result) = receiver.await.unwrap();
        (came.duration_since(begun), result)
    }
}

async fn talk(mut link: Link, mut orders: mpsc::UnboundedReceiver<Publish>, waiting: Arc<Waiting>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(30));
    let mut id = 1_u16;
    loop {
        tokio::select! {
            order = orders.recv() => {
                let Some(mut publish) = order else {
                    return;
                };
                loop {
                    id = id.checked_add(1).unwrap_or(1);
                    publish.pkid = id;
                    link.feed(Packet::Publish(publish)).await.unwrap();
                    match orders.try_recv() {
                        Ok(next) => publish = next,
                        Err(_) => break,
                    }
                }
            }
            packet = link.next() => {
                let mut next = packet;
                // Without a broker the results that are waited for do not come, and the bench fails.
                let Some(Ok(_)) = next else {
                    return;
                };
                while let Some(Ok(packet)) = next {
                    if let Packet::Publish(publish) = packet {
                        let ack = PubAck::new(publish.pkid, None);
                        link.feed(Packet::PubAck(ack)).await.unwrap();
                        let waiting = request_id(&publish.payload)
                            .and_then(|id| waiting.lock().unwrap().remove(&id));
                        if let Some(waiting) = waiting {
                            let _ = waiting.send((Instant::now(), publish.payload));
                        }
                    }
                    next = link.next().now_or_never().flatten();
                }
            }
            _ = ticks.tick() => link.feed(Packet::PingReq(PingReq)).await.unwrap(),
        }
        link.flush().await.unwrap();
    }
}

/// The number behind `"request_id":"`.
pub fn request_id(payload: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(payload).ok()?;
    let (_, after) = text.split_once("\"request_id\":\"")?;
    after.split('"').next()?.parse().ok()
}

/// Sends commands over a WebSocket, one after the other, and times their answers.
pub struct CommandSocket {
    socket: WebSocketStream<TcpStream>,
    next: u64,
}

impl CommandSocket {
    /// Connects to this path, with `TCP_NODELAY`.
    pub async fn connect(port: u16, path: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let url = format!("ws://127.0.0.1:{port}{path}");
        let (socket, _) = client_async(url, stream).await.unwrap();
        Self { socket, next: 0 }
    }

    /// Sends a volume and waits for its result. Gives the time it took.
    pub async fn set(&mut self, topic: &str) -> Duration {
        let id = self.next;
        self.next += 1;
        let volume = id % 101;
        let text = format!(
            "{{\"id\":{id},\"topic\":\"{topic}\",\"payload\":{{\"volume\":{volume},\"request_id\":\"{id}\"}}}}"
        );
        let begun = Instant::now();
        self.socket.send(Frame::text(text)).await.unwrap();
        let answer = loop {
            let frame = self.socket.next().await.unwrap().unwrap();
            // Others are pings.
            if let Frame::Text(answer) = frame {
                break answer;
            }
        };
        let took = begun.elapsed();
        assert!(answer.contains(&format!("{{\"id\":{id},")), "{answer}");
        assert!(!answer.contains("\"ok\":false"), "{answer}");
        took
    }
}
