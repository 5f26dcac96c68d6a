//! When which document is published.
//!
//! Pure: told what is known and heard, and the time, it says what to do and when to ask again.
//! Home Assistant loses components when two documents of a device come quickly one after the
//! other, so a change waits until nothing more has changed for a while.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::time::Instant;

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
    /// Publish the document, JSON, of a device.
    Publish(String, Bytes),
    /// Clear the document of a device.
    Clear(String),
    /// Publish all documents again.
    Repeat,
}

/// Documents are kept as the text that is published: thousands of them as trees would be most of the
/// gateway's memory.
#[derive(Debug)]
struct Device {
    /// The document that what is known makes.
    wanted: Bytes,
    /// Since when the device behind it is there.
    online: Option<Instant>,
    /// The document that the broker has.
    published: Option<Bytes>,
    /// It is this run's, and will be published again when the broker forgets it.
    ours: bool,
    /// A person deleted the device in Home Assistant, which is not fought.
    deleted: bool,
    /// When to look at it again.
    due: Option<Instant>,
}

/// The documents of all devices by the devices' ids.
#[derive(Debug)]
pub struct Announcer {
    pace: Pace,
    devices: BTreeMap<String, Device>,
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
            ready: None,
            birth: None,
        }
    }

    /// The broker is there: what it still has of earlier documents comes now.
    pub fn connected(&mut self, now: Instant) {
        self.ready.get_or_insert(now + self.pace.quiet);
    }

    /// What is known of a device makes this document now.
    pub fn want(&mut self, id: &str, document: Bytes, online: bool, now: Instant) {
        let soon = now + self.pace.quiet;
        let Some(device) = self.devices.get_mut(id) else {
            let device = Device {
                wanted: document,
                online: online.then_some(now),
                published: None,
                ours: false,
                deleted: false,
                due: Some(soon),
            };
            self.devices.insert(id.to_owned(), device);
            return;
        };
        if online != device.online.is_some() {
            device.online = online.then_some(now);
            device.due = Some(soon);
        }
        if device.wanted != document {
            device.wanted = document;
            device.due = Some(soon);
        }
    }

    /// The device is not wanted any more.
    pub fn forget(&mut self, id: &str) -> Option<Action> {
        let device = self.devices.remove(id)?;
        (!device.deleted).then(|| Action::Clear(id.to_owned()))
    }

    /// The broker has, or somebody published, this document of a device. `ours`: by what it says,
    /// this gateway made it.
    pub fn heard(&mut self, id: &str, document: Option<Bytes>, ours: bool) -> Option<Action> {
        match (self.devices.get_mut(id), document) {
            (Some(device), Some(document)) => {
                if device.published.is_none() {
                    device.published = Some(document);
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

    /// What is to be done now.
    pub fn due(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.ready.is_none_or(|ready| ready > now) {
            return actions;
        }
        let pace = self.pace;
        for (id, device) in &mut self.devices {
            if device.due.is_none_or(|due| due > now) {
                continue;
            }
            device.due = None;
            if device.deleted {
                continue;
            }
            let settled = device.online.map(|since| since + pace.settled);
            let certain = settled.is_some_and(|settled| settled <= now);
            let old = device.published.as_ref().map(|old| tree(old));
            let merged = merge(&tree(&device.wanted), old.as_ref(), certain);
            if merged.removes {
                device.due = Some(now + pace.quiet);
            } else if merged.keeps {
                device.due = settled;
            }
            // The order of keys says nothing, so trees are compared.
            let same = old.as_ref() == Some(&merged.document);
            if device.ours && same {
                continue;
            }
            let text = Bytes::from(merged.document.to_string());
            let document = match text == device.wanted {
                true => device.wanted.clone(),
                false => text,
            };
            actions.push(Action::Publish(id.clone(), document.clone()));
            device.ours = true;
            device.published = Some(document);
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
        let devices = self.devices.values().filter_map(|device| device.due);
        let next = devices.chain(self.birth).min()?;
        Some(next.max(ready))
    }
}

/// A document that is none counts as empty.
fn tree(document: &[u8]) -> Value {
    serde_json::from_slice(document).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SECOND: Duration = Duration::from_secs(1);

    fn document(names: &[&str]) -> Bytes {
        let components: serde_json::Map<String, Value> = names
            .iter()
            .map(|name| {
                let component = json!({"platform": "button", "name": name});
                ((*name).to_owned(), component)
            })
            .collect();
        let document = json!({"device": {}, "components": components});
        document.to_string().into()
    }

    fn published(actions: &[Action]) -> Vec<Value> {
        actions
            .iter()
            .filter_map(|action| match action {
                Action::Publish(_, document) => Some(tree(document)),
                _ => None,
            })
            .collect()
    }

    fn connected() -> (Announcer, Instant) {
        let now = Instant::now();
        let mut announcer = Announcer::new(Pace::default());
        announcer.connected(now);
        (announcer, now)
    }

    #[test]
    fn changes_are_gathered_and_the_same_is_not_published_twice() {
        let (mut it, now) = connected();
        it.want("1", document(&["a"]), true, now);
        it.want("1", document(&["a", "b"]), true, now + SECOND);
        assert!(it.due(now + 2 * SECOND).is_empty());
        assert_eq!(it.next(), Some(now + 3 * SECOND));
        let actions = it.due(now + 3 * SECOND);
        assert_eq!(published(&actions), [tree(&document(&["a", "b"]))]);
        it.want("1", document(&["a", "b"]), true, now + 4 * SECOND);
        assert!(it.due(now + 60 * SECOND).is_empty());
    }

    #[test]
    fn nothing_is_published_before_the_broker_has_told_what_it_has() {
        let now = Instant::now();
        let mut it = Announcer::new(Pace::default());
        it.want("1", document(&[]), false, now);
        assert!(it.due(now + 60 * SECOND).is_empty());
        assert_eq!(it.next(), None);
        it.connected(now + 60 * SECOND);
        it.heard("1", Some(document(&["a"])), true);
        let later = now + 62 * SECOND;
        assert_eq!(it.next(), Some(later));
        // The device is away, and what it had is kept as it was.
        assert_eq!(published(&it.due(later)), [tree(&document(&["a"]))]);
        // It comes back and has something else, then is there for long enough to be believed.
        it.want("1", document(&["b"]), true, later);
        let actions = it.due(later + 2 * SECOND);
        assert_eq!(published(&actions), [tree(&document(&["a", "b"]))]);
        let settled = later + 60 * SECOND;
        assert_eq!(it.next(), Some(settled));
        let actions = it.due(settled);
        let removed = &published(&actions)[0]["components"]["a"];
        assert_eq!(removed, &json!({"platform": "button"}));
        let actions = it.due(settled + 2 * SECOND);
        assert_eq!(published(&actions), [tree(&document(&["b"]))]);
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
