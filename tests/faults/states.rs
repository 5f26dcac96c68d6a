//! Checks, once all faults have ended, that the retained topics agree with the devices.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use poly2mqtt::app::App;
use poly2mqtt::config::{BrokerUrl, RoomId, Secret};
use tokio::time::{Instant, sleep, sleep_until};

use crate::report::Check;
use crate::world::{SLOWEST, World};
use poly2mqtt_test_support::client::{Client, text};
use poly2mqtt_test_support::gateway::{config, room, timings};
use poly2mqtt_test_support::secrets::PASSWORD;

/// A broker that has sent nothing for this time has sent everything it holds.
const TOLD: Duration = Duration::from_millis(300);

const SECONDS_OF_A_DAY: u32 = 24 * 60 * 60;
/// So many seconds may be between what two gateways say of a device's start. The gateway takes a device that
/// starts twice within twenty seconds for one that started once: real ones need longer, those of this world do
/// not. An answer may take ten more, and the rest is rounding.
const APART_AT_MOST: u32 = 33;

/// States that are not read from the device, or only on request.
fn compared(topic: &str) -> bool {
    !topic.contains("/camera/snapshot/") && !topic.ends_with("/problem")
}

type States = BTreeMap<String, String>;

/// Compares every retained topic with what a second gateway reads at the same time, and the main ones
/// with the devices themselves.
pub async fn compare(world: &World) {
    let in_time = Instant::now() + 2 * SLOWEST;
    world.comparing.store(true, Ordering::Relaxed);
    let fresh = fresh(world).await;
    sleep_until(in_time).await;
    let held = held(world).await;
    let other = read(&fresh);
    fresh.stop().await;
    world.comparing.store(false, Ordering::Relaxed);
    world.report.count(Check::States, "comparisons", 1);
    let now = Instant::now();
    let broken = |message: &str| {
        world
            .report
            .violation(&world.timeline, Check::States, None, message, now);
    };
    let topics: std::collections::BTreeSet<_> = held.keys().chain(other.keys()).collect();
    for topic in topics {
        world.report.count(Check::States, "topics", 1);
        if !same(topic, held.get(topic), other.get(topic)) {
            broken(&format!(
                "{topic} is {:.300?}, but another gateway reads {:.300?}",
                held.get(topic),
                other.get(topic)
            ));
        }
    }
    for (topic, truth) in truths(world) {
        world.report.count(Check::States, "topics", 1);
        if held.get(&topic) != Some(&truth) {
            broken(&format!(
                "{topic} is {:?}, the device {truth}",
                held.get(&topic)
            ));
        }
    }
}

/// Whether two gateways say the same. When a device has started, each computes from the moment at
/// which the answer came, so they may be a little apart.
fn same(topic: &str, held: Option<&String>, other: Option<&String>) -> bool {
    match (
        held.and_then(|it| day_second(it)),
        other.and_then(|it| day_second(it)),
    ) {
        (Some(held), Some(other)) if topic.ends_with("/system/boot_time") => {
            let apart = held.abs_diff(other);
            apart.min(SECONDS_OF_A_DAY - apart) <= APART_AT_MOST
        }
        _ => held == other,
    }
}

/// The second of the day of `2026-11-26T20:03:56Z`.
fn day_second(time: &str) -> Option<u32> {
    let parts: Vec<u32> = time
        .split_once('T')?
        .1
        .strip_suffix('Z')?
        .split(':')
        .filter_map(|part| part.parse().ok())
        .collect();
    let [hour, minute, second] = parts[..] else {
        return None;
    };
    Some((hour * 60 + minute) * 60 + second)
}

/// A second gateway in this process, with its own broker. It reads the devices directly.
async fn fresh(world: &World) -> App {
    let rooms = world.rooms.iter().map(|other| {
        let id = RoomId::new(other.target.id).unwrap();
        let mut room = room(&other.device);
        room.password = Secret::new(PASSWORD);
        (id, room)
    });
    let url = BrokerUrl::Embedded(([127, 0, 0, 1], 0).into());
    let mut config = config(url, rooms.collect());
    config.mqtt.topic_prefix = "another".into();
    App::start(config, timings()).await.unwrap()
}

fn read(fresh: &App) -> States {
    let store = fresh.store();
    store
        .topics_below("room/")
        .into_iter()
        .filter(|topic| compared(topic))
        .filter_map(|topic| {
            let value = store.get(&topic)?;
            Some((
                topic.to_string(),
                String::from_utf8_lossy(&value.payload).into_owned(),
            ))
        })
        .collect()
}

/// What a new client receives.
async fn held(world: &World) -> States {
    let client = Client::connect_with(world.port, |_| {}, "room/#").await;
    // A broker sends what it holds bit by bit and does not say when that is all.
    let mut all = Vec::new();
    loop {
        sleep(TOLD).await;
        let now = client.all();
        if now.len() == all.len() && !all.is_empty() {
            break;
        }
        all = now;
    }
    all.into_iter()
        .filter(|(topic, _)| compared(topic) && client.messages(topic).iter().any(|one| one.retain))
        .filter(|(topic, _)| !topic.ends_with("/result") && !topic.contains("/event/"))
        .map(|(topic, _)| {
            let newest = client.messages(&topic).last().map(text).unwrap_or_default();
            (topic, newest)
        })
        .filter(|(_, payload)| !payload.is_empty())
        .collect()
}

/// The states of the devices themselves, without any gateway.
fn truths(world: &World) -> Vec<(String, String)> {
    let mut truths = Vec::new();
    for room in &world.rooms {
        let state = room.device.state();
        let mut is = |topic: &str, value: String| {
            truths.push((format!("room/{}/{topic}", room.target.id), value));
        };
        is("availability", "online".into());
        is("audio/volume", state["audio"]["volume"].to_string());
        is("audio/muted", state["audio"]["muted"].to_string());
        is("video/muted", state["video_muted"].to_string());
        is("system/signage", state["system"]["signage"].to_string());
        is(
            "system/device_mode",
            state["system"]["device_mode"].to_string(),
        );
        let conferences = state["calls"].as_array().unwrap();
        let up = conferences
            .iter()
            .find(|conference| conference["id"] == "0");
        let up = up.map_or(0, |up| up["connections"].as_array().unwrap().len());
        is("call/count", up.to_string());
    }
    truths
}
