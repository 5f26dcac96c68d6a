//! A wrong command: its sender gets an error that says why, and no request reaches the device.

use poly2mqtt_simulator::{JournalEntry, Options};

use poly2mqtt_test_support::gateway::Gateway;
use poly2mqtt_test_support::{BrokerKind, mosquitto};

/// Topic, payload, error code, and what the message must say.
const BAD: &[(&str, &[u8], &str, &str)] = &[
    ("room/2/audio/mute", b"", "unknown_room", "configured are 1"),
    ("room/1/audio/mut", b"", "unknown_command", "audio/mute"),
    ("room/1/make/coffee", b"", "unknown_command", "topics"),
    (
        "room/1/audio/volume/set",
        b"loud",
        "invalid_payload",
        "volume takes an integer from 0 to 100, not \"loud\"",
    ),
    (
        "room/1/audio/volume/set",
        b"101",
        "invalid_payload",
        "from 0 to 100",
    ),
    (
        "room/1/audio/volume/set",
        b"4.5",
        "invalid_payload",
        "an integer",
    ),
    (
        "room/1/audio/volume/set",
        b"",
        "invalid_payload",
        "the payload was empty",
    ),
    (
        "room/1/audio/muted/set",
        b"maybe",
        "invalid_payload",
        "true or false",
    ),
    (
        "room/1/audio/mute",
        b"PRESS",
        "invalid_payload",
        "takes an empty payload",
    ),
    (
        "room/1/camera/move",
        b"sideways",
        "invalid_payload",
        "one of left, right, up, down",
    ),
    (
        "room/1/camera/move",
        b"{\"direction\":\"left\",\"duration_ms\":99999}",
        "invalid_payload",
        "from 1 to 10000",
    ),
    (
        "room/1/camera/preset/11/activate",
        b"",
        "invalid_payload",
        "a number from 1 to 10",
    ),
    (
        "room/1/camera/position/set",
        b"{\"pan\":1,\"tilt\":1}",
        "invalid_payload",
        "zoom is missing",
    ),
    (
        "room/1/call/dial",
        b"{\"address\":\"a\",\"adress\":\"b\"}",
        "invalid_payload",
        "\"adress\" is not a field",
    ),
    (
        "room/1/call/dial",
        b"{\"address\":",
        "invalid_payload",
        "broken JSON",
    ),
    (
        "room/1/call/dial",
        b"\xff\xfe",
        "invalid_payload",
        "not UTF-8",
    ),
    (
        "room/1/audio/volume/set",
        b"+5",
        "invalid_payload",
        "audio/volume/up",
    ),
    (
        "room/1/audio/volume/set",
        b"{\"volume\": +5}",
        "invalid_payload",
        "audio/volume/up",
    ),
    (
        "room/1/audio/volume/set",
        b"-5",
        "invalid_payload",
        "audio/volume/down",
    ),
    (
        "room/1/audio/volume/set",
        b"5 %",
        "invalid_payload",
        "without a unit",
    ),
    (
        "room/1/audio/volume/set",
        b"40\0",
        "invalid_payload",
        "not \"40\\0\"",
    ),
    (
        "room/1/audio/volume/set",
        b"\xef\xbb\xbf40",
        "invalid_payload",
        "not \"\\u{feff}40\"",
    ),
    (
        "room/1/audio/volume/set",
        b"{'volume': 40}",
        "invalid_payload",
        "| tojson",
    ),
    (
        "room/1/audio/volume/set",
        b"{\"volume\": None}",
        "invalid_payload",
        "| tojson",
    ),
    (
        "room/1/call/dial",
        b"\xe2\x80\xaa+41791234567",
        "invalid_payload",
        "not \"\\u{202a}+41791234567\"",
    ),
    (
        "room/1/call/dial",
        b"5551234.0",
        "invalid_payload",
        "not 5551234.0; put it in double quotes",
    ),
    (
        "room/1/call/dial",
        b"{\"address\":true}",
        "invalid_payload",
        "not true; put it in double quotes",
    ),
    (
        "room/1/directory/local/entry/add",
        b"{\"devices\":[{\"addressList\":[{\"number\":1.5}]}]}",
        "invalid_payload",
        "number takes a text, not 1.5",
    ),
    (
        "room/1/audio/mute\u{200b}",
        b"",
        "unknown_command",
        "audio/mute\\u{200b} is not a command",
    ),
    (
        "room/1/calendar/meetings/get",
        b"{\"number\":3,\"start\":1}",
        "invalid_payload",
        "cannot be combined",
    ),
    (
        "room/1/calendar/meetings/get",
        b"{\"start\":3,\"end\":3}",
        "invalid_payload",
        "end takes a time after start",
    ),
    (
        "room/1/audio/volume/set",
        b"{\"volume\":40,\"volume\":50}",
        "invalid_payload",
        "has \"volume\" twice",
    ),
    (
        "room/1/audio/volume/set",
        b"40\xe2\x80\xa8",
        "invalid_payload",
        "not \"40\\u{2028}\"",
    ),
    (
        "room/1/calendar/meeting/..%2F..%2Fsystem%2Freboot/dial",
        b"",
        "invalid_payload",
        "a step to another path",
    ),
    (
        "room/1/camera/near/%2e%2e/get",
        b"",
        "invalid_payload",
        "a step to another path",
    ),
    (
        "room/1/call/a%00b/get",
        b"",
        "invalid_payload",
        "control characters",
    ),
    (
        "room/1/call/%ff/get",
        b"",
        "invalid_payload",
        "does not decode",
    ),
];

#[tokio::test]
async fn bad_input_is_told_and_goes_no_further() {
    let it = Gateway::start_with(BrokerKind::Embedded, Options::default(), |room| {
        room.allow = std::sync::Arc::default();
    })
    .await;
    it.online().await;
    let guarded = [("room/1/system/reboot", &b""[..], "forbidden", "allow = [")];
    for (topic, payload, code, says) in BAD.iter().chain(&guarded) {
        let result = it.client.command(topic, *payload).await;
        assert_eq!(result["ok"], false, "{topic}: {result}");
        assert_eq!(result["error"]["code"], *code, "{topic}: {result}");
        let message = result["error"]["message"].as_str().unwrap();
        assert!(message.contains(says), "{topic}: {message}");
    }
    let sent = it.device.journal();
    // One list is read by POST.
    let more = |path: &str| path == "/rest/session" || path.ends_with("/devicemanagement/devices");
    let read = |entry: &JournalEntry| entry.method == "GET" || more(&entry.path);
    let others: Vec<_> = sent.iter().filter(|entry| !read(entry)).collect();
    assert!(
        others.is_empty(),
        "only polls and the log-in reach the device: {others:?}"
    );
    let result = it.client.command("room/1/audio/mute", "").await;
    assert_eq!(result["ok"], true, "{result}");
    it.stop().await;
}

#[tokio::test]
async fn eleven_megabytes_are_too_large() {
    let it = Gateway::start(BrokerKind::Embedded, Options::default()).await;
    it.online().await;
    // A packet too large for the embedded broker ends the sender's connection, as MQTT requires. A
    // payload that the broker passes on is answered.
    let payload = vec![b'x'; (10 << 20) + 1];
    let result = it.client.command("room/1/directory/import", payload).await;
    assert_eq!(result["error"]["code"], "too_large", "{result}");
    let import = |entry: &JournalEntry| entry.path == "/rest/directory/import";
    assert!(!it.device.journal().iter().any(import));
    it.stop().await;
}

/// Who publishes to a state is told which topic is the command. The embedded broker does not accept
/// such a publish at all.
#[tokio::test]
async fn a_state_is_no_command() {
    if mosquitto().is_none() {
        return;
    }
    let it = Gateway::start(BrokerKind::Mosquitto, Options::default()).await;
    it.online().await;
    let result = it.client.command("room/1/audio/volume", "5").await;
    assert_eq!(result["error"]["code"], "unknown_command", "{result}");
    let message = result["error"]["message"].as_str().unwrap();
    assert!(
        message.ends_with("publish to audio/volume/set"),
        "{message}"
    );
    it.stop().await;
}

/// A failed command is also published as an event.
#[tokio::test]
async fn a_failed_command_is_an_event() {
    let it = Gateway::start(BrokerKind::Embedded, Options::default()).await;
    it.online().await;
    it.client.command("room/1/audio/volume/set", "loud").await;
    let event = it.client.message("room/1/event/command_failed").await;
    assert!(!event.retain);
    let event = String::from_utf8(event.payload.to_vec()).unwrap();
    assert!(event.contains("\"code\":\"invalid_payload\""), "{event}");
    it.stop().await;
}
