//! What counts as a response, and what is read of it.

use super::*;

/// What a device that answers so is understood to say.
async fn answered(response: &str) -> Result<Vec<u8>, HttpError> {
    let device = TestDevice::that_answers(response, true).await;
    get(&client(&device.url, true)).await
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
                *count.lock() += piece.len();
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
        let sent = *sent.lock();
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
        "the device sends more than 1 MiB that is no answer"
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
    let seen = seen.lock().to_ascii_lowercase();
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
        surplus: client.surplus.clone(),
        fence: DeviceFence::default(),
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

/// A person reads what comes, not only that something is wrong.
#[tokio::test]
async fn what_comes_instead_of_an_answer_is_told() {
    use crate::device::ProblemCode::{NotUnderstood, Offline};
    const COMPLETE: &str = "before its answer is complete";
    for (response, code, words) in [
        (
            "SSH-2.0-OpenSSH_9.2\r\n\r\n",
            NotUnderstood,
            "not valid HTTP",
        ),
        ("{\"volume\":1}\r\n\r\n", NotUnderstood, "not valid HTTP"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: +4\r\n\r\ntrue",
            NotUnderstood,
            "not valid HTTP (invalid content-length parsed)",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\ntrue!",
            NotUnderstood,
            "content-length",
        ),
        (
            "HTTP/1.1 200 OK\r\nX-Folded: a\r\n b\r\nContent-Length: 4\r\n\r\ntrue",
            NotUnderstood,
            "header",
        ),
        (
            "HTTP/1.1 200 OK\r\nthis is no header\r\n\r\n",
            NotUnderstood,
            "header",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
            NotUnderstood,
            "not valid HTTP (in its body)",
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
            NotUnderstood,
            "another protocol",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ntr",
            Offline,
            COMPLETE,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\ntrue",
            Offline,
            COMPLETE,
        ),
        ("HTTP/1.1 200", Offline, COMPLETE),
        ("", Offline, COMPLETE),
    ] {
        let error = answered(response).await.unwrap_err();
        let problem = error.problem();
        let problem = problem.unwrap_or_else(|| panic!("{response}: {error:?}"));
        assert_eq!(problem.code, code, "{response}: {problem}");
        assert!(problem.message.contains(words), "{response}: {problem}");
    }
}
