//! Home Assistant: one device for each room and one for the gateway, by MQTT discovery.
//!
//! Owns the ids, the discovery documents and when they are published. Which entities there are is
//! data of the catalogue. The [`Publisher`] is the only task; everything else is pure: facts and
//! the time go in, documents and actions come out.
//!
//! ```text
//! facts ──▶ room, gateway (entities, document) ──▶ merge, fitting ──▶ announcer ──▶ publisher ──▶ broker
//!                                                                           hold ────▲
//! ```
//!
//! `readiness` and `triggers` are parts of a room's document, `clashes` finds rooms whose entities would get equal ids.
//! `inbound` is what the MQTT door passes on, `sharing` what is known of other gateways, `kept` documents in memory,
//! `document_limits` how large they may be.

mod announcer;
mod clashes;
mod document;
mod document_limits;
mod entities;
mod facts;
mod fitting;
mod gateway;
mod hold;
mod inbound;
mod kept;
mod merge;
mod publisher;
mod readiness;
mod room;
mod sharing;
mod triggers;

pub use announcer::Delays;
pub use clashes::clashes;
pub use document::Document;
pub use document_limits::{DOCUMENT_HEADER, DocumentLimits};
pub use facts::RoomFacts;
pub use gateway::{cluster_document, gateway_document, member_document};
pub use hold::LogIns;
pub use inbound::InboundMessage;
pub use kept::document_text;
pub use publisher::{Publisher, PublisherLinks};
pub use room::room_document;
pub use sharing::DocumentSharing;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::gateway_id::prefix_in_id;
use crate::topics::{
    AVAILABILITY, GATEWAY_AVAILABILITY, Prefix, Topic, device_of_document, document_topic,
};

/// The names of one gateway in Home Assistant. Two gateways at one broker differ in their
/// `topic_prefix`, so their topics and ids do too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Namespace {
    /// The configured prefix of the gateway's own topics; empty for none.
    pub topic_prefix: String,
    /// What the topics of discovery begin with: `homeassistant`.
    pub discovery_prefix: String,
}

impl Namespace {
    /// A topic of the gateway as the broker knows it.
    fn topic(&self, topic: &str) -> String {
        self.prefix().add(topic)
    }

    fn prefix(&self) -> Prefix {
        Prefix::new(self.topic_prefix.as_str())
    }

    /// What all ids begin with. There is no `_` in it, so the first `_` of a device's id ends it: the room `x_1`
    /// below the prefix `av` and the room `1` below `av_x` have different ids.
    fn base(&self) -> String {
        self.base_of(|c| matches!(c, 'a'..='z' | '0'..='9' | '-'))
    }

    /// What all ids began with in versions that kept a `_` of the prefix.
    fn earlier_base(&self) -> String {
        self.base_of(|c| matches!(c, 'a'..='z' | '0'..='9' | '_' | '-'))
    }

    fn base_of(&self, fits: impl Fn(char) -> bool) -> String {
        match self.topic_prefix.as_str() {
            "" => "poly2mqtt".to_owned(),
            prefix => format!("poly2mqtt-{}", prefix_in_id(prefix, fits)),
        }
    }

    /// What the ids of the gateway's own entities begin with. It is the same in all versions, because Home
    /// Assistant keeps the history by these ids.
    fn entity_prefix(&self) -> String {
        id_text(&self.earlier_base(), '_')
    }

    /// The id of the gateway's device, or of several gateways together. It has a `-` where a room's device has a `_`.
    pub fn gateway(&self) -> String {
        format!("{}-gateway", self.base())
    }

    /// The id of the device of one of several gateways. The capital letter keeps it apart from all other ids: they
    /// have none before the first `_`.
    pub fn member(&self, name: &str) -> String {
        format!("{}-Gateway-{name}", self.base())
    }

    /// What the ids of all rooms' devices begin with.
    pub fn room_devices(&self) -> String {
        self.room("")
    }

    /// The id of a room's device. It is made from the room's id alone, so that the history stays
    /// when the codec is replaced.
    pub fn room(&self, room: &str) -> String {
        format!("{}_{room}", self.base())
    }

    /// The topic of a device's document.
    pub fn config_topic(&self, device: &str) -> String {
        document_topic(&self.discovery_prefix, device)
    }

    /// The filter for the documents of all devices.
    pub fn config_filter(&self) -> String {
        self.config_topic("+")
    }

    /// The device of a document's topic, if it can be one of this gateway, or of an earlier version of it, whose
    /// document is to be cleared.
    pub fn device<'a>(&self, topic: &'a str) -> Option<&'a str> {
        let device = device_of_document(&self.discovery_prefix, topic)?;
        let is_own = |base: String| {
            let rest = device.strip_prefix(&base);
            rest.is_some_and(|rest| {
                rest.starts_with('_') || rest == "-gateway" || rest.starts_with("-Gateway-")
            })
        };
        (is_own(self.base()) || is_own(self.earlier_base())).then_some(device)
    }
}

/// Whether a document is of the gateway with this prefix of topics: every device of a gateway depends on its
/// availability. Also one of several gateways, which has an availability of its own.
pub fn is_document_of(document: &Value, prefix: &Prefix) -> bool {
    let availability = prefix.add(GATEWAY_AVAILABILITY);
    let of_room = document["availability"].as_array().into_iter().flatten();
    let mut topics = of_room.map(|entry| &entry["topic"]);
    let own = document["components"]["availability"]["state_topic"].as_str();
    let is_of_member = |own: &str| {
        let topic = prefix.strip(own).and_then(Topic::parse);
        matches!(
            topic,
            Some(Topic::Member {
                below: AVAILABILITY,
                ..
            })
        )
    };
    topics.any(|topic| *topic == availability)
        || own.is_some_and(|own| own == availability || is_of_member(own))
}

/// A text as a part of an id: characters that are not allowed there become `other`.
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
    use crate::topics::DiscoveryTopics;

    fn namespace(topic_prefix: &str) -> Namespace {
        Namespace {
            topic_prefix: topic_prefix.into(),
            discovery_prefix: "homeassistant".into(),
        }
    }

    #[test]
    fn a_prefix_keeps_two_gateways_apart() {
        let (one, two) = (namespace(""), namespace("av-x"));
        assert_eq!(one.room("1"), "poly2mqtt_1");
        assert_eq!(two.room("1"), "poly2mqtt-av-x_1");
        let topic = two.config_topic(&two.room("1"));
        assert_eq!(topic, "homeassistant/device/poly2mqtt-av-x_1/config");
        assert_eq!(two.device(&topic), Some("poly2mqtt-av-x_1"));
        assert_eq!(one.device(&topic), None);
        assert_eq!(one.device("homeassistant/device/zigbee/config"), None);
        assert_eq!(two.topic("room/1/x"), "av-x/room/1/x");
        for other in ["av/x", "AV-x", "av x", "av_x"] {
            let other = namespace(other);
            assert_ne!(other.room("1"), two.room("1"));
            assert_ne!(other.gateway(), two.gateway());
            assert_eq!(other.device(&topic), None);
        }
    }

    #[test]
    fn no_two_devices_have_the_same_id() {
        let prefixes = [
            "",
            "av",
            "av_x",
            "av_x_1",
            "av-x",
            "av/x",
            "x",
            "x_1",
            "av_",
            "_",
            "-",
            "gateway",
            "-gateway",
            "av-gateway",
            "av_gateway",
            "AV_x",
            "av__x",
        ];
        let rooms = [
            "1", "x_1", "x_x_1", "_1", "__1", "x-1", "gateway", "-gateway", "x", "x_",
        ];
        let mut owners = std::collections::BTreeMap::new();
        for prefix in prefixes {
            let namespace = namespace(prefix);
            let of_rooms = rooms.map(|room| (namespace.room(room), (prefix, room)));
            let of_gateway = (namespace.gateway(), (prefix, "the gateway"));
            let of_members = ["x_1", "1", "gateway", "_1"]
                .map(|name| (namespace.member(name), (prefix, "a member")));
            for (id, owner) in of_rooms.into_iter().chain([of_gateway]).chain(of_members) {
                assert_eq!(namespace.device(&namespace.config_topic(&id)), Some(&*id));
                if let Some(other) = owners.insert(id.clone(), owner) {
                    panic!("{other:?} and {owner:?} are both {id}");
                }
            }
        }
    }

    #[test]
    fn documents_of_rooms_and_members_are_known_by_topic_and_content() {
        let it = namespace("av");
        let topic = it.config_topic(&it.room("x_1"));
        let discovery = DiscoveryTopics {
            room_devices: Some(it.room_devices()),
            ..DiscoveryTopics::default()
        };
        assert_eq!(discovery.of_room("x_1"), Some(topic));
        let member = member_document(&it, "gw-1").value();
        assert!(is_document_of(&member, &it.prefix()));
        assert!(!is_document_of(&member, &Prefix::default()));
        for document in [cluster_document(&it), gateway_document(&it)] {
            assert!(is_document_of(&document.value(), &it.prefix()));
        }
    }

    #[test]
    fn usual_prefixes_keep_their_ids() {
        for (prefix, room, gateway) in [
            ("", "poly2mqtt_huddle_1", "poly2mqtt-gateway"),
            ("av", "poly2mqtt-av_huddle_1", "poly2mqtt-av-gateway"),
            (
                "site-1",
                "poly2mqtt-site-1_huddle_1",
                "poly2mqtt-site-1-gateway",
            ),
        ] {
            assert_eq!(namespace(prefix).room("huddle_1"), room);
            assert_eq!(namespace(prefix).gateway(), gateway);
        }
    }

    /// The documents of an earlier version are found, so that they can be cleared, and its entities' ids stay.
    #[test]
    fn ids_of_an_earlier_version_are_recognised() {
        let it = namespace("av_x");
        for device in ["poly2mqtt-av_x_1", "poly2mqtt-av_x-gateway"] {
            assert_eq!(it.device(&it.config_topic(device)), Some(device));
        }
        assert_eq!(it.device(&it.config_topic("poly2mqtt-av_y_1")), None);
        assert_eq!(it.entity_prefix(), "poly2mqtt_av_x");
    }
}
