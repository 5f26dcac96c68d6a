//! The rooms that several gateways share at one broker: which of them this gateway subscribes to, and in which role.
//!
//! [`SharedRooms`] is the whole boundary: who places the rooms calls it, and the door does what follows at
//! the broker. Knows neither who decides nor how the gateways know each other.
//!
//! `arbiter` decides who carries out what, `subscribed_room` is what it knows of one room, `memory` holds what a deputy
//! has received, `room_filters` what is subscribed to, `retained_states` what need not be published again, `messages`
//! what gateways tell each other at the broker. The door's side is `receive/shared.rs` and `connection/sharing.rs`.
//! `docs/decisions/commands-in-the-gap.md` says why.

pub(super) mod arbiter;
pub(super) mod memory;
pub(super) mod messages;
pub(super) mod retained_states;
pub(super) mod room_filters;
mod subscribed_room;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use rumqttc::v5::mqttbytes::v5::Publish;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::message::Delivery;
use super::receive::SharedCommand;
use arbiter::{CommandArbiter, Revision, Term};
use messages::CommandId;
use retained_states::RetainedStates;
use room_filters::{FilterPace, RoomFilters};

pub use arbiter::{Arrival, RoomRole};
pub use room_filters::RefusedRoom;

/// What the door asks of whoever places the rooms. Asked for each command, so the answer must be at hand.
pub trait SharingRules: Send + Sync {
    /// Whether requests to devices may begin now. While they may not, commands wait: either that passes, or
    /// another gateway takes the rooms.
    fn may_act(&self) -> bool;

    /// How old a command of this room may get.
    fn max_command_age(&self, room: &str) -> Duration;

    /// Whether any gateway has this room in its configuration. What is left of another room at the broker is cleared.
    fn is_configured(&self, room: &str) -> bool;

    /// The rooms that all gateways have in their configurations, as a digest; none while they have not the same, or
    /// while that is not known.
    fn agreed_rooms(&self) -> Option<String>;

    /// The rooms that this gateway has in its configuration.
    fn configured(&self) -> Vec<Arc<str>>;
}

/// The rooms that this gateway shares with others.
///
/// Every method takes effect at once: a command that the broker delivers after it is treated accordingly.
pub struct SharedRooms {
    name: String,
    rules: Arc<dyn SharingRules>,
    inner: Mutex<Inner>,
    /// The last lock that is taken: nothing else is locked while it is held.
    retained: Mutex<RetainedStates>,
    /// The door has something to do.
    pub(super) changed: Notify,
    /// States wait for what the broker tells, or can be asked for now.
    pub(super) states_wait: Notify,
    /// Grants have changed.
    grants: watch::Sender<()>,
    /// What [`SharedRooms::documents`] or [`SharedRooms::speaks`] answers may have changed.
    documents: watch::Sender<()>,
}

/// A room's document has 37 KB. The broker puts those that it is asked for before the commands that come after, so it
/// is asked for half a megabyte at a time: for 160 rooms a second.
const PACE_OF_DOCUMENTS: FilterPace = FilterPace {
    filters_a_packet: 16,
    pause: Duration::from_millis(100),
};

#[derive(Default)]
pub(super) struct Inner {
    pub arbiter: CommandArbiter<SharedCommand, Delivery>,
    pub filters: RoomFilters,
    /// The filters of the documents that Home Assistant gets of own rooms.
    pub documents: RoomFilters,
    /// This gateway says what is about all of them.
    speaks: bool,
    /// Rooms for which this gateway publishes although it does not run them.
    spoken_for: BTreeSet<Arc<str>>,
    /// Retained messages of own rooms that are no states: commands, perhaps.
    pub found: Vec<Publish>,
}

impl fmt::Debug for SharedRooms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedRooms")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl SharedRooms {
    /// Subscribes to no room yet. `name` is this gateway's among the others: a level of topics.
    pub fn new(name: impl Into<String>, rules: Arc<dyn SharingRules>) -> Arc<Self> {
        let inner = Inner {
            documents: RoomFilters::paced(PACE_OF_DOCUMENTS),
            ..Inner::default()
        };
        Arc::new(Self {
            name: name.into(),
            rules,
            inner: Mutex::new(inner),
            retained: Mutex::default(),
            changed: Notify::new(),
            states_wait: Notify::new(),
            grants: watch::Sender::new(()),
            documents: watch::Sender::new(()),
        })
    }

    /// This gateway's name among the others.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn rules(&self) -> &dyn SharingRules {
        &*self.rules
    }

    /// What is changed under the lock is changed by one call, so a panic elsewhere cannot leave it half done.
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    fn change<'a>(
        &self,
        rooms: impl IntoIterator<Item = &'a Arc<str>>,
        change: impl Fn(&mut Inner, &Arc<str>),
    ) {
        let mut inner = self.lock();
        for room in rooms {
            change(&mut inner, room);
            self.follow(&mut inner, room);
        }
        drop(inner);
        self.documents_changed();
        self.changed.notify_one();
    }

    /// Subscribes to the rooms of the arbiter, and to nothing else.
    pub(super) fn follow(&self, inner: &mut Inner, room: &Arc<str>) {
        let role = inner.arbiter.role(room);
        match role {
            Some(_) => inner.filters.want(room),
            None => inner.filters.give_up(room),
        }
        match role {
            Some(RoomRole::Owner) => inner.documents.want(room),
            _ => inner.documents.give_up(room),
        }
        match role {
            Some(RoomRole::Owner) => self.retained().own(room),
            Some(RoomRole::Leaving) => {}
            _ => self.retained().disown(room),
        }
    }

    pub(super) fn documents_changed(&self) {
        self.documents.send_replace(());
    }
}

/// What the publisher of Home Assistant's documents asks.
impl SharedRooms {
    /// The rooms that this gateway has, each with whether the broker has answered the filter of its document.
    pub fn documents(&self) -> BTreeMap<Arc<str>, bool> {
        let inner = self.lock();
        let own = (inner.arbiter.roles()).filter(|(_, role)| *role == RoomRole::Owner);
        own.map(|(room, _)| {
            let documents = &inner.documents;
            let is_answered = documents.is_granted(room) || documents.refusal(room).is_some();
            (room.clone(), is_answered)
        })
        .collect()
    }

    /// Whether this gateway says what is about all of them.
    pub fn speaks(&self) -> bool {
        self.lock().speaks
    }

    /// Changes whenever one of these answers may have changed.
    pub fn document_changes(&self) -> watch::Receiver<()> {
        self.documents.subscribe()
    }
}

/// What the cluster's follower says, which places the rooms.
impl SharedRooms {
    /// These rooms are another gateway's, and this one is the next: it receives their commands and remembers them.
    pub fn deputize<'a>(&self, rooms: impl IntoIterator<Item = &'a Arc<str>>) {
        let now = Instant::now();
        self.change(rooms, |inner, room| inner.arbiter.deputize(room, now));
    }

    /// This gateway has nothing more to do with these rooms. The ones that are leaving stay subscribed until they
    /// have left.
    pub fn unsubscribe<'a>(&self, rooms: impl IntoIterator<Item = &'a Arc<str>>) {
        self.change(rooms, |inner, room| inner.arbiter.unsubscribe(room));
    }

    /// These rooms are this gateway's: from now on those that are new or taken over, the others from its marker on.
    /// Rooms that are handed over should be granted before ([`SharedRooms::granted`]).
    ///
    /// `revision` is greater than that of every earlier owner of these rooms.
    pub fn arrive<'a>(
        &self,
        rooms: impl IntoIterator<Item = &'a Arc<str>>,
        arrival: Arrival,
        revision: Revision,
    ) {
        self.change(rooms, |inner, room| {
            inner.arbiter.arrive(room, arrival, revision);
        });
    }

    /// These rooms are about to move to another gateway. New commands are held from now on; what has begun is
    /// finished by the caller, who calls [`SharedRooms::released`] then. Only of rooms that have arrived
    /// ([`SharedRooms::established`]).
    pub fn hold<'a>(&self, rooms: impl IntoIterator<Item = &'a Arc<str>>) {
        self.change(rooms, |inner, room| inner.arbiter.hold(room));
    }

    /// The rooms can be taken by the next owner. Its marker decides which commands are whose; until it comes they are
    /// passed on, from two seconds on.
    pub fn released<'a>(&self, rooms: impl IntoIterator<Item = &'a Arc<str>>) {
        let now = Instant::now();
        self.change(rooms, |inner, room| inner.arbiter.released(room, now));
    }

    /// The rooms stay after all: they were held, and not released.
    pub fn keep<'a>(&self, rooms: impl IntoIterator<Item = &'a Arc<str>>) {
        self.change(rooms, |inner, room| inner.arbiter.keep(room));
    }

    /// This gateway may not touch these rooms any more, and does not know who may. If nobody takes them within
    /// five seconds, it answers their commands with `offline`.
    pub fn lose<'a>(&self, rooms: impl IntoIterator<Item = &'a Arc<str>>) {
        let now = Instant::now();
        self.change(rooms, |inner, room| inner.arbiter.lose(room, now));
    }

    /// Nobody has these rooms, and this gateway is the one that says so: it answers their commands with `offline`
    /// within five seconds. `revision` as for [`SharedRooms::arrive`].
    pub fn answer_for<'a>(
        &self,
        rooms: impl IntoIterator<Item = &'a Arc<str>>,
        revision: Revision,
    ) {
        let now = Instant::now();
        self.change(rooms, |inner, room| {
            inner.arbiter.arrive(room, Arrival::New, revision);
            inner.arbiter.lose(room, now);
        });
    }

    /// This gateway publishes states of these rooms although it has none of them, such as that nobody has them;
    /// no others any more.
    pub fn speak_for(&self, rooms: impl IntoIterator<Item = Arc<str>>) {
        self.lock().spoken_for = rooms.into_iter().collect();
    }

    /// This gateway says what is about all of them, or another one does.
    pub fn speak(&self, speaks: bool) {
        let before = std::mem::replace(&mut self.lock().speaks, speaks);
        if before != speaks {
            self.documents_changed();
        }
    }

    /// What this gateway is for a room; `None` if it is not subscribed to it.
    pub fn role(&self, room: &str) -> Option<RoomRole> {
        self.lock().arbiter.role(room)
    }

    /// Whether the broker delivers the commands of this room.
    pub fn is_granted(&self, room: &str) -> bool {
        self.lock().filters.is_granted(room)
    }

    /// Waits until the broker delivers the commands of all these rooms, or refuses to. Gives those that it refuses.
    /// Waits for a connection, so it needs a time limit. A room that is not subscribed to is passed over.
    pub async fn granted(&self, rooms: &[Arc<str>]) -> Vec<RefusedRoom> {
        let mut grants = self.grants.subscribe();
        loop {
            grants.borrow_and_update();
            if let Some(refused) = self.answers(rooms) {
                return refused;
            }
            if grants.changed().await.is_err() {
                return Vec::new();
            }
        }
    }

    /// `None` while some are not answered.
    fn answers(&self, rooms: &[Arc<str>]) -> Option<Vec<RefusedRoom>> {
        let inner = self.lock();
        let subscribed = rooms
            .iter()
            .filter(|room| inner.arbiter.role(room).is_some());
        let mut refused = Vec::new();
        for room in subscribed.filter(|room| !inner.filters.is_granted(room)) {
            let reason = inner.filters.refusal(room)?.to_owned();
            let room = room.clone();
            refused.push(RefusedRoom { room, reason });
        }
        Some(refused)
    }

    /// Waits until this gateway is the owner of all these rooms in every gateway's eyes: its own marker has come back.
    /// Eleven seconds after the marker was sent it counts as if it had. Without a connection to the broker nothing
    /// comes back, so this needs a time limit too.
    pub async fn established(&self, rooms: &[Arc<str>]) {
        let mut grants = self.grants.subscribe();
        loop {
            grants.borrow_and_update();
            if self.are_established(rooms) || grants.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits until no room is on its way to another gateway any more: its next owner's marker has come, or did not in
    /// time. Needs a connection to the broker, so a time limit too.
    pub async fn all_left(&self) {
        let mut grants = self.grants.subscribe();
        loop {
            grants.borrow_and_update();
            let is_leaving = |(_, role)| role == RoomRole::Leaving;
            let leaving = self.lock().arbiter.roles().any(is_leaving);
            if !leaving || grants.changed().await.is_err() {
                return;
            }
        }
    }

    fn are_established(&self, rooms: &[Arc<str>]) -> bool {
        let inner = self.lock();
        let mut rooms = rooms.iter();
        rooms.all(|room| inner.arbiter.is_established(room))
    }

    /// Changes whenever grants do, and whenever a marker came.
    pub fn grants(&self) -> watch::Receiver<()> {
        self.grants.subscribe()
    }

    /// How many commands of others' rooms are remembered, and how many were forgotten since the start because there
    /// were too many.
    pub fn remembered(&self) -> (usize, u64) {
        self.lock().arbiter.remembered()
    }
}

/// For the door.
impl SharedRooms {
    /// A command has its result; the room was this gateway's in this term when it was carried out. `settled` is its id
    /// if a dead owner may have carried it out before.
    pub(super) fn answered(&self, term: Term, settled: Option<CommandId>, delivery: Delivery) {
        let (is_open, now) = (self.rules.may_act(), Instant::now());
        let room = delivery.outcome.room.clone();
        let mut inner = self.lock();
        let arbiter = &mut inner.arbiter;
        arbiter.answered(&room, (term, settled), delivery, is_open, now);
        drop(inner);
        self.changed.notify_one();
    }

    /// A command has its result that was passed on to another gateway, or carried out for one.
    pub(super) fn answered_for_other(&self, id: CommandId, delivery: Delivery) {
        let room = delivery.outcome.room.clone();
        let mut inner = self.lock();
        inner.arbiter.answered_for_other(&room, id, delivery);
        drop(inner);
        self.changed.notify_one();
    }

    pub(super) fn grants_changed(&self) {
        self.grants.send_replace(());
    }

    /// Whether the commands of every own room arrive. Asked for each packet, so it looks at no single subscription.
    pub(super) fn receives_own_rooms(&self) -> bool {
        let inner = self.lock();
        let is_own = |room| inner.arbiter.role(room) == Some(RoomRole::Owner);
        // What is neither asked for nor refused is granted.
        inner.filters.is_settled() && !inner.filters.refused().any(is_own)
    }

    /// What is known of the states that the broker holds. To be held for a moment only, and nothing else is locked in
    /// it.
    pub(super) fn retained(&self) -> MutexGuard<'_, RetainedStates> {
        self.retained.lock()
    }

    /// Some rooms whose states wait for what the broker tells. None that are not subscribed to yet: what others publish
    /// after the broker has told must arrive.
    pub(super) fn next_untold_rooms(&self, count: usize) -> Vec<Arc<str>> {
        let inner = self.lock();
        let filters = &inner.filters;
        let is_answered =
            |room: &Arc<str>| filters.is_granted(room) || filters.refusal(room).is_some();
        self.retained().next_rooms(count, is_answered)
    }

    /// The broker retains these messages of own rooms, which are no states.
    pub(super) fn found_retained(&self, found: Vec<Publish>) {
        if !found.is_empty() {
            self.lock().found.extend(found);
            self.changed.notify_one();
        }
    }

    /// Whether this gateway publishes the states of this room.
    pub fn publishes_states(&self, room: &str) -> bool {
        let inner = self.lock();
        inner.arbiter.publishes_states(room) || inner.spoken_for.contains(room)
    }

    /// Whether this gateway publishes the events of this room: those that it has seen before the room left too.
    pub(super) fn publishes_events(&self, room: &str) -> bool {
        let role = self.role(room);
        role.is_some_and(|role| role != RoomRole::Deputy)
    }

    /// Whether it is the owner, so that what others publish of the room's states is wrong.
    pub(super) fn owns(&self, room: &str) -> bool {
        self.role(room) == Some(RoomRole::Owner)
    }
}
