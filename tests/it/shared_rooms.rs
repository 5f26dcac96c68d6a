//! Several gateways at one broker that share their rooms: each command has one result, whatever moves and
//! whoever dies, and `gateway/availability` does not blink.

mod deaths;
mod documents;
mod moves;
mod older_broker;
mod refusals;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use poly2mqtt::command::{DoorKind, ErrorCode, Failure, Reply, Submission, Submit, Success};
use poly2mqtt::doors::mqtt::{
    Arrival, ExtraTopics, MqttDoor, MqttSettings, Presence, RemainingGateways, RoomRole,
    SharedRooms, SharingRules,
};
use poly2mqtt::gateway_id::MessageOwner;
use poly2mqtt::home_assistant::{DocumentLimits, InboundMessage};
use poly2mqtt::state::{RoomStatus, StateStore, StateValue};
use poly2mqtt_test_support::client::{Client, text};
use poly2mqtt_test_support::raw_mqtt::packet;
use poly2mqtt_test_support::scripted_broker::{Script, ScriptedBroker};
use poly2mqtt_test_support::{Mosquitto, SOON, mosquitto, plain_tcp, soon, until, watchdog};
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

const CLUSTER: &str = "campus";

/// The rooms' devices, which any gateway reaches: they count what they carried out.
#[derive(Default)]
struct Devices {
    carried_out: Mutex<BTreeMap<String, u32>>,
    /// They answer nothing any more.
    are_mute: AtomicBool,
    /// Commands wait too long for them.
    are_late: AtomicBool,
    unanswered: Mutex<Vec<Reply>>,
}

impl Submit for Devices {
    fn submit(&self, submission: Submission) {
        let payload = String::from_utf8_lossy(&submission.payload).into_owned();
        let what = format!("{} {payload}", submission.command);
        *self.carried_out.lock().unwrap().entry(what).or_default() += 1;
        if self.are_mute.load(Ordering::Relaxed) {
            self.unanswered.lock().unwrap().push(submission.reply);
            return;
        }
        if self.are_late.load(Ordering::Relaxed) {
            let late = Failure::new(ErrorCode::Expired, "too old");
            return submission.reply.answer(Err(late));
        }
        tokio::spawn(async move {
            sleep(Duration::from_millis(2)).await;
            submission.reply.answer(Ok(Success::new(200, Value::Null)));
        });
    }

    fn refuse(&self, _: DoorKind, reply: Reply, _: &Bytes, failure: Failure) {
        reply.answer(Err(failure));
    }
}

struct Rules {
    may_act: AtomicBool,
    configured: BTreeSet<&'static str>,
}

impl SharingRules for Rules {
    fn may_act(&self) -> bool {
        self.may_act.load(Ordering::Relaxed)
    }

    fn max_command_age(&self, _: &str) -> Duration {
        Duration::from_secs(5)
    }

    fn is_configured(&self, room: &str) -> bool {
        self.configured.contains(room)
    }

    fn agreed_rooms(&self) -> Option<String> {
        None
    }

    fn configured(&self) -> Vec<Arc<str>> {
        self.configured.iter().map(|room| (*room).into()).collect()
    }
}

fn rules() -> Arc<Rules> {
    Arc::new(Rules {
        may_act: AtomicBool::new(true),
        configured: BTreeSet::from(["1", "2"]),
    })
}

/// One gateway. Its tasks run in a runtime of their own, so that it can be killed.
struct Member {
    shared: Arc<SharedRooms>,
    rules: Arc<Rules>,
    devices: Arc<Devices>,
    store: Arc<StateStore>,
    door: MqttDoor,
    runtime: Runtime,
}

fn settings(port: u16) -> MqttSettings {
    MqttSettings::new(plain_tcp(port))
}

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().unwrap()
}

impl Member {
    fn start(port: u16, name: &str) -> Self {
        watchdog::watch();
        let (runtime, rules) = (runtime(), rules());
        let shared = SharedRooms::new(name, rules.clone());
        let (store, devices) = (StateStore::new(), Arc::<Devices>::default());
        let door = {
            let _entered = runtime.enter();
            let settings = settings(port).sharing(CLUSTER, shared.clone());
            let (store, devices) = (store.clone(), devices.clone());
            MqttDoor::start(settings, store, devices, Arc::default(), None).unwrap()
        };
        Self {
            shared,
            rules,
            devices,
            store,
            door,
            runtime,
        }
    }

    async fn connected(&self) {
        let mut connected = self.door.connected();
        let up = connected.wait_for(|connected| *connected);
        soon("a gateway is connected", up).await.unwrap();
    }

    async fn deputize(&self, rooms: &[Arc<str>]) {
        self.shared.deputize(rooms);
        let refused = soon("the rooms are granted", self.shared.granted(rooms)).await;
        assert_eq!(refused, []);
    }

    async fn take_over(&self, rooms: &[Arc<str>]) {
        self.shared
            .arrive(rooms, Arrival::TakenOver, next_revision());
        let refused = soon("the rooms are granted", self.shared.granted(rooms)).await;
        assert_eq!(refused, []);
        soon("the rooms are its own", self.shared.established(rooms)).await;
    }

    async fn remembers(&self, commands: usize) {
        until(
            || format!("remembered: {:?}", self.shared.remembered()),
            async || self.shared.remembered().0 == commands,
        )
        .await;
    }

    /// Its process ends, and the system closes its connections.
    fn kill(self) {
        self.runtime.shutdown_background();
    }

    /// The same while its devices have not answered: nobody does for them.
    fn kill_unanswered(self) {
        let replies = std::mem::take(&mut *self.devices.unanswered.lock().unwrap());
        std::mem::forget(replies);
        self.kill();
    }
}

/// A gateway that has these rooms, and their deputy.
async fn owner_and_deputy(port: u16, rooms: &[Arc<str>]) -> [Member; 2] {
    let [owner, deputy] = ["gw-1", "gw-2"].map(|name| Member::start(port, name));
    owner.connected().await;
    deputy.connected().await;
    owner.take_over(rooms).await;
    deputy.deputize(rooms).await;
    [owner, deputy]
}

/// Greater than all before it.
fn next_revision() -> u64 {
    static REVISION: AtomicU64 = AtomicU64::new(1);
    REVISION.fetch_add(1, Ordering::Relaxed)
}

/// What whoever places the rooms does.
async fn hand_over(from: &Member, to: &Member, rooms: &[Arc<str>]) {
    to.deputize(rooms).await;
    soon("the rooms are its own", from.shared.established(rooms)).await;
    from.shared.hold(rooms);
    sleep(Duration::from_millis(10)).await;
    from.shared.released(rooms);
    to.shared
        .arrive(rooms, Arrival::HandedOver, next_revision());
    from.shared.deputize(rooms);
    soon("the rooms have arrived", to.shared.established(rooms)).await;
}

fn rooms(ids: &[&str]) -> Vec<Arc<str>> {
    ids.iter().map(|id| Arc::from(*id)).collect()
}

fn numbered(number: usize, response: Option<&str>) -> PublishProperties {
    PublishProperties {
        correlation_data: Some(number.to_string().into()),
        response_topic: response.map(str::to_owned),
        ..PublishProperties::default()
    }
}

/// How often each numbered command was answered.
fn answers(client: &Client) -> BTreeMap<String, u32> {
    let mut answers = BTreeMap::new();
    for publish in client.everything() {
        let topic = String::from_utf8_lossy(&publish.topic).into_owned();
        let number = publish.properties.and_then(|it| it.correlation_data);
        if (topic.ends_with("/result") || topic.starts_with("answers/"))
            && let Some(number) = number
        {
            let number = String::from_utf8_lossy(&number).into_owned();
            *answers.entry(number).or_default() += 1;
        }
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_gateway_has_topics_of_its_own_and_its_own_will() {
    if mosquitto().is_none() {
        return;
    }
    let broker = Mosquitto::start(0, "");
    let client = Client::connect(broker.port).await;
    let members = ["gw-1", "gw-2"].map(|name| Member::start(broker.port, name));
    for member in &members {
        member.connected().await;
        let name = member.shared.name();
        let info = format!(r#"{{"id":"x","rooms":{{}},"name":"{name}"}}"#);
        member.store.set("gateway/info", StateValue::text(info));
        let log = r#"{"text":"something"}"#;
        member.store.event("gateway/log", log.into());
        let topic = |topic: &str| format!("gateway/{name}/{topic}");
        client.expect(&topic("availability"), "online").await;
        client.message(&topic("info")).await;
        client.expect(&topic("log"), log).await;
    }
    let [first, second] = members;
    first.kill();
    client.expect("gateway/gw-1/availability", "offline").await;
    soon("the end", second.door.stop(Instant::now() + SOON)).await;
    client.expect("gateway/gw-2/availability", "offline").await;
    for topic in ["availability", "info", "log", "health"] {
        let topic = format!("gateway/{topic}");
        assert!(client.messages(&topic).is_empty(), "{topic}");
    }
    second.runtime.shutdown_background();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_of_a_room_is_cleared_by_its_owner_alone() {
    if mosquitto().is_none() {
        return;
    }
    let broker = Mosquitto::start(0, "");
    let [old, new] = ["gw-1", "gw-2"].map(|name| Member::start(broker.port, name));
    let both = rooms(&["1", "2"]);
    old.connected().await;
    old.take_over(&both).await;
    let client = Client::connect(broker.port).await;
    for room in ["1", "2"] {
        for state in ["audio/volume", "call/state"] {
            let topic = format!("room/{room}/{state}");
            old.store.set(&topic, StateValue::text("left"));
            client.expect(&topic, "left").await;
        }
    }
    new.connected().await;
    new.deputize(&both).await;
    old.kill();
    let one = rooms(&["1"]);
    new.take_over(&one).await;
    // The new owner has read everything, and there is no call any more.
    new.store.set("room/1/audio/volume", StateValue::text("5"));
    let complete = RoomStatus {
        online: true,
        known: true,
        complete: true,
    };
    new.store.set_room(&"1".into(), complete);
    client.expect("room/1/audio/volume", "5").await;
    client.expect("room/1/call/state", "").await;
    // Of the room that it has not, nothing is touched.
    sleep(Duration::from_secs(1)).await;
    for state in ["audio/volume", "call/state"] {
        let topic = format!("room/2/{state}");
        assert_eq!(client.last(&topic).as_deref(), Some("left"));
    }
    new.kill();
}

/// 1200 rooms in packets of 500, again on each connection; one room is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_are_subscribed_to_in_batches_and_a_refusal_costs_one_room() {
    let batches = Arc::new(Mutex::new(Vec::new()));
    let seen = batches.clone();
    let broker = ScriptedBroker::start(Script {
        subscribe: Box::new(move |filters| {
            let of_rooms = filters.iter().filter(|filter| filter.starts_with("room/"));
            let count = of_rooms.count();
            if count > 0 {
                seen.lock().unwrap().push(count);
            }
            let grant = |filter: &String| match filter.as_str() {
                "room/0007/#" => 0x87,
                _ => 1,
            };
            Some(filters.iter().map(grant).collect())
        }),
        ..Script::default()
    })
    .await;
    let member = Member::start(broker.port, "gw-1");
    member.connected().await;
    let ids: Vec<Arc<str>> = (0..1200).map(|n| format!("{n:04}").into()).collect();
    member.shared.deputize(&ids);
    let refused = soon("every answer", member.shared.granted(&ids)).await;
    assert_eq!(refused.len(), 1);
    assert_eq!(&*refused[0].room, "0007");
    assert!(refused[0].reason.contains("not authorized"), "{refused:?}");
    assert!(member.shared.is_granted("0008") && !member.shared.is_granted("0007"));
    assert_eq!(*batches.lock().unwrap(), [500, 500, 200]);
    batches.lock().unwrap().clear();
    // The server shuts down.
    broker.send(packet(0xE0, &[0x8B]));
    broker
        .until("the rooms again", |_| batches.lock().unwrap().len() == 3)
        .await;
    // An own room that is refused: the gateway is not ready on that connection.
    member.kill();
    let member = Member::start(broker.port, "gw-2");
    member
        .shared
        .arrive(&rooms(&["0007"]), Arrival::TakenOver, next_revision());
    soon("the answer", member.shared.granted(&rooms(&["0007"]))).await;
    sleep(Duration::from_millis(500)).await;
    assert!(!*member.door.connected().borrow());
    member.kill();
}

/// The gateways' speaker changes by death and in order; only the last one's death is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateways_are_online_while_any_of_them_is() {
    if mosquitto().is_none() {
        return;
    }
    let broker = Mosquitto::start(0, "");
    let client = Client::connect(broker.port).await;
    let start = || {
        let runtime = runtime();
        let presence = {
            let _entered = runtime.enter();
            Presence::start(&settings(broker.port), CLUSTER, rules(), Arc::default()).unwrap()
        };
        (runtime, presence)
    };
    let availability = "gateway/availability";
    let (first, speaker) = start();
    speaker.speak(r#"{"n":1}"#);
    client.expect(availability, "online").await;
    client.expect("gateway/cluster", r#"{"n":1}"#).await;
    speaker.speak(r#"{"n":2}"#);
    client.expect("gateway/cluster", r#"{"n":2}"#).await;
    // Somebody says something else.
    client
        .publish_with(availability, "offline", true, PublishProperties::default())
        .await;
    client.expect(availability, "online").await;
    client.clear();
    // The first one dies; the second one follows after the time that it takes to notice that.
    let (second, next) = start();
    first.shutdown_background();
    sleep(Duration::from_secs(3)).await;
    next.speak(r#"{"n":3}"#);
    client.expect("gateway/cluster", r#"{"n":3}"#).await;
    // A third one takes the part over in order, and so does a fourth one, without the third one knowing.
    let (third, later) = start();
    next.fall_silent();
    sleep(Duration::from_secs(1)).await;
    later.speak(r#"{"n":4}"#);
    client.expect("gateway/cluster", r#"{"n":4}"#).await;
    let (fourth, last) = start();
    last.speak(r#"{"n":5}"#);
    client.expect("gateway/cluster", r#"{"n":5}"#).await;
    later.fall_silent();
    // Longer than the will's delay since each of them.
    sleep(Duration::from_secs(12)).await;
    let said = client.messages(availability);
    assert!(said.iter().all(|it| it.payload == "online"), "{said:?}");
    // The last one dies.
    client.clear();
    let died = Instant::now();
    fourth.shutdown_background();
    client.expect(availability, "offline").await;
    assert!(
        died.elapsed() > Duration::from_secs(8),
        "{:?}",
        died.elapsed()
    );
    // One that ends in order says so itself.
    let (fifth, only) = start();
    only.speak("{}");
    client.expect(availability, "online").await;
    let stopping = Instant::now();
    let last = only.stop(RemainingGateways::None, stopping + SOON);
    soon("the end", last).await;
    client.expect(availability, "offline").await;
    client.expect("gateway/cluster", "").await;
    // It does not wait for the will.
    assert!(stopping.elapsed() < Duration::from_secs(8));
    for runtime in [second, third, fifth] {
        runtime.shutdown_background();
    }
}
