//! What a client sends that makes no request and no frame, and requests that need no token or show no right one.
use super::*;

/// A payer that owes as much as it can waits for longer than this.
const WHILE_TIME_IS_OWED: Duration = Duration::from_millis(1500);
/// The system's buffers between a client with a small one and the gateway take less.
const MORE_THAN_BUFFERS: usize = 2 << 20;

/// A client of which the system keeps little.
async fn narrow(addr: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(4096).unwrap();
    socket.connect(addr).await.unwrap()
}

/// Its own time, and what it shares with others who have none: seconds are owed.
fn use_up(payer: &poly2mqtt::doors::payers::Payer) {
    payer.charge(Duration::from_secs(60));
    payer.charge(Duration::from_secs(60));
}

/// A hundred milliseconds of each more than there is: it comes back within a second.
fn use_up_for_a_moment(payer: &poly2mqtt::doors::payers::Payer) {
    payer.charge(Duration::from_millis(200));
    payer.charge(Duration::from_millis(200));
}

/// A gateway with a token, whose strangers at this machine's address have no time at the moment.
async fn busy_with_strangers(use_up: fn(&poly2mqtt::doors::payers::Payer)) -> Doors {
    let doors = guarded(ClientLimits::default()).await;
    use_up(&doors.service.clients().stranger(doors.addr().ip()));
    doors
}

#[tokio::test]
async fn refused_uploads_whose_body_does_not_come_lock_nobody_out() {
    let doors = busy_with_strangers(use_up_for_a_moment).await;
    let mut uploads = Vec::new();
    for _ in 0..5 {
        let mut stream = connect(doors.addr()).await;
        let head = "POST /room/1/camera/backdrop/set HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        uploads.push(stream);
    }
    for upload in &mut uploads {
        let answer = soon("the refusal", read_some(upload)).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    }
    let health = http().get(doors.url("/healthz")).send();
    assert_eq!(soon("the health", health).await.unwrap().status(), 200);
    drop(uploads);
    doors.stop().await;
}

/// Python's library and many controllers send it so.
#[tokio::test]
async fn a_body_in_a_segment_of_its_own_waits_for_no_stranger_of_its_address() {
    let doors = busy_with_strangers(use_up).await;
    let mut stream = connect(doors.addr()).await;
    let head = format!(
        "POST /room/1/audio/volume/set HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\
         Authorization: Bearer {TOKEN}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The head has been read before this is answered.
    let rooms = http().get(doors.url("/room")).bearer_auth(TOKEN).send();
    assert_eq!(soon("the rooms", rooms).await.unwrap().status(), 200);
    stream.write_all(b"40").await.unwrap();
    let answer = timeout(WHILE_TIME_IS_OWED, read_some(&mut stream))
        .await
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    doors.stop().await;
}

/// A handshake costs milliseconds, and whoever asks for it nothing.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn handshakes_are_paid_for_by_their_address() {
    let dir = tempfile::tempdir().unwrap();
    let (files, _) = certificate(dir.path());
    let doors = Doors::start_with(ClientLimits::default(), |config| {
        config.http.tokens = vec![token(TOKEN, AccessLevel::Control, None)];
        config.http.tls = Some(files);
    })
    .await;
    let url = format!("https://{}/healthz", doors.addr());
    let from = |last: u8| {
        http();
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_danger_accept_invalid_certs(true)
            .local_address(std::net::IpAddr::from([127, 0, 0, last]));
        client.build().unwrap()
    };
    let before = from(3);
    let rooms = || {
        before
            .get(url.replace("healthz", "room"))
            .bearer_auth(TOKEN)
    };
    assert_eq!(
        soon("the rooms", rooms().send()).await.unwrap().status(),
        200
    );
    use_up(&doors.service.clients().stranger([127, 0, 0, 3].into()));
    // With a right token: no request that it sends would wait.
    let late = from(3).get(url.replace("healthz", "room"));
    let waits = timeout(WHILE_TIME_IS_OWED, late.bearer_auth(TOKEN).send());
    let others = async {
        // Of another address, and over a connection that is there.
        let other = from(4).get(&url).send();
        assert_eq!(
            timeout(AT_ONCE, other).await.unwrap().unwrap().status(),
            200
        );
        let rooms = timeout(AT_ONCE, rooms().send()).await;
        assert_eq!(rooms.unwrap().unwrap().status(), 200);
    };
    let (waits, ()) = tokio::join!(waits, others);
    assert!(waits.is_err(), "{waits:?}");
    doors.stop().await;
}

/// What no request and no frame comes of is paid for where it is read, at each door: by the address as long as no right
/// token was shown, and then by the token.
#[tokio::test]
async fn what_is_read_without_a_request_or_a_frame_is_paid_for() {
    let other = "another-token-that-nobody-guesses";
    let tokens = [TOKEN, other].map(|text| token(text, AccessLevel::Control, None));
    let doors = Doors::start_with(ClientLimits::default(), |config| {
        config.http.tokens = tokens.into();
    })
    .await;
    let (web, tcp) = (doors.addr(), doors.service.tcp_addr().unwrap());
    let clients = doors.service.clients();
    let nops = b"\xff\xf1".to_vec();
    let piece = |first: bool| vec![u8::from(first), 0x80, 0, 0, 0, 0];
    let socket = async |authorization: &str| {
        let mut stream = narrow(web).await;
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{authorization}\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        while !read_some(&mut stream).await.contains("101 Switching") {}
        stream.write_all(&piece(true)).await.unwrap();
        stream
    };
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    // They have come before their payers have used up their time.
    let floods = [
        ("telnet without a token", narrow(tcp).await, nops),
        ("pieces without a token", socket("").await, piece(false)),
        ("pieces with a token", socket(&bearer).await, piece(false)),
    ];
    let sender = poly2mqtt::doors::access::Sender {
        door: poly2mqtt::command::DoorKind::Http,
        address: web.ip(),
    };
    let grant = clients.access.admit(sender, Some(TOKEN)).await.unwrap();
    // Of their own and of what all share: seconds are owed.
    for payer in [clients.stranger(web.ip()), clients.payer(&grant, web.ip())] {
        use_up(&payer);
    }
    let flood = |(what, mut stream, again): (&'static str, TcpStream, Vec<u8>)| async move {
        let chunk = again.repeat(1 + 32_768 / again.len());
        let sending = async {
            for _ in 0..MORE_THAN_BUFFERS / chunk.len() {
                if stream.write_all(&chunk).await.is_err() {
                    return;
                }
            }
            panic!("{what}: it takes everything");
        };
        let _ = timeout(WHILE_TIME_IS_OWED, sending).await;
    };
    let honest = async {
        for _ in 0..3 {
            let mut lines = Lines::connect(tcp).await;
            lines.send(&format!("token {other}\r\n")).await;
            lines.send("ping\r\n").await;
            let begun = Instant::now();
            lines.until("pong").await;
            assert!(begun.elapsed() < Duration::from_secs(1));
            let rooms = http().get(doors.url("/room")).bearer_auth(other);
            let rooms = timeout(Duration::from_secs(1), rooms.send()).await;
            assert_eq!(rooms.unwrap().unwrap().status(), 200);
        }
    };
    let refused = async {
        let asked = http().get(doors.url("/room")).send();
        assert!(timeout(WHILE_TIME_IS_OWED, asked).await.is_err());
    };
    tokio::join!(join_all(floods.map(flood)), honest, refused);
    doors.stop().await;
}

/// What comes next.
async fn read_some(stream: &mut TcpStream) -> String {
    let mut bytes = vec![0; 4096];
    let read = stream.read(&mut bytes).await.unwrap();
    assert!(read > 0, "it was closed");
    String::from_utf8_lossy(&bytes[..read]).into_owned()
}
