//! What the gateway's own connection has besides its socket: messages past the library, what it retains, and
//! the counts of the commands that it gets and of its results.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::mpsc;

use super::client::ClientsShare;
use super::frames::{Frame, Malformed, kind};
use super::gateway_retained::GatewayConnectionNumber;
use super::message::MessageHead;
use super::outbound::RETAIN;
use super::tickets::GatewayConnection;
use crate::topics::RESULT;

/// At most the answers to so many messages past the library are expected: as many as wait for the gateway.
const EXPECTED_ANSWERS: usize = 256;

/// Where the answer to a message past the library will be.
struct ExpectedAnswer {
    result: String,
    /// If the gateway takes the client's response topic.
    response: Option<String>,
}

/// The gateway's connection.
pub struct GatewayStream {
    mail: mpsc::Receiver<Vec<u8>>,
    /// Of the mail that the gateway has got: these are results of no command that was counted.
    expected: VecDeque<ExpectedAnswer>,
    connection: GatewayConnection,
    number: GatewayConnectionNumber,
    shared: Arc<ClientsShare>,
}

impl GatewayStream {
    /// The gateway has connected.
    pub fn connect(shared: &Arc<ClientsShare>, number: GatewayConnectionNumber) -> Self {
        Self {
            mail: shared.gateway_mail.connect(),
            expected: VecDeque::new(),
            connection: shared.commands.connect(),
            number,
            shared: shared.clone(),
        }
    }

    /// The next message past the library.
    pub fn poll_mail(&mut self, cx: &mut Context<'_>) -> Poll<Option<Vec<u8>>> {
        let polled = self.mail.poll_recv(cx);
        if let Poll::Ready(Some(packet)) = &polled {
            self.expect_answer(packet);
        }
        polled
    }

    fn expect_answer(&mut self, packet: &[u8]) {
        let Ok(Some(frame)) = Frame::at(packet) else {
            return;
        };
        let Ok(head) = MessageHead::parse(&frame, packet, true) else {
            return;
        };
        if !self.shared.rights.is_answered(head.topic) {
            return;
        }
        if self.expected.len() == EXPECTED_ANSWERS {
            self.expected.pop_front();
        }
        self.expected.push_back(ExpectedAnswer {
            result: format!("{}{RESULT}", head.topic),
            response: head.response_topic.map(str::to_owned),
        });
    }

    /// Whether a message at this topic is the answer to one past the library.
    fn is_expected(&mut self, topic: &str) -> bool {
        let is_it = |answer: &ExpectedAnswer| {
            answer.result == topic || answer.response.as_deref() == Some(topic)
        };
        let Some(place) = self.expected.iter().position(is_it) else {
            return false;
        };
        self.expected.remove(place);
        true
    }

    /// The library writes a packet to the gateway.
    pub fn writes(&self, frame: &Frame, bytes: &[u8]) {
        if let Ok(Some(topic)) = unretained(frame, bytes)
            && self.shared.rights.is_command(topic)
        {
            self.connection.write_command();
        }
    }

    /// The gateway sends the packet that these bytes begin with. What it retains is kept, and the retain
    /// flag taken off for the library; its results are counted. A normal DISCONNECT discards its will.
    ///
    /// # Errors
    /// The number of bytes that are needed.
    pub fn reads(&mut self, frame: &Frame, bytes: &mut [u8]) -> Result<(), usize> {
        if frame.kind == kind::PUBLISH && frame.flags & RETAIN != 0 {
            let packet = bytes.get(..frame.length()).ok_or(frame.length())?;
            if let Ok(head) = MessageHead::parse(frame, packet, true) {
                let payload = &packet[head.length..];
                self.shared.gateway_retained.publish(&head, payload);
            }
            bytes[0] &= !RETAIN;
            return Ok(());
        }
        if frame.kind == kind::DISCONNECT {
            let packet = bytes.get(..frame.length()).ok_or(frame.length())?;
            if is_normal_disconnect(frame, packet) {
                self.shared.gateway_retained.discard_will(self.number);
            }
            return Ok(());
        }
        match unretained(frame, bytes) {
            // A result, wherever a client wants it; an event; or the file before a result.
            Ok(Some(topic)) if !self.shared.rights.is_event_or_file(topic) => {
                if !self.is_expected(topic) {
                    self.connection.read_result();
                }
            }
            Err(Malformed) if bytes.len() < frame.length() => return Err(bytes.len() + 1),
            Ok(_) | Err(Malformed) => {}
        }
        Ok(())
    }
}

/// Whether the reason of a DISCONNECT is 0, which may be left out.
fn is_normal_disconnect(frame: &Frame, packet: &[u8]) -> bool {
    matches!(frame.body_in(packet).first(), None | Some(0))
}

/// The topic of a message that is not retained; the gateway's connection is one of MQTT 5.
fn unretained<'a>(frame: &Frame, bytes: &'a [u8]) -> Result<Option<&'a str>, Malformed> {
    if frame.kind != kind::PUBLISH || frame.flags & RETAIN != 0 {
        return Ok(None);
    }
    let head = MessageHead::parse(frame, bytes, true)?;
    Ok(Some(head.topic))
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use mqtt5::types::WillMessage;

    use super::*;
    use crate::broker::frames::packet;
    use crate::broker::limits::COMMANDS_IN_GATEWAY;
    use crate::broker::tickets::Tickets;

    /// A PUBLISH of MQTT 5 with QoS 0.
    fn publish(topic: &str, response: Option<&str>) -> Vec<u8> {
        let text = |text: &str| {
            let length = u16::try_from(text.len()).unwrap().to_be_bytes();
            [&length, text.as_bytes()].concat()
        };
        let properties = response.map(|response| [vec![8], text(response)].concat());
        let properties = properties.unwrap_or_default();
        let length = vec![u8::try_from(properties.len()).unwrap()];
        packet(
            kind::PUBLISH,
            0,
            &[text(topic), length, properties].concat(),
        )
    }

    fn reads(gateway: &mut GatewayStream, mut bytes: Vec<u8>) {
        let frame = Frame::at(&bytes).unwrap().unwrap();
        gateway.reads(&frame, &mut bytes).unwrap();
    }

    #[test]
    fn a_normal_disconnect_discards_the_will() {
        for (body, is_discarded) in [
            (&[][..], true),
            (&[0], true),
            (&[0, 0], true),
            (&[4], false),
            (&[0x8e, 0], false),
        ] {
            let shared = ClientsShare::without_users();
            let mut will = WillMessage::new("gateway/availability", "offline");
            will.retain = true;
            let number = shared.gateway_retained.connect(Some(&mut will));
            let mut gateway = GatewayStream::connect(&shared, number);
            reads(&mut gateway, packet(kind::DISCONNECT, 0, body));
            shared.gateway_retained.disconnected(number);
            let will = shared.gateway_retained.get("gateway/availability");
            assert_eq!(will.is_none(), is_discarded, "{body:?}");
        }
    }

    /// The gateway answers what comes past the library at once, and the commands of a flood late: no more
    /// of these may pass for it.
    #[tokio::test(start_paused = true)]
    async fn only_results_of_commands_that_were_counted_count() {
        let shared = ClientsShare::without_users();
        let number = shared.gateway_retained.connect(None);
        let mut gateway = GatewayStream::connect(&shared, number);
        let mut flood = Tickets::new(shared.commands.clone());
        let command = publish("room/1/audio/mute", None);
        let frame = Frame::at(&command).unwrap().unwrap();
        let mut may_pass = async |gateway: &GatewayStream| {
            let mut passed = 0;
            while poll_fn(|cx| Poll::Ready(flood.poll_may_pass(cx).is_ready())).await {
                flood.pass(1);
                gateway.writes(&frame, &command);
                passed += 1;
                assert!(passed <= 2 * COMMANDS_IN_GATEWAY, "there is no bound");
            }
            passed
        };
        assert!(may_pass(&gateway).await >= COMMANDS_IN_GATEWAY);
        for (topic, response) in [
            ("room/1/audio/nothing", None),
            ("room/9/audio/mute", None),
            ("room/1/audio/nothing", Some("answers/1")),
        ] {
            assert!(shared.gateway_mail.send(publish(topic, response)));
            poll_fn(|cx| gateway.poll_mail(cx)).await.unwrap();
            let result = format!("{topic}{RESULT}");
            reads(&mut gateway, publish(response.unwrap_or(&result), None));
            assert_eq!(may_pass(&gateway).await, 0, "{topic}");
        }
        // What the gateway says of its own accord is no result either.
        for topic in ["room/1/event/call_ended", "room/1/camera/snapshot/near"] {
            reads(&mut gateway, publish(topic, None));
            assert_eq!(may_pass(&gateway).await, 0, "{topic}");
        }
        for topic in ["room/1/audio/mute/result", "answers/1"] {
            reads(&mut gateway, publish(topic, None));
            assert_eq!(may_pass(&gateway).await, 1, "{topic}");
        }
        assert!(gateway.expected.is_empty());
    }
}
