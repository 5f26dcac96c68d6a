//! Recorded answers of real devices, played to the gateway: every state as it should stand.
//!
//! What a state should be is written by hand from the recording. Only lists and objects that the gateway
//! passes on unchanged are taken from the recording itself.

mod replay;

use std::collections::BTreeMap;

use poly2mqtt::app::App;
use poly2mqtt::config::{BrokerUrl, Certificate, RoomId};
use poly2mqtt_simulator::{Options, SimulatedDevice};
use poly2mqtt_test_support::client::Client;
use poly2mqtt_test_support::gateway::{config, room, timings};
use poly2mqtt_test_support::until;
use serde_json::{Value, json};

use replay::{Recording, Replay};

/// A gateway with one room whose device plays a recording.
struct Played {
    device: Replay,
    app: App,
    client: Client,
}

/// By the topic below the room.
type States = BTreeMap<String, Value>;

impl Played {
    async fn start(recording: Recording) -> Self {
        let device = Replay::start(recording).await;
        // Only its configuration is of use.
        let simulated = SimulatedDevice::start(Options::default()).await.unwrap();
        let mut room = room(&simulated);
        simulated.stop().await;
        room.url = device.url.clone();
        room.certificate = Certificate::Insecure;
        let rooms = BTreeMap::from([(RoomId::new("1").unwrap(), room)]);
        let broker = BrokerUrl::Embedded(([127, 0, 0, 1], 0).into());
        let app = App::start(config(broker, rooms), timings()).await.unwrap();
        app.connected().await;
        let port = app.broker_addr().unwrap().port();
        let client = Client::connect(port).await;
        client.expect("room/1/availability", "online").await;
        let played = Self {
            device,
            app,
            client,
        };
        played.all_was_read().await;
        played
    }

    /// Waits until the device was asked for everything since the log-in.
    async fn all_was_read(&self) {
        let complete = || {
            let status = self.app.store().room("1");
            status.is_some_and(|status| status.complete)
        };
        // The slow states come last.
        until(|| "everything is read".into(), async || complete()).await;
    }

    /// Every state of the room: JSON where it is JSON, otherwise text.
    fn states(&self) -> States {
        let store = self.app.store();
        let topics = store.topics_below("room/1/");
        let state = |topic: &std::sync::Arc<str>| {
            let payload = store.get(topic)?.payload;
            let text = String::from_utf8(payload.to_vec()).unwrap();
            let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
            Some((topic.strip_prefix("room/1/")?.to_owned(), value))
        };
        topics.iter().filter_map(state).collect()
    }

    /// Compares all states with what they should be.
    fn should_be(&self, wanted: &[(&str, Value)]) {
        let mut states = self.states();
        // It depends on when the recording is played.
        let started = states.remove("system/boot_time");
        assert!(
            started.is_some_and(|started| started.as_str().is_some_and(|it| it.ends_with('Z')))
        );
        let wanted: BTreeMap<_, _> = wanted.iter().map(|(t, v)| (*t, v)).collect();
        for (topic, value) in &wanted {
            assert_eq!(states.get(*topic), Some(*value), "{topic}");
        }
        let more: Vec<_> = states
            .iter()
            .filter(|(topic, _)| !wanted.contains_key(topic.as_str()))
            .collect();
        assert!(more.is_empty(), "{more:#?}");
    }

    async fn stop(self) {
        self.client.never_offline("1");
        self.app.stop().await;
    }
}

/// What is paired, by its id, without addresses in the network.
fn paired(mut list: Value) -> Value {
    let devices = list.as_array_mut().unwrap();
    devices.sort_by_key(|device| ["uid", "serialNumber"].map(|name| device[name].to_string()));
    for device in devices {
        for left_out in ["connectionType", "ip", "macAddress", "networkInterface"] {
            device.as_object_mut().unwrap().shift_remove(left_out);
        }
    }
    list
}

/// What stands of every room that is well.
fn well() -> Vec<(&'static str, Value)> {
    vec![
        ("availability", json!("online")),
        ("problem", json!({"code": "none"})),
        (
            "session",
            json!({"role": "ADMIN", "userId": "admin", "authenticated": true}),
        ),
        // There are none without a call, so these answer 404.
        ("camera/far", json!("none")),
        ("camera/far/selected_people", json!("none")),
    ]
}

/// What both devices say of their health.
fn health() -> [(&'static str, Value); 3] {
    [
        ("system/reboot_needed", json!(false)),
        (
            "system/lan",
            json!({"duplex": "FULL", "speedMbps": 1000, "state": "LAN_UP"}),
        ),
        ("system/time_server", json!("TIMESERVER_UP")),
    ]
}

fn panel(id: &str) -> Value {
    json!({
        "id": id, "type": "TOUCHCONTROL", "name": "Poly TC8", "state": "CONNECTED", "connected": true,
    })
}

#[tokio::test]
async fn a_studio_x30_with_3_12_0_that_sleeps() {
    let recording = Recording::read("studio-x30-3.12.0.json");
    let status = recording.body("GET /rest/system/status");
    let devices = paired(recording.body("POST /rest/current/devicemanagement/devices"));
    let played = Played::start(recording).await;
    let server =
        json!([{"address": "192.0.2.93", "model": "Unknown", "state": "UP", "version": ""}]);
    let gatekeeper = json!([{"address": "192.0.2.93", "model": "", "state": "UP", "version": ""}]);
    let mut wanted = well();
    wanted.extend([
        (
            "audio",
            json!({"muteLocked": false, "muted": true, "numOfMicsConnected": 1, "volume": 39}),
        ),
        ("audio/muted", json!(true)),
        ("audio/mute_locked", json!(false)),
        ("audio/volume", json!(39)),
        ("audio/microphones_connected", json!(1)),
        (
            "audio/microphones",
            json!([{
                "hwVersion": "NA", "mute": false, "number": 0, "parentID": 0,
                "state": "MIC_STATE_GREEN", "swVersion": "NA", "type": 84,
                "typeInString": "Polycom Kitten Mic",
            }]),
        ),
        ("calls", json!([])),
        ("call/state", json!("idle")),
        ("call/count", json!(0)),
        (
            "call/capabilities",
            json!({"canBlastDial": false, "canMakeAudioCall": true, "canMakeVideoCall": true}),
        ),
        ("camera/content_status", json!("CONTENT_IDLE")),
        (
            "collaboration",
            json!({"sessionId": "Local Session", "sessionState": "INACTIVE"}),
        ),
        ("system/device_mode", json!(false)),
        ("system/signage", json!(true)),
        ("video/muted", json!(false)),
        ("system/sip_servers", server),
        ("system/h323_gatekeepers", gatekeeper),
        ("system/state", json!("ASLEEP")),
        // Without what changes with every reading: state, systemTime and uptime.
        (
            "system/info",
            json!({
                "build": "366027", "buildType": "Release", "hardwareVersion": "1",
                "lanStatus": {"duplex": "FULL", "speedMbps": 1000, "state": "LAN_UP"},
                "model": "StudioX30", "rebootNeeded": false, "serialNumber": "8L000000000001",
                "softwareVersion": "3.12.0", "systemName": "StudioX30-000001",
                "timeOffset": -14_400_000, "timeServerState": "TIMESERVER_UP",
            }),
        ),
        ("system/devices", devices),
        (
            "system/providers",
            json!([
                {
                    "appName": "Poly", "appSize": 2_105_179, "ecoMode": true,
                    "lastUpdatedOn": 1_655_177_675_000_i64,
                    "packageName": "com.poly.polylauncher", "personaName": "Poly",
                    "polyCallFeaturesEnabled": true, "versionInfo": "1.0",
                },
                {
                    "appName": "Device Mode", "appSize": 27_089_127, "ecoMode": true,
                    "lastUpdatedOn": 1_655_177_675_000_i64,
                    "packageName": "com.polycom.camuvc", "personaName": "camuvc",
                    "polyCallFeaturesEnabled": false, "versionInfo": "1.0",
                },
            ]),
        ),
        ("system/status", status),
        ("system/status/autoanswerp2p", json!("up")),
        ("system/status/calendar", json!("off")),
        ("system/status/gatekeeper", json!("up")),
        ("system/status/globaldirectory", json!("off")),
        ("system/status/ipnetwork", json!("up")),
        ("system/status/logthreshold", json!("off")),
        ("system/status/mr.audio", json!("all_up")),
        ("system/status/mr.camera", json!("all_up")),
        ("system/status/provisioning", json!("off")),
        ("system/status/remotecontrol", json!("off")),
        ("system/status/sipserver", json!("up")),
        ("system/status/trackablecamera", json!("up")),
        ("system/log_full", json!(false)),
        ("system/touch_panel/8L000000000002", panel("8L000000000002")),
    ]);
    wanted.extend(health());
    played.should_be(&wanted);
    // Each of them can be asked for, too.
    for (topic, body) in [
        ("audio/volume", json!(39)),
        ("audio/muted", json!(true)),
        ("video/muted", json!(false)),
        ("camera/content_status", json!("CONTENT_IDLE")),
        ("system/state", json!("ASLEEP")),
    ] {
        let query = format!("room/1/{topic}/get");
        let result = played.client.command(&query, "").await;
        assert_eq!(
            (&result["ok"], &result["body"]),
            (&json!(true), &body),
            "{result}"
        );
    }
    // Who holds its eight sessions, without their ids.
    let result = played.client.command("room/1/session/list/get", "").await;
    let list = result["body"].as_array().unwrap();
    let first = json!({
        "userId": "admin", "role": "ADMIN", "location": "192.0.2.206", "clientType": "WEB",
        "isConnected": false, "isStale": false,
    });
    assert_eq!((list.len(), &list[0]), (8, &first));
    let told = played.client.all();
    assert!(told.iter().all(|(_, payload)| !payload.contains("PS0")));
    played.stop().await;
}

/// The states of the device with 3.10.0 that do not depend on calls.
fn x30_3_10_0(recording: &Recording) -> Vec<(&'static str, Value)> {
    let mut wanted = well();
    wanted.extend([
        // It answers 404, which is no collaboration.
        ("collaboration", json!("none")),
        // Twelve, with gaps in their numbers: one camera, inputs and virtual devices.
        ("camera/near", recording.body("GET /rest/cameras/near/all")),
        (
            "camera/near/connected",
            json!({"people": [{"index": 1, "name": "Main"}], "content": []}),
        ),
        (
            "system/devices",
            paired(recording.body("POST /rest/devicemanagement/devices")),
        ),
        ("system/state", json!("READY")),
        (
            "call/last",
            json!({
                "address": "testcall@example.com", "name": "testcall", "direction": "outgoing",
                "outcome": "answered", "missed": false, "duration": 7,
                "started": "2022-09-29T16:49:10Z", "ended": "2022-09-29T16:49:17Z",
                "cause_code": 0,
            }),
        ),
        (
            "system/info",
            json!({
                "build": "362035", "buildType": "dev", "hardwareVersion": "1",
                "lanStatus": {"duplex": "FULL", "speedMbps": 1000, "state": "LAN_UP"},
                "model": "StudioX30", "rebootNeeded": false, "serialNumber": "8L000000000011",
                "softwareVersion": "3.10.0", "systemName": "StudioX30-000011",
                "timeOffset": 7_200_000, "timeServerState": "TIMESERVER_UP",
            }),
        ),
        ("system/status", recording.body("GET /rest/system/status")),
        ("system/status/autoanswerp2p", json!("off")),
        ("system/status/calendar", json!("off")),
        ("system/status/gatekeeper", json!("unknown")),
        ("system/status/globaldirectory", json!("off")),
        ("system/status/ipnetwork", json!("up")),
        ("system/status/logthreshold", json!("full")),
        ("system/status/mr.audio", json!("all_up")),
        ("system/status/mr.camera", json!("all_up")),
        ("system/status/provisioning", json!("down")),
        ("system/status/remotecontrol", json!("off")),
        ("system/status/sipserver", json!("up")),
        ("system/status/trackablecamera", json!("up")),
        ("system/log_full", json!(true)),
        ("system/touch_panel/8L000000000012", panel("8L000000000012")),
    ]);
    wanted.extend(health());
    wanted
}

fn event(played: &Played, name: &str) -> Value {
    let payload = played.client.last(&format!("room/1/event/{name}"));
    serde_json::from_str(&payload.unwrap()).unwrap()
}

/// The device has no `/rest/audio` in the recording. It is understood all the same.
#[tokio::test]
async fn a_studio_x30_with_3_10_0_from_a_ring_to_the_end_of_a_call() {
    let recording = Recording::read("studio-x30-3.10.0.json");
    let wanted = x30_3_10_0(&recording);
    let ringing = recording.body("GET /rest/conferences (somebody rings)");
    let in_call = recording.body("GET /rest/conferences (in a call)");
    let played = Played::start(recording).await;
    let with = |calls: Value, state: &str, count: u64| {
        let mut wanted = wanted.clone();
        wanted.extend([
            ("calls", calls),
            ("call/state", json!(state)),
            ("call/count", json!(count)),
        ]);
        wanted
    };
    played.should_be(&with(json!([]), "idle", 0));

    // An entry PENDING with a connection is a call that rings.
    played.device.goes_on("somebody rings");
    played.client.expect("room/1/call/state", "ringing").await;
    played.client.message("room/1/event/incoming_call").await;
    played.should_be(&with(ringing, "ringing", 0));
    let caller = json!({
        "event_type": "incoming_call", "conference": "PENDING", "connection": "2",
        "address": "hdx9000@example.com", "incoming": true,
    });
    assert_eq!(event(&played, "incoming_call"), caller);
    played.client.command("room/1/call/answer", "").await;
    let sent = "POST /rest/conferences/callaction {\"callActionType\":\"ANSWER\",\"id\":\"2\"}";
    let alike = "POST /rest/conferences/callaction {\"id\":\"2\",\"callActionType\":\"ANSWER\"}";
    let requests = played.device.requests();
    let answered = |request: &String| request == sent || request == alike;
    assert!(requests.iter().any(answered), "{requests:#?}");

    // A live call, with an entry PENDING beside it that has no connections.
    played.device.goes_on("in a call");
    played.client.expect("room/1/call/state", "connected").await;
    played.client.message("room/1/event/call_connected").await;
    played.should_be(&with(in_call, "connected", 1));
    let connected = json!({
        "event_type": "call_connected", "conference": "0", "connection": "6",
        "address": "testcall@example.com", "incoming": false,
    });
    assert_eq!(event(&played, "call_connected"), connected);
    // The call that rang was not answered.
    let ended = event(&played, "call_ended");
    assert_eq!(
        (&ended["connection"], &ended["answered"]),
        (&json!("2"), &json!(false))
    );
    played.client.command("room/1/call/hangup", "").await;
    let requests = played.device.requests();
    let hung_up: Vec<_> = requests
        .iter()
        .filter(|it| it.starts_with("DELETE /rest/conf"))
        .collect();
    assert_eq!(hung_up, ["DELETE /rest/conferences/0"]);
    played.stop().await;
}
