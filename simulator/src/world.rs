//! The whole simulated room, and which requests it lets pass to the areas.

use serde_json::{Value, json};

use super::Options;
use super::audio::{self, Audio};
use super::calendar::{self, Calendar};
use super::calls::{self, Calls};
use super::cameras::{self, Cameras};
use super::check::{DeviceReply, DeviceRequest, Handled, not_found};
use super::collaboration::{self, Collaboration};
use super::condition::{Condition, Conditions};
use super::device_config::{self, DeviceConfig};
use super::directory::{self, Directory};
use super::nameplate::{self, Nameplate};
use super::profile::Profile;
use super::providers::{self, Providers};
use super::routes::Route;
use super::session::{self, Credentials, Sessions};
use super::system::{self, System};
use super::video::{self, Video};
use super::{call_log, devices};

/// All that the device answers.
const AREAS: [&[Route]; 14] = [
    audio::ROUTES,
    calendar::ROUTES,
    call_log::ROUTES,
    calls::ROUTES,
    cameras::ROUTES,
    collaboration::ROUTES,
    device_config::ROUTES,
    devices::ROUTES,
    directory::ROUTES,
    nameplate::ROUTES,
    providers::ROUTES,
    session::ROUTES,
    system::ROUTES,
    video::ROUTES,
];

/// The room: one field for each area of the guide, and for what is beyond it.
#[derive(Debug)]
pub struct World {
    pub profile: Profile,
    pub conditions: Conditions,
    pub nameplate: Nameplate,
    pub providers: Providers,
    pub config: DeviceConfig,
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
        let is_log_in = matches!(path[..], ["session"] | ["current", "session"]);
        if !is_log_in && !self.sessions.admits(method, credentials) {
            return Err(DeviceReply::forbidden_page());
        }
        let whole = format!("/rest/{}", path.join("/"));
        if self.lacks(&whole) || self.lacks(&format!("{method} {whole}")) {
            return Err(not_found());
        }
        if let Some(refusal) = self.profile.refuses(method, &path) {
            return Err(refusal);
        }
        if !is_log_in {
            self.check_provider(request, &path)?;
        }
        Route::find(&AREAS, request)?.answer(self, request, credentials)
    }

    /// Refuses what the device does not answer while another provider than Poly runs, or is switched to.
    fn check_provider(
        &mut self,
        request: &DeviceRequest,
        path: &[&str],
    ) -> Result<(), DeviceReply> {
        let fails = self.conditions.has(Condition::ProviderSwitchFails);
        self.providers.advance(fails);
        if self.providers.switching() && !answers_during_a_switch(path) {
            return Err(DeviceReply::reason(503, "the provider is being switched"));
        }
        if self.providers.locked() && changes(request, path) {
            return Err(DeviceReply::reason(403, "not in this mode"));
        }
        Ok(())
    }

    /// Whether the device was started without this path, or without this method and path.
    pub fn lacks(&self, call: &str) -> bool {
        self.lacks.iter().any(|lacking| lacking == call)
    }

    /// The `state` of `GET system`.
    pub fn state(&self) -> &'static str {
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
