use std::io;
use std::sync::{Arc, Mutex};

use futures_util::stream::{self, BoxStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use super::*;
use crate::config::Certificate;
use crate::device::test_device::{TestDevice, request_head, send};
use crate::device::tls::client_config;
use crate::net::root_cause::root_cause;

const TRUE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue";
/// Longer than anything in these tests takes.
const LONG: Duration = Duration::from_secs(20);

fn client(url: &Url, keep_alive: bool) -> HttpClient {
    let (tls, _) = client_config(&Certificate::Insecure).unwrap();
    HttpClient::new(url.clone(), tls, keep_alive)
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

/// What a device that answers so is understood to say.
async fn answered(response: &str) -> Result<Vec<u8>, HttpError> {
    let device = TestDevice::that_answers(response, true).await;
    get(&client(&device.url, true)).await
}

async fn upload(client: &HttpClient, upload: UploadBody) -> Result<HttpResponse, HttpError> {
    let request = client.fixed(Method::POST, "/rest/certificates", None);
    client.send(&request, None, Some(upload)).await
}

fn chunks(texts: &'static [&str]) -> BoxStream<'static, io::Result<Bytes>> {
    stream::iter(
        texts
            .iter()
            .map(|text| Ok(Bytes::from_static(text.as_bytes()))),
    )
    .boxed()
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
                record.lock().unwrap().push_str(&text);
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
async fn a_response_that_is_cut_off_is_no_response() {
    for cut in [
        "HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\ntrue",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ntr",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "HTTP/1.1 200",
        "",
    ] {
        let result = answered(cut).await;
        assert!(
            matches!(result, Err(HttpError::Broken(_))),
            "{cut}: {result:?}"
        );
    }
}

#[tokio::test]
async fn what_is_not_http_is_no_response() {
    for wrong in [
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: +4\r\n\r\ntrue",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\ntrue!",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
    ] {
        let result = answered(wrong).await;
        assert!(
            matches!(result, Err(HttpError::Broken(_))),
            "{wrong}: {result:?}"
        );
    }
}

#[tokio::test]
async fn a_body_ends_where_the_head_says_or_with_the_connection() {
    for (response, wanted) in [
        ("HTTP/1.0 200 OK\r\n\r\nuntil the end", "until the end"),
        ("HTTP/1.1 204 No Content\r\n\r\n", ""),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "ok",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\ntr\r\nA\r\nue, \
             really\r\n0\r\nX-Sum: 1\r\n\r\n",
            "true, really",
        ),
    ] {
        assert_eq!(answered(response).await.unwrap(), wanted.as_bytes());
    }
}

#[tokio::test]
async fn a_switch_to_another_protocol_is_no_response() {
    let result = answered("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n").await;
    let error = result.unwrap_err();
    assert!(
        matches!(error, HttpError::SwitchedProtocols | HttpError::Broken(_)),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_head_of_more_than_64_kib_is_refused() {
    let with = |size: usize| {
        let padding = "y".repeat(size);
        format!("HTTP/1.1 200 OK\r\nX: {padding}\r\nContent-Length: 4\r\n\r\ntrue")
    };
    assert_eq!(answered(&with(60_000)).await.unwrap(), b"true");
    let result = answered(&with(LARGEST_RESPONSE_HEAD)).await;
    assert!(matches!(result, Err(HttpError::HeadTooLarge)), "{result:?}");
    let endless = answered(&with(10_000_000)).await;
    assert!(
        matches!(endless, Err(HttpError::HeadTooLarge)),
        "{endless:?}"
    );
}

/// A device that answers a request's head with `start` and then `filler` without end; and how many
/// bytes it could send.
async fn endless(start: &'static str, filler: &'static str) -> (TestDevice, Arc<Mutex<usize>>) {
    let sent = Arc::<Mutex<usize>>::default();
    let count = sent.clone();
    let piece: Arc<str> = filler.repeat(16_384 / filler.len()).into();
    let device = TestDevice::start(move |mut connection| {
        let (count, piece) = (count.clone(), piece.clone());
        async move {
            request_head(&mut connection).await;
            send(&mut connection, start).await;
            while connection.write_all(piece.as_bytes()).await.is_ok() {
                *count.lock().unwrap() += piece.len();
            }
        }
    });
    (device.await, sent)
}

#[tokio::test]
async fn what_is_no_content_and_comes_without_end_ends_the_exchange() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (start, filler) in [
        ("", "HTTP/1.1 100 Continue\r\n\r\n"),
        ("", "HTTP/1.1 102 Processing\r\n\r\n"),
        ("", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
        (chunked, "0"),
        (chunked, "1\r\n1\r\n"),
        (chunked, "1;a=b\r\n1\r\n"),
        ("HTTP/1.1 200 OK\r\nX: ", "y"),
        ("HTTP/1.1 200 OK\r\n", "X: y\r\n"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            "X: y\r\n",
        ),
    ] {
        let (device, sent) = endless(start, filler).await;
        let client = client(&device.url, true);
        let result = timeout(LONG, get(&client)).await.expect(filler);
        assert!(result.is_err(), "{filler}");
        drop(client);
        // The limit, and what the system's buffers hold.
        let sent = *sent.lock().unwrap();
        assert!(sent < 32 << 20, "{filler}: {sent}");
    }
}

#[tokio::test]
async fn interim_answers_without_end_are_named() {
    let (device, _) = endless("", "HTTP/1.1 100 Continue\r\n\r\n").await;
    let error = get(&client(&device.url, true)).await.unwrap_err();
    assert!(matches!(error, HttpError::TooMuchSurplus), "{error:?}");
    assert_eq!(
        error.to_string(),
        "the device sends more than 256 KiB that is no answer"
    );
}

#[tokio::test]
async fn tls_messages_in_bulk_are_no_answer() {
    let change = |config: &mut rustls::ServerConfig| config.send_tls13_tickets = 5_000;
    let device = TestDevice::start_with(change, async |mut connection| {
        while request_head(&mut connection).await.is_some() {
            send(&mut connection, TRUE).await;
        }
    })
    .await;
    // The TLS library has a limit of its own, which may come first.
    assert!(get(&client(&device.url, true)).await.is_err());
}

#[tokio::test]
async fn a_body_that_ends_with_the_connection_needs_the_end_of_tls() {
    let device = TestDevice::start(async |mut connection| {
        request_head(&mut connection).await;
        send(&mut connection, "HTTP/1.0 200 OK\r\n\r\ncut off by anyone").await;
        // Closes TCP only, as anyone on the path could.
    })
    .await;
    let result = get(&client(&device.url, true)).await;
    assert!(matches!(result, Err(HttpError::Broken(_))), "{result:?}");
}

#[tokio::test]
async fn a_compressed_body_is_not_unpacked() {
    let response = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\ntrue";
    assert_eq!(answered(response).await.unwrap(), b"true");
    let (device, seen) = recorder(TRUE).await;
    get(&client(&device.url, true)).await.unwrap();
    let seen = seen.lock().unwrap().to_ascii_lowercase();
    assert!(!seen.contains("accept-encoding"), "{seen}");
}

#[tokio::test]
async fn answers_of_any_number_and_size_are_no_surplus() {
    let large = "x".repeat(1 << 20);
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{large}",
        1 << 20
    );
    let device = TestDevice::that_answers(answer, false).await;
    let client = client(&device.url, true);
    for _ in 0..5 {
        assert_eq!(get(&client).await.unwrap().len(), 1 << 20);
    }
    let head = format!(
        "HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 0\r\n\r\n",
        "y".repeat(60_000)
    );
    let device = TestDevice::that_answers(head, false).await;
    let client = HttpClient {
        client: client.client.clone(),
        device: device.url.clone(),
    };
    for _ in 0..20 {
        assert!(get(&client).await.unwrap().is_empty());
    }
    assert_eq!(device.connections(), 1);
}

#[tokio::test]
async fn a_redirect_is_a_response_and_not_followed() {
    let other = TestDevice::that_answers(TRUE, false).await;
    let url = &other.url;
    let redirect = format!("HTTP/1.1 302 Found\r\nLocation: {url}\r\nContent-Length: 0\r\n\r\n");
    let device = TestDevice::that_answers(redirect, false).await;
    let client = client(&device.url, true);
    let request = client.fixed(Method::GET, "/rest/audio", None);
    let response = client.send(&request, None, None).await.unwrap();
    assert_eq!(response.status(), 302);
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn cookies_and_content_type_are_read_and_odd_ones_left_out() {
    let response = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: session_id=s; Path=/\r\n\
                    Set-Cookie: a=\u{fc}\r\nContent-Type: text/plain ; charset=utf-8\r\n\r\n";
    let device = TestDevice::that_answers(response, false).await;
    let client = client(&device.url, true);
    let request = client.fixed(Method::GET, "/rest/audio", None);
    let response = client.send(&request, None, None).await.unwrap();
    assert_eq!(response.cookies(), ["session_id=s; Path=/"]);
    assert_eq!(response.content_type().unwrap(), "text/plain");
    assert_eq!(response.length(), Some(0));
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
        sent.push(std::mem::take(&mut *seen.lock().unwrap()).to_ascii_lowercase());
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
        path: vec!["rest".into(), "conferences".into(), id.into()],
        query: vec![("name", "a&b=c".into())],
        body: RequestBody::None,
        repeatable: true,
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
async fn an_upload_is_sent_with_its_length() {
    let (device, seen) = recorder(TRUE).await;
    let client = client(&device.url, true);
    let sent = upload(
        &client,
        UploadBody {
            length: 9,
            chunks: chunks(&["four", "fiver"]),
        },
    );
    assert_eq!(sent.await.unwrap().status(), 200);
    let text = seen.lock().unwrap().to_ascii_lowercase();
    assert!(text.contains("content-length: 9\r\n"), "{text}");
    assert!(!text.contains("transfer-encoding"), "{text}");
}

#[tokio::test]
async fn an_upload_of_another_length_than_said_breaks_off() {
    // Reads to the end: what it gets is what counts.
    let device = TestDevice::start(async |mut connection| {
        let _ = connection.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let client = client(&device.url, true);
    for (length, texts) in [(3, &["four"][..]), (5, &[]), (5, &["four"])] {
        let chunks = chunks(texts);
        let sent = upload(&client, UploadBody { length, chunks });
        let result = timeout(LONG, sent).await.unwrap();
        assert!(
            matches!(result, Err(HttpError::Broken(_))),
            "{length}: {result:?}"
        );
    }
}

#[tokio::test]
async fn a_response_before_the_end_of_the_upload_is_taken() {
    let refusal = "HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\ntrue";
    let device = TestDevice::that_answers(refusal, false).await;
    let client = client(&device.url, true);
    let chunks = stream::pending().boxed();
    let sent = upload(
        &client,
        UploadBody {
            length: 1000,
            chunks,
        },
    );
    let response = timeout(LONG, sent).await.unwrap().unwrap();
    assert_eq!(response.status(), 413);
    assert_eq!(body(response).await.unwrap(), b"true");
    // The rest of the upload would be taken for the next request.
    assert_eq!(get(&client).await.unwrap(), b"true");
    assert_eq!(device.connections(), 2);
}

#[tokio::test]
async fn the_end_of_a_response_ends_its_upload() {
    let device = TestDevice::start(async |mut connection| {
        request_head(&mut connection).await;
        send(
            &mut connection,
            "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n",
        )
        .await;
        let _ = connection.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let client = client(&device.url, true);
    let (uploader, uploader_is_gone) = oneshot::channel::<()>();
    let endless = stream::unfold(uploader, async |uploader| {
        sleep(Duration::from_millis(10)).await;
        Some((Ok(Bytes::from_static(b"a")), uploader))
    });
    let chunks = endless.boxed();
    let response = upload(
        &client,
        UploadBody {
            length: 1_000_000,
            chunks,
        },
    );
    assert_eq!(body(response.await.unwrap()).await.unwrap(), b"");
    assert!(
        timeout(Duration::from_secs(2), uploader_is_gone)
            .await
            .unwrap()
            .is_err()
    );
}
