use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use tokio::io::AsyncWriteExt;

use super::*;
use crate::catalogue::{Method, RequestBody};
use crate::device::test_device::{TestDevice, ok, send, until_a_request_for};
use crate::device::{HttpError, MOST_REQUESTS_AT_ONCE, ProblemCode};

const LIMIT: usize = 1 << 20;

fn read(segment: &str) -> Request {
    Request {
        method: Method::Get,
        path: vec!["rest".into(), segment.to_owned().into()],
        query: Vec::new(),
        body: RequestBody::None,
        repeatable: true,
        is_read: true,
    }
}

/// A device that closes the connection at a request for a thing, and how often it was asked.
async fn device_that_hangs_up() -> (TestDevice, Arc<AtomicUsize>) {
    let asked = Arc::<AtomicUsize>::default();
    let count = asked.clone();
    let device = TestDevice::start(move |mut connection| {
        let count = count.clone();
        async move {
            if until_a_request_for("/rest/thing", &mut connection)
                .await
                .is_some()
            {
                count.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    (device.await, asked)
}

#[tokio::test]
async fn a_device_gets_two_requests_at_a_time() {
    let (now, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let seen = most.clone();
    let test = TestDevice::start(move |mut connection| {
        let (now, most) = (now.clone(), most.clone());
        async move {
            while until_a_request_for("/rest/thing", &mut connection)
                .await
                .is_some()
            {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                sleep(Duration::from_millis(30)).await;
                now.fetch_sub(1, Ordering::SeqCst);
                send(&mut connection, &ok("1")).await;
            }
        }
    })
    .await;
    let device = test.client();
    let request = read("thing");
    let sent = (0..6).map(|_| device.send(&request, LIMIT, device.deadline(TimeLimit::Ordinary)));
    for response in join_all(sent).await {
        assert_eq!(&*response.unwrap().body, b"1");
    }
    assert_eq!(seen.load(Ordering::SeqCst), MOST_REQUESTS_AT_ONCE);
    assert!(test.connections() <= MOST_REQUESTS_AT_ONCE);
}

#[tokio::test]
async fn a_request_without_a_turn_is_told_from_one_that_is_not_answered() {
    let test = TestDevice::start(|mut connection| async move {
        until_a_request_for("/rest/thing", &mut connection).await;
        std::future::pending().await
    })
    .await;
    let device = test.client();
    device.log_in().await.unwrap();
    let request = read("thing");
    let soon = Instant::now() + Duration::from_secs(2);
    let first = (0..MOST_REQUESTS_AT_ONCE).map(|_| device.send(&request, LIMIT, soon));
    let third = async {
        sleep(Duration::from_millis(500)).await;
        let before = soon - Duration::from_millis(500);
        device.send(&request, LIMIT, before).await
    };
    let (first, third) = futures_util::future::join(join_all(first), third).await;
    assert!(matches!(third, Err(RequestError::NoTurn)), "{third:?}");
    for result in first {
        let silent = matches!(result, Err(RequestError::TimedOut { sent: true }));
        assert!(silent, "{result:?}");
    }
}

#[tokio::test]
async fn only_a_request_that_is_safe_to_repeat_is_sent_again() {
    let (test, asked) = device_that_hangs_up().await;
    let device = test.client();
    for (repeatable, times) in [(true, MOST_ATTEMPTS as usize), (false, 1)] {
        let request = Request {
            repeatable,
            is_read: false,
            ..read("thing")
        };
        let result = device
            .send(&request, LIMIT, device.deadline(TimeLimit::Ordinary))
            .await;
        assert!(matches!(result, Err(RequestError::Broken(_))), "{result:?}");
        assert_eq!(asked.swap(0, Ordering::SeqCst), times);
    }
}

#[tokio::test]
async fn a_request_that_a_device_answers_without_end_is_not_sent_again() {
    let asked = Arc::<AtomicUsize>::default();
    let count = asked.clone();
    let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(1000);
    let test = TestDevice::start(move |mut connection| {
        let (count, interim) = (count.clone(), interim.clone());
        async move {
            while until_a_request_for("/rest/thing", &mut connection)
                .await
                .is_some()
            {
                count.fetch_add(1, Ordering::SeqCst);
                while connection.write_all(interim.as_bytes()).await.is_ok() {}
            }
        }
    })
    .await;
    let device = test.client();
    let request = read("thing");
    let result = device
        .send(&request, LIMIT, device.deadline(TimeLimit::Ordinary))
        .await;
    let error = result.unwrap_err();
    assert!(
        matches!(error, RequestError::Broken(HttpError::TooMuchSurplus)),
        "{error:?}"
    );
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_request_whose_path_would_change_is_not_sent() {
    let test = TestDevice::that_answers(ok("1"), false).await;
    let device = test.client();
    let result = device
        .send(&read(".."), LIMIT, device.deadline(TimeLimit::Ordinary))
        .await;
    assert!(
        matches!(result, Err(RequestError::UnsafePath)),
        "{result:?}"
    );
    assert_eq!(test.connections(), 0);
}

#[tokio::test]
async fn a_device_that_is_not_there_is_offline_and_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut test = TestDevice::that_answers("", false).await;
    let port = listener.local_addr().unwrap().port();
    test.url.set_port(Some(port)).unwrap();
    drop(listener);
    let problem = test.client().log_in().await.unwrap_err();
    assert_eq!(problem.code, ProblemCode::Offline);
    let start = "127.0.0.1 cannot be reached: Connection refused";
    assert!(problem.message.starts_with(start), "{}", problem.message);
}

#[test]
fn only_a_short_json_text_is_the_reason_of_a_refusal() {
    assert_eq!(reason(br#"{"reason":"NotInCall"}"#), "NotInCall");
    for none in ["", "<html>", "[]", r#"{"reason":7}"#, r#"{"reason":"#] {
        assert_eq!(reason(none.as_bytes()), "", "{none}");
    }
    let long = format!(r#"{{"reason":"{}"}}"#, "ü".repeat(500));
    assert_eq!(reason(long.as_bytes()).chars().count(), 200);
}

/// What a device that responds so to `/rest/thing` is understood to say, with a limit of 10 bytes.
async fn answered(method: Method, response: String) -> Result<DeviceResponse, RequestError> {
    let test = TestDevice::that_has("/rest/thing", response).await;
    let device = test.client();
    let request = Request {
        method,
        ..read("thing")
    };
    device
        .send(&request, 10, device.deadline(TimeLimit::Ordinary))
        .await
}

#[tokio::test]
async fn a_read_may_not_bring_more_than_its_limit() {
    let text = "01234567890";
    let chunked = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\
                   \r\n6\r\n012345\r\n5\r\n67890\r\n0\r\n\r\n";
    for (response, length) in [(ok(text), Some(11)), (chunked.to_owned(), None)] {
        let result = answered(Method::Get, response).await;
        let Err(RequestError::TooLarge(size)) = result else {
            panic!("{result:?}");
        };
        assert_eq!((size.limit, size.status, size.length), (10, 200, length));
    }
    let response = answered(Method::Get, ok(&text[..10])).await.unwrap();
    assert_eq!(&*response.body, b"0123456789");
}

#[tokio::test]
async fn an_answer_to_a_change_that_is_too_large_is_told_as_that() {
    let result = answered(Method::Post, ok("01234567890")).await;
    let Err(RequestError::TooLarge(large)) = result else {
        panic!("{result:?}");
    };
    assert_eq!((large.status, large.limit), (200, 10));
}

#[tokio::test]
async fn a_refusal_is_read_beyond_the_limit_for_its_reason() {
    let reason = r#"{"reason":"a reason of more than ten bytes"}"#;
    let refusal = ok(reason).replace("200 OK", "403 Forbidden");
    let result = answered(Method::Get, refusal).await;
    let Err(RequestError::Forbidden(reason)) = result else {
        panic!("{result:?}");
    };
    assert_eq!(reason, "a reason of more than ten bytes");
    let refusal = ok("01234567890").replace("200 OK", "500 Oh");
    let response = answered(Method::Get, refusal).await.unwrap();
    assert_eq!(
        (response.status, &*response.body),
        (500, &b"01234567890"[..])
    );
}
