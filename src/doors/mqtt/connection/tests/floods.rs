//! Clients whose commands come faster than the broker takes what the gateway answers.

use super::*;

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
    assert_eq!(it.gateway.submitted.lock().unwrap().len(), COMMANDS + 1);
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
