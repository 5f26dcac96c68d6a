//! Addresses and methods as people and programs write them, and what they are told.
use poly2mqtt::config::AccessLevel;
use poly2mqtt::doors::clients::ClientLimits;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use poly2mqtt_test_support::door::{Doors, http, token};

/// The status, the header `Allow` and the body of a request. Its target is sent as it is written here.
async fn ask(doors: &Doors, method: &str, target: &str, body: &str) -> (u16, String, Value) {
    let mut stream = TcpStream::connect(doors.addr()).await.unwrap();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: \
         {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let allow = head.lines().find_map(|line| line.strip_prefix("allow: "));
    let body = serde_json::from_str(body).unwrap_or_else(|_| body.into());
    (status, allow.unwrap_or_default().to_owned(), body)
}

#[tokio::test]
async fn slashes_and_encoded_letters_make_no_other_address() {
    let doors = Doors::start().await;
    assert_eq!(
        ask(&doors, "GET", "/room/1/audio/volume/get", "").await.0,
        200
    );
    for room in [
        "/room/1",
        "/room/1/",
        "/room/1//",
        "//room//1",
        "/%72oom/%31",
        "/room/1/?a=b",
    ] {
        let (status, _, body) = ask(&doors, "GET", room, "").await;
        assert_eq!(
            (status, &body["audio/volume"]),
            (200, &json!(62)),
            "{room} {body}"
        );
    }
    for state in [
        "/room/1/audio/volume/",
        "/room/1//audio/volume",
        "/room/1/audio//volume",
        "/room/1/audio/%76olume?x",
        "/room/1/audio/volume?",
    ] {
        let (status, _, body) = ask(&doors, "GET", state, "").await;
        assert_eq!((status, body), (200, json!(62)), "{state}");
    }
    for set in [
        "/room/1/audio/volume/set/",
        "//room/1/audio/volume/set",
        "/room/1//audio/volume/set",
    ] {
        let (status, _, body) = ask(&doors, "POST", set, "40").await;
        assert_eq!((status, &body["ok"]), (200, &json!(true)), "{set} {body}");
    }
    for other in [
        "/healthz/",
        "//readyz",
        "/metrics/",
        "/asyncapi.json/",
        "//",
        "/gateway/info/",
    ] {
        let (status, ..) = ask(&doors, "GET", other, "").await;
        assert_eq!(status, 200, "{other}");
    }
    doors.stop().await;
}

/// `call/{conf_id}/hangup` with an empty id must not become `call/hangup`, which ends every call.
#[tokio::test]
async fn an_empty_id_makes_no_other_command() {
    let doors = Doors::start().await;
    for command in ["call//hangup", "call///hangup", "camera/position//set"] {
        let (status, _, body) = ask(&doors, "POST", &format!("/room/1/{command}"), "").await;
        assert!(matches!(status, 400 | 404), "{command} {status} {body}");
    }
    let hung_up = |entry: &poly2mqtt_simulator::JournalEntry| entry.method != "GET";
    let asked = doors.device.journal();
    let asked: Vec<_> = asked.iter().filter(|entry| hung_up(entry)).collect();
    assert!(
        !asked.iter().any(|entry| entry.path.contains("conferences")),
        "{asked:?}"
    );
    doors.stop().await;
}

#[tokio::test]
async fn another_spelling_is_named() {
    let doors = Doors::start().await;
    for (method, target, wanted) in [
        ("GET", "/room/1/Audio/Volume", "audio/volume"),
        ("GET", "/room/1/AUDIO/VOLUME/GET", "audio/volume/get"),
        ("GET", "/room/1/audio%2Fvolume", "audio/volume"),
        ("POST", "/room/1/Audio/volume/set", "audio/volume/set"),
    ] {
        let (status, _, body) = ask(&doors, method, target, "").await;
        let message = body["error"]["message"].as_str().unwrap();
        assert!(
            status == 404 && message.contains(wanted),
            "{target} {status} {message}"
        );
    }
    for target in ["/ROOM/1", "/Metrics"] {
        assert_eq!(ask(&doors, "GET", target, "").await.0, 404, "{target}");
    }
    doors.stop().await;
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_one() {
    let doors = Doors::start().await;
    for (method, target, allow, wanted) in [
        (
            "GET",
            "/room/1/audio/volume/set",
            "POST",
            "is a command: send it with POST",
        ),
        (
            "GET",
            "/room/1/audio/volume/set?volume=40",
            "POST",
            "calendar/meetings/get",
        ),
        ("GET", "/room/1/call/hangup", "POST", "POST"),
        ("HEAD", "/room/1/system/reboot", "POST", ""),
        (
            "PUT",
            "/room/1/audio/volume/set",
            "POST",
            "commands take POST",
        ),
        (
            "POST",
            "/room/1/audio/volume",
            "GET",
            "POST it to audio/volume/set",
        ),
        (
            "POST",
            "/room/1/audio/volume/",
            "GET",
            "is a state, which is read with GET",
        ),
        ("POST", "/room/1/availability", "GET", "is a state"),
        ("POST", "/room/1/problem", "GET", "is a state"),
        ("DELETE", "/room/1/audio/volume", "GET", "states GET"),
        ("PUT", "/room/1/audio/volume/get", "GET, POST", "states GET"),
        ("OPTIONS", "/room/1/audio/volume/get", "GET, POST", ""),
        ("POST", "/room/1", "GET", "/room/<room>/<command>"),
        ("PATCH", "/room/1/", "GET", "read with GET"),
        ("POST", "/ws", "GET", "opened with GET"),
        ("POST", "/healthz", "GET,HEAD", "only read"),
        ("PUT", "/", "GET,HEAD", "only read"),
        ("POST", "/metrics", "GET,HEAD", "only read"),
        ("DELETE", "/gateway/info", "GET,HEAD", "only read"),
    ] {
        let (status, allowed, body) = ask(&doors, method, target, "").await;
        assert_eq!(
            (status, &*allowed),
            (405, allow),
            "{method} {target} {body}"
        );
        let message = body["error"]["message"].as_str().unwrap_or_default();
        assert!(message.contains(wanted), "{method} {target} {message}");
    }
    // A room that does not exist, and one that the token may not see, are told as before.
    let (status, _, body) = ask(&doors, "POST", "/room/9/audio/volume", "40").await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (404, &json!("unknown_room"))
    );
    doors.stop().await;
}

#[tokio::test]
async fn parameters_of_an_address_are_for_reading() {
    let doors = Doors::start().await;
    let set = "/room/1/audio/volume/set";
    let (status, _, body) = ask(&doors, "POST", &format!("{set}?volume=40"), "").await;
    let message = body["error"]["message"].as_str().unwrap();
    assert!(
        status == 400 && message.contains("body of the POST"),
        "{message}"
    );
    // The body counts, and what keeps caches away harms nothing.
    let (status, ..) = ask(&doors, "POST", &format!("{set}?_=1719"), "40").await;
    assert_eq!(status, 200);
    let (status, ..) = ask(
        &doors,
        "POST",
        "/room/1/camera/preset/3/activate?_=1719",
        "",
    )
    .await;
    assert_eq!(status, 200);
    // A query takes them with POST, too.
    let query = "/room/1/directory/favorites/get?start=3&limit=4";
    let (status, ..) = ask(&doors, "POST", query, "").await;
    assert_eq!(status, 200);
    let journal = doors.device.journal();
    assert!(journal.iter().any(|entry| entry.query == "start=3&limit=4"));
    doors.stop().await;
}

#[tokio::test]
async fn a_host_or_an_origin_behind_a_proxy_is_told_what_mends_it() {
    let doors = Doors::start_with(ClientLimits::default(), |config| {
        config.http.tokens = vec![token("reads", AccessLevel::Read, None)];
    })
    .await;
    let message = async |method: Method, path: &str, headers: &[(&str, &str)]| {
        let mut request = http().request(method, doors.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        (
            status,
            body["error"]["message"].as_str().unwrap().to_owned(),
        )
    };
    for (path, host) in [
        ("/", "av.example.com"),
        ("/ws", "AV.example.com:8443"),
        ("/room/1", "av"),
    ] {
        let (status, message) = message(Method::GET, path, &[("host", host)]).await;
        let name = host.split(':').next().unwrap().to_lowercase();
        assert!(
            status == 421 && message.contains("http.hosts") && message.contains(&name),
            "{message}"
        );
    }
    // nginx without `proxy_set_header Host`, and with `$host` where `$http_host` is right.
    let own = format!("127.0.0.1:{}", doors.addr().port());
    for (host, origin) in [
        (own.as_str(), "https://av.example.com"),
        ("192.0.2.7", "http://192.0.2.7:8443"),
    ] {
        for (method, path) in [(Method::POST, "/ws"), (Method::POST, "/room/1/audio/mute")] {
            let headers = [("host", host), ("origin", origin)];
            let (status, message) = message(method, path, &headers).await;
            let origin = origin.split_once("://").unwrap().1;
            for wanted in [origin, host, "$http_host", "http.hosts"] {
                assert!(
                    status == 403 && message.contains(wanted),
                    "{wanted}: {message}"
                );
            }
        }
    }
    let (status, message) = message(Method::GET, "/room/1", &[("origin", "null")]).await;
    assert_eq!(
        (status, &*message),
        (403, "pages of another origin may not use the gateway")
    );
    doors.stop().await;
}
