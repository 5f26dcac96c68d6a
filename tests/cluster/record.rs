//! What the devices have seen: every request with its gateway and time.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::clock::SECOND;
use crate::proxy::ALONE;

/// A request as a device received it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// `None`: it came from an address that is no gateway's.
    pub gateway: Option<usize>,
    pub came: u64,
    pub answered: u64,
    /// The device's status; 0 if it did not act.
    pub acted: u16,
    /// It is a log-in or log-out.
    pub session: bool,
}

impl Request {
    pub fn carried(&self) -> bool {
        (200..300).contains(&self.acted)
    }
}

/// How long each gateway's requests are remembered, for the pauses between them.
const REMEMBERED: u64 = 120 * SECOND;

#[derive(Default)]
pub struct Record {
    /// The requests of each device since they were last taken, in the order in which they were answered.
    fresh: HashMap<usize, Vec<Request>>,
    /// The requests that show which command they are of.
    pub marked: HashMap<u64, Vec<Request>>,
    /// When each gateway asked any device.
    times: [VecDeque<u64>; ALONE + 1],
    /// The first useful answer of a device to a gateway since it asked none or another one in between.
    pub first_read: BTreeMap<usize, (usize, u64)>,
    /// How many useful answers followed it.
    pub reads: BTreeMap<usize, u32>,
    /// Requests from addresses that are no gateway's.
    pub strangers: u64,
    pub requests: u64,
}

impl Record {
    pub fn note(&mut self, device: usize, request: Request, mark: Option<u64>) {
        self.requests += 1;
        self.fresh.entry(device).or_default().push(request);
        if let Some(mark) = mark {
            self.marked.entry(mark).or_default().push(request);
        }
        let Some(gateway) = request.gateway else {
            self.strangers += 1;
            return;
        };
        let times = &mut self.times[gateway];
        times.push_back(request.came);
        while times
            .front()
            .is_some_and(|time| time + REMEMBERED < request.came)
        {
            times.pop_front();
        }
        if request.carried() && !request.session {
            let first = self
                .first_read
                .entry(device)
                .or_insert((gateway, request.answered));
            let reads = self.reads.entry(device).or_default();
            if first.0 != gateway {
                *first = (gateway, request.answered);
                *reads = 0;
            }
            *reads += 1;
        }
    }

    /// Forgets whom these devices answered first, so that the next useful answer counts.
    pub fn forget_first_reads(&mut self, devices: &[usize]) {
        for device in devices {
            self.first_read.remove(device);
            self.reads.remove(device);
        }
    }

    /// Takes each device's requests that came before `before`, in the order in which they came.
    pub fn take(&mut self, before: u64) -> BTreeMap<usize, Vec<Request>> {
        let mut taken = BTreeMap::new();
        for (device, fresh) in &mut self.fresh {
            let (mut old, new): (Vec<_>, Vec<_>) =
                fresh.drain(..).partition(|request| request.came < before);
            *fresh = new;
            old.sort_by_key(|request| request.came);
            taken.insert(*device, old);
        }
        taken
    }

    /// When a gateway asked devices, between these times.
    pub fn asked(&self, gateway: usize, from: u64, until: u64) -> Vec<u64> {
        let times = self.times[gateway].iter().copied();
        let mut times: Vec<_> = times.filter(|time| (from..=until).contains(time)).collect();
        times.sort_unstable();
        times
    }

    /// The longest time in which a gateway asked nothing, between these times.
    pub fn longest_pause(&self, gateway: usize, from: u64, until: u64) -> u64 {
        let times = self.asked(gateway, from, until);
        let ends = times.iter().copied().chain([until]);
        let mut last = from;
        let pauses = ends.map(|time| time - std::mem::replace(&mut last, time));
        pauses.max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(gateway: usize, came: u64) -> Request {
        Request {
            gateway: Some(gateway),
            came,
            answered: came + 3,
            acted: 200,
            session: false,
        }
    }

    #[test]
    fn requests_are_taken_in_the_order_in_which_they_came() {
        let mut record = Record::default();
        for came in [5, 9, 7, 30] {
            record.note(1, request(0, came), None);
        }
        let came = |taken: &BTreeMap<usize, Vec<Request>>| -> Vec<u64> {
            taken[&1].iter().map(|request| request.came).collect()
        };
        assert_eq!(came(&record.take(20)), [5, 7, 9]);
        assert_eq!(came(&record.take(40)), [30]);
    }

    #[test]
    fn the_longest_pause_reaches_from_end_to_end() {
        let mut record = Record::default();
        assert_eq!(record.longest_pause(0, 10, 40), 30);
        for came in [12, 20, 37, 50] {
            record.note(1, request(0, came), None);
            record.note(1, request(1, came + 1), None);
        }
        assert_eq!(record.longest_pause(0, 10, 40), 17);
        assert_eq!(record.longest_pause(0, 12, 30), 10);
        assert_eq!(record.asked(1, 0, 30), [13, 21]);
    }

    #[test]
    fn the_first_read_is_that_of_the_newest_gateway() {
        let mut record = Record::default();
        record.note(1, request(0, 10), None);
        record.note(1, request(0, 20), None);
        assert_eq!(record.first_read[&1], (0, 13));
        let log_in = Request {
            session: true,
            ..request(1, 30)
        };
        record.note(1, log_in, None);
        assert_eq!(record.first_read[&1], (0, 13));
        record.note(1, request(1, 31), None);
        assert_eq!(record.first_read[&1], (1, 34));
    }
}
