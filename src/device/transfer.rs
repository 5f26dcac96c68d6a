//! Files that stream to or from a device.
//!
//! The request's slot is held while they do, so a room has one file under way at a time, and that one gives
//! way to urgent requests. Owns their time limits: a stream is ended if neither end moves a byte for as long
//! as a request may take.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::unfold;
use tokio::time::{Instant, timeout, timeout_at};

use super::client::{Device, Received};
use super::endpoint::LargeResponse;
use super::http::UploadBody;
use super::response::{DeviceResponse, RequestError};
use crate::catalogue::{Request, is_web_page};
use crate::command::{Download, Head, Upload};

/// How long a download may hold its slot, however steadily it trickles. The largest file of a
/// device is a log archive of some 100 MB.
const LONGEST_DOWNLOAD: Duration = Duration::from_secs(600);
/// "The REST API cannot accept more than 10 MB of data."
pub const LARGEST_UPLOAD: u64 = 10_000_000;

/// The result of a download.
#[derive(Debug)]
pub enum Downloaded {
    /// The whole file went out; with the HTTP status and its size in bytes.
    File(Head, u16, u64),
    /// There was nothing to stream: the response is empty, a refusal or a web page.
    Response(DeviceResponse),
}

/// Why a download did not go out whole.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The device did not deliver it.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Its receiver went away, or did not take it in time.
    #[error("the receiver did not take all of the file")]
    Abandoned,
}

impl Device {
    /// Carries a request out and passes its response on as it arrives. `content_type` is used where
    /// the device gives none.
    ///
    /// # Errors
    /// The receiver did not get all of it, and why.
    pub async fn download(
        &self,
        request: &Request,
        mut to: Download,
        content_type: &str,
        deadline: Instant,
    ) -> Result<Downloaded, DownloadError> {
        // With a limit of 0, every response that has a body is left to be streamed.
        let received = self.carry_out(request, None, 0, deadline);
        let (received, _slot) = tokio::select! {
            received = received => received?,
            () = to.abandoned() => return Err(DownloadError::Abandoned),
        };
        let large = match received {
            Received::Whole(response) => return Ok(Downloaded::Response(response)),
            Received::Large(large) if is_web_page(large.size.content_type.as_deref(), b"") => {
                return Ok(Downloaded::Response(DeviceResponse {
                    status: large.size.status,
                    content_type: large.size.content_type,
                    body: large.start,
                }));
            }
            Received::Large(large) if (200..=299).contains(&large.size.status) => large,
            // A refusal of this size cannot be read for its reason.
            Received::Large(large) => return Err(RequestError::TooLarge(large.size).into()),
        };
        let head = Head {
            content_type: large
                .size
                .content_type
                .as_deref()
                .unwrap_or(content_type)
                .into(),
            length: large.size.length,
        };
        to.begin(head.clone());
        let status = large.size.status;
        let end = Instant::now() + LONGEST_DOWNLOAD;
        let passed = timeout_at(end, self.pass_on(*large, &to));
        let sent = self.until_preempted(true, passed).await?;
        let sent = sent.unwrap_or(Err(DownloadError::Abandoned))?;
        to.finish();
        Ok(Downloaded::File(head, status, sent))
    }

    /// Passes the body on to its end, and gives its size in bytes.
    async fn pass_on(&self, mut large: LargeResponse, to: &Download) -> Result<u64, DownloadError> {
        let standstill = self.timings().request_timeout;
        let mut sent = 0;
        let mut next = Some(large.start).filter(|part| !part.is_empty());
        loop {
            if let Some(part) = next.take() {
                sent += part.len() as u64;
                match timeout(standstill, to.push(part)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) | Err(_) => return Err(DownloadError::Abandoned),
                }
            }
            match timeout(standstill, large.rest.chunk()).await {
                Ok(Ok(Some(part))) => next = Some(part),
                Ok(Ok(None)) => return Ok(sent),
                Ok(Err(error)) => {
                    self.endpoint.note_broken(&error);
                    return Err(RequestError::Broken(error).into());
                }
                Err(_) => return Err(RequestError::TimedOut { sent: true }.into()),
            }
        }
    }

    /// Carries a request out whose body streams in.
    ///
    /// # Errors
    /// Why there is no response.
    pub async fn upload(
        &self,
        request: &Request,
        from: Upload,
        limit: usize,
        deadline: Instant,
    ) -> Result<DeviceResponse, RequestError> {
        let standstill = self.timings().request_timeout;
        let chunks = unfold(from.chunks, move |mut chunks| async move {
            let chunk: io::Result<Bytes> = match timeout(standstill, chunks.next()).await {
                Ok(None) => return None,
                Ok(Some(chunk)) => chunk.map_err(io::Error::other),
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            };
            Some((chunk, chunks))
        });
        let body = UploadBody {
            length: from.length,
            chunks: chunks.boxed(),
        };
        let (received, _slot) = self.carry_out(request, Some(body), limit, deadline).await?;
        received.whole()
    }
}

#[cfg(test)]
mod tests;
