//! Which act was made when, for the judge's excuses and for people.

use std::sync::Mutex;

use crate::acts::Kind;
use crate::clock::{self, SECOND, seconds};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    pub kind: Kind,
    /// The gateways that it is about.
    pub gateways: Vec<usize>,
    pub began: u64,
    /// `u64::MAX` while it lasts.
    pub ended: u64,
    pub about: String,
}

impl Act {
    pub fn touches(&self, from: u64, until: u64) -> bool {
        self.began <= until && self.ended >= from
    }
}

pub struct Timeline {
    began: u64,
    acts: Mutex<Vec<Act>>,
}

impl Timeline {
    pub fn new() -> Self {
        Self {
            began: clock::now(),
            acts: Mutex::default(),
        }
    }

    /// Records the begin of an act; gives its number.
    pub fn begin(&self, kind: Kind, gateways: &[usize], about: String) -> usize {
        let now = clock::now();
        println!(
            "{:9.3} s  {} {about}",
            seconds(now - self.began),
            kind.name()
        );
        let mut acts = self.acts.lock().unwrap();
        acts.push(Act {
            kind,
            gateways: gateways.to_vec(),
            began: now,
            ended: u64::MAX,
            about,
        });
        acts.len() - 1
    }

    pub fn end(&self, number: usize) -> Act {
        let mut acts = self.acts.lock().unwrap();
        acts[number].ended = clock::now();
        acts[number].clone()
    }

    pub fn acts(&self) -> Vec<Act> {
        self.acts.lock().unwrap().clone()
    }

    /// What happened around a time, for people.
    pub fn around(&self, time: u64) -> String {
        let acts = self.acts.lock().unwrap();
        let near = acts
            .iter()
            .filter(|act| act.touches(time.saturating_sub(15 * SECOND), time + 5 * SECOND));
        let lines = near.map(|act| {
            let ended = match act.ended {
                u64::MAX => "…".to_owned(),
                ended => self.at(ended),
            };
            format!(
                "\n    {} to {ended}: {} {}",
                self.at(act.began),
                act.kind.name(),
                act.about
            )
        });
        lines.collect()
    }

    /// A time in seconds since the run began.
    pub fn at(&self, time: u64) -> String {
        format!("{:.3} s", seconds(time.saturating_sub(self.began)))
    }
}
