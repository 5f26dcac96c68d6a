//! Whether the broker still holds what it retained, and tells of it.
//!
//! A broker says nothing when it loses its retained messages, by a switch in its dashboard or because a
//! part of it was started again. So it is asked for the gateway's own topics each minute. Some brokers
//! tell of nothing below a wildcard; once that is found, nothing is asked any more.
//!
//! Pure. Gets what arrived and the time; subscribes and publishes nothing.

use std::time::Duration;

use tokio::time::Instant;

/// How often the broker is asked.
const ASK_INTERVAL: Duration = Duration::from_secs(60);
/// A broker that loses everything again and again is asked less often: the interval is doubled up to so
/// many times, to an hour.
const MOST_DOUBLINGS: u32 = 6;
const LONGEST_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// How long the broker may take to tell what it holds.
const TOLD_TIMEOUT: Duration = Duration::from_secs(2);

/// What the broker has told of its retained messages.
#[derive(Debug, Default)]
pub struct RetainedWatch {
    /// It has told of them once in this run.
    tells: bool,
    /// It never tells.
    gives_up: bool,
    /// It was asked and may answer until then.
    deadline: Option<Instant>,
    has_told: bool,
    next: Option<Instant>,
    /// How often the interval is doubled. A loss adds two, an answer takes one away.
    doublings: u32,
}

/// What follows from an answer, or from its absence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// It holds what was published.
    Held,
    /// It held it before, and does not now.
    Lost,
    /// It tells of nothing below a wildcard.
    Untold,
}

impl RetainedWatch {
    /// A connection came up, and everything is published again. The broker is asked `at` this time.
    pub fn connected(&mut self, at: Instant) {
        self.deadline = None;
        self.next = Some(at);
    }

    /// Whether the broker is to be asked now.
    pub fn is_due(&self, now: Instant) -> bool {
        !self.gives_up && self.deadline.is_none() && self.next.is_some_and(|next| next <= now)
    }

    /// The broker is asked now.
    pub fn asked(&mut self, now: Instant) {
        self.has_told = false;
        self.deadline = Some(now + TOLD_TIMEOUT);
        let delay = ASK_INTERVAL.saturating_mul(1 << self.doublings);
        self.next = Some(now + delay.min(LONGEST_INTERVAL));
    }

    /// Whether the broker was asked and may still answer.
    pub fn is_asked(&self) -> bool {
        self.deadline.is_some()
    }

    /// The broker has told of one of the gateway's retained messages.
    pub fn told(&mut self) {
        self.has_told |= self.deadline.is_some();
    }

    /// What is known when its time is over. `None` before that.
    pub fn concluded(&mut self, now: Instant) -> Option<Retention> {
        self.deadline.take_if(|deadline| *deadline <= now)?;
        if self.has_told {
            self.tells = true;
            self.doublings = self.doublings.saturating_sub(1);
            return Some(Retention::Held);
        }
        if self.tells {
            self.doublings = (self.doublings + 2).min(MOST_DOUBLINGS);
            return Some(Retention::Lost);
        }
        Some(Retention::Untold)
    }

    /// The broker delivers and does not tell: it is not asked any more.
    pub fn give_up(&mut self) {
        self.gives_up = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks when it is due and answers, or does not.
    fn ask(watch: &mut RetainedWatch, now: Instant, is_told: bool) -> Retention {
        assert!(watch.is_due(now));
        watch.asked(now);
        assert!(!watch.is_due(now) && watch.concluded(now).is_none());
        if is_told {
            watch.told();
        }
        watch.concluded(now + TOLD_TIMEOUT).unwrap()
    }

    #[test]
    fn a_loss_is_found_within_a_minute_and_seldom_if_it_goes_on() {
        let (mut watch, mut now) = (RetainedWatch::default(), Instant::now());
        assert!(!watch.is_due(now));
        watch.connected(now);
        // What comes unasked says nothing of what is held.
        watch.told();
        assert_eq!(ask(&mut watch, now, true), Retention::Held);
        now += ASK_INTERVAL;
        assert_eq!(ask(&mut watch, now, false), Retention::Lost);
        let mut asked = 0;
        for _ in 0..24 * 60 {
            now += ASK_INTERVAL;
            if watch.is_due(now) {
                assert_eq!(ask(&mut watch, now, false), Retention::Lost);
                asked += 1;
            }
        }
        assert!(asked < 30, "{asked} times a day");
        now += LONGEST_INTERVAL;
        assert_eq!(ask(&mut watch, now, true), Retention::Held);
        watch.connected(now);
        assert!(watch.is_due(now));
    }

    #[test]
    fn a_broker_that_never_tells_is_given_up() {
        let (mut watch, now) = (RetainedWatch::default(), Instant::now());
        watch.connected(now);
        assert_eq!(ask(&mut watch, now, false), Retention::Untold);
        // It may not deliver at all, which somebody mends.
        let now = now + ASK_INTERVAL;
        assert_eq!(ask(&mut watch, now, false), Retention::Untold);
        watch.give_up();
        assert!(!watch.is_due(now + LONGEST_INTERVAL));
        watch.connected(now);
        assert!(!watch.is_due(now + LONGEST_INTERVAL));
    }
}
