//! An owner is started again and has heard nothing: a deputy answers for what came before.

use super::*;

#[test]
fn a_deputy_settles_for_an_owner_that_has_not_heard_the_room() {
    let (mut new, now) = (TestHearing::default(), Instant::now());
    let mut deputy = TestHearing::default();
    deputy.deputize(&room(), now);
    for (number, lane) in (1..).zip(LANES) {
        deputy.command(ROOM, lane, Numbered(number), true, now);
    }
    new.take_back(&room(), 2);
    let says = (Arrival::TakenOverUnheard, 2);
    assert_eq!(
        new.markers(|_| true, now).into_keys().collect::<Vec<_>>(),
        [says]
    );
    // Between its subscription and its marker both hear a command.
    for hearing in [&mut new, &mut deputy] {
        hearing.command(ROOM, LANES[0], Numbered(3), true, now);
    }
    deputy.others_marker(ROOM, LANES[0], says, now);
    let settled = [1, 3].map(|number| Act::SettleForOther(Numbered(number)));
    assert_eq!(acts(&mut deputy), settled);
    deputy.others_marker(ROOM, LANES[1], says, now);
    assert_eq!(acts(&mut deputy), [Act::SettleForOther(Numbered(2))]);
    for lane in LANES {
        new.own_marker(ROOM, lane);
    }
    new.command(ROOM, LANES[0], Numbered(4), true, now);
    assert_eq!(acts(&mut new), [Act::CarryOut(Numbered(4), 1)]);
    // On the next connection the marker says the same, if it has not come back.
    let mut other = TestHearing::default();
    other.take_back(&room(), 3);
    other.markers(|_| true, now);
    other.disconnected();
    let again = (Arrival::TakenOverUnheard, 3);
    assert_eq!(
        other.markers(|_| true, now).into_keys().collect::<Vec<_>>(),
        [again]
    );
}

#[test]
fn a_deputy_that_is_to_hear_no_more_keeps_what_nobody_else_may_know() {
    let lane = Lane::AtLeastOnce;
    let deputy = || {
        let (mut deputy, now) = (TestHearing::default(), Instant::now());
        deputy.deputize(&room(), now);
        for number in [1, 2] {
            deputy.command(ROOM, lane, Numbered(number), true, now);
        }
        deputy.stop_hearing(ROOM);
        deputy.command(ROOM, lane, Numbered(3), true, now);
        deputy.tick(true, now);
        assert_eq!(deputy.memory_of(ROOM), [1, 2]);
        (deputy, now)
    };
    // Its owner was started again and has heard nothing.
    let (mut asked, now) = deputy();
    asked.others_marker(ROOM, LANES[0], (Arrival::TakenOverUnheard, 2), now);
    assert_eq!(acts(&mut asked), []);
    asked.others_marker(ROOM, LANES[1], (Arrival::TakenOverUnheard, 2), now);
    let settled = [1, 2].map(|number| Act::SettleForOther(Numbered(number)));
    assert_eq!(acts(&mut asked), settled);
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
    other.others_marker(ROOM, LANES[1], (Arrival::Moved, 2), now);
    assert_eq!((other.role(ROOM), acts(&mut other)), (None, vec![]));
    // It is the deputy again, or the owner.
    let (mut again, now) = deputy();
    again.deputize(&room(), now);
    again.command(ROOM, lane, Numbered(4), true, now);
    assert_eq!(again.memory_of(ROOM), [1, 2, 4]);
    let (mut owner, _) = deputy();
    owner.take_over(&room(), 2);
    let settled = [1, 2].map(|number| Act::Settle(Numbered(number), 1));
    assert_eq!(acts(&mut owner), settled);
    owner.hold(ROOM);
    assert_eq!(owner.role(ROOM), Some(RoomRole::Leaving));
}
