//! A client of each gateway over WebSocket and HTTP.

use std::sync::Arc;
use std::time::Duration;

use poly2mqtt_test_support::reconnecting_socket::{CommandAccount, ReconnectingSocket};
use serde_json::{Value, json};

use crate::broker_client::code;
use crate::etcd::client;
use crate::ledger::{Ledger, Reached};

/// A request is given up after this time. Silence of this length is a violation.
const REQUEST_LIMIT: Duration = Duration::from_secs(40);

impl CommandAccount for Ledger {
    fn answered(&self, id: u64, result: Value) {
        self.got(id, code(&result));
    }

    fn lost(&self, id: u64) {
        self.reached(id, Reached::Maybe);
    }
}

pub struct WebSocketClient {
    socket: ReconnectingSocket<Ledger>,
    ledger: Arc<Ledger>,
}

impl WebSocketClient {
    pub fn connect(port: u16, ledger: Arc<Ledger>) -> Self {
        let socket = ReconnectingSocket::connect(port, ledger.clone());
        Self { socket, ledger }
    }

    /// Sends a command, or leaves it unsent if there is no connection.
    pub fn send(&self, id: u64, topic: &str, payload: &Value) {
        let frame = json!({"id": id, "topic": topic, "payload": payload});
        self.socket
            .send(id, &frame, || self.ledger.reached(id, Reached::Yes));
    }

    pub fn is_connected(&self) -> bool {
        self.socket.is_connected()
    }
}

#[derive(Clone)]
pub struct HttpClient {
    client: reqwest::Client,
    ledger: Arc<Ledger>,
}

impl HttpClient {
    pub fn new(ledger: Arc<Ledger>) -> Self {
        Self {
            client: client(REQUEST_LIMIT),
            ledger,
        }
    }

    /// Sends a command, and records its result when it comes.
    pub fn send(&self, port: u16, id: u64, topic: &str, payload: String) {
        let url = format!("http://127.0.0.1:{port}/{topic}");
        let request = self.client.post(url).body(payload);
        let ledger = self.ledger.clone();
        tokio::spawn(async move {
            ledger.reached(id, Reached::Yes);
            let answer = match request.send().await {
                Ok(response) => response.json::<Value>().await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(result) => ledger.got(id, code(&result)),
                // The gateway holds the connection, and says nothing.
                Err(error) if error.is_timeout() => {}
                Err(_) => ledger.reached(id, Reached::Maybe),
            }
        });
    }
}
