//! The door's one task: connects, waits longer after each failure, and serves the connection.
//!
//! Serving is one loop: take the packets that have arrived, send the items that may be sent, write
//! everything at once, and wait for whichever comes first. `receive` handles packets, `send`
//! turns items into messages.

use std::sync::Arc;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, Packet, PingReq, PubAck, RetainForwardRule, Subscribe};
use tokio::task::yield_now;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};

use super::DoorContext;
use super::backoff::Backoff;
use super::error::ConnectionLost;
use super::inflight::Inflight;
use super::link::Link;
use super::receive::Receiver;
use super::send::{MESSAGES_PER_ITEM, send};
use super::session::BrokerSession;
use crate::doors::flush_rule::FlushRule;
use crate::net::ClientTls;
use crate::state::Item;
use crate::topics::{ALL_ROOMS, GATEWAY_AVAILABILITY, GATEWAY_INFO};

/// How long writing the DISCONNECT may take. Without one the broker publishes the will, which says
/// the same as what was published before.
const DISCONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// The door's task.
pub struct Connection {
    context: Arc<DoorContext>,
    tls: Option<ClientTls>,
    receiver: Receiver,
    backoff: Backoff,
    /// The broker was asked what an earlier run left there. Once is enough: later connections of
    /// this run know.
    asked_for_leftovers: bool,
    /// Commands that were received and whose results were not taken from the outbox yet.
    results_pending: usize,
}

impl Connection {
    pub fn new(context: Arc<DoorContext>, tls: Option<ClientTls>) -> Self {
        Self {
            receiver: Receiver::new(context.clone()),
            context,
            tls,
            backoff: Backoff::default(),
            asked_for_leftovers: false,
            results_pending: 0,
        }
    }

    /// Keeps a connection until the door stops and everything was sent.
    pub async fn run(mut self) {
        let stopping = self.context.stopping.clone();
        while !stopping.is_cancelled() {
            let opened = tokio::select! {
                opened = Link::open(&self.context.settings, self.tls.as_ref()) => opened,
                () = stopping.cancelled() => return,
            };
            let lost = match opened {
                Ok((link, ack)) => {
                    let session = BrokerSession::new(link, &ack, &self.context.settings);
                    match self.serve(session).await {
                        Ok(()) => return,
                        Err(lost) => lost,
                    }
                }
                Err(lost) => lost,
            };
            self.report(&lost);
            tokio::select! {
                () = sleep(self.backoff.next_delay()) => {}
                () = stopping.cancelled() => {}
            }
        }
    }

    /// Serves one connection until it is lost, or the door stops and everything was sent.
    async fn serve(&mut self, mut session: BrokerSession) -> Result<(), ConnectionLost> {
        self.begin();
        let served = self.exchange(&mut session).await;
        match &served {
            Ok(()) => {
                // The broker has everything; a DISCONNECT that fails changes nothing.
                let _ = timeout(DISCONNECT_TIMEOUT, session.link.close()).await;
            }
            Err(_) => self.put_back(session.inflight),
        }
        served
    }

    /// A connection came up: everything is published again, in case the broker forgot it.
    fn begin(&mut self) {
        let context = &self.context;
        self.backoff.connected(Instant::now());
        let outbox = &context.subscriber.outbox;
        // Before all else: the states are worth nothing while the gateway seems to be offline.
        outbox.push_state(&Arc::from(GATEWAY_AVAILABILITY));
        for store in context.stores() {
            for topic in store.topics_below("") {
                outbox.push_state(&topic);
            }
        }
        context.connected.send_replace(true);
        context.telemetry.broker_connected();
    }

    /// Receives and sends until the connection is lost, or the door stops and everything was sent.
    async fn exchange(&mut self, session: &mut BrokerSession) -> Result<(), ConnectionLost> {
        let context = self.context.clone();
        let (stopping, outbox) = (&context.stopping, &context.subscriber.outbox);
        let keep_alive = session.limits.keep_alive;
        let mut ticks = interval_at(Instant::now() + keep_alive, keep_alive);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Something came from the broker since the last tick.
        let mut is_alive = true;
        let mut flush_rule = FlushRule::default();
        self.subscribe(session)?;
        loop {
            let stops = stopping.is_cancelled();
            while let Some(packet) = session.link.next()? {
                self.receive(packet, session)?;
            }
            let mut sent_result = false;
            while self.may_send(session)
                && let Some(item) = outbox.try_next()
            {
                sent_result = matches!(item, Item::Reply(_));
                if sent_result {
                    self.results_pending = self.results_pending.saturating_sub(1);
                }
                send(&context, session, item);
            }
            let all_sent = outbox.is_empty() && session.inflight.is_empty();
            if stops && self.results_pending == 0 && all_sent {
                return Ok(());
            }
            // While others run, a command's request also reaches the device before the command's
            // acknowledgement reaches the broker.
            let is_last_answer = sent_result && self.results_pending == 0;
            if session.link.has_waiting() && flush_rule.should_yield(is_last_answer) {
                yield_now().await;
                continue;
            }
            flush_rule.written();
            tokio::select! {
                biased;
                turned = session.link.turn() => {
                    turned?;
                    is_alive = true;
                }
                () = outbox.filled(), if self.may_send(session) => {}
                _ = ticks.tick() => {
                    if !std::mem::replace(&mut is_alive, false) {
                        return Err(ConnectionLost::Silent);
                    }
                    session.link.put(&Packet::PingReq(PingReq))?;
                }
                () = stopping.cancelled(), if !stops => {}
            }
        }
    }

    fn receive(
        &mut self,
        packet: Packet,
        session: &mut BrokerSession,
    ) -> Result<(), ConnectionLost> {
        match packet {
            // Not taken and not acknowledged: the broker gives it to the next run.
            Packet::Publish(_) if self.context.stopping.is_cancelled() => {}
            Packet::Publish(publish) => {
                let (id, qos) = (publish.pkid, publish.qos);
                if self.receiver.publish(publish) {
                    self.results_pending += 1;
                }
                if qos != QoS::AtMostOnce {
                    session.link.put(&Packet::PubAck(PubAck::new(id, None)))?;
                }
            }
            Packet::PubAck(ack) => self.receiver.puback(&ack, &mut session.inflight),
            Packet::SubAck(ack) => {
                self.receiver.suback(&ack);
                // Tells again: from here on messages of other programs arrive.
                self.context.connected.send_replace(true);
            }
            _ => {}
        }
        Ok(())
    }

    /// There is room for one more item.
    fn may_send(&self, session: &BrokerSession) -> bool {
        let results_wait = self.results_pending > 0;
        session.inflight.has_room(MESSAGES_PER_ITEM, results_wait) && !session.link.is_full()
    }

    /// Subscribes to commands, to `gateway/info` and to the extra topics.
    fn subscribe(&mut self, session: &mut BrokerSession) -> Result<(), ConnectionLost> {
        let context = &self.context;
        let filter = |path: String, retain_forward_rule| Filter {
            path,
            qos: QoS::AtLeastOnce,
            nolocal: true,
            preserve_retain: true,
            retain_forward_rule,
        };
        let retained = match std::mem::replace(&mut self.asked_for_leftovers, true) {
            false => RetainForwardRule::OnEverySubscribe,
            true => RetainForwardRule::Never,
        };
        let own = [ALL_ROOMS, GATEWAY_INFO]
            .map(|path| filter(context.settings.prefix.add(path), retained.clone()));
        let extra = context.extra_topics.iter().flat_map(|extra| &extra.filters);
        let extra = extra.map(|path| filter(path.clone(), RetainForwardRule::OnEverySubscribe));
        let mut subscribe = Subscribe::new_many(own.into_iter().chain(extra), None);
        subscribe.pkid = session.inflight.next_id();
        Ok(session.link.put(&Packet::Subscribe(subscribe))?)
    }

    /// What was not acknowledged is sent again on the next connection, before all else.
    fn put_back(&mut self, inflight: Inflight) {
        let items = inflight.into_items();
        let results = items.iter().filter(|item| matches!(item, Item::Reply(_)));
        self.results_pending += results.count();
        self.context.subscriber.outbox.put_back(items);
    }

    fn report(&mut self, lost: &ConnectionLost) {
        self.context.connected.send_replace(false);
        let reason = lost.to_string();
        let report = self.backoff.lost(reason.clone(), Instant::now());
        let telemetry = &self.context.telemetry;
        if report.keeps_ending {
            telemetry.broker_unsteady(&self.context.settings.client_id);
        }
        if report.is_new_reason {
            telemetry.broker_lost(&reason);
        }
    }
}

#[cfg(test)]
mod tests;
