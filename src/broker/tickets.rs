//! Commands that are on their way from clients to the gateway: a client has only a few, so that its flood
//! does not stand before the commands of others.
//!
//! The library keeps tens of thousands of messages for the gateway, in the order in which they came, and the
//! gateway as many results. Here each command that the library gets has a number. Those that it has written
//! to the gateway are counted, and those that the gateway has answered. A command is through when it is
//! written and at most [`COMMANDS_IN_GATEWAY`] before it are not answered. A client that has
//! [`TICKETS_PER_CLIENT`] commands that are not through, or more than [`TICKET_BYTES_PER_CLIENT`] of them, is not
//! read further; others are. A large command keeps its place among the large messages that are coming until it is
//! through, since the library holds it until then.
//!
//! The library does not say whose command it writes, nor whether it dropped one. So a client waits no
//! longer than [`TICKET_TIMEOUT`]; then everything up to its last number counts as through. While the gateway is
//! not connected, everything does.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Sleep, sleep, timeout};

use super::limits::{
    COMMANDS_IN_GATEWAY, TICKET_BYTES_PER_CLIENT, TICKET_TIMEOUT, TICKETS_PER_CLIENT,
};

/// The commands of all clients.
#[derive(Debug, Default)]
pub struct CommandQueue {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// The number of the command that the library got last.
    passed: u64,
    /// How many of them the gateway has got.
    written: u64,
    /// How many it has answered.
    answered: u64,
    /// The gateway's connections: none, one, or for a moment an old one and a new one.
    gateways: usize,
    /// Clients that wait until the command of this number is through.
    waiting: BTreeMap<u64, Waker>,
    /// Large commands that are not through: whose place is given back when this is dropped.
    large: BTreeMap<u64, oneshot::Sender<()>>,
}

impl CommandQueue {
    /// The gateway has connected.
    pub fn connect(self: &Arc<Self>) -> GatewayConnection {
        self.counts.lock().gateways += 1;
        GatewayConnection(self.clone())
    }

    fn pass(&self) -> u64 {
        let mut counts = self.counts.lock();
        counts.passed += 1;
        if counts.gateways == 0 {
            let passed = counts.passed;
            counts.all_through_up_to(passed);
        }
        counts.passed
    }

    /// Whether the command of this number is through; otherwise `waker` is woken then.
    fn is_through(&self, number: u64, waker: &Waker) -> bool {
        let mut counts = self.counts.lock();
        let is_through = number <= counts.through();
        if is_through {
            counts.waiting.remove(&number);
        } else {
            counts.waiting.insert(number, waker.clone());
        }
        is_through
    }

    /// Keeps the place of a large command until it is through, but no longer than a client waits for its own.
    fn keep_place(&self, number: u64, place: OwnedSemaphorePermit) {
        let (held, through) = oneshot::channel();
        let mut counts = self.counts.lock();
        if number <= counts.through() {
            return;
        }
        counts.large.insert(number, held);
        drop(counts);
        tokio::spawn(async move {
            // Either way it is over.
            let _ = timeout(TICKET_TIMEOUT, through).await;
            drop(place);
        });
    }
}

impl Counts {
    /// The last command that is through.
    fn through(&self) -> u64 {
        self.written.min(self.answered + COMMANDS_IN_GATEWAY)
    }

    /// Counts so many as written and as answered. More are written than were passed, and more answered
    /// than written, after some counted that came later.
    fn count(&mut self, written: u64, answered: u64) {
        self.written = self.written.max(written).min(self.passed);
        self.answered = self.answered.max(answered).min(self.written);
        let through = self.through();
        while let Some(first) = self.waiting.first_entry()
            && *first.key() <= through
        {
            first.remove().wake();
        }
        while let Some(first) = self.large.first_entry()
            && *first.key() <= through
        {
            first.remove();
        }
    }

    fn all_through_up_to(&mut self, number: u64) {
        self.count(number, number.saturating_sub(COMMANDS_IN_GATEWAY));
    }
}

/// A connection of the gateway.
#[derive(Debug)]
pub struct GatewayConnection(Arc<CommandQueue>);

impl GatewayConnection {
    /// The library writes a client's command to it.
    pub fn write_command(&self) {
        let mut counts = self.0.counts.lock();
        let written = counts.written + 1;
        counts.count(written, 0);
    }

    /// The gateway sends a result.
    pub fn read_result(&self) {
        let mut counts = self.0.counts.lock();
        let answered = counts.answered + 1;
        counts.count(0, answered);
    }
}

impl Drop for GatewayConnection {
    fn drop(&mut self) {
        let mut counts = self.0.counts.lock();
        counts.gateways -= 1;
        if counts.gateways == 0 {
            let passed = counts.passed;
            counts.all_through_up_to(passed);
        }
    }
}

/// The numbers of one client.
#[derive(Debug)]
pub struct Tickets {
    queue: Arc<CommandQueue>,
    /// Its last numbers with the bytes of each command, at most [`TICKETS_PER_CLIENT`].
    numbers: VecDeque<(u64, usize)>,
    /// Their bytes.
    bytes: usize,
    /// The command that the library is getting.
    coming: Option<u64>,
    /// Runs while it waits.
    timeout: Option<Pin<Box<Sleep>>>,
}

impl Tickets {
    pub fn new(queue: Arc<CommandQueue>) -> Self {
        Self {
            queue,
            numbers: VecDeque::new(),
            bytes: 0,
            coming: None,
            timeout: None,
        }
    }

    /// The library gets a command of this client, which has so many bytes.
    pub fn pass(&mut self, bytes: usize) {
        if self.numbers.len() == TICKETS_PER_CLIENT {
            self.forget_oldest();
        }
        let number = self.queue.pass();
        self.numbers.push_back((number, bytes));
        self.bytes += bytes;
        self.coming = Some(number);
    }

    /// The library has the whole packet that was coming. `place`: what it has of the large messages, if it is
    /// large.
    pub fn arrived(&mut self, place: Option<OwnedSemaphorePermit>) {
        if let (Some(number), Some(place)) = (self.coming.take(), place) {
            self.queue.keep_place(number, place);
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, bytes)) = self.numbers.pop_front() {
            self.bytes -= bytes;
        }
    }

    fn is_full(&self) -> bool {
        self.numbers.len() == TICKETS_PER_CLIENT || self.bytes > TICKET_BYTES_PER_CLIENT
    }

    /// Ready if the client may pass one more.
    pub fn poll_may_pass(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.is_full()
            && let Some((oldest, _)) = self.numbers.front()
            && self.queue.is_through(*oldest, cx.waker())
        {
            self.forget_oldest();
        }
        let newest = match self.numbers.back() {
            Some((newest, _)) if self.is_full() => *newest,
            _ => {
                self.timeout = None;
                return Poll::Ready(());
            }
        };
        let timeout = self
            .timeout
            .get_or_insert_with(|| Box::pin(sleep(TICKET_TIMEOUT)));
        if timeout.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.timeout = None;
        self.queue.counts.lock().all_through_up_to(newest);
        self.numbers.clear();
        self.bytes = 0;
        Poll::Ready(())
    }
}

impl Drop for Tickets {
    fn drop(&mut self) {
        if let Some((oldest, _)) = self.numbers.front() {
            self.queue.counts.lock().waiting.remove(oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::Instant;

    use super::*;

    /// Passes as many commands as the client may; how many.
    async fn passed(tickets: &mut Tickets) -> usize {
        let mut passed = 0;
        while poll_fn(|cx| Poll::Ready(tickets.poll_may_pass(cx).is_ready())).await {
            tickets.pass(1);
            passed += 1;
            assert!(passed <= 1000, "there is no bound");
        }
        passed
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_has_few_commands_on_their_way_and_the_next_when_one_is_through() {
        let queue = Arc::<CommandQueue>::default();
        let gateway = queue.connect();
        let mut flood = Tickets::new(queue.clone());
        let mut other = Tickets::new(queue.clone());
        assert_eq!(passed(&mut flood).await, TICKETS_PER_CLIENT);
        // Another one has its own.
        assert_eq!(passed(&mut other).await, TICKETS_PER_CLIENT);
        for _ in 0..5 {
            gateway.write_command();
        }
        assert_eq!(passed(&mut other).await, 0);
        assert_eq!(passed(&mut flood).await, 5);
        // It is woken.
        let waits = tokio::spawn(async move {
            let begun = Instant::now();
            poll_fn(|cx| flood.poll_may_pass(cx)).await;
            begun.elapsed()
        });
        tokio::task::yield_now().await;
        gateway.write_command();
        assert!(waits.await.unwrap() < TICKET_TIMEOUT);
        drop(other);
        assert!(queue.counts.lock().waiting.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_floods_waits_for_results_and_others_do_not() {
        let queue = Arc::<CommandQueue>::default();
        let gateway = queue.connect();
        let mut flood = Tickets::new(queue.clone());
        let mut of_flood = 0;
        for _ in 0..COMMANDS_IN_GATEWAY * 2 {
            of_flood += passed(&mut flood).await;
            gateway.write_command();
        }
        let most = COMMANDS_IN_GATEWAY as usize + TICKETS_PER_CLIENT;
        assert_eq!(of_flood, most);
        let mut other = Tickets::new(queue.clone());
        assert_eq!(passed(&mut other).await, TICKETS_PER_CLIENT);
        gateway.read_result();
        assert_eq!(passed(&mut flood).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn commands_that_are_never_written_delay_a_client_only_once() {
        let queue = Arc::<CommandQueue>::default();
        let gateway = queue.connect();
        let mut tickets = Tickets::new(queue.clone());
        assert_eq!(passed(&mut tickets).await, TICKETS_PER_CLIENT);
        let begun = Instant::now();
        poll_fn(|cx| tickets.poll_may_pass(cx)).await;
        assert_eq!(begun.elapsed(), TICKET_TIMEOUT);
        // They are written after all: no more are counted than were passed.
        for _ in 0..TICKETS_PER_CLIENT * 2 {
            gateway.write_command();
        }
        assert_eq!(passed(&mut tickets).await, TICKETS_PER_CLIENT);
        assert_eq!(passed(&mut tickets).await, 0);
        // Nothing waits for a gateway that is gone.
        drop(gateway);
        for _ in 0..TICKETS_PER_CLIENT * 3 {
            assert!(poll_fn(|cx| Poll::Ready(tickets.poll_may_pass(cx).is_ready())).await);
            tickets.pass(1);
        }
    }

    async fn may_pass(tickets: &mut Tickets) -> bool {
        poll_fn(|cx| Poll::Ready(tickets.poll_may_pass(cx).is_ready())).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_with_many_bytes_on_their_way_waits_until_enough_of_them_are_through() {
        let queue = Arc::<CommandQueue>::default();
        let gateway = queue.connect();
        let mut tickets = Tickets::new(queue.clone());
        tickets.pass(1);
        tickets.pass(TICKET_BYTES_PER_CLIENT - 1);
        assert!(may_pass(&mut tickets).await);
        // One may be of any size.
        tickets.pass(TICKET_BYTES_PER_CLIENT * 9);
        assert!(!may_pass(&mut tickets).await);
        gateway.write_command();
        gateway.write_command();
        assert!(!may_pass(&mut tickets).await, "the large one waits still");
        gateway.write_command();
        assert!(may_pass(&mut tickets).await);
        assert_eq!(passed(&mut tickets).await, TICKETS_PER_CLIENT);
        drop(tickets);
        assert!(queue.counts.lock().waiting.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_command_keeps_its_place_until_it_is_through() {
        let places = Arc::new(tokio::sync::Semaphore::new(3));
        let queue = Arc::<CommandQueue>::default();
        let gateway = queue.connect();
        let mut tickets = Tickets::new(queue.clone());
        let take = || places.clone().try_acquire_owned().ok();
        // Not a command.
        tickets.arrived(take());
        assert_eq!(places.available_permits(), 3);
        for _ in 0..2 {
            tickets.pass(1 << 20);
            tickets.arrived(take());
        }
        // A packet after it is none of its own.
        tickets.arrived(take());
        assert_eq!(places.available_permits(), 1);
        gateway.write_command();
        tokio::task::yield_now().await;
        assert_eq!(places.available_permits(), 2);
        // One that is never written gives it back all the same.
        tokio::time::sleep(TICKET_TIMEOUT).await;
        tokio::task::yield_now().await;
        assert_eq!(places.available_permits(), 3);
        drop(gateway);
        tickets.pass(1 << 20);
        tickets.arrived(take());
        assert_eq!(places.available_permits(), 3, "nothing waits for a gateway");
        assert!(queue.counts.lock().large.is_empty());
    }
}
