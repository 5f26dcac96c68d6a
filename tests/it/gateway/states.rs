//! The retained topics: what they say, and when they change.

use std::time::Duration;

use poly2mqtt::config::Secret;
use poly2mqtt_simulator::{Fault, FaultKind, Options, SimulatedDevice};
use serde_json::Value;

use poly2mqtt_test_support::client::{Client, text};
use poly2mqtt_test_support::gateway::Gateway;
use poly2mqtt_test_support::{BrokerKind, SOON};

/// The newest event of this name, once there is one: a state of the same change may come before it.
async fn event(client: &Client, name: &str) -> Value {
    let newest = client.message(&format!("room/1/event/{name}")).await;
    serde_json::from_str(&text(&newest)).unwrap()
}

#[tokio::test]
async fn what_a_person_in_the_room_does_shows() {
    let it = Gateway::start_online(Options::default()).await;
    it.client.expect("room/1/audio/muted", "false").await;
    it.device.person_mutes(true);
    it.client.expect("room/1/audio/muted", "true").await;
    it.stop().await;
}

/// The states that a command changes are published before its result, with what the device says.
#[tokio::test]
async fn states_come_before_the_result() {
    let it = Gateway::start_online(Options::default()).await;
    it.client.expect("room/1/audio/volume", "62").await;
    it.client.command("room/1/audio/volume/set", "12").await;
    let all = it.client.all();
    let place = |topic: &str, payload: &str| {
        let is = |(t, p): &(String, String)| t == topic && p.starts_with(payload);
        all.iter().position(is).unwrap()
    };
    assert!(place("room/1/audio/volume", "12") < place("room/1/audio/volume/set/result", "{"));
    it.stop().await;
}

#[tokio::test]
async fn a_refused_command_changes_no_state() {
    let it = Gateway::start_online(Options::default()).await;
    it.client.expect("room/1/audio/volume", "62").await;
    let fault = Fault::on("/rest/audio/volume", FaultKind::Status(500)).method("POST");
    it.device.add_fault(fault.times(1));
    it.client.command("room/1/audio/volume/set", "12").await;
    it.client.command("room/1/audio/get", "").await;
    assert_eq!(it.client.messages("room/1/audio/volume").len(), 1);
    it.stop().await;
}

#[tokio::test]
async fn a_call_comes_in_is_answered_and_ends() {
    let it = Gateway::start_online(Options::default()).await;
    it.client.expect("room/1/call/state", "idle").await;
    let id = it.device.person_calls_in("bob@example.com");
    it.client.expect("room/1/call/state", "ringing").await;
    it.client.expect("room/1/call/count", "0").await;
    let incoming = event(&it.client, "incoming_call").await;
    assert_eq!(incoming["address"], "bob@example.com");
    assert_eq!(incoming["connection"], id.as_str());
    let result = it.client.command("room/1/call/answer", "").await;
    assert_eq!(result["ok"], true, "{result}");
    it.client.expect("room/1/call/state", "connected").await;
    assert_eq!(
        event(&it.client, "call_connected").await["connection"],
        id.as_str()
    );
    it.client.message("room/1/call/media_stats").await;
    it.client.expect("room/1/call/in_meeting", "true").await;
    let result = it.client.command("room/1/call/hangup", "").await;
    assert_eq!(result["ok"], true, "{result}");
    it.client.expect("room/1/call/state", "idle").await;
    assert_eq!(event(&it.client, "call_ended").await["answered"], true);
    // States that exist only in a call are cleared with it.
    it.client.expect("room/1/call/media_stats", "").await;
    let events = it.client.messages("room/1/event/incoming_call");
    assert_eq!(events.len(), 1);
    assert!(!events[0].retain);
    it.stop().await;
}

#[tokio::test]
async fn a_call_can_be_rejected_and_one_that_is_not_there_cannot() {
    let it = Gateway::start_online(Options::default()).await;
    let result = it.client.command("room/1/call/answer", "").await;
    assert_eq!(result["error"]["code"], "not_found", "{result}");
    it.device.person_calls_in("bob@example.com");
    it.client.expect("room/1/call/state", "ringing").await;
    let result = it.client.command("room/1/call/reject", "").await;
    assert_eq!(result["ok"], true, "{result}");
    it.client.expect("room/1/call/state", "idle").await;
    assert_eq!(event(&it.client, "call_ended").await["answered"], false);
    // A hang-up without a call succeeds.
    let result = it.client.command("room/1/call/hangup", "").await;
    assert_eq!(result["ok"], true, "{result}");
    it.stop().await;
}

#[tokio::test]
async fn presets_are_numbered_as_people_do_though_the_device_counts_from_zero() {
    let it = Gateway::start_online(Options {
        zero_based_presets: true,
        ..Options::default()
    })
    .await;
    let presets = it.client.message("room/1/camera/presets").await;
    let presets: Value = serde_json::from_str(&text(&presets)).unwrap();
    assert_eq!(presets[0]["index"], 1);
    let result = it
        .client
        .command("room/1/camera/preset/3/activate", "")
        .await;
    assert_eq!(result["ok"], true, "{result}");
    let journal = it.device.journal();
    let activated = |path: &str| journal.iter().any(|entry| entry.path == path);
    assert!(activated("/rest/cameras/near/presets/2"));
    it.stop().await;
}

/// A device may number its presets from 0 or from 1. If the first read of them failed, the gateway
/// finds out before it recalls one.
#[tokio::test]
async fn how_the_device_counts_its_presets_is_asked_before_one_is_used() {
    let mut it = Gateway::start_online(Options {
        zero_based_presets: true,
        ..Options::default()
    })
    .await;
    let all = "/rest/cameras/near/presets/all";
    it.device
        .add_fault(Fault::on(all, FaultKind::Status(503)).times(1));
    let mut config = it.config.clone();
    for room in config.rooms.values_mut().map(std::sync::Arc::make_mut) {
        room.keep_alive = false;
    }
    it.device.clear_journal();
    it.service.reload(config).await.unwrap();
    let failed = |device: &SimulatedDevice| {
        let journal = device.journal();
        journal.iter().any(|entry| entry.path == all)
    };
    assert!(it.device.wait_for(SOON, failed).await);
    let result = it.client.command("room/1/camera/preset/3/activate", "");
    let result = result.await;
    assert_eq!(result["ok"], true, "{result}");
    assert_eq!(it.device.state()["cameras"]["active_preset"], 2);
    it.stop().await;
}

/// An endpoint that a device lacks is asked for a few times and then left out. All others continue.
#[tokio::test]
async fn an_endpoint_that_is_missing_is_left_alone() {
    let it = Gateway::start_online(Options {
        lacks: vec!["/rest/audio/microphones".into(), "/rest/calendar".into()],
        ..Options::default()
    })
    .await;
    it.client.message("room/1/directory/local_server").await;
    it.device.person_mutes(true);
    it.client.expect("room/1/audio/muted", "true").await;
    let asked = |path: &str| {
        let journal = it.device.journal();
        journal.iter().filter(|entry| entry.path == path).count()
    };
    let often = |_: &SimulatedDevice| asked("/rest/audio/microphones") == 4;
    assert!(it.device.wait_for(SOON, often).await);
    let before = it.device.journal().len();
    let reads = |device: &SimulatedDevice| device.journal().len() > before + 60;
    assert!(it.device.wait_for(SOON, reads).await);
    assert_eq!(asked("/rest/audio/microphones"), 4);
    assert_eq!(asked("/rest/calendar"), 4);
    assert!(it.client.messages("room/1/audio/microphones").is_empty());
    let result = it.client.command("room/1/audio/microphones/get", "").await;
    assert_eq!(result["error"]["code"], "unsupported", "{result}");
    it.stop().await;
}

/// A device in trouble may answer 404 for what it has. Such endpoints are read again later.
#[tokio::test]
async fn what_is_missing_for_a_moment_comes_back() {
    let it = Gateway::start_online(Options::default()).await;
    it.client.expect("room/1/video/muted", "false").await;
    it.client.message("room/1/camera/presets").await;
    for path in ["/rest/video/local/mute", "/rest/cameras/near/presets/all"] {
        it.device
            .add_fault(Fault::on(path, FaultKind::Status(404)).times(3));
    }
    it.client.expect("room/1/video/muted", "").await;
    it.client.expect("room/1/camera/presets", "").await;
    it.client.expect("room/1/video/muted", "false").await;
    let presets = |client: &Client| client.last("room/1/camera/presets").unwrap() != "";
    it.client.until("the presets", presets).await;
    it.never_offline();
    it.stop().await;
}

/// What a device lacks once or twice, also just after its start, keeps its state.
#[tokio::test]
async fn what_is_missing_once_or_twice_is_kept() {
    let it = Gateway::start_online(Options::default()).await;
    it.client.expect("room/1/video/muted", "false").await;
    let path = "/rest/video/local/mute";
    for reboots in [false, true] {
        it.device.clear_journal();
        it.device
            .add_fault(Fault::on(path, FaultKind::Status(404)).times(2));
        if reboots {
            it.device.reboot(Duration::from_millis(300));
        }
        let read = |device: &SimulatedDevice| {
            let journal = device.journal();
            let reads = journal.iter().filter(|entry| entry.path == path);
            let statuses: Vec<_> = reads.map(|entry| entry.status).collect();
            statuses.ends_with(&[404, 404, 200])
        };
        assert!(it.device.wait_for(SOON, read).await, "reboots {reboots}");
    }
    let said = it.client.messages("room/1/video/muted");
    assert!(said.iter().all(|said| !said.payload.is_empty()));
    it.stop().await;
}

/// An endpoint that fails neither stops the others nor takes the room offline.
#[tokio::test]
async fn one_bad_endpoint_stops_no_other() {
    let it = Gateway::start_online(Options::default()).await;
    for kind in [
        FaultKind::Status(500),
        FaultKind::Garbage,
        FaultKind::Huge(12 << 20),
        FaultKind::Null,
    ] {
        it.device.clear_faults();
        it.device
            .add_fault(Fault::on("/rest/video/local/mute", kind));
        let muted = it.client.last("room/1/audio/muted").as_deref() == Some("true");
        it.device.person_mutes(!muted);
        it.client
            .expect("room/1/audio/muted", &(!muted).to_string())
            .await;
    }
    it.never_offline();
    it.stop().await;
}

/// Commands that wait for answers leave no slot for polls, but their time-outs also show that the
/// device is offline.
#[tokio::test]
async fn a_device_that_answers_no_command_is_offline() {
    let it = Gateway::start_online(Options::default()).await;
    let late = FaultKind::Delay(Duration::from_secs(30));
    it.device.add_fault(Fault::on("/rest/", late));
    let commands = async {
        loop {
            it.client.publish("room/1/call/dial", "a@b").await;
            it.client.publish("room/1/system/logs/get", "").await;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    tokio::select! {
        () = commands => {}
        () = it.client.expect("room/1/availability", "offline") => {}
    }
    it.device.clear_faults();
    it.stop().await;
}

#[tokio::test]
async fn a_snapshot_is_published_raw_and_stays() {
    let it = Gateway::start_online(Options::default()).await;
    let result = it
        .client
        .command("room/1/camera/snapshot/near/get", "")
        .await;
    assert_eq!(result["body"]["content_type"], "image/jpeg", "{result}");
    let late = Client::connect(it.port).await;
    let picture = late.message("room/1/camera/snapshot/near").await;
    assert!(picture.retain);
    assert_eq!(&picture.payload[..2], b"\xff\xd8");
    assert_eq!(result["body"]["bytes"], picture.payload.len());
    it.stop().await;
}

#[tokio::test]
async fn the_gateway_tells_of_itself() {
    // Not the usual password: its digits could occur in a time, a port or a fingerprint.
    let password = "never to be told";
    let options = Options {
        password: password.into(),
        ..Options::default()
    };
    let it = Gateway::start_with(BrokerKind::Embedded, options, |room| {
        room.password = Secret::new(password);
    })
    .await;
    it.online().await;
    let info: Value =
        serde_json::from_str(&text(&it.client.message("gateway/info").await)).unwrap();
    assert_eq!(info["version"], env!("CARGO_PKG_VERSION"));
    assert!(info["rooms"]["1"].is_null());
    assert!(!info.to_string().contains(password));
    let health: Value =
        serde_json::from_str(&text(&it.client.message("gateway/health").await)).unwrap();
    assert_eq!(health["rooms"], 1);
    it.stop().await;
}

/// A device answers with one favourite where no limit is given.
#[tokio::test]
async fn all_favourites_are_a_state_and_a_page_of_them_is_not() {
    let it = Gateway::start_online(Options::default()).await;
    let topic = "room/1/directory/favorites";
    let ids = |text: Option<String>| {
        let page: Value = serde_json::from_str(&text.unwrap_or_default()).unwrap_or_default();
        let entries = page["entries"].as_array().cloned().unwrap_or_default();
        let ids = entries.iter().map(|entry| entry["id"].to_string());
        ids.collect::<String>()
    };
    for entry in ["e2", "e3"] {
        let command = format!("room/1/directory/local/entry/{entry}/favorite/set");
        assert_eq!(it.client.command(&command, "on").await["ok"], true);
    }
    let all = r#""e1""e2""e3""#;
    it.client
        .until("all favourites", |client| ids(client.last(topic)) == all)
        .await;
    it.client.clear();
    let get = format!("{topic}/get");
    for (payload, wanted) in [("", all), (r#"{"limit":2}"#, r#""e1""e2""#)] {
        let result = it.client.command(&get, payload).await;
        assert_eq!(ids(Some(result["body"].to_string())), wanted, "{payload}");
    }
    // The next read comes after the page, and has brought no other value.
    it.device.clear_journal();
    let read = |device: &SimulatedDevice| {
        let journal = device.journal();
        journal
            .iter()
            .any(|entry| entry.path == "/rest/directory/favorites")
    };
    assert!(it.device.wait_for(SOON, read).await);
    assert!(it.client.messages(topic).is_empty());
    it.stop().await;
}
