//! Repeats against brokers of several kinds, which lose connections at random.

use proptest::prelude::*;
use rumqttc::v5::mqttbytes::v5::PublishProperties;

use super::*;

fn press(packet_id: u16, payload: &'static str) -> Publish {
    Publish {
        pkid: packet_id,
        qos: QoS::AtLeastOnce,
        topic: "room/1/audio/volume/up".into(),
        payload: payload.into(),
        ..Publish::default()
    }
}

fn with_dup(publish: &Publish) -> Publish {
    Publish {
        dup: true,
        ..publish.clone()
    }
}

/// True if it is carried out.
fn arrives(redeliveries: &mut Redeliveries, publish: &Publish, now: Instant) -> bool {
    let is_new = !redeliveries.is_repeated(publish, now);
    if is_new {
        redeliveries.take(publish);
    }
    is_new
}

#[test]
fn after_a_resumed_session_a_repeat_is_known_with_and_without_dup() {
    let now = Instant::now();
    for (is_read, is_resumed, is_repeated) in [
        (false, true, true),
        (true, true, false),
        (false, false, false),
        (true, false, false),
    ] {
        for again in [press(1, ""), with_dup(&press(1, ""))] {
            let mut redeliveries = Redeliveries::default();
            redeliveries.connected(false, now);
            assert!(arrives(&mut redeliveries, &press(1, ""), now));
            if is_read {
                redeliveries.read_up_to(redeliveries.last());
            }
            assert_eq!(redeliveries.is_in_doubt(), !is_read);
            redeliveries.connected(is_resumed, now);
            let case = format!("{is_read} {is_resumed} {}", again.dup);
            assert_eq!(
                arrives(&mut redeliveries, &again, now),
                !is_repeated,
                "{case}"
            );
            // The next one with the same id is new, unless it says that it is a repeat.
            assert!(arrives(&mut redeliveries, &press(1, ""), now), "{case}");
            let again = with_dup(&press(1, ""));
            assert!(!arrives(&mut redeliveries, &again, now), "{case}");
        }
    }
}

#[test]
fn what_shows_that_a_message_is_another_one() {
    let now = Instant::now();
    let correlated = |data: &'static str| Publish {
        properties: Some(PublishProperties {
            correlation_data: Some(data.into()),
            ..PublishProperties::default()
        }),
        ..press(1, "")
    };
    let expiring = Publish {
        properties: Some(PublishProperties {
            message_expiry_interval: Some(3),
            ..PublishProperties::default()
        }),
        ..press(1, "")
    };
    let to_room_2 = Publish {
        topic: "room/2/audio/volume/up".into(),
        ..press(1, "")
    };
    for (first, second, is_new) in [
        (press(1, ""), press(2, ""), true),
        (press(1, ""), press(1, "5"), true),
        (press(1, ""), to_room_2, true),
        (correlated("a"), correlated("b"), true),
        (correlated("a"), correlated("a"), false),
        // Only the time that is left differs.
        (press(1, ""), expiring, false),
    ] {
        let mut redeliveries = Redeliveries::default();
        redeliveries.connected(false, now);
        assert!(arrives(&mut redeliveries, &first, now));
        redeliveries.connected(true, now);
        let second = with_dup(&second);
        assert_eq!(
            arrives(&mut redeliveries, &second, now),
            is_new,
            "{second:?}"
        );
    }
}

#[test]
fn an_id_that_another_message_has_had_is_free_again() {
    let now = Instant::now();
    let mut redeliveries = Redeliveries::default();
    assert!(arrives(&mut redeliveries, &press(1, ""), now));
    redeliveries.connected(true, now);
    let state = Publish {
        topic: "gateway/info".into(),
        ..press(1, "{}")
    };
    assert!(!redeliveries.is_repeated(&state, now));
    assert!(arrives(&mut redeliveries, &with_dup(&press(1, "")), now));
    // PUBREL of QoS 2 says the same.
    redeliveries.connected(true, now);
    redeliveries.released(1);
    assert!(arrives(&mut redeliveries, &press(1, ""), now));
}

#[test]
fn repeats_are_known_over_several_connections_for_a_while() {
    let mut now = Instant::now();
    let mut redeliveries = Redeliveries::default();
    assert!(arrives(&mut redeliveries, &press(1, ""), now));
    for _ in 0..5 {
        redeliveries.connected(true, now);
        now += REPEATS_FOR - Duration::from_secs(1);
    }
    assert!(!arrives(&mut redeliveries, &press(1, ""), now));
    redeliveries.connected(true, now);
    now += REPEATS_FOR;
    assert!(arrives(&mut redeliveries, &press(1, ""), now));
}

#[test]
fn what_has_qos_0_is_never_a_repeat() {
    let now = Instant::now();
    let mut redeliveries = Redeliveries::default();
    let publish = Publish {
        qos: QoS::AtMostOnce,
        dup: true,
        ..press(0, "")
    };
    for _ in 0..3 {
        assert!(arrives(&mut redeliveries, &publish, now));
        redeliveries.connected(true, now);
    }
}

#[test]
fn what_is_remembered_is_bounded() {
    let now = Instant::now();
    let mut redeliveries = Redeliveries::default();
    for round in 0..3u16 {
        for n in 0..=1024u16 {
            let id = 1 + round * 2000 + n;
            assert!(arrives(&mut redeliveries, &press(id, ""), now));
        }
        assert_eq!(redeliveries.taken.len(), REMEMBERED_COMMANDS);
        redeliveries.connected(true, now);
        assert_eq!(redeliveries.doubtful.len(), REMEMBERED_COMMANDS);
    }
    assert!(arrives(&mut redeliveries, &press(4001, ""), now));
    assert!(!arrives(&mut redeliveries, &press(4002, ""), now));
}

/// How a broker deals with packet ids and repeats.
#[derive(Debug, Clone, Copy)]
struct BrokerKind {
    /// It takes the lowest free id; else the next one.
    takes_lowest_id: bool,
    sets_dup: bool,
    /// It also repeats within a connection, with DUP.
    repeats_early: bool,
}

/// A packet of the broker.
#[derive(Debug, Clone)]
enum ToGateway {
    Press { press: usize, publish: Box<Publish> },
    Answer { sent_after: u64 },
}

/// A packet of the gateway.
#[derive(Debug, Clone, Copy)]
enum ToBroker {
    Acknowledgement {
        packet_id: u16,
    },
    /// A result or PINGREQ, which the broker answers.
    Question {
        sent_after: u64,
    },
}

/// A broker, a gateway, and the packets between them.
struct Model {
    kind: BrokerKind,
    redeliveries: Redeliveries,
    now: Instant,
    to_gateway: VecDeque<ToGateway>,
    to_broker: VecDeque<ToBroker>,
    /// The presses that the broker has sent and that are not acknowledged, in their order.
    unacknowledged: VecDeque<(usize, Publish)>,
    last_id: u16,
    /// How often each press was carried out.
    carried_out: Vec<usize>,
    /// Which press has which of the gateway's numbers.
    numbered: Vec<usize>,
    /// Presses that look like a repeat without DUP of another one: the broker has read that one's
    /// acknowledgement, and the connection was lost before the gateway could know.
    indistinct: Vec<usize>,
}

impl Model {
    fn new(kind: BrokerKind) -> Self {
        let now = Instant::now();
        let mut redeliveries = Redeliveries::default();
        redeliveries.connected(false, now);
        Self {
            kind,
            redeliveries,
            now,
            to_gateway: VecDeque::new(),
            to_broker: VecDeque::new(),
            unacknowledged: VecDeque::new(),
            last_id: 0,
            carried_out: Vec::new(),
            numbered: Vec::new(),
            indistinct: Vec::new(),
        }
    }

    fn next_id(&mut self) -> u16 {
        let is_free = |id: &u16| !self.unacknowledged.iter().any(|(_, it)| it.pkid == *id);
        let first = if self.kind.takes_lowest_id {
            1
        } else {
            self.last_id + 1
        };
        self.last_id = (first..).find(is_free).unwrap();
        self.last_id
    }

    /// Somebody presses.
    fn press(&mut self, payload: &'static str) {
        if self.unacknowledged.len() < usize::from(RECEIVE_MAXIMUM) {
            let publish = press(self.next_id(), payload);
            let press = self.carried_out.len();
            self.carried_out.push(0);
            self.unacknowledged.push_back((press, publish.clone()));
            self.to_gateway.push_back(ToGateway::Press {
                press,
                publish: Box::new(publish),
            });
        }
    }

    fn gateway_reads(&mut self) {
        match self.to_gateway.pop_front() {
            Some(ToGateway::Press { press, publish }) => {
                let looks_like = self.redeliveries.doubtful.iter().find(|command| {
                    command.packet_id == publish.pkid && command.content == content(&publish)
                });
                let looks_like =
                    looks_like.map(|it| self.numbered[usize::try_from(it.number).unwrap() - 1]);
                if looks_like.is_some_and(|other| other != press) {
                    self.indistinct.push(press);
                }
                let is_new = arrives(&mut self.redeliveries, &publish, self.now);
                self.carried_out[press] += usize::from(is_new);
                self.numbered.push(press);
                let packet_id = publish.pkid;
                self.to_broker
                    .push_back(ToBroker::Acknowledgement { packet_id });
            }
            Some(ToGateway::Answer { sent_after }) => self.redeliveries.read_up_to(sent_after),
            None => {}
        }
    }

    fn gateway_asks(&mut self) {
        let sent_after = self.redeliveries.last();
        self.to_broker.push_back(ToBroker::Question { sent_after });
    }

    fn broker_reads(&mut self) {
        match self.to_broker.pop_front() {
            Some(ToBroker::Acknowledgement { packet_id }) => {
                self.unacknowledged.retain(|(_, it)| it.pkid != packet_id);
            }
            Some(ToBroker::Question { sent_after }) => {
                self.to_gateway.push_back(ToGateway::Answer { sent_after });
            }
            None => {}
        }
    }

    fn broker_repeats(&mut self, with_flag: bool) {
        for (press, publish) in &self.unacknowledged {
            self.to_gateway.push_back(ToGateway::Press {
                press: *press,
                publish: Box::new(if with_flag {
                    with_dup(publish)
                } else {
                    publish.clone()
                }),
            });
        }
    }

    /// What is under way is lost, and the session is taken up again.
    fn cut(&mut self) {
        self.to_gateway.clear();
        self.to_broker.clear();
        self.redeliveries.connected(true, self.now);
        self.broker_repeats(self.kind.sets_dup);
    }

    fn step(&mut self, step: u8) {
        match step {
            0..=2 => self.press(""),
            3 => self.press("5"),
            4..=9 => self.gateway_reads(),
            10..=15 => self.broker_reads(),
            16..=17 => self.gateway_asks(),
            18 if self.kind.repeats_early => self.broker_repeats(true),
            19 => self.cut(),
            _ => {}
        }
    }

    /// Everything arrives.
    fn settle(&mut self) {
        while !self.to_gateway.is_empty() || !self.to_broker.is_empty() {
            self.gateway_reads();
            self.broker_reads();
        }
    }
}

proptest! {
    #[test]
    fn each_press_is_carried_out_once(
        takes_lowest_id: bool,
        sets_dup: bool,
        // Of a broker that does both, an acknowledgement of the repeat would be one of the next
        // message with the id: it loses that one itself.
        repeats_early: bool,
        steps in prop::collection::vec(0u8..20, 1..400),
    ) {
        let mut model = Model::new(BrokerKind {
            takes_lowest_id,
            sets_dup,
            repeats_early: repeats_early && !takes_lowest_id,
        });
        for step in steps {
            model.step(step);
        }
        model.settle();
        prop_assert!(takes_lowest_id || model.indistinct.is_empty());
        for (press, times) in model.carried_out.iter().enumerate() {
            let expected = usize::from(!model.indistinct.contains(&press));
            prop_assert_eq!(*times, expected, "press {}", press);
        }
    }
}
