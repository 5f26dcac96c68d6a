//! Who owned which shard, and who was a member, from etcd's own order of changes.

use std::collections::{BTreeMap, HashMap};

use crate::keys::{self, Key};

/// A change of a key, as a watch told it.
#[derive(Debug, Clone)]
pub struct Change {
    /// etcd's revision.
    pub revision: u64,
    /// When the judge heard of it, which is after it was committed.
    pub heard: u64,
    pub key: String,
    /// `None` if the key was deleted.
    pub value: Option<Vec<u8>>,
}

/// A time in which a shard had the same owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    pub owner: Option<String>,
    pub from: u64,
    /// `u64::MAX` while it lasts.
    pub until: u64,
    /// The owner before was no longer a member when this one took the shard.
    pub unclean: bool,
}

#[derive(Default)]
pub struct History {
    revision: u64,
    shards: BTreeMap<u32, Vec<Span>>,
    /// When each present member's key appeared.
    members: HashMap<String, u64>,
    /// The keys that the judge does not read, for the words when nothing is understood.
    pub others: BTreeMap<String, u64>,
}

impl History {
    /// The last revision that was taken in.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Takes in the changes of one message. Revisions that are known are passed over, since several watches
    /// tell the same.
    pub fn hear(&mut self, changes: &[Change]) {
        let known = self.revision;
        for change in changes.iter().filter(|change| change.revision > known) {
            self.revision = self.revision.max(change.revision);
            match keys::read(&change.key) {
                Some(Key::Member(name)) => match change.value {
                    Some(_) => {
                        self.members.entry(name).or_insert(change.heard);
                    }
                    None => {
                        self.members.remove(&name);
                    }
                },
                Some(Key::Shard(number)) => {
                    let owner = change.value.as_deref().and_then(keys::owner);
                    self.owned(number, owner, change.heard);
                }
                None => *self.others.entry(change.key.clone()).or_default() += 1,
            }
        }
    }

    fn owned(&mut self, shard: u32, owner: Option<String>, now: u64) {
        let spans = self.shards.entry(shard).or_default();
        if spans.last().is_some_and(|last| last.owner == owner) {
            return;
        }
        let before = spans.iter().rev().find_map(|span| span.owner.as_ref());
        let unclean = before.is_some_and(|before| !self.members.contains_key(before));
        if let Some(last) = spans.last_mut() {
            last.until = now;
        }
        spans.push(Span {
            owner,
            from: now,
            until: u64::MAX,
            unclean,
        });
    }

    /// The numbers of all shards that were ever owned.
    pub fn shards(&self) -> impl Iterator<Item = u32> {
        self.shards.keys().copied()
    }

    pub fn spans(&self, shard: u32) -> &[Span] {
        self.shards.get(&shard).map_or(&[], Vec::as_slice)
    }

    /// The present members.
    pub fn members(&self) -> Vec<&str> {
        let mut members: Vec<_> = self.members.keys().map(String::as_str).collect();
        members.sort_unstable();
        members
    }

    pub fn owner(&self, shard: u32) -> Option<&str> {
        self.spans(shard).last()?.owner.as_deref()
    }

    pub fn owner_at(&self, shard: u32, time: u64) -> Option<&str> {
        let spans = self.spans(shard).iter();
        let mut then = spans.filter(|span| span.from <= time && time < span.until);
        then.next()?.owner.as_deref()
    }

    /// From `time` on: how long until the shard first belongs to one of `able`; `None` if it does not.
    pub fn owned_again(&self, shard: u32, time: u64, able: &[&str]) -> Option<u64> {
        let spans = self.spans(shard).iter();
        let mut able = spans.filter(|span| span.until > time).filter(|span| {
            span.owner
                .as_deref()
                .is_some_and(|owner| able.contains(&owner))
        });
        Some(able.next()?.from.saturating_sub(time))
    }

    /// How long the shard had no owner between these times.
    pub fn without_owner(&self, shard: u32, from: u64, until: u64) -> u64 {
        let spans = self.spans(shard).iter().filter(|span| span.owner.is_none());
        spans
            .map(|span| span.until.min(until).saturating_sub(span.from.max(from)))
            .sum()
    }

    /// How often owners changed between these times.
    pub fn changes(&self, shard: u32, from: u64, until: u64) -> usize {
        let spans = self.spans(shard).windows(2);
        let changed = |pair: &&[Span]| (from..=until).contains(&pair[1].from);
        spans.filter(changed).count()
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A change of a shard's owner or, without a number, of a member.
    pub fn change(revision: u64, heard: u64, key: &str, value: Option<&str>) -> Change {
        Change {
            revision,
            heard,
            key: format!("{}/{key}", keys::PREFIX),
            value: value.map(|value| value.as_bytes().to_vec()),
        }
    }

    /// `a` has shard 7 from 10 on, dies, and `b` takes it at 50.
    pub fn a_take_over() -> History {
        let mut history = History::default();
        history.hear(&[
            change(1, 5, "members/a", Some("x")),
            change(2, 5, "members/b", Some("x")),
            change(3, 10, "shards/7", Some("a")),
        ]);
        history.hear(&[change(4, 48, "members/a", None)]);
        history.hear(&[change(5, 50, "shards/7", Some("b"))]);
        history
    }

    #[test]
    fn a_take_over_is_unclean_and_a_handover_is_not() {
        let mut history = a_take_over();
        assert_eq!(history.owner_at(7, 49), Some("a"));
        assert_eq!(history.owner_at(7, 50), Some("b"));
        assert!(history.spans(7)[1].unclean);
        assert_eq!(history.owned_again(7, 20, &["b", "c"]), Some(30));
        assert_eq!(history.changes(7, 11, 100), 1);
        history.hear(&[change(6, 60, "members/a", Some("x"))]);
        history.hear(&[change(7, 70, "shards/7", None)]);
        history.hear(&[change(8, 73, "shards/7", Some("a"))]);
        assert!(!history.spans(7)[3].unclean);
        assert_eq!(history.without_owner(7, 0, 100), 3);
        assert_eq!(history.members(), ["a", "b"]);
    }

    #[test]
    fn what_several_watches_tell_is_taken_in_once() {
        let mut history = a_take_over();
        history.hear(&[change(3, 90, "shards/7", Some("a"))]);
        assert_eq!(history.owner(7), Some("b"));
        // All changes of one transaction have the same revision.
        history.hear(&[
            change(9, 95, "shards/8", Some("a")),
            change(9, 95, "shards/9", Some("b")),
        ]);
        assert_eq!((history.owner(8), history.owner(9)), (Some("a"), Some("b")));
    }
}
