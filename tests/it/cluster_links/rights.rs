//! Who is let in between gateways, and what tokens of clients permit.
use super::*;
use poly2mqtt::config::AccessLevel;
use poly2mqtt::state::StateValue;
use poly2mqtt_test_support::door::{Doors, certificate};
use poly2mqtt_test_support::soon;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// What a handshake at `/cluster` is answered.
async fn handshake(url: &str, token: Option<&str>, format: &str) -> u16 {
    let address = format!("{}/cluster", url.replace("http://", "ws://"));
    let mut request = address.into_client_request().unwrap();
    let headers = request.headers_mut();
    headers.insert("x-poly2mqtt-member", "z".parse().unwrap());
    headers.insert("x-poly2mqtt-format", format.parse().unwrap());
    if let Some(token) = token {
        let bearer = format!("Bearer {token}");
        headers.insert("authorization", bearer.parse().unwrap());
    }
    match soon("a handshake", connect_async(request)).await {
        Ok(_) => 101,
        Err(tokio_tungstenite::tungstenite::Error::Http(response)) => response.status().as_u16(),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn without_a_cluster_there_is_no_such_path() {
    let doors = Doors::start().await;
    let before = doors.url("");
    assert_eq!(handshake(&before, Some(CLUSTER_TOKEN), "1").await, 404);
    for path in ["/cluster", "/cluster/file"] {
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
    assert_eq!(handshake(&url, None, "1").await, 401);
    assert_eq!(handshake(&url, Some("wrong"), "1").await, 401);
    assert_eq!(handshake(&url, Some(admin), "1").await, 401);
    assert_eq!(handshake(&url, Some(CLUSTER_TOKEN), "0").await, 409);
    assert_eq!(handshake(&url, Some(CLUSTER_TOKEN), "1").await, 101);
    let request = |path: &str| {
        http()
            .post(cluster.url("a", path))
            .bearer_auth(CLUSTER_TOKEN)
            .header("x-poly2mqtt-member", "z")
            .header("x-poly2mqtt-format", "1")
    };
    // Only a WebSocket.
    let plain = request("/cluster").send().await.unwrap();
    assert_eq!(plain.status(), 405);
    for header in ["", "e30=", "!!"] {
        let file = request("/cluster/file").header("x-poly2mqtt-command", header);
        assert_eq!(file.send().await.unwrap().status(), 400, "{header}");
    }
    // It is no token of a client.
    let state = http()
        .get(cluster.url("a", "/room"))
        .bearer_auth(CLUSTER_TOKEN);
    assert_eq!(state.send().await.unwrap().status(), 401);
    // Guesses are slowed down, and the right one is let in all the same.
    let mut too_often = false;
    for guess in 0..100 {
        let guess = format!("guess {guess}");
        let answer = handshake(&url, Some(&guess), "1");
        let answer = tokio::time::timeout(Duration::from_millis(300), answer);
        too_often |= answer.await == Ok(429);
        if too_often {
            break;
        }
    }
    assert!(too_often);
    assert_eq!(handshake(&url, Some(CLUSTER_TOKEN), "1").await, 101);
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
