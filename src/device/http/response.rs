//! A device's response as it arrives.
//!
//! Owns which heads are accepted, and what of their headers is used.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, SET_COOKIE};
use http::response::Parts;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::sync::oneshot;

use super::connection::SurplusMeter;
use super::{HttpError, LARGEST_RESPONSE_HEAD};

/// The longest MIME type; anything longer is not one. MQTT carries it in a property of at most
/// 65,535 bytes.
const LONGEST_CONTENT_TYPE: usize = 128;

/// A response whose body is still to be read. Read to its end, it leaves the connection to the next
/// request; dropped before that, it closes the connection and ends the upload.
#[derive(Debug)]
pub struct HttpResponse {
    head: Parts,
    body: Incoming,
    meter: SurplusMeter,
    /// Its drop ends the upload, if there is one.
    _upload_guard: Option<oneshot::Sender<()>>,
}

impl HttpResponse {
    /// A response whose head has arrived; the drop of `upload_guard` ends its upload.
    ///
    /// # Errors
    /// The head cannot be accepted.
    pub(super) fn new(
        response: http::Response<Incoming>,
        upload_guard: Option<oneshot::Sender<()>>,
    ) -> Result<Self, HttpError> {
        let (mut head, body) = response.into_parts();
        // The library skips informational responses, except for the answer to an upgrade.
        if head.status.is_informational() {
            return Err(HttpError::SwitchedProtocols);
        }
        if head_size(&head.headers) > LARGEST_RESPONSE_HEAD {
            return Err(HttpError::HeadTooLarge);
        }
        Ok(Self {
            meter: head.extensions.remove().unwrap_or_default(),
            head,
            body,
            _upload_guard: upload_guard,
        })
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.head.status.as_u16()
    }

    /// The MIME type without parameters, if it can be one.
    pub fn content_type(&self) -> Option<String> {
        let text = printable(self.head.headers.get(CONTENT_TYPE)?)?;
        let content_type = text.split(';').next()?.trim();
        (content_type.len() <= LONGEST_CONTENT_TYPE).then(|| content_type.to_owned())
    }

    /// The size of the body in bytes, if the device gave it.
    pub fn length(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }

    /// The cookies it sets: the values of `Set-Cookie`.
    pub fn cookies(&self) -> Vec<String> {
        let cookies = self.head.headers.get_all(SET_COOKIE);
        let cookies = cookies.iter().filter_map(printable);
        cookies.map(str::to_owned).collect()
    }

    /// The next part of the body; none at its end. It may hold a much larger buffer of the
    /// library's: copy what is kept.
    ///
    /// # Errors
    /// The connection broke before the end of the body.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, HttpError> {
        while let Some(frame) = self.body.frame().await {
            // Trailers are left out.
            if let Ok(part) = frame.map_err(HttpError::broken)?.into_data() {
                self.meter.was_content(part.len());
                return Ok(Some(part));
            }
        }
        self.meter.answer_ended();
        Ok(None)
    }
}

/// The text of a header, if it can stand in one of ours too.
fn printable(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok().filter(|text| !text.contains('\t'))
}

/// The size of a head in bytes, without its first line. The library's buffer, which has the same
/// limit, can hold a little more.
fn head_size(headers: &HeaderMap) -> usize {
    let sizes = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4);
    sizes.sum()
}
