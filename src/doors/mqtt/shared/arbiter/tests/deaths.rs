//! An owner dies: its deputy settles what it remembers, and each command is answered once.

use super::*;
use crate::doors::mqtt::shared::memory::LONGEST_COMMAND;

/// Gateway 1 handed the room to gateway 2, which died before its marker; gateway 3 takes over. Gateway 1 passes on what
/// gateway 3 has received too.
#[test]
fn a_command_that_is_settled_and_passed_on_is_answered_once() {
    let (mut arbiter, now) = (connected(), Instant::now());
    let lane = QosLane::AtLeastOnce;
    arbiter.deputize(&room(), now);
    for id in [1, 2] {
        arbiter.command(ROOM, lane, Numbered(id), true, now);
    }
    arbiter.arrive(&room(), Arrival::TakenOver, 2);
    let settled = [
        CommandAction::Settle(Numbered(1), 1),
        CommandAction::Settle(Numbered(2), 1),
    ];
    assert_eq!(actions(&mut arbiter), settled);
    arbiter.result_seen(ROOM, 1, now);
    arbiter.answered(ROOM, (1, Some(1)), 1, true, now);
    arbiter.answered(ROOM, (1, Some(2)), 2, true, now);
    assert_eq!(actions(&mut arbiter), [CommandAction::Publish(2)]);
    assert_eq!(arbiter.take_dropped_results(), 1);
    // Another one of the same words, that is no repetition.
    arbiter.result_seen(ROOM, 1, now);
    arbiter.answered(ROOM, (1, None), 1, true, now);
    assert_eq!(actions(&mut arbiter), [CommandAction::Publish(1)]);
}

#[test]
fn what_the_broker_has_late_for_a_new_owner_may_have_been_carried_out_by_the_dead_one() {
    let (mut new, now) = (connected(), Instant::now());
    new.deputize(&room(), now);
    // Its path to the broker stood still when the owner died.
    new.arrive(&room(), Arrival::TakenOver, 2);
    new.markers(|_| true, usize::MAX, now);
    new.command(ROOM, LANES[1], Numbered(1), true, now);
    assert_eq!(actions(&mut new), [CommandAction::Settle(Numbered(1), 1)]);
    new.own_marker(ROOM, LANES[1]);
    new.command(ROOM, LANES[1], Numbered(2), true, now);
    assert_eq!(actions(&mut new), [CommandAction::CarryOut(Numbered(2), 1)]);
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
    let passed_on = [1, 2].map(|number| CommandAction::PassOn(Numbered(number)));
    assert_eq!(actions(&mut former), passed_on);
    // The next owner died before its marker came. The one that has taken over has settled one of them.
    former.result_seen(ROOM, 1, late);
    former.answered_for_other(ROOM, 1, 1);
    former.answered_for_other(ROOM, 2, 2);
    assert_eq!(actions(&mut former), [CommandAction::Publish(2)]);
    assert_eq!(former.take_dropped_results(), 1);
}

/// The owner died soon after another gateway had become the deputy in place of this one.
#[test]
fn what_only_a_former_deputy_has_received_is_answered_in_the_end() {
    let former_deputy = || {
        let (mut arbiter, now) = (connected(), Instant::now());
        arbiter.deputize(&room(), now);
        for (lane, id) in [(LANES[0], 1), (LANES[1], 2)] {
            arbiter.command(ROOM, lane, Numbered(id), true, now);
        }
        arbiter.unsubscribe(ROOM);
        for lane in LANES {
            arbiter.others_marker(ROOM, lane, (Arrival::TakenOver, 2), now);
        }
        // The new owner has received one of them, and hands the room on.
        arbiter.result_seen(ROOM, 1, now);
        for lane in LANES {
            arbiter.others_marker(ROOM, lane, (Arrival::HandedOver, 3), now);
        }
        arbiter.tick(true, now);
        assert_eq!(actions(&mut arbiter), []);
        (arbiter, now + LONGEST_COMMAND)
    };
    let (mut arbiter, late) = former_deputy();
    arbiter.tick(true, late);
    assert_eq!(
        actions(&mut arbiter),
        [CommandAction::Unanswered(Numbered(2))]
    );
    arbiter.tick(true, late);
    assert_eq!((actions(&mut arbiter), arbiter.role(ROOM)), (vec![], None));
    // Its result may have come while there was no connection.
    let (mut arbiter, late) = former_deputy();
    arbiter.disconnected(Instant::now());
    arbiter.tick(true, late);
    assert_eq!(actions(&mut arbiter), []);
    // The new owner has received all.
    let (mut arbiter, now) = former_deputy();
    arbiter.result_seen(ROOM, 2, now);
    arbiter.tick(true, now);
    assert_eq!((actions(&mut arbiter), arbiter.role(ROOM)), (vec![], None));
}

#[test]
fn what_a_gateway_held_that_died_after_the_release_is_answered_by_the_next_owner() {
    let (mut new, now) = (connected(), Instant::now());
    new.deputize(&room(), now);
    new.command(ROOM, LANES[1], Numbered(1), true, now);
    new.arrive(&room(), Arrival::HandedOver, 2);
    assert_eq!(new.markers(|_| true, usize::MAX, now), moved());
    new.command(ROOM, LANES[1], Numbered(2), true, now);
    for lane in LANES {
        new.own_marker(ROOM, lane);
    }
    // The former owner has answered one before it died.
    new.result_seen(ROOM, 1, now);
    new.tick(true, now + LONGEST_COMMAND);
    assert_eq!(actions(&mut new), [CommandAction::Unanswered(Numbered(2))]);
    // A deputy forgets, as long as an owner is there that answers.
    let (mut deputy, now) = (connected(), Instant::now());
    deputy.deputize(&room(), now);
    deputy.command(ROOM, LANES[1], Numbered(1), true, now);
    deputy.others_marker(ROOM, LANES[1], (Arrival::HandedOver, 2), now);
    deputy.tick(true, now + LONGEST_COMMAND);
    assert_eq!(
        (actions(&mut deputy), deputy.memory_of(ROOM)),
        (vec![], vec![])
    );
}
