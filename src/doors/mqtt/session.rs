//! The state of one connection: its link, the publishes in flight, and the limits that both ends
//! announced.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnAckProperties, Packet, PingReq, PubAck, PubRec};
use tokio::time::Instant;

use super::error::{ConnectionLost, NO_QOS_1, NO_RETAINED_MESSAGES, NO_WILDCARDS};
use super::inflight::Inflight;
use super::link::BrokerLink;
use super::message::{Delivery, Message};
use super::settings::MqttSettings;
use super::shared::messages::CommandId;
use super::subscription::Subscription;
use crate::state::Item;

/// After the fixed header a packet has at most this many bytes, MQTT 5 section 1.5.5. `mqtt.max_payload` can be larger
/// by what topic and properties take; such a payload is left out.
pub const LARGEST_MQTT_PACKET: usize = 268_435_455;
/// The shortest keep-alive that the gateway asks for by itself: less would only cost traffic.
const SHORTEST_KEEP_ALIVE: Duration = Duration::from_secs(5);

/// One connection that the broker accepted.
pub struct BrokerSession {
    pub link: BrokerLink,
    pub inflight: Inflight,
    pub limits: SessionLimits,
    pub subscription: Subscription,
    pub began: Instant,
    /// When something was sent or came last.
    pub last_traffic: Instant,
    /// What is sent before all that waits in the outbox.
    pub first: Option<Item<Delivery>>,
    /// Messages that wait for room in the broker's Receive Maximum: the second of an item. The last
    /// message of an item carries it.
    pub unsent: VecDeque<(Message, Option<Item<Delivery>>)>,
    /// Of each PINGREQ that is not answered, the number of the newest command that was acknowledged
    /// before it.
    pub pings: VecDeque<u64>,
    /// The broker has acknowledged a message.
    pub is_acknowledged: bool,
    /// Commands whose results are among those that wait to be written, and which no deputy sees.
    pub finished: Vec<(Arc<str>, CommandId)>,
    /// It was told that the gateway can work with this broker.
    pub is_ready: bool,
}

/// What the two ends agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLimits {
    /// How many publishes the broker takes before it acknowledges one (its Receive Maximum).
    pub receive_maximum: u16,
    /// The largest packet that the broker takes, in bytes.
    pub largest_packet: usize,
    /// How often the connection is tested.
    pub keep_alive: Duration,
}

impl BrokerSession {
    /// The broker accepted the connection within these limits.
    pub fn new(link: BrokerLink, limits: SessionLimits) -> Self {
        Self {
            link,
            inflight: Inflight::new(limits.receive_maximum),
            limits,
            subscription: Subscription::default(),
            began: Instant::now(),
            last_traffic: Instant::now(),
            first: None,
            unsent: VecDeque::new(),
            pings: VecDeque::new(),
            is_acknowledged: false,
            finished: Vec::new(),
            is_ready: false,
        }
    }

    /// Acknowledges a publish of the broker. `last_command` is the number of the newest command, which
    /// it may be. The gateway asks for QoS 1; what the session holds of another program that had the
    /// client id may have QoS 2.
    ///
    /// # Errors
    /// The packet cannot be encoded.
    pub fn acknowledge(
        &mut self,
        packet_id: u16,
        qos: QoS,
        last_command: u64,
    ) -> Result<(), ConnectionLost> {
        let acknowledgement = match qos {
            QoS::AtMostOnce => return Ok(()),
            QoS::AtLeastOnce => Packet::PubAck(PubAck::new(packet_id, None)),
            QoS::ExactlyOnce => Packet::PubRec(PubRec::new(packet_id, None)),
        };
        self.link.put(&acknowledgement)?;
        self.inflight.command_acknowledged(last_command);
        Ok(())
    }

    /// Asks for a sign of life. Its answer also shows that the broker has read the acknowledgements
    /// before.
    ///
    /// # Errors
    /// The packet cannot be encoded.
    pub fn ping(&mut self) -> Result<(), ConnectionLost> {
        self.link.put(&Packet::PingReq(PingReq))?;
        self.pings.push_back(self.inflight.last_command());
        Ok(())
    }

    /// The items that the broker has not acknowledged completely, in order.
    pub fn into_items(self) -> Vec<Item<Delivery>> {
        let unsent = self.unsent.into_iter().filter_map(|(_, item)| item);
        let mut items = self.inflight.into_items();
        items.extend(unsent);
        items
    }
}

impl SessionLimits {
    /// From the properties of a CONNACK, MQTT 5 section 3.2.2.3.
    ///
    /// # Errors
    /// The broker says that it lacks something that the gateway cannot do without.
    pub fn new(
        properties: Option<&ConnAckProperties>,
        settings: &MqttSettings,
    ) -> Result<Self, ConnectionLost> {
        if let Some(properties) = properties {
            for (announced, lacks) in [
                (properties.retain_available, NO_RETAINED_MESSAGES),
                (properties.max_qos, NO_QOS_1),
                (properties.wildcard_subscription_available, NO_WILDCARDS),
            ] {
                if announced == Some(0) {
                    return Err(ConnectionLost::Unsuitable(lacks.into()));
                }
            }
        }
        let largest = properties.and_then(|properties| properties.max_packet_size);
        let largest = largest.and_then(|largest| usize::try_from(largest).ok());
        // 0 says that the broker does not watch the connection; the gateway does all the same.
        let keep_alive = properties
            .and_then(|properties| properties.server_keep_alive)
            .filter(|seconds| *seconds > 0)
            .map(|seconds| Duration::from_secs(seconds.into()));
        Ok(Self {
            receive_maximum: properties
                .and_then(|properties| properties.receive_max)
                .unwrap_or(u16::MAX),
            largest_packet: largest.unwrap_or(usize::MAX).min(LARGEST_MQTT_PACKET),
            keep_alive: keep_alive.unwrap_or(settings.keep_alive.max(SHORTEST_KEEP_ALIVE)),
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::settings::tests::settings;
    use super::*;

    /// The properties of a CONNACK that names none.
    pub fn no_properties() -> ConnAckProperties {
        ConnAckProperties {
            session_expiry_interval: None,
            receive_max: None,
            max_qos: None,
            retain_available: None,
            max_packet_size: None,
            assigned_client_identifier: None,
            topic_alias_max: None,
            reason_string: None,
            user_properties: Vec::new(),
            wildcard_subscription_available: None,
            subscription_identifiers_available: None,
            shared_subscription_available: None,
            server_keep_alive: None,
            response_information: None,
            server_reference: None,
            authentication_method: None,
            authentication_data: None,
        }
    }

    fn with(change: impl FnOnce(&mut ConnAckProperties)) -> ConnAckProperties {
        let mut properties = no_properties();
        change(&mut properties);
        properties
    }

    #[test]
    fn the_broker_may_lower_the_limits() {
        let settings = MqttSettings {
            keep_alive: Duration::from_secs(60),
            ..settings()
        };
        let by_default = SessionLimits::new(None, &settings).unwrap();
        assert_eq!(
            by_default,
            SessionLimits {
                receive_maximum: u16::MAX,
                largest_packet: LARGEST_MQTT_PACKET,
                keep_alive: Duration::from_secs(60),
            }
        );
        let mut properties = with(|it| {
            it.receive_max = Some(3);
            it.max_packet_size = Some(1000);
            it.server_keep_alive = Some(2);
        });
        let lowered = SessionLimits::new(Some(&properties), &settings).unwrap();
        assert_eq!(
            lowered,
            SessionLimits {
                receive_maximum: 3,
                largest_packet: 1000,
                keep_alive: Duration::from_secs(2),
            }
        );
        // A Server Keep Alive of 0 does not turn the gateway's own watch off.
        properties.server_keep_alive = Some(0);
        let watched = SessionLimits::new(Some(&properties), &settings).unwrap();
        assert_eq!(watched.keep_alive, Duration::from_secs(60));
        // What the gateway cannot do without is refused in words.
        for (lacks, words) in [
            (with(|it| it.retain_available = Some(0)), "Retain Available"),
            (with(|it| it.max_qos = Some(0)), "Maximum QoS"),
            (
                with(|it| it.wildcard_subscription_available = Some(0)),
                "Wildcard Subscription",
            ),
        ] {
            let lost = SessionLimits::new(Some(&lacks), &settings).unwrap_err();
            assert!(
                lost.is_final() && lost.to_string().contains(words),
                "{lost}"
            );
        }
        let modest = with(|it| {
            it.max_qos = Some(1);
            it.retain_available = Some(1);
            it.shared_subscription_available = Some(0);
            it.subscription_identifiers_available = Some(0);
            it.topic_alias_max = Some(0);
            it.session_expiry_interval = Some(0);
            it.assigned_client_identifier = Some("another".into());
        });
        assert!(SessionLimits::new(Some(&modest), &settings).is_ok());
    }
}
