//! The door's one task: connects, waits longer after each failure, and serves the connection.
//!
//! Serving is one loop: take the packets that have arrived, send the items that may be sent, write
//! everything at once, and wait for whichever comes first. `receive` handles packets, `send`
//! turns items into messages. Nothing is published before the broker has answered the subscription,
//! and what it never answers ends the connection. `lost` has the end of one, `upkeep` what is done now and then.

mod lost;
mod sharing;
mod upkeep;

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::v5::mqttbytes::v5::{Packet, PubComp, Subscribe};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};

use super::DoorContext;
use super::backoff::Backoff;
use super::error::ConnectionLost;
use super::idle_ends::IdleEnds;
use super::link::BrokerLink;
use super::outgoing::Outgoing;
use super::packets::BrokerPacket;
use super::receive::Receiver;
use super::send::{add_messages, send_next};
use super::session::{BrokerSession, SessionLimits};
use super::subscription::{FilterEnds, Subscription, filters};
use lost::Lost;
use sharing::{changed, name_finished, shared_filters};
use upkeep::Upkeep;

use crate::net::{ClientTls, FlushRule};
use crate::sleep::{sleep_until_some, ticks_after};
use crate::state::Item;
use crate::topics::GATEWAY_AVAILABILITY;

/// How long writing the DISCONNECT may take. Without one the broker publishes the will, which says
/// the same as what was published before.
pub(super) const DISCONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// How often it is looked whether the broker's answers are overdue. Their deadlines are longer.
const DEADLINE_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How long after a subscription leftovers are not cleared: by then the broker has sent what it
/// retained, and other gateways have answered.
const SETTLE_TIME: Duration = Duration::from_secs(2);

/// Reading goes first, so that no deadline is missed whose answer has come already. But a broker that always has more
/// would keep pings and deadlines from their turn: after so many reads, each of which may bring thousands of small
/// packets, they go first once.
const READS_IN_A_ROW: u32 = 16;

/// The door's task.
pub struct Connection {
    context: Arc<DoorContext>,
    tls: Option<ClientTls>,
    receiver: Receiver,
    backoff: Backoff,
    idle_ends: IdleEnds,
    /// The next connection is told: not while they end again and again for being idle.
    tells_connection: bool,
    outgoing: Outgoing,
    filter_ends: FilterEnds,
    /// The broker was asked what an earlier run left there, and had time to answer. Once is enough:
    /// later connections of this run know, and `upkeep` asks a broker that may have come back with something older.
    asked_for_leftovers: bool,
    /// When leftovers are cleared, if any are this gateway's.
    settles_at: Option<Instant>,
    upkeep: Upkeep,
}

impl Connection {
    pub fn new(context: Arc<DoorContext>, tls: Option<ClientTls>) -> Self {
        Self {
            receiver: Receiver::new(context.clone()),
            outgoing: Outgoing::new(context.clone()),
            backoff: match context.settings.shared {
                Some(_) => Backoff::shared(),
                None => Backoff::default(),
            },
            context,
            tls,
            idle_ends: IdleEnds::default(),
            tells_connection: true,
            filter_ends: FilterEnds::default(),
            asked_for_leftovers: false,
            settles_at: None,
            upkeep: Upkeep::default(),
        }
    }

    /// Keeps a connection until the door stops and everything was sent.
    pub async fn run(mut self) {
        let stopping = self.context.stopping.clone();
        if let Some(mut may_connect) = self.context.settings.may_connect.clone() {
            tokio::select! {
                // Whoever has to allow it is gone only when the gateway ends.
                _ = may_connect.wait_for(|may| *may) => {}
                () = stopping.cancelled() => return,
            }
        }
        while !stopping.is_cancelled() {
            let opened = tokio::select! {
                opened = self.open() => opened,
                () = stopping.cancelled() => return,
            };
            let lost = match opened {
                Ok(session) => {
                    self.backoff.opened(Instant::now());
                    match self.serve(session).await {
                        Ok(()) => return,
                        Err(lost) => lost,
                    }
                }
                Err(lost) => Lost::of_broker(lost),
            };
            let delay = self.report(&lost);
            tokio::select! {
                () = sleep(delay) => {}
                () = stopping.cancelled() => {}
            }
        }
    }

    async fn open(&self) -> Result<BrokerSession, ConnectionLost> {
        let settings = &self.context.settings;
        let (link, properties) = BrokerLink::open(settings, self.tls.as_ref()).await?;
        let limits = SessionLimits::new(properties.as_ref(), settings)?;
        Ok(BrokerSession::new(link, limits))
    }

    /// Serves one connection until it is lost, or the door stops and everything was sent.
    async fn serve(&mut self, mut session: BrokerSession) -> Result<(), Lost> {
        self.begin(&mut session);
        match self.exchange(&mut session).await {
            Ok(()) => {
                // The broker has everything; a DISCONNECT that fails changes nothing.
                let _ = timeout(DISCONNECT_TIMEOUT, session.link.close()).await;
                Ok(())
            }
            Err(lost) => Err(self.end(session, lost)),
        }
    }

    /// A connection came up: everything is published again, in case the broker forgot it.
    fn begin(&mut self, session: &mut BrokerSession) {
        let context = &self.context;
        let is_resumed = session.link.is_resumed;
        self.receiver
            .redeliveries
            .connected(is_resumed, Instant::now());
        self.outgoing.refusals.connected();
        context.document_limit(session.limits.largest_packet);
        let outbox = &context.subscriber.outbox;
        for store in context.stores() {
            for topic in store.topics_below("") {
                outbox.push_state(&topic);
            }
        }
        // Past the outbox, so before all else: the states are worth nothing while the gateway seems to be offline, and
        // a broker that ends the connection at this message takes none.
        let availability = Arc::from(GATEWAY_AVAILABILITY);
        outbox.forget_state(&availability);
        session.first = Some(Item::State(availability));
    }

    /// Asks for commands, and on the first connection of this run for what the broker retained.
    fn subscribe_at_first(&mut self, session: &mut BrokerSession) -> Result<(), ConnectionLost> {
        let context = self.context.clone();
        let now = Instant::now();
        session.subscription = match context.settings.shared.as_deref() {
            Some(shared) => {
                let filters = shared_filters(&context, shared);
                Subscription::without_commands(filters, &self.filter_ends, now)
            }
            None => {
                let filters = filters(&context, !self.asked_for_leftovers);
                Subscription::new(filters, &self.filter_ends, now)
            }
        };
        self.subscribe(session)?;
        self.hear_markers(session);
        if !self.asked_for_leftovers && context.settings.shared.is_none() {
            self.receiver.asked_for_retained();
        }
        self.settles_at = None;
        self.upkeep
            .connected(session.link.is_resumed, Instant::now());
        Ok(())
    }

    /// Receives and sends until the connection is lost, or the door stops and everything was sent.
    async fn exchange(&mut self, session: &mut BrokerSession) -> Result<(), ConnectionLost> {
        let context = self.context.clone();
        let (stopping, outbox) = (&context.stopping, &context.subscriber.outbox);
        let keep_alive = session.limits.keep_alive;
        let mut pings = ticks_after(keep_alive, keep_alive);
        let mut deadlines = ticks_after(DEADLINE_CHECK_INTERVAL, DEADLINE_CHECK_INTERVAL);
        // Something came from the broker since the last ping.
        let mut is_alive = true;
        let mut reads = 0;
        let mut flush_rule = FlushRule::default();
        self.subscribe_at_first(session)?;
        let shared = context.settings.shared.as_deref();
        loop {
            let stops = stopping.is_cancelled();
            if let Some(shared) = shared.filter(|_| stops) {
                shared.lock().arbiter.stop(Instant::now());
            }
            while let Some(packet) = session.link.next().await? {
                self.receive(packet, session)?;
            }
            self.share(session)?;
            self.outgoing.give_up_surplus(session);
            let sent_result = self.send_waiting(session);
            name_finished(&context, session)?;
            let all_sent = self.has_sent_all(session);
            if all_sent {
                self.outgoing.refusals.all_sent();
            }
            if stops && self.outgoing.results_pending == 0 && all_sent {
                return Ok(());
            }
            // While others run, a command's request also reaches the device before the command's
            // acknowledgement reaches the broker.
            let is_last_answer = sent_result && self.outgoing.results_pending == 0;
            if session.link.has_waiting() && flush_rule.should_yield(is_last_answer) {
                yield_now().await;
                continue;
            }
            flush_rule.written();
            let settles_at = self.settles_at;
            let now = Instant::now();
            if session.link.has_waiting() {
                session.last_traffic = now;
            }
            let next_message = self.outgoing.pace.waits_until(now);
            let held_until = self.receiver.first_commands.until();
            let next_documents = shared.and_then(|it| it.lock().documents.waits_until());
            let deadlines_first = reads >= READS_IN_A_ROW;
            if deadlines_first {
                reads = 0;
                // The packets may have used up what this task may do in one go, and then nothing is ever ready.
                yield_now().await;
            }
            tokio::select! {
                biased;
                turned = session.link.turn(), if !deadlines_first => {
                    turned?;
                    session.last_traffic = Instant::now();
                    is_alive = true;
                    reads += 1;
                }
                () = outbox.filled(), if !deadlines_first && self.may_send(session, now) => {}
                () = changed(shared), if !deadlines_first && shared.is_some() => {}
                _ = pings.tick() => {
                    if !std::mem::replace(&mut is_alive, false) {
                        return Err(ConnectionLost::Silent);
                    }
                    session.ping()?;
                    context.subscriber.count_others(Instant::now());
                }
                () = sleep_until_some(settles_at) => {
                    self.settles_at = None;
                    // Without the filter of the rooms nothing of them was told.
                    self.asked_for_leftovers = self.has_commands(session);
                    if self.asked_for_leftovers {
                        self.upkeep.told_retained();
                    }
                    self.settle();
                }
                () = sleep_until_some(next_message) => {}
                () = sleep_until_some(next_documents) => {}
                () = sleep_until_some(held_until) => {
                    self.receiver.first_commands_over();
                }
                _ = deadlines.tick() => {
                    self.share_by_time()?;
                    self.check_deadlines(session)?;
                }
                () = stopping.cancelled(), if !stops => {}
                () = ready(()), if deadlines_first => {}
            }
        }
    }

    /// Nothing waits to be sent, and nothing for an acknowledgement.
    fn has_sent_all(&self, session: &BrokerSession) -> bool {
        session.first.is_none()
            && self.context.subscriber.outbox.is_empty()
            && session.unsent.is_empty()
            && session.inflight.is_empty()
            && self.outgoing.is_empty()
    }

    /// Adds what may be sent to the link's next write. True if the last of it is a result.
    fn send_waiting(&mut self, session: &mut BrokerSession) -> bool {
        let context = self.context.clone();
        let mut sent_result = false;
        let now = Instant::now();
        while self.may_send(session, now) {
            self.outgoing.send_again();
            if session.unsent.is_empty() {
                let first = session.first.take();
                let Some(item) = first.or_else(|| context.subscriber.outbox.try_next()) else {
                    break;
                };
                sent_result = matches!(item, Item::Reply(_));
                if sent_result {
                    let pending = &mut self.outgoing.results_pending;
                    *pending = pending.saturating_sub(1);
                }
                add_messages(&context, session, &mut self.outgoing.refusals, item);
            }
            if send_next(&context, session) {
                self.outgoing.pace.sent(now);
            }
        }
        sent_result
    }

    fn receive(
        &mut self,
        packet: BrokerPacket,
        session: &mut BrokerSession,
    ) -> Result<(), ConnectionLost> {
        match packet {
            // Not taken and not acknowledged: the broker gives it to the next run.
            BrokerPacket::Publish(_) if self.context.stopping.is_cancelled() => {}
            BrokerPacket::Publish(publish) => {
                let (id, qos) = (publish.pkid, publish.qos);
                self.upkeep.arrived(&self.context, &publish);
                self.outgoing.results_pending += match &self.context.settings.shared {
                    Some(shared) => self.receiver.shared_publish(shared, publish),
                    None => usize::from(self.receiver.publish(publish)),
                };
                session.acknowledge(id, qos, self.receiver.redeliveries.last())?;
            }
            BrokerPacket::PubRel(id) => {
                self.receiver.redeliveries.released(id);
                session.link.put(&Packet::PubComp(PubComp::new(id, None)))?;
            }
            BrokerPacket::PingResp => {
                if let Some(sent_after) = session.pings.pop_front() {
                    self.receiver.redeliveries.read_up_to(sent_after);
                }
            }
            BrokerPacket::PubAck(ack) => {
                if let Some(sent_after) = self.outgoing.answered(session, ack) {
                    self.receiver.redeliveries.read_up_to(sent_after);
                    session.is_acknowledged = true;
                    self.check_ready(session);
                }
            }
            BrokerPacket::SubAck(ack) if self.rooms_answered(&ack) => {}
            BrokerPacket::SubAck(ack) => {
                let asked = session.subscription.pending().to_vec();
                if self.receiver.suback(&ack, &mut session.subscription) {
                    self.filter_ends.answered(&asked);
                    self.receiver.first_commands.answered(Instant::now());
                    if session.subscription.is_answered {
                        let settles_at = Instant::now() + SETTLE_TIME;
                        self.settles_at = (!self.asked_for_leftovers).then_some(settles_at);
                        self.filter_ends.all_answered();
                        self.hear_markers(session);
                    }
                    self.subscribe(session)?;
                    self.check_ready(session);
                }
            }
            BrokerPacket::ConnAck(_) | BrokerPacket::Other => {}
        }
        Ok(())
    }

    /// The gateway is ready when commands can arrive and the broker acknowledges what it gets.
    fn check_ready(&mut self, session: &mut BrokerSession) {
        if !session.is_ready && session.is_acknowledged && self.has_commands(session) {
            session.is_ready = true;
            self.backoff.connected();
            self.context
                .telemetry
                .broker_connected(self.tells_connection);
            self.context.connected.send_replace(true);
        }
    }

    /// Ends a connection whose broker does not answer, although it may answer pings.
    fn check_deadlines(&mut self, session: &mut BrokerSession) -> Result<(), ConnectionLost> {
        let now = Instant::now();
        if session.subscription.is_overdue(now) {
            return Err(ConnectionLost::SubscribeTimeout);
        }
        // While bytes wait to be written, the broker is slow to read, which is no silence.
        if session.inflight.is_silent(now) && !session.link.has_waiting() {
            return Err(ConnectionLost::PublishTimeout);
        }
        if session.inflight.is_short_of_ids() {
            return Err(ConnectionLost::PublishTimeout);
        }
        // The result of a slow command may come much later than the command's acknowledgement. Until
        // something answers that, another press after a lost connection could be taken for a repeat.
        let is_in_doubt = self.receiver.redeliveries.is_in_doubt();
        if is_in_doubt && session.pings.is_empty() && !self.context.stopping.is_cancelled() {
            session.ping()?;
        }
        self.outgoing.check_times(session, now);
        if session.subscription.should_ask_again(now) {
            let filters = match &self.context.settings.shared {
                Some(shared) => shared_filters(&self.context, shared),
                None => filters(&self.context, !self.asked_for_leftovers),
            };
            let asks_for_commands = session.subscription.again(filters);
            self.subscribe(session)?;
            if asks_for_commands && !self.asked_for_leftovers {
                self.receiver.asked_for_retained();
            }
        }
        self.keep_up(session, now)
    }

    /// There is room for one more message.
    fn may_send(&self, session: &BrokerSession, now: Instant) -> bool {
        let outgoing = &self.outgoing;
        let (results_wait, careful) =
            (outgoing.results_pending > 0, outgoing.refusals.is_careful());
        session.subscription.is_answered
            && session
                .inflight
                .has_room(outgoing.pace.window(results_wait, careful))
            && !session.link.is_full()
            && outgoing.pace.waits_until(now).is_none()
    }

    /// Sends the next SUBSCRIBE, if there is one.
    fn subscribe(&self, session: &mut BrokerSession) -> Result<(), ConnectionLost> {
        let Some(filters) = session.subscription.next() else {
            return Ok(());
        };
        let mut subscribe = Subscribe::new_many(filters, None);
        subscribe.pkid = session.inflight.next_id();
        let (size, limit) = (subscribe.size(), session.limits.largest_packet);
        if size > limit {
            let message = format!(
                "it takes packets of {limit} bytes (its Maximum Packet Size), and the subscription \
                 alone has {size}"
            );
            return Err(ConnectionLost::Unsuitable(message));
        }
        session.subscription.asked(&subscribe, Instant::now());
        Ok(session.link.put(&Packet::Subscribe(subscribe))?)
    }
}

#[cfg(test)]
mod tests;
