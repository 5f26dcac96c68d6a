//! Room readiness: what was sent to the device, and what stood at the broker, with each step broken in
//! turn, in a call, before a meeting, and with everything that can come in between.

mod interrupted;

use std::time::Duration;

use poly2mqtt_simulator::{Condition, Fault, FaultKind, Firmware, Model, Options, SimulatedDevice};
use poly2mqtt_test_support::BrokerKind;
use poly2mqtt_test_support::cases::at_the_same_time;
use poly2mqtt_test_support::client::Client;
use poly2mqtt_test_support::gateway::Gateway;
use serde_json::{Value, json};
use time::OffsetDateTime;

const RUN: &str = "room/1/readiness/run";
const REPORT: &str = "room/1/readiness";
const FAILED: &str = "room/1/event/readiness_failed";
const ECHO: &str = "echo@example.com";
/// A call that no test waits for.
const NEVER: Duration = Duration::from_secs(3600);
const MOVED: [&str; 4] = [
    "near/selectedpeople MOVE_LEFT",
    "near/selectedpeople stop",
    "near/selectedpeople MOVE_RIGHT",
    "near/selectedpeople stop",
];

async fn start_with(options: Options, dial: Option<&str>) -> Gateway {
    let dial = dial.map(str::to_owned);
    let change = |room: &mut poly2mqtt::config::RoomConfig| room.readiness_dial = dial;
    let it = Gateway::start_with(BrokerKind::Embedded, options, change).await;
    it.online().await;
    it
}

/// A room that calls, with the time from dialling to being connected.
async fn start(call_setup: Duration) -> Gateway {
    let options = Options {
        call_setup,
        ..Options::default()
    };
    let it = start_with(options, Some(ECHO)).await;
    // What is paired has been read once.
    it.client.message("room/1/system/devices").await;
    it
}

async fn run(it: &Gateway) -> Value {
    it.client.command(RUN, "").await
}

fn names(report: &Value, ok: bool) -> Vec<String> {
    let checks = report["checks"].as_array().unwrap().iter();
    let wanted = checks.filter(|check| check["ok"] == ok);
    wanted
        .map(|check| check["name"].as_str().unwrap().to_owned())
        .collect()
}

fn moves(device: &SimulatedDevice) -> Value {
    device.state()["cameras"]["moves"].clone()
}

fn has_no_call(device: &SimulatedDevice) -> bool {
    let calls = device.state()["calls"].clone();
    let calls = calls.as_array().unwrap().iter();
    calls
        .flat_map(|it| it["connections"].as_array().unwrap())
        .count()
        == 0
}

fn dialled(device: &SimulatedDevice) -> Value {
    device.state()["dialled"].clone()
}

#[tokio::test]
async fn a_room_in_order_passes_each_check_and_is_left_as_it_was() {
    let it = start(Duration::from_millis(100)).await;
    it.device.clear_journal();
    let result = run(&it).await;
    assert_eq!(result["ok"], true, "{result}");
    let report = &result["body"];
    assert_eq!(report["ok"], true, "{report}");
    let all = [
        "login",
        "microphones",
        "cameras",
        "registrations",
        "calendar",
        "panels",
        "camera_move",
        "call",
    ];
    assert_eq!(names(report, true), all);
    assert_eq!(report["checks"][0]["message"], "logged in as admin");
    assert!(report["at"].as_str().unwrap().ends_with('Z'), "{report}");
    let retained = it.client.message(REPORT).await;
    let retained: Value = serde_json::from_slice(&retained.payload).unwrap();
    assert_eq!(&retained, report);
    assert!(it.client.messages(FAILED).is_empty());
    // The state is as it can be asked for, and is retained.
    let asked = it.client.command("room/1/readiness/get", "").await;
    assert_eq!(&asked["body"], report);
    let late = Client::connect(it.port).await;
    assert!(late.message(REPORT).await.retain);
    assert_eq!(moves(&it.device), json!(MOVED));
    assert_eq!(dialled(&it.device), json!([ECHO]));
    assert!(has_no_call(&it.device), "{}", it.device.state());
    it.client.expect("room/1/call/state", "idle").await;
    assert!(it.device.most_at_a_time() <= 2);
    // The camera comes back to the preset that it was sent to.
    let recalled = it
        .client
        .command("room/1/camera/preset/2/activate", "")
        .await;
    assert_eq!(recalled["ok"], true, "{recalled}");
    it.device.clear_journal();
    let result = run(&it).await;
    let journal = it.device.journal();
    let recalls = journal
        .iter()
        .filter(|entry| entry.path == "/rest/cameras/near/presets/2" && entry.method == "POST");
    assert_eq!(recalls.count(), 1);
    assert!(
        result.to_string().contains("came back to preset 2"),
        "{result}"
    );
    it.stop().await;
}

/// A step that is broken, how, and the words of its check.
type Broken = (&'static str, fn(&SimulatedDevice), &'static str);

fn condition<const N: usize>(device: &SimulatedDevice) {
    const ALL: [Condition; 6] = [
        Condition::NoMicrophones,
        Condition::NoCameras,
        Condition::RegistrationsDown,
        Condition::CalendarOffline,
        Condition::PanelLost,
        Condition::PanelUnpaired,
    ];
    device.set_condition(ALL[N], true);
}

/// Every read of this path fails.
fn unreadable(device: &SimulatedDevice, path: &str, kind: FaultKind) {
    device.add_fault(Fault::on(path, kind).method("GET"));
}

/// The next command at this path fails.
fn refused(device: &SimulatedDevice, path: &str, kind: FaultKind) {
    device.add_fault(Fault::on(path, kind).method("POST").times(1));
}

#[test]
fn each_step_that_is_broken_is_told_with_what_to_do() {
    const CAMERA: &str = "/rest/cameras/near/selectedpeople";
    const CALLS: &str = "/rest/conferences";
    let table: [Broken; 12] = [
        (
            "microphones",
            condition::<0>,
            "no microphone is connected; check",
        ),
        ("cameras", condition::<1>, "no camera is connected; check"),
        ("registrations", condition::<2>, "is DOWN"),
        ("calendar", condition::<3>, "the calendar is OFFLINE; check"),
        ("panels", condition::<4>, "Poly TC8 is DISCONNECTED; check"),
        (
            "panels",
            condition::<5>,
            "Poly TC8 is not paired any more; pair",
        ),
        (
            "microphones",
            |it| unreadable(it, "/rest/audio", FaultKind::Status(500)),
            "could not be read",
        ),
        (
            "calendar",
            |it| {
                // The meetings below it are still read.
                unreadable(it, "/rest/calendar/", FaultKind::Delay(Duration::ZERO));
                unreadable(it, "/rest/calendar", FaultKind::Garbage);
            },
            "could not be read",
        ),
        (
            "camera_move",
            |it| refused(it, CAMERA, FaultKind::Status(500)),
            "could not be moved",
        ),
        (
            "call",
            |it| refused(it, CALLS, FaultKind::Status(400)),
            "could not be called",
        ),
        (
            "call",
            |it| refused(it, CALLS, FaultKind::DropAfter),
            "could not be called",
        ),
        (
            "call",
            |it| refused(it, CALLS, FaultKind::DropBefore),
            "could not be called",
        ),
    ];
    at_the_same_time(table, |(step, breaks, words)| async move {
        let it = start(Duration::from_millis(100)).await;
        breaks(&it.device);
        let result = run(&it).await;
        assert_eq!(result["ok"], true, "{step} {words}: {result}");
        let report = &result["body"];
        assert_eq!(report["ok"], false, "{step} {words}: {report}");
        assert_eq!(names(report, false), [step], "{words}: {report}");
        assert!(
            report.to_string().contains(words),
            "{step} {words}: {report}"
        );
        let event = it.client.message(FAILED).await;
        let event: Value = serde_json::from_slice(&event.payload).unwrap();
        assert_eq!(event["event_type"], "readiness_failed");
        assert_eq!(event["failed"][0]["name"], step, "{event}");
        let retained = it.client.message(REPORT).await;
        let retained: Value = serde_json::from_slice(&retained.payload).unwrap();
        assert_eq!(retained["ok"], false);
        // Whatever was broken, no call is left, and the camera was stopped after each start.
        assert!(has_no_call(&it.device), "{step} {words}");
        let moves = moves(&it.device);
        let moves = moves.as_array().unwrap();
        let is_stop = |entry: Option<&Value>| {
            entry.is_none_or(|entry| entry.as_str().unwrap().ends_with(" stop"))
        };
        assert!(is_stop(moves.last()), "{step} {words}: {moves:?}");
        it.stop().await;
    });
}

#[tokio::test]
async fn a_room_without_a_log_in_has_a_report_that_says_so() {
    let it = start(Duration::from_millis(100)).await;
    it.device.person_sets_password("another");
    it.device.expire_sessions();
    it.problem("unauthorized").await;
    let before = it.client.messages(FAILED).len();
    let result = run(&it).await;
    assert_eq!(result["ok"], true, "{result}");
    assert_eq!(names(&result["body"], false), ["login"], "{result}");
    assert_eq!(names(&result["body"], true), [""; 0], "{result}");
    let message = result["body"]["checks"][0]["message"].as_str().unwrap();
    let problem = it.client.last("room/1/problem").unwrap();
    let problem: Value = serde_json::from_str(&problem).unwrap();
    assert_eq!(problem["message"], message);
    it.client
        .until("the event", |client| client.messages(FAILED).len() > before)
        .await;
    assert_eq!(dialled(&it.device), json!([]));
    it.stop().await;
}

#[tokio::test]
async fn a_call_that_never_connects_is_hung_up() {
    let it = start(NEVER).await;
    let result = run(&it).await;
    assert_eq!(names(&result["body"], false), ["call"], "{result}");
    assert!(
        result.to_string().contains("was not connected within 6 s"),
        "{result}"
    );
    assert_eq!(dialled(&it.device), json!([ECHO]));
    assert!(has_no_call(&it.device));
    it.stop().await;
}

/// A meeting begins after so many seconds.
fn meets_in(device: &SimulatedDevice, seconds: i64) {
    let starts = OffsetDateTime::now_utc().unix_timestamp() + seconds;
    let meeting = json!([{"id": "1", "subject": "x", "startTime": starts, "duration": 600}]);
    let body = FaultKind::Body(meeting.to_string());
    device.add_fault(Fault::on("/rest/calendar/meetings", body));
}

/// How a room is used, and what is said.
type Use = (fn(&SimulatedDevice), &'static str);

#[test]
fn a_room_in_use_is_not_checked() {
    let table: [Use; 4] = [
        (
            |it| drop(it.person_calls_in("alice@example.com")),
            "in a call (ringing)",
        ),
        (
            |it| {
                it.person_calls_in("alice@example.com");
                it.person_answers();
            },
            "in a call (connected)",
        ),
        (|it| assert!(it.person_meets("Teams", true)), "in a meeting"),
        (|it| meets_in(it, 300), "a meeting begins in"),
    ];
    at_the_same_time(table, |(uses, words)| async move {
        let it = start(Duration::from_millis(100)).await;
        uses(&it.device);
        let result = run(&it).await;
        assert_eq!(result["error"]["code"], "busy", "{words}: {result}");
        let message = result["error"]["message"].as_str().unwrap();
        assert!(message.contains(words), "{words}: {message}");
        assert_eq!(moves(&it.device), json!([]), "{words}");
        assert_eq!(dialled(&it.device), json!([]), "{words}");
        assert!(it.client.messages(REPORT).is_empty(), "{words}");
        it.stop().await;
    });
}

/// Of a call, a meeting or the calendar the device says nothing for a moment: people may be in the room.
#[test]
fn a_room_of_which_it_is_not_known_whether_it_is_in_use_is_left_alone() {
    let kinds = [
        FaultKind::Null,
        FaultKind::Status(204),
        FaultKind::Status(404),
        FaultKind::Status(500),
    ];
    let paths = ["/rest/conferences", "/rest/calendar/meetings"];
    let table = kinds
        .into_iter()
        .flat_map(|kind| paths.map(|path| (path, kind.clone())));
    at_the_same_time(table.collect::<Vec<_>>(), |(path, kind)| async move {
        let it = start(Duration::from_millis(100)).await;
        it.client.message("room/1/calendar/meetings").await;
        it.device
            .add_fault(Fault::on(path, kind.clone()).method("GET"));
        let result = run(&it).await;
        assert_eq!(
            names(&result["body"], false),
            ["call"],
            "{path} {kind:?} {result}"
        );
        assert_eq!(moves(&it.device), json!([]), "{path} {kind:?}");
        assert_eq!(dialled(&it.device), json!([]), "{path} {kind:?}");
        it.stop().await;
    });
}

/// The calendar cannot be read any more, and the room knows of a meeting.
#[tokio::test]
async fn a_meeting_that_was_known_is_still_to_come() {
    let it = start(Duration::from_millis(100)).await;
    meets_in(&it.device, 120);
    let is_near = |client: &Client| {
        let next = client.messages("room/1/calendar/next");
        let starts = next.last().map(|next| next.payload.clone());
        let meeting: Value =
            serde_json::from_slice(&starts.unwrap_or_default()).unwrap_or_default();
        let start = meeting["startTime"].as_i64().unwrap_or(i64::MAX);
        start - OffsetDateTime::now_utc().unix_timestamp() < 300
    };
    it.client.until("the meeting is known", is_near).await;
    it.client.clear();
    // Before the new fault is there the calendar may be read without the meeting.
    it.device.clear_faults();
    it.device
        .add_fault(Fault::on("/rest/calendar", FaultKind::Status(500)).method("GET"));
    let result = run(&it).await;
    let is_replaced = !it.client.messages("room/1/calendar/next").is_empty();
    assert!(is_replaced || result["error"]["code"] == "busy", "{result}");
    assert_eq!(moves(&it.device), json!([]));
    it.stop().await;
}

#[tokio::test]
async fn a_meeting_that_is_far_enough_away_is_no_use() {
    let it = start(Duration::from_millis(100)).await;
    meets_in(&it.device, 1000);
    assert_eq!(run(&it).await["body"]["ok"], true);
    it.stop().await;
}

#[test]
fn what_a_firmware_lacks_is_no_failure() {
    at_the_same_time(Firmware::ALL, |firmware| async move {
        let options = Options {
            firmware,
            model: (firmware == Firmware::V5_0).then_some(Model::X52),
            call_setup: Duration::from_millis(100),
            ..Options::default()
        };
        let it = start_with(options, Some(ECHO)).await;
        let result = run(&it).await;
        assert_eq!(result["body"]["ok"], true, "{firmware}: {result}");
        assert!(has_no_call(&it.device), "{firmware}");
        it.stop().await;
    });
}

#[tokio::test]
async fn without_an_address_nobody_is_called() {
    let it = start_with(Options::default(), None).await;
    let result = run(&it).await;
    assert_eq!(result["body"]["ok"], true, "{result}");
    assert!(
        !names(&result["body"], true).contains(&"call".to_owned()),
        "{result}"
    );
    assert_eq!(dialled(&it.device), json!([]));
    it.stop().await;
}

#[tokio::test]
async fn home_assistant_has_a_problem_sensor_and_a_button() {
    let it = start(Duration::from_millis(100)).await;
    let document = "homeassistant/device/poly2mqtt_1/config";
    it.client
        .until("the button", |client| {
            client.last(document).is_some_and(|text| text.contains(RUN))
        })
        .await;
    let document = it.client.last(document).unwrap();
    let document: Value = serde_json::from_str(&document).unwrap();
    let components = &document["components"];
    let sensor = &components["readiness"];
    assert_eq!(sensor["platform"], "binary_sensor", "{sensor}");
    assert_eq!(sensor["device_class"], "problem");
    assert_eq!(sensor["state_topic"], REPORT);
    assert_eq!(sensor["json_attributes_topic"], REPORT);
    let button = &components["check_room"];
    assert_eq!(
        (&button["platform"], &button["command_topic"]),
        (&json!("button"), &json!(RUN))
    );
    // A press is the payload that the button sends.
    let payload = button["payload_press"].as_str().unwrap_or_default();
    let result = it.client.command(RUN, payload).await;
    assert_eq!(result["body"]["ok"], true, "{result}");
    it.stop().await;
}

/// A device that hangs is a device that cannot be checked: the report says so, and does not take ten
/// seconds for each state.
#[tokio::test]
async fn a_device_that_answers_no_more_is_told_as_that() {
    let it = start(Duration::from_millis(100)).await;
    it.device
        .add_fault(Fault::on("/rest/", FaultKind::Delay(NEVER)));
    let result = run(&it).await;
    let report = &result["body"];
    assert_eq!(report["ok"], false, "{result}");
    assert_eq!(names(report, false), ["login"], "{report}");
    assert!(names(report, true).is_empty(), "{report}");
    it.device.clear_faults();
    it.device.end_delays();
    it.stop().await;
}

/// One endpoint that hangs is one check that fails.
#[tokio::test]
async fn one_endpoint_that_hangs_fails_its_own_check() {
    let it = start(Duration::from_millis(100)).await;
    let hangs = Fault::on("/rest/system/sipservers", FaultKind::Delay(NEVER));
    it.device.add_fault(hangs);
    let result = run(&it).await;
    assert_eq!(names(&result["body"], false), ["registrations"], "{result}");
    it.device.clear_faults();
    it.device.end_delays();
    it.stop().await;
}
