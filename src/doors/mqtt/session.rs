//! The state of one connection: its link, the publishes in flight, and the limits that both ends
//! announced.

use std::time::Duration;

use rumqttc::v5::mqttbytes::v5::{ConnAck, ConnAckProperties};

use super::inflight::Inflight;
use super::link::Link;
use super::settings::MqttSettings;

/// After the fixed header a packet has at most this many bytes, MQTT 5 section 1.5.5.
const LARGEST_MQTT_PACKET: usize = 268_435_455;
/// The shortest keep-alive that the gateway asks for by itself: less would only cost traffic.
const SHORTEST_KEEP_ALIVE: Duration = Duration::from_secs(5);

/// One connection that the broker accepted.
pub struct BrokerSession {
    pub link: Link,
    pub inflight: Inflight,
    pub limits: SessionLimits,
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
    /// The broker accepted the connection with `ack`.
    pub fn new(link: Link, ack: &ConnAck, settings: &MqttSettings) -> Self {
        let limits = SessionLimits::new(ack.properties.as_ref(), settings);
        Self {
            link,
            inflight: Inflight::new(limits.receive_maximum),
            limits,
        }
    }
}

impl SessionLimits {
    /// From the properties of a CONNACK, MQTT 5 section 3.2.2.3.
    fn new(properties: Option<&ConnAckProperties>, settings: &MqttSettings) -> Self {
        let largest = properties.and_then(|properties| properties.max_packet_size);
        let largest = largest.and_then(|largest| usize::try_from(largest).ok());
        // 0 says that the broker does not watch the connection; the gateway does all the same.
        let keep_alive = properties
            .and_then(|properties| properties.server_keep_alive)
            .filter(|seconds| *seconds > 0)
            .map(|seconds| Duration::from_secs(seconds.into()));
        Self {
            receive_maximum: properties
                .and_then(|properties| properties.receive_max)
                .unwrap_or(u16::MAX),
            largest_packet: largest.unwrap_or(usize::MAX).min(LARGEST_MQTT_PACKET),
            keep_alive: keep_alive.unwrap_or(settings.keep_alive.max(SHORTEST_KEEP_ALIVE)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::tests::settings;
    use super::*;

    #[test]
    fn the_broker_may_lower_the_limits() {
        let settings = MqttSettings {
            keep_alive: Duration::from_secs(60),
            ..settings()
        };
        let by_default = SessionLimits::new(None, &settings);
        assert_eq!(
            by_default,
            SessionLimits {
                receive_maximum: u16::MAX,
                largest_packet: LARGEST_MQTT_PACKET,
                keep_alive: Duration::from_secs(60),
            }
        );
        let mut properties = ConnAckProperties {
            session_expiry_interval: None,
            receive_max: Some(3),
            max_qos: None,
            retain_available: None,
            max_packet_size: Some(1000),
            assigned_client_identifier: None,
            topic_alias_max: None,
            reason_string: None,
            user_properties: Vec::new(),
            wildcard_subscription_available: None,
            subscription_identifiers_available: None,
            shared_subscription_available: None,
            server_keep_alive: Some(2),
            response_information: None,
            server_reference: None,
            authentication_method: None,
            authentication_data: None,
        };
        let lowered = SessionLimits::new(Some(&properties), &settings);
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
        let watched = SessionLimits::new(Some(&properties), &settings);
        assert_eq!(watched.keep_alive, Duration::from_secs(60));
    }
}
