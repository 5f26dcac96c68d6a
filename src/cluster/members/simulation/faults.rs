//! What goes wrong: pauses, cuts, answers that come late or never, a store that is away, kills and ends.

use std::time::Duration;

use super::{Event, MS, Simulation};

impl Simulation {
    pub fn run_with_faults(&mut self, time: Duration) {
        self.faults_until = self.now + u64::try_from(time.as_nanos()).unwrap();
        self.at(self.now, Event::Fault);
        self.run(time);
    }

    /// No more faults, and everybody is there.
    pub fn heal(&mut self) {
        self.faults_until = 0;
        self.store_away_until = 0;
        for process in &mut self.processes {
            process.cut_until = 0;
        }
    }

    /// How long a message between a gateway and the store takes; none if it is lost.
    pub(super) fn delay(&mut self, at: usize) -> Option<u64> {
        let usual = MS / 2 + self.random.below(4 * MS);
        if self.processes[at].cut_until > self.now {
            // Held back by a connection that stalls, or lost.
            return match self.random.below(3) {
                0 => Some(self.random.below(6000 * MS)),
                1 => Some(self.processes[at].cut_until - self.now + usual),
                _ => None,
            };
        }
        if self.faults_until > self.now && self.random.one_in(20) {
            return (!self.random.one_in(2)).then(|| self.random.below(3000 * MS));
        }
        Some(usual)
    }

    pub(super) fn fault(&mut self) {
        if self.now >= self.faults_until {
            return;
        }
        let at = usize::try_from(self.random.below(self.processes.len() as u64)).unwrap();
        let time = (300 + self.random.below(6000)) * MS;
        let process = &mut self.processes[at];
        let is_gone = process.is_killed || process.ended.is_some();
        let reloads = self.configurations.len() > 1;
        let kind = match self.random.below(8 + 2 * u64::from(reloads)) {
            _ if is_gone => "none",
            8 | 9 => {
                self.reload(at);
                "reload"
            }
            0..=2 => {
                process.paused_until = self.now + time;
                "pause"
            }
            3 | 4 => {
                process.cut_until = self.now + time;
                "cut"
            }
            5 => {
                self.store_away_until = self.now + time / 2;
                "store away"
            }
            kind => {
                if !std::mem::replace(&mut process.has_successor, true) {
                    let weight = 1 + u32::try_from(at % 2).unwrap();
                    let start = Event::Start(process.name.clone(), weight);
                    self.at(self.now + time, start);
                }
                if kind == 6 {
                    self.kill(at);
                    "kill"
                } else {
                    self.leave(at);
                    "leave"
                }
            }
        };
        *self.faults.entry(kind).or_default() += 1;
        let next = (100 + self.random.below(4000)) * MS;
        self.at(self.now + next, Event::Fault);
    }
}
