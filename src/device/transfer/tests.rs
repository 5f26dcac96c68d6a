use std::sync::Arc;

use futures_util::stream;
use tokio::io::AsyncReadExt;
use tokio::sync::{Notify, mpsc, oneshot};

use super::*;
use crate::catalogue::{Method, RequestBody, TimeLimit};
use crate::command::CutOff;
use crate::device::http::UNREAD_DATA_TIMEOUT;
use crate::device::test_device::{TestDevice, ok, request_head, send, until_a_request_for};
use crate::device::{MOST_REQUESTS_AT_ONCE, RequestPriority};

const LIMIT: usize = 1 << 20;
const TEXT: FileSpec = FileSpec {
    topic: "file",
    content_type: "text/plain",
    is_state: false,
    begins: &[],
    may_be_unready: false,
};

fn request(method: Method) -> Request {
    Request {
        method,
        path: vec!["rest".into(), "file".into()],
        query: Vec::new(),
        body: match method {
            Method::Get => RequestBody::None,
            _ => RequestBody::Bytes("application/octet-stream", Bytes::new()),
        },
        repeatable: method == Method::Get,
        is_read: method == Method::Get,
    }
}

/// A device that sends this in reply to a file and reads no further.
struct UnreadingDevice {
    test: TestDevice,
    /// Lets it read the rest, to see whether the client has ended the connection.
    read_on: Arc<Notify>,
    /// The client has ended the connection.
    ended: mpsc::UnboundedReceiver<()>,
}

impl UnreadingDevice {
    async fn start(response: &'static str) -> Self {
        let read_on = Arc::<Notify>::default();
        let (ended_sender, ended) = mpsc::unbounded_channel();
        let device_reads_on = read_on.clone();
        let test = TestDevice::start(move |mut connection| {
            let (read_on, ended) = (device_reads_on.clone(), ended_sender.clone());
            async move {
                if until_a_request_for("/rest/file", &mut connection)
                    .await
                    .is_some()
                {
                    send(&mut connection, response).await;
                    read_on.notified().await;
                    let _ = connection.read_to_end(&mut Vec::new()).await;
                    let _ = ended.send(());
                }
            }
        });
        Self {
            test: test.await,
            read_on,
            ended,
        }
    }

    async fn sees_the_connection_ended(mut self) {
        self.read_on.notify_one();
        let ended = timeout(Duration::from_secs(5), self.ended.recv()).await;
        ended.unwrap().unwrap();
    }
}

/// A file of the largest size, and what ends when the file's sender is let go.
fn large_upload() -> (Upload, oneshot::Receiver<()>) {
    let (sender, sender_is_gone) = oneshot::channel::<()>();
    let chunk = Bytes::from(vec![0; 100_000]);
    let chunks = stream::unfold(sender, move |sender| {
        let chunk: Result<_, CutOff> = Ok(chunk.clone());
        async move { Some((chunk, sender)) }
    });
    let upload = Upload {
        length: LARGEST_UPLOAD,
        chunks: chunks.boxed(),
    };
    (upload, sender_is_gone)
}

#[tokio::test]
async fn a_device_that_refuses_an_upload_early_and_reads_no_further_holds_nobody() {
    let refusal = "HTTP/1.1 413 Too Large\r\nContent-Length: 8\r\n\r\ntoo much";
    let unreading = UnreadingDevice::start(refusal).await;
    let device = unreading.test.client();
    let (upload, sender_is_gone) = large_upload();
    let begun = Instant::now();
    let request = request(Method::Post);
    let response = device.upload(
        &request,
        upload,
        LIMIT,
        device.deadline(TimeLimit::Ordinary),
    );
    let response = response.await.unwrap();
    assert_eq!((response.status, &*response.body), (413, &b"too much"[..]));
    assert!(
        begun.elapsed() < UNREAD_DATA_TIMEOUT,
        "{:?}",
        begun.elapsed()
    );
    let sender_is_gone = timeout(UNREAD_DATA_TIMEOUT * 3, sender_is_gone).await;
    assert!(sender_is_gone.unwrap().is_err());
    unreading.sees_the_connection_ended().await;
}

#[tokio::test]
async fn a_device_that_neither_reads_an_upload_nor_answers_holds_nobody() {
    let unreading = UnreadingDevice::start("").await;
    let device = unreading.test.client();
    let (upload, sender_is_gone) = large_upload();
    let request = request(Method::Post);
    let deadline = device.deadline(TimeLimit::Ordinary);
    let result = device.upload(&request, upload, LIMIT, deadline).await;
    assert!(
        matches!(
            result,
            Err(RequestError::Broken(_) | RequestError::TimedOut { sent: true })
        ),
        "{result:?}"
    );
    assert!(Instant::now() < deadline + Duration::from_secs(1));
    assert!(
        timeout(UNREAD_DATA_TIMEOUT, sender_is_gone)
            .await
            .unwrap()
            .is_err()
    );
    unreading.sees_the_connection_ended().await;
}

#[tokio::test]
async fn a_download_streams_to_its_end_and_leaves_the_connection_usable() {
    let file = "x".repeat(300_000);
    let test = TestDevice::that_has("/rest/file", ok(&file)).await;
    let device = test.client();
    for _ in 0..2 {
        let (download, arrival) = Download::new();
        let request = request(Method::Get);
        let deadline = device.deadline(TimeLimit::Ordinary);
        let downloaded = device.download(&request, download, TEXT, deadline);
        let received = async {
            let head = arrival.head.await.unwrap();
            let parts: Vec<_> = arrival.body.into_stream().collect().await;
            let size: usize = parts.iter().map(|part| part.as_ref().unwrap().len()).sum();
            (head, size)
        };
        let (downloaded, (head, size)) = tokio::join!(downloaded, received);
        assert_eq!(
            (&*head.content_type, head.length),
            ("text/plain", Some(300_000))
        );
        assert_eq!(size, 300_000);
        let downloaded = downloaded.unwrap();
        assert!(
            matches!(downloaded, Downloaded::File(_, 200, 300_000)),
            "{downloaded:?}"
        );
    }
    assert_eq!(test.connections(), 1);
}

#[tokio::test]
async fn a_download_that_nobody_takes_ends_while_its_start_trickles_in() {
    let start = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nabc";
    let unreading = UnreadingDevice::start(start).await;
    let device = unreading.test.client();
    let (download, arrival) = Download::new();
    let request = request(Method::Get);
    let deadline = device.deadline(TimeLimit::Ordinary);
    let mut downloaded = std::pin::pin!(device.download(&request, download, TEXT, deadline));
    // Whenever it is, it ends; with the start of the file there it is what this is about.
    let early = timeout(Duration::from_millis(200), &mut downloaded).await;
    assert!(early.is_err());
    drop(arrival);
    let result = downloaded.await;
    assert!(
        matches!(result, Err(DownloadError::Abandoned)),
        "{result:?}"
    );
    unreading.sees_the_connection_ended().await;
}

#[tokio::test]
async fn a_download_that_is_cut_off_is_broken_and_one_that_nobody_takes_abandoned() {
    let test = TestDevice::start(|mut connection| async move {
        until_a_request_for("/rest/file", &mut connection).await;
        let cut = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nabc";
        send(&mut connection, cut).await;
    })
    .await;
    let device = test.client();
    let request = request(Method::Get);
    let (download, _arrival) = Download::new();
    let result = device
        .download(
            &request,
            download,
            TEXT,
            device.deadline(TimeLimit::Ordinary),
        )
        .await;
    assert!(
        matches!(result, Err(DownloadError::Request(RequestError::Broken(_)))),
        "{result:?}"
    );
    let (download, arrival) = Download::new();
    drop(arrival);
    let result = device
        .download(
            &request,
            download,
            TEXT,
            device.deadline(TimeLimit::Ordinary),
        )
        .await;
    assert!(
        matches!(result, Err(DownloadError::Abandoned)),
        "{result:?}"
    );
}

#[tokio::test]
async fn a_file_that_waits_for_its_turn_does_not_give_way() {
    let test = TestDevice::start(|mut connection| async move {
        while let Some(head) = request_head(&mut connection).await {
            if head.contains(" /rest/slow ") {
                tokio::time::sleep(Duration::from_millis(2500)).await;
            }
            let body = if head.contains(" /rest/session ") {
                r#"{"success":true,"session":{"sessionId":"s"}}"#
            } else {
                r#"{"activePersona":"Poly"}"#
            };
            send(&mut connection, &ok(body)).await;
        }
    })
    .await;
    let device = test.client();
    device.log_in().await.unwrap();
    let named = |name: &'static str| Request {
        path: vec!["rest".into(), name.into()],
        ..request(Method::Get)
    };
    let (slow, file, stop) = (named("slow"), named("file"), named("stop"));
    let deadline = device.deadline(TimeLimit::Ordinary);
    // Both of the device's requests are taken by others, for longer than what is urgent waits.
    let others = async || {
        let both = (0..MOST_REQUESTS_AT_ONCE).map(|_| device.send(&slow, LIMIT, deadline));
        futures_util::future::join_all(both).await
    };
    let (background, urgent) = (
        device.with(RequestPriority::Background),
        device.with(RequestPriority::Urgent),
    );
    let (others, file, stop) = tokio::join!(
        others(),
        background.send(&file, LIMIT, deadline),
        urgent.send(&stop, LIMIT, deadline),
    );
    assert!(others.iter().all(Result::is_ok), "{others:?}");
    assert!(file.is_ok() && stop.is_ok(), "{file:?} {stop:?}");
}

#[tokio::test]
async fn a_file_that_is_under_way_is_preempted() {
    let test = TestDevice::that_has("/rest/nothing", ok("")).await;
    let device = test.client();
    device.log_in().await.unwrap();
    let background = device.with(RequestPriority::Background);
    let held = async || {
        let slot = device.endpoint.slot().await;
        let never = std::future::pending::<()>();
        let preempted = background.until_preempted(true, never).await;
        drop(slot);
        preempted
    };
    let other = device.endpoint.slot().await;
    let (preempted, _slot) = tokio::join!(held(), device.endpoint.urgent_slot());
    drop(other);
    assert!(
        matches!(preempted, Err(RequestError::Preempted { sent: true })),
        "{preempted:?}"
    );
}
