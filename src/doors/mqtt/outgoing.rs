//! What becomes of the messages that were sent: taken, refused for good, refused for now, or left
//! without an answer.
//!
//! Brings together `refusals` (which messages the broker does not take), `pace` (how fast they are
//! sent) and `postponed` (which wait for a time of their own). What is sent again goes back through
//! the outbox, so a state comes with its newest value. Writes nothing to the broker.

use std::sync::Arc;

use tokio::time::Instant;

use super::DoorContext;
use super::error::ConnectionLost;
use super::inflight::SentMessage;
use super::message::{Delivery, USUAL_RESULT, result_messages};
use super::pace::Pace;
use super::packets::PubAck;
use super::postponed::Postponed;
use super::refusals::{Obstacle, Refusals};
use super::send::refused;
use super::session::BrokerSession;
use crate::state::Item;
use crate::topics::{GATEWAY_AVAILABILITY, is_gateway_topic};

/// A message is left out after it stayed unanswered this often while others were answered.
const UNANSWERED_UNTIL_LEFT_OUT: u32 = 3;
/// At most these bytes of results wait: 10,000 of the usual size, which are a minute's results of a hundred rooms. A
/// broker that takes none for an hour must not fill the memory, nor a client whose commands come faster than the broker
/// acknowledges results. The gateway cannot read more slowly instead: the acknowledgements come behind the commands.
const RESULT_BYTES: usize = 10_000 * USUAL_RESULT;
/// Why an event or a result that the broker refused is given up.
const TOO_MANY_WAIT: &str = "the broker has refused messages for so long that too many wait";
/// Why a result is given up.
const TOO_MANY_RESULTS: &str = "more results wait than the broker takes: commands of this room come faster than it \
                                acknowledges their results";

/// What is known of the messages that were sent, over all connections.
pub struct Outgoing {
    context: Arc<DoorContext>,
    pub refusals: Refusals,
    pub pace: Pace,
    pub postponed: Postponed,
    /// Items that were refused for now, in order. They go to the front of the outbox when the next
    /// message may be sent.
    returned: Vec<Item<Delivery>>,
    /// Commands that were received and whose results were not taken from the outbox yet.
    pub results_pending: usize,
}

impl Outgoing {
    pub fn new(context: Arc<DoorContext>) -> Self {
        let availability = context.settings.at_broker(GATEWAY_AVAILABILITY);
        Self {
            refusals: Refusals::new(availability.into()),
            context,
            pace: Pace::default(),
            postponed: Postponed::default(),
            returned: Vec::new(),
            results_pending: 0,
        }
    }

    /// The broker took a publish, or refused it. `None` if it was never sent, else the number of the
    /// newest command that was acknowledged to the broker before.
    pub fn answered(&mut self, session: &mut BrokerSession, ack: PubAck) -> Option<u64> {
        let message = session.inflight.acknowledged(ack.packet_id)?;
        let (now, sent_after) = (Instant::now(), message.sent_after);
        if ack.reason.passes() {
            self.refused_for_now(session, message, ack, now);
            return Some(sent_after);
        }
        self.postponed.taken(&message.topic, message.sent);
        self.pace.taken(now);
        if ack.reason.is_refusal() {
            self.refusals
                .refused(&message.topic, message.size, ack.reason);
            self.leave_out(message, &Obstacle::Refused(ack.reason, ack.words));
            return Some(sent_after);
        }
        self.refusals.accepted(&message.topic);
        if let Some(Item::State(topic)) = &message.item
            && !is_gateway_topic(topic)
        {
            self.context.document_taken(topic, message.size);
        }
        Some(sent_after)
    }

    /// The broker does not take this message. A result waits again, as a failure.
    pub fn leave_out(&mut self, message: SentMessage, obstacle: &Obstacle) {
        let waits_again = refused(&self.context, &mut self.refusals, message, obstacle);
        self.results_pending += usize::from(waits_again);
    }

    /// A refusal that passes. Usually the broker takes fewer messages: all go more slowly, in their
    /// order. If it takes others meanwhile, it is this message, which waits alone.
    fn refused_for_now(
        &mut self,
        session: &mut BrokerSession,
        message: SentMessage,
        ack: PubAck,
        now: Instant,
    ) {
        let PubAck { reason, words, .. } = ack;
        let telemetry = &self.context.telemetry;
        telemetry.broker_refused_message();
        self.refusals.refused(&message.topic, message.size, reason);
        let setback = self.postponed.set_back(&message.topic, message.sent, false);
        let waits_alone = setback.waits_alone;
        if setback.is_its_own {
            let obstacle = Obstacle::Refused(reason, words);
            let is_new = self.refusals.is_news(&message.topic, &obstacle);
            let topic = String::from_utf8_lossy(&message.topic);
            telemetry.message_postponed(&topic, message.size, &obstacle, is_new);
        } else if self.pace.set_back(message.sent, now) {
            telemetry.broker_takes_fewer(&format_args!("{reason}{words}"));
        }
        let Some(item) = message.item else {
            // Without the file its result still names the URL.
            if let Some(file) = message.file.filter(|_| !waits_alone) {
                session.unsent.push_front((file, None));
            }
            return;
        };
        self.results_pending += usize::from(matches!(item, Item::Reply(_)));
        if !waits_alone {
            self.returned.push(item);
        } else if let Some(oldest) = self.postponed.push(item, now + setback.wait) {
            self.give_up(&oldest, TOO_MANY_WAIT);
        }
    }

    /// Gives up results, if too many wait. Their commands were carried out, or refused.
    pub fn give_up_surplus(&mut self, session: &mut BrokerSession) {
        let outbox = &self.context.subscriber.outbox;
        for reply in outbox.take_replies_above(RESULT_BYTES) {
            let room = reply.outcome.room.clone();
            let id = reply.address.command;
            session.finished.extend(id.map(|id| (room, id)));
            self.give_up(&Item::Reply(reply), TOO_MANY_RESULTS);
        }
    }

    /// Looks for messages without an answer, and for those whose time has come.
    pub fn check_times(&mut self, session: &mut BrokerSession, now: Instant) {
        // While bytes wait to be written, the broker is slow to read, which is no silence.
        if !session.link.has_waiting() {
            while let Some(message) = session.inflight.take_unanswered(now) {
                self.unanswered(session, message, now);
            }
        }
        let outbox = &self.context.subscriber.outbox;
        let repeats = session.inflight.take_repeats(now);
        let results = repeats.iter().filter(|item| matches!(item, Item::Reply(_)));
        self.results_pending += results.count();
        outbox.put_back(repeats);
        outbox.put_back(self.postponed.take_due(now));
    }

    /// It is sent again with a new identifier; a late answer to this one prevents that.
    fn unanswered(&mut self, session: &mut BrokerSession, mut message: SentMessage, now: Instant) {
        let setback = self.postponed.set_back(&message.topic, message.sent, true);
        if setback.unanswered >= UNANSWERED_UNTIL_LEFT_OUT
            && self.refusals.unanswered(&message.topic, message.size, now)
        {
            self.postponed.forget(&message.topic);
            let item = message.item.take();
            let left_out = message.with_item(item);
            session.inflight.keep(message, now);
            return self.leave_out(left_out, &Obstacle::NotAcknowledged);
        }
        if !setback.is_its_own && self.pace.set_back(message.sent, now) {
            let telemetry = &self.context.telemetry;
            telemetry.broker_takes_fewer(&"it leaves some without an answer (PUBACK)");
        }
        session.inflight.keep(message, now + setback.wait);
    }

    /// The connection ended, and what it had in flight is in the outbox again. If there was too much,
    /// the next connection begins slowly.
    pub fn connection_ended(&mut self, lost: &ConnectionLost, now: Instant) {
        self.send_again();
        if let ConnectionLost::Disconnected { reason, words, .. } = lost
            && reason.is_rate()
            && self.pace.set_back(now, now)
        {
            let reason = format_args!("{reason}{words}");
            self.context.telemetry.broker_takes_fewer(&reason);
        }
    }

    /// The next message may be sent: what was refused for now comes first.
    pub fn send_again(&mut self) {
        if !self.returned.is_empty() {
            let returned = std::mem::take(&mut self.returned);
            self.context.subscriber.outbox.put_back(returned);
        }
    }

    /// Whether nothing waits for a time of its own that a stop would lose.
    pub fn is_empty(&self) -> bool {
        self.returned.is_empty() && !self.postponed.holds_one_off()
    }

    /// Too many wait: this event or result is not sent.
    fn give_up(&mut self, item: &Item<Delivery>, why: &str) {
        let prefix = &self.context.settings.prefix;
        let settings = &self.context.settings;
        let (topic, size) = match item {
            Item::State(topic) => (settings.at_broker(topic), 0),
            Item::Event(topic, payload) => (settings.at_broker(topic), payload.len()),
            Item::Reply(delivery) => {
                self.results_pending = self.results_pending.saturating_sub(1);
                let message = result_messages(prefix, delivery).pop();
                message.map_or_else(Default::default, |it| (it.topic, it.payload.len()))
            }
        };
        let telemetry = &self.context.telemetry;
        telemetry.message_left_out(&topic, size, &why, true);
    }
}
