//! An owner dies: its deputy settles what it remembers, and each command is answered once.

use super::*;

/// Gateway 1 handed the room to gateway 2, which died before its marker; gateway 3 takes over. Gateway 1 passes on what
/// gateway 3 has heard too.
#[test]
fn a_command_that_is_settled_and_passed_on_is_answered_once() {
    let (mut hearing, now) = (TestHearing::default(), Instant::now());
    let lane = Lane::AtLeastOnce;
    hearing.deputize(&room(), now);
    for id in [1, 2] {
        hearing.command(ROOM, lane, Numbered(id), true, now);
    }
    hearing.take_over(&room(), 2);
    let settled = [Act::Settle(Numbered(1), 1), Act::Settle(Numbered(2), 1)];
    assert_eq!(acts(&mut hearing), settled);
    hearing.result_seen(ROOM, 1, now);
    hearing.answered(ROOM, (1, Some(1)), 1, true, now);
    hearing.answered(ROOM, (1, Some(2)), 2, true, now);
    assert_eq!(acts(&mut hearing), [Act::Publish(2)]);
    assert_eq!(hearing.take_dropped_results(), 1);
    // Another one of the same words, that is no repetition.
    hearing.result_seen(ROOM, 1, now);
    hearing.answered(ROOM, (1, None), 1, true, now);
    assert_eq!(acts(&mut hearing), [Act::Publish(1)]);
}

#[test]
fn what_the_broker_has_late_for_a_new_owner_may_have_been_carried_out_by_the_dead_one() {
    let (mut new, now) = (TestHearing::default(), Instant::now());
    new.deputize(&room(), now);
    // Its path to the broker stood still when the owner died.
    new.take_over(&room(), 2);
    new.markers(|_| true, now);
    new.command(ROOM, LANES[1], Numbered(1), true, now);
    assert_eq!(acts(&mut new), [Act::Settle(Numbered(1), 1)]);
    new.own_marker(ROOM, LANES[1]);
    new.command(ROOM, LANES[1], Numbered(2), true, now);
    assert_eq!(acts(&mut new), [Act::CarryOut(Numbered(2), 1)]);
}

#[test]
fn what_was_passed_on_to_a_gateway_that_died_is_answered_by_one() {
    let (mut former, now) = owner();
    former.hold(ROOM);
    former.released(ROOM, now);
    for number in [1, 2] {
        former.command(ROOM, LANES[1], Numbered(number), true, now);
    }
    let late = now + MARKER_TIMEOUT;
    former.tick(true, late);
    let passed_on = [1, 2].map(|number| Act::PassOn(Numbered(number)));
    assert_eq!(acts(&mut former), passed_on);
    // The next owner died before its marker came. The one that has taken over has settled one of them.
    former.result_seen(ROOM, 1, late);
    former.answered_for_other(ROOM, 1, 1);
    former.answered_for_other(ROOM, 2, 2);
    assert_eq!(acts(&mut former), [Act::Publish(2)]);
    assert_eq!(former.take_dropped_results(), 1);
}
