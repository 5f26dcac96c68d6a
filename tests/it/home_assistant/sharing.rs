//! Home Assistant's documents where several gateways share the rooms: each publishes those of its own rooms.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use poly2mqtt::config;
use poly2mqtt::gateway_id::MessageOwner;
use poly2mqtt::home_assistant::{
    Delays, DocumentLimits, DocumentSharing, InboundMessage, LogIns, Publisher, PublisherLinks,
    cluster_document, document_text, member_document,
};
use poly2mqtt::state::{Change, StateStore, StateValue, Subscriber};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::*;

const FILE: &str = "[mqtt]\nurl = \"off\"\n\
                    [rooms.1]\nurl = \"https://192.0.2.1\"\npassword = \"4\"\n\
                    [rooms.2]\nurl = \"https://192.0.2.2\"\npassword = \"4\"\n";
const MEMBER: &str = "homeassistant/device/poly2mqtt-Gateway-gw-1/config";
const OTHER_ROOM: &str = "homeassistant/device/poly2mqtt_2/config";

/// What the test says of the cluster.
#[derive(Debug)]
struct Said {
    rooms: Mutex<BTreeMap<Arc<str>, bool>>,
    speaks: Mutex<bool>,
    changed: watch::Sender<()>,
}

impl DocumentSharing for Said {
    fn name(&self) -> &str {
        "gw-1"
    }

    fn rooms(&self) -> BTreeMap<Arc<str>, bool> {
        self.rooms.lock().unwrap().clone()
    }

    fn speaks(&self) -> bool {
        *self.speaks.lock().unwrap()
    }

    fn changed(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }
}

/// Whether thousands of devices are being logged in to.
#[derive(Debug, Default)]
struct Crowd(AtomicBool);

impl LogIns for Crowd {
    fn are_crowded(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Topics that the MQTT door would publish, in order.
#[derive(Debug, Default)]
struct Told(Mutex<Vec<String>>);

impl Subscriber for Told {
    fn state_changed(&self, topic: &Arc<str>, _: Change) {
        self.0.lock().unwrap().push(topic.to_string());
    }

    fn event(&self, _: &Arc<str>, _: &Bytes) {}
}

struct Fixture {
    said: Arc<Said>,
    crowd: Arc<Crowd>,
    states: Arc<StateStore>,
    documents: Arc<StateStore>,
    told: Arc<Told>,
    broker: mpsc::Sender<InboundMessage>,
    _kept: (watch::Sender<bool>, watch::Sender<DocumentLimits>),
    publisher: Publisher,
}

impl Fixture {
    fn start() -> Self {
        let said = Arc::new(Said {
            rooms: Mutex::default(),
            speaks: Mutex::new(false),
            changed: watch::Sender::new(()),
        });
        let (states, documents) = (StateStore::new(), StateStore::new());
        let told = Arc::<Told>::default();
        let crowd = Arc::<Crowd>::default();
        let subscriber: Arc<dyn Subscriber> = told.clone();
        documents.subscribe(Arc::downgrade(&subscriber));
        let (broker, inbound) = mpsc::channel(16);
        let (connected, seen) = watch::channel(true);
        let (limits, document_limits) = watch::channel(DocumentLimits::new(usize::MAX));
        let links = PublisherLinks {
            states: states.clone(),
            documents: documents.clone(),
            inbound,
            connected: seen,
            document_limits,
            may_clear: watch::channel(true).1,
            telemetry: Arc::default(),
            log_ins: crowd.clone(),
            sharing: Some(said.clone()),
        };
        let delays = Delays::default();
        let publisher = Publisher::start(namespace(""), STATUS.into(), delays, rooms(FILE), links);
        Self {
            said,
            crowd,
            states,
            documents,
            told,
            broker,
            _kept: (connected, limits),
            publisher,
        }
    }

    /// These rooms are here now, each with whether the broker was asked about its document.
    async fn own(&self, rooms: &[(&str, bool)]) {
        let rooms = rooms.iter().map(|(room, asked)| (Arc::from(*room), *asked));
        *self.said.rooms.lock().unwrap() = rooms.collect();
        self.said.changed.send_replace(());
        passes(1).await;
    }

    async fn broker_has(&self, topic: &str, payload: &str) {
        let message = InboundMessage {
            topic: topic.to_owned(),
            payload: Bytes::copy_from_slice(payload.as_bytes()),
            owner: MessageOwner::ThisGateway,
        };
        self.broker.send(message).await.unwrap();
        passes(1).await;
    }

    /// What was published or cleared since the last time.
    fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.told.0.lock().unwrap())
    }

    fn document(&self, topic: &str) -> Value {
        let kept = self.documents.get(topic).unwrap();
        serde_json::from_slice(&document_text(&kept.payload)).unwrap()
    }
}

fn rooms(file: &str) -> config::RoomConfigs {
    config::read("file".into(), file, []).unwrap().config.rooms
}

/// The clock of these tests runs ahead.
async fn passes(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn each_gateway_publishes_its_own_device_and_those_of_its_rooms() {
    let it = Fixture::start();
    passes(10).await;
    assert_eq!(it.told(), [MEMBER]);
    it.own(&[("1", true)]).await;
    passes(10).await;
    assert_eq!(it.told(), [ROOM]);
    let room = it.document(ROOM);
    assert_eq!(room["device"]["via_device"], "poly2mqtt-gateway");
    let on = [
        &room["availability"][0]["topic"],
        &room["availability"][1]["topic"],
    ];
    assert_eq!(on, ["gateway/availability", "room/1/availability"]);
    // Home Assistant starts.
    it.broker_has(STATUS, "online").await;
    passes(10).await;
    let mut repeated = it.told();
    repeated.sort();
    assert_eq!(repeated, [MEMBER, ROOM]);
    // It speaks for all.
    *it.said.speaks.lock().unwrap() = true;
    it.own(&[("1", true)]).await;
    passes(10).await;
    assert_eq!(it.told(), [GATEWAY]);
    *it.said.speaks.lock().unwrap() = false;
    it.own(&[("1", true)]).await;
    it.broker_has(STATUS, "online").await;
    passes(10).await;
    assert!(!it.told().contains(&GATEWAY.to_owned()));
    it.publisher.stop();
}

#[tokio::test(start_paused = true)]
async fn a_room_that_goes_is_neither_cleared_nor_repeated() {
    let it = Fixture::start();
    it.own(&[("1", true), ("2", true)]).await;
    passes(10).await;
    let mut published = it.told();
    published.sort();
    assert_eq!(published, [MEMBER, ROOM, OTHER_ROOM]);
    it.own(&[("2", true)]).await;
    it.states
        .set("room/1/availability", StateValue::text("online"));
    it.broker_has(STATUS, "online").await;
    // A person deletes it, or the next owner clears it.
    it.broker_has(ROOM, "").await;
    passes(100).await;
    assert!(!it.told().contains(&ROOM.to_owned()));
    it.told();
    // They are removed from this gateway's configuration. Others may have them still: what is left is cleared when none
    // has.
    let without = FILE.split("[rooms.1]").next().unwrap();
    it.publisher.set_rooms(rooms(without));
    passes(10).await;
    assert!(it.told().is_empty());
    assert!(it.documents.get(OTHER_ROOM).is_none());
    it.publisher.stop();
}

#[tokio::test(start_paused = true)]
async fn the_next_gateway_takes_what_the_broker_holds() {
    let it = Fixture::start();
    passes(10).await;
    it.told();
    let known = room_document(&namespace(""), &facts(&["audio/volume"])).value();
    it.own(&[("1", false)]).await;
    passes(30).await;
    // What the broker holds is not known, so nothing is published.
    assert_eq!(it.told(), [""; 0]);
    it.broker_has(ROOM, &known.to_string()).await;
    it.own(&[("1", true)]).await;
    passes(30).await;
    // The device is not online yet: nothing is taken away from what was known.
    let now = it.document(ROOM);
    for key in known["components"].as_object().unwrap().keys() {
        assert!(now["components"][key].is_object(), "{key}");
    }
    it.publisher.stop();
    // The same document is not published at all.
    let it = Fixture::start();
    passes(10).await;
    it.own(&[("1", true)]).await;
    passes(10).await;
    let own = it.document(ROOM);
    let other = Fixture::start();
    passes(10).await;
    other.told();
    other.own(&[("1", false)]).await;
    other.broker_has(ROOM, &own.to_string()).await;
    other.own(&[("1", true)]).await;
    passes(30).await;
    assert_eq!(other.told(), [""; 0]);
    assert_eq!(other.document(ROOM), own);
    it.publisher.stop();
    other.publisher.stop();
}

/// Log-ins come first after the death of another gateway. What the broker holds came meanwhile, and is read before a
/// document is made that takes nothing away from it.
#[tokio::test(start_paused = true)]
async fn documents_wait_while_thousands_of_devices_are_logged_in_to() {
    for held_for in [10, 100] {
        let it = Fixture::start();
        passes(10).await;
        it.told();
        it.crowd.0.store(true, Ordering::Relaxed);
        passes(1).await;
        let known = room_document(&namespace(""), &facts(&["audio/volume"])).value();
        // So many come before it that it is not the first to be read by chance.
        for _ in 0..10 {
            it.broker_has(OTHER_ROOM, "").await;
        }
        it.broker_has(ROOM, &known.to_string()).await;
        it.own(&[("1", true)]).await;
        passes(held_for).await;
        // Devices that never answer do not hold up the documents of all others.
        assert_eq!(it.told().is_empty(), held_for < 30, "{held_for}");
        it.crowd.0.store(false, Ordering::Relaxed);
        passes(10).await;
        let now = it.document(ROOM);
        for key in known["components"].as_object().unwrap().keys() {
            assert!(now["components"][key].is_object(), "{key}");
        }
        assert!(it.told().len() <= 1);
        it.publisher.stop();
    }
}

#[test]
fn a_member_has_ids_and_topics_of_its_own_and_rooms_hang_on_all() {
    let member = member_document(&namespace("av"), "gw_1").value();
    assert_eq!(
        member["device"]["identifiers"],
        json!(["poly2mqtt-av-Gateway-gw_1"])
    );
    assert_eq!(member["device"]["via_device"], "poly2mqtt-av-gateway");
    let version = &member["components"]["version"];
    assert_eq!(version["state_topic"], "av/gateway/gw_1/info");
    assert_eq!(
        version["availability"][0]["topic"],
        "av/gateway/gw_1/availability"
    );
    assert_eq!(
        version["default_entity_id"],
        "sensor.poly2mqtt_av_gw_1_version"
    );
    let all = cluster_document(&namespace("av")).value();
    let alone = poly2mqtt::home_assistant::gateway_document(&namespace("av")).value();
    assert_eq!(all["device"]["identifiers"], alone["device"]["identifiers"]);
    let availability = "/components/availability";
    assert_eq!(all.pointer(availability), alone.pointer(availability));
    assert_eq!(
        all["components"]["members"]["state_topic"],
        "av/gateway/cluster"
    );
}
