//! The limits of the WebSocket door: clients that send too much, are slow, silent or many.
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use poly2mqtt::doors::clients::ClientLimits;
use poly2mqtt::state::StateValue;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use poly2mqtt_test_support::SOON;
use poly2mqtt_test_support::door::{Doors, Socket};

/// Does the handshake only. The test sends the bytes that follow.
async fn raw(doors: &Doors) -> TcpStream {
    let mut stream = TcpStream::connect(doors.addr()).await.unwrap();
    let head = "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"));
    stream
}

#[tokio::test]
async fn a_frame_that_is_too_large_closes_the_connection() {
    let doors = Doors::start().await;
    let mut other = doors.ws("/ws").await;
    // A frame that announces 100 MB, one that has 100 MB, and one in many fragments.
    let mut stream = raw(&doors).await;
    let mut head = vec![0x81, 0xff];
    head.extend_from_slice(&(100_u64 << 20).to_be_bytes());
    head.extend_from_slice(&[0; 1000]);
    stream.write_all(&head).await.unwrap();
    let mut close = [0; 4];
    timeout(SOON, stream.read_exact(&mut close))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (close[0], u16::from_be_bytes([close[2], close[3]])),
        (0x88, 1009)
    );
    let (mut sink, source) = doors.ws("/ws").await.inner.split();
    let sent = tokio::spawn(async move {
        let _ = sink.send(Message::text("x".repeat(100 << 20))).await;
        sink
    });
    let closes = source.filter_map(async |message| match message {
        Ok(Message::Close(Some(frame))) => Some(u16::from(frame.code)),
        _ => None,
    });
    let code = timeout(SOON, Box::pin(closes).next()).await.unwrap();
    assert_eq!(code, Some(1009));
    drop(sent);
    let mut stream = raw(&doors).await;
    let mut part = vec![0x01, 0xfe, 0xff, 0xff, 0, 0, 0, 0];
    part.resize(part.len() + 0xffff, b'x');
    for _ in 0..5 {
        stream.write_all(&part).await.unwrap();
        part[0] = 0;
    }
    timeout(SOON, stream.read_exact(&mut close))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(u16::from_be_bytes([close[2], close[3]]), 1009);
    assert_eq!(other.ask(1, "\"ping\":true").await["pong"], true);
    doors.stop().await;
}

#[tokio::test]
async fn ten_thousand_subscriptions_are_too_many() {
    let doors = Doors::start().await;
    let mut ws = doors.ws("/ws").await;
    let filters: Vec<String> = (0..10_000).map(|n| format!("room/a{n}")).collect();
    let at_once = ws
        .ask(1, &format!("\"subscribe\":{}", json!(filters)))
        .await;
    assert_eq!(at_once["error"]["code"], "too_large");
    let mut refused = 0;
    for n in 0..1000 {
        let answer = ws.ask(n, &format!("\"subscribe\":[\"room/b{n}/#\"]")).await;
        refused += usize::from(answer["error"].is_object());
    }
    assert_eq!(refused, 500);
    assert_eq!(
        ws.ask(1, "\"unsubscribe\":[\"room/b0/#\"]").await["unsubscribed"],
        json!(["room/b0/#"])
    );
    let room = ws.ask(2, "\"subscribe\":[\"room/1/audio/volume\"]").await;
    assert!(room["subscribed"].is_array());
    doors.stop().await;
}

#[tokio::test]
async fn a_silent_client_is_dropped() {
    let limits = ClientLimits {
        ping_interval: Duration::from_millis(300),
        ..ClientLimits::default()
    };
    let doors = Doors::start_with(limits, |_| {}).await;
    // Half open: it receives everything and never answers a ping.
    let mut silent = raw(&doors).await;
    let mut alive = doors.ws("/ws").await;
    let mut all = Vec::new();
    let ended = timeout(SOON, async {
        loop {
            tokio::select! {
                ended = silent.read_to_end(&mut all) => return ended,
                // The library answers pings while the socket is read.
                message = alive.inner.next() => { message.unwrap().unwrap(); }
            }
        }
    });
    ended.await.expect("the silent one is dropped").unwrap();
    assert!(all.starts_with(&[0x89, 0]), "{all:?}");
    alive.send("{\"ping\":true}").await;
    assert_eq!(alive.json().await["pong"], true);
    doors
        .metric("poly2mqtt_clients{door=\"websocket\"} 1")
        .await;
    doors.stop().await;
}

#[tokio::test]
async fn a_slow_reader_gets_the_newest_state_and_delays_nobody() {
    let limits = ClientLimits {
        // The slow reader stays, however long it takes.
        send_timeout: SOON * 10,
        ..ClientLimits::default()
    };
    let doors = Doors::start_with(limits, |_| {}).await;
    let store = doors.service.store().clone();
    let mut slow = doors.ws("/ws?subscribe=%23").await;
    slow.ask(1, "\"ping\":true").await;
    let mut fast = doors.ws("/ws?subscribe=room/1/bulk/%23").await;
    fast.ask(1, "\"ping\":true").await;
    // Far more than all buffers between them can hold.
    let bulk = "x".repeat(10_000);
    for n in 0..20_000 {
        store.set(
            &format!("room/1/bulk/{}", n % 50),
            StateValue::text(format!("{n} {bulk}")),
        );
        if n % 500 == 0 {
            let result = fast
                .ask(n, "\"topic\":\"room/1/audio/volume/set\",\"payload\":40")
                .await;
            assert_eq!(result["payload"]["ok"], true);
        }
    }
    // Now it reads: it gets its command's result, and the newest value of each state.
    slow.send("{\"id\":2,\"topic\":\"room/1/audio/volume/set\",\"payload\":41}")
        .await;
    let mut newest = vec![0; 50];
    let mut frames = 0;
    loop {
        let frame = slow.json().await;
        frames += 1;
        if frame["id"] == 2 {
            break;
        }
        let topic = frame["topic"].as_str().unwrap_or_default();
        if let Some(n) = topic.strip_prefix("room/1/bulk/") {
            let value = frame["payload"]
                .as_str()
                .unwrap()
                .split(' ')
                .next()
                .unwrap()
                .to_owned();
            newest[n.parse::<usize>().unwrap()] = value.parse::<usize>().unwrap();
        }
    }
    let wanted: Vec<usize> = (19_950..20_000).collect();
    assert_eq!(newest, wanted);
    assert!(frames < 10_000, "{frames} frames: it was not slow");
    doors.stop().await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_dropped() {
    let limits = ClientLimits {
        send_timeout: Duration::from_millis(300),
        ..ClientLimits::default()
    };
    let doors = Doors::start_with(limits, |_| {}).await;
    let mut stuck = doors.ws("/ws?subscribe=%23").await;
    stuck.ask(1, "\"ping\":true").await;
    let bulk = "x".repeat(100_000);
    for n in 0..200 {
        doors
            .service
            .store()
            .set(&format!("room/1/bulk/{n}"), StateValue::text(bulk.clone()));
    }
    doors
        .metric("poly2mqtt_clients{door=\"websocket\"} 0")
        .await;
    doors.stop().await;
}

#[tokio::test]
async fn too_many_clients_are_closed_with_a_reason() {
    let limits = ClientLimits {
        max_clients: 4,
        ..ClientLimits::default()
    };
    let doors = Doors::start_with(limits, |_| {}).await;
    let one = doors.ws("/ws").await;
    let mut two = doors.ws("/ws").await;
    let (code, reason) = doors.ws("/ws").await.closed().await;
    assert_eq!(code, 1013, "{reason}");
    assert_eq!(two.ask(1, "\"ping\":true").await["pong"], true);
    drop(one);
    doors
        .metric("poly2mqtt_clients{door=\"websocket\"} 1")
        .await;
    assert_eq!(
        doors.ws("/ws").await.ask(1, "\"ping\":true").await["pong"],
        true
    );
    doors.stop().await;
}

#[tokio::test]
async fn many_clients_connect_and_disconnect() {
    let doors = Doors::start().await;
    let mut sockets = Vec::new();
    for _ in 0..100 {
        sockets.push(doors.ws("/ws?subscribe=room/1/%23").await);
    }
    for socket in &mut sockets {
        socket
            .until(|frame| frame["topic"] == "room/1/audio/volume")
            .await;
    }
    doors.device.person_mutes(true);
    for socket in &mut sockets {
        let muted =
            |frame: &Value| frame["topic"] == "room/1/audio/muted" && frame["payload"] == true;
        socket.until(muted).await;
    }
    drop(sockets);
    doors
        .metric("poly2mqtt_clients{door=\"websocket\"} 0")
        .await;
    let mut last: Socket = doors.ws("/ws").await;
    assert_eq!(last.ask(1, "\"ping\":true").await["pong"], true);
    doors.stop().await;
}
