//! Whether the broker delivers what it has granted.
//!
//! A broker may grant a subscription and deliver nothing: Mosquitto checks the right to read an
//! `acl_file`'s topics only when it delivers. So the gateway asks for some of its own states for a moment and
//! publishes them again. What does not come back is not delivered.
//!
//! Pure. Knows which topics are expected; subscribes and publishes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::topics::{GATEWAY_AVAILABILITY, Prefix, RoomTopics};

/// How long the broker may take to deliver what it has acknowledged. It takes milliseconds.
pub const DELIVERY_TIMEOUT: Duration = Duration::from_secs(2);
/// Of at most this many rooms a state is expected: each costs a message both ways.
const MOST_ROOMS_EXPECTED: usize = 256;
/// After so many connections that ended meanwhile it is not checked any more.
const MOST_INTERRUPTIONS: u32 = 2;

/// What is expected of the broker, and whether it came.
#[derive(Debug, Default)]
pub struct DeliveryCheck {
    /// The topics that have not come, as the broker knows them, with their rooms; without one for
    /// what is the gateway's.
    missing: BTreeMap<String, Option<String>>,
    deadline: Option<Instant>,
    /// Everything came once, or it cannot be found out: it is not checked again in this run.
    is_done: bool,
    /// Connections that ended while something was expected.
    interruptions: u32,
    /// It was said that something is missing.
    is_told: bool,
}

/// What was not delivered.
#[derive(Debug, PartialEq, Eq)]
pub struct Undelivered {
    /// The rooms of which nothing came.
    pub rooms: Vec<String>,
    /// Nothing of what is the gateway's came.
    pub gateway: bool,
    /// The log has not been told.
    pub is_news: bool,
    /// Everything is delivered, and the log was told otherwise.
    pub is_mended: bool,
}

impl DeliveryCheck {
    /// Whether it is still to be found out, and nothing is expected at the moment.
    pub fn is_wanted(&self) -> bool {
        !self.is_done && self.deadline.is_none()
    }

    /// Whether messages are expected now.
    pub fn is_expecting(&self) -> bool {
        self.deadline.is_some()
    }

    /// The availability of these rooms and of the gateway is published again now. Returns the topics,
    /// without the prefix.
    pub fn expect(
        &mut self,
        rooms: impl IntoIterator<Item = String>,
        prefix: &Prefix,
        now: Instant,
    ) -> Vec<String> {
        let rooms = rooms.into_iter().take(MOST_ROOMS_EXPECTED);
        let of_rooms = rooms.map(|room| (RoomTopics::new(&room).availability(), Some(room)));
        let expected: Vec<_> = std::iter::once((GATEWAY_AVAILABILITY.to_owned(), None))
            .chain(of_rooms)
            .collect();
        let full = |(topic, room): &(String, Option<String>)| (prefix.add(topic), room.clone());
        self.missing = expected.iter().map(full).collect();
        self.deadline = Some(now + DELIVERY_TIMEOUT);
        expected.into_iter().map(|(topic, _)| topic).collect()
    }

    /// The broker delivered a message at this topic.
    pub fn arrived(&mut self, topic: &[u8]) {
        if self.deadline.is_some()
            && let Ok(topic) = std::str::from_utf8(topic)
        {
            self.missing.remove(topic);
        }
    }

    /// What was not delivered, once: when everything came or the time is over. `None` before that.
    pub fn concluded(&mut self, now: Instant) -> Option<Undelivered> {
        let deadline = self.deadline?;
        if !self.missing.is_empty() && now < deadline {
            return None;
        }
        self.deadline = None;
        let missing = std::mem::take(&mut self.missing);
        self.is_done = missing.is_empty();
        let gateway = missing.values().any(Option::is_none);
        let is_mended = missing.is_empty() && std::mem::take(&mut self.is_told);
        let is_news = !missing.is_empty() && !std::mem::replace(&mut self.is_told, true);
        Some(Undelivered {
            rooms: missing.into_values().flatten().collect(),
            gateway,
            is_news,
            is_mended,
        })
    }

    /// The broker does not take messages at the moment, so what is missing proves nothing. It is expected
    /// again later.
    pub fn abandon(&mut self) {
        self.missing.clear();
        self.deadline = None;
    }

    /// The connection ended: what was expected comes no more. The broker may have ended it because it was
    /// asked.
    pub fn connection_ended(&mut self) {
        self.interruptions += u32::from(self.deadline.is_some());
        self.is_done |= self.interruptions >= MOST_INTERRUPTIONS;
        self.abandon();
    }

    /// The broker does not grant the filter by which the rooms' states come: nothing is known of them.
    pub fn rooms_not_granted(&mut self) {
        self.missing.retain(|_, room| room.is_none());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expecting(now: Instant) -> DeliveryCheck {
        let mut check = DeliveryCheck::default();
        let rooms = ["1", "2"].map(str::to_owned);
        let topics = check.expect(rooms, &Prefix::new("av"), now);
        assert_eq!(
            topics,
            [
                "gateway/availability",
                "room/1/availability",
                "room/2/availability"
            ]
        );
        check
    }

    #[test]
    fn what_does_not_come_in_time_is_named_once() {
        let now = Instant::now();
        for (arrived, rooms, gateway) in [
            (&[][..], &["1", "2"][..], true),
            (&["av/gateway/availability"], &["1", "2"], false),
            (
                &["av/gateway/availability", "av/room/2/availability"],
                &["1"],
                false,
            ),
            (
                &["av/room/1/availability", "av/room/2/availability"],
                &[],
                true,
            ),
            // Another topic proves nothing of the others.
            (&["room/1/availability"], &["1", "2"], true),
        ] {
            let mut check = expecting(now);
            for topic in arrived {
                check.arrived(topic.as_bytes());
            }
            assert_eq!(check.concluded(now), None);
            let undelivered = check.concluded(now + DELIVERY_TIMEOUT).unwrap();
            assert_eq!(undelivered.rooms, rooms);
            assert_eq!((undelivered.gateway, undelivered.is_news), (gateway, true));
            // On the next connection it is checked again, and not told again.
            assert!(check.is_wanted());
            check.expect([], &Prefix::default(), now);
            let again = check.concluded(now + DELIVERY_TIMEOUT).unwrap();
            assert!(again.gateway && !again.is_news && !again.is_mended);
            // Somebody has given it the right.
            check.expect([], &Prefix::default(), now);
            check.arrived(b"gateway/availability");
            let mended = check.concluded(now).unwrap();
            assert!(!mended.gateway && !mended.is_news && mended.is_mended);
        }
    }

    #[test]
    fn when_everything_came_it_is_not_checked_again() {
        let now = Instant::now();
        let mut check = expecting(now);
        assert!(!check.is_wanted());
        for topic in ["gateway", "room/1", "room/2"] {
            check.arrived(format!("av/{topic}/availability").as_bytes());
        }
        let undelivered = check.concluded(now).unwrap();
        assert!(undelivered.rooms.is_empty() && !undelivered.gateway && !undelivered.is_news);
        assert!(!check.is_wanted() && check.concluded(now).is_none());
        // The broker may have ended the connection because of it.
        let mut check = expecting(now);
        check.connection_ended();
        assert!(check.is_wanted());
        check.expect([], &Prefix::default(), now);
        check.connection_ended();
        assert!(!check.is_wanted() && check.concluded(now + DELIVERY_TIMEOUT).is_none());
        let mut check = DeliveryCheck::default();
        check.connection_ended();
        assert!(check.is_wanted());
        // While the broker takes few messages nothing is said.
        let mut check = expecting(now);
        check.abandon();
        assert!(check.is_wanted() && check.concluded(now + DELIVERY_TIMEOUT).is_none());
        // Of rooms that cannot be asked for nothing is said.
        let mut check = expecting(now);
        check.rooms_not_granted();
        let undelivered = check.concluded(now + DELIVERY_TIMEOUT).unwrap();
        assert!(undelivered.rooms.is_empty() && undelivered.gateway);
    }
}
