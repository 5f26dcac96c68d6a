//! Home Assistant's topics at a broker: where a device's document is, and what everyone must keep clear of.
//!
//! Pure. The devices' ids, and what is published there, are `home_assistant`'s.

/// The level before a device's id.
pub(super) const DEVICE: &str = "device";
/// The level after it.
pub(super) const CONFIG: &str = "config";

/// The topic of a device's document, `homeassistant/device/<id>/config`; of `+` the filter of all.
pub fn document_topic(prefix: &str, device: &str) -> String {
    format!("{prefix}/{DEVICE}/{device}/{CONFIG}")
}

/// The inverse of [`document_topic`]: the device's id.
pub fn device_of_document<'a>(prefix: &str, topic: &'a str) -> Option<&'a str> {
    let below = topic.strip_prefix(prefix)?.strip_prefix('/')?;
    let device = below.strip_prefix(DEVICE)?.strip_prefix('/')?;
    device.strip_suffix(CONFIG)?.strip_suffix('/')
}

/// Where Home Assistant looks for devices, and where it says that it has started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiscoveryTopics {
    /// What the topics of discovery begin with, without a slash at either end.
    pub prefix: String,
    /// Home Assistant's birth and will message.
    pub status: String,
    /// What the ids of the rooms' devices begin with, if the gateway publishes documents of rooms. The room's id is
    /// the rest.
    pub room_devices: Option<String>,
}

impl Default for DiscoveryTopics {
    fn default() -> Self {
        Self {
            prefix: "homeassistant".into(),
            status: "homeassistant/status".into(),
            room_devices: None,
        }
    }
}

impl DiscoveryTopics {
    /// Whether a topic of the broker is one of them.
    pub fn contains(&self, topic: &str) -> bool {
        let below = topic.strip_prefix(&self.prefix);
        topic == self.status || below.is_some_and(|below| below.starts_with('/'))
    }

    /// The topic of a device's document.
    pub fn document(&self, device: &str) -> String {
        document_topic(&self.prefix, device)
    }

    /// The topic of a room's document, if there are such documents.
    pub fn of_room(&self, room: &str) -> Option<String> {
        let start = self.room_devices.as_ref()?;
        Some(self.document(&format!("{start}{room}")))
    }

    /// The room of a document's topic.
    pub fn room_of<'a>(&self, topic: &'a str) -> Option<&'a str> {
        let device = device_of_document(&self.prefix, topic)?;
        let room = device.strip_prefix(self.room_devices.as_ref()?)?;
        (!room.is_empty() && !room.contains('/')).then_some(room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_of_a_document_is_found_by_its_topic() {
        let topics = DiscoveryTopics {
            room_devices: Some("poly2mqtt_".into()),
            ..DiscoveryTopics::default()
        };
        let topic = topics.of_room("x_1").unwrap();
        assert_eq!(topic, "homeassistant/device/poly2mqtt_x_1/config");
        assert_eq!(topics.room_of(&topic), Some("x_1"));
        for other in [
            "homeassistant/device/poly2mqtt_/config",
            "homeassistant/device/poly2mqtt-gateway/config",
            "homeassistant/device/poly2mqtt_1/2/config",
            "homeassistant/device/poly2mqtt_1",
            "homeassistant/device/poly2mqtt_1/config/",
            "homeassistant//device/poly2mqtt_1/config",
            "homeassistant2/device/poly2mqtt_1/config",
            "homeassistant/status",
        ] {
            assert_eq!(topics.room_of(other), None, "{other}");
        }
        let nested = document_topic("site/ha", "lamp");
        assert_eq!(nested, "site/ha/device/lamp/config");
        assert_eq!(device_of_document("site/ha", &nested), Some("lamp"));
        assert_eq!(device_of_document("site", &nested), None);
        assert_eq!(device_of_document("x", "x/device/config"), None);
        assert_eq!(device_of_document("x", "x/device//config"), Some(""));
        assert_eq!(DiscoveryTopics::default().of_room("1"), None);
        assert_eq!(DiscoveryTopics::default().room_of(&topic), None);
    }
}
