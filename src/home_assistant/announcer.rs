//! When which document is published.
//!
//! Pure: gets the facts, the broker's messages and the time, and returns what to do now and when to
//! ask again. Home Assistant loses components when two documents of a device come
//! quickly one after the other, so a change is published only after nothing has changed for a
//! while.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::fitting::fit;
use super::kept::{DocumentSource, KeptDocument};
use super::merge::merge;

/// After a change of the broker's limit the documents follow at once: those that it refused never
/// reached Home Assistant. The pause only gathers what came together.
const LIMIT_DELAY: Duration = Duration::from_millis(200);
/// The limit of a broker that does not announce it is found in steps. What is left out in the end is
/// reported when no step has come for this long.
const REPORT_DELAY: Duration = Duration::from_secs(5);

/// How long the announcer waits.
#[derive(Debug, Clone, Copy)]
pub struct Delays {
    /// A document is published when nothing has changed for this long.
    pub debounce: Duration,
    /// When a device has been online for this long, each of its states has been read. What it has
    /// not told by then, it lacks.
    pub settled: Duration,
    /// Everything is published again within this time after Home Assistant has started. Each
    /// gateway waits for a part of it, so that not all answer at once.
    pub birth_spread: Duration,
}

impl Default for Delays {
    fn default() -> Self {
        Self {
            debounce: Duration::from_secs(2),
            settled: Duration::from_secs(60),
            birth_spread: Duration::from_secs(5),
        }
    }
}

/// Something to do at the broker. Devices are named by their ids.
#[derive(Debug, Clone, PartialEq)]
pub enum DocumentAction {
    /// Publish this document of a device.
    Publish(String, KeptDocument),
    /// The broker has this document of a device already. It is published when everything is.
    Keep(String, KeptDocument),
    /// Clear the document of a device.
    Clear(String),
    /// A person has deleted a device in Home Assistant: say so, and clear its document.
    ClearDeleted(String),
    /// Publish all documents again.
    Repeat,
    /// Say what Home Assistant does not get because of the broker's limit, or that it gets everything
    /// again.
    Report(LeftOut),
}

/// What the broker's limit leaves out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The largest document that the broker takes, as far as is known, in bytes: the smallest of
    /// these devices' limits.
    pub limit: usize,
    /// The devices whose documents are not whole, with the size of the whole in bytes.
    pub devices: BTreeMap<String, usize>,
    /// The keys of the entities that one of them or more lacks.
    pub entities: BTreeSet<String>,
}

/// Who has published a document that the broker sends, or has cleared it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author {
    /// This gateway, in an earlier run.
    ThisGateway,
    /// Another gateway.
    AnotherGateway,
    /// The message does not say.
    Unknown,
}

/// What the announcer knows of one device.
#[derive(Debug)]
struct Announced {
    /// The digest of the facts that make the document.
    digest: u64,
    /// Since when the room's device can be used.
    online: Option<Instant>,
    /// The document that the broker has.
    published: Option<KeptDocument>,
    /// This run has published it, and will do so again when the broker forgets it.
    ours: bool,
    /// A person deleted the device in Home Assistant. It is not published again.
    deleted: bool,
    /// The size of its whole document, in bytes.
    whole_size: usize,
    /// The keys of the entities that do not fit into the document.
    left_out: Vec<String>,
    /// Another gateway has published a document of the same device since this one has.
    overwritten: bool,
    /// What the broker holds of it has not been asked for: the document is not made before.
    is_expected: bool,
    /// When to look at it again.
    due: Option<Instant>,
}

/// When to look at which device again, in order: there may be thousands.
type DueTimes = BTreeSet<(Instant, String)>;

impl Announced {
    fn schedule(&mut self, id: &str, due: Option<Instant>, all: &mut DueTimes) {
        if let Some(before) = std::mem::replace(&mut self.due, due) {
            all.remove(&(before, id.to_owned()));
        }
        all.extend(due.map(|due| (due, id.to_owned())));
    }
}

/// The documents of all devices by the devices' ids.
#[derive(Debug)]
pub struct Announcer {
    delays: Delays,
    /// Several gateways with one id publish documents, each those of its own devices.
    is_shared: bool,
    devices: BTreeMap<String, Announced>,
    due: DueTimes,
    /// From then on everything that the broker held has arrived.
    ready: Option<Instant>,
    /// When to publish everything again.
    repeat: Option<Instant>,
    /// The largest document that the broker takes, in bytes.
    limit: usize,
    /// Less, for these devices.
    limits_of_devices: BTreeMap<String, usize>,
    /// When to say what is left out.
    report: Option<Instant>,
    /// What was said last.
    reported: Option<LeftOut>,
}

impl Announcer {
    /// Without devices, and not connected.
    pub fn new(delays: Delays) -> Self {
        Self {
            delays,
            is_shared: false,
            devices: BTreeMap::new(),
            due: DueTimes::new(),
            ready: None,
            repeat: None,
            limit: usize::MAX,
            limits_of_devices: BTreeMap::new(),
            report: None,
            reported: None,
        }
    }

    /// Announces for one of several gateways. A document is another gateway's as soon as its device is, and what
    /// the broker holds of a device that comes is the earlier gateway's.
    pub fn shared(delays: Delays) -> Self {
        Self {
            is_shared: true,
            ..Self::new(delays)
        }
    }

    /// The broker is connected: it sends the documents of earlier runs now.
    pub fn connected(&mut self, now: Instant) {
        self.ready.get_or_insert(now + self.delays.debounce);
    }

    /// The broker takes documents of this size, and smaller ones of some devices. Those that are larger
    /// are published again in part, and those that were not whole as far as they fit now.
    pub fn limit(&mut self, limit: usize, of_devices: BTreeMap<String, usize>, now: Instant) {
        let before = std::mem::replace(&mut self.limit, limit);
        let before_of_devices = std::mem::replace(&mut self.limits_of_devices, of_devices);
        for (id, device) in &mut self.devices {
            let before = limit_of(id, before, &before_of_devices);
            let limit = limit_of(id, self.limit, &self.limits_of_devices);
            let is_whole = device.left_out.is_empty();
            if !is_whole && limit != before || is_whole && device.whole_size > limit {
                device.schedule(id, Some(now + LIMIT_DELAY), &mut self.due);
            }
        }
    }

    /// Everything was published again: this gateway's documents are the newest at the broker.
    pub fn published_again(&mut self) {
        for device in self.devices.values_mut() {
            device.overwritten &= !device.ours;
        }
    }

    /// The facts about a device have this digest, and it can be used or not.
    pub fn update(&mut self, id: &str, digest: u64, online: bool, now: Instant) {
        let soon = Some(now + self.delays.debounce);
        self.expect(id);
        let Some(device) = self.devices.get_mut(id) else {
            return;
        };
        let is_first = std::mem::take(&mut device.is_expected);
        let online_changed = online != device.online.is_some();
        if online_changed {
            device.online = online.then_some(now);
        }
        if is_first || online_changed || device.digest != digest {
            device.digest = digest;
            device.schedule(id, soon, &mut self.due);
        }
    }

    /// The device is this gateway's. What the broker holds of it is taken; the first [`Announcer::update`] must follow.
    pub fn expect(&mut self, id: &str) {
        if self.devices.contains_key(id) {
            return;
        }
        let device = Announced {
            digest: 0,
            online: None,
            published: None,
            ours: false,
            deleted: false,
            whole_size: 0,
            left_out: Vec::new(),
            overwritten: false,
            is_expected: true,
            due: None,
        };
        self.devices.insert(id.to_owned(), device);
    }

    /// Whether the device is this gateway's.
    pub fn knows(&self, id: &str) -> bool {
        self.devices.contains_key(id)
    }

    /// Whether nothing is published of the device, but what the broker holds of it is known.
    pub fn is_expected(&self, id: &str) -> bool {
        self.devices
            .get(id)
            .is_some_and(|device| device.is_expected)
    }

    /// The device is another gateway's now, and so is its document.
    pub fn hand_over(&mut self, id: &str) {
        if let Some(mut device) = self.devices.remove(id) {
            device.schedule(id, None, &mut self.due);
        }
    }

    /// The device is no longer configured.
    pub fn forget(&mut self, id: &str) -> Option<DocumentAction> {
        let mut device = self.devices.remove(id)?;
        device.schedule(id, None, &mut self.due);
        let is_at_broker = !device.deleted && !device.overwritten;
        is_at_broker.then(|| DocumentAction::Clear(id.to_owned()))
    }

    /// The broker sent this document of a device, or an empty one.
    pub fn received(
        &mut self,
        id: &str,
        document: Option<Value>,
        author: Author,
        now: Instant,
    ) -> Option<DocumentAction> {
        let is_anothers = author == Author::AnotherGateway;
        match (self.devices.get_mut(id), document) {
            // Two gateways that answer each other's documents would never end.
            (Some(device), Some(document)) if is_anothers => {
                device.overwritten = true;
                // An earlier gateway had the same devices: one that was alone, one of several, or this one with
                // another client id. Home Assistant keeps its entities until they are removed by name, and loses
                // those of a device of which little is known yet if the document lacks them.
                if !device.ours {
                    let source = DocumentSource::Document(document);
                    device.published = Some(KeptDocument::new(&source));
                }
                None
            }
            (Some(device), Some(document)) => {
                if device.published.is_none() || self.is_shared {
                    // The earlier gateway's last one may come after the first of this one.
                    if self.is_shared && !device.is_expected {
                        let soon = Some(now + self.delays.debounce);
                        device.schedule(id, soon, &mut self.due);
                    }
                    let source = DocumentSource::Document(document);
                    device.published = Some(KeptDocument::new(&source));
                }
                None
            }
            // Another gateway had the same device, and has cleared what was its own, or is gone. What is known of
            // the device's entities stays known.
            (Some(device), None) if is_anothers => {
                device.overwritten = true;
                device.ours = false;
                device.schedule(id, Some(now), &mut self.due);
                None
            }
            // Home Assistant clears the document once for each entity.
            (Some(device), None) if device.deleted => None,
            (Some(device), None) => {
                device.deleted = true;
                device.published = None;
                Some(DocumentAction::ClearDeleted(id.to_owned()))
            }
            // The room was removed while the gateway was not running.
            (None, Some(_)) if author == Author::ThisGateway => {
                Some(DocumentAction::Clear(id.to_owned()))
            }
            (None, _) => None,
        }
    }

    /// Home Assistant has started. `chance`, from 0 to 1, is the part of [`Delays::birth_spread`]
    /// to wait.
    pub fn home_assistant_started(&mut self, now: Instant, chance: f64) {
        let wait = self.delays.birth_spread.mul_f64(chance.clamp(0.0, 1.0));
        self.repeat = Some(now + wait);
    }

    /// The actions to take now, for one device at most: a document takes a millisecond, and thousands may be due.
    /// `source` tells what the document of a device is made from.
    pub fn due(
        &mut self,
        now: Instant,
        source: impl Fn(&str) -> Option<DocumentSource>,
    ) -> Vec<DocumentAction> {
        let mut actions = Vec::new();
        if self.ready.is_none_or(|ready| ready > now) {
            return actions;
        }
        if self.due.first().is_some_and(|(due, _)| *due <= now)
            && let Some((_, id)) = self.due.pop_first()
        {
            actions.extend(self.announce(id, source, now));
        }
        if self.repeat.is_some_and(|repeat| repeat <= now) {
            self.repeat = None;
            self.published_again();
            actions.push(DocumentAction::Repeat);
        }
        if self.report.is_some_and(|report| report <= now) {
            self.report = None;
            actions.extend(self.left_out().map(DocumentAction::Report));
        }
        actions
    }

    /// The document of a device whose time has come.
    fn announce(
        &mut self,
        id: String,
        source: impl Fn(&str) -> Option<DocumentSource>,
        now: Instant,
    ) -> Option<DocumentAction> {
        let device = self.devices.get_mut(&id)?;
        device.due = None;
        let mut source = source(&id).filter(|_| !device.deleted)?;
        let settled = device.online.map(|since| since + self.delays.settled);
        let certain = settled.is_some_and(|settled| settled <= now);
        let published = device.published.as_ref().map(KeptDocument::document);
        let merged = merge(source.document(), published.as_ref(), certain);
        let is_merged = merged.removes || merged.keeps;
        if merged.removes {
            let soon = Some(now + self.delays.debounce);
            device.schedule(&id, soon, &mut self.due);
        } else if merged.keeps {
            device.schedule(&id, settled, &mut self.due);
        }
        let limit = limit_of(&id, self.limit, &self.limits_of_devices);
        let fitted = fit(merged.document, limit);
        device.whole_size = fitted.whole_size;
        if device.left_out != fitted.left_out {
            device.left_out = fitted.left_out;
            self.report = Some(now + REPORT_DELAY);
        }
        let wanted = fitted.document?;
        let is_same = published.as_ref() == Some(&wanted);
        let was_ours = std::mem::replace(&mut device.ours, true);
        if was_ours && is_same {
            return None;
        }
        if is_merged || !device.left_out.is_empty() {
            source = DocumentSource::Document(wanted);
        }
        let document = KeptDocument::new(&source);
        device.published = Some(document.clone());
        let was_anothers = std::mem::take(&mut device.overwritten);
        // Published again: with the mark of the other gateway, that one would clear it as a leftover of its own.
        Some(if is_same && self.is_shared && !was_anothers {
            DocumentAction::Keep(id, document)
        } else {
            DocumentAction::Publish(id, document)
        })
    }

    /// What the broker's limit leaves out: no device at all when everything fits again. `None` if that
    /// was said.
    fn left_out(&mut self) -> Option<LeftOut> {
        let cut = self
            .devices
            .iter()
            .filter(|(_, device)| !device.left_out.is_empty());
        let limits = cut
            .clone()
            .map(|(id, _)| limit_of(id, self.limit, &self.limits_of_devices));
        let left_out = LeftOut {
            limit: limits.min().unwrap_or(self.limit),
            devices: cut
                .clone()
                .map(|(id, it)| (id.clone(), it.whole_size))
                .collect(),
            entities: cut
                .flat_map(|(_, it)| it.left_out.iter().cloned())
                .collect(),
        };
        let is_whole = left_out.devices.is_empty();
        let is_known = match &self.reported {
            Some(reported) if is_whole => reported.devices.is_empty(),
            Some(reported) => *reported == left_out,
            None => is_whole,
        };
        if is_known {
            return None;
        }
        self.reported = Some(left_out.clone());
        Some(left_out)
    }

    /// When to call [`Announcer::due`] again.
    pub fn next_due(&self) -> Option<Instant> {
        let ready = self.ready?;
        let first = self.due.first().map(|(due, _)| *due);
        let next = first
            .into_iter()
            .chain(self.repeat)
            .chain(self.report)
            .min()?;
        Some(next.max(ready))
    }
}

/// The limit of a device's document, in bytes.
fn limit_of(id: &str, limit: usize, of_devices: &BTreeMap<String, usize>) -> usize {
    of_devices.get(id).map_or(limit, |own| limit.min(*own))
}

#[cfg(test)]
mod tests;
