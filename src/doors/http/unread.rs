//! Requests whose body is not read to its end, because they are refused early: the answer must reach
//! the client, and a proxy in between, although they still send.
//!
//! Owns the knowledge whether a client is in the middle of a request. When its connection ends then,
//! it lingers ([`Lingering`]).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::{LingerLimits, Lingering};

/// A refused upload is read on for this long, as nginx does. Devices take files of 10 MB at most.
const LINGER_LIMITS: LingerLimits = LingerLimits {
    total: Duration::from_secs(30),
    silence: Duration::from_secs(2),
    bytes: 32 << 20,
};

/// Whether the client is in the middle of a request. One for each connection.
#[derive(Debug, Clone, Default)]
pub struct UnreadRequest(Arc<Unread>);

#[derive(Debug, Default)]
struct Unread {
    is_unread: AtomicBool,
    received: ReceivedBytes,
}

/// How many bytes have come over a connection since the last whole message. The library that reads WebSockets
/// does not say how much it has of a message.
#[derive(Debug, Clone, Default)]
pub struct ReceivedBytes(Arc<AtomicUsize>);

impl ReceivedBytes {
    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The bytes that have come.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Some of them were for something else.
    pub fn without(&self, bytes: usize) {
        self.0
            .store(self.count().saturating_sub(bytes), Ordering::Relaxed);
    }

    /// A message is whole.
    pub fn restart(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

impl UnreadRequest {
    fn set(&self, is_unread: bool) {
        self.0.is_unread.store(is_unread, Ordering::Relaxed);
    }

    /// Whether it is.
    pub fn is_unread(&self) -> bool {
        self.0.is_unread.load(Ordering::Relaxed)
    }

    /// What has come over the connection.
    pub fn received(&self) -> ReceivedBytes {
        self.0.received.clone()
    }

    /// The body of a request that begins; notes when all of it was read.
    pub fn body(&self, inner: Incoming) -> WatchedBody {
        self.set(!inner.is_end_stream());
        WatchedBody {
            inner,
            unread: self.clone(),
        }
    }

    /// The connection, which lingers at its end if the client is in the middle of a request.
    pub fn connection<S>(&self, inner: S) -> LingeringConnection<S> {
        LingeringConnection {
            inner,
            unread: self.clone(),
            lingering: None,
        }
    }
}

/// A request's body.
#[derive(Debug)]
pub struct WatchedBody {
    inner: Incoming,
    unread: UnreadRequest,
}

impl Body for WatchedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        if matches!(frame, Poll::Ready(None)) || self.inner.is_end_stream() {
            self.unread.set(false);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A connection that may linger.
pub struct LingeringConnection<S> {
    inner: S,
    unread: UnreadRequest,
    lingering: Option<Lingering>,
}

impl<S: AsyncRead + Unpin> AsyncRead for LingeringConnection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            let received = buffer.filled().len() - before;
            self.unread.0.received.add(received);
            // The next request begins, or it is something that the library refuses.
            self.unread.set(true);
        }
        read
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for LingeringConnection<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self {
            inner,
            unread,
            lingering,
        } = &mut *self;
        if !unread.is_unread() {
            return Pin::new(inner).poll_shutdown(cx);
        }
        lingering
            .get_or_insert_with(|| Lingering::new(LINGER_LIMITS))
            .poll(inner, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
