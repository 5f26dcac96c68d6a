//! WebSocket clients. Each command is a frame with an id, and its result has the same id.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::commands::Command;
use crate::door::Door;
use crate::ledger::{Ledger, Reached};

/// The delay before a lost connection is made again.
const AGAIN: Duration = Duration::from_millis(50);
/// Larger payloads are uploaded over HTTP.
const LARGEST: usize = 60 << 10;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The present connection: where frames are written, and which results are still to come.
#[derive(Default)]
struct Inflight {
    frames: Option<mpsc::UnboundedSender<String>>,
    sent: BTreeSet<u64>,
}

pub struct WebSocket {
    number: usize,
    url: String,
    ledger: Arc<Ledger>,
    flight: Arc<Mutex<Inflight>>,
    task: JoinHandle<()>,
}

impl WebSocket {
    pub fn connect(number: usize, port: u16, ledger: Arc<Ledger>) -> Self {
        let url = format!("ws://127.0.0.1:{port}/ws");
        let flight = Arc::<Mutex<Inflight>>::default();
        let task = tokio::spawn(stay(url.clone(), flight.clone(), ledger.clone()));
        Self {
            number,
            url,
            ledger,
            flight,
            task,
        }
    }
}

impl Drop for WebSocket {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Connects, and reconnects after each loss.
async fn stay(url: String, flight: Arc<Mutex<Inflight>>, ledger: Arc<Ledger>) {
    loop {
        if let Ok((socket, _)) = connect_async(&url).await {
            let (frames, out) = mpsc::unbounded_channel();
            flight.lock().unwrap().frames = Some(frames);
            talk(socket, out, &flight, &ledger).await;
        }
        lost(&flight, &ledger);
        sleep(AGAIN).await;
    }
}

/// A command without a result when its connection ends will not get one.
fn lost(flight: &Mutex<Inflight>, ledger: &Ledger) {
    let flight = std::mem::take(&mut *flight.lock().unwrap());
    for id in flight.sent {
        ledger.reached(id, Reached::Maybe);
    }
}

async fn talk(
    socket: Socket,
    mut out: mpsc::UnboundedReceiver<String>,
    flight: &Mutex<Inflight>,
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
                        flight.lock().unwrap().sent.remove(&id);
                        ledger.got(id, frame["payload"].clone());
                    }
                }
                Some(Ok(_)) => {}
                _ => return,
            },
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
        let mut flight = self.flight.lock().unwrap();
        if let Some(frames) = &flight.frames
            && frames.send(frame.to_string()).is_ok()
        {
            self.ledger.reached(id, Reached::Held);
            flight.sent.insert(id);
        }
    }

    fn vanish(&mut self) {
        self.task.abort();
        lost(&self.flight, &self.ledger);
        let again = stay(self.url.clone(), self.flight.clone(), self.ledger.clone());
        self.task = tokio::spawn(again);
    }
}
