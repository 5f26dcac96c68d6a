//! Floods at the embedded broker.

use std::io;
use std::time::Duration;

use futures_util::future::join;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::attacker::{ANSWER_TIMEOUT, Flood, next};
use super::gateway::{HONEST, HONEST_MQTT_ID, LOBBY, PANEL, SCREEN, User, WALL};
use super::packets::{Login, Publish, length, packet, read, subscribe};

/// Larger than what a client may be sent before it reads.
const LARGEST_PAYLOAD: usize = 10 << 20;

/// A new id: no two processes and no two calls have the same.
fn new_id() -> String {
    format!("flood-{}-{}", std::process::id(), next())
}

fn login<'a>(user: &User, id: &'a str) -> Login<'a> {
    Login {
        id,
        user: user.name,
        password: user.secret,
        ..Login::default()
    }
}

/// A client that has logged in.
async fn client(flood: &Flood, user: &User, id: &str) -> io::Result<TcpStream> {
    let mut stream = flood.connect(flood.ports.broker).await?;
    enter(flood, &mut stream, &login(user, id)).await?;
    Ok(stream)
}

/// Logs in, and counts how that ended.
async fn enter(flood: &Flood, stream: &mut TcpStream, login: &Login<'_>) -> io::Result<()> {
    let answer = timeout(ANSWER_TIMEOUT, login.log_in(stream)).await;
    let reason = answer.map_err(|_| io::ErrorKind::TimedOut)??;
    if reason == 0 {
        flood.count("let_in");
        Ok(())
    } else {
        flood.count("refused");
        Err(io::ErrorKind::PermissionDenied.into())
    }
}

pub async fn announced(flood: &Flood) {
    const SENT: usize = 9 << 20;
    let block = vec![b'x'; 64 << 10];
    let announce = || async {
        let mut stream = flood.connect(flood.ports.broker).await?;
        let mut begin = vec![0x10];
        begin.extend_from_slice(&length(LARGEST_PAYLOAD));
        begin.extend_from_slice(&Login::default().packet()[2..]);
        stream.write_all(&begin).await?;
        for _ in 0..SENT / block.len() {
            flood.turn().await;
            stream.write_all(&block).await?;
            flood.add("kib", block.len() / 1024);
        }
        flood.until_closed(&mut stream).await
    };
    flood.keep(60, announce).await;
}

pub async fn silent(flood: &Flood) {
    let wait = || async {
        let mut stream = flood.connect(flood.ports.broker).await?;
        flood.until_closed(&mut stream).await
    };
    flood.keep(320, wait).await;
}

/// The next packet from the broker.
async fn answer(stream: &mut TcpStream) -> io::Result<(u8, Vec<u8>)> {
    let answer = timeout(ANSWER_TIMEOUT, read(stream)).await;
    answer.map_err(|_| io::ErrorKind::TimedOut)?
}

async fn guess(flood: &Flood, password: &str) -> io::Result<bool> {
    let mut stream = flood.connect(flood.ports.broker).await?;
    let id = new_id();
    let login = Login {
        password,
        ..login(&HONEST, &id)
    };
    let answer = timeout(ANSWER_TIMEOUT, login.log_in(&mut stream)).await;
    let reason = answer.map_err(|_| io::ErrorKind::TimedOut)??;
    // 0x86 is "bad user name or password"; any other refusal comes before the password is checked.
    flood.count(match reason {
        0 | 0x86 => "checked",
        _ => "not_checked",
    });
    Ok(reason == 0)
}

pub async fn guesses(flood: &Flood) {
    let guess = |secret: String| async move { guess(flood, &secret).await };
    flood.keep_guessing(flood.size(32, 8), guess).await;
}

pub async fn guess_right(flood: &Flood) -> io::Result<bool> {
    guess(flood, HONEST.secret).await
}

pub async fn takeover(flood: &Flood) {
    let take = || async {
        let ids = [HONEST_MQTT_ID, "poly2mqtt", "gateway", "gateway:"];
        let id = ids[usize::try_from(next()).unwrap() % ids.len()];
        let mut stream = client(flood, &SCREEN, id).await?;
        sleep(Duration::from_millis(100)).await;
        stream.write_all(&packet(0xe0, &[])).await
    };
    flood.keep(4, take).await;
}

pub async fn forbidden(flood: &Flood) {
    let lobby = |command: &str| format!("room/{LOBBY}/{command}");
    let publish = || async {
        let mut stream = flood.connect(flood.ports.broker).await?;
        let id = new_id();
        let login = Login {
            will: match next() % 3 {
                0 => None,
                number => Some(("room/1/audio/dtmf/play", "9", number == 1)),
            },
            ..login(&PANEL, &id)
        };
        enter(flood, &mut stream, &login).await?;
        // The key 9 is played by no honest client: the bench looks for it at the devices.
        let (tones, query) = (lobby("audio/dtmf/play"), lobby("audio/volume/get"));
        let forbidden: [(&str, &[u8], bool, Option<&str>); 8] = [
            (&tones, b"9", true, None),
            ("room/1/audio/dtmf/play", b"9", false, None),
            ("room/1/audio/volume", b"1", true, None),
            ("gateway/availability", b"offline", true, None),
            ("homeassistant/device/poly2mqtt_1/config", b"{}", true, None),
            ("$SYS/broker/version", b"none", true, None),
            (&query, b"", false, Some("gateway/availability")),
            (&query, b"", false, Some("room/1/audio/dtmf/play")),
        ];
        for (number, (topic, payload, retain, response_topic)) in (1..).zip(forbidden) {
            let publish = Publish {
                topic,
                payload,
                retain,
                qos: Some((number, 1)),
                response_topic,
            };
            stream.write_all(&publish.packet()).await?;
            flood.count("published");
            // 0x87 is "not authorized". Anything above 0x80 is a refusal.
            let (kind, body) = answer(&mut stream).await?;
            match (kind, body.get(2)) {
                (0x40, None | Some(0..0x80)) => flood.count("acknowledged"),
                _ => flood.count("not_permitted"),
            }
        }
        // Without a DISCONNECT, so that the will is published.
        Ok(())
    };
    flood.keep(2, publish).await;
}

pub async fn filters(flood: &Flood) {
    const FILTERS: usize = 100_000;
    const IN_ONE_PACKET: usize = 1_000;
    let subscriber = || async {
        let id = new_id();
        let mut stream = client(flood, &PANEL, &id).await?;
        for number in 0..FILTERS / IN_ONE_PACKET {
            flood.turn().await;
            let first = number * IN_ONE_PACKET;
            let filters = (first..first + IN_ONE_PACKET)
                .map(|number| format!("room/{LOBBY}/f{number}/+/volume/#"));
            let id = u16::try_from(number + 1).unwrap();
            stream.write_all(&subscribe(id, filters)).await?;
            loop {
                let (kind, body) = answer(&mut stream).await?;
                if kind == 0x90 {
                    // Packet id, no properties, then one reason code for each filter.
                    let granted = body.iter().skip(3).filter(|code| **code < 0x80).count();
                    flood.add("granted", granted);
                    flood.add("not_granted", IN_ONE_PACKET.saturating_sub(granted));
                    break;
                }
                if kind == 0xe0 {
                    flood.count("disconnected");
                    return Ok(());
                }
            }
        }
        flood.until_closed(&mut stream).await
    };
    flood.keep(flood.size(1, 4), subscriber).await;
}

pub async fn retained(flood: &Flood) {
    let payload = vec![b'x'; LARGEST_PAYLOAD];
    let publisher = || async {
        let id = new_id();
        let mut stream = client(flood, &PANEL, &id).await?;
        loop {
            flood.turn().await;
            let number = next() % 60;
            let topic = match number % 2 {
                0 => format!("junk/{number}"),
                _ => format!("room/{LOBBY}/camera/preset/{number}/activate"),
            };
            let publish = Publish {
                topic: &topic,
                payload: &payload,
                retain: true,
                qos: Some((1, 1)),
                ..Publish::default()
            };
            stream.write_all(&publish.packet()).await?;
            flood.count("published");
            let (kind, body) = answer(&mut stream).await?;
            match (kind, body.get(2)) {
                (0x40, None | Some(0..0x80)) => flood.count("acknowledged"),
                (0x40, _) => flood.count("not_permitted"),
                _ => {
                    flood.count("disconnected");
                    return Ok(());
                }
            }
        }
    };
    flood.keep(1, publisher).await;
}

pub async fn unreleased(flood: &Flood) {
    let topic = format!("room/{LOBBY}/audio/volume/get");
    // A query takes no such payload, so that it costs the device nothing.
    let payload = [b'x'; 1024];
    let publisher = || async {
        let id = new_id();
        let stream = client(flood, &PANEL, &id).await?;
        let (mut reading, mut writing) = stream.into_split();
        let write = async {
            for number in 1..=u16::MAX {
                flood.turn().await;
                let publish = Publish {
                    topic: &topic,
                    payload: &payload,
                    qos: Some((number, 2)),
                    ..Publish::default()
                };
                writing.write_all(&publish.packet()).await?;
                flood.count("begun");
            }
            io::Result::Ok(())
        };
        let read = async {
            let mut buffer = [0; 4096];
            while reading.read(&mut buffer).await? > 0 {}
            flood.count("closed");
            io::Result::Ok(())
        };
        let (written, closed) = join(write, read).await;
        written.and(closed)
    };
    flood.keep(flood.size(4, 2), publisher).await;
}

pub async fn sessions(flood: &Flood) {
    let begin = || async {
        let mut stream = flood.connect(flood.ports.broker).await?;
        let id = new_id();
        let login = Login {
            expiry: u32::MAX,
            ..login(&PANEL, &id)
        };
        enter(flood, &mut stream, &login).await?;
        let filters = std::iter::once(format!("room/{LOBBY}/#"));
        stream.write_all(&subscribe(1, filters)).await?;
        let answer = timeout(ANSWER_TIMEOUT, read(&mut stream)).await;
        answer.map_err(|_| io::ErrorKind::TimedOut)??;
        flood.count("sessions");
        // DISCONNECT: the session stays until it expires.
        stream.write_all(&packet(0xe0, &[])).await
    };
    flood.keep(flood.size(8, 2), begin).await;
}

pub async fn slow_readers(flood: &Flood) {
    let reader = || async {
        let mut stream = flood.connect_unread(flood.ports.broker).await?;
        let id = new_id();
        enter(flood, &mut stream, &login(&WALL, &id)).await?;
        let all = ["#", "room/#", "+/+/#"];
        stream
            .write_all(&subscribe(1, all.iter().map(ToString::to_string)))
            .await?;
        // Nothing is read. PINGREQ keeps the connection, until the broker ends it.
        loop {
            sleep(Duration::from_secs(5)).await;
            stream.write_all(&packet(0xc0, &[])).await?;
        }
    };
    let readers = flood.keep(20, reader);
    let publisher = async {
        loop {
            let id = new_id();
            let ask = async {
                let mut stream = client(flood, &PANEL, &id).await?;
                loop {
                    flood.every(Duration::from_millis(200)).await;
                    let topic = format!("room/{LOBBY}/camera/snapshot/near/get");
                    let publish = Publish {
                        topic: &topic,
                        ..Publish::default()
                    };
                    stream.write_all(&publish.packet()).await?;
                    flood.count("snapshots");
                }
                #[allow(unreachable_code)]
                io::Result::Ok(())
            };
            if ask.await.is_err() {
                flood.count("failed");
                sleep(Duration::from_secs(1)).await;
            }
        }
    };
    join(readers, publisher).await;
}

pub async fn malformed(flood: &Flood) {
    let send = || async {
        let mut stream = flood.connect(flood.ports.broker).await?;
        let number = next();
        if number.is_multiple_of(2) {
            let id = new_id();
            enter(flood, &mut stream, &login(&PANEL, &id)).await?;
        }
        stream.write_all(&forbidden_packet(number / 2)).await?;
        flood.count("malformed");
        // A server that does not end the connection is left after a while.
        let _ = timeout(Duration::from_secs(1), flood.until_closed(&mut stream)).await;
        Ok(())
    };
    flood.keep(flood.size(32, 8), send).await;
}

/// A packet that MQTT 5 forbids: some that are known to hurt servers, and bytes that mean nothing.
fn forbidden_packet(number: u64) -> Vec<u8> {
    match number % 10 {
        // A length of five bytes.
        0 => vec![0x30, 0xff, 0xff, 0xff, 0xff, 0x7f],
        // The type 0.
        1 => packet(0x00, b"nothing"),
        // SUBSCRIBE with the packet id 0.
        2 => subscribe(0, std::iter::once("room/lobby/#".to_owned())),
        // SUBSCRIBE without filters.
        3 => packet(0x82, &[0, 1, 0]),
        // SUBSCRIBE with other flags than 2.
        4 => packet(0x80, &[0, 1, 0, 0, 1, b'#', 0]),
        // PUBLISH to a wildcard.
        5 => packet(0x30, &[0, 1, b'#', 0]),
        // A topic that is not UTF-8.
        6 => packet(0x30, &[0, 2, 0xff, 0xfe, 0]),
        // QoS 3.
        7 => packet(0x36, &[0, 1, b'a', 0, 1, 0]),
        // The topic alias 0.
        8 => packet(0x30, &[0, 0, 3, 0x23, 0, 0]),
        _ => {
            let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut bytes = Vec::new();
            for _ in 0..64 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                bytes.push(state.to_be_bytes()[0]);
            }
            bytes
        }
    }
}
