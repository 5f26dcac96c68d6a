//! When which state is read.
//!
//! Pure: gets the time, returns what to read. Owns the classes' intervals and paces, the spreading of
//! reads over them, and which operations the device turned out not to have.

mod after_call;
mod pace;
mod scheduled_read;
#[cfg(test)]
mod tests;

pub use pace::{PollIntervals, PollPhase};

use std::time::Duration;

use tokio::time::Instant;

use after_call::PendingReads;
use scheduled_read::{Digest, ScheduledRead};

use crate::catalogue::{Class, Evidence, Operation, ReadBody, When, operations};
use crate::device::RequestedPace;

/// At the gentle pace there is one read for four at the normal one.
const GENTLE_FACTOR: u32 = 4;
/// About how many reads a room has in its fast interval: 167 a minute at 2 s.
const READS_IN_FAST_INTERVAL: u32 = 6;
/// While the device rests, a gentle room is read at half of that: little changes, and what wakes the
/// device is still noticed within minutes.
const RESTING_FACTOR: u32 = 2;
/// What a call changes is read so long after its begin or end: the device is busy with that first.
const AROUND_CALLS_DELAY: Duration = Duration::from_secs(1);

/// The reads of one room.
#[derive(Debug)]
pub struct Schedule {
    intervals: PollIntervals,
    phase: PollPhase,
    entries: Vec<ScheduledRead>,
    in_call: bool,
    /// The device is asleep or used otherwise.
    resting: bool,
    /// How many times as long the reads are apart, because the device asks for fewer requests.
    slowdown: u32,
    /// Nothing is read before: the end of a pause that the device asks for, or the next of reads that are kept apart.
    held_until: Option<Instant>,
    /// The entry that has been due the longest, by index. Kept, since it is asked for far more
    /// often than it changes.
    next: Option<(usize, Instant)>,
    /// Everything that is read now has been asked for since the log-in. Kept for the same reason.
    complete: bool,
}

impl Schedule {
    /// All that the catalogue polls, due at once. `has_settings`: the room keeps some of the device's
    /// own configuration as states.
    pub fn new(
        intervals: PollIntervals,
        phase: PollPhase,
        has_settings: bool,
        now: Instant,
    ) -> Self {
        let mut entries: Vec<_> = operations()
            .filter_map(|operation| {
                let (class, when) = operation.poll?;
                let wants_settings = operation.read == Some(ReadBody::SettingNames);
                let wanted =
                    (when != When::Meters || intervals.meters) && (has_settings || !wants_settings);
                wanted.then_some(ScheduledRead {
                    operation,
                    class,
                    when,
                    due: now,
                    fallback_for: None,
                    after_call: pending_once(when),
                    answered: false,
                    unsupported: 0,
                    refused: false,
                    read_since_login: false,
                    last_body: None,
                    writes: 0,
                })
            })
            .collect();
        entries.shrink_to_fit();
        entries.sort_by_key(|entry| entry.class);
        for index in 0..entries.len() {
            let first = entries[index].operation.fallback_for;
            let position = |path| entries.iter().position(|it| it.operation.path == path);
            let position = first.and_then(position);
            entries[index].fallback_for = position.and_then(|it| u16::try_from(it).ok());
        }
        let mut schedule = Self {
            intervals,
            phase,
            entries,
            in_call: false,
            resting: false,
            slowdown: 1,
            held_until: None,
            next: None,
            complete: false,
        };
        schedule.choose();
        schedule
    }

    /// After a log-in: everything is due, also what the device did not have before.
    pub fn restart(&mut self, now: Instant) {
        for entry in &mut self.entries {
            entry.due = now;
            entry.after_call = pending_once(entry.when);
            entry.read_since_login = false;
            entry.forget();
        }
        self.choose();
    }

    /// The read of an entry has ended, with or without success.
    pub fn read_ended(&mut self, index: usize) {
        if let Some(entry) = self.entries.get_mut(index)
            && !entry.read_since_login
        {
            entry.read_since_login = true;
            self.choose();
        }
    }

    /// Everything that is read now has been asked for since the log-in.
    pub fn complete(&self) -> bool {
        self.complete
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
                entry.last_body = None;
            } else if entry.when == When::AroundCalls {
                entry.due = entry.due.min(now + AROUND_CALLS_DELAY);
            } else if entry.class == Class::Fast {
                entry.due = entry.due.min(now + fast);
            }
        }
        self.choose();
    }

    /// Goes over to the pace of a device that rests, or back. It matters at the gentle pace only.
    pub fn set_resting(&mut self, resting: bool, now: Instant) {
        if self.resting == resting {
            return;
        }
        let before = self.factor();
        self.resting = resting;
        self.shorten_waits(before, now);
    }

    /// Goes over to the pace that the device asks for, or back. It never gets more requests than at the room's own.
    pub fn set_pace(&mut self, pace: RequestedPace, now: Instant) {
        let before = self.factor();
        self.slowdown = pace.slowdown;
        self.held_until = pace.paused_until;
        self.shorten_waits(before, now);
    }

    /// After a change of [`Self::factor`]: the waits become as much shorter as the intervals, which keeps the reads
    /// apart. Longer ones begin with the next read of each.
    fn shorten_waits(&mut self, before: u32, now: Instant) {
        let factor = self.factor();
        if factor >= before {
            return;
        }
        for entry in &mut self.entries {
            let wait = entry.due.saturating_duration_since(now);
            entry.due = entry.due.min(now + wait * factor / before);
        }
        self.choose();
    }

    /// A call has ended.
    pub fn call_ended(&mut self, now: Instant) {
        let entries = self.entries.iter_mut();
        for entry in entries.filter(|entry| entry.when == When::AfterCall) {
            let (pending, wait) = PendingReads::after_call();
            entry.after_call = Some(pending);
            entry.due = now + wait;
        }
        self.choose();
    }

    fn interval(&self, class: Class) -> Duration {
        let interval = match class {
            Class::Fast if self.in_call => self.intervals.fast / 2,
            Class::Fast => self.intervals.fast,
            Class::Normal => self.intervals.normal,
            Class::Slow => self.intervals.slow,
        };
        interval * self.factor()
    }

    /// How many times as long the reads are apart as the intervals say.
    fn factor(&self) -> u32 {
        let own = match (self.intervals.gentle, self.resting && !self.in_call) {
            (false, _) => 1,
            (true, false) => GENTLE_FACTOR,
            (true, true) => GENTLE_FACTOR * RESTING_FACTOR,
        };
        own.max(self.slowdown)
    }

    fn wanted(&self, entry: &ScheduledRead) -> bool {
        let now = match entry.when {
            When::Always | When::Meters | When::AfterCall | When::AroundCalls => true,
            When::InCall => self.in_call,
        };
        let first = entry.fallback_for;
        let first = first.and_then(|it| self.entries.get(usize::from(it)));
        now && !entry.is_dropped() && first.is_none_or(ScheduledRead::is_missing)
    }

    /// Whether the device lacks the whole branch of paths that this one is in, such as `/rest/conferences`: nothing
    /// that was read of it since the log-in was there.
    pub fn lacks_branch(&self, path: &str) -> bool {
        let asked = self.entries.iter().filter(|entry| {
            entry.read_since_login && branch(entry.operation.path).eq(branch(path))
        });
        let (mut lacks, mut all) = (false, true);
        for entry in asked {
            lacks = true;
            all &= entry.is_missing() && !entry.answered && !entry.refused;
        }
        lacks && all
    }

    /// Whether the entry at this index is read now.
    pub fn is_read(&self, index: usize) -> bool {
        let entry = self.entries.get(index);
        entry.is_some_and(|entry| self.wanted(entry))
    }

    /// The index of the entry that has been due the longest, and since when it is due.
    pub fn next(&self) -> Option<(usize, Instant)> {
        let (index, due) = self.next?;
        Some((index, self.held_until.map_or(due, |held| held.max(due))))
    }

    /// Brings `next` and `complete` up to date.
    fn choose(&mut self) {
        let mut complete = true;
        let entries = self.entries.iter().enumerate();
        self.next = entries
            .filter(|(_, entry)| self.wanted(entry))
            .inspect(|(_, entry)| complete &= entry.read_since_login)
            .map(|(index, entry)| (index, entry.due))
            .min_by_key(|(_, due)| *due);
        self.complete = complete;
    }

    /// The entry at an index that [`Schedule::next`] gave.
    pub fn entry(&mut self, index: usize) -> Option<&mut ScheduledRead> {
        self.entries.get_mut(index)
    }

    /// The index of the entry that reads an operation, if it is polled.
    pub fn index_of(&self, operation: &Operation) -> Option<usize> {
        let mut entries = self.entries.iter();
        entries.position(|entry| entry.operation.path == operation.path)
    }

    /// How often an entry is read now.
    pub fn interval_at(&self, index: usize) -> Duration {
        let class = self.entries.get(index).map(|entry| entry.class);
        self.interval(class.unwrap_or(Class::Slow))
    }

    /// The read of an entry begins: sets when it is read next. That is one interval after it was
    /// due; after the first read, at an offset of its own within the interval, so that reads spread
    /// out. A late read is not made up for, so late reads do not pile up.
    pub fn began(&mut self, index: usize, now: Instant) {
        let interval = self.interval_at(index);
        let offset = self.offset(index, interval);
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        let next = entry.due + interval;
        entry.due = match offset {
            Some(offset) => now + interval + offset,
            None if next > now => next,
            None => now + interval,
        };
        if self.slowdown > 1 {
            // What a pause has left undone must not all come at its end.
            self.keep_apart(now);
        }
        self.choose();
    }

    /// The next read is as far from now as reads are on the average, also if many are due.
    pub fn keep_apart(&mut self, now: Instant) {
        let gap = self.intervals.fast * self.factor() / READS_IN_FAST_INTERVAL;
        self.held_until = self.held_until.max(Some(now + gap));
    }

    /// The offset of an entry within its interval, if it has not been read yet.
    fn offset(&self, index: usize, interval: Duration) -> Option<Duration> {
        let entry = self.entries.get(index)?;
        if entry.last_body.is_some() || entry.is_dropped() {
            return None;
        }
        let class = |of: &[ScheduledRead]| {
            let count = of.iter().filter(|other| other.class == entry.class).count();
            u32::try_from(count).unwrap_or(0)
        };
        let gap = interval / class(&self.entries).max(1);
        Some(gap * class(&self.entries[..index]) + self.phase.of(gap))
    }

    /// Reads an entry again as soon as possible.
    pub fn again(&mut self, index: usize, now: Instant) {
        if let Some(entry) = self.entries.get_mut(index) {
            entry.due = now;
            entry.after_call = entry.after_call.or(pending_once(entry.when));
        }
        self.choose();
    }

    /// Reads an entry again at the fastest pace, unless it is not read any more.
    pub fn again_soon(&mut self, index: usize, now: Instant) {
        let soon = now + self.interval(Class::Fast);
        if let Some(entry) = self.entries.get_mut(index) {
            entry.due = entry.due.min(soon);
            // The same answer counts again.
            entry.last_body = None;
        }
        self.choose();
    }

    /// The device answered with this body: it has this. `evidence`: what the body says about who sent it.
    pub fn answered(&mut self, index: usize, body: &[u8], evidence: Evidence, now: Instant) {
        if let Some(entry) = self.entries.get_mut(index) {
            entry.answered = true;
            entry.unsupported = 0;
            entry.last_body = Some((Digest::of(body), evidence));
        }
        self.choose();
        self.follow_call(index, true, now);
    }

    /// The device answered as before.
    pub fn unchanged(&mut self, index: usize, now: Instant) {
        self.follow_call(index, false, now);
    }

    /// After an answer: reads what a call leaves behind once more soon, or again at its pace.
    fn follow_call(&mut self, index: usize, is_new: bool, now: Instant) {
        if let Some(entry) = self.entries.get_mut(index)
            && let Some(pending) = &mut entry.after_call
        {
            match pending.answered(is_new) {
                Some(wait) => entry.due = now + wait,
                None => entry.after_call = None,
            }
            self.choose();
        }
    }

    /// A read failed: what a call leaves behind is read again soon, everything else at its pace.
    pub fn failed(&mut self, index: usize, now: Instant) {
        if let Some(entry) = self.entries.get_mut(index)
            && let Some(wait) = entry.after_call.as_mut().and_then(PendingReads::failed)
        {
            entry.due = now + wait;
            self.choose();
        }
    }

    /// The device says that it does not have this. If it keeps saying so, and never had it since
    /// the log-in, it is not read until the next log-in.
    pub fn unsupported(&mut self, index: usize, now: Instant) {
        let slow = self.interval(Class::Slow);
        if let Some(entry) = self.entries.get_mut(index) {
            entry.last_body = None;
            entry.unsupported = entry.unsupported.saturating_add(1);
            if !entry.answered {
                entry.due = now + slow;
            }
        }
        self.choose();
    }

    /// The device refuses this read although its session is valid. If it was never answered since the log-in,
    /// it is like what the device does not have, and this is true. `by_mode`: the device says that its provider
    /// is why; then it is read rarely, whatever it was.
    pub fn refused(&mut self, index: usize, by_mode: bool, now: Instant) -> bool {
        let slow = self.interval(Class::Slow);
        let Some(entry) = self.entries.get_mut(index) else {
            return false;
        };
        let was_answered = entry.answered;
        if was_answered && !by_mode {
            self.failed(index, now);
            return false;
        }
        if !was_answered {
            entry.unsupported = entry.unsupported.saturating_add(1);
        }
        entry.refused = true;
        entry.due = now + slow;
        self.choose();
        !was_answered
    }

    /// Another provider runs the device: what it refused is due.
    pub fn mode_changed(&mut self, now: Instant) {
        for entry in self.entries.iter_mut().filter(|entry| entry.refused) {
            entry.refused = false;
            entry.unsupported = 0;
            entry.due = now;
        }
        self.choose();
    }

    /// A command got an answer to the read of an entry: the device has this.
    pub fn is_there(&mut self, index: usize) {
        if let Some(entry) = self.entries.get_mut(index) {
            entry.answered = true;
            entry.unsupported = 0;
        }
        self.choose();
    }

    /// The device was logged in to anew while it was in use: what it lacked or refused is due. What it has
    /// keeps its pace, and the next answer counts even if it is the same.
    pub fn session_renewed(&mut self, now: Instant) {
        for entry in &mut self.entries {
            if entry.unsupported > 0 || entry.refused {
                entry.due = now;
            }
            entry.forget();
        }
        self.choose();
    }

    /// A command read states of `operation`: what polls brought of the same states is older now.
    pub fn written(&mut self, operation: &Operation) {
        for entry in &mut self.entries {
            let shares = entry.operation.states.iter().any(|state| {
                let same = |other: &crate::catalogue::State| other.topic == state.topic;
                operation.states.iter().any(same)
            });
            if shares {
                entry.last_body = None;
                entry.writes = entry.writes.wrapping_add(1);
            }
        }
    }
}

/// The first two segments of a path: `/rest/conferences/0` is in the branch of conferences.
fn branch(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').skip(1).take(2)
}

fn pending_once(when: When) -> Option<PendingReads> {
    (when == When::AfterCall).then(PendingReads::once)
}
