//! How commands are acknowledged, and whether the broker has read that.

use rumqttc::v5::mqttbytes::v5::PubRel;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_command_of_qos_2_is_acknowledged_to_the_end_and_carried_out_once() {
    let mut it = start();
    it.broker.greet().await;
    // In the first moment commands are held.
    sleep(Duration::from_millis(500)).await;
    let command = Publish {
        qos: QoS::ExactlyOnce,
        ..publish("av/room/1/audio/mute", "")
    };
    let again = Publish {
        dup: true,
        ..command.clone()
    };
    let (mut received, mut completed) = (0, 0);
    it.broker.send(Packet::Publish(command.clone())).await;
    it.broker.send(Packet::Publish(again)).await;
    while completed < 2 {
        match it.broker.packet().await.unwrap() {
            Packet::PubRec(ack) => {
                received += 1;
                assert_eq!(ack.pkid, 7);
                if received != 1 {
                    it.broker.send(Packet::PubRel(PubRel::new(7, None))).await;
                }
            }
            Packet::PubComp(ack) => {
                completed += 1;
                assert_eq!(ack.pkid, 7);
                if completed == 1 {
                    it.broker.send(Packet::Publish(command.clone())).await;
                }
            }
            Packet::PubAck(ack) => panic!("{ack:?}"),
            _ => {}
        }
    }
    assert_eq!((received, completed), (3, 2));
    assert_eq!(it.gateway.submitted.lock().len(), 2);
}

/// Otherwise a press after a lost connection could be taken for a repeat of the slow command.
#[tokio::test(start_paused = true)]
async fn the_broker_is_asked_what_it_has_read_while_a_command_has_no_result() {
    let mut it = start();
    it.broker.greet().await;
    let command = publish("av/room/1/hold", "");
    it.broker.send(Packet::Publish(command)).await;
    let began = Instant::now();
    loop {
        match it.broker.packet().await.unwrap() {
            Packet::PingReq(_) => break,
            Packet::Publish(publish) => panic!("{publish:?}"),
            _ => {}
        }
    }
    assert!(began.elapsed() <= 2 * DEADLINE_CHECK_INTERVAL);
    it.broker.pong().await;
    // Once is enough.
    loop {
        match it.broker.packet().await.unwrap() {
            Packet::PingReq(_) => break,
            Packet::Publish(publish) => it.broker.acknowledge(&publish).await,
            _ => {}
        }
    }
    assert!(began.elapsed() >= KEEP_ALIVE);
}

/// Each of them keeps its packet identifier for as long as the connection lasts.
#[tokio::test(start_paused = true)]
async fn a_broker_that_leaves_a_thousand_messages_without_an_answer_is_left() {
    let (context, _) = context();
    let mut connection = Connection::new(context, None);
    let (_broker, link) = FakeBroker::new(1 << 20);
    let limits = SessionLimits {
        receive_maximum: u16::MAX,
        largest_packet: 1 << 20,
        keep_alive: KEEP_ALIVE,
    };
    let mut session = BrokerSession::new(link, limits);
    let mut unanswered = 0;
    let lost = loop {
        if let Err(lost) = connection.check_deadlines(&mut session) {
            break lost;
        }
        assert!(unanswered < 2_000);
        let inflight = &mut session.inflight;
        let id = inflight.next_id();
        inflight.push(id, Bytes::from_static(b"t"), 0, None, None);
        let message = inflight.take(0).unwrap();
        inflight.keep(message, Instant::now());
        unanswered += 1;
    };
    assert!(matches!(lost, ConnectionLost::PublishTimeout), "{lost:?}");
    assert_eq!(unanswered, 1_000);
}
