//! Who the device is: model, name, version and uptime, as `GET /rest/system` gives them.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::check::ok;
use super::condition::{Condition, Conditions};
use super::profile::Profile;
use super::routes::{Route, get};
use super::{Model, Options};

pub const ROUTES: &[Route] = &[get("system", |world, _| {
    let state = world.state();
    ok(&world.nameplate.describe(state, &world.conditions))
})];

/// The uptime in seconds when the simulator starts: a device has usually run for a while.
const UPTIME_AT_START: f64 = 12_345.67;
/// The number of every simulated device.
pub const SERIAL_NUMBER: &str = "8G00000000";

/// The milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}

#[derive(Debug)]
pub struct Nameplate {
    pub profile: Profile,
    pub model: Model,
    /// The room's name.
    pub name: String,
    started: Instant,
    uptime_at_start: f64,
}

impl Nameplate {
    pub fn new(profile: Profile, options: &Options) -> Self {
        Self {
            profile,
            model: options
                .model
                .unwrap_or_else(|| Model::usual(profile.firmware)),
            name: options.name.clone(),
            started: Instant::now(),
            uptime_at_start: UPTIME_AT_START,
        }
    }

    /// The device has restarted.
    pub fn restarted(&mut self) {
        self.started = Instant::now();
        self.uptime_at_start = 0.0;
    }

    /// The seconds since the last restart, to the hundredth.
    pub fn uptime(&self) -> f64 {
        let seconds = self.uptime_at_start + self.started.elapsed().as_secs_f64();
        (seconds * 100.0).round() / 100.0
    }

    fn describe(&self, state: &str, now: &Conditions) -> Value {
        let (version, build) = self.profile.firmware.version();
        let slow = now.has(Condition::LanSlow);
        let time_server = if now.has(Condition::TimeServerDown) {
            "TIMESERVER_DOWN"
        } else {
            "TIMESERVER_UP"
        };
        json!({
            "build": build, "buildType": "Release", "hardwareVersion": "1",
            "lanStatus": {
                "duplex": if slow { "HALF" } else { "FULL" },
                "speedMbps": if slow { 100 } else { 1000 }, "state": "LAN_UP",
            },
            "model": self.model.name(), "rebootNeeded": now.has(Condition::RebootNeeded),
            "serialNumber": SERIAL_NUMBER, "softwareVersion": version, "state": state,
            "systemName": self.name, "systemTime": now_ms(), "timeOffset": -14_400_000,
            "timeServerState": time_server, "uptime": self.uptime(),
        })
    }
}
