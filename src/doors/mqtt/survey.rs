//! A look at what a broker retains, by a connection of its own, and the clearing of topics there.
//!
//! For `poly2mqtt clear`, and for the last of several gateways. It has another client id than the gateway, which may be
//! running, and no will. Knows nothing of what is worth keeping: the caller decides.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    Filter, Packet, PingReq, Publish, PublishProperties, RetainForwardRule, Subscribe, Unsubscribe,
};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::error::ConnectionLost;
use super::link::BrokerLink;
use super::mark::Mark;
use super::pace::Pace;
use super::packets::BrokerPacket;
use super::settings::{MqttSettings, client_tls};

/// From this many messages on, what a subscription brought may be a part: Mosquitto drops what is above a thousand for
/// one subscription. The rooms are asked for one by one then.
pub const MANY_MESSAGES: usize = 900;
/// A broker that has sent nothing retained for this long after a subscription has sent all that it retains.
const SILENCE: Duration = Duration::from_millis(700);
/// How long the whole answer may take: some hundred thousand messages over a slow line. A broker that sets the flag on
/// what is live would never come to an end.
const LONGEST_ANSWER: Duration = Duration::from_secs(120);
/// How long that is after a PINGRESP. Mosquitto sends what it retains before that, other brokers do it beside.
const SILENCE_AFTER_PING: Duration = Duration::from_millis(50);
/// What the broker retains of so many rooms is asked for at a time. Each has some sixty messages, and Mosquitto drops
/// what is above a thousand for one client.
pub(super) const ROOMS_AT_A_TIME: usize = 15;
/// How long the broker may take for them, or for one topic of every room.
const TELL_TIMEOUT: Duration = Duration::from_secs(10);
/// No SUBACK has come.
pub(super) const UNANSWERED: &str = "the broker does not answer the subscription";
/// How long the broker may take to acknowledge.
const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(10);
/// Clearing is given up after this many waits in a row without an acknowledgement. A broker that drops what is above
/// its rate acknowledges some of what is sent again, more slowly.
const SILENCES_UNTIL_GIVEN_UP: u32 = 3;
/// Clearing is given up after this many temporary refusals in a row: a whole window of them, and ten more with pauses
/// that are most of a minute.
const REFUSALS_UNTIL_GIVEN_UP: u32 = 30;

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
    link: BrokerLink,
    last_id: u16,
    /// How many messages the broker takes before it acknowledges one.
    receive_maximum: usize,
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
        Self::connect_as("-clear", settings).await
    }

    /// Connects with this behind the gateway's client id.
    ///
    /// # Errors
    /// A message for the user: why there is no connection.
    pub(super) async fn connect_as(suffix: &str, settings: &MqttSettings) -> Result<Self, String> {
        let settings = MqttSettings {
            client_id: format!("{}{suffix}", settings.client_id),
            session_expiry: Duration::ZERO,
            has_will: false,
            ..settings.clone()
        };
        let tls = client_tls(&settings)?;
        let (link, properties) = BrokerLink::open(&settings, tls.as_ref())
            .await
            .map_err(|lost| format!("no connection to {}: {lost}", settings.address()))?;
        let receive_maximum = properties.and_then(|properties| properties.receive_max);
        let receive_maximum = receive_maximum.unwrap_or(u16::MAX).max(1);
        Ok(Self {
            link,
            last_id: 0,
            receive_maximum: receive_maximum.into(),
        })
    }

    /// The messages that the broker retains at these filters. What is published meanwhile is none of them, and does not
    /// make the answer longer.
    ///
    /// # Errors
    /// A message for the user: the broker refuses, does not come to an end, or the connection broke.
    pub async fn retained(&mut self, filters: &[String]) -> Result<Vec<RetainedMessage>, String> {
        self.subscribe(filters)?;
        let began = Instant::now();
        let (mut messages, mut is_answered, mut told) = (Vec::new(), false, began);
        loop {
            let silence = if is_answered {
                SILENCE
            } else {
                ACKNOWLEDGE_TIMEOUT
            };
            let end = (told + silence).min(began + LONGEST_ANSWER);
            let Ok(packet) = timeout_at(end, self.packet()).await else {
                break;
            };
            match packet.map_err(|lost| lost.to_string())? {
                BrokerPacket::SubAck(ack) => {
                    let refused = ack.reasons.iter().position(|reason| reason.is_refusal());
                    if let Some(filter) = refused.and_then(|n| filters.get(n)) {
                        return Err(format!("the broker refuses the subscription to {filter}"));
                    }
                    (is_answered, told) = (true, Instant::now());
                }
                BrokerPacket::Publish(publish) if publish.retain => {
                    messages.extend(message(&publish));
                    told = Instant::now();
                }
                _ => {}
            }
        }
        if !is_answered {
            return Err(UNANSWERED.into());
        }
        if began.elapsed() >= LONGEST_ANSWER {
            let seconds = LONGEST_ANSWER.as_secs();
            return Err(format!(
                "the broker has not come to an end of what it retains within {seconds} s"
            ));
        }
        self.unsubscribe(filters)?;
        Ok(messages)
    }

    /// Gives the messages that the broker retains at these filters to `take`, by QoS 0 and without a long wait: of a
    /// broker that is slow to send them, some may come with those of the next filters.
    ///
    /// # Errors
    /// A message for the user: the broker grants none of them or does not answer, or the connection broke.
    pub(super) async fn retained_now(
        &mut self,
        filters: &[String],
        take: impl FnMut(&Publish),
    ) -> Result<(), String> {
        let told = timeout(TELL_TIMEOUT, self.told(filters, take)).await;
        told.map_err(|_| UNANSWERED)?
    }

    /// The same without an end.
    async fn told(
        &mut self,
        filters: &[String],
        mut take: impl FnMut(&Publish),
    ) -> Result<(), String> {
        let take = &mut take;
        self.subscribe(filters)?;
        let ack = loop {
            if let BrokerPacket::SubAck(ack) = self.next_of(take).await? {
                break ack;
            }
        };
        let mut reasons = ack.reasons.iter();
        if reasons.all(|reason| reason.is_refusal())
            && let Some((filter, reason)) = filters.first().zip(ack.reasons.first())
        {
            let words = &ack.words;
            return Err(format!(
                "the broker refuses the subscription to {filter}: {reason}{words}"
            ));
        }
        self.put(&Packet::PingReq(PingReq))?;
        while !matches!(self.next_of(take).await?, BrokerPacket::PingResp) {}
        while let Ok(packet) = timeout(SILENCE_AFTER_PING, self.next_of(take)).await {
            packet?;
        }
        self.unsubscribe(filters)?;
        self.put(&Packet::PingReq(PingReq))?;
        while !matches!(self.next_of(take).await?, BrokerPacket::PingResp) {}
        Ok(())
    }

    /// Asks for what is retained. What is published from now on comes without the flag.
    fn subscribe(&mut self, filters: &[String]) -> Result<(), String> {
        let filter = |path: &String| Filter {
            path: path.clone(),
            qos: QoS::AtMostOnce,
            nolocal: false,
            preserve_retain: false,
            retain_forward_rule: RetainForwardRule::OnEverySubscribe,
        };
        let mut subscribe = Subscribe::new_many(filters.iter().map(filter), None);
        subscribe.pkid = self.next_id();
        self.put(&Packet::Subscribe(subscribe))
    }

    fn unsubscribe(&mut self, filters: &[String]) -> Result<(), String> {
        let unsubscribe = Unsubscribe {
            pkid: self.next_id(),
            filters: filters.to_vec(),
            properties: None,
        };
        self.put(&Packet::Unsubscribe(unsubscribe))
    }

    /// The next packet. `take` gets a retained message.
    async fn next_of(&mut self, take: &mut impl FnMut(&Publish)) -> Result<BrokerPacket, String> {
        let packet = self.packet().await.map_err(|lost| lost.to_string())?;
        if let BrokerPacket::Publish(publish) = &packet
            && publish.retain
        {
            take(publish);
        }
        Ok(packet)
    }

    /// Clears these topics. A broker that takes fewer messages for now gets them more slowly.
    ///
    /// # Errors
    /// A message for the user: the broker refuses, does not answer, or the connection broke.
    pub async fn clear(&mut self, topics: &[String]) -> Result<(), String> {
        self.retain(topics, "", Vec::new()).await
    }

    /// Has the broker retain this payload, with these user properties, at all these topics. An empty payload clears
    /// them.
    ///
    /// # Errors
    /// Those of [`Survey::clear`].
    pub(super) async fn retain(
        &mut self,
        topics: &[String],
        payload: &'static str,
        user_properties: Vec<(String, String)>,
    ) -> Result<(), String> {
        let properties = (!user_properties.is_empty()).then(|| PublishProperties {
            user_properties,
            ..PublishProperties::default()
        });
        let mut waiting: VecDeque<&String> = topics.iter().collect();
        let mut in_flight: BTreeMap<u16, (&String, Instant)> = BTreeMap::new();
        let (mut pace, mut refused_in_a_row, mut silences) = (Pace::default(), 0, 0);
        while !(waiting.is_empty() && in_flight.is_empty()) {
            let now = Instant::now();
            let next = pace.waits_until(now);
            let window = self.receive_maximum.min(pace.window(false, false));
            if in_flight.len() < window
                && next.is_none()
                && let Some(topic) = waiting.pop_front()
            {
                let id = self.retain_one(topic, payload, properties.clone())?;
                in_flight.insert(id, (topic, now));
                pace.sent(now);
                continue;
            }
            if let Some(next) = next.filter(|_| in_flight.is_empty()) {
                sleep_until(next).await;
                continue;
            }
            let Ok(packet) = timeout(ACKNOWLEDGE_TIMEOUT, self.packet()).await else {
                silences += 1;
                if silences == SILENCES_UNTIL_GIVEN_UP {
                    return Err("the broker does not acknowledge".into());
                }
                // Saying it twice does no harm.
                for (topic, sent) in std::mem::take(&mut in_flight).into_values() {
                    pace.set_back(sent, Instant::now());
                    waiting.push_back(topic);
                }
                continue;
            };
            let BrokerPacket::PubAck(ack) = packet.map_err(|lost| lost.to_string())? else {
                continue;
            };
            let Some((topic, sent)) = in_flight.remove(&ack.packet_id) else {
                continue;
            };
            silences = 0;
            if !ack.reason.is_refusal() {
                refused_in_a_row = 0;
                pace.taken(Instant::now());
            } else if ack.reason.passes() && refused_in_a_row < REFUSALS_UNTIL_GIVEN_UP {
                refused_in_a_row += 1;
                pace.set_back(sent, Instant::now());
                waiting.push_back(topic);
            } else {
                let (reason, words) = (ack.reason, ack.words);
                let what = match payload {
                    "" => "cleared",
                    _ => "set",
                };
                return Err(format!(
                    "the broker does not let {topic} be {what} ({reason}{words})"
                ));
            }
        }
        Ok(())
    }

    fn retain_one(
        &mut self,
        topic: &str,
        payload: &'static str,
        properties: Option<PublishProperties>,
    ) -> Result<u16, String> {
        let id = self.next_id();
        let publish = Publish {
            pkid: id,
            qos: QoS::AtLeastOnce,
            retain: true,
            topic: topic.to_owned().into(),
            payload: payload.into(),
            properties,
            ..Publish::default()
        };
        self.put(&Packet::Publish(publish))?;
        Ok(id)
    }

    /// Ends the connection.
    pub async fn close(self) {
        // Everything is acknowledged, so nothing is lost if this fails.
        let _ = timeout(ACKNOWLEDGE_TIMEOUT, self.link.close()).await;
    }

    async fn packet(&mut self) -> Result<BrokerPacket, ConnectionLost> {
        loop {
            if let Some(packet) = self.link.next().await? {
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
