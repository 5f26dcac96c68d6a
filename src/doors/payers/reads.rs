//! What is read from a connection, and who pays for it.
//!
//! Much of what a client can send makes no request and no frame: pieces of a message, pings, commands of telnet, what
//! comes before a token, what comes while the connection ends. The gateway goes through it all the same, so it is paid
//! for where it is read, whatever protocol is above: a small piece at a time, and the next only when its payer may have
//! more. In between others run. Who pays is at first the client's address, and later whoever has shown a token.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Payer;
use crate::net::poll_turn;

/// How much is read at once. Going through it takes some 0.05 ms: so long others wait for each connection that sends.
const READ_AT_ONCE: usize = 2 << 10;
/// The same of one who has shown a right token: a file comes faster in large pieces.
const READ_AT_ONCE_OF_KNOWN: usize = 16 << 10;

/// Twice what it takes to go through a byte of what is dearest: empty pieces of messages, pongs, and commands of
/// telnet, 23 to 30 ns with a release build on a server; small machines are slower. Requests and frames are paid for
/// besides, by what handling them takes. A file of 10 MB costs half a second by it.
const PRICE_OF_BYTE: Duration = Duration::from_nanos(50);

/// What reading so many bytes costs.
fn price(bytes: usize) -> Duration {
    PRICE_OF_BYTE.saturating_mul(u32::try_from(bytes).unwrap_or(u32::MAX))
}

/// Who pays for what is read from a connection. Clones are handles to the same.
#[derive(Debug, Clone)]
pub struct ReadsPayer(Arc<Mutex<(Option<Arc<Payer>>, usize)>>);

impl ReadsPayer {
    /// This one does, who has shown no right token.
    pub fn new(stranger: Arc<Payer>) -> Self {
        Self(Arc::new(Mutex::new((Some(stranger), READ_AT_ONCE))))
    }

    /// From now on this one does, who has shown no right token.
    pub fn is_stranger(&self, payer: Arc<Payer>) {
        self.set(Some(payer), READ_AT_ONCE);
    }

    /// From now on this one does, who has shown a right token.
    pub fn becomes(&self, payer: Arc<Payer>) {
        self.set(Some(payer), READ_AT_ONCE_OF_KNOWN);
    }

    /// From now on nobody does: the other end is another gateway of the cluster.
    pub fn is_trusted(&self) {
        self.set(None, usize::MAX);
    }

    fn set(&self, payer: Option<Arc<Payer>>, at_once: usize) {
        *self.0.lock() = (payer, at_once);
    }

    /// Who it is, and how much is read at once.
    fn current(&self) -> (Option<Arc<Payer>>, usize) {
        let payer = self.0.lock();
        payer.clone()
    }
}

/// A payer's permission to read on, which is being waited for.
type Permission = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection whose reads are paid for.
pub struct PaidReads<S> {
    inner: S,
    payer: ReadsPayer,
    /// Something was read since its payer was asked. The first read needs no permission: it may bring a token, and who
    /// shows one does not wait for others of its address.
    must_ask: bool,
    /// Others run before the next read.
    must_wait_for_turn: bool,
    asking: Option<(Arc<Payer>, Permission)>,
}

impl<S> std::fmt::Debug for PaidReads<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PaidReads").finish_non_exhaustive()
    }
}

impl<S> PaidReads<S> {
    /// What is read from `inner` is paid for by `payer`.
    pub fn new(inner: S, payer: ReadsPayer) -> Self {
        Self {
            inner,
            payer,
            must_ask: false,
            must_wait_for_turn: false,
            asking: None,
        }
    }

    /// Ready when this payer may have more read.
    fn poll_permission(&mut self, payer: &Arc<Payer>, cx: &mut Context<'_>) -> Poll<()> {
        let asked = self.asking.as_ref();
        if asked.is_none_or(|(asked, _)| !Arc::ptr_eq(asked, payer)) {
            self.asking = None;
            if payer.has_time() {
                return Poll::Ready(());
            }
            let waiting = payer.clone();
            let permission = async move {
                waiting.admit().await;
            };
            self.asking = Some((payer.clone(), Box::pin(permission)));
        }
        if let Some((_, permission)) = &mut self.asking {
            ready!(permission.as_mut().poll(cx));
        }
        self.asking = None;
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for PaidReads<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let (payer, at_once) = this.payer.current();
        if this.must_ask {
            if let Some(payer) = &payer {
                ready!(this.poll_permission(payer, cx));
            }
            this.must_ask = false;
        }
        if this.must_wait_for_turn {
            ready!(poll_turn(cx));
            this.must_wait_for_turn = false;
        }
        let before = buffer.filled().len();
        match &payer {
            None => ready!(Pin::new(&mut this.inner).poll_read(cx, buffer))?,
            Some(_) => {
                let room = buffer.remaining().min(at_once);
                let mut piece = ReadBuf::new(buffer.initialize_unfilled_to(room));
                ready!(Pin::new(&mut this.inner).poll_read(cx, &mut piece))?;
                let read = piece.filled().len();
                buffer.advance(read);
            }
        }
        let read = buffer.filled().len() - before;
        this.must_ask = read > 0;
        this.must_wait_for_turn = read > 0;
        if let Some(payer) = payer {
            payer.charge(price(read));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for PaidReads<S> {
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
        Pin::new(&mut self.inner).poll_shutdown(cx)
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

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::AsyncReadExt;
    use tokio::time::Instant;

    use super::*;
    use crate::doors::payers::{OWN_TIME, PayerId, Payers};
    use crate::network::Network;

    /// Sends without end, and is always ready.
    struct Endless;

    impl AsyncRead for Endless {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let room = buffer.remaining();
            buffer.put_slice(&vec![0xff; room]);
            Poll::Ready(Ok(()))
        }
    }

    fn address(n: u8) -> PayerId {
        PayerId::Address(Network::of(Ipv4Addr::new(192, 0, 2, n).into()))
    }

    /// How many bytes connections of one payer get in a time, all together.
    async fn read_by(payer: &Arc<Payer>, connections: usize, time: Duration) -> usize {
        let end = Instant::now() + time;
        let connection = || async {
            let mut reads = PaidReads::new(Endless, ReadsPayer::new(payer.clone()));
            let (mut all, mut buffer) = (0, vec![0; 64 << 10]);
            while let Ok(read) = tokio::time::timeout_at(end, reads.read(&mut buffer)).await {
                all += read.unwrap();
                // Otherwise a paused clock does not know that others wait.
                tokio::task::yield_now().await;
            }
            all
        };
        let all = (0..connections).map(|_| connection());
        futures_util::future::join_all(all).await.iter().sum()
    }

    #[tokio::test(start_paused = true)]
    async fn many_connections_are_read_no_faster_than_one_payer_may_have_it() {
        let time = Duration::from_secs(5);
        for connections in [1, 60] {
            let payers = Payers::new(OWN_TIME);
            let read = read_by(&payers.of(address(1)), connections, time).await;
            let used = price(read);
            // A twentieth of a processor, and half of one that all share; and what there was at the beginning.
            let share = OWN_TIME + Duration::from_millis(50) + time / 20 + time / 2;
            assert!(
                used > share / 2 && used <= share + price(connections * READ_AT_ONCE),
                "{used:?} of {share:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_shows_a_token_waits_for_nobody_of_its_address() {
        let payers = Payers::new(OWN_TIME);
        let stranger = payers.of(address(1));
        let flood = read_by(&stranger, 30, Duration::from_secs(2));
        let honest = async {
            let mut longest = Duration::ZERO;
            for _ in 0..50 {
                let begun = Instant::now();
                let payer = ReadsPayer::new(stranger.clone());
                let mut reads = PaidReads::new(Endless, payer.clone());
                let mut line = [0; 64];
                assert!(reads.read(&mut line).await.unwrap() > 0);
                payer.becomes(payers.of(PayerId::Token(1)));
                assert!(reads.read(&mut line).await.unwrap() > 0);
                longest = longest.max(begun.elapsed());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            longest
        };
        let (_, longest) = tokio::join!(flood, honest);
        assert_eq!(longest, Duration::ZERO);
    }

    /// Whatever is above reads on and on for as long as it gets something.
    #[tokio::test]
    async fn others_run_while_a_connection_is_read_on_and_on() {
        let payers = Payers::new(Duration::from_secs(3600));
        let reads = PaidReads::new(Endless, ReadsPayer::new(payers.of(address(1))));
        for trusted in [false, true] {
            let mut reads = PaidReads::new(Endless, reads.payer.clone());
            if trusted {
                reads.payer.is_trusted();
            }
            let reader = tokio::spawn(async move {
                let mut buffer = vec![0; 64 << 10];
                loop {
                    assert!(reads.read(&mut buffer).await.unwrap() > 0);
                }
            });
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            assert!(!reader.is_finished());
            reader.abort();
        }
    }
}
