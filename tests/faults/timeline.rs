//! The timeline of all faults: which of them excuse a violation, and what happened around it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The broker was killed, and everything it held is lost.
    Broker,
    /// The gateway was killed, and everything it held is lost.
    Kill,
    /// The gateway was asked to stop.
    Stop,
    /// The gateway is not connected to the broker.
    Absent,
    /// The path between gateway and broker failed.
    Link,
    /// A room's device or the path to it fails.
    Room(usize),
    /// A room's device answers late, but correctly.
    Late(usize),
}

struct Span {
    cause: Cause,
    what: String,
    from: Instant,
    to: Option<Instant>,
}

pub struct Timeline {
    start: Instant,
    spans: Mutex<BTreeMap<u64, Span>>,
    counts: Mutex<BTreeMap<String, u64>>,
}

impl Timeline {
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
            spans: Mutex::default(),
            counts: Mutex::default(),
        }
    }

    /// Seconds since the start, for reports.
    pub fn seconds(&self, at: Instant) -> String {
        format!(
            "{:.3}",
            at.saturating_duration_since(self.start).as_secs_f64()
        )
    }

    /// Records the begin of a fault, which is counted under `name`.
    pub fn begin(&self, cause: Cause, name: &str, about: &str) -> u64 {
        *self
            .counts
            .lock()
            .unwrap()
            .entry(name.to_owned())
            .or_default() += 1;
        let mut spans = self.spans.lock().unwrap();
        let number = spans.last_key_value().map_or(0, |(number, _)| number + 1);
        let span = Span {
            cause,
            what: format!("{name} {about}"),
            from: Instant::now(),
            to: None,
        };
        spans.insert(number, span);
        number
    }

    pub fn end(&self, number: u64) {
        if let Some(span) = self.spans.lock().unwrap().get_mut(&number) {
            span.to = Some(Instant::now());
        }
    }

    /// Whether one of these kinds was active at any time from `from` to `to`.
    pub fn any(&self, causes: &[Cause], from: Instant, to: Instant) -> bool {
        let spans = self.spans.lock().unwrap();
        spans.values().any(|span| {
            causes.contains(&span.cause) && span.from <= to && span.to.is_none_or(|end| end >= from)
        })
    }

    /// Whether one of these kinds was active during the other or shortly before it.
    pub fn both(
        &self,
        one: Cause,
        other: &[Cause],
        before: Duration,
        from: Instant,
        to: Instant,
    ) -> bool {
        let spans: Vec<_> = {
            let spans = self.spans.lock().unwrap();
            let mine = spans
                .values()
                .filter(|span| span.cause == one && span.from <= to);
            mine.map(|span| (span.from, span.to.unwrap_or(to)))
                .collect()
        };
        let mut near = spans.into_iter().filter(|(_, end)| *end >= from);
        near.any(|(begin, end)| self.any(other, begin - before, end))
    }

    /// How much of the time from `from` to `to` was free of these kinds and of a period after each.
    pub fn calm(&self, causes: &[Cause], after: Duration, from: Instant, to: Instant) -> Duration {
        let spans = self.spans.lock().unwrap();
        let mut calm = Duration::ZERO;
        let mut at = from;
        let mut mine: Vec<_> = spans
            .values()
            .filter(|span| causes.contains(&span.cause))
            .map(|span| (span.from, span.to.map_or(to, |end| end + after)))
            .collect();
        mine.sort();
        for (begins, ends) in mine {
            if begins > at {
                calm += begins.min(to).saturating_duration_since(at);
            }
            at = at.max(ends);
        }
        calm + to.saturating_duration_since(at)
    }

    /// The faults around a time, one line each, for one room or for all.
    pub fn around(&self, room: Option<usize>, from: Instant, to: Instant) -> Vec<String> {
        let spans = self.spans.lock().unwrap();
        let other = |span: &&Span| match (span.cause, room) {
            (Cause::Room(of) | Cause::Late(of), Some(room)) => of != room,
            _ => false,
        };
        let near = spans
            .values()
            .filter(|span| span.from <= to && span.to.is_none_or(|end| end >= from))
            .filter(|span| !other(span));
        near.map(|span| {
            let end = span.to.map_or("…".into(), |end| self.seconds(end));
            format!(
                "{} to {end}: {:?} {}",
                self.seconds(span.from),
                span.cause,
                span.what
            )
        })
        .collect()
    }

    /// Removes the faults that ended before this time.
    pub fn forget(&self, before: Instant) {
        let mut spans = self.spans.lock().unwrap();
        spans.retain(|_, span| span.to.is_none_or(|end| end >= before));
    }

    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.counts.lock().unwrap().clone()
    }
}
