//! The whole simulated room, and which area of it answers which path.

use serde_json::{Value, json};

use super::audio::Audio;
use super::calendar::Calendar;
use super::calls::Calls;
use super::cameras::Cameras;
use super::check::{DeviceReply, DeviceRequest, Handled, not_found};
use super::collaboration::Collaboration;
use super::directory::Directory;
use super::session::{Credentials, Sessions};
use super::system::System;
use super::video::Video;
use super::{Firmware, Options};

/// The room: one field for each area of the guide.
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

    /// Answers a request. Checks the session first, then the mode, then the path.
    pub fn answer(&mut self, request: &DeviceRequest, credentials: &Credentials) -> Handled {
        let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
        if path == ["session"] {
            return self.sessions.handle(request, credentials);
        }
        if !self.sessions.admits(&request.method, credentials) {
            return Err(DeviceReply::forbidden_page());
        }
        let whole = format!("/rest/{}", path.join("/"));
        if self.lacks.contains(&whole) {
            return Err(not_found());
        }
        if request.method != "GET" && self.system.mode != "Poly" {
            return Err(DeviceReply::reason(403, "not in this mode"));
        }
        match path.as_slice() {
            ["audio", rest @ ..] => self.audio.handle(request, rest),
            ["calendar", rest @ ..] => self.calendar.handle(request, rest, &mut self.calls),
            ["cameras", rest @ ..] => self.cameras.handle(request, rest, self.calls.up()),
            ["collaboration", rest @ ..] => self.collaboration.handle(request, rest),
            ["conferences", rest @ ..] => self.calls.handle(request, rest),
            ["video", rest @ ..] => self.video.handle(request, rest, &self.calls),
            ["directory", rest @ ..] => self.directory.handle(request, rest, &mut self.calls),
            ["system", rest @ ..] => self.system.handle(request, rest, self.calls.up()),
            ["mediastats"] => self.system.media_stats(request),
            _ => Err(not_found()),
        }
    }

    /// The state of the whole room as JSON, for tests and people.
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
