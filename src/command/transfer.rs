//! Files that stream, so that none sits whole in memory.
//!
//! Owns the two ends of a transfer between a front door and a device. Knows neither: bytes come as
//! a stream and leave through a bounded channel, and a dropped end is noticed at the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::{BoxStream, unfold};
use tokio::sync::{mpsc, oneshot};

/// So many chunks may be on their way out at a time.
const CHUNKS: usize = 4;

/// What streams along with a command.
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

/// The other end of a transfer is gone, or stopped in the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the transfer was cut off")]
pub struct CutOff;

/// A file on its way to a device.
pub struct Upload {
    /// How many bytes it has.
    pub length: u64,
    /// The bytes; an error where their sender goes away before the end.
    pub chunks: BoxStream<'static, Result<Bytes, CutOff>>,
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload")
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

/// What is known of a file before its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The MIME type.
    pub content_type: Arc<str>,
    /// How many bytes it has, where the device says so.
    pub length: Option<u64>,
}

/// Where a file from a device goes.
#[derive(Debug)]
pub struct Download {
    head: Option<oneshot::Sender<Head>>,
    chunks: mpsc::Sender<Bytes>,
    whole: Arc<AtomicBool>,
}

/// Where a file from a device arrives.
#[derive(Debug)]
pub struct Arrival {
    /// Comes before the first byte; never, if there is no file.
    pub head: oneshot::Receiver<Head>,
    /// The bytes.
    pub body: ArrivalBody,
}

/// The bytes of a file that arrives.
#[derive(Debug)]
pub struct ArrivalBody {
    chunks: mpsc::Receiver<Bytes>,
    whole: Arc<AtomicBool>,
}

impl Download {
    /// Both ends.
    pub fn new() -> (Self, Arrival) {
        let (head, head_arrives) = oneshot::channel();
        let (chunks, chunks_arrive) = mpsc::channel(CHUNKS);
        let whole = Arc::<AtomicBool>::default();
        let download = Self {
            head: Some(head),
            chunks,
            whole: whole.clone(),
        };
        let body = ArrivalBody {
            chunks: chunks_arrive,
            whole,
        };
        let arrival = Arrival {
            head: head_arrives,
            body,
        };
        (download, arrival)
    }

    /// Nobody waits for it any more.
    pub fn is_abandoned(&self) -> bool {
        self.chunks.is_closed()
    }

    /// Waits until nobody waits for it any more.
    pub async fn abandoned(&self) {
        self.chunks.closed().await;
    }

    /// There is a file.
    pub fn begin(&mut self, head: Head) {
        if let Some(sender) = self.head.take() {
            // A receiver that is gone is noticed at the first chunk.
            let _ = sender.send(head);
        }
    }

    /// Hands on some of its bytes; waits while the other end is slow.
    ///
    /// # Errors
    /// The other end is gone.
    pub async fn push(&self, chunk: Bytes) -> Result<(), CutOff> {
        self.chunks.send(chunk).await.map_err(|_| CutOff)
    }

    /// That was all. Without this the other end takes the file for cut off.
    pub fn finish(self) {
        self.whole.store(true, Ordering::Release);
    }
}

impl ArrivalBody {
    async fn next(&mut self) -> Option<Result<Bytes, CutOff>> {
        match self.chunks.recv().await {
            Some(chunk) => Some(Ok(chunk)),
            None if self.whole.swap(true, Ordering::Acquire) => None,
            None => Some(Err(CutOff)),
        }
    }

    /// As a stream that ends in an error if the file was cut off.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, CutOff>> + Send + 'static {
        unfold(self, async |mut body| {
            let next = body.next().await?;
            Some((next, body))
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    #[tokio::test]
    async fn a_whole_file_ends_well_and_one_cut_off_in_an_error() {
        for whole in [true, false] {
            let (download, arrival) = Download::new();
            download.push("a".into()).await.unwrap();
            if whole {
                download.finish();
            } else {
                drop(download);
            }
            let got: Vec<_> = arrival.body.into_stream().collect().await;
            let mut wanted = vec![Ok(Bytes::from("a"))];
            wanted.extend((!whole).then_some(Err(CutOff)));
            assert_eq!(got, wanted);
        }
    }

    #[tokio::test]
    async fn an_abandoned_download_is_noticed() {
        let (download, arrival) = Download::new();
        assert!(!download.is_abandoned());
        drop(arrival);
        download.abandoned().await;
        assert_eq!(download.push("a".into()).await, Err(CutOff));
    }
}
