//! Clients that take without giving: they send and do not read, connect and stay silent, or never
//! finish what they began. Each ends in time, and an honest client beside them is served at once.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use poly2mqtt::config::AccessLevel;
use poly2mqtt::doors::clients::ClientLimits;
use poly2mqtt_test_support::door::{Doors, Lines, certificate, http, token};
use poly2mqtt_test_support::program::{Running, program_with_files};
use poly2mqtt_test_support::wait::until_some;
use poly2mqtt_test_support::{SOON, free_port, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

mod unframed;

const TOKEN: &str = "a-token-that-nobody-guesses";
/// What an honest client notices as a delay.
const AT_ONCE: Duration = Duration::from_secs(3);
/// The answers to short pings have few bytes each: many of them fill the system's buffers, which takes a debug
/// build beside other tests longer than anything else here.
const BUFFERS_ARE_FULL: Duration = Duration::from_secs(90);
/// Without a limit a client could send more than this within the time of a test. The system's
/// buffers between the two take less.
const FAR_TOO_MUCH: usize = 16 << 20;

/// Limits that end everything soon.
fn short() -> ClientLimits {
    ClientLimits {
        send_timeout: Duration::from_millis(500),
        greeting_timeout: Duration::from_millis(500),
        body_timeout: Duration::from_millis(500),
        // In a debug build small answers would take minutes to fill the buffers.
        own_processor_time: Duration::from_secs(3600),
        ..ClientLimits::default()
    }
}

async fn guarded(limits: ClientLimits) -> Doors {
    let configured = token(TOKEN, AccessLevel::Control, None);
    Doors::start_with(limits, |config| config.http.tokens = vec![configured]).await
}

/// A client with a small window, so that little is on its way.
async fn connect(addr: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(addr).await.unwrap()
}

/// A client that comes from this address of the machine.
#[cfg(target_os = "linux")]
async fn connect_from(from: [u8; 4], addr: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    socket.connect(addr).await.unwrap()
}

/// A WebSocket after its upgrade, without a library that would answer or limit anything.
async fn raw_websocket(addr: SocketAddr) -> TcpStream {
    let mut stream = connect(addr).await;
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Authorization: Bearer {TOKEN}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{head:?}");
    stream
}

/// A client's frame of less than 64 KiB, with a mask of zeros.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap();
    let mut frame = vec![0x80 | opcode];
    match length {
        0..126 => frame.push(0x80 | u8::try_from(length).unwrap()),
        _ => {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// Sends the same again and again and reads nothing, until the gateway drops the connection.
async fn send_until_dropped(what: &str, mut stream: TcpStream, again: Vec<u8>) {
    let chunk = again.repeat(1 + 32_768 / again.len());
    let sending = async {
        let mut sent = 0;
        while stream.write_all(&chunk).await.is_ok() {
            sent += chunk.len();
            assert!(sent < FAR_TOO_MUCH, "{what}: it takes everything");
        }
    };
    let dropped = timeout(BUFFERS_ARE_FULL, sending).await;
    assert!(dropped.is_ok(), "{what}: the client stays");
}

async fn health(doors: &Doors) {
    let begun = Instant::now();
    let response = http().get(doors.url("/healthz")).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn whoever_reads_no_answers_is_read_no_further_and_dropped() {
    let doors = guarded(short()).await;
    let addr = doors.addr();
    let filters = vec!["\"room/1/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/#\""; 400].join(",");
    let frames = [
        ("pings", frame(9, &[b'x'; 125])),
        ("short pings", frame(9, &[b'x'; 16])),
        ("broken frames", frame(1, b"{")),
        ("binary frames", frame(2, b"x")),
        ("the same subscription", frame(1, b"{\"subscribe\":\"#\"}")),
        (
            "long lists of filters",
            frame(1, format!("{{\"unsubscribe\":[{filters}]}}").as_bytes()),
        ),
        (
            "long ids",
            frame(
                1,
                format!("{{\"id\":\"{}\",\"ping\":1}}", "x".repeat(30_000)).as_bytes(),
            ),
        ),
        ("unknown commands", frame(1, b"{\"topic\":\"room/1/x\"}")),
    ];
    let frames = frames.map(|(what, frame)| async move {
        send_until_dropped(what, raw_websocket(addr).await, frame).await;
    });
    let tcp = doors.service.tcp_addr().unwrap();
    let lines = ["nonsense\n", "ping\n", "subscribe #\n", "room/1/x\n"].map(|line| async move {
        let mut stream = connect(tcp).await;
        let greeting = format!("token {TOKEN}\n");
        stream.write_all(greeting.as_bytes()).await.unwrap();
        send_until_dropped(line.trim_end(), stream, line.into()).await;
    });
    let targets =
        ["/asyncapi.json", "/", "/nothing", "/room/1", "/healthz"].map(|target| async move {
            let request = format!(
                "GET {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
            );
            send_until_dropped(target, connect(addr).await, request.into()).await;
        });
    tokio::join!(join_all(frames), join_all(lines), join_all(targets));
    health(&doors).await;
    doors.stop().await;
}

#[tokio::test]
async fn health_is_answered_while_many_read_no_answers() {
    // The flood stays for as long as the test runs.
    let limits = ClientLimits {
        max_clients: 60,
        max_connections: 20,
        ..ClientLimits::default()
    };
    let doors = guarded(limits).await;
    let mut flood = Vec::new();
    let requests = "GET /asyncapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(40);
    for _ in 0..300 {
        let mut stream = connect(doors.addr()).await;
        // One that had to give way cannot send.
        let _ = stream.write_all(requests.as_bytes()).await;
        flood.push(stream);
    }
    for _ in 0..5 {
        health(&doors).await;
    }
    let metrics = "poly2mqtt_refused_clients_total{why=\"place\"} ";
    let query = format!("?token={TOKEN}");
    doors.metric_with(metrics, &query).await;
    doors.stop().await;
}

#[tokio::test]
async fn an_honest_client_comes_in_beside_many_silent_ones() {
    for tokens in [true, false] {
        let limits = ClientLimits {
            max_clients: 60,
            max_connections: 20,
            ..ClientLimits::default()
        };
        let doors = if tokens {
            guarded(limits).await
        } else {
            Doors::start_with(limits, |_| {}).await
        };
        let greeting = if tokens {
            format!("token {TOKEN}\nping\n")
        } else {
            "ping\n".to_owned()
        };
        let addr = doors.service.tcp_addr().unwrap();
        let mut early = Lines::connect(addr).await;
        early.send(&greeting).await;
        assert_eq!(early.line().await.unwrap(), "pong");
        let mut silent = Vec::new();
        for _ in 0..400 {
            silent.push(connect(addr).await);
        }
        let begun = Instant::now();
        let mut honest = Lines::connect(addr).await;
        honest.send(&greeting).await;
        assert_eq!(honest.line().await.unwrap(), "pong");
        assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
        // Who is in does not give way.
        early.send("ping\n").await;
        assert_eq!(early.line().await.unwrap(), "pong");
        let mut socket = raw_websocket(doors.addr()).await;
        socket.write_all(&frame(9, b"")).await.unwrap();
        assert_eq!(socket.read_u8().await.unwrap(), 0x8a);
        doors.stop().await;
    }
}

#[tokio::test]
async fn a_message_in_endless_pieces_is_ended() {
    let limits = ClientLimits {
        ping_interval: Duration::from_millis(250),
        ..short()
    };
    let doors = guarded(limits).await;
    let mut stream = raw_websocket(doors.addr()).await;
    // The first fragment of a text, then continuations of one byte, none of which is the last.
    let (mut first, mut next) = (frame(1, b"x"), frame(0, b"x"));
    (first[0], next[0]) = (0x01, 0x00);
    stream.write_all(&first).await.unwrap();
    let pieces = async {
        while stream.write_all(&next).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, pieces).await.expect("it is closed");
    doors.stop().await;
}

/// On Linux every address of 127/8 is the machine's own.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_honest_client_comes_in_beside_silent_ones_of_many_addresses() {
    let limits = ClientLimits {
        max_clients: 60,
        max_connections: 20,
        ..ClientLimits::default()
    };
    let doors = guarded(limits).await;
    let addr = doors.service.tcp_addr().unwrap();
    let mut silent = Vec::new();
    for n in 0..=255 {
        silent.push(connect_from([127, 1, n, 1], addr).await);
        silent.push(connect_from([127, 2, n, 1], doors.addr()).await);
        if n % 16 == 0 {
            let mut honest = Lines::connect(addr).await;
            honest.send(&format!("token {TOKEN}\nping\n")).await;
            assert_eq!(honest.line().await.unwrap(), "pong");
            health(&doors).await;
        }
    }
    doors.stop().await;
}

/// What the gateway says to these bytes, until it closes the connection.
async fn said_to(mut stream: TcpStream, sent: &[u8]) -> String {
    // It may close before all is sent.
    let _ = stream.write_all(sent).await;
    let mut said = Vec::new();
    let reading = stream.read_to_end(&mut said);
    // A reset ends it too.
    let _ = timeout(SOON, reading).await.expect("it is closed");
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn what_never_ends_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let (files, _) = certificate(dir.path());
    let doors = guarded(short()).await;
    let addr = doors.addr();
    let http = async |sent: &str| said_to(connect(addr).await, sent.as_bytes()).await;
    let post = format!(
        "POST /room/1/audio/volume/set HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
    );
    let cases = [
        ("nothing at all", String::new(), ""),
        ("half a request line", "GET /hea".into(), ""),
        ("half a head", "GET /healthz HTTP/1.1\r\nX: ".into(), ""),
        (
            "an idle connection after a request",
            "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
            "HTTP/1.1 200 ",
        ),
        (
            "a body that does not come",
            format!("{post}Content-Length: 5\r\n\r\n4"),
            "HTTP/1.1 408 ",
        ),
        (
            "a chunked body without its end",
            format!("{post}Transfer-Encoding: chunked\r\n\r\n1\r\n4\r\n"),
            "HTTP/1.1 408 ",
        ),
        (
            "a body that nobody reads",
            "POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nx".into(),
            "HTTP/1.1 405 ",
        ),
        ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), ""),
    ];
    for (what, sent, wanted) in cases {
        let said = http(&sent).await;
        assert!(said.starts_with(wanted), "{what}: {said}");
    }
    doors.stop().await;

    let doors = Doors::start_with(short(), |config| config.http.tls = Some(files)).await;
    // The beginning of a TLS record: a handshake of 512 bytes.
    let said = said_to(connect(doors.addr()).await, &[22, 3, 1, 2, 0, 1]).await;
    assert_eq!(said, "");
    doors.stop().await;
}

#[tokio::test]
async fn a_head_has_as_many_bytes_as_the_page_says() {
    let doors = Doors::start().await;
    for (kib, wanted) in [(31, "200"), (33, "431"), (40, "431"), (100, "431")] {
        for headers in [1, 40] {
            let value = "x".repeat((kib << 10) / headers - 20);
            let header = format!("X-Large: {value}\r\n");
            let head = format!(
                "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{}\r\n",
                header.repeat(headers)
            );
            let said = said_to(connect(doors.addr()).await, head.as_bytes()).await;
            let status = said.split(' ').nth(1).unwrap_or_default();
            assert_eq!(status, wanted, "{kib} KiB in {headers} headers: {said}");
        }
    }
    doors.stop().await;
}

#[tokio::test]
async fn the_first_line_is_short_and_later_ones_are_not() {
    let doors = guarded(ClientLimits::default()).await;
    let addr = doors.service.tcp_addr().unwrap();
    let mut long = Lines::connect(addr).await;
    long.send(&"x".repeat(5000)).await;
    let said = long.line().await.unwrap();
    assert!(
        said.starts_with("closed the message is too large"),
        "{said}"
    );
    let mut right = Lines::connect(addr).await;
    let line = format!("token {TOKEN}\nroom/1/{} 1\nping\n", "x".repeat(100_000));
    right.send(&line).await;
    assert!(
        right
            .line()
            .await
            .unwrap()
            .contains("error unknown_command")
    );
    assert_eq!(right.line().await.unwrap(), "pong");
    doors.stop().await;
}

/// The system's limit of open files counts for the whole process, so this runs the program.
#[cfg(target_os = "linux")]
#[test]
fn silent_clients_leave_files_for_others_where_files_are_few() {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::process::Stdio;

    let dir = tempfile::tempdir().unwrap();
    let free = || std::net::SocketAddr::from(([127, 0, 0, 1], free_port()));
    let (http, tcp, mqtt) = (free(), free(), free());
    let file = dir.path().join("poly2mqtt.toml");
    let text = format!(
        "[mqtt]\nurl = \"embedded://{mqtt}\"\n[http]\nlisten = \"{http}\"\n[tcp]\nlisten = \"{tcp}\"\n\
         [[http.token]]\nname = \"a\"\ntoken = \"{TOKEN}\"\n\
         [rooms.1]\nurl = \"https://127.0.0.1:1\"\npassword = \"x\"\n"
    );
    std::fs::write(&file, text).unwrap();
    let words = ["run", "--config", file.to_str().unwrap()];
    let mut program = program_with_files(300, &words);
    program.stderr(Stdio::null());
    let program = Running::start(program);
    let health = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&http, AT_ONCE)?;
        stream.set_read_timeout(Some(AT_ONCE))?;
        stream.write_all(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut said = String::new();
        stream.read_to_string(&mut said)?;
        Ok(said)
    };
    until_some(|| "the program's start".into(), || health().ok());
    let mut silent = Vec::new();
    for addr in [http, tcp] {
        for _ in 0..320 {
            silent.push(TcpStream::connect_timeout(&addr, AT_ONCE));
        }
    }
    let said = health();
    let open = std::fs::read_dir(format!("/proc/{}/fd", program.id()));
    let open = open.unwrap().count();
    drop(program);
    assert!(said.unwrap().starts_with("HTTP/1.0 200"), "/healthz");
    // Those of the process and of its rooms are free.
    assert!(open < 300 - 48, "{open} files are open");
}
