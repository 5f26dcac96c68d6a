//! Whether the device is understood: whether its reads bring what a Poly device says.
//!
//! Pure. Counts the evidence of reads, and says when the room is not online because of it. Does not
//! judge single answers: the catalogue's `evidence` does.

use crate::catalogue::Evidence;
use crate::command::Failure;
use crate::device::Problem;

/// A device that was understood is not any more when one of its endpoints has failed this often in a row
/// while no other was recognised. One answer, or one endpoint, says nothing of the device.
const FAILED_READS: u8 = 3;
/// A device that was understood is not any more, either, when its endpoints fail but for one in this many. What
/// the others said last would count as how the device is now.
const ONE_GOOD_AMONG: usize = 4;
/// So often in a row one of them has failed then: two minutes of a state that is read every two seconds. A device
/// that restarts a part of itself is back before, mostly.
const LOST_READS: u8 = 60;
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

impl Endpoint {
    fn answered(&mut self, evidence: Evidence, is_there: bool) {
        self.newest = Some(evidence);
        match evidence {
            Evidence::Poly | Evidence::Neutral => (self.is_known, self.lost) = (true, 0),
            Evidence::NotPoly if is_there => self.lose(),
            // Its states are taken away, so they do not grow old.
            Evidence::NotPoly => (self.is_known, self.lost) = (false, 0),
        }
    }

    fn lose(&mut self) {
        if self.is_known {
            self.lost = self.lost.saturating_add(1);
        }
    }
}

/// What the reads of one room say about its device, since the log-in.
#[derive(Debug, Default)]
pub struct Understanding {
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
    /// Most endpoints failed when the device counted as offline last: a single one that is recognised does not show
    /// any more that it is understood.
    is_distrusted: bool,
}

impl Understanding {
    /// Nothing has been read yet since the log-in.
    pub fn restart(&mut self) {
        let known = self.endpoints.iter().map(|endpoint| Endpoint {
            is_known: endpoint.is_known,
            ..Endpoint::default()
        });
        *self = Self {
            endpoints: known.collect(),
            is_distrusted: self.is_distrusted,
            ..Self::default()
        };
    }

    /// A read was answered. `index`: the entry of the schedule, if it has one. `seen`: what came, if
    /// it was of no use.
    pub fn answered(
        &mut self,
        index: Option<usize>,
        evidence: Evidence,
        seen: Option<UnusableAnswer>,
    ) {
        self.newest = Some(evidence);
        if let Some(index) = index {
            let status = seen.as_ref().and_then(|seen| seen.status);
            let is_there = !matches!(status, Some(404 | 405 | 501));
            self.endpoint(index).answered(evidence, is_there);
        }
        match evidence {
            Evidence::Poly => self.understood(),
            Evidence::Neutral => {}
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
    }

    /// A read was not answered, so it is unknown what this endpoint says.
    pub fn unanswered(&mut self, index: usize) {
        let endpoint = self.endpoint(index);
        endpoint.newest = None;
        endpoint.lose();
        self.remember(Some(UnusableAnswer {
            text: "the device did not answer".to_owned(),
            status: None,
        }));
    }

    /// A read failed since the device was understood last.
    pub fn is_in_doubt(&self) -> bool {
        self.failed > 0 || self.is_distrusted
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
    }

    fn endpoint(&mut self, index: usize) -> &mut Endpoint {
        if self.endpoints.len() <= index {
            self.endpoints.resize(index + 1, Endpoint::default());
        }
        &mut self.endpoints[index]
    }

    fn understood(&mut self) {
        self.is_distrusted &= self.most_fail();
        if self.failed == 0 {
            return;
        }
        (self.failed, self.forbidden) = (0, 0);
        self.seen.clear();
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
        self.failed == 0 && self.recognised().is_some() && !(self.is_distrusted && self.most_fail())
    }

    /// Whether most endpoints that had something to say have failed since. After a device was distrusted, what has not
    /// been read again counts as failed.
    fn most_fail(&self) -> bool {
        let known = self.endpoints.iter().filter(|endpoint| endpoint.is_known);
        let is_bad = |endpoint: &&Endpoint| {
            endpoint.lost > 0 || (self.is_distrusted && endpoint.newest.is_none())
        };
        let bad = known.clone().filter(is_bad).count();
        let all = known.count();
        all >= ONE_GOOD_AMONG && (all - bad) * ONE_GOOD_AMONG <= all
    }

    /// Whether most endpoints fail, and one of them has done so for a while.
    fn is_lost(&self) -> bool {
        let often = |endpoint: &Endpoint| endpoint.lost >= LOST_READS;
        !self.seen.is_empty() && self.most_fail() && self.endpoints.iter().any(often)
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
    pub fn problem(&mut self, online: bool, complete: bool) -> Option<Problem> {
        let often = |endpoint: &Endpoint| endpoint.failed >= FAILED_READS;
        let is_certain = match online {
            true => self.endpoints.iter().any(often),
            false => {
                let refused = self.forbidden >= u32::from(FAILED_READS);
                refused || (complete && self.failed > 0)
            }
        };
        let what = match self.recognised() {
            None if is_certain => {
                "what answers at this address does not answer as a Poly VideoOS device does"
            }
            Some(_) if online && self.is_lost() => {
                self.is_distrusted = true;
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
mod tests {
    use super::*;
    use crate::command::ErrorCode;
    use crate::device::ProblemCode;

    const AUDIO: usize = 0;
    const STATUS: usize = 1;

    fn fail(understanding: &mut Understanding, index: usize) {
        let seen = Some(UnusableAnswer::status(503));
        understanding.answered(Some(index), Evidence::NotPoly, seen);
    }

    fn poly(understanding: &mut Understanding, index: usize) {
        understanding.answered(Some(index), Evidence::Poly, None);
    }

    #[test]
    fn a_device_is_understood_by_the_first_answer_of_its_kind() {
        let mut device = Understanding::default();
        device.answered(Some(AUDIO), Evidence::Neutral, None);
        assert!(!device.is_understood());
        poly(&mut device, STATUS);
        assert!(device.is_understood());
        fail(&mut device, AUDIO);
        assert!(!device.is_understood());
        poly(&mut device, STATUS);
        assert!(device.is_understood());
        device.restart();
        assert!(!device.is_understood());
    }

    #[test]
    fn a_device_that_was_never_understood_is_tried_until_all_was_read() {
        let mut device = Understanding::default();
        fail(&mut device, AUDIO);
        assert_eq!(device.problem(false, false), None);
        let problem = device.problem(false, true).unwrap();
        assert_eq!(problem.code, ProblemCode::NotUnderstood);
        assert!(
            problem.message.contains("the device answered 503"),
            "{problem}"
        );
        poly(&mut device, STATUS);
        assert_eq!(device.problem(false, true), None);
    }

    #[test]
    fn a_device_that_refuses_the_user_is_not_asked_for_everything() {
        let mut device = Understanding::default();
        for index in 0..3 {
            assert_eq!(device.problem(false, false), None);
            let seen = Some(UnusableAnswer::status(403));
            device.answered(Some(index), Evidence::NotPoly, seen);
        }
        let problem = device.problem(false, false).unwrap().message;
        assert!(problem.contains("the role of administrator"), "{problem}");
    }

    #[test]
    fn three_failed_reads_of_an_endpoint_are_enough_once_no_other_is_recognised() {
        let mut device = Understanding::default();
        poly(&mut device, STATUS);
        for _ in 0..2 {
            fail(&mut device, AUDIO);
            assert_eq!(device.to_be_read_again(), None);
        }
        fail(&mut device, AUDIO);
        // The other endpoint may still be recognised: it is read before the device counts as offline.
        assert_eq!(device.problem(true, true), None);
        assert_eq!(device.to_be_read_again(), Some(STATUS));
        fail(&mut device, STATUS);
        assert_eq!(device.to_be_read_again(), None);
        assert!(device.problem(true, true).is_some());
    }

    #[test]
    fn an_endpoint_that_fails_while_another_works_is_no_problem() {
        let mut device = Understanding::default();
        for _ in 0..50 {
            poly(&mut device, STATUS);
            fail(&mut device, AUDIO);
            assert_eq!(device.problem(true, true), None);
        }
        // An endpoint whose read is not answered is not recognised any more.
        for _ in 0..3 {
            fail(&mut device, AUDIO);
        }
        assert_eq!(device.problem(true, true), None);
        device.unanswered(STATUS);
        assert!(device.problem(true, true).is_some());
    }

    #[test]
    fn one_endpoint_that_works_among_many_that_fail_is_not_enough() {
        const ALL: usize = 8;
        let mut device = Understanding::default();
        let read = |device: &mut Understanding, good: usize| {
            for index in 0..ALL {
                match index < good {
                    true => poly(device, index),
                    false => fail(device, index),
                }
            }
        };
        read(&mut device, ALL);
        // More than one in four is recognised.
        for _ in 0..LOST_READS {
            read(&mut device, 3);
            assert_eq!(device.problem(true, true), None);
        }
        read(&mut device, 1);
        let problem = device.problem(true, true).unwrap();
        assert_eq!(problem.code, ProblemCode::NotUnderstood);
        assert!(problem.message.starts_with("most of"), "{problem}");
        // The one endpoint alone does not bring the room back, whatever is read first after the log-in.
        device.restart();
        for _ in 0..10 {
            read(&mut device, 1);
            poly(&mut device, 0);
            assert!(!device.is_understood());
            assert_eq!(device.problem(false, true), None);
        }
        read(&mut device, 3);
        poly(&mut device, 0);
        assert!(device.is_understood());
        assert_eq!(device.problem(true, true), None);
    }

    #[test]
    fn endpoints_that_the_device_lacks_or_never_had_do_not_count_as_failing() {
        let mut device = Understanding::default();
        for index in 0..8 {
            poly(&mut device, index);
        }
        for _ in 0..10 {
            for index in 1..20 {
                let seen = Some(UnusableAnswer::status(404));
                device.answered(Some(index), Evidence::NotPoly, seen);
            }
            for index in 20..30 {
                fail(&mut device, index);
            }
            poly(&mut device, 0);
            assert!(device.is_understood());
        }
        assert_eq!(device.problem(true, true), None);
    }

    #[test]
    fn a_problem_names_each_kind_of_answer_once_and_is_short() {
        let mut device = Understanding::default();
        for n in 0..100 {
            let text = format!("kind {} {}", n % 5, "x".repeat(500));
            let seen = UnusableAnswer::from(Failure::new(ErrorCode::DeviceError, text));
            device.answered(Some(n), Evidence::NotPoly, Some(seen));
        }
        let problem = device.problem(false, true).unwrap().message;
        assert_eq!(problem.matches("kind 0").count(), 1, "{problem}");
        assert!(problem.contains("kind 2") && !problem.contains("kind 3"));
        assert!(problem.len() < 1000, "{}", problem.len());
    }
}
