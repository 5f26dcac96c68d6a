//! What a packet from the broker means: a command, something of an earlier run, a message for
//! another part of the program, or nothing.
//!
//! Hands commands in or refuses them; sends nothing to the broker itself. Which commands are repeats is
//! known by [`Redeliveries`].

mod shared;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rumqttc::v5::mqttbytes::v5::Publish;
use tokio::time::Instant;

use super::DoorContext;
use super::error::ConnectionLost;
use super::first_commands::FirstCommands;
use super::incoming::IncomingPublish;
use super::mark::Mark;
use super::message::{Delivery, ReplyAddress};
use super::packets::SubAck;
use super::reason::{ended_at_filter, refused_filter};
use super::redelivery::Redeliveries;
use super::shared::messages::{DONE, MOVED};
use super::subscription::{Subscription, retained_filter};
use crate::catalogue::{CATALOGUE, Payload};
use crate::command::{
    CommandAuthority, DoorKind, ErrorCode, Failure, Outcome, Reply, Submission, Transfer,
};
use crate::gateway_id::MessageOwner;
use crate::home_assistant::InboundMessage;
use crate::standstill::received_now;
use crate::topics::{ALL_GATEWAY_TOPICS, ALL_ROOMS, Filter, MemberTopics, Topic, check_response};

pub use shared::SharedCommand;
use shared::{ResultOrigin, SharedReply};

/// The largest payload of a command whose payload is no file, in bytes: what the other doors take. Reading JSON costs
/// memory and time by its length, and a client may send any number of commands.
pub(super) const COMMAND_PAYLOAD_LIMIT: usize = 256 << 10;

/// The answer to a command with the retain flag.
const RETAINED_COMMAND: &str = "a retained command is never carried out, because the broker would \
                                repeat it; publish it without the retain flag";
/// The answer to a command that may be a retained one.
const PERHAPS_RETAINED: &str = "it came while the broker sent what it retains, and this broker does not say \
                                which messages are retained; such a command is not carried out: publish it \
                                again, without the retain flag";

/// What a refused subscription to the commands means.
const NO_COMMANDS: &str = "no command arrives, and the gateway is not ready; states are published. It \
                           is asked for again every minute: check the broker's access rules for this \
                           user";

/// Takes what the broker sends.
pub struct Receiver {
    context: Arc<DoorContext>,
    pub redeliveries: Redeliveries,
    pub first_commands: FirstCommands<ReceivedCommand>,
    /// What other parts of the program have asked for.
    extra_filters: Vec<Filter>,
}

/// A publish that is a command.
#[derive(Debug)]
pub struct ReceivedCommand {
    room: Arc<str>,
    command: String,
    publish: Publish,
    /// Its age and its expiry count from then.
    received: Instant,
}

/// Whether a command came with the retain flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RetainFlag {
    Live,
    Retained,
    /// The broker does not say.
    Unknown,
}

impl RetainFlag {
    fn of(publish: &Publish) -> Self {
        if publish.retain {
            Self::Retained
        } else {
            Self::Live
        }
    }
}

impl Receiver {
    pub fn new(context: Arc<DoorContext>) -> Self {
        let extra = context.extra_topics.iter();
        let extra = extra.flat_map(|extra| &extra.filters);
        Self {
            extra_filters: extra.filter_map(|it| Filter::new(it).ok()).collect(),
            context,
            redeliveries: Redeliveries::default(),
            first_commands: FirstCommands::default(),
        }
    }

    /// The broker is asked for what it retains. The gateway's own broker says what is retained.
    pub fn asked_for_retained(&mut self) {
        if self.context.settings.marks_messages {
            self.first_commands.asked(Instant::now());
        }
    }

    /// Hands in the commands that were held, or refuses them.
    pub fn first_commands_over(&mut self) {
        let held = self.first_commands.over();
        let retain_flag = if held.may_be_retained {
            RetainFlag::Unknown
        } else {
            RetainFlag::Live
        };
        for command in held.commands {
            self.command(command, retain_flag, None);
        }
    }

    /// A publish arrived. True if it is a command, whose result will be in the outbox.
    pub fn publish(&mut self, publish: Publish) -> bool {
        let now = Instant::now();
        let is_repeated = self.redeliveries.is_repeated(&publish, now);
        // Another client's live message has the flag at a broker that does not set it on others.
        if publish.retain && !self.first_commands.is_flag_lacking() {
            self.first_commands_over();
        }
        let context = &self.context;
        let Some(incoming) = self.parse(&publish) else {
            return false;
        };
        if let Some(Topic::Gateway(_) | Topic::Member { .. }) = incoming.parsed {
            (context.subscriber).gateway_message(&context.store, &incoming);
            return false;
        }
        let is_state = self.note_state(&incoming);
        let is_marked = incoming.mark.is_of_gateway();
        if is_marked && !publish.retain && self.first_commands.lacks_flag(now) {
            context.telemetry.broker_lacks_retain_flag();
        }
        if is_state || is_marked {
            return false;
        }
        let Some((room, command)) = context.settings.prefix.command(incoming.full_topic) else {
            return false;
        };
        let is_configured = context.store.room(room).is_some();
        if !is_configured && (context.subscriber).is_for_another(room, incoming.topic) {
            return false;
        }
        if is_repeated {
            return false;
        }
        let (room, command) = (Arc::from(room), command.to_owned());
        context.telemetry.command_received();
        let retain_flag = RetainFlag::of(&publish);
        let command = self.take_command(room, command, publish);
        if self.first_commands.until().is_none() {
            self.command(command, retain_flag, None);
            return true;
        }
        let size = command.publish.payload.len();
        if let Err(too_many) = self.first_commands.hold(command, size) {
            self.command(too_many, RetainFlag::Unknown, None);
        }
        true
    }

    /// Takes a publish apart. What is another program's is handed over; then there is nothing more to do.
    fn parse<'a>(&self, publish: &'a Publish) -> Option<IncomingPublish<'a>> {
        let parsed = IncomingPublish::parse(publish, &self.context.settings);
        if let Err(Some(topic)) = parsed {
            self.hand_over(topic, publish);
        }
        parsed.ok()
    }

    /// Notes what a message about a room says of the room's states. True if it is one of them.
    fn note_state(&self, incoming: &IncomingPublish<'_>) -> bool {
        let (store, subscriber) = (&self.context.store, &self.context.subscriber);
        if !incoming.is_retained() {
            subscriber.unretained_arrived(store, incoming.topic, incoming.payload);
            return false;
        }
        let is_state = subscriber.retained_arrived(store, incoming);
        if is_state && incoming.owner == MessageOwner::ThisGateway {
            subscriber.own_came_back(store, incoming.topic, incoming.payload);
        }
        is_state
    }

    /// Remembers a publish that is a command and no repeated one, in case the broker repeats it.
    fn take_command(
        &mut self,
        room: Arc<str>,
        command: String,
        publish: Publish,
    ) -> ReceivedCommand {
        self.redeliveries.take(&publish);
        ReceivedCommand {
            room,
            command,
            publish,
            received: received_now(),
        }
    }

    /// Gives a message of another program to the part of the gateway that asked for it. What nobody has
    /// asked for comes of subscriptions that the session has from an earlier configuration, or of the document
    /// of a room that this gateway had until now: the broker sends that until it has read the UNSUBSCRIBE.
    fn hand_over(&self, topic: &str, publish: &Publish) {
        let Some(extra) = &self.context.extra_topics else {
            return;
        };
        let mut filters = self.extra_filters.iter();
        let settings = &self.context.settings;
        let room = settings.discovery.room_of(topic);
        let is_of_own_room =
            (settings.shared.as_ref().zip(room)).is_some_and(|(shared, room)| shared.owns(room));
        if !is_of_own_room && !filters.any(|filter| filter.matches(topic)) {
            return;
        }
        let mark = Mark::of(publish);
        let owner = mark.owner(settings);
        let is_anothers = owner == MessageOwner::AnotherGateway && !publish.payload.is_empty();
        if is_anothers && extra.store.get(topic).is_some() {
            (self.context.subscriber).taken_over(topic, mark.id, Instant::now());
        }
        let inbound = InboundMessage {
            topic: topic.to_owned(),
            payload: publish.payload.clone(),
            owner,
        };
        if extra.inbound.try_send(inbound).is_err() {
            self.context.telemetry.inbound_dropped(topic);
        }
    }

    /// The reply of a command, the rest of the command, and what is wrong with its response topic.
    fn reply(
        &self,
        received: ReceivedCommand,
        shared: Option<SharedReply>,
    ) -> (Reply, Publish, Result<(), String>) {
        let ReceivedCommand {
            room,
            command,
            mut publish,
            ..
        } = received;
        let context = &self.context;
        let properties = publish.properties.as_mut();
        let (response, correlation) = properties.map_or((None, None), |properties| {
            let response = properties.response_topic.take();
            (response, properties.correlation_data.take())
        });
        let checked = match response.as_deref() {
            Some(response) => {
                let settings = &context.settings;
                check_response(&settings.prefix, &settings.discovery, &room, response)
            }
            None => Ok(()),
        };
        let address = ReplyAddress {
            response: response.filter(|_| checked.is_ok()),
            correlation,
            command: shared.as_ref().map(|shared| shared.id),
        };
        let (subscriber, large) = (context.subscriber.clone(), context.large_results.clone());
        let deliver = move |outcome: Outcome| {
            let outcome = match &shared {
                Some(shared) => shared.with_outcome_unknown(outcome),
                None => outcome,
            };
            let delivery = Delivery::new(address, outcome, &large);
            match shared.map(|reply| (reply.origin, reply)) {
                Some((ResultOrigin::Owned(term), reply)) => {
                    let settled = reply.is_repeated.then_some(reply.id);
                    reply.shared.answered(term, settled, delivery);
                }
                Some((ResultOrigin::Other, reply)) => {
                    reply.shared.answered_for_other(reply.id, delivery)
                }
                Some((ResultOrigin::Refused, _)) | None => subscriber.outbox.push_reply(delivery),
            }
        };
        (Reply::new(room, command, deliver), publish, checked)
    }

    fn command(
        &self,
        received: ReceivedCommand,
        retain_flag: RetainFlag,
        shared: Option<SharedReply>,
    ) {
        let (room, command) = (received.room.clone(), received.command.clone());
        let received_at = received.received;
        let context = &self.context;
        let (reply, publish, checked) = self.reply(received, shared);
        let properties = publish.properties.unwrap_or_default();
        let (size, max_payload) = (publish.payload.len(), context.settings.max_payload);
        let is_too_long = size > COMMAND_PAYLOAD_LIMIT && !takes_file(&command);
        let refusal = if let Err(message) = checked {
            Some(Failure::new(ErrorCode::InvalidPayload, message))
        } else if size > max_payload {
            let message =
                format!("the payload has {size} bytes; mqtt.max_payload allows {max_payload}");
            Some(Failure::new(ErrorCode::TooLarge, message))
        } else if is_too_long {
            let message = format!(
                "the payload has {size} bytes; a command takes at most {COMMAND_PAYLOAD_LIMIT}, unless it is a file"
            );
            Some(Failure::new(ErrorCode::TooLarge, message))
        } else {
            let why = match retain_flag {
                RetainFlag::Live => None,
                RetainFlag::Retained => Some(RETAINED_COMMAND),
                RetainFlag::Unknown => Some(PERHAPS_RETAINED),
            };
            why.map(|why| Failure::new(ErrorCode::IgnoredRetained, why))
        };
        if let Some(failure) = refusal {
            // What is too large is not read.
            let payload = if size > max_payload || is_too_long {
                Bytes::new()
            } else {
                publish.payload
            };
            return context
                .gateway
                .refuse(DoorKind::Mqtt, reply, &payload, failure);
        }
        let expiry = properties.message_expiry_interval;
        context.gateway.submit(Submission {
            room,
            command,
            payload: publish.payload,
            expires: expiry.map(|seconds| received_at + Duration::from_secs(seconds.into())),
            received: received_at,
            authority: CommandAuthority::RoomAllows,
            door: DoorKind::Mqtt,
            transfer: Transfer::None,
            reply,
        });
    }

    /// The broker answered the subscription. False if it answers nothing that was asked.
    pub fn suback(&self, ack: &SubAck, subscription: &mut Subscription) -> bool {
        let Some(not_granted) = subscription.answered(ack, Instant::now()) else {
            return false;
        };
        let telemetry = &self.context.telemetry;
        for not in not_granted {
            if not.is_only_weaker() {
                telemetry.broker_weakened_subscription(&not.filter);
                continue;
            }
            let reason = refused_filter(not.reason, &ack.words);
            let effect = if not.is_commands {
                NO_COMMANDS
            } else {
                self.effect(&not.filter)
            };
            telemetry.broker_refused_subscription(&not.filter, &reason, effect);
        }
        true
    }

    /// The broker ends the connection at this filter, which is not asked for any more.
    pub fn left_out(&self, filter: &str, lost: &ConnectionLost) {
        let reason = ended_at_filter(&lost.to_string());
        let telemetry = &self.context.telemetry;
        telemetry.broker_refused_subscription(filter, &reason, self.effect(filter));
    }

    /// Whether it is the filter at which a gateway of several hears itself.
    fn is_own_info(&self, filter: &str) -> bool {
        let settings = &self.context.settings;
        settings.shared.is_some() && filter == retained_filter(&self.context).path
    }

    /// What it means that this filter is not subscribed to.
    fn effect(&self, filter: &str) -> &'static str {
        let prefix = &self.context.settings.prefix;
        if filter == prefix.add(ALL_ROOMS) {
            "no command arrives, and the gateway is not ready; states are published. It is asked for \
             again from time to time: check the broker's access rules for this user"
        } else if filter == prefix.add(ALL_GATEWAY_TOPICS) {
            "another gateway with the same topics is not noticed"
        } else if filter == prefix.add(&MemberTopics::ANY.below(MOVED)) {
            "what the other gateways say when they take a room is not heard, so commands may be late while rooms \
             move. It is asked for again every minute: check the broker's access rules for this user"
        } else if filter == prefix.add(&MemberTopics::ANY.below(DONE)) {
            "which results the other gateways have given is not heard, so a command may have a second result when \
             a gateway dies: check the broker's access rules for this user"
        } else if self.is_own_info(filter) {
            "a broker that loses what it retains is not noticed"
        } else {
            "Home Assistant's start and its documents are not noticed"
        }
    }
}

/// Whether the payload of a command is a file.
fn takes_file(command: &str) -> bool {
    let route = CATALOGUE.route(command);
    route.is_ok_and(|(route, _)| matches!(route.command().payload, Payload::Bytes { .. }))
}

#[cfg(test)]
pub(super) mod tests;
