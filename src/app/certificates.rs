//! The certificates and keys that a configuration names, loaded before anything is opened.
//!
//! `run` starts with them and `check` only loads them, through this one function: what `check` calls good
//! does not stop the start.

use std::sync::Arc;

use super::own_certificates::OwnCertificate;
use super::{mqtt, own_certificates};
use crate::config::{BrokerUrl, Certificate, Config, RoomConfig};
use crate::device::{Device, DeviceTimings, SharedLimits};
use crate::doors;
use crate::net::{Authorities, ServerTls};
use crate::rooms::device_settings;

/// The certificates and keys of a start.
#[derive(Debug)]
pub struct Certificates {
    /// Of HTTP and plain lines, if they speak TLS.
    pub(super) server: Option<Arc<ServerTls>>,
    /// The certificates that the gateway shows others.
    pub(super) own: Vec<OwnCertificate>,
    /// What does not stop the start, although something will not work: rooms that need this machine's
    /// certificate store, and there is none; a certificate that has expired, or soon will.
    pub warnings: Vec<String>,
}

impl Certificates {
    /// Loads everything that the configuration names.
    ///
    /// # Errors
    /// One message for the user about each section whose files cannot be used.
    pub fn load(config: &Config) -> Result<Self, Vec<String>> {
        let mut failed = Vec::new();
        let mut note = |section: &str, error: String| failed.push(format!("{section}: {error}"));
        let server = match config.http.tls.as_ref().map(ServerTls::new).transpose() {
            Ok(server) => server.map(Arc::new),
            Err(error) => {
                note("http", error);
                None
            }
        };
        if let Some(settings) = mqtt::settings(config, None)
            && let Err(error) = doors::mqtt::check_certificates(&settings)
        {
            note("mqtt", error);
        }
        for (id, room) in &config.rooms {
            if let Err(error) = check_room(room) {
                note(&format!("rooms.{id}"), error);
            }
        }
        if failed.is_empty() {
            let own = OwnCertificate::all(config);
            let mut warnings = store_warnings(config);
            warnings.extend(own_certificates::warnings(&own));
            Ok(Self {
                server,
                own,
                warnings,
            })
        } else {
            Err(failed)
        }
    }
}

/// A warning for each room, and for the broker, that needs a certificate store where there is none.
fn store_warnings(config: &Config) -> Vec<String> {
    let mqtt = &config.mqtt;
    let broker = matches!(mqtt.url, BrokerUrl::Tls { .. })
        && mqtt.ca_file.is_none()
        && mqtt.certificate.is_none();
    let rooms = config.rooms.iter();
    let rooms = rooms.filter(|(_, room)| room.certificate == Certificate::System);
    let rooms = rooms.map(|(id, _)| format!("rooms.{id}"));
    let needed: Vec<String> = broker
        .then(|| "mqtt".to_owned())
        .into_iter()
        .chain(rooms)
        .collect();
    if needed.is_empty() {
        Vec::new()
    } else {
        match Authorities::of_this_machine().roots() {
            Ok(_) => Vec::new(),
            Err(why) => needed.iter().map(|key| format!("{key}: {why}")).collect(),
        }
    }
}

/// Makes the room's client as the room's start does, and drops it.
fn check_room(room: &RoomConfig) -> Result<(), String> {
    let settings = device_settings(
        room,
        &DeviceTimings::default(),
        &Arc::default(),
        &SharedLimits::default(),
    );
    Device::new(settings).map(drop)
}
