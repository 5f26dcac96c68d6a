//! Fairness between peers: after a few packets of one peer, others have their turn.
//!
//! A task that always finds the next packet ready would keep its thread: the runtime counts reads from
//! sockets, and one read brings hundreds of small packets. So whoever handles what a peer sends asks here
//! before each packet. Knows no protocol.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use tokio::task::coop::poll_proceed;

/// The part of the runtime's budget that a packet takes. A task has 128 of it until others run, so it
/// handles up to 16 packets. Letting others run takes about 1 µs.
const BUDGET_OF_PACKET: u32 = 8;

/// Ready if one more packet may be handled now. Otherwise others run first, and the task is woken for
/// its next turn.
pub fn poll_turn(cx: &mut Context<'_>) -> Poll<()> {
    for _ in 0..BUDGET_OF_PACKET {
        ready!(poll_proceed(cx)).made_progress();
    }
    Poll::Ready(())
}

/// Waits until one more packet may be handled.
pub async fn turn() {
    poll_fn(poll_turn).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many packets one turn has, for a task that does nothing else.
    #[tokio::test]
    async fn others_run_after_a_few_packets() {
        let mut turns = Vec::new();
        let mut handled = 0;
        poll_fn(|cx| {
            while poll_turn(cx).is_ready() {
                handled += 1;
            }
            turns.push(std::mem::take(&mut handled));
            match turns.len() {
                10 => Poll::Ready(()),
                _ => Poll::Pending,
            }
        })
        .await;
        assert!(
            turns.iter().all(|packets| (14..=16).contains(packets)),
            "{turns:?}"
        );
    }
}
