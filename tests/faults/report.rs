//! The report for people: a table of counts, and every violation.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::timeline::Timeline;

/// The promises that are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    Results,
    Once,
    Truth,
    Order,
    Stops,
    States,
    Sessions,
    Holds,
    Secrets,
}

const CHECKS: [(Check, &str); 9] = [
    (
        Check::Results,
        "every command that reached the gateway has one result, none has two",
    ),
    (
        Check::Once,
        "no command that is not safe to repeat is carried out twice",
    ),
    (
        Check::Truth,
        "ok was carried out, an error was not, unknown only where a fault was",
    ),
    (Check::Order, "commands of one client to one room in order"),
    (Check::Stops, "every camera stops in its time"),
    (
        Check::States,
        "retained topics equal the device two poll intervals after the faults",
    ),
    (
        Check::Sessions,
        "at most two sessions a device, and no lock-out",
    ),
    (
        Check::Holds,
        "memory and open files are back where they were; SIGTERM ends it",
    ),
    (
        Check::Secrets,
        "no secret in what is published, in a page, or in the log at trace level",
    ),
];

#[derive(Default)]
pub struct Report {
    counts: Mutex<BTreeMap<(Check, &'static str), u64>>,
    codes: Mutex<BTreeMap<String, u64>>,
    violations: Mutex<Vec<(Check, String)>>,
}

impl Report {
    pub fn count(&self, check: Check, what: &'static str, count: u64) {
        *self
            .counts
            .lock()
            .unwrap()
            .entry((check, what))
            .or_default() += count;
    }

    /// Records a value if it is the largest so far.
    pub fn most(&self, check: Check, what: &'static str, value: u64) {
        let mut counts = self.counts.lock().unwrap();
        let most = counts.entry((check, what)).or_default();
        *most = value.max(*most);
    }

    pub fn code(&self, code: &str) {
        *self
            .codes
            .lock()
            .unwrap()
            .entry(code.to_owned())
            .or_default() += 1;
    }

    /// Records a violation: the promise, when it began, and the room if it is about one.
    pub fn violation(
        &self,
        timeline: &Timeline,
        check: Check,
        room: Option<usize>,
        message: &str,
        from: Instant,
    ) {
        let before = from.checked_sub(Duration::from_secs(8)).unwrap_or(from);
        let mut text = format!("at {} s: {message}", timeline.seconds(from));
        for line in timeline.around(room, before, from + Duration::from_secs(30)) {
            let _ = write!(text, "\n    {line}");
        }
        println!("VIOLATION ({check:?}) {text}");
        self.violations.lock().unwrap().push((check, text));
    }

    pub fn violations(&self) -> usize {
        self.violations.lock().unwrap().len()
    }

    /// The table and every violation.
    pub fn table(&self, timeline: &Timeline, seed: u64, took: Duration) -> String {
        let mut text = format!("\nFault run: seed {seed}, {} s\n\n", took.as_secs());
        let counts = self.counts.lock().unwrap();
        let violations = self.violations.lock().unwrap();
        text += "| check | counted | violations |\n|---|---|---|\n";
        for (check, promise) in CHECKS {
            let mine = counts.iter().filter(|((of, _), _)| *of == check);
            let counted: Vec<_> = mine
                .map(|((_, what), count)| format!("{what} {count}"))
                .collect();
            let broken = violations.iter().filter(|(of, _)| *of == check).count();
            let _ = writeln!(text, "| {promise} | {} | {broken} |", counted.join(", "));
        }
        let list = |counts: &BTreeMap<String, u64>| {
            let all: Vec<_> = counts
                .iter()
                .map(|(what, count)| format!("{what} {count}"))
                .collect();
            all.join(", ")
        };
        let _ = writeln!(text, "\nResults: {}.", list(&self.codes.lock().unwrap()));
        let _ = writeln!(text, "Faults: {}.", list(&timeline.counts()));
        for (check, violation) in violations.iter() {
            let _ = writeln!(text, "\nVIOLATION ({check:?}), seed {seed}, {violation}");
        }
        text
    }
}
