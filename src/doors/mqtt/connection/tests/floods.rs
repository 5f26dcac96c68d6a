//! Clients whose commands come faster than the broker takes what the gateway answers.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::*;
use crate::command::{FileAnswer, Success};
use crate::doors::mqtt::message::LARGE_RESULT_BYTES;

/// Commands come faster than the broker acknowledges their results. The gateway reads on all the same: the
/// acknowledgements come behind the commands.
#[tokio::test(start_paused = true)]
async fn a_flood_of_commands_takes_bounded_memory_and_costs_other_rooms_no_result() {
    const COMMANDS: usize = 12_000;
    let mut it = start();
    it.broker.greet().await;
    // What the broker retained has come by then.
    tokio::time::sleep(2 * SETTLE_TIME).await;
    let command = |topic: &str| {
        Packet::Publish(Publish {
            pkid: 0,
            qos: QoS::AtMostOnce,
            ..publish(topic, "")
        })
    };
    for n in 0..COMMANDS {
        if n == COMMANDS / 2 {
            it.broker.send(command("av/room/2/audio/mute")).await;
        }
        it.broker.send(command("av/room/1/audio/mute")).await;
    }
    // The clock goes on only when the gateway has nothing more to do.
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(it.gateway.submitted.lock().len(), COMMANDS + 1);
    let waiting = it.context.subscriber.outbox.len();
    assert!(waiting <= 10_000, "{waiting}");
    assert!(counted(&it.context, "left_out") >= 1000);
    for n in 0.. {
        assert!(n < 1000, "the other room's result does not come");
        let result = it.broker.publish().await;
        it.broker.acknowledge(&result).await;
        if topic(&result) == "av/room/2/audio/mute/result" {
            break;
        }
    }
}

/// A broker that takes files more slowly than devices give them.
#[tokio::test(start_paused = true)]
async fn files_and_large_answers_take_bounded_memory_and_every_command_has_its_result() {
    const COMMANDS: usize = 100;
    const FILE: usize = 512 << 10;
    let mut it = start();
    it.broker.greet().await;
    tokio::time::sleep(2 * SETTLE_TIME).await;
    for n in 0..2 * COMMANDS {
        let hold = Packet::Publish(Publish {
            pkid: 0,
            qos: QoS::AtMostOnce,
            ..publish("av/room/1/hold", &n.to_string())
        });
        it.broker.send(hold).await;
    }
    tokio::time::sleep(Duration::from_millis(10)).await;
    let held = std::mem::take(&mut *it.gateway.held.lock());
    assert_eq!(held.len(), 2 * COMMANDS);
    let file = |is_state| FileAnswer {
        topic: "system/logs".into(),
        content_type: "application/gzip".into(),
        size: Some(FILE as u64),
        bytes: Some(vec![0; FILE].into()),
        is_state,
    };
    for (n, submission) in held.into_iter().enumerate() {
        let result = match n {
            // A state is not kept a second time.
            0 => Success::file(200, file(true)),
            1..COMMANDS => Success::file(200, file(false)),
            _ => Success::new(200, "x".repeat(100 << 10).into()),
        };
        submission.reply.answer(Ok(result));
    }
    let waiting = it.context.large_results.waiting();
    assert!(
        (LARGE_RESULT_BYTES / 2..=LARGE_RESULT_BYTES).contains(&waiting),
        "{waiting}"
    );
    let (mut results, mut files, mut left_out) = (0, 0, 0);
    while results < 2 * COMMANDS {
        let message = it.broker.publish().await;
        it.broker.acknowledge(&message).await;
        match topic(&message) {
            "av/room/1/system/logs" => files += 1,
            "av/room/1/hold/result" => {
                results += 1;
                let text = String::from_utf8_lossy(&message.payload);
                left_out += usize::from(text.contains("too_large"));
            }
            _ => {}
        }
    }
    assert_eq!(files, LARGE_RESULT_BYTES / FILE);
    assert_eq!(left_out, COMMANDS);
    assert_eq!(counted(&it.context, "left_out"), 0);
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(it.context.large_results.waiting(), 0);
}

/// A broker that always has more messages than one read takes, and answers nothing.
struct Endless(Vec<u8>);

impl AsyncRead for Endless {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while buf.remaining() >= self.0.len() {
            buf.put_slice(&self.0);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Endless {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Messages without an answer, such as a state that another program publishes in a loop. This test has one thread, as
/// the gateway: it goes on only if the door leaves it to others.
#[tokio::test(start_paused = true)]
async fn a_broker_that_never_pauses_stops_neither_others_nor_the_deadlines() {
    let (context, _) = context();
    let mut message = BytesMut::new();
    let state = Publish {
        pkid: 0,
        qos: QoS::AtMostOnce,
        ..publish("av/room/1/audio/volume", "5")
    };
    Packet::Publish(state).write(&mut message, None).unwrap();
    let link = BrokerLink::new(Box::new(Endless(message.to_vec())), 1 << 20);
    let serving = serve(Connection::new(context, None), link);
    for _ in 0..1000 {
        tokio::time::advance(SUBACK_TIMEOUT / 100).await;
        if serving.is_finished() {
            break;
        }
    }
    assert!(serving.is_finished(), "the deadlines have no turn");
    let (_, lost) = serving.await.unwrap();
    assert!(matches!(lost, Err(ConnectionLost::SubscribeTimeout)));
}
