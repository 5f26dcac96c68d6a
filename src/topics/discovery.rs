//! Home Assistant's topics at a broker, as far as everyone must keep clear of them.
//!
//! Pure. What is published there is `home_assistant`'s.

/// Where Home Assistant looks for devices, and where it says that it has started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiscoveryTopics {
    /// What the topics of discovery begin with, without a slash at either end.
    pub prefix: String,
    /// Home Assistant's birth and will message.
    pub status: String,
    /// The documents of the gateway's rooms, if it publishes any.
    pub rooms: Option<RoomDocuments>,
}

impl Default for DiscoveryTopics {
    fn default() -> Self {
        Self {
            prefix: "homeassistant".into(),
            status: "homeassistant/status".into(),
            rooms: None,
        }
    }
}

impl DiscoveryTopics {
    /// Whether a topic of the broker is one of them.
    pub fn contains(&self, topic: &str) -> bool {
        let below = topic.strip_prefix(&self.prefix);
        topic == self.status || below.is_some_and(|below| below.starts_with('/'))
    }

    /// The topic of a room's document, if there are such documents.
    pub fn of_room(&self, room: &str) -> Option<String> {
        self.rooms.as_ref().map(|rooms| rooms.topic(room))
    }

    /// The room of a document's topic.
    pub fn room_of<'a>(&self, topic: &'a str) -> Option<&'a str> {
        self.rooms.as_ref()?.room(topic)
    }
}

/// The topics of the documents of rooms. They differ only in the room's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomDocuments {
    /// What comes before the id.
    pub before: String,
    /// What comes after it.
    pub after: String,
}

impl RoomDocuments {
    fn topic(&self, room: &str) -> String {
        format!("{}{room}{}", self.before, self.after)
    }

    fn room<'a>(&self, topic: &'a str) -> Option<&'a str> {
        let below = topic.strip_prefix(&self.before)?;
        let room = below.strip_suffix(&self.after)?;
        (!room.is_empty() && !room.contains('/')).then_some(room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_of_a_document_is_found_by_its_topic() {
        let topics = DiscoveryTopics {
            rooms: Some(RoomDocuments {
                before: "homeassistant/device/poly2mqtt_".into(),
                after: "/config".into(),
            }),
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
            "homeassistant/status",
        ] {
            assert_eq!(topics.room_of(other), None, "{other}");
        }
        assert_eq!(DiscoveryTopics::default().of_room("1"), None);
        assert_eq!(DiscoveryTopics::default().room_of(&topic), None);
    }
}
