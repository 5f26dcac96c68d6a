//! Serves one client: reads its frames, sends its answers and states, and closes it.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;

use super::client::{Client, Outgoing};
use super::frame::{FrameAnswer, FrameError, FrameRequest};
use super::{
    Clients, CloseReason, Disconnected, FrameFormat, FrameSink, FrameSource, Incoming,
    OtherProtocol, OutgoingFrame, json, plain,
};
use crate::command::DoorKind;
use crate::doors::access::{Grant, Standing};
use crate::doors::payers::{Admitted, Payer, metered};
use crate::net::{FlushRule, turn};
use crate::state::Item;
use crate::topics::Filter;

/// How long a closed client may take to read the reason and to disconnect. A connection that is
/// dropped while the client still sends is reset, and a reset discards the reason.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// What sending a state that is queued for a subscription costs: about so much, whoever it is sent to.
const SENDING_A_STATE: Duration = Duration::from_micros(2);

/// A client that was let in.
#[derive(Debug)]
pub struct NewClient {
    /// What it may see and do.
    pub grant: Grant,
    /// Who pays for what it costs.
    pub payer: Arc<Payer>,
    /// The door it came through.
    pub door: DoorKind,
    /// The form of the frames it is sent.
    pub format: FrameFormat,
    /// What it subscribes to from the start.
    pub filters: Vec<Filter>,
    /// Whether it answers pings, so that its silence means that it is gone.
    pub answers_pings: bool,
}

/// Serves a client until it leaves or is closed.
pub async fn serve_client(
    clients: &Arc<Clients>,
    new: NewClient,
    mut source: impl FrameSource,
    mut sink: impl FrameSink,
) {
    let (door, pings) = (new.door, new.answers_pings);
    let client = Client::new(clients.clone(), new.grant, new.payer, door, new.format);
    clients.telemetry.client_connected(door);
    let debt = Debt::default();
    let admitted = debt.begin(&client).await;
    let subscribed = client.subscribe(&new.filters);
    let subscribed = metered(subscribed, |cost| admitted.charge(cost)).await;
    if let Err(error) = subscribed {
        client.answer(None, FrameAnswer::Error(error));
    }
    let last_came = CancellationToken::new();
    let reason = {
        let write = write_frames(clients, &client, &mut sink, pings, &last_came, &debt);
        tokio::pin!(write);
        tokio::select! {
            reason = read_frames(clients, &client, &mut source, pings, &debt) => {
                if reason == CloseReason::ClientLeft {
                    // A client may end only its own side, as `nc -N` does, and still read the answers. If it
                    // has left, sending fails. The writer goes on where it is, which may be amid a frame.
                    last_came.cancel();
                    write.await;
                }
                reason
            }
            reason = &mut write => reason,
        }
    };
    client.leave();
    clients.telemetry.client_disconnected(door);
    close_client(clients, reason, source, sink).await;
}

/// Tells a client why it is closed, if it can still be told, and closes it.
pub async fn close_client(
    clients: &Clients,
    reason: CloseReason,
    mut source: impl FrameSource,
    mut sink: impl FrameSink,
) {
    if reason.message().is_none() {
        return;
    }
    let told = timeout(clients.limits.send_timeout, sink.close(reason)).await;
    if told.is_ok() {
        let _ = timeout(CLOSE_TIMEOUT, source.drain()).await;
    }
}

/// Who pays for the answers of a client: its last frame.
#[derive(Debug, Default)]
struct Debt(Mutex<Option<Arc<Admitted>>>);

impl Debt {
    /// Waits until one more frame may be handled.
    async fn begin(&self, client: &Client) -> Arc<Admitted> {
        let admitted = Arc::new(client.payer().admit().await);
        *self.lock() = Some(admitted.clone());
        admitted
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Admitted>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends something; an answer at the client's cost. States and events, which nobody asks for again and again, are
    /// nobody's.
    async fn sending<F: Future>(&self, is_answer: bool, send: F) -> F::Output {
        let payer = self.lock().clone().filter(|_| is_answer);
        match payer {
            None => send.await,
            Some(admitted) => metered(send, |cost| admitted.charge(cost)).await,
        }
    }
}

/// Reads and handles frames until the client leaves or breaks a rule.
async fn read_frames(
    clients: &Clients,
    client: &Arc<Client>,
    source: &mut impl FrameSource,
    pings: bool,
    debt: &Debt,
) -> CloseReason {
    let longest_silence = clients.limits.ping_interval * 2;
    loop {
        client.wait_for_backlog().await;
        let incoming = if pings {
            match timeout(longest_silence, source.next()).await {
                Ok(incoming) => incoming,
                Err(_) => return CloseReason::PingTimeout,
            }
        } else {
            source.next().await
        };
        turn().await;
        match incoming {
            Incoming::Text(text) => {
                let admitted = debt.begin(client).await;
                let handled = handle_frame(client, &text, &admitted);
                metered(handled, |cost| admitted.charge(cost)).await;
            }
            Incoming::NoText(why) => {
                client.answer(None, FrameAnswer::Error(FrameError::invalid(why)));
            }
            Incoming::Binary(bytes) => {
                if let Some(protocol) = OtherProtocol::of(&bytes) {
                    return CloseReason::OtherProtocol(protocol);
                }
                let error = FrameError::invalid("frames are text; files are uploaded over HTTP");
                client.answer(None, FrameAnswer::Error(error));
            }
            Incoming::KeepAlive => {}
            Incoming::Ping => client.pong_waits(),
            Incoming::End(reason) => return reason,
        }
    }
}

async fn handle_frame(client: &Arc<Client>, text: &str, admitted: &Admitted) {
    let frame = match client.format() {
        FrameFormat::Json => json::parse(text),
        FrameFormat::Plain => plain::parse(text),
    };
    let Some(frame) = frame else { return };
    let answer = match frame.request {
        Ok(FrameRequest::Command { topic, payload }) => {
            return client.command(frame.id, &topic, payload);
        }
        Ok(FrameRequest::Subscribe(filters)) => match client.subscribe(&filters).await {
            Ok(queued) => {
                admitted.charge(
                    SENDING_A_STATE.saturating_mul(u32::try_from(queued).unwrap_or(u32::MAX)),
                );
                FrameAnswer::Subscribed(filters)
            }
            Err(error) => FrameAnswer::Error(error),
        },
        Ok(FrameRequest::Unsubscribe(filters)) => {
            client.unsubscribe(&filters).await;
            FrameAnswer::Unsubscribed(filters)
        }
        Ok(FrameRequest::Ping) => FrameAnswer::Pong,
        Ok(FrameRequest::Help) => FrameAnswer::Text(client.help()),
        Ok(FrameRequest::Token) => late_token(client.grant()),
        Err(error) => FrameAnswer::Error(error),
    };
    client.answer(frame.id, answer);
}

/// The answer to a token that came after the log-in. Whether it is a right one is not looked at.
fn late_token(grant: &Grant) -> FrameAnswer {
    if grant.needed_no_token() {
        return FrameAnswer::Text(vec!["token ok no token is needed here".into()]);
    }
    let message = "a token was shown already; it is shown once, before anything else";
    FrameAnswer::Error(FrameError::invalid(message))
}

/// Sends answers, states and events to the client until it must be closed. Once its last frame has come, no longer than
/// until every request has its answer.
async fn write_frames(
    clients: &Clients,
    client: &Client,
    sink: &mut impl FrameSink,
    pings: bool,
    last_came: &CancellationToken,
    debt: &Debt,
) -> CloseReason {
    let period = clients.limits.ping_interval;
    let mut ping_ticks = interval_at(Instant::now() + period, period);
    ping_ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut token_changes = clients.access.changes();
    // They may have changed since it showed its token.
    if let Some(reason) = lost_access(clients, client.grant()) {
        return reason;
    }
    let mut flush_rule = FlushRule::default();
    // Whether the item sent last was an answer.
    let mut sent_answer = false;
    loop {
        if last_came.is_cancelled() && client.has_all_answers() {
            // Its last frame may have come between a send and its flush.
            let _ = timeout(clients.limits.send_timeout, sink.flush()).await;
            return CloseReason::ClientLeft;
        }
        let Outgoing { frames, held } = tokio::select! {
            biased;
            // First, so that a slow reader, for whom something always waits, is pinged too.
            _ = ping_ticks.tick(), if pings => vec![OutgoingFrame::Ping].into(),
            () = token_changes.next() => {
                if let Some(reason) = lost_access(clients, client.grant()) {
                    return reason;
                }
                continue;
            }
            item = client.next() => {
                sent_answer = matches!(item, Item::Reply(_));
                client.outgoing(item)
            }
            () = last_came.cancelled(), if !last_came.is_cancelled() => continue,
            // Last, so that what waits is still sent.
            () = clients.stopping.cancelled() => return CloseReason::Stopping,
        };
        for frame in frames {
            let send = debt.sending(sent_answer, sink.send(frame));
            let sent = timeout(clients.limits.send_timeout, send).await;
            if let Some(reason) = send_failure(sent) {
                return reason;
            }
        }
        if !held.is_empty() {
            // What the transport keeps of it is still kept.
            let flushed = timeout(clients.limits.send_timeout, sink.flush()).await;
            if let Some(reason) = send_failure(flushed) {
                return reason;
            }
        }
        drop(held);
        if client.lost_an_answer() {
            return CloseReason::SendTimeout;
        }
        let is_last_answer = sent_answer && client.has_all_answers();
        if client.is_idle() && flush_rule.should_yield(is_last_answer) {
            yield_now().await;
        }
        if client.is_idle() {
            flush_rule.written();
            let flush = debt.sending(sent_answer, sink.flush());
            let flushed = timeout(clients.limits.send_timeout, flush).await;
            if let Some(reason) = send_failure(flushed) {
                return reason;
            }
        }
    }
}

/// Why a client may not stay after its tokens have changed.
fn lost_access(clients: &Clients, grant: &Grant) -> Option<CloseReason> {
    match clients.access.standing(grant) {
        Standing::Holds => None,
        Standing::Changed => Some(CloseReason::AccessChanged),
        Standing::Gone => Some(CloseReason::BadToken),
    }
}

/// The reason to close a client, if sending to it failed or took too long.
fn send_failure(
    sent: Result<Result<(), Disconnected>, tokio::time::error::Elapsed>,
) -> Option<CloseReason> {
    match sent {
        Ok(Ok(())) => None,
        Ok(Err(Disconnected)) => Some(CloseReason::ClientLeft),
        Err(_) => Some(CloseReason::SendTimeout),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;
    use crate::command::{Failure, FileAnswer, Outcome, Reply, Submission, Submit, Success};
    use crate::config;
    use crate::doors::access::{Access, Sender};
    use crate::doors::clients::ClientLimits;
    use crate::doors::payers::WAITING_BYTES_OF_PAYER;
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
        async fn send(&mut self, _: OutgoingFrame) -> Result<(), Disconnected> {
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
        async fn send(&mut self, _: OutgoingFrame) -> Result<(), Disconnected> {
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
            match std::mem::replace(&mut self.0, true) {
                false => Incoming::Text("ping".into()),
                true => std::future::pending().await,
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
        assert!(!client.lost_an_answer());
        // A large answer has no such way out: the client asked for it, and reads nothing.
        client.answer(None, FrameAnswer::Text(vec!["x".repeat(100 << 10)]));
        let _woken = client.next().await;
        assert!(client.lost_an_answer());
        drop(waits);
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
        let text =
            "[mqtt]\nurl = \"off\"\n[rooms.1]\nurl = \"https://192.0.2.1\"\npassword = \"x\"";
        let config = config::read("file".into(), text, []).unwrap().config;
        let store = StateStore::new();
        store.set("room/1/audio/volume", StateValue::text("40"));
        let access = Access::new(&config.http, Guesses::new(Arc::default()));
        Clients::new(
            store,
            Arc::new(NoRooms),
            access,
            Arc::<Telemetry>::default(),
            ClientLimits::default(),
        )
    }

    fn with_a_token() -> config::HttpConfig {
        let text =
            "[mqtt]\nurl = \"off\"\n[[http.token]]\nname = \"a\"\ntoken = \"0123456789abcdef\"";
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
}
