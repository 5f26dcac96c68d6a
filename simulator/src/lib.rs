//! A simulated Poly VideoOS device: HTTPS, sessions, and a room that changes.
//!
//! It is written from the device's REST guide (4.0.0) and from what real firmware is known to do. It
//! must not use anything of the gateway, so that a mistake in the gateway's catalogue cannot hide
//! here; Cargo enforces this, because the gateway depends on this package. It is strict: a wrong
//! method, field, word, range, cookie or token gets the status that the guide documents.
//!
//! ```
//! use poly2mqtt_simulator::{Fault, FaultKind, Options, SimulatedDevice};
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let device = SimulatedDevice::start(Options::default()).await.unwrap();
//! device.person_calls_in("alice@example.com");
//! device.add_fault(Fault::on("/rest/audio", FaultKind::Status(503)).times(1));
//! assert!(device.url().starts_with("https://127.0.0.1:"));
//! device.stop().await;
//! # });
//! ```
//!
//! # Map
//!
//! ```text
//! server    HTTPS: connections, journal, faults around each request; identity: the certificate
//! session   log-in, log-out, the list and maximum of sessions, the lock-out
//! world     the whole room, and which requests it lets pass
//! routes    which function answers which method and path; each area has a table
//! firmware, profile   the firmwares, and what each has and lacks
//! model, nameplate    the models with their cameras, and who the device is
//! check     the strict reading of a request; replies
//! audio, calendar, cameras, collaboration, directory, system, video   one file for each section of the guide
//! calls     its section Conferences; connection: one of them, dialling: the bodies that dial
//! directory_entry, status   parts of the directory and of the system
//! devices, device_config, providers, call_log   beyond the guide
//! people    what people in and around the room do
//! limit     how many requests are answered in which time
//! condition what can be amiss in the room; fault: what can go wrong with a request
//! control   the control port of `poly2mqtt simulate`; options: how a device is set up; journal: what it was asked
//! ```

mod audio;
mod calendar;
mod call_log;
mod calls;
mod cameras;
mod check;
mod collaboration;
mod condition;
mod connection;
mod control;
mod device_config;
mod devices;
mod dialling;
mod directory;
mod directory_entry;
mod fault;
mod firmware;
mod identity;
mod journal;
mod limit;
mod model;
mod nameplate;
mod options;
mod people;
mod profile;
mod providers;
mod routes;
mod server;
mod session;
mod status;
mod system;
#[cfg(test)]
mod tests;
mod video;
mod world;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

pub use condition::Condition;
pub use control::serve as serve_control;
pub use fault::{Fault, FaultKind};
pub use firmware::Firmware;
use identity::Identity;
pub use journal::JournalEntry;
use limit::Limit;
pub use model::Model;
pub use options::Options;
use world::World;

/// A running device. Clones are handles to the same.
#[derive(Debug, Clone)]
pub struct SimulatedDevice {
    shared: Arc<Shared>,
    addr: SocketAddr,
}

#[derive(Debug)]
struct Shared {
    options: Options,
    world: Mutex<World>,
    journal: Mutex<VecDeque<JournalEntry>>,
    faults: Mutex<Vec<Fault>>,
    limit: Mutex<Option<Limit>>,
    identity: Mutex<Identity>,
    changed: Notify,
    /// How many requests a delay holds.
    delayed: AtomicUsize,
    delays_end: Notify,
    running: AtomicUsize,
    most_running: AtomicUsize,
    /// Ends all present connections. Replaced once it is used.
    connections: Mutex<CancellationToken>,
    down_until: Mutex<Option<Instant>>,
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SimulatedDevice {
    /// Creates a certificate, binds the address and serves.
    ///
    /// # Errors
    /// The address cannot be bound, or no certificate can be made.
    pub async fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            world: Mutex::new(World::new(&options)),
            journal: Mutex::default(),
            faults: Mutex::default(),
            limit: Mutex::default(),
            identity: Mutex::new(Identity::new()?),
            changed: Notify::new(),
            delayed: AtomicUsize::new(0),
            delays_end: Notify::new(),
            running: AtomicUsize::new(0),
            most_running: AtomicUsize::new(0),
            connections: Mutex::new(CancellationToken::new()),
            down_until: Mutex::default(),
            stop: CancellationToken::new(),
            task: Mutex::default(),
            options,
        });
        let task = tokio::spawn(server::accept(listener, shared.clone()));
        *lock(&shared.task) = Some(task);
        Ok(Self { shared, addr })
    }

    /// `https://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("https://{}", self.addr)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The fingerprint of its present certificate: `sha256:…`.
    pub fn fingerprint(&self) -> String {
        lock(&self.shared.identity).fingerprint.clone()
    }

    /// The journal, oldest first.
    pub fn journal(&self) -> Vec<JournalEntry> {
        lock(&self.shared.journal).iter().cloned().collect()
    }

    /// Empties the journal.
    pub fn clear_journal(&self) {
        lock(&self.shared.journal).clear();
    }

    /// The requests since this was called last.
    pub fn take_journal(&self) -> Vec<JournalEntry> {
        std::mem::take(&mut *lock(&self.shared.journal)).into()
    }

    /// Switches a fault on.
    pub fn add_fault(&self, fault: Fault) {
        lock(&self.shared.faults).push(fault);
    }

    /// Switches all faults off.
    pub fn clear_faults(&self) {
        lock(&self.shared.faults).clear();
    }

    /// Answers more requests than this in each window of time with 429 and `Retry-After`; 0 for no limit.
    pub fn limit_requests(&self, most: u32, window: Duration) {
        let limit = (most > 0).then(|| Limit::new(most, window));
        *lock(&self.shared.limit) = limit;
    }

    /// How many requests a delay holds now.
    pub fn delayed(&self) -> usize {
        self.shared.delayed.load(Ordering::Relaxed)
    }

    /// Ends the delays that run now: the device acts and answers at once.
    pub fn end_delays(&self) {
        self.shared.delays_end.notify_waiters();
    }

    /// The largest number of requests that were under way at the same time.
    pub fn most_at_a_time(&self) -> usize {
        self.shared.most_running.load(Ordering::Relaxed)
    }

    /// The number of sessions.
    pub fn sessions(&self) -> usize {
        lock(&self.shared.world).sessions.count()
    }

    /// The ids of all sessions.
    pub fn session_ids(&self) -> Vec<String> {
        lock(&self.shared.world).sessions.ids()
    }

    /// Everything about the room, for tests and people.
    pub fn state(&self) -> Value {
        lock(&self.shared.world).describe()
    }

    fn change<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        let result = change(&mut lock(&self.shared.world));
        self.shared.changed.notify_waiters();
        result
    }

    /// Waits until a condition holds. False if it does not in time.
    pub async fn wait_for(&self, within: Duration, holds: impl Fn(&Self) -> bool) -> bool {
        let deadline = Instant::now() + within;
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if holds(self) {
                return true;
            }
            if timeout_at(deadline, changed).await.is_err() {
                return holds(self);
            }
        }
    }

    /// Stops the device. Its port is free afterwards.
    pub async fn stop(&self) {
        self.shared.stop.cancel();
        self.shared.end_connections();
        let task = lock(&self.shared.task).take();
        if let Some(task) = task {
            // The task ends by itself. A panic in it has already been reported.
            let _ = task.await;
        }
    }
}

impl Shared {
    fn note(&self, entry: JournalEntry) {
        let mut journal = lock(&self.journal);
        if journal.len() >= self.options.journal {
            journal.pop_front();
        }
        journal.push_back(entry);
    }

    /// Holds a request for this time, or until the delays are ended.
    async fn delay(&self, late: Duration) {
        let end = self.delays_end.notified();
        self.delayed.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_waiters();
        let _ = timeout(late, end).await;
        self.delayed.fetch_sub(1, Ordering::Relaxed);
    }

    fn end_connections(&self) {
        let old = std::mem::take(&mut *lock(&self.connections));
        old.cancel();
    }

    fn reboot(&self, takes: Duration) {
        *lock(&self.down_until) = Some(Instant::now() + takes);
        lock(&self.world).restarted();
        if self.options.new_certificate_at_reboot
            && let Ok(identity) = Identity::new()
        {
            *lock(&self.identity) = identity;
        }
        self.end_connections();
    }
}
