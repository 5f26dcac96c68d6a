//! All gateways of a cluster end, one after the other or together: nothing is `online` at the broker afterwards.

use super::*;

/// How the two gateways end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The first one is killed; so much later the second one is asked to end.
    KilledThenAsked { after: Duration },
    /// The same, with a second one that is the speaker.
    SpeakerStays { after: Duration },
    /// Both are asked to end at once.
    BothAsked,
    /// etcd has ended so long before.
    BothAskedWithoutEtcd { after: Duration },
    /// etcd has ended, and the first one is killed.
    KilledThenAskedWithoutEtcd,
}

async fn end_all(end: End) {
    let rooms = [rooms_of("gw-1", 2), rooms_of("gw-2", 2)].concat();
    let Some(mut campus) = Campus::start(&rooms).await else {
        return;
    };
    let [first, second] = campus.two().await;
    let all_online = async || {
        let said = campus.availability().await;
        said.values().filter(|it| *it == "online").count() == rooms.len() + 3
    };
    until(|| "all is said to be online".into(), all_online).await;
    match end {
        End::KilledThenAsked { after } => {
            first.process.signal("KILL");
            sleep(after).await;
            second.process.signal("TERM");
            ended(second.process).await;
        }
        End::SpeakerStays { after } => {
            second.process.signal("KILL");
            sleep(after).await;
            first.process.signal("TERM");
            ended(first.process).await;
        }
        End::BothAsked | End::BothAskedWithoutEtcd { .. } => {
            if let End::BothAskedWithoutEtcd { after } = end {
                campus.etcd.kill(0);
                sleep(after).await;
            }
            first.process.signal("TERM");
            second.process.signal("TERM");
            ended(first.process).await;
            ended(second.process).await;
        }
        End::KilledThenAskedWithoutEtcd => {
            campus.etcd.kill(0);
            first.process.signal("KILL");
            second.process.signal("TERM");
            ended(second.process).await;
        }
    }
    campus.assert_all_offline().await;
    campus.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_gateway_says_offline_for_a_dead_one_before_its_rooms_were_taken() {
    end_all(End::KilledThenAsked {
        after: Duration::ZERO,
    })
    .await;
    end_all(End::KilledThenAsked {
        after: Duration::from_millis(1500),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_gateway_says_offline_also_while_it_takes_the_rooms_over() {
    end_all(End::SpeakerStays {
        after: Duration::from_millis(700),
    })
    .await;
    end_all(End::SpeakerStays {
        after: Duration::from_millis(2700),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_that_end_together_leave_nothing_online() {
    end_all(End::BothAsked).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_that_end_without_etcd_leave_nothing_online() {
    end_all(End::BothAskedWithoutEtcd {
        after: Duration::ZERO,
    })
    .await;
    end_all(End::BothAskedWithoutEtcd {
        after: Duration::from_secs(4),
    })
    .await;
    end_all(End::KilledThenAskedWithoutEtcd).await;
}
