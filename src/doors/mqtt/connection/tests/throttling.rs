//! Brokers that leave messages without an answer, with a clock of the tests.

use std::collections::{HashMap, HashSet};

use super::*;

/// Answers what the gateway sends for this long. `answers` gets each publish and says whether it is
/// acknowledged.
async fn answer_for(
    it: &mut Setup,
    time: Duration,
    mut answers: impl FnMut(&Publish) -> bool,
) -> Vec<Publish> {
    let mut published = Vec::new();
    let until = Instant::now() + time;
    while let Ok(packet) = tokio::time::timeout_at(until, it.broker.packet()).await {
        match packet.expect("the connection lasts") {
            Packet::Publish(publish) => {
                if answers(&publish) {
                    it.broker.acknowledge(&publish).await;
                }
                published.push(publish);
            }
            Packet::PingReq(_) => it.broker.pong().await,
            _ => {}
        }
    }
    published
}

fn set_states(it: &Setup, count: usize) {
    for n in 0..count {
        let topic = format!("room/1/states/{n}");
        it.context.store.set(&topic, StateValue::text("1"));
    }
}

fn times(published: &[Publish], wanted: &str) -> usize {
    published.iter().filter(|one| topic(one) == wanted).count()
}

/// Some brokers drop what is above a rate, without a word.
#[tokio::test(start_paused = true)]
async fn states_arrive_at_a_broker_that_is_silent_above_a_rate() {
    for (rate, window) in [(100, 1), (20, 1), (10, 10), (500, 1), (5, 1)] {
        let window = Duration::from_secs(window);
        let mut it = start();
        set_states(&it, 300);
        let (mut since, mut count) = (Instant::now(), 0);
        let mut held = HashSet::new();
        let answers = |publish: &Publish| {
            if since.elapsed() >= window {
                (since, count) = (Instant::now(), 0);
            }
            count += 1;
            let is_taken = count <= rate;
            if is_taken {
                held.insert(topic(publish).to_owned());
            }
            is_taken
        };
        let published = answer_for(&mut it, Duration::from_secs(1200), answers).await;
        // With the availability.
        assert_eq!(held.len(), 301, "{rate}");
        assert_eq!(counted(&it.context, "left_out"), 0, "{rate}");
        assert!(published.len() < 700, "{rate}: {}", published.len());
    }
}

/// One message that the broker never acknowledges, among others that it does.
#[tokio::test(start_paused = true)]
async fn a_message_that_is_never_acknowledged_is_left_out_at_the_third_time() {
    for waits in [0, 50] {
        let mut it = start();
        set_states(&it, waits);
        it.context.store.set("room/1/bad", StateValue::text("1"));
        let is_good = |publish: &Publish| !topic(publish).ends_with("bad");
        let mut published = Vec::new();
        for second in 0..60 {
            let value = StateValue::text(second.to_string());
            it.context.store.set("room/1/good", value);
            published.extend(answer_for(&mut it, Duration::from_secs(1), is_good).await);
        }
        assert_eq!(times(&published, "av/room/1/bad"), 3);
        assert_eq!(counted(&it.context, "left_out"), 1);
        let last = published.iter().rfind(|one| topic(one).ends_with("good"));
        assert_eq!(last.unwrap().payload, "59");
        // It is left out for an hour, from its size on.
        it.context.store.set("room/1/bad", StateValue::text("2"));
        let later = answer_for(&mut it, Duration::from_secs(60), is_good).await;
        assert_eq!(times(&later, "av/room/1/bad"), 0);
        answer_for(&mut it, Duration::from_secs(3600), is_good).await;
        it.context.store.set("room/1/bad", StateValue::text("3"));
        let later = answer_for(&mut it, Duration::from_secs(1), |_| true).await;
        assert_eq!(times(&later, "av/room/1/bad"), 1);
        assert!(!it.serving.is_finished());
    }
}

/// The one message that is not acknowledged is a result: a small one says so.
#[tokio::test(start_paused = true)]
async fn a_result_that_is_never_acknowledged_is_replaced() {
    let mut it = start();
    it.broker.greet().await;
    it.broker
        .send(Packet::Publish(publish("av/room/1/audio/mute", "")))
        .await;
    let is_good = |publish: &Publish| !topic(publish).ends_with("/result");
    let mut published = Vec::new();
    for second in 0..60 {
        let value = StateValue::text(second.to_string());
        it.context.store.set("room/1/good", value);
        published.extend(answer_for(&mut it, Duration::from_secs(1), is_good).await);
    }
    assert_eq!(times(&published, "av/room/1/audio/mute/result"), 3);
    assert_eq!(*it.gateway.submitted.lock(), ["1/audio/mute"]);
}

/// The line stands still, and then everything is acknowledged.
#[tokio::test(start_paused = true)]
async fn after_a_pause_of_the_broker_nothing_comes_twice() {
    let mut it = start();
    it.broker.greet().await;
    for n in 0..10 {
        let topic = format!("room/1/event/{n}");
        let payload = Bytes::from_static(b"{}");
        it.context
            .subscriber
            .outbox
            .push_event(&topic.into(), &payload);
    }
    let published = answer_for(&mut it, Duration::from_millis(9900), |_| false).await;
    let is_event = |publish: &&Publish| topic(publish).contains("/event/");
    assert_eq!(published.iter().filter(is_event).count(), 10);
    for publish in &published {
        it.broker.acknowledge(publish).await;
    }
    let again = answer_for(&mut it, Duration::from_secs(60), |_| true).await;
    assert_eq!(again.iter().filter(is_event).count(), 0, "{again:?}");
}

/// What is not acknowledged takes a place of the broker's Receive Maximum, and gives it back.
#[tokio::test(start_paused = true)]
async fn unanswered_messages_end_no_connection_at_a_broker_with_a_small_receive_maximum() {
    for receive_maximum in [1, 3, 20] {
        let (context, _) = context();
        context
            .store
            .set(GATEWAY_AVAILABILITY, StateValue::text("online"));
        for n in 0..100 {
            let topic = format!("room/1/states/{n}");
            context.store.set(&topic, StateValue::text("1"));
        }
        let mut connection = Connection::new(context.clone(), None);
        let (mut broker, link) = FakeBroker::new(1 << 20);
        let limits = SessionLimits {
            receive_maximum,
            largest_packet: 1 << 20,
            keep_alive: KEEP_ALIVE,
        };
        let session = BrokerSession::new(link, limits);
        let _serving = tokio::spawn(async move { connection.serve(session).await.is_ok() });
        let mut tries = HashMap::<String, u32>::new();
        let mut dropped = Vec::<Instant>::new();
        let until = Instant::now() + Duration::from_secs(1200);
        while let Ok(packet) = tokio::time::timeout_at(until, broker.packet()).await {
            match packet.expect("the connection lasts") {
                Packet::Publish(publish) => {
                    let tries = tries.entry(topic(&publish).to_owned()).or_default();
                    *tries += 1;
                    dropped.retain(|at| at.elapsed() < Duration::from_secs(15));
                    assert!(dropped.len() < receive_maximum.into());
                    // The first time some states have no answer.
                    if *tries == 1 && topic(&publish).ends_with('7') {
                        dropped.push(Instant::now());
                    } else {
                        broker.acknowledge(&publish).await;
                    }
                }
                Packet::PingReq(_) => broker.pong().await,
                _ => {}
            }
        }
        assert!(tries.len() > 100 && context.subscriber.outbox.is_empty());
        assert_eq!(tries["av/room/1/states/97"], 2);
        assert_eq!(counted(&context, "left_out"), 0);
    }
}
