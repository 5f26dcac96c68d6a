//! An owner may not touch its room, for a moment or because another gateway has it.

use super::*;

#[test]
fn while_the_fence_is_closed_commands_and_results_wait() {
    let (mut arbiter, now) = owner();
    let lane = QosLane::AtLeastOnce;
    arbiter.command(ROOM, lane, Numbered(1), true, now);
    assert_eq!(
        actions(&mut arbiter),
        [CommandAction::CarryOut(Numbered(1), 1)]
    );
    arbiter.command(ROOM, lane, Numbered(2), false, now);
    arbiter.answered(ROOM, (1, None), 1, false, now);
    arbiter.tick(false, now);
    assert!(actions(&mut arbiter).is_empty());
    // It was a short pause.
    arbiter.tick(true, now);
    assert_eq!(
        actions(&mut arbiter),
        [
            CommandAction::CarryOut(Numbered(2), 1),
            CommandAction::Publish(1)
        ]
    );
    // In their order, also if no tick comes between.
    arbiter.command(ROOM, lane, Numbered(3), false, now);
    arbiter.command(ROOM, lane, Numbered(4), true, now);
    assert_eq!(
        actions(&mut arbiter),
        [
            CommandAction::CarryOut(Numbered(3), 1),
            CommandAction::CarryOut(Numbered(4), 1)
        ]
    );
}

#[test]
fn a_gateway_that_was_paused_leaves_everything_to_the_one_that_took_over() {
    let (mut arbiter, now) = owner();
    arbiter.command(ROOM, QosLane::AtLeastOnce, Numbered(1), true, now);
    actions(&mut arbiter);
    // It comes to itself: the broker has more for it, and the other one's marker after that.
    arbiter.command(ROOM, QosLane::AtLeastOnce, Numbered(2), false, now);
    arbiter.answered(ROOM, (1, None), 1, false, now);
    arbiter.others_marker(ROOM, QosLane::AtLeastOnce, (Arrival::TakenOver, 2), now);
    arbiter.answered(ROOM, (1, None), 3, false, now);
    arbiter.tick(true, now + LOST_TIMEOUT * 2);
    assert!(actions(&mut arbiter).is_empty());
    assert_eq!(arbiter.role(ROOM), Some(RoomRole::Deputy));
    assert_eq!(arbiter.take_dropped_results(), 2);
    assert_eq!(arbiter.memory_of(ROOM), [2]);
}

#[test]
fn a_room_that_nobody_takes_is_answered_by_the_one_that_lost_it() {
    let (mut arbiter, now) = owner();
    let lane = QosLane::AtMostOnce;
    arbiter.command(ROOM, lane, Numbered(1), true, now);
    arbiter.command(ROOM, lane, Numbered(2), false, now);
    actions(&mut arbiter);
    arbiter.lose(ROOM, now);
    arbiter.command(ROOM, lane, Numbered(3), false, now);
    arbiter.answered(ROOM, (1, None), 1, false, now);
    arbiter.tick(false, now + LOST_TIMEOUT / 2);
    assert!(actions(&mut arbiter).is_empty());
    arbiter.tick(false, now + LOST_TIMEOUT);
    let expected = [
        CommandAction::NoOwner(Numbered(2)),
        CommandAction::NoOwner(Numbered(3)),
        CommandAction::Publish(1),
    ];
    assert_eq!(actions(&mut arbiter), expected);
    // It gets the room back.
    arbiter.arrive(&room(), Arrival::New, 2);
    arbiter.command(ROOM, lane, Numbered(4), true, now);
    assert_eq!(
        actions(&mut arbiter),
        [CommandAction::CarryOut(Numbered(4), 2)]
    );
}

#[test]
fn a_room_whose_next_owner_is_known_is_not_answered_by_the_one_that_lost_it() {
    let (mut paused, now) = owner();
    let lane = QosLane::AtLeastOnce;
    // It was paused, and reads what the broker has for it before it learns that it has lost the room.
    paused.others_marker(ROOM, lane, (Arrival::TakenOver, 2), now);
    paused.lose(ROOM, now);
    assert_eq!(paused.role(ROOM), Some(RoomRole::Deputy));
    paused.command(ROOM, lane, Numbered(1), false, now);
    paused.tick(false, now + LOST_TIMEOUT);
    assert_eq!(actions(&mut paused), []);
    // It lost the room first.
    let (mut paused, now) = owner();
    paused.lose(ROOM, now);
    paused.command(ROOM, lane, Numbered(1), false, now);
    paused.tick(false, now + LOST_TIMEOUT);
    assert_eq!(actions(&mut paused), [CommandAction::NoOwner(Numbered(1))]);
}
