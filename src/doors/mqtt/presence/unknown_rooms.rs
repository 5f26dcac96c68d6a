//! Clears what gateways have left at the broker of rooms that none of them has in its configuration any more.
//!
//! Owns when that is done: a configuration that changes is taken over by one gateway after the other, so a room is only
//! known to be gone when all of them have the same rooms.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{MqttSettings, SharingRules, Survey};
use crate::doors::mqtt::survey::ROOMS_AT_A_TIME;
use crate::sleep::ticks;
use crate::telemetry::Telemetry;
use crate::topics::{RoomTopics, Topic};

/// For so long the gateways have the same rooms before what is left of others is cleared: one that is just being
/// started again may still have them. After a clearing that has failed, the next one waits as long.
const AGREED_FOR: Duration = Duration::from_secs(30);
/// How often it is looked whether they have.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// What is needed to clear it.
pub(super) struct UnknownRooms {
    pub settings: MqttSettings,
    pub rules: Arc<dyn SharingRules>,
    pub telemetry: Arc<Telemetry>,
}

impl UnknownRooms {
    /// Clears it whenever the gateways have come to have the same rooms.
    pub(super) async fn clear_when_agreed(&self) -> Infallible {
        when_agreed(&*self.rules, || self.clear()).await
    }

    async fn clear(&self) -> Result<(), String> {
        let settings = &self.settings;
        let mut survey = Survey::connect(settings).await?;
        let prefix = &settings.prefix;
        let own = Some(settings.gateway_id.as_str());
        let availability = prefix.add(&RoomTopics::ANY.availability());
        let found = survey.retained(&[availability]).await?;
        let (mut filters, mut rooms) = (Vec::new(), 0_usize);
        for message in found.iter().filter(|message| message.id.as_deref() == own) {
            let topic = prefix.strip(&message.topic);
            let room = topic.and_then(Topic::parse).and_then(|topic| topic.room());
            if let Some(room) = room.filter(|room| !self.rules.is_configured(room)) {
                filters.push(prefix.add(&RoomTopics::new(room).all()));
                filters.extend(settings.discovery.of_room(room));
                rooms += 1;
            }
        }
        if filters.is_empty() {
            return Ok(());
        }
        let mut topics = Vec::new();
        // A room has one or two.
        for some in filters.chunks(ROOMS_AT_A_TIME) {
            let left = survey.retained(some).await?;
            let left = left.into_iter().filter(|it| it.id.as_deref() == own);
            topics.extend(left.map(|message| message.topic));
        }
        survey.clear(&topics).await?;
        self.telemetry.unknown_rooms_cleared(rooms, topics.len());
        Ok(())
    }
}

/// Calls `clear` once each time when the gateways have agreed on their rooms for [`AGREED_FOR`], and again if it fails.
async fn when_agreed<C: Future<Output = Result<(), String>>>(
    rules: &dyn SharingRules,
    clear: impl Fn() -> C,
) -> Infallible {
    let mut looks = ticks(LOOK_INTERVAL);
    let (mut agreed, mut due) = (None, None);
    loop {
        looks.tick().await;
        let now = Instant::now();
        let newest = rules.agreed_rooms();
        if newest != agreed {
            due = newest.is_some().then(|| now + AGREED_FOR);
            agreed = newest;
        }
        if due.is_none_or(|due| due > now) {
            continue;
        }
        due = match clear().await {
            Ok(()) => None,
            Err(why) => {
                tracing::debug!(why, "what is left of rooms that are gone is not cleared");
                Some(Instant::now() + AGREED_FOR)
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use parking_lot::Mutex;
    use tokio::time::timeout;

    use super::*;

    /// Gateways with these rooms.
    struct Gateways(Mutex<Option<&'static str>>);

    impl SharingRules for Gateways {
        fn may_act(&self) -> bool {
            true
        }

        fn max_command_age(&self, _: &str) -> Duration {
            Duration::ZERO
        }

        fn is_configured(&self, _: &str) -> bool {
            false
        }

        fn agreed_rooms(&self) -> Option<String> {
            self.0.lock().map(str::to_owned)
        }

        fn configured(&self) -> Vec<Arc<str>> {
            Vec::new()
        }
    }

    /// A room that is taken out is unknown to all only when the last gateway has been started again.
    #[tokio::test(start_paused = true)]
    async fn what_is_unknown_is_cleared_whenever_the_gateways_agree_again() {
        let gateways = Gateways(Mutex::new(None));
        let (cleared, fails) = (AtomicUsize::new(0), AtomicBool::new(false));
        let clear = || async {
            cleared.fetch_add(1, Ordering::Relaxed);
            if fails.load(Ordering::Relaxed) {
                Err("no connection".to_owned())
            } else {
                Ok(())
            }
        };
        let mut clearing = Box::pin(when_agreed(&gateways, clear));
        for (rooms, does_fail, seconds, wanted) in [
            // The gateways have different rooms.
            (None, false, 100, 0),
            (Some("a"), false, 25, 0),
            (Some("a"), false, 10, 1),
            (Some("a"), false, 300, 1),
            // One begins with others, and has the same again.
            (None, false, 5, 1),
            (Some("a"), false, 40, 2),
            // All have others; the broker does not answer at first.
            (Some("b"), true, 40, 3),
            (Some("b"), false, 40, 4),
            (Some("b"), false, 300, 4),
        ] {
            *gateways.0.lock() = rooms;
            fails.store(does_fail, Ordering::Relaxed);
            let passed = timeout(Duration::from_secs(seconds), &mut clearing).await;
            assert!(passed.is_err());
            assert_eq!(cleared.load(Ordering::Relaxed), wanted, "{rooms:?}");
        }
    }
}
