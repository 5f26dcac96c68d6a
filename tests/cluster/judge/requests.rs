//! Whether a device ever had two gateways.
//!
//! Two proofs: every request came while etcd named its gateway as the owner; and between the last request of one
//! gateway and the first of the next there is a gap.

use crate::clock::{MILLISECOND, SECOND};
use crate::history::Span;
use crate::record::Request;

/// The judge hears of a new owner this much later than the owner itself, at most.
const HEARD_LATE: u64 = SECOND;
/// The least time between two gateways' requests, when the second could not ask the first.
pub const LEAST_GAP: u64 = 300 * MILLISECOND;

/// The requests of one device that its gateways sent, as far as they may be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handover {
    pub from: usize,
    pub to: usize,
    /// When the first gateway's last request came.
    pub last: u64,
    /// When the second gateway's first request came.
    pub first: u64,
    /// The second gateway could not ask the first.
    pub unclean: bool,
    /// The first gateway's request was not answered yet.
    pub under_way: bool,
}

impl Handover {
    pub fn gap(&self) -> u64 {
        self.first.saturating_sub(self.last)
    }

    /// The gateways were too close to each other.
    pub fn is_too_close(&self) -> bool {
        self.unclean && self.gap() < LEAST_GAP
    }
}

/// The changes from one gateway to another. `before` is the device's last request of an earlier judgement; the
/// requests are in the order in which they came.
pub fn handovers(
    before: Option<&Request>,
    requests: &[Request],
    spans: &[Span],
    name: impl Fn(usize) -> Option<String>,
) -> Vec<Handover> {
    let known = before.into_iter().chain(requests);
    let known: Vec<_> = known.filter(|request| request.gateway.is_some()).collect();
    let mut answered = 0;
    let mut handovers = Vec::new();
    for pair in known.windows(2) {
        answered = answered.max(pair[0].answered);
        let (Some(from), Some(to)) = (pair[0].gateway, pair[1].gateway) else {
            continue;
        };
        if from == to {
            continue;
        }
        let first = pair[1].came;
        let owner = name(to);
        let mut taken = spans
            .iter()
            .rev()
            .filter(|span| span.name() == owner.as_deref());
        let taken = taken.find(|span| span.from <= first + HEARD_LATE);
        handovers.push(Handover {
            from,
            to,
            last: pair[0].came,
            first,
            unclean: taken.is_none_or(|span| span.unclean),
            under_way: answered > first,
        });
    }
    handovers
}

/// The requests that came while their gateway did not own the shard. A change of owner is heard of after it was
/// made, so what came later than that was certainly too late.
pub fn without_right<'a>(
    requests: &'a [Request],
    spans: &[Span],
    name: impl Fn(usize) -> Option<String>,
) -> Vec<&'a Request> {
    let right = |request: &&Request| {
        let owner = request.gateway.and_then(&name);
        let mut spans = spans
            .iter()
            .filter(|span| span.name().is_some() && span.name() == owner.as_deref());
        spans.any(|span| {
            span.from.saturating_sub(HEARD_LATE) <= request.came && request.came <= span.until
        })
    };
    requests.iter().filter(|request| !right(request)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::tests::{a_take_over, member, table};

    fn name(gateway: usize) -> Option<String> {
        ["a", "b"].get(gateway).map(|name| (*name).to_owned())
    }

    fn request(gateway: usize, came: u64) -> Request {
        Request {
            gateway: Some(gateway),
            came,
            answered: came + 2,
            acted: 200,
            session: false,
        }
    }

    #[test]
    fn a_gap_is_measured_from_the_last_to_the_first_request() {
        let history = a_take_over();
        let requests = [
            request(0, 20),
            request(0, 30),
            request(1, 52),
            request(1, 60),
        ];
        let found = handovers(None, &requests, history.spans(7), name);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].last, found[0].first, found[0].gap()),
            (30, 52, 22)
        );
        assert!(found[0].unclean && found[0].is_too_close() && !found[0].under_way);
        assert!(without_right(&requests, history.spans(7), name).is_empty());
    }

    #[test]
    fn a_gap_reaches_over_two_judgements() {
        let history = a_take_over();
        let found = handovers(
            Some(&request(0, 30)),
            &[request(1, 52)],
            history.spans(7),
            name,
        );
        assert_eq!(found[0].gap(), 22);
    }

    #[test]
    fn a_request_after_another_gateway_has_taken_over_is_found() {
        let history = a_take_over();
        let requests = [
            request(0, 30),
            request(1, 52),
            request(0, 53),
            request(1, 54),
        ];
        let found = without_right(&requests, history.spans(7), name);
        assert_eq!(found, [&requests[2]]);
        assert_eq!(handovers(None, &requests, history.spans(7), name).len(), 3);
    }

    #[test]
    fn a_request_before_the_first_owner_and_one_of_a_stranger_are_found() {
        let mut history = crate::history::History::default();
        history.hear(&[table(1, 5 * SECOND, &[(7, "a")])]);
        let early = request(0, 3 * SECOND);
        let stranger = Request {
            gateway: None,
            ..request(0, 6 * SECOND)
        };
        let requests = [early, request(0, 4 * SECOND + 1), stranger];
        let found = without_right(&requests, history.spans(7), name);
        assert_eq!(found, [&early, &stranger]);
    }

    #[test]
    fn a_handover_between_living_gateways_may_be_close_but_shows_what_is_under_way() {
        let mut history = a_take_over();
        history.hear(&[member(6, 60, "a", true)]);
        history.hear(&[table(7, 70, &[(7, "a")])]);
        let slow = Request {
            answered: 90,
            ..request(1, 69)
        };
        let found = handovers(None, &[slow, request(0, 71)], history.spans(7), name);
        assert!(!found[0].unclean && !found[0].is_too_close() && found[0].under_way);
    }
}
