//! When which state is read.
//!
//! Pure: told the time, says what is due. Owns the classes' intervals, the spreading of reads over
//! them, and which operations the device turned out to lack.

use std::hash::{DefaultHasher, Hasher};
use std::time::Duration;

use tokio::time::Instant;

use crate::catalogue::{Class, Operation, When, operations};

/// So often a device must say that it lacks something before that is believed: one that is about to
/// start, or in trouble, says so for a moment of what it has.
const BELIEVED: u32 = 4;

/// How often each class is read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Intervals {
    /// What people watch; twice as often in a call.
    pub fast: Duration,
    /// What changes during a day.
    pub normal: Duration,
    /// What rarely changes.
    pub slow: Duration,
    /// Read the audio meters too.
    pub meters: bool,
}

/// One operation that is read.
#[derive(Debug)]
pub struct Entry {
    /// What is read.
    pub operation: &'static Operation,
    class: Class,
    when: When,
    due: Instant,
    dropped: bool,
    /// It has been read since the log-in, so the device has it.
    there: bool,
    /// How often the device has said that it lacks it.
    lacked: u32,
    /// Was asked for since the log-in, whatever came of it.
    asked: bool,
    /// Of the newest answer, which is not parsed when it comes again.
    last: Option<Digest>,
    /// Counts what commands wrote into this entry's states.
    pub written: u64,
}

impl Entry {
    /// The device answered this last time too.
    pub fn knows(&self, body: &[u8]) -> bool {
        self.last == Some(Digest::of(body))
    }
}

/// Tells answers apart without keeping them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Digest(u64);

impl Digest {
    fn of(body: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(body);
        Self(hasher.finish())
    }
}

/// The reads of one room.
#[derive(Debug)]
pub struct Schedule {
    intervals: Intervals,
    entries: Vec<Entry>,
    in_call: bool,
    /// What is due longest: asked for far more often than it changes.
    next: Option<(usize, Instant)>,
}

impl Schedule {
    /// All that the catalogue polls, due at once.
    pub fn new(intervals: Intervals, now: Instant) -> Self {
        let mut entries: Vec<_> = operations()
            .filter_map(|operation| {
                let (class, when) = operation.poll?;
                (when != When::Meters || intervals.meters).then_some(Entry {
                    operation,
                    class,
                    when,
                    due: now,
                    dropped: false,
                    there: false,
                    lacked: 0,
                    asked: false,
                    last: None,
                    written: 0,
                })
            })
            .collect();
        entries.sort_by_key(|entry| entry.class);
        let mut schedule = Self {
            intervals,
            entries,
            in_call: false,
            next: None,
        };
        schedule.choose();
        schedule
    }

    /// After a log-in: everything is read once, and what the device lacked is tried again.
    pub fn restart(&mut self, now: Instant) {
        for entry in &mut self.entries {
            entry.due = now;
            entry.dropped = false;
            entry.there = false;
            entry.lacked = 0;
            entry.asked = false;
            entry.last = None;
        }
        self.choose();
    }

    /// An entry's read has ended.
    pub fn asked(&mut self, place: usize) {
        if let Some(entry) = self.entries.get_mut(place) {
            entry.asked = true;
        }
    }

    /// All that is wanted has been asked for since the log-in.
    pub fn complete(&self) -> bool {
        let mut wanted = self.entries.iter().filter(|entry| self.wanted(entry));
        wanted.all(|entry| entry.asked)
    }

    /// Goes over to the pace of a call, or back.
    pub fn set_in_call(&mut self, in_call: bool, now: Instant) {
        if self.in_call == in_call {
            return;
        }
        self.in_call = in_call;
        let fast = self.interval(Class::Fast);
        for entry in &mut self.entries {
            if entry.when == When::InCall {
                entry.due = now;
                entry.last = None;
            } else if entry.class == Class::Fast {
                entry.due = entry.due.min(now + fast);
            }
        }
        self.choose();
    }

    fn interval(&self, class: Class) -> Duration {
        match class {
            Class::Fast if self.in_call => self.intervals.fast / 2,
            Class::Fast => self.intervals.fast,
            Class::Normal => self.intervals.normal,
            Class::Slow => self.intervals.slow,
        }
    }

    fn wanted(&self, entry: &Entry) -> bool {
        !entry.dropped && (entry.when != When::InCall || self.in_call)
    }

    /// The place of the entry that is due longest.
    pub fn next(&self) -> Option<(usize, Instant)> {
        self.next
    }

    fn choose(&mut self) {
        let entries = self.entries.iter().enumerate();
        self.next = entries
            .filter(|(_, entry)| self.wanted(entry))
            .map(|(place, entry)| (place, entry.due))
            .min_by_key(|(_, due)| *due);
    }

    /// The entry at a place that [`Schedule::next`] gave.
    pub fn entry(&mut self, place: usize) -> Option<&mut Entry> {
        self.entries.get_mut(place)
    }

    /// How often the entry at a place is read now.
    pub fn interval_at(&self, place: usize) -> Duration {
        let class = self.entries.get(place).map(|entry| entry.class);
        self.interval(class.unwrap_or(Class::Slow))
    }

    /// Sets when an entry is read next: a whole number of intervals on, so that late reads do not
    /// pile up, and in a place of its own within the interval, so that reads spread out.
    pub fn began(&mut self, place: usize, now: Instant) {
        let Some(class) = self.entries.get(place).map(|entry| entry.class) else {
            return;
        };
        let interval = self.interval(class);
        let siblings = self.entries.iter().filter(|entry| entry.class == class);
        let count = u32::try_from(siblings.count()).unwrap_or(1).max(1);
        let before = self.entries[..place]
            .iter()
            .filter(|entry| entry.class == class);
        let mine = u32::try_from(before.count()).unwrap_or(0);
        let entry = &mut self.entries[place];
        let first = entry.last.is_none() && !entry.dropped;
        let next = if first {
            now + interval + interval * mine / count
        } else {
            entry.due + interval
        };
        entry.due = if next > now { next } else { now + interval };
        self.choose();
    }

    /// Reads an entry again as soon as can be.
    pub fn again(&mut self, place: usize, now: Instant) {
        if let Some(entry) = self.entries.get_mut(place) {
            entry.due = now;
        }
        self.choose();
    }

    /// The device answered: it has this.
    pub fn there(&mut self, place: usize, body: &[u8]) {
        if let Some(entry) = self.entries.get_mut(place) {
            entry.there = true;
            entry.last = Some(Digest::of(body));
        }
    }

    /// The device says that it lacks this. What it keeps saying so of, and never had, is not read
    /// until the next log-in.
    pub fn lacked(&mut self, place: usize, now: Instant) {
        let slow = self.intervals.slow;
        if let Some(entry) = self.entries.get_mut(place) {
            entry.last = None;
            entry.lacked += 1;
            if !entry.there {
                entry.dropped = entry.lacked >= BELIEVED;
                entry.due = now + slow;
            }
        }
        self.choose();
    }

    /// A command read states of `operation`: what polls knew of the same states is older now.
    pub fn written(&mut self, operation: &Operation) {
        for entry in &mut self.entries {
            let shares = entry.operation.states.iter().any(|state| {
                let same = |other: &crate::catalogue::State| other.topic == state.topic;
                operation.states.iter().any(same)
            });
            if shares {
                entry.last = None;
                entry.written += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVALS: Intervals = Intervals {
        fast: Duration::from_secs(2),
        normal: Duration::from_secs(15),
        slow: Duration::from_secs(60),
        meters: false,
    };

    /// How often each path is read in a minute, when every read takes `took`.
    fn minute(
        schedule: &mut Schedule,
        start: Instant,
        took: Duration,
    ) -> Vec<(Instant, &'static str)> {
        let mut now = start;
        let mut reads = Vec::new();
        while let Some((place, due)) = schedule.next() {
            now = now.max(due);
            if now >= start + Duration::from_secs(60) {
                break;
            }
            schedule.began(place, now);
            let entry = schedule.entry(place).unwrap();
            entry.last = Some(Digest::of(b""));
            reads.push((now, entry.operation.path));
            now += took;
        }
        reads
    }

    fn count(reads: &[(Instant, &str)], path: &str) -> usize {
        reads.iter().filter(|(_, read)| *read == path).count()
    }

    #[test]
    fn classes_are_read_at_their_pace_and_spread() {
        let start = Instant::now();
        let mut schedule = Schedule::new(INTERVALS, start);
        let mut first = minute(&mut schedule, start, Duration::from_millis(10));
        assert!(
            (25..=30).contains(&count(&first, "/rest/audio")),
            "{}",
            count(&first, "/rest/audio")
        );
        assert!((3..=4).contains(&count(&first, "/rest/system/status")));
        assert_eq!(count(&first, "/rest/audio/audiometers"), 0);
        assert_eq!(count(&first, "/rest/conferences/{conf_id}/mediastats"), 0);
        let mut later = first.split_off(first.len() / 2);
        later.dedup_by_key(|(at, _)| *at);
        assert!(later.len() > 30, "reads fall together: {}", later.len());
    }

    #[test]
    fn a_call_doubles_the_pace_and_adds_its_own_states() {
        let start = Instant::now();
        let mut schedule = Schedule::new(INTERVALS, start);
        schedule.set_in_call(true, start);
        let reads = minute(&mut schedule, start, Duration::from_millis(10));
        assert!(count(&reads, "/rest/conferences") > 50);
        assert!(count(&reads, "/rest/conferences/{conf_id}/mediastats") >= 3);
    }

    #[test]
    fn late_reads_do_not_pile_up() {
        let start = Instant::now();
        let mut schedule = Schedule::new(INTERVALS, start);
        let reads = minute(&mut schedule, start, Duration::from_secs(3));
        assert!(reads.len() <= 20);
    }
}
