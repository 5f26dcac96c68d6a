//! What one client is sent, and when it is read.
use bytes::Bytes;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::*;
use crate::command::{Failure, FileAnswer, Outcome, Reply, Submission, Submit, Success};
use crate::config;
use crate::doors::access::{Access, Sender};
use crate::doors::clients::ClientLimits;
use crate::doors::payers::{PayerId, WAITING_BYTES_OF_PAYER};
use crate::guesses::Guesses;
use crate::state::{StateStore, StateValue};
use crate::telemetry::Telemetry;

struct NoRooms;

impl Submit for NoRooms {
    fn submit(&self, _: Submission) {}
    fn refuse(&self, _: DoorKind, _: Reply, _: &Bytes, _: Failure) {}
}

/// A client that leaves as soon as something was sent to it, flushed or not.
struct LeavesAfterSend(Arc<Notify>);

impl FrameSource for LeavesAfterSend {
    async fn next(&mut self) -> Incoming {
        self.0.notified().await;
        Incoming::End(CloseReason::ClientLeft)
    }
    async fn drain(&mut self) {}
}

/// A client that sends so many pongs without a pause, and leaves.
struct Pongs(u32);

impl FrameSource for Pongs {
    async fn next(&mut self) -> Incoming {
        match self.0 {
            0 => Incoming::End(CloseReason::ClientLeft),
            _ => {
                self.0 -= 1;
                Incoming::KeepAlive
            }
        }
    }
    async fn drain(&mut self) {}
}

struct CountingSink {
    sent: Arc<Notify>,
    buffered: usize,
    flushed: Arc<AtomicUsize>,
}

impl FrameSink for CountingSink {
    async fn send(&mut self, _: ClientFrame) -> Result<(), Disconnected> {
        self.buffered += 1;
        self.sent.notify_one();
        Ok(())
    }
    async fn flush(&mut self) -> Result<(), Disconnected> {
        let buffered = std::mem::take(&mut self.buffered);
        self.flushed.fetch_add(buffered, Ordering::SeqCst);
        Ok(())
    }
    async fn close(&mut self, _: CloseReason) {}
}

#[tokio::test]
async fn others_run_while_a_client_sends_without_a_pause() {
    let clients = clients();
    let new = new_client(&clients, Vec::new()).await;
    let sink = CountingSink {
        sent: Arc::default(),
        buffered: 0,
        flushed: Arc::default(),
    };
    let mut served = std::pin::pin!(serve_client(&clients, new, Pongs(1000), sink));
    let mut turns = 0;
    std::future::poll_fn(|cx| {
        turns += 1;
        served.as_mut().poll(cx)
    })
    .await;
    assert!(turns >= 1000 / 16, "{turns}");
}

/// A client that sends nothing and stays.
struct Silent;

impl FrameSource for Silent {
    async fn next(&mut self) -> Incoming {
        std::future::pending().await
    }
    async fn drain(&mut self) {}
}

/// A client that ends its own side amid the first frame that it is sent, and reads on.
struct HalfClosed {
    ended: Arc<Notify>,
    reads_on: Arc<Notify>,
    whole: Arc<AtomicUsize>,
}

impl FrameSink for HalfClosed {
    async fn send(&mut self, _: ClientFrame) -> Result<(), Disconnected> {
        self.ended.notify_one();
        self.reads_on.notified().await;
        self.reads_on.notify_one();
        self.whole.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
    async fn flush(&mut self) -> Result<(), Disconnected> {
        Ok(())
    }
    async fn close(&mut self, _: CloseReason) {}
}

#[tokio::test]
async fn a_frame_is_sent_whole_to_a_client_that_ends_its_own_side_amid_it() {
    let clients = clients();
    let new = new_client(&clients, vec![Filter::new("room/1/#").unwrap()]).await;
    let (ended, reads_on) = (Arc::<Notify>::default(), Arc::<Notify>::default());
    let whole = Arc::<AtomicUsize>::default();
    let sink = HalfClosed {
        ended: ended.clone(),
        reads_on: reads_on.clone(),
        whole: whole.clone(),
    };
    let mut served = std::pin::pin!(serve_client(&clients, new, LeavesAfterSend(ended), sink));
    assert!(futures_util::poll!(served.as_mut()).is_pending());
    assert!(futures_util::poll!(served.as_mut()).is_pending());
    reads_on.notify_one();
    served.await;
    assert_eq!(whole.load(Ordering::SeqCst), 1);
}

/// A client that sends one frame and stays, and notes when the answer comes.
struct AsksOnce(bool);

impl FrameSource for AsksOnce {
    async fn next(&mut self) -> Incoming {
        if std::mem::replace(&mut self.0, true) {
            std::future::pending().await
        } else {
            Incoming::Text("ping".into())
        }
    }
    async fn drain(&mut self) {}
}

#[tokio::test(start_paused = true)]
async fn a_frame_waits_while_its_payer_has_used_up_its_time() {
    for owes in [false, true] {
        let clients = clients();
        let new = new_client(&clients, Vec::new()).await;
        if owes {
            for _ in ["its own", "what all share"] {
                new.payer.admit().await.charge(Duration::from_secs(1));
            }
        }
        let sent = Arc::<Notify>::default();
        let sink = CountingSink {
            sent: sent.clone(),
            buffered: 0,
            flushed: Arc::default(),
        };
        let begun = Instant::now();
        tokio::select! {
            () = serve_client(&clients, new, AsksOnce(false), sink) => panic!("it stays"),
            () = sent.notified() => {}
        }
        let waited = begun.elapsed();
        assert_eq!(waited > Duration::from_secs(1), owes, "{waited:?}");
    }
}

/// What a client's file takes of what all share, and what becomes of the result when nothing is left of it.
#[tokio::test]
async fn a_file_comes_without_its_bytes_while_too_much_waits_for_others_of_its_payer() {
    let clients = clients();
    let new = new_client(&clients, Vec::new()).await;
    let payer = new.payer.clone();
    let client = Client::new(
        clients,
        new.grant,
        new.payer,
        DoorKind::WebSocket,
        FrameFormat::Json,
    );
    let waits = payer.reserve(WAITING_BYTES_OF_PAYER - (2 << 20)).unwrap();
    for (bytes, comes) in [(1 << 20, true), (1 << 20, true), (1 << 20, false)] {
        client.result(None, file_of(bytes));
        // The files that came are not sent yet.
        let Item::Reply(answer) = client.next().await else {
            panic!("no answer")
        };
        let outgoing = client.outgoing(Item::Reply(answer));
        assert_eq!(outgoing.frames.len(), 1 + usize::from(comes));
        std::mem::forget(outgoing.held);
    }
    // Whoever reads well is told that there is no place for what is large, and loses nothing else.
    let body = serde_json::Value::from("x".repeat(100 << 10));
    let large = Outcome {
        result: Ok(Success::new(200, body)),
        ..file_of(0)
    };
    client.result(None, large);
    client.answer(None, FrameAnswer::Text(vec!["x".repeat(100 << 10)]));
    for _ in ["result", "text"] {
        let told = sent(&client).await;
        assert!(told.contains("busy") && told.len() < 1000, "{told}");
    }
    assert!(!client.lost_an_answer());
    // Who reads not even what is small is closed.
    for answers in 0.. {
        assert!(answers < UNREAD_PONGS);
        client.answer(None, FrameAnswer::Pong);
        if client.lost_an_answer() {
            break;
        }
    }
    drop(waits);
}

/// More than anybody may leave unread.
const UNREAD_PONGS: usize = 10_000;

/// The text that the client is sent next.
async fn sent(client: &Client) -> String {
    let next = client.next().await;
    match client.outgoing(next).frames.first() {
        Some(ClientFrame::Text(text)) => text.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn nothing_is_kept_for_a_client_that_has_left_while_its_command_runs() {
    let clients = clients();
    let new = new_client(&clients, Vec::new()).await;
    let payer = new.payer.clone();
    // What a running command keeps.
    let client = Client::new(
        clients,
        new.grant,
        new.payer,
        DoorKind::WebSocket,
        FrameFormat::Json,
    );
    client.result(None, file_of(1 << 20));
    assert!(payer.reserve(WAITING_BYTES_OF_PAYER).is_none());
    client.leave();
    client.result(None, file_of(1 << 20));
    client.answer(None, FrameAnswer::Text(vec!["x".repeat(100 << 10)]));
    assert!(client.is_idle());
    assert!(payer.reserve(WAITING_BYTES_OF_PAYER).is_some());
}

/// Whether they are asked for by a frame or in the address.
#[tokio::test(start_paused = true)]
async fn states_that_are_asked_for_cost_something() {
    let store = StateStore::new();
    for n in 0..1000 {
        store.set(&format!("room/1/x{n}"), StateValue::text("1"));
    }
    let limits = ClientLimits {
        own_processor_time: Duration::from_millis(1),
        ..ClientLimits::default()
    };
    let clients = clients_with(store, limits);
    // The time that all share is used up.
    let owes = clients.payers.of(PayerId::Token(1));
    for _ in ["its own", "what all share"] {
        owes.admit().await.charge(Duration::from_secs(1));
    }
    let filters = vec![Filter::new("room/#").unwrap()];
    let new = new_client(&clients, Vec::new()).await;
    let payer = new.payer.clone();
    let door = DoorKind::Tcp;
    let client = Client::new(clients, new.grant, new.payer, door, FrameFormat::Plain);
    for is_first in [true, false] {
        let mut admitted = std::pin::pin!(payer.admit());
        let std::task::Poll::Ready(admitted) = futures_util::poll!(&mut admitted) else {
            assert!(!is_first);
            return;
        };
        assert!(is_first);
        client.subscribe(&filters, &admitted).await.unwrap();
    }
}

fn file_of(bytes: usize) -> Outcome {
    let file = FileAnswer {
        topic: "system/logs".into(),
        content_type: "application/gzip".into(),
        size: Some(bytes as u64),
        bytes: Some(vec![0; bytes].into()),
        is_state: false,
    };
    Outcome {
        room: "1".into(),
        command: "system/logs/get".into(),
        request_id: None,
        took: Duration::ZERO,
        result: Ok(Success {
            file: Some(file),
            ..Success::new(200, serde_json::Value::Null)
        }),
    }
}

#[tokio::test]
async fn a_token_that_was_removed_before_its_client_was_served_closes_it() {
    let clients = clients();
    let new = new_client(&clients, Vec::new()).await;
    clients.access.reload(&with_a_token());
    let (sent, flushed) = (Arc::default(), Arc::default());
    let sink = CountingSink {
        sent,
        buffered: 0,
        flushed,
    };
    let served = serve_client(&clients, new, Silent, sink);
    let ended = timeout(Duration::from_secs(5), served).await;
    assert!(ended.is_ok(), "the client stays");
}

#[tokio::test]
async fn what_was_sent_is_flushed_to_a_client_that_leaves() {
    let clients = clients();
    // Whether it leaves between a send and its flush is up to the runtime.
    for _ in 0..50 {
        let (sent, flushed) = (Arc::<Notify>::default(), Arc::<AtomicUsize>::default());
        let new = new_client(&clients, vec![Filter::new("room/1/#").unwrap()]).await;
        let sink = CountingSink {
            sent: sent.clone(),
            buffered: 0,
            flushed: flushed.clone(),
        };
        serve_client(&clients, new, LeavesAfterSend(sent), sink).await;
        assert_eq!(flushed.load(Ordering::SeqCst), 1);
    }
}

fn clients() -> Arc<Clients> {
    let store = StateStore::new();
    store.set("room/1/audio/volume", StateValue::text("40"));
    clients_with(store, ClientLimits::default())
}

fn clients_with(store: Arc<StateStore>, limits: ClientLimits) -> Arc<Clients> {
    let text = "[mqtt]\nurl = \"off\"\n[rooms.1]\nurl = \"https://192.0.2.1\"\npassword = \"x\"";
    let config = config::read("file".into(), text, []).unwrap().config;
    let access = Access::new(&config.http, Guesses::new(Arc::default()));
    Clients::new(
        store,
        Arc::new(NoRooms),
        access,
        Arc::<Telemetry>::default(),
        limits,
    )
}

fn with_a_token() -> config::HttpConfig {
    let text = "[mqtt]\nurl = \"off\"\n[[http.token]]\nname = \"a\"\ntoken = \"0123456789abcdef\"";
    config::read("file".into(), text, []).unwrap().config.http
}

async fn new_client(clients: &Clients, filters: Vec<Filter>) -> NewClient {
    let sender = Sender {
        door: DoorKind::Tcp,
        address: std::net::Ipv4Addr::LOCALHOST.into(),
    };
    let grant = clients.access.admit(sender, None).await.unwrap();
    NewClient {
        payer: clients.payer(&grant, sender.address),
        grant,
        door: DoorKind::Tcp,
        format: FrameFormat::Plain,
        filters,
        answers_pings: false,
    }
}
