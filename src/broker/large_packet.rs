//! A large message that is coming: the library holds what has come of it, so all of them share a
//! number of bytes and have a time. A command keeps its part of them longer: see `tickets`.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::PollSemaphore;

use super::limits::{LARGE_PACKET, LARGE_PACKET_TIMEOUT, LARGE_PACKETS_BYTES};

/// What a client's large message may take.
pub struct LargePacket {
    budget: PollSemaphore,
    state: State,
}

enum State {
    None,
    /// It waits for this many KiB.
    Wanted(u32),
    /// It may come until then.
    Coming {
        permit: OwnedSemaphorePermit,
        deadline: Pin<Box<Sleep>>,
    },
}

impl LargePacket {
    /// `budget` has a permit for each KiB.
    pub fn new(budget: Arc<Semaphore>) -> Self {
        Self {
            budget: PollSemaphore::new(budget),
            state: State::None,
        }
    }

    /// A message of this size comes.
    pub fn begins(&mut self, length: usize) {
        if length > LARGE_PACKET {
            let wanted = length.min(LARGE_PACKETS_BYTES) >> 10;
            self.state = State::Wanted(wanted.try_into().unwrap_or(u32::MAX));
        }
    }

    /// The library has all of it. Gives what it took of the number of bytes.
    pub fn ends(&mut self) -> Option<OwnedSemaphorePermit> {
        match std::mem::replace(&mut self.state, State::None) {
            State::Coming { permit, .. } => Some(permit),
            State::None | State::Wanted(_) => None,
        }
    }

    /// Waits until the message may come.
    ///
    /// # Errors
    /// It takes too long.
    pub fn poll_may_come(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let State::Wanted(wanted) = self.state {
            let permit = ready!(self.budget.poll_acquire_many(cx, wanted));
            let permit = permit.ok_or(io::ErrorKind::BrokenPipe)?;
            self.state = State::Coming {
                permit,
                deadline: Box::pin(sleep(LARGE_PACKET_TIMEOUT)),
            };
        }
        if let State::Coming { deadline, .. } = &mut self.state
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn large_messages_wait_for_each_other_and_have_a_time() {
        let budget = Arc::new(Semaphore::new(LARGE_PACKETS_BYTES >> 10));
        let mut first = LargePacket::new(budget.clone());
        let mut second = LargePacket::new(budget.clone());
        first.begins(LARGE_PACKET);
        assert_eq!(budget.available_permits(), LARGE_PACKETS_BYTES >> 10);
        first.begins(usize::MAX);
        poll_fn(|cx| first.poll_may_come(cx)).await.unwrap();
        second.begins(LARGE_PACKET + 1);
        let mut waits = Box::pin(poll_fn(|cx| second.poll_may_come(cx)));
        assert!(futures_util::poll!(&mut waits).is_pending());
        first.ends();
        waits.await.unwrap();
        tokio::time::advance(LARGE_PACKET_TIMEOUT).await;
        poll_fn(|cx| first.poll_may_come(cx)).await.unwrap();
        poll_fn(|cx| second.poll_may_come(cx)).await.unwrap_err();
    }
}
