//! The whole simulated room, and which area of it answers which path.

use serde_json::{Value, json};

use super::Options;
use super::audio::Audio;
use super::calendar::Calendar;
use super::calls::Calls;
use super::cameras::Cameras;
use super::check::{DeviceReply, DeviceRequest, Handled, not_allowed, not_found};
use super::collaboration::Collaboration;
use super::condition::{Condition, Conditions};
use super::device_config::{DeviceConfig, Reach};
use super::devices;
use super::directory::Directory;
use super::nameplate::Nameplate;
use super::profile::Profile;
use super::providers::Providers;
use super::session::{Credentials, Sessions};
use super::system::System;
use super::video::Video;

/// The room: one field for each area of the guide, and for what is beyond it.
#[derive(Debug)]
pub struct World {
    profile: Profile,
    pub conditions: Conditions,
    pub nameplate: Nameplate,
    pub providers: Providers,
    config: DeviceConfig,
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
        let profile = Profile::new(options.firmware);
        let nameplate = Nameplate::new(profile, options);
        Self {
            profile,
            conditions: Conditions::default(),
            providers: Providers::new(profile, options.provider_switch),
            config: DeviceConfig::new(),
            sessions: Sessions::new(profile, options),
            audio: Audio::new(profile),
            calendar: Calendar::new(profile),
            cameras: Cameras::new(profile, nameplate.model, options.zero_based_presets),
            collaboration: Collaboration::new(profile),
            calls: Calls::new(profile, options.call_setup),
            nameplate,
            directory: Directory::new(),
            system: System::new(profile),
            video: Video::new(),
            lacks: options.lacks.clone(),
        }
    }

    /// Answers a request. Checks the session first, then the mode, then the path.
    pub fn answer(&mut self, request: &DeviceRequest, credentials: &Credentials) -> Handled {
        let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
        let method = request.method.as_str();
        let whole = format!("/rest/{}", path.join("/"));
        let is_lacking =
            self.lacks.contains(&whole) || self.lacks.contains(&format!("{method} {whole}"));
        if path == ["session"] || path == ["current", "session"] {
            if is_lacking {
                return Err(not_found());
            }
            if let Some(refusal) = self.profile.refuses(method, &path) {
                return Err(refusal);
            }
            let uptime = self.nameplate.uptime();
            return self.sessions.handle(request, credentials, uptime);
        }
        if !self.sessions.admits(method, credentials) {
            return Err(DeviceReply::forbidden_page());
        }
        if is_lacking {
            return Err(not_found());
        }
        if let Some(refusal) = self.profile.refuses(method, &path) {
            return Err(refusal);
        }
        let fails = self.conditions.has(Condition::ProviderSwitchFails);
        self.providers.advance(fails);
        if self.providers.switching() && !answers_during_a_switch(&path) {
            return Err(DeviceReply::reason(503, "the provider is being switched"));
        }
        if self.providers.locked() && changes(request, &path) {
            return Err(DeviceReply::reason(403, "not in this mode"));
        }
        self.dispatch(request, &path)
    }

    fn dispatch(&mut self, request: &DeviceRequest, path: &[&str]) -> Handled {
        let now = &self.conditions;
        let in_call = self.calls.up();
        match path {
            ["audio", rest @ ..] => self.audio.handle(request, rest, now),
            ["calendar", rest @ ..] => self.calendar.handle(request, rest, &mut self.calls, now),
            ["cameras", rest @ ..] => self.cameras.handle(request, rest, in_call, now),
            ["collaboration", rest @ ..] => self.collaboration.handle(request, rest),
            ["conferences", rest @ ..] => self.calls.handle(request, rest),
            ["calllog", rest @ ..] => self.calls.log.handle(request, rest),
            ["video", rest @ ..] => self.video.handle(request, rest, &self.calls),
            ["directory", rest @ ..] => self.directory.handle(request, rest, &mut self.calls),
            ["system"] => self.nameplate.handle(request, self.state(), now),
            // Known of the other spelling only, unless the device lacks that one.
            ["system", "mode"] if request.method != "GET" && !self.lacks_current_mode() => {
                not_allowed()
            }
            ["system", "mode" | "apps"] | ["system", "apps", "state"] => {
                self.providers.handle(request, &path[1..], in_call)
            }
            ["current", "system", "mode" | "apps"] | ["current", "system", "apps", "state"] => {
                self.providers.handle(request, &path[2..], in_call)
            }
            ["system", rest @ ..] => self.system.handle(request, rest, now),
            ["devicemanagement", rest @ ..] => {
                devices::handle(request, rest, false, &self.nameplate, now)
            }
            ["current", "devicemanagement", rest @ ..] => {
                devices::handle(request, rest, true, &self.nameplate, now)
            }
            ["current", "session", "sessions"] | ["session", "sessions"] => {
                self.sessions.list(request)
            }
            ["security", "password", role] => self.sessions.change_password(request, role),
            ["config"] => {
                let mut reach = Reach {
                    nameplate: &mut self.nameplate,
                    audio: &mut self.audio,
                    conditions: &mut self.conditions,
                };
                self.config.handle(request, &mut reach)
            }
            ["mediastats"] => self.system.media_stats(request),
            _ => Err(not_found()),
        }
    }

    fn lacks_current_mode(&self) -> bool {
        let path = "/rest/current/system/mode";
        self.lacks.iter().any(|lacking| lacking == path)
    }

    /// The `state` of `GET system`.
    fn state(&self) -> &'static str {
        if self.providers.switching() {
            "INITIALIZING"
        } else if self.calls.up() {
            "IN_CALL"
        } else if self.conditions.has(Condition::Asleep) {
            "ASLEEP"
        } else {
            "READY"
        }
    }

    /// The device has restarted.
    pub fn restarted(&mut self) {
        self.sessions.expire();
        self.calls.end_all();
        self.conditions.set(Condition::RebootNeeded, false);
        self.nameplate.restarted();
    }

    /// The state of the whole room as JSON, for tests and people.
    pub fn describe(&self) -> Value {
        json!({
            "firmware": self.profile.firmware.name(),
            "model": self.nameplate.model.name(),
            "conditions": self.conditions.names(),
            "provider": self.providers.describe(),
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

/// Whether the device answers this while it switches to another provider.
fn answers_during_a_switch(path: &[&str]) -> bool {
    let path = path.strip_prefix(&["current"]).unwrap_or(path);
    matches!(path, ["system"] | ["system", "mode"] | ["session", ..])
}

/// Whether a request changes something that belongs to Poly. Some POSTs only read, and the provider can
/// be changed back.
fn changes(request: &DeviceRequest, path: &[&str]) -> bool {
    let reads = match path {
        ["config"] => {
            let body = request.json().unwrap_or_default();
            body.get("names").is_some()
        }
        ["devicemanagement", ..] | ["current", ..] | ["system", "mode"] => true,
        _ => false,
    };
    request.method != "GET" && !reads
}
