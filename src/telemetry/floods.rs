//! Lines that a client, a device or a broker can cause any number of times: the first of each minute
//! are written in full, the others are counted.
//!
//! Once a minute one line says how many there were and who or what caused most of them, and one says
//! that a minute went by without any. Memory and lines are bounded, however many take part. Metrics
//! and events are not affected: they count each.

mod subject;

use std::collections::HashMap;
use std::fmt::Display;

use parking_lot::Mutex;

use super::Telemetry;
use super::events::DOORS;
use super::shortened::{LONGEST_TEXT, shortened};
use crate::command::DoorKind;
use crate::network::Network;

pub use subject::FloodKind;
pub(super) use subject::{MessageProblem, Subject};

/// Causes that a line names.
const NAMED_CAUSES: usize = 5;
/// The longest cause, in characters: five of them stand in a line.
const LONGEST_CAUSE: usize = 60;

/// Failed commands in a minute, of all rooms together: a control system that switches 1,000 rooms off sees
/// why each one failed. It is 10 KB/s at most.
const FAILED_COMMANDS_PER_MINUTE: u32 = 1000;
/// Rooms, doors and error codes whose failed commands are counted apart. Clients can name rooms that
/// do not exist; what finds no place here is counted together.
const MOST_SUBJECTS_OF_COMMANDS: usize = 1024;

/// Every subject of the last minute, and every flood that goes on.
#[derive(Debug, Default)]
pub struct Floods {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    subjects: HashMap<Subject, Flood>,
    /// Failed commands that were written in full in this minute.
    failed_commands: u32,
    /// How many subjects are failed commands.
    subjects_of_commands: usize,
}

#[derive(Debug, Default)]
struct Flood {
    total: u64,
    /// Written in full in this minute.
    in_full: u32,
    /// Only counted in this minute.
    count: u64,
    /// Some were only counted since it began.
    is_flood: bool,
    by_cause: HashMap<String, u64>,
}

impl Flood {
    fn count(&mut self, cause: String, most_causes: usize) {
        self.count += 1;
        self.is_flood = true;
        if let Some(count) = self.by_cause.get_mut(&cause) {
            *count += 1;
        } else if self.by_cause.len() < most_causes {
            self.by_cause.insert(cause, 1);
        }
    }

    /// The causes with the most events: `192.0.2.1 (17), 192.0.2.9 (3)`.
    fn worst(&self) -> String {
        let mut all: Vec<_> = self.by_cause.iter().collect();
        all.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let named = all.iter().take(NAMED_CAUSES);
        let named = named.map(|(cause, count)| format!("{cause} ({count})"));
        named.collect::<Vec<_>>().join(", ")
    }
}

impl Counts {
    /// The subject itself, or the one that it is counted with because there are too many.
    fn placed(&mut self, subject: Subject) -> Subject {
        let Subject::FailedCommands(door, code, Some(_)) = subject else {
            return subject;
        };
        if self.subjects.contains_key(&subject) {
            return subject;
        }
        if self.subjects_of_commands >= MOST_SUBJECTS_OF_COMMANDS {
            return Subject::FailedCommands(door, code, None);
        }
        self.subjects_of_commands += 1;
        subject
    }
}

impl Floods {
    /// Counts an event. True: write its line in full. `cause`: who or what caused it.
    pub(super) fn is_in_full(&self, subject: Subject, cause: &dyn Display) -> bool {
        let mut counts = self.counts.lock();
        let subject = counts.placed(subject);
        let (lines, causes) = (subject.lines_per_minute(), subject.counted_causes());
        let is_command = matches!(subject, Subject::FailedCommands(..));
        let may_write = !is_command || counts.failed_commands < FAILED_COMMANDS_PER_MINUTE;
        let flood = counts.subjects.entry(subject).or_default();
        flood.total += 1;
        if flood.in_full < lines && may_write {
            flood.in_full += 1;
            counts.failed_commands += u32::from(is_command);
            return true;
        }
        flood.count(shortened(&cause.to_string(), LONGEST_CAUSE).into(), causes);
        false
    }

    /// Logs what was counted since the last call, and begins a new minute.
    fn log(&self) {
        let mut counts = self.counts.lock();
        counts.failed_commands = 0;
        let mut rooms = 0;
        counts.subjects.retain(|subject, flood| {
            let happened = flood.in_full > 0 || flood.count > 0;
            if flood.count > 0 {
                subject.log_counted(flood.count, flood.total, &flood.worst());
            } else if flood.is_flood && !happened {
                subject.log_end(flood.total);
            }
            flood.in_full = 0;
            flood.count = 0;
            flood.by_cause.clear();
            let goes_on = flood.is_flood && happened;
            if goes_on && matches!(subject, Subject::FailedCommands(_, _, Some(_))) {
                rooms += 1;
            }
            goes_on
        });
        counts.subjects_of_commands = rooms;
    }
}

impl Telemetry {
    /// Counts an event that clients can cause again and again, and logs the first of each minute.
    /// `why` says more about it.
    pub fn flood(&self, door: DoorKind, kind: FloodKind, network: Network, why: &str) {
        if self
            .floods
            .is_in_full(Subject::Clients(door, kind), &network)
        {
            let (door, text) = (door.as_str(), kind.text());
            let why = &*shortened(why, LONGEST_TEXT);
            tracing::warn!(target: DOORS, door, address = %network, why, "{text}");
        }
    }

    /// Logs what was counted since the last call. To be called once a minute.
    pub fn log_floods(&self) {
        self.floods.log();
    }
}

#[cfg(test)]
mod tests {
    use super::subject::{COUNTED_ADDRESSES, LINES_PER_MINUTE};
    use super::*;
    use crate::command::ErrorCode;

    fn network(n: u32) -> Network {
        Network::of(std::net::Ipv4Addr::from_bits(n).into())
    }

    #[test]
    fn memory_is_bounded_and_the_worst_are_named_first() {
        let telemetry = Telemetry::default();
        let note = |n| telemetry.flood(DoorKind::Tcp, FloodKind::GaveWay, network(n), "");
        for n in 0..5000 {
            note(n);
            note(7);
        }
        let counts = telemetry.floods.counts.lock();
        let flood = &counts.subjects[&Subject::Clients(DoorKind::Tcp, FloodKind::GaveWay)];
        assert_eq!((flood.total, flood.count), (10_000, 9_999));
        assert_eq!(flood.by_cause.len(), COUNTED_ADDRESSES);
        assert!(
            flood.worst().starts_with("0.0.0.7 (5001), "),
            "{}",
            flood.worst()
        );
    }

    #[test]
    fn a_flood_ends_after_a_minute_without_an_event() {
        let telemetry = Telemetry::default();
        let note = || telemetry.flood(DoorKind::Http, FloodKind::NoPlace, network(1), "");
        note();
        note();
        telemetry.log_floods();
        assert_eq!(telemetry.floods.counts.lock().subjects.len(), 1);
        telemetry.log_floods();
        assert!(telemetry.floods.counts.lock().subjects.is_empty());
    }

    #[test]
    fn failed_commands_of_invented_rooms_are_bounded_in_lines_and_memory() {
        let floods = Floods::default();
        let fail = |n: usize| {
            let room = Some(n.to_string().into());
            let subject = Subject::FailedCommands(DoorKind::WebSocket, ErrorCode::Forbidden, room);
            floods.is_in_full(subject, &"x".repeat(60_000))
        };
        for _minute in 0..2 {
            let lines = (0..20_000).filter(|n| fail(*n)).count();
            assert!(lines <= FAILED_COMMANDS_PER_MINUTE as usize, "{lines}");
            let counts = floods.counts.lock();
            assert_eq!(counts.subjects.len(), MOST_SUBJECTS_OF_COMMANDS + 1);
            let causes = counts
                .subjects
                .values()
                .flat_map(|flood| flood.by_cause.keys());
            assert!(causes.clone().count() > 0);
            assert!(causes.map(String::len).all(|length| length < 100));
            drop(counts);
            floods.log();
        }
        for _minute in 0..2 {
            floods.log();
        }
        assert!(floods.counts.lock().subjects.is_empty());
        assert_eq!(floods.counts.lock().subjects_of_commands, 0);
    }

    #[test]
    fn what_fails_now_and_then_is_always_written_in_full() {
        let floods = Floods::default();
        for _minute in 0..100 {
            for _ in 0..LINES_PER_MINUTE {
                let room = Some("1".into());
                let subject = Subject::FailedCommands(DoorKind::Http, ErrorCode::Busy, room);
                assert!(floods.is_in_full(subject, &"call/dial"));
            }
            floods.log();
        }
    }
}
