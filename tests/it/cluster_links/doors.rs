//! Commands, results, states, events and files.
use super::*;

/// Commands with every kind of outcome.
const COMMANDS: &[(&str, &str)] = &[
    ("audio/volume/set", "40"),
    (
        "audio/volume/set",
        "{\"volume\":41,\"request_id\":{ \"a\" : 1.0 }}",
    ),
    ("audio/volume/set", "loud"),
    (
        "audio/volume/set",
        "{\"volume\":\"loud\",\"request_id\":12345678901234567890123}",
    ),
    ("audio/volume/get", ""),
    ("audio/volum/get", ""),
    ("calendar/meetings/get", ""),
    ("call/0/hangup", ""),
    ("calls/get", ""),
    ("nonsense", "{\"request_id\":\"x\"}"),
    ("camera/preset/300/activate", ""),
];

#[tokio::test]
async fn a_result_is_the_same_at_every_gateway() {
    let cluster = two().await;
    for (command, payload) in COMMANDS {
        let at = async |name| {
            let url = cluster.url(name, &format!("/room/2/{command}"));
            let (status, result) = post(&url, *payload).await;
            (status, without_time(result))
        };
        let (owner, other) = (at("b").await, at("a").await);
        assert_eq!(owner, other, "{command} {payload}");
    }
    // It is counted where it was carried out.
    let metrics = text(&cluster.url("b", "/metrics")).await;
    let line = "poly2mqtt_commands_total{door=\"http\",outcome=\"ok\"}";
    assert!(metrics.contains(line), "{metrics}");
    assert!(!text(&cluster.url("a", "/metrics")).await.contains(line));
    cluster.stop().await;
}

#[tokio::test]
async fn a_websocket_gets_snapshot_changes_results_and_events_of_a_room_elsewhere() {
    let cluster = two().await;
    let mut frames = Vec::new();
    for name in ["b", "a"] {
        let mut ws = cluster.ws(name, "/ws").await;
        let first = ws.frames_until(1, "\"subscribe\":[\"room/2/#\"]").await;
        // What is said about the time differs.
        let moving = [
            "/session", "/problem", "uptime", "/time", "/meters", "/result",
        ];
        let still = |frame: &String| {
            let topic = frame.split(',').next().unwrap();
            !moving.iter().any(|word| topic.contains(word)) && !frame.contains("\"id\":1")
        };
        let mut still: Vec<String> = first.iter().filter(|frame| still(frame)).cloned().collect();
        still.sort();
        assert!(still.len() > 20, "{still:?}");
        frames.push((still, ws));
    }
    let (_, mut at_a) = frames.pop().unwrap();
    let (_, mut at_b) = frames.pop().unwrap();
    let topics = async |name: &str| -> Vec<String> {
        let room: Value = get(&cluster.url(name, "/room/2"))
            .await
            .json()
            .await
            .unwrap();
        room.as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(topics("a").await, topics("b").await);
    // The state comes before the result of the command that led to it.
    for volume in [30, 31, 32] {
        let frame = format!("\"topic\":\"room/2/audio/volume/set\",\"payload\":{volume}");
        let came = at_a.frames_until(7, &frame).await;
        let state =
            format!("{{\"topic\":\"room/2/audio/volume\",\"payload\":{volume},\"retain\":true}}");
        assert!(came.contains(&state), "{came:?}");
        let result: Value = serde_json::from_str(came.last().unwrap()).unwrap();
        assert_eq!(result["payload"]["ok"], true);
        at_b.until(|frame| frame["payload"] == volume).await;
    }
    // A change that the device made by itself.
    cluster.devices["2"].clear_faults();
    let (status, _) = post(&cluster.url("b", "/room/2/audio/volume/set"), "55").await;
    assert_eq!(status, 200);
    at_a.until(|frame| frame["topic"] == "room/2/audio/volume" && frame["payload"] == 55)
        .await;
    // An event.
    let failed = at_a
        .frames_until(
            8,
            "\"topic\":\"room/2/audio/volume/set\",\"payload\":\"loud\"",
        )
        .await;
    let event = failed
        .iter()
        .find(|frame| frame.contains("event/command_failed"));
    let event: Value = serde_json::from_str(event.unwrap()).unwrap();
    assert_eq!(event["payload"]["code"], "invalid_payload");
    assert!(event.get("retain").is_none());
    // What was unsubscribed does not come any more.
    at_a.ask(9, "\"unsubscribe\":[\"room/2/#\"]").await;
    let answer = at_a
        .frames_until(10, "\"topic\":\"room/2/audio/volume/set\",\"payload\":20")
        .await;
    assert_eq!(answer.len(), 1, "{answer:?}");
    cluster.stop().await;
}

#[tokio::test]
async fn plain_frames_and_lines_reach_a_room_elsewhere() {
    let cluster = two().await;
    let mut tcp = cluster.tcp("a").await;
    tcp.send("subscribe room/2/audio/volume\r\n").await;
    assert_eq!(tcp.line().await.unwrap(), "room/2/audio/volume 62");
    tcp.send("room/2/audio/volume/set 40\n").await;
    assert_eq!(tcp.line().await.unwrap(), "room/2/audio/volume 40");
    assert_eq!(
        tcp.line().await.unwrap(),
        "room/2/audio/volume/set/result ok"
    );
    tcp.send("room/2/audio/volume/set loud\n").await;
    assert_eq!(
        tcp.line().await.unwrap(),
        "room/2/audio/volume/set/result error invalid_payload volume takes an integer from 0 to \
         100, not \"loud\""
    );
    let mut ws = cluster
        .ws("a", "/ws?format=plain&subscribe=room/2/audio/volume")
        .await;
    assert_eq!(ws.text().await, "room/2/audio/volume 40");
    ws.send("room/2/audio/volume/get").await;
    assert_eq!(ws.text().await, "room/2/audio/volume/get/result ok 40");
    cluster.stop().await;
}

#[tokio::test]
async fn states_and_lists_are_read_over_http_at_every_gateway() {
    let cluster = two().await;
    for name in ["a", "b"] {
        for room in ["1", "2"] {
            let url = cluster.url(name, &format!("/room/{room}/audio/volume"));
            assert_eq!(text(&url).await, "62", "{name} {room}");
            let url = cluster.url(name, &format!("/room/{room}/audio/volum"));
            assert_eq!(get(&url).await.status(), 404);
        }
        let unknown = get(&cluster.url(name, "/room/9")).await;
        assert_eq!(unknown.status(), 404);
        let message: Value = unknown.json().await.unwrap();
        assert_eq!(message["error"]["code"], "unknown_room");
        let list: Value = get(&cluster.url(name, "/room")).await.json().await.unwrap();
        for room in list.as_array().unwrap() {
            assert_eq!(room["availability"], "online", "{name}: {list}");
            assert_eq!(room["problem"], "none", "{name}: {list}");
        }
        let (status, result) = post(&cluster.url(name, "/room/9/audio/mute"), "").await;
        assert_eq!(
            (status, &result["error"]["code"]),
            (404, &json!("unknown_room"))
        );
    }
    // A value that was read is the newest, also while nobody subscribes.
    for volume in ["40", "41"] {
        post(&cluster.url("b", "/room/2/audio/volume/set"), volume).await;
        until(
            || format!("volume {volume}"),
            async || text(&cluster.url("a", "/room/2/audio/volume")).await == volume,
        )
        .await;
    }
    cluster.stop().await;
}

#[tokio::test]
async fn files_stream_through_the_gateway_that_has_not_got_the_room() {
    const SIZE: usize = 24 << 20;
    let cluster = Cluster::start_with(&["a", "b"], &[("1", "a"), ("2", "b")], |config| {
        config.mqtt.max_payload = 64 << 10;
    })
    .await;
    let device = &cluster.devices["2"];
    let url = cluster.url("a", "/room/2/system/logs/get");
    let logs = get(&url).await;
    assert_eq!(logs.headers()["content-type"], "application/octet-stream");
    assert_eq!(logs.headers()["content-disposition"], "attachment");
    assert_eq!(logs.bytes().await.unwrap(), vec![0; 1024]);
    device.add_fault(Fault::on("/rest/system/logs", FaultKind::Huge(SIZE)));
    let large = get(&url).await;
    assert_eq!(large.content_length(), Some(SIZE as u64));
    let mut chunks = large.bytes_stream();
    let mut sum = 0;
    while let Some(chunk) = chunks.next().await {
        sum += chunk.unwrap().len();
    }
    assert_eq!(sum, SIZE);
    // While a file streams, commands pass.
    let slow = get(&url).await;
    let (status, _) = post(&cluster.url("a", "/room/2/audio/volume/set"), "33").await;
    assert_eq!(status, 200);
    drop(slow);
    device.clear_faults();
    device.add_fault(Fault::on("/rest/system/logs", FaultKind::Status(500)).times(1));
    let at = async |name| {
        let response = get(&cluster.url(name, "/room/2/system/logs/get?x=1")).await;
        (
            response.status(),
            without_time(response.json().await.unwrap()),
        )
    };
    // Parameters that the command does not take: the same answer everywhere.
    device.clear_faults();
    assert_eq!(at("a").await, at("b").await);
    // Up.
    let file = format!("<directory>{}</directory>", " ".repeat(8 << 20));
    let import = cluster.url("a", "/room/2/directory/import");
    let (status, result) = post(&import, file.clone()).await;
    assert_eq!((status, &result["ok"]), (200, &json!(true)), "{result}");
    let journal = device.journal();
    let entry = journal
        .iter()
        .find(|entry| entry.path == "/rest/directory/import" && entry.body.len() == file.len());
    assert!(entry.unwrap().body == file.as_bytes());
    for body in [Vec::new(), vec![b' '; 11_000_000]] {
        let at = async |name| {
            let url = cluster.url(name, "/room/2/directory/import");
            let (status, result) = post(&url, body.clone()).await;
            (status, without_time(result))
        };
        let (owner, other) = (at("b").await, at("a").await);
        assert_eq!(owner, other);
    }
    cluster.stop().await;
}

#[tokio::test]
async fn a_binary_answer_comes_over_the_websocket_of_every_gateway() {
    let cluster = two().await;
    for name in ["a", "b"] {
        let mut ws = cluster.ws(name, "/ws").await;
        let result = ws.ask(1, "\"topic\":\"room/2/system/logs/get\"").await;
        assert_eq!(result["payload"]["body"]["bytes"], 1024, "{result}");
        assert_eq!(ws.message().await, Message::binary(vec![0; 1024]));
        ws.ask(2, "\"subscribe\":[\"room/2/camera/snapshot/+\"]")
            .await;
        ws.send("{\"id\":3,\"topic\":\"room/2/camera/snapshot/near/get\"}")
            .await;
        let answer = ws.until(|frame| frame["id"] == 3).await;
        assert_eq!(answer["payload"]["ok"], true, "{answer}");
        assert!(matches!(ws.message().await, Message::Binary(_)));
        let picture = get(&cluster.url(name, "/room/2/camera/snapshot/near")).await;
        assert_eq!(picture.headers()["content-type"], "image/jpeg");
    }
    cluster.stop().await;
}
