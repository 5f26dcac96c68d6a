//! The newest lines of the log, kept in memory for those who read them over HTTP.
//!
//! Owns the entries, and the bounds of their number and bytes. One room cannot push out what others have:
//! where there is no place, the oldest entry of the room that takes most gives way. A room's commands that
//! succeeded give way apart from the rest, so that a control system that polls hides no failure. Every entry
//! goes through [`LogRing::push`]. Reads the clock only to date an entry. Does not decide who may see what: the
//! reader brings that.

mod entry;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::Mutex;
use time::OffsetDateTime;
use tokio::sync::Notify;
use tracing::Level;

pub use entry::{LogEntry, LogKind, LoggedCommand, NewEntry};

use crate::visible::visible_start;
use entry::utc_text;

/// A day of a few rooms, or an hour of many.
const MOST_ENTRIES: usize = 4000;
/// What all entries may take together.
const MOST_BYTES: usize = 1 << 20;
/// The longest text of an entry, in characters.
const LONGEST_ENTRY: usize = 600;

/// Which entries are wanted.
#[derive(Debug, Clone)]
pub struct LogQuery<'a> {
    /// Only what came after the entry with this id.
    pub after: i64,
    /// At least as bad as this.
    pub level: Level,
    /// Only of this room; empty: of every room, and of the gateway.
    pub room: &'a str,
    /// Only with this text in it, in any case.
    pub text: &'a str,
    /// At most this many, the newest.
    pub limit: usize,
}

impl LogQuery<'_> {
    /// Every entry.
    pub const ALL: LogQuery<'static> = LogQuery {
        after: 0,
        level: Level::TRACE,
        room: "",
        text: "",
        limit: usize::MAX,
    };
}

/// The entries of one gateway.
#[derive(Debug)]
pub struct LogRing {
    started: i64,
    entries: Mutex<Entries>,
    warned: Notify,
}

#[derive(Debug, Default)]
struct Entries {
    by_id: BTreeMap<i64, Arc<LogEntry>>,
    sources: HashMap<Source, Share>,
    /// The sources by the bytes of their shares. With thousands of rooms the largest cannot be looked for each time.
    by_bytes: BTreeSet<(usize, Source)>,
    bytes: usize,
    newest: i64,
}

/// Where entries come from: a room or the gateway, and whether they are commands that succeeded.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Source {
    /// `None`: the gateway.
    room: Option<Arc<str>>,
    is_success: bool,
}

impl Source {
    fn of(entry: &LogEntry) -> Self {
        Self {
            room: entry.room.clone(),
            is_success: entry.kind == LogKind::Command,
        }
    }
}

/// The entries of one source, the oldest first.
#[derive(Debug, Default)]
struct Share {
    ids: VecDeque<i64>,
    bytes: usize,
}

impl Default for LogRing {
    fn default() -> Self {
        Self {
            started: now(),
            entries: Mutex::default(),
            warned: Notify::new(),
        }
    }
}

impl LogRing {
    /// Since when there are entries (RFC 3339, UTC): the start of the gateway.
    pub fn since(&self) -> String {
        utc_text(self.started)
    }

    /// Adds an entry.
    pub fn push(&self, new: NewEntry<'_>) {
        self.push_at(now(), new);
    }

    fn push_at(&self, time: i64, new: NewEntry<'_>) {
        let text = visible_start(new.text, LONGEST_ENTRY);
        let is_warning = new.level <= Level::WARN;
        let mut entries = self.entries.lock();
        let room = new.room.map(|room| entries.shared_name(room));
        let entry = LogEntry {
            id: time.max(entries.newest + 1),
            time,
            level: new.level,
            kind: new.kind,
            room,
            text: text.into(),
            command: new.command,
        };
        entries.add(entry);
        drop(entries);
        // Not for each command: whoever waits reads the entries.
        if is_warning {
            self.warned.notify_one();
        }
    }

    /// Waits until there is a warning or an error that came after the last wait. For one reader.
    pub async fn warned(&self) {
        self.warned.notified().await;
    }

    /// The entries that are wanted and that `sees` lets the reader see, by their room; the oldest first.
    pub fn read(
        &self,
        query: &LogQuery<'_>,
        sees: impl Fn(Option<&str>) -> bool,
    ) -> Vec<Arc<LogEntry>> {
        let text = query.text.to_lowercase();
        let wanted = |entry: &LogEntry| {
            let room = entry.room.as_deref();
            (query.room.is_empty() || room == Some(query.room))
                && sees(room)
                && (text.is_empty() || entry.contains(&text))
        };
        // Few at a time stay locked: a search through all of them takes a while.
        let all: Vec<_> = {
            let entries = self.entries.lock();
            let range = (Bound::Excluded(query.after), Bound::Unbounded);
            let newer = entries.by_id.range(range).map(|(_, entry)| entry);
            let bad_enough = newer.filter(|entry| entry.level <= query.level);
            bad_enough.cloned().collect()
        };
        let newest = all.into_iter().rev().filter(|entry| wanted(entry));
        let mut found: Vec<_> = newest.take(query.limit).collect();
        found.reverse();
        found
    }
}

impl Entries {
    /// The name of a room, shared with the entries that have it.
    fn shared_name(&self, room: &str) -> Arc<str> {
        let room: Arc<str> = room.into();
        let sources = [false, true].map(|is_success| Source {
            room: Some(room.clone()),
            is_success,
        });
        let mut sources = sources.iter();
        let known = sources.find_map(|source| self.sources.get_key_value(source));
        let name = known.and_then(|(source, _)| source.room.clone());
        name.unwrap_or(room)
    }

    fn add(&mut self, entry: LogEntry) {
        let bytes = entry.bytes();
        let source = Source::of(&entry);
        let share = self.sources.entry(source.clone()).or_default();
        share.ids.push_back(entry.id);
        let before = share.bytes;
        share.bytes += bytes;
        let after = share.bytes;
        self.reorder(source, before, after);
        self.bytes += bytes;
        self.newest = entry.id;
        self.by_id.insert(entry.id, Arc::new(entry));
        while self.by_id.len() > MOST_ENTRIES || self.bytes > MOST_BYTES {
            self.drop_one();
        }
    }

    /// The share of a source has changed its size.
    fn reorder(&mut self, source: Source, before: usize, after: usize) {
        let mut place = (before, source);
        self.by_bytes.remove(&place);
        if after > 0 {
            place.0 = after;
            self.by_bytes.insert(place);
        }
    }

    /// Drops the oldest entry of the source that takes most.
    fn drop_one(&mut self) {
        let Some((before, source)) = self.by_bytes.pop_last() else {
            return;
        };
        let Some(share) = self.sources.get_mut(&source) else {
            return;
        };
        if let Some(entry) = share.ids.pop_front().and_then(|id| self.by_id.remove(&id)) {
            share.bytes -= entry.bytes();
            self.bytes -= entry.bytes();
        }
        let after = share.bytes;
        if share.ids.is_empty() {
            self.sources.remove(&source);
        }
        self.reorder(source, before, after);
    }
}

/// Microseconds since 1970.
fn now() -> i64 {
    let now = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1000;
    i64::try_from(now).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line<'a>(room: Option<&'a str>, text: &'a str) -> NewEntry<'a> {
        NewEntry {
            level: Level::INFO,
            kind: LogKind::Line,
            room,
            text,
            command: None,
        }
    }

    fn success(room: &str) -> NewEntry<'_> {
        NewEntry {
            kind: LogKind::Command,
            command: Some(LoggedCommand {
                topic: "audio/volume/get".into(),
                door: "mqtt",
                code: "ok",
                took_ms: 5,
            }),
            ..line(Some(room), "")
        }
    }

    fn texts(ring: &LogRing, query: &LogQuery<'_>) -> Vec<String> {
        let found = ring.read(query, |_| true);
        found.iter().map(|entry| entry.text.to_string()).collect()
    }

    #[test]
    fn entries_are_found_by_level_room_text_and_what_came_after() {
        let ring = LogRing::default();
        ring.push(line(None, "started"));
        ring.push(line(Some("1"), "online"));
        ring.push(NewEntry {
            level: Level::WARN,
            ..line(Some("2"), "No Route")
        });
        ring.push(success("1"));
        assert_eq!(
            texts(&ring, &LogQuery::ALL),
            ["started", "online", "No Route", ""]
        );
        let find = |change: &dyn Fn(&mut LogQuery<'static>)| {
            let mut query = LogQuery::ALL;
            change(&mut query);
            texts(&ring, &query)
        };
        assert_eq!(find(&|query| query.level = Level::WARN), ["No Route"]);
        assert_eq!(find(&|query| query.room = "1"), ["online", ""]);
        assert_eq!(find(&|query| query.text = "no r"), ["No Route"]);
        assert_eq!(find(&|query| query.text = "VOLUME"), [""]);
        assert_eq!(find(&|query| query.limit = 2), ["No Route", ""]);
        let second = ring.read(&LogQuery::ALL, |_| true)[1].id;
        assert_eq!(find(&|query| query.after = second), ["No Route", ""]);
        let only_room_1 = ring.read(&LogQuery::ALL, |room| room == Some("1"));
        assert_eq!(only_room_1.len(), 2);
    }

    #[test]
    fn ids_grow_however_fast_entries_come() {
        let ring = LogRing::default();
        for _ in 0..1000 {
            ring.push(line(None, "x"));
        }
        let ids: Vec<_> = ring
            .read(&LogQuery::ALL, |_| true)
            .iter()
            .map(|e| e.id)
            .collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn a_clock_that_is_set_back_is_believed_and_ids_grow_on() {
        let ring = LogRing::default();
        for time in [7_200_000_000, 7_200_000_000, 3_600_000_000, 3_600_500_000] {
            ring.push_at(time, line(None, "x"));
        }
        let entries = ring.read(&LogQuery::ALL, |_| true);
        assert!(entries.is_sorted_by(|a, b| a.id < b.id), "{entries:?}");
        let at: Vec<_> = entries.iter().map(|entry| entry.at()).collect();
        let hours = ["02:00:00Z", "02:00:00Z", "01:00:00Z", "01:00:00.5Z"];
        assert_eq!(at, hours.map(|time| format!("1970-01-01T{time}")));
    }

    /// Whatever comes, the memory is bounded, and a flood of one room leaves what others have.
    #[test]
    fn a_flood_is_bounded_and_pushes_out_only_its_own() {
        let long = "ü".repeat(100_000);
        for (name, flood) in [
            ("lines of the gateway", line(None, "again")),
            ("lines of a room", line(Some("2"), "again")),
            ("long lines of a room", line(Some("2"), &long)),
            ("commands of a room", success("2")),
            ("commands of the same room", success("1")),
        ] {
            let ring = LogRing::default();
            ring.push(line(Some("1"), "the device is gone"));
            (0..3 * MOST_ENTRIES).for_each(|_| ring.push(flood.clone()));
            let entries = ring.entries.lock();
            assert!(entries.by_id.len() <= MOST_ENTRIES, "{name}");
            assert!(entries.bytes <= MOST_BYTES, "{name}");
            let bytes: usize = entries.by_id.values().map(|entry| entry.bytes()).sum();
            assert_eq!(bytes, entries.bytes, "{name}");
            let of_sources =
                (entries.sources.iter()).map(|(source, it)| (it.bytes, source.clone()));
            assert_eq!(entries.by_bytes, of_sources.collect(), "{name}");
            drop(entries);
            assert_eq!(
                texts(&ring, &LogQuery::ALL)[0],
                "the device is gone",
                "{name}"
            );
        }
    }

    #[test]
    fn many_rooms_share_the_place() {
        let ring = LogRing::default();
        for round in 0..20 {
            for room in 0..1000 {
                ring.push(line(Some(&room.to_string()), &round.to_string()));
            }
        }
        for room in [0, 500, 999] {
            let room = room.to_string();
            let query = LogQuery {
                room: &room,
                ..LogQuery::ALL
            };
            assert_eq!(texts(&ring, &query).last().unwrap(), "19", "{room}");
        }
        assert!(ring.entries.lock().sources.len() <= 1000);
    }
}
