//! Watches all the time: the devices' journals and sessions, and the gateway's memory and files.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::evidence::{Evidence, Rooms};
use crate::report::Check;
use crate::timeline::Cause;
use crate::world::World;

/// How much more a gateway may hold than at the first check: memory that the allocator keeps, and
/// idle connections.
const MEMORY_KIB: u64 = 24 << 10;
const FILES: usize = 8;

pub fn drain(world: &World, rooms: &mut Rooms) {
    for (number, room) in world.rooms.iter().enumerate() {
        let evidence = rooms.get_mut(&number).unwrap();
        for entry in room.device.take_journal() {
            evidence.note(&entry);
        }
    }
}

/// Reads the journals and counts the sessions, all the time.
pub fn watch(world: Arc<World>, rooms: Arc<Mutex<Rooms>>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut told = vec![0; world.rooms.len()];
        loop {
            sleep(Duration::from_millis(50)).await;
            let mut rooms = rooms.lock().unwrap();
            drain(&world, &mut rooms);
            if world.comparing.load(Ordering::Relaxed) {
                continue;
            }
            for (number, told) in told.iter_mut().enumerate() {
                sessions(&world, number, &rooms[&number], told);
            }
        }
    })
}

/// Whether no gateway can know a session: its log-in was disturbed, and it was never used.
fn sessions(world: &World, number: usize, evidence: &Evidence, told: &mut usize) {
    let ids = world.rooms[number].device.session_ids();
    let known = ids.iter().filter(|id| {
        let Some(made) = evidence.made.get(*id) else {
            return true;
        };
        let soon = Duration::from_secs(1);
        let causes = [
            Cause::Room(number),
            Cause::Late(number),
            Cause::Kill,
            Cause::Stop,
            Cause::Absent,
        ];
        let disturbed = made.faulty || world.timeline.any(&causes, made.came, made.answered + soon);
        evidence.used.contains(*id) || !disturbed
    });
    let known = known.count();
    world
        .report
        .most(Check::Sessions, "most at a time", known as u64);
    if known > 2 && *told < known {
        let id = world.rooms[number].target.id;
        let message = format!("room {id}: {known} sessions are held");
        world.report.violation(
            &world.timeline,
            Check::Sessions,
            None,
            &message,
            Instant::now(),
        );
    }
    *told = known;
}

/// The memory and files of the gateway's process at its first check.
#[derive(Default)]
pub struct Holds {
    first: Option<(u64, usize)>,
}

impl Holds {
    pub async fn check(&mut self, world: &World) {
        let mut gateway = world.gateway.lock().await;
        if !gateway.running() {
            let message = "the gateway has ended by itself";
            world
                .report
                .violation(&world.timeline, Check::Holds, None, message, Instant::now());
        }
        let (memory, files) = gateway.holds();
        let (first_memory, first_files) = *self.first.get_or_insert((memory, files));
        world.report.count(Check::Holds, "checks", 1);
        world
            .report
            .most(Check::Holds, "first memory, KiB", first_memory);
        world.report.most(Check::Holds, "most memory, KiB", memory);
        world
            .report
            .most(Check::Holds, "first files", first_files as u64);
        world.report.most(Check::Holds, "most files", files as u64);
        if memory > first_memory + MEMORY_KIB || files > first_files + FILES {
            let message = format!(
                "the gateway holds {memory} KiB and {files} files, at first {first_memory} KiB \
                 and {first_files}"
            );
            world.report.violation(
                &world.timeline,
                Check::Holds,
                None,
                &message,
                Instant::now(),
            );
        }
    }
}
