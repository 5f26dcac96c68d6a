//! The events: each is counted and, if it is useful to an operator, logged.
//!
//! A line's target names the part of the gateway that the event is from, so that a filter such as
//! `poly2mqtt::rooms=debug` shows it. A line about a room is written inside of that room's span,
//! because the JSON form of the log does not show the explicit parent of a line.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::net::IpAddr;
use std::sync::Arc;

use time::OffsetDateTime;

use super::floods::{MessageProblem, Subject};
use super::shortened::shortened;
use super::{LONGEST_TEXT, Telemetry, room_span};
use crate::command::{DoorKind, ErrorCode, Failure, Outcome};
use crate::net::Network;

/// Devices of Home Assistant that a line names.
const NAMED_DEVICES: usize = 5;

pub(super) const ROOMS: &str = "poly2mqtt::rooms";
const DEVICE: &str = "poly2mqtt::device";
pub(super) const DOORS: &str = "poly2mqtt::doors";
const BROKER: &str = "poly2mqtt::broker";
pub(super) const MQTT: &str = "poly2mqtt::doors::mqtt";

/// The result of reading a state from a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PollOutcome {
    /// The answer is another one than before.
    Changed,
    /// The answer is the same as before.
    Unchanged,
    /// The device answered with an error, or with something that cannot be read.
    Failed,
    /// No answer in time, or the connection broke.
    Silent,
}

impl PollOutcome {
    /// All of them, in the order of their numbers.
    pub(super) const ALL: [Self; 4] = [Self::Changed, Self::Unchanged, Self::Failed, Self::Silent];

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::Failed => "failed",
            Self::Silent => "silent",
        }
    }
}

/// How a device answered a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StatusClass {
    Success,
    Redirection,
    Refusal,
    Failure,
    NoAnswer,
}

impl StatusClass {
    /// All of them, in the order of their numbers.
    pub(super) const ALL: [Self; 5] = [
        Self::Success,
        Self::Redirection,
        Self::Refusal,
        Self::Failure,
        Self::NoAnswer,
    ];

    fn of(status: Option<u16>) -> Self {
        match status {
            Some(100..=299) => Self::Success,
            Some(300..=399) => Self::Redirection,
            Some(400..=499) => Self::Refusal,
            Some(_) => Self::Failure,
            None => Self::NoAnswer,
        }
    }

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Success => "2xx",
            Self::Redirection => "3xx",
            Self::Refusal => "4xx",
            Self::Failure => "5xx",
            Self::NoAnswer => "none",
        }
    }
}

/// Why a client was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientRefusal {
    /// It has no token, or a wrong one.
    Token,
    /// There are too many clients already.
    Limit,
    /// All places for connections are taken; this one, or an older one, was closed.
    Place,
    /// A web page of another origin.
    Origin,
    /// It asked for a host name that is not in `http.hosts`.
    Host,
    /// Its request names two hosts, origins or tokens, or no host.
    Request,
}

impl ClientRefusal {
    fn label(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Limit => "limit",
            Self::Place => "place",
            Self::Origin => "origin",
            Self::Host => "host",
            Self::Request => "request",
        }
    }
}

/// Commands and rooms.
impl Telemetry {
    /// A command has its result, wherever it was decided. A superseded command is counted but not
    /// logged: its sender replaced it.
    pub fn command_finished(&self, door: DoorKind, outcome: &Outcome) {
        let code = match &outcome.result {
            Ok(_) => "ok",
            Err(failure) => failure.code.as_str(),
        };
        self.metrics.command(door.as_str(), code, outcome.took);
        if let Err(failure) = &outcome.result
            && failure.code != ErrorCode::Superseded
        {
            self.command_failed(door, outcome, failure);
        }
    }

    fn command_failed(&self, door: DoorKind, outcome: &Outcome, failure: &Failure) {
        let room = shortened(&outcome.room, LONGEST_TEXT);
        // Clients choose the rooms that do not exist.
        let counted_room = (failure.code != ErrorCode::UnknownRoom).then(|| Arc::from(&*room));
        let subject = Subject::FailedCommands(door, failure.code, counted_room);
        if !self.floods.is_in_full(subject, &outcome.command) {
            return;
        }
        let command = &*shortened(&outcome.command, LONGEST_TEXT);
        let reason = &*shortened(&failure.message, LONGEST_TEXT);
        let code = failure.code.as_str();
        room_span(&room)
            .in_scope(|| tracing::info!(target: ROOMS, command, code, reason, "command failed"));
    }

    /// A room's device is logged in to and can be used.
    pub fn room_online(&self, room: &str) {
        let subject = Subject::RoomChanges(room.into());
        if self.floods.is_in_full(subject, &"online") {
            room_span(room).in_scope(|| tracing::info!(target: ROOMS, "online"));
        }
    }

    /// A room's device cannot be used any more, or has another problem than before.
    pub fn room_offline(&self, room: &str, problem: &str) {
        let problem = &*shortened(problem, LONGEST_TEXT);
        let subject = Subject::RoomChanges(room.into());
        if self.floods.is_in_full(subject, &problem) {
            room_span(room).in_scope(|| tracing::warn!(target: ROOMS, problem, "offline"));
        }
    }

    /// A camera that was started may still move: the device has refused every stop.
    pub fn camera_not_stopped(&self, room: &str, failure: &Failure) {
        let reason = &*shortened(&failure.message, LONGEST_TEXT);
        room_span(room).in_scope(|| {
            tracing::warn!(target: ROOMS, reason, "the camera may still move: the device refuses to stop it");
        });
    }

    /// A room is no longer configured.
    pub fn room_removed(&self, room: &str) {
        room_span(room).in_scope(|| tracing::info!(target: ROOMS, "removed"));
    }

    /// The read of a state begins, this late: in intervals of that state.
    pub fn poll_started(&self, late: f64) {
        self.metrics.poll_late.observe(late);
    }

    /// The read of a state ended. There are up to a thousand a second, so no line.
    pub fn poll_finished(&self, outcome: PollOutcome) {
        self.metrics.poll(outcome);
    }

    /// A device answered a request with this status, or did not answer.
    pub fn device_request(&self, status: Option<u16>) {
        self.metrics.device_request(StatusClass::of(status));
    }
}

/// Connections to devices.
impl Telemetry {
    /// The connection to a device broke after a request was sent, wholly or in part. Results only
    /// say that it did. At debug level, because each poll of a failing device may write the line.
    pub fn device_connection_broke(&self, cause: &dyn Display) {
        tracing::debug!(target: DEVICE, %cause, "the connection to the device broke");
    }
}

/// Clients of the doors.
impl Telemetry {
    /// A client connected. [`Telemetry::client_disconnected`] must follow.
    pub fn client_connected(&self, door: DoorKind) {
        let clients = self.metrics.clients(door.as_str()).inc();
        tracing::debug!(target: DOORS, door = door.as_str(), clients = clients + 1, "client connected");
    }

    /// A client has gone.
    pub fn client_disconnected(&self, door: DoorKind) {
        let clients = self.metrics.clients(door.as_str()).dec();
        tracing::debug!(target: DOORS, door = door.as_str(), clients = clients - 1, "client disconnected");
    }

    /// A client was refused.
    pub fn client_refused(&self, why: ClientRefusal) {
        self.metrics.client_refused(why.label());
        tracing::debug!(target: DOORS, why = why.label(), "client refused");
    }

    /// A wrong token or password was checked. The line is for programs that block addresses, so its form
    /// is documented in docs/monitoring.md, and no span stands before it. Of an address that goes on,
    /// every twelfth has a line: one in a minute. With very many addresses the others are counted.
    pub fn wrong_secret(&self, door: DoorKind, address: IpAddr, failures: u32) {
        self.metrics.guess(door.as_str());
        let has_line = failures <= 6 || failures.is_multiple_of(12);
        let subject = Subject::WrongSecret(door);
        if has_line && self.floods.is_in_full(subject, &Network::of(address)) {
            let door = door.as_str();
            tracing::warn!(target: DOORS, parent: None, door, %address, failures, "wrong token or password");
        }
    }

    /// An event was dropped, because a reader did not take its events fast enough.
    pub fn event_dropped(&self, door: DoorKind) {
        self.metrics.event_dropped(door.as_str());
    }
}

/// The first of these names, and how many more there are.
fn listed<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    const LISTED: usize = 8;
    let names: Vec<T> = names.into_iter().collect();
    let first = names.iter().take(LISTED).map(AsRef::as_ref);
    let first = first.collect::<Vec<_>>().join(", ");
    let listed = shortened(&first, LONGEST_TEXT).into_owned();
    match names.len().saturating_sub(LISTED) {
        0 => listed,
        more => format!("{listed} and {more} more"),
    }
}

/// The gateway's own certificates.
impl Telemetry {
    /// The gateway shows a certificate that it has by this key of the configuration, until it ends.
    pub fn certificate_in_use(&self, key: &'static str, end: Option<OffsetDateTime>) {
        self.metrics.certificate_in_use(key, end);
    }
}

/// The MQTT door and its broker. The door's task runs in [`broker_span`](super::broker_span), which
/// names the broker.
impl Telemetry {
    /// A connection to the broker came up.
    pub fn broker_connected(&self) {
        self.metrics.broker_connects.inc();
        tracing::info!(target: MQTT, "connected to the broker");
    }

    /// There is no connection to the broker, for another reason than was logged last.
    pub fn broker_lost(&self, why: &str) {
        let why = shortened(why, LONGEST_TEXT);
        tracing::warn!(target: MQTT, "no connection to the broker: {why}");
    }

    /// Several connections in a row ended soon after they came up.
    pub fn broker_unsteady(&self, client_id: &str) {
        tracing::warn!(
            target: MQTT,
            client_id,
            "the broker keeps ending the connection soon after it is made: another client may be \
             using this client id. Give each gateway a mqtt.client_id of its own; the gateway waits up to \
             30 s before it connects again"
        );
    }

    /// Another gateway publishes at the same topics of the broker. `shared` are the rooms that are
    /// configured here too.
    pub fn another_gateway<'a>(
        &self,
        rooms: impl IntoIterator<Item = &'a String>,
        shared: &[String],
    ) {
        if shared.is_empty() {
            let rooms = listed(rooms);
            tracing::warn!(
                target: MQTT,
                rooms,
                "another gateway uses the same topics at this broker; its rooms are left alone. Give \
                 each gateway a mqtt.topic_prefix of its own"
            );
        } else {
            let rooms = listed(shared);
            tracing::warn!(
                target: MQTT,
                rooms,
                "another gateway at this broker has the same rooms: both carry out their commands and \
                 overwrite their states. End one of them, or give each a mqtt.topic_prefix of its own"
            );
        }
    }

    /// Another process publishes with this gateway's id, so the mark of a message proves nothing.
    pub fn gateway_id_in_use(&self) {
        tracing::warn!(
            target: MQTT,
            "another process uses this gateway's mqtt.client_id, perhaps at a broker that is bridged \
             with this one; what earlier runs left at the broker is not cleared. Give each a \
             mqtt.client_id of its own"
        );
    }

    /// How many other gateways are there.
    pub fn other_gateways(&self, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.other_gateways.set(count);
    }

    /// The broker holds topics of rooms that no gateway has, and that are not marked as this one's.
    pub fn topics_unclaimed(&self, rooms: &[&str], topics: usize) {
        let rooms = listed(rooms);
        tracing::info!(
            target: MQTT,
            rooms,
            topics,
            "the broker holds topics of rooms that no gateway has, left by another gateway, by \
             another mqtt.client_id or by an old version; `poly2mqtt clear --client-id ID`, with the \
             client id that the other gateway had, lists its topics, and `poly2mqtt clear --unmarked` \
             those of an old version; --yes clears them"
        );
    }

    /// The embedded broker denied something to a client because of a limit. Clients can cause any
    /// number of these, so no line.
    pub fn broker_limited(&self, limit: &'static str) {
        self.metrics.broker_limited(limit);
        tracing::debug!(target: BROKER, limit, "a client reached a limit");
    }

    /// The broker does not grant the subscription to this filter. `effect`: what that means.
    pub fn broker_refused_subscription(&self, filter: &str, reason: &str, effect: &str) {
        self.metrics.broker_refused.inc();
        let problem = MessageProblem::SubscriptionRefused;
        if self.is_message_in_full(problem, filter) {
            let text = problem.text();
            tracing::error!(target: MQTT, filter, reason, "{text}: {effect}");
        }
    }

    /// The broker grants the subscription to this filter with QoS 0 only.
    pub fn broker_weakened_subscription(&self, filter: &str) {
        tracing::warn!(
            target: MQTT,
            filter,
            "the broker grants this subscription with QoS 0 only: messages may be lost on the way"
        );
    }

    /// The broker has granted the subscription to this filter and delivers nothing of these rooms.
    pub fn rooms_not_delivered(&self, filter: &str, rooms: &[String]) {
        let rooms = listed(rooms);
        tracing::warn!(
            target: MQTT,
            filter,
            rooms,
            "the broker grants this subscription and delivers nothing of these rooms, so no command for \
             them arrives: let the gateway's user read there, not only write (Mosquitto: `topic \
             readwrite {filter}`); `poly2mqtt check --connect` tries it"
        );
    }

    /// Of how many rooms the broker delivers nothing.
    pub fn undelivered_rooms(&self, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.undelivered_rooms.set(count);
    }

    /// The broker delivers what it did not deliver before.
    pub fn delivered_again(&self) {
        tracing::info!(target: MQTT, "the broker delivers now what it has granted");
    }

    /// The broker has granted the subscription to this filter, which is that of what gateways say, and
    /// delivers nothing.
    pub fn gateways_not_delivered(&self, filter: &str) {
        tracing::warn!(
            target: MQTT,
            filter,
            "the broker grants this subscription and delivers nothing: another gateway with the same \
             topics is not noticed. Let the gateway's user read there, not only write (Mosquitto: `topic \
             readwrite {filter}`)"
        );
    }

    /// The broker sends nothing of what it retains below a wildcard.
    pub fn retained_untold(&self) {
        tracing::warn!(
            target: MQTT,
            "the broker does not tell what it retains below a wildcard, as RabbitMQ does not: what earlier \
             runs left there is not found and stays, such as the topics of rooms that are not configured \
             any more. Clear it by name"
        );
    }

    /// The broker does not hold what it had retained.
    pub fn broker_lost_retained(&self) {
        tracing::warn!(
            target: MQTT,
            "the broker has lost the messages that it retained; everything is published again"
        );
    }

    /// The broker sends a retained message without the flag that says so.
    pub fn broker_lacks_retain_flag(&self) {
        tracing::warn!(
            target: MQTT,
            "the broker sends retained messages without the retain flag: commands that it sends in the first \
             two seconds after the start are not carried out, because they may be retained"
        );
    }

    /// The broker refused a message, or ended the connection because of it.
    pub fn broker_refused_message(&self) {
        self.metrics.broker_refused.inc();
    }

    /// A message is not published, or was not taken. `size`: of its payload. `is_new`: the log has not
    /// been told so of this topic.
    pub fn message_left_out(&self, topic: &str, size: usize, why: &dyn Display, is_new: bool) {
        self.metrics.broker_left_out.inc();
        let problem = MessageProblem::LeftOut;
        if is_new && self.is_message_in_full(problem, topic) {
            let (topic, text) = (&*shortened(topic, LONGEST_TEXT), problem.text());
            let why = why.to_string();
            let why = shortened(&why, LONGEST_TEXT);
            tracing::warn!(target: MQTT, topic, size, "{text}: {why}");
        }
    }

    /// The broker refuses a message for now and takes others. `is_new`: the log has not been told so of
    /// this topic.
    pub fn message_postponed(&self, topic: &str, size: usize, why: &dyn Display, is_new: bool) {
        let problem = MessageProblem::Postponed;
        if is_new && self.is_message_in_full(problem, topic) {
            let (topic, text) = (&*shortened(topic, LONGEST_TEXT), problem.text());
            tracing::warn!(target: MQTT, topic, size, "{text}: {why}. It is sent again from time to time");
        }
    }

    /// The broker takes fewer messages than there are, and says so in these words.
    pub fn broker_takes_fewer(&self, reason: &dyn Display) {
        tracing::warn!(
            target: MQTT,
            %reason,
            "the broker takes fewer messages than the gateway has: they are sent more slowly and, where \
             it did not take them, again. Raise its limits of rate and quota for this user"
        );
    }

    /// The broker takes documents of `limit` bytes, so Home Assistant does not get all `entities` of
    /// these devices, whose whole documents have these sizes; it gets everything if there is none.
    pub fn documents_cut(
        &self,
        limit: usize,
        devices: &BTreeMap<String, usize>,
        entities: &BTreeSet<String>,
    ) {
        let count = devices.len();
        self.metrics
            .broker_cut_documents
            .set(i64::try_from(count).unwrap_or(i64::MAX));
        if devices.is_empty() {
            tracing::info!(target: MQTT, "Home Assistant gets every entity again");
            return;
        }
        let named = devices.iter().take(NAMED_DEVICES);
        let named: Vec<_> = named
            .map(|(id, size)| format!("{id} ({size} bytes)"))
            .collect();
        let names: Vec<&str> = entities.iter().map(|key| &**key).collect();
        tracing::warn!(
            target: MQTT,
            limit,
            count,
            devices = named.join(", "),
            left_out = names.join(", "),
            "Home Assistant gets only a part of these devices' entities: the broker takes no larger \
             messages. Raise its limit (Mosquitto: max_packet_size, message_size_limit)"
        );
    }

    /// A message was handed to the broker. No line: its own log tells.
    pub fn message_published(&self) {
        self.metrics.broker_published.inc();
    }

    /// A message could not be put into a packet.
    pub fn message_not_sent(&self, error: &dyn Display) {
        let problem = MessageProblem::NotSent;
        let error = error.to_string();
        if self.is_message_in_full(problem, &error) {
            let (error, text) = (&*shortened(&error, LONGEST_TEXT), problem.text());
            tracing::error!(target: MQTT, %error, "{text}");
        }
    }

    /// A command arrived from the broker; [`Telemetry::command_finished`] will follow.
    pub fn command_received(&self) {
        self.metrics.broker_received.inc();
    }

    /// A message for Home Assistant's publisher was dropped, because too many wait.
    pub fn inbound_dropped(&self, topic: &str) {
        self.warn_of_message(MessageProblem::InboundDropped, topic);
    }

    fn is_message_in_full(&self, problem: MessageProblem, cause: &str) -> bool {
        self.floods.is_in_full(Subject::Messages(problem), &cause)
    }

    fn warn_of_message(&self, problem: MessageProblem, topic: &str) {
        if self.is_message_in_full(problem, topic) {
            let (topic, text) = (&*shortened(topic, LONGEST_TEXT), problem.text());
            tracing::warn!(target: MQTT, topic, "{text}");
        }
    }
}
