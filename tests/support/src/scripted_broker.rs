//! A broker of MQTT 5 that does what a test tells it: refuses, falls silent, or ends the connection.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use poly2mqtt::topics::Filter;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::raw_mqtt::{Publish, Received, Version, kind, packet, read_packet, subscribed_with};
use crate::{SOON, watchdog};

/// What the broker answers to a message of QoS 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// PUBACK with this reason code.
    PubAck(u8),
    /// These bytes; then the connection goes on.
    Bytes(Vec<u8>),
    /// DISCONNECT with this reason code; then the connection is closed.
    Disconnect(u8),
    /// The connection is closed.
    Close,
    /// Nothing.
    Silence,
}

/// Takes everything.
pub const TAKEN: Answer = Answer::PubAck(0);

type AnswerPublish = Box<dyn Fn(&Publish) -> Answer + Send + Sync>;
type EndsAtFilter = Box<dyn Fn(&[String]) -> Option<u8> + Send + Sync>;
type Delivers = Box<dyn Fn(&str) -> bool + Send + Sync>;
type TellsRetained = Box<dyn Fn(&str, &str) -> bool + Send + Sync>;
type AnswerSubscribe = Box<dyn Fn(&[String]) -> Option<Vec<u8>> + Send + Sync>;

/// What the broker does.
pub struct Script {
    /// What it sends when the client has connected, before CONNECT.
    pub greeting: Vec<u8>,
    /// The answer to CONNECT, as bytes.
    pub connack: Vec<u8>,
    /// How long that takes.
    pub connack_delay: Duration,
    /// After this CONNACK the broker closes the connection.
    pub refuses: bool,
    /// The reason codes of SUBACK for these filters; `None`: no SUBACK.
    pub subscribe: AnswerSubscribe,
    /// The connection ends at these filters: with this reason in DISCONNECT, or with 0 without one.
    pub ends_at_filter: EndsAtFilter,
    pub publish: AnswerPublish,
    /// Whether it delivers what the client itself publishes at this topic, where a filter without No
    /// Local asks for it.
    pub delivers: Delivers,
    /// Whether it tells a client that subscribes to this filter that it retains this topic.
    pub tells_retained: TellsRetained,
    /// How long a PUBACK takes.
    pub puback_delay: Duration,
    pub answers_pings: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            greeting: Vec::new(),
            connack: connack(0, &[]),
            connack_delay: Duration::ZERO,
            refuses: false,
            subscribe: Box::new(|filters| Some(vec![1; filters.len()])),
            ends_at_filter: Box::new(|_| None),
            publish: Box::new(|_| TAKEN),
            delivers: Box::new(|_| false),
            tells_retained: Box::new(|_, _| false),
            puback_delay: Duration::ZERO,
            answers_pings: true,
        }
    }
}

/// CONNACK of success that says Session Present.
pub fn session_present() -> Vec<u8> {
    packet(0x20, &[1, 0, 0])
}

/// CONNACK with a reason code and properties.
pub fn connack(reason: u8, properties: &[u8]) -> Vec<u8> {
    let length = u8::try_from(properties.len()).unwrap();
    packet(0x20, &[&[0, reason, length], properties].concat())
}

/// What the broker has seen.
#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    published: Mutex<Vec<Publish>>,
    /// The retained messages that it took.
    retained: Mutex<BTreeMap<String, Publish>>,
    /// The filters of each connection that is up, with their options.
    filters: Mutex<BTreeMap<usize, BTreeMap<String, u8>>>,
    /// Publishes without their acknowledgement, now and at most.
    unacknowledged: Mutex<(usize, usize)>,
    changed: Notify,
    /// To each connection that is up.
    to_clients: Mutex<BTreeMap<usize, mpsc::UnboundedSender<Vec<u8>>>>,
}

impl Seen {
    fn brings_own(&self, topic: &str) -> bool {
        const NO_LOCAL: u8 = 4;
        let filters = self.filters.lock().unwrap();
        let mut own = (filters.values().flatten()).filter(|(_, options)| *options & NO_LOCAL == 0);
        own.any(|(filter, _)| matches(filter, topic))
    }
}

fn matches(filter: &str, topic: &str) -> bool {
    Filter::new(filter).unwrap().matches(topic)
}

/// A running broker. It ends when it is dropped.
pub struct ScriptedBroker {
    pub port: u16,
    script: Arc<Mutex<Arc<Script>>>,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

impl Drop for ScriptedBroker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ScriptedBroker {
    pub async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let script = Arc::new(Mutex::new(Arc::new(script)));
        let seen = Arc::<Seen>::default();
        let (by, sees) = (script.clone(), seen.clone());
        let task = tokio::spawn(async move {
            let mut clients = tokio::task::JoinSet::new();
            for number in 0.. {
                let Ok((stream, _)) = listener.accept().await else {
                    break;
                };
                let script = by.lock().unwrap().clone();
                clients.spawn(serve(stream, number, script, sees.clone()));
            }
        });
        Self {
            port,
            script,
            seen,
            task,
        }
    }

    /// From the next connection on, the broker does this.
    pub fn follow(&self, script: Script) {
        *self.script.lock().unwrap() = Arc::new(script);
    }

    /// How many CONNECTs came.
    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// Every message that came, taken or not.
    pub fn published(&self) -> Vec<Publish> {
        self.seen.published.lock().unwrap().clone()
    }

    /// The messages of this topic that came, taken or not.
    pub fn messages(&self, topic: &str) -> Vec<Publish> {
        let mut published = self.published();
        published.retain(|publish| publish.topic == topic.as_bytes());
        published
    }

    /// The retained message of this topic that the broker took last.
    pub fn retained(&self, topic: &str) -> Option<String> {
        let retained = self.seen.retained.lock().unwrap();
        let publish = retained.get(topic)?;
        Some(String::from_utf8_lossy(&publish.payload).into_owned())
    }

    /// Retains this message, as if another client had published it, and delivers nothing.
    pub fn retain(&self, topic: &str, payload: &str) {
        self.retain_copy(Publish::new(Version::V5, topic, 0).payload(payload));
    }

    /// Retains this message as it is, with its properties, and delivers nothing.
    pub fn retain_copy(&self, publish: Publish) {
        let topic = String::from_utf8(publish.topic.clone()).unwrap();
        self.seen.retained.lock().unwrap().insert(topic, publish);
        self.seen.changed.notify_waiters();
    }

    /// Loses what it retains, and says nothing.
    pub fn lose_retained(&self) {
        self.seen.retained.lock().unwrap().clear();
    }

    /// Whether a connection has a filter without No Local that matches this topic.
    pub fn brings_own(&self, topic: &str) -> bool {
        self.seen.brings_own(topic)
    }

    /// How many publishes were without their acknowledgement at the same time.
    pub fn most_unacknowledged(&self) -> usize {
        self.seen.unacknowledged.lock().unwrap().1
    }

    /// Sends bytes to the client that connected last.
    pub fn send(&self, bytes: Vec<u8>) {
        let to_clients = self.seen.to_clients.lock().unwrap();
        let (_, newest) = to_clients.last_key_value().expect("a client");
        let _ = newest.send(bytes);
    }

    /// Sends bytes to the client that connected first of those that are connected.
    pub fn send_to_first(&self, bytes: Vec<u8>) {
        let to_clients = self.seen.to_clients.lock().unwrap();
        let (_, oldest) = to_clients.first_key_value().expect("a client");
        let _ = oldest.send(bytes);
    }

    /// Waits until a condition holds.
    pub async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        watchdog::awaits(what);
        let wait = async {
            loop {
                let changed = self.seen.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if holds(self) {
                    return;
                }
                // The condition may also be about something else, such as the log.
                let _ = timeout(Duration::from_millis(50), changed).await;
            }
        };
        if timeout(SOON, wait).await.is_err() {
            let topics: Vec<_> = (self.published().iter())
                .map(|it| {
                    format!(
                        "{} {}",
                        String::from_utf8_lossy(&it.topic),
                        it.payload.len()
                    )
                })
                .collect();
            let connections = self.connections();
            let topics = topics.join("\n");
            panic!("never: {what}\nconnections: {connections}\npublished were\n{topics}");
        }
    }

    /// Waits until the broker has taken this retained message.
    pub async fn holds(&self, topic: &str, payload: &str) {
        self.until(&format!("{topic} {payload}"), |broker| {
            broker.retained(topic).as_deref() == Some(payload)
        })
        .await;
    }
}

async fn serve(mut stream: TcpStream, number: usize, script: Arc<Script>, seen: Arc<Seen>) {
    stream.set_nodelay(true).unwrap();
    if !script.greeting.is_empty() {
        let _ = stream.write_all(&script.greeting).await;
    }
    let (mut reader, mut writer) = stream.into_split();
    let (to_client, mut bytes) = mpsc::unbounded_channel::<Vec<u8>>();
    (seen.to_clients.lock().unwrap()).insert(number, to_client.clone());
    let writing = tokio::spawn(async move {
        while let Some(bytes) = bytes.recv().await {
            // Empty: everything before is written, and the connection ends.
            if bytes.is_empty() || writer.write_all(&bytes).await.is_err() {
                break;
            }
        }
        let _ = writer.shutdown().await;
    });
    seen.unacknowledged.lock().unwrap().0 = 0;
    while let Some(received) = read_packet(&mut reader).await {
        let goes_on = answer(&received, number, &script, &seen, &to_client).await;
        seen.changed.notify_waiters();
        if !goes_on {
            let _ = to_client.send(Vec::new());
            break;
        }
    }
    let _ = to_client.send(Vec::new());
    seen.filters.lock().unwrap().remove(&number);
    seen.to_clients.lock().unwrap().remove(&number);
    seen.changed.notify_waiters();
    let _ = writing.await;
}

/// Answers a packet. False: the connection ends.
async fn answer(
    received: &Received,
    number: usize,
    script: &Arc<Script>,
    seen: &Arc<Seen>,
    to_client: &mpsc::UnboundedSender<Vec<u8>>,
) -> bool {
    match received.kind() {
        kind::CONNECT => {
            seen.connections.fetch_add(1, Ordering::SeqCst);
            sleep(script.connack_delay).await;
            let _ = to_client.send(script.connack.clone());
            !script.refuses
        }
        kind::SUBSCRIBE => {
            let (packet_id, with_options) = subscribed_with(&received.body);
            let filters: Vec<String> =
                (with_options.iter().map(|(filter, _)| filter.clone())).collect();
            if let Some(reason) = (script.ends_at_filter)(&filters) {
                if reason > 0 {
                    let _ = to_client.send(packet(0xE0, &[reason]));
                }
                return false;
            }
            if let Some(reasons) = (script.subscribe)(&filters) {
                let body = [&packet_id.to_be_bytes()[..], &[0], &reasons].concat();
                let _ = to_client.send(packet(0x90, &body));
            }
            tell_retained(&with_options, script, seen, to_client);
            let mut filters = seen.filters.lock().unwrap();
            filters.entry(number).or_default().extend(with_options);
            true
        }
        kind::UNSUBSCRIBE => {
            // Without properties.
            let (head, mut rest) = received.body.split_at(3);
            let mut body = head.to_vec();
            while let Some((length, more)) = rest.split_first_chunk::<2>() {
                let (filter, more) = more.split_at(u16::from_be_bytes(*length).into());
                let filter = String::from_utf8_lossy(filter).into_owned();
                let mut filters = seen.filters.lock().unwrap();
                filters.entry(number).or_default().remove(&filter);
                body.push(0);
                rest = more;
            }
            let _ = to_client.send(packet(0xB0, &body));
            true
        }
        kind::PUBLISH => {
            let publish = Publish::parse(Version::V5, received.first, &received.body);
            published(publish, script, seen, to_client)
        }
        kind::PINGREQ => {
            if script.answers_pings {
                let _ = to_client.send(vec![0xD0, 0]);
            }
            true
        }
        kind::DISCONNECT => false,
        _ => true,
    }
}

fn tell_retained(
    filters: &[(String, u8)],
    script: &Arc<Script>,
    seen: &Arc<Seen>,
    to_client: &mpsc::UnboundedSender<Vec<u8>>,
) {
    /// Retain Handling 2.
    const NEVER: u8 = 0x20;
    for (filter, _) in filters.iter().filter(|(_, options)| options & NEVER == 0) {
        for (topic, publish) in &*seen.retained.lock().unwrap() {
            if matches(filter, topic) && (script.tells_retained)(filter, topic) {
                let _ = to_client.send(
                    Publish {
                        qos: 0,
                        ..publish.clone()
                    }
                    .retained()
                    .bytes(),
                );
            }
        }
    }
}

fn published(
    publish: Publish,
    script: &Arc<Script>,
    seen: &Arc<Seen>,
    to_client: &mpsc::UnboundedSender<Vec<u8>>,
) -> bool {
    {
        let mut unacknowledged = seen.unacknowledged.lock().unwrap();
        unacknowledged.0 += 1;
        unacknowledged.1 = unacknowledged.1.max(unacknowledged.0);
    }
    let answer = (script.publish)(&publish);
    seen.published.lock().unwrap().push(publish.clone());
    let bytes = match answer {
        Answer::PubAck(reason) => {
            if reason < 0x80 && publish.retain {
                let topic = String::from_utf8(publish.topic.clone()).unwrap();
                let mut retained = seen.retained.lock().unwrap();
                retained.insert(topic, publish.clone());
            }
            let topic = String::from_utf8_lossy(&publish.topic);
            if reason < 0x80 && (script.delivers)(&topic) && seen.brings_own(&topic) {
                let delivered = Publish {
                    qos: 0,
                    retain: false,
                    ..publish.clone()
                };
                let _ = to_client.send(delivered.bytes());
            }
            let body = [&publish.packet_id.to_be_bytes()[..], &[reason, 0]].concat();
            packet(0x40, &body)
        }
        Answer::Bytes(bytes) => bytes,
        Answer::Disconnect(reason) => {
            let _ = to_client.send(packet(0xE0, &[reason]));
            return false;
        }
        Answer::Close => return false,
        Answer::Silence => return true,
    };
    if script.puback_delay.is_zero() {
        seen.unacknowledged.lock().unwrap().0 -= 1;
        let _ = to_client.send(bytes);
        return true;
    }
    let (delay, seen, to_client) = (script.puback_delay, seen.clone(), to_client.clone());
    tokio::spawn(async move {
        sleep(delay).await;
        {
            let mut unacknowledged = seen.unacknowledged.lock().unwrap();
            unacknowledged.0 = unacknowledged.0.saturating_sub(1);
        }
        let _ = to_client.send(bytes);
        seen.changed.notify_waiters();
    });
    true
}
