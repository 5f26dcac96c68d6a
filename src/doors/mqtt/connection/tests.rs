//! The connection against a broker that is a few lines over a pipe.

use bytes::{Bytes, BytesMut};
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnectReturnCode, Disconnect, DisconnectReasonCode, PubAck, PubAckReason, Publish,
    RetainForwardRule, SubAck, SubscribeReasonCode,
};
use rumqttc::v5::mqttbytes::{Error as MalformedPacket, QoS};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

use super::super::receive::tests::{FakeGateway, context, publish};
use super::super::settings::{PUBACK_TIMEOUT, SUBACK_TIMEOUT};
use super::*;
use crate::command::Success;
use crate::state::StateValue;
use crate::telemetry::Sample;

mod acknowledgements;
mod floods;
mod idle;
mod throttling;

const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// The broker's end of a connection.
struct FakeBroker {
    stream: DuplexStream,
    arrived: BytesMut,
    /// The answer to each filter of a SUBSCRIBE; `None`: no answer.
    grants: Option<SubscribeReasonCode>,
}

impl FakeBroker {
    /// A pipe that holds so many bytes.
    fn new(capacity: usize) -> (Self, BrokerLink) {
        let (stream, ours) = duplex(capacity);
        let arrived = BytesMut::new();
        let grants = Some(SubscribeReasonCode::Success(QoS::AtLeastOnce));
        let broker = Self {
            stream,
            arrived,
            grants,
        };
        (broker, BrokerLink::new(Box::new(ours), 1 << 20))
    }

    /// The next packet; `None` when the gateway has closed the connection. A SUBSCRIBE is answered.
    async fn packet(&mut self) -> Option<Packet> {
        let packet = self.read().await;
        if let (Some(Packet::Subscribe(subscribe)), Some(code)) = (&packet, self.grants) {
            let ack = SubAck {
                pkid: subscribe.pkid,
                return_codes: vec![code; subscribe.filters.len()],
                properties: None,
            };
            self.send(Packet::SubAck(ack)).await;
        }
        packet
    }

    async fn read(&mut self) -> Option<Packet> {
        loop {
            // The library does not read a DISCONNECT without a reason, which is the normal one.
            if self.arrived[..] == [0xE0, 0] {
                self.arrived.clear();
                let disconnect = Disconnect::new(DisconnectReasonCode::NormalDisconnection);
                return Some(Packet::Disconnect(disconnect));
            }
            match Packet::read(&mut self.arrived, None) {
                Ok(packet) => return Some(packet),
                Err(MalformedPacket::InsufficientBytes(_)) => {}
                Err(error) => panic!("{error}"),
            }
            if self.stream.read_buf(&mut self.arrived).await.unwrap() == 0 {
                return None;
            }
        }
    }

    /// The next publish; other packets are passed over.
    async fn publish(&mut self) -> Publish {
        loop {
            match self.packet().await {
                Some(Packet::Publish(publish)) => return publish,
                Some(_) => {}
                None => panic!("the connection is closed"),
            }
        }
    }

    async fn send(&mut self, packet: Packet) {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, None).unwrap();
        // It fails when the gateway has closed the connection, which the next read tells.
        let _ = self.stream.write_all(&bytes).await;
    }

    async fn acknowledge(&mut self, publish: &Publish) {
        let ack = PubAck::new(publish.pkid, None);
        self.send(Packet::PubAck(ack)).await;
    }

    async fn pong(&mut self) {
        let pong = Packet::PingResp(rumqttc::v5::mqttbytes::v5::PingResp);
        self.send(pong).await;
    }

    /// Acknowledges the availability, which is always the first message.
    async fn greet(&mut self) {
        let availability = self.publish().await;
        assert_eq!(topic(&availability), "av/gateway/availability");
        self.acknowledge(&availability).await;
    }
}

fn topic(publish: &Publish) -> &str {
    std::str::from_utf8(&publish.topic).unwrap()
}

/// One of the counters of `gateway/health`.
fn counted(context: &DoorContext, counter: &str) -> u64 {
    let sample = Sample {
        broker_connected: Some(true),
        ..Sample::default()
    };
    let health = context.telemetry.health(&sample, 0);
    health["mqtt"][counter].as_u64().unwrap()
}

struct Setup {
    context: Arc<DoorContext>,
    gateway: Arc<FakeGateway>,
    broker: FakeBroker,
    serving: JoinHandle<(Connection, Result<(), ConnectionLost>)>,
}

fn serve(
    mut connection: Connection,
    link: BrokerLink,
) -> JoinHandle<(Connection, Result<(), ConnectionLost>)> {
    let limits = SessionLimits {
        receive_maximum: u16::MAX,
        largest_packet: 1 << 20,
        keep_alive: KEEP_ALIVE,
    };
    let session = BrokerSession::new(link, limits);
    tokio::spawn(async move {
        let served = connection.serve(session).await;
        (connection, served.map_err(|lost| lost.lost))
    })
}

fn start_with(capacity: usize) -> Setup {
    let (context, gateway) = context();
    context
        .store
        .set(GATEWAY_AVAILABILITY, StateValue::text("online"));
    let (broker, link) = FakeBroker::new(capacity);
    let connection = Connection::new(context.clone(), None);
    Setup {
        serving: serve(connection, link),
        context,
        gateway,
        broker,
    }
}

fn start() -> Setup {
    start_with(1 << 20)
}

#[tokio::test(start_paused = true)]
async fn a_command_is_acknowledged_and_has_one_result() {
    let mut it = start();
    it.broker.greet().await;
    it.broker
        .send(Packet::Publish(publish("av/room/1/audio/mute", "")))
        .await;
    let (mut acknowledged, mut result) = (None, None);
    while acknowledged.is_none() || result.is_none() {
        match it.broker.packet().await.unwrap() {
            Packet::PubAck(ack) => acknowledged = Some(ack.pkid),
            Packet::Publish(publish) => result = Some(publish),
            _ => {}
        }
    }
    assert_eq!(acknowledged, Some(7));
    let result = result.unwrap();
    assert_eq!(topic(&result), "av/room/1/audio/mute/result");
    assert!(!result.retain);
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_run_left_is_asked_for_once() {
    let mut it = start();
    let rule = |packet: Option<Packet>| match packet {
        Some(Packet::Subscribe(subscribe)) => {
            let paths = subscribe.filters.iter().map(|filter| &*filter.path);
            assert_eq!(paths.collect::<Vec<_>>(), ["av/room/#", "av/gateway/+"]);
            subscribe.filters[0].retain_forward_rule.clone()
        }
        other => panic!("{other:?}"),
    };
    let first = rule(it.broker.packet().await);
    assert_eq!(first, RetainForwardRule::OnEverySubscribe);
    // It had no time to answer, so it is asked again.
    drop(it.broker);
    let (connection, lost) = it.serving.await.unwrap();
    assert!(lost.is_err());
    let (mut broker, link) = FakeBroker::new(1 << 20);
    let serving = serve(connection, link);
    let second = rule(broker.packet().await);
    assert_eq!(second, RetainForwardRule::OnEverySubscribe);
    sleep(2 * SETTLE_TIME).await;
    drop(broker);
    let (connection, _) = serving.await.unwrap();
    let (mut broker, link) = FakeBroker::new(1 << 20);
    let _serving = serve(connection, link);
    let third = rule(broker.packet().await);
    assert_eq!(third, RetainForwardRule::Never);
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_run_left_is_asked_for_when_the_commands_are_granted() {
    let mut it = start();
    it.broker.grants = Some(SubscribeReasonCode::NotAuthorized);
    it.broker.greet().await;
    it.broker.grants = Some(SubscribeReasonCode::Success(QoS::AtLeastOnce));
    let again = loop {
        match it.broker.packet().await.expect("the connection lasts") {
            Packet::Subscribe(subscribe) => break subscribe,
            Packet::PingReq(_) => it.broker.pong().await,
            _ => {}
        }
    };
    let rule = &again.filters[0].retain_forward_rule;
    assert_eq!(*rule, RetainForwardRule::OnEverySubscribe);
}

/// The result waits for its acknowledgement when the connection breaks, and the broker repeats the
/// command on the next one.
#[tokio::test(start_paused = true)]
async fn after_a_lost_connection_results_are_sent_again_and_no_command_runs_twice() {
    let mut it = start();
    it.broker.greet().await;
    let command = publish("av/room/1/audio/mute", "");
    it.broker.send(Packet::Publish(command.clone())).await;
    let result = it.broker.publish().await;
    drop(it.broker);
    let (connection, lost) = it.serving.await.unwrap();
    assert!(matches!(lost, Err(ConnectionLost::Closed)), "{lost:?}");
    let (mut broker, mut link) = FakeBroker::new(1 << 20);
    link.is_resumed = true;
    let _serving = serve(connection, link);
    let repeated = Publish {
        dup: true,
        ..command
    };
    broker.send(Packet::Publish(repeated)).await;
    broker.greet().await;
    let again = broker.publish().await;
    assert_eq!(
        (topic(&again), &again.payload),
        (topic(&result), &result.payload)
    );
    broker.acknowledge(&again).await;
    assert_eq!(*it.gateway.submitted.lock(), ["1/audio/mute"]);
    assert_eq!(counted(&it.context, "connects"), 2);
}

#[tokio::test(start_paused = true)]
async fn what_the_broker_refuses_is_counted_and_not_sent_again() {
    let mut it = start();
    it.broker.grants = Some(SubscribeReasonCode::NotAuthorized);
    let availability = it.broker.publish().await;
    let mut refused = PubAck::new(availability.pkid, None);
    refused.reason = PubAckReason::NotAuthorized;
    it.broker.send(Packet::PubAck(refused)).await;
    it.context
        .store
        .set("room/1/audio/volume", StateValue::text("5"));
    let next = it.broker.publish().await;
    assert_eq!(topic(&next), "av/room/1/audio/volume");
    // Two filters and a message.
    assert_eq!(counted(&it.context, "refused"), 3);
    assert_eq!(counted(&it.context, "left_out"), 1);
    // Without commands the gateway is not ready; they are asked for again.
    assert!(!*it.context.connected.borrow());
    it.broker.acknowledge(&next).await;
    it.broker.grants = Some(SubscribeReasonCode::Success(QoS::AtLeastOnce));
    loop {
        match it.broker.packet().await.expect("the connection lasts") {
            Packet::Subscribe(_) => break,
            Packet::PingReq(_) => it.broker.pong().await,
            _ => {}
        }
    }
    let mut connected = it.context.connected.subscribe();
    connected.wait_for(|connected| *connected).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_silent_broker_is_asked_and_then_given_up() {
    let mut it = start();
    it.broker.greet().await;
    let began = Instant::now();
    loop {
        match it.broker.packet().await {
            Some(Packet::PingReq(_)) => break,
            Some(Packet::Publish(publish)) => it.broker.acknowledge(&publish).await,
            Some(_) => {}
            None => panic!("no PINGREQ"),
        }
    }
    assert!(began.elapsed() <= KEEP_ALIVE + Duration::from_secs(1));
    // An answer keeps the connection; no answer ends it.
    it.broker.pong().await;
    let (_, lost) = it.serving.await.unwrap();
    assert!(matches!(lost, Err(ConnectionLost::Silent)), "{lost:?}");
    let waited = began.elapsed();
    assert!(
        waited >= 2 * KEEP_ALIVE && waited <= 4 * KEEP_ALIVE,
        "{waited:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_stops_reading_is_given_up_and_loses_nothing() {
    let mut it = start_with(64);
    assert!(matches!(
        it.broker.packet().await,
        Some(Packet::Subscribe(_))
    ));
    for n in 0..1000 {
        let topic = format!("room/1/system/parts/{n}");
        it.context
            .store
            .set(&topic, StateValue::text("x".repeat(100)));
    }
    let (connection, lost) = it.serving.await.unwrap();
    assert!(matches!(lost, Err(ConnectionLost::Silent)), "{lost:?}");
    assert_eq!(it.context.subscriber.outbox.len(), 1001);
    drop(connection);
    drop(it.broker);
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_results_and_takes_no_more_commands() {
    let mut it = start();
    it.broker.greet().await;
    it.broker
        .send(Packet::Publish(publish("av/room/1/hold", "")))
        .await;
    while !matches!(it.broker.packet().await, Some(Packet::PubAck(_))) {}
    it.context.stopping.cancel();
    let late = Publish {
        pkid: 8,
        ..publish("av/room/1/late", "")
    };
    it.broker.send(Packet::Publish(late)).await;
    sleep(Duration::from_secs(1)).await;
    assert!(!it.serving.is_finished());
    let held = it.gateway.held.lock().pop().unwrap();
    held.reply.answer(Ok(Success::new(200, true.into())));
    let result = it.broker.publish().await;
    assert_eq!(topic(&result), "av/room/1/hold/result");
    it.broker.acknowledge(&result).await;
    // Neither acknowledged nor carried out: it is for the next run.
    assert!(matches!(
        it.broker.packet().await,
        Some(Packet::Disconnect(_))
    ));
    assert!(it.broker.packet().await.is_none());
    assert!(it.serving.await.unwrap().1.is_ok());
    assert_eq!(*it.gateway.submitted.lock(), ["1/hold"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_connection_says_which_key_is_wrong() {
    let (context, _) = context();
    let (mut broker, link) = FakeBroker::new(1000);
    let refusal = async {
        assert!(matches!(broker.packet().await, Some(Packet::Connect(..))));
        let ack = ConnAck {
            session_present: false,
            code: ConnectReturnCode::BadUserNamePassword,
            properties: None,
        };
        broker.send(Packet::ConnAck(ack)).await;
    };
    let (introduced, ()) = tokio::join!(link.introduce(&context.settings), refusal);
    let message = introduced.err().unwrap().to_string();
    assert!(message.contains("mqtt.password_file"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_published_before_the_subscription_is_answered() {
    let mut it = start();
    it.broker.grants = None;
    let began = Instant::now();
    assert!(matches!(
        it.broker.packet().await,
        Some(Packet::Subscribe(_))
    ));
    // An answer to something else is none.
    let other = SubAck {
        pkid: 99,
        return_codes: vec![SubscribeReasonCode::Success(QoS::AtLeastOnce)],
        properties: None,
    };
    it.broker.send(Packet::SubAck(other)).await;
    assert!(it.broker.packet().await.is_none(), "published");
    let (_, lost) = it.serving.await.unwrap();
    assert!(
        matches!(lost, Err(ConnectionLost::SubscribeTimeout)),
        "{lost:?}"
    );
    let waited = began.elapsed();
    assert!(
        waited >= SUBACK_TIMEOUT && waited < 2 * SUBACK_TIMEOUT,
        "{waited:?}"
    );
    assert!(!*it.context.connected.borrow());
}

/// It answers pings, so only the missing acknowledgements tell.
#[tokio::test(start_paused = true)]
async fn a_broker_that_acknowledges_nothing_is_given_up() {
    let mut it = start();
    let began = Instant::now();
    let mut published = 0;
    while let Some(packet) = it.broker.packet().await {
        match packet {
            Packet::Publish(_) => published += 1,
            Packet::PingReq(_) => it.broker.pong().await,
            _ => {}
        }
        // Neither is an acknowledgement of something that was never sent.
        if published == 1 {
            it.broker.send(Packet::PubAck(PubAck::new(999, None))).await;
        }
    }
    let (_, lost) = it.serving.await.unwrap();
    let expected = matches!(lost, Err(ConnectionLost::PublishTimeout));
    assert!(expected, "{lost:?}");
    let waited = began.elapsed();
    assert!(
        waited >= PUBACK_TIMEOUT && waited < 2 * PUBACK_TIMEOUT,
        "{waited:?}"
    );
    assert!(!*it.context.connected.borrow());
    assert_eq!(it.context.subscriber.outbox.len(), 1);
}

/// The broker was only unsteady while the state was under way.
#[tokio::test(start_paused = true)]
async fn a_state_that_seemed_to_end_the_connection_is_sent_again_after_a_minute() {
    let mut it = start();
    it.broker.greet().await;
    let state = "room/1/audio/volume";
    it.context.store.set(state, StateValue::text("5"));
    for _ in 0..3 {
        assert_eq!(topic(&it.broker.publish().await), "av/room/1/audio/volume");
        let (broker, link) = FakeBroker::new(1 << 20);
        it.broker = broker;
        let (connection, lost) = it.serving.await.unwrap();
        assert!(matches!(lost, Err(ConnectionLost::Closed)), "{lost:?}");
        it.serving = serve(connection, link);
        it.broker.greet().await;
    }
    let began = Instant::now();
    let again = loop {
        match it.broker.packet().await.expect("the connection lasts") {
            // It is repeated after a connection that broke.
            Packet::Publish(publish) if topic(&publish) == "av/gateway/availability" => {
                it.broker.acknowledge(&publish).await;
            }
            Packet::Publish(publish) => break publish,
            Packet::PingReq(_) => it.broker.pong().await,
            _ => {}
        }
    };
    assert_eq!(topic(&again), "av/room/1/audio/volume");
    let waited = began.elapsed();
    assert!(
        waited > Duration::from_secs(50) && waited < Duration::from_secs(65),
        "{waited:?}"
    );
}
