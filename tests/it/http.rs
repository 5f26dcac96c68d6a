//! The HTTP door: commands and states, files that stream, health.
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use poly2mqtt::config::BrokerUrl;
use poly2mqtt::doors::clients::ClientLimits;
use poly2mqtt_simulator::{Fault, FaultKind, JournalEntry, SimulatedDevice};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use poly2mqtt_test_support::SOON;
use poly2mqtt_test_support::door::{Doors, get, http, post, text};

const SET: &str = "/room/1/audio/volume/set";

async fn answer(doors: &Doors, path: &str) -> (u16, Value) {
    let response = get(&doors.url(path)).await;
    let status = response.status().as_u16();
    let body = response.bytes().await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

/// Sends these bytes and reads until the gateway ends the connection.
async fn raw(doors: &Doors, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(doors.addr()).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    // A reset after the answer also counts as the end.
    let _ = timeout(SOON, read).await.expect("it is ended");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn states_are_read() {
    let doors = Doors::start().await;
    let volume = get(&doors.url("/room/1/audio/volume")).await;
    assert!(
        volume.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/plain")
    );
    assert_eq!(volume.text().await.unwrap(), "62");
    let audio = get(&doors.url("/room/1/audio/microphones")).await;
    assert_eq!(audio.headers()["content-type"], "application/json");
    let (status, room) = answer(&doors, "/room/1").await;
    assert_eq!(
        (status, &room["audio/volume"], &room["availability"]),
        (200, &json!(62), &json!("online"))
    );
    // A picture is listed by its URL and can be read there.
    post(&doors.url("/room/1/camera/snapshot/near/get"), "").await;
    let (_, room) = answer(&doors, "/room/1").await;
    let url = room["camera/snapshot/near"]["url"].as_str().unwrap();
    let picture = get(&doors.url(url)).await;
    assert_eq!(picture.headers()["content-type"], "image/jpeg");
    assert!(picture.bytes().await.unwrap().starts_with(b"\xff\xd8"));
    assert_eq!(text(&doors.url("/gateway/availability")).await, "online");
    for (path, wanted, code) in [
        ("/room/9", 404, "unknown_room"),
        ("/room/9/audio/volume", 404, "unknown_room"),
        ("/room/1/nonsense", 404, "not_found"),
        ("/gateway/nonsense", 404, "not_found"),
        ("/nonsense", 404, "not_found"),
        ("/room/1/call//hangup", 404, "not_found"),
        ("/room/1/%20/x", 404, "not_found"),
        (SET, 405, "unknown_command"),
        (
            "/room/1/collaboration/content/saving/set?enabled=true",
            405,
            "unknown_command",
        ),
    ] {
        let (status, body) = answer(&doors, path).await;
        assert_eq!(
            (status, &body["error"]["code"]),
            (wanted, &json!(code)),
            "{path} {body}"
        );
    }
    // A state that is not there is probably one that is.
    for (path, hint) in [
        ("/room/1/audio/volme", "; did you mean audio/volume?"),
        ("/room/1/video/mutd", "; did you mean video/muted?"),
        ("/room/1/xyzzy", "has no state \"xyzzy\""),
    ] {
        let (_, body) = answer(&doors, path).await;
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.ends_with(hint), "{message}");
    }
    doors.stop().await;
}

#[tokio::test]
async fn queries_take_get_and_post() {
    let doors = Doors::start().await;
    let (status, result) = answer(&doors, "/room/1/audio/volume/get").await;
    assert_eq!((status, &result["body"]), (200, &json!(62)));
    // Parameters are in the URL. Encoded levels stay encoded.
    let (status, _) = answer(&doors, "/room/1/directory/favorites/get?start=1&limit=2").await;
    assert_eq!(status, 200);
    let asked = |entry: &JournalEntry| {
        entry.path == "/rest/directory/favorites" && entry.query == "start=1&limit=2"
    };
    assert!(doors.device.journal().iter().any(asked));
    let (status, result) = answer(&doors, "/room/1/calendar/meeting/AAMk%2Fnow+1==/get").await;
    assert_eq!((status, &result["ok"]), (200, &json!(true)), "{result}");
    let (status, _) = post(
        &doors.url("/room/1/directory/favorites/get"),
        "{\"start\":1}",
    )
    .await;
    assert_eq!(status, 200);
    doors.stop().await;
}

#[tokio::test]
async fn each_result_has_its_status() {
    let doors = Doors::start().await;
    let url = doors.url(SET);
    let fault = |kind| {
        Fault::on("/rest/audio/volume", kind)
            .method("POST")
            .times(1)
    };
    let (status, result) = post(&url, "40").await;
    assert_eq!((status, &result["ok"]), (200, &json!(true)));
    assert_eq!(text(&doors.url("/room/1/audio/volume")).await, "40");
    let (status, result) = post(&url, "{\"volume\":41,\"request_id\":7}").await;
    assert_eq!((status, &result["request_id"]), (200, &json!(7)));
    let code = |result: &Value| {
        result["error"]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    for (path, payload, wanted) in [
        (SET, "loud", (400, "invalid_payload")),
        ("/room/9/audio/mute", "", (404, "unknown_room")),
        ("/room/1/nonsense", "", (404, "unknown_command")),
        ("/room/1/audio/volume", "40", (405, "unknown_command")),
        ("/room/1/call/3/hangup", "", (404, "not_found")),
    ] {
        let (status, result) = post(&doors.url(path), payload).await;
        assert_eq!((status, code(&result).as_str()), wanted, "{path} {result}");
    }
    doors.device.add_fault(fault(FaultKind::Status(500)));
    let (status, result) = post(&url, "1").await;
    assert_eq!(
        (status, code(&result), &result["status"]),
        (502, "device_error".into(), &json!(500))
    );
    let missing = Fault::on("/rest/video/local/mute", FaultKind::Status(405)).method("POST");
    doors.device.add_fault(missing.times(1));
    assert_eq!(post(&doors.url("/room/1/video/mute"), "").await.0, 501);
    doors
        .device
        .add_fault(fault(FaultKind::Delay(Duration::from_secs(5))));
    let (status, result) = post(&url, "1").await;
    assert_eq!((status, code(&result)), (504, "timeout".into()));
    // Ninety at a time: one runs, sixty-four wait, the others are answered `busy`.
    doors.device.add_fault(Fault::on(
        "/rest/audio/volume",
        FaultKind::Delay(Duration::from_millis(300)),
    ));
    let up = doors.url("/room/1/audio/volume/up");
    let all = join_all((0..90).map(|_| post(&up, ""))).await;
    assert!(all.iter().any(|(status, _)| *status == 429), "{all:?}");
    let sets = join_all((0..5).map(|n| post(&url, n.to_string()))).await;
    assert!(sets.iter().any(|(status, _)| *status == 409), "{sets:?}");
    doors.device.clear_faults();
    doors.device.reboot(Duration::from_secs(60));
    let offline = async { while post(&url, "1").await.0 != 503 {} };
    timeout(SOON, offline)
        .await
        .expect("503 while the device is away");
    let delete = http().delete(&url).send().await.unwrap();
    assert_eq!(
        (delete.status().as_u16(), &delete.headers()["allow"]),
        (405, &"POST".parse().unwrap())
    );
    doors.stop().await;
}

#[tokio::test]
async fn a_file_streams_whatever_its_size() {
    const SIZE: usize = 64 << 20;
    let doors = Doors::start_with(ClientLimits::default(), |config| {
        config.mqtt.max_payload = 64 << 10;
    })
    .await;
    let url = doors.url("/room/1/system/logs/get");
    let logs = get(&url).await;
    assert_eq!(logs.headers()["content-type"], "application/octet-stream");
    assert_eq!(logs.headers()["content-disposition"], "attachment");
    assert_eq!(logs.bytes().await.unwrap(), vec![0; 1024]);
    doors
        .device
        .add_fault(Fault::on("/rest/system/logs", FaultKind::Huge(SIZE)));
    let large = get(&url).await;
    assert_eq!(large.content_length(), Some(SIZE as u64));
    let mut chunks = large.bytes_stream();
    let mut sizes = Vec::new();
    while let Some(chunk) = chunks.next().await {
        sizes.push(chunk.unwrap().len());
    }
    assert_eq!(sizes.iter().sum::<usize>(), SIZE);
    // While a file streams, the room continues to work.
    let slow = get(&url).await;
    assert_eq!(post(&doors.url(SET), "40").await.0, 200);
    // Its reader disconnects: the next download does not wait for it.
    drop(slow);
    doors
        .metric("poly2mqtt_commands_total{door=\"http\",outcome=\"expired\"} 1")
        .await;
    assert_eq!(get(&url).await.bytes().await.unwrap().len(), SIZE);
    doors.device.clear_faults();
    // A file that does not exist is answered with a result.
    doors
        .device
        .add_fault(Fault::on("/rest/system/logs", FaultKind::Status(500)).times(1));
    let (status, result) = answer(&doors, "/room/1/system/logs/get").await;
    assert_eq!(
        (status, &result["error"]["code"]),
        (502, &json!("device_error"))
    );
    let (status, _) = answer(&doors, "/room/9/system/logs/get").await;
    assert_eq!(status, 404);
    doors.stop().await;
}

/// Takes a file as slowly as over a narrow line, but steadily; gives how much came.
async fn takes_slowly(doors: &Doors) -> tokio::task::JoinHandle<usize> {
    let mut stream = TcpStream::connect(doors.addr()).await.unwrap();
    let request =
        "GET /room/1/system/logs/get HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    tokio::spawn(async move {
        let mut part = vec![0; 16 << 10];
        let mut all = 0;
        while let Ok(size @ 1..) = stream.read(&mut part).await {
            all += size;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        all
    })
}

#[tokio::test]
async fn files_that_are_taken_slowly_keep_nobody_from_using_the_room() {
    let doors = Doors::start().await;
    let huge = FaultKind::Huge(64 << 20);
    doors.device.add_fault(Fault::on("/rest/system/logs", huge));
    let first = takes_slowly(&doors).await;
    let streams = |device: &SimulatedDevice| {
        let journal = device.journal();
        journal
            .iter()
            .any(|entry| entry.path == "/rest/system/logs")
    };
    assert!(doors.device.wait_for(SOON, streams).await);
    // The second waits for the first one, whatever else is free.
    let second = takes_slowly(&doors).await;
    for round in 0..20 {
        for (path, payload) in [
            (SET, "40"),
            ("/room/1/call/hangup", ""),
            ("/room/1/camera/stop", ""),
        ] {
            let status = post(&doors.url(path), payload).await.0;
            assert_eq!(status, 200, "{path} {round}");
        }
    }
    let answered = timeout(SOON, second)
        .await
        .expect("it is answered")
        .unwrap();
    assert!(answered < 1000, "{answered}");
    // The other request is taken too, by a command that hangs: the file gives way to what cannot wait.
    let late = FaultKind::Delay(Duration::from_millis(2800));
    doors
        .device
        .add_fault(Fault::on("/rest/audio/volume", late).method("POST"));
    let url = doors.url(SET);
    let set = tokio::spawn(async move { post(&url, "41").await });
    let held = |device: &SimulatedDevice| device.delayed() == 1;
    assert!(doors.device.wait_for(SOON, held).await);
    assert_eq!(post(&doors.url("/room/1/camera/stop"), "").await.0, 200);
    assert_eq!(doors.device.delayed(), 1);
    let cut = timeout(SOON, first).await.expect("it is cut").unwrap();
    assert!(cut > 1000 && cut < 64 << 20, "{cut}");
    doors.device.end_delays();
    assert_eq!(set.await.unwrap().0, 200);
    doors.stop().await;
}

#[tokio::test]
async fn a_download_that_the_client_stops_reading_is_given_up() {
    let doors = Doors::start().await;
    doors
        .device
        .add_fault(Fault::on("/rest/system/logs", FaultKind::Huge(64 << 20)).times(1));
    let mut stream = TcpStream::connect(doors.addr()).await.unwrap();
    let request = "GET /room/1/system/logs/get HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0; 15];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    doors
        .metric("poly2mqtt_commands_total{door=\"http\",outcome=\"expired\"} 1")
        .await;
    assert_eq!(
        get(&doors.url("/room/1/system/logs/get")).await.status(),
        200
    );
    // The client notices the cut: fewer bytes came than were announced.
    let mut rest = Vec::new();
    let _ = timeout(SOON, stream.read_to_end(&mut rest))
        .await
        .expect("it is ended");
    assert!(rest.len() < 64 << 20);
    doors.stop().await;
}

#[tokio::test]
async fn an_upload_streams_to_the_device() {
    let doors = Doors::start().await;
    let url = doors.url("/room/1/directory/import");
    let imported = |size: usize| {
        move |entry: &JournalEntry| {
            entry.path == "/rest/directory/import" && entry.body.len() == size
        }
    };
    let file = format!("<directory>{}</directory>", " ".repeat(8 << 20));
    let size = file.len();
    // A stale session is noticed before the only attempt.
    doors.device.expire_sessions();
    let (status, result) = post(&url, file.clone()).await;
    assert_eq!((status, &result["ok"]), (200, &json!(true)), "{result}");
    let journal = doors.device.journal();
    let entry = journal.iter().find(|entry| imported(size)(entry)).unwrap();
    assert_eq!(entry.status, 204);
    assert!(entry.body == file.as_bytes());
    assert_eq!(entry.content_type.as_deref(), Some("application/xml"));
    let (status, result) = post(&url, "").await;
    assert_eq!(
        (status, &result["error"]["code"]),
        (400, &json!("invalid_payload"))
    );
    let (status, result) = post(&url, vec![b' '; 11_000_000]).await;
    assert_eq!(
        (status, &result["error"]["code"]),
        (413, &json!("too_large"))
    );
    let chunks = futures_util::stream::iter([Ok::<_, std::io::Error>("<a/>")]);
    let (status, _) = post(&url, reqwest::Body::wrap_stream(chunks)).await;
    assert_eq!(status, 411);
    // A client that stops in the middle does not block the device, and the file does not arrive.
    let mut stream = TcpStream::connect(doors.addr()).await.unwrap();
    let head = "POST /room/1/directory/import HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n<a>";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    timeout(SOON, stream.read_exact(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(answer, b"HTTP/1.1 502");
    assert_eq!(post(&url, "<directory/>").await.0, 200);
    doors.stop().await;
}

#[tokio::test]
async fn requests_that_are_too_large_or_too_slow_are_refused() {
    let limits = ClientLimits {
        greeting_timeout: Duration::from_millis(300),
        body_timeout: Duration::from_millis(300),
        ..ClientLimits::default()
    };
    let doors = Doors::start_with(limits, |_| {}).await;
    let (status, result) = post(&doors.url(SET), "9".repeat(1 << 20)).await;
    assert_eq!(
        (status, &result["error"]["code"]),
        (413, &json!("too_large"))
    );
    let slow_head = raw(&doors, b"GET / HTTP/1.1\r\nHost: loc").await;
    assert!(
        slow_head.is_empty() || slow_head.starts_with("HTTP/1.1 408"),
        "{slow_head}"
    );
    let post = format!(
        "POST {SET} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nConnection: close\r\n\r\n4"
    );
    assert!(
        raw(&doors, post.as_bytes())
            .await
            .starts_with("HTTP/1.1 408")
    );
    let many = format!("GET / HTTP/1.1\r\n{}", "a: b\r\n".repeat(100));
    assert!(
        raw(&doors, format!("{many}\r\n").as_bytes())
            .await
            .starts_with("HTTP/1.1 431")
    );
    let long = format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "x".repeat(100_000));
    let long = raw(&doors, long.as_bytes()).await;
    assert!(
        long.is_empty() || long.starts_with("HTTP/1.1 431"),
        "{long}"
    );
    // The gateway's own answer, which comes before its routes.
    let own = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\na: {}\r\n\r\n",
        "x".repeat(32 << 10)
    );
    let own = raw(&doors, own.as_bytes()).await;
    assert!(
        own.starts_with("HTTP/1.1 431") && own.contains("too_large"),
        "{own}"
    );
    assert!(
        own.contains("cross-origin-resource-policy: same-origin"),
        "{own}"
    );
    let nonsense = raw(&doors, b"\x16\x03\x01 nonsense\r\n\r\n").await;
    assert!(nonsense.starts_with("HTTP/1.1 400"), "{nonsense}");
    assert_eq!(text(&doors.url("/healthz")).await, "ok\n");
    doors.stop().await;
}

#[tokio::test]
async fn a_refused_body_is_an_event_of_the_room_like_any_failure() {
    let limits = ClientLimits {
        body_timeout: Duration::from_millis(300),
        ..ClientLimits::default()
    };
    let doors = Doors::start_with(limits, |_| {}).await;
    let mut ws = doors.ws("/ws?subscribe=room%2F1%2Fevent%2F%23").await;
    ws.ask(1, "\"ping\":true").await;
    let mut failed = async || {
        let event = ws.until(|frame| frame.get("topic").is_some()).await;
        let payload = &event["payload"];
        format!("{} {}", payload["command"], payload["code"]).replace('"', "")
    };
    let (_, result) = post(&doors.url(SET), "9".repeat(1 << 20)).await;
    assert_eq!(result["command"], "audio/volume/set", "{result}");
    assert_eq!(failed().await, "audio/volume/set too_large");
    let chunks = futures_util::stream::iter([Ok::<_, std::io::Error>("<a/>")]);
    let import = doors.url("/room/1/directory/import");
    let (status, _) = post(&import, reqwest::Body::wrap_stream(chunks)).await;
    assert_eq!(status, 411);
    assert_eq!(failed().await, "directory/import invalid_payload");
    let head = format!("POST {SET} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n");
    let slow = raw(
        &doors,
        format!("{head}Connection: close\r\n\r\n4").as_bytes(),
    )
    .await;
    assert!(slow.starts_with("HTTP/1.1 408"), "{slow}");
    assert_eq!(failed().await, "audio/volume/set timeout");
    for outcome in ["too_large", "invalid_payload", "timeout"] {
        let line = format!("poly2mqtt_commands_total{{door=\"http\",outcome=\"{outcome}\"}} 1");
        doors.metric(&line).await;
    }
    doors.stop().await;
}

#[tokio::test]
async fn readiness_reports_broker_and_rooms() {
    let doors = Doors::start().await;
    assert_eq!(text(&doors.url("/healthz")).await, "ok\n");
    let (status, ready) = answer(&doors, "/readyz").await;
    let wanted = json!({
        "ready": true, "broker": "off", "rooms": 2, "rooms_online": 2, "rooms_starting": 0,
    });
    assert_eq!((status, ready), (200, wanted));
    let page = get(&doors.url("/")).await;
    assert_eq!(page.headers()["x-frame-options"], "SAMEORIGIN");
    assert_eq!(page.headers()["referrer-policy"], "no-referrer");
    assert!(page.text().await.unwrap().contains("poly2mqtt"));
    let (_, document) = answer(&doors, "/asyncapi.json").await;
    assert_eq!(document, poly2mqtt::render::asyncapi::document());
    doors.stop().await;
    // The configured broker is away: not ready, but HTTP works.
    let doors = Doors::start_with(ClientLimits::default(), |config| {
        config.mqtt.url = BrokerUrl::Tcp {
            host: "127.0.0.1".into(),
            port: poly2mqtt_test_support::free_port(),
        };
    })
    .await;
    let (status, ready) = answer(&doors, "/readyz").await;
    assert_eq!((status, &ready["broker"]), (503, &json!("disconnected")));
    assert_eq!(post(&doors.url(SET), "40").await.0, 200);
    doors.stop().await;
}
