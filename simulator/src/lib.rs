//! A simulated Poly VideoOS device: HTTPS, sessions, and a room that changes.
//!
//! Written from the device's REST guide (4.0.0) and from what real firmware is known to do, and
//! from nothing of the gateway's: it shares no table with the catalogue, so that a mistake there
//! cannot hide here. Strict: a wrong method, field, word, range, cookie or token gets the status
//! that the guide documents.

mod audio;
mod calendar;
mod calls;
mod cameras;
mod check;
mod collaboration;
mod control;
mod directory;
mod fault;
mod server;
mod session;
mod system;
mod video;
mod world;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

pub use control::serve as serve_control;
pub use fault::{Fault, FaultKind};
use server::Identity;
use world::World;

/// Which firmware a device plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firmware {
    /// The guide's own shapes; no XSRF token.
    V4_0,
    /// Log-in sets an XSRF token, and bodies are as newer devices send them.
    V4_6_2,
}

/// How a device is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// The firmware.
    pub firmware: Firmware,
    /// The administrator.
    pub user: String,
    /// The administrator's password.
    pub password: String,
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The name the room has.
    pub name: String,
    /// From dialling to being connected.
    pub call_setup: Duration,
    /// How many sessions there can be.
    pub max_sessions: usize,
    /// How many failed log-ins lock the device.
    pub lockout_after: u32,
    /// For how long.
    pub lockout: Duration,
    /// How long a reboot takes.
    pub reboot: Duration,
    /// A reboot makes a new certificate, as old firmware does.
    pub new_certificate_at_reboot: bool,
    /// Presets count from 0.
    pub zero_based_presets: bool,
    /// Paths that this device lacks: they answer 404.
    pub lacks: Vec<String>,
    /// How many requests the journal keeps, the newest.
    pub journal: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            firmware: Firmware::V4_6_2,
            user: "admin".into(),
            password: "456".into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            name: "Simulated room".into(),
            call_setup: Duration::from_secs(1),
            max_sessions: 8,
            lockout_after: 5,
            lockout: Duration::from_secs(120),
            reboot: Duration::from_secs(5),
            new_certificate_at_reboot: false,
            zero_based_presets: false,
            lacks: Vec::new(),
            journal: usize::MAX,
        }
    }
}

/// A request that reached the device.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The method.
    pub method: String,
    /// The path as it was sent, still encoded.
    pub path: String,
    /// The query as it was sent.
    pub query: String,
    /// The `Content-Type`.
    pub content_type: Option<String>,
    /// The `Cookie`.
    pub cookie: Option<String>,
    /// The `X-XSRF-Token`.
    pub token: Option<String>,
    /// The body.
    pub body: Bytes,
    /// What was answered; 0 if the connection was dropped instead.
    pub status: u16,
    /// When it came.
    pub came: Instant,
    /// When it was answered, or dropped.
    pub answered: Instant,
    /// The status that the device itself gave, whatever became of the answer; none if a fault kept
    /// the request from it.
    pub acted: Option<u16>,
    /// What went wrong with it.
    pub fault: Option<FaultKind>,
    /// The session that it made.
    pub session: Option<String>,
}

/// A running device. Clones are handles to the same.
#[derive(Debug, Clone)]
pub struct Device {
    shared: Arc<Shared>,
    addr: SocketAddr,
}

#[derive(Debug)]
struct Shared {
    options: Options,
    world: Mutex<World>,
    journal: Mutex<VecDeque<Entry>>,
    faults: Mutex<Vec<Fault>>,
    identity: Mutex<Identity>,
    changed: Notify,
    running: AtomicUsize,
    most_running: AtomicUsize,
    /// Ends the connections of now; replaced when it is used.
    connections: Mutex<CancellationToken>,
    down_until: Mutex<Option<Instant>>,
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Device {
    /// Makes a certificate, binds and serves.
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
            identity: Mutex::new(Identity::new()?),
            changed: Notify::new(),
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

    /// `sha256:…` of the certificate it shows now.
    pub fn fingerprint(&self) -> String {
        lock(&self.shared.identity).fingerprint.clone()
    }

    /// Every request that arrived, as far as the journal reaches back.
    pub fn journal(&self) -> Vec<Entry> {
        lock(&self.shared.journal).iter().cloned().collect()
    }

    /// Forgets them.
    pub fn clear_journal(&self) {
        lock(&self.shared.journal).clear();
    }

    /// Every request since this was asked last.
    pub fn take_journal(&self) -> Vec<Entry> {
        std::mem::take(&mut *lock(&self.shared.journal)).into()
    }

    /// From now on this goes wrong.
    pub fn add_fault(&self, fault: Fault) {
        lock(&self.shared.faults).push(fault);
    }

    /// Nothing goes wrong any more.
    pub fn clear_faults(&self) {
        lock(&self.shared.faults).clear();
    }

    /// The greatest number of requests that ran at a time.
    pub fn most_at_a_time(&self) -> usize {
        self.shared.most_running.load(Ordering::Relaxed)
    }

    /// How many sessions there are.
    pub fn sessions(&self) -> usize {
        lock(&self.shared.world).sessions.count()
    }

    /// The ids of all sessions.
    pub fn session_ids(&self) -> Vec<String> {
        lock(&self.shared.world).sessions.ids()
    }

    /// An administrator ends one session.
    pub fn end_session(&self, id: &str) {
        self.change(|world| world.sessions.end(id));
    }

    /// Every session is stale from now on.
    pub fn expire_sessions(&self) {
        self.change(|world| world.sessions.expire());
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

    /// A person mutes or unmutes the microphones.
    pub fn person_mutes(&self, muted: bool) {
        self.change(|world| world.audio.muted = muted);
    }

    /// Somebody calls; gives the connection's id.
    pub fn person_calls_in(&self, from: &str) -> String {
        self.change(|world| world.calls.ring(from))
    }

    /// A person in the room takes the call that rings.
    pub fn person_answers(&self) {
        self.change(|world| world.calls.answer_any());
    }

    /// A person in the room hangs everything up.
    pub fn person_hangs_up(&self) {
        self.change(|world| world.calls.end_all());
    }

    /// A person switches to another provider, such as `Teams`; `Poly` goes back.
    pub fn person_sets_mode(&self, mode: &str) {
        self.change(|world| world.system.mode = mode.to_owned());
    }

    /// An administrator sets another password; sessions stay.
    pub fn person_sets_password(&self, password: &str) {
        self.change(|world| world.sessions.set_password(password));
    }

    /// Others take every session that is left, or give all of theirs back.
    pub fn others_log_in(&self, all: bool) {
        self.change(|world| world.sessions.occupy(all));
    }

    /// Shows another certificate from now on; connections are ended.
    ///
    /// # Errors
    /// No certificate can be made.
    pub fn new_certificate(&self) -> io::Result<()> {
        *lock(&self.shared.identity) = Identity::new()?;
        self.shared.end_connections();
        Ok(())
    }

    /// Goes down for so long; sessions and calls are gone after it.
    pub fn reboot(&self, takes: Duration) {
        self.shared.reboot(takes);
    }

    /// Waits until something holds; false at the deadline.
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

    /// Ends everything; the port is free afterwards.
    pub async fn stop(&self) {
        self.shared.stop.cancel();
        self.shared.end_connections();
        let task = lock(&self.shared.task).take();
        if let Some(task) = task {
            // It ends by itself; a panic in it has been reported already.
            let _ = task.await;
        }
    }
}

impl Shared {
    fn note(&self, entry: Entry) {
        let mut journal = lock(&self.journal);
        if journal.len() >= self.options.journal {
            journal.pop_front();
        }
        journal.push_back(entry);
    }

    fn end_connections(&self) {
        let old = std::mem::take(&mut *lock(&self.connections));
        old.cancel();
    }

    fn reboot(&self, takes: Duration) {
        *lock(&self.down_until) = Some(Instant::now() + takes);
        {
            let mut world = lock(&self.world);
            world.sessions.expire();
            world.calls.end_all();
        }
        if self.options.new_certificate_at_reboot
            && let Ok(identity) = Identity::new()
        {
            *lock(&self.identity) = identity;
        }
        self.end_connections();
    }
}
