//! Which rooms have changed since the last look, and for how long they may be worked on at once.
//!
//! Collects what the state store tells; reads no states and makes no documents.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::Instant;

use crate::home_assistant::facts::can_change_document;
use crate::state::{Change, RoomStatus, Subscriber};
use crate::topics;

/// The rooms with a change that their document can depend on.
#[derive(Debug, Default)]
pub(super) struct ChangedRooms {
    rooms: Mutex<BTreeSet<String>>,
    pub(super) changed: Notify,
}

impl ChangedRooms {
    fn insert(&self, room: &str) {
        let mut rooms = self.rooms.lock();
        rooms.insert(room.to_owned());
        self.changed.notify_one();
    }

    pub(super) fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.rooms.lock())
    }
}

impl Subscriber for ChangedRooms {
    fn state_changed(&self, topic: &Arc<str>, change: Change) {
        let Some((room, state)) = topics::split_room(topic) else {
            return;
        };
        if can_change_document(state, change) {
            self.insert(room);
        }
    }

    fn event(&self, _: &Arc<str>, _: &Bytes) {}

    fn room_changed(&self, room: &str, status: Option<RoomStatus>) {
        if status.is_some_and(|status| status.complete) {
            self.insert(room);
        }
    }
}

/// A stretch of work on thousands of rooms, which others of the same thread must not have to wait for.
pub(super) struct Stretch(Instant);

/// The longest one. A document takes a millisecond.
const LONGEST_STRETCH: Duration = Duration::from_millis(2);

impl Default for Stretch {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Stretch {
    /// Lets others run, if it has been long enough.
    pub(super) async fn pause(&mut self) {
        if self.0.elapsed() >= LONGEST_STRETCH {
            yield_now().await;
            self.0 = Instant::now();
        }
    }
}
