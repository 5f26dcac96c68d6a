//! One client's conversation: what it asks for, and what it is told.
//!
//! Owns subscriptions, the commands in flight and the order of answers towards one client, the
//! same over a WebSocket and over plain TCP: the transport is a [`Source`] and a [`Sink`]. Knows
//! neither devices nor HTTP.

mod client;
mod clients;
pub mod frame;
mod frame_cache;
pub mod json;
mod limits;
pub mod plain;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::task::yield_now;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use crate::command::DoorKind;
use crate::doors::access::Grant;
use crate::doors::flush_rule::FlushRule;
use crate::state::Item;
use client::Client;
use frame::{Answer, Refused, Request};

pub use crate::topics::{Filter, Filters};
pub use clients::Clients;
pub use frame::{state_value, typed};
pub use limits::Limits;

/// How long a client has to read why it is dismissed, and to go by itself.
const FAREWELL: Duration = Duration::from_secs(1);

/// How frames are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON objects; plain frames are understood too.
    Json,
    /// Plain lines.
    Plain,
}

/// Something from the client.
#[derive(Debug, PartialEq)]
pub enum Received {
    /// A frame.
    Text(String),
    /// A frame of bytes, which nobody wants.
    Binary(Bytes),
    /// Nothing but a sign of life.
    Sign,
    /// The last: the client left, or did what ends the conversation.
    End(Ending),
}

/// Something for the client.
#[derive(Debug, PartialEq)]
pub enum Sent {
    /// A frame.
    Text(Arc<str>),
    /// The bytes of a file whose result went before.
    Binary(Bytes),
    /// A question whether it is there.
    Ping,
}

/// Why a conversation ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The client left, or its connection broke.
    Left,
    /// Nothing came from it for too long.
    Silent,
    /// It did not take what was sent.
    Stuck,
    /// It broke the rules of its protocol.
    Broken,
    /// It sent text that is none.
    NotText,
    /// It sent more at a time than is taken.
    TooLarge,
    /// Its token is wrong, or not good any more.
    BadToken,
    /// There are too many clients.
    TooMany,
    /// The gateway stops.
    GoingAway,
}

impl Ending {
    /// For a person; nothing where there is nobody to tell.
    pub fn reason(self) -> Option<&'static str> {
        Some(match self {
            Self::Left | Self::Silent | Self::Stuck => return None,
            Self::Broken => "that is not what the protocol allows",
            Self::NotText => "that is no UTF-8 text",
            Self::TooLarge => "the message is too large; files are uploaded over HTTP",
            Self::BadToken => "the token is missing, wrong or not good any more",
            Self::TooMany => "too many clients; try again later",
            Self::GoingAway => "the gateway stops",
        })
    }
}

/// The other end is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

/// Where a client's frames come from. Waiting may be given up and begun again.
pub trait Source: Send {
    /// The next frame.
    fn next(&mut self) -> impl Future<Output = Received> + Send;
    /// Takes no heed of what still comes, until the client is gone.
    fn rest(&mut self) -> impl Future<Output = ()> + Send;
}

/// Where a client's frames go.
pub trait Sink: Send {
    /// Sends a frame, or keeps it until the flush.
    fn send(&mut self, frame: Sent) -> impl Future<Output = Result<(), Gone>> + Send;
    /// Sends what was kept.
    fn flush(&mut self) -> impl Future<Output = Result<(), Gone>> + Send;
    /// Says why the conversation ends, and ends it.
    fn close(&mut self, ending: Ending) -> impl Future<Output = ()> + Send;
}

/// Who comes.
#[derive(Debug)]
pub struct Visitor {
    /// What it may see and do.
    pub grant: Grant,
    /// How it came.
    pub door: DoorKind,
    /// How it wants to be talked to.
    pub format: Format,
    /// What it subscribes to from the start.
    pub filters: Vec<Filter>,
    /// Whether it answers pings, so that its silence means that it is gone.
    pub answers_pings: bool,
}

/// Talks with a client until one of the two ends it.
pub async fn converse(
    clients: &Arc<Clients>,
    visitor: Visitor,
    mut source: impl Source,
    mut sink: impl Sink,
) {
    let pings = visitor.answers_pings;
    let (door, filters) = (visitor.door, visitor.filters);
    let client = Client::new(clients.clone(), visitor.grant, door, visitor.format);
    clients.telemetry.client_connected(door);
    client.subscribe(None, filters);
    let ending = tokio::select! {
        ending = listen(clients, &client, &mut source, pings) => ending,
        ending = talk(clients, &client, &mut sink, pings, false) => ending,
    };
    if ending == Ending::Left {
        // Whoever has said all it wanted, as `nc -N` does, may still read what comes of it. Where
        // nobody is left, that shows when it is sent.
        talk(clients, &client, &mut sink, pings, true).await;
    }
    client.leave();
    clients.telemetry.client_disconnected(door);
    dismiss(clients, ending, source, sink).await;
}

/// Says why there is no conversation, or no more.
pub async fn dismiss(
    clients: &Clients,
    ending: Ending,
    mut source: impl Source,
    mut sink: impl Sink,
) {
    if ending.reason().is_none() {
        return;
    }
    // A client that does not even take its farewell is left without one.
    if timeout(clients.limits.send, sink.close(ending))
        .await
        .is_ok()
    {
        // A connection that ends while the client still sends would take the reason with it.
        let _ = timeout(FAREWELL, source.rest()).await;
    }
}

/// Takes frames until the client leaves.
async fn listen(
    clients: &Clients,
    client: &Arc<Client>,
    source: &mut impl Source,
    pings: bool,
) -> Ending {
    let silence = clients.limits.ping * 2;
    loop {
        client.caught_up().await;
        let received = if pings {
            match timeout(silence, source.next()).await {
                Ok(received) => received,
                Err(_) => return Ending::Silent,
            }
        } else {
            source.next().await
        };
        match received {
            Received::Text(text) => take(client, &text),
            Received::Binary(_) => {
                let refused = Refused::bad("frames are text; files are uploaded over HTTP");
                client.answer(None, Answer::Refused(refused));
            }
            Received::Sign => {}
            Received::End(ending) => return ending,
        }
    }
}

fn take(client: &Arc<Client>, text: &str) {
    let asked = match client.format() {
        Format::Json => json::read(text),
        Format::Plain => plain::read(text),
    };
    let Some(asked) = asked else { return };
    let id: Option<Value> = asked.id;
    match asked.request {
        Ok(Request::Command { topic, payload }) => client.command(id, &topic, payload),
        Ok(Request::Subscribe(filters)) => client.subscribe(Some(id), filters),
        Ok(Request::Unsubscribe(filters)) => client.unsubscribe(id, filters),
        Ok(Request::Ping) => client.answer(id, Answer::Pong),
        Err(refused) => client.answer(id, Answer::Refused(refused)),
    }
}

/// Sends what waits, until it cannot or need not be sent any more; with `rest`, until all that was
/// asked for has its answer.
async fn talk(
    clients: &Clients,
    client: &Client,
    sink: &mut impl Sink,
    pings: bool,
    rest: bool,
) -> Ending {
    let period = clients.limits.ping;
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut tokens = clients.access.changes();
    let mut flush_rule = FlushRule::default();
    // The last thing sent was an answer.
    let mut answers = false;
    loop {
        if rest && client.is_answered() {
            // The client left between a send and its flush, perhaps.
            let _ = timeout(clients.limits.send, sink.flush()).await;
            return Ending::Left;
        }
        let frames = tokio::select! {
            biased;
            // Before all else: a reader so slow that something always waits must be asked too.
            _ = ticks.tick(), if pings => vec![Sent::Ping],
            () = tokens.next() => {
                if !clients.access.still_holds(client.grant()) {
                    return Ending::BadToken;
                }
                continue;
            }
            item = client.next() => {
                answers = matches!(item, Item::Reply(_));
                client.frames(item)
            }
            // After all else: what waits is still sent.
            () = clients.stopping.cancelled() => return Ending::GoingAway,
        };
        for frame in frames {
            match timeout(clients.limits.send, sink.send(frame)).await {
                Ok(Ok(())) => {}
                Ok(Err(Gone)) => return Ending::Left,
                Err(_) => return Ending::Stuck,
            }
        }
        let is_last_answer = answers && client.is_answered();
        if client.is_idle() && flush_rule.should_yield(is_last_answer) {
            yield_now().await;
        }
        if client.is_idle() {
            flush_rule.written();
            match timeout(clients.limits.send, sink.flush()).await {
                Ok(Ok(())) => {}
                Ok(Err(Gone)) => return Ending::Left,
                Err(_) => return Ending::Stuck,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;
    use crate::command::{Failure, Reply, Submission, Submit};
    use crate::config;
    use crate::doors::access::Access;
    use crate::state::{StateStore, StateValue};
    use crate::telemetry::Telemetry;

    struct Nobody;

    impl Submit for Nobody {
        fn submit(&self, _: Submission) {}
        fn refuse(&self, _: DoorKind, _: Reply, _: Failure) {}
    }

    /// A client that leaves as soon as something was sent to it, flushed or not.
    struct Hasty(Arc<Notify>);

    impl Source for Hasty {
        async fn next(&mut self) -> Received {
            self.0.notified().await;
            Received::End(Ending::Left)
        }
        async fn rest(&mut self) {}
    }

    struct Counted {
        sent: Arc<Notify>,
        kept: usize,
        flushed: Arc<AtomicUsize>,
    }

    impl Sink for Counted {
        async fn send(&mut self, _: Sent) -> Result<(), Gone> {
            self.kept += 1;
            self.sent.notify_one();
            Ok(())
        }
        async fn flush(&mut self) -> Result<(), Gone> {
            let kept = std::mem::take(&mut self.kept);
            self.flushed.fetch_add(kept, Ordering::SeqCst);
            Ok(())
        }
        async fn close(&mut self, _: Ending) {}
    }

    #[tokio::test]
    async fn what_was_sent_is_flushed_to_a_client_that_leaves() {
        let text =
            "[mqtt]\nurl = \"off\"\n[rooms.1]\nurl = \"https://192.0.2.1\"\npassword = \"x\"";
        let config = config::read("file".into(), text, []).unwrap().config;
        let store = StateStore::new();
        store.set("room/1/audio/volume", StateValue::text("40"));
        let access = Access::new(&config.http);
        let clients = Clients::new(
            store,
            Arc::new(Nobody),
            access,
            Arc::<Telemetry>::default(),
            Limits::default(),
        );
        let here = std::net::IpAddr::from([127, 0, 0, 1]);
        // Whether it leaves between a send and its flush is up to the runtime.
        for _ in 0..50 {
            let (sent, flushed) = (Arc::<Notify>::default(), Arc::<AtomicUsize>::default());
            let visitor = Visitor {
                grant: clients.access.admit(here, None).await.unwrap(),
                door: DoorKind::Tcp,
                format: Format::Plain,
                filters: vec![Filter::new("room/1/#").unwrap()],
                answers_pings: false,
            };
            let sink = Counted {
                sent: sent.clone(),
                kept: 0,
                flushed: flushed.clone(),
            };
            converse(&clients, visitor, Hasty(sent), sink).await;
            assert_eq!(flushed.load(Ordering::SeqCst), 1);
        }
    }
}
