//! SUBSCRIBE and its answer: the library gets only the filters that are not refused, under its own
//! names, and the client gets one answer for all. UNSUBSCRIBE, under the same names.
//!
//! Pure.

use std::borrow::Cow;
use std::collections::HashMap;

use super::answers::{Answers, Denial};
use super::frames::{FieldReader, Frame, Malformed, kind, packet};
use super::inbound::PacketVerdict;
use super::properties::SUBSCRIPTION_IDENTIFIER;

/// The Retain Handling of a client that wants nothing retained, or only for a new subscription (MQTT 5,
/// 3.8.3.1).
const NO_RETAINED: u8 = 2;
const RETAINED_IF_NEW: u8 = 1;
/// The bit of Retain As Published among the options.
const RETAIN_AS_PUBLISHED: u8 = 1 << 3;

/// One filter of SUBSCRIBE or UNSUBSCRIBE.
#[derive(Debug, PartialEq, Eq)]
pub struct RequestedFilter<'a> {
    pub text: &'a str,
    /// The filter that the library gets instead.
    pub for_library: Cow<'a, str>,
    /// The byte after the filter in SUBSCRIBE; nothing in UNSUBSCRIBE.
    options: &'a [u8],
}

impl RequestedFilter<'_> {
    fn options(&self) -> u8 {
        self.options.first().copied().unwrap_or_default()
    }

    /// Whether the client wants what is retained, for a subscription that is new or not.
    pub fn wants_retained(&self, is_new: bool) -> bool {
        match self.options() >> 4 & 3 {
            NO_RETAINED => false,
            RETAINED_IF_NEW => is_new,
            _ => true,
        }
    }

    /// The QoS that the client asks for.
    pub fn qos(&self) -> u8 {
        self.options() & 3
    }

    /// Whether messages keep their retain flag (MQTT 5, 3.8.3.1).
    pub fn is_retain_as_published(&self) -> bool {
        self.options() & RETAIN_AS_PUBLISHED != 0
    }
}

/// A SUBSCRIBE or UNSUBSCRIBE.
#[derive(Debug, PartialEq, Eq)]
pub struct FilterRequest<'a> {
    pub packet_id: u16,
    kind: u8,
    /// The bytes of the whole packet.
    length: usize,
    /// The body before the filters.
    start: &'a [u8],
    /// The Subscription Identifier; 0 for none.
    pub identifier: u32,
    pub filters: Vec<RequestedFilter<'a>>,
}

impl<'a> FilterRequest<'a> {
    /// Of a whole packet.
    ///
    /// # Errors
    /// It is malformed.
    pub fn parse(frame: &Frame, packet: &'a [u8], is_mqtt_5: bool) -> Result<Self, Malformed> {
        let body = frame.body_in(packet);
        let mut reader = FieldReader(body);
        let packet_id = reader.two_bytes()?;
        let mut identifier = 0;
        if is_mqtt_5 {
            let mut properties = reader.properties()?;
            while !properties.0.is_empty() {
                let mut property = properties.property()?;
                if property.identifier == SUBSCRIPTION_IDENTIFIER {
                    identifier = property.value.variable_integer()?;
                }
            }
        }
        let start = &body[..body.len() - reader.0.len()];
        let mut filters = Vec::new();
        while !reader.0.is_empty() {
            let text = reader.text()?;
            let options = reader.take(usize::from(frame.kind == kind::SUBSCRIBE))?;
            filters.push(RequestedFilter {
                text,
                for_library: text.into(),
                options,
            });
        }
        if filters.is_empty() || frame.flags != 2 {
            return Err(Malformed);
        }
        Ok(Self {
            packet_id,
            kind: frame.kind,
            length: frame.length(),
            start,
            identifier: identifier.try_into().unwrap_or_default(),
            filters,
        })
    }

    /// Passes the filters at these positions on, each as the library is to see it.
    pub fn pass(&self, is_passed: impl Fn(usize) -> bool) -> PacketVerdict {
        let mut is_changed = false;
        let mut body = self.start.to_vec();
        for (n, filter) in self.filters.iter().enumerate() {
            let text = &*filter.for_library;
            let length = u16::try_from(text.len()).ok().filter(|_| is_passed(n));
            let Some(length) = length else {
                is_changed = true;
                continue;
            };
            is_changed |= text != filter.text;
            body.extend_from_slice(&length.to_be_bytes());
            body.extend_from_slice(text.as_bytes());
            body.extend_from_slice(filter.options);
        }
        if !is_changed {
            return PacketVerdict::Pass;
        }
        PacketVerdict::Replace {
            length: self.length,
            with: packet(self.kind, 2, &body),
            answer: Vec::new(),
        }
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
        mut may: impl FnMut(&RequestedFilter<'_>) -> Result<(), Denial>,
    ) -> PacketVerdict {
        let filters = request.filters.iter();
        let denials: Vec<Option<Denial>> = filters.map(|filter| may(filter).err()).collect();
        let Some(first) = denials.iter().flatten().next() else {
            return request.pass(|_| true);
        };
        let reason = first.reason.clone();
        let code = |denial: &Option<Denial>| denial.as_ref().map(|denial| denial.code.into());
        let codes: Vec<Option<u8>> = denials.iter().map(code).collect();
        if codes.iter().all(Option::is_some) {
            let codes: Vec<u8> = codes.into_iter().flatten().collect();
            let answer = answers.suback(request.packet_id, &codes, Some(&reason));
            return PacketVerdict::Answer(answer);
        }
        let passed = request.pass(|n| codes.get(n) == Some(&None));
        self.partly.insert(request.packet_id, (codes, reason));
        passed
    }

    /// The answer to send instead of the library's, if it saw only a part of the filters.
    pub fn suback(&mut self, frame: &Frame, packet: &[u8], answers: Answers) -> Option<Vec<u8>> {
        if self.partly.is_empty() {
            return None;
        }
        let mut reader = FieldReader(frame.body_in(packet));
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

    fn request(bytes: &[u8], is_mqtt_5: bool) -> FilterRequest<'_> {
        let frame = Frame::at(bytes).unwrap().unwrap();
        let mut request = FilterRequest::parse(&frame, bytes, is_mqtt_5).unwrap();
        for filter in &mut request.filters {
            filter.for_library = filter.text.replace("$share/g/", "$share/own/").into();
        }
        request
    }

    fn decide(all: &mut Subscriptions, bytes: &[u8], version: u8) -> PacketVerdict {
        let request = request(bytes, version == 5);
        let may = |filter: &RequestedFilter<'_>| match filter.text {
            "no" => Err(FULL),
            _ => Ok(()),
        };
        let answers = Answers::new(version, false, None);
        all.subscribe(&request, answers, may)
    }

    #[test]
    fn refused_filters_are_taken_out_and_answered_in_their_place() {
        for version in [4, 5] {
            let is_mqtt_5 = version == 5;
            let mut all = Subscriptions::default();
            assert_eq!(
                decide(&mut all, &subscribe(&["a", "b"], is_mqtt_5), version),
                PacketVerdict::Pass
            );
            assert_eq!(
                decide(
                    &mut all,
                    &subscribe(&["no", "a", "no", "b"], is_mqtt_5),
                    version
                ),
                PacketVerdict::Replace {
                    length: subscribe(&["no", "a", "no", "b"], is_mqtt_5).len(),
                    with: subscribe(&["a", "b"], is_mqtt_5),
                    answer: Vec::new(),
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
                PacketVerdict::Answer(all_refused)
            );
        }
    }

    #[test]
    fn groups_have_the_librarys_names_in_both_packets() {
        let filters = ["a", "no", "$share/g/a", "b"];
        let named = ["a", "$share/own/a", "b"];
        for version in [4, 5] {
            let mut all = Subscriptions::default();
            let is_mqtt_5 = version == 5;
            let sent = subscribe(&filters, is_mqtt_5);
            let replaced = PacketVerdict::Replace {
                length: sent.len(),
                with: subscribe(&named, is_mqtt_5),
                answer: Vec::new(),
            };
            assert_eq!(decide(&mut all, &sent, version), replaced);
            let unsubscribe = |filters: &[&str]| {
                let mut body = if is_mqtt_5 { vec![0, 9, 0] } else { vec![0, 9] };
                for filter in filters {
                    body.extend([0, filter.len() as u8]);
                    body.extend(filter.as_bytes());
                }
                packet(kind::UNSUBSCRIBE, 2, &body)
            };
            let sent = unsubscribe(&["a", "$share/g/a", "b"]);
            let replaced = PacketVerdict::Replace {
                length: sent.len(),
                with: unsubscribe(&named),
                answer: Vec::new(),
            };
            assert_eq!(request(&sent, is_mqtt_5).pass(|_| true), replaced);
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
