//! Removes from the store what nobody needs any more: the keys of a member that is gone for good, and sessions of rooms
//! that no member has in its configuration.
//!
//! Run by a person's command. Touches no key of a member that is there, and not the table of owners: what a dead member
//! owns in it is free by the rule.

use super::members::Keys;
use super::placement::Shard;
use super::registry::{
    Condition, Entry, MOST_OPERATIONS, Read, Registry, RegistryError, Transaction, Write,
};
use super::sessions::{SHARDS_IN_READ, SessionKeys};

/// Deletes what a member that is gone has left, and returns the keys. `silent`: its key is still there, and had this
/// revision for longer than the guard takes.
///
/// # Errors
/// The store does not answer, or refuses. None, if a member of this name is there.
pub async fn forget_member<R: Registry>(
    registry: &R,
    prefix: &str,
    name: &str,
    silent: Option<u64>,
) -> Result<Option<Vec<String>>, RegistryError> {
    let keys = Keys::new(prefix, name);
    let left = [
        keys.me.clone(),
        format!("{}{name}", keys.rooms),
        SessionKeys::new(prefix).writer_of(name),
    ];
    let is_gone = match silent {
        Some(revision) => Condition::Modified(keys.me.clone(), revision),
        None => Condition::Absent(keys.me.clone()),
    };
    let look = Transaction {
        reads: left.iter().cloned().map(Read::Revision).collect(),
        ..Transaction::default()
    };
    let there = registry.compare_and_swap(&look).await?;
    let there: Vec<String> = there.reads.into_iter().flatten().map(|it| it.key).collect();
    let delete = Transaction {
        conditions: vec![is_gone],
        writes: there.iter().cloned().map(Write::Delete).collect(),
        reads: Vec::new(),
    };
    let deleted = registry.compare_and_swap(&delete).await?;
    Ok(deleted.swapped.then_some(there))
}

/// Deletes the sessions of rooms that are not configured, and returns the rooms.
///
/// # Errors
/// The store does not answer, or refuses.
pub async fn forget_rooms<R: Registry>(
    registry: &R,
    prefix: &str,
    is_configured: impl Fn(&str) -> bool,
) -> Result<Vec<String>, RegistryError> {
    let keys = SessionKeys::new(prefix);
    let shards: Vec<Shard> = Shard::all().collect();
    let mut forgotten = Vec::new();
    for shards in shards.chunks(SHARDS_IN_READ) {
        let starts: Vec<String> = shards.iter().map(|shard| keys.shard(*shard)).collect();
        let look = Transaction {
            reads: starts.iter().cloned().map(Read::Prefix).collect(),
            ..Transaction::default()
        };
        let there = registry.compare_and_swap(&look).await?;
        let rooms = starts.iter().zip(&there.reads);
        let rooms = rooms.flat_map(|(start, entries)| {
            let room =
                |entry: &'_ Entry| Some((entry.key.strip_prefix(start)?.to_owned(), entry.clone()));
            entries.iter().filter_map(room).collect::<Vec<_>>()
        });
        let unknown: Vec<(String, Entry)> =
            rooms.filter(|(room, _)| !is_configured(room)).collect();
        for some in unknown.chunks(MOST_OPERATIONS / 2) {
            let delete = Transaction {
                // A session that has been written since is one of a room that is configured somewhere.
                conditions: (some.iter())
                    .map(|(_, entry)| Condition::Modified(entry.key.clone(), entry.modified))
                    .collect(),
                writes: (some.iter())
                    .map(|(_, entry)| Write::Delete(entry.key.clone()))
                    .collect(),
                reads: Vec::new(),
            };
            if registry.compare_and_swap(&delete).await?.swapped {
                forgotten.extend(some.iter().map(|(room, _)| room.clone()));
            }
        }
    }
    forgotten.sort();
    Ok(forgotten)
}

#[cfg(test)]
mod tests {

    use parking_lot::Mutex;

    use super::*;
    use crate::cluster::members::simulation::store::Store;
    use crate::cluster::placement::shard_of;
    use crate::cluster::registry::TransactionReply;

    struct InMemory(Mutex<Store>);

    impl Registry for InMemory {
        async fn compare_and_swap(
            &self,
            transaction: &Transaction,
        ) -> Result<TransactionReply, RegistryError> {
            Ok(self.0.lock().apply(transaction))
        }
    }

    fn session(room: &str) -> String {
        format!("/c/sessions/{}/{room}", shard_of(room))
    }

    async fn registry(keys: impl IntoIterator<Item = String>) -> InMemory {
        let registry = InMemory(Mutex::new(Store::default()));
        for key in keys {
            let put = Transaction {
                writes: vec![Write::Put(key, "x".into())],
                ..Transaction::default()
            };
            registry.compare_and_swap(&put).await.unwrap();
        }
        registry
    }

    async fn keys(registry: &InMemory) -> Vec<String> {
        let all = registry.list("/").await.unwrap();
        all.into_iter().map(|entry| entry.key).collect()
    }

    #[tokio::test]
    async fn what_a_member_has_left_goes_and_that_of_others_stays() {
        let all = |name: &str| {
            ["members", "rooms", "session-writers"].map(|kind| format!("/c/{kind}/{name}"))
        };
        let registry = registry(
            [all("gw-1"), all("gw-10"), all("gw-2")]
                .concat()
                .into_iter()
                .filter(|key| key != "/c/members/gw-2"),
        )
        .await;
        // It is there.
        let refused = forget_member(&registry, "/c", "gw-1", None).await;
        assert_eq!(refused, Ok(None));
        assert_eq!(keys(&registry).await.len(), 8);
        // It has left.
        let left = ["rooms", "session-writers"].map(|kind| format!("/c/{kind}/gw-2"));
        let forgotten = forget_member(&registry, "/c", "gw-2", None).await;
        assert_eq!(forgotten, Ok(Some(left.into())));
        // Its key has not changed, or has.
        let own = registry.list("/c/members/gw-1").await.unwrap();
        let revision = own[0].modified;
        let moved = forget_member(&registry, "/c", "gw-1", Some(revision + 1)).await;
        assert_eq!(moved, Ok(None));
        let forgotten = forget_member(&registry, "/c", "gw-1", Some(revision)).await;
        assert_eq!(forgotten, Ok(Some(all("gw-1").into())));
        let mut others = keys(&registry).await;
        others.sort();
        assert_eq!(others, all("gw-10"));
        // One that was never there.
        let nothing = forget_member(&registry, "/c", "gw-9", None).await;
        assert_eq!(nothing, Ok(Some(Vec::new())));
    }

    #[tokio::test]
    async fn sessions_of_rooms_that_are_configured_nowhere_go() {
        let rooms: Vec<String> = (0..700).map(|n| format!("room-{n}")).collect();
        let registry = registry(rooms.iter().map(|room| session(room))).await;
        let is_configured = |room: &str| !room.ends_with('7') && !room.starts_with("room-3");
        let forgotten = forget_rooms(&registry, "/c", is_configured).await.unwrap();
        let mut wanted: Vec<String> = rooms
            .iter()
            .filter(|it| !is_configured(it))
            .cloned()
            .collect();
        wanted.sort();
        assert_eq!(forgotten, wanted);
        let left = keys(&registry).await;
        assert_eq!(left.len(), rooms.len() - wanted.len());
        assert!(
            left.iter()
                .all(|key| is_configured(key.rsplit('/').next().unwrap()))
        );
    }
}
