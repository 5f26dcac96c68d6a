//! Which retained messages a gateway has left and does not need.
//!
//! Pure. Only what bears the gateway's mark is its own. Of the prefix that the gateway uses now, its
//! rooms stay, and what it says of itself.

use std::collections::BTreeSet;

use crate::doors::mqtt::{Retained, RetainedMessage};
use crate::gateway_id::GatewayId;
use crate::home_assistant::{Namespace, is_document_of};
use crate::topics::{
    GATEWAY_AVAILABILITY, GATEWAY_HEALTH, GATEWAY_INFO, ONLINE, Prefix, RoomTopics, Topic,
};

/// Of so many rooms a topic is asked for by name: one tells as much as all.
const MOST_ROOMS_NAMED: usize = 16;

/// What to look for.
#[derive(Debug)]
pub struct Selection {
    /// The prefix of the gateway's topics.
    pub prefix: Prefix,
    /// The names of its devices in Home Assistant.
    pub namespace: Namespace,
    /// The gateway's id.
    pub id: GatewayId,
    /// The rooms that the gateway has now at this prefix; `None` if it does not use it any more.
    pub rooms: Option<BTreeSet<String>>,
    /// The gateway publishes documents of its rooms there now.
    pub keeps_documents: bool,
    /// Take what no gateway has marked too, if it is what a gateway publishes.
    pub unmarked: bool,
}

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Selected {
    /// To be cleared, in order.
    pub topics: Vec<String>,
    /// How many topics of other gateways stay.
    pub others: usize,
    /// How many topics stay that no gateway has marked.
    pub unmarked: usize,
}

impl Selection {
    /// Sorts messages by what is to become of them.
    pub fn select(&self, found: &[RetainedMessage]) -> Selected {
        let mut selected = Selected::default();
        for message in found.iter().filter(|message| self.is_left(message)) {
            match &message.id {
                Some(id) if id == self.id.as_str() => selected.topics.push(message.topic.clone()),
                None if self.unmarked => selected.topics.push(message.topic.clone()),
                Some(_) => selected.others += 1,
                None => selected.unmarked += 1,
            }
        }
        selected
    }

    /// Whether it is of a gateway at this prefix, and not what the gateway publishes now.
    fn is_left(&self, message: &RetainedMessage) -> bool {
        if let Some(topic) = self.prefix.strip(&message.topic) {
            match Retained::of(topic) {
                Retained::State { room, .. } => return !self.has_room(room),
                Retained::Other if Topic::parse(topic).is_some_and(|it| it.room().is_none()) => {
                    return self.rooms.is_none();
                }
                Retained::Other => {}
            }
        }
        let Some(device) = self.namespace.device(&message.topic) else {
            return false;
        };
        let document = serde_json::from_slice(&message.payload).unwrap_or_default();
        is_document_of(&document, &self.prefix) && !self.has_device(device)
    }

    fn has_room(&self, room: &str) -> bool {
        let rooms = self.rooms.as_ref();
        rooms.is_some_and(|rooms| rooms.contains(room))
    }

    fn has_device(&self, device: &str) -> bool {
        let mut rooms = self.rooms.iter().flatten();
        self.keeps_documents
            && (device == self.namespace.gateway()
                || device.starts_with(&self.namespace.member(""))
                || rooms.any(|room| device == self.namespace.room(room)))
    }

    /// Whether the gateway runs where everything would be cleared.
    pub fn is_running(&self, found: &[RetainedMessage]) -> bool {
        let availability = self.prefix.add(GATEWAY_AVAILABILITY);
        self.rooms.is_none()
            && found.iter().any(|message| {
                message.topic == availability
                    && message.payload == ONLINE
                    && message.id.as_deref() == Some(self.id.as_str())
            })
    }

    /// Topics that a gateway publishes whatever else it does, to be asked for by name.
    pub fn named(&self) -> Vec<String> {
        let gateway = [GATEWAY_INFO, GATEWAY_AVAILABILITY, GATEWAY_HEALTH].map(str::to_owned);
        let rooms = self.rooms.iter().flatten().take(MOST_ROOMS_NAMED);
        let rooms = rooms.map(|room| RoomTopics::new(room).availability());
        let topics = gateway.into_iter().chain(rooms);
        topics.map(|topic| self.prefix.add(&topic)).collect()
    }

    /// The rooms whose topics were found.
    pub fn rooms_in(&self, found: &[RetainedMessage]) -> BTreeSet<String> {
        let topics = found
            .iter()
            .filter_map(|message| self.prefix.strip(&message.topic));
        let rooms = topics.filter_map(|topic| Topic::parse(topic)?.room());
        rooms.map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;

    fn selection(prefix: &str, rooms: Option<&[&str]>) -> Selection {
        let rooms = rooms.map(|rooms| rooms.iter().map(|room| (*room).to_owned()).collect());
        Selection {
            prefix: Prefix::new(prefix),
            namespace: Namespace {
                topic_prefix: prefix.into(),
                discovery_prefix: "homeassistant".into(),
            },
            id: GatewayId::of_client("own"),
            keeps_documents: rooms.is_some(),
            rooms,
            unmarked: false,
        }
    }

    fn message(topic: &str, client: Option<&str>) -> RetainedMessage {
        let availability = if topic.starts_with("homeassistant/device/poly2mqtt-av") {
            "av/gateway/availability"
        } else {
            "gateway/availability"
        };
        let document = json!({"availability": [{"topic": availability}]});
        RetainedMessage {
            topic: topic.into(),
            payload: Bytes::from(document.to_string()),
            id: client.map(|client| GatewayId::of_client(client).to_string()),
        }
    }

    const TOPICS: [&str; 12] = [
        "av/gateway/info",
        "av/room/1/audio/volume",
        "gateway/availability",
        "gateway/info",
        "homeassistant/device/poly2mqtt-av_1/config",
        "homeassistant/device/poly2mqtt_1/config",
        "homeassistant/device/poly2mqtt_7/config",
        "homeassistant/device/zigbee/config",
        "room/1/audio/volume",
        "room/1/notes",
        "room/7/audio/volume",
        "room/7/availability",
    ];

    fn found(client: Option<&str>) -> Vec<RetainedMessage> {
        TOPICS.map(|topic| message(topic, client)).into()
    }

    #[test]
    fn of_the_present_prefix_the_configured_rooms_stay() {
        let selected = selection("", Some(&["1"])).select(&found(Some("own")));
        let expected = [
            "homeassistant/device/poly2mqtt_7/config",
            "room/7/audio/volume",
            "room/7/availability",
        ];
        assert_eq!(selected.topics, expected);
        let without_discovery = Selection {
            keeps_documents: false,
            ..selection("", Some(&["1"]))
        };
        let selected = without_discovery.select(&found(Some("own")));
        let document = "homeassistant/device/poly2mqtt_1/config".to_owned();
        assert!(selected.topics.contains(&document));
    }

    /// Of several gateways the others may run.
    #[test]
    fn of_the_present_prefix_every_gateway_stays() {
        let device = "homeassistant/device/poly2mqtt-Gateway-gw-1/config";
        let document =
            json!({"components": {"availability": {"state_topic": "gateway/gw-1/availability"}}});
        let mut found = vec![
            message("gateway/gw-1/info", Some("own")),
            message(device, Some("own")),
        ];
        found[1].payload = Bytes::from(document.to_string());
        let topics = |selection: Selection| selection.select(&found).topics;
        assert_eq!(topics(selection("", Some(&["1"]))), [""; 0]);
        let all = ["gateway/gw-1/info", device];
        assert_eq!(topics(selection("", None)), all);
    }

    #[test]
    fn of_a_former_prefix_everything_goes_that_has_the_mark() {
        let selected = selection("av", None).select(&found(Some("own")));
        let expected = [
            "av/gateway/info",
            "av/room/1/audio/volume",
            "homeassistant/device/poly2mqtt-av_1/config",
        ];
        assert_eq!(selected.topics, expected);
        let others = selection("", None).select(&found(Some("other")));
        assert_eq!((others.topics.len(), others.others), (0, 7));
    }

    #[test]
    fn what_has_no_mark_goes_only_if_it_is_asked_for() {
        let selection_of_all = |unmarked| Selection {
            unmarked,
            ..selection("", None)
        };
        let selected = selection_of_all(false).select(&found(None));
        assert_eq!((selected.topics.len(), selected.unmarked), (0, 7));
        let selected = selection_of_all(true).select(&found(None));
        assert_eq!((selected.topics.len(), selected.unmarked), (7, 0));
        let stay = [
            "room/1/notes",
            "homeassistant/device/zigbee/config",
            "av/gateway/info",
        ];
        assert!(
            stay.iter()
                .all(|topic| !selected.topics.contains(&(*topic).to_owned()))
        );
        // Not even then what another gateway has marked.
        assert!(
            selection_of_all(true)
                .select(&found(Some("other")))
                .topics
                .is_empty()
        );
    }

    #[test]
    fn a_prefix_is_not_cleared_while_its_gateway_runs() {
        let online = |client| RetainedMessage {
            payload: Bytes::from_static(b"online"),
            ..message("gateway/availability", client)
        };
        assert!(selection("", None).is_running(&[online(Some("own"))]));
        assert!(!selection("", None).is_running(&[online(Some("other"))]));
        assert!(!selection("", Some(&["1"])).is_running(&[online(Some("own"))]));
        assert!(!selection("", None).is_running(&found(Some("own"))));
    }
}
