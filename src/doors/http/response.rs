//! The responses: results, errors in the same form, states and files.
//!
//! Nothing that a device sends may run as a page of the gateway: a file is shown only if it is a
//! picture.

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use serde_json::json;

use super::status::status;
use crate::command::{ErrorCode, Head, Outcome};
use crate::state::StateValue;
use crate::visible::visible;

/// An error that is not a command's result, in the same JSON form, where the HTTP status is not the one of
/// its code. What cannot be seen in the message is shown.
pub fn error(status: StatusCode, code: ErrorCode, message: &str) -> Response {
    let message = visible(message);
    let body = json!({"ok": false, "error": {"code": code.as_str(), "message": message}});
    (status, Json(body)).into_response()
}

/// An error with the HTTP status of its code.
pub fn error_code(code: ErrorCode, message: &str) -> Response {
    error(status(code), code, message)
}

/// The response to a path that is none of the gateway's.
pub async fn not_found() -> Response {
    let message = "there is nothing here; /room lists the rooms, and a room is at /room/<room>";
    error_code(ErrorCode::NotFound, message)
}

/// The response to another method than GET where nothing else is possible; the router adds `Allow`.
pub async fn read_only() -> Response {
    let message = "this is only read: send GET";
    error(
        StatusCode::METHOD_NOT_ALLOWED,
        ErrorCode::UnknownCommand,
        message,
    )
}

/// Whether the device still prepares the file. A client that stores what it gets must not store a result.
pub fn is_unready(outcome: &Outcome) -> bool {
    let result = outcome.result.as_ref();
    result.is_ok_and(|success| success.file.is_none() && success.status == 204)
}

/// A command's result; if it holds a file, the file itself.
pub fn outcome(outcome: &Outcome) -> Response {
    let status = match &outcome.result {
        Ok(success) => {
            if let Some(answer) = &success.file
                && let Some(bytes) = &answer.bytes
            {
                let head = Head {
                    content_type: answer.content_type.clone(),
                    length: answer.size,
                };
                return file(&head, bytes.clone().into());
            }
            StatusCode::OK
        }
        Err(failure) => status(failure.code),
    };
    let mut response = (status, outcome.to_json()).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A state: text, JSON or a picture.
pub fn state(state: &StateValue) -> Response {
    if let Some(content_type) = &state.content_type {
        let head = Head {
            content_type: content_type.clone(),
            length: None,
        };
        return file(&head, state.payload.clone().into());
    }
    let content_type = match state.payload.first() {
        Some(b'{' | b'[') => "application/json",
        _ => "text/plain; charset=utf-8",
    };
    text(content_type, state.payload.clone())
}

/// Text of this content type.
pub fn text(content_type: &'static str, body: impl Into<Bytes>) -> Response {
    let headers = [(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-store")];
    (headers, body.into()).into_response()
}

/// A file from a device. A browser shows pictures and saves everything else.
pub fn file(head: &Head, body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    let unknown = HeaderValue::from_static("application/octet-stream");
    let content_type = HeaderValue::from_str(&head.content_type).unwrap_or(unknown);
    let is_picture = matches!(&*head.content_type, "image/jpeg" | "image/png");
    let disposition = if is_picture { "inline" } else { "attachment" };
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static(disposition));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(length) = head.length {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    response
}
