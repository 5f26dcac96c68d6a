//! The filters of the rooms that this gateway subscribes to: `room/<id>/#` of each, in SUBSCRIBEs of many.
//!
//! Asks for one batch at a time. A filter that the broker refuses costs that room alone, also when the
//! broker ends the connection at it: then the rooms of that batch are asked for one by one. Pure: which
//! packet is to be sent, and what its answer means. Knows rooms, not topics.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::doors::mqtt::packets::SubAck;
use crate::doors::mqtt::reason::{ReasonCode, ended_at_filter, refused_filter};
use crate::doors::mqtt::settings::SUBACK_TIMEOUT;
use crate::doors::mqtt::subscription::{ASK_AGAIN_DELAY, ENDS_UNTIL_LEFT_OUT, LEFT_OUT_FOR};

/// How many filters one packet has. Brokers take 500 in some milliseconds, and the packet stays below the
/// smallest packet sizes that are configured.
pub const FILTERS_A_PACKET: usize = 500;

/// How fast filters are subscribed to, so that the retained messages they bring do not delay commands.
#[derive(Debug, Clone, Copy)]
pub struct FilterPace {
    pub filters_a_packet: usize,
    pub pause: Duration,
}

/// A packet that is to be sent now.
#[derive(Debug, PartialEq, Eq)]
pub enum RoomFilterRequest {
    /// Asks for these rooms.
    Subscribe(Vec<Arc<str>>),
    /// Gives these rooms up.
    Unsubscribe(Vec<Arc<str>>),
}

/// A room whose filter is not granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRoom {
    /// The room.
    pub room: Arc<str>,
    /// Why, in words.
    pub reason: String,
}

#[derive(Debug)]
struct PendingRequest {
    packet_id: u16,
    rooms: Vec<Arc<str>>,
    deadline: Instant,
}

/// What is asked for, granted and refused.
#[derive(Debug, Default)]
pub struct RoomFilters {
    wanted: BTreeSet<Arc<str>>,
    /// Wanted, and not asked for on this connection.
    unasked: BTreeSet<Arc<str>>,
    granted: BTreeSet<Arc<str>>,
    /// Refused, with when it is asked for again.
    refused: BTreeMap<Arc<str>, (Instant, String)>,
    /// Not wanted any more.
    surplus: BTreeSet<Arc<str>>,
    pending: Option<PendingRequest>,
    pace: Option<FilterPace>,
    /// Nothing is asked for before.
    next_at: Option<Instant>,
    /// Rooms at whose filters the connection ended, with how often that was when asked for alone.
    suspects: BTreeMap<Arc<str>, u32>,
}

impl RoomFilters {
    /// Asks for few filters at a time.
    pub fn paced(pace: FilterPace) -> Self {
        Self {
            pace: Some(pace),
            ..Self::default()
        }
    }

    /// Subscribes to this room.
    pub fn want(&mut self, room: &Arc<str>) {
        if self.wanted.insert(room.clone()) {
            self.surplus.remove(room);
            let is_pending = (self.pending.iter()).any(|pending| pending.rooms.contains(room));
            if !self.granted.contains(room) && !is_pending {
                self.unasked.insert(room.clone());
            }
        }
    }

    /// Unsubscribes from it.
    pub fn give_up(&mut self, room: &str) {
        let Some(room) = self.wanted.take(room) else {
            return;
        };
        self.unasked.remove(&room);
        self.refused.remove(&room);
        let is_pending = (self.pending.iter()).any(|pending| pending.rooms.contains(&room));
        if self.granted.remove(&room) || is_pending {
            self.surplus.insert(room);
        }
    }

    /// Whether the broker delivers this room's messages.
    pub fn is_granted(&self, room: &str) -> bool {
        self.granted.contains(room)
    }

    /// Why it does not, if that is known.
    pub fn refusal(&self, room: &str) -> Option<&str> {
        self.refused.get(room).map(|(_, reason)| reason.as_str())
    }

    /// The rooms that the broker does not deliver, or at whose filters it ends the connection.
    pub fn refused(&self) -> impl Iterator<Item = &str> {
        self.refused.keys().map(|room| &**room)
    }

    /// The packet that is to be sent now. `fits` says how many of these rooms fit into one.
    pub fn next(
        &mut self,
        now: Instant,
        fits: impl Fn(&[Arc<str>]) -> usize,
    ) -> Option<RoomFilterRequest> {
        if self.pending.is_some() {
            return None;
        }
        let again = self.refused.iter().filter(|(_, (at, _))| *at <= now);
        let again: Vec<_> = again.map(|(room, _)| room.clone()).collect();
        for room in again {
            self.refused.remove(&room);
            self.unasked.insert(room);
        }
        if !self.surplus.is_empty() {
            let rooms = first(&self.surplus, FILTERS_A_PACKET);
            let rooms = fitting(rooms, &fits);
            for room in &rooms {
                self.surplus.remove(room);
            }
            return Some(RoomFilterRequest::Unsubscribe(rooms));
        }
        if self.next_at.is_some_and(|at| now < at) {
            return None;
        }
        let most = self
            .pace
            .map_or(FILTERS_A_PACKET, |pace| pace.filters_a_packet);
        let harmless = self.unasked.iter();
        let harmless = harmless.filter(|room| !self.suspects.contains_key(*room));
        let harmless: Vec<_> = harmless.take(most).cloned().collect();
        let rooms = if harmless.is_empty() {
            // The others are answered by now, so if the connection ends, it is this one.
            first(&self.unasked, 1)
        } else {
            fitting(harmless, &fits)
        };
        for room in &rooms {
            self.unasked.remove(room);
        }
        (!rooms.is_empty()).then_some(RoomFilterRequest::Subscribe(rooms))
    }

    /// Until when the next ones wait for those before, if any do.
    pub fn waits_until(&self) -> Option<Instant> {
        let is_next = self.pending.is_none() && !self.unasked.is_empty();
        self.next_at.filter(|_| is_next)
    }

    /// The SUBSCRIBE of these rooms is sent now.
    pub fn asked(&mut self, packet_id: u16, rooms: Vec<Arc<str>>, now: Instant) {
        self.next_at = self.pace.map(|pace| now + pace.pause);
        self.pending = Some(PendingRequest {
            packet_id,
            rooms,
            deadline: now + SUBACK_TIMEOUT,
        });
    }

    /// A SUBACK came. Returns the rooms that it refuses, and those that it grants with QoS 0 only; `None` if it
    /// answers something else.
    pub fn answered(
        &mut self,
        ack: &SubAck,
        now: Instant,
    ) -> Option<(Vec<RefusedRoom>, Vec<Arc<str>>)> {
        let pending = self
            .pending
            .take_if(|pending| pending.packet_id == ack.packet_id)?;
        let reasons = ack.reasons.iter().copied().map(Some);
        let reasons = reasons.chain(std::iter::repeat(None));
        let (mut refused, mut weakened) = (Vec::new(), Vec::new());
        for (room, reason) in pending.rooms.into_iter().zip(reasons) {
            self.suspects.remove(&room);
            if !self.wanted.contains(&room) {
                continue;
            }
            match reason {
                Some(reason) if !reason.is_refusal() => {
                    if reason == ReasonCode(0) {
                        weakened.push(room.clone());
                    }
                    self.granted.insert(room);
                }
                reason => {
                    let reason = refused_filter(reason, &ack.words);
                    self.granted.remove(&room);
                    let again = now + ASK_AGAIN_DELAY;
                    self.refused.insert(room.clone(), (again, reason.clone()));
                    refused.push(RefusedRoom { room, reason });
                }
            }
        }
        Some((refused, weakened))
    }

    /// The broker has not answered in time.
    pub fn is_overdue(&self, now: Instant) -> bool {
        (self.pending.as_ref()).is_some_and(|pending| pending.deadline <= now)
    }

    /// Whether nothing is asked for or to be asked for now.
    pub fn is_settled(&self) -> bool {
        self.pending.is_none() && self.unasked.is_empty()
    }

    /// The connection ended, perhaps because of what was asked for last. Returns the room that is left out from
    /// now on, if it is known.
    pub fn connection_ended(
        &mut self,
        lost: &str,
        can_mean_filter: bool,
        now: Instant,
    ) -> Option<RefusedRoom> {
        let pending = self.pending.take();
        self.next_at = None;
        self.granted.clear();
        self.surplus.clear();
        let mut left_out = None;
        if can_mean_filter && let Some(pending) = pending {
            let is_alone = pending.rooms.len() == 1;
            for room in pending.rooms {
                let ends = self.suspects.entry(room.clone()).or_default();
                *ends += u32::from(is_alone);
                if *ends >= ENDS_UNTIL_LEFT_OUT {
                    *ends = 0;
                    let reason = ended_at_filter(lost);
                    self.refused
                        .insert(room.clone(), (now + LEFT_OUT_FOR, reason.clone()));
                    left_out = Some(RefusedRoom { room, reason });
                }
            }
        }
        let refused = &self.refused;
        let wanted = self.wanted.iter();
        let unasked = wanted.filter(|room| !refused.contains_key(*room));
        self.unasked = unasked.cloned().collect();
        left_out
    }
}

fn first(rooms: &BTreeSet<Arc<str>>, count: usize) -> Vec<Arc<str>> {
    rooms.iter().take(count).cloned().collect()
}

fn fitting(mut rooms: Vec<Arc<str>>, fits: impl Fn(&[Arc<str>]) -> usize) -> Vec<Arc<str>> {
    rooms.truncate(fits(&rooms).max(1));
    rooms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rooms(range: std::ops::Range<usize>) -> Vec<Arc<str>> {
        range.map(|n| Arc::from(format!("{n:04}"))).collect()
    }

    fn wanting(count: usize) -> RoomFilters {
        let mut filters = RoomFilters::default();
        for room in rooms(0..count) {
            filters.want(&room);
        }
        filters
    }

    fn next(filters: &mut RoomFilters) -> Option<RoomFilterRequest> {
        filters.next(Instant::now(), |rooms| rooms.len())
    }

    fn ask(filters: &mut RoomFilters, packet_id: u16) -> usize {
        let Some(RoomFilterRequest::Subscribe(rooms)) = next(filters) else {
            return 0;
        };
        let count = rooms.len();
        filters.asked(packet_id, rooms, Instant::now());
        count
    }

    #[test]
    fn what_brings_much_is_asked_for_at_a_pace() {
        let pause = Duration::from_millis(100);
        let mut filters = RoomFilters::paced(FilterPace {
            filters_a_packet: 2,
            pause,
        });
        for room in rooms(0..3) {
            filters.want(&room);
        }
        let start = Instant::now();
        let ask = |filters: &mut RoomFilters, now| {
            let request = filters.next(now, |rooms| rooms.len());
            let Some(RoomFilterRequest::Subscribe(rooms)) = request else {
                return 0;
            };
            let count = rooms.len();
            filters.asked(1, rooms, now);
            count
        };
        assert_eq!(ask(&mut filters, start), 2);
        assert_eq!(filters.waits_until(), None, "for the answer");
        filters.answered(&SubAck::of(1, &[1, 1]), start).unwrap();
        assert_eq!(filters.waits_until(), Some(start + pause));
        assert_eq!(ask(&mut filters, start + pause / 2), 0);
        assert_eq!(ask(&mut filters, start + pause), 1);
        filters
            .answered(&SubAck::of(1, &[1]), start + pause)
            .unwrap();
        assert_eq!(filters.waits_until(), None);
        // What is not wanted any more does not wait.
        filters.give_up("0000");
        let request = filters.next(start + pause, |rooms| rooms.len());
        assert_eq!(request, Some(RoomFilterRequest::Unsubscribe(rooms(0..1))));
    }

    #[test]
    fn rooms_are_asked_for_in_batches_one_at_a_time() {
        let mut filters = wanting(1200);
        for (packet_id, count) in [(1, 500), (2, 500), (3, 200)] {
            assert_eq!(ask(&mut filters, packet_id), count);
            assert_eq!(next(&mut filters), None);
            assert_eq!(
                filters.answered(&SubAck::of(99, &[1]), Instant::now()),
                None
            );
            let granted = SubAck::of(packet_id, &vec![1; count]);
            assert_eq!(
                filters.answered(&granted, Instant::now()),
                Some((Vec::new(), Vec::new()))
            );
        }
        assert!(filters.is_settled() && filters.is_granted("1199"));
        for room in rooms(100..800) {
            filters.give_up(&room);
        }
        let mut unsubscribed = 0;
        while let Some(RoomFilterRequest::Unsubscribe(rooms)) = next(&mut filters) {
            unsubscribed += rooms.len();
        }
        assert_eq!(unsubscribed, 700);
        assert!(!filters.is_granted("0100") && filters.is_granted("0099"));
        // All again on the next connection.
        assert_eq!(filters.connection_ended("cut", true, Instant::now()), None);
        assert_eq!(ask(&mut filters, 4), 500);
        assert_eq!(filters.wanted.len(), 500);
    }

    #[test]
    fn a_room_that_is_refused_is_told_and_asked_for_again() {
        let mut filters = wanting(3);
        ask(&mut filters, 1);
        let now = Instant::now();
        let (refused, weakened) = filters.answered(&SubAck::of(1, &[1, 0x87]), now).unwrap();
        let names: Vec<_> = refused.iter().map(|refused| &*refused.room).collect();
        assert_eq!(names, ["0001", "0002"]);
        assert!(weakened.is_empty() && filters.is_granted("0000"));
        assert!(filters.refusal("0001").is_some_and(|it| !it.is_empty()));
        assert_eq!(next(&mut filters), None);
        let later = now + ASK_AGAIN_DELAY;
        let again = filters.next(later, |rooms| rooms.len());
        assert_eq!(again, Some(RoomFilterRequest::Subscribe(rooms(1..3))));
    }

    #[test]
    fn a_room_that_ends_the_connection_is_found_and_left_out() {
        let mut filters = wanting(10);
        let now = Instant::now();
        let culprit: Arc<str> = "0004".into();
        let mut packet_id = 0;
        for _ in 0..100 {
            packet_id += 1;
            let Some(RoomFilterRequest::Subscribe(asked)) = next(&mut filters) else {
                break;
            };
            let ends = asked.contains(&culprit);
            let reasons = vec![1; asked.len()];
            filters.asked(packet_id, asked, now);
            if !ends {
                filters.answered(&SubAck::of(packet_id, &reasons), now);
            } else if let Some(left_out) = filters.connection_ended("not authorized", true, now) {
                assert_eq!(left_out.room, culprit);
                assert!(left_out.reason.contains("not authorized"));
            }
        }
        assert!(!filters.is_granted("0004"));
        let others = rooms(0..10).into_iter().filter(|room| *room != culprit);
        assert!(others.into_iter().all(|room| filters.is_granted(&room)));
    }

    #[test]
    fn a_room_that_is_given_up_before_the_answer_is_unsubscribed() {
        let mut filters = wanting(1);
        ask(&mut filters, 1);
        filters.give_up("0000");
        filters.answered(&SubAck::of(1, &[1]), Instant::now());
        assert!(!filters.is_granted("0000"));
        let given_up = RoomFilterRequest::Unsubscribe(rooms(0..1));
        assert_eq!(next(&mut filters), Some(given_up));
        // Wanted again meanwhile.
        let mut filters = wanting(1);
        ask(&mut filters, 1);
        filters.give_up("0000");
        filters.want(&rooms(0..1)[0]);
        filters.answered(&SubAck::of(1, &[1]), Instant::now());
        assert!(filters.is_granted("0000") && next(&mut filters).is_none());
    }

    #[test]
    fn a_packet_holds_what_fits() {
        let mut filters = wanting(10);
        let few = filters.next(Instant::now(), |rooms| rooms.len().min(3));
        assert_eq!(few, Some(RoomFilterRequest::Subscribe(rooms(0..3))));
    }
}
