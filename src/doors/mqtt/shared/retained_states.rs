//! Which states of own rooms the broker holds already, so that they need not be published again.
//!
//! Whoever takes a room reads all its states from the device, some sixty, and as a rule each is what the former owner
//! has published. When thousands of rooms move at once, publishing them again would put hundreds of thousands of
//! messages before the commands of these rooms, at the broker and at every gateway that receives them. So a room's
//! states wait until the broker has told what it holds, and those that are the same are left out.
//!
//! A command does not wait for that: with its result go the states that wait. Pure. Reads nothing from the broker and
//! publishes nothing; topics are without prefix.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use crate::topics::{Topic, is_about_availability};

/// What a state is, in short. Two values have the same by accident only, and then the older one stays at the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateDigest(u64);

impl StateDigest {
    /// Of this payload with this MIME type.
    pub fn of(payload: &[u8], content_type: Option<&str>) -> Self {
        let mut hasher = DefaultHasher::new();
        (payload, content_type).hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// What is to become of a state whose turn has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishDecision {
    /// Publish it.
    Publish,
    /// It waits until the broker has told what it holds.
    Wait,
    /// The broker holds it.
    LeaveOut,
}

/// What is known of one room's states at the broker.
#[derive(Debug)]
enum RoomStates {
    /// The broker has not told.
    Untold {
        /// The states that wait for it.
        waiting: BTreeSet<Arc<str>>,
        /// What was published since: the broker may tell of an older value.
        newer: BTreeSet<Arc<str>>,
        /// The states of a room with a result do not wait.
        passes: bool,
    },
    /// What it has told, and was not compared yet.
    Told(BTreeMap<Arc<str>, StateDigest>),
    /// Every state was compared or published.
    Compared,
}

impl RoomStates {
    fn untold() -> Self {
        Self::Untold {
            waiting: BTreeSet::new(),
            newer: BTreeSet::new(),
            passes: false,
        }
    }
}

/// The own rooms.
#[derive(Debug, Default)]
pub struct RetainedStates {
    rooms: BTreeMap<Arc<str>, RoomStates>,
    /// Rooms with states that wait, in the order in which they began to.
    unasked: VecDeque<Arc<str>>,
}

impl RetainedStates {
    /// This room is this gateway's from now on.
    pub fn own(&mut self, room: &Arc<str>) {
        self.rooms
            .entry(room.clone())
            .or_insert_with(RoomStates::untold);
    }

    /// It is not any more: what waits is not this gateway's to publish.
    pub fn disown(&mut self, room: &str) {
        self.rooms.remove(room);
    }

    /// The connection ended. The next broker may hold something else.
    pub fn disconnected(&mut self) {
        self.unasked.clear();
        self.rooms
            .values_mut()
            .for_each(|room| *room = RoomStates::untold());
    }

    /// The turn of this state has come, which is this now.
    pub fn decide(
        &mut self,
        topic: &Arc<str>,
        is: impl FnOnce() -> StateDigest,
    ) -> PublishDecision {
        let Some((room, states)) = self.room_of(topic) else {
            return PublishDecision::Publish;
        };
        match states {
            RoomStates::Compared => PublishDecision::Publish,
            RoomStates::Told(told) => match told.remove(&**topic) {
                Some(digest) if digest == is() => PublishDecision::LeaveOut,
                _ => PublishDecision::Publish,
            },
            RoomStates::Untold { newer, passes, .. } if *passes || is_about_availability(topic) => {
                newer.insert(topic.clone());
                PublishDecision::Publish
            }
            RoomStates::Untold { waiting, .. } => {
                let is_first = waiting.is_empty();
                waiting.insert(topic.clone());
                if is_first {
                    self.unasked.push_back(room);
                }
                PublishDecision::Wait
            }
        }
    }

    /// Another gateway, or a person, has published something there since.
    pub fn overwritten(&mut self, topic: &str) {
        match self.room_of(topic) {
            Some((_, RoomStates::Untold { newer, .. })) => {
                newer.insert(topic.into());
            }
            Some((_, RoomStates::Told(told))) => {
                told.remove(topic);
            }
            Some((_, RoomStates::Compared)) | None => {}
        }
    }

    /// A result of this room is published. Gives the states that go before it. The broker is asked all the same: what
    /// it holds that is no state any more has to be cleared.
    pub fn release(&mut self, room: &str) -> BTreeSet<Arc<str>> {
        let states = self.rooms.get_key_value(room).map(|(room, _)| room.clone());
        let states = states.and_then(|room| Some((self.rooms.get_mut(&room)?, room)));
        let Some((
            RoomStates::Untold {
                waiting, passes, ..
            },
            room,
        )) = states
        else {
            return BTreeSet::new();
        };
        if !*passes && waiting.is_empty() {
            self.unasked.push_back(room);
        }
        *passes = true;
        std::mem::take(waiting)
    }

    /// Some rooms whose states wait, of those that can be asked for.
    pub fn next_rooms(
        &mut self,
        count: usize,
        can_ask: impl Fn(&Arc<str>) -> bool,
    ) -> Vec<Arc<str>> {
        let mut rooms = Vec::new();
        let unasked = std::mem::take(&mut self.unasked);
        for room in unasked {
            if rooms.len() == count || !can_ask(&room) {
                self.unasked.push_back(room);
            } else if matches!(self.rooms.get(&room), Some(RoomStates::Untold { .. })) {
                rooms.push(room);
            }
        }
        rooms
    }

    /// The broker has told everything that it holds of this room with this gateway's mark. Gives the states that
    /// have waited.
    pub fn told(
        &mut self,
        room: &str,
        mut states: BTreeMap<Arc<str>, StateDigest>,
    ) -> BTreeSet<Arc<str>> {
        let Some(entry) = self.rooms.get_mut(room) else {
            return BTreeSet::new();
        };
        let RoomStates::Untold { waiting, newer, .. } = entry else {
            return BTreeSet::new();
        };
        for topic in &*newer {
            states.remove(topic);
        }
        let waiting = std::mem::take(waiting);
        *entry = RoomStates::Told(states);
        waiting
    }

    /// The broker does not tell. Gives all states that wait.
    pub fn give_up(&mut self) -> BTreeSet<Arc<str>> {
        self.unasked.clear();
        let mut all = BTreeSet::new();
        for room in self.rooms.values_mut() {
            if let RoomStates::Untold { waiting, .. } = room
                && !waiting.is_empty()
            {
                all.append(waiting);
                *room = RoomStates::Compared;
            }
        }
        all
    }

    /// The rooms of which not all was compared that the broker has told.
    pub fn told_rooms(&self) -> Vec<Arc<str>> {
        let told = self.rooms.iter();
        let told = told.filter(|(_, states)| matches!(states, RoomStates::Told(_)));
        told.map(|(room, _)| room.clone()).collect()
    }

    /// Every state of this room has had its turn.
    pub fn compared(&mut self, room: &str) {
        if let Some(states) = self.rooms.get_mut(room)
            && matches!(states, RoomStates::Told(_))
        {
            *states = RoomStates::Compared;
        }
    }

    fn room_of(&mut self, topic: &str) -> Option<(Arc<str>, &mut RoomStates)> {
        let room = Topic::parse(topic)?.room()?;
        let (room, _) = self.rooms.get_key_value(room)?;
        let room = room.clone();
        let states = self.rooms.get_mut(&room)?;
        Some((room, states))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOLUME: &str = "room/1/audio/volume";
    const MUTED: &str = "room/1/audio/muted";

    fn digest(payload: &str) -> StateDigest {
        StateDigest::of(payload.as_bytes(), None)
    }

    fn decide(states: &mut RetainedStates, topic: &str, payload: &str) -> PublishDecision {
        states.decide(&Arc::from(topic), || digest(payload))
    }

    fn owning(room: &str) -> RetainedStates {
        let mut states = RetainedStates::default();
        states.own(&Arc::from(room));
        states
    }

    fn told(states: &mut RetainedStates, all: &[(&str, &str)]) -> Vec<String> {
        let all = all.iter();
        let all = all.map(|(topic, payload)| (Arc::from(*topic), digest(payload)));
        let waited = states.told("1", all.collect());
        waited.iter().map(|topic| topic.to_string()).collect()
    }

    fn ask(states: &mut RetainedStates) -> Vec<Arc<str>> {
        states.next_rooms(9, |_| true)
    }

    #[test]
    fn states_wait_and_those_that_the_broker_holds_are_left_out() {
        let mut states = owning("1");
        for topic in [VOLUME, MUTED, VOLUME] {
            assert_eq!(decide(&mut states, topic, "5"), PublishDecision::Wait);
        }
        assert_eq!(ask(&mut states), [Arc::from("1")]);
        assert!(ask(&mut states).is_empty());
        let waited = told(&mut states, &[(VOLUME, "5"), (MUTED, "true")]);
        assert_eq!(waited, [MUTED, VOLUME]);
        assert_eq!(decide(&mut states, VOLUME, "5"), PublishDecision::LeaveOut);
        assert_eq!(
            decide(&mut states, MUTED, "false"),
            PublishDecision::Publish
        );
        // What the broker held first is not what it holds since.
        assert_eq!(decide(&mut states, MUTED, "true"), PublishDecision::Publish);
        assert_eq!(decide(&mut states, VOLUME, "5"), PublishDecision::Publish);
    }

    #[test]
    fn whether_a_room_can_be_used_does_not_wait_nor_rooms_of_others() {
        let mut states = owning("1");
        let availability = "room/1/availability";
        assert_eq!(
            decide(&mut states, availability, "online"),
            PublishDecision::Publish
        );
        for topic in ["room/2/audio/volume", "gateway/health", "elsewhere"] {
            assert_eq!(decide(&mut states, topic, "5"), PublishDecision::Publish);
        }
        assert!(ask(&mut states).is_empty());
        // The broker tells of the older one, and the next is the same as that.
        decide(&mut states, VOLUME, "5");
        told(&mut states, &[(availability, "offline")]);
        assert_eq!(
            decide(&mut states, availability, "offline"),
            PublishDecision::Publish
        );
    }

    #[test]
    fn a_result_takes_the_states_of_its_room_along() {
        let mut states = owning("1");
        decide(&mut states, VOLUME, "5");
        assert_eq!(states.release("1"), [Arc::from(VOLUME)].into());
        assert_eq!(decide(&mut states, VOLUME, "5"), PublishDecision::Publish);
        // The rest is compared all the same, once the broker has told.
        assert_eq!(ask(&mut states), [Arc::from("1")]);
        assert!(told(&mut states, &[(VOLUME, "4"), (MUTED, "true")]).is_empty());
        assert_eq!(decide(&mut states, VOLUME, "4"), PublishDecision::Publish);
        assert_eq!(
            decide(&mut states, MUTED, "true"),
            PublishDecision::LeaveOut
        );
        assert!(states.release("1").is_empty() && states.release("2").is_empty());
    }

    #[test]
    fn what_somebody_overwrites_is_published() {
        let mut states = owning("1");
        decide(&mut states, VOLUME, "5");
        states.overwritten(VOLUME);
        told(&mut states, &[(VOLUME, "5"), (MUTED, "true")]);
        states.overwritten(MUTED);
        assert_eq!(decide(&mut states, VOLUME, "5"), PublishDecision::Publish);
        assert_eq!(decide(&mut states, MUTED, "true"), PublishDecision::Publish);
    }

    #[test]
    fn everything_is_asked_for_again_after_a_lost_connection() {
        let mut states = owning("1");
        decide(&mut states, VOLUME, "5");
        told(&mut states, &[(VOLUME, "5")]);
        assert_eq!(states.told_rooms(), [Arc::from("1")]);
        states.compared("1");
        assert!(states.told_rooms().is_empty());
        assert_eq!(decide(&mut states, VOLUME, "5"), PublishDecision::Publish);
        states.disconnected();
        assert_eq!(decide(&mut states, VOLUME, "5"), PublishDecision::Wait);
        // Without an answer all is published.
        assert_eq!(states.give_up(), [Arc::from(VOLUME)].into());
        assert_eq!(decide(&mut states, VOLUME, "5"), PublishDecision::Publish);
    }

    #[test]
    fn a_room_whose_first_message_is_a_result_is_asked_for_once() {
        let mut states = RetainedStates::default();
        states.own(&Arc::from("1"));
        assert!(states.release("1").is_empty());
        assert_eq!(decide(&mut states, VOLUME, "5"), PublishDecision::Publish);
        assert!(states.release("1").is_empty());
        assert_eq!(ask(&mut states), [Arc::from("1")]);
        assert!(ask(&mut states).is_empty());
        // The broker holds what is no state any more; the newer one is not compared.
        let held = [VOLUME, "room/1/call/state"].map(|topic| (Arc::from(topic), digest("4")));
        assert!(states.told("1", held.into()).is_empty());
        assert_eq!(decide(&mut states, VOLUME, "4"), PublishDecision::Publish);
        assert_eq!(
            decide(&mut states, "room/1/call/state", "4"),
            PublishDecision::LeaveOut
        );
    }

    #[test]
    fn rooms_are_asked_for_in_order_and_when_they_can_be() {
        let mut states = RetainedStates::default();
        for room in ["1", "2", "3"] {
            states.own(&Arc::from(room));
            decide(&mut states, &format!("room/{room}/audio/volume"), "5");
        }
        states.disown("3");
        assert_eq!(
            states.next_rooms(1, |room| &**room != "1"),
            [Arc::from("2")]
        );
        assert_eq!(ask(&mut states), [Arc::from("1")]);
        // One that came back in between.
        assert!(states.told("3", BTreeMap::new()).is_empty());
    }
}
