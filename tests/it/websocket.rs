//! The WebSocket door: every request in both forms, and frames that are nonsense.
use std::time::Duration;

use futures_util::SinkExt;
use poly2mqtt::doors::clients::ClientLimits;
use poly2mqtt::state::StateValue;
use poly2mqtt_simulator::{Fault, FaultKind};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use poly2mqtt_test_support::SOON;
use poly2mqtt_test_support::door::Doors;

const SET: &str = "room/1/audio/volume/set";

#[tokio::test]
async fn every_json_frame_gets_its_answer() {
    let doors = Doors::start().await;
    let mut ws = doors.ws("/ws").await;
    let pong = ws.ask(10, "\"ping\":true").await;
    assert_eq!(pong, json!({"id": 10, "pong": true}));
    // All matching states come before the answer, every change after it.
    ws.send("{\"id\":8,\"subscribe\":[\"room/1/audio/volume\",\"room/1/event/#\"]}")
        .await;
    let state =
        |volume: u64| json!({"topic": "room/1/audio/volume", "payload": volume, "retain": true});
    assert_eq!(ws.json().await, state(62));
    assert_eq!(
        ws.json().await["subscribed"],
        json!(["room/1/audio/volume", "room/1/event/#"])
    );
    ws.send("{\"id\":7,\"topic\":\"room/1/audio/volume/set\",\"payload\":40}")
        .await;
    assert_eq!(ws.json().await, state(40));
    let result = ws.json().await;
    assert_eq!(
        (&result["id"], &result["topic"]),
        (&json!(7), &json!("room/1/audio/volume/set/result"))
    );
    assert_eq!(result["payload"]["ok"], true);
    // A plain frame's answer has no id, but repeats the request_id.
    ws.send("room/1/audio/volume/set {\"volume\":41,\"request_id\":\"r\"}")
        .await;
    assert_eq!(ws.json().await, state(41));
    let result = ws.json().await;
    assert_eq!(result.get("id"), None);
    assert_eq!(result["payload"]["request_id"], "r");
    // Events are not retained. A failure is both an event and a result.
    let result = ws
        .ask(
            11,
            "\"topic\":\"room/1/audio/volume/set\",\"payload\":\"loud\"",
        )
        .await;
    assert_eq!(result["payload"]["error"]["code"], "invalid_payload");
    doors.device.person_calls_in("bob@example.com");
    let ring = ws
        .until(|frame| frame["topic"] == "room/1/event/incoming_call")
        .await;
    assert_eq!(ring.get("retain"), None);
    let gone = ws
        .ask(
            9,
            "\"unsubscribe\":[\"room/1/audio/volume\",\"room/1/event/#\"]",
        )
        .await;
    assert_eq!(
        gone["unsubscribed"],
        json!(["room/1/audio/volume", "room/1/event/#"])
    );
    ws.ask(12, "\"topic\":\"room/1/audio/volume/set\",\"payload\":42")
        .await;
    assert_eq!(ws.ask(13, "\"ping\":true").await["pong"], true);
    for topic in ["room/9/audio/mute", "room/1/nonsense", "room/1/system/info"] {
        let frame = format!("\"topic\":\"{topic}\"");
        let code = ws.ask(14, &frame).await["payload"]["error"]["code"].clone();
        assert!(
            code == "unknown_room" || code == "unknown_command",
            "{topic} {code}"
        );
    }
    doors.stop().await;
}

#[tokio::test]
async fn the_query_subscribes_from_the_start() {
    let doors = Doors::start().await;
    let mut ws = doors
        .ws("/ws?subscribe=room/1/%23&subscribe=gateway/availability")
        .await;
    let first = ws.json().await;
    assert_eq!(first["topic"], "gateway/availability");
    let volume = ws
        .until(|frame| frame["topic"] == "room/1/audio/volume")
        .await;
    assert_eq!(volume["payload"], 62);
    doors.device.person_mutes(true);
    ws.until(|frame| frame["topic"] == "room/1/audio/muted" && frame["payload"] == true)
        .await;
    // A cleared state is null.
    doors.service.store().set("room/1/x", StateValue::text("1"));
    doors.service.store().clear("room/1/x");
    ws.until(|frame| frame["topic"] == "room/1/x" && frame["payload"].is_null())
        .await;
    doors.stop().await;
}

#[tokio::test]
async fn plain_frames_are_as_documented() {
    let doors = Doors::start().await;
    let mut ws = doors.ws("/ws?format=plain").await;
    ws.send("subscribe room/1/audio/volume").await;
    assert_eq!(ws.text().await, "room/1/audio/volume 62");
    ws.send("room/1/audio/volume/set 40").await;
    assert_eq!(ws.text().await, "room/1/audio/volume 40");
    assert_eq!(ws.text().await, "room/1/audio/volume/set/result ok");
    ws.send("room/1/audio/volume/set loud").await;
    let wanted = "room/1/audio/volume/set/result error invalid_payload volume takes an integer \
                  from 0 to 100, not \"loud\"";
    assert_eq!(ws.text().await, wanted);
    ws.send("room/1/audio/volume/get").await;
    assert_eq!(ws.text().await, "room/1/audio/volume/get/result ok 40");
    ws.send("ping").await;
    assert_eq!(ws.text().await, "pong");
    ws.send("subscribe a#").await;
    assert!(ws.text().await.starts_with("error invalid_payload"));
    ws.send("room/1/system/logs/get").await;
    let result = ws.text().await;
    assert!(result.contains("/result ok {\"bytes\":1024,"), "{result}");
    ws.send("unsubscribe room/1/audio/volume").await;
    ws.send("ping").await;
    assert_eq!(ws.text().await, "pong");
    doors.stop().await;
}

#[tokio::test]
async fn a_file_is_its_result_and_then_its_bytes() {
    let doors = Doors::start_with(ClientLimits::default(), |config| {
        config.mqtt.max_payload = 64 << 10;
    })
    .await;
    let mut ws = doors.ws("/ws").await;
    let result = ws.ask(1, "\"topic\":\"room/1/system/logs/get\"").await;
    let body = json!({
        "bytes": 1024, "content_type": "application/octet-stream",
        "url": "/room/1/system/logs/get",
    });
    assert_eq!(result["payload"]["body"], body);
    assert_eq!(ws.message().await, Message::binary(vec![0; 1024]));
    // A picture is a result, a binary frame, and a state with its URL.
    ws.ask(2, "\"subscribe\":[\"room/1/camera/snapshot/+\"]")
        .await;
    ws.send("{\"id\":3,\"topic\":\"room/1/camera/snapshot/near/get\"}")
        .await;
    let state = ws.json().await;
    assert_eq!(state["payload"]["url"], "/room/1/camera/snapshot/near");
    let size = state["payload"]["bytes"].as_u64().unwrap();
    assert_eq!(ws.json().await["payload"]["body"]["bytes"], size);
    let Message::Binary(picture) = ws.message().await else {
        panic!("no picture")
    };
    assert_eq!(picture.len() as u64, size);
    // A file too large to be sent has a result with its URL.
    let large = Fault::on("/rest/system/logs", FaultKind::Huge(1 << 20));
    doors.device.add_fault(large);
    let result = ws.ask(4, "\"topic\":\"room/1/system/logs/get\"").await;
    assert_eq!(result["payload"]["ok"], true);
    assert_eq!(result["payload"]["body"]["bytes"], 1 << 20);
    assert_eq!(result["payload"]["body"]["url"], "/room/1/system/logs/get");
    assert_eq!(ws.ask(5, "\"ping\":true").await["pong"], true);
    doors.stop().await;
}

#[tokio::test]
async fn bad_frames_get_an_error_and_nothing_else_happens() {
    let doors = Doors::start().await;
    let mut ws = doors.ws("/ws").await;
    let deep = format!("{{\"topic\":\"{SET}\",\"payload\":{}", "[".repeat(50_000));
    let wide = format!("{{\"{}\":1}}", "x".repeat(10_000));
    for frame in [
        "{",
        "{}",
        "{\"id\":1}",
        "{\"verb\":1}",
        "{\"topic\":[]}",
        "{\"subscribe\":{}}",
        "{\"subscribe\":[\"a/#/b\"]}",
        "{\"pong\":true}",
        "nonsense",
        "gateway/info",
        "room/1",
        &deep,
        &wide,
    ] {
        ws.send(frame).await;
        let answer = ws.json().await;
        assert!(
            answer["error"]["message"].is_string(),
            "{frame:.40} {answer}"
        );
        assert!(answer.to_string().len() < 500, "{answer}");
    }
    ws.inner.send(Message::binary(vec![0; 10])).await.unwrap();
    assert_eq!(ws.json().await["error"]["code"], "invalid_payload");
    // Any text in a topic is an unknown command at worst.
    for topic in [
        "room//x",
        "room/1//",
        "room/../x",
        "room/1/%2e%2e/x",
        "room/\u{0}/x",
    ] {
        let frame = json!({"id": 1, "topic": topic}).to_string();
        ws.send(&frame).await;
        assert_eq!(ws.json().await["payload"]["ok"], false, "{topic}");
    }
    assert_eq!(ws.ask(5, "\"ping\":true").await["pong"], true);
    assert!(
        doors
            .device
            .journal()
            .iter()
            .all(|entry| entry.status < 500)
    );
    doors.stop().await;
}

#[tokio::test]
async fn each_command_gets_one_result_and_too_many_are_busy() {
    let doors = Doors::start().await;
    doors.device.add_fault(Fault::on(
        "/rest/audio/volume",
        FaultKind::Delay(Duration::from_millis(100)),
    ));
    let mut ws = doors.ws("/ws").await;
    for id in 0..300 {
        ws.send(&format!(
            "{{\"id\":{id},\"topic\":\"room/1/audio/volume/up\"}}"
        ))
        .await;
    }
    let mut codes = vec![Value::Null; 300];
    for _ in 0..300 {
        let result = ws.until(|frame| frame["id"].is_u64()).await;
        let id = usize::try_from(result["id"].as_u64().unwrap()).unwrap();
        assert!(codes[id].is_null(), "a second result for {id}");
        codes[id] = if result["payload"]["ok"] == true {
            "ok".into()
        } else {
            result["payload"]["error"]["code"].clone()
        };
    }
    assert!(codes.iter().any(|code| code == "busy"), "{codes:?}");
    assert_eq!(codes[0], "ok");
    doors.stop().await;
}

#[tokio::test]
async fn a_stop_answers_running_commands_and_then_closes() {
    let doors = Doors::start().await;
    let late = FaultKind::Delay(Duration::from_millis(700));
    doors
        .device
        .add_fault(Fault::on("/rest/audio/volume", late).method("POST"));
    let mut ws = doors.ws("/ws?subscribe=gateway/availability").await;
    ws.send(&format!("{{\"id\":1,\"topic\":\"{SET}\",\"payload\":40}}"))
        .await;
    let device = doors.device.clone();
    assert!(
        device
            .wait_for(SOON, |device| device.most_at_a_time() > 0)
            .await
    );
    let begun = ws.ask(2, "\"ping\":true").await;
    assert_eq!(begun["pong"], true);
    let stopping = tokio::spawn(doors.stop());
    let result = ws.until(|frame| frame["id"] == 1).await;
    assert_eq!(result["payload"]["ok"], true, "{result}");
    ws.until(|frame| frame["payload"] == "offline").await;
    let (code, _) = ws.closed().await;
    assert_eq!(code, 1001);
    stopping.await.unwrap();
}
