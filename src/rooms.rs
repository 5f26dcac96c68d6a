//! All rooms, and which of them a command is for.
//!
//! Owns starting, replacing and stopping rooms, and the topics about the gateway itself. Knows no
//! transport: front doors hand it [`Submission`]s through [`Submit`].

mod actor;
mod calls;
mod execute;
mod motion;
mod queue;
pub mod room;
mod schedule;

pub use execute::{Read, understand};
pub use schedule::Intervals;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::Instant;

use crate::command::{DoorKind, ErrorCode, Failure, Outcome, Reply, Submission, Submit};
use crate::config::{self, Config};
use crate::device::{self, DeviceTimings, LoginLimiter, SessionStore};
use crate::state::{StateStore, StateValue};
use crate::telemetry::{RoomSample, Telemetry};
use room::{LET_GO, Room, Settings};

const INFO: &str = "gateway/info";
/// How long a room that is replaced may finish what it began.
const REPLACE: Duration = Duration::from_secs(5);

/// The gateway: every room of the configuration.
#[derive(Debug)]
pub struct Gateway {
    store: Arc<StateStore>,
    timings: DeviceTimings,
    telemetry: Arc<Telemetry>,
    /// Of the log-ins of all rooms.
    login_limiter: LoginLimiter,
    /// Where sessions are kept.
    runtime: Option<PathBuf>,
    rooms: RwLock<BTreeMap<Arc<str>, Running>>,
    /// Rooms that end or start again just now: known, but not to be used.
    changing: Mutex<BTreeSet<Arc<str>>>,
    started: OffsetDateTime,
}

#[derive(Debug)]
struct Running {
    config: config::RoomConfig,
    max_payload: usize,
    room: Room,
}

impl Gateway {
    /// A gateway without rooms.
    pub fn new(
        store: Arc<StateStore>,
        timings: DeviceTimings,
        telemetry: Arc<Telemetry>,
        runtime: Option<PathBuf>,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            timings,
            telemetry,
            login_limiter: LoginLimiter::default(),
            runtime,
            rooms: RwLock::default(),
            changing: Mutex::default(),
            started: OffsetDateTime::now_utc(),
        })
    }

    /// Makes the rooms those of the configuration; rooms that did not change are not touched.
    ///
    /// # Errors
    /// The rooms that cannot be started, each with the reason; the others run.
    pub async fn apply(&self, config: &Config) -> Result<(), Vec<String>> {
        let max_payload = config.mqtt.max_payload;
        let mut ended = Vec::new();
        {
            let mut rooms = self.rooms.write().unwrap_or_else(PoisonError::into_inner);
            let gone: Vec<Arc<str>> = rooms
                .iter()
                .filter(|(id, running)| {
                    let wanted = config.rooms.get(&***id);
                    wanted != Some(&running.config) || running.max_payload != max_payload
                })
                .map(|(id, _)| id.clone())
                .collect();
            self.changing().extend(gone.iter().cloned());
            for id in gone {
                let kept = config.rooms.contains_key(&*id);
                ended.extend(rooms.remove(&id).map(|running| (id, kept, running.room)));
            }
        }
        let deadline = Instant::now() + REPLACE;
        let ending = ended.into_iter().map(async |(id, kept, room)| {
            let owed = room.stop(deadline).await;
            if !kept {
                self.store.remove_room(&id);
                self.telemetry.room_removed(&id);
            }
            (id, owed)
        });
        let ended = futures_util::future::join_all(ending).await;
        let mut owed: BTreeMap<_, _> = ended.into_iter().collect();
        let mut failed = Vec::new();
        let mut rooms = self.rooms.write().unwrap_or_else(PoisonError::into_inner);
        for (id, room) in &config.rooms {
            if rooms.contains_key(&id.shared()) {
                continue;
            }
            let mut settings = self.settings(id.shared(), room, max_payload);
            settings.device.session_store = self
                .runtime
                .as_ref()
                .map(|runtime| SessionStore::new(runtime, &settings.id, &room.url, &room.user));
            let owed = owed.remove(&settings.id).unwrap_or_default();
            match Room::start(settings, self.store.clone(), owed) {
                Ok(started) => {
                    let running = Running {
                        config: room.clone(),
                        max_payload,
                        room: started,
                    };
                    rooms.insert(id.shared(), running);
                }
                Err(error) => failed.push(format!("rooms.{id}: {error}")),
            }
        }
        drop(rooms);
        self.changing().clear();
        self.publish_info(config);
        if failed.is_empty() {
            Ok(())
        } else {
            Err(failed)
        }
    }

    /// A room's settings as the room's own module wants them.
    fn settings(&self, id: Arc<str>, room: &config::RoomConfig, max_payload: usize) -> Settings {
        Settings {
            id,
            device: device_settings(room, &self.timings, &self.telemetry, &self.login_limiter),
            intervals: Intervals {
                fast: room.poll.fast,
                normal: room.poll.normal,
                slow: room.poll.slow,
                meters: room.poll.meters,
            },
            preset_offset: room.preset_offset,
            max_command_age: room.max_command_age,
            allow: room.allow.clone(),
            max_payload,
        }
    }

    /// Stops all rooms at once; each finishes what it began by `deadline`.
    pub async fn stop(&self, deadline: Instant) {
        let rooms = {
            let mut rooms = self.rooms.write().unwrap_or_else(PoisonError::into_inner);
            self.changing().extend(rooms.keys().cloned());
            std::mem::take(&mut *rooms)
        };
        let stopping = rooms
            .into_values()
            .map(|running| running.room.stop(deadline));
        futures_util::future::join_all(stopping).await;
    }

    fn publish_info(&self, config: &Config) {
        let rooms: BTreeMap<String, &Option<String>> = config
            .rooms
            .iter()
            .map(|(id, room)| (id.to_string(), &room.name))
            .collect();
        let info = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "started": self.started.format(&Rfc3339).unwrap_or_default(),
            "rooms": rooms,
            "configuration": config.redacted(),
        });
        self.store.set(INFO, StateValue::text(info.to_string()));
    }

    /// How the rooms stand.
    pub fn sample(&self) -> BTreeMap<Arc<str>, RoomSample> {
        let rooms = self.rooms.read().unwrap_or_else(PoisonError::into_inner);
        let says = |id: &str, topic| self.store.get(&format!("room/{id}/{topic}"));
        let sample = |(id, running): (&Arc<str>, &Running)| {
            let online = says(id, "availability").is_some_and(|state| state.payload == "online");
            let sample = RoomSample {
                online,
                known: says(id, "problem").is_some(),
                waiting: running.room.waiting(),
            };
            (id.clone(), sample)
        };
        rooms.iter().map(sample).collect()
    }
}

impl Gateway {
    fn changing(&self) -> MutexGuard<'_, BTreeSet<Arc<str>>> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts and logs the outcome of a command when it has one.
    fn counted(&self, door: DoorKind, reply: Reply) -> Reply {
        let telemetry = self.telemetry.clone();
        reply.observed(move |outcome: &Outcome| telemetry.command_finished(door, outcome))
    }
}

impl Submit for Gateway {
    fn refuse(&self, door: DoorKind, reply: Reply, failure: Failure) {
        let reply = self.counted(door, reply);
        let rooms = self.rooms.read().unwrap_or_else(PoisonError::into_inner);
        match rooms.get(reply.room()) {
            Some(running) => running.room.refuse(reply, failure),
            None => reply.answer(Err(failure)),
        }
    }

    fn submit(&self, mut submission: Submission) {
        submission.reply = self.counted(submission.door, submission.reply);
        let rooms = self.rooms.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = rooms.get(&submission.room) {
            return running.room.submit(submission);
        }
        if self.changing().contains(&submission.room) {
            let failure = Failure::new(ErrorCode::Offline, LET_GO);
            return submission.reply.answer(Err(failure));
        }
        let known: Vec<&str> = rooms.keys().map(|id| &**id).collect();
        let known = match known.as_slice() {
            [] => "none is configured".to_owned(),
            known => format!("configured are {}", known.join(", ")),
        };
        let message = format!("there is no room \"{}\"; {known}", submission.room);
        drop(rooms);
        let failure = Failure::new(ErrorCode::UnknownRoom, message);
        submission.reply.answer(Err(failure));
    }
}

/// How to reach a configured room's device.
pub fn device_settings(
    room: &config::RoomConfig,
    timings: &DeviceTimings,
    telemetry: &Arc<Telemetry>,
    login_limiter: &LoginLimiter,
) -> device::DeviceSettings {
    device::DeviceSettings {
        url: room.url.clone(),
        user: room.user.clone(),
        password: room.password.secret().clone(),
        certificate: room.certificate.clone(),
        keep_alive: room.keep_alive,
        timings: timings.clone(),
        telemetry: telemetry.clone(),
        login_limiter: login_limiter.clone(),
        session_store: None,
    }
}
