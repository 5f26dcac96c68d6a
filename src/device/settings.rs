//! How a device is reached.

use std::sync::Arc;

use secrecy::SecretString;
use url::Url;

use super::admission::{LoginLimiter, StartLimiter};
use super::fence::DeviceFence;
use super::login_memory::LoginMemory;
use super::session_store::SessionStore;
use super::timings::DeviceTimings;
use crate::config::Certificate;
use crate::telemetry::Telemetry;

/// How to reach a device and log in to it.
#[derive(Debug, Clone)]
pub struct DeviceSettings {
    /// `https://host[:port]`.
    pub url: Url,
    /// The user who logs in.
    pub user: String,
    /// The user's password.
    pub password: SecretString,
    /// Which certificate is trusted.
    pub certificate: Certificate,
    /// Keep connections open between requests.
    pub keep_alive: bool,
    /// Time limits and waits.
    pub timings: Arc<DeviceTimings>,
    /// Where requests are counted.
    pub telemetry: Arc<Telemetry>,
    /// What limits how many devices do something at once.
    pub limits: SharedLimits,
    /// Where the session is stored, so that a gateway that was killed finds it again.
    pub session_store: Option<SessionStore>,
    /// Whether requests may begin, where several gateways share the device.
    pub fence: DeviceFence,
}

/// The limits that all devices of a gateway share, and that outlive their rooms. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct SharedLimits {
    /// How many are logged in to at once.
    pub logins: LoginLimiter,
    /// How long each has to wait after a log-in that failed.
    pub log_in_memory: LoginMemory,
    /// How many do at once what else they do at a start.
    pub start: StartLimiter,
}
