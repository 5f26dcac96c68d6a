use super::super::receive::tests::context;
use super::*;

fn asked(now: Instant) -> Subscription {
    let (context, _) = context();
    let filters = filters(&context, true);
    let mut subscription = Subscription::new(filters, &FilterEnds::default(), now);
    ask(&mut subscription, 5, now);
    subscription
}

fn ask(subscription: &mut Subscription, packet_id: u16, now: Instant) {
    let mut subscribe = Subscribe::new_many(subscription.next().unwrap(), None);
    subscribe.pkid = packet_id;
    subscription.asked(&subscribe, now);
}

#[test]
fn a_filter_that_ends_the_connection_is_found_and_left_out() {
    let (context, _) = context();
    let (mut now, mut ends) = (Instant::now(), FilterEnds::default());
    // It may be any of them.
    let mut subscription = Subscription::new(filters(&context, true), &ends, now);
    ask(&mut subscription, 1, now);
    let (alone, others_answered) = (false, true);
    assert_eq!(
        ends.connection_ended(subscription.pending(), alone, now),
        None
    );
    for end in 1..=ENDS_UNTIL_LEFT_OUT {
        let mut subscription = Subscription::new(filters(&context, true), &ends, now);
        ask(&mut subscription, 1, now);
        assert_eq!(subscription.pending(), ["av/room/#"]);
        assert!(
            subscription
                .answered(&SubAck::of(1, &[1]), now)
                .unwrap()
                .is_empty()
        );
        assert!(subscription.has_commands && !subscription.is_answered);
        ask(&mut subscription, 2, now);
        let left_out = ends.connection_ended(subscription.pending(), others_answered, now);
        let is_last = end == ENDS_UNTIL_LEFT_OUT;
        assert_eq!(left_out.is_some(), is_last, "{left_out:?}");
    }
    assert!(ends.is_left_out("av/gateway/+", now));
    assert!(!ends.is_left_out("av/room/#", now));
    let mut subscription = Subscription::new(filters(&context, true), &ends, now);
    ask(&mut subscription, 1, now);
    assert!(
        subscription
            .answered(&SubAck::of(1, &[1]), now)
            .unwrap()
            .is_empty()
    );
    assert!(subscription.has_commands && subscription.is_answered);
    // Without any filter there is nothing to wait for.
    let commands = ["av/room/#".to_owned()];
    for _ in 0..ENDS_UNTIL_LEFT_OUT {
        ends.connection_ended(&commands, others_answered, now);
    }
    let subscription = Subscription::new(filters(&context, true), &ends, now);
    assert!(subscription.is_answered && !subscription.has_commands);
    // It is tried again after a minute, then rarely, and believed when it is granted.
    now += LEFT_OUT_AT_FIRST;
    assert!(subscription.should_ask_again(now));
    assert!(!ends.is_left_out("av/room/#", now));
    ends.connection_ended(&commands, others_answered, now);
    assert!(ends.is_left_out("av/room/#", now + LEFT_OUT_AT_FIRST));
    assert!(!ends.is_left_out("av/room/#", now + LEFT_OUT_FOR));
    ends.answered(&commands);
    assert_eq!(ends.connection_ended(&commands, alone, now), None);
}

#[test]
fn ends_before_any_answer_leave_nothing_out_until_they_last() {
    let (context, _) = context();
    let (began, mut ends) = (Instant::now(), FilterEnds::default());
    let all = ["av/room/#", "av/gateway/+"].map(str::to_owned);
    ends.connection_ended(&all, false, began);
    let mut asked_first = Vec::new();
    for n in 0..20 {
        let now = began + n * Duration::from_secs(1);
        let mut subscription = Subscription::new(filters(&context, true), &ends, now);
        ask(&mut subscription, 1, now);
        asked_first.extend(subscription.pending().to_vec());
        let left_out = ends.connection_ended(subscription.pending(), false, now);
        assert_eq!(left_out, None, "{n}");
    }
    // The other one comes first, so that its answer tells.
    assert_eq!(asked_first[..2], all);
    let later = began + ENDS_SPAN;
    assert!(!ends.is_left_out(&all[0], later));
    let left_out = ends.connection_ended(&all[..1], false, later);
    assert_eq!(left_out.as_ref(), Some(&all[0]));
    assert!(!ends.is_left_out(&all[0], later + LEFT_OUT_AT_FIRST));
    // The broker is well again: one SUBSCRIBE asks for everything.
    ends.answered(&all);
    ends.all_answered();
    let mut subscription = Subscription::new(filters(&context, true), &ends, later);
    ask(&mut subscription, 1, later);
    assert_eq!(subscription.pending(), all);
}

#[test]
fn commands_arrive_once_their_filter_is_granted() {
    let now = Instant::now();
    for (reasons, has_commands, not_granted) in [
        (&[1, 1][..], true, 0),
        (&[2, 2], true, 0),
        (&[1, 1, 1], true, 0),
        (&[0, 1], true, 1),
        (&[1, 0x87], true, 1),
        (&[1], true, 1),
        (&[0x87, 1], false, 1),
        (&[0xC3, 0xC3], false, 2),
        (&[], false, 2),
    ] {
        let mut subscription = asked(now);
        let answered = subscription.answered(&SubAck::of(5, reasons), now).unwrap();
        assert_eq!(subscription.has_commands, has_commands, "{reasons:?}");
        assert_eq!(answered.len(), not_granted, "{reasons:?}");
        let later = now + ASK_AGAIN_DELAY;
        assert_eq!(subscription.should_ask_again(later), !has_commands);
        assert!(!subscription.is_overdue(later));
    }
}

/// Every reason of a SUBACK, MQTT 5 section 3.9.3, and what a broker may send besides.
#[test]
fn what_is_refused_for_now_is_asked_for_again_and_what_is_forbidden_is_not() {
    let (context, _) = context();
    let now = Instant::now();
    let later = now + ASK_AGAIN_DELAY;
    for reason in 0..=u8::MAX {
        let is_refused = reason >= 0x80;
        let passes = matches!(
            reason,
            0x88 | 0x89 | 0x8B | 0x91 | 0x93 | 0x96 | 0x97 | 0x9F
        );
        // The commands are needed whatever the reason is.
        for (reasons, asks_again) in [([reason, 1], is_refused), ([1, reason], passes)] {
            let mut subscription = asked(now);
            let told = subscription
                .answered(&SubAck::of(5, &reasons), now)
                .unwrap();
            let is_told = is_refused || reason == 0;
            assert_eq!(told.len(), usize::from(is_told), "{reasons:02x?}");
            assert!(!subscription.should_ask_again(now));
            assert_eq!(
                subscription.should_ask_again(later),
                asks_again,
                "{reasons:02x?}"
            );
            if !asks_again {
                continue;
            }
            let is_commands = reasons[1] == 1;
            assert_eq!(subscription.again(filters(&context, false)), is_commands);
            ask(&mut subscription, 6, later);
            let wanted = ["av/room/#", "av/gateway/+"][usize::from(!is_commands)];
            assert_eq!(subscription.pending(), [wanted]);
            assert!(!subscription.should_ask_again(later + ASK_AGAIN_DELAY));
            assert_eq!(
                subscription.answered(&SubAck::of(6, &[1]), later),
                Some(Vec::new())
            );
            assert!(subscription.has_commands && subscription.is_granted(wanted));
        }
    }
}

#[test]
fn an_answer_to_something_else_is_none() {
    let now = Instant::now();
    let mut subscription = asked(now);
    assert_eq!(subscription.answered(&SubAck::of(6, &[1, 1]), now), None);
    assert!(!subscription.is_answered && !subscription.is_overdue(now));
    assert!(subscription.is_overdue(now + SUBACK_TIMEOUT));
    assert!(
        subscription
            .answered(&SubAck::of(5, &[1, 1]), now)
            .is_some()
    );
    assert_eq!(subscription.answered(&SubAck::of(5, &[0x87]), now), None);
    assert!(subscription.has_commands);
}
