//! Who is let in between gateways, and what tokens of clients permit.
use super::*;
use poly2mqtt::config::AccessLevel;
use poly2mqtt::state::StateValue;
use poly2mqtt_test_support::cluster::head;
use poly2mqtt_test_support::door::{Doors, certificate};
use poly2mqtt_test_support::soon;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The status that one request is answered with, over this connection.
async fn status(stream: &mut TcpStream, request: &str) -> u16 {
    stream.write_all(request.as_bytes()).await.unwrap();
    let head = soon("an answer", head(stream)).await;
    head[9..12].parse().unwrap()
}

/// What a handshake at `/cluster` is answered after a proof by this token.
async fn handshake(cluster: &Cluster, token: &str) -> u16 {
    let (mut stream, lines) = cluster.proved("a", token).await;
    let request = format!("GET /cluster HTTP/1.1\r\n{lines}{UPGRADE}\r\n");
    status(&mut stream, &request).await
}

/// The same by one that proves nothing, with these lines in the head.
async fn unproved(url: &str, lines: &str) -> u16 {
    let addr = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let request = format!("GET /cluster HTTP/1.1\r\nHost: {addr}\r\n{lines}{UPGRADE}\r\n");
    status(&mut stream, &request).await
}

#[tokio::test]
async fn without_a_cluster_there_is_no_such_path() {
    let doors = Doors::start().await;
    assert_eq!(unproved(&doors.url(""), "").await, 404);
    for path in ["/cluster", "/cluster/file", "/cluster/proof"] {
        let plain = http().get(doors.url(path)).bearer_auth(CLUSTER_TOKEN);
        assert_eq!(plain.send().await.unwrap().status(), 404);
        assert_eq!(post(&doors.url(path), "").await.0, 404);
    }
    doors.stop().await;
}

#[tokio::test]
async fn only_the_clusters_token_opens_a_link() {
    let admin = "an admin's token, which is long enough";
    let cluster = Cluster::start_with(&["a", "b"], &[], |config| {
        config.http.tokens = vec![token(admin, AccessLevel::Admin, None)];
    })
    .await;
    let url = cluster.url("a", "");
    let member = "x-poly2mqtt-member: z\r\nx-poly2mqtt-format: ";
    assert_eq!(unproved(&url, &format!("{member}2\r\n")).await, 401);
    // What the version before this one sent.
    let bearer = format!("Authorization: Bearer {CLUSTER_TOKEN}\r\n");
    assert_eq!(unproved(&url, &format!("{member}2\r\n{bearer}")).await, 401);
    assert_eq!(unproved(&url, &format!("{member}1\r\n{bearer}")).await, 409);
    // A proof of another connection.
    let (_other, lines) = cluster.proved("a", CLUSTER_TOKEN).await;
    let (_, lines) = lines.split_once("\r\n").unwrap();
    assert_eq!(unproved(&url, lines).await, 401);
    assert_eq!(handshake(&cluster, "wrong").await, 401);
    assert_eq!(handshake(&cluster, admin).await, 401);
    assert_eq!(handshake(&cluster, CLUSTER_TOKEN).await, 101);
    let request = async |method: &str, path: &str, more: &str| {
        let (mut stream, lines) = cluster.proved("a", CLUSTER_TOKEN).await;
        let request = format!("{method} {path} HTTP/1.1\r\n{lines}{more}Content-Length: 0\r\n\r\n");
        status(&mut stream, &request).await
    };
    // Only a WebSocket.
    assert_eq!(request("POST", "/cluster", "").await, 405);
    for header in ["", "e30=", "!!"] {
        let header = format!("x-poly2mqtt-command: {header}\r\n");
        assert_eq!(request("POST", "/cluster/file", &header).await, 400);
    }
    // One proof is good for one request.
    let (mut stream, lines) = cluster.proved("a", CLUSTER_TOKEN).await;
    let twice = format!("POST /cluster/file HTTP/1.1\r\n{lines}Content-Length: 0\r\n\r\n");
    assert_eq!(status(&mut stream, &twice).await, 400);
    let mut body = vec![0; 1 << 10];
    let _ = soon("the body", stream.read(&mut body)).await.unwrap();
    assert_eq!(status(&mut stream, &twice).await, 401);
    // It is no token of a client.
    let state = http()
        .get(cluster.url("a", "/room"))
        .bearer_auth(CLUSTER_TOKEN);
    assert_eq!(state.send().await.unwrap().status(), 401);
    // Guesses are slowed down, and the right one is let in all the same.
    let mut too_often = false;
    for guess in 0..100 {
        let guess = format!("guess {guess}");
        let answer = handshake(&cluster, &guess);
        let answer = tokio::time::timeout(Duration::from_millis(300), answer);
        too_often |= answer.await == Ok(429);
        if too_often {
            break;
        }
    }
    assert!(too_often);
    assert_eq!(handshake(&cluster, CLUSTER_TOKEN).await, 101);
    cluster.stop().await;
}

/// Whoever may write into the store can name any address as that of a member. What listens there learns nothing that it
/// could use, and does not get a link by passing on what the real member says.
#[tokio::test]
async fn who_is_only_named_in_the_store_gets_neither_the_token_nor_a_link() {
    let cluster = two().await;
    let trap = TcpListener::bind("127.0.0.1:0").await.unwrap();
    cluster.names_member("c", &format!("http://{}", trap.local_addr().unwrap()));
    for answer in ["HTTP/1.1 200 OK", "HTTP/1.1 101 Switching Protocols"] {
        let (mut stream, _) = soon("the gateway dials", trap.accept()).await.unwrap();
        let asked = soon("it asks", head(&mut stream)).await;
        assert!(asked.starts_with("GET /cluster/proof "), "{asked}");
        let invented = format!(
            "{answer}\r\nx-poly2mqtt-nonce: abc\r\nx-poly2mqtt-proof: {}\r\nContent-Length: 0\r\n\r\n",
            "A".repeat(43)
        );
        stream.write_all(invented.as_bytes()).await.unwrap();
        let mut rest = String::new();
        let _ = soon("the end", stream.read_to_string(&mut rest)).await;
        for told in [&asked, &rest] {
            let told = told.to_ascii_lowercase();
            assert!(!told.contains(CLUSTER_TOKEN), "{told}");
            for header in ["authorization:", "x-poly2mqtt-proof:"] {
                assert!(!told.contains(header), "{told}");
            }
        }
    }
    // It asks the real member, and passes its proof on.
    let (mut near, _) = soon("the gateway dials", trap.accept()).await.unwrap();
    let asked = soon("it asks", head(&mut near)).await;
    let real = cluster.url("b", "");
    let mut far = TcpStream::connect(real.strip_prefix("http://").unwrap())
        .await
        .unwrap();
    far.write_all(asked.as_bytes()).await.unwrap();
    let proof = soon("it proves", head(&mut far)).await;
    assert!(proof.contains("x-poly2mqtt-proof: "), "{proof}");
    near.write_all(proof.as_bytes()).await.unwrap();
    let mut rest = String::new();
    let _ = soon("the end", near.read_to_string(&mut rest)).await;
    assert_eq!(rest, "");
    cluster.stop().await;
}

#[tokio::test]
async fn a_token_for_some_rooms_learns_nothing_of_others_wherever_they_are() {
    let rooms = [("1", "a"), ("2", "b"), ("3", "b")];
    let cluster = Cluster::start(&["a", "b"], &rooms).await;
    let config = {
        let mut config = cluster.gateways["a"].config.clone();
        config.http.tokens = vec![
            token("one-room-token", AccessLevel::Control, Some(&["2"])),
            token("a-reader-token", AccessLevel::Read, None),
        ];
        config
    };
    let mut cluster = cluster;
    let gateway = cluster.gateways.get_mut("a").unwrap();
    gateway.service.reload(config).await.unwrap();
    let url = |path: &str, token: &str| cluster.url("a", &format!("{path}?token={token}"));
    assert_eq!(
        text(&url("/room/2/audio/volume", "one-room-token")).await,
        "62"
    );
    for path in [
        "/room/3/audio/volume",
        "/room/3",
        "/room/3/problem",
        "/room/1",
    ] {
        let other = get(&url(path, "one-room-token")).await;
        assert_eq!(other.status(), 403, "{path}");
    }
    let list: Value = get(&url("/room", "one-room-token"))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(list.as_array().unwrap().len(), 1);
    assert_eq!(list[0]["gateway"], "b");
    // Which gateways there are, and nothing of how many rooms they have.
    let document = json!({
        "from": "a", "state": "ok", "shards": 1024, "rooms": 3, "unowned": 0, "unowned_rooms": 0,
        "members": [{"name": "a", "shards": 512, "rooms": 1, "advertise": "http://10.0.0.1"}],
        "differing": ["b"], "placement": "ab",
        "problem": {"code": "differing", "message": "1 rooms differ"},
    });
    let store = cluster.gateways["a"].service.store();
    store.set("gateway/cluster", StateValue::text(document.to_string()));
    let seen: Value = get(&url("/gateway/cluster", "one-room-token"))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(
        seen,
        json!({
            "from": "a", "state": "ok", "shards": 1024, "unowned": 0, "placement": "ab",
            "members": [{"name": "a", "shards": 512}], "problem": {"code": "differing"},
        })
    );
    let whole = get(&url("/gateway/cluster", "a-reader-token")).await;
    assert_eq!(whole.json::<Value>().await.unwrap(), document);
    for (room, payload, token, code) in [
        ("3", "40", "one-room-token", "forbidden"),
        ("2", "40", "a-reader-token", "forbidden"),
        ("2", "40", "one-room-token", "ok"),
    ] {
        let url = url(&format!("/room/{room}/audio/volume/set"), token);
        let (_, result) = post(&url, payload).await;
        let came = result["error"]["code"].as_str().unwrap_or("ok");
        assert_eq!(came, code, "{result}");
    }
    // Guarded commands need more, at the owner too.
    let (_, result) = post(&url("/room/2/system/reboot", "one-room-token"), "").await;
    assert_eq!(result["error"]["code"], "forbidden", "{result}");
    let mut ws = cluster.ws("a", "/ws?token=one-room-token").await;
    let frames = ws
        .frames_until(1, "\"subscribe\":[\"#\",\"room/3/#\"]")
        .await;
    assert!(
        frames
            .iter()
            .any(|frame| frame.contains("room/2/audio/volume"))
    );
    post(&cluster.url("b", "/room/3/audio/volume/set"), "17").await;
    post(&cluster.url("b", "/room/3/audio/volume/set"), "loud").await;
    let frames = [frames, ws.frames_until(2, "\"ping\":true").await].concat();
    let told = frames
        .iter()
        .find(|frame| frame.contains("room/3/audio") || frame.contains("room/1/"));
    assert_eq!(told, None);
    cluster.stop().await;
}

#[tokio::test]
async fn a_link_goes_over_tls_to_a_host_by_any_name() {
    let dir = tempfile::tempdir().unwrap();
    let (files, _) = certificate(dir.path());
    let cluster = Cluster::start_with(&["a", "b"], &[("1", "a"), ("2", "b")], |config| {
        config.http.tls = Some(files.clone());
    })
    .await;
    let (status, result) = post(&cluster.url("a", "/room/2/audio/volume/set"), "40").await;
    assert_eq!(status, 200, "{result}");
    assert_eq!(text(&cluster.url("a", "/room/2/audio/volume")).await, "40");
    let logs = get(&cluster.url("a", "/room/2/system/logs/get")).await;
    assert_eq!(logs.bytes().await.unwrap(), vec![0; 1024]);
    // A name that is not in `http.hosts`: for clients it is not this gateway.
    let at = |path: &str| {
        http()
            .get(cluster.url("a", path))
            .header("host", "gw-1.example.com")
            .bearer_auth(CLUSTER_TOKEN)
    };
    assert_eq!(at("/room").send().await.unwrap().status(), 421);
    assert_ne!(at("/cluster").send().await.unwrap().status(), 421);
    cluster.stop().await;
}
