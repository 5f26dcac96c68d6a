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
use super::http::{HttpResponse, UploadBody};
use super::response::{DeviceResponse, Oversize, RequestError};
use crate::catalogue::{FileAnswerKind, FileSpec, Request};
use crate::command::{Download, Head, Upload};

/// How long a download may hold its slot, however steadily it trickles. The largest file of a
/// device is a log archive of some 100 MB.
const LONGEST_DOWNLOAD: Duration = Duration::from_secs(600);
/// How much of an answer shows whether it is the file: a refusal in JSON is shorter. A shorter answer is taken whole.
const CHECKED_START: usize = 4096;
/// "The REST API cannot accept more than 10 MB of data."
pub const LARGEST_UPLOAD: u64 = 10_000_000;

/// The result of a download.
#[derive(Debug)]
pub enum Downloaded {
    /// The whole file went out; with the HTTP status and its size in bytes.
    File(Head, u16, u64),
    /// Nothing was streamed: the response is short, a refusal, or not the file.
    Response(DeviceResponse),
}

/// The result of fetching a file that is held in memory.
#[derive(Debug)]
pub enum Fetched {
    /// The file, a refusal, or what is not the file.
    Response(DeviceResponse),
    /// The file, as far as its start shows, and too large to be held.
    Large(Oversize),
}

/// A large response of which enough was read.
enum Begun {
    /// It is the file, as far as its start shows.
    File(Box<LargeResponse>),
    /// A refusal, or not the file; with the start of its body.
    Other(DeviceResponse),
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
    /// Carries a request out and passes its response on as it arrives, if it begins as the file does. The
    /// type in `spec` is used where the device gives none.
    ///
    /// # Errors
    /// The receiver did not get all of it, and why.
    pub async fn download(
        &self,
        request: &Request,
        to: Download,
        spec: FileSpec,
        deadline: Instant,
    ) -> Result<Downloaded, DownloadError> {
        let received = self.carry_out(request, None, CHECKED_START, deadline);
        let (received, _slot) = tokio::select! {
            received = received => received?,
            () = to.abandoned() => return Err(DownloadError::Abandoned),
        };
        let large = match received {
            Received::Whole(response) => return Ok(Downloaded::Response(response)),
            Received::Large(large) => *large,
        };
        let end = Instant::now() + LONGEST_DOWNLOAD;
        let passed = timeout_at(end, self.pass_on(large, to, spec));
        let passed = self.until_preempted(true, passed).await?;
        passed.unwrap_or(Err(DownloadError::Abandoned))
    }

    /// Carries a request out and holds the file in memory, which may have `limit` bytes. Of a larger one only the start
    /// is read, which shows whether it is the file.
    ///
    /// # Errors
    /// Why there is no response.
    pub async fn fetch(
        &self,
        request: &Request,
        limit: usize,
        spec: FileSpec,
        deadline: Instant,
    ) -> Result<Fetched, RequestError> {
        let (received, _slot) = self.carry_out(request, None, limit, deadline).await?;
        let large = match received {
            Received::Whole(response) => return Ok(Fetched::Response(response)),
            Received::Large(large) => *large,
        };
        let begun = timeout_at(deadline, self.begun(large, spec));
        let begun = self.until_preempted(true, begun).await?;
        match begun.map_err(|_| RequestError::TimedOut { sent: true })?? {
            Begun::File(large) => Ok(Fetched::Large(large.size)),
            Begun::Other(response) => Ok(Fetched::Response(response)),
        }
    }

    /// Reads as much of a large response as shows whether it is the file.
    async fn begun(&self, large: LargeResponse, spec: FileSpec) -> Result<Begun, RequestError> {
        let LargeResponse {
            size,
            start,
            mut rest,
        } = large;
        let mut start = Vec::from(start);
        let is_success = (200..=299).contains(&size.status);
        while is_success
            && start.len() < CHECKED_START
            && let Some(part) = self.next_part(&mut rest).await?
        {
            start.extend_from_slice(&part);
        }
        let start = Bytes::from(start);
        let kind = spec.kind_of(size.content_type.as_deref(), &start);
        if is_success && kind == FileAnswerKind::File {
            return Ok(Begun::File(Box::new(LargeResponse { size, start, rest })));
        }
        Ok(Begun::Other(DeviceResponse {
            status: size.status,
            content_type: size.content_type,
            retry_after: rest.retry_after(),
            body: start,
        }))
    }

    /// Passes the body on to its end, if it begins as the file does.
    async fn pass_on(
        &self,
        large: LargeResponse,
        mut to: Download,
        spec: FileSpec,
    ) -> Result<Downloaded, DownloadError> {
        // While the start trickles in, nothing is written that would show that the receiver has gone.
        let begun = tokio::select! {
            begun = self.begun(large, spec) => begun?,
            () = to.abandoned() => return Err(DownloadError::Abandoned),
        };
        let LargeResponse {
            size,
            start,
            mut rest,
        } = match begun {
            Begun::File(large) => *large,
            Begun::Other(response) => return Ok(Downloaded::Response(response)),
        };
        let content_type = size.content_type.as_deref().unwrap_or(spec.content_type);
        let head = Head {
            content_type: content_type.into(),
            length: size.length,
        };
        to.begin(head.clone());
        let standstill = self.timings().request_timeout;
        let mut sent = 0;
        let mut next = Some(start).filter(|part| !part.is_empty());
        loop {
            if let Some(part) = next.take() {
                sent += part.len() as u64;
                match timeout(standstill, to.push(part)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) | Err(_) => return Err(DownloadError::Abandoned),
                }
            }
            next = self.next_part(&mut rest).await?;
            if next.is_none() {
                to.finish();
                return Ok(Downloaded::File(head, size.status, sent));
            }
        }
    }

    /// The next bytes of a body; `None` at its end.
    async fn next_part(&self, rest: &mut HttpResponse) -> Result<Option<Bytes>, RequestError> {
        let standstill = self.timings().request_timeout;
        let next = timeout(standstill, rest.chunk()).await;
        let next = next.map_err(|_| RequestError::TimedOut { sent: true })?;
        next.map_err(|error| {
            self.endpoint.note_broken(&error);
            RequestError::Broken(error)
        })
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
