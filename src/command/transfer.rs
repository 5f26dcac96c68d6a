//! Files that stream between a front door and a device, so that none is held whole in memory.
//!
//! Owns both ends of a transfer. Knows neither front doors nor devices: an upload is a stream of
//! chunks, a download goes through a bounded channel, and each end notices when the other is
//! dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::{BoxStream, unfold};
use tokio::sync::{mpsc, oneshot};

/// How many chunks of a download may wait for the client. A chunk is at most what one read from the
/// device brings (some 16 KB), so a slow client holds little memory.
const DOWNLOAD_CHUNKS_IN_FLIGHT: usize = 4;

/// The stream that belongs to a command, if any.
#[derive(Debug, Default)]
pub enum Transfer {
    /// Nothing: payload and answer are held in memory.
    #[default]
    None,
    /// The payload comes in as a stream.
    Upload(Upload),
    /// A file that the command brings goes out as a stream.
    Download(Download),
}

/// The other end of the transfer went away before the file was complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the transfer was cut off")]
pub struct CutOff;

/// A file on its way to a device.
pub struct Upload {
    /// How many bytes it has.
    pub length: u64,
    /// The bytes; an error if their sender goes away before the end.
    pub chunks: BoxStream<'static, Result<Bytes, CutOff>>,
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload")
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

/// Type and size of a file, known before its first byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The MIME type.
    pub content_type: Arc<str>,
    /// How many bytes it has, if the device says so.
    pub length: Option<u64>,
}

/// The device's end of a download: where it writes the file.
#[derive(Debug)]
pub struct Download {
    head: Option<oneshot::Sender<Head>>,
    chunks: mpsc::Sender<Bytes>,
    /// Set by [`Download::finish`], so that a complete file differs from one cut off.
    complete: Arc<AtomicBool>,
}

/// The front door's end of a download: where it reads the file.
#[derive(Debug)]
pub struct DownloadReader {
    /// Comes before the first byte; never comes if there is no file.
    pub head: oneshot::Receiver<Head>,
    /// The bytes.
    pub body: DownloadBody,
}

/// The bytes of a download, as the front door reads them.
#[derive(Debug)]
pub struct DownloadBody {
    chunks: mpsc::Receiver<Bytes>,
    complete: Arc<AtomicBool>,
}

impl Download {
    /// Both ends of a new download.
    pub fn new() -> (Self, DownloadReader) {
        let (head_sender, head) = oneshot::channel();
        let (chunk_sender, chunks) = mpsc::channel(DOWNLOAD_CHUNKS_IN_FLIGHT);
        let complete = Arc::<AtomicBool>::default();
        let download = Self {
            head: Some(head_sender),
            chunks: chunk_sender,
            complete: complete.clone(),
        };
        let body = DownloadBody { chunks, complete };
        (download, DownloadReader { head, body })
    }

    /// Waits until the reading end is gone.
    pub async fn abandoned(&self) {
        self.chunks.closed().await;
    }

    /// Announces the file with its type and size.
    pub fn begin(&mut self, head: Head) {
        if let Some(sender) = self.head.take() {
            // A receiver that is gone is noticed at the first chunk.
            let _ = sender.send(head);
        }
    }

    /// Writes the next bytes; waits while the reading end is slow.
    ///
    /// # Errors
    /// The reading end is gone.
    pub async fn push(&self, chunk: Bytes) -> Result<(), CutOff> {
        self.chunks.send(chunk).await.map_err(|_| CutOff)
    }

    /// Marks the file as complete. Without this the reading end reports it as cut off.
    pub fn finish(self) {
        self.complete.store(true, Ordering::Release);
    }
}

impl DownloadBody {
    async fn next(&mut self) -> Option<Result<Bytes, CutOff>> {
        match self.chunks.recv().await {
            Some(chunk) => Some(Ok(chunk)),
            None if self.complete.swap(true, Ordering::Acquire) => None,
            None => Some(Err(CutOff)),
        }
    }

    /// The bytes as a stream; it ends in an error if the file was cut off.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, CutOff>> + Send + 'static {
        unfold(self, async |mut body| {
            let next = body.next().await?;
            Some((next, body))
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt};

    use super::*;

    #[tokio::test]
    async fn a_file_that_is_cut_off_ends_in_an_error() {
        for whole in [true, false] {
            let (download, reader) = Download::new();
            download.push("a".into()).await.unwrap();
            if whole {
                download.finish();
            } else {
                drop(download);
            }
            let got: Vec<_> = reader.body.into_stream().collect().await;
            let mut wanted = vec![Ok(Bytes::from("a"))];
            wanted.extend((!whole).then_some(Err(CutOff)));
            assert_eq!(got, wanted);
        }
    }

    #[tokio::test]
    async fn an_abandoned_download_is_noticed() {
        let (download, reader) = Download::new();
        assert!(download.abandoned().now_or_never().is_none());
        drop(reader);
        download.abandoned().await;
        assert_eq!(download.push("a".into()).await, Err(CutOff));
    }
}
