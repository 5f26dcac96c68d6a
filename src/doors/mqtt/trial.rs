//! A trial of the broker, for `poly2mqtt check --connect`: connects, asks for the rights that the gateway
//! needs, and disconnects.
//!
//! Disturbs nobody: it has a client id of its own, no will and no session that stays, and publishes only empty
//! messages, not retained, at topics where nothing else is published.

use std::time::Duration;

use bytes::Bytes;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAckProperties, Filter, Packet, Publish, RetainForwardRule, Subscribe,
};
use tokio::time::timeout;

use super::error::ConnectionLost;
use super::link::Link;
use super::packets::BrokerPacket;
use super::session::SessionLimits;
use super::settings::{MqttSettings, client_tls};
use crate::topics::{ALL_GATEWAY_TOPICS, ALL_ROOMS};

/// How long the broker may take to answer about the rights; it takes milliseconds.
const RIGHTS_TIMEOUT: Duration = Duration::from_secs(5);
/// How long writing the DISCONNECT may take.
const DISCONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// Added to the client id, so that a gateway that runs keeps its connection.
const CLIENT_ID_SUFFIX: &str = "-check";
/// The last level of the topics where the trial publishes.
const CHECK: &str = "check";
/// The packet id of the subscription. Those of the messages follow.
const SUBSCRIBE_ID: u16 = 1;

/// What the trial may use besides the gateway's own topics.
#[derive(Debug, Clone, Default)]
pub struct TrialTopics {
    /// A configured room, in whose name a message is published.
    pub room: Option<String>,
    /// Filters of other programs' topics that the gateway subscribes to.
    pub filters: Vec<String>,
    /// Whether the gateway publishes discovery documents.
    pub discovery: bool,
}

/// What a broker that accepted the connection permits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerTrial {
    /// What it does not permit although the gateway needs it, one message each.
    pub problems: Vec<String>,
    /// Its limits that the gateway keeps to.
    pub limits: Vec<String>,
}

/// Tries the broker.
///
/// # Errors
/// Why there is no connection.
pub async fn try_broker(
    settings: &MqttSettings,
    topics: &TrialTopics,
) -> Result<BrokerTrial, String> {
    let settings = MqttSettings {
        client_id: format!("{}{CLIENT_ID_SUFFIX}", settings.client_id),
        session_expiry: Duration::ZERO,
        has_will: false,
        ..settings.clone()
    };
    let tls = client_tls(&settings)?;
    let opened = Link::open(&settings, tls.as_ref()).await;
    let (mut link, limits) = opened.map_err(|lost| lost.to_string())?;
    let mut trial = told_limits(limits.as_ref(), &settings);
    if !trial.problems.is_empty() {
        // The gateway would end this connection too. A DISCONNECT that fails changes nothing.
        let _ = timeout(DISCONNECT_TIMEOUT, link.close()).await;
        return Ok(trial);
    }
    let mut asked = Asked::new(&settings, topics);
    let answered = timeout(RIGHTS_TIMEOUT, asked.ask(&mut link)).await;
    match answered {
        Ok(Ok(())) => {
            // The trial has its answers; a DISCONNECT that fails changes nothing.
            let _ = timeout(DISCONNECT_TIMEOUT, link.close()).await;
        }
        Ok(Err(lost)) => trial.problems.push(asked.unanswered(&lost.to_string())),
        Err(_) => trial.problems.push(asked.unanswered("it does not answer")),
    }
    trial.problems.append(&mut asked.problems);
    Ok(trial)
}

/// What CONNACK says of the broker, judged as `run` judges it.
fn told_limits(limits: Option<&ConnAckProperties>, settings: &MqttSettings) -> BrokerTrial {
    let mut trial = BrokerTrial {
        problems: Vec::new(),
        limits: Vec::new(),
    };
    if let Err(lacks) = SessionLimits::new(limits, settings) {
        trial.problems.push(lacks.to_string());
    }
    if let Some(size) = limits.and_then(|limits| limits.max_packet_size) {
        trial
            .limits
            .push(format!("takes messages of up to {size} bytes"));
    }
    trial
}

/// The rights that are asked for, and the answers so far.
struct Asked {
    filters: Vec<String>,
    /// Topics by their packet ids: the first has the id after [`SUBSCRIBE_ID`].
    topics: Vec<String>,
    subscribed: bool,
    /// How many messages are not acknowledged yet.
    unacknowledged: usize,
    problems: Vec<String>,
}

impl Asked {
    fn new(settings: &MqttSettings, topics: &TrialTopics) -> Self {
        let own = [ALL_ROOMS, ALL_GATEWAY_TOPICS].map(|filter| settings.prefix.add(filter));
        let room = topics.room.iter();
        let room = room.map(|room| settings.prefix.add(&format!("room/{room}/event/{CHECK}")));
        let gateway = settings.prefix.add(&format!("gateway/{CHECK}"));
        let discovery = &settings.discovery.prefix;
        let discovery = format!("{discovery}/device/{}/config", settings.client_id);
        let discovery = topics.discovery.then_some(discovery);
        Self {
            filters: own.into_iter().chain(topics.filters.clone()).collect(),
            topics: room.chain([gateway]).chain(discovery).collect(),
            subscribed: false,
            unacknowledged: 0,
            problems: Vec::new(),
        }
    }

    /// Asks, and waits for all answers.
    async fn ask(&mut self, link: &mut Link) -> Result<(), ConnectionLost> {
        let filters = self.filters.iter().map(|path| Filter {
            path: path.clone(),
            qos: QoS::AtMostOnce,
            nolocal: true,
            preserve_retain: true,
            retain_forward_rule: RetainForwardRule::Never,
        });
        let mut subscribe = Subscribe::new_many(filters, None);
        subscribe.pkid = SUBSCRIBE_ID;
        link.put(&Packet::Subscribe(subscribe))?;
        for (topic, id) in self.topics.iter().zip(SUBSCRIBE_ID + 1..) {
            link.put(&Packet::Publish(Publish {
                pkid: id,
                // Without acknowledgements the broker does not tell.
                qos: QoS::AtLeastOnce,
                topic: Bytes::from(topic.clone()),
                ..Publish::default()
            }))?;
            self.unacknowledged += 1;
        }
        while !self.subscribed || self.unacknowledged > 0 {
            while let Some(packet) = link.next()? {
                self.answered(packet);
            }
            if !self.subscribed || self.unacknowledged > 0 {
                link.turn().await?;
            }
        }
        Ok(())
    }

    fn answered(&mut self, packet: BrokerPacket) {
        match packet {
            BrokerPacket::SubAck(ack) => {
                self.subscribed = true;
                let answers = self.filters.iter().zip(&ack.reasons);
                for (filter, reason) in answers.filter(|(_, reason)| reason.is_refusal()) {
                    let problem = format!("it refuses to subscribe to {filter} ({reason})");
                    self.problems.push(problem);
                }
            }
            BrokerPacket::PubAck(ack) => {
                self.unacknowledged = self.unacknowledged.saturating_sub(1);
                let index = usize::from(ack.packet_id).checked_sub(usize::from(SUBSCRIBE_ID) + 1);
                let topic = index.and_then(|index| self.topics.get(index));
                if let Some(topic) = topic.filter(|_| ack.reason.is_refusal()) {
                    let problem = format!("it refuses to publish to {topic} ({})", ack.reason);
                    self.problems.push(problem);
                }
            }
            _ => {}
        }
    }

    /// What is not known because the connection ended.
    fn unanswered(&self, why: &str) -> String {
        let what = match self.subscribed {
            false => "whether the gateway may subscribe",
            true => "whether the gateway may publish",
        };
        format!("it does not say {what}: {why}")
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::super::settings::tests::settings;
    use super::*;

    fn topics() -> TrialTopics {
        TrialTopics {
            room: Some("1".into()),
            filters: vec!["homeassistant/status".into()],
            discovery: true,
        }
    }

    /// The problems after these answers of the broker.
    async fn answers(packets: &[u8]) -> Result<Vec<String>, ConnectionLost> {
        let (stream, mut broker) = tokio::io::duplex(4096);
        let mut link = Link::new(Box::new(stream));
        broker.write_all(packets).await.unwrap();
        // It sends no more, and still reads.
        broker.shutdown().await.unwrap();
        let mut asked = Asked::new(&settings(), &topics());
        let answered = asked.ask(&mut link).await;
        answered.map(|()| asked.problems)
    }

    #[tokio::test]
    async fn each_right_that_is_refused_is_named() {
        let suback = [0x90, 6, 0, 1, 0, 0, 0x87, 0];
        let pubacks = [
            [0x40, 3, 0, 2, 0x87],
            [0x40, 3, 0, 3, 0x10],
            [0x40, 3, 0, 4, 0xC3],
        ];
        let answered = [&suback[..], pubacks.as_flattened()].concat();
        assert_eq!(
            answers(&answered).await.unwrap(),
            [
                "it refuses to subscribe to gateway/+ (not authorized, reason code 135)",
                "it refuses to publish to room/1/event/check (not authorized, reason code 135)",
                "it refuses to publish to homeassistant/device/poly2mqtt/config (reason code 195, which \
                 MQTT 5 does not define)",
            ]
        );
    }

    #[tokio::test]
    async fn a_broker_that_ends_the_connection_is_told() {
        assert!(answers(&[0x90, 6, 0, 1, 0, 0, 0, 0]).await.is_err());
        assert!(answers(&[]).await.is_err());
    }

    #[test]
    fn what_run_does_not_connect_to_is_a_problem_here_with_the_same_words() {
        let plain = ConnAckProperties {
            retain_available: None,
            max_qos: None,
            max_packet_size: Some(2048),
            session_expiry_interval: None,
            receive_max: None,
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
        };
        let lacking = [
            ConnAckProperties {
                retain_available: Some(0),
                ..plain.clone()
            },
            ConnAckProperties {
                max_qos: Some(0),
                ..plain.clone()
            },
            ConnAckProperties {
                wildcard_subscription_available: Some(0),
                ..plain.clone()
            },
        ];
        for lacks in lacking {
            let trial = told_limits(Some(&lacks), &settings());
            let lost = SessionLimits::new(Some(&lacks), &settings()).unwrap_err();
            assert_eq!(trial.problems, [lost.to_string()]);
        }
        let trial = told_limits(Some(&plain), &settings());
        assert!(trial.problems.is_empty());
        assert_eq!(trial.limits, ["takes messages of up to 2048 bytes"]);
        assert!(told_limits(None, &settings()).problems.is_empty());
    }
}
