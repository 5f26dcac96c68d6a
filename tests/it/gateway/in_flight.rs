//! Commands in flight: their order, which are superseded, which expire, and which are never repeated.

mod unanswered;

use std::time::Duration;

use poly2mqtt_simulator::{Fault, FaultKind, JournalEntry, Options, SimulatedDevice};
use rumqttc::v5::mqttbytes::v5::{Publish, PublishProperties};
use serde_json::{Value, json};

use poly2mqtt_test_support::client::Client;
use poly2mqtt_test_support::gateway::{Gateway, spoilt};
use poly2mqtt_test_support::{BrokerKind, SOON};

/// The bodies of all POSTs to a path.
fn posted(it: &Gateway, path: &str) -> Vec<String> {
    let journal = it.device.journal();
    let mine = |entry: &&JournalEntry| entry.method == "POST" && entry.path == path;
    let text = |entry: &JournalEntry| String::from_utf8_lossy(&entry.body).into_owned();
    journal.iter().filter(mine).map(text).collect()
}

/// How long a held request waits: almost as long as the gateway does. Most tests end it earlier.
const HOLD: Duration = Duration::from_millis(2500);

/// Delays the next request to this path, so that later commands have to wait.
fn hold(it: &Gateway, method: &str, path: &str, late: Duration) {
    let fault = Fault::on(path, FaultKind::Delay(late)).method(method);
    it.device.add_fault(fault.times(1));
}

/// Publishes a command and waits until the device holds its request.
async fn held(it: &Gateway, path: &str, command: &str, payload: &str) {
    hold(it, "POST", path, HOLD);
    let topic = format!("room/1/{command}");
    it.client.publish(&topic, payload).await;
    let held = |device: &SimulatedDevice| device.delayed() == 1;
    assert!(it.device.wait_for(SOON, held).await, "{command} is held");
}

fn results(it: &Gateway, topic: &str) -> Vec<Value> {
    let messages = it.client.messages(&format!("{topic}/result"));
    let read = |message: &Publish| serde_json::from_slice(&message.payload).unwrap();
    messages.iter().map(read).collect()
}

async fn until_results(it: &Gateway, topic: &str, count: usize) {
    let what = format!("{count} results of {topic}");
    it.client
        .until(&what, |_| results(it, topic).len() == count)
        .await;
}

#[tokio::test]
async fn a_slider_sends_its_last_value_and_every_publish_has_its_result() {
    let it = Gateway::start_online(Options::default()).await;
    held(&it, "/rest/audio/volume", "audio/volume/set", "0").await;
    let topic = "room/1/audio/volume/set";
    let later = (1..=30).map(|volume: u32| (topic, volume.to_string()));
    it.client.publish_all(&Vec::from_iter(later)).await;
    // All but the first, which is held, and the last, which waits.
    until_results(&it, topic, 29).await;
    it.device.end_delays();
    until_results(&it, "room/1/audio/volume/set", 31).await;
    it.client.expect("room/1/audio/volume", "30").await;
    let all = results(&it, "room/1/audio/volume/set");
    let superseded = |result: &&Value| result["error"]["code"] == "superseded";
    assert_eq!(all.iter().filter(superseded).count(), 29, "{all:?}");
    assert_eq!(posted(&it, "/rest/audio/volume"), ["0", "30"]);
    it.stop().await;
}

#[tokio::test]
async fn commands_are_carried_out_in_their_order() {
    let it = Gateway::start_online(Options::default()).await;
    hold(&it, "POST", "/rest/audio", Duration::from_millis(300));
    for key in ["1", "2", "3", "4", "5"] {
        it.client.publish("room/1/audio/dtmf/play", key).await;
    }
    until_results(&it, "room/1/audio/dtmf/play", 5).await;
    let keys: Vec<Value> = posted(&it, "/rest/audio")
        .iter()
        .map(|body| serde_json::from_str::<Value>(body).unwrap()["dtmfChar"].clone())
        .collect();
    assert_eq!(json!(keys), json!(["1", "2", "3", "4", "5"]));
    it.stop().await;
}

#[tokio::test]
async fn a_hang_up_passes_what_waits() {
    let it = Gateway::start_online(Options::default()).await;
    it.client.command("room/1/call/dial", "a@b").await;
    held(&it, "/rest/audio/volume", "audio/volume/set", "1").await;
    let dtmf = ("room/1/audio/dtmf/play", "1".to_owned());
    let hang_up = ("room/1/call/hangup", String::new());
    it.client.publish_all(&[dtmf, hang_up]).await;
    until_results(&it, "room/1/audio/dtmf/play", 1).await;
    let journal = it.device.journal();
    let place = |method: &str, path: &str| {
        let is = |entry: &JournalEntry| entry.method == method && entry.path.starts_with(path);
        journal.iter().position(is).unwrap()
    };
    assert!(place("DELETE", "/rest/conferences/") < place("POST", "/rest/audio"));
    it.stop().await;
}

/// Otherwise the hang-up ends the new call too: it is one more party of the call that is up.
#[tokio::test]
async fn a_dial_waits_for_the_hang_up_before_it() {
    let it = Gateway::start_online(Options::default()).await;
    it.client.command("room/1/call/dial", "a@b").await;
    let [short, long] = [1, 2].map(Duration::from_secs);
    hold(&it, "POST", "/rest/audio/volume", short);
    it.client.publish("room/1/audio/volume/set", "1").await;
    let one = |device: &SimulatedDevice| device.delayed() == 1;
    it.device.wait_for(short, one).await;
    hold(&it, "DELETE", "/rest/conferences/", long);
    it.client.publish("room/1/call/hangup", "").await;
    // On a busy machine the dial may come when the hang-up has ended, which proves less.
    let two = |device: &SimulatedDevice| device.delayed() == 2;
    it.device.wait_for(short, two).await;
    let result = it.client.command("room/1/call/dial", "c@d").await;
    assert_eq!(result["ok"], true, "{result}");
    until_results(&it, "room/1/call/hangup", 1).await;
    let calls = it.client.command("room/1/calls/get", "").await;
    let parties = calls["body"][0]["connections"].as_array().map(Vec::len);
    assert_eq!(parties, Some(1), "{calls}");
    it.stop().await;
}

/// Otherwise the hang-up finds no call, and the call comes up after it.
#[tokio::test]
async fn a_hang_up_ends_the_meeting_that_is_being_dialled() {
    let it = Gateway::start_online(Options::default()).await;
    let dial = "calendar/current/dial";
    held(&it, "/rest/calendar/meetings/", dial, "").await;
    it.client.publish("room/1/call/hangup", "").await;
    // It goes before what waits too, so the hang-up had its turn before.
    it.client.command("room/1/camera/stop", "").await;
    it.device.end_delays();
    for command in [dial, "call/hangup"] {
        let topic = format!("room/1/{command}");
        until_results(&it, &topic, 1).await;
        assert_eq!(results(&it, &topic)[0]["ok"], true, "{command}");
    }
    it.client.expect("room/1/call/state", "idle").await;
    it.stop().await;
}

#[tokio::test]
async fn one_command_runs_64_wait_and_the_next_is_busy() {
    // What waits is carried out, however long the machine takes to queue it.
    let it = Gateway::start_with(BrokerKind::Embedded, Options::default(), |room| {
        room.max_command_age = Duration::from_secs(60);
    })
    .await;
    it.online().await;
    held(&it, "/rest/audio", "audio/start", "").await;
    let more = vec![("room/1/audio/start", String::new()); 65];
    it.client.publish_all(&more).await;
    until_results(&it, "room/1/audio/start", 1).await;
    // What ends a call or a move has places of its own.
    for command in ["call/hangup", "camera/stop"] {
        let result = it.client.command(&format!("room/1/{command}"), "").await;
        assert_eq!(result["ok"], true, "{result}");
    }
    it.device.end_delays();
    let busy = &results(&it, "room/1/audio/start")[0];
    assert_eq!(busy["error"]["code"], "busy", "{busy}");
    until_results(&it, "room/1/audio/start", 66).await;
    assert_eq!(posted(&it, "/rest/audio").len(), 65);
    it.stop().await;
}

#[tokio::test]
async fn an_old_command_expires() {
    let it = Gateway::start_with(BrokerKind::Embedded, Options::default(), |room| {
        room.max_command_age = Duration::from_millis(300);
    })
    .await;
    it.online().await;
    held(&it, "/rest/audio", "audio/start", "").await;
    let result = it.client.command("room/1/audio/mute", "").await;
    assert_eq!(result["error"]["code"], "expired", "{result}");
    assert!(posted(&it, "/rest/audio/muted").is_empty());
    it.stop().await;
}

/// MQTT 5 message expiry, section 3.3.2.3.3.
#[tokio::test]
async fn a_message_that_expires_while_it_waits_is_not_carried_out() {
    let it = Gateway::start_online(Options::default()).await;
    held(&it, "/rest/audio", "audio/start", "").await;
    let properties = PublishProperties {
        message_expiry_interval: Some(1),
        ..PublishProperties::default()
    };
    it.client
        .publish_with("room/1/audio/mute", "", false, properties)
        .await;
    until_results(&it, "room/1/audio/mute", 1).await;
    let result = &results(&it, "room/1/audio/mute")[0];
    assert_eq!(result["error"]["code"], "expired", "{result}");
    assert!(posted(&it, "/rest/audio/muted").is_empty());
    it.stop().await;
}

#[tokio::test]
async fn a_retained_command_is_ignored() {
    let it = Gateway::start_online(Options::default()).await;
    it.client
        .publish_with("room/1/audio/mute", "", false, PublishProperties::default())
        .await;
    until_results(&it, "room/1/audio/mute", 1).await;
    it.client
        .publish_with(
            "room/1/audio/volume/set",
            "7",
            true,
            PublishProperties::default(),
        )
        .await;
    until_results(&it, "room/1/audio/volume/set", 1).await;
    let result = &results(&it, "room/1/audio/volume/set")[0];
    assert_eq!(result["error"]["code"], "ignored_retained", "{result}");
    assert!(posted(&it, "/rest/audio/volume").is_empty());
    it.stop().await;
}

#[tokio::test]
async fn what_the_mqtt_door_refuses_is_an_event_like_any_failure() {
    let it = Gateway::start_online(Options::default()).await;
    let bad_response = PublishProperties {
        response_topic: Some("gateway/info".into()),
        ..PublishProperties::default()
    };
    let refused = [
        ("audio/volume/set", "7", true, PublishProperties::default()),
        ("audio/unmute", "", false, bad_response),
    ];
    for (command, payload, retain, properties) in refused {
        let topic = format!("room/1/{command}");
        it.client
            .publish_with(&topic, payload, retain, properties)
            .await;
    }
    let large = vec![b'x'; (10 << 20) + 1];
    it.client.command("room/1/directory/import", large).await;
    let failed = |client: &Client| {
        let events = client.messages("room/1/event/command_failed");
        let code = |event: &Publish| {
            let event: Value = serde_json::from_slice(&event.payload).unwrap();
            (event["command"].clone(), event["code"].clone())
        };
        events.iter().map(code).collect::<Vec<_>>()
    };
    it.client
        .until("three events", |client| failed(client).len() == 3)
        .await;
    assert_eq!(
        failed(&it.client),
        [
            ("audio/volume/set", "ignored_retained"),
            ("audio/unmute", "invalid_payload"),
            ("directory/import", "too_large"),
        ]
        .map(|(command, code)| (command.into(), code.into()))
    );
    it.stop().await;
}

fn moves(it: &Gateway) -> Value {
    it.device.state()["cameras"]["moves"].clone()
}

const LEFT: &str = "near/selectedpeople MOVE_LEFT";
const STOP: &str = "near/selectedpeople stop";

#[tokio::test]
async fn a_timed_move_stops_by_itself_though_its_sender_is_gone() {
    let it = Gateway::start_online(Options::default()).await;
    let sender = poly2mqtt_test_support::client::Client::connect(it.port).await;
    let result = sender
        .command(
            "room/1/camera/move",
            "{\"direction\":\"left\",\"duration_ms\":400}",
        )
        .await;
    assert_eq!(result["ok"], true, "{result}");
    drop(sender);
    let stopped =
        |device: &SimulatedDevice| device.state()["cameras"]["moves"] == json!([LEFT, STOP]);
    assert!(it.device.wait_for(SOON, stopped).await, "{}", moves(&it));
    it.stop().await;
}

#[tokio::test]
async fn a_stop_that_the_device_refuses_is_sent_again() {
    let it = Gateway::start_online(Options::default()).await;
    it.client
        .command(
            "room/1/camera/move",
            "{\"direction\":\"left\",\"duration_ms\":300}",
        )
        .await;
    it.device.add_fault(
        Fault::on("/rest/cameras/near/selectedpeople", FaultKind::Status(503))
            .method("POST")
            .times(2),
    );
    let stopped = |device: &SimulatedDevice| device.state()["cameras"]["moving"].is_null();
    assert!(it.device.wait_for(SOON, stopped).await, "{}", moves(&it));
    assert_eq!(moves(&it), json!([LEFT, STOP]));
    it.stop().await;
}

/// While a camera stop is pending, the gateway looks for the device more often.
#[tokio::test]
async fn a_camera_that_moves_while_its_device_is_away_is_stopped_soon_after() {
    let it = Gateway::start_online(Options::default()).await;
    let result = it.moves_left(300).await;
    assert_eq!(result["ok"], true, "{result}");
    // Long enough for the delay between attempts to grow to several seconds.
    it.device.reboot(Duration::from_secs(7));
    it.camera_stops(Duration::from_secs(11)).await;
    it.stop().await;
}

/// A start whose outcome was unknown reaches the camera after its stop: another stop follows.
#[tokio::test]
async fn a_move_that_comes_late_is_stopped() {
    let it = Gateway::start_online(Options::default()).await;
    let camera = "/rest/cameras/near/selectedpeople";
    hold(&it, "POST", camera, Duration::from_secs(4));
    let result = it.moves_left(300).await;
    assert_eq!(result["error"]["code"], "timeout", "{result}");
    let moved = |device: &SimulatedDevice| {
        let moves = &device.state()["cameras"]["moves"];
        moves.as_array().unwrap().contains(&json!(LEFT))
    };
    assert!(it.device.wait_for(SOON, moved).await, "{}", moves(&it));
    it.camera_stops(SOON).await;
    it.stop().await;
}

#[tokio::test]
async fn a_camera_that_moves_at_the_end_is_stopped() {
    let it = Gateway::start_online(Options::default()).await;
    it.client.command("room/1/camera/move", "left").await;
    let device = it.device.clone();
    it.service.stop().await;
    assert_eq!(device.state()["cameras"]["moves"], json!([LEFT, STOP]));
    assert_eq!(device.sessions(), 0);
    device.stop().await;
}

#[tokio::test]
async fn commands_at_the_end_are_finished_or_answered() {
    let it = Gateway::start_online(Options::default()).await;
    held(&it, "/rest/audio/volume", "audio/volume/set", "9").await;
    it.client.publish("room/1/audio/dtmf/play", "1").await;
    let (device, client) = (it.device.clone(), it.client);
    // What is answered at once shows that the room ends. Only then the device lets the other one go.
    let lets_go = async {
        client.message("room/1/audio/dtmf/play/result").await;
        device.end_delays();
    };
    tokio::join!(it.service.stop(), lets_go);
    client.expect("gateway/availability", "offline").await;
    assert_eq!(device.state()["audio"]["volume"], 9);
    let set: Value =
        serde_json::from_str(&client.last("room/1/audio/volume/set/result").unwrap()).unwrap();
    assert_eq!(set["ok"], true, "{set}");
    let dtmf: Value =
        serde_json::from_str(&client.last("room/1/audio/dtmf/play/result").unwrap()).unwrap();
    assert_eq!(dtmf["error"]["code"], "offline", "{dtmf}");
    device.stop().await;
}
