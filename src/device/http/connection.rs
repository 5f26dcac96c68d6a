//! Connections to a device: TCP, TLS, and the bound on what a device may send beside its answers.
//!
//! Knows no HTTP: a response tells [`SurplusMeter`] which of the bytes were content.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

use crate::net::dial;

/// A device on the local network accepts a connection and completes the TLS handshake well within
/// this, or it is not there.
pub const DEVICE_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a device may leave data unacknowledged or unread before the connection is closed.
/// Without it, a device that refuses an upload early and reads no further would hold the connection
/// and the uploader for ever.
pub const UNREAD_DATA_TIMEOUT: Duration = Duration::from_secs(3);
/// How many bytes a device may send that are not the content of an answer, besides twice as many as
/// that content. A handshake with certificates takes 5 KB, the head of a response 1 KB and at most
/// 64 KiB, and as much may wait in a buffer.
pub const LARGEST_SURPLUS: u32 = 256 << 10;
/// As how many bytes of surplus each part of an answer counts, because handling a part takes longer
/// than its bytes. A device that sends lines of a log one by one stays below it, one that
/// sends each byte as a chunk does not.
const SURPLUS_OF_A_PART: usize = 64;

/// A device sent more than [`LARGEST_SURPLUS`]: interim answers, TLS messages, empty chunks and the
/// like without end. The cause of an I/O error.
#[derive(Debug, thiserror::Error)]
#[error("it sends much that is no answer")]
pub struct SurplusError;

/// Counts what one connection received and what of that was content.
///
/// Whatever kind of filler a device invents, in TLS or in HTTP, is among the received bytes and not
/// among the content.
#[derive(Debug, Clone, Default)]
pub struct SurplusMeter(Arc<AtomicI64>);

impl SurplusMeter {
    fn received(&self, bytes: usize) -> io::Result<()> {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let surplus = self.0.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if surplus > i64::from(LARGEST_SURPLUS) {
            return Err(io::Error::other(SurplusError));
        }
        Ok(())
    }

    /// A part of an answer was content, of this many bytes, and twice as many may be something else.
    pub fn was_content(&self, bytes: usize) {
        let count = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
        let allowed = count(bytes.saturating_mul(3)) - count(SURPLUS_OF_A_PART);
        self.0.fetch_sub(allowed, Ordering::Relaxed);
    }

    /// An answer is complete. The next one is counted by itself.
    pub fn answer_ended(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// Connects to a device.
#[derive(Clone)]
pub struct DeviceConnector {
    tls: TlsConnector,
}

impl DeviceConnector {
    /// Connects with these TLS settings.
    pub fn new(mut tls: ClientConfig) -> Self {
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self {
            tls: Arc::new(tls).into(),
        }
    }

    async fn connect(self, uri: Uri) -> io::Result<TokioIo<DeviceConnection>> {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let name = ServerName::try_from(host).map_err(io::Error::other)?;
        let stream = dial(host, uri.port_u16().unwrap_or(443)).await?;
        SockRef::from(&stream).set_tcp_user_timeout(Some(UNREAD_DATA_TIMEOUT))?;
        let meter = SurplusMeter::default();
        let metered = MeteredStream {
            stream,
            meter: meter.clone(),
        };
        let stream = self.tls.connect(name.to_owned(), metered).await?;
        Ok(TokioIo::new(DeviceConnection { stream, meter }))
    }
}

impl Service<Uri> for DeviceConnector {
    type Response = TokioIo<DeviceConnection>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connected = self.clone().connect(uri);
        Box::pin(async {
            match timeout(DEVICE_CONNECT_TIMEOUT, connected).await {
                Ok(connected) => connected,
                Err(_) => Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "operation timed out",
                )),
            }
        })
    }
}

/// A connection to a device. Its responses carry the connection's [`SurplusMeter`].
pub struct DeviceConnection {
    stream: TlsStream<MeteredStream>,
    meter: SurplusMeter,
}

impl Connection for DeviceConnection {
    fn connected(&self) -> Connected {
        Connected::new().extra(self.meter.clone())
    }
}

impl AsyncRead for DeviceConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

/// TCP below TLS, where everything that a device sends passes.
struct MeteredStream {
    stream: TcpStream,
    meter: SurplusMeter,
}

impl AsyncRead for MeteredStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        Poll::Ready(self.meter.received(buffer.filled().len() - before))
    }
}

/// Writes go to the field `stream` as they are.
macro_rules! write_to_stream {
    ($connection:ty) => {
        impl AsyncWrite for $connection {
            fn poll_write(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.stream).poll_write(cx, bytes)
            }

            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                parts: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
            }

            fn is_write_vectored(&self) -> bool {
                self.stream.is_write_vectored()
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.stream).poll_flush(cx)
            }

            fn poll_shutdown(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                Pin::new(&mut self.stream).poll_shutdown(cx)
            }
        }
    };
}

write_to_stream!(DeviceConnection);
write_to_stream!(MeteredStream);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_may_send_its_content_and_twice_as_much_and_the_allowance() {
        let meter = SurplusMeter::default();
        let allowance = LARGEST_SURPLUS as usize;
        assert!(meter.received(allowance).is_ok());
        let error = meter.received(1).unwrap_err();
        assert!(error.get_ref().unwrap().is::<SurplusError>());
        meter.answer_ended();
        // Content never uses the allowance up, however much it is.
        for _ in 0..1000 {
            meter.received(64 << 10).unwrap();
            meter.was_content(64 << 10);
        }
        meter.answer_ended();
        assert!(meter.received(allowance + 1).is_err(), "no credit is kept");
    }

    #[test]
    fn lines_one_by_one_are_no_surplus_and_bytes_one_by_one_are() {
        /// How much a TLS record and a chunk take besides their content.
        const OVERHEAD: usize = 22 + 7;
        let parts = |size: usize| {
            let meter = SurplusMeter::default();
            let mut parts = 0_u32;
            while parts < 1_000_000 && meter.received(size + OVERHEAD).is_ok() {
                meter.was_content(size);
                parts += 1;
            }
            parts
        };
        assert_eq!(parts(50), 1_000_000);
        assert!((1000..5000).contains(&parts(1)), "{}", parts(1));
    }
}
