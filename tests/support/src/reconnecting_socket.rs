//! A WebSocket client of a gateway that connects again after each loss. Each command is a frame with an id, and its
//! result has the same id. What becomes of each command is told to whoever keeps the account.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// The delay before a lost connection is made again.
const RECONNECT_DELAY: Duration = Duration::from_millis(50);
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Who keeps account of the commands.
pub trait CommandAccount: Send + Sync + 'static {
    /// The command has this result.
    fn answered(&self, id: u64, result: Value);

    /// The connection ended before the command had a result: it gets none.
    fn lost(&self, id: u64);
}

/// The present connection: where frames are written, and which results are still to come.
#[derive(Default)]
struct Inflight {
    frames: Option<mpsc::UnboundedSender<String>>,
    sent: BTreeSet<u64>,
}

/// The client. It ends when it is dropped.
pub struct ReconnectingSocket<A: CommandAccount> {
    url: String,
    inflight: Arc<Mutex<Inflight>>,
    account: Arc<A>,
    task: JoinHandle<()>,
}

impl<A: CommandAccount> Drop for ReconnectingSocket<A> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<A: CommandAccount> ReconnectingSocket<A> {
    /// To the gateway at this port of this machine.
    pub fn connect(port: u16, account: Arc<A>) -> Self {
        let url = format!("ws://127.0.0.1:{port}/ws");
        let inflight = Arc::<Mutex<Inflight>>::default();
        let task = tokio::spawn(stay(url.clone(), inflight.clone(), account.clone()));
        Self {
            url,
            inflight,
            account,
            task,
        }
    }

    /// Sends the frame of a command, or leaves it unsent if there is no connection. `sent` is called before its result
    /// can come.
    pub fn send(&self, id: u64, frame: &Value, sent: impl FnOnce()) {
        let mut inflight = self.inflight.lock().unwrap();
        if let Some(frames) = &inflight.frames
            && frames.send(frame.to_string()).is_ok()
        {
            sent();
            inflight.sent.insert(id);
        }
    }

    /// Whether there is a connection.
    pub fn is_connected(&self) -> bool {
        self.inflight.lock().unwrap().frames.is_some()
    }

    /// Ends the connection without a word, and makes another.
    pub fn vanish(&mut self) {
        self.task.abort();
        lost(&self.inflight, &*self.account);
        let again = stay(
            self.url.clone(),
            self.inflight.clone(),
            self.account.clone(),
        );
        self.task = tokio::spawn(again);
    }
}

/// Connects, and reconnects after each loss.
async fn stay<A: CommandAccount>(url: String, inflight: Arc<Mutex<Inflight>>, account: Arc<A>) {
    loop {
        if let Ok(Ok((socket, _))) = timeout(CONNECT_TIMEOUT, connect_async(&url)).await {
            let (frames, out) = mpsc::unbounded_channel();
            inflight.lock().unwrap().frames = Some(frames);
            talk(socket, out, &inflight, &*account).await;
            lost(&inflight, &*account);
        }
        sleep(RECONNECT_DELAY).await;
    }
}

fn lost(inflight: &Mutex<Inflight>, account: &impl CommandAccount) {
    let lost = std::mem::take(&mut *inflight.lock().unwrap());
    lost.sent.into_iter().for_each(|id| account.lost(id));
}

async fn talk(
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    mut out: mpsc::UnboundedReceiver<String>,
    inflight: &Mutex<Inflight>,
    account: &impl CommandAccount,
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
                        account.answered(id, frame["payload"].clone());
                    }
                }
                Some(Ok(_)) => {}
                _ => return,
            },
        }
    }
}
