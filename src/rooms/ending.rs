//! Rooms that a new configuration has taken out or replaces, until their tasks have ended.
//!
//! They take no commands any more, and what they began goes on at the device. Whoever hands rooms to another gateway
//! asks here too: one that is not among the running rooms may still be at work.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

/// The rooms.
#[derive(Debug, Default, Clone)]
pub(super) struct EndingRooms(Arc<watch::Sender<Ending>>);

#[derive(Debug, Default)]
struct Ending {
    next: u64,
    rooms: BTreeMap<u64, (Arc<str>, AbortHandle)>,
}

/// That a room is ending, while this lives.
#[derive(Debug)]
pub(super) struct EndingRoom {
    rooms: EndingRooms,
    number: u64,
}

impl Drop for EndingRoom {
    fn drop(&mut self) {
        self.rooms.0.send_modify(|ending| {
            ending.rooms.remove(&self.number);
        });
    }
}

impl EndingRooms {
    /// This task of a room is ending.
    pub fn begin(&self, room: &Arc<str>, task: AbortHandle) -> EndingRoom {
        let mut number = 0;
        self.0.send_modify(|ending| {
            number = ending.next;
            ending.next += 1;
            ending.rooms.insert(number, (room.clone(), task));
        });
        EndingRoom {
            rooms: self.clone(),
            number,
        }
    }

    /// Which they are.
    pub fn ids(&self) -> BTreeSet<Arc<str>> {
        let ending = self.0.borrow();
        ending
            .rooms
            .values()
            .map(|(room, _)| room.clone())
            .collect()
    }

    /// Waits until none of these rooms is ending. What they still do at the deadline is cut off.
    pub async fn ended(&self, rooms: &BTreeSet<Arc<str>>, deadline: Instant) {
        let mut changes = self.0.subscribe();
        let none = |ending: &Ending| !ending.rooms.values().any(|(room, _)| rooms.contains(room));
        if timeout_at(deadline, changes.wait_for(none)).await.is_ok() {
            return;
        }
        for (room, task) in self.0.borrow().rooms.values() {
            if rooms.contains(room) {
                task.abort();
            }
        }
    }
}
