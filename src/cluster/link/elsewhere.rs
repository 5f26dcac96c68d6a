//! The states of rooms that other gateways have, as far as clients of this one want them.
//!
//! Owns a state store of its own: what comes over links never gets into the one that is published at the broker.
//! Of every room it has availability and problem; all states of those that a client wants, from the member that
//! has the room at the moment. Says for each topic which of the two stores counts.

mod known;

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use super::links::Links;
use super::peer::Link;
use super::{HOLDERS_LOOK_INTERVAL, Holder, RoomHolders};
use crate::clock::utc_now;
use crate::device::{Problem, ProblemCode};
use crate::state::{Change, RoomStatus, StateStore, StateValue, Subscriber};
use crate::topics::{OFFLINE, RoomTopics, Topic, is_about_availability};
use known::{KnownRooms, StatesAction};

/// How long a client waits for the states of a room that it asked for. The owner sends them within
/// milliseconds. Without an answer a subscriber gets them when they come, and what is asked for over HTTP is answered
/// `timeout`, unless it is known.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(2);
/// While many rooms arrive, whether all have is looked at this often.
const ARRIVAL_LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// How often the rooms are looked at that nobody wants any more, or whose owner cannot be reached.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(1);

/// The states of rooms elsewhere.
#[derive(Debug)]
pub struct RoomsElsewhere {
    /// This gateway's own name.
    name: Arc<str>,
    holders: Arc<dyn RoomHolders>,
    links: Arc<Links>,
    /// The states of the rooms of this gateway.
    own: Arc<StateStore>,
    /// Those of the others.
    store: Arc<StateStore>,
    /// Never held while a store is called: the stores call [`Subscriber`]s under their own locks.
    rooms: Mutex<KnownRooms>,
    /// Changes when the states of a room have arrived.
    arrived: watch::Sender<()>,
    /// A room of this gateway has read all its states.
    completed: Notify,
}

/// Which rooms a client wants all states of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WantedRooms {
    /// All that there are.
    All,
    /// These.
    These(BTreeSet<Arc<str>>),
}

/// While this lives, these rooms are wanted.
#[derive(Debug)]
pub struct Wanted {
    elsewhere: Arc<RoomsElsewhere>,
    rooms: WantedRooms,
}

impl Drop for Wanted {
    fn drop(&mut self) {
        self.elsewhere
            .rooms
            .lock()
            .unwant(&self.rooms, Instant::now());
    }
}

impl RoomsElsewhere {
    /// Knows nothing yet.
    pub fn new(
        name: Arc<str>,
        holders: Arc<dyn RoomHolders>,
        own: &Arc<StateStore>,
        links: Arc<Links>,
    ) -> Arc<Self> {
        let elsewhere = Arc::new(Self {
            name,
            holders,
            links,
            own: own.clone(),
            store: StateStore::new(),
            rooms: Mutex::default(),
            arrived: watch::Sender::new(()),
            completed: Notify::new(),
        });
        let subscriber: Arc<dyn Subscriber> = elsewhere.clone();
        own.subscribe(Arc::downgrade(&subscriber));
        elsewhere.refresh();
        elsewhere
    }

    /// Keeps up with who has which room, until the cluster ends.
    pub async fn follow(self: Arc<Self>) {
        let (mut holders, mut links) = (self.holders.changed(), self.links.changed());
        loop {
            self.refresh();
            self.forget_completed();
            sleep(HOLDERS_LOOK_INTERVAL).await;
            tokio::select! {
                changed = holders.changed() => if changed.is_err() { return },
                changed = links.changed() => match changed {
                    Ok(()) => self.rooms.lock().look = 0,
                    Err(_) => return,
                },
                () = self.completed.notified() => {}
                () = sleep(UPKEEP_INTERVAL) => self.upkeep(),
            }
        }
    }

    /// Takes over who has which room, of those that may have changed hands.
    pub(super) fn refresh(&self) {
        let look = self.rooms.lock().look;
        let changed = self.holders.changed_since(look);
        self.rooms.lock().look = changed.look;
        for room in &changed.rooms {
            let holder = self.holders.holder(room);
            let mut known = self.rooms.lock();
            let actions = known.set_holder(room, holder, &self.links, Instant::now());
            drop(known);
            self.carry_out(room, actions);
        }
        if changed.are_all {
            let rooms: HashSet<Arc<str>> = changed.rooms.into_iter().collect();
            let gone = self.rooms.lock().remove_others(&rooms);
            for room in gone {
                self.store.remove_room(&room);
            }
        }
        self.tell_arrival();
    }

    fn carry_out(&self, room: &Arc<str>, actions: Vec<StatesAction>) {
        let topics = RoomTopics::new(room);
        for action in actions {
            match action {
                StatesAction::TakeOverOwn { all } => {
                    let mut values = Vec::new();
                    for topic in self.own.topics_below(&topics.start()) {
                        if (all || is_about_availability(&topic))
                            && let Some(value) = self.own.get(&topic)
                        {
                            values.push((topic, value));
                        }
                    }
                    self.store.insert_quietly(values);
                }
                StatesAction::TellAvailability => {
                    for topic in [topics.problem(), topics.availability()] {
                        let own = self.own.get(&topic);
                        if own.is_some() && own != self.store.get(&topic) {
                            self.store.repeat_topic(&topic);
                        }
                    }
                }
                StatesAction::NoOwner(why) => tell_no_owner(&self.store, room, &why),
            }
        }
    }

    /// Gives up what nobody wants, and says so where an owner cannot be reached.
    fn upkeep(&self) {
        let now = Instant::now();
        let due = self.rooms.lock().upkeep(now, &self.links);
        for room in due.idle {
            self.forget_states(&room);
        }
        if due.unreachable.is_empty() {
            return;
        }
        for (room, why) in due.unreachable {
            tell_no_owner(&self.store, &room, &why);
        }
        self.tell_arrival();
    }

    /// Forgets all states of a room but those about its availability. Nobody is told, since nobody wants them.
    fn forget_states(&self, room: &str) {
        let values = self.store.take_room_quietly(room);
        let kept = values
            .into_iter()
            .filter(|(topic, _)| is_about_availability(topic));
        self.store.insert_quietly(kept.collect());
    }

    /// The rooms that came to this gateway and have read all their states: only these count from now on.
    fn forget_completed(&self) {
        let completed = self.rooms.lock().take_completed();
        for (room, told) in completed {
            for (topic, value) in self.store.take_room_quietly(&room) {
                let is_other = self.own.get(&topic).as_ref() != Some(&value);
                if is_other && !told.contains(&topic) && !is_about_availability(&topic) {
                    self.store.clear_everywhere(&topic);
                }
            }
        }
    }

    fn tell_arrival(&self) {
        self.arrived.send_replace(());
    }
}

/// What the links bring.
impl RoomsElsewhere {
    /// A link is connected, and will bring everything anew.
    pub fn link_up(&self, link: &Arc<Link>) {
        self.rooms.lock().expect_all_of(link);
    }

    /// A state of a room has this value; `None`: it was cleared.
    pub fn state(&self, link: &Arc<Link>, topic: &str, value: Option<StateValue>) {
        let Some(room) = Topic::parse(topic).and_then(|topic| topic.room()) else {
            return;
        };
        if !self.rooms.lock().received(room, link, topic) {
            return;
        }
        match value {
            Some(value) => self.store.set(topic, value),
            None => self.store.clear(topic),
        };
    }

    /// An event of a room.
    pub fn event(&self, link: &Arc<Link>, topic: &str, payload: Bytes) {
        let room = Topic::parse(topic).and_then(|topic| topic.room());
        if room.is_some_and(|room| self.rooms.lock().is_from(room, link)) {
            self.store.event(topic, payload);
        }
    }

    /// All states of a room that the question with this number asked for have come. If they are complete, the room
    /// has no others.
    pub fn all_sent(&self, link: &Arc<Link>, room: &str, complete: bool, number: Option<u64>) {
        let received = self.rooms.lock().all_sent(room, link, complete, number);
        if let Some(received) = received {
            for topic in self.store.topics_below(&RoomTopics::new(room).start()) {
                if !received.contains(&*topic) {
                    self.store.clear(&topic);
                }
            }
        }
        self.tell_arrival();
    }
}

/// What clients read.
impl RoomsElsewhere {
    /// From now on all states of these rooms are wanted.
    pub fn want(self: &Arc<Self>, rooms: WantedRooms) -> Wanted {
        self.rooms.lock().want(&rooms, &self.links);
        Wanted {
            elsewhere: self.clone(),
            rooms,
        }
    }

    /// Waits until the states of wanted rooms have come, but not for ever: false if some have not.
    pub async fn arrival(&self, wanted: &Wanted) -> bool {
        let mut arrived = self.arrived.subscribe();
        let arrival = async {
            while !self.rooms.lock().have_arrived(&wanted.rooms) {
                if arrived.changed().await.is_err() {
                    return;
                }
                if wanted.rooms == WantedRooms::All {
                    sleep(ARRIVAL_LOOK_INTERVAL).await;
                }
            }
        };
        timeout(SNAPSHOT_TIMEOUT, arrival).await.is_ok()
    }

    /// The value of a state, of any room and of the gateway.
    pub fn get(&self, topic: &str) -> Option<StateValue> {
        let room = Topic::parse(topic).and_then(|topic| topic.room());
        let is_own = match room.map(|room| self.rooms.lock().source_of(room, topic)) {
            None | Some(Reads::Own) => true,
            Some(Reads::Elsewhere) => false,
            Some(Reads::ElsewhereFirst) => self.store.get(topic).is_none(),
            Some(Reads::OwnFirst) => self.own.get(topic).is_some(),
        };
        if is_own {
            self.own.get(topic)
        } else {
            self.store.get(topic)
        }
    }

    /// The names of all topics that start with `prefix`, in order.
    pub fn topics_below(&self, prefix: &str) -> Vec<Arc<str>> {
        let mut topics = self.own.topics_below(prefix);
        let other = self.store.topics_below(prefix);
        let rooms = self.rooms.lock();
        let reads = |topic: &str| {
            let room = Topic::parse(topic).and_then(|topic| topic.room());
            room.map_or(Reads::Own, |room| rooms.source_of(room, topic))
        };
        topics.retain(|topic| reads(topic) != Reads::Elsewhere);
        topics.extend(other.into_iter().filter(|topic| reads(topic) != Reads::Own));
        drop(rooms);
        topics.sort_unstable();
        topics.dedup();
        topics
    }

    /// Whether a topic is one of this gateway.
    pub fn is_here(&self, topic: &str) -> bool {
        let room = Topic::parse(topic).and_then(|topic| topic.room());
        room.is_none_or(|room| self.rooms.lock().source_of(room, topic) == Reads::Own)
    }

    /// The name of the gateway that has a room; `None` if no gateway has it at the moment. A room that is not
    /// shared is this gateway's.
    pub fn gateway_of(&self, room: &str) -> Option<Arc<str>> {
        match self.holders.holder(room) {
            Holder::Me | Holder::NotShared => Some(self.name.clone()),
            Holder::Member(member) => Some(member.name),
            Holder::Moving | Holder::Nobody(_) => None,
        }
    }

    /// Adds a subscriber to the states of rooms elsewhere.
    pub fn subscribe(&self, subscriber: Weak<dyn Subscriber>) {
        self.store.subscribe(subscriber);
    }
}

/// Which store a topic is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reads {
    /// That of this gateway.
    Own,
    /// That of rooms elsewhere.
    Elsewhere,
    /// The room has just come here: what this gateway has, if it has anything.
    OwnFirst,
    /// The room has just come here, and this state has not been read anew.
    ElsewhereFirst,
}

/// Writes that a room is in nobody's hands, as far as this gateway can tell, and why.
pub fn tell_no_owner(store: &StateStore, room: &str, why: &str) {
    let topics = RoomTopics::new(room);
    let problem = Problem {
        code: ProblemCode::NoOwner,
        message: why.to_owned(),
    };
    let problem = problem.to_json(&utc_now());
    store.set(&topics.problem(), StateValue::text(problem.to_string()));
    store.set(&topics.availability(), StateValue::text(OFFLINE));
}

/// Watches the rooms of this gateway, to know what is read of those that have just come.
impl Subscriber for RoomsElsewhere {
    fn state_changed(&self, topic: &Arc<str>, _: Change) {
        if let Some(room) = Topic::parse(topic).and_then(|topic| topic.room()) {
            self.rooms.lock().own_changed(room, topic);
        }
    }

    fn event(&self, _: &Arc<str>, _: &Bytes) {}

    fn room_changed(&self, room: &str, status: Option<RoomStatus>) {
        let is_complete = status.is_some_and(|status| status.complete);
        if is_complete && self.rooms.lock().own_complete(room) {
            self.completed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
