//! Everything the simulated room is, and which area answers which path.

use serde_json::{Value, json};

use super::audio::Audio;
use super::calendar::Calendar;
use super::calls::Calls;
use super::cameras::Cameras;
use super::check::{Ask, Handled, Reply, not_found};
use super::collaboration::Collaboration;
use super::directory::Directory;
use super::session::{Credentials, Sessions};
use super::system::System;
use super::video::Video;
use super::{Firmware, Options};

/// The room.
#[derive(Debug)]
pub struct World {
    pub sessions: Sessions,
    pub audio: Audio,
    pub calendar: Calendar,
    pub cameras: Cameras,
    pub collaboration: Collaboration,
    pub calls: Calls,
    pub directory: Directory,
    pub system: System,
    pub video: Video,
    lacks: Vec<String>,
}

impl World {
    pub fn new(options: &Options) -> Self {
        let newer = options.firmware == Firmware::V4_6_2;
        Self {
            sessions: Sessions::new(options),
            audio: Audio::new(newer),
            calendar: Calendar::new(newer),
            cameras: Cameras::new(newer, options.zero_based_presets),
            collaboration: Collaboration::new(newer),
            calls: Calls::new(options.call_setup),
            directory: Directory::new(),
            system: System::new(newer, &options.name),
            video: Video::new(),
            lacks: options.lacks.clone(),
        }
    }

    /// Answers a request: the session first, then the mode, then the path.
    pub fn answer(&mut self, ask: &Ask, credentials: &Credentials) -> Handled {
        let path: Vec<&str> = ask.path.iter().map(String::as_str).collect();
        if path == ["session"] {
            return self.sessions.handle(ask, credentials);
        }
        if !self.sessions.admits(&ask.method, credentials) {
            return Err(Reply::forbidden_page());
        }
        let whole = format!("/rest/{}", path.join("/"));
        if self.lacks.contains(&whole) {
            return Err(not_found());
        }
        if ask.method != "GET" && self.system.mode != "Poly" {
            return Err(Reply::reason(403, "not in this mode"));
        }
        match path.as_slice() {
            ["audio", rest @ ..] => self.audio.handle(ask, rest),
            ["calendar", rest @ ..] => self.calendar.handle(ask, rest, &mut self.calls),
            ["cameras", rest @ ..] => self.cameras.handle(ask, rest, self.calls.up()),
            ["collaboration", rest @ ..] => self.collaboration.handle(ask, rest),
            ["conferences", rest @ ..] => self.calls.handle(ask, rest),
            ["video", rest @ ..] => self.video.handle(ask, rest, &self.calls),
            ["directory", rest @ ..] => self.directory.handle(ask, rest, &mut self.calls),
            ["system", rest @ ..] => self.system.handle(ask, rest, self.calls.up()),
            ["mediastats"] => self.system.media_stats(ask),
            _ => Err(not_found()),
        }
    }

    /// Everything, for tests and people.
    pub fn describe(&self) -> Value {
        json!({
            "sessions": self.sessions.count(),
            "audio": self.audio.describe(),
            "cameras": self.cameras.describe(),
            "calls": self.calls.list(),
            "video_muted": self.video.muted,
            "dialled": self.calls.dialled,
            "collaboration": self.collaboration.describe(),
            "directory": self.directory.describe(),
            "system": self.system.describe(),
        })
    }
}
