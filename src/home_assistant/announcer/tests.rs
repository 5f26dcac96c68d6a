//! The announcer with a clock of the tests.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::{Deref, DerefMut};

use super::*;
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);

fn document(names: &[&str]) -> Value {
    let components: serde_json::Map<String, Value> = names
        .iter()
        .map(|name| {
            let component = json!({"platform": "button", "name": name});
            ((*name).to_owned(), component)
        })
        .collect();
    json!({"device": {}, "components": components})
}

/// An announcer, and what is known of its one device.
struct Setup {
    announcer: Announcer,
    document: Value,
}

impl Setup {
    fn new() -> Self {
        Self {
            announcer: Announcer::new(Delays::default()),
            document: Value::Null,
        }
    }

    fn update(&mut self, id: &str, document: Value, online: bool, now: Instant) {
        self.document = document;
        let mut digest = DefaultHasher::new();
        self.document.to_string().hash(&mut digest);
        self.announcer.update(id, digest.finish(), online, now);
    }

    /// What is to be done until nothing is due any more.
    fn due(&mut self, now: Instant) -> Vec<DocumentAction> {
        let source = |_: &str| Some(DocumentSource::Document(self.document.clone()));
        let mut actions = self.announcer.due(now, source);
        while self.announcer.next_due().is_some_and(|next| next <= now) {
            actions.extend(self.announcer.due(now, source));
        }
        actions
    }
}

impl Deref for Setup {
    type Target = Announcer;

    fn deref(&self) -> &Announcer {
        &self.announcer
    }
}

impl DerefMut for Setup {
    fn deref_mut(&mut self) -> &mut Announcer {
        &mut self.announcer
    }
}

fn published(actions: &[DocumentAction]) -> Vec<Value> {
    actions
        .iter()
        .filter_map(|action| match action {
            DocumentAction::Publish(_, document) => Some(document.document()),
            _ => None,
        })
        .collect()
}

fn connected() -> (Setup, Instant) {
    let now = Instant::now();
    let mut it = Setup::new();
    it.connected(now);
    (it, now)
}

/// Each document takes a millisecond, in which nothing else of its thread runs.
#[test]
fn one_document_is_made_at_a_time() {
    let (mut it, now) = connected();
    for id in ["1", "2", "3"] {
        it.update(id, document(&["a"]), true, now);
    }
    let later = now + 2 * SECOND;
    let source = |_: &str| Some(DocumentSource::Document(document(&["a"])));
    for _ in 0..3 {
        assert_eq!(it.next_due(), Some(later));
        assert_eq!(published(&it.announcer.due(later, source)).len(), 1);
    }
    assert_eq!(it.next_due(), None);
    assert!(it.announcer.due(later, source).is_empty());
}

#[test]
fn changes_are_gathered_and_the_same_is_not_published_twice() {
    let (mut it, now) = connected();
    it.update("1", document(&["a"]), true, now);
    it.update("1", document(&["a", "b"]), true, now + SECOND);
    assert!(it.due(now + 2 * SECOND).is_empty());
    assert_eq!(it.next_due(), Some(now + 3 * SECOND));
    let actions = it.due(now + 3 * SECOND);
    assert_eq!(published(&actions), [document(&["a", "b"])]);
    it.update("1", document(&["a", "b"]), true, now + 4 * SECOND);
    assert!(it.due(now + 60 * SECOND).is_empty());
}

#[test]
fn nothing_is_published_before_the_broker_has_told_what_it_has() {
    let now = Instant::now();
    let mut it = Setup::new();
    it.update("1", document(&[]), false, now);
    assert!(it.due(now + 60 * SECOND).is_empty());
    assert_eq!(it.next_due(), None);
    it.connected(now + 60 * SECOND);
    it.received("1", Some(document(&["a"])), Author::ThisGateway, now);
    let later = now + 62 * SECOND;
    assert_eq!(it.next_due(), Some(later));
    // The device is away, and what it had is kept as it was.
    assert_eq!(published(&it.due(later)), [document(&["a"])]);
    // It comes back and has something else, then is there for long enough to be believed.
    it.update("1", document(&["b"]), true, later);
    let actions = it.due(later + 2 * SECOND);
    assert_eq!(published(&actions), [document(&["a", "b"])]);
    let settled = later + 60 * SECOND;
    assert_eq!(it.next_due(), Some(settled));
    let actions = it.due(settled);
    let removed = &published(&actions)[0]["components"]["a"];
    assert_eq!(removed, &json!({"platform": "button"}));
    let actions = it.due(settled + 2 * SECOND);
    assert_eq!(published(&actions), [document(&["b"])]);
    assert_eq!(it.next_due(), None);
}

#[test]
fn a_device_that_somebody_deleted_stays_away() {
    let (mut it, now) = connected();
    it.update("1", document(&["a"]), true, now);
    it.due(now + 2 * SECOND);
    assert_eq!(
        it.received("1", None, Author::Unknown, now),
        Some(DocumentAction::ClearDeleted("1".into()))
    );
    assert_eq!(it.received("1", None, Author::Unknown, now), None);
    it.update("1", document(&["b"]), true, now + 3 * SECOND);
    assert!(it.due(now + 9 * SECOND).is_empty());
    assert_eq!(it.forget("1"), None);
}

#[test]
fn rooms_that_went_are_cleared_and_others_documents_are_not() {
    let (mut it, now) = connected();
    it.update("1", document(&["a"]), true, now);
    assert_eq!(it.forget("1"), Some(DocumentAction::Clear("1".into())));
    let old = it.received("9", Some(document(&[])), Author::ThisGateway, now);
    assert_eq!(old, Some(DocumentAction::Clear("9".into())));
    for author in [Author::AnotherGateway, Author::Unknown] {
        assert_eq!(it.received("8", Some(document(&[])), author, now), None);
        assert_eq!(it.received("8", None, author, now), None);
    }
}

#[test]
fn a_birth_repeats_everything_once() {
    let (mut it, now) = connected();
    it.home_assistant_started(now + 3 * SECOND, 0.5);
    assert!(it.due(now + 5 * SECOND).is_empty());
    assert_eq!(it.due(now + 6 * SECOND), [DocumentAction::Repeat]);
    assert!(it.due(now + 7 * SECOND).is_empty());
}

/// A document of ten entities with 30 bytes or more each.
fn large() -> Value {
    document(&["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"])
}

fn entities(document: &Value) -> usize {
    document["components"].as_object().unwrap().len()
}

#[test]
fn a_smaller_limit_leaves_entities_out_and_a_larger_one_brings_them_back() {
    let (mut it, mut now) = connected();
    it.update("1", large(), true, now);
    it.update("2", document(&["a"]), true, now);
    it.document = large();
    now += 2 * SECOND;
    assert_eq!(published(&it.due(now)).len(), 2);
    let size = large().to_string().len();
    // Found in steps: each refusal makes the document smaller, and only the end is reported.
    for limit in [size / 4 * 3, size / 2] {
        it.limit(limit, BTreeMap::new(), now);
        assert_eq!(it.next_due(), Some(now + LIMIT_DELAY));
        now += LIMIT_DELAY;
        let actions = it.due(now);
        let documents = published(&actions);
        assert_eq!((actions.len(), documents.len()), (2, 2), "{actions:?}");
        assert!(documents[0].to_string().len() <= limit);
        assert!(entities(&documents[0]) < 10 && entities(&documents[0]) > 2);
    }
    let actions = it.due(now + REPORT_DELAY);
    let [DocumentAction::Report(left_out)] = &actions[..] else {
        panic!("{actions:?}");
    };
    assert_eq!((left_out.limit, left_out.devices["1"]), (size / 2, size));
    assert!(left_out.entities.contains("j") && !left_out.entities.contains("a"));
    // The same is not said twice.
    it.update("1", large(), false, now + REPORT_DELAY);
    now += 2 * REPORT_DELAY;
    assert!(
        it.due(now)
            .iter()
            .all(|action| !matches!(action, DocumentAction::Report(_)))
    );
    // Nothing fits: nothing is published.
    it.limit(10, BTreeMap::new(), now);
    now += LIMIT_DELAY;
    assert!(it.due(now).is_empty());
    it.limit(usize::MAX, BTreeMap::new(), now);
    now += LIMIT_DELAY;
    assert_eq!(published(&it.due(now)), [large(), large()]);
    let actions = it.due(now + REPORT_DELAY);
    let [DocumentAction::Report(left_out)] = &actions[..] else {
        panic!("{actions:?}");
    };
    assert!(left_out.devices.is_empty());
}

#[test]
fn a_limit_of_one_device_leaves_the_others_whole() {
    let (mut it, mut now) = connected();
    it.update("1", large(), true, now);
    it.update("2", large(), true, now);
    now += 2 * SECOND;
    assert_eq!(published(&it.due(now)).len(), 2);
    let size = large().to_string().len();
    it.limit(size, [("1".to_owned(), size / 2)].into(), now);
    now += LIMIT_DELAY;
    let actions = it.due(now);
    let [DocumentAction::Publish(id, document)] = &actions[..] else {
        panic!("{actions:?}");
    };
    assert_eq!(id, "1");
    assert!(entities(&document.document()) < 10);
    let actions = it.due(now + REPORT_DELAY);
    let [DocumentAction::Report(left_out)] = &actions[..] else {
        panic!("{actions:?}");
    };
    assert_eq!((left_out.limit, left_out.devices.len()), (size / 2, 1));
}

#[test]
fn another_gateways_document_of_the_same_device_is_taken_over_once_and_never_cleared() {
    let (mut it, now) = connected();
    it.update("1", document(&["a"]), false, now);
    let theirs = Some(document(&["a", "theirs"]));
    assert_eq!(
        it.received("1", theirs.clone(), Author::AnotherGateway, now),
        None
    );
    // Its device is offline: nothing is lost, and the mark is this gateway's from now on.
    let actions = it.due(now + 2 * SECOND);
    assert_eq!(published(&actions), [document(&["a", "theirs"])]);
    it.update("1", document(&["a"]), true, now + 3 * SECOND);
    let mut removing = document(&["a"]);
    removing["components"]["theirs"] = json!({"platform": "button"});
    assert!(it.due(now + 5 * SECOND).is_empty());
    assert_eq!(published(&it.due(now + 63 * SECOND)), [removing]);
    let now = now + 65 * SECOND;
    assert_eq!(published(&it.due(now)), [document(&["a"])]);
    // It publishes again. This gateway does not answer, and leaves the document when it has no such
    // device any more.
    it.received("1", theirs, Author::AnotherGateway, now);
    assert!(it.due(now + 9 * SECOND).is_empty());
    assert_eq!(it.forget("1"), None);
}

#[test]
fn a_document_that_was_published_again_is_this_gateways() {
    let overwritten = || {
        let (mut it, now) = connected();
        it.update("1", document(&["a"]), true, now);
        it.due(now + 2 * SECOND);
        it.received("1", Some(document(&["b"])), Author::AnotherGateway, now);
        (it, now + 2 * SECOND)
    };
    let cleared = Some(DocumentAction::Clear("1".into()));
    // At a start of Home Assistant, and on a new connection.
    let (mut it, now) = overwritten();
    it.home_assistant_started(now, 0.0);
    assert_eq!(it.due(now), [DocumentAction::Repeat]);
    assert_eq!(it.forget("1"), cleared);
    let (mut it, _) = overwritten();
    it.published_again();
    assert_eq!(it.forget("1"), cleared);
    // The newest message counts.
    let (mut it, now) = overwritten();
    it.published_again();
    it.received("1", Some(document(&["b"])), Author::AnotherGateway, now);
    assert_eq!(it.forget("1"), None);
    let (mut it, _) = overwritten();
    assert_eq!(it.forget("1"), None);
}

#[test]
fn a_document_that_another_gateway_clears_is_published_again() {
    let (mut it, now) = connected();
    it.update("1", document(&["a"]), true, now);
    it.due(now + 2 * SECOND);
    let later = now + 5 * SECOND;
    assert_eq!(it.received("1", None, Author::AnotherGateway, later), None);
    assert_eq!(published(&it.due(later)), [document(&["a"])]);
}

/// One of several gateways.
fn shared() -> (Setup, Instant) {
    let (mut it, now) = connected();
    it.announcer = Announcer::shared(Delays::default());
    it.announcer.connected(now);
    (it, now)
}

#[test]
fn a_document_that_the_earlier_gateway_has_published_is_not_published_again() {
    let (mut it, now) = shared();
    it.expect("1");
    assert!(it.knows("1") && it.is_expected("1"));
    it.received("1", Some(document(&["a", "b"])), Author::ThisGateway, now);
    assert!(it.due(now + 60 * SECOND).is_empty());
    // The device has not told everything yet, and what it had stays.
    let now = now + 60 * SECOND;
    it.update("1", document(&["a"]), true, now);
    let actions = it.due(now + 2 * SECOND);
    let [DocumentAction::Keep(id, kept)] = &actions[..] else {
        panic!("{actions:?}");
    };
    assert_eq!((&**id, kept.document()), ("1", document(&["a", "b"])));
    // Something new is published.
    it.update("1", document(&["a", "b", "c"]), true, now + 3 * SECOND);
    let actions = it.due(now + 5 * SECOND);
    assert_eq!(published(&actions), [document(&["a", "b", "c"])]);
    // The earlier gateway's last document comes late: it does not stay.
    it.received("1", Some(document(&["a"])), Author::ThisGateway, now);
    let actions = it.due(now + 9 * SECOND);
    assert_eq!(published(&actions), [document(&["a", "b", "c"])]);
}

/// Its device is that of all gateways now, with other entities.
#[test]
fn entities_of_the_gateway_that_was_alone_before_are_removed_by_name() {
    let (mut it, now) = shared();
    it.update("1", document(&["a"]), true, now);
    let before = document(&["a", "b"]);
    it.received("1", Some(before.clone()), Author::AnotherGateway, now);
    // With this gateway's mark from now on, though it is the same.
    let actions = it.due(now + 2 * SECOND);
    assert_eq!(published(&actions), std::slice::from_ref(&before));
    let mut removing = document(&["a"]);
    removing["components"]["b"] = json!({"platform": "button"});
    assert_eq!(published(&it.due(now + 60 * SECOND)), [removing]);
    let actions = it.due(now + 62 * SECOND);
    assert_eq!(published(&actions), [document(&["a"])]);
    // Two that have the same device by mistake do not answer each other.
    it.received("1", Some(before), Author::AnotherGateway, now);
    it.update("1", document(&["a", "c"]), true, now + 63 * SECOND);
    let actions = it.due(now + 65 * SECOND);
    assert_eq!(published(&actions), [document(&["a", "c"])]);
}

#[test]
fn a_device_that_has_gone_to_another_gateway_is_not_touched_any_more() {
    let (mut it, now) = shared();
    it.update("1", document(&["a"]), true, now);
    it.hand_over("1");
    assert!(it.due(now + 60 * SECOND).is_empty());
    assert!(!it.knows("1"));
    assert_eq!(it.forget("1"), None);
    it.update("1", document(&["a"]), true, now + 61 * SECOND);
    it.due(now + 63 * SECOND);
    it.hand_over("1");
    assert_eq!(it.received("1", None, Author::Unknown, now), None);
    it.home_assistant_started(now + 64 * SECOND, 0.0);
    assert_eq!(it.due(now + 64 * SECOND), [DocumentAction::Repeat]);
    // It was removed from the configuration while it was here.
    it.update("2", document(&["a"]), true, now);
    assert_eq!(it.forget("2"), Some(DocumentAction::Clear("2".into())));
}
