//! WebSocket clients.

use std::sync::Arc;

use poly2mqtt_test_support::reconnecting_socket::{CommandAccount, ReconnectingSocket};
use serde_json::{Value, json};

use crate::commands::Command;
use crate::door::Door;
use crate::ledger::{Ledger, Reached};

/// Larger payloads are uploaded over HTTP.
const LARGEST: usize = 60 << 10;

pub struct WebSocket {
    number: usize,
    ledger: Arc<Ledger>,
    socket: ReconnectingSocket<Ledger>,
}

impl CommandAccount for Ledger {
    fn answered(&self, id: u64, result: Value) {
        self.got(id, result);
    }

    fn lost(&self, id: u64) {
        self.reached(id, Reached::Maybe);
    }
}

impl WebSocket {
    pub fn connect(number: usize, port: u16, ledger: Arc<Ledger>) -> Self {
        Self {
            number,
            socket: ReconnectingSocket::connect(port, ledger.clone()),
            ledger,
        }
    }
}

impl Door for WebSocket {
    fn takes(&self, command: &Command) -> bool {
        let text = std::str::from_utf8(&command.payload).is_ok();
        text && !command.retained && command.expiry.is_none() && command.payload.len() < LARGEST
    }

    fn send(&self, command: Command) {
        let id = command.id;
        let text = String::from_utf8_lossy(&command.payload);
        let payload = serde_json::from_str(&text).unwrap_or_else(|_| Value::from(&*text));
        let topic = format!("room/{}/{}", command.room, command.topic);
        let frame = json!({"id": id, "topic": topic, "payload": payload});
        self.ledger.sends(command, self.number);
        self.socket
            .send(id, &frame, || self.ledger.reached(id, Reached::Held));
    }

    fn vanish(&mut self) {
        self.socket.vanish();
    }
}
