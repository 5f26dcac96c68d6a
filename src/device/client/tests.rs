use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::io::AsyncWriteExt;

use super::*;
use crate::catalogue::{Method, RequestBody};
use crate::device::test_device::{
    TestDevice, ok, request_head, send, settings, until_a_request_for,
};
use crate::device::{HttpError, MOST_REQUESTS_AT_ONCE, ProblemCode, SharedLimits};

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

/// A device that answers its log-in after this time.
async fn device_that_logs_in_after(delay: Duration) -> TestDevice {
    TestDevice::start(move |mut connection| async move {
        while request_head(&mut connection).await.is_some() {
            sleep(delay).await;
            let session = "Set-Cookie: session_id=1; Path=/";
            let body = r#"{"success":true,"session":{"sessionId":"s"}}"#;
            let length = body.len();
            let response =
                format!("HTTP/1.1 200 OK\r\n{session}\r\nContent-Length: {length}\r\n\r\n{body}");
            send(&mut connection, &response).await;
        }
    })
    .await
}

/// Most devices hang at their log-in, some before TLS and some after it.
#[tokio::test]
async fn devices_that_hang_do_not_hold_up_the_log_in_to_others() {
    let limits = SharedLimits::default();
    let after_tls = device_that_logs_in_after(Duration::from_secs(600)).await;
    let before_tls = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let before_tls = format!("https://{}", before_tls.local_addr().unwrap());
    let before_tls = before_tls.parse().unwrap();
    let well = device_that_logs_in_after(Duration::ZERO).await;
    let began = Instant::now();
    let hanging = (0..30).flat_map(|_| [&after_tls.url, &before_tls]);
    let hanging: Vec<_> = hanging
        .map(|url| Device::new(settings(url, limits.clone())).unwrap())
        .map(|device| tokio::spawn(async move { device.log_in().await }))
        .collect();
    // They are in line before the one that is well.
    while !limits.logins.is_saturated() {
        sleep(Duration::from_millis(5)).await;
    }
    let device = Device::new(settings(&well.url, limits)).unwrap();
    device.log_in().await.unwrap();
    // Three times twenty log-ins would take ten seconds or five each.
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    hanging.iter().for_each(|task| task.abort());
}

/// Its turn comes late, and it needs more time than is left of what it would have had from the beginning.
#[tokio::test]
async fn a_wait_for_other_log_ins_is_not_the_silence_of_the_device() {
    let limits = SharedLimits::default();
    let slow = device_that_logs_in_after(Duration::from_millis(1500)).await;
    let short = DeviceTimings {
        request_timeout: Duration::from_secs(3),
        ..DeviceTimings::default()
    };
    let device = |limits: &SharedLimits| {
        let settings = settings(&slow.url, limits.clone());
        Device::new(DeviceSettings {
            timings: Arc::new(short.clone()),
            ..settings
        })
        .unwrap()
    };
    let waits = device(&limits);
    let mut places = Vec::new();
    while let Some(place) = limits.logins.acquire(std::future::pending()).now_or_never() {
        places.push(place);
    }
    let all_free = async {
        sleep(Duration::from_millis(2500)).await;
        places.clear();
    };
    let (session, ()) = tokio::join!(waits.log_in(), all_free);
    session.unwrap();
    // A request that finds no session waits no longer than it may, and says why it was not sent.
    let waits = device(&limits);
    let _places: Vec<_> =
        std::iter::from_fn(|| limits.logins.acquire(std::future::pending()).now_or_never())
            .collect();
    let deadline = Instant::now() + Duration::from_millis(300);
    let outcome = waits.send(&read("thing"), LIMIT, deadline).await;
    assert!(matches!(outcome, Err(RequestError::NoTurn)), "{outcome:?}");
}

/// A log-in that has not been sent is given up when the device is not used any more.
#[tokio::test]
async fn the_end_of_a_device_does_not_wait_for_a_log_in_that_was_not_sent() {
    let limits = SharedLimits::default();
    let device = device_that_logs_in_after(Duration::ZERO).await;
    let device = Device::new(settings(&device.url, limits.clone())).unwrap();
    let _places: Vec<_> =
        std::iter::from_fn(|| limits.logins.acquire(std::future::pending()).now_or_never())
            .collect();
    let logs_in = tokio::spawn({
        let device = device.clone();
        async move { device.log_in().await }
    });
    // It stands in line.
    while device.authenticator.queue_time().total() < Duration::from_millis(50) {
        sleep(Duration::from_millis(5)).await;
    }
    let began = Instant::now();
    device.close().await;
    assert!(logs_in.await.unwrap().is_err());
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
}
