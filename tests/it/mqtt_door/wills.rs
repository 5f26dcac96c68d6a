//! The will: a short break says nothing, a long one says `offline`, and the will of an earlier connection
//! does not stay over a gateway that works.
use std::time::Duration;

use poly2mqtt::doors::mqtt::MqttSettings;
use poly2mqtt_test_support::cases::at_the_same_time;
use poly2mqtt_test_support::client::Client;
use poly2mqtt_test_support::raw_mqtt::{Publish, Version};
use poly2mqtt_test_support::scripted_broker::{Script, ScriptedBroker};
use poly2mqtt_test_support::{BrokerKind, SOON, TestBroker, plain_tcp};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::{connected, settings, setup, start};

const AVAILABILITY: &str = "gateway/availability";

/// A proxy that can be cut.
struct Line {
    port: u16,
    target: u16,
    task: JoinHandle<()>,
}

impl Line {
    async fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = Self::serve(listener, target);
        Self { port, target, task }
    }

    fn serve(listener: TcpListener, target: u16) -> JoinHandle<()> {
        tokio::spawn(async move {
            let mut lines = tokio::task::JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                lines.spawn(async move {
                    let mut broker = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
                    let _ = copy_bidirectional(&mut client, &mut broker).await;
                });
            }
        })
    }

    /// Cuts every connection, and takes new ones after this time.
    async fn cut(&mut self, away: Duration) {
        self.task.abort();
        let _ = (&mut self.task).await;
        sleep(away).await;
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        self.task = Self::serve(listener, self.target);
    }
}

#[test]
fn a_short_break_says_nothing_and_a_long_one_says_offline() {
    if poly2mqtt_test_support::mosquitto().is_none() {
        return;
    }
    at_the_same_time(
        [(10, 1, false), (10, 8, true), (1, 3, true), (0, 1, true)],
        |(expiry, away, says_offline)| async move {
            let broker = TestBroker::start(BrokerKind::Mosquitto).await;
            let client = Client::connect(broker.port()).await;
            let mut line = Line::to(broker.port()).await;
            let it = setup(MqttSettings {
                session_expiry: Duration::from_secs(expiry),
                ..MqttSettings::new(plain_tcp(line.port))
            })
            .await;
            client.expect(AVAILABILITY, "online").await;
            client.clear();
            line.cut(Duration::from_secs(away)).await;
            connected(&it.door).await;
            client.expect(AVAILABILITY, "online").await;
            // A will that comes late would be here by now.
            sleep(Duration::from_secs(6)).await;
            let said = client.messages(AVAILABILITY);
            let offline = said.iter().filter(|one| one.payload == "offline").count();
            let case = format!("session_expiry {expiry} s, away for {away} s: {said:?}");
            assert_eq!(offline > 0, says_offline, "{case}");
            assert_eq!(
                client.last(AVAILABILITY).as_deref(),
                Some("online"),
                "{case}"
            );
            // A stop says so at once.
            let began = Instant::now();
            it.door.stop(Instant::now() + SOON).await;
            client.expect(AVAILABILITY, "offline").await;
            // The will would take ten seconds.
            assert!(began.elapsed() < Duration::from_secs(8), "{case}");
        },
    );
}

/// The broker closes the connection, and publishes its will when the next one is there. It tells of that
/// or, as No Local is often understood, does not.
#[test]
fn the_will_of_an_earlier_connection_does_not_stay() {
    at_the_same_time(
        // After nine seconds the gateway repeats nothing by itself any more.
        [(true, 500), (false, 500), (true, 9000), (false, 5000)],
        |(tells, late)| async move {
            let broker = ScriptedBroker::start(Script::default()).await;
            let it = start(MqttSettings::new(plain_tcp(broker.port)));
            connected(&it.door).await;
            broker.holds(AVAILABILITY, "online").await;
            broker.send(Vec::new());
            broker
                .until("a second connection", |broker| broker.connections() == 2)
                .await;
            let mut up = it.door.connected();
            up.wait_for(|up| *up).await.unwrap();
            sleep(Duration::from_millis(late)).await;
            broker.retain(AVAILABILITY, "offline");
            if tells && broker.brings_own(AVAILABILITY) {
                let will = Publish::new(Version::V5, AVAILABILITY, 0).payload("offline");
                broker.send(will.bytes());
            }
            let began = Instant::now();
            broker.holds(AVAILABILITY, "online").await;
            assert!(
                began.elapsed() < Duration::from_secs(6),
                "{tells} {late} ms"
            );
            it.door.stop(Instant::now() + SOON).await;
        },
    );
}

/// A will that comes over a connection that has long been made is heard.
#[tokio::test]
async fn an_offline_that_this_gateway_did_not_say_is_taken_back_at_the_first_connection_too() {
    if poly2mqtt_test_support::mosquitto().is_none() {
        return;
    }
    let broker = TestBroker::start(BrokerKind::Mosquitto).await;
    let client = Client::connect(broker.port()).await;
    let it = setup(settings(&broker)).await;
    client.expect(AVAILABILITY, "online").await;
    for payload in ["offline", ""] {
        client.clear();
        client
            .publish_with(AVAILABILITY, payload, true, Default::default())
            .await;
        client
            .until("it", |client| !client.messages(AVAILABILITY).is_empty())
            .await;
        client.expect(AVAILABILITY, "online").await;
    }
    it.door.stop(Instant::now() + SOON).await;
}
