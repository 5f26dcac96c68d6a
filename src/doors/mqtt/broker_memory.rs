//! Whether the broker may hold something older than what this run left there.
//!
//! A broker that was killed comes back with what it had saved last, half an hour ago perhaps, and a standby with what
//! it was given last: states of rooms that were taken out since, and `availability` `online` among them. It says so in
//! two ways: it does not know the session, or it tells another `gateway/info` or `gateway/health` than it was sent
//! last. Then it has to be asked what it retains, as at the start, so that what is left over can be cleared.
//!
//! Pure. Gets what arrived and the time; asks nothing itself.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::topics::{GATEWAY_HEALTH, GATEWAY_INFO};

/// The broker is asked again no more often than this: it tells everything that it retains below the rooms.
const ASK_INTERVAL: Duration = Duration::from_secs(600);
/// How long after the start of a connection it is asked. By then most is published again, and what is not is left over.
const ASK_DELAY: Duration = Duration::from_secs(5);
/// What the gateway publishes about itself, and retains. `gateway/health` is another one each minute.
const ABOUT_GATEWAY: [&str; 2] = [GATEWAY_INFO, GATEWAY_HEALTH];

/// What the broker was sent last, and when it is to be asked again.
#[derive(Debug, Default)]
pub struct BrokerMemory {
    /// What it had at these topics when the last connection ended, until it has told of them.
    had: [Option<Bytes>; ABOUT_GATEWAY.len()],
    /// It has told what it retains, once in this run. Before that it is asked anyway.
    has_told: bool,
    /// When it was asked again last.
    asked: Option<Instant>,
    due: Option<Instant>,
}

impl BrokerMemory {
    /// It has told what an earlier run left there.
    pub fn told(&mut self) {
        self.has_told = true;
    }

    /// The connection ended. `held` gives what was published last at a topic.
    pub fn connection_ended(&mut self, held: impl Fn(&str) -> Option<Bytes>) {
        self.had = ABOUT_GATEWAY.map(held);
    }

    /// A connection came up. `is_resumed`: the broker knows the session.
    pub fn connected(&mut self, is_resumed: bool, now: Instant) {
        if !is_resumed {
            self.may_be_older(now);
        }
    }

    /// The broker told a retained message of this gateway, for which `current` is published now.
    pub fn arrived(&mut self, topic: &str, payload: &[u8], current: Option<&[u8]>, now: Instant) {
        let Some(at) = ABOUT_GATEWAY.iter().position(|about| *about == topic) else {
            return;
        };
        // Only the first one is what it held before.
        let is_older = self.had[at]
            .take()
            .is_some_and(|had| had != payload && current != Some(payload));
        if is_older {
            self.may_be_older(now);
        }
    }

    fn may_be_older(&mut self, now: Instant) {
        if self.has_told {
            let due = now + ASK_DELAY;
            let due = self
                .asked
                .map_or(due, |asked| due.max(asked + ASK_INTERVAL));
            self.due.get_or_insert(due);
        }
    }

    /// Whether it is to be asked now.
    pub fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// It is asked now.
    pub fn asked(&mut self, now: Instant) {
        self.asked = Some(now);
        self.due = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &[u8] = b"{\"rooms\":{}}";
    const OLDER: &[u8] = b"{\"rooms\":{\"2\":null}}";

    /// A broker that has told what it retains, and whose connection ended later.
    fn ended(now: Instant) -> BrokerMemory {
        let mut memory = BrokerMemory::default();
        memory.connected(false, now);
        assert!(!memory.is_due(now + 2 * ASK_INTERVAL), "at the start");
        memory.told();
        memory.connection_ended(|topic| (topic == GATEWAY_INFO).then_some(INFO.into()));
        memory
    }

    #[test]
    fn a_broker_without_the_session_is_asked_again_but_not_often() {
        let start = Instant::now();
        let mut memory = ended(start);
        memory.connected(false, start);
        let asked = start + ASK_DELAY;
        assert!(!memory.is_due(start) && memory.is_due(asked));
        memory.asked(asked);
        assert!(!memory.is_due(asked + 2 * ASK_INTERVAL), "once is enough");
        for seconds in [20, 40] {
            memory.connected(false, asked + Duration::from_secs(seconds));
        }
        let next = asked + ASK_INTERVAL;
        assert!(!memory.is_due(next - Duration::from_secs(1)) && memory.is_due(next));
    }

    #[test]
    fn a_broker_that_tells_something_older_is_asked_again() {
        let now = Instant::now();
        let due = now + ASK_DELAY;
        for (topic, payload, is_asked) in [
            (GATEWAY_INFO, OLDER, true),
            (GATEWAY_INFO, INFO, false),
            // It is published just now.
            (GATEWAY_INFO, b"new", false),
            // Nothing was published there.
            (GATEWAY_HEALTH, OLDER, false),
            ("gateway/other", OLDER, false),
        ] {
            let mut memory = ended(now);
            memory.connected(true, now);
            memory.arrived(topic, payload, Some(b"new"), now);
            assert_eq!(memory.is_due(due), is_asked, "{topic} {payload:?}");
            // What comes later is what was published since.
            let mut memory = ended(now);
            memory.connected(true, now);
            memory.arrived(GATEWAY_INFO, INFO, Some(b"new"), now);
            memory.arrived(topic, payload, Some(b"new"), now);
            assert!(!memory.is_due(due), "{topic} {payload:?}");
        }
    }
}
