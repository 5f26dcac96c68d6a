//! What one token may use: however many clients and requests it has, those of others go on.
use std::time::Duration;

use poly2mqtt::config::AccessLevel;
use poly2mqtt::doors::clients::ClientLimits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use poly2mqtt_test_support::door::{Doors, http, token};
use poly2mqtt_test_support::soon;

const READER: &str = "a-reader-of-more-than-sixteen-characters";
const OTHER: &str = "another-of-more-than-sixteen-characters";

async fn with_tokens(limits: ClientLimits) -> Doors {
    Doors::start_with(limits, |config| {
        config.http.tokens = vec![
            token(READER, AccessLevel::Read, Some(&["2"])),
            token(OTHER, AccessLevel::Control, None),
        ];
    })
    .await
}

#[tokio::test]
async fn one_token_has_half_of_the_clients_and_others_come_in() {
    let limits = ClientLimits {
        max_clients: 4,
        ..ClientLimits::default()
    };
    let doors = with_tokens(limits).await;
    let ws = |token: &str| format!("/ws?token={token}");
    let mut first = doors.ws(&ws(READER)).await;
    let mut lines = doors.tcp().await;
    lines.send(&format!("token {READER}\nping\n")).await;
    assert_eq!(lines.line().await.unwrap(), "pong");
    let (code, reason) = doors.ws(&ws(READER)).await.closed().await;
    assert!(
        code == 1013 && reason.contains("with this token"),
        "{code} {reason}"
    );
    let mut refused = doors.tcp().await;
    refused.send(&format!("token {READER}\n")).await;
    let told = refused.line().await.unwrap();
    assert!(
        told.starts_with("closed too many clients with this token"),
        "{told}"
    );
    let mut other = doors.ws(&ws(OTHER)).await;
    assert_eq!(other.ask(1, "\"ping\":true").await["pong"], true);
    assert_eq!(first.ask(1, "\"ping\":true").await["pong"], true);
    let query = format!("?token={OTHER}");
    let refused = "poly2mqtt_refused_clients_total{why=\"limit\"} 2";
    doors.metric_with(refused, &query).await;
    doors.stop().await;
}

#[tokio::test]
async fn a_large_message_must_come_in_time() {
    let limits = ClientLimits {
        body_timeout: Duration::from_millis(300),
        ..ClientLimits::default()
    };
    let doors = with_tokens(limits).await;
    // Small ones may take as long as they like.
    let (mut small, mut large) = (doors.tcp().await, doors.tcp().await);
    let start = format!("token {OTHER}\nroom/1/audio/volume/set ");
    small.send(&start).await;
    large
        .send(&format!("{start}{}", " ".repeat(20 << 10)))
        .await;
    let told = large.line().await.unwrap();
    assert_eq!(told, "closed the message took too long to arrive");
    small.send("40\n").await;
    let told = small.line().await.unwrap();
    assert_eq!(told, "room/1/audio/volume/set/result ok");
    let mut socket = doors.ws(&format!("/ws?token={READER}")).await;
    let tokio_tungstenite::MaybeTlsStream::Plain(raw) = socket.inner.get_mut() else {
        panic!("no bare connection");
    };
    // A frame of 100 KB of which a part comes.
    let mut frame = vec![0x81, 0xff];
    frame.extend_from_slice(&(100_u64 << 10).to_be_bytes());
    frame.extend_from_slice(&[0; 20 << 10]);
    raw.write_all(&frame).await.unwrap();
    let (code, reason) = socket.closed().await;
    assert_eq!(
        (code, &*reason),
        (1008, "the message took too long to arrive")
    );
    doors.stop().await;
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_called_too_large() {
    let doors = with_tokens(ClientLimits::default()).await;
    let head = format!(
        "POST /room/1/audio/volume/set HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {OTHER}\r\n"
    );
    for (rest, received) in [
        ("Content-Length: 5\r\n\r\n47", 2),
        (
            "Transfer-Encoding: chunked\r\n\r\n2\r\n47\r\nzz\r\n47\r\n",
            2,
        ),
        ("Transfer-Encoding: chunked\r\n\r\nzz\r\n47\r\n", 0),
    ] {
        let mut stream = TcpStream::connect(doors.addr()).await.unwrap();
        stream
            .write_all(format!("{head}{rest}").as_bytes())
            .await
            .unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        soon("the answer", stream.read_to_string(&mut answer))
            .await
            .unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        let wanted = format!("broke off after {received} bytes");
        assert!(
            answer.contains("invalid_payload") && answer.contains(&wanted),
            "{answer}"
        );
    }
    doors.stop().await;
}

#[tokio::test]
async fn a_parameter_that_is_there_twice_is_refused() {
    let doors = with_tokens(ClientLimits::default()).await;
    let path = "/room/1/calendar/meetings/get?number=1&number=2";
    let request = http().get(doors.url(path)).bearer_auth(OTHER);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 400);
    assert!(
        response
            .text()
            .await
            .unwrap()
            .contains("number is there twice")
    );
    doors.stop().await;
}

/// `printf` without `\n` before `nc -N`.
#[tokio::test]
async fn a_last_line_without_its_end_is_told_and_not_carried_out() {
    let doors = with_tokens(ClientLimits::default()).await;
    let mut stream = TcpStream::connect(doors.service.tcp_addr().unwrap())
        .await
        .unwrap();
    let lines = format!("token {OTHER}\nping\nroom/1/audio/volume/set 1");
    stream.write_all(lines.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    soon("the answer", stream.read_to_string(&mut answer))
        .await
        .unwrap();
    let wanted =
        "pong\r\nerror invalid_payload the last line has no line end; nothing was done\r\n";
    assert_eq!(answer, wanted);
    let journal = doors.device.journal();
    let sets = |path: &str| {
        journal
            .iter()
            .any(|entry| entry.path == path && entry.method == "POST")
    };
    assert!(!sets("/rest/audio/volume"));
    doors.stop().await;
}
