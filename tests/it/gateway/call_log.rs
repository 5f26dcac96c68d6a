//! The call log: `call/history/get`, and `call/last` after the log-in and after each call.

use std::time::Duration;

use poly2mqtt_simulator::{Fault, FaultKind, Firmware, Options};
use poly2mqtt_test_support::gateway::Gateway;
use poly2mqtt_test_support::until;
use serde_json::{Value, json};
use tokio::time::sleep;

const LOG: &str = "/rest/calllog/entries";
const LAST: &str = "room/1/call/last";

async fn start(firmware: Firmware) -> Gateway {
    let options = Options {
        firmware,
        call_setup: Duration::ZERO,
        ..Options::default()
    };
    Gateway::start_online(options).await
}

/// The queries of the requests for the log since the journal was cleared.
fn reads(it: &Gateway) -> Vec<String> {
    let journal = it.device.journal().into_iter();
    let reads = journal.filter(|entry| entry.path == LOG);
    reads.map(|entry| entry.query).collect()
}

/// What stands at `call/last`: JSON where it is JSON, otherwise text.
fn last(it: &Gateway) -> Value {
    let text = it.client.last(LAST).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

/// Waits until `call/last` is about this name.
async fn until_last_is(it: &Gateway, name: &str) -> Value {
    let name = json!(name);
    it.client
        .until(&format!("a last call with {name}"), |_| {
            last(it)["name"] == name
        })
        .await;
    last(it)
}

#[tokio::test]
async fn the_last_call_is_told_after_the_log_in_and_after_each_call() {
    let it = start(Firmware::V4_6_2).await;
    // The newest of those before the start.
    let earlier = until_last_is(&it, "standup").await;
    let wanted = json!({
        "address": "standup@example.com", "name": "standup", "direction": "outgoing",
        "outcome": "answered", "missed": false, "duration": 900,
        "started": "2022-09-29T16:49:10Z", "ended": "2022-09-29T17:04:10Z", "cause_code": 0,
    });
    assert_eq!(earlier, wanted);
    assert_eq!(reads(&it), ["limit=5"]);

    it.device.clear_journal();
    it.device.person_calls_in("ann@example.com");
    it.client.expect("room/1/call/state", "ringing").await;
    it.device.person_hangs_up();
    let missed = until_last_is(&it, "ann").await;
    for (name, value) in [
        ("address", json!("ann@example.com")),
        ("direction", json!("incoming")),
        ("outcome", json!("missed")),
        ("missed", json!(true)),
        ("duration", json!(0)),
    ] {
        assert_eq!(missed[name], value, "{missed}");
    }
    // The event says what it always said.
    let event = it.client.last("room/1/event/call_ended").unwrap();
    assert!(event.contains("\"answered\":false"), "{event}");

    let result = it
        .client
        .command("room/1/call/dial", "bob@example.com")
        .await;
    assert_eq!(result["ok"], true, "{result}");
    it.client.expect("room/1/call/state", "connected").await;
    it.client.command("room/1/call/hangup", "").await;
    let placed = until_last_is(&it, "bob").await;
    assert_eq!(placed["outcome"], "answered", "{placed}");
    assert_eq!(placed["missed"], false, "{placed}");
    // Once for the entry and once more, after each of two calls.
    until(|| "a third read".into(), async || reads(&it).len() >= 3).await;
    sleep(Duration::from_secs(1)).await;
    let reads = reads(&it);
    assert!((3..=4).contains(&reads.len()), "{reads:?}");
    it.never_offline();
    it.stop().await;
}

#[tokio::test]
async fn an_entry_that_is_written_late_is_waited_for() {
    let it = start(Firmware::V4_6_2).await;
    until_last_is(&it, "standup").await;
    let log = it.client.command("room/1/call/history/get", "5").await;
    let as_before = FaultKind::Body(log["body"].to_string());
    it.device.add_fault(Fault::on(LOG, as_before).times(1));
    it.device.person_calls_in("ann@example.com");
    it.client.expect("room/1/call/state", "ringing").await;
    it.device.clear_journal();
    it.device.person_hangs_up();
    until_last_is(&it, "ann").await;
    assert_eq!(reads(&it).len(), 2, "{:?}", reads(&it));
    it.stop().await;
}

#[tokio::test]
async fn the_history_has_as_many_entries_as_are_asked_for() {
    let it = start(Firmware::V4_7).await;
    until_last_is(&it, "standup").await;
    for (payload, query, entries) in [
        ("", "limit=10", 2),
        ("1", "limit=1", 1),
        ("{\"limit\":100}", "limit=100", 2),
        ("{\"limit\":null}", "limit=10", 2),
    ] {
        it.device.clear_journal();
        let result = it.client.command("room/1/call/history/get", payload).await;
        assert_eq!(reads(&it), [query], "{payload}");
        let list = result["body"].as_array().unwrap();
        assert_eq!(list.len(), entries, "{result}");
        // As the device says it, with times in milliseconds.
        assert_eq!(list[0]["address"], "standup@example.com");
        assert_eq!(list[0]["startTime"], 1_664_470_150_000_i64);
    }
    it.device.clear_journal();
    for payload in ["0", "101", "-1", "2.5", "all", "{\"limit\":\"many\"}"] {
        let result = it.client.command("room/1/call/history/get", payload).await;
        assert_eq!(result["error"]["code"], "invalid_payload", "{result}");
        let message = result["error"]["message"].as_str().unwrap();
        assert!(message.contains("an integer from 1 to 100"), "{message}");
    }
    assert!(reads(&it).is_empty());
    it.stop().await;
}

/// What stands at `call/last` for odd answers of the device.
#[tokio::test]
async fn an_odd_log_confuses_nobody() {
    let it = start(Firmware::V4_6_2).await;
    until_last_is(&it, "standup").await;
    for (body, name, members) in [
        // Oldest first; seconds, milliseconds and texts; nulls.
        (
            r#"[{"type":"PLACED","name":"old","endTime":1600000000000,"rowId":1},
                {"type":"MISSED","name":"new","startTime":"1600000100","endTime":"1600000130",
                 "duration":"0","outgoingCall":null,"rowId":"2"},
                {"type":null,"name":null,"endTime":null,"startTime":null}]"#,
            "new",
            json!({"missed": true, "duration": 0, "ended": "2020-09-13T12:28:50Z"}),
        ),
        (
            r#"{"type":"RECEIVED","name":"single","connected":1,"duration":65000.0,
                "startTime":1600000000,"endTime":1600000065}"#,
            "single",
            json!({"outcome": "answered", "duration": 65}),
        ),
    ] {
        it.device.clear_faults();
        it.device
            .add_fault(Fault::on(LOG, FaultKind::Body(body.into())));
        let result = it.client.command("room/1/call/last/get", "").await;
        assert_eq!(result["ok"], true, "{result}");
        let stands = until_last_is(&it, name).await;
        assert_eq!(stands, result["body"]);
        for (member, value) in members.as_object().unwrap() {
            assert_eq!(stands[member], *value, "{member}: {stands}");
        }
    }
    let before = last(&it);
    for body in [
        "null",
        "",
        "7",
        r#"{"error":"busy"}"#,
        "<html>",
        "[1,2]",
        "[{",
    ] {
        it.device.clear_faults();
        it.device
            .add_fault(Fault::on(LOG, FaultKind::Body(body.into())));
        for query in ["last", "history"] {
            let topic = format!("room/1/call/{query}/get");
            let result = it.client.command(&topic, "").await;
            assert_eq!(result["error"]["code"], "device_error", "{body}: {result}");
        }
        assert_eq!(last(&it), before, "{body}");
    }
    it.device.clear_faults();
    it.device
        .add_fault(Fault::on(LOG, FaultKind::Body("[]".into())));
    let result = it.client.command("room/1/call/last/get", "").await;
    assert_eq!(result["body"], "none", "{result}");
    it.client.expect(LAST, "none").await;
    it.never_offline();
    it.stop().await;
}
