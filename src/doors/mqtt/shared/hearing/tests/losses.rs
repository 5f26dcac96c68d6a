//! An owner may not touch its room, for a moment or because another gateway has it.

use super::*;

#[test]
fn while_the_fence_is_closed_commands_and_results_wait() {
    let (mut hearing, now) = owner();
    let lane = Lane::AtLeastOnce;
    hearing.command(ROOM, lane, Numbered(1), true, now);
    assert_eq!(acts(&mut hearing), [Act::CarryOut(Numbered(1), 1)]);
    hearing.command(ROOM, lane, Numbered(2), false, now);
    hearing.answered(ROOM, (1, None), 1, false, now);
    hearing.tick(false, now);
    assert!(acts(&mut hearing).is_empty());
    // It was a short pause.
    hearing.tick(true, now);
    assert_eq!(
        acts(&mut hearing),
        [Act::CarryOut(Numbered(2), 1), Act::Publish(1)]
    );
    // In their order, also if no tick comes between.
    hearing.command(ROOM, lane, Numbered(3), false, now);
    hearing.command(ROOM, lane, Numbered(4), true, now);
    assert_eq!(
        acts(&mut hearing),
        [Act::CarryOut(Numbered(3), 1), Act::CarryOut(Numbered(4), 1)]
    );
}

#[test]
fn a_gateway_that_was_paused_leaves_everything_to_the_one_that_took_over() {
    let (mut hearing, now) = owner();
    hearing.command(ROOM, Lane::AtLeastOnce, Numbered(1), true, now);
    acts(&mut hearing);
    // It comes to itself: the broker has more for it, and the other one's marker after that.
    hearing.command(ROOM, Lane::AtLeastOnce, Numbered(2), false, now);
    hearing.answered(ROOM, (1, None), 1, false, now);
    hearing.others_marker(ROOM, Lane::AtLeastOnce, (Arrival::TakenOver, 2), now);
    hearing.answered(ROOM, (1, None), 3, false, now);
    hearing.tick(true, now + LOST_TIMEOUT * 2);
    assert!(acts(&mut hearing).is_empty());
    assert_eq!(hearing.role(ROOM), Some(RoomRole::Deputy));
    assert_eq!(hearing.take_dropped_results(), 2);
    assert_eq!(hearing.memory_of(ROOM), [2]);
}

#[test]
fn a_room_that_nobody_takes_is_answered_by_the_one_that_lost_it() {
    let (mut hearing, now) = owner();
    let lane = Lane::AtMostOnce;
    hearing.command(ROOM, lane, Numbered(1), true, now);
    hearing.command(ROOM, lane, Numbered(2), false, now);
    acts(&mut hearing);
    hearing.lose(ROOM, now);
    hearing.command(ROOM, lane, Numbered(3), false, now);
    hearing.answered(ROOM, (1, None), 1, false, now);
    hearing.tick(false, now + LOST_TIMEOUT / 2);
    assert!(acts(&mut hearing).is_empty());
    hearing.tick(false, now + LOST_TIMEOUT);
    let expected = [
        Act::NoOwner(Numbered(2)),
        Act::NoOwner(Numbered(3)),
        Act::Publish(1),
    ];
    assert_eq!(acts(&mut hearing), expected);
    // It gets the room back.
    hearing.begin(&room(), 2);
    hearing.command(ROOM, lane, Numbered(4), true, now);
    assert_eq!(acts(&mut hearing), [Act::CarryOut(Numbered(4), 2)]);
}

#[test]
fn a_room_whose_next_owner_is_known_is_not_answered_by_the_one_that_lost_it() {
    let (mut paused, now) = owner();
    let lane = Lane::AtLeastOnce;
    // It was paused, and reads what the broker has for it before it learns that it has lost the room.
    paused.others_marker(ROOM, lane, (Arrival::TakenOver, 2), now);
    paused.lose(ROOM, now);
    assert_eq!(paused.role(ROOM), Some(RoomRole::Deputy));
    paused.command(ROOM, lane, Numbered(1), false, now);
    paused.tick(false, now + LOST_TIMEOUT);
    assert_eq!(acts(&mut paused), []);
    // It lost the room first.
    let (mut paused, now) = owner();
    paused.lose(ROOM, now);
    paused.command(ROOM, lane, Numbered(1), false, now);
    paused.tick(false, now + LOST_TIMEOUT);
    assert_eq!(acts(&mut paused), [Act::NoOwner(Numbered(1))]);
}
