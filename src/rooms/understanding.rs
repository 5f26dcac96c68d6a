//! Whether the device is understood: whether its reads bring what a Poly device says.
//!
//! Pure: the caller passes the time. Counts the evidence of reads, and says when the room is not online because of it.
//! Does not judge single answers: the catalogue's `evidence` does.

use std::sync::Arc;

use tokio::time::Instant;

use crate::catalogue::Evidence;
use crate::command::Failure;
use crate::device::{DeviceTimings, Problem};

/// A device that was understood is not any more when one of its endpoints has failed this often in a row
/// while no other was recognised. One answer, or one endpoint, says nothing of the device.
const FAILED_READS: u8 = 3;
/// A device that was understood is not any more, either, when its endpoints fail but for one in this many. What
/// the others said last would count as how the device is now.
const ONE_GOOD_AMONG: usize = 4;
/// Each of those has failed this many times in a row: one lost read proves nothing, and a slow state is not read
/// again soon.
const LOST_READS: u8 = 2;
/// How many different answers the problem names.
const MOST_SEEN: usize = 3;
/// The longest description of an answer in the problem, in characters. A device chooses a part of it.
const LONGEST_SEEN: usize = 150;

/// What came in place of a usable answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnusableAnswer {
    /// In words.
    text: String,
    /// The HTTP status, if there was one.
    status: Option<u16>,
}

impl From<Failure> for UnusableAnswer {
    fn from(failure: Failure) -> Self {
        Self {
            text: failure.message.chars().take(LONGEST_SEEN).collect(),
            status: failure.status,
        }
    }
}

impl UnusableAnswer {
    /// A status that says nothing but itself.
    pub fn status(status: u16) -> Self {
        Self {
            text: format!("the device answered {status}"),
            status: Some(status),
        }
    }

    /// What a person can do about it.
    fn advice(&self) -> &'static str {
        match self.status {
            Some(500..=599) => {
                "it may be starting, updating or in trouble: if this lasts, restart it"
            }
            Some(429) => {
                "if this lasts, see what else asks the device, and set poll = \"gentle\" for the room"
            }
            Some(401 | 403) => "give the room a user with the role of administrator",
            _ => {
                "check that the room's url is that of a Poly VideoOS device, and not of a proxy or \
                 of another product"
            }
        }
    }
}

/// What one endpoint brought.
#[derive(Debug, Clone, Copy, Default)]
struct Endpoint {
    /// When it was read last; `None` before the first read and when there was no answer.
    newest: Option<Evidence>,
    /// How many of its reads failed since the device was understood last.
    failed: u8,
    /// It has brought an answer that was of use since the room's task began.
    is_known: bool,
    /// How many of its reads in a row brought no answer of use since.
    lost: u8,
}

/// The statuses by which a device says that it lacks something. It has no states then that could grow old.
const LACKING: [u16; 3] = [404, 405, 501];

impl Endpoint {
    fn answered(&mut self, evidence: Evidence, is_there: bool) {
        self.newest = Some(evidence);
        match evidence {
            Evidence::Poly | Evidence::Neutral => (self.is_known, self.lost) = (true, 0),
            Evidence::NotPoly if is_there => self.lose(),
            Evidence::NotPoly => self.has_nothing(),
            Evidence::Postponed => {}
        }
    }

    /// Its states are taken away, so they do not grow old.
    fn has_nothing(&mut self) {
        (self.is_known, self.lost) = (false, 0);
    }

    fn lose(&mut self) {
        if self.is_known {
            self.lost = self.lost.saturating_add(1);
        }
    }
}

/// What the reads of one room say about its device, since the log-in.
#[derive(Debug)]
pub struct Understanding {
    timings: Arc<DeviceTimings>,
    /// By the entry's index in the schedule.
    endpoints: Vec<Endpoint>,
    /// How many reads failed since the device was understood last.
    failed: u32,
    /// How many of them the device refused with 403.
    forbidden: u32,
    /// What came instead, each kind once.
    seen: Vec<UnusableAnswer>,
    /// What the newest answer said.
    newest: Option<Evidence>,
    /// Since when most endpoints fail.
    most_fail_since: Option<Instant>,
    /// Most endpoints failed when the device counted as offline last, then: a single one that is recognised does not
    /// show any more that it is understood.
    distrusted_since: Option<Instant>,
    /// Since when the device answers nothing but that it wants fewer requests. Outlives log-ins, which it answers so
    /// too.
    postponed_since: Option<Instant>,
    /// The device was not understood before the last log-in, nor since.
    useless_before: bool,
}

impl Understanding {
    /// Nothing has been read yet.
    pub fn new(timings: Arc<DeviceTimings>) -> Self {
        Self {
            timings,
            endpoints: Vec::new(),
            failed: 0,
            forbidden: 0,
            seen: Vec::new(),
            newest: None,
            most_fail_since: None,
            distrusted_since: None,
            postponed_since: None,
            useless_before: false,
        }
    }

    /// Nothing has been read yet since the log-in.
    pub fn restart(&mut self) {
        let known = self.endpoints.iter().map(|endpoint| Endpoint {
            is_known: endpoint.is_known,
            ..Endpoint::default()
        });
        *self = Self {
            endpoints: known.collect(),
            distrusted_since: self.distrusted_since,
            postponed_since: self.postponed_since,
            useless_before: self.failed > 0 && self.recognised().is_none(),
            ..Self::new(self.timings.clone())
        };
    }

    /// A read was answered. `index`: the entry of the schedule, if it has one. `seen`: what came, if
    /// it was of no use.
    pub fn answered(
        &mut self,
        index: Option<usize>,
        evidence: Evidence,
        seen: Option<UnusableAnswer>,
        now: Instant,
    ) {
        if evidence == Evidence::Postponed {
            self.postponed_since.get_or_insert(now);
            self.remember(seen);
            return;
        }
        self.newest = Some(evidence);
        if let Some(index) = index {
            let status = seen.as_ref().and_then(|seen| seen.status);
            let is_there = status.is_none_or(|status| !LACKING.contains(&status));
            self.endpoint(index).answered(evidence, is_there);
        }
        match evidence {
            Evidence::Poly => self.understood(),
            Evidence::Neutral => self.postponed_since = None,
            Evidence::Postponed => {}
            Evidence::NotPoly => {
                self.failed = self.failed.saturating_add(1);
                if let Some(index) = index {
                    let endpoint = self.endpoint(index);
                    endpoint.failed = endpoint.failed.saturating_add(1);
                }
                if seen.as_ref().is_some_and(|seen| seen.status == Some(403)) {
                    self.forbidden = self.forbidden.saturating_add(1);
                }
                self.remember(seen);
            }
        }
        self.look_at_losses(now);
    }

    /// A read was not answered, so it is unknown what this endpoint says.
    pub fn unanswered(&mut self, index: usize, now: Instant) {
        let endpoint = self.endpoint(index);
        endpoint.newest = None;
        endpoint.lose();
        self.remember(Some(UnusableAnswer {
            text: "the device did not answer".to_owned(),
            status: None,
        }));
        self.look_at_losses(now);
    }

    /// The states of this endpoint have been taken away.
    pub fn has_nothing(&mut self, index: usize, now: Instant) {
        self.endpoint(index).has_nothing();
        self.look_at_losses(now);
    }

    /// A device that has been distrusted for long is trusted again with what works. Gives the endpoints that do not:
    /// their states are to be taken away, since they are old. `complete`: everything has been read since the log-in.
    pub fn give_up(&mut self, complete: bool, now: Instant) -> Vec<usize> {
        let wait = self.timings.trust_after_loss;
        let is_over = |since| now.saturating_duration_since(since) >= wait;
        if !complete || !self.distrusted_since.is_some_and(is_over) {
            return Vec::new();
        }
        let mut given_up = Vec::new();
        for (index, endpoint) in self.endpoints.iter_mut().enumerate() {
            if endpoint.is_known && (endpoint.lost > 0 || endpoint.newest.is_none()) {
                endpoint.has_nothing();
                given_up.push(index);
            }
        }
        self.distrusted_since = None;
        self.look_at_losses(now);
        given_up
    }

    fn look_at_losses(&mut self, now: Instant) {
        self.most_fail_since = if self.most_fail() {
            self.most_fail_since.or(Some(now))
        } else {
            None
        };
    }

    /// A read failed since the device was understood last.
    pub fn is_in_doubt(&self) -> bool {
        self.failed > 0 || self.distrusted_since.is_some()
    }

    /// Forgets what these endpoints brought when they were read last.
    pub fn forget(&mut self, is_unread: impl Fn(usize) -> bool) {
        for (index, endpoint) in self.endpoints.iter_mut().enumerate() {
            if (endpoint.newest.is_some() || endpoint.is_known) && is_unread(index) {
                *endpoint = Endpoint {
                    failed: endpoint.failed,
                    ..Endpoint::default()
                };
            }
        }
    }

    /// The device is busy with a command during which it cannot say most of what it says otherwise, such as a switch of
    /// its provider. That no read brings anything then shows nothing.
    pub fn excuse_losses(&mut self) {
        for endpoint in &mut self.endpoints {
            endpoint.lost = 0;
        }
        self.most_fail_since = None;
    }

    fn endpoint(&mut self, index: usize) -> &mut Endpoint {
        if self.endpoints.len() <= index {
            self.endpoints.resize(index + 1, Endpoint::default());
        }
        &mut self.endpoints[index]
    }

    fn understood(&mut self) {
        if !self.most_fail() {
            self.distrusted_since = None;
        }
        (self.postponed_since, self.useless_before) = (None, false);
        // Also where nothing counted as failed: a read that was not answered weeks ago says nothing any more.
        self.seen.clear();
        if self.failed == 0 {
            return;
        }
        (self.failed, self.forbidden) = (0, 0);
        for endpoint in &mut self.endpoints {
            endpoint.failed = 0;
        }
    }

    fn remember(&mut self, seen: Option<UnusableAnswer>) {
        if let Some(seen) = seen
            && self.seen.len() < MOST_SEEN
            && self.seen.iter().all(|known| known.text != seen.text)
        {
            self.seen.push(seen);
        }
    }

    /// The newest evidence is that of a Poly device.
    pub fn is_understood(&self) -> bool {
        self.failed == 0
            && self.recognised().is_some()
            && !(self.distrusted_since.is_some() && self.most_fail())
    }

    /// Whether most endpoints that had something to say have failed since. After a device was distrusted, what has not
    /// been read again counts as failed.
    fn most_fail(&self) -> bool {
        let known = self.endpoints.iter().filter(|endpoint| endpoint.is_known);
        let is_distrusted = self.distrusted_since.is_some();
        let is_bad = |endpoint: &&Endpoint| {
            if is_distrusted {
                endpoint.lost > 0 || endpoint.newest.is_none()
            } else {
                endpoint.lost >= LOST_READS
            }
        };
        let bad = known.clone().filter(is_bad).count();
        let all = known.count();
        all >= ONE_GOOD_AMONG && (all - bad) * ONE_GOOD_AMONG <= all
    }

    /// Whether most endpoints have failed for a while.
    fn is_lost(&self, now: Instant) -> bool {
        !self.seen.is_empty() && self.is_long_ago(self.most_fail_since, now)
    }

    /// Whether this is longer ago than a device may say nothing usable.
    fn is_long_ago(&self, since: Option<Instant>, now: Instant) -> bool {
        let wait = self.timings.loss_before_offline;
        since.is_some_and(|since| now.saturating_duration_since(since) >= wait)
    }

    /// Whether the device was not understood after the log-in before, nor has been since. There may be many log-ins:
    /// if each read everything at once, a device in trouble would get more requests than one that is well.
    pub fn is_useless_again(&self) -> bool {
        self.useless_before
    }

    /// The newest answer of all is that of a Poly device.
    pub fn newest_is_understood(&self) -> bool {
        self.newest == Some(Evidence::Poly)
    }

    /// An endpoint that brought what a Poly device says when it was read last.
    fn recognised(&self) -> Option<usize> {
        let mut endpoints = self.endpoints.iter();
        endpoints.position(|endpoint| endpoint.newest == Some(Evidence::Poly))
    }

    /// The endpoint that is to be read again at once: several reads failed, and this one may
    /// still be recognised.
    pub fn to_be_read_again(&self) -> Option<usize> {
        let doubtful = self.failed >= u32::from(FAILED_READS);
        self.recognised().filter(|_| doubtful)
    }

    /// Why the device counts as offline, if it is not understood. `online`: it was understood since
    /// the log-in. `complete`: everything has been read since the log-in; a device that was not
    /// understood until then is not tried for longer. One that refuses its first reads is not asked
    /// for everything, since each refusal costs a log-in.
    pub fn problem(&mut self, online: bool, complete: bool, now: Instant) -> Option<Problem> {
        let often = |endpoint: &Endpoint| endpoint.failed >= FAILED_READS;
        let is_certain = if online {
            self.endpoints.iter().any(often)
        } else {
            let refused = self.forbidden >= u32::from(FAILED_READS);
            refused || (complete && self.failed > 0)
        };
        let what = match self.recognised() {
            _ if self.is_long_ago(self.postponed_since, now) => {
                "the device asks for fewer requests, and has answered none for a while"
            }
            None if is_certain => {
                "what answers at this address does not answer as a Poly VideoOS device does"
            }
            Some(_) if online && self.is_lost(now) => {
                self.distrusted_since.get_or_insert(now);
                "most of the device's states cannot be read any more"
            }
            _ => return None,
        };
        let texts: Vec<&str> = self.seen.iter().map(|seen| &*seen.text).collect();
        let advice = self.seen.last().map_or("", UnusableAnswer::advice);
        Some(Problem::not_understood(format!(
            "{what}: {}; {advice}",
            texts.join("; ")
        )))
    }
}

#[cfg(test)]
mod tests;
