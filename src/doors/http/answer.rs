//! What requests are answered with: results, errors in the same form, states and files.

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

/// An error that is no command's result, in the form that results have.
pub fn error(status: StatusCode, code: &str, message: &str) -> Response {
    let body = json!({"ok": false, "error": {"code": code, "message": message}});
    (status, Json(body)).into_response()
}

/// The same with the status that belongs to the code.
pub fn failed(code: ErrorCode, message: &str) -> Response {
    error(status(code), code.as_str(), message)
}

/// A command's result. Of a file that was held in memory, the file.
pub fn result(outcome: &Outcome) -> Response {
    let status = match &outcome.result {
        Ok(success) => {
            if let Some(file) = &success.file
                && let Some(bytes) = &file.bytes
            {
                let head = Head {
                    content_type: file.content_type.clone(),
                    length: file.size,
                };
                return file_of(&head, bytes.clone().into());
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
        return file_of(&head, state.payload.clone().into());
    }
    let content_type = match state.payload.first() {
        Some(b'{' | b'[') => "application/json",
        _ => "text/plain; charset=utf-8",
    };
    plain(content_type, state.payload.clone())
}

/// Text of this type.
pub fn plain(content_type: &'static str, body: impl Into<Bytes>) -> Response {
    let headers = [(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-store")];
    (headers, body.into()).into_response()
}

/// A file from a device, which a browser shows only where it is a picture: nothing that a device
/// sends may run as a page of the gateway.
pub fn file_of(head: &Head, body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    let octets = HeaderValue::from_static("application/octet-stream");
    let content_type = HeaderValue::from_str(&head.content_type).unwrap_or(octets);
    let shown = matches!(&*head.content_type, "image/jpeg" | "image/png");
    let disposition = if shown { "inline" } else { "attachment" };
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static(disposition));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(length) = head.length {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    response
}
