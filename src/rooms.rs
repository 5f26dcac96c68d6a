//! All rooms, and the dispatch of commands to them.
//!
//! Owns starting, replacing and stopping rooms (`applying`), and the topics about the gateway itself. Knows no
//! transport: front doors hand it [`Submission`](crate::command::Submission)s through
//! [`Submit`](crate::command::Submit), which `dispatch` has.
//!
//! One room is a `room` (the handle that takes commands), a `queue` (commands that wait) and an `actor` (the task that
//! talks to the device, which `supervisor` starts again if it fails). The actor starts what `in_flight`, `poller`,
//! `camera_stops` and `availability` say may start; `executor` carries commands out; `knowledge` turns what was read
//! into states and events, which `publisher` writes; `calls` and `paired` find the events, `boot_time` tells when the
//! device started. `spellings` remembers which of two requests for the same the device has;
//! `rest` tells whether it is asleep or used otherwise.
//!
//! What a room is given: `settings`, `sharing` (the gateways that share it) and `session_places` (where its sessions
//! are kept). What it reads: `schedule` says when, `first_reads` holds back at a start of thousands, `spread` spreads
//! rooms over time; `reading` makes states of an answer, `new_readings` those of commands, `doubtful` keeps what may be
//! wrong, `understanding` tells whether it is a Poly device, and `lacking` what it does not answer. What its commands
//! get: `refusal` is the error for a device's refusal, `mode_lock` what another provider refuses, `long_commands` who
//! takes long; `readiness` checks the room. At its end: `stop_signal` asks its task to stop, `ending` waits for it,
//! `replacement` says which room starts when, and `left_stops` gives its camera stops to the next room of its device.

mod actor;
mod applying;
mod availability;
mod boot_time;
mod calls;
mod camera_stops;
mod dispatch;
mod doubtful;
mod ending;
mod executor;
mod first_reads;
mod in_flight;
mod knowledge;
mod lacking;
mod left_stops;
mod long_commands;
mod mode_lock;
mod new_readings;
mod paired;
mod poller;
mod publisher;
mod queue;
mod readiness;
mod reading;
mod refusal;
mod replacement;
mod rest;
mod room;
mod schedule;
mod session_places;
mod settings;
mod sharing;
mod spellings;
mod spread;
mod stop_signal;
mod supervisor;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod understanding;

#[cfg(test)]
pub(crate) use availability::LONGEST_RECONNECT_WAIT;
pub use lacking::{LackingRead, lacking_reads};
pub use reading::ReadOutcome;
pub use settings::device_settings;
pub use sharing::{Leaving, PreviousOwner, RoomSharing};

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard, RwLock};
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{self, Config, RoomId};
use crate::device::{DeviceTimings, LoginLimiter, SessionWriters, SharedLimits};
use crate::state::{StateStore, StateValue};
use crate::telemetry::{RoomSample, Telemetry};
use crate::topics::GATEWAY_INFO;
use dispatch::NotRunning;
use ending::EndingRooms;
use room::Room;
use schedule::PollIntervals;
use session_places::SessionPlaces;
use settings::RoomSettings;

/// How many rooms start in one go. When more arrive, commands of other rooms are let in between.
const ROOMS_STARTED_AT_ONCE: usize = 32;

/// Every room of the configuration.
#[derive(Debug)]
pub struct Rooms {
    store: Arc<StateStore>,
    timings: DeviceTimings,
    telemetry: Arc<Telemetry>,
    /// What all rooms together may do at once.
    limits: SharedLimits,
    /// Where sessions are kept.
    sessions: SessionPlaces,
    session_writers: SessionWriters,
    /// The other gateways, if the rooms are shared with any.
    sharing: Option<Arc<dyn RoomSharing>>,
    rooms: RwLock<BTreeMap<Arc<str>, RunningRoom>>,
    /// The rooms that a new configuration has taken out of `rooms`, and that still finish what they began.
    ending: EndingRooms,
    /// The newest one: rooms start with it that arrive while others are applied, and `gateway/info` shows it. Locked
    /// with `rooms` alone, so no room starts with a configuration that has been replaced.
    config: Mutex<Arc<Config>>,
    /// The rooms that are known, but do not run.
    not_running: Mutex<BTreeMap<Arc<str>, NotRunning>>,
    /// The rooms of a reload that are ending. They go on if the reload does not wait for them any more.
    stop_tasks: TaskTracker,
    /// The gateway stops: a reload that is under way is to end.
    stopping: CancellationToken,
}

/// A room and the configuration it was started with.
#[derive(Debug)]
struct RunningRoom {
    config: Arc<config::RoomConfig>,
    max_payload: usize,
    room: Room,
}

impl Rooms {
    /// No rooms yet; [`Rooms::apply`] starts them.
    pub fn new(
        store: Arc<StateStore>,
        timings: DeviceTimings,
        telemetry: Arc<Telemetry>,
        runtime: Option<PathBuf>,
        sharing: Option<Arc<dyn RoomSharing>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            timings,
            limits: SharedLimits::default(),
            sessions: SessionPlaces::new(runtime, &telemetry),
            session_writers: SessionWriters::default(),
            telemetry,
            sharing,
            rooms: RwLock::default(),
            ending: EndingRooms::default(),
            config: Mutex::default(),
            not_running: Mutex::default(),
            stop_tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
        })
    }

    /// The limit that the log-ins of all rooms share.
    pub fn log_ins(&self) -> LoginLimiter {
        self.limits.logins.clone()
    }

    /// Whether this gateway runs a configured room.
    fn owns(&self, room: &str) -> bool {
        let mut sharing = self.sharing.iter();
        sharing.all(|sharing| sharing.owns(room))
    }

    /// Starts a room, unless it runs, or is not this gateway's by this configuration.
    fn start(
        &self,
        rooms: &mut BTreeMap<Arc<str>, RunningRoom>,
        id: &Arc<str>,
        config: &Config,
        previous_owner: PreviousOwner,
    ) -> Result<(), String> {
        let Some(room) = config.rooms.get(&**id) else {
            return Ok(());
        };
        if rooms.contains_key(id) || !self.owns(id) {
            return Ok(());
        }
        let max_payload = config.mqtt.max_payload;
        let settings = self.settings(id.clone(), room, max_payload);
        match Room::start(settings, self.store.clone(), previous_owner) {
            Ok(started) => {
                let running = RunningRoom {
                    config: room.clone(),
                    max_payload,
                    room: started,
                };
                rooms.insert(id.clone(), running);
                self.not_running().remove(id);
                Ok(())
            }
            Err(error) => {
                let not_running = (id.clone(), NotRunning::CannotStart);
                self.not_running().extend([not_running]);
                Err(format!("rooms.{id}: {error}"))
            }
        }
    }

    /// Starts rooms that this gateway has from now on, with the configuration that [`Rooms::apply`] got last. Those
    /// that run already are not touched.
    ///
    /// # Errors
    /// The rooms that cannot be started, each with the reason; the others run.
    pub async fn arrive(
        &self,
        arriving: &[Arc<str>],
        previous_owner: PreviousOwner,
    ) -> Result<(), Vec<String>> {
        let mut failed = Vec::new();
        for some in arriving.chunks(ROOMS_STARTED_AT_ONCE) {
            failed.extend(self.start_some(some, previous_owner));
            tokio::task::yield_now().await;
        }
        if failed.is_empty() {
            Ok(())
        } else {
            Err(failed)
        }
    }

    /// Returns why those do not run that cannot be started.
    fn start_some(&self, some: &[Arc<str>], previous_owner: PreviousOwner) -> Vec<String> {
        let mut rooms = self.rooms.write();
        let config = self.config().clone();
        let start = |room| self.start(&mut rooms, room, &config, previous_owner);
        some.iter().map(start).filter_map(Result::err).collect()
    }

    /// Ends rooms that another gateway gets, or has already. Their topics stay as they are. Returns when they have
    /// ended, at `deadline` at the latest; so do those that a new configuration is ending just now.
    pub async fn leave(&self, leaving: &BTreeSet<Arc<str>>, how: Leaving, deadline: Instant) {
        let rooms: Vec<_> = {
            let mut rooms = self.rooms.write();
            let config = self.config().clone();
            let configured = leaving
                .iter()
                .filter(|id| config.rooms.contains_key(&***id));
            let elsewhere = configured.map(|id| (id.clone(), NotRunning::Elsewhere));
            self.not_running().extend(elsewhere);
            let left = leaving.iter().filter_map(|id| rooms.remove(id));
            left.collect()
        };
        let ended = rooms.into_iter().map(async |running| match how {
            Leaving::HandedOver => running.room.hand_over(deadline).await,
            Leaving::Lost => running.room.abandon().await,
        });
        tokio::join!(
            futures_util::future::join_all(ended),
            self.ending.ended(leaving, deadline),
        );
    }

    /// Whether a room has a task here.
    pub fn is_running(&self, room: &str) -> bool {
        let rooms = self.rooms.read();
        rooms.contains_key(room)
    }

    /// The rooms that have been taken out of the configuration, or are being replaced, and have not ended yet.
    pub fn ending(&self) -> BTreeSet<Arc<str>> {
        self.ending.ids()
    }

    /// From now on the rooms of this configuration are known, though [`Rooms::apply`] has not started
    /// them yet. A sender who may use one of them only is not told that there is no such room, and
    /// which others there are.
    pub fn expect(&self, config: &Config) {
        let rooms = self.rooms.read();
        let new = config.rooms.keys().map(RoomId::shared);
        let new = new.filter(|id| !rooms.contains_key(id));
        let not_running = new.map(|id| {
            if self.owns(&id) {
                (id, NotRunning::Changing)
            } else {
                (id, NotRunning::Elsewhere)
            }
        });
        self.not_running().extend(not_running);
    }

    /// Ends a reload that is under way when the gateway stops, so that the stop need not wait for it.
    pub fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }

    /// The settings of a configured room.
    fn settings(
        &self,
        id: Arc<str>,
        room: &config::RoomConfig,
        max_payload: usize,
    ) -> RoomSettings {
        let mut device = device_settings(room, &self.timings, &self.telemetry, &self.limits);
        let sessions = match &self.sharing {
            Some(sharing) => {
                device.fence = sharing.fence(&id);
                sharing.sessions(&id, room)
            }
            None => self.sessions.of(&id, room),
        };
        device.session_store = Some(
            self.session_writers
                .take_over(&id, &room.url, &room.user, sessions),
        );
        RoomSettings {
            id,
            device,
            intervals: PollIntervals {
                fast: room.poll.fast,
                normal: room.poll.normal,
                slow: room.poll.slow,
                meters: room.poll.meters,
                gentle: room.poll.gentle,
            },
            preset_offset: room.preset_offset,
            preset_names: Arc::new(room.presets.clone()),
            setting_names: room.settings.clone().into(),
            max_command_age: room.max_command_age,
            allow: room.allow.clone(),
            max_payload,
            readiness: room.readiness,
            readiness_dial: room.readiness_dial.clone(),
        }
    }

    /// Stops all rooms at once; each finishes what it began by `deadline`. Those that a reload has begun to end have
    /// less time left.
    pub async fn stop(&self, deadline: Instant) {
        self.stopping.cancel();
        self.stop_tasks.close();
        let rooms = {
            let mut rooms = self.rooms.write();
            let stopping = rooms.keys().map(|id| (id.clone(), NotRunning::Changing));
            self.not_running().extend(stopping);
            std::mem::take(&mut *rooms)
        };
        let stopping = rooms
            .into_values()
            .map(|running| running.room.stop(deadline));
        let stopped = futures_util::future::join_all(stopping);
        futures_util::future::join(stopped, self.stop_tasks.wait()).await;
    }

    /// Publishes `gateway/info` again with the date that the gateway knows by now.
    pub fn publish_corrected_start(&self) {
        // Locked meanwhile: a reload that replaces this configuration publishes after it.
        let config = self.config();
        self.publish_info(&config);
    }

    fn publish_info(&self, config: &Config) {
        let rooms: BTreeMap<String, &Option<String>> = config
            .rooms
            .iter()
            .map(|(id, room)| (id.to_string(), &room.name))
            .collect();
        let info = json!({
            "id": config.mqtt.gateway_id().as_str(),
            "version": env!("CARGO_PKG_VERSION"),
            "started": self.telemetry.started(),
            "rooms": rooms,
            "configuration": config.redacted(),
        });
        self.store
            .set(GATEWAY_INFO, StateValue::text(info.to_string()));
    }

    /// The status of each room that is this gateway's, for metrics and readiness. One that is being replaced, or cannot
    /// be started, is configured all the same.
    pub fn sample(&self) -> BTreeMap<Arc<str>, RoomSample> {
        let rooms = self.rooms.read();
        let sample = |(id, running): (&Arc<str>, &RunningRoom)| {
            let status = running.room.status();
            let sample = RoomSample {
                online: status.online,
                known: status.known,
                waiting: running.room.waiting(),
            };
            (id.clone(), sample)
        };
        let not_running = self.not_running();
        let not_running = not_running.iter().filter_map(|(id, why)| {
            let known = match why {
                NotRunning::Changing => false,
                NotRunning::CannotStart => true,
                NotRunning::Ending | NotRunning::Elsewhere => return None,
            };
            let sample = RoomSample {
                known,
                ..RoomSample::default()
            };
            Some((id.clone(), sample))
        });
        not_running.chain(rooms.iter().map(sample)).collect()
    }
}

impl Rooms {
    fn config(&self) -> MutexGuard<'_, Arc<Config>> {
        self.config.lock()
    }

    fn not_running(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, NotRunning>> {
        self.not_running.lock()
    }
}
