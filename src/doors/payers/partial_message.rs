//! A frame, line or body that is not whole yet. A small one costs nothing worth counting. A large one reserves
//! its bytes and must come in time, so that nobody fills the memory with messages that never end.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

use super::{Payer, WaitingBytes};

/// A message up to this size is small: hardly any command or list of filters is larger, and what all
/// connections may have of it is bounded by their number.
pub const LARGE_MESSAGE: usize = 16 << 10;

/// Why a message is not waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooMuch {
    /// Too many large ones are on their way.
    Bytes,
    /// It takes too long.
    Time,
}

/// The message of one connection that is coming.
#[derive(Debug)]
pub struct PartialMessage {
    payer: Arc<Payer>,
    /// The largest that it can become.
    largest: usize,
    time: Duration,
    large: Option<Large>,
}

#[derive(Debug)]
struct Large {
    _bytes: WaitingBytes,
    deadline: Pin<Box<Sleep>>,
}

impl PartialMessage {
    /// Of a client of this payer. A large message has `time` to come.
    pub fn new(payer: Arc<Payer>, largest: usize, time: Duration) -> Self {
        Self {
            payer,
            largest,
            time,
            large: None,
        }
    }

    /// Says how much of the message has come.
    ///
    /// # Errors
    /// It is large, and too many are.
    pub fn has(&mut self, bytes: usize) -> Result<(), TooMuch> {
        if bytes > LARGE_MESSAGE && self.large.is_none() {
            let reserved = self.payer.reserve(self.largest.max(bytes));
            self.large = Some(Large {
                _bytes: reserved.ok_or(TooMuch::Bytes)?,
                deadline: Box::pin(sleep(self.time)),
            });
        }
        Ok(())
    }

    /// Ready once a large message takes too long.
    pub fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<TooMuch> {
        match &mut self.large {
            None => Poll::Pending,
            Some(large) => large.deadline.as_mut().poll(cx).map(|()| TooMuch::Time),
        }
    }

    /// Waits until a large message takes too long; for ever, if none is coming.
    pub async fn late(&mut self) -> TooMuch {
        poll_fn(|cx| self.poll_late(cx)).await
    }

    /// All of it has come, and the next begins.
    pub fn is_whole(&mut self) {
        self.large = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doors::payers::{OWN_TIME, PayerId, Payers, WAITING_BYTES_OF_PAYER};

    const LARGEST: usize = 256 << 10;

    #[tokio::test(start_paused = true)]
    async fn large_messages_of_one_payer_are_few_and_have_a_time() {
        let payers = Payers::new(OWN_TIME);
        let message = |token| {
            let payer = payers.of(PayerId::Token(token));
            PartialMessage::new(payer, LARGEST, Duration::from_secs(30))
        };
        let most = WAITING_BYTES_OF_PAYER / LARGEST;
        let mut coming: Vec<_> = (0..=most).map(|_| message(1)).collect();
        for (n, message) in coming.iter_mut().enumerate() {
            assert_eq!(message.has(LARGE_MESSAGE), Ok(()));
            let wanted = if n < most {
                Ok(())
            } else {
                Err(TooMuch::Bytes)
            };
            assert_eq!(message.has(LARGE_MESSAGE + 1), wanted);
        }
        assert_eq!(message(2).has(LARGEST), Ok(()));
        coming[0].is_whole();
        assert_eq!(coming[most].has(LARGEST), Ok(()));
        assert_eq!(coming[1].late().await, TooMuch::Time);
    }
}
