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
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::task::AbortOnDropHandle;

use super::{Payer, Prepaid};
use crate::net::poll_turn;

/// How much is read at once. Going through it takes some 0.05 ms: so long others wait for each connection that sends.
const READ_AT_ONCE: usize = 2 << 10;
/// How much is read at once from a client that has shown a right token: a file comes faster in large pieces.
const READ_AT_ONCE_OF_KNOWN: usize = 16 << 10;

/// Twice what it takes to go through a byte of what is dearest: empty pieces of messages, pongs, and commands of
/// telnet, 23 to 30 ns with a release build on a server; small machines are slower. Requests and frames are paid for
/// besides, by what handling them takes. A file of 10 MB costs half a second by it.
const PRICE_OF_BYTE: Duration = Duration::from_nanos(50);

/// What reading so many bytes costs. With TLS they are those of the network: a record of one byte takes 23 there.
fn price(bytes: usize) -> Duration {
    PRICE_OF_BYTE.saturating_mul(u32::try_from(bytes).unwrap_or(u32::MAX))
}

/// Who pays for what is read from a connection. Clones are handles to the same.
#[derive(Debug, Clone)]
pub struct ReadsPayer(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    current: Current,
    /// The next read needs no permission: it may bring a token, and who shows one does not wait for others of its
    /// address.
    is_free: bool,
    /// Who waits for permission. Whoever pays next may have time at once.
    reader: Option<Waker>,
}

/// Who pays now; nobody does for what another gateway of the cluster sends, nor for a handshake's bytes.
#[derive(Debug, Clone)]
struct Current {
    payer: Option<Arc<Payer>>,
    /// How much is read at once.
    at_once: usize,
}

impl ReadsPayer {
    /// This one does, who has shown no right token.
    pub fn new(stranger: Arc<Payer>) -> Self {
        Self::with(Some(stranger))
    }

    /// Nobody yet: what is read belongs to a handshake, which is paid for by the time that it takes.
    pub fn of_handshake() -> Self {
        Self::with(None)
    }

    fn with(payer: Option<Arc<Payer>>) -> Self {
        let at_once = READ_AT_ONCE;
        Self(Arc::new(Mutex::new(State {
            current: Current { payer, at_once },
            is_free: true,
            reader: None,
        })))
    }

    /// From now on this one does, who has shown no right token.
    pub fn is_stranger(&self, payer: Arc<Payer>) {
        self.set(Some(payer), READ_AT_ONCE, false);
    }

    /// The same, and the first read needs no permission: another client begins, who may show a token.
    pub fn begins(&self, stranger: Arc<Payer>) {
        self.set(Some(stranger), READ_AT_ONCE, true);
    }

    /// From now on this one does, who has shown a right token.
    pub fn becomes(&self, payer: Arc<Payer>) {
        self.set(Some(payer), READ_AT_ONCE_OF_KNOWN, false);
    }

    /// From now on nobody does: the other end is another gateway of the cluster.
    pub fn is_trusted(&self) {
        self.set(None, usize::MAX, false);
    }

    /// Whoever pays now pays this besides: what the connection takes where no request and no frame is handled.
    pub fn charge(&self, cost: Duration) {
        if let Some(payer) = self.current().payer {
            payer.charge(cost);
        }
    }

    fn set(&self, payer: Option<Arc<Payer>>, at_once: usize, is_free: bool) {
        let mut state = self.0.lock();
        state.current = Current { payer, at_once };
        state.is_free |= is_free;
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }

    fn current(&self) -> Current {
        self.0.lock().current.clone()
    }

    /// Who must be asked before the next read. The reader is woken when somebody else pays.
    fn to_be_asked(&self, reader: &Waker) -> Option<Current> {
        let mut state = self.0.lock();
        if state.is_free {
            return None;
        }
        match &mut state.reader {
            Some(known) => known.clone_from(reader),
            None => state.reader = Some(reader.clone()),
        }
        Some(state.current.clone())
    }

    fn set_free(&self, is_free: bool) {
        self.0.lock().is_free = is_free;
    }
}

/// A payer's permission to read on, which is being waited for. It waits in fair queues, and a reader is polled only as
/// long as whatever is above wants to read. So a task of its own waits: a turn that comes is used to pay, and given on.
#[derive(Debug)]
struct Permission {
    payer: Arc<Payer>,
    waiting: AbortOnDropHandle<Prepaid>,
}

impl Permission {
    /// For so many bytes.
    fn of(payer: Arc<Payer>, bytes: usize) -> Self {
        let waiting = payer.clone();
        let waiting = tokio::spawn(async move { waiting.prepay(price(bytes)).await });
        Self {
            payer,
            waiting: AbortOnDropHandle::new(waiting),
        }
    }
}

/// A connection whose reads are paid for.
pub struct PaidReads<S> {
    inner: S,
    payer: ReadsPayer,
    /// Each read is paid for here. Otherwise it was below, where its bytes came from the network.
    pays: bool,
    /// Others run before the next read.
    must_wait_for_turn: bool,
    asking: Option<Permission>,
    /// The permission for the next read.
    prepaid: Option<Prepaid>,
}

impl<S> std::fmt::Debug for PaidReads<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PaidReads").finish_non_exhaustive()
    }
}

impl<S> PaidReads<S> {
    /// What is read from `inner` is paid for by `payer`.
    pub fn new(inner: S, payer: ReadsPayer) -> Self {
        Self::with(inner, payer, true)
    }

    /// What is read from `inner` was paid for below. It comes in small pieces all the same.
    pub fn paid_below(inner: S, payer: ReadsPayer) -> Self {
        Self::with(inner, payer, false)
    }

    fn with(inner: S, payer: ReadsPayer, pays: bool) -> Self {
        Self {
            inner,
            payer,
            pays,
            must_wait_for_turn: false,
            asking: None,
            prepaid: None,
        }
    }

    /// Ready when whoever pays now may have more read.
    fn poll_permission(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let asked = self.payer.to_be_asked(cx.waker());
        self.asking.take_if(|asking| {
            let payer = asked.as_ref().and_then(|current| current.payer.as_ref());
            payer.is_none_or(|payer| !Arc::ptr_eq(&asking.payer, payer))
        });
        let Some(Current {
            payer: Some(payer),
            at_once,
        }) = asked
        else {
            return Poll::Ready(());
        };
        if self.asking.is_none() && !payer.has_time() {
            self.asking = Some(Permission::of(payer, at_once));
        }
        if let Some(asking) = &mut self.asking {
            // It fails only when everything ends.
            self.prepaid = ready!(Pin::new(&mut asking.waiting).poll(cx)).ok();
        }
        self.asking = None;
        self.payer.set_free(true);
        Poll::Ready(())
    }

    /// So much was read at the cost of this payer.
    fn charge(&mut self, payer: Arc<Payer>, read: usize) {
        let prepaid = self.prepaid.take();
        match prepaid.filter(|prepaid| Arc::ptr_eq(prepaid.payer(), &payer)) {
            Some(prepaid) => prepaid.charge(price(read)),
            None => payer.charge(price(read)),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for PaidReads<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.pays {
            ready!(this.poll_permission(cx));
        }
        if this.must_wait_for_turn {
            ready!(poll_turn(cx));
            this.must_wait_for_turn = false;
        }
        let Current { payer, at_once } = this.payer.current();
        let before = buffer.filled().len();
        if at_once < buffer.remaining() {
            let mut piece = ReadBuf::new(buffer.initialize_unfilled_to(at_once));
            ready!(Pin::new(&mut this.inner).poll_read(cx, &mut piece))?;
            let read = piece.filled().len();
            buffer.advance(read);
        } else {
            ready!(Pin::new(&mut this.inner).poll_read(cx, buffer))?;
        }
        let read = buffer.filled().len() - before;
        this.must_wait_for_turn = read > 0;
        if this.pays && read > 0 {
            this.payer.set_free(false);
            if let Some(payer) = payer {
                this.charge(payer, read);
            }
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

    /// The first read is free; the second waits for a payer who owes time.
    async fn waiting_reader(payers: &Payers) -> (PaidReads<Endless>, Arc<Payer>) {
        let stranger = payers.of(address(1));
        let mut reads = PaidReads::new(Endless, ReadsPayer::new(stranger.clone()));
        assert!(reads.read(&mut [0; 64]).await.unwrap() > 0);
        // Of its own, and of what all share.
        stranger.charge(OWN_TIME * 2);
        stranger.charge(OWN_TIME * 2);
        let mut line = [0; 64];
        assert!(futures_util::poll!(Box::pin(reads.read(&mut line))).is_pending());
        (reads, stranger)
    }

    /// Whatever is above wants to read no more, and still answers: it must not wait for itself.
    #[tokio::test(start_paused = true)]
    async fn whoever_is_read_no_further_keeps_nobody_waiting() {
        let (reads, stranger) = waiting_reader(&Payers::new(OWN_TIME)).await;
        tokio::task::yield_now().await;
        let others = (0..10).map(|_| async { stranger.admit().await.charge(Duration::ZERO) });
        let others = futures_util::future::join_all(others);
        tokio::time::timeout(Duration::from_secs(60), others)
            .await
            .unwrap();
        drop(reads);
        // One that leaves while it waits gives its place back.
        let (reads, stranger) = waiting_reader(&Payers::new(OWN_TIME)).await;
        tokio::task::yield_now().await;
        drop(reads);
        tokio::time::timeout(Duration::from_secs(60), stranger.admit())
            .await
            .unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_waits_goes_on_when_somebody_else_pays() {
        for trusted in [false, true] {
            let payers = Payers::new(OWN_TIME);
            let (mut reads, stranger) = waiting_reader(&payers).await;
            let payer = reads.payer.clone();
            let reader = tokio::spawn(async move {
                assert!(reads.read(&mut [0; 64]).await.unwrap() > 0);
                reads
            });
            tokio::task::yield_now().await;
            assert!(!reader.is_finished());
            let begun = Instant::now();
            if trusted {
                payer.is_trusted()
            } else {
                payer.becomes(payers.of(PayerId::Token(1)))
            }
            let reads = reader.await.unwrap();
            assert_eq!(begun.elapsed(), Duration::ZERO);
            // It stands in nobody's way for as long as it lives.
            tokio::time::timeout(Duration::from_secs(60), stranger.admit())
                .await
                .unwrap();
            drop(reads);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_read_of_another_client_needs_no_permission() {
        let payers = Payers::new(OWN_TIME);
        let (mut reads, stranger) = waiting_reader(&payers).await;
        reads.payer.begins(stranger);
        let begun = Instant::now();
        assert!(reads.read(&mut [0; 64]).await.unwrap() > 0);
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert!(reads.read(&mut [0; 64]).await.unwrap() > 0);
        assert!(begun.elapsed() > Duration::ZERO);
    }
}
