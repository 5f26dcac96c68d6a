//! MQTT clients: those that send commands, and an observer of everything the gateway publishes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, Packet, PubAckReason, Publish, PublishProperties};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::commands::{Command, mark, marked};
use crate::door::Door;
use crate::ledger::{Ledger, Reached};
use poly2mqtt_test_support::secrets::find;

/// Response topics begin with this.
const REPLIES: &str = "faults/reply";
/// The delay before a lost connection is made again.
const AGAIN: Duration = Duration::from_millis(25);

fn options(name: &str, port: u16) -> MqttOptions {
    let mut options = MqttOptions::new(name, "127.0.0.1", port);
    options.set_keep_alive(Duration::from_secs(20));
    options.set_max_packet_size(Some(64 << 20));
    let mut network = rumqttc::NetworkOptions::new();
    network.set_tcp_nodelay(true);
    options.set_network_options(network);
    options
}

/// The publishes that a connection has under way.
#[derive(Default)]
struct Inflight {
    up: bool,
    /// In the order in which they were sent, each with its packet id once it has one.
    sent: VecDeque<(Option<u16>, Option<u64>)>,
}

pub struct Mqtt {
    number: usize,
    name: String,
    port: u16,
    life: u32,
    ledger: Arc<Ledger>,
    connection: Connection,
}

struct Connection {
    client: AsyncClient,
    flight: Arc<Mutex<Inflight>>,
    task: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Mqtt {
    pub fn connect(number: usize, port: u16, ledger: Arc<Ledger>) -> Self {
        let name = format!("client-{number}");
        let connection = connection(&name, 0, port, ledger.clone());
        Self {
            number,
            name,
            port,
            life: 0,
            ledger,
            connection,
        }
    }
}

fn connection(name: &str, life: u32, port: u16, ledger: Arc<Ledger>) -> Connection {
    let (client, mut events) = AsyncClient::new(options(&format!("{name}-{life}"), port), 512);
    let flight = Arc::<Mutex<Inflight>>::default();
    let state = flight.clone();
    let task = tokio::spawn(async move {
        loop {
            match events.poll().await {
                Ok(event) => seen(event, &mut state.lock().unwrap(), &ledger),
                Err(_) => {
                    lost(&mut events, &mut state.lock().unwrap(), &ledger);
                    sleep(AGAIN).await;
                }
            }
        }
    });
    Connection {
        client,
        flight,
        task,
    }
}

fn seen(event: Event, flight: &mut Inflight, ledger: &Ledger) {
    match event {
        Event::Incoming(Packet::ConnAck(_)) => flight.up = true,
        Event::Outgoing(rumqttc::Outgoing::Publish(packet)) => {
            let mut handed = flight.sent.iter_mut();
            if let Some(sent) = handed.find(|(packet, _)| packet.is_none()) {
                sent.0 = Some(packet);
            }
            // QoS 0 has no acknowledgement.
            flight.sent.retain(|(packet, _)| *packet != Some(0));
        }
        Event::Incoming(Packet::PubAck(ack)) => {
            let place = flight.sent.iter();
            let place = place
                .take_while(|(packet, _)| *packet != Some(ack.pkid))
                .count();
            if let Some((_, Some(id))) = flight.sent.remove(place) {
                let reached = match ack.reason {
                    PubAckReason::Success => Reached::Yes,
                    _ => Reached::No,
                };
                ledger.reached(id, reached);
            }
        }
        _ => {}
    }
}

/// Marks everything as unknown. Nothing is sent again, since it may have arrived.
fn lost(events: &mut EventLoop, flight: &mut Inflight, ledger: &Ledger) {
    flight.up = false;
    for (_, id) in flight.sent.drain(..) {
        if let Some(id) = id {
            ledger.reached(id, Reached::Maybe);
        }
    }
    events.clean();
    events.pending.clear();
}

impl Door for Mqtt {
    fn takes(&self, _: &Command) -> bool {
        true
    }

    fn send(&self, command: Command) {
        let id = command.id;
        let topic = format!("room/{}/{}", command.room, command.topic);
        let properties = PublishProperties {
            message_expiry_interval: command.expiry,
            response_topic: command.reply.then(|| format!("{REPLIES}/{}", self.name)),
            correlation_data: Some(mark(id).into()),
            ..PublishProperties::default()
        };
        let qos = if command.acknowledged {
            QoS::AtLeastOnce
        } else {
            QoS::AtMostOnce
        };
        let (retained, payload) = (command.retained, command.payload.clone());
        self.ledger.sends(command, self.number);
        let mut flight = self.connection.flight.lock().unwrap();
        let client = &self.connection.client;
        if !flight.up {
            return;
        }
        let handed = client.try_publish_with_properties(&topic, qos, retained, payload, properties);
        if handed.is_err() {
            return;
        }
        let reached = match qos {
            QoS::AtMostOnce => Reached::Unacknowledged,
            _ => Reached::Maybe,
        };
        self.ledger.reached(id, reached);
        flight.sent.push_back((None, Some(id)));
        // The retained command is cleared, or the broker would send it to every gateway.
        if retained
            && client
                .try_publish(&topic, QoS::AtLeastOnce, true, Vec::<u8>::new())
                .is_ok()
        {
            flight.sent.push_back((None, None));
        }
    }

    fn vanish(&mut self) {
        self.life += 1;
        let next = connection(&self.name, self.life, self.port, self.ledger.clone());
        let old = std::mem::replace(&mut self.connection, next);
        for (_, id) in old.flight.lock().unwrap().sent.drain(..) {
            if let Some(id) = id {
                self.ledger.reached(id, Reached::Maybe);
            }
        }
    }
}

/// Receives every result, and all topics of the gateway and its rooms.
pub struct Observer {
    said: Arc<Mutex<Said>>,
    searched: Arc<Mutex<(u64, Vec<String>)>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Said {
    retained: std::collections::BTreeMap<String, String>,
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Observer {
    pub fn connect(port: u16, ledger: Arc<Ledger>) -> Self {
        let (client, mut events) = AsyncClient::new(options("observer", port), 64);
        let said = Arc::<Mutex<Said>>::default();
        let into = said.clone();
        let searched = Arc::<Mutex<(u64, Vec<String>)>>::default();
        let search = searched.clone();
        // Not "#": commands must have no other subscriber than the gateway, so that the broker
        // says when they have none.
        let results = (1..8).map(|depth| format!("room/+{}/result", "/+".repeat(depth)));
        let others = [
            "room/+/availability",
            "room/+/problem",
            "gateway/availability",
            "faults/reply/+",
        ];
        let filters: Vec<Filter> = results
            .chain(others.map(str::to_owned))
            .map(|filter| Filter::new(filter, QoS::AtLeastOnce))
            .collect();
        let task = tokio::spawn(async move {
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Packet::ConnAck(_))) => {
                        let _ = client.try_subscribe_many(filters.clone());
                    }
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        let mut search = search.lock().unwrap();
                        search.0 += 1;
                        search.1.extend(leak(&publish));
                        heard(&publish, &mut into.lock().unwrap(), &ledger);
                    }
                    Ok(_) => {}
                    Err(_) => {
                        *into.lock().unwrap() = Said::default();
                        events.clean();
                        events.pending.clear();
                        sleep(AGAIN).await;
                    }
                }
            }
        });
        Self {
            said,
            searched,
            task,
        }
    }

    /// The number of messages, and those with a secret.
    pub fn searched(&self) -> (u64, Vec<String>) {
        self.searched.lock().unwrap().clone()
    }

    /// The newest payload of a retained topic, since the connection to the broker.
    pub fn last(&self, topic: &str) -> Option<String> {
        self.said.lock().unwrap().retained.get(topic).cloned()
    }

    /// Forgets the topics of the gateway, so that it is noticed when they are published again.
    pub fn forget(&self, topic: &str) {
        self.said.lock().unwrap().retained.remove(topic);
    }
}

fn leak(publish: &Publish) -> Option<String> {
    let found = find(&String::from_utf8_lossy(&publish.payload))?;
    Some(format!(
        "{}: {found}",
        String::from_utf8_lossy(&publish.topic)
    ))
}

fn heard(publish: &Publish, said: &mut Said, ledger: &Ledger) {
    let topic = String::from_utf8_lossy(&publish.topic).into_owned();
    let payload = String::from_utf8_lossy(&publish.payload).into_owned();
    if !topic.ends_with("/result") && !topic.starts_with(REPLIES) {
        said.retained.insert(topic, payload);
        return;
    }
    let properties = publish.properties.as_ref();
    let correlation = properties.and_then(|properties| properties.correlation_data.as_ref());
    let id = correlation.and_then(|bytes| marked(std::str::from_utf8(bytes).ok()?));
    // A requested file is published there too, before its result.
    let json = properties.and_then(|properties| properties.content_type.as_deref());
    if json != Some("application/json") {
        return;
    }
    let result: Value = serde_json::from_str(&payload).unwrap_or_default();
    if let Some(id) = id {
        ledger.got(id, result);
    }
}
