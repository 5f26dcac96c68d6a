//! Two gateways at a model of a broker, which gives all subscribers the same order of each lane: whatever
//! comes when, each command is carried out once and answered once.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone, Copy)]
enum Message {
    Command(u32),
    Marker(usize, (Arrival, Revision)),
    Result(u32),
}

#[derive(Default)]
struct Gateway {
    arbiter: TestArbiter,
    subscribed: bool,
    /// It has no connection to the broker.
    away: bool,
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
    loses_connections: bool,
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
            loses_connections: false,
            sent: 0,
            carried_out: BTreeMap::new(),
            answered: BTreeMap::new(),
        };
        for gateway in &mut model.gateways {
            gateway.arbiter.hears_markers();
        }
        model.gateways[0].arbiter.arrive(&room(), Arrival::New, 1);
        model.gateways[0].subscribed = true;
        model.markers(0);
        model.drain();
        model
    }

    fn publish(&mut self, lane: QosLane, message: Message) {
        let gateways = self.gateways.iter_mut();
        for gateway in gateways.filter(|it| it.subscribed && !it.away) {
            gateway.queues[lane.index()].push_back(message);
        }
    }

    fn command(&mut self, lane: QosLane) {
        self.sent += 1;
        self.publish(lane, Message::Command(self.sent));
    }

    fn markers(&mut self, of: usize) {
        if self.gateways[of].away {
            return;
        }
        for (says, _) in self.gateways[of]
            .arbiter
            .markers(|_| true, usize::MAX, self.now)
        {
            for lane in LANES {
                self.publish(lane, Message::Marker(of, says));
            }
        }
    }

    fn deliver(&mut self, to: usize, lane: QosLane) {
        let now = self.now;
        let gateway = &mut self.gateways[to];
        let Some(message) = gateway.queues[lane.index()].pop_front() else {
            return;
        };
        match message {
            Message::Command(id) => {
                let command = Numbered(id);
                (gateway.arbiter).command(ROOM, lane, command, true, now);
            }
            Message::Marker(of, _) if of == to => gateway.arbiter.own_marker(ROOM, lane),
            Message::Marker(_, says) => {
                gateway.arbiter.others_marker(ROOM, lane, says, now);
            }
            Message::Result(id) => gateway.arbiter.result_seen(ROOM, id, now),
        }
        self.act(to);
    }

    fn act(&mut self, at: usize) {
        while let Some(action) = self.gateways[at].arbiter.next_action() {
            match action {
                CommandAction::CarryOut(Numbered(id), term) => {
                    *self.carried_out.entry(id).or_default() += 1;
                    self.gateways[at].running.push((id, term));
                }
                CommandAction::PassOn(Numbered(id)) => {
                    *self.carried_out.entry(id).or_default() += 1;
                    self.answer(id);
                }
                // Whether it is carried out again is another question; it is answered.
                CommandAction::Settle(Numbered(id), _)
                | CommandAction::SettleForOther(Numbered(id)) => self.answer(id),
                CommandAction::Publish(id) => self.answer(id),
                CommandAction::Unanswered(Numbered(id)) if self.loses_connections => {
                    self.answer(id)
                }
                CommandAction::TooMany(_)
                | CommandAction::NoOwner(_)
                | CommandAction::Unanswered(_) => panic!("{action:?}"),
            }
        }
        // A marker that had to wait.
        if self.step == Step::Told {
            self.markers(1 - self.owner);
        } else {
            self.markers(self.owner);
        }
        // A gateway that has no use for the room any more unsubscribes.
        let gateway = &mut self.gateways[at];
        gateway.subscribed &= gateway.arbiter.role(ROOM).is_some();
    }

    fn answer(&mut self, id: u32) {
        *self.answered.entry(id).or_default() += 1;
        self.publish(QosLane::AtLeastOnce, Message::Result(id));
    }

    /// The device has carried out the oldest command.
    fn finish(&mut self, at: usize) {
        let gateway = &mut self.gateways[at];
        if !gateway.running.is_empty() && !gateway.dead {
            let (id, term) = gateway.running.remove(0);
            gateway
                .arbiter
                .answered(ROOM, (term, None), id, true, self.now);
            self.act(at);
        }
    }

    /// The next step of a move. What has begun is finished before the room is released.
    fn advance(&mut self, stays_deputy: bool) {
        let (old, new) = (self.owner, 1 - self.owner);
        let established = self.gateways[old].arbiter.is_established(ROOM);
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
                gateway.arbiter.deputize(&room(), self.now);
                Step::Subscribed
            }
            Step::Subscribed => {
                self.gateways[old].arbiter.hold(ROOM);
                Step::Held
            }
            Step::Held => {
                while !self.gateways[old].running.is_empty() {
                    self.finish(old);
                }
                self.gateways[old].arbiter.released(ROOM, self.now);
                Step::Released
            }
            Step::Released => {
                self.revision += 1;
                let revision = self.revision;
                self.gateways[new]
                    .arbiter
                    .arrive(&room(), Arrival::HandedOver, revision);
                Step::Taken
            }
            Step::Taken => {
                self.markers(new);
                Step::Told
            }
            Step::Told => {
                if stays_deputy {
                    self.gateways[old].arbiter.deputize(&room(), self.now)
                } else {
                    self.gateways[old].arbiter.unsubscribe(ROOM)
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

    /// The connection to the broker is lost. It keeps nothing for a gateway that is away.
    fn disconnect(&mut self, at: usize) {
        let gateway = &mut self.gateways[at];
        if !std::mem::replace(&mut gateway.away, true) {
            gateway.queues = Default::default();
            gateway.arbiter.disconnected(self.now);
            self.act(at);
        }
    }

    fn connect(&mut self, at: usize) {
        self.gateways[at].away = false;
        self.gateways[at].arbiter.hears_markers();
        self.act(at);
    }

    /// A second, in which the broker delivers all that it has.
    fn pass_time(&mut self) {
        self.drain();
        self.now += Duration::from_secs(1);
        for at in 0..2 {
            self.gateways[at].arbiter.tick(true, self.now);
            self.act(at);
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
        self.gateways[other]
            .arbiter
            .arrive(&room(), Arrival::TakenOver, revision);
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
            prop_assert_eq!(gateway.arbiter.memory_of(ROOM), Vec::<u32>::new());
        }
    }

    /// The other one must have been subscribed before.
    #[test]
    fn each_command_is_answered_once_when_the_owner_dies(
        choices in prop::collection::vec(any::<u8>(), 0..100),
        later in prop::collection::vec(0..12_u8, 0..20),
    ) {
        let mut model = Model::new();
        model.advance(true);
        model.drain();
        for choice in choices {
            // A deputy stays one: what the owner had not received when it died, nobody else remembers.
            match choice >> 2 & 7 {
                6.. => model.advance(true),
                _ => model.do_one(choice),
            }
            if model.step == Step::Settled {
                model.advance(true);
            }
        }
        let other = model.gateways.iter().all(|it| it.arbiter.role(ROOM).is_some());
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

    /// What is lost with a connection nobody may carry out; nothing is carried out twice for it.
    #[test]
    fn no_command_is_carried_out_twice_whatever_connections_are_lost(
        choices in prop::collection::vec((any::<u8>(), 0..12_u8), 0..150),
    ) {
        let mut model = Model::new();
        model.loses_connections = true;
        for (choice, event) in choices {
            let at = usize::from(choice & 1);
            match event {
                0 => model.disconnect(at),
                1 | 2 => model.connect(at),
                3 => model.pass_time(),
                _ => model.do_one(choice),
            }
        }
        for at in 0..2 {
            model.connect(at);
        }
        while model.step != Step::Settled {
            model.pass_time();
            model.advance(true);
        }
        for _ in 0..12 {
            model.pass_time();
        }
        let lost = model.sent;
        for lane in LANES {
            model.command(lane);
        }
        model.drain();
        for id in 1..=model.sent {
            let times = model.carried_out.get(&id).copied().unwrap_or_default();
            prop_assert!(times <= 1 && (times == 1 || id <= lost), "command {}: {} times", id, times);
        }
    }
}
