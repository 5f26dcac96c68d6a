//! Two spellings of one operation: the second is sent only where the device lacks the first, never
//! after an answer that was lost, and what worked is remembered until the next log-in.

use std::time::Duration;

use poly2mqtt_simulator::{
    Condition, Fault, FaultKind, Firmware, JournalEntry, Options, SimulatedDevice,
};
use poly2mqtt_test_support::cases::at_the_same_time;
use poly2mqtt_test_support::gateway::Gateway;
use poly2mqtt_test_support::{SOON, until};
use serde_json::Value;
use tokio::time::sleep;

async fn start(firmware: Firmware) -> Gateway {
    let options = Options {
        firmware,
        reboot: Duration::from_millis(100),
        ..Options::default()
    };
    Gateway::start_quick(options).await
}

/// Each path also has reads, which are not what is looked at here.
fn is_at(entry: &JournalEntry, paths: &[&str]) -> bool {
    paths.contains(&entry.path.as_str()) && !(entry.body.is_empty() && entry.query.is_empty())
}

/// The requests below these paths since the last call: path, query, and body.
fn sent(it: &Gateway, below: &[&str]) -> Vec<String> {
    let entries = it.device.take_journal().into_iter();
    let wanted = entries.filter(|entry| is_at(entry, below));
    let text = |body: &[u8]| String::from_utf8_lossy(body).into_owned();
    wanted
        .map(|entry| format!("{} {}{}", entry.path, entry.query, text(&entry.body)))
        .collect()
}

const DTMF: [&str; 2] = ["/rest/audio", "/rest/audio/playdtmf"];

fn first(key: char) -> String {
    format!(r#"/rest/audio {{"action":"playDTMF","dtmfChar":"{key}"}}"#)
}

fn second(key: char) -> String {
    format!(r#"/rest/audio/playdtmf {{"dtmfChar":"{key}"}}"#)
}

/// A device that has both spellings, of which the first fails so. The first `good` requests work.
async fn first_fails(good: u32, kind: FaultKind) -> Gateway {
    let it = start(Firmware::V4_6_2).await;
    let works = FaultKind::Delay(Duration::ZERO);
    it.device
        .add_fault(Fault::on("/rest/audio/playdtmf", works.clone()));
    let first = |kind| Fault::on("/rest/audio", kind).method("POST");
    it.device.add_fault(first(works).times(good));
    it.device.add_fault(first(kind));
    it.device.clear_journal();
    it
}

#[tokio::test]
async fn each_key_is_sent_once_in_the_spelling_that_the_device_has() {
    let mut devices = vec![start(Firmware::V4_7).await];
    for missing in [404, 405, 501] {
        devices.push(first_fails(0, FaultKind::Status(missing)).await);
    }
    for it in devices {
        it.device.clear_journal();
        let result = it.client.command("room/1/audio/dtmf/play", "12#45").await;
        assert_eq!(result["ok"], true, "{result}");
        let mut wanted = vec![first('1')];
        wanted.extend("12#45".chars().map(second));
        assert_eq!(sent(&it, &DTMF), wanted);
        // What is missing is not asked again.
        let result = it.client.command("room/1/audio/dtmf/play", "6").await;
        assert_eq!(result["ok"], true, "{result}");
        assert_eq!(sent(&it, &DTMF), [second('6')]);
        // After a log-in the firmware may be another.
        it.client.command("room/1/session/renew", "").await;
        let result = it.client.command("room/1/audio/dtmf/play", "7").await;
        assert_eq!(result["ok"], true, "{result}");
        assert_eq!(sent(&it, &DTMF), [first('7'), second('7')]);
        it.stop().await;
    }
}

#[test]
fn no_other_spelling_is_sent_after_an_answer_that_was_lost() {
    at_the_same_time(
        [
            FaultKind::DropAfter,
            FaultKind::Delay(Duration::from_secs(4)),
            FaultKind::Status(500),
            FaultKind::Status(403),
            FaultKind::Status(400),
            FaultKind::Page,
        ],
        |lost| async move {
            let it = first_fails(2, lost.clone()).await;
            let result = it.client.command("room/1/audio/dtmf/play", "12345").await;
            let code = match lost {
                FaultKind::DropAfter | FaultKind::Delay(_) => "outcome_unknown",
                FaultKind::Status(403) => "forbidden",
                _ => "device_error",
            };
            assert_eq!(result["error"]["code"], code, "{lost:?} {result}");
            // The device notes a request when it answers.
            let noted = |device: &SimulatedDevice| {
                let journal = device.journal();
                let keys = journal.iter().filter(|entry| is_at(entry, &DTMF));
                keys.count() >= 3
            };
            assert!(it.device.wait_for(SOON, noted).await, "{lost:?}");
            sleep(Duration::from_millis(500)).await;
            let wanted = [first('1'), first('2'), first('3')];
            assert_eq!(sent(&it, &DTMF), wanted, "{lost:?}");
            it.stop().await;
        },
    );
}

#[tokio::test]
async fn what_the_device_has_in_no_spelling_is_unsupported() {
    let it = start(Firmware::V4_0).await;
    let missing = Fault::on("/rest/audio", FaultKind::Status(404)).method("POST");
    it.device.add_fault(missing);
    it.device.clear_journal();
    let result = it.client.command("room/1/audio/dtmf/play", "12").await;
    assert_eq!(result["error"]["code"], "unsupported", "{result}");
    assert_eq!(sent(&it, &DTMF), [first('1'), second('1')]);
    it.stop().await;
}

#[test]
fn content_saving_is_switched_in_either_spelling() {
    let guide = "/rest/collaboration/contentssavestatus";
    let other = "/rest/collaboration/contentsavestatus";
    at_the_same_time(
        [
            (
                Firmware::V4_0,
                vec![format!("{guide} pin=1234&status=true")],
                vec![format!("{guide} status=false")],
            ),
            (
                Firmware::V4_7,
                vec![
                    format!("{guide} pin=1234&status=true"),
                    format!("{other} pin=1234&status=True"),
                ],
                vec![format!("{other} status=False")],
            ),
        ],
        |(firmware, first, second)| async move {
            let it = start(firmware).await;
            it.device.clear_journal();
            let topic = "room/1/collaboration/content/saving/set";
            for (payload, wanted) in [(r#"{"pin":"1234","enabled":true}"#, first), ("off", second)]
            {
                let result = it.client.command(topic, payload).await;
                assert_eq!(result["ok"], true, "{result}");
                assert_eq!(sent(&it, &[guide, other]), wanted, "{firmware}");
            }
            it.stop().await;
        },
    );
}

#[test]
fn a_reboot_has_two_bodies() {
    let guide = r#"/rest/system/reboot {"action":"reboot"}"#;
    let other = r#"/rest/system/reboot {"restartAll":true}"#;
    at_the_same_time(
        [
            (Firmware::V4_0, vec![guide]),
            (Firmware::V4_6_2, vec![guide]),
            // It answers 400 to an action.
            (Firmware::V4_7, vec![guide, other]),
        ],
        |(firmware, wanted)| async move {
            let it = start(firmware).await;
            it.device.clear_journal();
            let result = it.client.command("room/1/system/reboot", "").await;
            assert_eq!(result["ok"], true, "{firmware} {result}");
            assert_eq!(sent(&it, &["/rest/system/reboot"]), wanted, "{firmware}");
            it.stop().await;
        },
    );
}

#[test]
fn a_state_is_read_by_post_in_the_spelling_that_the_device_has() {
    let first = r#"/rest/devicemanagement/devices {"deviceState":"PAIRED"}"#;
    let second = "/rest/current/devicemanagement/devices null";
    let paths = [
        "/rest/devicemanagement/devices",
        "/rest/current/devicemanagement/devices",
    ];
    let state = "room/1/system/devices";
    at_the_same_time(
        [
            (Firmware::V4_4, first),
            (Firmware::V4_6_2, first),
            (Firmware::V3_12, second),
        ],
        |(firmware, request)| async move {
            let it = start(firmware).await;
            it.client.message(state).await;
            let panel = |text: &str| -> Value {
                let devices: Value = serde_json::from_str(text).unwrap();
                let mut devices = devices.as_array().unwrap().iter();
                let panel = devices
                    .find(|it| it["deviceType"] == "TOUCHCONTROL")
                    .unwrap();
                panel["deviceState"].clone()
            };
            assert_eq!(panel(&it.client.last(state).unwrap()), "CONNECTED");
            assert!(sent(&it, &paths).contains(&request.to_owned()));
            // A query reads in the same spelling, also with HTTP's GET.
            it.device.set_condition(Condition::PanelLost, true);
            let result = it.client.command("room/1/system/devices/get", "").await;
            assert_eq!(
                panel(&result["body"].to_string()),
                "DISCONNECTED",
                "{result}"
            );
            // What is missing is not asked for ever, and does not clear the state meanwhile.
            let is_dropped = async || {
                it.device.clear_journal();
                sleep(Duration::from_secs(1)).await;
                let asked = sent(&it, &paths);
                asked.len() > 1 && asked.iter().all(|asked| asked == request)
            };
            until(|| format!("{firmware} asks for nothing else"), is_dropped).await;
            it.client.command("room/1/session/renew", "").await;
            sleep(Duration::from_secs(1)).await;
            let messages = it.client.messages(state);
            assert!(
                !messages.iter().any(|message| message.payload.is_empty()),
                "{firmware}"
            );
            it.stop().await;
        },
    );
}

#[tokio::test]
async fn a_state_that_the_device_has_in_no_spelling_is_not_there() {
    let it = start(Firmware::V4_0).await;
    let result = it.client.command("room/1/system/devices/get", "").await;
    assert_eq!(result["error"]["code"], "unsupported", "{result}");
    let paths = [
        "/rest/devicemanagement/devices",
        "/rest/current/devicemanagement/devices",
    ];
    // It is not asked for ever, while the others are.
    let is_dropped = async || {
        it.device.clear_journal();
        sleep(Duration::from_secs(1)).await;
        let requests = it.device.journal().len();
        sent(&it, &paths).is_empty() && requests > 5
    };
    until(|| "it is not asked for any more".into(), is_dropped).await;
    assert!(it.client.messages("room/1/system/devices").is_empty());
    it.stop().await;
}
