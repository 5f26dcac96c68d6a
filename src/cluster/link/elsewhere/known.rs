//! What is known of each room: who has it, who wants it, and what its owner was asked for.
//!
//! Calls no state store. Every change gives the actions that the caller carries out.

mod room;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::Holder;
use super::super::links::Links;
use super::super::peer::Link;
use super::{Reads, WantedRooms};
use crate::topics::is_about_availability;
use room::{KnownRoom, RoomSource};

/// A room that nobody wants any more is kept for this long: pages are loaded again, and scripts ask again.
const KEPT_UNWANTED: Duration = Duration::from_secs(10);
/// An owner that cannot be reached for this long is said to be away. A link that breaks is up again sooner, if
/// the other end lives.
const UNREACHABLE_AFTER: Duration = Duration::from_secs(3);

/// The rooms.
#[derive(Debug, Default)]
pub struct KnownRooms {
    /// The number of the last look at who has which room; 0: all are to be looked at.
    pub look: u64,
    /// Those that are elsewhere or wanted; all others are this gateway's. Boxed: of thousands of rooms, half of the
    /// map's places are empty.
    rooms: HashMap<Arc<str>, Box<KnownRoom>>,
    /// How many want all rooms.
    want_all: usize,
    /// Since when nobody wants all rooms any more.
    all_unwanted_since: Option<Instant>,
    /// Rooms that came to this gateway and have read all their states.
    completed: Vec<Arc<str>>,
}

/// Rooms with which something is to be done.
#[derive(Debug, Default)]
pub struct UpkeepDue {
    /// Nobody wants all their states any more.
    pub idle: Vec<Arc<str>>,
    /// Their owner cannot be reached any more; why.
    pub unreachable: Vec<(Arc<str>, String)>,
}

/// What is to be done with the states.
#[derive(Debug, PartialEq, Eq)]
pub enum StatesAction {
    /// The room has left this gateway: what clients saw so far is the start of what they see from now on.
    TakeOverOwn {
        /// All states, not only those about its availability.
        all: bool,
    },
    /// The room has come to this gateway.
    TellAvailability,
    /// No gateway has it.
    NoOwner(Arc<str>),
}

/// Whether another member can be reached.
enum Reach {
    NoLink,
    /// Not for too long; why.
    Down(String),
    Up,
}

impl Reach {
    fn of(member: &str, links: &Links, now: Instant) -> Self {
        let Some(link) = links.get(member) else {
            return Self::NoLink;
        };
        let is_long = link.down_for(now).is_some_and(|it| it >= UNREACHABLE_AFTER);
        let why = link.why_not_connected().filter(|_| is_long);
        why.map_or(Self::Up, Self::Down)
    }
}

impl KnownRooms {
    /// How many rooms are known.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.rooms.len()
    }

    /// Takes over who has a room.
    pub fn set_holder(
        &mut self,
        room: &Arc<str>,
        holder: Holder,
        links: &Links,
        now: Instant,
    ) -> Vec<StatesAction> {
        let mut actions = Vec::new();
        let want_all = self.wants_all();
        let stays = matches!(holder, Holder::Me | Holder::NotShared | Holder::Moving);
        if stays && !self.rooms.contains_key(room) {
            return actions;
        }
        let known = self.rooms.entry(room.clone());
        let known = known.or_default();
        let was_own = known.is_own();
        let all = want_all || known.wanted > 0;
        match holder {
            // What is known stays until somebody has it.
            Holder::Moving => {}
            Holder::Me | Holder::NotShared => {
                if !was_own {
                    known.source = RoomSource::Coming(Box::default());
                    actions.push(StatesAction::TellAvailability);
                }
            }
            Holder::Member(member) => {
                if was_own {
                    actions.push(StatesAction::TakeOverOwn { all });
                }
                let is_same = matches!(&known.source, RoomSource::Member { member: old, .. } if *old == member);
                if !is_same {
                    known.source = RoomSource::Member { member, since: now };
                    known.is_cut_off = false;
                }
            }
            Holder::Nobody(why) => {
                if was_own {
                    actions.push(StatesAction::TakeOverOwn { all });
                }
                if !matches!(known.source, RoomSource::Nobody) {
                    known.source = RoomSource::Nobody;
                    actions.push(StatesAction::NoOwner(why));
                }
            }
        }
        known.ask(room, want_all, links);
        actions
    }

    /// Forgets the rooms that are not among these. Of one that somebody wants stays only that it is wanted, as of a
    /// room that nobody has heard of. Returns those whose states are to be cleared.
    pub fn remove_others(&mut self, rooms: &HashSet<Arc<str>>) -> Vec<Arc<str>> {
        let mut gone = Vec::new();
        self.rooms.retain(|room, known| {
            if rooms.contains(room) {
                return true;
            }
            let is_wanted = known.wanted > 0;
            if !(is_wanted && matches!(known.source, RoomSource::Own)) {
                known.ask_no_more(room);
                gone.push(room.clone());
                **known = KnownRoom {
                    wanted: known.wanted,
                    ..KnownRoom::default()
                };
            }
            is_wanted
        });
        gone
    }

    /// From now on all states of these rooms are wanted.
    pub fn want(&mut self, rooms: &WantedRooms, links: &Links) {
        match rooms {
            WantedRooms::All => {
                self.want_all += 1;
                self.all_unwanted_since = None;
                if self.want_all == 1 {
                    for (room, known) in &mut self.rooms {
                        known.ask(room, true, links);
                    }
                }
            }
            WantedRooms::These(rooms) => {
                let want_all = self.wants_all();
                for room in rooms {
                    let known = self.rooms.entry(room.clone());
                    let known = known.or_default();
                    known.wanted += 1;
                    known.unwanted_since = None;
                    known.ask(room, want_all, links);
                }
            }
        }
    }

    /// They are wanted no longer. [`KnownRooms::upkeep`] gives them up a little later.
    pub fn unwant(&mut self, rooms: &WantedRooms, now: Instant) {
        match rooms {
            WantedRooms::All => {
                self.want_all -= 1;
                self.all_unwanted_since = (self.want_all == 0).then_some(now);
            }
            WantedRooms::These(rooms) => {
                for room in rooms {
                    if let Some(known) = self.rooms.get_mut(room) {
                        known.wanted -= 1;
                        known.unwanted_since = (known.wanted == 0).then_some(now);
                        // Clients name rooms that do not exist.
                        if known.wanted == 0 && matches!(known.source, RoomSource::Own) {
                            self.rooms.remove(room);
                        }
                    }
                }
            }
        }
    }

    fn wants_all(&self) -> bool {
        self.want_all > 0 || self.all_unwanted_since.is_some()
    }

    /// Gives up rooms that nobody wants any more, and finds those whose owner cannot be reached, and why.
    pub fn upkeep(&mut self, now: Instant, links: &Links) -> UpkeepDue {
        let is_over = |since: Option<Instant>| {
            since.is_some_and(|since| now.saturating_duration_since(since) >= KEPT_UNWANTED)
        };
        let are_all_over = is_over(self.all_unwanted_since);
        if are_all_over {
            self.all_unwanted_since = None;
        }
        let want_all = self.wants_all();
        let mut due = UpkeepDue::default();
        // Thousands of rooms have few owners.
        let mut owners = BTreeMap::new();
        for (room, known) in &mut self.rooms {
            let is_over = is_over(known.unwanted_since);
            if is_over {
                known.unwanted_since = None;
            }
            if is_over || are_all_over {
                let had_all = known.was_asked_for_all();
                known.ask(room, want_all, links);
                if had_all && !known.was_asked_for_all() {
                    due.idle.push(room.clone());
                }
            }
            let RoomSource::Member { member, since } = &known.source else {
                continue;
            };
            let owner = owners.entry(member.name.clone());
            let why = match owner.or_insert_with(|| Reach::of(&member.name, links, now)) {
                Reach::NoLink => {
                    let is_long = now.saturating_duration_since(*since) >= UNREACHABLE_AFTER;
                    is_long.then_some("there is no link to it")
                }
                Reach::Down(why) => Some(why.as_str()),
                Reach::Up => None,
            };
            match why {
                None => known.is_cut_off = false,
                Some(why) if !known.is_cut_off => {
                    known.is_cut_off = true;
                    known.arrived = true;
                    let why = format!(
                        "gateway \"{}\" has the room and cannot be reached from this gateway: {why}",
                        member.name
                    );
                    due.unreachable.push((room.clone(), why));
                }
                Some(_) => {}
            }
        }
        due
    }

    /// Whether all wanted states of these rooms have come, as far as they will.
    pub fn have_arrived(&self, rooms: &WantedRooms) -> bool {
        match rooms {
            WantedRooms::All => self.rooms.values().all(|known| known.has_arrived()),
            WantedRooms::These(rooms) => rooms
                .iter()
                .filter_map(|room| self.rooms.get(room))
                .all(|known| known.has_arrived()),
        }
    }

    /// What this link was asked for will come anew.
    pub fn expect_all_of(&mut self, link: &Arc<Link>) {
        for known in self.rooms.values_mut() {
            if known.was_asked(link) {
                known.expect_all();
            }
        }
    }

    /// Whether what this link brings of a room counts.
    pub fn is_from(&self, room: &str, link: &Arc<Link>) -> bool {
        self.rooms
            .get(room)
            .is_some_and(|known| known.was_asked(link))
    }

    /// A topic of a room has come. Whether it counts.
    pub fn received(&mut self, room: &str, link: &Arc<Link>, topic: &str) -> bool {
        let Some(known) = self.rooms.get_mut(room) else {
            return false;
        };
        let counts = known.was_asked(link);
        if counts && known.wants_completion() {
            let received = known.received.get_or_insert_default();
            received.0.insert(topic.into());
        }
        counts
    }

    /// All that was asked for of a room by the question with this number has come: these topics, if the room has no
    /// others.
    pub fn all_sent(
        &mut self,
        room: &str,
        link: &Arc<Link>,
        complete: bool,
        number: Option<u64>,
    ) -> Option<HashSet<Box<str>>> {
        let known = self.rooms.get_mut(room)?;
        if !known.is_answer(link, number) {
            return None;
        }
        known.arrived = true;
        if !complete || !known.wants_completion() {
            return None;
        }
        known.is_complete = true;
        Some(known.received.take().unwrap_or_default().0)
    }

    /// Which store a topic of a room is read from.
    pub fn source_of(&self, room: &str, topic: &str) -> Reads {
        match self.rooms.get(room).map(|known| &known.source) {
            None | Some(RoomSource::Own) => Reads::Own,
            Some(RoomSource::Coming(told)) if told.0.contains(topic) => Reads::Own,
            Some(RoomSource::Coming(_)) if is_about_availability(topic) => Reads::OwnFirst,
            Some(RoomSource::Coming(_)) => Reads::ElsewhereFirst,
            Some(RoomSource::Member { .. } | RoomSource::Nobody) => Reads::Elsewhere,
        }
    }

    /// A state of a room of this gateway changed.
    pub fn own_changed(&mut self, room: &str, topic: &Arc<str>) {
        if let Some(known) = self.rooms.get_mut(room)
            && let RoomSource::Coming(told) = &mut known.source
        {
            told.0.insert(topic.clone());
        }
    }

    /// A room of this gateway has read all its states. Whether it had come from another one.
    pub fn own_complete(&mut self, room: &str) -> bool {
        let Some((room, known)) = self.rooms.get_key_value(room) else {
            return false;
        };
        let came = matches!(known.source, RoomSource::Coming(_));
        if came {
            self.completed.push(room.clone());
        }
        came
    }

    /// Takes the rooms that have come and read all their states, each with what has changed since it came.
    pub fn take_completed(&mut self) -> Vec<(Arc<str>, HashSet<Arc<str>>)> {
        let mut taken = Vec::new();
        for room in std::mem::take(&mut self.completed) {
            if let Some(known) = self.rooms.get_mut(&room)
                && let RoomSource::Coming(told) = &mut known.source
            {
                let told = std::mem::take(&mut told.0);
                known.source = RoomSource::Own;
                if known.wanted == 0 {
                    self.rooms.remove(&room);
                }
                taken.push((room, told));
            }
        }
        taken
    }
}
