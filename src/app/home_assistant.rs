//! Makes Home Assistant's settings from the configuration, and starts the publisher.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::core::Core;
use super::mqtt::RunningMqtt;
use crate::config::{BrokerUrl, Config, RoomId};
use crate::device::LoginLimiter;
use crate::doors::mqtt::{ExtraTopics, SharedRooms};
use crate::home_assistant::{
    self, Delays, DocumentLimits, DocumentSharing, InboundMessage, LogIns, Namespace, Publisher,
    PublisherLinks,
};
use crate::state::StateStore;
use crate::topics::DiscoveryTopics;

/// How many messages of other programs may wait for the publisher, besides two for each room. When
/// the MQTT door subscribes, the broker sends every discovery document that it holds at once.
const INBOUND_QUEUE: usize = 1024;

/// What the publisher shares with the MQTT door.
#[derive(Debug)]
pub struct PublisherInput {
    documents: Arc<StateStore>,
    inbound: mpsc::Receiver<InboundMessage>,
    document_limits: watch::Receiver<DocumentLimits>,
}

/// The topics that the MQTT door publishes and receives for Home Assistant, and what the publisher
/// gets of it; `None` if discovery is off.
pub fn extra_topics(config: &Config) -> Option<(ExtraTopics, PublisherInput)> {
    if !config.home_assistant.discovery {
        return None;
    }
    let (sender, inbound) = mpsc::channel(INBOUND_QUEUE + 2 * config.rooms.len());
    let limits = DocumentLimits::new(config.mqtt.max_payload);
    let (limits, document_limits) = watch::channel(limits);
    let status = config.home_assistant.status_topic.clone();
    let names = namespace(config);
    let filters = match &config.cluster {
        // The documents of rooms are subscribed to room by room.
        Some(cluster) => vec![
            status,
            names.config_topic(&names.gateway()),
            names.config_topic(&names.member(&cluster.name)),
        ],
        None => vec![status, names.config_filter()],
    };
    let extra_topics = ExtraTopics {
        store: StateStore::new(),
        encode: home_assistant::document_text,
        filters,
        inbound: sender,
        document_limits: limits,
    };
    let input = PublisherInput {
        documents: extra_topics.store.clone(),
        inbound,
        document_limits,
    };
    Some((extra_topics, input))
}

/// Starts the publisher.
pub fn start(core: &Core, mqtt: &RunningMqtt, input: PublisherInput) -> Publisher {
    let config = &core.config;
    let shared = mqtt.settings.shared.clone();
    let links = PublisherLinks {
        states: core.store.clone(),
        documents: input.documents,
        inbound: input.inbound,
        connected: mqtt.door.connected(),
        document_limits: input.document_limits,
        may_clear: mqtt.door.may_clear(),
        telemetry: core.telemetry.clone(),
        log_ins: Arc::new(core.rooms.log_ins()),
        sharing: shared.map(|shared| shared as Arc<dyn DocumentSharing>),
    };
    let status_topic = config.home_assistant.status_topic.clone();
    let rooms = config.rooms.clone();
    Publisher::start(
        namespace(config),
        status_topic,
        Delays::default(),
        rooms,
        links,
    )
}

/// Warnings about rooms whose entities would have equal ids in Home Assistant.
pub fn entity_id_clashes(config: &Config, rooms: &[RoomId]) -> Vec<String> {
    if !config.home_assistant.discovery || config.mqtt.url == BrokerUrl::Off {
        return Vec::new();
    }
    let ids: Vec<String> = rooms.iter().map(RoomId::to_string).collect();
    home_assistant::clashes(&namespace(config), ids.iter().map(String::as_str))
}

/// Home Assistant's topics at the broker.
pub fn discovery_topics(config: &Config) -> DiscoveryTopics {
    DiscoveryTopics {
        prefix: config.home_assistant.prefix.clone(),
        status: config.home_assistant.status_topic.clone(),
        room_devices: config
            .home_assistant
            .discovery
            .then(|| namespace(config).room_devices()),
    }
}

impl LogIns for LoginLimiter {
    fn are_crowded(&self) -> bool {
        self.is_saturated()
    }
}

impl DocumentSharing for SharedRooms {
    fn name(&self) -> &str {
        self.name()
    }

    fn rooms(&self) -> BTreeMap<Arc<str>, bool> {
        self.documents()
    }

    fn speaks(&self) -> bool {
        self.speaks()
    }

    fn changed(&self) -> watch::Receiver<()> {
        self.document_changes()
    }
}

/// The names of this configuration's gateways in Home Assistant.
pub fn namespace(config: &Config) -> Namespace {
    Namespace {
        topic_prefix: config.mqtt.topic_prefix.clone(),
        discovery_prefix: config.home_assistant.prefix.clone(),
    }
}
