//! Brokers that refuse what the gateways' speaker says: it is said again, or the log tells why it is not.

use poly2mqtt_test_support::cases::at_the_same_time;
use poly2mqtt_test_support::log::thread_log;
use poly2mqtt_test_support::scripted_broker::{Answer, TAKEN};

use super::*;

const AVAILABILITY: &str = "gateway/availability";

/// The speaker at a broker that refuses the first messages at its topics with this reason.
async fn speaker(reason: u8, first: usize) -> (ScriptedBroker, Presence) {
    let refused = AtomicUsize::new(0);
    let broker = ScriptedBroker::start(Script {
        publish: Box::new(move |_| {
            if refused.fetch_add(1, Ordering::Relaxed) < first {
                Answer::PubAck(reason)
            } else {
                TAKEN
            }
        }),
        ..Script::default()
    })
    .await;
    let presence = Presence::start(&settings(broker.port), CLUSTER, rules(), Arc::default());
    let presence = presence.unwrap();
    presence.speak("{}");
    (broker, presence)
}

#[test]
fn what_the_speaker_says_is_said_again_when_it_was_refused_for_now() {
    at_the_same_time([0x97, 0x88], |reason| async move {
        let (log, _guard) = thread_log();
        let (broker, presence) = speaker(reason, 4).await;
        broker.holds(AVAILABILITY, "online").await;
        broker.holds("gateway/cluster", "{}").await;
        let text = log.text();
        assert_eq!(
            text.matches("topic=\"gateway/availability\"").count(),
            1,
            "{text}"
        );
        let stopping = Instant::now();
        let last = presence.stop(RemainingGateways::None, stopping + SOON);
        soon("the end", last).await;
        broker.holds(AVAILABILITY, "offline").await;
    });
}

#[tokio::test]
async fn what_the_speaker_may_not_say_is_told_once() {
    let (log, _guard) = thread_log();
    let (broker, presence) = speaker(0x87, usize::MAX).await;
    log.contains("topic=\"gateway/availability\"").await;
    log.contains("check its access rules for this user").await;
    let before = broker.messages(AVAILABILITY).len();
    // Longer than it takes to say again what was refused for now.
    sleep(Duration::from_secs(3)).await;
    assert_eq!(broker.messages(AVAILABILITY).len(), before);
    let stopping = Instant::now();
    let last = presence.stop(RemainingGateways::Unknown, stopping + SOON);
    soon("the end", last).await;
    let text = log.text();
    assert_eq!(
        text.matches("topic=\"gateway/availability\"").count(),
        1,
        "{text}"
    );
}
