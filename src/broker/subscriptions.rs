//! SUBSCRIBE and its answer: the library gets only the filters that are not refused, and the
//! client gets one answer for all.
//!
//! Pure.

use std::borrow::Cow;
use std::collections::HashMap;

use super::answers::{Answers, Denial};
use super::frames::{Frame, Malformed, Reader, kind, packet};
use super::inbound::Verdict;

/// One filter of SUBSCRIBE or UNSUBSCRIBE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestedFilter<'a> {
    pub text: &'a str,
    /// The filter with its options, as it stands in the packet.
    bytes: &'a [u8],
}

/// A SUBSCRIBE or UNSUBSCRIBE.
#[derive(Debug, PartialEq, Eq)]
pub struct FilterRequest<'a> {
    pub packet_id: u16,
    /// The bytes of the whole packet.
    length: usize,
    /// The body before the filters.
    start: &'a [u8],
    pub filters: Vec<RequestedFilter<'a>>,
}

impl<'a> FilterRequest<'a> {
    /// Of a whole packet.
    ///
    /// # Errors
    /// It is malformed.
    pub fn parse(frame: &Frame, packet: &'a [u8], is_mqtt_5: bool) -> Result<Self, Malformed> {
        let body = frame.body_in(packet);
        let mut reader = Reader(body);
        let packet_id = reader.two_bytes()?;
        if is_mqtt_5 {
            reader.properties()?;
        }
        let start = &body[..body.len() - reader.0.len()];
        let mut filters = Vec::new();
        while !reader.0.is_empty() {
            let before = reader.0;
            let text = reader.text()?;
            if frame.kind == kind::SUBSCRIBE {
                reader.byte()?;
            }
            let bytes = &before[..before.len() - reader.0.len()];
            filters.push(RequestedFilter { text, bytes });
        }
        if filters.is_empty() || frame.flags != 2 {
            return Err(Malformed);
        }
        Ok(Self {
            packet_id,
            length: frame.length(),
            start,
            filters,
        })
    }
}

/// The SUBSCRIBEs of one client of which the library saw only a part, until they are answered.
#[derive(Debug, Default)]
pub struct Subscriptions {
    /// For each filter the code of its refusal; `None` if the library decides.
    partly: HashMap<u16, (Vec<Option<u8>>, Cow<'static, str>)>,
}

impl Subscriptions {
    /// Decides about a SUBSCRIBE. `may` refuses filters.
    pub fn subscribe(
        &mut self,
        request: &FilterRequest<'_>,
        answers: Answers,
        may: impl Fn(&str) -> Result<(), Denial>,
    ) -> Verdict {
        let filters = request.filters.iter();
        let denials: Vec<Option<Denial>> = filters.map(|filter| may(filter.text).err()).collect();
        let Some(first) = denials.iter().flatten().next() else {
            return Verdict::Pass;
        };
        let reason = first.reason.clone();
        let code = |denial: &Option<Denial>| denial.as_ref().map(|denial| denial.code.into());
        let codes: Vec<Option<u8>> = denials.iter().map(code).collect();
        if codes.iter().all(Option::is_some) {
            let codes: Vec<u8> = codes.into_iter().flatten().collect();
            let answer = answers.suback(request.packet_id, &codes, Some(&reason));
            return Verdict::Answer(answer);
        }
        let mut body = request.start.to_vec();
        for (filter, code) in request.filters.iter().zip(&codes) {
            if code.is_none() {
                body.extend_from_slice(filter.bytes);
            }
        }
        self.partly.insert(request.packet_id, (codes, reason));
        Verdict::Replace {
            length: request.length,
            with: packet(kind::SUBSCRIBE, 2, &body),
        }
    }

    /// The answer to send instead of the library's, if it saw only a part of the filters.
    pub fn suback(&mut self, frame: &Frame, packet: &[u8], answers: Answers) -> Option<Vec<u8>> {
        if self.partly.is_empty() {
            return None;
        }
        let mut reader = Reader(frame.body_in(packet));
        let packet_id = reader.two_bytes().ok()?;
        let (codes, reason) = self.partly.remove(&packet_id)?;
        if answers.is_mqtt_5() {
            reader.properties().ok()?;
        }
        let mut decided = reader.0.iter();
        let codes = codes
            .into_iter()
            .map(|code| code.or_else(|| decided.next().copied()));
        let codes: Option<Vec<u8>> = codes.collect();
        Some(answers.suback(packet_id, &codes?, Some(&reason)))
    }
}

#[cfg(test)]
mod tests {
    use mqtt5::protocol::v5::reason_codes::ReasonCode;

    use super::*;

    const FULL: Denial = Denial::new(ReasonCode::QuotaExceeded, "full");

    fn subscribe(filters: &[&str], is_mqtt_5: bool) -> Vec<u8> {
        let mut body = vec![0, 9];
        if is_mqtt_5 {
            body.push(0);
        }
        for filter in filters {
            body.extend([0, filter.len() as u8]);
            body.extend(filter.as_bytes());
            body.push(1);
        }
        packet(kind::SUBSCRIBE, 2, &body)
    }

    fn decide(all: &mut Subscriptions, bytes: &[u8], version: u8) -> Verdict {
        let frame = Frame::at(bytes).unwrap().unwrap();
        let request = FilterRequest::parse(&frame, bytes, version == 5).unwrap();
        let may = |filter: &str| if filter == "no" { Err(FULL) } else { Ok(()) };
        all.subscribe(&request, Answers::new(version, false, None), may)
    }

    #[test]
    fn refused_filters_are_taken_out_and_answered_in_their_place() {
        for version in [4, 5] {
            let is_mqtt_5 = version == 5;
            let mut all = Subscriptions::default();
            assert_eq!(
                decide(&mut all, &subscribe(&["a", "b"], is_mqtt_5), version),
                Verdict::Pass
            );
            assert_eq!(
                decide(
                    &mut all,
                    &subscribe(&["no", "a", "no", "b"], is_mqtt_5),
                    version
                ),
                Verdict::Replace {
                    length: subscribe(&["no", "a", "no", "b"], is_mqtt_5).len(),
                    with: subscribe(&["a", "b"], is_mqtt_5),
                }
            );
            let answers = Answers::new(version, false, None);
            let library = answers.suback(9, &[0, 1], None);
            let frame = Frame::at(&library).unwrap().unwrap();
            let code = if is_mqtt_5 { 0x97 } else { 0x80 };
            let expected = answers.suback(9, &[code, 0, code, 1], None);
            assert_eq!(all.suback(&frame, &library, answers), Some(expected));
            assert_eq!(all.suback(&frame, &library, answers), None);
            let all_refused = answers.suback(9, &[code], None);
            assert_eq!(
                decide(&mut all, &subscribe(&["no"], is_mqtt_5), version),
                Verdict::Answer(all_refused)
            );
        }
    }

    #[test]
    fn what_is_malformed_is_no_request() {
        let good = subscribe(&["a"], true);
        for cut in 2..good.len() {
            let body = &good[2..cut];
            let bytes = packet(kind::SUBSCRIBE, 2, body);
            let frame = Frame::at(&bytes).unwrap().unwrap();
            assert_eq!(FilterRequest::parse(&frame, &bytes, true), Err(Malformed));
        }
    }
}
