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
    sessions.note_valid(2);
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
