//! Home Assistant: one device for each room and one for the gateway, by MQTT discovery.
//!
//! Owns the ids, the discovery documents and when they are sent. What entities there are stands in
//! the catalogue's entries; here is what becomes of them. Everything but the [`Publisher`] is
//! pure: told what is known and what time it is, it says what to publish.

mod announce;
mod compressed;
mod document;
mod entities;
mod facts;
mod gateway;
mod merge;
mod publisher;
mod room;

pub use announce::Pace;
pub use compressed::decompressed;
pub use document::Document;
pub use facts::Facts;
pub use gateway::gateway_document;
pub use publisher::{Handles, Publisher};
pub use room::room_document;

use crate::topics;

/// How topics and ids are named.
#[derive(Debug, Clone)]
pub struct Naming {
    /// Stands before every topic of the gateway's own; empty for none.
    pub topic_prefix: String,
    /// Stands before every topic of discovery.
    pub discovery_prefix: String,
}

impl Naming {
    /// A topic of the gateway's own as the broker knows it.
    fn topic(&self, topic: &str) -> String {
        topics::Prefix::new(self.topic_prefix.as_str()).add(topic)
    }

    /// What all ids begin with: two gateways at one broker differ in their topic prefix.
    fn base(&self) -> String {
        match self.topic_prefix.as_str() {
            "" => "poly2mqtt".to_owned(),
            prefix => format!("poly2mqtt-{}", id_text(prefix, '-')),
        }
    }

    /// The id of the gateway's device. No room's id looks like it.
    pub fn gateway(&self) -> String {
        format!("{}-gateway", self.base())
    }

    /// The id of a room's device, made from the room's id alone: a codec that is replaced keeps
    /// the device's history.
    pub fn room(&self, room: &str) -> String {
        format!("{}_{room}", self.base())
    }

    /// Where the document of a device stands.
    pub fn config_topic(&self, device: &str) -> String {
        format!("{}/device/{device}/config", self.discovery_prefix)
    }

    /// The filter for every device's document.
    pub fn config_filter(&self) -> String {
        self.config_topic("+")
    }

    /// The device that a document's topic is about, if it can be one of ours.
    fn device<'a>(&self, topic: &'a str) -> Option<&'a str> {
        let below = topic.strip_prefix(&self.discovery_prefix)?;
        let device = below.strip_prefix("/device/")?.strip_suffix("/config")?;
        let own = device.starts_with(&format!("{}_", self.base())) || device == self.gateway();
        own.then_some(device)
    }
}

/// A text as a part of an id: what may not stand there becomes `other`.
fn id_text(text: &str, other: char) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.chars()
        .map(|c| {
            if fits(c) {
                c.to_ascii_lowercase()
            } else {
                other
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_keeps_two_gateways_apart() {
        let naming = |topic_prefix: &str| Naming {
            topic_prefix: topic_prefix.into(),
            discovery_prefix: "homeassistant".into(),
        };
        let (one, two) = (naming(""), naming("av/x"));
        assert_eq!(one.room("1"), "poly2mqtt_1");
        assert_eq!(two.room("1"), "poly2mqtt-av-x_1");
        let topic = two.config_topic(&two.room("1"));
        assert_eq!(topic, "homeassistant/device/poly2mqtt-av-x_1/config");
        assert_eq!(two.device(&topic), Some("poly2mqtt-av-x_1"));
        assert_eq!(one.device(&topic), None);
        assert_eq!(one.device("homeassistant/device/zigbee/config"), None);
        assert_eq!(two.topic("room/1/x"), "av/x/room/1/x");
    }
}
