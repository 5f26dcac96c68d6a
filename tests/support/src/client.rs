//! An MQTT 5 client that remembers everything it received.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, Packet, Publish, PublishProperties};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{SOON, watchdog};

#[derive(Default)]
struct Received {
    messages: Mutex<Vec<Publish>>,
    acks: Mutex<(usize, usize)>,
    /// Why the connection ended. A wait that ends without success says it.
    ended: Mutex<Option<String>>,
    changed: Notify,
}

pub struct Client {
    client: AsyncClient,
    received: Arc<Received>,
    task: JoinHandle<()>,
    published: Mutex<usize>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Client {
    /// Connects to a port of this machine and subscribes to everything.
    pub async fn connect(port: u16) -> Self {
        Self::connect_with(port, |_| {}, "#").await
    }

    pub async fn connect_with(
        port: u16,
        with: impl FnOnce(&mut MqttOptions),
        filter: &str,
    ) -> Self {
        let id = format!("test-{:?}-{port}", std::thread::current().id());
        let id = format!("{id}-{}", rand());
        let mut options = MqttOptions::new(id, "127.0.0.1", port);
        options.set_keep_alive(Duration::from_secs(30));
        options.set_max_packet_size(Some(64 << 20));
        let mut network = rumqttc::NetworkOptions::new();
        network.set_tcp_nodelay(true);
        // The library's own five seconds may not do for a broker that just started on a busy machine.
        network.set_connection_timeout(SOON.as_secs());
        options.set_network_options(network);
        with(&mut options);
        let (client, mut events) = AsyncClient::new(options, 256);
        let received = Arc::<Received>::default();
        let into = received.clone();
        let task = tokio::spawn(async move {
            loop {
                let event = match events.poll().await {
                    Ok(event) => event,
                    Err(error) => {
                        *into.ended.lock().unwrap() = Some(error.to_string());
                        break;
                    }
                };
                match event {
                    Event::Incoming(Packet::Publish(publish)) => {
                        into.messages.lock().unwrap().push(publish);
                    }
                    Event::Incoming(Packet::SubAck(_)) => into.acks.lock().unwrap().0 += 1,
                    Event::Incoming(Packet::PubAck(_)) => into.acks.lock().unwrap().1 += 1,
                    _ => continue,
                }
                into.changed.notify_waiters();
            }
        });
        let this = Self {
            client,
            received,
            task,
            published: Mutex::new(0),
        };
        this.client
            .subscribe_many([Filter::new(filter, QoS::AtLeastOnce)])
            .await
            .unwrap();
        this.until("subscribed", |this| {
            this.received.acks.lock().unwrap().0 > 0
        })
        .await;
        this
    }

    /// Waits until a condition holds for the received messages.
    pub async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        watchdog::awaits(what);
        let wait = async {
            loop {
                let changed = self.received.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if holds(self) {
                    return;
                }
                changed.await;
            }
        };
        if timeout(SOON, wait).await.is_err() {
            let topics: Vec<_> = self
                .all()
                .iter()
                .map(|(t, p)| format!("{t} {:.80}", p))
                .collect();
            let ended = self.received.ended.lock().unwrap();
            panic!(
                "never came: {what}\nthe connection's end: {ended:?}\nreceived were\n{}",
                topics.join("\n")
            );
        }
    }

    /// Asks for one more subscription and waits for the broker's answer, whatever it is.
    pub async fn subscribe(&self, filter: &str) {
        let before = self.received.acks.lock().unwrap().0;
        self.client
            .subscribe(filter, QoS::AtLeastOnce)
            .await
            .unwrap();
        self.until("answer to a subscription", |this| {
            this.received.acks.lock().unwrap().0 > before
        })
        .await;
    }

    /// Publishes and waits for the broker's acknowledgement.
    pub async fn publish(&self, topic: &str, payload: impl Into<Vec<u8>>) {
        self.publish_with(topic, payload, false, PublishProperties::default())
            .await;
    }

    pub async fn publish_with(
        &self,
        topic: &str,
        payload: impl Into<Vec<u8>>,
        retain: bool,
        properties: PublishProperties,
    ) {
        self.send(topic, payload.into(), retain, properties).await;
        self.acknowledged().await;
    }

    /// Publishes with QoS 0, for which nothing is acknowledged.
    pub async fn publish_at_most_once(
        &self,
        topic: &str,
        payload: impl Into<Vec<u8>>,
        properties: PublishProperties,
    ) {
        let (qos, payload) = (QoS::AtMostOnce, payload.into());
        self.client
            .publish_with_properties(topic, qos, false, payload, properties)
            .await
            .unwrap();
    }

    /// Publishes all these without waiting in between, and then for the acknowledgements.
    pub async fn publish_all(&self, messages: &[(&str, String)]) {
        for (topic, payload) in messages {
            let payload = payload.clone().into_bytes();
            self.send(topic, payload, false, PublishProperties::default())
                .await;
        }
        self.acknowledged().await;
    }

    async fn send(
        &self,
        topic: &str,
        payload: Vec<u8>,
        retain: bool,
        properties: PublishProperties,
    ) {
        *self.published.lock().unwrap() += 1;
        self.client
            .publish_with_properties(topic, QoS::AtLeastOnce, retain, payload, properties)
            .await
            .unwrap();
    }

    /// Waits until the broker has acknowledged all that was published.
    async fn acknowledged(&self) {
        let wanted = *self.published.lock().unwrap();
        self.until("acknowledgement", |this| {
            this.received.acks.lock().unwrap().1 >= wanted
        })
        .await;
    }

    /// Everything received so far.
    pub fn everything(&self) -> Vec<Publish> {
        self.received.messages.lock().unwrap().clone()
    }

    /// Everything received so far, as texts.
    pub fn all(&self) -> Vec<(String, String)> {
        let messages = self.received.messages.lock().unwrap();
        messages
            .iter()
            .map(|publish| (topic(publish), text(publish)))
            .collect()
    }

    /// Checks that a room has not been offline since it was online.
    pub fn never_offline(&self, room: &str) {
        let said = self.messages(&format!("room/{room}/availability"));
        let mut said = said.iter().map(text);
        assert!(said.any(|word| word == "online"));
        assert!(said.all(|word| word == "online"));
    }

    pub fn messages(&self, wanted: &str) -> Vec<Publish> {
        let messages = self.received.messages.lock().unwrap();
        messages
            .iter()
            .filter(|publish| topic(publish) == wanted)
            .cloned()
            .collect()
    }

    pub fn clear(&self) {
        self.received.messages.lock().unwrap().clear();
    }

    /// The newest payload of a topic.
    pub fn last(&self, topic: &str) -> Option<String> {
        self.messages(topic).last().map(text)
    }

    /// Waits until the newest payload of a topic is this.
    pub async fn expect(&self, topic: &str, payload: &str) {
        self.until(&format!("{topic} {payload}"), |this| {
            this.last(topic).as_deref() == Some(payload)
        })
        .await;
    }

    /// Waits for a message on a topic and gives the newest.
    pub async fn message(&self, topic: &str) -> Publish {
        self.until(topic, |this| !this.messages(topic).is_empty())
            .await;
        self.messages(topic).pop().unwrap()
    }

    /// What the broker retains, as a client that comes now is told.
    pub async fn retained(port: u16) -> Vec<Publish> {
        let late = Self::connect(port).await;
        // It comes after everything that the broker retained before.
        late.publish("test/end", "").await;
        late.message("test/end").await;
        let all = late.everything().into_iter();
        all.filter(|message| message.retain).collect()
    }

    /// Sends a command to a room and waits for its result.
    pub async fn command(&self, topic: &str, payload: impl Into<Vec<u8>>) -> Value {
        let result = format!("{topic}/result");
        let before = self.messages(&result).len();
        self.publish(topic, payload).await;
        self.until(&result, |this| this.messages(&result).len() > before)
            .await;
        serde_json::from_str(&self.last(&result).unwrap()).unwrap()
    }
}

fn topic(publish: &Publish) -> String {
    String::from_utf8_lossy(&publish.topic).into_owned()
}

pub fn text(publish: &Publish) -> String {
    String::from_utf8_lossy(&publish.payload).into_owned()
}

/// A text that no other client of this process has.
fn rand() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
