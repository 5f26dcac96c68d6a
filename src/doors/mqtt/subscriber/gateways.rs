//! What other gateways at the same topics say, and what this one does about it.
//!
//! It leaves their rooms alone, warns of them once, says that it is there itself, and takes back what
//! is not about it: an `offline` at once, what another gateway says of itself when that one is gone.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::MqttSubscriber;
use crate::doors::mqtt::incoming::IncomingPublish;
use crate::doors::mqtt::mark::Mark;
use crate::doors::mqtt::other_gateways::GatewayInfo;
use crate::state::StateStore;
use crate::topics::{
    GATEWAY_AVAILABILITY, GATEWAY_INFO, GATEWAY_LOG, OFFLINE, ONLINE, is_below_longer_prefix,
};

impl MqttSubscriber {
    /// The broker sent a message about a gateway.
    pub fn gateway_message(&self, store: &StateStore, incoming: &IncomingPublish<'_>) {
        let IncomingPublish {
            topic,
            payload,
            mark,
            ..
        } = *incoming;
        let is_live = !incoming.has_retain_flag;
        if topic == GATEWAY_LOG {
            // Its own come back too, and say nothing of who is there.
            return;
        }
        let now = Instant::now();
        let own = store.get(topic);
        // Its own messages come back too. They say nothing of another process with its id.
        let is_own = own.as_ref().is_some_and(|own| own.payload == payload);
        if own.is_some()
            && !payload.is_empty()
            && mark.is_of_gateway()
            && mark.id != Some(self.gateway_id.as_str())
        {
            self.taken_over(topic, mark.id, now);
        }
        // What no gateway says: another program has written it.
        let is_of_nobody = !mark.is_of_gateway()
            && match topic {
                GATEWAY_AVAILABILITY => {
                    payload != ONLINE.as_bytes() && payload != OFFLINE.as_bytes()
                }
                GATEWAY_INFO => GatewayInfo::read(payload).is_none(),
                _ => !is_own,
            };
        if is_live && own.is_some() && (payload.is_empty() || is_of_nobody) {
            self.overwritten(topic);
        } else if topic == GATEWAY_INFO && is_own {
            self.hears_itself.fetch_or(is_live, Ordering::Relaxed);
        } else if topic == GATEWAY_INFO {
            if let Some(info) = GatewayInfo::read(payload) {
                self.info_arrived(store, info, is_live, now);
            }
        } else if is_live {
            let says_offline = topic == GATEWAY_AVAILABILITY && payload == OFFLINE.as_bytes();
            let has_own_id = mark.id == Some(self.gateway_id.as_str());
            if !(has_own_id && is_own) {
                self.live_message(mark, says_offline, now);
            }
            // What one gateway says when it goes, or the broker in its place, is not about the
            // others: this one is still there.
            if says_offline && is_online(store) {
                self.outbox.push_state(&Arc::from(GATEWAY_AVAILABILITY));
            }
        }
        self.count_others(now);
    }

    fn live_message(&self, mark: Mark<'_>, says_offline: bool, now: Instant) {
        let id = mark.id.unwrap_or_default();
        if says_offline || mark.stops {
            self.others().stopped(id);
        } else {
            self.others().live_message(id, now);
        }
    }

    /// Whether it tells of this run of this gateway. One that was on its way while the clock was set has another start.
    fn is_own_run(&self, store: &StateStore, info: &GatewayInfo) -> bool {
        let own = store.get(GATEWAY_INFO);
        let own = own.and_then(|own| GatewayInfo::read(&own.payload));
        own.is_none_or(|own| own.started == info.started)
            || self.telemetry.is_own_start(&info.started)
    }

    fn info_arrived(&self, store: &StateStore, info: GatewayInfo, is_live: bool, now: Instant) {
        let has_own_id = info.id == self.gateway_id.as_str();
        if has_own_id && (!is_live || self.is_own_run(store, &info)) {
            self.hears_itself.fetch_or(is_live, Ordering::Relaxed);
            return;
        }
        // The broker has kept it for this session since an earlier run.
        if has_own_id && !self.hears_itself.load(Ordering::Relaxed) {
            return;
        }
        let is_shared = |room: &&String| store.room(room).is_some();
        let shared: Vec<String> = info.rooms.iter().filter(is_shared).cloned().collect();
        let is_first = is_live && self.others().is_first_warning(&info, &shared);
        if is_first && has_own_id {
            self.telemetry.gateway_id_in_use();
        } else if is_first {
            self.telemetry.another_gateway(&info.rooms, &shared);
        }
        if has_own_id {
            self.leftovers().unsettle();
            self.may_clear.send_replace(false);
        }
        if self.others().info_received(info, is_live, now) {
            // It may not have heard of this one.
            self.outbox.push_state(&Arc::from(GATEWAY_INFO));
        }
    }

    /// Counts the gateways that are there, for the metric.
    pub fn count_others(&self, now: Instant) {
        let count = self.others().there(now).count();
        self.telemetry.other_gateways(count);
    }

    /// Whether a command for a room that is not configured here is another gateway's to answer: that
    /// one has the room, or it answers for rooms that nobody has because its id is lower. Also true
    /// of what belongs to a gateway whose prefix begins with `room/`.
    pub fn is_for_another(&self, room: &str, topic: &str) -> bool {
        let now = Instant::now();
        let own_id = self.gateway_id.as_str();
        let others = self.others();
        is_below_longer_prefix(topic)
            || others.has_room(room, now)
            || others.there(now).any(|info| info.id.as_str() < own_id)
    }

    /// Tells the others that this gateway is about to stop.
    pub fn announce_stop(&self) {
        self.stops.store(true, Ordering::Relaxed);
        if self.is_with_others() {
            self.outbox.push_state(&Arc::from(GATEWAY_AVAILABILITY));
        }
    }

    /// This gateway is about to stop, and another one that uses the same topics is not.
    pub fn stops_before_others(&self) -> bool {
        self.stops.load(Ordering::Relaxed) && self.is_with_others()
    }

    fn is_with_others(&self) -> bool {
        self.others().there(Instant::now()).next().is_some()
    }
}

fn is_online(store: &StateStore) -> bool {
    let availability = store.get(GATEWAY_AVAILABILITY);
    availability.is_some_and(|value| value.payload == ONLINE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doors::mqtt::incoming::tests::incoming;
    use crate::gateway_id::{GatewayId, MessageOwner};
    use crate::state::{Item, RoomStatus, StateValue};
    use crate::telemetry::{Sample, Telemetry};
    use crate::topics::{GATEWAY_HEALTH, split_room};

    struct Setup {
        store: Arc<StateStore>,
        door: MqttSubscriber,
        telemetry: Arc<Telemetry>,
        id: GatewayId,
    }

    fn info(id: &str, started: &str, rooms: &str) -> String {
        format!(r#"{{"id":"{id}","started":"{started}","rooms":{rooms}}}"#)
    }

    /// A gateway with room 1 that is online.
    fn setup() -> Setup {
        let (store, telemetry) = (StateStore::new(), Arc::<Telemetry>::default());
        let id = GatewayId::of_client("poly2mqtt");
        store.set_room(&"1".into(), RoomStatus::default());
        store.set(GATEWAY_AVAILABILITY, StateValue::text("online"));
        let own = info(id.as_str(), "own", r#"{"1":null}"#);
        store.set(GATEWAY_INFO, StateValue::text(own));
        Setup {
            door: MqttSubscriber::new(id.clone(), telemetry.clone()),
            store,
            telemetry,
            id,
        }
    }

    impl Setup {
        fn tells(&self, topic: &str, payload: &str, id: Option<&str>, is_live: bool) {
            let message = IncomingPublish {
                has_retain_flag: !is_live,
                ..incoming(topic, payload.as_bytes(), MessageOwner::Unknown, id)
            };
            self.door.gateway_message(&self.store, &message);
        }

        fn waiting(&self) -> Vec<String> {
            let items = std::iter::from_fn(|| self.door.outbox.try_next());
            let items = items.map(|item| match item {
                Item::State(topic) => topic.to_string(),
                other => panic!("{other:?}"),
            });
            items.collect()
        }

        fn others(&self) -> serde_json::Value {
            let sample = Sample {
                broker_connected: Some(true),
                ..Sample::default()
            };
            self.telemetry.health(&sample, 0)["mqtt"]["other_gateways"].clone()
        }
    }

    #[test]
    fn another_gateway_is_answered_once_and_counted() {
        let it = setup();
        let other = info("zz", "now", r#"{"7":null}"#);
        it.tells(GATEWAY_INFO, &other, Some("zz"), false);
        assert!(it.waiting().is_empty() && !it.door.is_with_others());
        it.tells(GATEWAY_INFO, &other, Some("zz"), true);
        it.tells(GATEWAY_INFO, &other, Some("zz"), true);
        assert_eq!(it.waiting(), [GATEWAY_INFO]);
        assert!(it.door.is_with_others());
        assert_eq!(it.others(), 1);
        it.tells(GATEWAY_AVAILABILITY, "offline", Some("zz"), true);
        assert_eq!(it.waiting(), [GATEWAY_AVAILABILITY]);
        assert_eq!(it.others(), 0);
    }

    #[test]
    fn what_this_run_said_before_the_clock_was_set_is_no_other_gateway() {
        let it = setup();
        let own = info(it.id.as_str(), &it.telemetry.started(), r#"{"1":null}"#);
        it.tells(GATEWAY_INFO, &own, Some(it.id.as_str()), true);
        assert_eq!(it.others(), 0);
        let other = info(it.id.as_str(), "1970-01-01T00:01:01Z", r#"{"1":null}"#);
        it.tells(GATEWAY_INFO, &other, Some(it.id.as_str()), true);
        assert_eq!(it.others(), 1);
    }

    #[test]
    fn an_offline_of_anybody_is_taken_back_while_this_one_is_online() {
        let it = setup();
        for id in [None, Some("zz"), Some(it.id.as_str())] {
            it.tells(GATEWAY_AVAILABILITY, "offline", id, true);
            assert_eq!(it.waiting(), [GATEWAY_AVAILABILITY], "{id:?}");
        }
        it.tells(GATEWAY_AVAILABILITY, "offline", None, false);
        it.tells(GATEWAY_AVAILABILITY, "online", Some("zz"), true);
        it.store
            .set(GATEWAY_AVAILABILITY, StateValue::text("offline"));
        it.tells(GATEWAY_AVAILABILITY, "offline", Some("zz"), true);
        assert!(it.waiting().is_empty());
    }

    #[test]
    fn what_another_program_writes_at_a_topic_of_the_gateway_does_not_stay() {
        for topic in [GATEWAY_AVAILABILITY, GATEWAY_INFO, GATEWAY_HEALTH] {
            let it = setup();
            it.store.set(GATEWAY_HEALTH, StateValue::text("{}"));
            it.tells(topic, "99", None, false);
            it.tells(topic, "99", Some("0123456789ab"), true);
            assert!(it.waiting().is_empty(), "{topic}");
            it.tells(topic, "99", None, true);
            assert_eq!(it.waiting(), [topic]);
            // Again within the minute: later.
            it.tells(topic, "99", None, true);
            assert!(it.waiting().is_empty(), "{topic}");
        }
        // Of a program of another kind, at a topic that the gateway does not have.
        let it = setup();
        it.tells("gateway/other", "99", None, true);
        assert!(it.waiting().is_empty());
    }

    #[test]
    fn a_command_for_a_room_of_another_is_left_to_it_and_one_gateway_answers_for_the_rest() {
        let it = setup();
        let is_for_another = |it: &Setup, topic: &str| {
            let (room, _) = split_room(topic).unwrap();
            it.door.is_for_another(room, topic)
        };
        let (theirs, nobodys) = ("room/7/audio/mute", "room/8/audio/mute");
        assert!(!is_for_another(&it, theirs));
        let tell = |id: &str| {
            let other = info(id, "now", r#"{"7":null}"#);
            it.tells(GATEWAY_INFO, &other, Some(id), true);
        };
        tell("zz");
        assert!(is_for_another(&it, theirs) && !is_for_another(&it, nobodys));
        // One with a lower id answers instead.
        tell("");
        assert!(is_for_another(&it, nobodys));
        // The prefix of another gateway may begin with room/.
        let it = setup();
        for topic in [
            "room/x/room/1/audio/mute",
            "room/room/1/audio/mute",
            "room/x/y/gateway/info",
        ] {
            assert!(is_for_another(&it, topic), "{topic}");
        }
        for topic in ["room/x/rooms/1/audio/mute", "room/x/room", nobodys] {
            assert!(!is_for_another(&it, topic), "{topic}");
        }
    }

    #[test]
    fn another_process_with_the_same_id_stops_the_clearing() {
        let it = setup();
        it.door.settle(&it.store, Instant::now());
        let own_id = Some(it.id.as_str());
        let own_run = info(it.id.as_str(), "own", "{}");
        it.tells(GATEWAY_INFO, &own_run, own_id, true);
        let earlier_run = info(it.id.as_str(), "earlier", "{}");
        it.tells(GATEWAY_INFO, &earlier_run, own_id, false);
        assert!(*it.door.may_clear().borrow() && it.waiting().is_empty());
        it.tells(GATEWAY_INFO, &earlier_run, own_id, true);
        assert!(!*it.door.may_clear().borrow());
        it.door.settle(&it.store, Instant::now());
        assert!(!*it.door.may_clear().borrow());
    }

    #[test]
    fn a_gateway_that_is_about_to_stop_counts_no_more() {
        let it = setup();
        let other = info("zz", "now", "{}");
        it.tells(GATEWAY_INFO, &other, Some("zz"), true);
        let stops = IncomingPublish {
            mark: Mark {
                id: Some("zz"),
                stops: true,
            },
            has_retain_flag: false,
            ..incoming(GATEWAY_AVAILABILITY, b"online", MessageOwner::Unknown, None)
        };
        it.door.gateway_message(&it.store, &stops);
        assert!(!it.door.is_with_others());
        it.waiting();
        it.door.announce_stop();
        assert!(!it.door.stops_before_others() && it.waiting().is_empty());
    }
}
