//! The gentle pace: how many requests a device gets, never two at a time, and commands at once.

use std::time::Duration;

use futures_util::future::join_all;
use poly2mqtt_simulator::{Condition, Options};
use poly2mqtt_test_support::SOON;
use poly2mqtt_test_support::gateway::Gateway;
use tokio::time::{Instant, sleep};

/// A minute of the usual intervals passes in a tenth of it: a busy machine can still keep to them.
const SPEED: u32 = 10;
const MINUTE: Duration = Duration::from_secs(6);

#[derive(Debug, Clone, Copy)]
enum Use {
    Idle,
    Call,
    Asleep,
    Teams,
}

async fn start(gentle: bool, used: Use) -> Gateway {
    let it = Gateway::start_online_with(Options::default(), |room| {
        room.poll.fast = Duration::from_secs(2) / SPEED;
        room.poll.normal = Duration::from_secs(15) / SPEED;
        room.poll.slow = Duration::from_secs(60) / SPEED;
        room.poll.meters = false;
        room.poll.gentle = gentle;
    })
    .await;
    match used {
        Use::Idle => {}
        Use::Call => {
            it.client.command("room/1/call/dial", "a@example.com").await;
            it.client.expect("room/1/call/state", "connected").await;
        }
        Use::Asleep => {
            it.device.set_condition(Condition::Asleep, true);
            it.client.command("room/1/system/state/get", "").await;
            it.client.expect("room/1/system/state", "ASLEEP").await;
        }
        Use::Teams => {
            it.device.person_sets_mode("Teams");
            let result = it.client.command("room/1/system/mode/get", "").await;
            assert_eq!(result["body"]["activePersona"], "Teams", "{result}");
        }
    }
    it
}

/// The requests in each of these minutes, after a warm-up.
async fn requests(it: &Gateway, warm_up: Duration, minutes: u32) -> f64 {
    sleep(warm_up).await;
    it.device.clear_journal();
    sleep(MINUTE * minutes).await;
    it.device.journal().len() as f64 / f64::from(minutes)
}

#[tokio::test]
async fn a_gentle_room_costs_a_quarter_and_one_at_rest_less() {
    let second = Duration::from_secs(1);
    let ways = [
        (false, Use::Idle),
        (true, Use::Idle),
        (true, Use::Asleep),
        (true, Use::Teams),
    ];
    let counted = ways.map(|(gentle, used)| async move {
        let it = start(gentle, used).await;
        let count = requests(&it, second, 2).await;
        if gentle {
            assert_eq!(it.device.most_at_a_time(), 1, "{used:?}");
        }
        it.stop().await;
        count
    });
    let counts = join_all(counted).await;
    let [normal, gentle, asleep, teams] = counts[..] else {
        unreachable!()
    };
    assert!(gentle * 3.0 < normal, "{counts:?}");
    assert!(asleep < gentle * 0.8 && teams < gentle * 0.8, "{counts:?}");
}

#[tokio::test]
async fn a_command_to_a_gentle_room_goes_at_once_and_is_read_back() {
    let it = start(true, Use::Idle).await;
    // The machine may stand still for one of them.
    let mut quickest = Duration::MAX;
    for volume in ["11", "22", "33"] {
        let sent = Instant::now();
        let result = it.client.command("room/1/audio/volume/set", volume).await;
        assert_eq!(result["ok"], true, "{result}");
        // The state came before the result.
        let state = it.client.last("room/1/audio/volume");
        assert_eq!(state.as_deref(), Some(volume));
        quickest = quickest.min(sent.elapsed());
    }
    assert!(quickest < Duration::from_secs(1), "{quickest:?}");
    // A camera is moved and stopped while the room is read.
    let result = it.moves_left(200).await;
    assert_eq!(result["ok"], true, "{result}");
    it.camera_stops(SOON).await;
    it.stop().await;
}

/// A reload with another pace is another room's task: it keeps to its own, and nothing is lost.
#[tokio::test]
async fn a_reload_makes_a_room_gentle_and_takes_it_back() {
    let mut it = start(false, Use::Idle).await;
    let second = Duration::from_secs(1);
    let before = requests(&it, second, 1).await;
    let mut counts = Vec::new();
    for gentle in [true, false] {
        it.client.clear();
        for room in it.config.rooms.values_mut().map(std::sync::Arc::make_mut) {
            room.poll.gentle = gentle;
        }
        it.service.reload(it.config.clone()).await.unwrap();
        it.client.command("room/1/audio/volume/get", "").await;
        counts.push(requests(&it, second, 2).await);
    }
    let [gentle, after] = counts[..] else {
        unreachable!()
    };
    assert!(
        gentle * 2.0 < before && gentle * 2.0 < after,
        "{before} {counts:?}"
    );
    it.stop().await;
}

/// Prints the table that `docs/states.md` has, as the simulated device counts it:
///
/// ```sh
/// cargo test --test it gentle::measured -- --ignored --nocapture
/// ```
#[tokio::test]
#[ignore = "takes four minutes"]
async fn measured() {
    let ways = [
        ("default", false, Use::Idle),
        ("default, in a call", false, Use::Call),
        ("gentle", true, Use::Idle),
        ("gentle, in a call", true, Use::Call),
        ("gentle, asleep", true, Use::Asleep),
        ("gentle, in Teams", true, Use::Teams),
    ];
    let mut rooms = Vec::new();
    for (name, gentle, used) in ways {
        rooms.push((name, start(gentle, used).await));
    }
    // After two of the longest intervals each read has its own place.
    let warm_up = MINUTE * 16;
    let counted = rooms.iter().map(|(_, it)| requests(it, warm_up, 16));
    let counted = join_all(counted).await;
    for ((name, _), a_minute) in rooms.iter().zip(counted) {
        println!("| {name} | {a_minute:.0} |");
    }
    for (_, it) in rooms {
        it.stop().await;
    }
}
