//! What has been handed to the broker and is not acknowledged yet.
//!
//! The library says in which order it sent publishes and which packet ids were acknowledged, but
//! not which publish had which id: the order here ties the two together.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Answer;
use crate::hub::Item;

/// How many publishes may be unacknowledged. The library's channel holds more, so that handing one
/// over never waits.
pub const WINDOW: usize = 32;

/// The publishes of one connection at a time.
#[derive(Debug, Default)]
pub struct Flight {
    inner: Mutex<Inner>,
    landed: Notify,
    room: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    window: usize,
    largest_packet: usize,
    /// Something is on its way here from the outbox.
    carried: bool,
    /// Handed over, and whether the library has sent them, with which id.
    publishes: VecDeque<(Option<u16>, Option<Item<Answer>>)>,
}

impl Flight {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection came up; the broker takes so many at a time, each so large.
    pub fn open(&self, receive_maximum: u16, largest_packet: u32) {
        let mut inner = self.lock();
        inner.window = WINDOW.min(usize::from(receive_maximum).max(1));
        inner.largest_packet = usize::try_from(largest_packet).unwrap_or(usize::MAX);
        self.room.notify_one();
    }

    /// The largest packet that the broker takes.
    pub fn largest_packet(&self) -> usize {
        self.lock().largest_packet
    }

    /// The connection is gone: what was not acknowledged is handed back, in order.
    pub fn close(&self) -> Vec<Item<Answer>> {
        let mut inner = self.lock();
        inner.window = 0;
        let lost = inner
            .publishes
            .drain(..)
            .filter_map(|(_, item)| item)
            .collect();
        self.landed.notify_one();
        lost
    }

    /// Waits until there is room for `count` more.
    pub async fn room(&self, count: usize) {
        loop {
            let room = self.room.notified();
            {
                let inner = self.lock();
                let used = inner.publishes.len();
                if inner.window > 0 && (used == 0 || used + count <= inner.window) {
                    return;
                }
            }
            room.await;
        }
    }

    /// A publish is handed over now, in the name of `item`; false if the connection went meanwhile.
    pub fn push(&self, item: Option<Item<Answer>>) -> Result<(), Option<Item<Answer>>> {
        let mut inner = self.lock();
        if inner.window == 0 {
            return Err(item);
        }
        inner.publishes.push_back((None, item));
        Ok(())
    }

    /// The library has sent the next one under this id.
    pub fn sent(&self, id: u16) {
        let mut inner = self.lock();
        if let Some(publish) = inner.publishes.iter_mut().find(|(sent, _)| sent.is_none()) {
            publish.0 = Some(id);
        }
    }

    /// The broker acknowledged this id.
    pub fn acknowledged(&self, id: u16) -> Option<Item<Answer>> {
        let mut inner = self.lock();
        let place = inner
            .publishes
            .iter()
            .position(|(sent, _)| *sent == Some(id));
        let item = place.and_then(|place| inner.publishes.remove(place));
        self.room.notify_one();
        self.landed.notify_one();
        item.and_then(|(_, item)| item)
    }

    /// Something is about to be taken from the outbox, or has been handed over.
    pub fn carry(&self, carried: bool) {
        self.lock().carried = carried;
        self.landed.notify_one();
    }

    /// Nothing is unacknowledged, nor on its way here.
    pub fn is_empty(&self) -> bool {
        let inner = self.lock();
        inner.publishes.is_empty() && !inner.carried
    }

    /// Waits until something was acknowledged, or taken from the outbox.
    pub async fn landed(&self) {
        self.landed.notified().await;
    }
}
