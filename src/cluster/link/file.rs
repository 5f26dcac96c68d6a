//! Streamed files on their way through a gateway without the room: each is a request to the owner's HTTP door.
//! A file in a result is another matter: it is part of the result's frame (`wire`), and goes in pieces (`pieces`).
//!
//! Owns the form of that request and of its response. No file is held whole in memory.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::StreamExt;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, Request, Response, StatusCode};
use tokio::time::{Instant, sleep_until, timeout};

use super::FILE_PATH;
use super::connect::{Dialer, MemberRequestError};
use super::frame::{self, NoFrame};
use super::passed::PassedCommand;
use super::peer::{Link, RESULT_TIMEOUT};
use super::router::Router;
use super::wire::{CommandHead, OutcomeHead};
use crate::command::{
    Download, DownloadBody, ErrorCode, Failure, FileAnswer, Head, Success, Transfer,
};

/// The header with the command that a file belongs to: JSON in base64.
pub const FILE_HEADER: HeaderName = HeaderName::from_static("x-poly2mqtt-command");
/// The header that says what a response holds: `file`, or `outcome`.
pub const FILE_ANSWER_HEADER: HeaderName = HeaderName::from_static("x-poly2mqtt-answer");
/// The value for a file.
const FILE: &str = "file";
/// The largest result that comes instead of a file.
const LARGEST_OUTCOME: usize = 64 << 20;
/// How long nothing may come of a file that has begun. An owner gives its device up sooner, so only one with a fault is
/// silent for so long.
const LONGEST_FILE_SILENCE: Duration = Duration::from_secs(60);

/// What the owner answers.
#[derive(Debug)]
pub enum FileAnswered {
    /// The file that was asked for.
    File(Head, DownloadBody),
    /// The result, encoded.
    Outcome(Bytes),
    /// The room is not here; the command was not begun.
    NotHere,
}

/// A result as the body of a response.
pub(super) fn encode_outcome(head: &OutcomeHead, body: &Bytes) -> Bytes {
    frame::encode(head, body)
}

/// Sends a command with its file to the owner, and brings back the file or the result.
pub(super) async fn send(
    router: Arc<Router>,
    dialer: Arc<Dialer>,
    link: Arc<Link>,
    mut passed: PassedCommand,
) {
    let transfer = std::mem::take(&mut passed.submission.transfer);
    let (request, download) = match request(&passed, transfer) {
        Ok(request) => request,
        Err(error) => {
            let failure = Failure::new(ErrorCode::InvalidPayload, error.to_string());
            return passed.fail(router.telemetry(), failure);
        }
    };
    let name = link.member().name.clone();
    let abandoned = async {
        match &download {
            Some(download) => download.abandoned().await,
            None => std::future::pending().await,
        }
    };
    let until = Instant::now() + RESULT_TIMEOUT;
    let response = tokio::select! {
        response = dialer.request(link.member(), request) => response,
        () = link.disconnected() => return router.lost(passed, &name),
        // Nobody waits for the file any more, and dropping the request tells the owner.
        () = abandoned => return router.lost(passed, &name),
        () = sleep_until(until) => return router.lost(passed, &name),
    };
    let response = match response {
        Ok(response) => response,
        Err(MemberRequestError::NotSent(why)) => {
            let message = format!(
                "gateway \"{name}\" has the room and cannot be reached from this gateway: {why}; the command \
                 was not sent"
            );
            let failure = Failure::new(ErrorCode::Offline, message);
            return passed.fail(router.telemetry(), failure);
        }
        Err(MemberRequestError::Broken(_)) => return router.lost(passed, &name),
    };
    let response = response.map(Body::new);
    match response.status() {
        StatusCode::OK => {}
        StatusCode::MISDIRECTED_REQUEST => return not_here(&router, passed, download, &name),
        status => {
            let message = format!(
                "gateway \"{name}\" has the room and refused what this gateway passed on (HTTP {})",
                status.as_u16()
            );
            let failure = Failure::new(ErrorCode::Offline, message);
            return passed.fail(router.telemetry(), failure);
        }
    }
    deliver(&router, &link, passed, download, response, until).await;
}

/// Brings the file of a response to the client that asked for it, or the result.
async fn deliver(
    router: &Router,
    link: &Link,
    passed: PassedCommand,
    download: Option<Download>,
    response: Response<Body>,
    until: Instant,
) {
    let name = &link.member().name;
    let is_file = response.headers().get(FILE_ANSWER_HEADER);
    let is_file = is_file.is_some_and(|value| value == FILE);
    match (is_file, download) {
        (true, Some(download)) => {
            // It has a connection of its own, which an owner that ends closes later than the link: when the file is
            // whole.
            match receive(download, response).await {
                Some(file) => passed.submission.reply.answer(Ok(Success::file(200, file))),
                None => router.lost(passed, name),
            }
        }
        // The download ends without a beginning, so that the door reads the result.
        (_, download) => {
            let result = tokio::select! {
                result = outcome(response) => result,
                () = link.disconnected() => None,
                () = sleep_until(until) => None,
            };
            drop(download);
            match result {
                Some((request_id, result)) => {
                    let mut reply = passed.submission.reply;
                    reply.request_id = request_id;
                    reply.answer(result);
                }
                None => router.lost(passed, name),
            }
        }
    }
}

fn request(
    passed: &PassedCommand,
    transfer: Transfer,
) -> Result<(Request<Body>, Option<Download>), http::Error> {
    let head = CommandHead::new(passed, Instant::now());
    let head = STANDARD.encode(serde_json::to_vec(&head).unwrap_or_default());
    let request = Request::post(FILE_PATH).header(FILE_HEADER, head);
    match transfer {
        Transfer::Upload(upload) => {
            let body = Body::from_stream(upload.chunks);
            let request = request.header(CONTENT_LENGTH, upload.length).body(body)?;
            Ok((request, None))
        }
        transfer => {
            let body = Body::from(passed.submission.payload.clone());
            let download = match transfer {
                Transfer::Download(download) => Some(download),
                _ => None,
            };
            // A file that is fetched has no length yet; a payload without one is no file.
            let request = request.header(super::DOWNLOAD_HEADER, "1").body(body)?;
            Ok((request, download))
        }
    }
}

/// The member does not have the room. A download can be asked for again, for an upload the bytes are gone.
fn not_here(
    router: &Router,
    mut passed: PassedCommand,
    download: Option<Download>,
    name: &Arc<str>,
) {
    match download {
        Some(download) => {
            passed.submission.transfer = Transfer::Download(download);
            router.again(passed, Some(name));
        }
        None => {
            let message = format!(
                "gateway \"{name}\" has not got the room any more; the file was not sent to the device"
            );
            let failure = Failure::new(ErrorCode::Offline, message);
            passed.fail(router.telemetry(), failure);
        }
    }
}

/// Takes a file to the client. `None` if it was cut off, or nothing comes of it any more.
async fn receive(mut download: Download, response: Response<Body>) -> Option<FileAnswer> {
    let (head, body) = response.into_parts();
    let header = |name| head.headers.get(name)?.to_str().ok();
    let content_type: Arc<str> = header(CONTENT_TYPE).unwrap_or_default().into();
    let length = header(CONTENT_LENGTH).and_then(|length| length.parse().ok());
    download.begin(Head {
        content_type: content_type.clone(),
        length,
    });
    let mut chunks = body.into_data_stream();
    loop {
        let chunk = tokio::select! {
            // A client that takes its time does not count.
            chunk = timeout(LONGEST_FILE_SILENCE, chunks.next()) => chunk.ok()?,
            () = download.abandoned() => return None,
        };
        match chunk {
            None => break,
            Some(Ok(chunk)) => download.push(chunk).await.ok()?,
            Some(Err(_)) => return None,
        }
    }
    download.finish();
    Some(FileAnswer {
        topic: String::new(),
        content_type,
        size: length,
        bytes: None,
        is_state: false,
    })
}

type CommandResult = (Option<crate::json::JsonText>, Result<Success, Failure>);

/// The result in a response.
async fn outcome(response: Response<Body>) -> Option<CommandResult> {
    let body = to_bytes(response.into_body(), LARGEST_OUTCOME).await;
    let read = |body| -> Result<CommandResult, NoFrame> {
        let (head, body) = frame::decode::<OutcomeHead>(body)?;
        head.into_result(body)
    };
    read(body.ok()?).ok()
}
