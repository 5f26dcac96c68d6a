//! What the gateway's own connection has besides its socket: messages past the library, what it retains, and
//! the counts of the commands that it gets and of its results.

use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::mpsc;

use super::client::ClientsShare;
use super::frames::{Frame, Malformed, kind};
use super::gateway_retained::GatewayConnectionNumber;
use super::message::MessageHead;
use super::outbound::RETAIN;
use super::tickets::GatewayConnection;

/// The gateway's connection.
pub struct GatewayStream {
    mail: mpsc::Receiver<Vec<u8>>,
    connection: GatewayConnection,
    number: GatewayConnectionNumber,
    shared: Arc<ClientsShare>,
}

impl GatewayStream {
    /// The gateway has connected.
    pub fn connect(shared: &Arc<ClientsShare>, number: GatewayConnectionNumber) -> Self {
        Self {
            mail: shared.gateway_mail.connect(),
            connection: shared.commands.connect(),
            number,
            shared: shared.clone(),
        }
    }

    /// The next message past the library.
    pub fn poll_mail(&mut self, cx: &mut Context<'_>) -> Poll<Option<Vec<u8>>> {
        self.mail.poll_recv(cx)
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
    /// So many bytes are needed.
    pub fn reads(&self, frame: &Frame, bytes: &mut [u8]) -> Result<(), usize> {
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
            // A result, wherever a client wants it, or an event.
            Ok(Some(topic)) if !self.shared.rights.is_event(topic) => self.connection.read_result(),
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
