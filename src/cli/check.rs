//! `poly2mqtt check`: the configuration, and with `--connect` every device.

use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::Value;

use super::config_file::ConfigFile;
use super::{CliError, rooms};
use crate::catalogue::{Method, Request, RequestBody, read_body};
use crate::config::{Certificate, Config, RoomConfig, RoomId};
use crate::device::{Device, DeviceTimings, LoginLimiter};
use crate::rooms::device_settings;

#[derive(Debug, clap::Args)]
pub struct Check {
    #[command(flatten)]
    file: ConfigFile,
    /// Log in to every device; print its model, firmware and certificate fingerprint.
    #[arg(long)]
    connect: bool,
}

impl Check {
    pub async fn run(&self) -> Result<(), CliError> {
        let config = self.file.load()?.config;
        println!("the configuration is good: {}", rooms(config.rooms.len()));
        if self.connect {
            connect(&config).await
        } else {
            Ok(())
        }
    }
}

/// Checks every device at once.
async fn connect(config: &Config) -> Result<(), CliError> {
    let login_limiter = LoginLimiter::default();
    let checks = config
        .rooms
        .iter()
        .map(|(id, room)| check_device(id, room, &login_limiter));
    let results = join_all(checks).await;
    match results.iter().filter(|usable| !**usable).count() {
        0 => Ok(()),
        failed => Err(CliError::Other(format!("{} cannot be used", rooms(failed)))),
    }
}

/// Logs in to one device and prints what it is. False if it cannot be used.
async fn check_device(id: &RoomId, room: &RoomConfig, login_limiter: &LoginLimiter) -> bool {
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
    let usable = logged_in.is_ok();
    let report = match logged_in {
        // The problem names the fingerprint itself.
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
    println!("{id}\t{}\t{report}", room.url);
    usable
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
    let answer = device.send(&request, 1 << 20, device.deadline(false)).await;
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
