//! Two gateways at a model of a broker, which gives all subscribers the same order of each lane: whatever
//! comes when, each command is carried out once and answered once.

use proptest::prelude::*;

use super::*;

#[derive(Debug, PartialEq, Eq)]
struct Numbered(u32);

impl HeardCommand for Numbered {
    type Id = u32;
    fn id(&self) -> u32 {
        self.0
    }
    fn size(&self) -> usize {
        1
    }
    fn shorten(&mut self) {}
}

type TestHearing = Hearing<Numbered, u32>;

const ROOM: &str = "1";
const LANES: [Lane; 2] = [Lane::AtMostOnce, Lane::AtLeastOnce];

fn room() -> Arc<str> {
    ROOM.into()
}

#[derive(Debug, Clone, Copy)]
enum Message {
    Command(u32),
    Marker(usize, (Arrival, Revision)),
    Result(u32),
}

#[derive(Default)]
struct Gateway {
    hearing: TestHearing,
    subscribed: bool,
    dead: bool,
    queues: [VecDeque<Message>; 2],
    /// Commands that the device carries out now.
    running: Vec<(u32, Term)>,
}

/// Where a planned move is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Settled,
    Subscribed,
    Held,
    Released,
    Taken,
    Told,
}

struct Model {
    gateways: [Gateway; 2],
    owner: usize,
    step: Step,
    now: Instant,
    /// Of the newest owner.
    revision: Revision,
    sent: u32,
    carried_out: BTreeMap<u32, u32>,
    answered: BTreeMap<u32, u32>,
}

impl Model {
    fn new() -> Self {
        let mut model = Self {
            gateways: Default::default(),
            owner: 0,
            step: Step::Settled,
            now: Instant::now(),
            revision: 1,
            sent: 0,
            carried_out: BTreeMap::new(),
            answered: BTreeMap::new(),
        };
        model.gateways[0].hearing.begin(&room(), 1);
        model.gateways[0].subscribed = true;
        model.markers(0);
        model.drain();
        model
    }

    fn publish(&mut self, lane: Lane, message: Message) {
        for gateway in self.gateways.iter_mut().filter(|it| it.subscribed) {
            gateway.queues[lane.index()].push_back(message);
        }
    }

    fn command(&mut self, lane: Lane) {
        self.sent += 1;
        self.publish(lane, Message::Command(self.sent));
    }

    fn markers(&mut self, of: usize) {
        for (says, _) in self.gateways[of].hearing.markers(|_| true, self.now) {
            for lane in LANES {
                self.publish(lane, Message::Marker(of, says));
            }
        }
    }

    fn deliver(&mut self, to: usize, lane: Lane) {
        let now = self.now;
        let gateway = &mut self.gateways[to];
        let Some(message) = gateway.queues[lane.index()].pop_front() else {
            return;
        };
        match message {
            Message::Command(id) => {
                let command = Numbered(id);
                (gateway.hearing).command(ROOM, lane, command, true, now);
            }
            Message::Marker(of, _) if of == to => gateway.hearing.own_marker(ROOM, lane),
            Message::Marker(_, says) => {
                gateway.hearing.others_marker(ROOM, lane, says, now);
            }
            Message::Result(id) => gateway.hearing.result_seen(ROOM, id, now),
        }
        self.act(to);
    }

    fn act(&mut self, at: usize) {
        while let Some(act) = self.gateways[at].hearing.next_act() {
            match act {
                Act::CarryOut(Numbered(id), term) => {
                    *self.carried_out.entry(id).or_default() += 1;
                    self.gateways[at].running.push((id, term));
                }
                Act::PassOn(Numbered(id)) => {
                    *self.carried_out.entry(id).or_default() += 1;
                    self.answer(id);
                }
                // Whether it is carried out again is another question; it is answered.
                Act::Settle(Numbered(id), _) | Act::SettleForOther(Numbered(id)) => self.answer(id),
                Act::Publish(id) => self.answer(id),
                Act::TooMany(_) | Act::NoOwner(_) => panic!("{act:?}"),
            }
        }
        // A marker that had to wait.
        if self.step == Step::Told {
            self.markers(1 - self.owner);
        } else {
            self.markers(self.owner);
        }
        // A gateway that hears the room no more unsubscribes.
        let gateway = &mut self.gateways[at];
        gateway.subscribed &= gateway.hearing.role(ROOM).is_some();
    }

    fn answer(&mut self, id: u32) {
        *self.answered.entry(id).or_default() += 1;
        self.publish(Lane::AtLeastOnce, Message::Result(id));
    }

    /// The device has carried out the oldest command.
    fn finish(&mut self, at: usize) {
        let gateway = &mut self.gateways[at];
        if !gateway.running.is_empty() && !gateway.dead {
            let (id, term) = gateway.running.remove(0);
            gateway
                .hearing
                .answered(ROOM, (term, None), id, true, self.now);
            self.act(at);
        }
    }

    /// The next step of a move. What has begun is finished before the room is released.
    fn advance(&mut self, stays_deputy: bool) {
        let (old, new) = (self.owner, 1 - self.owner);
        let established = self.gateways[old].hearing.is_established(ROOM);
        if self.step == Step::Subscribed && !established {
            return;
        }
        self.step = match self.step {
            Step::Settled => {
                let gateway = &mut self.gateways[new];
                // What the broker had for it before it unsubscribed is of no use. Remembered, it would expire.
                if !std::mem::replace(&mut gateway.subscribed, true) {
                    gateway.queues = Default::default();
                }
                gateway.hearing.deputize(&room(), self.now);
                Step::Subscribed
            }
            Step::Subscribed => {
                self.gateways[old].hearing.hold(ROOM);
                Step::Held
            }
            Step::Held => {
                while !self.gateways[old].running.is_empty() {
                    self.finish(old);
                }
                self.gateways[old].hearing.released(ROOM, self.now);
                Step::Released
            }
            Step::Released => {
                self.revision += 1;
                let revision = self.revision;
                self.gateways[new].hearing.move_in(&room(), revision);
                Step::Taken
            }
            Step::Taken => {
                self.markers(new);
                Step::Told
            }
            Step::Told => {
                match stays_deputy {
                    true => self.gateways[old].hearing.deputize(&room(), self.now),
                    false => self.gateways[old].hearing.stop_hearing(ROOM),
                }
                self.owner = new;
                Step::Settled
            }
        };
        self.act(old);
        self.act(new);
    }

    fn do_one(&mut self, choice: u8) {
        let lane = LANES[usize::from(choice & 1)];
        let at = usize::from(choice >> 1 & 1);
        match choice >> 2 & 7 {
            0 | 1 => self.command(lane),
            2..5 => self.deliver(at, lane),
            5 => self.finish(at),
            _ => self.advance(choice & 1 == 0),
        }
    }

    fn drain(&mut self) {
        for _ in 0..2_000 {
            for at in 0..2 {
                if self.gateways[at].dead {
                    continue;
                }
                for lane in LANES {
                    self.deliver(at, lane);
                }
                self.finish(at);
            }
        }
    }

    /// The owner dies, and the other one learns of it.
    fn kill_owner(&mut self) {
        // Whoever may touch the device; from the release on that is the next one.
        let dead = match self.step {
            Step::Taken | Step::Told => 1 - self.owner,
            _ => self.owner,
        };
        let gateway = &mut self.gateways[dead];
        (gateway.dead, gateway.subscribed) = (true, false);
        gateway.queues = Default::default();
        self.drain();
        let other = 1 - dead;
        self.revision += 1;
        let revision = self.revision;
        self.gateways[other].hearing.take_over(&room(), revision);
        self.act(other);
        self.markers(other);
        self.drain();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn each_command_is_carried_out_once_however_a_room_moves(choices in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut model = Model::new();
        for choice in choices {
            model.do_one(choice);
        }
        // A move that has begun comes to its end.
        while model.step != Step::Settled {
            model.drain();
            model.advance(true);
        }
        model.drain();
        for id in 1..=model.sent {
            prop_assert_eq!(model.carried_out.get(&id), Some(&1), "command {}", id);
            prop_assert_eq!(model.answered.get(&id), Some(&1), "command {}", id);
        }
        // And no deputy waits for a result that came.
        for gateway in &model.gateways {
            prop_assert_eq!(gateway.hearing.memory_of(ROOM), Vec::<u32>::new());
        }
    }

    /// The other one must have heard the room before.
    #[test]
    fn each_command_is_answered_once_when_the_owner_dies(
        choices in prop::collection::vec(any::<u8>(), 0..100),
        later in prop::collection::vec(0..12_u8, 0..20),
    ) {
        let mut model = Model::new();
        model.advance(true);
        model.drain();
        for choice in choices {
            // A deputy stays one: what the owner had not heard when it died, nobody else remembers.
            match choice >> 2 & 7 {
                6.. => model.advance(true),
                _ => model.do_one(choice),
            }
            if model.step == Step::Settled {
                model.advance(true);
            }
        }
        let other = model.gateways.iter().all(|it| it.hearing.role(ROOM).is_some());
        prop_assume!(other && model.gateways.iter().all(|it| it.subscribed));
        model.kill_owner();
        for choice in later {
            model.do_one(choice & 3);
            model.do_one(choice | 8);
        }
        model.drain();
        for id in 1..=model.sent {
            prop_assert!(model.carried_out.get(&id).is_none_or(|times| *times == 1), "command {}", id);
            prop_assert_eq!(model.answered.get(&id), Some(&1), "command {}", id);
        }
    }
}

fn owner() -> (TestHearing, Instant) {
    let (mut hearing, now) = (TestHearing::default(), Instant::now());
    hearing.begin(&room(), 1);
    hearing.markers(|_| true, now);
    for lane in LANES {
        hearing.own_marker(ROOM, lane);
    }
    (hearing, now)
}

/// What a marker says of a room that has moved in with revision 2.
fn moved() -> BTreeMap<(Arrival, Revision), Vec<Arc<str>>> {
    BTreeMap::from([((Arrival::Moved, 2), vec![room()])])
}

fn acts(hearing: &mut TestHearing) -> Vec<Act<Numbered, u32>> {
    std::iter::from_fn(|| hearing.next_act()).collect()
}

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
    // Another owner answers for all.
    let (mut other, now) = deputy();
    other.others_marker(ROOM, LANES[1], (Arrival::TakenOver, 2), now);
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
