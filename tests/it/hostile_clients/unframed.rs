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
    for payer in [
        clients.stranger(web.ip()),
        clients.payer(&grant, web.ip()),
        clients.stranger(web.ip()),
    ] {
        payer.charge(Duration::from_secs(60));
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
