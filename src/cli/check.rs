//! `poly2mqtt check`: the configuration, and with `--connect` every device.

use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::Value;

use super::{ConfigFile, Failed, load, rooms};
use crate::catalogue::{Method, Request, RequestBody};
use crate::config::{Certificate, RoomConfig, RoomId};
use crate::device::{Device, DeviceTimings, LoginLimiter};
use crate::rooms::device_settings;

pub async fn run(file: &ConfigFile, connect: bool) -> Result<(), Failed> {
    let loaded = load(file)?;
    println!(
        "the configuration is good: {}",
        rooms(loaded.config.rooms.len())
    );
    if !connect {
        return Ok(());
    }
    let configured = loaded.config.rooms.iter();
    let login_limiter = LoginLimiter::default();
    let checked = join_all(configured.map(|(id, room)| check(id, room, &login_limiter))).await;
    let bad = checked.iter().filter(|good| !**good).count();
    if bad > 0 {
        return Err(Failed::Other(format!("{} cannot be used", rooms(bad))));
    }
    Ok(())
}

/// Logs in to one device and prints what it is; false where that does not work.
async fn check(id: &RoomId, room: &RoomConfig, login_limiter: &LoginLimiter) -> bool {
    let settings = device_settings(
        room,
        &DeviceTimings::default(),
        &Arc::default(),
        login_limiter,
    );
    let device = match Device::new(settings) {
        Ok(device) => device,
        Err(error) => {
            println!("{id}\t{}\t{error}", room.url);
            return false;
        }
    };
    let logged_in = device.log_in().await;
    let fingerprint = device.fingerprint();
    let good = logged_in.is_ok();
    let told = match logged_in {
        // It names the fingerprint itself.
        Err(problem) => problem.to_string(),
        Ok(_) => {
            let identity = identity(&device).await;
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
    println!("{id}\t{}\t{told}", room.url);
    good
}

/// Model and firmware, where the device tells them.
async fn identity(device: &Device) -> String {
    let request = Request {
        method: Method::Get,
        path: vec!["rest".into(), "system".into()],
        query: Vec::new(),
        body: RequestBody::None,
        repeatable: true,
        slow: false,
    };
    let answer = device.send(&request, 1 << 20, device.deadline(false)).await;
    let system: Value = match &answer {
        Ok(answer) if answer.status == 200 => {
            serde_json::from_slice(&answer.body).unwrap_or_default()
        }
        _ => Value::Null,
    };
    // Nothing that a device says commands the terminal.
    let text = |name: &str| {
        let text = system[name].as_str().unwrap_or("unknown");
        let plain = text.chars().filter(|c| !c.is_control());
        plain.take(100).collect::<String>()
    };
    format!("{} firmware {}", text("model"), text("softwareVersion"))
}
