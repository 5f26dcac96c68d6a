//! The client for one device: connections and requests here, responses and uploads beside.

mod responses;
mod uploads;

use std::sync::Arc;

use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use super::*;
use crate::config::Certificate;
use crate::device::test_device::{TestDevice, request_head, send};
use crate::device::tls::client_config;
use crate::os_error::root_cause;

const TRUE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue";
/// Longer than anything in these tests takes.
const LONG: Duration = Duration::from_secs(20);

fn client(url: &Url, keep_alive: bool) -> HttpClient {
    let (tls, _) = client_config(&Certificate::Insecure, METERED_PROVIDER.clone()).unwrap();
    HttpClient::new(url.clone(), tls, keep_alive, DeviceFence::default()).unwrap()
}

async fn body(mut response: HttpResponse) -> Result<Vec<u8>, HttpError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

async fn get(client: &HttpClient) -> Result<Vec<u8>, HttpError> {
    let request = client.fixed(Method::GET, "/rest/audio", None);
    body(client.send(&request, None, None).await?).await
}

/// The bytes of each request that a device got, up to the end of its connection.
async fn recorder(response: &'static str) -> (TestDevice, Arc<Mutex<String>>) {
    let seen = Arc::<Mutex<String>>::default();
    let record = seen.clone();
    let device = TestDevice::start(move |mut connection| {
        let record = record.clone();
        async move {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = connection.read(&mut bytes).await {
                let text = String::from_utf8_lossy(&bytes[..read]).into_owned();
                record.lock().push_str(&text);
                send(&mut connection, response).await;
            }
        }
    });
    (device.await, seen)
}

#[tokio::test]
async fn one_connection_serves_one_request_after_the_other() {
    let device = TestDevice::that_answers(TRUE, false).await;
    let client = client(&device.url, true);
    for _ in 0..3 {
        assert_eq!(get(&client).await.unwrap(), b"true");
    }
    assert_eq!(device.connections(), 1);
}

#[tokio::test]
async fn without_keep_alive_each_request_has_its_connection() {
    let device = TestDevice::that_answers(TRUE, false).await;
    let client = client(&device.url, false);
    for connections in 1..=3 {
        assert_eq!(get(&client).await.unwrap(), b"true");
        assert_eq!(device.connections(), connections);
    }
}

#[tokio::test]
async fn a_connection_that_the_device_closed_is_not_used() {
    let device = TestDevice::that_answers(TRUE, true).await;
    let client = client(&device.url, true);
    for connections in 1..=3 {
        assert_eq!(get(&client).await.unwrap(), b"true");
        assert_eq!(device.connections(), connections);
        // Until the end of the connection has arrived.
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn bytes_after_a_response_are_no_response_to_the_next_request() {
    let twice = format!("{TRUE}HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfalse");
    let device = TestDevice::that_answers(twice, false).await;
    let client = client(&device.url, true);
    for connections in 1..=3 {
        assert_eq!(get(&client).await.unwrap(), b"true");
        assert_eq!(device.connections(), connections);
    }
}

#[tokio::test]
async fn a_response_dropped_before_its_end_closes_the_connection() {
    let device = TestDevice::that_answers(TRUE, false).await;
    let client = client(&device.url, true);
    let large = format!("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{TRUE}");
    let other = TestDevice::that_answers(large, false).await;
    for (device, connections) in [(&device, 1), (&other, 2)] {
        let client = HttpClient {
            client: client.client.clone(),
            device: device.url.clone(),
            surplus: client.surplus.clone(),
            fence: DeviceFence::default(),
        };
        for _ in 0..2 {
            let request = client.fixed(Method::GET, "/rest/audio", None);
            let mut response = client.send(&request, None, None).await.unwrap();
            assert!(response.chunk().await.unwrap().is_some());
        }
        assert_eq!(device.connections(), connections);
    }
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_sent_and_the_cause_is_the_systems() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let url = Url::parse(&format!("https://127.0.0.1:{port}")).unwrap();
    let error = get(&client(&url, true)).await.unwrap_err();
    assert!(matches!(error, HttpError::NotConnected(_)), "{error:?}");
    let cause = root_cause(&error).to_string();
    assert!(cause.starts_with("Connection refused"), "{cause}");
    assert!(!format!("{error:?}").contains("/rest/audio"), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_device_that_never_ends_the_handshake_is_not_connected_to() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = Url::parse(&format!("https://127.0.0.1:{port}")).unwrap();
    let error = get(&client(&url, true)).await.unwrap_err();
    assert!(matches!(error, HttpError::NotConnected(_)), "{error:?}");
    assert_eq!(root_cause(&error).to_string(), "operation timed out");
}

#[tokio::test]
async fn a_request_is_sent_as_the_guide_wants() {
    let (device, seen) = recorder(TRUE).await;
    let client = client(&device.url, true);
    let session = SessionHeaders {
        cookie: HeaderValue::from_static("session_id=A+/="),
        token: Some(HeaderValue::from_static("tok")),
    };
    let get = client.fixed(Method::GET, "/rest/audio", None);
    let post = client.fixed(Method::POST, "/rest/audio/volume", Some(&Value::from(10)));
    let delete = client.fixed(Method::DELETE, "/rest/session", None);
    let mut sent = Vec::new();
    for request in [get, post, delete] {
        let response = client.send(&request, Some(&session), None).await.unwrap();
        body(response).await.unwrap();
        sent.push(std::mem::take(&mut *seen.lock()).to_ascii_lowercase());
    }
    let host = format!("host: 127.0.0.1:{}\r\n", device.url.port().unwrap());
    for text in &sent {
        assert!(text.contains(&host), "{text}");
        assert!(text.contains("cookie: session_id=a+/=\r\n"), "{text}");
        assert!(text.contains("accept: */*\r\n"), "{text}");
    }
    assert!(
        sent[0].starts_with("get /rest/audio http/1.1\r\n"),
        "{}",
        sent[0]
    );
    assert!(!sent[0].contains("x-xsrf-token") && !sent[0].contains("content-length"));
    assert!(sent[1].contains("x-xsrf-token: tok\r\n"), "{}", sent[1]);
    assert!(
        sent[1].contains("content-type: application/json\r\n"),
        "{}",
        sent[1]
    );
    assert!(sent[1].contains("content-length: 2\r\n") && sent[1].ends_with("\r\n\r\n10"));
    assert!(sent[2].contains("content-length: 0\r\n"), "{}", sent[2]);
}

#[test]
fn a_path_that_the_url_would_change_is_not_sent() {
    let client = client(&Url::parse("https://device:8443").unwrap(), true);
    let request = |id: &str| Request {
        method: catalogue::Method::Get,
        path: vec!["rest".into(), "conferences".into(), id.to_owned().into()],
        query: vec![("name", "a&b=c".into())],
        body: RequestBody::None,
        repeatable: true,
        is_read: true,
    };
    for id in [
        "..",
        ".",
        "a\u{0}/../..",
        "%2e%2e",
        "",
        "ü^|[]'",
        "a/b\\c?d#e",
        "\t\n",
    ] {
        match client.prepare(&request(id)) {
            None => assert!([".", ".."].contains(&id), "{id:?}"),
            Some(prepared) => {
                let url = prepared.url;
                let segments: Vec<_> = url.path_segments().unwrap().collect();
                assert_eq!(segments.len(), 3, "{url}");
                let last = percent_decode_str(segments[2]).decode_utf8().unwrap();
                assert_eq!(last, id, "{url}");
                assert_eq!(url.query(), Some("name=a%26b%3Dc"));
                assert_eq!(url.host_str(), Some("device"));
            }
        }
    }
    assert!(client.prepare(&request("..")).is_none());
    assert!(client.prepare(&request("%2e%2e")).is_some());
}

#[derive(Debug, Default)]
struct Switch(std::sync::atomic::AtomicBool);

impl crate::device::fence::Fence for Switch {
    fn check(&self) -> Result<(), FenceClosed> {
        if self.0.load(std::sync::atomic::Ordering::SeqCst) {
            Ok(())
        } else {
            Err(FenceClosed::NoCluster)
        }
    }
}

#[tokio::test]
async fn what_the_library_sends_after_the_fence_has_closed_does_not_go_out() {
    let (device, seen) = recorder(TRUE).await;
    let (tls, _) = client_config(&Certificate::Insecure, METERED_PROVIDER.clone()).unwrap();
    let switch = Arc::new(Switch::default());
    let fence = DeviceFence::new(switch.clone());
    let client = HttpClient::new(device.url.clone(), tls, true, fence).unwrap();
    let url = device.url.join("/rest/audio").unwrap();
    // By the library alone, as if the fence had been open until the request was handed to it.
    let unguarded = || {
        let sending = client.client.get(url.clone()).send();
        timeout(LONG, sending)
    };
    for is_connected in [false, true] {
        switch
            .0
            .store(is_connected, std::sync::atomic::Ordering::SeqCst);
        if is_connected {
            assert_eq!(get(&client).await.unwrap(), b"true");
            switch.0.store(false, std::sync::atomic::Ordering::SeqCst);
        }
        let before = seen.lock().len();
        assert!(unguarded().await.unwrap().is_err(), "{is_connected}");
        assert_eq!(seen.lock().len(), before, "{is_connected}");
    }
    switch.0.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(get(&client).await.unwrap(), b"true");
}
