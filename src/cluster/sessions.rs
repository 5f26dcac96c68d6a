//! Where the sessions of shared rooms are kept, so that the next gateway of a room finds them: sealed, in the cluster's
//! store.
//!
//! Owns what is read when shards are gained, what is written and when, and what is forgotten. A room asks and stores
//! without waiting; the task of [`ClusterSessions::start`] talks to the store. Without the store rooms log in. Content
//! is secret: it is sealed before it is held, and never logged.
//!
//! ```text
//! seal      a text that only a gateway with the device's password can open
//! texts     what was found, and what is to be written, of each room
//! requests  the reads and writes, and why no late write can do harm
//! ```

mod requests;
mod seal;
mod texts;

#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::fence::{MemberFence, ShardFence};
use super::members::{GainedShard, HeldShard, Predecessor};
use super::placement::shard_of;
use super::record::Owner;
use super::registry::{Registry, RegistryError, TransactionReply};
use crate::config::{RoomConfig, Secret};
use crate::device::{KeptSessions, SessionStore, SharedSessions};
use crate::telemetry::Telemetry;
pub(super) use requests::SessionKeys;
use requests::{StepEnd, StoreSeen, reading, take_over};
use seal::Seal;
use texts::{LONGEST_SEALED, SessionTexts};

/// How long the rooms of shards that were gained may wait for their sessions. After that they log in.
const READ_TIMEOUT: Duration = Duration::from_millis(1500);
/// How long after a read that failed it is tried again.
const READ_RETRY: Duration = Duration::from_millis(100);
/// How many shards are read in one request: at 50,000 rooms they have 1.5 MB. etcd takes 128 reads.
pub(super) const SHARDS_IN_READ: usize = 32;
/// How many reads are under way.
const READS_AT_ONCE: usize = 4;
/// How long after a write the next one is made: at a start rooms log in one after the other, and one write for many of
/// them costs no more.
const WRITE_INTERVAL: Duration = Duration::from_millis(200);
/// The first wait after a write that failed; doubled each time.
const WRITE_RETRY: Duration = Duration::from_millis(200);
const LONGEST_WRITE_RETRY: Duration = Duration::from_secs(5);
/// How many refused writes are followed by the next at once. Other gateways change the table of owners a few times when
/// one comes or goes.
const REFUSALS_WITHOUT_WAIT: u32 = 5;
/// How often texts are looked through for what can be let go of.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);

/// The sessions of the rooms that this gateway has. Clones are handles to the same.
#[derive(Clone)]
pub struct ClusterSessions {
    shared: Arc<Shared>,
    prefix: Arc<str>,
    token: Secret,
    reads: mpsc::UnboundedSender<ReadOrder>,
}

/// The order to read the sessions of these shards.
struct ReadOrder {
    shards: Vec<HeldShard>,
    /// Told when that is done.
    done: oneshot::Sender<()>,
}

/// What rooms and the task share.
struct Shared {
    telemetry: Arc<Telemetry>,
    texts: Mutex<SessionTexts>,
    /// Something is to be written.
    work: Notify,
    /// Somebody waits for what is to be written.
    hurry: Notify,
    hurried: AtomicUsize,
    /// Changes when something has ended: a write, or a time of ownership.
    progress: watch::Sender<()>,
    /// The log says that nothing can be written, and nothing was written since.
    has_warned: AtomicBool,
}

impl fmt::Debug for ClusterSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterSessions").finish_non_exhaustive()
    }
}

impl ClusterSessions {
    /// Keeps sessions in the cluster whose keys begin with `prefix`, without a slash at its end, and whose gateways
    /// know this token. Also gives the task to spawn: it ends when no handle is left, or is dropped.
    ///
    /// `registry` is best one of its own: its connections belong to the runtime of the task, and large reads must not
    /// hold up heartbeats.
    pub fn start<R: Registry>(
        registry: Arc<R>,
        prefix: &str,
        token: Secret,
        telemetry: Arc<Telemetry>,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let shared = Arc::new(Shared::new(telemetry));
        let keys = SessionKeys::new(prefix);
        let (reads, orders) = mpsc::unbounded_channel();
        let task = {
            let (shared, keys) = (shared.clone(), keys);
            async move {
                let writing = write(registry.clone(), shared.clone(), keys.clone());
                let reading = read(registry, shared, keys, orders);
                tokio::select! {
                    () = writing => {}
                    () = reading => {}
                }
            }
        };
        let sessions = Self {
            shared,
            prefix: prefix.into(),
            token,
            reads,
        };
        (sessions, task)
    }

    /// These shards are this gateway's. Returns when their sessions are known, after 1.5 s at the latest: then the
    /// rooms may start, and without their sessions they log in.
    pub async fn gained(&self, shards: &[GainedShard]) {
        self.shared.texts.lock().gained(shards);
        let (done, is_done) = oneshot::channel();
        let order = ReadOrder {
            shards: shards.iter().map(|gained| gained.held).collect(),
            done,
        };
        if self.reads.send(order).is_err() {
            return;
        }
        if !matches!(timeout(READ_TIMEOUT, is_done).await, Ok(Ok(()))) {
            self.shared.telemetry.cluster_sessions_not_read();
        }
    }

    /// Where a room keeps its sessions during the present time of ownership of its shard. Asked for after
    /// [`ClusterSessions::gained`]; without it nothing is found nor stored.
    pub fn of(&self, room: &Arc<str>, config: &RoomConfig) -> SessionStore {
        let shard = shard_of(room);
        let period = self.shared.texts.lock().period(shard);
        SessionStore::Shared(Arc::new(RoomSessions {
            shared: self.shared.clone(),
            seal: Seal::new(&self.token, &self.prefix, room, config),
            held: period.map(|period| HeldShard { shard, period }),
            room: room.clone(),
        }))
    }

    /// A room is configured no more: what is kept of it is deleted, if its shard is this gateway's.
    pub fn forget(&self, room: &Arc<str>) {
        let shard = shard_of(room);
        let period = self.shared.texts.lock().period(shard);
        if let Some(period) = period {
            self.shared.set(HeldShard { shard, period }, room, None);
        }
    }

    /// Waits until everything of these shards is in the store, by `deadline`. To be awaited when their rooms have
    /// stopped, before the shards are released. False if something is not.
    pub async fn flush(&self, shards: &[HeldShard], deadline: Instant) -> bool {
        let mut progress = self.shared.progress.subscribe();
        if self.shared.texts.lock().is_written(shards) {
            return true;
        }
        let _hurry = Hurry::new(&self.shared);
        loop {
            let changed = timeout_at(deadline, progress.changed()).await;
            let is_written = self.shared.texts.lock().is_written(shards);
            if is_written || changed.is_err() {
                return is_written;
            }
        }
    }

    /// These times of ownership are over, in whatever way: nothing is found nor written any more.
    pub fn left(&self, shards: &[HeldShard]) {
        let mut texts = self.shared.texts.lock();
        shards.iter().for_each(|held| texts.left(*held));
        drop(texts);
        self.shared.progressed();
    }

    /// The store of a room whose shard this gateway has just gained, after this answer to the read of its sessions.
    /// Without a task. For the fuzz target `etcd_answer`.
    pub fn take_reply(
        &self,
        room: &Arc<str>,
        config: &RoomConfig,
        reply: &TransactionReply,
    ) -> SessionStore {
        let (shard, period) = (shard_of(room), 1);
        let held = HeldShard { shard, period };
        let gained = GainedShard {
            held,
            fence: ShardFence::new(&MemberFence::closed()),
            predecessor: Predecessor::None,
            owner: Owner {
                name: String::new(),
                created: 1,
            },
            revision: 1,
        };
        let keys = SessionKeys::new(&self.prefix);
        let mut texts = self.shared.texts.lock();
        texts.gained(&[gained]);
        take_over(&keys, &[held], reply, &mut texts, Instant::now());
        drop(texts);
        self.of(room, config)
    }

    /// How many rooms have sessions that are not in the store yet.
    pub fn pending(&self) -> usize {
        self.shared.texts.lock().pending()
    }
}

impl Shared {
    fn new(telemetry: Arc<Telemetry>) -> Self {
        Self {
            telemetry,
            texts: Mutex::default(),
            work: Notify::default(),
            hurry: Notify::default(),
            hurried: AtomicUsize::default(),
            progress: watch::Sender::default(),
            has_warned: AtomicBool::default(),
        }
    }

    fn set(&self, held: HeldShard, room: &Arc<str>, sealed: Option<Arc<str>>) {
        if self.texts.lock().set(held, room, sealed, Instant::now()) {
            self.work.notify_one();
        }
    }

    fn progressed(&self) {
        self.progress.send_replace(());
    }

    /// Waits this long, unless somebody waits for what is to be written.
    async fn pause(&self, time: Duration) {
        if self.hurried.load(Ordering::Acquire) == 0 {
            let _ = timeout(time, self.hurry.notified()).await;
        }
    }

    /// Only what needs a person's hand: whether etcd answers is told by others.
    fn failed(&self, error: &RegistryError) {
        tracing::debug!(%error, "sessions are not stored");
        if matches!(error, RegistryError::Refused(_))
            && !self.has_warned.swap(true, Ordering::Relaxed)
        {
            self.telemetry.cluster_sessions_not_stored(error);
        }
    }
}

/// While it is there, writes follow each other without a wait.
struct Hurry<'a>(&'a Shared);

impl<'a> Hurry<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.hurried.fetch_add(1, Ordering::AcqRel);
        shared.hurry.notify_one();
        Self(shared)
    }
}

impl Drop for Hurry<'_> {
    fn drop(&mut self) {
        self.0.hurried.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Writes what is to be written, for ever.
async fn write<R: Registry>(registry: Arc<R>, shared: Arc<Shared>, keys: SessionKeys) {
    let mut seen = StoreSeen::default();
    let (mut refusals, mut retry) = (0, WRITE_RETRY);
    loop {
        let step = seen.next_step(&keys, &shared.texts.lock());
        let Some(step) = step else {
            if timeout(SWEEP_INTERVAL, shared.work.notified())
                .await
                .is_err()
            {
                shared.texts.lock().sweep(Instant::now());
            }
            continue;
        };
        let answer = registry.compare_and_swap(&step.transaction).await;
        let end = match &answer {
            Ok(reply) => Ok(seen.answered(&step, reply, &mut shared.texts.lock(), Instant::now())),
            Err(error) => Err(error),
        };
        match end {
            Ok(StepEnd::Written) => {
                (refusals, retry) = (0, WRITE_RETRY);
                shared.has_warned.store(false, Ordering::Relaxed);
                shared.progressed();
                shared.pause(WRITE_INTERVAL).await;
            }
            Ok(StepEnd::Looked) => shared.progressed(),
            Ok(StepEnd::Refused) => {
                refusals += 1;
                if refusals > REFUSALS_WITHOUT_WAIT {
                    sleep(WRITE_RETRY).await;
                }
            }
            Err(error) => {
                shared.failed(error);
                sleep(WRITE_RETRY).await;
                shared.pause(retry.saturating_sub(WRITE_RETRY)).await;
                retry = (retry * 2).min(LONGEST_WRITE_RETRY);
            }
        }
    }
}

/// Reads sessions as ordered, until nobody can order it any more.
async fn read<R: Registry>(
    registry: Arc<R>,
    shared: Arc<Shared>,
    keys: SessionKeys,
    mut orders: mpsc::UnboundedReceiver<ReadOrder>,
) {
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            order = orders.recv() => {
                let Some(order) = order else { return };
                let (registry, shared, keys) = (registry.clone(), shared.clone(), keys.clone());
                under_way.spawn(async move {
                    let reading = read_shards(&*registry, &shared, &keys, &order.shards);
                    // Rooms that have waited so long do not ask any more.
                    if timeout(READ_TIMEOUT, reading).await.is_ok() {
                        let _ = order.done.send(());
                    }
                });
            }
            Some(_) = under_way.join_next() => {}
        }
    }
}

async fn read_shards<R: Registry>(
    registry: &R,
    shared: &Shared,
    keys: &SessionKeys,
    shards: &[HeldShard],
) {
    let parts = stream::iter(shards.chunks(SHARDS_IN_READ));
    let read_part = async |part: &[HeldShard]| {
        let transaction = reading(keys, part);
        loop {
            match registry.compare_and_swap(&transaction).await {
                Ok(reply) => {
                    return take_over(keys, part, &reply, &mut shared.texts.lock(), Instant::now());
                }
                Err(error) => tracing::debug!(%error, "the sessions of shards are not read yet"),
            }
            sleep(READ_RETRY).await;
        }
    };
    parts.for_each_concurrent(READS_AT_ONCE, read_part).await;
}

/// The sessions of one room in one time of ownership.
struct RoomSessions {
    shared: Arc<Shared>,
    seal: Seal,
    /// None if the shard was not this gateway's.
    held: Option<HeldShard>,
    room: Arc<str>,
}

impl fmt::Debug for RoomSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoomSessions")
            .field("room", &self.room)
            .finish_non_exhaustive()
    }
}

impl SharedSessions for RoomSessions {
    fn load(&self) -> KeptSessions {
        let found = self
            .held
            .and_then(|held| self.shared.texts.lock().get(held, &self.room));
        let Some(found) = found else {
            return KeptSessions::default();
        };
        let Some(text) = self.seal.open(&found.sealed) else {
            tracing::debug!(
                room = &*self.room,
                "the stored session is of another password or device, and is not used"
            );
            return KeptSessions::default();
        };
        KeptSessions {
            text,
            may_be_in_use: found.may_be_in_use,
        }
    }

    fn store(&self, text: Option<String>) {
        let Some(held) = self.held else {
            return;
        };
        let sealed = text.and_then(|text| {
            let sealed = self.seal.seal(text.as_bytes())?;
            if sealed.len() > LONGEST_SEALED {
                tracing::debug!(room = &*self.room, "the session is too large to be stored");
                return None;
            }
            Some(sealed.into())
        });
        self.shared.set(held, &self.room, sealed);
    }
}
