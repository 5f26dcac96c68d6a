//! The faults: which, when and for how long, all drawn from the seed.

use std::sync::Arc;
use std::time::Duration;

use poly2mqtt_simulator::{Fault, FaultKind};
use tokio::time::{Instant, sleep};

use crate::proxy::{Path, Side};
use crate::report::Check;
use crate::timeline::Cause;
use crate::world::{Room, World};
use poly2mqtt_test_support::random::Random;
use poly2mqtt_test_support::secrets::PASSWORD;

/// A room without its device must be offline after this time, which is that of two slow commands one
/// after the other.
const NOTICED: Duration = Duration::from_secs(15);
/// A connected gateway publishes what it knows within this time.
const SAYS: Duration = Duration::from_secs(3);
/// Where a request by POST reads.
const READ_BY_POST: [&str; 3] = [
    "/rest/devicemanagement/devices",
    "/rest/current/devicemanagement/devices",
    "/rest/config",
];
/// The longest delay of an answer. A device may act on a request this late.
const LATEST: u64 = 4500;

const ROOM: &[(u64, &str)] = &[
    (5, "path reset"),
    (4, "path refuses"),
    (4, "path stalls"),
    (3, "path is slow"),
    (6, "request cut"),
    (6, "answer cut"),
    (3, "path gone for long"),
    (3, "not understood for long"),
    (8, "device late"),
    (8, "device status"),
    (5, "dropped before acting"),
    (6, "dropped after acting"),
    (3, "garbage"),
    (3, "truncated JSON"),
    (2, "page"),
    (2, "redirect"),
    (2, "null"),
    (2, "12 MB"),
    (4, "session expires in a request"),
    (3, "sessions expire"),
    (2, "certificate changes"),
    (2, "device reboots"),
    (3, "Teams mode"),
    (2, "password changes"),
];

const PATHS: &[&str] = &[
    "/rest/",
    "/rest/",
    "/rest/audio",
    "/rest/cameras",
    "/rest/cameras",
    "/rest/conferences",
    "/rest/directory",
    "/rest/session",
    "/rest/system",
    "/rest/video",
];

/// Causes faults of one room until `until`.
pub async fn room(world: Arc<World>, number: usize, mut random: Random, until: Instant) {
    loop {
        sleep(random.millis(100, 1800)).await;
        let name = random.weighted(ROOM);
        let lasts = random.millis(200, 2800);
        let draw = random.draw();
        let left = until.saturating_duration_since(Instant::now());
        if left < Duration::from_secs(4) {
            return;
        }
        if name.ends_with(" for long") && left < NOTICED + Duration::from_secs(4) {
            continue;
        }
        let cause = match name {
            "device late" => Cause::Late(number),
            _ => Cause::Room(number),
        };
        let about = format!("for {} ms, draw {}", lasts.as_millis(), draw % 1000);
        let fault = world.timeline.begin(cause, name, &about);
        trouble(&world, number, name, lasts, draw).await;
        world.timeline.end(fault);
    }
}

async fn trouble(world: &World, number: usize, name: &str, lasts: Duration, draw: u64) {
    let room = &world.rooms[number];
    let (device, proxy) = (&room.device, &room.proxy);
    let path = |path, lasts| async move {
        proxy.set(path);
        sleep(lasts).await;
        proxy.clear();
    };
    let small = draw / 7 % 900 + 1;
    match name {
        "path reset" => {
            proxy.reset();
            sleep(Duration::from_millis(100)).await;
        }
        "path refuses" => path(Path::Refuse, lasts).await,
        "path stalls" => {
            // Sometimes longer than a request's time-out.
            path(Path::Stall, lasts + Duration::from_millis(draw % 2500)).await;
            sleep(Duration::from_millis(300)).await;
        }
        "path is slow" => path(Path::Slow((draw % 40 + 5) as usize), lasts).await,
        "request cut" | "answer cut" => {
            let side = if name == "request cut" {
                Side::Request
            } else {
                Side::Answer
            };
            for _ in 0..draw % 3 + 1 {
                proxy.cut(side, small as usize);
                sleep(lasts / 3).await;
            }
            proxy.clear();
        }
        "path gone for long" => {
            let (from, way) = (Instant::now(), [Path::Refuse, Path::Stall]);
            proxy.set(way[(draw % 2) as usize]);
            sleep(NOTICED).await;
            noticed(world, number, from);
            proxy.clear();
        }
        "not understood for long" => {
            let kinds = [
                FaultKind::Page,
                FaultKind::Redirect,
                FaultKind::Garbage,
                FaultKind::Null,
                FaultKind::Truncated,
                FaultKind::Body("[]".into()),
                FaultKind::Body("{\"status\":\"UP\"}".into()),
                FaultKind::Status(404),
                FaultKind::Status(500),
                FaultKind::Status(503),
            ];
            let from = Instant::now();
            let kind = kinds[draw as usize % kinds.len()].clone();
            // Every read: all requests by GET, and those that read by POST.
            device.add_fault(Fault::on("/rest/", kind.clone()).method("GET"));
            for path in READ_BY_POST {
                device.add_fault(Fault::on(path, kind.clone()));
            }
            sleep(NOTICED).await;
            noticed(world, number, from);
            device.clear_faults();
        }
        "sessions expire" => device.expire_sessions(),
        "certificate changes" => {
            device.new_certificate().unwrap();
            sleep(lasts / 2).await;
            world.pin().await;
            sleep(Duration::from_millis(300)).await;
        }
        "device reboots" => {
            device.reboot(lasts);
            sleep(lasts + Duration::from_millis(200)).await;
            world.pin().await;
            sleep(Duration::from_millis(300)).await;
        }
        "Teams mode" => {
            device.person_sets_mode("Teams");
            sleep(lasts).await;
            device.person_sets_mode("Poly");
        }
        "password changes" => {
            device.person_sets_password("another");
            device.expire_sessions();
            sleep(lasts.min(Duration::from_secs(3))).await;
            device.person_sets_password(PASSWORD);
        }
        _ => requests(room, name, lasts, draw).await,
    }
}

/// Makes requests to the device fail for a while.
async fn requests(room: &Room, name: &str, lasts: Duration, draw: u64) {
    let late = match name {
        "device late" => Duration::from_millis(draw % LATEST + 100),
        _ => Duration::ZERO,
    };
    let kind = match name {
        "device late" => FaultKind::Delay(late),
        "device status" => FaultKind::Status([403, 404, 500, 503][(draw % 4) as usize]),
        "dropped before acting" => FaultKind::DropBefore,
        "dropped after acting" => FaultKind::DropAfter,
        "garbage" => FaultKind::Garbage,
        "truncated JSON" => FaultKind::Truncated,
        "null" => FaultKind::Null,
        "page" => FaultKind::Page,
        "redirect" => FaultKind::Redirect,
        "12 MB" => FaultKind::Huge(12 << 20),
        _ => FaultKind::ExpireSession,
    };
    let few = matches!(kind, FaultKind::Huge(_) | FaultKind::ExpireSession);
    let mut fault = Fault::on(PATHS[(draw / 11) as usize % PATHS.len()], kind);
    fault = match draw / 101 % 3 {
        0 => fault.method("POST"),
        1 => fault.method("GET"),
        _ => fault,
    };
    if few || draw.is_multiple_of(2) {
        fault = fault.times(1 + (draw / 5 % 4) as u32);
    }
    room.device.add_fault(fault);
    sleep(lasts).await;
    room.device.clear_faults();
    // The last request may also be acted on late.
    sleep(late).await;
}

/// Checks that a device that has been away for a long time, or whose reads all brought nothing of use,
/// is not `online`: a gateway that ran all the time has noticed, and one that started meanwhile has never
/// understood it.
fn noticed(world: &World, number: usize, from: Instant) {
    let now = Instant::now();
    let away = [
        Cause::Absent,
        Cause::Broker,
        Cause::Kill,
        Cause::Link,
        Cause::Stop,
    ];
    if world.timeline.any(&away, now - SAYS, now) {
        return;
    }
    world.report.count(Check::States, "long outages", 1);
    if world.says_online(number) {
        let message = format!(
            "room {} is called online {NOTICED:?} after its path or its answers went",
            world.rooms[number].target.id
        );
        world
            .report
            .violation(&world.timeline, Check::States, Some(number), &message, from);
    }
}

const ALL: &[(u64, &str)] = &[
    (3, "broker"),
    (3, "kill"),
    (3, "stop"),
    (2, "link reset"),
    (2, "link stalls"),
    (2, "link cut"),
    (2, "reload"),
];

/// Causes faults of the gateway and its broker until `until`.
pub async fn everything(world: Arc<World>, mut random: Random, until: Instant) {
    loop {
        sleep(random.millis(1000, 6000)).await;
        let name = random.weighted(ALL);
        let lasts = random.millis(50, 2000);
        let draw = random.draw();
        if until.saturating_duration_since(Instant::now()) < Duration::from_secs(6) {
            return;
        }
        match name {
            "broker" => world.broker_dies(lasts).await,
            "kill" => world.gateway_dies(lasts).await,
            "stop" => {
                let from = Instant::now();
                if !world.gateway_stops(lasts).await {
                    let message = "SIGTERM does not end the gateway";
                    world
                        .report
                        .violation(&world.timeline, Check::Holds, None, message, from);
                }
            }
            // A reload excuses no violation.
            "reload" => world.pin().await,
            _ => {
                let fault = world.timeline.begin(Cause::Link, name, "");
                match name {
                    "link reset" => world.link.reset(),
                    "link stalls" => {
                        world.link.set(Path::Stall);
                        sleep(lasts).await;
                    }
                    _ => {
                        let sides = [Side::Request, Side::Answer];
                        let side = sides[(draw % 2) as usize];
                        world.link.cut(side, (draw / 3 % 2000) as usize + 1);
                        sleep(lasts).await;
                    }
                }
                world.link.clear();
                sleep(Duration::from_secs(3)).await;
                world.timeline.end(fault);
            }
        }
    }
}

/// Acts as people: somebody calls, somebody hangs up.
pub async fn people(world: Arc<World>, mut random: Random, until: Instant) {
    while Instant::now() < until {
        sleep(random.millis(300, 1500)).await;
        let room = random.pick(&world.rooms);
        if random.chance(80) {
            let connection = room.device.person_calls_in("bob@example.com");
            room.target.ringing.lock().unwrap().push_back(connection);
        } else {
            room.device.person_hangs_up();
        }
    }
}
