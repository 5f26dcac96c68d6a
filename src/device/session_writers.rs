//! One text of sessions for each room, though a log-in may outlive its room.
//!
//! A log-in is a task of its own and may end after its room, when the room that replaced it has stored sessions in the
//! same place. Each store writes the whole content: what comes late is kept beside what the newest room has, until it
//! is released, and removes nothing of that. Its content is secret and never logged.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;
use url::Url;

use super::session_store::{KeptSessions, SessionStore, SharedSessions, entries, session_id};

/// A room, and the device and the user that its sessions belong to.
type Owner = (Arc<str>, Url, String);

/// What is written at one place, and by whom. The lock is held during a write, so that none is overtaken.
type Place = Arc<Mutex<Written>>;

/// Who writes the sessions of each room.
#[derive(Debug, Default)]
pub struct SessionWriters {
    places: Mutex<BTreeMap<Owner, Place>>,
}

/// What stands at one place. Debug does not show it.
#[derive(Default)]
struct Written {
    /// The number of the newest handle.
    newest: u64,
    /// What that has stored, or found; none before it is asked for.
    own: Option<String>,
    /// What older handles have stored since, by their numbers.
    late: BTreeMap<u64, Vec<Value>>,
}

impl Debug for Written {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Written")
            .field("newest", &self.newest)
            .finish_non_exhaustive()
    }
}

impl Written {
    /// All of it as one text, the sessions of the newest handle last: those are in use.
    fn text(&self) -> Option<String> {
        let own = self.own.clone().filter(|own| !own.is_empty());
        if self.late.is_empty() {
            return own;
        }
        let own = entries(own.unwrap_or_default().as_bytes());
        let is_known = |late: &&Value| own.iter().any(|own| session_id(own) == session_id(late));
        let late = self.late.values().flatten();
        let mut all: Vec<Value> = late.filter(|late| !is_known(late)).cloned().collect();
        all.extend(own);
        (!all.is_empty()).then(|| Value::from(all).to_string())
    }
}

impl SessionWriters {
    /// The handle of a room that starts, which owns from now on what stands there.
    pub fn take_over(
        &self,
        room: &Arc<str>,
        url: &Url,
        user: &str,
        store: SessionStore,
    ) -> SessionStore {
        let owner = (room.clone(), url.clone(), user.to_owned());
        let place = self.places.lock().entry(owner).or_default().clone();
        let number = {
            let mut written = place.lock();
            *written = Written {
                newest: written.newest + 1,
                ..Written::default()
            };
            written.newest
        };
        SessionStore::Shared(Arc::new(SessionHandle {
            store,
            number,
            place,
        }))
    }

    /// Forgets the places of which no handle is left.
    pub fn remove_unused(&self) {
        let mut places = self.places.lock();
        places.retain(|_, place| Arc::strong_count(place) > 1);
    }
}

/// What one room writes through.
#[derive(Debug)]
struct SessionHandle {
    store: SessionStore,
    number: u64,
    place: Place,
}

impl SharedSessions for SessionHandle {
    fn load(&self) -> KeptSessions {
        self.store.kept()
    }

    fn store(&self, text: Option<String>) {
        let mut written = self.place.lock();
        if written.newest == self.number {
            written.own = Some(text.unwrap_or_default());
        } else {
            if written.own.is_none() {
                let found = self.store.kept().text;
                written.own = Some(String::from_utf8(found).unwrap_or_default());
            }
            // What else stands there is the newest room's to tell.
            let mut late = entries(text.unwrap_or_default().as_bytes());
            late.retain(|entry| session_id(entry).is_some());
            if late.is_empty() {
                drop(written.late.remove(&self.number))
            } else {
                drop(written.late.insert(self.number, late))
            }
        }
        self.store.keep(written.text());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::device::SessionMemory;

    /// The ids that stand there, in order.
    fn ids(store: &SessionStore) -> Vec<String> {
        let entries = entries(&store.kept().text).into_iter();
        let ids = entries.map(|entry| session_id(&entry).unwrap_or("-").to_owned());
        ids.collect()
    }

    fn keep(store: &SessionStore, ids: &[&str]) {
        let entries: Vec<_> = ids.iter().map(|id| json!({ "id": id })).collect();
        store.keep((!ids.is_empty()).then(|| Value::from(entries).to_string()));
    }

    #[test]
    fn what_an_older_handle_stores_late_is_kept_beside_and_goes_alone() {
        let memory = SessionMemory::default();
        let url = Url::parse("https://192.0.2.1").unwrap();
        let writers = SessionWriters::default();
        let start = |room: &str| {
            let room = Arc::from(room);
            writers.take_over(&room, &url, "admin", memory.of(&room, &url, "admin"))
        };
        let (before, other) = (start("1"), start("2"));
        keep(&before, &["a"]);
        keep(&other, &["x"]);
        let after = start("1");
        assert_eq!(ids(&after), ["a"]);
        // Before the newest has stored anything.
        keep(&before, &["a", "late"]);
        assert_eq!(ids(&after), ["late", "a"]);
        keep(&after, &["b"]);
        assert_eq!(ids(&after), ["a", "late", "b"]);
        // The log-in that was late is released.
        keep(&before, &["late"]);
        assert_eq!(ids(&after), ["late", "b"]);
        keep(&before, &[]);
        assert_eq!(ids(&after), ["b"]);
        keep(&before, &["late"]);
        keep(&after, &[]);
        assert_eq!(ids(&after), ["late"]);
        // The next room finds it, and tells from now on whether it is still there.
        let newest = start("1");
        assert_eq!(ids(&newest), ["late"]);
        keep(&newest, &["c"]);
        assert_eq!(
            (ids(&newest), ids(&other)),
            (vec!["c".into()], vec!["x".into()])
        );
        let log_ins = json!([{"log_ins": {"refused": [5]}}]).to_string();
        before.keep(Some(log_ins));
        assert_eq!(ids(&newest), ["c"]);
        assert!(!format!("{writers:?}").contains("log_ins"));
        drop((before, after, newest));
        writers.remove_unused();
        assert_eq!(writers.places.lock().len(), 1);
    }

    #[test]
    fn another_user_of_the_room_has_a_place_of_its_own() {
        let memory = SessionMemory::default();
        let url = Url::parse("https://192.0.2.1").unwrap();
        let writers = SessionWriters::default();
        let room: Arc<str> = "1".into();
        let start = |user: &str| writers.take_over(&room, &url, user, memory.of(&room, &url, user));
        let (admin, root) = (start("admin"), start("root"));
        keep(&admin, &["a"]);
        keep(&root, &["b"]);
        keep(&admin, &["c"]);
        assert_eq!(
            (ids(&admin), ids(&root)),
            (vec!["c".into()], vec!["b".into()])
        );
    }
}
