//! The device's own configuration: what is read and set by name, which names are states, and what is
//! never shown.

use std::time::Duration;

use poly2mqtt::config::RoomConfig;
use poly2mqtt_simulator::{Fault, FaultKind, Firmware, Options};
use poly2mqtt_test_support::gateway::{Gateway, poll_quickly};
use poly2mqtt_test_support::{BrokerKind, SOON};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

const SYSTEM_NAME: &str = "system.info.systemname";
const VOLUME: &str = "audio.volume.speakervolume";
const HOST_NAME: &str = "system.network.hostname";
/// The simulator marks it as secure.
const SECRET: &str = "comm.nics.sipnic.sippassword";
/// The simulator marks it as hidden.
const HIDDEN: &str = "system.internal.supportkey";
/// The values of these two.
const NEVER_SHOWN: [&str; 2] = ["sip-secret-4711", "hidden-support-key"];

fn quickly(room: &mut RoomConfig, settings: &[&str]) {
    poll_quickly(room);
    room.settings = settings.iter().map(|name| (*name).to_owned()).collect();
}

async fn start(settings: &[&str]) -> Gateway {
    Gateway::start_online_with(Options::default(), |room| {
        quickly(room, settings);
    })
    .await
}

/// The bodies that the device got at `config` since the last call.
fn sent(it: &Gateway) -> Vec<Value> {
    let entries = it.device.take_journal().into_iter();
    let ours = entries.filter(|entry| entry.path == "/rest/config" && entry.method == "POST");
    ours.map(|entry| serde_json::from_slice(&entry.body).unwrap())
        .collect()
}

/// Checks that nothing that the client received holds one of these texts, but what it sent itself.
fn nowhere(it: &Gateway, secrets: &[&str]) {
    let told = it.client.all().into_iter();
    for (topic, payload) in told.filter(|(topic, _)| !topic.ends_with("/config/set")) {
        for secret in secrets {
            assert!(!payload.contains(secret), "{topic} {payload}");
        }
    }
}

#[tokio::test]
async fn values_are_read_by_name() {
    let it = start(&[]).await;
    it.device.clear_journal();
    for (payload, names) in [
        (SYSTEM_NAME.to_owned(), json!([SYSTEM_NAME])),
        (
            json!({"names": [VOLUME, "no.such.name"]}).to_string(),
            json!([VOLUME, "no.such.name"]),
        ),
        (format!("{SECRET}, {HIDDEN}"), json!([SECRET, HIDDEN])),
    ] {
        let result = it
            .client
            .command("room/1/config/get", payload.as_str())
            .await;
        assert_eq!(result["ok"], true, "{result}");
        assert_eq!(sent(&it), [json!({ "names": names })]);
        let vars = result["body"]["vars"].as_array().unwrap();
        for var in vars {
            let name = var["name"].as_str().unwrap();
            let wanted = match name {
                SYSTEM_NAME => json!("Simulated room"),
                VOLUME => json!(62),
                _ => Value::Null,
            };
            assert_eq!(var["value"], wanted, "{result}");
            let word = if name == "no.such.name" {
                "INVALIDNAME"
            } else {
                "NOERROR"
            };
            assert_eq!(var["result"], word, "{result}");
            let concealed = [SECRET, HIDDEN].contains(&name);
            assert_eq!(var["concealed"] == true, concealed, "{result}");
        }
        assert_eq!(vars.len(), names.as_array().unwrap().len());
    }
    for payload in ["", "systemname", "a/b.c", "[]", "{\"name\":\"a.b\"}"] {
        let result = it.client.command("room/1/config/get", payload).await;
        assert_eq!(
            result["error"]["code"], "invalid_payload",
            "{payload} {result}"
        );
    }
    assert_eq!(sent(&it), Vec::<Value>::new());
    nowhere(&it, &NEVER_SHOWN);
    it.stop().await;
}

#[tokio::test]
async fn the_settings_of_a_room_are_states() {
    let settings = [SYSTEM_NAME, VOLUME, SECRET, HIDDEN, "no.such.name"];
    let it = start(&settings).await;
    it.client
        .expect("room/1/config/system.info.systemname", "Simulated room")
        .await;
    it.client
        .expect("room/1/config/audio.volume.speakervolume", "62")
        .await;
    // One request for all of them, and nothing else.
    for body in sent(&it) {
        assert_eq!(body, json!({ "names": settings }));
    }
    for name in [SYSTEM_NAME, VOLUME] {
        let result = it
            .client
            .command(&format!("room/1/config/{name}/get"), "")
            .await;
        assert_eq!(result["ok"], true, "{result}");
    }
    for (name, words) in [
        (SECRET, "keeps its value secret"),
        ("no.such.name", "keeps its value secret"),
        (HOST_NAME, "is not among the room's settings"),
    ] {
        let result = it
            .client
            .command(&format!("room/1/config/{name}/get"), "")
            .await;
        assert_eq!(result["error"]["code"], "not_found", "{result}");
        let message = result["error"]["message"].as_str().unwrap();
        assert!(message.contains(words), "{message}");
        assert!(
            it.client
                .messages(&format!("room/1/config/{name}"))
                .is_empty()
        );
    }
    nowhere(&it, &NEVER_SHOWN);
    it.stop().await;
}

#[tokio::test]
async fn a_device_cannot_make_states_that_nobody_asked_for() {
    let it = start(&[SYSTEM_NAME]).await;
    it.client
        .expect("room/1/config/system.info.systemname", "Simulated room")
        .await;
    let var = |name: &str, value: Value| json!({"name": name, "value": value, "result": "NOERROR"});
    let vars = [
        var(SYSTEM_NAME, json!("Lab")),
        var(VOLUME, json!(1)),
        var("set", json!(1)),
        var("a/b.c", json!(1)),
    ];
    let body = json!({ "vars": vars }).to_string();
    it.device
        .add_fault(Fault::on("/rest/config", FaultKind::Body(body)));
    it.client
        .expect("room/1/config/system.info.systemname", "Lab")
        .await;
    let topics: Vec<_> = it
        .client
        .all()
        .into_iter()
        .map(|(topic, _)| topic)
        .collect();
    let strange =
        |topic: &&String| topic.starts_with("room/1/config/") && !topic.ends_with(SYSTEM_NAME);
    assert_eq!(topics.iter().find(strange), None);
    it.stop().await;
}

#[tokio::test]
async fn what_is_set_is_read_back_before_the_result() {
    let it = start(&[SYSTEM_NAME, HOST_NAME]).await;
    it.client
        .expect("room/1/config/system.info.systemname", "Simulated room")
        .await;
    let topic = "room/1/config/set";
    for (payload, vars, reboot) in [
        (
            json!({"name": SYSTEM_NAME, "value": "Lab"}),
            json!([{"name": SYSTEM_NAME, "value": "Lab"}]),
            false,
        ),
        (
            json!({"vars": [{"name": HOST_NAME, "value": "lab-1"}, {"name": VOLUME, "value": 40}]}),
            json!([{"name": HOST_NAME, "value": "lab-1"}, {"name": VOLUME, "value": 40}]),
            true,
        ),
    ] {
        it.device.clear_journal();
        let result = it.client.command(topic, payload.to_string()).await;
        assert_eq!(result["ok"], true, "{result}");
        assert!(sent(&it).contains(&json!({ "vars": vars })));
        let names = vars.as_array().unwrap().iter();
        let wanted: Vec<_> = names
            .map(|var| json!({"name": var["name"], "result": "NOERROR"}))
            .collect();
        assert_eq!(
            result["body"],
            json!({"vars": wanted, "reboot_needed": reboot})
        );
        // The state came first.
        let name = vars[0]["name"].as_str().unwrap();
        let state = (
            format!("room/1/config/{name}"),
            vars[0]["value"].as_str().unwrap().to_owned(),
        );
        let all = it.client.all();
        let at = all.iter().position(|told| *told == state);
        let result_at = all
            .iter()
            .rposition(|(told, _)| told == "room/1/config/set/result");
        assert!(at.is_some() && at < result_at, "{at:?} {result_at:?}");
    }
    it.stop().await;
}

#[tokio::test]
async fn what_the_device_refuses_is_named_and_so_is_what_it_did() {
    let it = start(&[SYSTEM_NAME]).await;
    it.client
        .expect("room/1/config/system.info.systemname", "Simulated room")
        .await;
    let fixed = "system.network.wired.ipv4nic.address";
    let vars = json!({"vars": [
        {"name": SYSTEM_NAME, "value": "canary-1"},
        {"name": fixed, "value": "canary-2"},
        {"name": "system.screensavermode", "value": "canary-3"},
        {"name": "no.such.name", "value": "canary-4"},
        {"name": SECRET, "value": "canary-5"},
    ]});
    let result = it
        .client
        .command("room/1/config/set", vars.to_string())
        .await;
    assert_eq!(result["error"]["code"], "device_error", "{result}");
    let wanted = format!(
        "the device did not set {fixed} (NOTEDITABLE), system.screensavermode (INVALIDVALUE), \
         no.such.name (INVALIDNAME); it set {SYSTEM_NAME}, {SECRET}"
    );
    assert_eq!(result["error"]["message"], wanted);
    // What it did set shows at once.
    let name = it.client.last("room/1/config/system.info.systemname");
    assert_eq!(name.as_deref(), Some("canary-1"));
    nowhere(&it, &["canary-2", "canary-3", "canary-4", "canary-5"]);
    for (payload, words) in [
        (
            json!({"name": SYSTEM_NAME}).to_string(),
            "takes name and value, or vars",
        ),
        (
            json!({"name": "x", "value": "canary-6"}).to_string(),
            "name takes",
        ),
        (
            json!({"name": SYSTEM_NAME, "value": ["canary-6"]}).to_string(),
            "what was given",
        ),
        (
            json!({"vars": [{"name": SYSTEM_NAME, "valu": "canary-6"}]}).to_string(),
            "vars takes",
        ),
        ("canary-6".to_owned(), "takes a JSON object"),
        (
            "{\"name\":\"a.b\",\"value\":\"canary-6\"".to_owned(),
            "broken JSON",
        ),
    ] {
        it.device.clear_journal();
        let result = it
            .client
            .command("room/1/config/set", payload.as_str())
            .await;
        assert_eq!(
            result["error"]["code"], "invalid_payload",
            "{payload} {result}"
        );
        let message = result["error"]["message"].as_str().unwrap();
        assert!(message.contains(words), "{payload}: {message}");
        assert!(sent(&it).iter().all(|body| body["vars"].is_null()));
    }
    // A device that repeats the value in its reason. It does not take the value either, or its states would
    // show it.
    let reason = json!({"success": false, "reason": "\"canary-6\" is no good"}).to_string();
    let fault = Fault::on("/rest/config", FaultKind::Body(reason));
    it.device.add_fault(fault.times(3));
    let payload = json!({"name": "system.screensavermode", "value": "canary-6"}).to_string();
    let result = it.client.command("room/1/config/set", payload).await;
    assert_eq!(result["error"]["code"], "device_error", "{result}");
    nowhere(&it, &["canary-6"]);
    it.stop().await;
}

#[tokio::test]
async fn setting_needs_the_rooms_allow_over_mqtt() {
    let it = Gateway::start_with(BrokerKind::Embedded, Options::default(), |room| {
        room.allow = std::sync::Arc::default();
    })
    .await;
    it.online().await;
    for (topic, payload) in [
        (
            "config/set",
            json!({"name": SYSTEM_NAME, "value": "Lab"}).to_string(),
        ),
        ("system/provider/set", "Teams".to_owned()),
    ] {
        it.device.clear_journal();
        let result = it.client.command(&format!("room/1/{topic}"), payload).await;
        assert_eq!(result["error"]["code"], "forbidden", "{result}");
        let posts = it.device.take_journal().into_iter();
        let ours = ["/rest/config", "/rest/current/system/mode"];
        assert_eq!(
            posts
                .filter(|entry| ours.contains(&entry.path.as_str()))
                .count(),
            0
        );
    }
    it.stop().await;
}

#[tokio::test]
async fn a_reload_takes_over_the_settings() {
    let mut it = start(&[SYSTEM_NAME, VOLUME]).await;
    let [name, volume, host] =
        [SYSTEM_NAME, VOLUME, HOST_NAME].map(|name| format!("room/1/config/{name}"));
    it.client.expect(&name, "Simulated room").await;
    it.client.expect(&volume, "62").await;
    for (settings, there, gone) in [
        (
            vec![SYSTEM_NAME, HOST_NAME],
            vec![&name, &host],
            vec![&volume],
        ),
        (vec![], vec![], vec![&name, &host]),
    ] {
        let mut config = it.config.clone();
        for room in config.rooms.values_mut().map(std::sync::Arc::make_mut) {
            quickly(room, &settings);
        }
        it.service.reload(config).await.unwrap();
        for topic in there {
            let is_there = |told: Option<String>| told.is_some_and(|told| !told.is_empty());
            it.client
                .until(topic, |client| is_there(client.last(topic)))
                .await;
        }
        for topic in gone {
            it.client.expect(topic, "").await;
        }
    }
    it.device.clear_journal();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(sent(&it), Vec::<Value>::new());
    it.stop().await;
}

#[tokio::test]
async fn a_device_without_it_is_not_asked_over_and_over() {
    let options = Options {
        firmware: Firmware::V4_0,
        ..Options::default()
    };
    let it = Gateway::start_with(BrokerKind::Embedded, options, |room| {
        quickly(room, &[SYSTEM_NAME]);
    })
    .await;
    it.online().await;
    for (topic, payload) in [
        ("config/get", SYSTEM_NAME.to_owned()),
        (
            "config/set",
            json!({"name": SYSTEM_NAME, "value": "Lab"}).to_string(),
        ),
        ("config/system.info.systemname/get", String::new()),
    ] {
        let result = it.client.command(&format!("room/1/{topic}"), payload).await;
        assert_eq!(result["error"]["code"], "unsupported", "{topic} {result}");
    }
    // After a few answers that it lacks them it is not asked any more: for ten times the interval.
    let is_quiet = async {
        loop {
            it.device.clear_journal();
            sleep(Duration::from_secs(1)).await;
            if sent(&it).is_empty() {
                break;
            }
        }
    };
    timeout(SOON, is_quiet).await.unwrap();
    assert!(
        it.client
            .messages("room/1/config/system.info.systemname")
            .is_empty()
    );
    it.stop().await;
}
