//! How a device is reached, and how long each step may take.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::login_limits::LoginLimiter;
use super::session_store::SessionStore;
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
    pub timings: DeviceTimings,
    /// Where requests are counted.
    pub telemetry: Arc<Telemetry>,
    /// Limits how many devices are logged in to at once; all rooms share it.
    pub login_limiter: LoginLimiter,
    /// Where the session is stored, so that a gateway that was killed finds it again.
    pub session_store: Option<SessionStore>,
}

/// Time limits and waits. They are not configurable; tests shorten them.
#[derive(Debug, Clone)]
pub struct DeviceTimings {
    /// How long a request may take, from its first attempt to its response.
    pub request_timeout: Duration,
    /// The same for dialling, logs and files, which devices take up to a minute for.
    pub slow_request_timeout: Duration,
    /// How long to wait after a refused password, doubled after each refusal up to an hour. A
    /// device that locks out after too many attempts locks out people too.
    pub retry_after_refused_login: Duration,
    /// How long to wait after the device locked out all log-ins.
    pub retry_after_lockout: Duration,
    /// How long to wait while all of the device's sessions are in use.
    pub retry_after_too_many_sessions: Duration,
    /// The first wait before an unreachable device is tried again; doubled up to 30 s.
    pub first_reconnect_delay: Duration,
}

impl Default for DeviceTimings {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(10),
            slow_request_timeout: Duration::from_secs(60),
            retry_after_refused_login: Duration::from_secs(600),
            retry_after_lockout: Duration::from_secs(120),
            retry_after_too_many_sessions: Duration::from_secs(60),
            first_reconnect_delay: Duration::from_secs(1),
        }
    }
}
