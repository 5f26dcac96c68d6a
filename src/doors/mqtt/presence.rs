//! `gateway/availability` and `gateway/cluster` of several gateways: a small connection of their speaker.
//!
//! `gateway/availability` is to be `online` while any gateway is, without a blink. All gateways have one client id for
//! this connection, and only the speaker holds it. Its will says `offline` after [`WILL_DELAY`]. The next
//! speaker connects before that, with the same session, and then the broker publishes no will (MQTT 5, section
//! 3.1.3.2.2). So only the death of the last gateway is told.
//!
//! Also says `offline` for all rooms when the last gateway has ended; `unknown_rooms` clears what is left of rooms that
//! no gateway has in its configuration. Who speaks is decided elsewhere.

mod unknown_rooms;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    Disconnect, DisconnectReasonCode, Filter, Packet, PingReq, PubAck, Publish, PublishProperties,
    Subscribe,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::Instrument;

use super::error::ConnectionLost;
use super::link::BrokerLink;
use super::mark::Mark;
use super::packets::{BrokerPacket, PubAck as PublishAnswer};
use super::reason::ReasonCode;
use super::refusals::Obstacle;
use super::settings::{MqttSettings, client_tls, presence_client_id};
use super::shared::SharingRules;
use super::subscription::gateway_filter;
use super::survey::{MANY_MESSAGES, RetainedMessage, Survey};
use crate::gateway_id::GatewayId;
use crate::net::ClientTls;
use crate::sleep::ticks_after;
use crate::telemetry::{Telemetry, broker_span};
use crate::topics::{
    GATEWAY_AVAILABILITY, GATEWAY_CLUSTER, MemberTopics, OFFLINE, ONLINE, Prefix, RoomTopics, Topic,
};
use unknown_rooms::UnknownRooms;

/// How long after the speaker's connection broke the broker says `offline`. The next speaker needs four seconds
/// at most: three until the others know that it is dead, and one to connect.
const WILL_DELAY: Duration = Duration::from_secs(10);
/// How long the broker keeps the session; the will goes out with its end at the latest.
const SESSION_EXPIRY: Duration = Duration::from_secs(3600);
/// The first and the longest wait before the next connection is tried. Both together are much shorter than the
/// will's delay.
const RECONNECT_DELAYS: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(2)];
/// The wait after another gateway has taken the connection over: it is the speaker now, and this one learns that soon.
const TAKEN_OVER_DELAY: Duration = Duration::from_secs(3);
/// How long writing the last message may take.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(1);
/// How often an idle connection is tested. Without an answer by the next test it is dead.
const PING_INTERVAL: Duration = Duration::from_secs(2);
/// An `offline` that is not true is taken back at most this often: the other side may be a gateway that insists.
const CORRECTION_INTERVAL: Duration = Duration::from_secs(1);

/// What this gateway says for all.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Role {
    Silent,
    /// With the payload of `gateway/cluster`.
    Speaker(String),
    /// It ends, and it is the last one.
    LastWords,
    Ended,
}

/// What a gateway that ends knows of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemainingGateways {
    /// There is none.
    None,
    /// Some are there, and have all rooms.
    HaveRooms,
    /// The others may have ended, or be ending too. Only the broker knows: each gateway says `offline` there at its
    /// end, or its will does.
    Unknown,
}

/// The presence session of one of several gateways.
pub struct Presence {
    settings: MqttSettings,
    /// This gateway's own topic.
    own_availability: String,
    rules: Arc<dyn SharingRules>,
    role: watch::Sender<Role>,
    task: JoinHandle<()>,
}

impl Presence {
    /// Says nothing yet. `settings` are those of the door; `cluster` is the same for all gateways that share rooms.
    ///
    /// # Errors
    /// Certificate files that cannot be used.
    pub fn start(
        settings: &MqttSettings,
        cluster: &str,
        rules: Arc<dyn SharingRules>,
        telemetry: Arc<Telemetry>,
    ) -> Result<Self, String> {
        let own_availability = settings.at_broker(GATEWAY_AVAILABILITY);
        let settings = MqttSettings {
            client_id: presence_client_id(cluster),
            gateway_id: GatewayId::of_client(cluster),
            session_expiry: SESSION_EXPIRY,
            will_delay: WILL_DELAY,
            keep_alive: PING_INTERVAL * 3,
            has_will: true,
            shared: None,
            ..settings.clone()
        };
        let tls = client_tls(&settings)?;
        let (role, roles) = watch::channel(Role::Silent);
        let span = broker_span(&settings.address());
        let session = PresenceSession {
            settings: settings.clone(),
            tls,
            rules: rules.clone(),
            telemetry,
            roles,
            told_refusals: BTreeSet::new(),
        };
        Ok(Self {
            settings,
            own_availability,
            rules,
            role,
            task: tokio::spawn(session.run().instrument(span)),
        })
    }

    /// This gateway is the speaker, and `gateway/cluster` is this document.
    pub fn speak(&self, cluster: impl Into<String>) {
        self.become_role(Role::Speaker(cluster.into()));
    }

    /// Another gateway is the speaker.
    pub fn fall_silent(&self) {
        self.become_role(Role::Silent);
    }

    fn become_role(&self, new: Role) {
        self.role.send_if_modified(|role| {
            let is_new = *role != new;
            *role = new;
            is_new
        });
    }

    /// Ends. If it is the last gateway, `offline` is published for all of them and for every room, by `deadline`. To be
    /// called when the broker has got this gateway's own `offline`.
    pub async fn stop(self, remaining: RemainingGateways, deadline: Instant) {
        let abort = self.task.abort_handle();
        if remaining == RemainingGateways::None {
            self.become_role(Role::LastWords);
        }
        let is_last = match remaining {
            RemainingGateways::HaveRooms => false,
            _ => timeout_at(deadline, self.end_rooms(remaining)).await == Ok(Ok(true)),
        };
        self.become_role(if is_last || remaining == RemainingGateways::None {
            Role::LastWords
        } else {
            Role::Ended
        });
        if timeout_at(deadline, self.task).await.is_err() {
            abort.abort();
        }
    }

    /// Says `offline` for the rooms that gateways have left `online`: those of a dead one that nobody has taken, and
    /// those that were handed over to one that ended too. False if another gateway is there.
    async fn end_rooms(&self, remaining: RemainingGateways) -> Result<bool, String> {
        let prefix = &self.settings.prefix;
        let mut survey = Survey::connect(&self.settings).await?;
        let filters = [
            prefix.add(&MemberTopics::ANY.availability()),
            prefix.add(&RoomTopics::ANY.availability()),
        ];
        let mut found = survey.retained(&filters).await?;
        let own = Some(self.settings.gateway_id.as_str());
        found.retain(|message| message.id.as_deref() == own);
        let room_of = |topic: &str| {
            let topic = prefix.strip(topic).and_then(Topic::parse)?;
            topic.room().map(str::to_owned)
        };
        let is_online = |message: &&RetainedMessage| message.payload == ONLINE;
        let is_other = |message: &&RetainedMessage| {
            room_of(&message.topic).is_none() && message.topic != self.own_availability
        };
        if remaining == RemainingGateways::Unknown
            && found
                .iter()
                .filter(is_online)
                .any(|message| is_other(&message))
        {
            return Ok(false);
        }
        let mut topics: Vec<String> = found
            .iter()
            .filter(is_online)
            .filter(|message| room_of(&message.topic).is_some())
            .map(|message| message.topic.clone())
            .collect();
        if found.len() >= MANY_MESSAGES {
            // The broker may not have told all.
            let told: BTreeSet<&str> = found.iter().map(|message| &*message.topic).collect();
            let configured = self.rules.configured().into_iter();
            let configured =
                configured.map(|room| prefix.add(&RoomTopics::new(&room).availability()));
            topics.extend(configured.filter(|topic| !told.contains(&**topic)));
        }
        let mark = Mark::own(&self.settings);
        survey.retain(&topics, OFFLINE, mark).await?;
        survey.close().await;
        Ok(true)
    }
}

impl std::fmt::Debug for Presence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Presence").finish_non_exhaustive()
    }
}

/// The task.
struct PresenceSession {
    settings: MqttSettings,
    tls: Option<ClientTls>,
    rules: Arc<dyn SharingRules>,
    telemetry: Arc<Telemetry>,
    roles: watch::Receiver<Role>,
    /// The refusals of which the log was told: topic and reason.
    told_refusals: BTreeSet<(&'static str, u8)>,
}

/// At most so many messages without an answer are remembered: a broker that answers none gets one every two seconds.
const MOST_UNANSWERED: usize = 64;

/// What was published on one connection and is not answered.
#[derive(Debug, Default)]
struct Unanswered {
    last_id: u16,
    topics: BTreeMap<u16, &'static str>,
}

impl Unanswered {
    fn next_id(&mut self) -> u16 {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        self.last_id
    }
}

impl PresenceSession {
    async fn run(mut self) {
        let [first, longest] = RECONNECT_DELAYS;
        let mut delay = first;
        loop {
            let role = self.roles.borrow_and_update().clone();
            match role {
                Role::Ended => return,
                Role::Silent => {
                    delay = first;
                    if self.roles.changed().await.is_err() {
                        return;
                    }
                    continue;
                }
                Role::Speaker(_) | Role::LastWords => {}
            }
            let opened = BrokerLink::open(&self.settings, self.tls.as_ref()).await;
            let served = match opened {
                Ok((link, _)) => self.serve(link).await,
                Err(lost) => Err(lost),
            };
            let wait = match served {
                Ok(()) => continue,
                Err(ConnectionLost::Disconnected { reason, .. })
                    if reason == ReasonCode::SESSION_TAKEN_OVER =>
                {
                    TAKEN_OVER_DELAY
                }
                Err(lost) => {
                    tracing::debug!(%lost, "the connection for gateway/availability is lost");
                    delay
                }
            };
            delay = (delay * 2).min(longest);
            tokio::select! {
                () = sleep(wait) => {}
                changed = self.roles.changed() => if changed.is_err() {
                    return;
                }
            }
        }
    }

    /// Speaks until another one does, or this gateway ends.
    async fn serve(&mut self, mut link: BrokerLink) -> Result<(), ConnectionLost> {
        let mut pings = ticks_after(PING_INTERVAL, PING_INTERVAL);
        let unknown_rooms = UnknownRooms {
            settings: self.settings.clone(),
            rules: self.rules.clone(),
            telemetry: self.telemetry.clone(),
        };
        let mut clearing = pin!(unknown_rooms.clear_when_agreed());
        let mut is_alive = true;
        let mut unanswered = Unanswered::default();
        // The broker has refused something for now.
        let mut says_again = false;
        if *self.roles.borrow() == Role::LastWords {
            return self.say_last_words(link, unanswered).await;
        }
        self.subscribe(&mut link, unanswered.next_id())?;
        self.publish(&mut link, &mut unanswered, GATEWAY_AVAILABILITY, ONLINE)?;
        let (mut told, mut corrected) = (None, None::<Instant>);
        loop {
            let role = self.roles.borrow_and_update().clone();
            match role {
                Role::Speaker(cluster) if told.as_ref() != Some(&cluster) => {
                    self.publish(&mut link, &mut unanswered, GATEWAY_CLUSTER, &cluster)?;
                    told = Some(cluster);
                }
                Role::Speaker(_) => {}
                Role::LastWords => return self.say_last_words(link, unanswered).await,
                Role::Silent | Role::Ended => return fall_silent(link).await,
            }
            while let Some(packet) = link.next().await? {
                is_alive = true;
                let publish = match packet {
                    BrokerPacket::Publish(publish) => publish,
                    BrokerPacket::PubAck(ack) => {
                        says_again |= self.is_refused_for_now(&mut unanswered, ack);
                        continue;
                    }
                    _ => continue,
                };
                if publish.qos == QoS::AtLeastOnce {
                    link.put(&Packet::PubAck(PubAck::new(publish.pkid, None)))?;
                }
                let now = Instant::now();
                let is_new = corrected.is_none_or(|at| now - at >= CORRECTION_INTERVAL);
                if publish.payload == OFFLINE && is_new {
                    corrected = Some(now);
                    self.publish(&mut link, &mut unanswered, GATEWAY_AVAILABILITY, ONLINE)?;
                }
            }
            tokio::select! {
                turned = link.turn() => turned?,
                _ = pings.tick() => {
                    if !std::mem::replace(&mut is_alive, false) {
                        return Err(ConnectionLost::Silent);
                    }
                    link.put(&Packet::PingReq(PingReq))?;
                    if std::mem::take(&mut says_again) {
                        told = None;
                        corrected = Some(Instant::now());
                    }
                    // One that came while the last correction was too near.
                    if corrected.take().is_some() {
                        self.publish(&mut link, &mut unanswered, GATEWAY_AVAILABILITY, ONLINE)?;
                    }
                }
                never = &mut clearing => match never {},
                changed = self.roles.changed() => if changed.is_err() {
                    self.roles = watch::channel(Role::Ended).1;
                }
            }
        }
    }

    /// Says `offline`, and ends when the broker has taken it: a connection that is closed before may take with it what
    /// the broker has not read yet. Where that fails it is tried on another connection.
    async fn say_last_words(
        &mut self,
        mut link: BrokerLink,
        mut unanswered: Unanswered,
    ) -> Result<(), ConnectionLost> {
        self.publish(&mut link, &mut unanswered, GATEWAY_CLUSTER, "")?;
        let last = self.publish(&mut link, &mut unanswered, GATEWAY_AVAILABILITY, OFFLINE)?;
        let taken = async {
            loop {
                while let Some(packet) = link.next().await? {
                    if let BrokerPacket::PubAck(ack) = packet
                        && ack.packet_id == last
                    {
                        return if self.is_refused_for_now(&mut unanswered, ack) {
                            Err(ConnectionLost::Silent)
                        } else {
                            Ok(())
                        };
                    }
                }
                link.turn().await?;
            }
        };
        match timeout(LAST_WORDS_TIMEOUT, taken).await {
            Ok(taken) => taken?,
            Err(_) => return Err(ConnectionLost::Silent),
        }
        self.roles = watch::channel(Role::Ended).1;
        let closed = timeout(LAST_WORDS_TIMEOUT, link.close()).await;
        closed.unwrap_or(Err(ConnectionLost::Silent))
    }

    /// Asks for what others say at `gateway/availability`.
    fn subscribe(&self, link: &mut BrokerLink, id: u16) -> Result<(), ConnectionLost> {
        let filter = Filter {
            path: self.settings.prefix.add(GATEWAY_AVAILABILITY),
            ..gateway_filter(&Prefix::default())
        };
        let mut subscribe = Subscribe::new_many([filter], None);
        subscribe.pkid = id;
        Ok(link.put(&Packet::Subscribe(subscribe))?)
    }

    /// Whether the broker has refused a message that it may take later. The log is told of each refusal once.
    fn is_refused_for_now(&mut self, unanswered: &mut Unanswered, ack: PublishAnswer) -> bool {
        let PublishAnswer {
            packet_id,
            reason,
            words,
        } = ack;
        let topic = unanswered.topics.remove(&packet_id);
        let Some(topic) = topic.filter(|_| reason.is_refusal()) else {
            return false;
        };
        let is_new = self.told_refusals.insert((topic, reason.0));
        let (telemetry, at) = (&self.telemetry, self.settings.prefix.add(topic));
        telemetry.broker_refused_message();
        let obstacle = Obstacle::Refused(reason, words);
        if reason.passes() {
            telemetry.message_postponed(&at, 0, &obstacle, is_new)
        } else {
            telemetry.message_left_out(&at, 0, &obstacle, is_new)
        }
        reason.passes()
    }

    /// Returns the packet identifier.
    fn publish(
        &self,
        link: &mut BrokerLink,
        unanswered: &mut Unanswered,
        topic: &'static str,
        payload: &str,
    ) -> Result<u16, ConnectionLost> {
        let id = unanswered.next_id();
        if unanswered.topics.len() < MOST_UNANSWERED {
            unanswered.topics.insert(id, topic);
        }
        let publish = Publish {
            pkid: id,
            qos: QoS::AtLeastOnce,
            retain: true,
            topic: self.settings.prefix.add(topic).into(),
            payload: payload.to_owned().into(),
            properties: Some(PublishProperties {
                user_properties: Mark::own(&self.settings),
                ..PublishProperties::default()
            }),
            ..Publish::default()
        };
        link.put(&Packet::Publish(publish))?;
        Ok(id)
    }
}

/// Leaves without a word. The will stays armed until the next speaker is there.
async fn fall_silent(mut link: BrokerLink) -> Result<(), ConnectionLost> {
    let code = DisconnectReasonCode::DisconnectWithWillMessage;
    link.put(&Packet::Disconnect(Disconnect::new(code)))?;
    // The broker closes the connection, or what was written is lost with it.
    let _ = timeout(LAST_WORDS_TIMEOUT, link.turn()).await;
    Ok(())
}
