//! States of this gateway that somebody else has cleared or overwritten at the broker: when they are published again.
//!
//! What a person or another program has written goes at once. What another gateway has written stays as long as that
//! one is there: two that took back each other's states would never end. When it is gone, nobody keeps what it has
//! written up to date, so this gateway takes its topics back, also those that say the same: with the other's mark they
//! would stay at the broker for ever.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::MqttSubscriber;
use crate::doors::mqtt::restores::LostState;
use crate::gateway_id::MessageOwner;
use crate::state::StateStore;

impl MqttSubscriber {
    /// The broker sent a retained message. Publishes a state of this gateway again that somebody else has cleared, or
    /// overwritten since the broker has told what it holds.
    pub(super) fn restore(
        &self,
        store: &StateStore,
        topic: &str,
        payload: &[u8],
        owner: MessageOwner,
    ) {
        let is_lost = match owner {
            MessageOwner::ThisGateway => false,
            MessageOwner::AnotherGateway => payload.is_empty(),
            MessageOwner::Unknown => payload.is_empty() || self.has_settled(),
        };
        if is_lost {
            self.restore_unless_same(store, topic, payload);
        }
    }

    /// The broker sent a message with this gateway's mark, though it does not send its own: a bridge brings an old one
    /// back, or another process uses its id.
    pub fn own_came_back(&self, store: &StateStore, topic: &str, payload: &[u8]) {
        if self.has_settled() {
            self.restore_unless_same(store, topic, payload);
        }
    }

    /// A message came that is none of a gateway, and is not retained either: the broker still holds what it held, but
    /// whoever is subscribed has got this in place of the state.
    pub fn unretained_arrived(&self, store: &StateStore, topic: &str, payload: &[u8]) {
        self.restore(store, topic, payload, MessageOwner::Unknown);
    }

    fn restore_unless_same(&self, store: &StateStore, topic: &str, payload: &[u8]) {
        if store.get(topic).is_some_and(|own| own.payload != payload) {
            self.overwritten(topic);
        }
    }

    /// Another program has cleared this state or has written over it. The log is told if it does so again and again.
    pub(super) fn overwritten(&self, topic: &str) {
        if self.lost(topic) == (LostState::Later { is_first: true }) {
            self.telemetry.state_does_not_stay(topic);
        }
    }

    /// Whether the broker has told what it holds: what comes now is new.
    fn has_settled(&self) -> bool {
        self.has_settled.load(Ordering::Relaxed)
    }

    /// The broker, or who is subscribed, does not have this state any more. It is published again, now or later.
    pub fn lost(&self, topic: &str) -> LostState {
        let lost = self.restores().lost(topic, Instant::now());
        if lost == LostState::PublishNow {
            self.outbox.push_state(&Arc::from(topic));
        }
        lost
    }

    /// The gateway with this id has published a topic that is this one's too.
    pub fn taken_over(&self, topic: &str, by: Option<&str>, now: Instant) {
        if let Some(by) = by {
            self.leftovers().take_over(topic.into(), by, now);
        }
    }

    /// Publishes again what was lost again and had to wait.
    pub fn restore_due(&self, now: Instant) {
        let due = self.restores().due(now);
        self.clear_or_publish(&due);
    }

    /// The topics that another gateway has published, which is gone, and that are to be published again now. If there
    /// were too many to remember, everything is published again.
    pub fn returned(&self, now: Instant) -> Vec<Arc<str>> {
        let returned = {
            let others = self.others();
            let is_there = |id: &str, at| others.may_be_there(id, at, now);
            self.leftovers().take_returned(is_there)
        };
        if returned.are_more {
            self.wanted.store(true, Ordering::Relaxed);
        }
        let mut topics = returned.topics;
        if !topics.is_empty() {
            let mut restores = self.restores();
            topics.retain(|topic| restores.lost(topic, now) == LostState::PublishNow);
        }
        topics
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::doors::mqtt::incoming::IncomingPublish;
    use crate::doors::mqtt::incoming::tests::incoming;
    use crate::doors::mqtt::mark::Mark;
    use crate::gateway_id::GatewayId;
    use crate::state::StateValue;
    use crate::topics::{GATEWAY_AVAILABILITY, GATEWAY_INFO};

    const SECOND: Duration = Duration::from_secs(1);
    const OTHER: &str = "0123456789ab";
    const AVAILABILITY: &str = "room/1/availability";

    /// A gateway with room 1 that is online.
    fn setup() -> (Arc<StateStore>, MqttSubscriber) {
        let store = StateStore::new();
        let id = GatewayId::of_client("poly2mqtt");
        store.set_room(&"1".into(), Default::default());
        store.set(GATEWAY_AVAILABILITY, StateValue::text("online"));
        store.set(GATEWAY_INFO, StateValue::text(r#"{"id":"own","rooms":{}}"#));
        store.set(AVAILABILITY, StateValue::text("online"));
        (store, MqttSubscriber::new(id, Arc::default()))
    }

    /// The other gateway says this of itself.
    fn tells(it: &(Arc<StateStore>, MqttSubscriber), topic: &str, payload: &str, stops: bool) {
        let mark = Mark {
            id: Some(OTHER),
            stops,
        };
        let message = IncomingPublish {
            mark,
            has_retain_flag: false,
            ..incoming(
                topic,
                payload.as_bytes(),
                MessageOwner::AnotherGateway,
                None,
            )
        };
        it.1.gateway_message(&it.0, &message);
    }

    fn writes(it: &(Arc<StateStore>, MqttSubscriber), topic: &str, payload: &str) {
        let owner = MessageOwner::AnotherGateway;
        let message = incoming(topic, payload.as_bytes(), owner, Some(OTHER));
        it.1.retained_arrived(&it.0, &message);
    }

    fn returned(it: &(Arc<StateStore>, MqttSubscriber), now: Instant) -> Vec<String> {
        let topics = it.1.returned(now);
        topics.iter().map(ToString::to_string).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_another_gateway_has_written_is_taken_back_when_it_is_gone() {
        let info = format!(r#"{{"id":"{OTHER}","started":"now","rooms":{{"1":null}}}}"#);
        for (ends, goes_after) in [
            // Its last word; the broker's word in its place; no word at all.
            (Some(("online", true)), 0),
            (Some(("offline", false)), 0),
            (None, 150),
        ] {
            let it = setup();
            tells(&it, GATEWAY_INFO, &info, false);
            writes(&it, AVAILABILITY, "offline");
            writes(&it, "room/1/audio/volume", "5");
            assert!(returned(&it, Instant::now() + 100 * SECOND).is_empty());
            if let Some((payload, stops)) = ends {
                tells(&it, GATEWAY_AVAILABILITY, payload, stops);
            }
            let now = Instant::now() + goes_after * SECOND;
            let mut topics = returned(&it, now);
            // Its last word at this topic has its mark.
            let is_last_word = |topic: &String| topic == GATEWAY_AVAILABILITY;
            let last_words = topics.iter().filter(|topic| is_last_word(topic)).count();
            assert_eq!(last_words, usize::from(ends.is_some()));
            topics.retain(|topic| !is_last_word(topic));
            assert_eq!(topics, [GATEWAY_INFO, AVAILABILITY], "{ends:?}");
            assert!(returned(&it, now).is_empty());
            // What comes late of it waits for a minute.
            writes(&it, AVAILABILITY, "offline");
            assert!(returned(&it, now + 5 * SECOND).is_empty());
            while it.1.outbox.try_next().is_some() {}
            it.1.restore_due(now + 60 * SECOND);
            assert!(!it.1.outbox.is_empty(), "{ends:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_gateway_of_which_nothing_is_known_has_a_moment_to_tell_of_itself() {
        let (it, now) = (setup(), Instant::now());
        writes(&it, AVAILABILITY, "offline");
        assert!(returned(&it, now + 4 * SECOND).is_empty());
        assert_eq!(returned(&it, now + 5 * SECOND), [AVAILABILITY]);
    }

    #[test]
    fn an_own_message_that_comes_back_is_overwritten_unless_it_is_told_at_the_start() {
        let it = setup();
        it.1.own_came_back(&it.0, AVAILABILITY, b"offline");
        assert!(it.1.outbox.is_empty());
        it.1.settle(&it.0, Instant::now());
        it.1.own_came_back(&it.0, AVAILABILITY, b"online");
        assert!(it.1.outbox.is_empty());
        it.1.own_came_back(&it.0, AVAILABILITY, b"offline");
        assert!(!it.1.outbox.is_empty());
    }
}
