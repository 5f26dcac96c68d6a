//! How long each step towards a device may take, and the waits before the next try.
//!
//! Only numbers: who waits is elsewhere.

use std::time::Duration;

/// Time limits and waits. They are not configurable; tests shorten them.
#[derive(Debug, Clone)]
pub struct DeviceTimings {
    /// How long a request may take, from its first attempt to its response.
    pub request_timeout: Duration,
    /// How long dialling, logs and files may take: devices need up to a minute.
    pub slow_request_timeout: Duration,
    /// How long what takes devices minutes may take, such as changing the provider: three minutes, and half a minute
    /// for the answer.
    pub minutes_request_timeout: Duration,
    /// How long to wait after a refused password, doubled after each refusal up to an hour. A
    /// device that locks out after too many attempts locks out people too.
    pub retry_after_refused_login: Duration,
    /// The first wait after a refusal, if the device has taken this password since the gateway started: a device that
    /// starts may refuse everybody for a moment.
    pub retry_after_doubtful_refusal: Duration,
    /// How long to wait after the device locked out all log-ins.
    pub retry_after_lockout: Duration,
    /// How long to wait while all of the device's sessions are in use.
    pub retry_after_too_many_sessions: Duration,
    /// The first wait before an unreachable device is tried again; doubled up to 30 s.
    pub first_reconnect_delay: Duration,
    /// How long most of a device's states cannot be read before it counts as not understood. One that restarts a part
    /// of itself is back before, mostly.
    pub loss_before_offline: Duration,
    /// How long after that the room is online again with the states that can be read: the firmware may have changed.
    pub trust_after_loss: Duration,
    /// How long a device that has asked for fewer requests is read slower without asking again, before each step back
    /// to the usual pace. Each step that is too fast costs it a refused request.
    pub quiet_before_faster_reads: Duration,
}

impl Default for DeviceTimings {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(10),
            slow_request_timeout: Duration::from_secs(60),
            minutes_request_timeout: Duration::from_secs(210),
            retry_after_refused_login: Duration::from_secs(600),
            retry_after_doubtful_refusal: Duration::from_secs(60),
            retry_after_lockout: Duration::from_secs(120),
            retry_after_too_many_sessions: Duration::from_secs(60),
            first_reconnect_delay: Duration::from_secs(1),
            loss_before_offline: Duration::from_secs(120),
            trust_after_loss: Duration::from_secs(600),
            quiet_before_faster_reads: Duration::from_secs(300),
        }
    }
}
