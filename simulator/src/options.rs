//! How a simulated device is set up.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Firmware, Model};

/// How a device is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// The firmware.
    pub firmware: Firmware,
    /// The model; `None` is the usual one of the firmware.
    pub model: Option<Model>,
    /// The administrator.
    pub user: String,
    /// The administrator's password.
    pub password: String,
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The room's name.
    pub name: String,
    /// The time from dialling to being connected.
    pub call_setup: Duration,
    /// The maximum number of sessions.
    pub max_sessions: usize,
    /// The number of failed log-ins that locks the device.
    pub lockout_after: u32,
    /// How long it stays locked.
    pub lockout: Duration,
    /// How long a reboot takes.
    pub reboot: Duration,
    /// How long a switch to another provider takes.
    pub provider_switch: Duration,
    /// Whether a reboot creates a new certificate, as old firmware does.
    pub new_certificate_at_reboot: bool,
    /// Whether presets are numbered from 0.
    pub zero_based_presets: bool,
    /// Paths that this device lacks, such as `/rest/calendar`; also with a method before them. It answers
    /// 404 to them.
    pub lacks: Vec<String>,
    /// How many of the newest requests the journal keeps.
    pub journal: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            firmware: Firmware::V4_6_2,
            model: None,
            user: "admin".into(),
            password: "456".into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            name: "Simulated room".into(),
            call_setup: Duration::from_secs(1),
            max_sessions: 8,
            lockout_after: 5,
            lockout: Duration::from_secs(120),
            reboot: Duration::from_secs(5),
            provider_switch: Duration::from_secs(3),
            new_certificate_at_reboot: false,
            zero_based_presets: false,
            lacks: Vec::new(),
            journal: usize::MAX,
        }
    }
}
