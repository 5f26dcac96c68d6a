//! The connection to the MQTT broker: its ups and downs, other gateways there, and what the broker does not
//! grant, deliver or keep. The door's task runs in [`broker_span`](crate::telemetry::broker_span), which names the
//! broker.

use std::time::Duration;

use super::MQTT;
use crate::telemetry::floods::MessageProblem;
use crate::telemetry::shortened::shortened;
use crate::telemetry::{LONGEST_TEXT, Telemetry};

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

/// The connection, and who else is at the broker.
impl Telemetry {
    /// A connection to the broker came up. `is_news`: the log is to be told.
    pub fn broker_connected(&self, is_news: bool) {
        self.metrics.broker.connects.inc();
        if is_news {
            tracing::info!(target: MQTT, "connected to the broker");
        }
    }

    /// There is no connection to the broker, for another reason than was logged last.
    pub fn broker_lost(&self, why: &str) {
        let why = shortened(why, LONGEST_TEXT);
        tracing::warn!(target: MQTT, "no connection to the broker: {why}");
    }

    /// Several connections in a row ended soon after they came up. `why`: the reason of the last one, if it says that
    /// no other client with the same id is it. `longest`: the longest wait before the next connection.
    pub fn broker_unsteady(&self, client_id: &str, why: Option<&str>, longest: Duration) {
        let seconds = longest.as_secs();
        if let Some(why) = why {
            let why = shortened(why, LONGEST_TEXT);
            tracing::warn!(
                target: MQTT,
                "the connection to the broker keeps ending soon after it is made: {why}. The gateway waits up to \
                 {seconds} s before it connects again"
            );
            return;
        }
        tracing::warn!(
            target: MQTT,
            client_id,
            "the broker keeps ending the connection soon after it is made: another client may be \
             using this client id. Give each gateway a mqtt.client_id of its own, in a cluster a cluster.name of its own; the \
             gateway waits up to \
             {seconds} s before it connects again"
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
        self.metrics.broker.other_gateways.set(count);
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
}

/// Subscriptions, and what the broker delivers and keeps.
impl Telemetry {
    /// The broker does not grant the subscription to this filter. `effect`: what that means.
    pub fn broker_refused_subscription(&self, filter: &str, reason: &str, effect: &str) {
        self.metrics.broker.refused.inc();
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
        self.metrics.broker.undelivered_rooms.set(count);
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

    /// What the gateways of a cluster had left at the broker of some rooms was cleared.
    pub fn unknown_rooms_cleared(&self, rooms: usize, topics: usize) {
        tracing::info!(
            target: MQTT,
            rooms,
            topics,
            "cleared what was left of rooms that are configured nowhere any more"
        );
    }

    /// What the broker holds of rooms that this gateway has taken cannot be read.
    pub fn retained_not_read(&self, reason: &str) {
        let reason = shortened(reason, LONGEST_TEXT);
        tracing::warn!(
            target: MQTT,
            "what the broker holds of rooms that this gateway has taken cannot be read ({reason}), so all their \
             states are published: commands may be late while many rooms move. Let the gateway's user connect \
             with its client id and `.retained` behind it"
        );
    }

    /// The broker has come back with so many topics that this gateway had cleared, or that are not true any more.
    pub fn broker_held_older(&self, topics: usize) {
        tracing::warn!(
            target: MQTT,
            topics,
            "the broker came back with retained messages from before, as after a crash or from a backup: those of rooms \
             and states that are gone are cleared"
        );
    }

    /// What the broker holds from before cannot be read.
    pub fn older_not_read(&self, reason: &str) {
        let reason = shortened(reason, LONGEST_TEXT);
        tracing::warn!(
            target: MQTT,
            "the broker may hold older retained messages, and they cannot be read ({reason}): rooms and states that are \
             gone may be there until that succeeds. It is tried again every ten minutes. Let the gateway's user connect \
             with its client id and `.retained` behind it"
        );
    }

    /// Connections end whenever nothing has happened on them for so long, which is shorter than `keep_alive`.
    pub fn broker_ends_idle(&self, silence: Duration, keep_alive: Duration) {
        let (silence, keep_alive) = (silence.as_secs_f64().round(), keep_alive.as_secs_f64());
        tracing::warn!(
            target: MQTT,
            "the connection to the broker ends again and again when nothing has happened on it for {silence} s: a proxy or \
             firewall before the broker ends idle connections, as it seems. Set mqtt.keep_alive, now {keep_alive} s, to \
             less than that, or raise the limit there; it is not told each time"
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
}
