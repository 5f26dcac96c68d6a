//! Takes over a configuration: which rooms start, which are replaced and which end.
//!
//! A room that is replaced does without its device only until its own task has ended: no room waits for another one
//! with a device that is slow to answer, or does not answer at all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::camera_stops::CameraStops;
use super::dispatch::NotRunning;
use super::ending::EndingRoom;
use super::replacement::{DeviceAddress, Successors};
use super::room::Room;
use super::sharing::PreviousOwner;
use super::{ROOMS_STARTED_AT_ONCE, Rooms};
use crate::config::{self, Config};

/// How long a room that is replaced may finish what it began. Its commands are refused meanwhile,
/// so shorter than a request may take.
const ROOM_REPLACE_TIMEOUT: Duration = Duration::from_secs(5);

/// A room that a new configuration has taken out, or that is replaced.
struct RemovedRoom {
    id: Arc<str>,
    config: Arc<config::RoomConfig>,
    room: Room,
    ending: EndingRoom,
}

/// A room that has ended. What it leaves belongs to its device: the next room of that may have another id, and the room
/// of its id another device.
struct EndedRoom {
    id: Arc<str>,
    device: DeviceAddress,
    stops: CameraStops,
}

impl Rooms {
    /// Starts, replaces and stops rooms until they are those of the configuration. A room whose
    /// configuration did not change is not touched, unless its device refuses the password: that may have been
    /// put right there.
    ///
    /// # Errors
    /// The rooms that cannot be started, each with the reason; the others run.
    pub async fn apply(&self, config: &Config) -> Result<(), Vec<String>> {
        self.expect(config);
        let removed = self.remove_changed(config);
        let mut successors = self.successors(config, &removed);
        let mut stopping = self.stop_removed(removed, config);
        let mut stops = BTreeMap::new();
        let mut failed = Vec::new();
        loop {
            for some in successors.take_ready().chunks(ROOMS_STARTED_AT_ONCE) {
                failed.extend(self.start_successors(some, config));
                self.leave_stops(&mut stops);
                tokio::task::yield_now().await;
            }
            let ended = tokio::select! {
                ended = stopping.next() => ended,
                // Nothing replaces them any more.
                () = self.stopping.cancelled() => return Ok(()),
            };
            let Some(ended) = ended else { break };
            successors.ended(&ended.id);
            stops
                .entry(ended.device)
                .or_insert_with(CameraStops::default)
                .append(ended.stops);
        }
        if self.stopping.is_cancelled() {
            return Ok(());
        }
        self.sessions.remove_unused(config);
        self.session_writers.remove_unused();
        self.leave_stops(&mut stops);
        let cannot_start = failed
            .iter()
            .map(|(id, _)| (id.clone(), NotRunning::CannotStart));
        let elsewhere = config.rooms.keys().filter(|id| !self.owns(&id.shared()));
        let elsewhere = elsewhere.map(|id| (id.shared(), NotRunning::Elsewhere));
        *self.not_running() = cannot_start.chain(elsewhere).collect();
        self.publish_info(config);
        if failed.is_empty() {
            Ok(())
        } else {
            Err(failed.into_iter().map(|(_, error)| error).collect())
        }
    }

    /// When the rooms start that do not run.
    fn successors(&self, config: &Config, removed: &[RemovedRoom]) -> Successors {
        let rooms = self.rooms.read();
        let starting = config.rooms.iter().filter_map(|(id, room)| {
            let id = id.shared();
            (!rooms.contains_key(&id)).then_some((id, &room.url))
        });
        let ending = removed.iter().map(|it| (it.id.clone(), &it.config.url));
        Successors::new(starting, &ending.collect::<Vec<_>>())
    }

    /// Starts these rooms. Returns why those do not run that cannot be started.
    fn start_successors(&self, some: &[Arc<str>], config: &Config) -> Vec<(Arc<str>, String)> {
        let mut rooms = self.rooms.write();
        let failed = some.iter().filter_map(|room| {
            let started = self.start(&mut rooms, room, config, PreviousOwner::Nobody);
            Some((room.clone(), started.err()?))
        });
        failed.collect()
    }

    /// Gives the camera stops that rooms have left to the room that has their device now, if one runs.
    fn leave_stops(&self, stops: &mut BTreeMap<DeviceAddress, CameraStops>) {
        stops.retain(|_, stops| !stops.is_empty());
        if stops.is_empty() {
            return;
        }
        for running in self.rooms.read().values() {
            if let Some(left) = stops.remove(&DeviceAddress::of(&running.config.url)) {
                running.room.leave_stops(left);
            }
        }
    }

    /// Takes out the rooms that are configured differently now, or not at all. From here on none starts with the former
    /// configuration.
    fn remove_changed(&self, config: &Config) -> Vec<RemovedRoom> {
        let mut rooms = self.rooms.write();
        *self.config() = Arc::new(config.clone());
        let (unchanged, changed): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut *rooms)
            .into_iter()
            .partition(|(id, running)| {
                config.rooms.get(&**id) == Some(&running.config)
                    && running.max_payload == config.mqtt.max_payload
                    && !running.room.is_refused()
            });
        *rooms = unchanged;
        // Before the lock is released: a command must not find the room missing.
        let not_running = changed.keys().map(|id| {
            let why = if config.rooms.contains_key(&**id) {
                NotRunning::Changing
            } else {
                NotRunning::Ending
            };
            (id.clone(), why)
        });
        self.not_running().extend(not_running);
        let changed = changed.into_iter().map(|(id, running)| RemovedRoom {
            ending: self.ending.begin(&id, running.room.abort_handle()),
            id,
            config: running.config,
            room: running.room,
        });
        changed.collect()
    }

    /// Stops rooms. Gives each when it has ended, with the camera stops that it leaves to the next room of its device.
    fn stop_removed(
        &self,
        removed: Vec<RemovedRoom>,
        config: &Config,
    ) -> FuturesUnordered<impl Future<Output = EndedRoom> + use<>> {
        let deadline = Instant::now() + ROOM_REPLACE_TIMEOUT;
        let stopping = removed.into_iter().map(|removed| {
            let RemovedRoom {
                id,
                config: former,
                room,
                ending,
            } = removed;
            let device = DeviceAddress::of(&former.url);
            let is_gone = !config.rooms.contains_key(&*id);
            let (store, telemetry) = (self.store.clone(), self.telemetry.clone());
            // Other gateways may have it still. Whoever places the rooms knows when its states are of no use any more.
            let is_shared = self.sharing.is_some();
            let stopped = id.clone();
            let task = self.stop_tasks.spawn(async move {
                let stops = room.stop(deadline).await;
                drop(ending);
                if is_gone {
                    if !is_shared {
                        store.remove_room(&id);
                    }
                    telemetry.room_removed(&id);
                }
                stops
            });
            async move {
                EndedRoom {
                    id: stopped,
                    device,
                    stops: task.await.unwrap_or_default(),
                }
            }
        });
        stopping.collect()
    }
}
