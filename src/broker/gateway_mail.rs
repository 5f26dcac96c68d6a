//! Messages for the gateway alone, past the library: those that the gateway answers and does not
//! carry out, such as a retained command. The library would keep them, or pass them on.

use parking_lot::Mutex;
use tokio::sync::mpsc;

/// Messages that wait for the gateway. It takes them at once.
const MOST_WAITING_MESSAGES: usize = 256;

/// The way to the gateway's own connection.
#[derive(Debug, Default)]
pub struct GatewayMail {
    to_gateway: Mutex<Option<mpsc::Sender<Vec<u8>>>>,
}

impl GatewayMail {
    /// The gateway has connected: it gets what is sent from now on.
    pub fn connect(&self) -> mpsc::Receiver<Vec<u8>> {
        let (sender, receiver) = mpsc::channel(MOST_WAITING_MESSAGES);
        let mut to_gateway = self.to_gateway.lock();
        *to_gateway = Some(sender);
        receiver
    }

    /// Sends a whole PUBLISH of MQTT 5. `false` if the gateway does not get it.
    pub fn send(&self, packet: Vec<u8>) -> bool {
        let to_gateway = self.to_gateway.lock();
        let sent = to_gateway.as_ref().map(|sender| sender.try_send(packet));
        matches!(sent, Some(Ok(())))
    }
}
