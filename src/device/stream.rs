//! Files that stream to or from a device.
//!
//! The device's slot is held while they do. Owns their time limits: a stream that stands still for
//! as long as a request may take is ended, at whichever end it stands still.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::unfold;
use tokio::time::{Instant, timeout, timeout_at};

use super::client::{Carried, Device, DeviceResponse, Large, RequestError};
use crate::catalogue::Request;
use crate::command::{Download, Head, Upload};

/// Longer than this no download holds a slot, however steadily it trickles.
const LONGEST: Duration = Duration::from_secs(600);
/// "The REST API cannot accept more than 10 MB of data."
pub const LARGEST_UPLOAD: u64 = 10_000_000;

/// What became of a download.
#[derive(Debug)]
pub enum Downloaded {
    /// All of it went out.
    File(Head, u16, u64),
    /// There was nothing to stream: the answer is empty or a refusal.
    Response(DeviceResponse),
}

/// Why a download did not go out whole.
#[derive(Debug)]
pub enum DownloadError {
    /// The device's part.
    Request(RequestError),
    /// Whoever wanted it went away or did not take it.
    Abandoned,
}

impl Device {
    /// Carries a request out and passes its answer on as it comes.
    ///
    /// # Errors
    /// Why it did not all come.
    pub async fn download(
        &self,
        request: &Request,
        mut to: Download,
        content_type: &str,
        deadline: Instant,
    ) -> Result<Downloaded, DownloadError> {
        // A limit of nothing: whatever has bytes is left to be streamed.
        let opened = self.carry_out(request, None, 0, deadline);
        let (carried, _slot) = tokio::select! {
            opened = opened => opened.map_err(DownloadError::Request)?,
            () = to.abandoned() => return Err(DownloadError::Abandoned),
        };
        let large = match carried {
            Carried::Answered(answer) => return Ok(Downloaded::Response(answer)),
            Carried::Large(large) if (200..=299).contains(&large.about.status) => large,
            // A refusal of such a length is none that can be read.
            Carried::Large(large) => {
                return Err(DownloadError::Request(RequestError::TooLarge(large.about)));
            }
        };
        let head = Head {
            content_type: large
                .about
                .content_type
                .as_deref()
                .unwrap_or(content_type)
                .into(),
            length: large.about.length,
        };
        to.begin(head.clone());
        let status = large.about.status;
        let longest = Instant::now() + LONGEST;
        let sent = timeout_at(longest, self.pass_on(*large, &to)).await;
        let sent = sent.unwrap_or(Err(DownloadError::Abandoned))?;
        to.finish();
        Ok(Downloaded::File(head, status, sent))
    }

    async fn pass_on(&self, mut large: Large, to: &Download) -> Result<u64, DownloadError> {
        let still = self.timings().request_timeout;
        let broken = DownloadError::Request(RequestError::Broken);
        let mut sent = 0;
        let mut next = Some(large.begun).filter(|chunk| !chunk.is_empty());
        loop {
            if let Some(chunk) = next.take() {
                sent += chunk.len() as u64;
                match timeout(still, to.push(chunk)).await {
                    Ok(Ok(())) => {}
                    _ => return Err(DownloadError::Abandoned),
                }
            }
            match timeout(still, large.rest.chunk()).await {
                Ok(Ok(Some(chunk))) => next = Some(chunk),
                Ok(Ok(None)) => {
                    large.rest.end();
                    return Ok(sent);
                }
                Ok(Err(_)) => return Err(broken),
                Err(_) => {
                    let late = RequestError::TimedOut { sent: true };
                    return Err(DownloadError::Request(late));
                }
            }
        }
    }

    /// Carries a request out whose body streams in.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn upload(
        &self,
        request: &Request,
        from: Upload,
        limit: usize,
        deadline: Instant,
    ) -> Result<DeviceResponse, RequestError> {
        let still = self.timings().request_timeout;
        let length = from.length;
        let chunks = unfold(from.chunks, move |mut chunks| async move {
            let next = timeout(still, chunks.next()).await;
            let chunk: io::Result<Bytes> = match next {
                Ok(None) => return None,
                Ok(Some(chunk)) => chunk.map_err(io::Error::other),
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            };
            Some((chunk, chunks))
        });
        let (carried, _slot) = self
            .carry_out(request, Some((length, chunks.boxed())), limit, deadline)
            .await?;
        match carried {
            Carried::Answered(answer) => Ok(answer),
            Carried::Large(large) => Err(RequestError::TooLarge(large.about)),
        }
    }
}
