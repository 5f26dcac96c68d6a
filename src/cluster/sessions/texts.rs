//! The sealed texts of the rooms that this gateway has: what was found, what is to be written, what is written.
//!
//! Pure: sends nothing. Bounded by the rooms that the gateway has: of each only the newest text is held, and that only
//! until it has been written and for a while after.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::members::{GainedShard, HeldShard, Predecessor};
use crate::cluster::placement::Shard;
use crate::cluster::record::Owner;
use crate::cluster::registry::MOST_OPERATIONS;

/// The longest sealed text that is stored or read. One session has less than 1 KiB; a device that sets cookies of many
/// kilobytes gets a log-in at each take-over instead.
pub const LONGEST_SEALED: usize = 32 << 10;
/// How many bytes of texts are written in one transaction. etcd takes 1.5 MiB, in base64.
const MOST_BYTES: usize = 512 << 10;
/// For how long a text is held that has been found or written. A room that starts, or that takes the place of one whose
/// configuration was changed, asks for it within seconds.
const HELD_FOR: Duration = Duration::from_secs(60);

/// The texts of all rooms of this gateway.
#[derive(Debug, Default)]
pub struct SessionTexts {
    /// What the table of owners calls this gateway.
    owner: Option<Owner>,
    shards: BTreeMap<Shard, ShardTexts>,
    pending: BTreeSet<(Shard, Arc<str>)>,
    versions: u64,
}

/// The texts of a shard's rooms in one time of ownership.
#[derive(Debug)]
struct ShardTexts {
    period: u64,
    /// The gateway that had it before may still run and believe that it has the rooms.
    may_be_in_use: bool,
    rooms: BTreeMap<Arc<str>, RoomText>,
}

#[derive(Debug)]
struct RoomText {
    /// None if there are no sessions.
    sealed: Option<Arc<str>>,
    may_be_in_use: bool,
    /// Tells it from later ones of the room.
    version: u64,
    since: Instant,
}

/// A text that was found.
#[derive(Debug, PartialEq, Eq)]
pub struct FoundText {
    pub sealed: Arc<str>,
    pub may_be_in_use: bool,
}

/// A text that is to be written; none is a key to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingText {
    pub shard: Shard,
    pub room: Arc<str>,
    pub sealed: Option<Arc<str>>,
    version: u64,
}

impl SessionTexts {
    /// These shards are this gateway's from now on.
    pub fn gained(&mut self, shards: &[GainedShard]) {
        for gained in shards {
            let HeldShard { shard, period } = gained.held;
            // An earlier process of this gateway has ended, or this one joined again: nobody else uses its sessions.
            let may_be_in_use = match &gained.predecessor {
                Predecessor::Dead(owner) => owner.name != gained.owner.name,
                Predecessor::None | Predecessor::HandedOver => false,
            };
            self.owner = Some(gained.owner.clone());
            self.forget(shard);
            let texts = ShardTexts {
                period,
                may_be_in_use,
                rooms: BTreeMap::new(),
            };
            self.shards.insert(shard, texts);
        }
    }

    /// This time of ownership is over.
    pub fn left(&mut self, held: HeldShard) {
        if self.period(held.shard) == Some(held.period) {
            self.forget(held.shard);
        }
    }

    fn forget(&mut self, shard: Shard) {
        let texts = self.shards.remove(&shard);
        for room in texts.into_iter().flat_map(|texts| texts.rooms.into_keys()) {
            self.pending.remove(&(shard, room));
        }
    }

    /// What the table of owners calls this gateway.
    pub fn owner(&self) -> Option<&Owner> {
        self.owner.as_ref()
    }

    /// The time of ownership of a shard that this gateway has.
    pub fn period(&self, shard: Shard) -> Option<u64> {
        self.shards.get(&shard).map(|texts| texts.period)
    }

    /// The store has this text of a room. What the room itself has said since is newer.
    pub fn found(&mut self, held: HeldShard, room: &str, sealed: &str, now: Instant) {
        let Some(texts) = self.at(held) else {
            return;
        };
        if sealed.len() > LONGEST_SEALED || texts.rooms.contains_key(room) {
            return;
        }
        let text = RoomText {
            sealed: Some(sealed.into()),
            may_be_in_use: texts.may_be_in_use,
            version: 0,
            since: now,
        };
        texts.rooms.insert(room.into(), text);
    }

    /// The newest text of a room.
    pub fn get(&self, held: HeldShard, room: &str) -> Option<FoundText> {
        let texts = self.shards.get(&held.shard)?;
        let text = texts.rooms.get(room)?;
        (texts.period == held.period).then_some(())?;
        Some(FoundText {
            sealed: text.sealed.clone()?,
            may_be_in_use: text.may_be_in_use,
        })
    }

    /// The room has this text from now on. False if this time of ownership is over, and nothing is to be written.
    pub fn set(
        &mut self,
        held: HeldShard,
        room: &Arc<str>,
        sealed: Option<Arc<str>>,
        now: Instant,
    ) -> bool {
        self.versions += 1;
        let version = self.versions;
        let Some(texts) = self.at(held) else {
            return false;
        };
        let text = RoomText {
            sealed,
            may_be_in_use: false,
            version,
            since: now,
        };
        texts.rooms.insert(room.clone(), text);
        self.pending.insert((held.shard, room.clone()));
        true
    }

    fn at(&mut self, held: HeldShard) -> Option<&mut ShardTexts> {
        let texts = self.shards.get_mut(&held.shard)?;
        (texts.period == held.period).then_some(texts)
    }

    /// How many rooms have a text that is not written yet.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Nothing of these shards is to be written.
    pub fn is_written(&self, shards: &[HeldShard]) -> bool {
        let is_pending = |held: &HeldShard| {
            self.period(held.shard) == Some(held.period)
                && self.pending.iter().any(|(shard, _)| *shard == held.shard)
        };
        !shards.iter().any(is_pending)
    }

    /// Whether a text waits for a shard that is not `owned`.
    pub fn any_pending_outside(&self, owned: impl Fn(Shard) -> bool) -> bool {
        self.pending.iter().any(|(shard, _)| !owned(*shard))
    }

    /// The shards for which a text waits.
    pub fn pending_shards(&self) -> Vec<HeldShard> {
        let shards: BTreeSet<Shard> = self.pending.iter().map(|(shard, _)| *shard).collect();
        let held = shards.into_iter().filter_map(|shard| {
            let period = self.period(shard)?;
            Some(HeldShard { shard, period })
        });
        held.collect()
    }

    /// Gives up what waits for a shard.
    pub fn give_up(&mut self, held: HeldShard) {
        if self.period(held.shard) == Some(held.period) {
            self.pending.retain(|(shard, _)| *shard != held.shard);
        }
    }

    /// The next texts to be written, as many as fit into one transaction.
    pub fn batch(&self) -> Vec<PendingText> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        for (shard, room) in &self.pending {
            let Some(text) = self.shards.get(shard).and_then(|it| it.rooms.get(room)) else {
                continue;
            };
            bytes += text.sealed.as_ref().map_or(0, |sealed| sealed.len());
            if batch.len() == MOST_OPERATIONS || (bytes > MOST_BYTES && !batch.is_empty()) {
                break;
            }
            batch.push(PendingText {
                shard: *shard,
                room: room.clone(),
                sealed: text.sealed.clone(),
                version: text.version,
            });
        }
        batch
    }

    /// These are in the store. A room that has said something newer since stays to be written.
    pub fn written(&mut self, batch: &[PendingText], now: Instant) {
        for written in batch {
            let texts = self.shards.get_mut(&written.shard);
            let Some(text) = texts.and_then(|texts| texts.rooms.get_mut(&written.room)) else {
                continue;
            };
            if text.version == written.version {
                text.since = now;
                self.pending.remove(&(written.shard, written.room.clone()));
            }
        }
    }

    /// Lets go of texts that nobody will ask for any more.
    pub fn sweep(&mut self, now: Instant) {
        let pending = &self.pending;
        for (shard, texts) in &mut self.shards {
            texts.rooms.retain(|room, text| {
                now.saturating_duration_since(text.since) < HELD_FOR
                    || pending.contains(&(*shard, room.clone()))
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::sessions::tests::{gained, gained_from, shard};

    fn sealed(text: &str) -> Option<Arc<str>> {
        Some(text.into())
    }

    fn rooms(batch: &[PendingText]) -> Vec<&str> {
        batch.iter().map(|text| &*text.room).collect()
    }

    #[test]
    fn the_newest_text_of_each_room_is_written_and_one_that_came_meanwhile_stays() {
        let mut texts = SessionTexts::default();
        let gained = gained(&[1], 1);
        let held = gained[0].held;
        texts.gained(&gained);
        let (one, other) = (Arc::from("a"), Arc::from("b"));
        for text in ["1", "2", "3"] {
            assert!(texts.set(held, &one, sealed(text), Instant::now()));
        }
        texts.set(held, &other, None, Instant::now());
        let batch = texts.batch();
        assert_eq!(rooms(&batch), ["a", "b"]);
        assert_eq!((&batch[0].sealed, &batch[1].sealed), (&sealed("3"), &None));
        texts.set(held, &one, sealed("4"), Instant::now());
        texts.written(&batch, Instant::now());
        assert!(!texts.is_written(&[held]));
        let batch = texts.batch();
        assert_eq!((rooms(&batch), &batch[0].sealed), (vec!["a"], &sealed("4")));
        texts.written(&batch, Instant::now());
        assert!(texts.is_written(&[held]) && texts.batch().is_empty());
    }

    #[test]
    fn a_batch_fits_into_a_transaction() {
        let mut texts = SessionTexts::default();
        let gained = gained(&[1], 1);
        let held = gained[0].held;
        texts.gained(&gained);
        let long: Arc<str> = "x".repeat(LONGEST_SEALED).into();
        for n in 0..1000 {
            let text = if n % 2 == 0 {
                long.clone()
            } else {
                "short".into()
            };
            texts.set(held, &format!("{n:04}").into(), Some(text), Instant::now());
        }
        let mut all = 0;
        while texts.pending() > 0 {
            let batch = texts.batch();
            assert!(batch.len() <= MOST_OPERATIONS && !batch.is_empty());
            let bytes = batch.iter().flat_map(|text| &text.sealed);
            assert!(bytes.map(|text| text.len()).sum::<usize>() <= MOST_BYTES);
            all += batch.len();
            texts.written(&batch, Instant::now());
        }
        assert_eq!(all, 1000);
    }

    #[test]
    fn what_an_earlier_time_of_ownership_says_or_waits_for_is_nothing() {
        let mut texts = SessionTexts::default();
        let (first, second) = (gained(&[1], 1), gained(&[1], 2));
        let (before, now) = (first[0].held, second[0].held);
        let room = Arc::from("a");
        assert!(
            !texts.set(before, &room, sealed("1"), Instant::now()),
            "it has no shard"
        );
        texts.gained(&first);
        texts.set(before, &room, sealed("1"), Instant::now());
        texts.left(now);
        assert_eq!(texts.pending(), 1, "another time of ownership ended");
        texts.left(before);
        assert_eq!(texts.pending(), 0);
        texts.gained(&second);
        texts.found(before, "a", "old", Instant::now());
        assert_eq!(texts.get(now, "a"), None);
        assert!(!texts.set(before, &room, sealed("2"), Instant::now()));
        texts.found(now, "a", "new", Instant::now());
        assert_eq!(texts.get(before, "a"), None);
        assert_eq!(&*texts.get(now, "a").unwrap().sealed, "new");
        // What the room has said is newer than what is found.
        texts.set(now, &room, None, Instant::now());
        texts.found(now, "a", "new", Instant::now());
        assert_eq!(texts.get(now, "a"), None);
    }

    #[test]
    fn a_session_may_be_in_use_if_another_gateway_ended_without_a_word() {
        let dead = |name: &str| {
            Predecessor::Dead(Owner {
                name: name.into(),
                created: 1,
            })
        };
        for (predecessor, may_be_in_use) in [
            (Predecessor::None, false),
            (dead("gw-2"), true),
            (dead("gw-1"), false),
        ] {
            let mut texts = SessionTexts::default();
            let gained = gained_from(&[1], 1, &predecessor);
            texts.gained(&gained);
            let held = gained[0].held;
            texts.found(held, "a", "x", Instant::now());
            let found = texts.get(held, "a").unwrap();
            assert_eq!(found.may_be_in_use, may_be_in_use, "{predecessor:?}");
            // Its own is not.
            texts.set(held, &"a".into(), sealed("y"), Instant::now());
            assert!(!texts.get(held, "a").unwrap().may_be_in_use);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_text_is_held_until_it_is_written_and_a_while_after() {
        let mut texts = SessionTexts::default();
        let gained = gained(&[1], 1);
        let held = gained[0].held;
        texts.gained(&gained);
        texts.found(held, "found", "x", Instant::now());
        texts.set(held, &"said".into(), sealed("y"), Instant::now());
        tokio::time::advance(HELD_FOR).await;
        texts.sweep(Instant::now());
        assert_eq!(texts.get(held, "found"), None);
        assert!(texts.get(held, "said").is_some(), "it is not written");
        texts.written(&texts.batch(), Instant::now());
        texts.sweep(Instant::now());
        assert!(texts.get(held, "said").is_some());
        tokio::time::advance(HELD_FOR).await;
        texts.sweep(Instant::now());
        assert_eq!(texts.get(held, "said"), None);
    }

    #[test]
    fn what_waits_for_a_lost_shard_is_given_up() {
        let mut texts = SessionTexts::default();
        let gained = gained(&[1, 2], 1);
        texts.gained(&gained);
        for gained in &gained {
            texts.set(gained.held, &"a".into(), sealed("x"), Instant::now());
        }
        assert!(!texts.any_pending_outside(|_| true));
        assert!(texts.any_pending_outside(|it| it == shard(1)));
        let pending: Vec<HeldShard> = gained.iter().map(|gained| gained.held).collect();
        assert_eq!(texts.pending_shards(), pending);
        let later = HeldShard {
            period: 7,
            ..gained[1].held
        };
        texts.give_up(later);
        assert_eq!(texts.pending(), 2, "another time of ownership");
        texts.give_up(gained[1].held);
        assert_eq!(texts.batch().len(), 1);
        assert!(texts.is_written(&[gained[1].held]));
        assert!(!texts.is_written(&[gained[0].held]));
    }
}
