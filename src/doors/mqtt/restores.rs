//! States that somebody else has cleared or overwritten, at the broker or only for who is subscribed, and when
//! they are published again.
//!
//! A topic is published again at once, and then at most once a minute: another program that goes on
//! clearing it, or a bridge that sends everything back, costs one message a minute, and its last word does not stay.
//!
//! Pure. Gets topics and the time; publishes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// A topic is not published again more often.
const RESTORE_INTERVAL: Duration = Duration::from_secs(60);
/// At most this many topics are remembered: more than a large site has.
const REMEMBERED_TOPICS: usize = 1 << 16;

/// The topics that were published again lately.
#[derive(Debug, Default)]
pub struct Restores {
    topics: BTreeMap<Arc<str>, Restore>,
}

#[derive(Debug, Clone, Copy)]
struct Restore {
    last: Instant,
    /// It was lost again since.
    is_lost: bool,
    /// It was lost again within the time, and this has been told.
    is_told: bool,
}

/// What to do about a state that was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LostState {
    /// Publish it again now.
    PublishNow,
    /// [`Restores::due`] gives it later. `is_first`: it does not stay, and this has not been told.
    Later { is_first: bool },
}

impl Restores {
    /// Somebody else has cleared or overwritten this state.
    pub fn lost(&mut self, topic: &str, now: Instant) -> LostState {
        if let Some(restore) = self.topics.get_mut(topic) {
            restore.is_lost = now.duration_since(restore.last) < RESTORE_INTERVAL;
            if !restore.is_lost {
                restore.last = now;
                return LostState::PublishNow;
            }
            let is_first = !std::mem::replace(&mut restore.is_told, true);
            return LostState::Later { is_first };
        }
        if self.topics.len() >= REMEMBERED_TOPICS {
            return LostState::Later { is_first: false };
        }
        let restore = Restore {
            last: now,
            is_lost: false,
            is_told: false,
        };
        self.topics.insert(topic.into(), restore);
        LostState::PublishNow
    }

    /// The topics that were lost again and are to be published now. Forgets those that stayed.
    pub fn due(&mut self, now: Instant) -> Vec<Arc<str>> {
        let mut due = Vec::new();
        self.topics.retain(|topic, restore| {
            if now.duration_since(restore.last) < RESTORE_INTERVAL {
                return true;
            }
            if restore.is_lost {
                due.push(topic.clone());
                restore.last = now;
                restore.is_lost = false;
                return true;
            }
            false
        });
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_state_is_restored_at_once_and_then_once_a_minute() {
        let (mut restores, began) = (Restores::default(), Instant::now());
        let mut published = Vec::new();
        let mut told = Vec::new();
        for second in 0..200 {
            let now = began + second * SECOND;
            match restores.lost("a", now) {
                LostState::PublishNow => published.push(second),
                LostState::Later { is_first: true } => told.push(second),
                LostState::Later { is_first: false } => {}
            }
            let due = restores.due(now);
            published.extend(due.iter().map(|_| second));
        }
        assert_eq!(published, [0, 60, 120, 180]);
        assert_eq!(told, [1], "once as long as it goes on");
        // The last loss is mended too, and then it is forgotten.
        assert_eq!(restores.due(began + 240 * SECOND), [Arc::from("a")]);
        assert!(restores.due(began + 300 * SECOND).is_empty());
        assert!(restores.topics.is_empty());
    }

    #[test]
    fn topics_are_told_apart_and_bounded() {
        let (mut restores, now) = (Restores::default(), Instant::now());
        for n in 0..REMEMBERED_TOPICS {
            assert_eq!(restores.lost(&n.to_string(), now), LostState::PublishNow);
        }
        let later = |is_first| LostState::Later { is_first };
        assert_eq!(restores.lost("one more", now), later(false));
        assert_eq!(restores.lost("1", now), later(true));
        assert_eq!(restores.due(now + RESTORE_INTERVAL), [Arc::from("1")]);
    }
}
