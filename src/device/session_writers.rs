//! One writer of each room's sessions: the newest.
//!
//! A log-in is a task of its own and may end after its room, when the room that replaced it has stored sessions in the
//! same place. Each store writes the whole content, so a late one would remove what the successor has stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::session_store::{KeptSessions, SessionStore, SharedSessions};

/// The number of the newest handle of a room. Its lock is held during a write, so that none is overtaken.
type NewestHandle = Arc<Mutex<u64>>;

/// Which handle may write the sessions of each room.
#[derive(Debug, Default)]
pub struct SessionWriters {
    rooms: Mutex<BTreeMap<Arc<str>, NewestHandle>>,
}

impl SessionWriters {
    /// The handle of a room that starts. Handles of the same room that were given before write nothing any more.
    pub fn take_over(&self, room: &Arc<str>, store: SessionStore) -> SessionStore {
        let newest = self.rooms.lock().entry(room.clone()).or_default().clone();
        let number = {
            let mut newest = newest.lock();
            *newest += 1;
            *newest
        };
        SessionStore::Shared(Arc::new(SessionHandle {
            store,
            number,
            newest,
        }))
    }

    /// Forgets the rooms of which no handle is left.
    pub fn remove_unused(&self) {
        let mut rooms = self.rooms.lock();
        rooms.retain(|_, newest| Arc::strong_count(newest) > 1);
    }
}

/// What one room writes through.
#[derive(Debug)]
struct SessionHandle {
    store: SessionStore,
    number: u64,
    newest: NewestHandle,
}

impl SharedSessions for SessionHandle {
    fn load(&self) -> KeptSessions {
        self.store.kept()
    }

    fn store(&self, text: Option<String>) {
        let newest = self.newest.lock();
        if *newest == self.number {
            self.store.keep(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;
    use crate::device::SessionMemory;

    fn text(store: &SessionStore) -> Vec<u8> {
        store.kept().text
    }

    #[test]
    fn only_the_newest_handle_of_a_room_writes() {
        let memory = SessionMemory::default();
        let url = Url::parse("https://192.0.2.1").unwrap();
        let writers = SessionWriters::default();
        let start = |room: &str| {
            let room = Arc::from(room);
            writers.take_over(&room, memory.of(&room, &url, "admin"))
        };
        let (before, other) = (start("1"), start("2"));
        before.keep(Some("before".into()));
        other.keep(Some("other".into()));
        let after = start("1");
        assert_eq!(text(&after), b"before");
        after.keep(Some("after".into()));
        // A late log-in of the room that was replaced, and its log-out.
        before.keep(Some("late".into()));
        assert_eq!(text(&after), b"after");
        before.keep(None);
        assert_eq!(
            (text(&after), text(&other)),
            (b"after".to_vec(), b"other".to_vec())
        );
        drop(after);
        writers.remove_unused();
        // The number of a handle that is left is not given again.
        let newest = start("1");
        before.keep(Some("late".into()));
        assert_eq!(text(&newest), b"after");
        drop((before, newest));
        writers.remove_unused();
        assert_eq!(writers.rooms.lock().len(), 1);
    }
}
