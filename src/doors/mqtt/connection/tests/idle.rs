//! Something between the gateway and the broker that ends idle connections.

use poly2mqtt_test_support::log::thread_log;

use super::*;

const IDLE_LIMIT: Duration = Duration::from_secs(7);

/// Takes everything until nothing has come for a while. Then the connection ends without a word.
async fn proxy(mut broker: FakeBroker) {
    while let Ok(Some(packet)) = tokio::time::timeout(IDLE_LIMIT, broker.packet()).await {
        match packet {
            Packet::Publish(publish) => broker.acknowledge(&publish).await,
            Packet::PingReq(_) => broker.pong().await,
            _ => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn connections_that_end_for_being_idle_are_told_once_with_the_key_that_helps() {
    let (log, _guard) = thread_log();
    let (context, _) = context();
    (context.store).set(GATEWAY_AVAILABILITY, StateValue::text("online"));
    let mut connection = Connection::new(context, None);
    for _ in 0..20 {
        let (broker, link) = FakeBroker::new(1 << 20);
        let limits = SessionLimits {
            receive_maximum: u16::MAX,
            largest_packet: 1 << 20,
            keep_alive: KEEP_ALIVE,
        };
        connection.backoff.opened(Instant::now());
        let session = BrokerSession::new(link, limits);
        let (served, ()) = tokio::join!(connection.serve(session), proxy(broker));
        sleep(connection.report(&served.unwrap_err())).await;
    }
    let text = log.text();
    let count = |words: &str| text.matches(words).count();
    assert_eq!(count("Set mqtt.keep_alive, now 30 s"), 1, "{text}");
    assert!(count("nothing has happened on it for 7 s") == 1, "{text}");
    // The first ones, before it was known.
    assert!(count("the broker closed the connection") <= 3, "{text}");
    assert!(count("connected to the broker") <= 4, "{text}");
}
