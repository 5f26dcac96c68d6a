//! What the gateway subscribes to, and whether the broker has granted it.
//!
//! One SUBSCRIBE asks for everything. A filter that the broker refuses costs that filter alone; only
//! without the commands the gateway is not ready, and it asks again now and then.

use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, RetainForwardRule, Subscribe};
use tokio::time::Instant;

use super::DoorContext;
use super::packets::SubAck;
use super::reason::ReasonCode;
use super::settings::SUBACK_TIMEOUT;
use crate::topics::{ALL_GATEWAY_TOPICS, ALL_ROOMS};

/// How long after a refusal the commands are asked for again: somebody may have changed the broker's
/// access rules.
const ASK_AGAIN_DELAY: Duration = Duration::from_secs(60);

/// The filters, in the order of the SUBSCRIBE. Retained messages below the rooms are asked for if
/// `with_retained`, those of the others always.
pub fn filters(context: &DoorContext, with_retained: bool) -> Vec<Filter> {
    let filter = |path: String, retain_forward_rule| Filter {
        path,
        qos: QoS::AtLeastOnce,
        nolocal: true,
        preserve_retain: true,
        retain_forward_rule,
    };
    let retained = match with_retained {
        true => RetainForwardRule::OnEverySubscribe,
        false => RetainForwardRule::Never,
    };
    let prefix = &context.settings.prefix;
    let own = [
        filter(prefix.add(ALL_ROOMS), retained),
        // Without retain as published, the flag tells what is retained from what is live: only a live
        // message proves that its gateway is there.
        Filter {
            preserve_retain: false,
            ..filter(
                prefix.add(ALL_GATEWAY_TOPICS),
                RetainForwardRule::OnEverySubscribe,
            )
        },
    ];
    let extra = context.extra_topics.iter().flat_map(|extra| &extra.filters);
    let extra = extra.map(|path| filter(path.clone(), RetainForwardRule::OnEverySubscribe));
    own.into_iter().chain(extra).collect()
}

/// What one connection knows of its subscription.
#[derive(Debug, Default)]
pub struct Subscription {
    /// The SUBSCRIBE that is not answered: its packet identifier, its filters and its deadline.
    pending: Option<(u16, Vec<String>, Instant)>,
    /// One was answered: from then on messages are published.
    pub is_answered: bool,
    /// Commands arrive.
    pub has_commands: bool,
    ask_again: Option<Instant>,
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
        self.reason.is_some_and(|reason| !reason.is_refusal())
    }
}

impl Subscription {
    /// A SUBSCRIBE is sent now.
    pub fn asked(&mut self, subscribe: &Subscribe, now: Instant) {
        let paths = subscribe.filters.iter().map(|filter| filter.path.clone());
        self.pending = Some((subscribe.pkid, paths.collect(), now + SUBACK_TIMEOUT));
        self.ask_again = None;
    }

    /// A SUBACK came. Returns what was not granted; `None` if it answers nothing that was asked.
    pub fn answered(&mut self, ack: &SubAck, now: Instant) -> Option<Vec<NotGranted>> {
        let (_, filters, _) = self
            .pending
            .take_if(|(packet_id, ..)| *packet_id == ack.packet_id)?;
        let reasons = ack.reasons.iter().copied().map(Some);
        let reasons = reasons.chain(std::iter::repeat(None));
        let not_granted: Vec<NotGranted> = (filters.into_iter().zip(reasons).enumerate())
            .filter(|(_, (_, reason))| !matches!(reason, Some(ReasonCode(1 | 2))))
            .map(|(n, (filter, reason))| NotGranted {
                filter,
                is_commands: n == 0,
                reason,
            })
            .collect();
        let refuses_commands = |not: &NotGranted| not.is_commands && !not.is_only_weaker();
        self.is_answered = true;
        self.has_commands = !not_granted.iter().any(refuses_commands);
        self.ask_again = (!self.has_commands).then_some(now + ASK_AGAIN_DELAY);
        Some(not_granted)
    }

    /// The broker has not answered in time.
    pub fn is_overdue(&self, now: Instant) -> bool {
        let pending = self.pending.as_ref();
        pending.is_some_and(|(.., deadline)| *deadline <= now)
    }

    /// It is time to ask for the commands again.
    pub fn should_ask_again(&self, now: Instant) -> bool {
        self.ask_again.is_some_and(|at| at <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::super::receive::tests::context;
    use super::*;

    fn asked(now: Instant) -> Subscription {
        let (context, _) = context();
        let mut subscribe = Subscribe::new_many(filters(&context, true), None);
        subscribe.pkid = 5;
        let mut subscription = Subscription::default();
        subscription.asked(&subscribe, now);
        subscription
    }

    fn suback(packet_id: u16, reasons: &[u8]) -> SubAck {
        SubAck {
            packet_id,
            reasons: reasons.iter().copied().map(ReasonCode).collect(),
        }
    }

    #[test]
    fn commands_arrive_once_their_filter_is_granted() {
        let now = Instant::now();
        for (reasons, has_commands, not_granted) in [
            (&[1, 1][..], true, 0),
            (&[2, 2], true, 0),
            (&[1, 1, 1], true, 0),
            (&[0, 1], true, 1),
            (&[1, 0x87], true, 1),
            (&[1], true, 1),
            (&[0x87, 1], false, 1),
            (&[0xC3, 0xC3], false, 2),
            (&[], false, 2),
        ] {
            let mut subscription = asked(now);
            let answered = subscription.answered(&suback(5, reasons), now).unwrap();
            assert_eq!(subscription.has_commands, has_commands, "{reasons:?}");
            assert_eq!(answered.len(), not_granted, "{reasons:?}");
            let later = now + ASK_AGAIN_DELAY;
            assert_eq!(subscription.should_ask_again(later), !has_commands);
            assert!(!subscription.is_overdue(later));
        }
    }

    #[test]
    fn an_answer_to_something_else_is_none() {
        let now = Instant::now();
        let mut subscription = asked(now);
        assert_eq!(subscription.answered(&suback(6, &[1, 1]), now), None);
        assert!(!subscription.is_answered && !subscription.is_overdue(now));
        assert!(subscription.is_overdue(now + SUBACK_TIMEOUT));
        assert!(subscription.answered(&suback(5, &[1, 1]), now).is_some());
        assert_eq!(subscription.answered(&suback(5, &[0x87]), now), None);
        assert!(subscription.has_commands);
    }
}
