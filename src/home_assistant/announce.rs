//! When which document is published.
//!
//! Pure: told what is known and heard, and the time, it says what to do and when to ask again.
//! Home Assistant loses components when two documents of a device come quickly one after the
//! other, so a change waits until nothing more has changed for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::compressed::Compressed;
use super::merge::merge;

/// How long things are waited for.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Nothing has changed for so long.
    pub quiet: Duration,
    /// What a device has not told when it was there for so long, it lacks: by then each state has
    /// had its turn.
    pub settled: Duration,
    /// At most so long after Home Assistant's birth everything is repeated.
    pub birth: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            quiet: Duration::from_secs(2),
            settled: Duration::from_secs(60),
            birth: Duration::from_secs(5),
        }
    }
}

/// Something to do at the broker.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Publish the document of a device.
    Publish(String, Compressed),
    /// Clear the document of a device.
    Clear(String),
    /// Publish all documents again.
    Repeat,
}

#[derive(Debug)]
struct Device {
    /// Of what is known, which makes the document.
    known: u64,
    /// Since when the device behind it is there.
    online: Option<Instant>,
    /// The document that the broker has.
    published: Option<Compressed>,
    /// It is this run's, and will be published again when the broker forgets it.
    ours: bool,
    /// A person deleted the device in Home Assistant, which is not fought.
    deleted: bool,
    /// When to look at it again.
    due: Option<Instant>,
}

/// When to look at which device again, in order: there may be thousands.
type Due = BTreeSet<(Instant, String)>;

impl Device {
    fn look_at(&mut self, id: &str, due: Option<Instant>, all: &mut Due) {
        if let Some(before) = std::mem::replace(&mut self.due, due) {
            all.remove(&(before, id.to_owned()));
        }
        all.extend(due.map(|due| (due, id.to_owned())));
    }
}

/// The documents of all devices by the devices' ids.
#[derive(Debug)]
pub struct Announcer {
    pace: Pace,
    devices: BTreeMap<String, Device>,
    due: Due,
    /// From here on it is known what the broker had.
    ready: Option<Instant>,
    birth: Option<Instant>,
}

impl Announcer {
    /// Without devices, and not connected.
    pub fn new(pace: Pace) -> Self {
        Self {
            pace,
            devices: BTreeMap::new(),
            due: Due::new(),
            ready: None,
            birth: None,
        }
    }

    /// The broker is there: what it still has of earlier documents comes now.
    pub fn connected(&mut self, now: Instant) {
        self.ready.get_or_insert(now + self.pace.quiet);
    }

    /// What is known of a device, by its digest, and whether the device is there.
    pub fn want(&mut self, id: &str, known: u64, online: bool, now: Instant) {
        let soon = Some(now + self.pace.quiet);
        let Some(device) = self.devices.get_mut(id) else {
            let mut device = Device {
                known,
                online: online.then_some(now),
                published: None,
                ours: false,
                deleted: false,
                due: None,
            };
            device.look_at(id, soon, &mut self.due);
            self.devices.insert(id.to_owned(), device);
            return;
        };
        let changed = online != device.online.is_some();
        if changed {
            device.online = online.then_some(now);
        }
        if changed || device.known != known {
            device.known = known;
            device.look_at(id, soon, &mut self.due);
        }
    }

    /// The device is not wanted any more.
    pub fn forget(&mut self, id: &str) -> Option<Action> {
        let mut device = self.devices.remove(id)?;
        device.look_at(id, None, &mut self.due);
        (!device.deleted).then(|| Action::Clear(id.to_owned()))
    }

    /// The broker has, or somebody published, this document of a device. `ours`: by what it says,
    /// this gateway made it.
    pub fn heard(&mut self, id: &str, document: Option<Value>, ours: bool) -> Option<Action> {
        match (self.devices.get_mut(id), document) {
            (Some(device), Some(document)) => {
                if device.published.is_none() {
                    device.published = Some(Compressed::new(&document));
                }
                None
            }
            // Home Assistant says so once for each entity.
            (Some(device), None) if device.deleted => None,
            (Some(device), None) => {
                tracing::info!(
                    id,
                    "deleted in Home Assistant; it stays away until a restart"
                );
                device.deleted = true;
                device.published = None;
                Some(Action::Clear(id.to_owned()))
            }
            // A room that went away while the gateway was down.
            (None, Some(_)) if ours => Some(Action::Clear(id.to_owned())),
            (None, _) => None,
        }
    }

    /// Home Assistant has started. `chance` is from 0 to 1, so that not all gateways answer at
    /// once.
    pub fn born(&mut self, now: Instant, chance: f64) {
        let wait = self.pace.birth.mul_f64(chance.clamp(0.0, 1.0));
        self.birth = Some(now + wait);
    }

    /// What is to be done now. `document` makes what is known of a device into its document.
    pub fn due(&mut self, now: Instant, document: impl Fn(&str) -> Option<Value>) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.ready.is_none_or(|ready| ready > now) {
            return actions;
        }
        let pace = self.pace;
        let mut again = Vec::new();
        while let Some((_, id)) = self.due.first().filter(|(due, _)| *due <= now) {
            let id = id.clone();
            self.due.pop_first();
            let Some(device) = self.devices.get_mut(&id) else {
                continue;
            };
            device.due = None;
            let Some(wanted) = document(&id).filter(|_| !device.deleted) else {
                continue;
            };
            let settled = device.online.map(|since| since + pace.settled);
            let certain = settled.is_some_and(|settled| settled <= now);
            let published = device.published.as_ref().map(Compressed::document);
            let merged = merge(wanted, published.as_ref(), certain);
            if merged.removes {
                again.push((id.clone(), Some(now + pace.quiet)));
            } else if merged.keeps {
                again.push((id.clone(), settled));
            }
            let same = published.as_ref() == Some(&merged.document);
            if !device.ours || !same {
                let packed = Compressed::new(&merged.document);
                actions.push(Action::Publish(id, packed.clone()));
                device.published = Some(packed);
            }
            device.ours = true;
        }
        for (id, due) in again {
            if let Some(device) = self.devices.get_mut(&id) {
                device.look_at(&id, due, &mut self.due);
            }
        }
        if self.birth.is_some_and(|birth| birth <= now) {
            self.birth = None;
            actions.push(Action::Repeat);
        }
        actions
    }

    /// When to ask again.
    pub fn next(&self) -> Option<Instant> {
        let ready = self.ready?;
        let first = self.due.first().map(|(due, _)| *due);
        let next = first.into_iter().chain(self.birth).min()?;
        Some(next.max(ready))
    }
}

#[cfg(test)]
mod tests {
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
    struct Known {
        announcer: Announcer,
        document: Value,
    }

    impl Known {
        fn new() -> Self {
            Self {
                announcer: Announcer::new(Pace::default()),
                document: Value::Null,
            }
        }

        fn want(&mut self, id: &str, document: Value, online: bool, now: Instant) {
            self.document = document;
            let mut digest = DefaultHasher::new();
            self.document.to_string().hash(&mut digest);
            self.announcer.want(id, digest.finish(), online, now);
        }

        fn due(&mut self, now: Instant) -> Vec<Action> {
            self.announcer.due(now, |_| Some(self.document.clone()))
        }
    }

    impl Deref for Known {
        type Target = Announcer;

        fn deref(&self) -> &Announcer {
            &self.announcer
        }
    }

    impl DerefMut for Known {
        fn deref_mut(&mut self) -> &mut Announcer {
            &mut self.announcer
        }
    }

    fn published(actions: &[Action]) -> Vec<Value> {
        actions
            .iter()
            .filter_map(|action| match action {
                Action::Publish(_, document) => Some(document.document()),
                _ => None,
            })
            .collect()
    }

    fn connected() -> (Known, Instant) {
        let now = Instant::now();
        let mut it = Known::new();
        it.connected(now);
        (it, now)
    }

    #[test]
    fn changes_are_gathered_and_the_same_is_not_published_twice() {
        let (mut it, now) = connected();
        it.want("1", document(&["a"]), true, now);
        it.want("1", document(&["a", "b"]), true, now + SECOND);
        assert!(it.due(now + 2 * SECOND).is_empty());
        assert_eq!(it.next(), Some(now + 3 * SECOND));
        let actions = it.due(now + 3 * SECOND);
        assert_eq!(published(&actions), [document(&["a", "b"])]);
        it.want("1", document(&["a", "b"]), true, now + 4 * SECOND);
        assert!(it.due(now + 60 * SECOND).is_empty());
    }

    #[test]
    fn nothing_is_published_before_the_broker_has_told_what_it_has() {
        let now = Instant::now();
        let mut it = Known::new();
        it.want("1", document(&[]), false, now);
        assert!(it.due(now + 60 * SECOND).is_empty());
        assert_eq!(it.next(), None);
        it.connected(now + 60 * SECOND);
        it.heard("1", Some(document(&["a"])), true);
        let later = now + 62 * SECOND;
        assert_eq!(it.next(), Some(later));
        // The device is away, and what it had is kept as it was.
        assert_eq!(published(&it.due(later)), [document(&["a"])]);
        // It comes back and has something else, then is there for long enough to be believed.
        it.want("1", document(&["b"]), true, later);
        let actions = it.due(later + 2 * SECOND);
        assert_eq!(published(&actions), [document(&["a", "b"])]);
        let settled = later + 60 * SECOND;
        assert_eq!(it.next(), Some(settled));
        let actions = it.due(settled);
        let removed = &published(&actions)[0]["components"]["a"];
        assert_eq!(removed, &json!({"platform": "button"}));
        let actions = it.due(settled + 2 * SECOND);
        assert_eq!(published(&actions), [document(&["b"])]);
        assert_eq!(it.next(), None);
    }

    #[test]
    fn a_device_that_somebody_deleted_stays_away() {
        let (mut it, now) = connected();
        it.want("1", document(&["a"]), true, now);
        it.due(now + 2 * SECOND);
        assert_eq!(it.heard("1", None, false), Some(Action::Clear("1".into())));
        assert_eq!(it.heard("1", None, false), None);
        it.want("1", document(&["b"]), true, now + 3 * SECOND);
        assert!(it.due(now + 9 * SECOND).is_empty());
        assert_eq!(it.forget("1"), None);
    }

    #[test]
    fn rooms_that_went_are_cleared_and_others_documents_are_not() {
        let (mut it, now) = connected();
        it.want("1", document(&["a"]), true, now);
        assert_eq!(it.forget("1"), Some(Action::Clear("1".into())));
        let old = it.heard("9", Some(document(&[])), true);
        assert_eq!(old, Some(Action::Clear("9".into())));
        assert_eq!(it.heard("8", Some(document(&[])), false), None);
        assert_eq!(it.heard("8", None, false), None);
    }

    #[test]
    fn a_birth_repeats_everything_once() {
        let (mut it, now) = connected();
        it.born(now + 3 * SECOND, 0.5);
        assert!(it.due(now + 5 * SECOND).is_empty());
        assert_eq!(it.due(now + 6 * SECOND), [Action::Repeat]);
        assert!(it.due(now + 7 * SECOND).is_empty());
    }
}
