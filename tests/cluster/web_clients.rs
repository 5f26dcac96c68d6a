//! A client of each gateway over WebSocket and HTTP.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::broker_client::code;
use crate::etcd::client;
use crate::ledger::{Ledger, Reached};

/// The delay before a lost connection is made again.
const AGAIN: Duration = Duration::from_millis(50);
/// A request is given up after this time. Silence of this length is a violation.
const REQUEST_LIMIT: Duration = Duration::from_secs(40);

/// The present connection: where frames are written, and which results are still to come.
#[derive(Default)]
struct Inflight {
    frames: Option<mpsc::UnboundedSender<String>>,
    sent: BTreeSet<u64>,
}

pub struct WebSocketClient {
    inflight: Arc<Mutex<Inflight>>,
    ledger: Arc<Ledger>,
    task: JoinHandle<()>,
}

impl Drop for WebSocketClient {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl WebSocketClient {
    pub fn connect(port: u16, ledger: Arc<Ledger>) -> Self {
        let inflight = Arc::<Mutex<Inflight>>::default();
        let task = tokio::spawn(stay(port, inflight.clone(), ledger.clone()));
        Self {
            inflight,
            ledger,
            task,
        }
    }

    /// Sends a command, or leaves it unsent if there is no connection.
    pub fn send(&self, id: u64, topic: &str, payload: &Value) {
        let frame = json!({"id": id, "topic": topic, "payload": payload});
        let mut inflight = self.inflight.lock().unwrap();
        let Some(frames) = &inflight.frames else {
            return;
        };
        if frames.send(frame.to_string()).is_ok() {
            self.ledger.reached(id, Reached::Yes);
            inflight.sent.insert(id);
        }
    }

    pub fn is_connected(&self) -> bool {
        self.inflight.lock().unwrap().frames.is_some()
    }
}

async fn stay(port: u16, inflight: Arc<Mutex<Inflight>>, ledger: Arc<Ledger>) {
    let url = format!("ws://127.0.0.1:{port}/ws");
    loop {
        let connecting = timeout(Duration::from_secs(2), connect_async(&url));
        if let Ok(Ok((socket, _))) = connecting.await {
            let (frames, out) = mpsc::unbounded_channel();
            inflight.lock().unwrap().frames = Some(frames);
            talk(socket, out, &inflight, &ledger).await;
            // A command without a result when its connection ends gets none.
            let lost = std::mem::take(&mut *inflight.lock().unwrap());
            for id in lost.sent {
                ledger.reached(id, Reached::Maybe);
            }
        }
        sleep(AGAIN).await;
    }
}

async fn talk(
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    mut out: mpsc::UnboundedReceiver<String>,
    inflight: &Mutex<Inflight>,
    ledger: &Ledger,
) {
    let (mut sink, mut source) = socket.split();
    loop {
        tokio::select! {
            frame = out.recv() => {
                let Some(frame) = frame else { return };
                if sink.send(Message::text(frame)).await.is_err() {
                    return;
                }
            }
            message = source.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text).unwrap_or_default();
                    if let Some(id) = frame["id"].as_u64() {
                        inflight.lock().unwrap().sent.remove(&id);
                        ledger.got(id, code(&frame["payload"]));
                    }
                }
                Some(Ok(_)) => {}
                _ => return,
            },
        }
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
