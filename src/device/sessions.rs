//! The sessions that the device holds for this room, as far as is known.
//!
//! One is used. The others are owed: they were given up because the device refused them or because
//! another had to take their place, and count against the device's maximum until it has let go of
//! them. All of them outlive the gateway where there is a [`SessionStore`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::login::Session;
use super::session_store::SessionStore;

/// So many are remembered; a device that frees none of them is past helping.
const OWED: usize = 4;
/// How often a session is given back that the device does not say it let go of.
const TRIES: u32 = 8;

#[derive(Debug)]
pub struct Sessions {
    known: Mutex<Known>,
    keep: Option<SessionStore>,
}

#[derive(Debug, Default)]
struct Known {
    used: Option<Arc<Session>>,
    /// Each with how often it has been given back in vain.
    owed: Vec<(Arc<Session>, u32)>,
}

impl Sessions {
    /// Begins with what an earlier run kept: the newest that was ever used is tried first. One that
    /// came with a spoilt answer never was: nobody knows whose it is, and it is only owed.
    pub fn new(keep: Option<SessionStore>) -> Self {
        let mut kept = keep.as_ref().map(SessionStore::load).unwrap_or_default();
        let newest = kept.iter().rposition(|session| !session.state.is_null());
        let used = newest.map(|newest| Arc::new(kept.remove(newest)));
        Self {
            known: Mutex::new(Known {
                used,
                owed: kept.into_iter().map(|it| (Arc::new(it), 0)).collect(),
            }),
            keep,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known, and keeps it.
    fn change(&self, change: impl FnOnce(&mut Known)) {
        let mut known = self.lock();
        change(&mut known);
        if let Some(keep) = &self.keep {
            let owed = known.owed.iter().map(|(session, _)| session);
            keep.store(owed.chain(&known.used).map(|session| &**session));
        }
    }

    /// The session to use, unless it is the one of this generation.
    pub fn used(&self, stale: Option<u64>) -> Option<Arc<Session>> {
        let used = self.lock().used.clone();
        used.filter(|session| Some(session.generation) != stale)
    }

    /// The newest generation there is.
    pub fn generation(&self) -> u64 {
        self.lock().used.as_ref().map_or(0, |used| used.generation)
    }

    /// This one is used from now on.
    pub fn begin(&self, session: Arc<Session>) {
        self.change(|known| known.used = Some(session));
    }

    /// The one that is used is not any more: it is owed.
    pub fn end(&self) {
        let used = self.lock().used.take();
        if let Some(session) = used {
            self.owe(session);
        }
    }

    /// The device holds this one though it cannot be used.
    pub fn owe(&self, session: Arc<Session>) {
        self.change(|known| {
            known.owed.push((session, 0));
            if known.owed.len() > OWED {
                known.owed.remove(0);
            }
        });
    }

    /// All that are owed.
    pub fn owed(&self) -> Vec<Arc<Session>> {
        let known = self.lock();
        known
            .owed
            .iter()
            .map(|(session, _)| session.clone())
            .collect()
    }

    /// This one was given back; `gone` if the device said that it has let go of it.
    pub fn given_back(&self, generation: u64, gone: bool) {
        self.change(|known| {
            for (session, tries) in &mut known.owed {
                *tries += u32::from(session.generation == generation);
            }
            known.owed.retain(|(session, tries)| {
                session.generation != generation || (!gone && *tries < TRIES)
            });
        });
    }

    /// Takes a new token for the session of this generation from an answer that sets one.
    pub fn renew_token(&self, generation: u64, cookies: &[String]) {
        let mut renewed = false;
        if !cookies.is_empty()
            && let Some(used) = &mut self.lock().used
            && used.generation == generation
        {
            renewed = Arc::make_mut(used).renew_token(cookies);
        }
        if renewed {
            self.change(|_| {});
        }
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;
    use crate::device::login::read_login_reply;

    #[test]
    fn a_session_that_came_with_a_spoilt_answer_is_only_owed_after_a_kill() {
        let directory = tempfile::tempdir().unwrap();
        let url = Url::parse("https://192.0.2.1").unwrap();
        let keep = || Some(SessionStore::new(directory.path(), "1", &url, "admin"));
        let cookies = |id: &str| [format!("session_id={id}; Path=/")];
        let killed = Sessions::new(keep());
        let answer = br#"{"success":true,"session":{"role":"ADMIN"}}"#;
        killed.begin(
            read_login_reply(200, &cookies("whole"), answer, 1)
                .unwrap()
                .into(),
        );
        killed.owe(Session::given(&cookies("spoilt"), 2).unwrap().into());
        killed.end();
        let next = Sessions::new(keep());
        assert_eq!(next.used(None).unwrap().state["role"], "ADMIN");
        assert_eq!(next.owed().len(), 1);
    }
}
