//! Receives changes from the state store: topics to publish and topics to clear.
//!
//! Owns the door's outbox, the leftovers of earlier runs and what is known of other gateways, and
//! brings them together: a leftover that is to be cleared goes through the outbox like a state, and
//! since the store does not hold it, an empty retained message is published. What another gateway
//! says is in `gateways`, what is published again because somebody else has changed it in `restoring`.
//!
//! The store calls [`Subscriber`]'s methods under its lock. They never call the store.

mod gateways;
mod restoring;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;
use tokio::time::Instant;

use super::incoming::IncomingPublish;
use super::leftovers::{Leftovers, Retained, Unclaimed};
use super::message::Delivery;
use super::other_gateways::{GatewayInfo, OtherGateways};
use super::restores::Restores;
use crate::command::DoorKind;
use crate::gateway_id::GatewayId;
use crate::gateway_id::MessageOwner;
use crate::state::{Change, Outbox, RoomStatus, StateStore, Subscriber};
use crate::telemetry::Telemetry;

/// The door's subscription to the state store.
#[derive(Debug)]
pub struct MqttSubscriber {
    /// What waits to be published.
    pub outbox: Outbox<Delivery>,
    gateway_id: GatewayId,
    leftovers: Mutex<Leftovers>,
    others: Mutex<OtherGateways>,
    may_clear: watch::Sender<bool>,
    /// The broker has told what it holds.
    has_settled: AtomicBool,
    stops: AtomicBool,
    /// This run's `gateway/info` has come back from the broker.
    hears_itself: AtomicBool,
    restores: Mutex<Restores>,
    /// Home Assistant has started: the states of rooms are published again too.
    wanted: AtomicBool,
    telemetry: Arc<Telemetry>,
}

impl MqttSubscriber {
    /// With an empty outbox, without leftovers, and alone.
    pub fn new(gateway_id: GatewayId, telemetry: Arc<Telemetry>) -> Self {
        Self {
            outbox: Outbox::default(),
            gateway_id,
            leftovers: Mutex::default(),
            others: Mutex::default(),
            may_clear: watch::Sender::new(false),
            has_settled: AtomicBool::new(false),
            stops: AtomicBool::new(false),
            hears_itself: AtomicBool::new(false),
            restores: Mutex::default(),
            wanted: AtomicBool::new(false),
            telemetry,
        }
    }

    /// Every update is one statement, so a panic elsewhere cannot leave it half changed.
    fn leftovers(&self) -> MutexGuard<'_, Leftovers> {
        self.leftovers.lock()
    }

    fn restores(&self) -> MutexGuard<'_, Restores> {
        self.restores.lock()
    }

    fn others(&self) -> MutexGuard<'_, OtherGateways> {
        self.others.lock()
    }
}

impl MqttSubscriber {
    /// Whether leftovers may be cleared, now and from now on.
    pub fn may_clear(&self) -> watch::Receiver<bool> {
        self.may_clear.subscribe()
    }

    /// The broker sent a retained message. True if it is a state, of this or an earlier run or of
    /// another gateway, and not a command. Without payload it says that the topic was cleared.
    pub fn retained_arrived(&self, store: &StateStore, incoming: &IncomingPublish<'_>) -> bool {
        let IncomingPublish {
            topic,
            payload,
            owner,
            ..
        } = *incoming;
        let id = incoming.mark.id;
        self.restore(store, topic, payload, owner);
        let Retained::State { room, is_read } = Retained::of(topic) else {
            return store.get(topic).is_some();
        };
        if payload.is_empty() {
            return true;
        }
        let is_configured = store.room(room).is_some();
        match owner {
            MessageOwner::ThisGateway => {
                self.leftover_arrived(store, room, is_read || !is_configured, topic.into());
            }
            MessageOwner::AnotherGateway | MessageOwner::Unknown => {
                self.leftovers().forget(topic);
                if !is_configured {
                    self.leftovers().count(room, id);
                } else if owner == MessageOwner::AnotherGateway && store.get(topic).is_some() {
                    self.taken_over(topic, id, Instant::now());
                }
            }
        }
        true
    }

    /// Whether the states of rooms are to be published again. Asked once, it is done.
    pub fn take_wanted(&self) -> bool {
        self.wanted.swap(false, Ordering::Relaxed)
    }

    /// Remembers the topic first and looks at the store afterwards: what the store tells meanwhile
    /// finds it remembered.
    fn leftover_arrived(
        &self,
        store: &StateStore,
        room: &str,
        goes_when_read: bool,
        topic: Arc<str>,
    ) {
        if goes_when_read {
            self.leftovers().remember(topic.clone());
        } else {
            self.leftovers().keep(topic.clone());
        }
        if store.get(&topic).is_some() {
            self.leftovers().forget(&topic);
            return;
        }
        if !goes_when_read && store.room(room).is_some() {
            return;
        }
        // No guard of the watch is held while the store is locked.
        let may_clear = *self.may_clear.borrow();
        if may_clear && was_read(store, room) && self.leftovers().forget(&topic) {
            self.clear_or_publish(&[topic]);
        }
    }

    /// The broker has told what it holds, and other gateways have had time to answer: clears what
    /// this gateway has left there, unless another process uses its id.
    pub fn settle(&self, store: &StateStore, now: Instant) {
        self.has_settled.store(true, Ordering::Relaxed);
        if self.others().is_there(self.gateway_id.as_str(), now) {
            return;
        }
        let (rooms, unclaimed) = self.leftovers().settle();
        for room in rooms.iter().filter(|room| was_read(store, room)) {
            let topics = self.leftovers().take_room(room);
            self.clear_or_publish(&topics);
        }
        self.may_clear.send_replace(true);
        self.tell_unclaimed(&unclaimed, now);
    }

    /// The broker tells again what it holds: what is nobody's is counted anew. Returns the rooms of which some was
    /// counted.
    pub fn count_unclaimed_anew(&self) -> BTreeSet<String> {
        self.leftovers().count_anew()
    }

    fn tell_unclaimed(&self, unclaimed: &[Unclaimed], now: Instant) {
        let others = self.others();
        let abandoned = unclaimed.iter().filter(|unclaimed| {
            let has_it = |info: &GatewayInfo| {
                info.id == unclaimed.id || info.rooms.contains(&unclaimed.room)
            };
            !others.there(now).any(has_it)
        });
        let rooms: Vec<&str> = abandoned.clone().map(|one| one.room.as_str()).collect();
        let topics = abandoned.map(|one| one.topics).sum();
        if topics > 0 {
            self.telemetry.topics_unclaimed(&rooms, topics);
        }
    }

    /// A state is published now.
    pub fn published(&self, topic: &str) {
        self.leftovers().published(topic);
    }

    /// Whether the topic may be cleared: its newest message is not another gateway's.
    pub fn may_clear_topic(&self, topic: &str) -> bool {
        self.leftovers().may_clear(topic)
    }

    /// A topic that the store does not hold is cleared.
    fn clear_or_publish(&self, topics: &[Arc<str>]) {
        for topic in topics {
            self.outbox.push_state(topic);
        }
    }
}

/// Whether every state of the room has been read, or there is no such room.
fn was_read(store: &StateStore, room: &str) -> bool {
    store.room(room).is_none_or(|status| status.complete)
}

impl Subscriber for MqttSubscriber {
    fn state_changed(&self, topic: &Arc<str>, _: Change) {
        self.leftovers().forget(topic);
        self.outbox.push_state(topic);
    }

    fn state_forgotten(&self, topic: &Arc<str>) {
        self.outbox.forget_state(topic);
    }

    fn event(&self, topic: &Arc<str>, payload: &Bytes) {
        if self.outbox.push_event(topic, payload) {
            self.telemetry.event_dropped(DoorKind::Mqtt);
        }
    }

    fn room_changed(&self, room: &str, status: Option<RoomStatus>) {
        if status.is_none() {
            self.leftovers().room_gone(room);
        }
        if status.is_none_or(|status| status.complete) {
            let topics = self.leftovers().take_room(room);
            self.clear_or_publish(&topics);
        }
    }

    fn repeated(&self) {
        self.wanted.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
