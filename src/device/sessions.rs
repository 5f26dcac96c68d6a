//! The sessions that the device holds for this room, as far as is known.
//!
//! One is the current one. The others are unreleased: they are not used any more, because the
//! device refused them or another took their place, and count against the device's maximum until it
//! lets go of them. All of these outlive the gateway where there is a [`SessionStore`]. A device without a
//! log-out holds sessions that cannot be released: the newest is used again, by the next room or the next start too,
//! or each end of a session would use up one more. Sends nothing.

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
    /// The generation of the session that was found to be so last: it is used again, and not asked to go again.
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

    /// The device still takes this session: its release is tried on.
    pub fn lives(&self, generation: u64) {
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

#[cfg(test)]
mod tests {
    use serde_json::json;
    use url::Url;

    use super::super::session_file::SessionFile;
    use super::super::session_store::{KeptSessions, SharedSessions};
    use super::*;

    fn session(id: &str, generation: u64) -> Arc<Session> {
        let stored = json!({"id": id, "token": null, "state": {"role": "ADMIN"}});
        Session::from_json(&stored, generation).unwrap().into()
    }

    #[test]
    fn a_session_without_a_readable_reply_is_only_released_after_a_kill() {
        let directory = tempfile::tempdir().unwrap();
        let url = Url::parse("https://192.0.2.1").unwrap();
        let file = SessionFile::new(directory.path(), "1", &url, "admin", Arc::default());
        let store = || Some(SessionStore::File(file.clone()));
        let killed = Sessions::new(store());
        killed.set_current(session("whole", 1));
        let cookies = ["session_id=spoilt; Path=/".to_owned()];
        let spoilt = Session::from_cookies(&cookies, 2).unwrap();
        killed.add_unreleased(spoilt.into());
        assert!(killed.retire());
        let next = Sessions::new(store());
        assert_eq!(next.current(None).unwrap().state["role"], "ADMIN");
        assert_eq!(next.unreleased().len(), 1);
    }

    #[derive(Debug, Default)]
    struct Recorder(Mutex<Vec<Option<String>>>);

    impl SharedSessions for Recorder {
        fn load(&self) -> KeptSessions {
            KeptSessions::default()
        }
        fn store(&self, text: Option<String>) {
            self.0.lock().push(text);
        }
    }

    #[test]
    fn what_the_device_still_holds_at_the_end_is_stored_once_more() {
        let recorder = Arc::<Recorder>::default();
        let sessions = Sessions::new(Some(SessionStore::Shared(recorder.clone())));
        sessions.store_held();
        assert!(recorder.0.lock().is_empty());
        sessions.add_unreleased(session("a", 1));
        sessions.store_held();
        let stored = recorder.0.lock().clone();
        assert_eq!(stored.len(), 2);
        assert!(stored[1].is_some() && stored[0] == stored[1]);
    }

    #[derive(Debug)]
    struct Predecessor;

    impl SharedSessions for Predecessor {
        fn load(&self) -> KeptSessions {
            let state = json!({"role": "ADMIN"});
            let sessions = json!([{"id": "a", "token": null, "state": state}]);
            KeptSessions {
                text: sessions.to_string().into(),
                may_be_in_use: true,
            }
        }
        fn store(&self, _: Option<String>) {}
    }

    #[test]
    fn a_session_that_another_gateway_may_use_is_released_first() {
        let shared = SessionStore::Shared(Arc::new(Predecessor));
        let sessions = Sessions::new(Some(shared));
        assert!(sessions.current(None).is_none());
        assert_eq!(sessions.unreleased().len(), 1);
        // The next session is told from it.
        assert_eq!(sessions.generation(), 1);
    }

    #[test]
    fn a_session_that_another_replaces_is_to_be_released() {
        let sessions = Sessions::new(None);
        for generation in 1..=2 {
            sessions.set_current(session("a", generation));
        }
        assert_eq!(sessions.current(None).unwrap().generation, 2);
        assert_eq!(sessions.unreleased()[0].generation, 1);
    }

    #[test]
    fn a_stale_session_is_not_current() {
        let sessions = Sessions::new(None);
        assert!(sessions.current(None).is_none() && !sessions.retire());
        sessions.set_current(session("a", 3));
        assert_eq!(sessions.generation(), 3);
        assert!(sessions.current(Some(2)).is_some());
        assert!(sessions.current(Some(3)).is_none());
    }

    #[test]
    fn a_session_is_unreleased_until_the_device_confirms_or_never_does() {
        let sessions = Sessions::new(None);
        sessions.add_unreleased(session("a", 1));
        sessions.add_unreleased(session("b", 2));
        sessions.release_tried(1, Release::Done);
        assert_eq!(sessions.unreleased().len(), 1);
        for _ in 1..MOST_RELEASE_TRIES {
            sessions.release_tried(2, Release::Unconfirmed);
            assert_eq!(sessions.unreleased().len(), 1);
        }
        // The device proves that it holds it, and is asked once more each time.
        sessions.lives(2);
        for _ in 1..MOST_RELEASE_TRIES {
            sessions.release_tried(2, Release::Unconfirmed);
            assert_eq!(sessions.unreleased().len(), 1);
        }
        sessions.release_tried(2, Release::Unconfirmed);
        assert!(sessions.unreleased().is_empty());
    }

    #[test]
    fn a_device_without_a_log_out_is_asked_with_the_newest_session_that_it_holds() {
        let sessions = Sessions::new(None);
        let held = || -> Vec<u64> {
            let held = sessions.still_held();
            held.iter().map(|session| session.generation).collect()
        };
        for generation in 1..=3 {
            sessions.add_unreleased(session("a", generation));
            sessions.release_tried(generation, Release::NoLogOut);
            assert!(sessions.unreleased().is_empty());
            assert_eq!(held(), [generation]);
        }
        sessions.add_unreleased(session("a", 4));
        sessions.release_tried(4, Release::Unconfirmed);
        assert_eq!(held(), [4, 3]);
        sessions.release_tried(4, Release::Done);
        assert_eq!(held(), [3]);
    }

    #[test]
    fn a_session_that_cannot_be_released_is_used_again() {
        let directory = tempfile::tempdir().unwrap();
        let url = Url::parse("https://192.0.2.1").unwrap();
        let file = SessionFile::new(directory.path(), "1", &url, "admin", Arc::default());
        let start = || Sessions::new(Some(SessionStore::File(file.clone())));
        let stopped = start();
        stopped.set_current(session("a", 1));
        stopped.retire();
        stopped.release_tried(1, Release::NoLogOut);
        assert!(stopped.current(None).is_none());
        // By the same room, unless the device refuses it.
        assert!(stopped.unreleasable(Some(1)).is_none());
        let again = stopped.unreleasable(None).unwrap();
        stopped.use_again(again, true);
        assert_eq!(stopped.current(None).unwrap().generation, 1);
        assert!(stopped.unreleasable(None).is_none());
        // By the next one. It is not asked again to go.
        stopped.retire();
        assert!(stopped.unreleased().is_empty() && stopped.unreleasable(None).is_some());
        let next = start();
        assert!(next.current(None).is_some() && next.unreleased().is_empty());
        let refused = stopped.unreleasable(None).unwrap();
        stopped.use_again(refused, false);
        assert!(stopped.current(None).is_none() && stopped.still_held().is_empty());
        assert!(start().current(None).is_none());
    }

    #[test]
    fn only_the_newest_unreleased_sessions_are_remembered() {
        let sessions = Sessions::new(None);
        for generation in 1..=6 {
            sessions.add_unreleased(session("a", generation));
        }
        let unreleased = sessions.unreleased();
        let generations: Vec<_> = unreleased.iter().map(|it| it.generation).collect();
        assert_eq!(generations, [3, 4, 5, 6]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_is_renewed_with_each_answer_is_stored_now_and_then_and_at_the_end() {
        let recorder = Arc::<Recorder>::default();
        let sessions = Sessions::new(Some(SessionStore::Shared(recorder.clone())));
        sessions.set_current(session("a", 1));
        let stored = || recorder.0.lock().len() - 1;
        let minutes = 10;
        for second in 0..minutes * 60 {
            sessions.current(None).unwrap();
            sessions.renew_token(1, &[format!("XSRF-TOKEN=t{second}")]);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let most = minutes * 2;
        assert!((most - 1..=most).contains(&stored()), "{}", stored());
        let newest = || recorder.0.lock().last().unwrap().clone().unwrap();
        assert!(!newest().contains("t599"));
        // The next request stores it when it may.
        tokio::time::advance(RENEWAL_INTERVAL).await;
        sessions.current(None).unwrap();
        assert!(newest().contains("t599"));
        // The end stores it at once.
        sessions.renew_token(1, &["XSRF-TOKEN=last".to_owned()]);
        assert!(!newest().contains("last"));
        sessions.store_held();
        assert!(newest().contains("last"));
    }

    #[test]
    fn a_token_is_renewed_for_the_session_that_it_came_to() {
        let sessions = Sessions::new(None);
        sessions.set_current(session("a", 2));
        let cookies = ["XSRF-TOKEN=t".to_owned()];
        sessions.renew_token(1, &cookies);
        assert!(sessions.current(None).unwrap().headers().token.is_none());
        sessions.renew_token(2, &cookies);
        assert!(sessions.current(None).unwrap().headers().token.is_some());
    }
}
