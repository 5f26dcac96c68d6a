//! How many entries of the log are published in a minute at `gateway/log`, so that a bad hour fills neither a
//! broker nor an inbox.
//!
//! Pure: gets the time. A room that has much to say leaves place for the others and for the gateway.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// The time that is counted.
const COUNTED_TIME: Duration = Duration::from_secs(60);
/// Entries a minute, of all sources together. With 600 characters each it is some kilobytes a second at most.
const MOST_IN_A_MINUTE: u32 = 120;
/// Entries a minute of one room, or of the gateway itself: the others need their part.
const MOST_OF_ONE_SOURCE: u32 = 20;
/// Entries a minute that begin alike, such as those about wrong tokens: the first few say what happens.
const MOST_OF_ONE_KIND: u32 = 5;
/// Entries whose first characters agree, this many of them, are of one kind.
const KIND_LENGTH: usize = 20;

/// What was published in the present minute.
#[derive(Debug)]
pub struct LogLimits {
    began: Instant,
    published: u32,
    by_source: HashMap<Option<Arc<str>>, u32>,
    by_kind: HashMap<(Option<Arc<str>>, String), u32>,
    left_out: u64,
}

impl LogLimits {
    /// Nothing is published yet.
    pub fn new(now: Instant) -> Self {
        Self {
            began: now,
            published: 0,
            by_source: HashMap::new(),
            by_kind: HashMap::new(),
            left_out: 0,
        }
    }

    /// When the present minute is over.
    pub fn minute_ends(&self) -> Instant {
        self.began + COUNTED_TIME
    }

    /// Begins a new minute if the present one is over. Says how many entries were left out in it.
    pub fn next_minute(&mut self, now: Instant) -> u64 {
        if now < self.minute_ends() {
            return 0;
        }
        let left_out = self.left_out;
        *self = Self::new(now);
        left_out
    }

    /// Whether an entry about this room, or about the gateway, may be published. Counts it.
    pub fn admits(&mut self, room: Option<&Arc<str>>, text: &str) -> bool {
        let kind = (room.cloned(), text.chars().take(KIND_LENGTH).collect());
        let of_source = self.by_source.entry(room.cloned()).or_default();
        let of_kind = self.by_kind.entry(kind).or_default();
        if self.published >= MOST_IN_A_MINUTE
            || *of_source >= MOST_OF_ONE_SOURCE
            || *of_kind >= MOST_OF_ONE_KIND
        {
            self.left_out += 1;
            return false;
        }
        *of_source += 1;
        *of_kind += 1;
        self.published += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loud_room_leaves_place_and_the_rest_is_counted() {
        let now = Instant::now();
        let mut limits = LogLimits::new(now);
        let rooms: Vec<Arc<str>> = (0..1000).map(|n| n.to_string().into()).collect();
        let mut loud = 0;
        for n in 0..500 {
            loud += usize::from(limits.admits(Some(&rooms[0]), &n.to_string()));
        }
        assert_eq!(loud, MOST_OF_ONE_SOURCE as usize);
        assert!(limits.admits(None, "x") && limits.admits(Some(&rooms[1]), "x"));
        let all = rooms.iter().filter(|room| limits.admits(Some(room), "y"));
        let all = all.count();
        assert_eq!(all + loud + 2, MOST_IN_A_MINUTE as usize);
        assert_eq!(limits.next_minute(now + COUNTED_TIME / 2), 0);
        let left_out = limits.next_minute(now + COUNTED_TIME);
        assert_eq!(left_out, 480 + 1000 - all as u64);
        assert!(limits.admits(Some(&rooms[0]), "x"));
        assert_eq!(limits.next_minute(now + 2 * COUNTED_TIME), 0);
    }

    #[test]
    fn what_comes_again_and_again_leaves_place_for_what_is_new() {
        let mut limits = LogLimits::new(Instant::now());
        let again = |n: usize| format!("wrong token or password failures={n}");
        let admitted = (0..600).filter(|n| limits.admits(None, &again(*n))).count();
        assert_eq!(admitted, MOST_OF_ONE_KIND as usize);
        assert!(limits.admits(None, "no connection to the broker"));
    }
}
