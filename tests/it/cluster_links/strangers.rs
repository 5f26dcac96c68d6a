//! A peer that has the token and does not behave: frames that are none, floods, silence, a command of any age. The
//! gateway closes its link, answers everybody else, and goes on.
use super::*;
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::SinkExt;
use poly2mqtt_test_support::cluster::head;
use poly2mqtt_test_support::soon;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

/// A link to a gateway, by hand.
struct Peer(WebSocketStream<TcpStream>);

/// A frame whose head is this text.
fn raw(head: &str) -> Bytes {
    framed(head, b"")
}

fn frame(head: &Value, body: &[u8]) -> Bytes {
    framed(&head.to_string(), body)
}

fn framed(head: &str, body: &[u8]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u32(u32::try_from(head.len()).unwrap());
    bytes.put_slice(head.as_bytes());
    bytes.put_slice(body);
    bytes.freeze()
}

fn command(id: u64, room: &str, topic: &str, change: Value) -> Value {
    let mut command = json!({
        "room": room, "command": topic, "authority": "ordinary", "door": "http", "age_ms": 0,
        "expires_ms": null, "refused": null,
    });
    let changes = change.as_object().unwrap().clone();
    command.as_object_mut().unwrap().extend(changes);
    json!({"command": {"id": id, "command": command}})
}

impl Peer {
    async fn connect(cluster: &Cluster, name: &str) -> Self {
        let (mut stream, lines) = soon("a proof", cluster.proved(name, CLUSTER_TOKEN)).await;
        let request = format!("GET /cluster HTTP/1.1\r\n{lines}{UPGRADE}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let head = soon("a link", head(&mut stream)).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        Self(WebSocketStream::from_raw_socket(stream, Role::Client, None).await)
    }

    async fn send(&mut self, message: Message) {
        // The gateway may have closed it.
        let _ = soon("a message is sent", self.0.send(message)).await;
    }

    async fn send_head(&mut self, head: &Value, body: &[u8]) {
        self.send(Message::Binary(frame(head, body))).await;
    }

    /// The head of the next frame; `None` once the link has ended.
    async fn next(&mut self) -> Option<(Value, Bytes)> {
        loop {
            match soon("a frame comes, or the end", self.0.next()).await {
                Some(Ok(Message::Binary(bytes))) => {
                    let length = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
                    let head = serde_json::from_slice(&bytes[4..4 + length]).unwrap();
                    return Some((head, bytes.slice(4 + length..)));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return None,
            }
        }
    }

    /// The result of this command.
    async fn result(&mut self, id: u64) -> Value {
        loop {
            let (head, _) = self.next().await.expect("the link lives");
            if head["result"]["id"] == id {
                return head["result"]["outcome"]["result"].clone();
            }
        }
    }
}

/// Commands of everybody else pass.
async fn assert_well(cluster: &Cluster, what: &str) {
    for (at, room) in [("a", "2"), ("b", "1"), ("a", "1")] {
        let url = cluster.url(at, &format!("/room/{room}/audio/volume/set"));
        let (status, result) = post(&url, "40").await;
        assert_eq!(status, 200, "{what}: {result}");
    }
}

#[tokio::test]
async fn what_is_no_frame_of_a_member_ends_its_link_alone() {
    let cluster = two().await;
    let ends = [
        ("an empty message", Bytes::new()),
        ("no length", Bytes::from_static(b"\0\0")),
        (
            "a length beyond the end",
            Bytes::from_static(b"\0\0\xff\xff{}"),
        ),
        ("a huge length", Bytes::from_static(b"\xff\xff\xff\xff")),
        ("no JSON", frame(&json!(null), b"")),
        ("an unknown kind", frame(&json!({"shutdown": true}), b"")),
        (
            "two kinds",
            frame(&json!({"not_here": 1, "event": "x"}), b""),
        ),
        (
            "a result",
            frame(
                &json!({"result": {"id": 0, "outcome": {"request_id": null, "result": {"Err": {"code": "x", "message": "", "status": null}}}}}),
                b"",
            ),
        ),
        (
            "a state",
            frame(
                &json!({"state": {"topic": "room/1/audio/volume", "content_type": null, "cleared": false}}),
                b"1",
            ),
        ),
        (
            "an event",
            frame(&json!({"event": "room/1/event/x"}), b"{}"),
        ),
        (
            "a command without rights",
            frame(
                &json!({"command": {"id": 1, "command": {"room": "1", "command": "audio/mute"}}}),
                b"",
            ),
        ),
        (
            "unknown rights",
            frame(
                &command(1, "1", "audio/mute", json!({"authority": "root"})),
                b"",
            ),
        ),
        (
            "a negative age",
            frame(&command(1, "1", "audio/mute", json!({"age_ms": -1})), b""),
        ),
        ("deep JSON", raw(&"[".repeat(100_000))),
        (
            "deep JSON in a command",
            raw(&format!("{{\"command\":{}", "[".repeat(100_000))),
        ),
    ];
    for (what, bytes) in ends {
        let mut peer = Peer::connect(&cluster, "a").await;
        peer.send(Message::Binary(bytes)).await;
        assert_eq!(peer.next().await, None, "{what}");
    }
    let mut peer = Peer::connect(&cluster, "a").await;
    peer.send(Message::text("{}")).await;
    assert_eq!(peer.next().await, None, "text");
    assert_well(&cluster, "afterwards").await;
    assert_eq!(text(&cluster.url("a", "/room/1/audio/volume")).await, "40");
    cluster.stop().await;
}

#[tokio::test]
async fn a_peers_commands_have_the_rights_the_age_and_the_room_that_they_say() {
    let cluster = Cluster::start_with(&["a", "b"], &[("1", "a"), ("2", "b")], |config| {
        config
            .rooms
            .values_mut()
            .map(std::sync::Arc::make_mut)
            .for_each(|room| room.allow = std::sync::Arc::default());
    })
    .await;
    let mut peer = Peer::connect(&cluster, "a").await;
    for (id, room, topic, change, wanted) in [
        // Guarded, and the room's `allow` at its owner does not name it.
        (
            1,
            "1",
            "system/reboot",
            json!({"authority": "room_allows", "door": "mqtt"}),
            "forbidden",
        ),
        (2, "1", "system/reboot", json!({}), "forbidden"),
        // Expired on the way, too old, and older than the machine.
        (3, "1", "audio/mute", json!({"expires_ms": 0}), "expired"),
        (4, "1", "audio/mute", json!({"age_ms": 60_000}), "expired"),
        (5, "1", "audio/mute", json!({"age_ms": u64::MAX}), "expired"),
        (6, "1", "audio/mute", json!({"expires_ms": u64::MAX}), "ok"),
        // No command at all.
        (7, "1", "no/such/command", json!({}), "unknown_command"),
        (8, "1", "../../etc/passwd", json!({}), "unknown_command"),
    ] {
        peer.send_head(&command(id, room, topic, change.clone()), b"")
            .await;
        let result = peer.result(id).await;
        let came = result["Err"]["code"].as_str().unwrap_or("ok");
        assert_eq!(came, wanted, "{topic} {change}: {result}");
    }
    assert!(
        !cluster.devices["1"]
            .journal()
            .iter()
            .any(|it| it.path.contains("reboot"))
    );
    // Rooms that are not here, or nowhere: not begun, and nothing said of them.
    for (id, room) in [(20, "2"), (21, "nowhere"), (22, "")] {
        peer.send_head(&command(id, room, "audio/mute", json!({})), b"")
            .await;
        let (head, body) = peer.next().await.unwrap();
        assert_eq!((head, body.len()), (json!({"not_here": id}), 0));
    }
    peer.send_head(
        &json!({"watch": {"rooms": ["2", "nowhere", "", "+", "#"], "depth": "all"}}),
        b"",
    )
    .await;
    peer.send_head(&command(30, "2", "audio/mute", json!({})), b"")
        .await;
    assert_eq!(peer.next().await.unwrap().0, json!({"not_here": 30}));
    // It asks for one that is here, and gets its states.
    peer.send_head(
        &json!({"watch": {"rooms": ["1"], "depth": "availability"}}),
        b"",
    )
    .await;
    let mut topics = Vec::new();
    while let Some((head, _)) = peer.next().await {
        if head["all_sent"]["room"] == "1" {
            break;
        }
        topics.push(head["state"]["topic"].as_str().unwrap().to_owned());
    }
    topics.sort();
    assert_eq!(topics, ["room/1/availability", "room/1/problem"]);
    cluster.stop().await;
}

#[tokio::test]
async fn a_peer_that_floods_and_takes_nothing_is_thrown_out() {
    let cluster = two().await;
    let url = "/rest/audio/volume";
    cluster.devices["1"].add_fault(Fault::on(url, FaultKind::Delay(Duration::from_secs(20))));
    let mut peer = Peer::connect(&cluster, "a").await;
    // It sends more than a member may have without an answer, and reads nothing.
    let flood = async {
        for id in 0..200_000_u64 {
            let head = command(id, "1", "audio/volume/set", json!({}));
            if peer
                .0
                .feed(Message::Binary(frame(&head, b"40")))
                .await
                .is_err()
            {
                return true;
            }
        }
        false
    };
    assert!(soon("the flood ends", flood).await, "it was not thrown out");
    cluster.devices["1"].clear_faults();
    cluster.devices["1"].end_delays();
    assert_well(&cluster, "after a flood").await;
    // Names of rooms that no cluster has.
    let mut peer = Peer::connect(&cluster, "a").await;
    for part in 0..10 {
        let rooms: Vec<String> = (0..50_000).map(|n| format!("{part}-{n}")).collect();
        peer.send_head(&json!({"watch": {"rooms": rooms, "depth": "all"}}), b"")
            .await;
    }
    assert_eq!(peer.next().await, None);
    assert_well(&cluster, "after rooms").await;
    // One that says nothing.
    let mut peer = Peer::connect(&cluster, "a").await;
    let begun = Instant::now();
    assert_eq!(peer.next().await, None);
    assert!(
        begun.elapsed() < Duration::from_secs(6),
        "{:?}",
        begun.elapsed()
    );
    cluster.stop().await;
}

/// The gateways' `mqtt.max_payload` differ: what is larger than one of them passes does not end the link.
#[tokio::test]
async fn a_payload_above_the_owners_limit_ends_no_link() {
    let limits = std::sync::Mutex::new([64 << 10, 32 << 20].into_iter());
    let cluster = Cluster::start_with(&["a", "b"], &[("1", "a"), ("2", "b")], |config| {
        config.mqtt.max_payload = limits.lock().unwrap().next().unwrap();
    })
    .await;
    let limit = |name: &str| cluster.gateways[name].config.mqtt.max_payload;
    assert!(limit("a") < limit("b"));
    let mut watches = cluster.ws("b", "/ws?subscribe=room/1/audio/volume").await;
    watches
        .until(|frame| frame["topic"] == "room/1/audio/volume")
        .await;
    // Large command from `b` to room 1 at `a`, several times larger than what `a` takes of its own clients.
    let padded = format!("{}40", " ".repeat(12 << 20));
    let (_, result) = post(&cluster.url("b", "/room/1/audio/volume/set"), padded).await;
    let code = result["error"]["code"].as_str().unwrap_or("ok").to_owned();
    assert_ne!(code, "outcome_unknown", "{result}");
    // A picture of room 2 at `b`, which `a` would not keep of its own rooms.
    let picture = FaultKind::Huge(12 << 20);
    cluster.devices["2"].add_fault(Fault::on("/rest/system/logs", picture));
    let mut ws = cluster.ws("a", "/ws").await;
    let result = ws.ask(1, "\"topic\":\"room/2/system/logs/get\"").await;
    assert_ne!(
        result["payload"]["error"]["code"], "outcome_unknown",
        "{result}"
    );
    assert_well(&cluster, "after large payloads").await;
    for name in ["a", "b"] {
        let metrics = text(&cluster.url(name, "/metrics")).await;
        assert!(!metrics.contains("outcome_unknown"), "{name}: {metrics}");
    }
    cluster.stop().await;
}
