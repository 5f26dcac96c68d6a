//! The sessions that the device holds for this room, as far as is known.
//!
//! One is the current one. The others are unreleased: they are not used any more, because the
//! device refused them or another took their place, and count against the device's maximum until it
//! lets go of them. All of these outlive the gateway where there is a [`SessionStore`]. A device without a
//! log-out holds sessions that cannot be released: the newest is used again, by the next room or the next start too,
//! or each end of a session would use up one more. Sends nothing.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::Instant;

use super::login_reply::Release;
use super::session::Session;
use super::session_store::SessionStore;

/// How many unreleased sessions are remembered. A device that holds more releases none of them.
const MOST_UNRELEASED: usize = 4;
/// How often the release of a session is tried that the device does not confirm.
const MOST_RELEASE_TRIES: u32 = 8;

/// How often a renewed token is stored at most. A device may send one with each answer, and a store that all rooms
/// share keeps each for a while. Whoever finds an older one logs in.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(30);

/// The known sessions of one device.
#[derive(Debug)]
pub struct Sessions {
    known: Mutex<KnownSessions>,
    store: Option<SessionStore>,
}

#[derive(Debug, Default)]
struct KnownSessions {
    current: Option<Arc<Session>>,
    /// Each with how often its release has been tried.
    unreleased: Vec<(Arc<Session>, u32)>,
    /// The newest session that cannot be released, because the device has no log-out.
    unreleasable: Option<Arc<Session>>,
    /// The generation of the session that the device turned out last not to release. It is used again, and no release
    /// of it is tried again.
    found_unreleasable: Option<u64>,
    /// What the device refused lately: kept for the gateway that uses it next.
    log_ins: Option<Value>,
    /// The token was renewed, and that is not stored yet.
    is_renewed: bool,
    /// When a renewed token was stored last.
    renewal_stored: Option<Instant>,
}

impl KnownSessions {
    fn add_unreleased(&mut self, session: Arc<Session>) {
        if self.found_unreleasable == Some(session.generation) {
            self.unreleasable = Some(session);
            return;
        }
        self.unreleased.push((session, 0));
        if self.unreleased.len() > MOST_UNRELEASED {
            self.unreleased.remove(0);
        }
    }
}

impl Sessions {
    /// The sessions that were stored. The newest that was in use becomes the current one, unless another
    /// gateway may still use it: then it is to be released. A session whose log-in reply could not be read has
    /// no state and was never in use: it is only to be released.
    pub fn new(store: Option<SessionStore>) -> Self {
        let found = store.as_ref().map(SessionStore::load).unwrap_or_default();
        let mut stored = found.sessions;
        let newest = stored.iter().rposition(|session| !session.state.is_null());
        let newest = newest.filter(|_| !found.may_be_in_use);
        let current = newest.map(|newest| Arc::new(stored.remove(newest)));
        let unreleased = stored.into_iter().map(|session| (Arc::new(session), 0));
        Self {
            known: Mutex::new(KnownSessions {
                current,
                unreleased: unreleased.collect(),
                log_ins: found.log_ins,
                ..KnownSessions::default()
            }),
            store,
        }
    }

    /// Changes what is known, and stores it.
    fn change(&self, change: impl FnOnce(&mut KnownSessions)) {
        let mut known = self.known.lock();
        change(&mut known);
        known.is_renewed = false;
        if let Some(store) = &self.store {
            let unreleased = known.unreleased.iter().map(|(session, _)| session);
            let held = unreleased.chain(&known.unreleasable);
            let newest_last = held.chain(&known.current);
            store.store(
                newest_last.map(|session| &**session),
                known.log_ins.as_ref(),
            );
        }
    }

    /// The current session, unless it is of the stale generation.
    pub fn current(&self, stale: Option<u64>) -> Option<Arc<Session>> {
        self.store_renewed();
        let current = self.known.lock().current.clone();
        current.filter(|session| Some(session.generation) != stale)
    }

    /// The highest generation of the known sessions; 0 if there is none.
    pub fn generation(&self) -> u64 {
        let known = self.known.lock();
        let unreleased = known.unreleased.iter().map(|(session, _)| session);
        let generations = unreleased.chain(&known.current);
        let generations = generations.map(|session| session.generation);
        generations.max().unwrap_or_default()
    }

    /// Uses this session from now on; the one before is to be released.
    pub fn set_current(&self, session: Arc<Session>) {
        self.change(|known| {
            if let Some(before) = known.current.replace(session) {
                known.add_unreleased(before);
            }
        });
    }

    /// Stops using the current session and marks it for release. False if there is none.
    pub fn retire(&self) -> bool {
        let current = self.known.lock().current.take();
        let there_is = current.is_some();
        if let Some(session) = current {
            self.add_unreleased(session);
        }
        there_is
    }

    /// What the device refused lately, as it was stored.
    pub fn log_ins(&self) -> Option<Value> {
        self.known.lock().log_ins.clone()
    }

    /// Keeps what the device refused lately.
    pub fn keep_log_ins(&self, log_ins: Option<Value>) {
        let is_known = self.known.lock().log_ins == log_ins;
        if !is_known {
            self.change(|known| known.log_ins = log_ins);
        }
    }

    /// Remembers a session that is not used but held by the device.
    pub fn add_unreleased(&self, session: Arc<Session>) {
        self.change(|known| known.add_unreleased(session));
    }

    /// Stores the sessions that the device still holds, also if that was done long ago: whoever uses the device next
    /// looks for them soon, and a store may hold them for a while only. And a token that was just renewed.
    pub fn store_held(&self) {
        let is_renewed = self.known.lock().is_renewed;
        if is_renewed || !self.still_held().is_empty() {
            self.change(|_| {});
        }
    }

    /// The sessions to be released.
    pub fn unreleased(&self) -> Vec<Arc<Session>> {
        let known = self.known.lock();
        let sessions = known.unreleased.iter();
        sessions.map(|(session, _)| session.clone()).collect()
    }

    /// The sessions that the device may hold besides the current one, the newest first: that is the most
    /// likely to be valid.
    pub fn still_held(&self) -> Vec<Arc<Session>> {
        let known = self.known.lock();
        let unreleased = known.unreleased.iter().map(|(session, _)| session);
        let held = unreleased.rev().chain(&known.unreleasable);
        held.cloned().collect()
    }

    /// The newest session that the device has no log-out for, unless it is of the stale generation. One without a
    /// state was never in use.
    pub fn unreleasable(&self, stale: Option<u64>) -> Option<Arc<Session>> {
        let session = self.known.lock().unreleasable.clone()?;
        let is_usable = Some(session.generation) != stale && !session.state.is_null();
        is_usable.then_some(session)
    }

    /// Uses an unreleasable session again, if the device still takes it, and otherwise forgets it.
    pub fn use_again(&self, session: Arc<Session>, is_taken: bool) {
        self.change(|known| {
            known.unreleasable = None;
            if is_taken && let Some(before) = known.current.replace(session) {
                known.add_unreleased(before);
            }
        });
    }

    /// The release of a session was tried. It is not tried again if the device confirmed that, or has no
    /// log-out, or after too many tries.
    pub fn release_tried(&self, generation: u64, release: Release) {
        self.change(|known| {
            let unreleasable = &mut known.unreleasable;
            let found = &mut known.found_unreleasable;
            known.unreleased.retain_mut(|(session, tries)| {
                if session.generation != generation {
                    return true;
                }
                *tries += 1;
                if release == Release::NoLogOut {
                    *found = Some(generation);
                    *unreleasable = Some(session.clone());
                }
                release == Release::Unconfirmed && *tries < MOST_RELEASE_TRIES
            });
        });
    }

    /// The device still takes this session, so tries to release it count anew.
    pub fn note_valid(&self, generation: u64) {
        let mut known = self.known.lock();
        let mut unreleased = known.unreleased.iter_mut();
        if let Some((_, tries)) = unreleased.find(|(it, _)| it.generation == generation) {
            *tries = 0;
        }
    }

    /// Puts the token that these cookies set into the current session, if it is of this generation.
    pub fn renew_token(&self, generation: u64, cookies: &[String]) {
        if cookies.is_empty() {
            return;
        }
        let mut known = self.known.lock();
        if let Some(current) = &mut known.current
            && current.generation == generation
            && Arc::make_mut(current).renew_token(cookies)
        {
            known.is_renewed = true;
        }
        drop(known);
        self.store_renewed();
    }

    /// Stores a renewed token, unless another one was stored a moment ago. Then that is done later: each request asks
    /// for the session.
    fn store_renewed(&self) {
        let mut known = self.known.lock();
        let now = Instant::now();
        let last = known.renewal_stored;
        let is_due = last.is_none_or(|last| now.duration_since(last) >= RENEWAL_INTERVAL);
        if !known.is_renewed || !is_due {
            return;
        }
        known.renewal_stored = Some(now);
        drop(known);
        self.change(|_| {});
    }
}
