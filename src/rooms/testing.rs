//! Helpers of the unit tests of rooms.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

pub use super::mode_lock::ModeLock;
use super::schedule::PollIntervals;
use super::settings::RoomSettings;
use crate::catalogue::{Operation, operations};
use crate::config::Certificate;
use crate::device::{DeviceFence, DeviceResponse, DeviceSettings, SharedLimits};

pub const INTERVALS: PollIntervals = PollIntervals {
    fast: Duration::from_secs(2),
    normal: Duration::from_secs(15),
    slow: Duration::from_secs(60),
    meters: false,
    gentle: false,
};

/// The operation with this path, and a device's response to it.
pub fn operation_and_response(
    path: &str,
    status: u16,
    body: &'static str,
) -> (&'static Operation, DeviceResponse) {
    let operation = operations()
        .find(|operation| operation.path == path)
        .unwrap();
    let response = DeviceResponse {
        status,
        content_type: None,
        retry_after: None,
        body: body.into(),
    };
    (operation, response)
}

/// How to reach a simulated device.
pub fn device_settings(url: &str, certificate: Certificate) -> DeviceSettings {
    DeviceSettings {
        url: Url::parse(url).unwrap(),
        user: "admin".into(),
        password: "456".into(),
        certificate,
        keep_alive: true,
        timings: Arc::default(),
        telemetry: Arc::default(),
        limits: SharedLimits::default(),
        session_store: None,
        fence: DeviceFence::default(),
    }
}

/// Room 1, with a device that cannot be reached.
pub fn room_settings() -> RoomSettings {
    RoomSettings {
        id: "1".into(),
        device: device_settings("https://127.0.0.1:1", Certificate::Insecure),
        intervals: INTERVALS,
        preset_offset: None,
        preset_names: Arc::default(),
        setting_names: Arc::default(),
        max_command_age: Duration::from_secs(5),
        allow: Arc::default(),
        max_payload: 1 << 20,
        readiness: None,
        readiness_dial: None,
    }
}
