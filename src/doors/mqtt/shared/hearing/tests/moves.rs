//! A room moves to another gateway as planned: markers that are slow, lost or of an earlier owner.

use super::*;

#[test]
fn until_a_slow_marker_comes_the_former_owner_passes_on_and_the_new_one_waits() {
    let (mut old, now) = owner();
    let lane = Lane::AtLeastOnce;
    old.hold(ROOM);
    old.command(ROOM, lane, Numbered(1), true, now);
    old.released(ROOM, now);
    old.deputize(&room(), now);
    old.tick(true, now + MARKER_TIMEOUT / 2);
    assert!(acts(&mut old).is_empty());
    old.tick(true, now + MARKER_TIMEOUT);
    assert_eq!(acts(&mut old), [Act::PassOn(Numbered(1))]);
    let mut new = TestHearing::default();
    new.move_in(&room(), 2);
    assert!(new.markers(|_| false, now).is_empty());
    assert_eq!(new.markers(|_| true, now), moved());
    let late = now + MARKER_TIMEOUT * 3;
    for hearing in [&mut old, &mut new] {
        hearing.tick(true, late);
        hearing.command(ROOM, lane, Numbered(2), true, late);
    }
    assert_eq!(acts(&mut old), [Act::PassOn(Numbered(2))]);
    assert!(acts(&mut new).is_empty());
    old.others_marker(ROOM, lane, (Arrival::Moved, 2), late);
    new.own_marker(ROOM, lane);
    for hearing in [&mut old, &mut new] {
        hearing.command(ROOM, lane, Numbered(3), true, late);
    }
    assert!(acts(&mut old).is_empty());
    assert_eq!(acts(&mut new), [Act::CarryOut(Numbered(3), 1)]);
}

#[test]
fn where_a_marker_is_lost_the_new_owner_begins_after_the_former_one_has_ended() {
    let (mut old, now) = owner();
    let lane = Lane::AtMostOnce;
    old.hold(ROOM);
    old.released(ROOM, now);
    old.stop_hearing(ROOM);
    let mut new = TestHearing::default();
    new.move_in(&room(), 2);
    new.markers(|_| true, now);
    new.tick(true, now + LOST_MARKER_TIMEOUT);
    old.tick(true, now + LOST_MARKER_TIMEOUT);
    assert_eq!(old.role(ROOM), None);
    new.command(ROOM, lane, Numbered(1), true, now);
    assert!(acts(&mut new).is_empty());
    new.tick(true, now + OWN_MARKER_TIMEOUT);
    new.command(ROOM, lane, Numbered(2), true, now);
    assert_eq!(acts(&mut new), [Act::CarryOut(Numbered(2), 1)]);
}

#[test]
fn a_marker_that_was_lost_with_the_connection_is_sent_again() {
    let (mut hearing, now) = (TestHearing::default(), Instant::now());
    hearing.move_in(&room(), 2);
    hearing.markers(|_| true, now);
    hearing.own_marker(ROOM, Lane::AtMostOnce);
    hearing.disconnected();
    assert_eq!(hearing.markers(|_| true, now), moved());
    for lane in LANES {
        hearing.own_marker(ROOM, lane);
    }
    hearing.disconnected();
    assert!(hearing.markers(|_| true, now).is_empty());
}

#[test]
fn a_move_that_is_given_up_carries_out_what_was_held() {
    let (mut hearing, now) = owner();
    hearing.hold(ROOM);
    for number in 1..=65 {
        hearing.command(ROOM, Lane::AtLeastOnce, Numbered(number), true, now);
    }
    assert_eq!(acts(&mut hearing), [Act::TooMany(Numbered(65))]);
    hearing.keep(ROOM);
    assert_eq!(acts(&mut hearing).len(), 64);
    // At the end of the gateway nothing is kept.
    hearing.hold(ROOM);
    hearing.command(ROOM, Lane::AtLeastOnce, Numbered(66), true, now);
    hearing.stop();
    assert_eq!(acts(&mut hearing), [Act::PassOn(Numbered(66))]);
}

#[test]
fn a_marker_of_an_earlier_owner_that_was_slow_changes_nothing() {
    for arrival in [Arrival::Moved, Arrival::Begun, Arrival::TakenOver] {
        let (mut new, now) = (TestHearing::default(), Instant::now());
        new.deputize(&room(), now);
        new.move_in(&room(), 2);
        new.markers(|_| true, now);
        for lane in LANES {
            new.own_marker(ROOM, lane);
        }
        for lane in LANES {
            new.others_marker(ROOM, lane, (arrival, 1), now);
        }
        assert_eq!(new.role(ROOM), Some(RoomRole::Owner));
        new.command(ROOM, LANES[0], Numbered(1), true, now);
        assert_eq!(acts(&mut new), [Act::CarryOut(Numbered(1), 1)]);
        // That of a later one does, also before its own has come back.
        new.take_over(&room(), 4);
        new.lose(ROOM, now);
        new.take_over(&room(), 4);
        new.others_marker(ROOM, LANES[0], (arrival, 3), now);
        assert_eq!(new.role(ROOM), Some(RoomRole::Owner));
        new.others_marker(ROOM, LANES[0], (arrival, 5), now);
        assert_eq!(new.role(ROOM), Some(RoomRole::Deputy));
    }
}

#[test]
fn a_room_that_has_left_gets_no_marker_any_more() {
    let (mut hearing, now) = (TestHearing::default(), Instant::now());
    hearing.take_over(&room(), 1);
    // The broker was slow to let it hear the room, and it has to go again.
    assert!(hearing.markers(|_| false, now).is_empty());
    hearing.hold(ROOM);
    hearing.released(ROOM, now);
    hearing.tick(true, now + LOST_MARKER_TIMEOUT);
    assert_eq!(hearing.role(ROOM), Some(RoomRole::Deputy));
    assert!(hearing.markers(|_| true, now).is_empty());
}

#[test]
fn states_are_the_next_owners_from_the_release_on() {
    let (mut hearing, now) = owner();
    hearing.hold(ROOM);
    assert!(hearing.publishes_states(ROOM));
    hearing.released(ROOM, now);
    assert!(!hearing.publishes_states(ROOM));
    assert_eq!(hearing.role(ROOM), Some(RoomRole::Leaving));
}
