//! Access rights at every door: what clients may see and do, and how others are refused.
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use poly2mqtt::config::AccessLevel;
use poly2mqtt::doors::clients::ClientLimits;
use poly2mqtt::doors::http::paths;
use reqwest::tls::TlsInfo;
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use poly2mqtt_test_support::door::{Doors, certificate, get, http, token};

/// A token for each level, and one for one room.
async fn guarded() -> Doors {
    Doors::start_with(ClientLimits::default(), |config| {
        config.http.tokens = vec![
            token("reads", AccessLevel::Read, None),
            token("controls", AccessLevel::Control, None),
            token("one-room", AccessLevel::Control, Some(&["1"])),
            token("administers", AccessLevel::Admin, None),
        ];
    })
    .await
}

async fn status(doors: &Doors, path: &str, token: &str) -> u16 {
    let request = http().get(doors.url(path)).bearer_auth(token);
    request.send().await.unwrap().status().as_u16()
}

async fn post(doors: &Doors, path: &str, token: &str) -> (u16, Value) {
    let request = http().post(doors.url(path)).bearer_auth(token);
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let body = response.bytes().await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test]
async fn a_token_can_be_sent_in_three_ways() {
    let doors = guarded().await;
    let url = doors.url("/room/1/audio/volume");
    assert_eq!(status(&doors, "/room/1/audio/volume", "reads").await, 200);
    let basic = http().get(&url).basic_auth("anyone", Some("reads"));
    assert_eq!(basic.send().await.unwrap().status(), 200);
    assert_eq!(get(&format!("{url}?token=reads")).await.status(), 200);
    let without = get(&url).await;
    assert_eq!(without.status(), 401);
    assert!(without.headers().contains_key("www-authenticate"));
    assert_eq!(status(&doors, "/room/1/audio/volume", "read").await, 401);
    assert_eq!(status(&doors, "/metrics", "nonsense").await, 401);
    doors.stop().await;
}

/// Of all paths, those on the page are answered without a token, and nothing else is.
#[tokio::test]
async fn only_what_the_page_names_is_answered_without_a_token() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/http.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, after) = page.split_once("every request needs one, except").unwrap();
    let (list, _) = after.split_once(":\n").unwrap();
    let named: BTreeSet<&str> = list.split('`').skip(1).step_by(2).collect();

    let doors = guarded().await;
    let mut answered = BTreeSet::new();
    for path in paths() {
        let filled = path.replace("{room}", "1").replace("{name}", "192.png");
        let topics: &[&str] = if path.starts_with("/gateway/") {
            &["availability", "health", "info"]
        } else {
            &["availability", "audio/volume", "audio/volume/get"]
        };
        for topic in topics {
            let asked = filled.replace("{*topic}", topic);
            let status = get(&doors.url(&asked)).await.status().as_u16();
            match status {
                200 => {
                    answered.insert(path.replace("{name}", "…"));
                }
                // The WebSocket's own refusal of a plain request comes first.
                426 => assert_eq!(path, "/ws"),
                refused => assert_eq!(refused, 401, "{asked}"),
            }
        }
    }
    let answered: BTreeSet<&str> = answered.iter().map(String::as_str).collect();
    assert_eq!(answered, named);
    doors.stop().await;
}

#[tokio::test]
async fn levels_and_rooms_limit_every_door() {
    let doors = guarded().await;
    let mute = "/room/1/audio/mute";
    let code = |(status, body): (u16, Value)| (status, body["error"]["code"].clone());
    let forbidden = (403, json!("forbidden"));
    assert_eq!(code(post(&doors, mute, "reads").await), forbidden);
    assert_eq!(post(&doors, mute, "controls").await.0, 200);
    assert_eq!(post(&doors, mute, "one-room").await.0, 200);
    assert_eq!(
        code(post(&doors, "/room/2/audio/mute", "one-room").await),
        forbidden
    );
    // The same for a room that does not exist, so that a token cannot find out.
    assert_eq!(
        code(post(&doors, "/room/9/audio/mute", "one-room").await),
        forbidden
    );
    for path in [
        "/room/2",
        "/room/2/audio/volume",
        "/room/2/audio/volume/get",
    ] {
        assert_eq!(status(&doors, path, "one-room").await, 403, "{path}");
    }
    assert_eq!(status(&doors, "/room/2", "reads").await, 200);
    // The rooms allow all guarded commands over MQTT; HTTP needs an `admin` token.
    let renew = "/room/1/session/renew";
    assert_eq!(code(post(&doors, renew, "controls").await), forbidden);
    assert_eq!(post(&doors, renew, "administers").await.0, 200);
    let set = json!({"name": "system.screensavermode", "value": "Black"});
    for (guarded, payload) in [
        ("config/set", set.to_string()),
        ("system/provider/set", "Poly".to_owned()),
    ] {
        for (token, wanted) in [("controls", 403), ("administers", 200)] {
            let request = http().post(doors.url(&format!("/room/1/{guarded}")));
            let request = request.bearer_auth(token).body(payload.clone());
            let status = request.send().await.unwrap().status();
            assert_eq!(status, wanted, "{guarded} {token}");
        }
    }

    let mut ws = doors.ws("/ws?token=one-room&subscribe=%23").await;
    let pong = |frame: &Value| frame["pong"] == true;
    ws.send("{\"ping\":true}").await;
    let mut topics = Vec::new();
    loop {
        let frame = ws.json().await;
        if pong(&frame) {
            break;
        }
        topics.push(frame["topic"].as_str().unwrap().to_owned());
    }
    let may = |topic: &String| topic.starts_with("room/1/") || topic.starts_with("gateway/");
    assert!(topics.iter().all(may), "{topics:?}");
    assert!(topics.contains(&"gateway/info".to_owned()));
    doors.service.store().event("room/2/event/x", "1".into());
    doors.service.store().event("room/1/event/x", "2".into());
    let event = ws.until(|frame| frame.get("retain").is_none()).await;
    assert_eq!(event["topic"], "room/1/event/x");
    let other = ws.ask(1, "\"topic\":\"room/2/audio/mute\"").await;
    assert_eq!(other["payload"]["error"]["code"], "forbidden");
    assert_eq!(other["payload"]["command"], "audio/mute");

    let mut tcp = doors.tcp().await;
    tcp.send("token one-room\r\nsubscribe +/+/audio/volume\nroom/2/audio/mute\n")
        .await;
    assert_eq!(tcp.line().await.unwrap(), "room/1/audio/volume 62");
    let refused = tcp.line().await.unwrap();
    assert!(
        refused.starts_with("room/2/audio/mute/result error forbidden "),
        "{refused}"
    );
    let mut reads = doors.ws("/ws?token=reads&format=plain").await;
    reads.send("room/1/audio/mute").await;
    assert!(reads.text().await.contains("error forbidden"));
    doors.stop().await;
}

#[tokio::test]
async fn a_command_that_a_token_forbids_is_an_event_of_the_room() {
    let doors = guarded().await;
    let path = "/ws?token=administers&subscribe=room%2F%2B%2Fevent%2F%23";
    let mut ws = doors.ws(path).await;
    ws.send("{\"ping\":true}").await;
    ws.until(|frame| frame["pong"] == true).await;
    assert_eq!(post(&doors, "/room/1/audio/mute", "reads").await.0, 403);
    let event = ws.until(|frame| frame.get("topic").is_some()).await;
    assert_eq!(event["topic"], "room/1/event/command_failed");
    assert_eq!(event["payload"]["code"], "forbidden");
    assert_eq!(event["payload"]["command"], "audio/mute");
    // What only the sender is told: the name of its token, and the rooms of that token.
    let told = event["payload"]["message"].as_str().unwrap();
    assert!(!told.contains("reads"), "{told}");
    assert_eq!(post(&doors, "/room/2/audio/mute", "one-room").await.0, 403);
    let event = ws.until(|frame| frame.get("topic").is_some()).await;
    assert_eq!(event["topic"], "room/2/event/command_failed");
    assert_eq!(event["payload"]["message"], told);
    doors
        .metric_with(
            "poly2mqtt_commands_total{door=\"http\",outcome=\"forbidden\"} 2",
            "?token=reads",
        )
        .await;
    doors.stop().await;
}

#[tokio::test]
async fn a_bad_token_closes_the_websocket_with_4401() {
    let doors = guarded().await;
    for path in ["/ws", "/ws?token=wrong"] {
        let (code, reason) = doors.ws(path).await.closed().await;
        assert_eq!(code, 4401, "{path} {reason}");
    }
    for first in [
        "token wrong\r\n",
        "room/1/audio/mute\r\n",
        "token\n",
        "\nping\n",
    ] {
        let mut tcp = doors.tcp().await;
        tcp.send(first).await;
        assert!(
            tcp.line().await.unwrap().starts_with("closed the token"),
            "{first}"
        );
        assert_eq!(tcp.line().await, None);
    }
    doors
        .metric_with(
            "poly2mqtt_refused_clients_total{why=\"token\"} 6",
            "?token=reads",
        )
        .await;
    doors.stop().await;
}

#[tokio::test]
async fn wrong_tokens_in_a_loop_are_slowed_down_and_right_ones_are_not() {
    let doors = guarded().await;
    let begun = Instant::now();
    for _ in 0..5 {
        assert_eq!(status(&doors, "/room/1", "guess").await, 401);
    }
    // The delays are 100, 200, 400, 800 and 1600 ms.
    assert!(
        begun.elapsed() >= Duration::from_millis(3100),
        "{:?}",
        begun.elapsed()
    );
    // Parallel attempts do not avoid the delay: their number is limited.
    let guesses: Vec<_> = (0..40)
        .map(|_| {
            let request = http().get(doors.url("/room/1")).bearer_auth("guess");
            tokio::spawn(async move { request.send().await.unwrap().status().as_u16() })
        })
        .collect();
    let mut answers = Vec::new();
    for guess in guesses {
        answers.push(guess.await.unwrap());
    }
    assert!(
        answers.iter().filter(|status| **status == 401).count() <= 8,
        "{answers:?}"
    );
    assert!(answers.contains(&429));
    let begun = Instant::now();
    assert_eq!(status(&doors, "/room/1", "reads").await, 200);
    // As long as the guesses together would have taken at least.
    assert!(begun.elapsed() < Duration::from_secs(3));
    doors.stop().await;
}

#[tokio::test]
async fn other_origins_and_host_names_are_refused() {
    let doors = Doors::start_with(ClientLimits::default(), |config| {
        config.http.hosts = vec!["av.example.com".into()];
    })
    .await;
    let with = async |name: &'static str, value: &str| {
        let request = http()
            .post(doors.url("/room/1/audio/mute"))
            .header(name, value);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(with("origin", &doors.url("")).await, 200);
    assert_eq!(with("origin", "http://evil.example").await, 403);
    assert_eq!(with("origin", "null").await, 403);
    assert_eq!(with("host", "evil.example").await, 421);
    assert_eq!(with("host", "av.example.com").await, 200);
    let ws = |origin: &str| {
        let url = format!("ws://{}/ws", doors.addr());
        let mut request = url.into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("origin", origin.parse().unwrap());
        connect_async(request)
    };
    assert!(ws("http://evil.example").await.is_err());
    let same = format!("http://{}", doors.addr());
    assert!(ws(&same).await.is_ok());
    doors
        .metric("poly2mqtt_refused_clients_total{why=\"origin\"} 3")
        .await;
    doors
        .metric("poly2mqtt_refused_clients_total{why=\"host\"} 1")
        .await;
    doors.stop().await;
}

#[tokio::test]
async fn tokens_change_while_the_gateway_runs() {
    let mut doors = guarded().await;
    let mut kept = doors.ws("/ws?token=reads").await;
    let mut gone = doors.ws("/ws?token=controls").await;
    let mut other_rooms = doors.ws("/ws?token=one-room").await;
    let mut changed = doors.tcp().await;
    changed.send("token one-room\nping\n").await;
    assert_eq!(changed.line().await.unwrap(), "pong");
    assert_eq!(gone.ask(1, "\"ping\":true").await["pong"], true);
    let mut config = doors.config.clone();
    config.http.tokens = vec![
        token("reads", AccessLevel::Read, None),
        token("one-room", AccessLevel::Control, Some(&["2"])),
        token("new", AccessLevel::Read, None),
    ];
    doors.service.reload(config).await.unwrap();
    assert_eq!(gone.closed().await.0, 4401);
    // Whose token permits something else now may come again.
    let (code, reason) = other_rooms.closed().await;
    assert_eq!(code, 1012, "{reason}");
    assert_eq!(
        changed.line().await.unwrap(),
        "closed the token permits something else now; connect again"
    );
    let mut again = doors.ws("/ws?token=one-room").await;
    assert_eq!(again.ask(1, "\"ping\":true").await["pong"], true);
    assert_eq!(kept.ask(1, "\"ping\":true").await["pong"], true);
    assert_eq!(status(&doors, "/room/1", "new").await, 200);
    assert_eq!(status(&doors, "/room/1", "controls").await, 401);
    doors.stop().await;
}

async fn shown_certificate(url: &str) -> Vec<u8> {
    let response = http().get(url).send().await.unwrap();
    let info = response.extensions().get::<TlsInfo>().unwrap();
    info.peer_certificate().unwrap().to_vec()
}

#[tokio::test]
async fn a_reload_reads_the_tls_certificate_again() {
    let dir = tempfile::tempdir().unwrap();
    let (files, first) = certificate(dir.path());
    let mut doors = Doors::start_with(ClientLimits::default(), |config| {
        config.http.tls = Some(files.clone());
        config.tcp.tls = true;
    })
    .await;
    let url = format!("https://{}/healthz", doors.addr());
    assert_eq!(shown_certificate(&url).await, first);
    // A WebSocket works over TLS too.
    let mut roots = rustls::RootCertStore::empty();
    roots.add(first.clone().into()).unwrap();
    let client = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(doors.addr()).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let name = "localhost".try_into().unwrap();
    let stream = connector.connect(name, stream).await.unwrap();
    let url_ws = format!("wss://localhost:{}/ws", doors.addr().port());
    let (mut ws, _) = tokio_tungstenite::client_async(url_ws, stream)
        .await
        .unwrap();
    let hello = tokio_tungstenite::tungstenite::Message::text("{\"ping\":true}");
    futures_util::SinkExt::send(&mut ws, hello).await.unwrap();
    let pong = futures_util::StreamExt::next(&mut ws)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(pong.to_text().unwrap(), "{\"pong\":true}");
    // A client that does not speak TLS is not answered and delays nobody.
    let plain = http().get(doors.url("/healthz")).send().await;
    assert!(plain.is_err());
    let silent = tokio::net::TcpStream::connect(doors.addr()).await.unwrap();
    let (_, second) = certificate(dir.path());
    doors.service.reload(doors.config.clone()).await.unwrap();
    assert_eq!(shown_certificate(&url).await, second);
    // Existing connections stay open.
    let hello = tokio_tungstenite::tungstenite::Message::text("{\"ping\":true}");
    futures_util::SinkExt::send(&mut ws, hello).await.unwrap();
    assert!(
        futures_util::StreamExt::next(&mut ws)
            .await
            .unwrap()
            .is_ok()
    );
    // A wrong file is reported, and the old certificate stays in use.
    std::fs::write(&files.key, "nonsense").unwrap();
    let failed = doors
        .service
        .reload(doors.config.clone())
        .await
        .unwrap_err();
    assert!(failed[0].contains("key.pem cannot be used"), "{failed:?}");
    assert_eq!(shown_certificate(&url).await, second);
    drop(silent);
    doors.stop().await;
}
