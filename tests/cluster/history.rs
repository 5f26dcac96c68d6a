//! Who owned which shard, and who was a member, from etcd's own order of changes.

use std::collections::{BTreeMap, BTreeSet};

use crate::keys::{self, Key, Owner, SHARDS};

/// A change of a key, as a watch told it.
#[derive(Debug, Clone)]
pub struct Change {
    /// etcd's revision.
    pub revision: u64,
    /// The revision at which the key was created.
    pub created: u64,
    /// When the judge heard of it, which is after it was committed.
    pub heard: u64,
    pub key: String,
    /// `None` if the key was deleted.
    pub value: Option<Vec<u8>>,
}

/// A time in which a shard had the same owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    pub owner: Option<Owner>,
    pub from: u64,
    /// `u64::MAX` while it lasts.
    pub until: u64,
    /// The owner before was no longer a member when it lost the shard.
    pub unclean: bool,
}

impl Span {
    /// The owner's name.
    pub fn name(&self) -> Option<&str> {
        Some(&self.owner.as_ref()?.name)
    }
}

#[derive(Default)]
pub struct History {
    revision: u64,
    shards: Vec<Vec<Span>>,
    /// The revision at which each present member's key was created.
    members: BTreeMap<String, u64>,
    /// Keys that the judge does not read, for the words when nothing is understood.
    pub others: BTreeSet<String>,
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
            match (keys::read(&change.key), &change.value) {
                (Some(Key::Member(name)), Some(_)) => {
                    self.members.insert(name, change.created);
                }
                (Some(Key::Member(name)), None) => {
                    self.members.remove(&name);
                }
                (Some(Key::Table), value) => {
                    let table = value.as_deref().and_then(keys::table);
                    self.owned(table.unwrap_or_else(|| vec![None; SHARDS]), change.heard);
                }
                // Each room may have one, so only some are kept.
                (None, _) if self.others.len() < 20 => {
                    self.others.insert(change.key.clone());
                }
                (None, _) => {}
            }
        }
    }

    fn owned(&mut self, owners: Vec<Option<Owner>>, now: u64) {
        self.shards.resize(SHARDS, Vec::new());
        for (spans, owner) in self.shards.iter_mut().zip(owners) {
            if spans.last().is_some_and(|last| last.owner == owner) {
                continue;
            }
            // One who gives a shard up is a member then, and may have ended when the next one takes it.
            let unclean = spans.last().is_some_and(|last| match &last.owner {
                Some(before) => !is_member(&self.members, before),
                None => last.unclean,
            });
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
    }

    pub fn spans(&self, shard: usize) -> &[Span] {
        self.shards.get(shard).map_or(&[], Vec::as_slice)
    }

    /// The names of the present members, in order.
    pub fn members(&self) -> Vec<&str> {
        self.members.keys().map(String::as_str).collect()
    }

    /// The name of the member that owns a shard; `None` if nobody does, or the owner is no longer a member.
    pub fn owner(&self, shard: usize) -> Option<&str> {
        let owner = self.spans(shard).last()?.owner.as_ref()?;
        is_member(&self.members, owner).then_some(owner.name.as_str())
    }

    /// From `time` on: how long until the shard first belongs to one of `able`; `None` if it does not.
    pub fn owned_again(&self, shard: usize, time: u64, able: &[&str]) -> Option<u64> {
        let spans = self.spans(shard).iter().filter(|span| span.until > time);
        let mut able = spans.filter(|span| span.name().is_some_and(|name| able.contains(&name)));
        Some(able.next()?.from.saturating_sub(time))
    }

    /// How long the shard had no owner between these times.
    pub fn without_owner(&self, shard: usize, from: u64, until: u64) -> u64 {
        let spans = self.spans(shard).iter();
        let spans = spans.filter(|span| span.owner.is_none());
        spans
            .map(|span| span.until.min(until).saturating_sub(span.from.max(from)))
            .sum()
    }

    /// How often owners changed between these times, of all shards.
    pub fn changes(&self, from: u64, until: u64) -> usize {
        let pairs = self.shards.iter().flat_map(|spans| spans.windows(2));
        let changed = |pair: &&[Span]| (from..=until).contains(&pair[1].from);
        pairs.filter(changed).count()
    }
}

fn is_member(members: &BTreeMap<String, u64>, owner: &Owner) -> bool {
    members.get(&owner.name) == Some(&owner.created)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A change of a member's key. The revision of its creation is 1.
    pub fn member(revision: u64, heard: u64, name: &str, exists: bool) -> Change {
        Change {
            revision,
            created: 1,
            heard,
            key: format!("{}/members/{name}", keys::PREFIX),
            value: exists.then(|| b"{}".to_vec()),
        }
    }

    /// A change of the table: the owners of some shards, all others have none.
    pub fn table(revision: u64, heard: u64, owned: &[(usize, &str)]) -> Change {
        let mut shards = vec!["--".to_owned(); SHARDS];
        for (place, (shard, _)) in owned.iter().enumerate() {
            shards[*shard] = format!("{place:02x}");
        }
        let owners: Vec<_> = owned
            .iter()
            .map(|(_, owner)| format!("{owner}@1"))
            .collect();
        let value = serde_json::json!({"owners": owners, "shards": shards.concat()});
        Change {
            revision,
            created: 1,
            heard,
            key: format!("{}/table", keys::PREFIX),
            value: Some(value.to_string().into_bytes()),
        }
    }

    /// `a` has shard 7 from 10 on, dies, and `b` takes it at 50.
    pub fn a_take_over() -> History {
        let mut history = History::default();
        history.hear(&[member(1, 5, "a", true), member(2, 5, "b", true)]);
        history.hear(&[table(3, 10, &[(7, "a")])]);
        history.hear(&[member(4, 48, "a", false)]);
        history.hear(&[table(5, 50, &[(7, "b")])]);
        history
    }

    #[test]
    fn a_take_over_is_unclean_and_a_handover_is_not() {
        let mut history = a_take_over();
        assert!(history.spans(7)[1].unclean);
        assert_eq!(history.owner(7), Some("b"));
        assert_eq!(history.owned_again(7, 20, &["b", "c"]), Some(30));
        assert_eq!(history.changes(11, 100), 1);
        history.hear(&[member(6, 60, "a", true)]);
        history.hear(&[table(7, 70, &[])]);
        history.hear(&[table(8, 73, &[(7, "a")])]);
        assert!(!history.spans(7)[3].unclean);
        assert_eq!(history.without_owner(7, 0, 100), 3);
        assert_eq!(history.members(), ["a", "b"]);
    }

    #[test]
    fn who_gives_its_shards_up_and_ends_has_handed_them_over() {
        let mut history = a_take_over();
        history.hear(&[table(6, 60, &[])]);
        history.hear(&[member(7, 61, "b", false), member(8, 62, "c", true)]);
        history.hear(&[table(9, 63, &[(7, "c")])]);
        assert!(!history.spans(7)[3].unclean);
        // Somebody else takes the dead one's name off the shard first.
        history.hear(&[member(10, 70, "c", false)]);
        history.hear(&[table(11, 71, &[])]);
        history.hear(&[member(12, 72, "d", true), table(12, 72, &[(7, "d")])]);
        assert!(history.spans(7)[5].unclean);
    }

    #[test]
    fn who_joins_again_under_the_same_name_does_not_own_what_the_earlier_one_did() {
        let mut history = a_take_over();
        history.hear(&[member(6, 60, "b", false)]);
        assert_eq!(history.owner(7), None);
        let again = Change {
            created: 7,
            ..member(7, 70, "b", true)
        };
        history.hear(&[again]);
        assert_eq!(history.owner(7), None);
    }

    #[test]
    fn what_several_watches_tell_is_taken_in_once() {
        let mut history = a_take_over();
        history.hear(&[table(3, 90, &[(7, "a")])]);
        assert_eq!(history.owner(7), Some("b"));
        // All changes of one transaction have the same revision.
        history.hear(&[table(9, 95, &[(8, "b")]), member(9, 95, "c", true)]);
        assert_eq!(history.members(), ["b", "c"]);
        assert_eq!((history.owner(8), history.owner(7)), (Some("b"), None));
    }
}
