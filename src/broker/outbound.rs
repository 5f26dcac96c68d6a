//! What the library writes to a client, corrected where it is not what MQTT says.
//!
//! Pure. A packet that is right is not copied.

use super::corrections::{Correction, correct, not_sent};
use super::frames::{FieldReader, Frame, kind, packet, put_variable_integer};
use super::inbound::InboundPackets;
use super::message::MessageHead;
use super::properties::SUBSCRIPTION_IDENTIFIER;
use super::replays::Placeholder;

/// The corrections for one client.
#[derive(Debug, Default)]
pub struct Outbound {
    /// The client speaks MQTT 5.
    pub is_mqtt_5: bool,
    /// The largest packet that it takes.
    pub maximum_packet_size: Option<u32>,
    /// The client id that the gateway chose because the client had none: CONNACK must name it
    /// (MQTT 5, 3.2.2.3.7).
    pub assigned_client_id: Option<String>,
}

/// The retain flag of a PUBLISH (MQTT 5, 3.3.1.3).
pub const RETAIN: u8 = 1;

/// If this packet is a placeholder of a retained message: the place of the client that it is for.
fn placeholder_of<'a>(frame: &Frame, bytes: &'a [u8]) -> Option<&'a [u8]> {
    if frame.kind != kind::PUBLISH {
        return None;
    }
    let topic = FieldReader(frame.body_in(bytes)).binary().ok()?;
    Placeholder::place(topic)
}

/// The message of QoS 2 that this packet sends or releases.
fn delivered(frame: &Frame, bytes: &[u8]) -> Option<u16> {
    let mut reader = FieldReader(frame.body_in(bytes));
    match frame.kind {
        kind::PUBLISH if frame.flags >> 1 & 3 == 2 => drop(reader.binary().ok()?),
        kind::PUBREL => {}
        _ => return None,
    }
    reader.two_bytes().ok()
}

impl Outbound {
    /// What to send instead of this packet; `None` if it is right. `inbound` knows what the packet
    /// answers.
    pub fn correct(
        &mut self,
        frame: &Frame,
        bytes: &[u8],
        inbound: &mut InboundPackets,
    ) -> Option<Correction> {
        let instead = match frame.kind {
            kind::CONNACK => self.connack(frame, bytes, inbound),
            kind::SUBACK => inbound.suback(frame, bytes),
            _ => None,
        };
        if let Some(packet) = instead {
            return Some(Correction::whole(frame, packet));
        }
        let correction = if let Some(place) = placeholder_of(frame, bytes) {
            let is_own = place == inbound.place().as_bytes();
            if is_own {
                inbound.replays.was_written();
            }
            Some(self.retained(frame, bytes, inbound, is_own))
        } else if self.clears_expired(frame, bytes, inbound) {
            Some(Correction::Drop(Vec::new()))
        } else {
            let correction = correct(self.is_mqtt_5, self.maximum_packet_size, frame, bytes);
            self.as_published(frame, bytes, inbound, correction)
        };
        if !matches!(correction, Some(Correction::Drop(_)))
            && let Some(packet_id) = delivered(frame, bytes)
        {
            inbound.delivers(packet_id);
        }
        correction
    }

    /// Whether this packet is an empty message that only clears what was retained and has expired.
    fn clears_expired(&self, frame: &Frame, bytes: &[u8], inbound: &InboundPackets) -> bool {
        let has_qos = frame.flags >> 1 & 3 != 0;
        frame.kind == kind::PUBLISH
            && !has_qos
            && MessageHead::parse(frame, bytes, self.is_mqtt_5)
                .is_ok_and(|head| head.payload == 0 && inbound.is_clearing(head.topic))
    }

    /// The retained message of a placeholder. If it has gone meanwhile, is too large, or the placeholder is
    /// another client's, whose rights nobody has compared with this one's, the library is told that it was
    /// sent.
    fn retained(
        &self,
        frame: &Frame,
        bytes: &[u8],
        inbound: &InboundPackets,
        is_own: bool,
    ) -> Correction {
        let Ok(head) = MessageHead::parse(frame, bytes, self.is_mqtt_5) else {
            return Correction::Drop(Vec::new());
        };
        let identifier = head.packet_id.to_be_bytes();
        let identifier = if head.qos > 0 { &identifier[..] } else { &[] };
        let packet = Placeholder::parse(&bytes[head.length..frame.length()])
            .ok()
            .filter(|_| is_own)
            .and_then(|placeholder| self.message(frame.flags, identifier, &placeholder, inbound));
        let fits = |packet: &Vec<u8>| {
            let maximum = self.maximum_packet_size;
            maximum.is_none_or(|maximum| packet.len() <= maximum as usize)
        };
        match packet.filter(fits) {
            Some(packet) => Correction::whole(frame, packet),
            None => Correction::Drop(not_sent(head.qos, identifier)),
        }
    }

    fn message(
        &self,
        flags: u8,
        identifier: &[u8],
        placeholder: &Placeholder<'_>,
        inbound: &InboundPackets,
    ) -> Option<Vec<u8>> {
        let message = inbound.gateway_retained(placeholder.topic)?;
        let length = u16::try_from(placeholder.topic.len()).ok()?;
        let mut body = Vec::with_capacity(message.payload.len() + message.properties.len() + 300);
        body.extend_from_slice(&length.to_be_bytes());
        body.extend_from_slice(placeholder.topic.as_bytes());
        body.extend_from_slice(identifier);
        if self.is_mqtt_5 {
            let mut properties = Vec::from(&*message.properties);
            if placeholder.identifier > 0 {
                put_variable_integer(&mut properties, SUBSCRIPTION_IDENTIFIER);
                put_variable_integer(&mut properties, placeholder.identifier.try_into().ok()?);
            }
            put_variable_integer(&mut body, properties.len());
            body.extend_from_slice(&properties);
        }
        body.extend_from_slice(&message.payload);
        Some(packet(kind::PUBLISH, flags | RETAIN, &body))
    }

    /// Puts the retain flag on a message that the gateway retains, where the client wants to see it.
    fn as_published(
        &self,
        frame: &Frame,
        bytes: &[u8],
        inbound: &InboundPackets,
        correction: Option<Correction>,
    ) -> Option<Correction> {
        let is_unmarked = frame.kind == kind::PUBLISH && frame.flags & RETAIN == 0;
        if !self.is_mqtt_5 || !inbound.wants_retain_flags() || !is_unmarked {
            return correction;
        }
        let Ok(head) = MessageHead::parse(frame, bytes, true) else {
            return correction;
        };
        if !inbound.keeps_retain(head.topic, head.payload == 0) {
            return correction;
        }
        match correction {
            Some(Correction::Replace { replaced, mut with }) => {
                with[0] |= RETAIN;
                Some(Correction::Replace { replaced, with })
            }
            None => Some(Correction::Replace {
                replaced: 1,
                with: vec![bytes[0] | RETAIN],
            }),
            dropped => dropped,
        }
    }

    fn connack(
        &mut self,
        frame: &Frame,
        bytes: &[u8],
        inbound: &mut InboundPackets,
    ) -> Option<Vec<u8>> {
        let body = frame.body_in(bytes);
        let mut reader = FieldReader(body);
        let (flags, code) = (reader.byte().ok()?, reader.byte().ok()?);
        if code == 0 {
            inbound.connected(flags & 1 != 0);
        }
        let client_id = self.assigned_client_id.take().filter(|_| code == 0)?;
        let properties = reader.properties().ok()?.0;
        let length = u16::try_from(client_id.len()).ok()?;
        let mut corrected = vec![flags, code];
        put_variable_integer(&mut corrected, properties.len() + 3 + client_id.len());
        corrected.push(0x12);
        corrected.extend_from_slice(&length.to_be_bytes());
        corrected.extend_from_slice(client_id.as_bytes());
        corrected.extend_from_slice(properties);
        Some(packet(kind::CONNACK, 0, &corrected))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::SystemTime;

    use super::super::answers::Answers;
    use super::super::authentication::Login;
    use super::super::client::{BrokerClient, ClientsShare};
    use super::super::client_owner::ClientOwner;
    use super::super::property_size::PropertySize;
    use super::super::replays::Replays;
    use super::*;

    fn placeholder(place: &str, topic: &str) -> Vec<u8> {
        let own_topic = format!("$replay/{place}");
        let length = own_topic.len() as u16;
        let mut body = [&length.to_be_bytes(), own_topic.as_bytes()].concat();
        // The packet identifier, no properties, no Subscription Identifier.
        body.extend([0, 7, 0, 0, 0, 0, 0]);
        body.extend_from_slice(topic.as_bytes());
        packet(kind::PUBLISH, 2, &body)
    }

    /// What is sent to the client at the place "own" instead of these packets of the library.
    fn corrections(
        shared: Arc<ClientsShare>,
        is_mqtt_5: bool,
    ) -> impl FnMut(&[u8]) -> Option<Correction> {
        let (replays, _) = Replays::new(shared.clone(), "own".into(), is_mqtt_5);
        let owner = ClientOwner::User("panel".into());
        let client = BrokerClient::new("own".into(), owner, Login::Anyone, shared);
        let answers = Answers::new(if is_mqtt_5 { 5 } else { 4 }, true, None);
        let mut inbound = InboundPackets::new(Arc::new(client), answers, replays);
        let mut outbound = Outbound {
            is_mqtt_5,
            ..Outbound::default()
        };
        move |bytes| {
            let frame = Frame::at(bytes).unwrap().unwrap();
            outbound.correct(&frame, bytes, &mut inbound)
        }
    }

    #[test]
    fn a_placeholder_becomes_a_message_for_its_own_client_only() {
        let shared = ClientsShare::without_users();
        let state = packet(kind::PUBLISH, 1, b"\0\x01s\0online");
        let frame = Frame::at(&state).unwrap().unwrap();
        let head = MessageHead::parse(&frame, &state, true).unwrap();
        shared.gateway_retained.publish(&head, b"online");
        let mut corrections = corrections(shared, true);
        let Some(Correction::Replace { with, .. }) = corrections(&placeholder("own", "s")) else {
            panic!("nothing is sent");
        };
        assert!(with.ends_with(b"online"));
        for other in ["other", "", "own/more"] {
            let dropped = Correction::Drop(not_sent(1, &[0, 7]));
            let correction = corrections(&placeholder(other, "s"));
            assert_eq!(correction, Some(dropped), "{other}");
        }
    }

    #[test]
    fn no_client_sees_that_what_has_expired_is_cleared() {
        let now = SystemTime::now();
        let shared = ClientsShare::without_users();
        let retained = &shared.retained;
        for (topic, expires) in [("a", Some(now)), ("b", None)] {
            retained.set_until(topic, 1, PropertySize::default(), expires);
        }
        assert_eq!(retained.begin_clearing(now), ["a"]);
        let dropped = Some(Correction::Drop(Vec::new()));
        let mut modern = corrections(shared.clone(), true);
        // Without properties, and with the identifier of the subscription.
        for body in [&b"\0\x01a\0"[..], b"\0\x01a\x02\x0b\x05"] {
            assert_eq!(modern(&packet(kind::PUBLISH, 0, body)), dropped);
        }
        let mut classic = corrections(shared, false);
        assert_eq!(classic(&packet(kind::PUBLISH, 0, b"\0\x01a")), dropped);
        for (flags, body) in [
            (0, &b"\0\x01b"[..]),
            (0, b"\0\x01ax"),
            (2, b"\0\x01a\0\x01"),
        ] {
            assert_ne!(classic(&packet(kind::PUBLISH, flags, body)), dropped);
        }
    }
}
