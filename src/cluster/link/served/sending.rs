//! Sends what waits for a member: which message goes when, when the connection is flushed, and how it ends.

use bytes::Bytes;
use futures_util::{Sink, SinkExt};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until, timeout};

use super::{SEND_TIMEOUT, ServedMember};
use crate::cluster::link::HOLDERS_LOOK_INTERVAL;
use crate::net::FlushRule;

/// Why nothing more is sent over a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SendEnd {
    /// All was sent, and the close after it.
    Closed,
    /// The member takes nothing more.
    Broken,
}

/// Sends a member what waits for it, until the link ends or this gateway stops.
pub(super) async fn send<K: Sink<Bytes> + Unpin>(member: &ServedMember, mut sink: K) -> SendEnd {
    let mut holders = member.door.holders().changed();
    let mut flush_rule = FlushRule::default();
    let (mut next_look, mut look) = (Instant::now(), 0);
    let mut ready = None;
    loop {
        let changed = async {
            sleep_until(next_look).await;
            holders.changed().await
        };
        let next = async {
            match ready.take() {
                Some(message) => message,
                None => member.next_message().await,
            }
        };
        let message = tokio::select! {
            biased;
            changed = changed => {
                if changed.is_err() {
                    return SendEnd::Broken;
                }
                look = member.serve_new_rooms(look).await;
                next_look = Instant::now() + HOLDERS_LOOK_INTERVAL;
                continue;
            }
            message = next => message,
            () = member.door.stopping(), if member.has_sent_all() => {
                let closed = timeout(SEND_TIMEOUT, sink.close()).await;
                return match closed {
                    Ok(Ok(())) => SendEnd::Closed,
                    _ => SendEnd::Broken,
                };
            }
        };
        let sent = timeout(SEND_TIMEOUT, sink.feed(message)).await;
        if !matches!(sent, Ok(Ok(()))) {
            return SendEnd::Broken;
        }
        ready = member.try_next_message();
        if ready.is_none() && flush_rule.should_yield(false) {
            yield_now().await;
            ready = member.try_next_message();
        }
        if ready.is_none() {
            flush_rule.written();
            let flushed = timeout(SEND_TIMEOUT, sink.flush()).await;
            if !matches!(flushed, Ok(Ok(()))) {
                return SendEnd::Broken;
            }
        }
    }
}
