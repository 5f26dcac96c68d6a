//! What a web page of another origin can make a browser do: nothing but open the dashboard.
use poly2mqtt::config::AccessLevel;
use poly2mqtt::doors::clients::ClientLimits;
use reqwest::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use poly2mqtt_test_support::door::{Doors, http, token};

/// Every route, and a path that is none.
const PATHS: [&str; 17] = [
    "/",
    "/ws",
    "/healthz",
    "/readyz",
    "/metrics",
    "/asyncapi.json",
    "/room",
    "/room/1",
    "/room/1/audio/volume",
    "/room/1/audio/volume/get",
    "/room/1/audio/volume/set",
    "/room/1/camera/snapshot/near/get",
    "/room/1/system/logs/get",
    "/room/1/directory/export",
    "/gateway/info",
    "/gateway/nothing",
    "/nothing",
];

/// Sends bytes on a connection of their own, and gives the whole response.
async fn raw(doors: &Doors, request: &str) -> String {
    let mut stream = TcpStream::connect(doors.addr()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = Vec::new();
    stream.read_to_end(&mut response).await.unwrap();
    String::from_utf8_lossy(&response).into_owned()
}

#[tokio::test]
async fn a_page_of_another_site_reaches_no_device() {
    let doors = Doors::start().await;
    let send = async |method: Method, path: &str, site: &str, mode: &str, dest: &str| {
        let request = http().request(method, doors.url(path));
        let request = request
            .header("sec-fetch-site", site)
            .header("sec-fetch-mode", mode)
            .header("sec-fetch-dest", dest);
        request.send().await.unwrap().status().as_u16()
    };
    for site in ["cross-site", "same-site"] {
        for (mode, dest) in [
            ("no-cors", "image"),
            ("no-cors", "script"),
            ("cors", "empty"),
            ("websocket", "websocket"),
            ("navigate", "iframe"),
        ] {
            for path in PATHS {
                for method in [Method::GET, Method::HEAD, Method::POST] {
                    let status = send(method, path, site, mode, dest).await;
                    assert_eq!(status, 403, "{site} {mode} {dest} {path}");
                }
            }
        }
        for path in PATHS {
            let linkable = ["/", "/healthz", "/readyz", "/asyncapi.json"].contains(&path);
            let status = send(Method::GET, path, site, "navigate", "document").await;
            assert_eq!(status, if linkable { 200 } else { 403 }, "{site} {path}");
        }
    }
    let asked = doors.device.journal();
    let asked = |path: &str| asked.iter().any(|entry| entry.path.contains(path));
    assert!(!asked("snapshot") && !asked("logs"));
    // The dashboard itself, a typed address, and everything that is no browser.
    let snapshot = "/room/1/camera/snapshot/near/get";
    for site in ["same-origin", "none"] {
        assert_eq!(
            send(Method::GET, snapshot, site, "cors", "empty").await,
            200
        );
    }
    assert_eq!(
        http()
            .get(doors.url(snapshot))
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
    doors.stop().await;
}

#[tokio::test]
async fn every_response_tells_browsers_to_keep_it_to_themselves() {
    let doors = Doors::start_with(ClientLimits::default(), |config| {
        config.http.tokens = vec![token("reads", AccessLevel::Read, None)];
    })
    .await;
    let mut statuses = Vec::new();
    let mut requests = Vec::new();
    for path in PATHS {
        for method in [Method::GET, Method::POST, Method::DELETE, Method::OPTIONS] {
            let request = http().request(method, doors.url(path));
            requests.push((path, request.try_clone().unwrap()));
            requests.push((path, request.bearer_auth("reads")));
        }
    }
    for (header, value) in [
        ("host", "evil.example"),
        ("host", "user@localhost"),
        ("origin", "http://evil.example"),
        ("sec-fetch-site", "cross-site"),
    ] {
        requests.push(("/", http().get(doors.url("/")).header(header, value)));
    }
    for (path, request) in requests {
        let response = request.send().await.unwrap();
        statuses.push(response.status().as_u16());
        let header = |name: &str| {
            response
                .headers()
                .get(name)
                .map(|value| value.to_str().unwrap())
        };
        for (name, value) in [
            ("cross-origin-resource-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "SAMEORIGIN"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(header(name), Some(value), "{path} {name}");
        }
        let policy = header("content-security-policy").unwrap_or_default();
        assert!(policy.starts_with("default-src 'none';"), "{path} {policy}");
        assert!(policy.contains("frame-ancestors 'self'"), "{path} {policy}");
        assert_eq!(header("access-control-allow-origin"), None);
    }
    for status in [200, 400, 401, 403, 404, 405, 421] {
        assert!(
            statuses.contains(&status),
            "{status} is not tested: {statuses:?}"
        );
    }
    doors.stop().await;
}

#[tokio::test]
async fn a_request_with_two_meanings_is_refused() {
    let doors = Doors::start_with(ClientLimits::default(), |config| {
        config.http.tokens = vec![token("reads", AccessLevel::Read, None)];
    })
    .await;
    let bearer = "Authorization: Bearer reads\r\n";
    for (target, headers, wanted) in [
        (
            "/room/1",
            "Host: localhost\r\nHost: evil.example\r\n",
            "one Host header",
        ),
        (
            "/room/1",
            "Host: localhost\r\nHost: localhost\r\n",
            "one Host header",
        ),
        ("/room/1", "", "a Host header is needed"),
        ("/room/1", "Host:\r\n", "takes a host name"),
        ("/room/1", "Host: user@localhost\r\n", "takes a host name"),
        ("/room/1", "Host: localhost:99999\r\n", "takes a host name"),
        (
            "http://evil.example/room/1",
            "Host: localhost\r\n",
            "different hosts",
        ),
        (
            "http://user@localhost/room/1",
            "Host: localhost\r\n",
            "different hosts",
        ),
        (
            "/room/1",
            "Host: localhost\r\nOrigin: http://localhost\r\nOrigin: http://evil.example\r\n",
            "one Origin header",
        ),
        (
            "/room/1",
            "Host: localhost\r\nAuthorization: Basic OnJlYWRz\r\n",
            "one Authorization header",
        ),
        (
            "/room/1?token=reads&token=x",
            "Host: localhost\r\n",
            "one place",
        ),
        ("/room/1?token=reads", "Host: localhost\r\n", "one place"),
        ("/room/1?token=x", "Host: localhost\r\n", "one place"),
    ] {
        let request =
            format!("GET {target} HTTP/1.1\r\nConnection: close\r\n{bearer}{headers}\r\n");
        let response = raw(&doors, &request).await;
        assert!(
            response.starts_with("HTTP/1.1 400 "),
            "{headers} {response}"
        );
        assert!(response.contains(wanted), "{headers} {response}");
    }
    let evil = "GET http://evil.example/room/1 HTTP/1.1\r\nHost: evil.example\r\n";
    let request = format!("{evil}Connection: close\r\n{bearer}\r\n");
    assert!(raw(&doors, &request).await.starts_with("HTTP/1.1 421 "));
    // The same authority in both places, and HTTP/1.0 without any, are fine.
    let own = format!("http://{}", doors.addr());
    let request = format!(
        "GET {own}/room/1 HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{bearer}\r\n",
        doors.addr()
    );
    assert!(raw(&doors, &request).await.starts_with("HTTP/1.1 200 "));
    let old = raw(&doors, &format!("GET /room/1 HTTP/1.0\r\n{bearer}\r\n")).await;
    assert!(old.starts_with("HTTP/1.0 200 "), "{old}");
    let twice = "GET /room/1?token=reads&token=x HTTP/1.1\r\nHost: localhost\r\n";
    let twice = raw(&doors, &format!("{twice}Connection: close\r\n\r\n")).await;
    assert!(twice.starts_with("HTTP/1.1 400 ") && twice.contains("one ?token="));
    doors
        .metric_with(
            "poly2mqtt_refused_clients_total{why=\"request\"} 14",
            "?token=reads",
        )
        .await;
    doors.stop().await;
}

/// Home Assistant shows pages of add-ons in a frame, below a path that it takes off, with its own host name.
#[tokio::test]
async fn a_proxy_of_the_same_host_may_frame_the_dashboard() {
    let doors = Doors::start_with(ClientLimits::default(), |config| {
        config.http.hosts = vec!["homeassistant.local".into()];
        config.http.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    })
    .await;
    let proxied = |path: &str| {
        http()
            .get(doors.url(path))
            .header("host", "homeassistant.local:8123")
            .header("x-forwarded-for", "192.0.2.50")
            .header("x-ingress-path", "/api/hassio_ingress/abc")
            .header("sec-fetch-site", "same-origin")
    };
    let page = proxied("/")
        .header("sec-fetch-mode", "navigate")
        .header("sec-fetch-dest", "iframe");
    let page = page.send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert_eq!(page.headers()["x-frame-options"], "SAMEORIGIN");
    let socket = proxied("/ws")
        .header("origin", "http://homeassistant.local:8123")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==");
    assert_eq!(socket.send().await.unwrap().status(), 101);
    doors.stop().await;
}
