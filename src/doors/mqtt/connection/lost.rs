//! The end of a connection: what is sent again, which message or filter may be why, and what the log says.
//!
//! Opens no connection and does not wait: it says when the next one is tried.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::Connection;
use crate::doors::mqtt::error::{ConnectionLost, TAKES_NO_MESSAGE};
use crate::doors::mqtt::idle_ends::{IdleEnd, QuietEnd};
use crate::doors::mqtt::reason::ReasonCode;
use crate::doors::mqtt::refusals::{Diagnosis, Obstacle};
use crate::doors::mqtt::session::BrokerSession;
use crate::state::Item;

/// The end of a connection, and whether a message is why.
pub(super) struct Lost {
    pub(super) lost: ConnectionLost,
    diagnosis: Diagnosis,
    /// It ended for being idle, as it seems.
    idle: Option<IdleEnd>,
}

impl Lost {
    /// No message is why.
    pub(super) fn of_broker(lost: ConnectionLost) -> Self {
        Self {
            lost,
            diagnosis: Diagnosis::Unrelated,
            idle: None,
        }
    }
}

impl Connection {
    /// The connection ended. What was not acknowledged is sent again on the next one, before what waits behind it in
    /// its room's queue, but a message that is the reason for the end is left out.
    pub(super) fn end(&mut self, mut session: BrokerSession, lost: ConnectionLost) -> Lost {
        self.shared_connection_ended(&lost);
        self.upkeep.connection_ended(&self.context.store);
        let in_flight: Vec<(Bytes, usize)> = (session.inflight.iter())
            .map(|sent| (sent.topic.clone(), sent.size))
            .collect();
        let is_by_size = matches!(
            lost,
            ConnectionLost::Disconnected {
                reason: ReasonCode::PACKET_TOO_LARGE,
                ..
            }
        );
        let blame = lost.blame();
        let idle = if in_flight.is_empty() && lost.is_vague() && session.is_ready {
            self.idle_ends.ended(QuietEnd {
                silence: session.last_traffic.elapsed(),
                lasted: session.began.elapsed(),
                keep_alive: session.limits.keep_alive,
            })
        } else {
            None
        };
        let pending = session.subscription.pending();
        if !pending.is_empty()
            && lost.can_mean_filter()
            && let Some(filter) = self.filter_ends.connection_ended(
                pending,
                session.subscription.has_answer || !lost.is_vague(),
                Instant::now(),
            )
        {
            self.receiver.left_out(&filter, &lost);
            self.backoff.cause_found();
        }
        self.receiver.first_commands_over();
        let diagnosis =
            self.outgoing
                .refusals
                .connection_ended(&in_flight, blame, is_by_size, Instant::now());
        if let Diagnosis::Culprit(index) = diagnosis
            && let Some(message) = session.inflight.take(index)
        {
            let outgoing = &mut self.outgoing;
            let again = (outgoing.refusals).try_again_at(&message.topic, Instant::now());
            if let (Some(at), Some(Item::State(topic))) = (again, &message.item) {
                outgoing.postponed.push(Item::State(topic.clone()), at);
            }
            let obstacle = Obstacle::EndsConnection {
                words: lost.to_string(),
                size: lost.size_cause(),
            };
            outgoing.leave_out(message, &obstacle);
        }
        let items = session.into_items();
        let results = items.iter().filter(|item| matches!(item, Item::Reply(_)));
        self.outgoing.results_pending += results.count();
        self.context.subscriber.outbox.put_back(items);
        self.outgoing.connection_ended(&lost, Instant::now());
        match diagnosis {
            Diagnosis::TakesNothing => {
                Lost::of_broker(ConnectionLost::Unsuitable(TAKES_NO_MESSAGE.into()))
            }
            diagnosis => Lost {
                lost,
                diagnosis,
                idle,
            },
        }
    }

    /// Writes why there is no connection, and returns when the next one is tried.
    pub(super) fn report(&mut self, lost: &Lost) -> Duration {
        let Lost {
            lost,
            diagnosis,
            idle,
        } = lost;
        self.context.connected.send_replace(false);
        let by_message = *diagnosis != Diagnosis::Unrelated;
        let mut reason = lost.to_string();
        let report = self
            .backoff
            .lost(lost.without_words(), by_message, Instant::now());
        if matches!(diagnosis, Diagnosis::Culprit(_)) {
            self.backoff.cause_found();
        }
        let delay = self.backoff.next_delay(lost.is_final());
        let telemetry = &self.context.telemetry;
        if report.keeps_ending {
            let why = (!lost.can_mean_client_id()).then_some(&*reason);
            let longest = self.backoff.longest_delay(lost.is_final());
            telemetry.broker_unsteady(&self.context.settings.client_id, why, longest);
        }
        self.tells_connection = idle.is_none();
        if let Some(IdleEnd::News(silence)) = idle {
            telemetry.broker_ends_idle(*silence, self.context.settings.keep_alive);
        }
        if report.is_new_reason && idle.is_none() {
            if lost.is_final() {
                let seconds = delay.as_secs();
                reason.push_str(&format!(
                    "; it is tried again every {seconds} s without a line"
                ));
            }
            telemetry.broker_lost(&reason);
        }
        delay
    }
}
