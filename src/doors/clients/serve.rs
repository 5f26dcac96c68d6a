//! Serves one client: reads its frames, sends its answers and states, and closes it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::yield_now;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::frame::{FrameAnswer, FrameError, FrameRequest};
use super::unsent::NextFrames;
use super::{
    ClientFrame, Clients, CloseReason, Disconnected, FrameFormat, FrameSink, FrameSource, Incoming,
    OtherProtocol, json, plain,
};
use crate::command::DoorKind;
use crate::doors::access::{Grant, Standing};
use crate::doors::payers::{Admitted, Payer, metered};
use crate::net::{FlushRule, turn};
use crate::sleep::ticks_after;
use crate::state::Item;
use crate::topics::Filter;

/// How long a closed client may take to read the reason and to disconnect. A connection that is
/// dropped while the client still sends is reset, and a reset discards the reason.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

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
    let subscribed = client.subscribe(&new.filters, &admitted);
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
        *self.0.lock() = Some(admitted.clone());
        admitted
    }

    /// Sends something; an answer at the client's cost. States and events, which nobody asks for again and again, are
    /// nobody's.
    async fn sending<F: Future>(&self, is_answer: bool, send: F) -> F::Output {
        let payer = self.0.lock().clone().filter(|_| is_answer);
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
        if let Incoming::Binary(bytes) = &incoming
            && let Some(protocol) = OtherProtocol::of(bytes)
        {
            return CloseReason::OtherProtocol(protocol);
        }
        match incoming {
            Incoming::KeepAlive => {}
            Incoming::End(reason) => return reason,
            // What is no frame is answered too, and answers cost.
            incoming => {
                let admitted = debt.begin(client).await;
                let handled = handle(client, incoming, &admitted);
                metered(handled, |cost| admitted.charge(cost)).await;
            }
        }
    }
}

async fn handle(client: &Arc<Client>, incoming: Incoming, admitted: &Admitted) {
    let why = match incoming {
        Incoming::Text(text) => return handle_frame(client, &text, admitted).await,
        Incoming::NoText(why) => why,
        Incoming::Binary(_) => "frames are text; files are uploaded over HTTP".into(),
        Incoming::Ping => return client.pong_waits(),
        Incoming::KeepAlive | Incoming::End(_) => return,
    };
    client.answer(None, FrameAnswer::Error(FrameError::invalid(why)));
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
        Ok(FrameRequest::Subscribe(filters)) => match client.subscribe(&filters, admitted).await {
            Ok(()) => FrameAnswer::Subscribed(filters),
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
    let mut ping_ticks = ticks_after(period, period);
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
        let NextFrames { frames, held } = tokio::select! {
            biased;
            // First, so that a slow reader, for whom something always waits, is pinged too.
            _ = ping_ticks.tick(), if pings => vec![ClientFrame::Ping].into(),
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
mod tests;
