//! A room moves to another gateway as planned: markers that are slow, lost or of an earlier owner.

use super::*;

#[test]
fn until_a_slow_marker_comes_the_former_owner_passes_on_and_the_new_one_waits() {
    let (mut old, now) = owner();
    let lane = QosLane::AtLeastOnce;
    old.hold(ROOM);
    old.command(ROOM, lane, Numbered(1), true, now);
    old.released(ROOM, now);
    old.deputize(&room(), now);
    old.tick(true, now + MARKER_TIMEOUT / 2);
    assert!(actions(&mut old).is_empty());
    old.tick(true, now + MARKER_TIMEOUT);
    assert_eq!(actions(&mut old), [CommandAction::PassOn(Numbered(1))]);
    let mut new = connected();
    new.arrive(&room(), Arrival::HandedOver, 2);
    assert!(new.markers(|_| false, usize::MAX, now).is_empty());
    assert_eq!(new.markers(|_| true, usize::MAX, now), moved());
    let late = now + MARKER_TIMEOUT * 3;
    for arbiter in [&mut old, &mut new] {
        arbiter.tick(true, late);
        arbiter.command(ROOM, lane, Numbered(2), true, late);
    }
    assert_eq!(actions(&mut old), [CommandAction::PassOn(Numbered(2))]);
    assert!(actions(&mut new).is_empty());
    old.others_marker(ROOM, lane, (Arrival::HandedOver, 2), late);
    new.own_marker(ROOM, lane);
    for arbiter in [&mut old, &mut new] {
        arbiter.command(ROOM, lane, Numbered(3), true, late);
    }
    assert!(actions(&mut old).is_empty());
    assert_eq!(actions(&mut new), [CommandAction::CarryOut(Numbered(3), 1)]);
}

#[test]
fn where_a_marker_is_lost_the_new_owner_begins_after_the_former_one_has_ended() {
    let (mut old, now) = owner();
    let lane = QosLane::AtMostOnce;
    old.hold(ROOM);
    old.released(ROOM, now);
    old.unsubscribe(ROOM);
    let mut new = connected();
    new.arrive(&room(), Arrival::HandedOver, 2);
    new.markers(|_| true, usize::MAX, now);
    new.tick(true, now + LOST_MARKER_TIMEOUT);
    old.tick(true, now + LOST_MARKER_TIMEOUT);
    assert_eq!(old.role(ROOM), None);
    new.command(ROOM, lane, Numbered(1), true, now);
    assert!(actions(&mut new).is_empty());
    new.tick(true, now + OWN_MARKER_TIMEOUT);
    new.command(ROOM, lane, Numbered(2), true, now);
    assert_eq!(actions(&mut new), [CommandAction::CarryOut(Numbered(2), 1)]);
}

/// The connection was lost, the room was released, and the marker was published before the connection was back.
#[test]
fn what_comes_after_a_marker_that_was_missed_is_the_new_owners() {
    let (mut old, now) = owner();
    let lane = QosLane::AtLeastOnce;
    old.hold(ROOM);
    old.command(ROOM, lane, Numbered(1), true, now);
    old.disconnected(now);
    old.released(ROOM, now);
    assert_eq!(actions(&mut old), [CommandAction::PassOn(Numbered(1))]);
    old.deputize(&room(), now);
    old.hears_markers();
    for number in 2..=100 {
        old.command(ROOM, lane, Numbered(number), true, now);
    }
    old.result_seen(ROOM, 2, now);
    old.tick(true, now + MARKER_TIMEOUT);
    old.command(ROOM, lane, Numbered(101), true, now + MARKER_TIMEOUT);
    assert!(actions(&mut old).is_empty());
    old.tick(true, now + LOST_MARKER_TIMEOUT);
    assert_eq!(old.role(ROOM), Some(RoomRole::Deputy));
    assert!(actions(&mut old).is_empty());
    let mut remembered = old.memory_of(ROOM);
    remembered.sort_unstable();
    assert_eq!(remembered, Vec::from_iter(3..=101));
}

/// The same, but the new owner was slow with its marker.
#[test]
fn what_comes_before_a_marker_that_was_not_missed_is_passed_on() {
    let (mut old, now) = owner();
    let lane = QosLane::AtLeastOnce;
    old.hold(ROOM);
    old.disconnected(now);
    old.released(ROOM, now);
    old.deputize(&room(), now);
    old.hears_markers();
    old.command(ROOM, lane, Numbered(1), true, now);
    for lane in LANES {
        old.others_marker(ROOM, lane, (Arrival::HandedOver, 2), now);
    }
    old.command(ROOM, lane, Numbered(2), true, now);
    assert_eq!(actions(&mut old), [CommandAction::PassOn(Numbered(1))]);
    assert_eq!(old.memory_of(ROOM), [2]);
}

/// A broker under load drops messages of QoS 0.
#[test]
fn what_comes_after_a_marker_that_the_broker_dropped_is_the_new_owners() {
    let (mut old, now) = owner();
    let lane = QosLane::AtMostOnce;
    old.hold(ROOM);
    old.command(ROOM, lane, Numbered(1), true, now);
    old.released(ROOM, now);
    old.deputize(&room(), now);
    let says = (Arrival::HandedOver, 2);
    old.others_marker(ROOM, QosLane::AtLeastOnce, says, now);
    assert_eq!(actions(&mut old), [CommandAction::PassOn(Numbered(1))]);
    old.command(ROOM, lane, Numbered(2), true, now);
    old.tick(true, now + LOST_MARKER_TIMEOUT);
    assert!(actions(&mut old).is_empty());
    assert_eq!(old.memory_of(ROOM), [2]);
}

#[test]
fn a_marker_that_was_lost_with_the_connection_is_sent_again() {
    let (mut arbiter, now) = (connected(), Instant::now());
    arbiter.arrive(&room(), Arrival::HandedOver, 2);
    arbiter.markers(|_| true, usize::MAX, now);
    arbiter.own_marker(ROOM, QosLane::AtMostOnce);
    arbiter.disconnected(now);
    assert_eq!(arbiter.markers(|_| true, usize::MAX, now), moved());
    for lane in LANES {
        arbiter.own_marker(ROOM, lane);
    }
    arbiter.disconnected(now);
    assert!(arbiter.markers(|_| true, usize::MAX, now).is_empty());
}

#[test]
fn a_move_that_is_given_up_carries_out_what_was_held() {
    let (mut arbiter, now) = owner();
    arbiter.hold(ROOM);
    for number in 1..=65 {
        arbiter.command(ROOM, QosLane::AtLeastOnce, Numbered(number), true, now);
    }
    assert_eq!(
        actions(&mut arbiter),
        [CommandAction::TooMany(Numbered(65))]
    );
    arbiter.keep(ROOM);
    assert_eq!(actions(&mut arbiter).len(), 64);
    // At the end of the gateway nothing is kept.
    arbiter.hold(ROOM);
    arbiter.command(ROOM, QosLane::AtLeastOnce, Numbered(66), true, now);
    arbiter.stop(now);
    assert_eq!(actions(&mut arbiter), [CommandAction::PassOn(Numbered(66))]);
}

#[test]
fn a_marker_of_an_earlier_owner_that_was_slow_changes_nothing() {
    for arrival in [Arrival::HandedOver, Arrival::New, Arrival::TakenOver] {
        let (mut new, now) = (connected(), Instant::now());
        new.deputize(&room(), now);
        new.arrive(&room(), Arrival::HandedOver, 2);
        new.markers(|_| true, usize::MAX, now);
        for lane in LANES {
            new.own_marker(ROOM, lane);
        }
        for lane in LANES {
            new.others_marker(ROOM, lane, (arrival, 1), now);
        }
        assert_eq!(new.role(ROOM), Some(RoomRole::Owner));
        new.command(ROOM, LANES[0], Numbered(1), true, now);
        assert_eq!(actions(&mut new), [CommandAction::CarryOut(Numbered(1), 1)]);
        // That of a later one does, also before its own has come back.
        new.arrive(&room(), Arrival::TakenOver, 4);
        new.lose(ROOM, now);
        new.arrive(&room(), Arrival::TakenOver, 4);
        new.others_marker(ROOM, LANES[0], (arrival, 3), now);
        assert_eq!(new.role(ROOM), Some(RoomRole::Owner));
        new.others_marker(ROOM, LANES[0], (arrival, 5), now);
        assert_eq!(new.role(ROOM), Some(RoomRole::Deputy));
    }
}

#[test]
fn a_room_that_has_left_gets_no_marker_any_more() {
    let (mut arbiter, now) = (connected(), Instant::now());
    arbiter.arrive(&room(), Arrival::TakenOver, 1);
    // The broker was slow to grant the subscription, and it has to go again.
    assert!(arbiter.markers(|_| false, usize::MAX, now).is_empty());
    arbiter.hold(ROOM);
    arbiter.released(ROOM, now);
    arbiter.tick(true, now + LOST_MARKER_TIMEOUT);
    assert_eq!(arbiter.role(ROOM), Some(RoomRole::Deputy));
    assert!(arbiter.markers(|_| true, usize::MAX, now).is_empty());
}

#[test]
fn states_are_the_next_owners_from_the_release_on() {
    let (mut arbiter, now) = owner();
    arbiter.hold(ROOM);
    assert!(arbiter.publishes_states(ROOM));
    arbiter.released(ROOM, now);
    assert!(!arbiter.publishes_states(ROOM));
    assert_eq!(arbiter.role(ROOM), Some(RoomRole::Leaving));
}

/// The broker may take only some at a time.
#[test]
fn rooms_that_no_marker_has_place_for_stay_due() {
    let (mut arbiter, now) = (connected(), Instant::now());
    let rooms = ROOMS_A_MARKER * 2 + 1;
    for n in 0..rooms {
        let room = Arc::from(n.to_string());
        // Half of them move in later.
        arbiter.arrive(&room, Arrival::HandedOver, 2 + u64::from(n % 2 == 0));
    }
    assert!(arbiter.markers(|_| true, 0, now).is_empty());
    let mut named = BTreeSet::new();
    for _ in 0..3 {
        let due = arbiter.markers(|_| true, 1, now);
        let markers = due.values().flat_map(|rooms| rooms.chunks(ROOMS_A_MARKER));
        assert_eq!(markers.count(), 1);
        named.extend(due.into_values().flatten());
    }
    assert_eq!(named.len(), rooms);
}
