//! Sessions at devices that are kept for the next run, or for the next gateway of a room.

use std::fmt::Display;
use std::path::Path;

use super::{CLUSTER, DEVICE, ROOMS};
use crate::telemetry::Telemetry;

/// In files.
impl Telemetry {
    /// The runtime directory cannot be used, so no session is kept.
    pub fn runtime_directory_unusable(&self, why: &str) {
        tracing::error!(
            target: ROOMS,
            "sessions are not stored, so a gateway that is killed leaves them at the devices: the \
             runtime directory {why}"
        );
    }

    /// The file of a room's sessions cannot be read or written.
    pub fn session_not_stored(&self, file: &Path, why: &dyn Display) {
        tracing::warn!(
            target: DEVICE,
            file = %file.display(),
            "the session cannot be stored, so a gateway that is killed leaves it at the device: \
             {why}"
        );
    }
}

/// In the cluster's store.
impl Telemetry {
    /// The sessions of rooms that were taken over did not come in time.
    pub fn cluster_sessions_not_read(&self) {
        tracing::warn!(
            target: CLUSTER,
            "etcd gives no sessions of the rooms that were taken over: they log in, and the sessions of the \
             gateway before may stay at the devices"
        );
    }

    /// The store refuses sessions.
    pub fn cluster_sessions_not_stored(&self, error: &dyn Display) {
        tracing::warn!(
            target: CLUSTER,
            "sessions cannot be stored, so a gateway that ends leaves them at the devices: {error}"
        );
    }
}
