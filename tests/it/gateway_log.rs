//! `GET /gateway/log`: what it keeps, who sees what of it, and that no secret is in it.
use poly2mqtt::config::AccessLevel;
use poly2mqtt::doors::clients::ClientLimits;
use reqwest::StatusCode;
use serde_json::{Value, json};

use poly2mqtt_test_support::door::{Doors, http, token};
use poly2mqtt_test_support::until;

async fn read(doors: &Doors, token: &str, query: &str) -> Vec<Value> {
    let request = http().get(doors.url(&format!("/gateway/log{query}")));
    let answer = request.bearer_auth(token).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert!(answer["since"].is_string(), "{answer}");
    answer["entries"].as_array().unwrap().clone()
}

async fn post(doors: &Doors, token: &str, topic: &str, payload: &'static str) {
    let request = http().post(doors.url(topic)).bearer_auth(token);
    request.body(payload).send().await.unwrap();
}

async fn site() -> Doors {
    Doors::start_with(ClientLimits::default(), |config| {
        config.http.tokens = vec![
            token("everything", AccessLevel::Admin, None),
            token("reads", AccessLevel::Read, None),
            token("first", AccessLevel::Control, Some(&["1"])),
            token("second", AccessLevel::Admin, Some(&["2"])),
        ];
    })
    .await
}

/// What changes nothing is no entry, whatever its name.
#[tokio::test]
async fn queries_are_not_kept_whatever_they_are_called() {
    let doors = site().await;
    for (topic, payload) in [
        ("/room/1/audio/volume/get", ""),
        ("/room/1/system/network/ping", "192.0.2.1"),
        ("/room/1/directory/search", "ada"),
        ("/room/1/audio/volume/set", "41"),
    ] {
        post(&doors, "everything", topic, payload).await;
    }
    let all = read(&doors, "everything", "").await;
    let commands = all.iter().filter(|entry| entry["kind"] == "command");
    let commands: Vec<_> = commands.map(|entry| &entry["command"]).collect();
    assert_eq!(commands, ["audio/volume/set"]);
}

/// What an entry is, in short.
fn brief(entry: &Value) -> (String, String, String) {
    let part = |name: &str| entry[name].as_str().unwrap_or("-").to_owned();
    (part("room"), part("kind"), part("code"))
}

#[tokio::test]
async fn what_happens_in_rooms_is_kept_with_room_level_and_kind() {
    let doors = site().await;
    post(&doors, "everything", "/room/1/audio/volume/set", "41").await;
    post(&doors, "everything", "/room/1/audio/volume/set", "loud").await;
    post(&doors, "everything", "/room/9/audio/mute", "").await;
    doors.device.person_calls_in("ada@example.com");
    until(
        || "the call is in the log".to_owned(),
        async || {
            // Both rooms have the same device.
            let found = read(&doors, "everything", "?text=ada@example").await;
            ["1", "2"].iter().all(|room| {
                let of_room = |entry: &Value| entry["kind"] == "call" && entry["room"] == *room;
                found.iter().any(of_room)
            })
        },
    )
    .await;
    let all = read(&doors, "everything", "").await;
    for wanted in [
        ("1", "online", "-"),
        ("2", "online", "-"),
        ("1", "command", "ok"),
        ("1", "failure", "invalid_payload"),
        ("-", "failure", "unknown_room"),
    ] {
        let wanted = (wanted.0.into(), wanted.1.into(), wanted.2.into());
        assert!(
            all.iter().any(|entry| brief(entry) == wanted),
            "{wanted:?}: {all:#?}"
        );
    }
    let failed = all.iter().find(|entry| entry["code"] == "invalid_payload");
    let failed = failed.unwrap();
    assert_eq!(failed["level"], "warn");
    assert_eq!(failed["command"], "audio/volume/set");
    assert_eq!(failed["door"], "http");
    assert!(failed["at"].as_str().unwrap().ends_with('Z'));

    // Each filter alone.
    let warnings = read(&doors, "everything", "?level=warn").await;
    assert!(warnings.iter().all(|entry| entry["level"] != "info"));
    assert!(warnings.len() >= 2, "{warnings:#?}");
    let second = read(&doors, "everything", "?room=2").await;
    assert!(
        second.iter().all(|entry| entry["room"] == "2"),
        "{second:#?}"
    );
    let loud = read(&doors, "everything", "?text=LOUD").await;
    assert_eq!(loud, std::slice::from_ref(failed));
    let newest = read(&doors, "everything", "?limit=1").await;
    assert_eq!(newest, [all.last().unwrap().clone()]);
    let after = format!("?after={}", failed["id"]);
    let after = read(&doors, "everything", &after).await;
    assert!(
        after
            .iter()
            .all(|entry| entry["id"].as_i64() > failed["id"].as_i64())
    );

    let wrong = http().get(doors.url("/gateway/log?level=loud"));
    let wrong = wrong.bearer_auth("everything").send().await.unwrap();
    assert_eq!(wrong.status(), StatusCode::BAD_REQUEST);
    doors.stop().await;
}

/// Also not by the numbers of entries, by what a filter finds, or by what was refused to another token.
#[tokio::test]
async fn a_token_of_one_room_sees_the_entries_of_this_room_alone() {
    let doors = site().await;
    for room in ["1", "2"] {
        let topic = format!("/room/{room}/audio/volume/set");
        post(&doors, "everything", &topic, "50").await;
        post(&doors, "everything", &topic, "loud").await;
    }
    post(&doors, "first", "/room/2/audio/mute", "").await;
    post(&doors, "second", "/room/1/audio/mute", "").await;
    post(&doors, "reads", "/room/2/audio/mute", "").await;
    for (token, own, other) in [("first", "1", "2"), ("second", "2", "1")] {
        for query in ["", "?limit=2000", "?text=mute", &format!("?room={own}")] {
            let seen = read(&doors, token, query).await;
            assert!(
                seen.iter().all(|entry| entry["room"] == own),
                "{token}: {seen:#?}"
            );
            let text = json!(seen).to_string();
            for hidden in ["the first", "the second", "the reads"] {
                assert!(!text.contains(hidden), "{token}: {text}");
            }
        }
        assert!(!read(&doors, token, "").await.is_empty());
        let of_the_other = read(&doors, token, &format!("?room={other}")).await;
        assert_eq!(of_the_other, [Value::Null; 0]);
    }
    // Who is not limited sees both, and what is about the gateway, also without admin.
    for token in ["everything", "reads"] {
        let seen = read(&doors, token, "").await;
        for room in [json!("1"), json!("2"), Value::Null] {
            assert!(seen.iter().any(|entry| entry["room"] == room), "{token}");
        }
    }
    for token in [None, Some("wrong")] {
        let mut request = http().get(doors.url("/gateway/log"));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let refused = request.send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    }
    doors.stop().await;
}

#[tokio::test]
async fn no_payload_token_or_password_is_in_the_log() {
    let doors = site().await;
    for (topic, payload) in [
        ("/room/1/call/dial", "payload-secret@example.com"),
        ("/room/1/collaboration/content/save", "payload-secret"),
        (
            "/room/1/collaboration/content/saving/set",
            r#"{"pin":"payload-secret","enabled":true}"#,
        ),
        (
            "/room/1/config/set",
            r#"{"name":"x","value":"payload-secret"}"#,
        ),
        ("/room/1/audio/dtmf/play", "1928374655"),
    ] {
        post(&doors, "everything", topic, payload).await;
    }
    let all = json!(read(&doors, "everything", "").await).to_string();
    assert!(all.contains("call/dial"), "{all}");
    for line in read(&doors, "everything", "").await {
        // Who was called is no secret of a call's own event, but of the command it is the payload.
        if line["kind"] != "call" {
            let line = line.to_string();
            for secret in ["payload-secret", "1928374655", "everything"] {
                assert!(!line.contains(secret), "{line}");
            }
        }
    }
    doors.stop().await;
}

/// A call is told when it ends as the device's own log has it, and not what was there before.
#[tokio::test]
async fn the_call_logs_newest_entry_is_told_when_a_call_has_ended() {
    let doors = site().await;
    let of_the_log = async || read(&doors, "everything", "?room=1&text=call%20log").await;
    assert_eq!(of_the_log().await, [Value::Null; 0]);
    post(&doors, "everything", "/room/1/call/dial", "bob@example.com").await;
    until(
        || "the call is up".to_owned(),
        async || {
            let state = doors.service.store().get("room/1/call/state");
            state.is_some_and(|state| state.payload == "connected")
        },
    )
    .await;
    post(&doors, "everything", "/room/1/call/hangup", "").await;
    until(
        || "the call is in the log".to_owned(),
        async || !of_the_log().await.is_empty(),
    )
    .await;
    let told = of_the_log().await;
    let text = told[0]["text"].as_str().unwrap();
    assert!(text.contains("bob@example.com"), "{text}");
    assert_eq!(told[0]["kind"], "call");
    doors.stop().await;
}
