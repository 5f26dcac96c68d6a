//! WebSockets that cannot be opened: the client is told why, and does not wait for ever.
use futures_util::SinkExt;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

use poly2mqtt_test_support::door::Doors;
use poly2mqtt_test_support::log::thread_log;

/// The status and the message of a request with these lines after the first two.
async fn refused(doors: &Doors, first: &str, lines: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(doors.addr()).await.unwrap();
    let request = format!("{first}\r\nHost: localhost\r\n{lines}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    let status = response.split(' ').nth(1).unwrap().parse().unwrap();
    let body = response.split_once("\r\n\r\n").unwrap().1;
    let body: Value = serde_json::from_str(body).unwrap();
    (
        status,
        body["error"]["message"].as_str().unwrap().to_owned(),
    )
}

#[tokio::test]
async fn a_request_that_opens_no_websocket_is_told_why() {
    const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    const UPGRADE: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n";
    const VERSION: &str = "Sec-WebSocket-Version: 13\r\n";
    let doors = Doors::start().await;
    for (first, lines, status, wanted) in [
        // curl, or the address typed into a browser.
        ("GET /ws HTTP/1.1", String::new(), 426, "opens it as ws://"),
        ("GET /ws/ HTTP/1.1", String::new(), 426, "opens it as ws://"),
        ("GET /ws HTTP/1.0", String::new(), 426, "HTTP/1.1"),
        // A proxy that takes the upgrade off, one of both headers, or speaks HTTP/1.0.
        (
            "GET /ws HTTP/1.1",
            format!("{KEY}{VERSION}"),
            426,
            "$http_upgrade",
        ),
        (
            "GET /ws HTTP/1.1",
            format!("{KEY}{VERSION}Connection: close\r\nUpgrade: websocket\r\n"),
            426,
            "proxy_set_header Connection \"upgrade\"",
        ),
        (
            "GET /ws HTTP/1.1",
            format!("{KEY}{VERSION}Connection: Upgrade\r\n"),
            426,
            "$http_upgrade",
        ),
        (
            "GET /ws HTTP/1.0",
            format!("{KEY}{VERSION}Connection: close\r\n"),
            426,
            "proxy_http_version 1.1",
        ),
        (
            "GET /ws HTTP/1.1",
            format!("{KEY}{UPGRADE}Sec-WebSocket-Version: 8\r\n"),
            426,
            "version 13",
        ),
        ("POST /ws HTTP/1.1", String::new(), 405, "opened with GET"),
        // Other addresses.
        (
            "GET / HTTP/1.1",
            format!("{KEY}{VERSION}{UPGRADE}"),
            404,
            "is at /ws",
        ),
        (
            "GET /websocket HTTP/1.1",
            format!("{KEY}{VERSION}{UPGRADE}"),
            404,
            "is at /ws",
        ),
        (
            "GET /room/1 HTTP/1.1",
            format!("{KEY}{VERSION}{UPGRADE}"),
            404,
            "is at /ws",
        ),
        ("GET /mqtt HTTP/1.1", String::new(), 404, "mqtt.url"),
    ] {
        let (got, message) = refused(&doors, first, &lines).await;
        assert!(
            got == status && message.contains(wanted),
            "{first} {lines} {got} {message}"
        );
    }
    doors.stop().await;
}

#[tokio::test]
async fn mqtt_over_websocket_is_refused_in_words() {
    let doors = Doors::start().await;
    for (path, protocol) in [
        ("/mqtt", "mqtt"),
        ("/mqtt", ""),
        ("/mqtt/", "mqttv3.1"),
        ("/ws", "mqtt"),
        ("/ws?token=x", "mqttv3.1"),
        ("/ws", "other, MQTT"),
        ("/", "mqtt"),
    ] {
        let mut request = doors
            .url(path)
            .replace("http", "ws")
            .into_client_request()
            .unwrap();
        if !protocol.is_empty() {
            let headers = request.headers_mut();
            headers.insert("sec-websocket-protocol", protocol.parse().unwrap());
        }
        let Err(Error::Http(response)) = tokio_tungstenite::connect_async(request).await else {
            panic!("{path} {protocol} is open");
        };
        let body = response.body().clone().unwrap_or_default();
        let body = String::from_utf8_lossy(&body).into_owned();
        assert!(
            response.status() == 404 && body.contains("mqtt.url"),
            "{path} {body}"
        );
    }
    // One that names no protocol is told after its first packet.
    let mut ws = doors.ws("/ws").await;
    let connect = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00";
    ws.inner
        .send(Message::binary(connect.to_vec()))
        .await
        .unwrap();
    let (code, reason) = ws.closed().await;
    assert!(
        code == 1003 && reason.contains("mqtt.url"),
        "{code} {reason}"
    );
    doors.stop().await;
}

/// RFC 6455 lets a client go on where the server agrees on no subprotocol, and some do not.
#[tokio::test]
async fn a_client_that_asks_for_another_subprotocol_is_served_and_told_of_in_one_line() {
    let (log, _guard) = thread_log();
    let doors = Doors::start().await;
    let line = "a client asks for a WebSocket subprotocol, but the gateway has none";
    for (subprotocol, path, lines) in [
        ("", "/ws", 0),
        ("Sec-WebSocket-Protocol:\r\n", "/ws", 0),
        ("Sec-WebSocket-Protocol: chat\r\n", "/ws", 1),
        ("Sec-WebSocket-Protocol: ocpp1.6, ocpp2.0\r\n", "/ws", 1),
        (
            "sec-websocket-protocol: base64url.bearer.canary\r\n",
            "/ws?format=plain",
            1,
        ),
        (
            "Sec-WebSocket-Protocol: graphql-ws\r\nSec-WebSocket-Protocol: wamp\r\n",
            "/ws",
            1,
        ),
    ] {
        let mut stream = TcpStream::connect(doors.addr()).await.unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{subprotocol}\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        assert!(head.starts_with("http/1.1 101 "), "{head}");
        assert!(!head.contains("sec-websocket-protocol"), "{head}");
        assert_eq!(log.text().matches(line).count(), lines, "{}", log.text());
    }
    let told = log.text();
    let told = told.lines().find(|told| told.contains(line)).unwrap();
    assert!(
        told.contains("leave its subprotocol empty") && told.contains("127.0.0.1"),
        "{told}"
    );
    // Some put their token there.
    assert!(!log.text().contains("canary"), "{}", log.text());
    doors.stop().await;
}

#[tokio::test]
async fn members_that_other_programs_add_are_named() {
    let doors = Doors::start().await;
    let mut ws = doors.ws("/ws").await;
    let answer = ws
        .ask(
            1,
            "\"topic\":\"room/1/audio/volume/set\",\"payload\":40,\"qos\":0,\"retain\":false,\
             \"_msgid\":\"f0\"",
        )
        .await;
    let message = answer["error"]["message"].as_str().unwrap();
    for name in ["_msgid", "qos", "retain"] {
        assert!(message.contains(&format!("\"{name}\"")), "{message}");
    }
    let answer = ws.ask(2, "\"subscribe\":[\"$share/g/room/1/#\"]").await;
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("subscribe to \"room/1/#\""), "{message}");
    let query = doors
        .url("/ws?subscribe=$share/g/room/1/%23")
        .replace("http", "ws");
    let Err(Error::Http(response)) = tokio_tungstenite::connect_async(query).await else {
        panic!("it is open");
    };
    assert_eq!(response.status(), 400);
    // A byte order mark is no part of a frame.
    ws.send("\u{feff}{\"id\":3,\"ping\":true}").await;
    assert_eq!(ws.json().await["pong"], true);
    doors.stop().await;
}
