//! A connection's socket, with the two rules that hold for every protocol above it: its place is
//! taken for as long as it is open, and a client that reads nothing of what is sent is dropped.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::places::Place;

/// A socket that fails once a write made no progress for this long.
pub struct Guarded<S> {
    inner: S,
    write_timeout: Duration,
    /// Runs while a write waits.
    blocked: Option<Pin<Box<Sleep>>>,
    _place: Arc<Place>,
}

impl<S> std::fmt::Debug for Guarded<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guarded").finish_non_exhaustive()
    }
}

impl<S> Guarded<S> {
    /// Guards a socket.
    pub fn new(inner: S, write_timeout: Duration, place: Arc<Place>) -> Self {
        Self {
            inner,
            write_timeout,
            blocked: None,
            _place: place,
        }
    }

    fn watch<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.blocked = None;
            return written;
        }
        let write_timeout = self.write_timeout;
        let limit = self
            .blocked
            .get_or_insert_with(|| Box::pin(sleep(write_timeout)));
        ready!(limit.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.watch(written, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Says nothing about progress: the flush of a socket is always ready.
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(context, parts);
        self.watch(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;
    use crate::net::places::Places;

    const LIMIT: Duration = Duration::from_secs(20);

    async fn pair() -> (Guarded<tokio::io::DuplexStream>, tokio::io::DuplexStream) {
        let (here, there) = duplex(16);
        let peer = std::net::IpAddr::from([127, 0, 0, 1]);
        let place = Places::new(4).take(peer, |_| {}).await.unwrap();
        (Guarded::new(here, LIMIT, Arc::new(place)), there)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_is_dropped_in_time() {
        let (mut here, _there) = pair().await;
        let begun = tokio::time::Instant::now();
        let failed = here.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_not_dropped() {
        let (mut here, mut there) = pair().await;
        let reader = tokio::spawn(async move {
            let mut bytes = [0; 16];
            for _ in 0..16 {
                sleep(LIMIT * 3 / 4).await;
                there.read_exact(&mut bytes).await.unwrap();
            }
        });
        here.write_all(&[0; 256]).await.unwrap();
        reader.await.unwrap();
    }
}
