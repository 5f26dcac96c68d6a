//! Home Assistant's devices. What a broker's limit leaves out of their documents is in `messages`.

use crate::telemetry::Telemetry;

const HOME_ASSISTANT: &str = "poly2mqtt::home_assistant";

impl Telemetry {
    /// A person has deleted a device in Home Assistant.
    pub fn device_deleted(&self, id: &str) {
        tracing::info!(
            target: HOME_ASSISTANT,
            id,
            "deleted in Home Assistant; it stays away until a restart"
        );
    }

    /// The broker holds documents of devices that are not configured, and nobody has marked them.
    pub fn unmarked_documents_found(&self, devices: usize) {
        tracing::info!(
            target: HOME_ASSISTANT,
            devices,
            "the broker holds documents for Home Assistant of rooms that are not configured, left \
             by an old version; `poly2mqtt clear --unmarked` lists and clears them"
        );
    }
}
