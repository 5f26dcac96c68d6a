//! Where the sessions of each room are kept by a gateway that is alone.
//!
//! In files of the runtime directory, or without one in memory, which outlives a reload.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::{Config, RoomConfig};
use crate::device::{SessionFile, SessionMemory, SessionStore};
use crate::telemetry::Telemetry;

/// Where the sessions of all rooms are kept.
#[derive(Debug)]
pub struct SessionPlaces {
    /// The directory of their files.
    directory: Option<PathBuf>,
    /// Where they are without one.
    memory: SessionMemory,
    telemetry: Arc<Telemetry>,
}

impl SessionPlaces {
    /// If sessions may not be stored in this directory, the log says why, and the gateway works without.
    pub fn new(directory: Option<PathBuf>, telemetry: &Arc<Telemetry>) -> Self {
        let is_usable = |directory: &PathBuf| {
            let checked = SessionFile::check_directory(directory);
            if let Err(why) = &checked {
                telemetry.runtime_directory_unusable(why);
            }
            checked.is_ok()
        };
        Self {
            directory: directory.filter(is_usable),
            memory: SessionMemory::default(),
            telemetry: telemetry.clone(),
        }
    }

    /// Where a room's sessions are kept.
    pub fn of(&self, id: &Arc<str>, room: &RoomConfig) -> SessionStore {
        match self.file(id, room) {
            Some(file) => SessionStore::File(file),
            None => self.memory.of(id, &room.url, &room.user),
        }
    }

    fn file(&self, id: &str, room: &RoomConfig) -> Option<SessionFile> {
        let directory = self.directory.as_ref()?;
        let telemetry = self.telemetry.clone();
        Some(SessionFile::new(
            directory, id, &room.url, &room.user, telemetry,
        ))
    }

    /// Removes the sessions of rooms that are configured no more.
    pub fn remove_unused(&self, config: &Config) {
        if let Some(directory) = &self.directory {
            let rooms = config.rooms.iter();
            let used = rooms.filter_map(|(id, room)| self.file(&id.shared(), room));
            SessionFile::remove_unused(directory, &used.collect::<Vec<_>>());
        }
        self.memory.retain(|id, url, user| {
            let room = config.rooms.get(id);
            room.is_some_and(|room| room.url == *url && room.user == user)
        });
    }
}
