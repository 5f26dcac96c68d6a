//! Lines over TCP as devices, terminals and people send them: every line end, telnet, and bytes that are
//! no text.
use std::time::Duration;

use poly2mqtt::config::AccessLevel;
use poly2mqtt::doors::clients::ClientLimits;
use tokio::time::{sleep, timeout};

use poly2mqtt_test_support::SOON;
use poly2mqtt_test_support::door::{Doors, Lines, token};

const TOKEN: &str = "panel-0123456789abcdef";

async fn guarded(limits: ClientLimits) -> Doors {
    Doors::start_with(limits, |config| {
        config.http.tokens = vec![token(TOKEN, AccessLevel::Control, None)];
    })
    .await
}

#[tokio::test]
async fn every_line_end_is_one_also_between_packets() {
    let doors = Doors::start().await;
    for end in ["\r", "\n", "\r\n", "\r\0"] {
        let mut tcp = doors.tcp().await;
        // An empty line would be ignored; the answers show that none is waited for.
        tcp.send(&format!("ping{end}room/1/audio/volume/get{end}"))
            .await;
        assert_eq!(tcp.line().await.unwrap(), "pong", "{end:?}");
        let volume = tcp.line().await.unwrap();
        assert_eq!(volume, "room/1/audio/volume/get/result ok 62", "{end:?}");
        for part in "ping".chars().chain(end.chars()) {
            tcp.send(&part.to_string()).await;
            sleep(Duration::from_millis(2)).await;
        }
        assert_eq!(tcp.line().await.unwrap(), "pong", "{end:?}");
    }
    doors.stop().await;
}

#[tokio::test]
async fn a_line_that_is_no_text_gets_an_error_and_subscriptions_go_on() {
    let doors = Doors::start().await;
    let mut tcp = doors.tcp().await;
    tcp.send("subscribe room/1/audio/muted\n").await;
    assert_eq!(tcp.line().await.unwrap(), "room/1/audio/muted false");
    for (line, why) in [
        // Latin-1.
        (&b"room/1/call/dial Caf\xe9"[..], "byte 21 is 0xE9"),
        (b"\xff", "0xFF"),
        // UTF-16, both ways, with a byte order mark.
        (b"\xff\xfep\0i\0n\0g\0", "as UTF-16"),
        (b"\xfe\xff\0p\0i\0n\0g", "0xFE"),
        (b"p\0i\0n\0g\0", "as UTF-16"),
        // Keys of a terminal in character mode.
        (b"\x03", "Ctrl-C"),
        (b"\x04", "Ctrl-D"),
        (b"room/1/audio/mutf\x08e", "backspace"),
        (b"room/1/audio/mutf\x7fe", "backspace"),
        (b"\x1b[A", "Esc"),
        (b"room/1/audio/vol\0ume/set 40", "NUL"),
    ] {
        tcp.send_bytes(line).await;
        tcp.send("\r\n").await;
        let answer = tcp.line().await.unwrap();
        assert!(
            answer.starts_with("error invalid_payload ") && answer.contains(why),
            "{answer}"
        );
        tcp.send("ping\r\n").await;
        assert_eq!(tcp.line().await.unwrap(), "pong", "{line:?}");
    }
    doors.device.person_mutes(true);
    assert_eq!(tcp.line().await.unwrap(), "room/1/audio/muted true");
    doors.stop().await;
}

#[tokio::test]
async fn telnet_is_answered_and_its_text_is_read() {
    let doors = Doors::start().await;
    let mut tcp = doors.tcp().await;
    // PuTTY as it connects: window size, terminal type, echo, suppress go-ahead.
    tcp.send_bytes(b"\xff\xfb\x1f\xff\xfb\x18\xff\xfd\x01\xff\xfd\x03")
        .await;
    let refused = b"\xff\xfe\x1f\xff\xfe\x18\xff\xfc\x01\xff\xfc\x03";
    assert_eq!(tcp.bytes(12).await, refused);
    tcp.send_bytes(b"pi\xff\xf1ng\xff\xfa\x1f\x00\x50\x00\x0a\xff\xf0\r\0")
        .await;
    assert_eq!(tcp.line().await.unwrap(), "pong");
    // Ctrl-C of the telnet program, twice: it shows nothing more until its mark is answered.
    for _ in 0..2 {
        tcp.send_bytes(b"\xff\xf4\xff\xfd\x06").await;
        assert_eq!(tcp.bytes(3).await, b"\xff\xfc\x06");
    }
    tcp.send("ping\r\n").await;
    assert_eq!(tcp.line().await.unwrap(), "pong");
    doors.stop().await;
}

#[tokio::test]
async fn a_token_is_found_whatever_surrounds_it() {
    let doors = guarded(ClientLimits::default()).await;
    for greeting in [
        format!("token {TOKEN}\n"),
        format!("TOKEN {TOKEN}\r\n"),
        format!("Token\t{TOKEN} \r"),
        format!("\r\n\n  \n   token   {TOKEN}\r\0"),
        format!("\u{feff}token {TOKEN}\n"),
        format!("\u{feff}\r\n\u{feff} token {TOKEN}\n"),
        format!("\0\0token {TOKEN}\0\n"),
    ] {
        let mut tcp = doors.tcp().await;
        tcp.send(&greeting).await;
        tcp.send("ping\n").await;
        assert_eq!(tcp.line().await.unwrap(), "pong", "{greeting:?}");
    }
    // Telnet's requests come before it, and are answered before it.
    let mut tcp = doors.tcp().await;
    tcp.send_bytes(b"\xff\xfb\x1f\xff\xfd\x03").await;
    assert_eq!(tcp.bytes(6).await, b"\xff\xfe\x1f\xff\xfc\x03");
    tcp.send(&format!("token {TOKEN}\r\nping\r\n")).await;
    assert_eq!(tcp.line().await.unwrap(), "pong");
    // Once more is an error, right or wrong: it is no way to try tokens.
    for again in [TOKEN, "guess"] {
        tcp.send(&format!("token {again}\n")).await;
        let answer = tcp.line().await.unwrap();
        assert!(
            answer.contains("shown already") && !answer.contains(again),
            "{answer}"
        );
    }
    doors.stop().await;
}

#[tokio::test]
async fn before_the_token_there_is_little_time_and_few_lines() {
    let limits = ClientLimits {
        greeting_timeout: Duration::from_millis(300),
        ..ClientLimits::default()
    };
    let doors = guarded(limits).await;
    let refused = async |mut tcp: Lines| {
        let closed = timeout(SOON, tcp.line()).await.expect("it is told");
        let closed = closed.unwrap();
        assert!(
            closed.starts_with("closed the token") && closed.ends_with("token TOKEN"),
            "{closed}"
        );
    };
    for greeting in [
        "ping\n",
        "help\n",
        "room/1/audio/mute\n",
        "token wrong\n",
        "token\n",
    ] {
        let mut tcp = doors.tcp().await;
        tcp.send(greeting).await;
        refused(tcp).await;
    }
    // Without pause, but never a token.
    for endless in [&b"\r\n"[..], b"\xff\xfd\x06", b" \n"] {
        let mut tcp = doors.tcp().await;
        tcp.send_bytes(&endless.repeat(100)).await;
        let answers = if endless.starts_with(b"\xff") {
            64 * 3
        } else {
            0
        };
        tcp.bytes(answers).await;
        refused(tcp).await;
    }
    // Slowly: each blank line is no new beginning of the time.
    let mut tcp = doors.tcp().await;
    let begun = std::time::Instant::now();
    for _ in 0..10 {
        tcp.send("\n").await;
        sleep(Duration::from_millis(50)).await;
    }
    refused(tcp).await;
    assert!(begun.elapsed() < Duration::from_secs(2));
    // A guess is a guess, in whatever form.
    doors
        .metric_with(
            "poly2mqtt_guesses_total{door=\"tcp\"} 2",
            &format!("?token={TOKEN}"),
        )
        .await;
    doors.stop().await;
}

#[tokio::test]
async fn a_token_that_is_not_needed_is_no_error() {
    let doors = Doors::start().await;
    let mut tcp = doors.tcp().await;
    for greeting in ["token x\n", "TOKEN some thing\r\n", "\u{feff}token\r"] {
        tcp.send(greeting).await;
        assert_eq!(
            tcp.line().await.unwrap(),
            "token ok no token is needed here"
        );
    }
    tcp.send("ping\n").await;
    assert_eq!(tcp.line().await.unwrap(), "pong");
    doors.stop().await;
}

#[tokio::test]
async fn help_says_what_there_is_and_names_no_room_of_others() {
    let doors = Doors::start_with(ClientLimits::default(), |config| {
        config.http.tokens = vec![token("one-room", AccessLevel::Read, Some(&["2"]))];
    })
    .await;
    for word in ["help", "?", "HELP", "Help me"] {
        let mut tcp = doors.tcp().await;
        tcp.send(&format!("token one-room\n{word}\nping\n")).await;
        let mut help = Vec::new();
        loop {
            match tcp.line().await.unwrap() {
                line if line == "pong" => break,
                line => help.push(line),
            }
        }
        assert!(
            help.iter().all(|line| line.starts_with("help ")),
            "{help:?}"
        );
        assert_eq!(help[0], "help rooms: 2");
        for line in ["room/2/audio/volume/set 40", "subscribe room/2/#", "ping"] {
            assert!(
                help.iter().any(|help| help.contains(line)),
                "{line} {help:?}"
            );
        }
    }
    let mut ws = doors.ws("/ws?token=one-room").await;
    ws.send("help").await;
    assert_eq!(ws.json().await["text"][0], "help rooms: 2");
    doors.stop().await;
}

#[tokio::test]
async fn other_protocols_are_told_where_they_are_spoken() {
    for guarded_door in [false, true] {
        let doors = if guarded_door {
            guarded(ClientLimits::default()).await
        } else {
            Doors::start().await
        };
        for (bytes, wanted) in [
            (
                &b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"[..],
                "mqtt.url",
            ),
            (
                b"\x10\x0e\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x00",
                "mqtt.url",
            ),
            (b"\x16\x03\x01\x00\xf1\x01\x00\x00\xed\x03\x03", "tcp.tls"),
            (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "http.listen"),
            // What a page can make a browser send to any port.
            (
                b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\nroom/1/audio/volume/set 9\r\n",
                "http.listen",
            ),
        ] {
            let mut tcp = doors.tcp().await;
            tcp.send_bytes(bytes).await;
            let closed = tcp.line().await.unwrap();
            assert!(
                closed.starts_with("closed ") && closed.contains(wanted),
                "{closed}"
            );
            assert_eq!(tcp.line().await, None, "{closed}");
        }
        let volume = |entry: &poly2mqtt_simulator::JournalEntry| {
            entry.path == "/rest/audio/volume" && entry.method == "POST"
        };
        assert!(!doors.device.journal().iter().any(volume));
        doors.stop().await;
    }
}
