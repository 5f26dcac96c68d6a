//! A device's response as it arrives.
//!
//! Owns which heads are accepted, and what of their headers is used.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderValue, RETRY_AFTER, SET_COOKIE};
use time::OffsetDateTime;
use tokio::sync::oneshot;

use super::HttpError;
use super::retry_after::retry_after;
use super::surplus::SurplusMeter;

/// The largest head of a response. reqwest's own limit is about 400 KB, and a device needs 1 KB.
pub(super) const LARGEST_RESPONSE_HEAD: usize = 64 << 10;
/// The longest MIME type; anything longer is not one. MQTT carries it in a property of at most
/// 65,535 bytes.
const LONGEST_CONTENT_TYPE: usize = 128;

/// A response whose body is still to be read. Read to its end, it leaves the connection to the next
/// request; dropped before that, it closes the connection and ends the upload.
#[derive(Debug)]
pub struct HttpResponse {
    response: reqwest::Response,
    surplus: SurplusMeter,
    /// Its drop ends the upload, if there is one.
    _upload_guard: Option<oneshot::Sender<()>>,
}

impl HttpResponse {
    /// A response whose head has arrived; the drop of `upload_guard` ends its upload.
    ///
    /// # Errors
    /// The head cannot be accepted.
    pub(super) fn new(
        response: reqwest::Response,
        surplus: SurplusMeter,
        upload_guard: Option<oneshot::Sender<()>>,
    ) -> Result<Self, HttpError> {
        // The library skips informational responses, except for the answer to an upgrade.
        if response.status().is_informational() {
            return Err(HttpError::SwitchedProtocols);
        }
        if head_size(response.headers()) > LARGEST_RESPONSE_HEAD {
            return Err(HttpError::HeadTooLarge);
        }
        Ok(Self {
            response,
            surplus,
            _upload_guard: upload_guard,
        })
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// The MIME type without parameters, if it can be one.
    pub fn content_type(&self) -> Option<String> {
        let text = printable(self.response.headers().get(CONTENT_TYPE)?)?;
        let content_type = text.split(';').next()?.trim();
        (content_type.len() <= LONGEST_CONTENT_TYPE).then(|| content_type.to_owned())
    }

    /// The size of the body in bytes, if the device gave it.
    pub fn length(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// How long the device asks to wait before the next request, if it says so. At most an hour.
    pub fn retry_after(&self) -> Option<Duration> {
        let text = |name| printable(self.response.headers().get(name)?);
        retry_after(text(RETRY_AFTER)?, text(DATE), OffsetDateTime::now_utc())
    }

    /// The cookies it sets: the values of `Set-Cookie`.
    pub fn cookies(&self) -> Vec<String> {
        let cookies = self.response.headers().get_all(SET_COOKIE);
        let cookies = cookies.iter().filter_map(printable);
        cookies.map(str::to_owned).collect()
    }

    /// The next part of the body; none at its end. It may hold a much larger buffer of the
    /// library's: copy what is kept.
    ///
    /// # Errors
    /// The connection broke before the end of the body.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, HttpError> {
        let part = self.response.chunk().await?;
        if let Some(part) = &part {
            self.surplus.was_content(part.len());
        }
        Ok(part)
    }
}

/// The text of a header, if it can stand in one of ours too.
fn printable(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok().filter(|text| !text.contains('\t'))
}

/// The size of a head in bytes, without its first line.
fn head_size(headers: &HeaderMap) -> usize {
    let sizes = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4);
    sizes.sum()
}
