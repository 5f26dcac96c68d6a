//! A room's device: logs in, and says what it is.

use std::sync::Arc;

use serde_json::Value;

use super::report::{Subject, Trial};
use crate::catalogue::{Method, Request, RequestBody, TimeLimit, read_body};
use crate::config::{Certificate, RoomConfig, RoomId};
use crate::device::{Device, DeviceTimings, LoginLimiter};
use crate::rooms::device_settings;

/// Logs in to one device and says what it is.
pub async fn try_device(id: &RoomId, room: &RoomConfig, login_limiter: &LoginLimiter) -> Trial {
    let settings = device_settings(
        room,
        &DeviceTimings::default(),
        &Arc::default(),
        login_limiter,
    );
    let (usable, report) = match Device::new(settings) {
        Ok(device) => log_in(&device, room).await,
        Err(error) => (false, error),
    };
    Trial {
        subject: Subject::Room(id.clone()),
        address: room.url.to_string(),
        usable,
        report,
    }
}

/// Whether the device can be used, and what it is or why not.
async fn log_in(device: &Device, room: &RoomConfig) -> (bool, String) {
    let logged_in = device.log_in().await;
    let fingerprint = device.fingerprint();
    let usable = logged_in.is_ok();
    let report = match logged_in {
        // The problem names the fingerprint itself.
        Err(problem) => problem.to_string(),
        Ok(_) => {
            let identity = identity(device).await;
            let fingerprint = fingerprint.unwrap_or_default();
            match room.certificate {
                Certificate::Insecure => {
                    format!("{identity}; to pin it, set certificate = \"{fingerprint}\"")
                }
                _ => format!("{identity}, certificate {fingerprint}"),
            }
        }
    };
    device.close().await;
    (usable, report)
}

/// Model and firmware; `unknown` if the device does not tell.
async fn identity(device: &Device) -> String {
    let request = Request {
        method: Method::Get,
        path: vec!["rest".into(), "system".into()],
        query: Vec::new(),
        body: RequestBody::None,
        repeatable: true,
    };
    let answer = device
        .send(&request, 1 << 20, device.deadline(TimeLimit::Ordinary))
        .await;
    let system: Value = match &answer {
        Ok(answer) if answer.status == 200 => read_body(&answer.body).unwrap_or_default(),
        _ => Value::Null,
    };
    // Without control characters, so that a device cannot send commands to the terminal.
    let text = |name: &str| {
        let text = system[name].as_str().unwrap_or("unknown");
        let plain = text.chars().filter(|c| !c.is_control());
        plain.take(100).collect::<String>()
    };
    format!("{} firmware {}", text("model"), text("softwareVersion"))
}
