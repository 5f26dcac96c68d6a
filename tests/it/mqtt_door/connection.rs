//! A gateway that stops, a broker that restarts or falls silent: no command and no state is lost.
use std::sync::Arc;
use std::time::Duration;

use poly2mqtt::command::Success;
use poly2mqtt::doors::mqtt::{MqttDoor, MqttSettings};
use poly2mqtt::state::{StateStore, StateValue};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout};

use poly2mqtt_test_support::cases::at_the_same_time;
use poly2mqtt_test_support::client::Client;
use poly2mqtt_test_support::log::thread_log;
use poly2mqtt_test_support::scripted_broker::{Script, ScriptedBroker};
use poly2mqtt_test_support::{BrokerKind, SOON, TestBroker, plain_tcp};

use super::{FakeGateway, settings, setup, start};

/// A command that arrives while the door stops is answered by it or by the next one.
#[tokio::test]
async fn commands_during_a_stop_have_one_result_each() {
    if poly2mqtt_test_support::mosquitto().is_none() {
        return;
    }
    let broker = TestBroker::start(BrokerKind::Mosquitto).await;
    let client = Client::connect(broker.port()).await;
    let mut it = setup(settings(&broker)).await;
    let mut sent = 0;
    for _ in 0..20 {
        let sender = async {
            for _ in 0..30 {
                client.publish(&format!("room/1/x/{sent}"), "").await;
                sent += 1;
            }
        };
        let stop = async {
            tokio::time::sleep(Duration::from_millis(2)).await;
            it.door.stop(Instant::now() + SOON).await;
        };
        tokio::join!(sender, stop);
        it = setup(settings(&broker)).await;
    }
    let results = |client: &Client| {
        let all = client.all();
        let results = all
            .into_iter()
            .filter(|(topic, _)| topic.ends_with("/result"));
        results.map(|(topic, _)| topic).collect::<Vec<_>>()
    };
    client
        .until("all results", |client| results(client).len() >= sent)
        .await;
    let mut distinct = results(&client);
    distinct.sort();
    distinct.dedup();
    assert_eq!((distinct.len(), results(&client).len()), (sent, sent));
    it.door.stop(Instant::now() + SOON).await;
}

/// For other brokers only: the embedded one starts and stops with the gateway.
#[tokio::test]
async fn a_broker_that_restarts_gets_everything_again() {
    if poly2mqtt_test_support::mosquitto().is_none() {
        return;
    }
    let broker = TestBroker::start(BrokerKind::Mosquitto).await;
    let client = Client::connect(broker.port()).await;
    let it = setup(settings(&broker)).await;
    it.store.set("room/1/audio/volume", StateValue::text("5"));
    it.store.set("room/1/gone", StateValue::text("x"));
    client.expect("room/1/audio/volume", "5").await;
    client.publish("room/1/hold", "").await;
    it.gateway.until("held", |seen| seen.len() == 1).await;
    let mut connected = it.door.connected();
    let broker = broker.restart();
    let down = connected.wait_for(|connected| !connected);
    timeout(SOON, down).await.expect("notices").unwrap();
    // Changes while the broker is away are not lost.
    it.store.set("room/1/audio/muted", StateValue::text("true"));
    it.store.clear("room/1/gone");
    for held in it.gateway.held.lock().unwrap().drain(..) {
        held.reply.answer(Ok(Success::new(200, Value::Null)));
    }
    let client = Client::connect(broker.port()).await;
    client.expect("room/1/audio/volume", "5").await;
    client.expect("room/1/audio/muted", "true").await;
    client.expect("room/1/gone", "").await;
    client.expect("gateway/availability", "online").await;
    client.message("room/1/hold/result").await;
    assert_eq!(client.command("room/1/audio/mute", "").await["ok"], true);
}

#[tokio::test]
async fn a_command_sent_while_away_is_delivered() {
    if poly2mqtt_test_support::mosquitto().is_none() {
        return;
    }
    let broker = TestBroker::start(BrokerKind::Mosquitto).await;
    let client = Client::connect(broker.port()).await;
    let it = setup(settings(&broker)).await;
    client.command("room/1/first", "").await;
    it.door.stop(Instant::now() + SOON).await;
    client.expect("gateway/availability", "offline").await;
    client.publish("room/1/meanwhile", "").await;
    let back = setup(it.settings).await;
    client.message("room/1/meanwhile/result").await;
    let seen = back.gateway.seen.lock().unwrap();
    assert_eq!(
        seen.iter().filter(|one| one.command == "meanwhile").count(),
        1
    );
}

/// A broker that accepts the connection and then sends nothing, with a keep-alive of one second.
#[tokio::test]
async fn a_broker_that_falls_silent_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = MqttSettings::new(plain_tcp(listener.local_addr().unwrap().port()));
    let (store, gateway) = (StateStore::new(), Arc::<FakeGateway>::default());
    let door = MqttDoor::start(settings, store, gateway, Arc::default(), None).unwrap();
    for _ in 0..2 {
        let (mut broker, _) = timeout(SOON, listener.accept()).await.unwrap().unwrap();
        broker
            .write_all(&[0x20, 6, 0, 0, 3, 0x13, 0, 1])
            .await
            .unwrap();
        let mut heard = Vec::new();
        timeout(SOON, broker.read_to_end(&mut heard))
            .await
            .expect("leaves")
            .unwrap();
        assert!(heard.ends_with(&[0xC0, 0]), "it asked before it left");
    }
    door.stop(Instant::now() + SOON).await;
}

/// Two gateways with one client id throw each other out. Mosquitto closes the connection without a reason.
#[tokio::test]
async fn two_gateways_with_one_client_id_name_the_key_and_wait_ever_longer() {
    if poly2mqtt_test_support::mosquitto().is_none() {
        return;
    }
    let broker = TestBroker::start(BrokerKind::Mosquitto).await;
    let (log, _guard) = thread_log();
    let one = setup(settings(&broker)).await;
    let two = start(settings(&broker));
    let words = "Give each gateway a mqtt.client_id of its own";
    let told = async {
        while log.text().matches(words).count() < 2 {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(SOON, told).await.expect("both say so");
    let connects = || log.text().matches("connected to the broker").count();
    let (before, lines) = (connects(), log.text().matches("no connection").count());
    sleep(Duration::from_secs(10)).await;
    assert!(connects() - before <= 6, "{}", log.text());
    // Neither line comes again.
    assert_eq!(log.text().matches(words).count(), 2, "{}", log.text());
    assert_eq!(log.text().matches("no connection").count(), lines);
    one.door.stop(Instant::now() + SOON).await;
    two.door.stop(Instant::now() + SOON).await;
}

/// The place is taken before the subscription is answered, each time, with or without a reason.
#[test]
fn a_place_that_is_taken_before_the_subscription_is_answered_is_no_silence() {
    at_the_same_time(
        [
            (
                0x8E,
                "another client has connected with the same client id (mqtt.client_id; in a cluster cluster.name)",
            ),
            (0, "the broker closed the connection"),
        ],
        |(reason, says)| async move {
            let broker = ScriptedBroker::start(Script {
                ends_at_filter: Box::new(move |_| Some(reason)),
                ..Script::default()
            })
            .await;
            let (log, _guard) = thread_log();
            let it = start(MqttSettings::new(plain_tcp(broker.port)));
            log.contains(says).await;
            sleep(Duration::from_secs(7)).await;
            assert_eq!(log.text().matches(says).count(), 1, "{}", log.text());
            assert!(broker.connections() <= 6, "{}", broker.connections());
            it.door.stop(Instant::now() + SOON).await;
        },
    );
}
