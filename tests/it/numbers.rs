//! Numbers and text: what a client or a device writes is read as it is meant, and nothing is changed
//! that only passes through.

use std::time::Duration;

use bytes::Bytes;
use poly2mqtt::config::AccessLevel;
use poly2mqtt::doors::clients::ClientLimits;
use poly2mqtt_simulator::{Fault, FaultKind, JournalEntry, Options, SimulatedDevice};
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use serde_json::Value;

use poly2mqtt_test_support::door::{Doors, http, post, token};
use poly2mqtt_test_support::gateway::Gateway;

/// More digits than any number has in most languages.
const DIGITS: &str = "12345678901234567890123";

/// Ids as clients write them.
const IDS: &[&str] = &[
    "12345678901234567890123",
    "1.0",
    "1e2",
    "1E+2",
    "-0",
    "0.10",
    "null",
    "\"\\u0041\\/\"",
    "{\"a\": [1.50, \"é\"]}",
];

/// The newest request that is no GET, as `POST /rest/audio/volume 40`.
fn newest(device: &SimulatedDevice) -> String {
    let journal = device.journal();
    // One list is read by POST.
    let no_change = ["/rest/session", "/rest/devicemanagement/devices"];
    let changes =
        |entry: &&JournalEntry| entry.method != "GET" && !no_change.contains(&entry.path.as_str());
    let entry = journal.iter().rev().find(changes).unwrap();
    let body = String::from_utf8_lossy(&entry.body);
    format!("{} {} {body}", entry.method, entry.path)
}

#[tokio::test]
async fn what_is_meant_reaches_the_device() {
    let it = Gateway::start_online(Options::default()).await;
    let volume = "POST /rest/audio/volume 40";
    let dial = format!("POST /rest/conferences {{\"address\":\"{DIGITS}\"}}");
    for (topic, payload, wanted) in [
        ("audio/volume/set", "40.0", volume),
        ("audio/volume/set", "4e1", volume),
        ("audio/volume/set", "{\"volume\":40.0}", volume),
        ("audio/volume/set", "{\"volume\":\" 4.0E+1 \"}", volume),
        ("audio/volume/set", "{\"volume\":40,\"value\":null}", volume),
        ("audio/muted/set", "1.0", "POST /rest/audio/muted true"),
        ("audio/muted/set", "oFF", "POST /rest/audio/muted false"),
        ("call/dial", DIGITS, &dial),
        (
            "call/dial",
            "{\"address\":12345678901234567890123,\"rate\":null,\"dialType\":null}",
            &dial,
        ),
        (
            "call/dial",
            "{\"address\":0,\"rate\":2.048e3}",
            "POST /rest/conferences {\"address\":\"0\",\"rate\":2048}",
        ),
        (
            "call/dial",
            "\"Alice\" <sip:a@example.com>",
            "POST /rest/conferences {\"address\":\"\\\"Alice\\\" <sip:a@example.com>\"}",
        ),
        (
            "call/blast",
            "{\"addresses\":[12345678901234567890123,\"b@example.com\"]}",
            "POST /rest/conferences/blast {\"endPointList\":[{\"addresses\":[{\"address\":\
             \"12345678901234567890123\"}]},{\"addresses\":[{\"address\":\"b@example.com\"}]}]}",
        ),
        (
            "call/blast",
            "{\"end_point_list\":[{\"addresses\":[{\"address\":12345678901234567890123,\
             \"rate\":2048.0,\"dial_type\":null}]}]}",
            "POST /rest/conferences/blast {\"endPointList\":[{\"addresses\":[{\"address\":\
             \"12345678901234567890123\",\"rate\":2048}]}]}",
        ),
        (
            "directory/local/entry/add",
            "{\"type\":\"single\",\"display_name\":12345678901234567890123,\"devices\":[{\"name\":7,\
             \"address_list\":[{\"type\":\"SIP\",\"number\":12345678901234567890123,\"rate\":384}]}]}",
            "POST /rest/directory/local/entries {\"type\":\"SINGLE\",\
             \"displayName\":\"12345678901234567890123\",\"devices\":[{\"name\":\"7\",\
             \"addressList\":[{\"type\":\"SIP\",\"number\":\"12345678901234567890123\",\
             \"rate\":\"384\"}]}]}",
        ),
        (
            "camera/preset/3.0/activate",
            "null",
            "POST /rest/cameras/near/presets/3 {\"action\":\"activate\"}",
        ),
    ] {
        it.device.clear_journal();
        let result = it.client.command(&format!("room/1/{topic}"), payload).await;
        assert_eq!(result["ok"], true, "{topic} {payload}: {result}");
        assert_eq!(newest(&it.device), wanted, "{topic} {payload}");
    }
    it.stop().await;
}

/// A list where one text is wanted, at each door: nothing is dialled.
#[tokio::test]
async fn a_list_is_no_address() {
    let doors = Doors::start().await;
    let mut ws = doors.ws("/ws").await;
    let mut tcp = doors.tcp().await;
    let topic = "room/1/call/dial";
    for payload in ["[\"a@example.com\"]", "[]", "[41]"] {
        let wanted = format!("address takes a text that is not empty, not {payload}");
        let is_refused = |result: &Value| {
            let error = &result["error"];
            assert_eq!(error["code"], "invalid_payload", "{result}");
            assert_eq!(error["message"], wanted, "{result}");
        };
        let frame = format!("\"topic\":\"{topic}\",\"payload\":{payload}");
        is_refused(&ws.ask(7, &frame).await["payload"]);
        is_refused(&post(&doors.url(&format!("/{topic}")), payload).await.1);
        tcp.send(&format!("{topic} {payload}\n")).await;
        while !tcp.line().await.unwrap().contains(&wanted) {}
    }
    let journal = doors.device.journal();
    let dialled =
        |entry: &JournalEntry| entry.method == "POST" && entry.path == "/rest/conferences";
    assert!(!journal.iter().any(dialled));
    doors.stop().await;
}

#[tokio::test]
async fn ids_come_back_as_they_were_sent() {
    let doors = Doors::start().await;
    let mut ws = doors.ws("/ws").await;
    let topic = "room/1/audio/volume/set";
    let url = doors.url(&format!("/{topic}"));
    for id in IDS {
        for volume in ["40", "\"loud\""] {
            let payload = format!("{{\"volume\":{volume},\"request_id\": {id} }}");
            let frame = format!("{{\"id\": {id}, \"topic\":\"{topic}\",\"payload\":{payload}}}");
            ws.send(&frame).await;
            let mut answer = ws.text().await;
            while !answer.contains("/result\"") {
                answer = ws.text().await;
            }
            assert!(
                answer.starts_with(&format!("{{\"id\":{id},\"topic\"")),
                "{answer}"
            );
            let request_id = format!("\"request_id\":{id}}}");
            assert!(answer.ends_with(&format!("{request_id}}}")), "{answer}");
            let response = http().post(&url).body(payload).send().await.unwrap();
            let result = response.text().await.unwrap();
            assert!(result.ends_with(&request_id), "{result}");
        }
    }
    doors.stop().await;
}

#[tokio::test]
async fn a_request_id_comes_back_over_mqtt_as_it_was_sent() {
    let it = Gateway::start_online(Options::default()).await;
    for id in IDS {
        let topic = "room/1/audio/volume/set";
        let payload = format!("{{\"volume\":40,\"request_id\":{id}}}");
        it.client.command(topic, payload).await;
        let result = it.client.last(&format!("{topic}/result")).unwrap();
        assert!(
            result.ends_with(&format!("\"request_id\":{id}}}")),
            "{result}"
        );
    }
    it.stop().await;
}

/// Asserts that a result is this failure, with this id as it was sent.
fn is_refused(result: &str, code: &str, id: &str) {
    assert!(result.contains(&format!("\"code\":\"{code}\"")), "{result}");
    let request_id = format!("\"request_id\":{id}}}");
    assert!(
        result
            .trim_end_matches('}')
            .ends_with(request_id.trim_end_matches('}')),
        "{result}"
    );
}

#[tokio::test]
async fn ids_come_back_with_every_refusal_of_a_web_door() {
    let limits = ClientLimits {
        max_in_flight: 1,
        ..ClientLimits::default()
    };
    let doors = Doors::start_with(limits, |config| {
        config.http.tokens = vec![
            token("administers", AccessLevel::Admin, None),
            token("reads", AccessLevel::Read, None),
            token("room-two", AccessLevel::Admin, Some(&["2"])),
        ];
    })
    .await;
    let set = "room/1/audio/volume/set";
    for (token, topic, code) in [
        ("administers", "room/9/audio/volume/set", "unknown_room"),
        ("administers", "room/1/audio/volumes/set", "unknown_command"),
        ("reads", set, "forbidden"),
        ("room-two", set, "forbidden"),
        ("room-two", "room/9/audio/volume/set", "forbidden"),
    ] {
        let mut ws = doors.ws(&format!("/ws?token={token}")).await;
        for id in IDS {
            let payload = format!("{{\"volume\":40,\"request_id\": {id} }}");
            ws.send(&format!("{topic} {payload}")).await;
            is_refused(&ws.text().await, code, id);
            let url = doors.url(&format!("/{topic}?token={token}"));
            let response = http().post(&url).body(payload).send().await.unwrap();
            is_refused(&response.text().await.unwrap(), code, id);
        }
    }
    // Commands that are too many at once.
    let slow = FaultKind::Delay(Duration::from_millis(300));
    doors
        .device
        .add_fault(Fault::on("/rest/audio/volume", slow));
    let mut ws = doors.ws("/ws?token=administers").await;
    for id in 1..=2 {
        ws.send(&format!("{set} {{\"volume\":40,\"request_id\":{id}}}"))
            .await;
    }
    is_refused(&ws.text().await, "busy", "2");
    // A body that is empty, with its values in the query of the address.
    let url = doors.url(&format!("/{set}?token=administers&volume=4&request_id=a"));
    let response = http().post(&url).send().await.unwrap();
    is_refused(&response.text().await.unwrap(), "invalid_payload", "\"a\"");
    doors.stop().await;
}

#[tokio::test]
async fn ids_come_back_with_every_refusal_over_mqtt() {
    let it = Gateway::start_online(Options::default()).await;
    let set = "room/1/audio/volume/set";
    let allowed = PublishProperties::default();
    let bad_response = PublishProperties {
        response_topic: Some("room/1/audio/volume".to_owned()),
        ..PublishProperties::default()
    };
    for (topic, retain, properties, code) in [
        ("room/9/audio/volume/set", false, &allowed, "unknown_room"),
        ("room/1/make/tea", false, &allowed, "unknown_command"),
        (set, true, &allowed, "ignored_retained"),
        (set, false, &bad_response, "invalid_payload"),
    ] {
        let result = format!("{topic}/result");
        for id in IDS {
            let before = it.client.messages(&result).len();
            let payload = format!("{{\"request_id\":{id}}}");
            it.client
                .publish_with(topic, payload, retain, properties.clone())
                .await;
            it.client
                .until(&result, |client| client.messages(&result).len() > before)
                .await;
            is_refused(&it.client.last(&result).unwrap(), code, id);
        }
    }
    it.stop().await;
}

#[tokio::test]
async fn what_a_device_says_keeps_its_digits() {
    let it = Gateway::start_online(Options::default()).await;
    let said =
        format!("{{\"entries\":[{{\"id\":{DIGITS},\"a\":1.10,\"b\":0.1e+300}}],\"next\":null}}");
    let path = "/rest/directory/favorites";
    it.device
        .add_fault(Fault::on(path, FaultKind::Body(said.clone())));
    let topic = "room/1/directory/favorites/get";
    it.client.command(topic, "").await;
    it.client.expect("room/1/directory/favorites", &said).await;
    let result = it.client.last(&format!("{topic}/result")).unwrap();
    assert!(result.contains(&format!("\"body\":{said}")), "{result}");
    it.stop().await;
}

#[tokio::test]
async fn a_whole_number_with_a_fraction_is_one_from_a_device_too() {
    let it = Gateway::start_online(Options::default()).await;
    let path = "/rest/audio/volume";
    for (said, state) in [("63.0", "63"), ("6.4e1", "64"), ("\"65\"", "65")] {
        let fault = Fault::on(path, FaultKind::Body(said.into())).method("GET");
        it.device.add_fault(fault.times(1));
        let result = it.client.command("room/1/audio/volume/get", "").await;
        assert_eq!(result["body"].to_string(), state, "{said}");
        it.client.expect("room/1/audio/volume", state).await;
    }
    let fault = Fault::on(path, FaultKind::Body("70.0".into())).method("GET");
    it.device.add_fault(fault.times(1));
    let result = it.client.command("room/1/audio/volume/up", "2.0").await;
    assert_eq!(result["ok"], true, "{result}");
    assert_eq!(newest(&it.device), "POST /rest/audio/volume 72");
    it.stop().await;
}

/// Values that a client cannot tell from others in text stay as they are.
#[test]
fn a_value_of_json_is_written_as_it_was_read() {
    for text in [
        DIGITS,
        "1.10",
        "-0.0",
        "18446744073709551616",
        "[1.0,{\"a\":3.00}]",
    ] {
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(value.to_string(), text);
        let body = poly2mqtt::catalogue::read_body(text.as_bytes()).unwrap();
        assert_eq!(poly2mqtt::catalogue::payload(&body), Bytes::from(text));
    }
}
