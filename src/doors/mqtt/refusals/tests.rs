//! Refusals with a clock of the tests.

use super::*;

fn messages(topics: &[(&'static str, usize)]) -> Vec<(Bytes, usize)> {
    let messages = topics.iter().map(|(topic, size)| ((*topic).into(), *size));
    messages.collect()
}

struct Setup {
    refusals: Refusals,
    now: Instant,
}

impl Setup {
    fn new() -> Self {
        let (refusals, now) = (Refusals::default(), Instant::now());
        Self { refusals, now }
    }

    fn ends(&mut self, topics: &[(&'static str, usize)], blame: Blame) -> Diagnosis {
        self.refusals
            .connection_ended(&messages(topics), blame, false, self.now)
    }

    fn is_left_out(&self, topic: &str, size: usize) -> bool {
        let left_out = self.refusals.left_out(topic.as_bytes(), size, self.now);
        left_out.is_some()
    }
}

#[test]
fn a_puback_costs_its_message_and_smaller_ones_are_sent() {
    let mut it = Setup::new();
    let topic = Bytes::from("a");
    it.refusals
        .refused(&topic, 500, ReasonCode::PACKET_TOO_LARGE);
    assert!(it.is_left_out("a", 500) && it.is_left_out("a", 501));
    assert!(!it.is_left_out("a", 499) && !it.is_left_out("b", 501));
    // Other reasons say nothing of the next value.
    it.refusals.refused(&"c".into(), 5, ReasonCode(0xC3));
    assert!(!it.is_left_out("c", 5) && !it.refusals.is_careful());
    it.refusals.connected();
    assert!(!it.is_left_out("a", 500));
}

#[test]
fn the_one_message_that_ends_the_connection_is_found_among_many() {
    for (blame, connections) in [(Blame::OneOfThem, 1), (Blame::Perhaps, 2)] {
        let mut it = Setup::new();
        let all = [("a", 1), ("bad", 9), ("c", 1)];
        assert_eq!(it.ends(&all, blame), Diagnosis::Suspected);
        for n in 1..=connections {
            assert!(it.refusals.is_careful());
            it.refusals.accepted(b"a");
            let last = n == connections;
            let expected = if last {
                Diagnosis::Culprit(0)
            } else {
                Diagnosis::Suspected
            };
            assert_eq!(it.ends(&[("bad", 9)], blame), expected, "{blame:?} {n}");
        }
        it.refusals.connected();
        assert!(it.is_left_out("bad", 9) && !it.is_left_out("bad", 8));
        it.refusals.accepted(b"c");
        assert!(!it.refusals.is_careful());
        it.now += LEFT_OUT_FOR;
        assert!(!it.is_left_out("bad", 9));
        // It is tried again among others, and known at once.
        assert_eq!(
            it.ends(&[("a", 1), ("bad", 9)], blame),
            Diagnosis::Culprit(1)
        );
        assert!(it.is_left_out("bad", 0));
    }
}

#[test]
fn an_end_without_a_reason_leaves_a_message_out_for_a_minute_at_first() {
    let (mut it, bad) = (Setup::new(), [("bad", 9)]);
    for _ in 1..ENDS_UNTIL_CULPRIT {
        assert_eq!(it.ends(&bad, Blame::Perhaps), Diagnosis::Suspected);
    }
    assert_eq!(it.ends(&bad, Blame::Perhaps), Diagnosis::Culprit(0));
    let again = it.refusals.try_again_at(b"bad", it.now);
    assert_eq!(again, Some(it.now + LEFT_OUT_AT_FIRST));
    it.now += LEFT_OUT_AT_FIRST;
    assert!(!it.is_left_out("bad", 9));
    assert_eq!(it.ends(&bad, Blame::Perhaps), Diagnosis::Culprit(0));
    assert_eq!(it.refusals.try_again_at(b"bad", it.now), None);
    it.now += LEFT_OUT_AT_FIRST;
    assert!(it.is_left_out("bad", 9));
}

#[test]
fn the_availability_is_never_left_out() {
    for (blame, first) in [(Blame::Perhaps, 3), (Blame::OneOfThem, 1)] {
        let mut it = Setup::new();
        it.refusals = Refusals::new("online".into());
        for _ in 1..ENDS_AT_NEVER_LEFT_OUT {
            assert_eq!(it.ends(&[("online", 6)], blame), Diagnosis::Suspected);
            assert!(!it.is_left_out("online", 6));
        }
        // A broker that recovers gets it; others are left out as ever.
        it.refusals.accepted(b"online");
        for end in 1..=first {
            let diagnosis = it.ends(&[("bad", 9)], blame);
            assert_eq!(diagnosis == Diagnosis::Culprit(0), end == first);
        }
        for end in 1..=ENDS_AT_NEVER_LEFT_OUT {
            let diagnosis = it.ends(&[("online", 6)], blame);
            let is_last = end == ENDS_AT_NEVER_LEFT_OUT;
            assert_eq!(
                diagnosis == Diagnosis::TakesNothing,
                is_last,
                "{blame:?} {end}"
            );
        }
    }
}

#[test]
fn a_large_message_that_ends_the_connection_leaves_smaller_ones_in() {
    let mut it = Setup::new();
    for size in [20_000, 10_000, 5000] {
        it.ends(&[("document", size)], Blame::OneOfThem);
        assert!(it.is_left_out("document", size) && !it.is_left_out("document", size / 2));
        it.refusals.accepted(b"another");
    }
    it.ends(&[("document", 2500)], Blame::OneOfThem);
    assert!(it.is_left_out("document", 1));
}

#[test]
fn only_a_refusal_that_can_mean_the_size_asks_for_smaller_ones() {
    let before = |from, is_by_size| Obstacle::RefusedBefore { from, is_by_size };
    for (obstacle, expected) in [
        (Obstacle::MaxPayload(5), (900, SizeCause::Certain)),
        (Obstacle::MaximumPacketSize(5), (900, SizeCause::Certain)),
        (
            Obstacle::Refused(ReasonCode(0x95), BrokerWords::default()),
            (900, SizeCause::Certain),
        ),
        (
            Obstacle::Refused(ReasonCode(0x97), BrokerWords::default()),
            (900, SizeCause::No),
        ),
        (Obstacle::NotAcknowledged, (900, SizeCause::Possible)),
        (
            Obstacle::Refused(ReasonCode(0x80), BrokerWords::default()),
            (900, SizeCause::No),
        ),
        (
            Obstacle::Refused(ReasonCode(0x87), BrokerWords::default()),
            (900, SizeCause::No),
        ),
        (before(500, true), (500, SizeCause::Certain)),
        (before(500, false), (500, SizeCause::Possible)),
        (before(0, false), (0, SizeCause::No)),
    ] {
        assert_eq!(obstacle.size_cause(900), expected, "{obstacle:?}");
    }
}

#[test]
fn what_is_acknowledged_in_between_is_innocent() {
    let mut it = Setup::new();
    for _ in 0..20 {
        assert_eq!(it.ends(&[("a", 1)], Blame::Perhaps), Diagnosis::Suspected);
        assert_eq!(it.ends(&[("a", 1)], Blame::Perhaps), Diagnosis::Suspected);
        it.refusals.accepted(b"a");
    }
    assert_eq!(it.ends(&[("a", 1)], Blame::NoMessage), Diagnosis::Unrelated);
    assert_eq!(it.ends(&[], Blame::OneOfThem), Diagnosis::Unrelated);
}

#[test]
fn what_stays_without_an_answer_is_left_out_for_an_hour() {
    let mut it = Setup::new();
    it.refusals = Refusals::new("online".into());
    for size in [20_000, 10_000] {
        assert!(it.refusals.unanswered(&"document".into(), size, it.now));
        assert!(it.is_left_out("document", size) && !it.is_left_out("document", size / 2));
    }
    assert!(it.refusals.unanswered(&"document".into(), 900, it.now));
    assert!(it.is_left_out("document", 1) && !it.is_left_out("other", 900));
    it.now += LEFT_OUT_FOR;
    assert!(!it.is_left_out("document", 900));
    assert!(!it.refusals.unanswered(&"online".into(), 6, it.now));
    assert!(!it.is_left_out("online", 6));
}

#[test]
fn many_messages_in_a_row_that_end_the_connection_say_nothing_of_others() {
    let mut it = Setup::new();
    it.refusals = Refusals::new("online".into());
    let bad = ["a", "b", "c", "d", "e", "f", "g", "h"];
    for topic in bad {
        assert_eq!(
            it.ends(&[(topic, 1)], Blame::OneOfThem),
            Diagnosis::Culprit(0)
        );
    }
    assert!(bad.iter().all(|topic| it.is_left_out(topic, 1)));
}

#[test]
fn a_broker_that_takes_nothing_is_known_until_it_takes_something() {
    let mut it = Setup::new();
    it.refusals = Refusals::new("online".into());
    assert_eq!(
        it.ends(&[("a", 1)], Blame::OneOfThem),
        Diagnosis::Culprit(0)
    );
    for _ in 1..ENDS_AT_NEVER_LEFT_OUT {
        it.ends(&[("online", 6)], Blame::OneOfThem);
    }
    for _ in 0..2 {
        let diagnosis = it.ends(&[("online", 6)], Blame::OneOfThem);
        assert_eq!(diagnosis, Diagnosis::TakesNothing);
    }
    it.refusals.accepted(b"online");
    assert_eq!(it.ends(&[("b", 1)], Blame::Perhaps), Diagnosis::Suspected);
    assert!(it.is_left_out("a", 1), "what was found out is remembered");
}

#[test]
fn a_topic_is_reported_once_for_each_obstacle_and_memory_is_bounded() {
    let mut refusals = Refusals::default();
    let topic = Bytes::from("a");
    let too_large = Obstacle::MaximumPacketSize(2048);
    assert!(refusals.is_news(&topic, &too_large));
    assert!(!refusals.is_news(&topic, &too_large));
    let before = Obstacle::RefusedBefore {
        from: 1,
        is_by_size: true,
    };
    assert!(!refusals.is_news(&topic, &before));
    assert!(refusals.is_news(
        &topic,
        &Obstacle::Refused(ReasonCode(0x87), BrokerWords::default())
    ));
    for n in 0..2 * REMEMBERED_TOPICS {
        let topic = Bytes::from(n.to_string());
        refusals.is_news(&topic, &too_large);
        refusals.refused(&topic, 1, ReasonCode::PACKET_TOO_LARGE);
    }
    assert!(refusals.reported.len() <= REMEMBERED_TOPICS);
    assert!(refusals.left_out.len() <= REMEMBERED_TOPICS);
}

/// `mqtt.max_payload` can be as large as a packet of MQTT, which also has topic and properties.
#[test]
fn the_limit_of_mqtt_itself_is_not_told_as_that_of_the_broker() {
    let told = |limit| Obstacle::MaximumPacketSize(limit).to_string();
    assert!(told(1000).contains("the broker takes packets of 1000 bytes"));
    let own = told(LARGEST_MQTT_PACKET);
    assert!(own.contains("MQTT has at most 268435455 bytes"), "{own}");
    assert!(!own.contains("broker"), "{own}");
}
