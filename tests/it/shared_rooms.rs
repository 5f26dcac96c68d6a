//! Several gateways at one broker that share their rooms: each command has one result, whatever moves and
//! whoever dies, and `gateway/availability` does not blink.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use poly2mqtt::command::{DoorKind, ErrorCode, Failure, Reply, Submission, Submit, Success};
use poly2mqtt::doors::mqtt::{
    ExtraTopics, MqttDoor, MqttSettings, Presence, RemainingGateways, RoomRole, SharedRooms,
    SharingRules,
};
use poly2mqtt::gateway_id::Owner;
use poly2mqtt::home_assistant::{DocumentLimits, Inbound};
use poly2mqtt::state::{RoomStatus, StateStore, StateValue};
use poly2mqtt::topics::RoomDocuments;
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
        self.shared.take_over(rooms, next_revision());
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
    to.shared.move_in(rooms, next_revision());
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
async fn while_rooms_move_each_command_is_carried_out_and_answered_once() {
    if mosquitto().is_none() {
        return;
    }
    let broker = Mosquitto::start(0, "");
    let members = ["gw-1", "gw-2"].map(|name| Member::start(broker.port, name));
    let both = rooms(&["1", "2"]);
    for member in &members {
        member.connected().await;
    }
    members[0].take_over(&both).await;
    let client = Client::connect(broker.port).await;
    let count = AtomicUsize::new(0);
    let moving = async {
        for n in 0..10 {
            hand_over(&members[n % 2], &members[(n + 1) % 2], &both).await;
            let enough = count.load(Ordering::Relaxed) + 20;
            until(
                || "commands between two moves".into(),
                async || count.load(Ordering::Relaxed) >= enough,
            )
            .await;
        }
    };
    let done = AtomicBool::new(false);
    let commands = async {
        let mut number = 0;
        while !done.load(Ordering::Relaxed) {
            let room = 1 + number % 2;
            let topic = format!("room/{room}/audio/volume/set");
            let response = (number % 3 == 0).then_some("answers/here");
            let (payload, properties) = (number.to_string(), numbered(number, response));
            if number % 4 < 2 {
                client
                    .publish_at_most_once(&topic, payload, properties)
                    .await;
                sleep(Duration::from_micros(500)).await;
            } else {
                client
                    .publish_with(&topic, payload, false, properties)
                    .await;
            }
            number += 1;
            count.store(number, Ordering::Relaxed);
        }
        number
    };
    let moves = async {
        moving.await;
        done.store(true, Ordering::Relaxed);
    };
    let (sent, ()) = tokio::join!(commands, moves);
    client
        .until("an answer for each", |client| answers(client).len() == sent)
        .await;
    // A second one would come by now.
    sleep(Duration::from_millis(300)).await;
    let twice = answers(&client)
        .into_iter()
        .filter(|(_, times)| *times != 1);
    assert_eq!(twice.collect::<Vec<_>>(), []);
    let mut carried_out = BTreeMap::<String, u32>::new();
    for member in &members {
        for (what, times) in &*member.devices.carried_out.lock().unwrap() {
            *carried_out.entry(what.clone()).or_default() += times;
        }
    }
    assert_eq!(carried_out.len(), sent);
    assert!(carried_out.values().all(|times| *times == 1));
    // Both have had a part in it, and no deputy waits for anything.
    for member in &members {
        assert!(!member.devices.carried_out.lock().unwrap().is_empty());
        until(
            || format!("remembered: {:?}", member.shared.remembered()),
            async || member.shared.remembered().0 == 0,
        )
        .await;
    }
    for member in members {
        member.kill();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deputy_settles_what_a_dead_owner_has_left() {
    an_owner_dies(false).await;
}

/// It takes its room itself, and has not heard what came meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deputy_settles_for_an_owner_that_is_started_again_at_once() {
    an_owner_dies(true).await;
}

async fn an_owner_dies(starts_again: bool) {
    if mosquitto().is_none() {
        return;
    }
    let broker = Mosquitto::start(0, "");
    let one = rooms(&["1"]);
    let [owner, deputy] = owner_and_deputy(broker.port, &one).await;
    let client = Client::connect(broker.port).await;
    let send = async |number: usize, command: &str, payload: &str, response: Option<&str>| {
        let topic = format!("room/1/{command}");
        let properties = numbered(number, response);
        client
            .publish_with(&topic, payload, false, properties)
            .await;
    };
    // Two that the owner answers, of which the deputy sees one by its result.
    send(1, "audio/volume/set", "11", None).await;
    send(2, "audio/volume/set", "12", Some("answers/here")).await;
    client
        .until("both answers", |client| answers(client).len() == 2)
        .await;
    deputy.remembers(0).await;
    owner.devices.are_mute.store(true, Ordering::Relaxed);
    send(3, "audio/volume/set", "13", None).await;
    send(4, "audio/volume/up", "", None).await;
    send(5, "audio/volume/set", "15", Some("answers/here")).await;
    send(6, "no/such/command", "", None).await;
    deputy.remembers(4).await;
    owner.kill_unanswered();
    client.expect("gateway/gw-1/availability", "offline").await;
    let again = starts_again.then(|| Member::start(broker.port, "gw-1"));
    match &again {
        None => deputy.take_over(&one).await,
        Some(again) => {
            again.connected().await;
            // For a moment it is a deputy.
            again.deputize(&one).await;
            again.shared.take_back(&one, next_revision());
            soon("the rooms are its own", again.shared.established(&one)).await;
        }
    }
    send(7, "audio/volume/set", "17", None).await;
    client
        .until("an answer for each", |client| answers(client).len() == 7)
        .await;
    sleep(Duration::from_millis(300)).await;
    let answers = answers(&client);
    assert!(answers.values().all(|times| *times == 1), "{answers:?}");
    let carried_out: BTreeSet<_> = [Some(&deputy), again.as_ref()]
        .into_iter()
        .flatten()
        .flat_map(|member| member.devices.carried_out.lock().unwrap().clone())
        .map(|(what, _)| what)
        .collect();
    let expected = [
        "audio/volume/set 13",
        "audio/volume/set 15",
        "audio/volume/set 17",
        "no/such/command ",
    ];
    assert_eq!(carried_out, expected.map(str::to_owned).into());
    let unknown = client.message("room/1/audio/volume/up/result").await;
    let unknown: Value = serde_json::from_slice(&unknown.payload).unwrap();
    assert_eq!(unknown["error"]["code"], "outcome_unknown", "{unknown}");
    for member in [Some(deputy), again].into_iter().flatten() {
        member.kill();
    }
}

/// That the next owner could not repeat a command does not mean that the dead one has not carried it out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_of_a_dead_owner_that_cannot_be_repeated_has_an_unknown_outcome() {
    if mosquitto().is_none() {
        return;
    }
    let broker = Mosquitto::start(0, "");
    let one = rooms(&["1"]);
    let [owner, deputy] = owner_and_deputy(broker.port, &one).await;
    let client = Client::connect(broker.port).await;
    let send = async |number: usize, payload: &str| {
        let properties = numbered(number, None);
        client
            .publish_with("room/1/audio/volume/set", payload, false, properties)
            .await;
    };
    owner.devices.are_mute.store(true, Ordering::Relaxed);
    send(1, "11").await;
    deputy.remembers(1).await;
    owner.kill_unanswered();
    client.expect("gateway/gw-1/availability", "offline").await;
    deputy.devices.are_late.store(true, Ordering::Relaxed);
    deputy.take_over(&one).await;
    send(2, "12").await;
    client
        .until("both answers", |client| answers(client).len() == 2)
        .await;
    let codes: Vec<String> = (client.messages("room/1/audio/volume/set/result").iter())
        .map(|result| serde_json::from_slice::<Value>(&result.payload).unwrap())
        .map(|result| result["error"]["code"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(codes, ["outcome_unknown", "expired"]);
    deputy.kill();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_owner_that_comes_back_answers_nothing_a_second_time() {
    if mosquitto().is_none() {
        return;
    }
    let broker = Mosquitto::start(0, "");
    let one = rooms(&["1"]);
    let [owner, deputy] = owner_and_deputy(broker.port, &one).await;
    owner
        .store
        .set("room/1/audio/volume", StateValue::text("1"));
    let client = Client::connect(broker.port).await;
    client.expect("room/1/audio/volume", "1").await;
    owner.devices.are_mute.store(true, Ordering::Relaxed);
    let set = "room/1/audio/volume/set";
    client
        .publish_with(set, "1", false, numbered(1, None))
        .await;
    until(
        || "the owner has it".into(),
        async || !owner.devices.unanswered.lock().unwrap().is_empty(),
    )
    .await;
    // From now on it may not act. It still hears.
    owner.rules.may_act.store(false, Ordering::Relaxed);
    client
        .publish_with(set, "2", false, numbered(2, None))
        .await;
    deputy.take_over(&one).await;
    let unanswered: Vec<_> = owner.devices.unanswered.lock().unwrap().drain(..).collect();
    for reply in unanswered {
        reply.answer(Ok(Success::new(200, Value::Null)));
    }
    client
        .until("both answers", |client| answers(client).len() == 2)
        .await;
    until(
        || "the owner knows".into(),
        async || owner.shared.role("1") == Some(RoomRole::Deputy),
    )
    .await;
    owner.rules.may_act.store(true, Ordering::Relaxed);
    // What it knows of the room is not published any more, also on a new connection.
    owner
        .store
        .set("room/1/audio/volume", StateValue::text("9"));
    deputy
        .store
        .set("room/1/audio/volume", StateValue::text("2"));
    client.expect("room/1/audio/volume", "2").await;
    sleep(Duration::from_millis(1500)).await;
    let answers = answers(&client);
    assert!(answers.values().all(|times| *times == 1), "{answers:?}");
    assert_eq!(owner.devices.carried_out.lock().unwrap().len(), 1);
    assert_eq!(client.last("room/1/audio/volume").as_deref(), Some("2"));
    owner.kill();
    deputy.kill();
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

/// The next owner of a room publishes what differs from what the broker holds, and nothing else. A result takes the
/// states of its room along.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_owner_publishes_only_what_the_broker_does_not_hold() {
    if mosquitto().is_none() {
        return;
    }
    let broker = Mosquitto::start(0, "");
    let [old, new] = ["gw-1", "gw-2"].map(|name| Member::start(broker.port, name));
    let some: Vec<Arc<str>> = (0..40).map(|n| format!("{n}").into()).collect();
    let topic = |room: &str, state: &str| format!("room/{room}/{state}");
    let states = ["audio/volume", "audio/muted", "audio/mute_locked"];
    old.connected().await;
    old.take_over(&some).await;
    let client = Client::connect(broker.port).await;
    for room in &some {
        for state in states {
            old.store.set(&topic(room, state), StateValue::text("5"));
        }
        client.expect(&topic(room, states[2]), "5").await;
    }
    new.connected().await;
    new.deputize(&some).await;
    old.kill();
    client.clear();
    new.take_over(&some).await;
    for room in &some {
        for (state, value) in states.iter().zip(["5", "6", "5"]) {
            new.store.set(&topic(room, state), StateValue::text(value));
        }
    }
    for room in &some {
        client.expect(&topic(room, "audio/muted"), "6").await;
    }
    // What comes later is published, also if it is what the broker held first.
    for (value, room) in [("7", &some[0]), ("5", &some[0])] {
        let volume = topic(room, "audio/volume");
        new.store.set(&volume, StateValue::text(value));
        client.expect(&volume, value).await;
    }
    let same = ["audio/volume", "audio/mute_locked"];
    let same = same.map(|state| some[1..].iter().map(move |room| topic(room, state)));
    let again = same.into_iter().flatten();
    let again: Vec<_> = again
        .filter(|topic| !client.messages(topic).is_empty())
        .collect();
    // A broker that is late with something costs messages only.
    assert!(again.len() < some.len() / 4, "{again:?}");
    new.kill();
}

/// The document that Home Assistant gets of a room, which has its topic outside of the rooms.
const DOCUMENT: &str = "homeassistant/device/poly2mqtt_1/config";

/// A gateway that publishes documents, and what it hears of them.
struct DocumentMember {
    shared: Arc<SharedRooms>,
    documents: Arc<StateStore>,
    heard: mpsc::Receiver<Inbound>,
    door: MqttDoor,
}

impl DocumentMember {
    fn start(port: u16, name: &str) -> Self {
        let shared = SharedRooms::new(name, rules());
        let documents = StateStore::new();
        let (sender, heard) = mpsc::channel(64);
        let extra = ExtraTopics {
            store: documents.clone(),
            encode: Bytes::copy_from_slice,
            filters: vec!["homeassistant/status".into()],
            inbound: sender,
            document_limits: watch::channel(DocumentLimits::new(1 << 20)).0,
        };
        let mut settings = settings(port).sharing(CLUSTER, shared.clone());
        settings.discovery.rooms = Some(RoomDocuments {
            before: "homeassistant/device/poly2mqtt_".into(),
            after: "/config".into(),
        });
        let devices = Arc::<Devices>::default();
        let door = MqttDoor::start(
            settings,
            StateStore::new(),
            devices,
            Arc::default(),
            Some(extra),
        );
        Self {
            shared,
            documents,
            heard,
            door: door.unwrap(),
        }
    }

    /// Waits until the broker has answered the filter of room 1's document.
    async fn is_asked(&self) {
        let mut changes = self.shared.document_changes();
        let is_asked = || self.shared.documents().get("1") == Some(&true);
        while !is_asked() {
            soon("the filter is answered", changes.changed())
                .await
                .unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_owner_hears_a_rooms_document_and_the_former_one_never_clears_it() {
    if mosquitto().is_none() {
        return;
    }
    let broker = Mosquitto::start(0, "");
    let client = Client::connect(broker.port).await;
    let mut old = DocumentMember::start(broker.port, "gw-1");
    let mut new = DocumentMember::start(broker.port, "gw-2");
    let one = rooms(&["1"]);
    // Nothing is published of a room that another gateway has.
    new.documents.set(DOCUMENT, StateValue::text("of another"));
    old.shared.take_over(&one, next_revision());
    old.is_asked().await;
    old.documents.set(DOCUMENT, StateValue::text("first"));
    client.expect(DOCUMENT, "first").await;
    let published = || -> Vec<String> { client.messages(DOCUMENT).iter().map(text).collect() };
    assert_eq!(published(), ["first"]);

    new.documents.remove_quietly(DOCUMENT);
    old.shared.lose(&one);
    old.shared.stop_hearing(&one);
    new.shared.take_over(&one, next_revision());
    new.is_asked().await;
    let heard = soon("the document", new.heard.recv()).await.unwrap();
    assert_eq!(
        (&*heard.topic, &heard.payload[..]),
        (DOCUMENT, &b"first"[..])
    );
    assert_eq!(heard.owner, Owner::ThisGateway);
    // Whatever the former owner does with its copy, the broker gets nothing of it.
    old.documents.repeat();
    old.documents.clear_everywhere(DOCUMENT);
    new.documents.set(DOCUMENT, StateValue::text("second"));
    client.expect(DOCUMENT, "second").await;
    sleep(Duration::from_millis(500)).await;
    assert_eq!(published(), ["first", "second"]);
    // It hears nothing of it any more, nor of others' documents at any time.
    assert!(old.heard.try_recv().is_err());
    // A person deletes the device in Home Assistant: the owner hears it.
    client
        .publish_with(DOCUMENT, "", true, PublishProperties::default())
        .await;
    let heard = soon("the deletion", new.heard.recv()).await.unwrap();
    assert_eq!((&*heard.topic, heard.payload.len()), (DOCUMENT, 0));
    assert!(old.heard.try_recv().is_err());
    for member in [old, new] {
        soon("the end", member.door.stop(Instant::now() + SOON)).await;
    }
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
    member.shared.take_over(&rooms(&["0007"]), next_revision());
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
            Presence::start(&settings(broker.port), CLUSTER, rules()).unwrap()
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
