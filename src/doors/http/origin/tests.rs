use super::*;

/// What becomes of a request: its first line without the version, and its headers.
fn checked(target: &str, headers: &[(&str, &str)]) -> Result<(), Refused> {
    let (method, uri) = target.split_once(' ').unwrap();
    let mut request = http::Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    check(&request.body(()).unwrap(), &["av.example.com".to_owned()])
}

fn is_malformed(checked: Result<(), Refused>) -> bool {
    matches!(checked, Err(Refused::Malformed(_)))
}

#[test]
fn only_the_gateways_own_names_are_answered() {
    let at = |host| checked("GET /room/1", &[("host", host)]);
    for good in [
        "127.0.0.1:8080",
        "192.0.2.7",
        "[::1]:8080",
        "localhost:8080",
        "LOCALHOST",
        "localhost.",
        "AV.example.com:8443",
        "av.example.com.",
    ] {
        assert_eq!(at(good), Ok(()), "{good}");
    }
    for other in [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "evil-av.example.com",
        "0x7f000001",
        "127.1",
    ] {
        assert_eq!(at(other), Err(Refused::Host), "{other}");
    }
    for bad in [
        "user@localhost",
        "",
        "a b",
        "localhost:99999",
        "::1",
        "localhost, evil.example",
    ] {
        assert!(is_malformed(at(bad)), "{bad}");
    }
}

#[test]
fn a_request_names_one_host() {
    let host = ("host", "localhost:8080");
    for headers in [&[][..], &[host, host], &[host, ("host", "evil.example")]] {
        assert!(is_malformed(checked("GET /", headers)), "{headers:?}");
    }
    for same in ["http://localhost:8080/", "http://LOCALHOST:8080/room/1"] {
        assert_eq!(checked(&format!("GET {same}"), &[host]), Ok(()), "{same}");
    }
    for other in [
        "http://evil.example/",
        "http://localhost/",
        "http://localhost:8081/",
        "http://user@localhost:8080/",
        "ftp://localhost:8080/",
    ] {
        assert!(
            is_malformed(checked(&format!("GET {other}"), &[host])),
            "{other}"
        );
    }
    assert_eq!(
        checked("GET http://evil.example/", &[("host", "evil.example")]),
        Err(Refused::Host)
    );
    assert_eq!(
        checked("GET http://localhost/", &[("host", "localhost:80")]),
        Ok(())
    );
    // HTTP/1.0 may leave it out; a browser does not.
    let mut old = http::Request::new(());
    *old.version_mut() = Version::HTTP_10;
    assert_eq!(check(&old, &[]), Ok(()));
    let origin = HeaderValue::from_static("http://localhost");
    old.headers_mut().insert(ORIGIN, origin);
    assert_eq!(check(&old, &[]), Err(Refused::Origin));
}

#[test]
fn only_pages_of_the_same_origin_are_answered() {
    let at = |host, origin| {
        checked(
            "POST /room/1/audio/mute",
            &[("host", host), ("origin", origin)],
        )
    };
    for (host, origin) in [
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("127.0.0.1:8080", "https://127.0.0.1:8080"),
        ("av.example.com", "https://av.example.com"),
        ("av.example.com.", "https://AV.example.com:443"),
        ("[::1]:8080", "http://[::1]:8080"),
    ] {
        assert_eq!(at(host, origin), Ok(()), "{host} {origin}");
    }
    for bad in [
        "http://127.0.0.1",
        "http://127.0.0.1:8081",
        "http://localhost:8080",
        "http://evil.example",
        "http://127.0.0.1:8080/",
        "http://x@127.0.0.1:8080",
        "null",
        "",
        "file://",
        "chrome-extension://x",
    ] {
        assert_eq!(at("127.0.0.1:8080", bad), Err(Refused::Origin), "{bad}");
    }
    let twice = [
        ("host", "localhost"),
        ("origin", "http://localhost"),
        ("origin", "http://evil.example"),
    ];
    assert!(is_malformed(checked("POST /room/1/audio/mute", &twice)));
}

#[test]
fn other_sites_may_link_to_pages_and_nothing_else() {
    let host = ("host", "localhost:8080");
    let from = |target: &str, site, mode, dest| {
        let headers = [
            host,
            ("sec-fetch-site", site),
            ("sec-fetch-mode", mode),
            ("sec-fetch-dest", dest),
        ];
        checked(target, &headers)
    };
    let snapshot = "GET /room/1/camera/snapshot/near/get";
    for own in ["same-origin", "none"] {
        assert_eq!(from(snapshot, own, "no-cors", "image"), Ok(()), "{own}");
        assert_eq!(
            from("GET /ws", own, "websocket", "websocket"),
            Ok(()),
            "{own}"
        );
    }
    for other in ["cross-site", "same-site", "unheard-of", ""] {
        for (target, mode, dest) in [
            (snapshot, "no-cors", "image"),
            (snapshot, "navigate", "document"),
            ("GET /room/1/system/logs/get", "navigate", "document"),
            ("GET /ws", "websocket", "websocket"),
            ("GET /", "navigate", "iframe"),
            ("GET /", "no-cors", "script"),
            ("POST /", "navigate", "document"),
            ("POST /room/1/audio/mute", "no-cors", "empty"),
            ("GET /metrics", "cors", "empty"),
            ("GET /nothing", "navigate", "document"),
        ] {
            let refused = from(target, other, mode, dest);
            assert_eq!(
                refused,
                Err(Refused::Origin),
                "{other} {target} {mode} {dest}"
            );
        }
        for target in ["GET /", "GET /?token=x", "GET /asyncapi.json"] {
            let link = from(target, other, "navigate", "document");
            assert_eq!(link, Ok(()), "{other} {target}");
        }
    }
    // Controllers and scripts send none of these headers.
    assert_eq!(checked(snapshot, &[host]), Ok(()));
    let site = ("sec-fetch-site", "cross-site");
    assert_eq!(checked("GET /", &[host, site]), Err(Refused::Origin));
    let twice = [host, ("sec-fetch-site", "same-origin"), site];
    assert!(is_malformed(checked(snapshot, &twice)));
}

#[test]
fn a_request_shows_one_token() {
    let host = ("host", "localhost");
    let bearer = ("authorization", "Bearer a");
    let basic = ("authorization", "Basic OmI=");
    assert!(is_malformed(checked("GET /room/1", &[host, bearer, basic])));
    assert!(is_malformed(checked(
        "GET /room/1?token=a&x=1&%74oken=b",
        &[host]
    )));
    assert_eq!(checked("GET /room/1?token=a&x=1", &[host]), Ok(()));
    assert_eq!(checked("GET /room/1?x=1", &[host, bearer]), Ok(()));
    // One place only, the same token or not.
    for target in [
        "GET /room/1?token=a",
        "GET /room/1?%74oken=b",
        "GET /?token",
    ] {
        for authorization in [bearer, basic] {
            assert!(is_malformed(checked(target, &[host, authorization])));
        }
    }
}
