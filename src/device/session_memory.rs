//! The sessions of rooms in memory, where no runtime directory keeps them.
//!
//! A reload replaces a room and its client. What the device could not release, or what could not be released in time,
//! is found by the room that comes next. It ends with the process. Its content is secret and never logged.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use parking_lot::Mutex;
use url::Url;

use super::session_store::{KeptSessions, SessionStore, SharedSessions};

/// A room, and the device and the user that its sessions belong to.
type Owner = (Arc<str>, Url, String);

/// The sessions of all rooms. Clones share them.
#[derive(Clone, Default)]
pub struct SessionMemory(Arc<Mutex<BTreeMap<Owner, String>>>);

impl Debug for SessionMemory {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionMemory").finish_non_exhaustive()
    }
}

impl SessionMemory {
    /// The sessions of a room at this device.
    pub fn of(&self, room: &Arc<str>, url: &Url, user: &str) -> SessionStore {
        SessionStore::Shared(Arc::new(RoomMemory {
            owner: (room.clone(), url.clone(), user.to_owned()),
            all: self.clone(),
        }))
    }

    /// Forgets the sessions of rooms, devices and users that are configured no more.
    pub fn retain(&self, is_configured: impl Fn(&str, &Url, &str) -> bool) {
        self.0
            .lock()
            .retain(|(room, url, user), _| is_configured(room, url, user));
    }
}

/// The sessions of one room.
#[derive(Debug)]
struct RoomMemory {
    owner: Owner,
    all: SessionMemory,
}

impl SharedSessions for RoomMemory {
    fn load(&self) -> KeptSessions {
        let text = self.all.0.lock().get(&self.owner).cloned();
        KeptSessions {
            text: text.unwrap_or_default().into(),
            may_be_in_use: false,
        }
    }

    fn store(&self, text: Option<String>) {
        let mut all = self.all.0.lock();
        match text {
            Some(text) => all.insert(self.owner.clone(), text),
            None => all.remove(&self.owner),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_found_by_the_same_room_device_and_user() {
        let memory = SessionMemory::default();
        let of = |room: &str, url: &str, user: &str| {
            let SessionStore::Shared(store) =
                memory.of(&room.into(), &Url::parse(url).unwrap(), user)
            else {
                panic!("not in memory");
            };
            store
        };
        let (one, two) = ("https://192.0.2.1", "https://192.0.2.2");
        of("1", one, "admin").store(Some("secret".into()));
        assert_eq!(of("1", one, "admin").load().text, b"secret");
        for (room, url, user) in [("2", one, "admin"), ("1", two, "admin"), ("1", one, "root")] {
            assert!(
                of(room, url, user).load().text.is_empty(),
                "{room} {url} {user}"
            );
        }
        assert!(!format!("{memory:?} {:?}", of("1", one, "admin")).contains("secret"));
        memory.retain(|room, _, user| (room, user) == ("1", "admin"));
        assert_eq!(memory.0.lock().len(), 1);
        memory.retain(|room, url, _| (room, url.as_str()) == ("1", two));
        assert!(memory.0.lock().is_empty());
        of("1", one, "admin").store(Some("secret".into()));
        of("1", one, "admin").store(None);
        assert!(memory.0.lock().is_empty());
    }
}
