//! Sessions over a store in memory that fails as it is told.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use super::seal::tests::room_config;
use super::*;
use crate::cluster::fence::{MemberFence, ShardFence};
use crate::cluster::members::simulation::store::Store;
use crate::cluster::placement::Shard;
use crate::cluster::record::Owner;
use crate::cluster::registry::{Read, Transaction, TransactionReply, Write};
use crate::cluster::{Predecessor, Table};

const PREFIX: &str = "/test";
const TABLE: &str = "/test/table";

pub fn shard(number: u16) -> Shard {
    Shard::new(number).unwrap()
}

pub fn gained(shards: &[u16], period: u64) -> Vec<GainedShard> {
    gained_from(shards, period, &Predecessor::None)
}

pub fn gained_from(shards: &[u16], period: u64, predecessor: &Predecessor) -> Vec<GainedShard> {
    let gained = |number: &u16| GainedShard {
        held: HeldShard {
            shard: shard(*number),
            period,
        },
        fence: ShardFence::new(&MemberFence::closed()),
        predecessor: predecessor.clone(),
        owner: owner("gw-1"),
        revision: 1,
    };
    shards.iter().map(gained).collect()
}

fn owner(name: &str) -> Owner {
    Owner {
        name: name.into(),
        created: 1,
    }
}

/// How the store behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Works,
    /// It does not answer.
    Silent,
    /// It does what it is told, and the answer is lost.
    LosesAnswers,
    /// What it is told happens later, and the answer is lost.
    Delays,
    Fails,
}

struct Memory {
    store: Mutex<Store>,
    mood: Mutex<Mood>,
    delayed: Mutex<Vec<Transaction>>,
    calls: AtomicUsize,
}

impl Memory {
    fn start() -> Arc<Self> {
        Arc::new(Self {
            store: Mutex::default(),
            mood: Mutex::new(Mood::Works),
            delayed: Mutex::default(),
            calls: AtomicUsize::new(0),
        })
    }

    fn set(&self, mood: Mood) {
        *self.mood.lock() = mood;
    }

    fn apply(&self, transaction: &Transaction) -> TransactionReply {
        self.store.lock().apply(transaction)
    }

    /// Writes into the table of owners who has every shard.
    fn give_all_to(&self, owner: &Owner) {
        let mut table = Table::default();
        Shard::all().for_each(|shard| table.set(shard, Some(owner)));
        self.put(TABLE, &table.to_text());
    }

    fn put(&self, key: &str, value: &str) {
        self.apply(&Transaction {
            writes: vec![Write::Put(key.into(), value.into())],
            ..Transaction::default()
        });
    }

    /// The keys of sessions and their values.
    fn sessions(&self) -> Vec<(String, String)> {
        let reply = self.apply(&Transaction {
            reads: vec![Read::Prefix("/test/sessions/".into())],
            ..Transaction::default()
        });
        let entries = reply.reads.into_iter().flatten();
        entries.map(|entry| (entry.key, entry.value)).collect()
    }

    fn happens(&self) {
        for transaction in std::mem::take(&mut *self.delayed.lock()) {
            self.apply(&transaction);
        }
    }
}

impl Registry for Memory {
    async fn compare_and_swap(
        &self,
        transaction: &Transaction,
    ) -> Result<TransactionReply, RegistryError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        sleep(Duration::from_millis(2)).await;
        let writes = transaction.writes.len();
        assert!(
            writes + transaction.reads.len() <= 128,
            "etcd takes no more"
        );
        let mood = *self.mood.lock();
        match mood {
            Mood::Works => Ok(self.apply(transaction)),
            Mood::Silent => std::future::pending().await,
            Mood::LosesAnswers => {
                self.apply(transaction);
                Err(RegistryError::InDoubt("no answer".into()))
            }
            Mood::Delays => {
                self.delayed.lock().push(transaction.clone());
                Err(RegistryError::InDoubt("no answer".into()))
            }
            Mood::Fails => Err(RegistryError::Unreachable("no connection".into())),
        }
    }
}

fn start(store: &Arc<Memory>) -> ClusterSessions {
    let token = Secret::new("a long random text");
    let (sessions, task) = ClusterSessions::start(store.clone(), PREFIX, token, Arc::default());
    tokio::spawn(task);
    sessions
}

fn all_shards(predecessor: &Predecessor) -> Vec<GainedShard> {
    let numbers: Vec<u16> = (0..1024).collect();
    gained_from(&numbers, 1, predecessor)
}

fn held(shards: &[GainedShard]) -> Vec<HeldShard> {
    shards.iter().map(|gained| gained.held).collect()
}

fn handle(sessions: &ClusterSessions, room: &str) -> Arc<dyn SharedSessions> {
    static CONFIG: LazyLock<RoomConfig> =
        LazyLock::new(|| room_config("https://192.0.2.1", "admin", "secret"));
    match sessions.of(&room.into(), &CONFIG) {
        SessionStore::Shared(shared) => shared,
        SessionStore::File(_) => panic!("a file"),
    }
}

fn text(shared: &dyn SharedSessions) -> String {
    String::from_utf8(shared.load().text).unwrap()
}

async fn flushed(sessions: &ClusterSessions, shards: &[HeldShard]) -> bool {
    let deadline = Instant::now() + Duration::from_secs(10);
    sessions.flush(shards, deadline).await
}

/// What the next gateway finds.
async fn next_finds(store: &Arc<Memory>, room: &str) -> String {
    let next = start(store);
    next.gained(&all_shards(&Predecessor::None)).await;
    text(&*handle(&next, room))
}

#[tokio::test(start_paused = true)]
async fn the_next_gateway_finds_a_session_and_whether_it_may_be_in_use() {
    let store = Memory::start();
    store.give_all_to(&owner("gw-1"));
    let shards = all_shards(&Predecessor::None);
    let sessions = start(&store);
    sessions.gained(&shards).await;
    let room = handle(&sessions, "a");
    assert_eq!(text(&*room), "");
    room.store(Some("the session".into()));
    // A room whose configuration was changed asks at once.
    assert_eq!(text(&*handle(&sessions, "a")), "the session");
    assert!(flushed(&sessions, &held(&shards)).await);
    let [(key, value)] = &store.sessions()[..] else {
        panic!("{:?}", store.sessions());
    };
    assert_eq!(*key, format!("/test/sessions/{}/a", shard_of("a")));
    assert!(!value.contains("session"));
    for (predecessor, may_be_in_use) in [
        (Predecessor::None, false),
        (Predecessor::Dead(owner("gw-2")), true),
        (Predecessor::Dead(owner("gw-1")), false),
    ] {
        let next = start(&store);
        next.gained(&all_shards(&predecessor)).await;
        let kept = handle(&next, "a").load();
        assert_eq!(kept.text, b"the session");
        assert_eq!(kept.may_be_in_use, may_be_in_use, "{predecessor:?}");
        // Of another device or password it is none.
        for config in [
            room_config("https://192.0.2.2", "admin", "secret"),
            room_config("https://192.0.2.1", "admin", "other"),
        ] {
            let SessionStore::Shared(other) = next.of(&"a".into(), &config) else {
                panic!("a file");
            };
            assert!(other.load().text.is_empty());
        }
    }
    room.store(None);
    assert!(flushed(&sessions, &held(&shards)).await);
    assert_eq!(store.sessions(), []);
}

#[tokio::test(start_paused = true)]
async fn thousands_of_log_ins_cost_few_writes_and_a_take_over_few_reads() {
    let store = Memory::start();
    store.give_all_to(&owner("gw-1"));
    let shards = all_shards(&Predecessor::None);
    let sessions = start(&store);
    sessions.gained(&shards).await;
    // 3,000 log-ins in 20 s.
    let before = store.calls.load(Ordering::SeqCst);
    for n in 0..3000 {
        handle(&sessions, &n.to_string()).store(Some(format!("session {n}")));
        sleep(Duration::from_micros(6667)).await;
    }
    assert!(flushed(&sessions, &held(&shards)).await);
    assert_eq!(store.sessions().len(), 3000);
    let writes = store.calls.load(Ordering::SeqCst) - before;
    assert!(writes < 110, "{writes} writes in 20 s");
    assert_eq!(sessions.pending(), 0);
    // Nothing happens while nothing changes.
    let before = store.calls.load(Ordering::SeqCst);
    sleep(Duration::from_secs(300)).await;
    assert_eq!(store.calls.load(Ordering::SeqCst), before);
    let next = start(&store);
    next.gained(&all_shards(&Predecessor::None)).await;
    let reads = store.calls.load(Ordering::SeqCst) - before;
    assert_eq!(reads, 1024 / SHARDS_IN_READ);
    for n in 0..3000 {
        let found = text(&*handle(&next, &n.to_string()));
        assert_eq!(found, format!("session {n}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_has_lost_a_room_overwrites_nothing() {
    let store = Memory::start();
    store.give_all_to(&owner("gw-1"));
    let shards = all_shards(&Predecessor::None);
    let paused = start(&store);
    paused.gained(&shards).await;
    let room = handle(&paused, "a");
    room.store(Some("old".into()));
    assert!(flushed(&paused, &held(&shards)).await);
    // It is paused, and another one takes its shards.
    store.give_all_to(&owner("gw-2"));
    let next_shards: Vec<GainedShard> = shards
        .iter()
        .map(|gained| GainedShard {
            owner: owner("gw-2"),
            ..gained.clone()
        })
        .collect();
    let next = start(&store);
    next.gained(&next_shards).await;
    handle(&next, "a").store(Some("new".into()));
    assert!(flushed(&next, &held(&next_shards)).await);
    // It goes on without knowing that. What it wants to write is given up.
    room.store(Some("older".into()));
    assert!(flushed(&paused, &held(&shards)).await);
    assert_eq!(text(&*handle(&next, "a")), "new");
    let third = next_finds(&store, "a").await;
    assert_eq!(third, "new");
}

/// The table of owners changes while a room moves between others.
#[tokio::test(start_paused = true)]
async fn changes_of_the_table_that_concern_others_hold_up_no_write() {
    let store = Memory::start();
    let me = owner("gw-1");
    store.give_all_to(&me);
    let shards = all_shards(&Predecessor::None);
    let sessions = start(&store);
    sessions.gained(&shards).await;
    let room = handle(&sessions, "a");
    for n in 0..20 {
        store.give_all_to(&me);
        room.store(Some(n.to_string()));
        let began = Instant::now();
        assert!(flushed(&sessions, &held(&shards)).await);
        assert!(
            began.elapsed() < Duration::from_millis(50),
            "{:?}",
            began.elapsed()
        );
        assert_eq!(next_finds(&store, "a").await, n.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_without_an_answer_is_made_again_and_overwrites_no_later_one() {
    let store = Memory::start();
    store.give_all_to(&owner("gw-1"));
    let shards = all_shards(&Predecessor::None);
    let sessions = start(&store);
    sessions.gained(&shards).await;
    let room = handle(&sessions, "a");
    room.store(Some("0".into()));
    assert!(flushed(&sessions, &held(&shards)).await);
    for (n, mood) in (1..).zip([Mood::LosesAnswers, Mood::Delays, Mood::Fails, Mood::Delays]) {
        store.set(mood);
        room.store(Some(format!("{n} first")));
        sleep(Duration::from_millis(500)).await;
        store.set(Mood::Works);
        let newest = format!("{n} newest");
        room.store(Some(newest.clone()));
        assert!(flushed(&sessions, &held(&shards)).await, "{mood:?}");
        store.happens();
        assert_eq!(next_finds(&store, "a").await, newest, "{mood:?}");
        // It goes on after that.
        room.store(Some("after".into()));
        assert!(flushed(&sessions, &held(&shards)).await, "{mood:?}");
        assert_eq!(next_finds(&store, "a").await, "after", "{mood:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_comes_after_the_hand_over_does_not_happen() {
    let store = Memory::start();
    store.give_all_to(&owner("gw-1"));
    let shards = all_shards(&Predecessor::None);
    let sessions = start(&store);
    sessions.gained(&shards).await;
    let room = handle(&sessions, "a");
    room.store(Some("old".into()));
    assert!(flushed(&sessions, &held(&shards)).await);
    store.set(Mood::Delays);
    room.store(Some("late".into()));
    let deadline = Instant::now() + Duration::from_millis(300);
    assert!(!sessions.flush(&held(&shards), deadline).await);
    assert_eq!(Instant::now(), deadline);
    // The shards are released all the same.
    sessions.left(&held(&shards));
    assert_eq!(sessions.pending(), 0);
    store.set(Mood::Works);
    store.give_all_to(&owner("gw-2"));
    store.happens();
    assert_eq!(next_finds(&store, "a").await, "old");
    // A room that ends slowly stores nothing any more.
    room.store(Some("later".into()));
    assert_eq!((sessions.pending(), room.load().text), (0, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn without_the_store_rooms_start_soon_and_store_later() {
    let store = Memory::start();
    store.give_all_to(&owner("gw-1"));
    let shards = all_shards(&Predecessor::None);
    for mood in [Mood::Silent, Mood::Fails] {
        store.set(mood);
        let sessions = start(&store);
        let began = Instant::now();
        sessions.gained(&shards).await;
        assert_eq!(began.elapsed(), READ_TIMEOUT, "{mood:?}");
    }
    let sessions = start(&store);
    sessions.gained(&shards).await;
    let before = store.calls.load(Ordering::SeqCst);
    handle(&sessions, "a").store(Some("x".into()));
    sleep(Duration::from_secs(60)).await;
    let tries = store.calls.load(Ordering::SeqCst) - before;
    assert!((10..40).contains(&tries), "{tries} tries in a minute");
    store.set(Mood::Works);
    assert!(flushed(&sessions, &held(&shards)).await);
    assert_eq!(next_finds(&store, "a").await, "x");
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_a_room_that_is_configured_no_more_is_deleted() {
    let store = Memory::start();
    store.give_all_to(&owner("gw-1"));
    let shards = all_shards(&Predecessor::None);
    let sessions = start(&store);
    sessions.gained(&shards).await;
    for room in ["a", "b"] {
        handle(&sessions, room).store(Some("x".into()));
    }
    assert!(flushed(&sessions, &held(&shards)).await);
    sessions.forget(&"a".into());
    sessions.forget(&"never there".into());
    assert!(flushed(&sessions, &held(&shards)).await);
    let keys: BTreeSet<String> = store.sessions().into_iter().map(|(key, _)| key).collect();
    let left = format!("/test/sessions/{}/b", shard_of("b"));
    assert_eq!(keys, BTreeSet::from([left]));
}

/// A store that was emptied, or holds what nobody can read.
#[tokio::test(start_paused = true)]
async fn a_store_that_makes_no_sense_is_asked_seldom() {
    let store = Memory::start();
    let shards = all_shards(&Predecessor::None);
    for table in ["", "no table"] {
        store.put(TABLE, table);
        let sessions = start(&store);
        sessions.gained(&shards).await;
        let before = store.calls.load(Ordering::SeqCst);
        handle(&sessions, "a").store(Some("x".into()));
        sleep(Duration::from_secs(10)).await;
        let calls = store.calls.load(Ordering::SeqCst) - before;
        assert!(calls < 70, "{calls} in 10 s");
        store.give_all_to(&owner("gw-1"));
        assert!(flushed(&sessions, &held(&shards)).await);
        assert_eq!(next_finds(&store, "a").await, "x");
    }
    // What stands at a room's key may be anything.
    for value in ["", "1.", "x", "1.AAAA", &"x".repeat(LONGEST_SEALED + 1)] {
        store.put(&format!("/test/sessions/{}/a", shard_of("a")), value);
        assert_eq!(next_finds(&store, "a").await, "");
    }
}
