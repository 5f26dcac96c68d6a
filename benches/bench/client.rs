//! An MQTT client that says when an answer came.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, Packet};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use tokio::sync::{mpsc, oneshot};

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

/// A message with the time it came.
pub struct Message {
    pub topic: String,
    pub payload: Bytes,
    pub came: Instant,
}

/// Hands over what comes. Ends with the client.
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
                // Whoever waits for something will miss it.
                Err(_) => break,
            }
        }
    });
    receiver
}

type Waiting = Mutex<HashMap<u64, oneshot::Sender<(Instant, Bytes)>>>;

/// Sends commands that carry a `request_id` and waits for the answer that carries it back.
#[derive(Clone)]
pub struct Commander {
    client: AsyncClient,
    waiting: Arc<Waiting>,
    next: Arc<AtomicU64>,
}

impl Commander {
    /// It receives the results of commands at these topics, `{}` for any room, and no others: a
    /// result that two receive costs the broker twice.
    pub async fn connect(port: u16, topics: &[&str]) -> Self {
        static COMMANDERS: AtomicU64 = AtomicU64::new(0);
        let id = format!("bench-{}", COMMANDERS.fetch_add(1, Ordering::Relaxed));
        let results = topics
            .iter()
            .map(|topic| topic.replace("{}", "+") + "/result");
        let results: Vec<String> = results.collect();
        let filters: Vec<&str> = results.iter().map(String::as_str).collect();
        let (client, events) = connect(&id, port, &filters);
        let mut received = receive(events);
        let waiting: Arc<Waiting> = Arc::default();
        let answered = waiting.clone();
        tokio::spawn(async move {
            while let Some(message) = received.recv().await {
                let waiting = request_id(&message.payload)
                    .and_then(|id| answered.lock().unwrap().remove(&id));
                if let Some(waiting) = waiting {
                    let _ = waiting.send((message.came, message.payload));
                }
            }
        });
        Self {
            client,
            waiting,
            next: Arc::default(),
        }
    }

    /// Sends a volume and waits for its result: how long it took, and the result.
    pub async fn set(&self, topic: &str) -> (Duration, Bytes) {
        let answer = tokio::time::timeout(Duration::from_secs(30), self.ask(topic));
        answer.await.expect("an answer")
    }

    /// Sends until something answers.
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
        self.client
            .publish(topic, QoS::AtLeastOnce, false, payload)
            .await
            .unwrap();
        let (came, result) = receiver.await.unwrap();
        (came.duration_since(begun), result)
    }
}

/// The number behind `"request_id":"`.
pub fn request_id(payload: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(payload).ok()?;
    let (_, after) = text.split_once("\"request_id\":\"")?;
    after.split('"').next()?.parse().ok()
}
