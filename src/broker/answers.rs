//! The packets that the gateway itself writes to a client of the embedded broker: refusals, in the
//! form of the client's version of MQTT.
//!
//! Pure. MQTT 5 has a code and a reason in words for each refusal. MQTT 3.1.1 has neither for a
//! message: it is acknowledged, as Mosquitto does, and not passed on.

use std::borrow::Cow;

use mqtt5::protocol::v5::reason_codes::ReasonCode;

use super::frames::{kind, packet, put_variable_integer};
use super::rights::Refusal;

/// Packets below this size may carry no reason in words.
const SMALLEST_PACKET_WITH_REASON: u32 = 256;
/// The version number of MQTT 5 in CONNECT.
pub const MQTT_5: u8 = 5;

/// Why something is not done, for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    pub code: ReasonCode,
    pub reason: Cow<'static, str>,
    /// The limit that it keeps, for the metric.
    pub limit: Option<&'static str>,
}

impl Denial {
    pub const fn new(code: ReasonCode, reason: &'static str) -> Self {
        Self {
            code,
            reason: Cow::Borrowed(reason),
            limit: None,
        }
    }

    /// Because of one of [`super::limits`].
    pub const fn limit(limit: &'static str, code: ReasonCode, reason: &'static str) -> Self {
        Self {
            code,
            reason: Cow::Borrowed(reason),
            limit: Some(limit),
        }
    }
}

/// Rights say why in words; MQTT has one code for all of them.
impl From<Refusal> for Denial {
    fn from(refusal: Refusal) -> Self {
        Self {
            code: ReasonCode::NotAuthorized,
            reason: refusal.to_string().into(),
            limit: None,
        }
    }
}

/// How answers are written for one client.
#[derive(Debug, Clone, Copy)]
pub struct Answers {
    /// 4 for MQTT 3.1.1, 5 for MQTT 5.
    version: u8,
    /// Whether acknowledgements may have a reason in words.
    reasons: bool,
}

impl Answers {
    /// For a client of this version. `problem_information` and `maximum_packet_size` are what its
    /// CONNECT says.
    pub fn new(version: u8, problem_information: bool, maximum_packet_size: Option<u32>) -> Self {
        let fits = maximum_packet_size.is_none_or(|size| size >= SMALLEST_PACKET_WITH_REASON);
        Self {
            version,
            reasons: problem_information && fits,
        }
    }

    pub fn is_mqtt_5(&self) -> bool {
        self.version == MQTT_5
    }

    /// Refuses a connection.
    pub fn connack(&self, denial: &Denial) -> Vec<u8> {
        if !self.is_mqtt_5() {
            return connack_code(denial.code)
                .map(|code| packet(kind::CONNACK, 0, &[0, code]))
                .unwrap_or_default();
        }
        let mut body = vec![0, denial.code.into()];
        put_reason(&mut body, Some(&denial.reason));
        packet(kind::CONNACK, 0, &body)
    }

    /// Answers a message that is not passed on: PUBACK or PUBREC.
    pub fn publish(&self, acknowledgement: u8, packet_id: u16, denial: &Denial) -> Vec<u8> {
        let mut body = packet_id.to_be_bytes().to_vec();
        if self.is_mqtt_5() {
            body.push(denial.code.into());
            put_reason(&mut body, self.reasons.then_some(&*denial.reason));
        }
        packet(acknowledgement, 0, &body)
    }

    /// Ends the exchange of a message of QoS 2 that was not passed on.
    pub fn pubcomp(packet_id: u16) -> Vec<u8> {
        packet(kind::PUBCOMP, 0, &packet_id.to_be_bytes())
    }

    /// The answer to PUBREC for a message that was not sent (MQTT 5, 3.6.2.1).
    pub fn pubrel_unknown(packet_id: u16) -> Vec<u8> {
        let [high, low] = packet_id.to_be_bytes();
        let code = ReasonCode::PacketIdentifierNotFound.into();
        packet(kind::PUBREL, 0b0010, &[high, low, code])
    }

    /// The answer to SUBSCRIBE with a code for each filter. `reason` is why some were refused.
    pub fn suback(&self, packet_id: u16, codes: &[u8], reason: Option<&str>) -> Vec<u8> {
        let mut body = packet_id.to_be_bytes().to_vec();
        if self.is_mqtt_5() {
            put_reason(&mut body, reason.filter(|_| self.reasons));
            body.extend_from_slice(codes);
        } else {
            // 3.1.1 knows only one code for a failure.
            body.extend(codes.iter().map(|code| (*code).min(0x80)));
        }
        packet(kind::SUBACK, 0, &body)
    }

    /// Says why the connection ends. MQTT 3.1.1 has no such packet.
    pub fn disconnect(&self, denial: &Denial) -> Vec<u8> {
        if !self.is_mqtt_5() {
            return Vec::new();
        }
        let mut body = vec![denial.code.into()];
        put_reason(&mut body, Some(&denial.reason));
        packet(kind::DISCONNECT, 0, &body)
    }
}

/// MQTT 3.1.1, 3.2.2.3. A CONNECT that breaks the rules is not answered (3.1.4).
fn connack_code(code: ReasonCode) -> Option<u8> {
    match code {
        ReasonCode::MalformedPacket | ReasonCode::ProtocolError | ReasonCode::TopicNameInvalid => {
            None
        }
        ReasonCode::UnsupportedProtocolVersion => Some(1),
        ReasonCode::ClientIdentifierNotValid => Some(2),
        ReasonCode::BadUsernameOrPassword => Some(4),
        ReasonCode::NotAuthorized | ReasonCode::Banned => Some(5),
        _ => Some(3),
    }
}

/// Appends properties: a reason string, or none.
fn put_reason(body: &mut Vec<u8>, reason: Option<&str>) {
    let Some(reason) = reason else {
        body.push(0);
        return;
    };
    // Reasons are short texts of the gateway.
    let length = u16::try_from(reason.len()).unwrap_or_default();
    let text = &reason.as_bytes()[..length.into()];
    put_variable_integer(body, 3 + text.len());
    body.push(0x1F);
    body.extend_from_slice(&length.to_be_bytes());
    body.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Denial = Denial::new(ReasonCode::QuotaExceeded, "full");

    #[test]
    fn mqtt_5_hears_the_code_and_the_reason() {
        let answers = Answers::new(5, true, None);
        let reason = [7, 0x1F, 0, 4, b'f', b'u', b'l', b'l'];
        let with_reason = |start: &[u8]| [start, &reason].concat();
        assert_eq!(answers.connack(&FULL), with_reason(&[0x20, 10, 0, 0x97]));
        let puback = answers.publish(kind::PUBACK, 258, &FULL);
        assert_eq!(puback, with_reason(&[0x40, 11, 1, 2, 0x97]));
        assert_eq!(answers.disconnect(&FULL), with_reason(&[0xE0, 9, 0x97]));
        let suback = answers.suback(1, &[0, 0x97], Some("full"));
        assert_eq!(
            suback,
            [&with_reason(&[0x90, 12, 0, 1])[..], &[0, 0x97]].concat()
        );
        let silent = Answers::new(5, false, None);
        assert_eq!(
            silent.publish(kind::PUBREC, 1, &FULL),
            [0x50, 4, 0, 1, 0x97, 0]
        );
    }

    #[test]
    fn mqtt_311_gets_what_it_knows() {
        let answers = Answers::new(4, true, None);
        assert_eq!(answers.connack(&FULL), [0x20, 2, 0, 3]);
        assert_eq!(answers.publish(kind::PUBACK, 1, &FULL), [0x40, 2, 0, 1]);
        assert_eq!(
            answers.suback(1, &[1, 0x97], Some("x")),
            [0x90, 4, 0, 1, 1, 0x80]
        );
        assert!(answers.disconnect(&FULL).is_empty());
        let malformed = Denial::new(ReasonCode::MalformedPacket, "");
        assert!(answers.connack(&malformed).is_empty());
    }
}
