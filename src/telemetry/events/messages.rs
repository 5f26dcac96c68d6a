//! Single messages to and from the MQTT broker: published, refused, left out, dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use super::MQTT;
use crate::telemetry::floods::{MessageProblem, Subject};
use crate::telemetry::shortened::shortened;
use crate::telemetry::{LONGEST_TEXT, Telemetry};

/// Devices of Home Assistant that a line names.
const NAMED_DEVICES: usize = 5;

impl Telemetry {
    /// The broker refused a message, or ended the connection because of it.
    pub fn broker_refused_message(&self) {
        self.metrics.broker.refused.inc();
    }

    /// A message is not published, or was not taken. `size`: of its payload. `is_new`: the log has not
    /// been told so of this topic.
    pub fn message_left_out(&self, topic: &str, size: usize, why: &dyn Display, is_new: bool) {
        self.metrics.broker.left_out.inc();
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

    /// The broker does not take the whole documents of these devices, which have these sizes, so Home Assistant does
    /// not get these `entities`; it gets everything if there is no such device. `wanted`: the packets that the broker
    /// has to take, in bytes.
    pub fn documents_cut(
        &self,
        wanted: usize,
        devices: &BTreeMap<String, usize>,
        entities: &BTreeSet<String>,
    ) {
        let count = devices.len();
        self.metrics
            .broker
            .cut_documents
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
            wanted,
            count,
            devices = named.join(", "),
            left_out = names.join(", "),
            "Home Assistant does not get all entities of these devices: the broker takes no larger messages. \
             Raise its limit (Mosquitto: max_packet_size, message_size_limit), or mqtt.max_payload, to {wanted} \
             bytes or more"
        );
    }

    /// A message was handed to the broker. No line: its own log tells.
    pub fn message_published(&self) {
        self.metrics.broker.published.inc();
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
        self.metrics.broker.received.inc();
    }

    /// Another client has written over a state again, or cleared it again, soon after it was published again.
    pub fn state_does_not_stay(&self, topic: &str) {
        self.warn_of_message(MessageProblem::StateDoesNotStay, topic);
    }

    /// A message for Home Assistant's publisher was dropped, because too many wait.
    pub fn inbound_dropped(&self, topic: &str) {
        self.warn_of_message(MessageProblem::InboundDropped, topic);
    }

    pub(super) fn is_message_in_full(&self, problem: MessageProblem, cause: &str) -> bool {
        self.floods.is_in_full(Subject::Messages(problem), &cause)
    }

    fn warn_of_message(&self, problem: MessageProblem, topic: &str) {
        if self.is_message_in_full(problem, topic) {
            let (topic, text) = (&*shortened(topic, LONGEST_TEXT), problem.text());
            tracing::warn!(target: MQTT, topic, "{text}");
        }
    }
}
