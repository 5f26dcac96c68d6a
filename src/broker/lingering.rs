//! The end of a connection whose client may still be sending.
//!
//! A system that closes a connection with unread bytes resets it, and a reset can take away the last
//! answer before the client has read it. So the broker ends its own side, and reads on for a moment
//! what it does not want, until the client has ended its side too.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How long a client may take to notice the end: some round trips.
const LINGER_TIMEOUT: Duration = Duration::from_millis(500);
/// What is read meanwhile: about what is on its way in a fast network.
const LINGER_BYTES: usize = 64 << 10;

/// A connection that ends.
#[derive(Debug)]
pub struct Lingering {
    over: Pin<Box<Sleep>>,
    /// The bytes that may still come.
    left: usize,
    is_shut_down: bool,
}

impl Lingering {
    /// From now on.
    pub fn new() -> Self {
        Self {
            over: Box::pin(sleep(LINGER_TIMEOUT)),
            left: LINGER_BYTES,
            is_shut_down: false,
        }
    }

    /// Reads on until the connection may be closed.
    pub fn poll<S>(&mut self, socket: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if self.over.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        if !self.is_shut_down {
            ready!(Pin::new(&mut *socket).poll_shutdown(cx))?;
            self.is_shut_down = true;
        }
        let mut unwanted = [0; 4 << 10];
        while self.left > 0 {
            let mut buf = ReadBuf::new(&mut unwanted);
            ready!(Pin::new(&mut *socket).poll_read(cx, &mut buf))?;
            let read = buf.filled().len();
            if read == 0 {
                break;
            }
            self.left = self.left.saturating_sub(read);
        }
        Poll::Ready(Ok(()))
    }
}

/// Ends a connection after the last answer is written.
pub async fn end(mut socket: impl AsyncRead + AsyncWrite + Unpin) {
    let mut lingering = Lingering::new();
    // A client that is gone needs no answer.
    let _ = poll_fn(|cx| lingering.poll(&mut socket, cx)).await;
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_ends_with_the_client_or_the_time_or_too_much() {
        // The client sees the end at once, and may send on.
        let (server, mut client) = duplex(256);
        let ended = tokio::spawn(end(server));
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        client.write_all(&[0; 1000]).await.unwrap();
        assert!(!ended.is_finished());
        drop(client);
        ended.await.unwrap();
        // One that stays.
        let (server, client) = duplex(256);
        end(server).await;
        drop(client);
        // One that sends without end.
        let (server, mut client) = duplex(256);
        tokio::spawn(end(server));
        let mut sent = 0;
        while client.write_all(&[0; 256]).await.is_ok() {
            sent += 256;
            assert!(sent <= 2 * LINGER_BYTES);
        }
    }
}
