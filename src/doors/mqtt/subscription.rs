//! What the gateway subscribes to, and whether the broker has granted it.
//!
//! One SUBSCRIBE asks for everything. A filter that the broker refuses costs that filter alone, also
//! when it ends the connection: then each filter is asked for by itself, until it is known which. Only
//! without the commands the gateway is not ready, and it asks for them again now and then, as for what the broker
//! refuses for now.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, RetainForwardRule, Subscribe};
use tokio::time::Instant;

use super::DoorContext;
use super::packets::SubAck;
use super::reason::ReasonCode;
use super::settings::SUBACK_TIMEOUT;
use crate::topics::{ALL_GATEWAY_TOPICS, ALL_ROOMS, MemberTopics, Prefix, RoomTopics};

/// How long after a refusal the commands are asked for again: somebody may have changed the broker's
/// access rules.
pub(super) const ASK_AGAIN_DELAY: Duration = Duration::from_secs(60);

/// A filter is left out after this many connections ended at it, if the broker answered other filters or gave a
/// reason. A single end may have another cause.
pub(super) const ENDS_UNTIL_LEFT_OUT: u32 = 2;
/// If it did neither, the broker may only be restarting. Then ends count only if they span this long.
const ENDS_SPAN: Duration = Duration::from_secs(30);
/// How long a filter is left out at first.
const LEFT_OUT_AT_FIRST: Duration = ASK_AGAIN_DELAY;
/// How long it is left out after each further try, which may cost a connection.
pub(super) const LEFT_OUT_FOR: Duration = Duration::from_secs(10 * 60);

/// The filters at which connections ended.
#[derive(Debug, Default)]
pub struct FilterEnds {
    /// Each filter is asked for by itself.
    one_by_one: bool,
    ends: HashMap<String, EndsAtFilter>,
}

/// The connections in a row that ended at one filter.
#[derive(Debug)]
struct EndsAtFilter {
    first: Instant,
    last: Instant,
    /// Of these ends, the ones that only the filter can have caused.
    certain: u32,
    /// It is not asked for until then.
    left_out_until: Option<Instant>,
}

impl FilterEnds {
    /// Whether the broker ends the connection at this filter.
    pub fn is_left_out(&self, filter: &str, now: Instant) -> bool {
        self.left_out_until(filter).is_some_and(|until| now < until)
    }

    fn left_out_until(&self, filter: &str) -> Option<Instant> {
        self.ends.get(filter)?.left_out_until
    }

    /// The connection ended before this SUBSCRIBE was answered. `is_certain`: the broker answered others
    /// before, or said why, so it is about this SUBSCRIBE. Returns the filter that is left out from now
    /// on, if it is known.
    pub fn connection_ended(
        &mut self,
        pending: &[String],
        is_certain: bool,
        now: Instant,
    ) -> Option<String> {
        let [filter] = pending else {
            self.one_by_one |= !pending.is_empty();
            return None;
        };
        let ends = self.ends.entry(filter.clone()).or_insert(EndsAtFilter {
            first: now,
            last: now,
            certain: 0,
            left_out_until: None,
        });
        ends.last = now;
        ends.certain += u32::from(is_certain);
        let is_cause =
            ends.certain >= ENDS_UNTIL_LEFT_OUT || now.duration_since(ends.first) >= ENDS_SPAN;
        if !is_cause {
            return None;
        }
        let left_out_for = match ends.left_out_until {
            None => LEFT_OUT_AT_FIRST,
            Some(_) => LEFT_OUT_FOR,
        };
        ends.left_out_until = Some(now + left_out_for);
        Some(filter.clone())
    }

    /// Everything that was asked for was answered: from now on one SUBSCRIBE will do, unless a filter
    /// is known to end the connection.
    pub fn all_answered(&mut self) {
        self.one_by_one = !self.ends.is_empty();
    }

    /// The broker answered a SUBSCRIBE.
    pub fn answered(&mut self, filters: &[String]) {
        for filter in filters {
            self.ends.remove(filter);
        }
    }
}

/// The filters, in the order of the SUBSCRIBE. Retained messages below the rooms are asked for if
/// `with_retained`, those of the others always.
pub fn filters(context: &DoorContext, with_retained: bool) -> Vec<Filter> {
    let retained = if with_retained {
        RetainForwardRule::OnEverySubscribe
    } else {
        RetainForwardRule::Never
    };
    let rooms = Filter {
        retain_forward_rule: retained,
        ..rooms_filter(context)
    };
    let own = [rooms, gateway_filter(&context.settings.prefix)];
    let extra = context.extra_topics.iter().flat_map(|extra| &extra.filters);
    let extra = extra.map(|path| Filter {
        path: path.clone(),
        retain_forward_rule: RetainForwardRule::OnEverySubscribe,
        ..rooms_filter(context)
    });
    own.into_iter().chain(extra).collect()
}

/// The filter by which a gateway learns that the broker still holds what it has published.
pub fn retained_filter(context: &DoorContext) -> Filter {
    let settings = &context.settings;
    let gateway = gateway_filter(&settings.prefix);
    match &settings.shared {
        Some(shared) => Filter {
            path: settings
                .prefix
                .add(&MemberTopics::new(shared.name()).info()),
            ..gateway
        },
        None => gateway,
    }
}

/// The filter of what gateways say.
pub fn gateway_filter(prefix: &Prefix) -> Filter {
    Filter {
        path: prefix.add(ALL_GATEWAY_TOPICS),
        qos: QoS::AtLeastOnce,
        // The will of an earlier connection has this gateway's client id. With No Local the broker
        // would not tell of it.
        nolocal: false,
        // Without retain as published, the flag tells what is retained from what is live: only a live
        // message proves that its gateway is there.
        preserve_retain: false,
        retain_forward_rule: RetainForwardRule::OnEverySubscribe,
    }
}

/// The filter by which the gateway's own messages of rooms come back. It is another one than that of the
/// commands, since Mosquitto does not take up another No Local for the same filter.
pub fn own_rooms_filter(context: &DoorContext) -> Filter {
    let path = RoomTopics::ANY.availability();
    Filter {
        path: context.settings.prefix.add(&path),
        nolocal: false,
        ..rooms_filter(context)
    }
}

/// The filter of the rooms, without the gateway's own messages and without retained ones.
pub fn rooms_filter(context: &DoorContext) -> Filter {
    Filter {
        path: context.settings.prefix.add(ALL_ROOMS),
        qos: QoS::AtLeastOnce,
        nolocal: true,
        preserve_retain: true,
        retain_forward_rule: RetainForwardRule::Never,
    }
}

/// What one connection knows of its subscription.
#[derive(Debug, Default)]
pub struct Subscription {
    /// The filter of the commands.
    commands: String,
    /// The filter without which nothing works, so that it is asked for again whatever the reason is: that of the
    /// commands, or where several gateways share the rooms that of the markers.
    needed: String,
    /// What is to be asked for, a SUBSCRIBE each.
    waiting: VecDeque<Vec<Filter>>,
    /// The SUBSCRIBE that is not answered: its packet identifier, its filters and its deadline.
    pending: Option<(u16, Vec<String>, Instant)>,
    /// Every SUBSCRIBE was answered once: from then on messages are published.
    pub is_answered: bool,
    /// A SUBSCRIBE was answered.
    pub has_answer: bool,
    /// Commands arrive.
    pub has_commands: bool,
    /// The filters that are asked for again, and when.
    refused_for_now: BTreeSet<String>,
    ask_again: Option<Instant>,
    /// The filters that are granted.
    granted: BTreeSet<String>,
    /// The SUBSCRIBE that is not answered is a renewal.
    is_renewed: bool,
}

/// What the broker did not grant as it was asked.
#[derive(Debug, PartialEq, Eq)]
pub struct NotGranted {
    /// The filter.
    pub filter: String,
    /// It is the one of the commands.
    pub is_commands: bool,
    /// Why; `None`: the SUBACK has no reason for this filter.
    pub reason: Option<ReasonCode>,
}

impl NotGranted {
    /// Granted, but with QoS 0.
    pub fn is_only_weaker(&self) -> bool {
        self.reason == Some(ReasonCode(0))
    }
}

impl Subscription {
    /// Asks for these filters, of which the first is the one of the commands.
    pub fn new(filters: Vec<Filter>, ends: &FilterEnds, now: Instant) -> Self {
        let commands = filters.first().map(|filter| filter.path.clone());
        let mut filters = filters;
        filters.retain(|filter| !ends.is_left_out(&filter.path, now));
        let lacks_commands = filters.first().map(|filter| &filter.path) != commands.as_ref();
        let ask_again = commands
            .as_deref()
            .filter(|_| lacks_commands)
            .and_then(|filter| ends.left_out_until(filter));
        // A filter at which a connection ended comes after the others: when they are answered and it
        // is not, it is the cause.
        filters.sort_by_key(|filter| ends.ends.get(&filter.path).map(|ends| ends.last));
        let waiting: VecDeque<Vec<Filter>> = if ends.one_by_one {
            filters.into_iter().map(|filter| vec![filter]).collect()
        } else {
            VecDeque::from([filters])
        };
        let commands = commands.unwrap_or_default();
        Self {
            needed: commands.clone(),
            refused_for_now: ask_again.iter().map(|_| commands.clone()).collect(),
            commands,
            is_answered: waiting.iter().all(Vec::is_empty),
            waiting,
            ask_again,
            ..Self::default()
        }
    }

    /// Asks for these filters, none of which is that of the commands, and the first one that of the markers.
    pub fn without_commands(filters: Vec<Filter>, ends: &FilterEnds, now: Instant) -> Self {
        Self {
            commands: String::new(),
            ..Self::new(filters, ends, now)
        }
    }

    /// The filters of the next SUBSCRIBE, which is sent now; `None` if none is to be sent.
    pub fn next(&mut self) -> Option<Vec<Filter>> {
        self.waiting
            .pop_front()
            .filter(|filters| !filters.is_empty())
    }

    /// Asks for these filters, although everything that is needed is granted: nothing is said of the answer,
    /// and the connection does not depend on it. Not while another SUBSCRIBE waits.
    pub fn renew(&mut self, filters: Vec<Filter>) {
        self.waiting.push_back(filters);
        self.is_renewed = true;
    }

    /// Whether the broker has granted this filter on this connection.
    pub fn is_granted(&self, filter: &str) -> bool {
        self.granted.contains(filter)
    }

    /// Whether everything was answered, so that filters can be renewed.
    pub fn can_renew(&self) -> bool {
        self.is_answered && self.pending.is_none() && self.waiting.is_empty()
    }

    /// Asks again for those of these filters that the broker has refused for now, one by one. Whether that of the
    /// commands is among them.
    pub fn again(&mut self, filters: Vec<Filter>) -> bool {
        self.ask_again = None;
        let refused = std::mem::take(&mut self.refused_for_now);
        let again = filters
            .into_iter()
            .filter(|filter| refused.contains(&filter.path));
        self.waiting.extend(again.map(|filter| vec![filter]));
        refused.contains(&self.commands)
    }

    /// A SUBSCRIBE is sent now.
    pub fn asked(&mut self, subscribe: &Subscribe, now: Instant) {
        let paths = subscribe.filters.iter().map(|filter| filter.path.clone());
        self.pending = Some((subscribe.pkid, paths.collect(), now + SUBACK_TIMEOUT));
    }

    /// The filters that are asked for and not answered, without those of a renewal.
    pub fn pending(&self) -> &[String] {
        let pending = self.pending.as_ref().filter(|_| !self.is_renewed);
        pending.map_or(&[], |(_, filters, _)| filters)
    }

    /// A SUBACK came. Returns what was not granted; `None` if it answers nothing that was asked.
    pub fn answered(&mut self, ack: &SubAck, now: Instant) -> Option<Vec<NotGranted>> {
        let (_, filters, _) = self
            .pending
            .take_if(|(packet_id, ..)| *packet_id == ack.packet_id)?;
        let reasons = ack.reasons.iter().copied().map(Some);
        let reasons = reasons.chain(std::iter::repeat(None));
        let is_renewed = std::mem::take(&mut self.is_renewed);
        let mut not_granted = Vec::new();
        for (filter, reason) in filters.into_iter().zip(reasons) {
            let is_commands = filter == self.commands;
            let is_refused = reason.is_none_or(ReasonCode::is_refusal);
            if is_refused {
                self.granted.remove(&filter);
            } else {
                self.granted.insert(filter.clone());
            }
            let not = NotGranted {
                filter,
                is_commands,
                reason,
            };
            if is_commands {
                self.has_commands = !is_refused;
            }
            if is_refused && (not.filter == self.needed || reason.is_some_and(ReasonCode::passes)) {
                self.refused_for_now.insert(not.filter.clone());
                self.ask_again = Some(now + ASK_AGAIN_DELAY);
            }
            if !is_renewed && (is_refused || not.is_only_weaker()) {
                not_granted.push(not);
            }
        }
        self.has_answer = true;
        self.is_answered |= self.waiting.is_empty();
        Some(not_granted)
    }

    /// The broker has not answered in time.
    pub fn is_overdue(&self, now: Instant) -> bool {
        // Without the answer to a renewal everything is as before.
        let pending = self.pending.as_ref().filter(|_| !self.is_renewed);
        pending.is_some_and(|(.., deadline)| *deadline <= now)
    }

    /// It is time to ask again for what the broker has refused for now.
    pub fn should_ask_again(&self, now: Instant) -> bool {
        self.pending.is_none() && self.ask_again.is_some_and(|at| at <= now)
    }
}

#[cfg(test)]
mod tests;
