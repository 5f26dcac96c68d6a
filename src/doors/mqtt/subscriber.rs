//! Receives changes from the state store: topics to publish and topics to clear.
//!
//! Owns the door's outbox and the leftovers of earlier runs, and brings the two together: a
//! leftover that is to be cleared goes through the outbox like a state, and since the store does
//! not hold it, an empty retained message is published.
//!
//! The store calls [`Subscriber`]'s methods under its lock. They never call the store.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::leftovers::{Leftovers, Retained};
use super::message::Delivery;
use crate::command::DoorKind;
use crate::state::{Change, Outbox, RoomStatus, StateStore, Subscriber};
use crate::telemetry::Telemetry;

/// The door's subscription to the state store.
#[derive(Debug)]
pub struct MqttSubscriber {
    /// What waits to be published.
    pub outbox: Outbox<Delivery>,
    leftovers: Mutex<Leftovers>,
    telemetry: Arc<Telemetry>,
}

impl MqttSubscriber {
    /// With an empty outbox, and without leftovers.
    pub fn new(telemetry: Arc<Telemetry>) -> Self {
        Self {
            outbox: Outbox::default(),
            leftovers: Mutex::default(),
            telemetry,
        }
    }

    /// Every update is one statement, so a panic elsewhere cannot leave it half changed.
    fn leftovers(&self) -> MutexGuard<'_, Leftovers> {
        self.leftovers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The broker sent a retained message. True if it is a state, of this or an earlier run or of
    /// another gateway, and not a command. Without payload it says that the topic was cleared.
    pub fn retained_arrived(&self, store: &StateStore, topic: &str, payload: &[u8]) -> bool {
        match Retained::of(topic) {
            Retained::GatewayInfo | Retained::State { .. } if payload.is_empty() => true,
            Retained::GatewayInfo => {
                let is_configured = |room: &str| store.room(room).is_some();
                let listed = self.leftovers().earlier_info(payload, is_configured);
                self.clear(&listed);
                true
            }
            Retained::State { room, is_read } => {
                if is_read || store.room(room).is_none() {
                    self.leftover_arrived(store, room, topic.into());
                }
                true
            }
            Retained::Other => store.get(topic).is_some(),
        }
    }

    /// Remembers the topic first and looks at the store afterwards: what the store tells meanwhile
    /// finds it remembered.
    fn leftover_arrived(&self, store: &StateStore, room: &str, topic: Arc<str>) {
        self.leftovers().remember(topic.clone());
        if store.get(&topic).is_some() {
            self.leftovers().forget(&topic);
            return;
        }
        let clear_now = match store.room(room) {
            Some(status) => status.complete,
            None => self.leftovers().is_former_room(room),
        };
        if clear_now && self.leftovers().forget(&topic) {
            self.clear(&[topic]);
        }
    }

    fn clear(&self, topics: &[Arc<str>]) {
        for topic in topics {
            self.outbox.push_state(topic);
        }
    }
}

impl Subscriber for MqttSubscriber {
    fn state_changed(&self, topic: &Arc<str>, _: Change) {
        self.leftovers().forget(topic);
        self.outbox.push_state(topic);
    }

    fn event(&self, topic: &Arc<str>, payload: &Bytes) {
        if self.outbox.push_event(topic, payload) {
            self.telemetry.event_dropped(DoorKind::Mqtt);
        }
    }

    fn room_changed(&self, room: &str, status: Option<RoomStatus>) {
        if status.is_none_or(|status| status.complete) {
            let topics = self.leftovers().take_room(room);
            self.clear(&topics);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Item, StateValue};

    fn setup() -> (Arc<StateStore>, Arc<MqttSubscriber>) {
        let store = StateStore::new();
        let door = Arc::new(MqttSubscriber::new(Arc::default()));
        let subscriber: Arc<dyn Subscriber> = door.clone();
        store.subscribe(Arc::downgrade(&subscriber));
        (store, door)
    }

    fn waiting(door: &MqttSubscriber) -> Vec<String> {
        let items = std::iter::from_fn(|| door.outbox.try_next());
        items
            .map(|item| match item {
                Item::State(topic) => topic.to_string(),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    const VOLUME: &str = "room/1/audio/volume";
    const COMPLETE: RoomStatus = RoomStatus {
        online: true,
        known: true,
        complete: true,
    };

    #[test]
    fn a_leftover_is_cleared_when_its_room_has_been_read() {
        let (store, door) = setup();
        let room: Arc<str> = "1".into();
        store.set_room(&room, RoomStatus::default());
        assert!(door.retained_arrived(&store, VOLUME, b"5"));
        assert!(door.retained_arrived(&store, "room/1/audio/muted", b"true"));
        assert!(door.retained_arrived(&store, "room/1/availability", b"online"));
        assert!(waiting(&door).is_empty());
        store.set("room/1/audio/muted", StateValue::text("true"));
        assert_eq!(waiting(&door), ["room/1/audio/muted"]);
        store.set_room(&room, COMPLETE);
        assert_eq!(waiting(&door), [VOLUME]);
        // One that arrives later is cleared at once; one that is set stays.
        assert!(door.retained_arrived(&store, VOLUME, b"5"));
        assert!(door.retained_arrived(&store, "room/1/audio/muted", b"false"));
        assert_eq!(waiting(&door), [VOLUME]);
    }

    #[test]
    fn a_removed_room_leaves_nothing() {
        let (store, door) = setup();
        store.set_room(&"1".into(), RoomStatus::default());
        assert!(door.retained_arrived(&store, VOLUME, b"5"));
        store.remove_room("1");
        assert_eq!(waiting(&door), [VOLUME]);
    }

    #[test]
    fn a_room_of_an_earlier_run_is_cleared_whichever_message_comes_first() {
        let (store, door) = setup();
        store.set_room(&"1".into(), RoomStatus::default());
        let info = br#"{"rooms": {"1": null, "7": null}}"#;
        assert!(door.retained_arrived(&store, "room/7/audio/volume", b"5"));
        assert!(door.retained_arrived(&store, "room/8/audio/volume", b"5"));
        assert!(waiting(&door).is_empty());
        assert!(door.retained_arrived(&store, "gateway/info", info));
        assert!(door.retained_arrived(&store, "room/7/availability", b"online"));
        assert!(door.retained_arrived(&store, "room/8/availability", b"online"));
        assert_eq!(
            waiting(&door),
            ["room/7/audio/volume", "room/7/availability"]
        );
    }

    #[test]
    fn a_state_that_is_cleared_is_no_leftover() {
        let (store, door) = setup();
        store.set_room(&"1".into(), COMPLETE);
        assert!(door.retained_arrived(&store, VOLUME, b""));
        assert!(door.retained_arrived(&store, "gateway/info", b""));
        assert!(waiting(&door).is_empty());
    }

    #[test]
    fn a_command_is_no_leftover() {
        let (store, door) = setup();
        assert!(!door.retained_arrived(&store, "room/1/audio/mute", b""));
        assert!(!door.retained_arrived(&store, "room/1/audio/volume/set", b"5"));
        assert!(!door.retained_arrived(&store, "room/1/no/such/state", b"5"));
    }
}
