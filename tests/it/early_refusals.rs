//! A refusal reaches the client although it still sends: also behind a proxy that, as nginx does, answers
//! 502 when the gateway resets the connection.
use std::net::SocketAddr;

use futures_util::future::join_all;
use poly2mqtt::config::AccessLevel;
use poly2mqtt::doors::clients::ClientLimits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Duration, Instant, sleep, timeout};

use poly2mqtt_test_support::SOON;
use poly2mqtt_test_support::door::{Doors, token};

/// More than the buffers of both sockets hold.
const BODY: usize = 4 << 20;

const BAD_GATEWAY: &[u8] = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n";

/// A proxy for one request: takes all of it, sends all of it on, and only then reads the answer.
async fn proxy(to: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        client.read_to_end(&mut request).await.unwrap();
        let answer = forward(to, &request).await.unwrap_or(BAD_GATEWAY.to_vec());
        client.write_all(&answer).await.unwrap();
    });
    addr
}

async fn forward(to: SocketAddr, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut gateway = TcpStream::connect(to).await?;
    for part in request.chunks(64 << 10) {
        gateway.write_all(part).await?;
        // As over a network: the gateway has answered long before the end.
        sleep(Duration::from_millis(1)).await;
    }
    let mut answer = Vec::new();
    gateway.read_to_end(&mut answer).await?;
    Ok(answer)
}

/// Sends a request with a large body through a proxy; gives the answer.
async fn upload(doors: &Doors, head: String) -> String {
    let mut client = TcpStream::connect(proxy(doors.addr()).await).await.unwrap();
    let mut request = head.replace('\n', "\r\n").into_bytes();
    request.extend_from_slice(&vec![b'x'; BODY]);
    client.write_all(&request).await.unwrap();
    client.shutdown().await.unwrap();
    let mut answer = String::new();
    let read = timeout(SOON, client.read_to_string(&mut answer)).await;
    read.expect("it is answered").unwrap();
    answer
}

#[tokio::test]
async fn every_early_refusal_of_an_upload_passes_a_proxy() {
    let doors = Doors::start_with(ClientLimits::default(), |config| {
        config.http.tokens = vec![
            token("administers", AccessLevel::Admin, None),
            token("reads", AccessLevel::Read, None),
            token("room-two", AccessLevel::Admin, Some(&["2"])),
        ];
    })
    .await;
    let import = "/room/1/directory/import";
    let admin = "Host: localhost\nAuthorization: Bearer administers\n";
    let refused = [
        (401, "no token", import, "Host: localhost\n"),
        (
            401,
            "a wrong token",
            import,
            "Host: localhost\nAuthorization: Bearer guess\n",
        ),
        (
            403,
            "a token that reads",
            import,
            "Host: localhost\nAuthorization: Bearer reads\n",
        ),
        (
            403,
            "a token of another room",
            import,
            "Host: localhost\nAuthorization: Bearer room-two\n",
        ),
        (
            403,
            "a page of another origin",
            import,
            "Host: localhost\nOrigin: http://evil.example\n",
        ),
        (421, "another host", import, "Host: evil.example\n"),
        (400, "no host", import, ""),
        (400, "two tokens", "/room/1/directory/import?token=a", admin),
        (404, "no such path", "/nothing", admin),
        (404, "no such room", "/room/9/directory/import", admin),
        (405, "a state", "/room/1/audio/volume", admin),
        (405, "a room", "/room/1", admin),
        (405, "a page", "/", admin),
        (405, "the WebSocket", "/ws", admin),
        (404, "MQTT", "/mqtt", admin),
        (
            413,
            "a payload that is too large",
            "/room/1/audio/volume/set",
            admin,
        ),
        (404, "no such command", "/room/1/nonsense", admin),
    ];
    let upload = |head: String| upload(&doors, head);
    let uploads = refused.map(|(status, what, target, headers)| async move {
        let head = format!("POST {target} HTTP/1.1\n{headers}Content-Length: {BODY}\n\n");
        let answer = upload(head).await;
        // What is no command at all may also be refused for its size.
        let wanted = format!("HTTP/1.1 {status} ");
        let too_large = matches!(what, "no such command") && answer.starts_with("HTTP/1.1 413 ");
        assert!(
            answer.starts_with(&wanted) || too_large,
            "{what}: {answer:.300}"
        );
        assert!(answer.contains("\"ok\":false"), "{what}: {answer:.300}");
        assert!(
            answer.to_lowercase().contains("\r\nconnection: close\r\n"),
            "{what}: {answer:.300}"
        );
    });
    join_all(uploads).await;
    // A file without a length, and heads that are refused before any of this.
    let chunked =
        format!("POST {import} HTTP/1.1\n{admin}Transfer-Encoding: chunked\n\n{BODY:x}\n");
    assert!(upload(chunked).await.starts_with("HTTP/1.1 411 "));
    let heads = [
        (
            431,
            format!("POST / HTTP/1.1\n{admin}X: {}\n\n", "x".repeat(40 << 10)),
        ),
        (
            431,
            format!("POST / HTTP/1.1\n{admin}{}\n", "X: x\n".repeat(100)),
        ),
        (
            431,
            format!("POST /{} HTTP/1.1\n{admin}\n", "x".repeat(70_000)),
        ),
        (400, "POST / HTTP/1.1\nno header\n\n".to_owned()),
    ];
    let uploads = heads.map(|(status, head)| async move {
        let answer = upload(head).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{status}: {answer:.300}"
        );
    });
    join_all(uploads).await;
    doors.stop().await;
}

/// What comes at once comes in less than this: the gateway waits for silent clients for two seconds.
const AT_ONCE: Duration = Duration::from_secs(1);
/// The machine may stand still for all but one of them.
const TRIES: usize = 3;

/// A client that may not upload, and reads while it sends. Gives how long it took until the whole answer was there.
async fn refused_upload(doors: &Doors) -> (TcpStream, Duration) {
    let mut stream = TcpStream::connect(doors.addr()).await.unwrap();
    let head = "POST /room/1/directory/import HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&[b'x'; 99_999]).await.unwrap();
    let begun = Instant::now();
    let mut answer = String::new();
    let read = timeout(SOON, stream.read_to_string(&mut answer)).await;
    read.expect("the gateway has ended its side").unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    (stream, begun.elapsed())
}

#[tokio::test]
async fn a_client_that_reads_while_it_sends_has_the_answer_at_once() {
    let doors = Doors::start_with(ClientLimits::default(), |config| {
        config.http.tokens = vec![token("reads", AccessLevel::Read, None)];
    })
    .await;
    let (mut stream, mut took) = refused_upload(&doors).await;
    for _ in 1..TRIES {
        if took < AT_ONCE {
            break;
        }
        (stream, took) = refused_upload(&doors).await;
    }
    assert!(took < AT_ONCE, "{took:?}");
    // It may send on for a while, and not for ever once it falls silent.
    stream.write_all(&[b'x'; 99_999]).await.unwrap();
    let closed = async {
        while stream.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(2500)).await;
        }
    };
    timeout(SOON, closed).await.expect("it is closed");
    doors.stop().await;
}

/// How long a gateway takes to end while a client has a connection between two requests.
async fn end_between_requests() -> Duration {
    let doors = Doors::start().await;
    let mut stream = TcpStream::connect(doors.addr()).await.unwrap();
    let request =
        "POST /room/1/audio/volume/set HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n40";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut start = [0; 12];
    stream.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
    let begun = Instant::now();
    doors.stop().await;
    begun.elapsed()
}

#[tokio::test]
async fn a_connection_between_two_requests_ends_at_once() {
    let mut quickest = Duration::MAX;
    for _ in 0..TRIES {
        if quickest >= Duration::from_secs(2) {
            quickest = end_between_requests().await;
        }
    }
    assert!(quickest < Duration::from_secs(2), "{quickest:?}");
}
