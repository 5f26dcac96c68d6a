use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::doors::mqtt::session::tests::no_properties;
use crate::doors::mqtt::settings::tests::settings;

const GRANTED: [u8; 8] = [0x90, 6, 0, 1, 0, 0, 0, 0];

fn topics() -> TrialTopics {
    TrialTopics {
        rooms: vec!["1".into()],
        filters: vec!["homeassistant/status".into()],
        discovery: true,
    }
}

/// The problems after these answers of the broker: to the subscription, and to the messages.
async fn answers(suback: &[u8], rest: &[u8]) -> Result<Vec<String>, ConnectionLost> {
    Ok(asked(suback, rest).await?.problems)
}

/// All that is known after these answers.
async fn asked(suback: &[u8], rest: &[u8]) -> Result<Asked, ConnectionLost> {
    let (stream, mut broker) = tokio::io::duplex(4096);
    let mut link = BrokerLink::new(Box::new(stream), 1 << 20);
    let mut asked = Asked::new(&settings(), &topics());
    let answering = async {
        broker.write_all(suback).await.unwrap();
        let mut heard = Vec::new();
        let last = b"response/poly2mqtt/check";
        while !suback.is_empty() && !heard.windows(last.len()).any(|part| part == last) {
            broker.read_buf(&mut heard).await.unwrap();
        }
        broker.write_all(rest).await.unwrap();
        if rest.is_empty() {
            // It sends no more, and still reads.
            broker.shutdown().await.unwrap();
        }
    };
    let (answered, ()) = tokio::join!(asked.ask(&mut link), answering);
    answered.map(|()| asked)
}

#[tokio::test]
async fn each_right_that_is_refused_is_named() {
    let suback = [0x90, 6, 0, 1, 0, 0, 0x87, 0];
    let pubacks = [
        [0x40, 3, 0, 2, 0x87],
        [0x40, 3, 0, 3, 0x10],
        [0x40, 3, 0, 4, 0xC3],
        [0x40, 3, 0, 5, 0x87],
        [0x40, 3, 0, 6, 0x10],
    ];
    assert_eq!(
        answers(&suback, pubacks.as_flattened()).await.unwrap(),
        [
            "it refuses to subscribe to gateway/+ (not authorized, reason code 135)",
            "it refuses to publish to room/1/event/check (not authorized, reason code 135)",
            "it refuses to publish to homeassistant/device/poly2mqtt/config (reason code 195, which \
             MQTT 5 does not define)",
            "it refuses to publish to room/1/check/result (not authorized, reason code 135)",
        ]
    );
}

#[tokio::test]
async fn a_refusal_for_now_is_a_limit_and_no_missing_right() {
    for passes in [0x89, 0x93, 0x96, 0x97, 0x88, 0x91] {
        let pubacks = [
            [0x40, 3, 0, 2, passes],
            [0x40, 3, 0, 3, passes],
            [0x40, 3, 0, 4, passes],
            [0x40, 3, 0, 5, passes],
            [0x40, 3, 0, 6, passes],
        ];
        let asked = asked(&GRANTED, pubacks.as_flattened()).await.unwrap();
        assert!(asked.problems.is_empty(), "{passes:x} {:?}", asked.problems);
        let told = asked.told_postponed();
        assert_eq!(told.len(), 1, "{passes:x}");
        assert!(
            told[0].starts_with("does not take 5 messages for now ("),
            "{told:?}"
        );
    }
}

#[tokio::test]
async fn a_right_that_few_need_is_told_and_costs_nothing() {
    let pubacks = [
        [0x40, 3, 0, 2, 0x10],
        [0x40, 3, 0, 3, 0x10],
        [0x40, 3, 0, 4, 0x10],
        [0x40, 3, 0, 5, 0x10],
        [0x40, 3, 0, 6, 0x87],
    ];
    let asked = asked(
        &[0x90, 6, 0, 1, 0, 0x87, 0x87, 0x87],
        pubacks.as_flattened(),
    )
    .await
    .unwrap();
    assert!(
        asked.notes[0].contains("response/poly2mqtt/check"),
        "{:?}",
        asked.notes
    );
    let missing = asked.rights().into_iter().filter(|right| !right.is_granted);
    let missing: Vec<_> = missing.map(|right| (right.does, right.topic)).collect();
    assert_eq!(missing.len(), 4, "{missing:?}");
    assert!(missing.contains(&("publish", "response/poly2mqtt/check".into())));
    assert!(missing.contains(&("subscribe", "homeassistant/status".into())));
}

#[tokio::test]
async fn a_broker_that_ends_the_connection_is_told() {
    assert!(answers(&GRANTED, &[]).await.is_err());
    assert!(answers(&[], &[]).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn what_is_granted_and_not_delivered_is_named() {
    let topic = "gateway/check";
    let taken = [2, 3, 4, 5, 6].map(|id| [0x40, 2, 0, id]).concat();
    let delivered = [&taken[..], &[0x30, 16, 0, 13], topic.as_bytes(), &[0]].concat();
    assert_eq!(
        answers(&GRANTED, &delivered).await.unwrap(),
        [
            "it grants the subscription to room/# and does not deliver room/1/event/check: let the \
          gateway's user read there, not only write (Mosquitto: `topic readwrite room/#`)"
        ]
    );
}

#[test]
fn what_run_does_not_connect_to_is_a_problem_here_with_the_same_words() {
    let plain = ConnAckProperties {
        max_packet_size: Some(2048),
        ..no_properties()
    };
    let lacking = [
        ConnAckProperties {
            retain_available: Some(0),
            ..plain.clone()
        },
        ConnAckProperties {
            max_qos: Some(0),
            ..plain.clone()
        },
        ConnAckProperties {
            wildcard_subscription_available: Some(0),
            ..plain.clone()
        },
    ];
    for lacks in lacking {
        let trial = told_limits(Some(&lacks), &settings());
        let lost = SessionLimits::new(Some(&lacks), &settings()).unwrap_err();
        assert_eq!(trial.problems, [lost.to_string()]);
    }
    let trial = told_limits(Some(&plain), &settings());
    assert!(trial.problems.is_empty());
    assert_eq!(trial.limits, ["takes messages of up to 2048 bytes"]);
    assert!(told_limits(None, &settings()).problems.is_empty());
}
