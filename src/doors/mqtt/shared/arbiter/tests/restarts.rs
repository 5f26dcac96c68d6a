//! An owner is started again and has received nothing: a deputy answers for what came before.

use super::*;

#[test]
fn a_deputy_settles_for_an_owner_that_was_not_subscribed() {
    let (mut new, now) = (connected(), Instant::now());
    let mut deputy = connected();
    deputy.deputize(&room(), now);
    for (number, lane) in (1..).zip(LANES) {
        deputy.command(ROOM, lane, Numbered(number), true, now);
    }
    new.arrive(&room(), Arrival::TakenBack, 2);
    let says = (Arrival::TakenBack, 2);
    assert_eq!(
        new.markers(|_| true, usize::MAX, now)
            .into_keys()
            .collect::<Vec<_>>(),
        [says]
    );
    // Between its subscription and its marker both receive a command.
    for arbiter in [&mut new, &mut deputy] {
        arbiter.command(ROOM, LANES[0], Numbered(3), true, now);
    }
    deputy.others_marker(ROOM, LANES[0], says, now);
    let settled = [1, 3].map(|number| CommandAction::SettleForOther(Numbered(number)));
    assert_eq!(actions(&mut deputy), settled);
    deputy.others_marker(ROOM, LANES[1], says, now);
    assert_eq!(
        actions(&mut deputy),
        [CommandAction::SettleForOther(Numbered(2))]
    );
    for lane in LANES {
        new.own_marker(ROOM, lane);
    }
    new.command(ROOM, LANES[0], Numbered(4), true, now);
    assert_eq!(actions(&mut new), [CommandAction::CarryOut(Numbered(4), 1)]);
    // On the next connection the marker says the same, if it has not come back.
    let mut other = connected();
    other.arrive(&room(), Arrival::TakenBack, 3);
    other.markers(|_| true, usize::MAX, now);
    other.disconnected(now);
    let again = (Arrival::TakenBack, 3);
    assert_eq!(
        other
            .markers(|_| true, usize::MAX, now)
            .into_keys()
            .collect::<Vec<_>>(),
        [again]
    );
}

#[test]
fn a_deputy_that_is_to_unsubscribe_keeps_what_nobody_else_may_know() {
    let lane = QosLane::AtLeastOnce;
    let deputy = || {
        let (mut deputy, now) = (connected(), Instant::now());
        deputy.deputize(&room(), now);
        for number in [1, 2] {
            deputy.command(ROOM, lane, Numbered(number), true, now);
        }
        deputy.unsubscribe(ROOM);
        deputy.command(ROOM, lane, Numbered(3), true, now);
        deputy.tick(true, now);
        assert_eq!(deputy.memory_of(ROOM), [1, 2]);
        (deputy, now)
    };
    // Its owner was started again and has received nothing.
    let (mut asked, now) = deputy();
    asked.others_marker(ROOM, LANES[0], (Arrival::TakenBack, 2), now);
    assert_eq!(actions(&mut asked), []);
    asked.others_marker(ROOM, LANES[1], (Arrival::TakenBack, 2), now);
    let settled = [1, 2].map(|number| CommandAction::SettleForOther(Numbered(number)));
    assert_eq!(actions(&mut asked), settled);
    asked.tick(true, now);
    assert_eq!(asked.role(ROOM), None);
    // The results come.
    let (mut answered, now) = deputy();
    answered.result_seen(ROOM, 1, now);
    answered.tick(true, now);
    assert_eq!(answered.role(ROOM), Some(RoomRole::Deputy));
    answered.result_seen(ROOM, 2, now);
    answered.tick(true, now);
    assert_eq!(answered.role(ROOM), None);
    // The owner has handed the room over, and answers for all.
    let (mut other, now) = deputy();
    other.others_marker(ROOM, LANES[1], (Arrival::HandedOver, 2), now);
    assert_eq!((other.role(ROOM), actions(&mut other)), (None, vec![]));
    // It is the deputy again, or the owner.
    let (mut again, now) = deputy();
    again.deputize(&room(), now);
    again.command(ROOM, lane, Numbered(4), true, now);
    assert_eq!(again.memory_of(ROOM), [1, 2, 4]);
    let (mut owner, _) = deputy();
    owner.arrive(&room(), Arrival::TakenOver, 2);
    let settled = [1, 2].map(|number| CommandAction::Settle(Numbered(number), 1));
    assert_eq!(actions(&mut owner), settled);
    owner.hold(ROOM);
    assert_eq!(owner.role(ROOM), Some(RoomRole::Leaving));
}
