//! The MQTT client: it sends commands, and hears every result and every room's availability.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, Packet, PubAckReason, Publish, PublishProperties};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::clock;
use crate::gateway::room_of;
use crate::ledger::{Ledger, Reached, mark, marked};

/// The delay before a lost connection is made again.
const AGAIN: Duration = Duration::from_millis(25);

/// The publishes that are under way, in their order: the packet id once it has one, and the command.
#[derive(Default)]
struct Inflight {
    up: bool,
    sent: VecDeque<(Option<u16>, u64)>,
}

/// What rooms and gateways said of themselves.
#[derive(Default)]
pub struct Said {
    /// Each room's newest availability, and when it came.
    pub rooms: BTreeMap<usize, (bool, u64)>,
    /// The payloads of `gateway/availability`, with their times.
    pub gateway: Vec<(u64, String)>,
}

pub struct BrokerClient {
    client: AsyncClient,
    inflight: Arc<Mutex<Inflight>>,
    pub said: Arc<Mutex<Said>>,
    task: JoinHandle<()>,
}

impl Drop for BrokerClient {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl BrokerClient {
    pub fn connect(port: u16, ledger: Arc<Ledger>) -> Self {
        let mut options = MqttOptions::new("judge", "127.0.0.1", port);
        options.set_keep_alive(Duration::from_secs(20));
        options.set_max_packet_size(Some(16 << 20));
        let mut network = rumqttc::NetworkOptions::new();
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        let (client, events) = AsyncClient::new(options, 4096);
        let inflight = Arc::<Mutex<Inflight>>::default();
        let said = Arc::<Mutex<Said>>::default();
        let hearing = hear(
            events,
            client.clone(),
            inflight.clone(),
            said.clone(),
            ledger,
        );
        Self {
            client,
            inflight,
            said,
            task: tokio::spawn(hearing),
        }
    }

    /// Sends a command, or leaves it unsent if there is no connection.
    pub fn send(&self, id: u64, topic: &str, payload: String) {
        let mut inflight = self.inflight.lock().unwrap();
        if !inflight.up {
            return;
        }
        let properties = PublishProperties {
            correlation_data: Some(mark(id).into()),
            ..PublishProperties::default()
        };
        let qos = QoS::AtLeastOnce;
        let sent = self
            .client
            .try_publish_with_properties(topic, qos, false, payload, properties);
        if sent.is_ok() {
            inflight.sent.push_back((None, id));
        }
    }
}

async fn hear(
    mut events: EventLoop,
    client: AsyncClient,
    inflight: Arc<Mutex<Inflight>>,
    said: Arc<Mutex<Said>>,
    ledger: Arc<Ledger>,
) {
    // Not "#": commands must have no other subscriber than gateways, so that the broker says when they have none.
    let results = (3..7).map(|depth| format!("room/+{}/result", "/+".repeat(depth)));
    let others = ["room/+/availability", "gateway/availability"].map(str::to_owned);
    let filters: Vec<_> = results
        .chain(others)
        .map(|filter| Filter::new(filter, QoS::AtLeastOnce))
        .collect();
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                inflight.lock().unwrap().up = true;
                // The queue is empty now.
                let _ = client.try_subscribe_many(filters.clone());
            }
            Ok(Event::Incoming(Packet::Publish(publish))) => heard(&publish, &said, &ledger),
            Ok(event) => acknowledged(&event, &mut inflight.lock().unwrap(), &ledger),
            Err(_) => {
                // What is retained comes again.
                said.lock().unwrap().rooms.clear();
                lost(&mut events, &mut inflight.lock().unwrap(), &ledger);
                sleep(AGAIN).await;
            }
        }
    }
}

fn acknowledged(event: &Event, inflight: &mut Inflight, ledger: &Ledger) {
    match event {
        Event::Outgoing(rumqttc::Outgoing::Publish(packet)) => {
            let mut handed = inflight.sent.iter_mut();
            if let Some(sent) = handed.find(|(packet, _)| packet.is_none()) {
                sent.0 = Some(*packet);
            }
        }
        Event::Incoming(Packet::PubAck(ack)) => {
            let mut sent = inflight.sent.iter();
            let place = sent.position(|(packet, _)| *packet == Some(ack.pkid));
            if let Some((_, id)) = place.and_then(|place| inflight.sent.remove(place)) {
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

/// Nothing is sent again, since it may have arrived.
fn lost(events: &mut EventLoop, inflight: &mut Inflight, ledger: &Ledger) {
    inflight.up = false;
    for (_, id) in inflight.sent.drain(..) {
        ledger.reached(id, Reached::Maybe);
    }
    events.clean();
    events.pending.clear();
}

fn heard(publish: &Publish, said: &Mutex<Said>, ledger: &Ledger) {
    let topic = String::from_utf8_lossy(&publish.topic);
    if topic == "gateway/availability" {
        let text = String::from_utf8_lossy(&publish.payload).into_owned();
        said.lock().unwrap().gateway.push((clock::now(), text));
        return;
    }
    if topic.ends_with("/availability") {
        if let Some(room) = room_of(&topic) {
            let online = &publish.payload[..] == b"online";
            let mut said = said.lock().unwrap();
            said.rooms.insert(room, (online, clock::now()));
        }
        return;
    }
    let properties = publish.properties.as_ref();
    let correlation = properties.and_then(|properties| properties.correlation_data.as_ref());
    let id = correlation.and_then(|bytes| marked(std::str::from_utf8(bytes).ok()?));
    if let Some(id) = id {
        let result: Value = serde_json::from_slice(&publish.payload).unwrap_or_default();
        ledger.got(id, code(&result));
    }
}

/// `ok`, or the error's code.
pub fn code(result: &Value) -> &str {
    if result["ok"] == true {
        return "ok";
    }
    result["error"]["code"].as_str().unwrap_or("not understood")
}
