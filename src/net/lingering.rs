//! The end of a connection whose client may still be sending.
//!
//! A system that closes a connection with unread bytes resets it, and a reset can take away the last
//! answer before the client has read it. So the gateway ends its own side, and reads on for a while
//! what it does not want, until the client has ended its side too.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// How long a connection lingers.
#[derive(Debug, Clone, Copy)]
pub struct LingerLimits {
    /// In all.
    pub total: Duration,
    /// While nothing comes.
    pub silence: Duration,
    /// The most that is read meanwhile, in bytes.
    pub bytes: usize,
}

/// A connection that ends.
#[derive(Debug)]
pub struct Lingering {
    limits: LingerLimits,
    over: Pin<Box<Sleep>>,
    end: Instant,
    /// The bytes that may still come.
    left: usize,
    is_shut_down: bool,
}

impl Lingering {
    /// From now on.
    pub fn new(limits: LingerLimits) -> Self {
        let end = Instant::now() + limits.total;
        Self {
            limits,
            over: Box::pin(sleep(limits.silence.min(limits.total))),
            end,
            left: limits.bytes,
            is_shut_down: false,
        }
    }

    /// Reads on until the connection may be closed.
    pub fn poll<S>(&mut self, socket: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if !self.is_shut_down {
            if self.over.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            ready!(Pin::new(&mut *socket).poll_shutdown(cx))?;
            self.is_shut_down = true;
        }
        let mut unwanted = [0; 4 << 10];
        while self.left > 0 {
            let mut buf = ReadBuf::new(&mut unwanted);
            let Poll::Ready(read) = Pin::new(&mut *socket).poll_read(cx, &mut buf) else {
                return self.over.as_mut().poll(cx).map(Ok);
            };
            read?;
            let read = buf.filled().len();
            if read == 0 {
                break;
            }
            let silent_until = Instant::now() + self.limits.silence;
            if silent_until.min(self.end) <= Instant::now() {
                break;
            }
            self.over.as_mut().reset(silent_until.min(self.end));
            self.left = self.left.saturating_sub(read);
        }
        Poll::Ready(Ok(()))
    }
}

/// Ends a connection after the last answer is written.
pub async fn linger(mut socket: impl AsyncRead + AsyncWrite + Unpin, limits: LingerLimits) {
    let mut lingering = Lingering::new(limits);
    // A client that is gone needs no answer.
    let _ = poll_fn(|cx| lingering.poll(&mut socket, cx)).await;
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const LIMITS: LingerLimits = LingerLimits {
        total: Duration::from_secs(30),
        silence: Duration::from_secs(2),
        bytes: 64 << 10,
    };

    #[tokio::test(start_paused = true)]
    async fn it_ends_with_the_client_or_the_time_or_too_much() {
        // The client sees the end at once, and may send on.
        let (server, mut client) = duplex(256);
        let ended = tokio::spawn(linger(server, LIMITS));
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        client.write_all(&[0; 1000]).await.unwrap();
        assert!(!ended.is_finished());
        drop(client);
        ended.await.unwrap();
        // One that stays and is silent.
        let (server, client) = duplex(256);
        let begun = Instant::now();
        linger(server, LIMITS).await;
        assert_eq!(begun.elapsed(), LIMITS.silence);
        drop(client);
        // One that sends slowly, and without end.
        let (server, mut client) = duplex(256);
        let begun = Instant::now();
        let ended = tokio::spawn(linger(server, LIMITS));
        while !ended.is_finished() {
            let _ = client.write_all(&[0]).await;
            sleep(LIMITS.silence / 2).await;
        }
        assert!(begun.elapsed() >= LIMITS.total && begun.elapsed() < LIMITS.total * 2);
        // One that sends fast.
        let (server, mut client) = duplex(256);
        tokio::spawn(linger(server, LIMITS));
        let mut sent = 0;
        while client.write_all(&[0; 256]).await.is_ok() {
            sent += 256;
            assert!(sent <= 2 * LIMITS.bytes);
        }
    }
}
