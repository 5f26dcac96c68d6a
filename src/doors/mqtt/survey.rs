//! A look at what a broker retains, by a connection of its own, and the clearing of topics there.
//!
//! For `poly2mqtt clear`. It has another client id than the gateway, which may be running, and no
//! will. Knows nothing of what is worth keeping: the caller decides.

use std::time::Duration;

use bytes::Bytes;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, Packet, Publish, RetainForwardRule, Subscribe};
use tokio::time::timeout;

use super::error::ConnectionLost;
use super::link::Link;
use super::mark::Mark;
use super::packets::BrokerPacket;
use super::settings::{MqttSettings, client_tls};

/// A broker that has sent nothing for this long after a subscription has sent all that it retains.
const SILENCE: Duration = Duration::from_millis(700);
/// How long the broker may take to acknowledge.
const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(10);
/// How many messages are under way at a time: Mosquitto's default window.
const WINDOW: usize = 20;

/// A message that the broker retains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetainedMessage {
    /// The topic as the broker knows it.
    pub topic: String,
    /// The payload.
    pub payload: Bytes,
    /// The id of the gateway that has published it, if it has a mark.
    pub id: Option<String>,
}

/// A connection that looks and clears.
pub struct Survey {
    link: Link,
    last_id: u16,
}

impl std::fmt::Debug for Survey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Survey").finish_non_exhaustive()
    }
}

impl Survey {
    /// Connects as another client than the gateway with these settings.
    ///
    /// # Errors
    /// A message for the user: why there is no connection.
    pub async fn connect(settings: &MqttSettings) -> Result<Self, String> {
        let settings = MqttSettings {
            client_id: format!("{}-clear", settings.client_id),
            session_expiry: Duration::ZERO,
            has_will: false,
            ..settings.clone()
        };
        let tls = client_tls(&settings)?;
        let (link, _) = Link::open(&settings, tls.as_ref())
            .await
            .map_err(|lost| format!("no connection to {}: {lost}", settings.address()))?;
        Ok(Self { link, last_id: 0 })
    }

    /// The messages that the broker retains at these filters.
    ///
    /// # Errors
    /// A message for the user: the broker refuses, or the connection broke.
    pub async fn retained(&mut self, filters: &[String]) -> Result<Vec<RetainedMessage>, String> {
        let filter = |path: &String| Filter {
            path: path.clone(),
            qos: QoS::AtMostOnce,
            nolocal: false,
            preserve_retain: true,
            retain_forward_rule: RetainForwardRule::OnEverySubscribe,
        };
        let mut subscribe = Subscribe::new_many(filters.iter().map(filter), None);
        subscribe.pkid = self.next_id();
        self.put(&Packet::Subscribe(subscribe))?;
        let (mut messages, mut is_answered) = (Vec::new(), false);
        loop {
            let wait = if is_answered {
                SILENCE
            } else {
                ACKNOWLEDGE_TIMEOUT
            };
            let Ok(packet) = timeout(wait, self.packet()).await else {
                if is_answered {
                    return Ok(messages);
                }
                return Err("the broker does not answer the subscription".into());
            };
            match packet.map_err(|lost| lost.to_string())? {
                BrokerPacket::SubAck(ack) => {
                    let refused = ack.reasons.iter().position(|reason| reason.is_refusal());
                    if let Some(filter) = refused.and_then(|n| filters.get(n)) {
                        return Err(format!("the broker refuses the subscription to {filter}"));
                    }
                    is_answered = true;
                }
                BrokerPacket::Publish(publish) if publish.retain => {
                    messages.extend(message(&publish))
                }
                _ => {}
            }
        }
    }

    /// Clears these topics.
    ///
    /// # Errors
    /// A message for the user: the broker refuses, or the connection broke.
    pub async fn clear(&mut self, topics: &[String]) -> Result<(), String> {
        for topics in topics.chunks(WINDOW) {
            for topic in topics {
                let publish = Publish {
                    pkid: self.next_id(),
                    qos: QoS::AtLeastOnce,
                    retain: true,
                    topic: topic.clone().into(),
                    ..Publish::default()
                };
                self.put(&Packet::Publish(publish))?;
            }
            for topic in topics {
                self.acknowledged(topic).await?;
            }
        }
        Ok(())
    }

    async fn acknowledged(&mut self, topic: &str) -> Result<(), String> {
        loop {
            let packet = timeout(ACKNOWLEDGE_TIMEOUT, self.packet()).await;
            let packet = packet.map_err(|_| "the broker does not acknowledge".to_owned())?;
            if let BrokerPacket::PubAck(ack) = packet.map_err(|lost| lost.to_string())? {
                if ack.reason.is_refusal() {
                    return Err(format!("the broker does not let {topic} be cleared"));
                }
                return Ok(());
            }
        }
    }

    /// Ends the connection.
    pub async fn close(self) {
        // Everything is acknowledged, so nothing is lost if this fails.
        let _ = timeout(ACKNOWLEDGE_TIMEOUT, self.link.close()).await;
    }

    async fn packet(&mut self) -> Result<BrokerPacket, ConnectionLost> {
        loop {
            if let Some(packet) = self.link.next()? {
                return Ok(packet);
            }
            self.link.turn().await?;
        }
    }

    fn put(&mut self, packet: &Packet) -> Result<(), String> {
        self.link.put(packet).map_err(|error| error.to_string())
    }

    fn next_id(&mut self) -> u16 {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        self.last_id
    }
}

fn message(publish: &Publish) -> Option<RetainedMessage> {
    Some(RetainedMessage {
        topic: std::str::from_utf8(&publish.topic).ok()?.to_owned(),
        payload: publish.payload.clone(),
        id: Mark::of(publish).id.map(str::to_owned),
    })
}
