//! Where a room's sessions are kept, so that the gateway which uses the device next finds them.
//!
//! A gateway that is alone keeps them in a file; gateways that share their rooms keep them where all find them.
//! Owns the text in which sessions are kept, and with them what the device refused lately. Its content is secret and
//! never logged.

use std::fmt::Debug;
use std::sync::Arc;

use serde_json::{Value, json};

use super::session::Session;
use super::session_file::SessionFile;

/// The key of the entry that tells what was refused.
const LOG_INS: &str = "log_ins";

/// Where one room's sessions are kept.
#[derive(Debug, Clone)]
pub enum SessionStore {
    /// A file of this machine.
    File(SessionFile),
    /// A place that other gateways read too.
    Shared(Arc<dyn SharedSessions>),
}

/// The sessions of one room in a place that other gateways read too.
pub trait SharedSessions: Debug + Send + Sync {
    /// What was kept when this gateway got the room.
    fn load(&self) -> KeptSessions;

    /// Keeps this text from now on; `None` if there are no sessions. Returns at once.
    fn store(&self, text: Option<String>);
}

/// The sessions that were kept. Debug does not show them.
#[derive(Clone, Default)]
pub struct KeptSessions {
    /// The text that was stored; empty if there is none.
    pub text: Vec<u8>,
    /// The gateway that stored it may still run and believe that it has the room: its session is to be released
    /// before the device is used, so that the device refuses that gateway by itself.
    pub may_be_in_use: bool,
}

impl Debug for KeptSessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeptSessions")
            .field("may_be_in_use", &self.may_be_in_use)
            .finish_non_exhaustive()
    }
}

/// Sessions as they were found.
#[derive(Debug, Default)]
pub(super) struct FoundSessions {
    /// The newest last.
    pub sessions: Vec<Session>,
    /// What was refused, as `LoginBackoff` has written it.
    pub log_ins: Option<Value>,
    pub may_be_in_use: bool,
}

impl SessionStore {
    /// The sessions in a text, the newest last. What cannot be sent to a device is left out, since anything can
    /// stand in a file.
    pub fn read(text: &[u8]) -> Vec<Session> {
        (1..)
            .zip(&entries(text))
            .filter_map(|(generation, stored)| Session::from_json(stored, generation))
            .collect()
    }

    /// What an earlier run or another gateway stored.
    pub(super) fn load(&self) -> FoundSessions {
        let kept = self.kept();
        FoundSessions {
            sessions: Self::read(&kept.text),
            log_ins: entries(&kept.text)
                .into_iter()
                .find_map(|mut entry| entry.get_mut(LOG_INS).map(Value::take)),
            may_be_in_use: kept.may_be_in_use,
        }
    }

    /// Stores these, the newest last, and what was refused.
    pub(super) fn store<'a>(
        &self,
        sessions: impl Iterator<Item = &'a Session>,
        log_ins: Option<&Value>,
    ) {
        let mut entries: Vec<_> = sessions.map(Session::to_json).collect();
        // Has no id, so it is no session.
        entries.extend(log_ins.map(|log_ins| json!({ LOG_INS: log_ins })));
        self.keep((!entries.is_empty()).then(|| Value::from(entries).to_string()));
    }

    /// The text that was stored.
    pub(super) fn kept(&self) -> KeptSessions {
        match self {
            Self::File(file) => KeptSessions {
                text: file.load(),
                may_be_in_use: false,
            },
            Self::Shared(shared) => shared.load(),
        }
    }

    /// Stores this text; `None` if there are no sessions.
    pub(super) fn keep(&self, text: Option<String>) {
        match self {
            Self::File(file) => file.store(text.as_deref()),
            Self::Shared(shared) => shared.store(text),
        }
    }
}

/// The id of a session in a text; none if the entry is something else.
pub(super) fn session_id(entry: &Value) -> Option<&str> {
    entry.get("id")?.as_str()
}

/// What stands in a text; nothing if it cannot be read.
pub(super) fn entries(text: &[u8]) -> Vec<Value> {
    serde_json::from_slice(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    fn session(id: &str) -> Session {
        let stored = json!({"id": id, "token": "t", "state": {"role": "ADMIN"}});
        Session::from_json(&stored, 1).unwrap()
    }

    #[test]
    fn sessions_come_back() {
        let directory = tempfile::tempdir().unwrap();
        let url = Url::parse("https://192.0.2.10").unwrap();
        let store = SessionStore::File(SessionFile::new(
            directory.path(),
            "1",
            &url,
            "admin",
            Arc::default(),
        ));
        assert!(store.load().sessions.is_empty());
        let log_ins = json!({"refused": [5]});
        store.store([session("a+/="), session("b")].iter(), Some(&log_ins));
        assert_eq!(store.load().log_ins, Some(log_ins));
        let loaded = store.load().sessions;
        assert_eq!(loaded.len(), 2);
        let cookie = &loaded[0].headers().cookie;
        assert_eq!(cookie, "session_id=a+/=; XSRF-TOKEN=t");
        assert_eq!(loaded[1].state["role"], "ADMIN");
        assert!(loaded[0].generation < loaded[1].generation);
        assert!(!format!("{store:?} {loaded:?}").contains("a+/="));
        store.store([].iter(), None);
        assert_eq!(store.load().log_ins, None);
        assert!(store.load().sessions.is_empty());
    }

    #[test]
    fn a_text_that_cannot_be_read_is_no_session() {
        for text in ["", "[{}]", "{\"id\":\"a\"}", "[{\"id\":\"a\\nb\"}]"] {
            assert!(SessionStore::read(text.as_bytes()).is_empty(), "{text}");
        }
    }
}
