//! A trial of the broker, for `poly2mqtt check --connect`: connects, asks for the rights that the gateway
//! needs, waits for its own messages, and disconnects. A broker may grant a subscription and deliver nothing:
//! Mosquitto checks the right to read only when it delivers.
//!
//! Disturbs nobody: it has a client id of its own, no will and no session that stays, and publishes only empty
//! messages, not retained, at topics where nothing else is published.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAckProperties, Filter, Packet, Publish, RetainForwardRule, Subscribe,
};
use tokio::time::{Instant, timeout, timeout_at};

use super::connection::DISCONNECT_TIMEOUT;
use super::delivery::DELIVERY_TIMEOUT;
use super::error::ConnectionLost;
use super::link::BrokerLink;
use super::packets::BrokerPacket;
use super::session::SessionLimits;
use super::settings::{MOSQUITTO_WINDOW, MqttSettings, client_tls};
use crate::listed::{counted, listed};
use crate::topics::{self, ALL_GATEWAY_TOPICS, ALL_ROOMS, RESULT, RoomTopics, Topic};

/// How long the broker may take to answer about the rights, with the time for delivery; it takes
/// milliseconds.
const RIGHTS_TIMEOUT: Duration = Duration::from_secs(7);
/// Added to the client id, so that a gateway that runs keeps its connection.
const CLIENT_ID_SUFFIX: &str = "-check";
/// The last level of the topics where the trial publishes.
const CHECK: &str = "check";
/// The packet id of the subscription. Those of the messages follow.
const SUBSCRIBE_ID: u16 = 1;
/// At most this many rooms are tried: each costs a message both ways.
const MOST_ROOMS_TRIED: usize = 256;
/// At most this many topics are named where a right is missing.
const TOPICS_NAMED: usize = 4;

/// What the trial may use besides the gateway's own topics.
#[derive(Debug, Clone, Default)]
pub struct TrialTopics {
    /// The configured rooms, in whose names messages are published.
    pub rooms: Vec<String>,
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
    /// What was asked for, one by one.
    pub rights: Vec<BrokerRight>,
}

/// Something that the gateway does at the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerRight {
    /// `subscribe`, with a filter, or `publish`, with a topic of the trial.
    pub does: &'static str,
    /// The filter or topic.
    pub topic: String,
    /// The broker permits it, and delivers what it grants.
    pub is_granted: bool,
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
    let opened = BrokerLink::open(&settings, tls.as_ref()).await;
    let (mut link, limits) = opened.map_err(|lost| lost.to_string())?;
    let mut trial = told_limits(limits.as_ref(), &settings);
    if !trial.problems.is_empty() {
        // The gateway would end this connection too. A DISCONNECT that fails changes nothing.
        let _ = timeout(DISCONNECT_TIMEOUT, link.close()).await;
        return Ok(trial);
    }
    let mut asked = Asked::new(&settings, topics);
    let window = limits.as_ref().and_then(|limits| limits.receive_max);
    asked.window = window
        .unwrap_or(MOSQUITTO_WINDOW)
        .clamp(1, MOSQUITTO_WINDOW);
    let answered = timeout(RIGHTS_TIMEOUT, asked.ask(&mut link)).await;
    match answered {
        Ok(Ok(())) => {
            // The trial has its answers; a DISCONNECT that fails changes nothing.
            let _ = timeout(DISCONNECT_TIMEOUT, link.close()).await;
        }
        Ok(Err(lost)) => trial.problems.push(asked.unanswered(&lost.to_string())),
        Err(_) => trial.problems.push(asked.unanswered("it does not answer")),
    }
    trial.limits.extend(asked.told_postponed());
    trial.limits.append(&mut asked.notes);
    trial.rights = asked.rights();
    trial.problems.append(&mut asked.problems);
    Ok(trial)
}

/// What CONNACK says of the broker, judged as `run` judges it.
fn told_limits(limits: Option<&ConnAckProperties>, settings: &MqttSettings) -> BrokerTrial {
    let mut trial = BrokerTrial {
        problems: Vec::new(),
        limits: Vec::new(),
        rights: Vec::new(),
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
    /// The filters that are granted.
    granted: Vec<String>,
    /// How many of the topics a message was sent to.
    sent: usize,
    /// How many messages are not acknowledged yet.
    unacknowledged: usize,
    window: u16,
    /// Messages that the broker took, and delivered.
    taken: BTreeSet<String>,
    delivered: BTreeSet<String>,
    /// Messages that it refuses for now, by its reason.
    postponed: BTreeMap<String, usize>,
    problems: Vec<String>,
    /// What is missing that not every site needs.
    notes: Vec<String>,
    /// Where the trial publishes as if a client had asked for a result there.
    response: String,
}

impl Asked {
    fn new(settings: &MqttSettings, topics: &TrialTopics) -> Self {
        let own = [ALL_ROOMS, ALL_GATEWAY_TOPICS].map(|filter| settings.prefix.add(filter));
        let rooms = topics.rooms.iter().take(MOST_ROOMS_TRIED);
        let rooms = rooms.map(|room| settings.prefix.add(&RoomTopics::new(room).event(CHECK)));
        let gateway = settings.prefix.add(&Topic::Gateway(CHECK).to_string());
        // Home Assistant takes neither there; ids in clusters have both.
        let id = settings.client_id.replace([':', '.'], "-");
        let discovery = settings.discovery.document(&id);
        let discovery = topics.discovery.then_some(discovery);
        let result = topics.rooms.first();
        let result = result.map(|room| settings.prefix.add(&RoomTopics::new(room).result(CHECK)));
        let response = settings.prefix.responses_of(&settings.client_id) + CHECK;
        let others = result.into_iter().chain([response.clone()]);
        Self {
            filters: own.into_iter().chain(topics.filters.clone()).collect(),
            topics: rooms
                .chain([gateway])
                .chain(discovery)
                .chain(others)
                .collect(),
            subscribed: false,
            granted: Vec::new(),
            sent: 0,
            unacknowledged: 0,
            window: MOSQUITTO_WINDOW,
            taken: BTreeSet::new(),
            delivered: BTreeSet::new(),
            postponed: BTreeMap::new(),
            problems: Vec::new(),
            notes: Vec::new(),
            response,
        }
    }

    /// What the broker grants of what was asked for.
    fn rights(&self) -> Vec<BrokerRight> {
        let undelivered = self.undelivered();
        let subscribes = self.filters.iter().map(|filter| BrokerRight {
            does: "subscribe",
            topic: filter.clone(),
            is_granted: self.granted.contains(filter) && !undelivered.contains_key(&**filter),
        });
        let publishes = self.topics.iter().map(|topic| BrokerRight {
            does: "publish",
            topic: topic.clone(),
            is_granted: self.taken.contains(topic),
        });
        subscribes.chain(publishes).collect()
    }

    /// Asks, and waits for all answers, then for the messages.
    async fn ask(&mut self, link: &mut BrokerLink) -> Result<(), ConnectionLost> {
        let filters = self.filters.iter().map(|path| Filter {
            path: path.clone(),
            qos: QoS::AtMostOnce,
            nolocal: false,
            preserve_retain: true,
            retain_forward_rule: RetainForwardRule::Never,
        });
        let mut subscribe = Subscribe::new_many(filters, None);
        subscribe.pkid = SUBSCRIBE_ID;
        link.put(&Packet::Subscribe(subscribe))?;
        while !self.subscribed || self.unacknowledged > 0 || self.sent < self.topics.len() {
            self.publish(link)?;
            link.turn().await?;
            while let Some(packet) = link.next().await? {
                self.answered(packet);
            }
        }
        let deadline = Instant::now() + DELIVERY_TIMEOUT;
        while !self.undelivered().is_empty() {
            let Ok(turned) = timeout_at(deadline, link.turn()).await else {
                break;
            };
            turned?;
            while let Some(packet) = link.next().await? {
                self.answered(packet);
            }
        }
        self.tell_undelivered();
        Ok(())
    }

    /// Publishes what the window allows, once the subscription is answered.
    fn publish(&mut self, link: &mut BrokerLink) -> Result<(), ConnectionLost> {
        let room = usize::from(self.window).saturating_sub(self.unacknowledged);
        let next = self.topics.iter().zip(SUBSCRIBE_ID + 1..).skip(self.sent);
        for (topic, id) in next.take(if self.subscribed { room } else { 0 }) {
            link.put(&Packet::Publish(Publish {
                pkid: id,
                // Without acknowledgements the broker does not tell.
                qos: QoS::AtLeastOnce,
                topic: Bytes::from(topic.clone()),
                ..Publish::default()
            }))?;
            self.sent += 1;
            self.unacknowledged += 1;
        }
        Ok(())
    }

    /// The topics of messages that the broker took and did not deliver, by the filter that it granted.
    fn undelivered(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut undelivered = BTreeMap::<&str, Vec<&str>>::new();
        // One topic of a room tells.
        let told = self.taken.iter().filter(|topic| !topic.ends_with(RESULT));
        for topic in told.filter(|topic| !self.delivered.contains(*topic)) {
            let matches =
                |filter: &&String| topics::Filter::new(filter).is_ok_and(|it| it.matches(topic));
            if let Some(filter) = self.granted.iter().find(matches) {
                undelivered.entry(filter).or_default().push(topic);
            }
        }
        undelivered
    }

    fn tell_undelivered(&mut self) {
        let mut problems = Vec::new();
        for (filter, topics) in self.undelivered() {
            let named = listed(&topics, TOPICS_NAMED);
            problems.push(format!(
                "it grants the subscription to {filter} and does not deliver {named}: let the \
                 gateway's user read there, not only write (Mosquitto: `topic readwrite {filter}`)"
            ));
        }
        self.problems.append(&mut problems);
    }

    fn answered(&mut self, packet: BrokerPacket) {
        match packet {
            BrokerPacket::SubAck(ack) => {
                self.subscribed = true;
                for (filter, reason) in self.filters.iter().zip(&ack.reasons) {
                    if reason.is_refusal() {
                        let problem = format!("it refuses to subscribe to {filter} ({reason})");
                        self.problems.push(problem);
                    } else {
                        self.granted.push(filter.clone());
                    }
                }
            }
            BrokerPacket::PubAck(ack) => {
                self.unacknowledged = self.unacknowledged.saturating_sub(1);
                let index = usize::from(ack.packet_id).checked_sub(usize::from(SUBSCRIBE_ID) + 1);
                let topic = index.and_then(|index| self.topics.get(index));
                match topic {
                    // The gateway sends such a message again, more slowly.
                    Some(_) if ack.reason.passes() => {
                        *self.postponed.entry(ack.reason.to_string()).or_default() += 1;
                    }
                    Some(topic) if ack.reason.is_refusal() && *topic == self.response => {
                        self.notes.push(format!(
                            "refuses to publish to {topic} ({}), so results do not reach clients that ask for \
                             them at Response Topics there",
                            ack.reason
                        ));
                    }
                    Some(topic) if ack.reason.is_refusal() => {
                        let problem = format!(
                            "it refuses to publish to {topic} ({}{})",
                            ack.reason, ack.words
                        );
                        self.problems.push(problem);
                    }
                    Some(topic) => drop(self.taken.insert(topic.clone())),
                    None => {}
                }
            }
            BrokerPacket::Publish(publish) => {
                let topic = String::from_utf8_lossy(&publish.topic);
                self.delivered.insert(topic.into_owned());
            }
            _ => {}
        }
    }

    /// What the broker refused for now.
    fn told_postponed(&self) -> Vec<String> {
        let told = self.postponed.iter().map(|(reason, count)| {
            let messages = counted(*count, "message");
            format!(
                "does not take {messages} for now ({reason}); whether it permits them is not known, and the \
                 gateway would send them again, more slowly"
            )
        });
        told.collect()
    }

    /// What is not known because the connection ended.
    fn unanswered(&self, why: &str) -> String {
        let is_acknowledged = self.sent == self.topics.len() && self.unacknowledged == 0;
        let what = match (self.subscribed, is_acknowledged) {
            (false, _) => "whether the gateway may subscribe",
            (true, false) => "whether the gateway may publish",
            (true, true) => "whether it delivers what it grants",
        };
        format!("it does not say {what}: {why}")
    }
}

#[cfg(test)]
mod tests;
