//! The states that clients see: those of this gateway, and those of rooms that other gateways have.

use std::sync::{Arc, Weak};

use crate::cluster::link::{RoomsElsewhere, Wanted, WantedRooms};
use crate::state::{StateStore, StateValue, Subscriber};

/// Which gateway has a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoomGateway {
    /// There are no other gateways than this one.
    Alone,
    /// No gateway at the moment.
    Nobody,
    /// The one with this name.
    Named(Arc<str>),
}

/// All states, wherever their rooms are.
#[derive(Debug, Clone)]
pub struct ClientStates {
    own: Arc<StateStore>,
    /// The other gateways, if there are any.
    elsewhere: Option<Arc<RoomsElsewhere>>,
}

impl From<Arc<StateStore>> for ClientStates {
    fn from(own: Arc<StateStore>) -> Self {
        let elsewhere = None;
        Self { own, elsewhere }
    }
}

impl ClientStates {
    /// Of a gateway that has others beside it.
    pub fn with(own: Arc<StateStore>, elsewhere: Option<Arc<RoomsElsewhere>>) -> Self {
        Self { own, elsewhere }
    }

    /// The value of a state.
    pub fn get(&self, topic: &str) -> Option<StateValue> {
        match &self.elsewhere {
            Some(elsewhere) => elsewhere.get(topic),
            None => self.own.get(topic),
        }
    }

    /// The names of all topics that start with `prefix`, in order; `""` for all.
    pub fn topics_below(&self, prefix: &str) -> Vec<Arc<str>> {
        match &self.elsewhere {
            Some(elsewhere) => elsewhere.topics_below(prefix),
            None => self.own.topics_below(prefix),
        }
    }

    /// Adds a subscriber. It is removed when its last strong reference is dropped.
    pub fn subscribe(&self, subscriber: Weak<dyn Subscriber>) {
        if let Some(elsewhere) = &self.elsewhere {
            elsewhere.subscribe(subscriber.clone());
        }
        self.own.subscribe(subscriber);
    }

    /// Wants the states of these rooms, which other gateways may have, and waits until they have come.
    /// `None` where there are no other gateways.
    pub async fn want(&self, rooms: WantedRooms) -> Option<Wanted> {
        let elsewhere = self.elsewhere.as_ref()?;
        let wanted = elsewhere.want(rooms);
        elsewhere.arrival(&wanted).await;
        Some(wanted)
    }

    /// Waits until the states of a room have come, if another gateway has it. They are kept up to date for
    /// a little while. False if they did not come in time: what is not known of the room may exist.
    pub async fn fetch(&self, room: &str) -> bool {
        let Some(elsewhere) = &self.elsewhere else {
            return true;
        };
        let room = std::iter::once(Arc::from(room));
        let wanted = elsewhere.want(WantedRooms::These(room.collect()));
        elsewhere.arrival(&wanted).await
    }

    /// Whether a topic is one of this gateway.
    pub fn is_here(&self, topic: &str) -> bool {
        let elsewhere = self.elsewhere.as_ref();
        elsewhere.is_none_or(|elsewhere| elsewhere.is_here(topic))
    }

    /// Which gateway has a room.
    pub fn gateway_of(&self, room: &str) -> RoomGateway {
        match &self.elsewhere {
            None => RoomGateway::Alone,
            Some(elsewhere) => match elsewhere.gateway_of(room) {
                None => RoomGateway::Nobody,
                Some(name) => RoomGateway::Named(name),
            },
        }
    }

    /// Whether rooms may be at other gateways.
    pub fn may_be_elsewhere(&self) -> bool {
        self.elsewhere.is_some()
    }
}
