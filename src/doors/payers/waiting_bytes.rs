//! Bytes that the gateway keeps for clients: answers and files that they do not read yet, and messages that
//! are not whole yet. They are reserved before they are kept, and given back when they are dropped.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::byte_budget::holding;

/// What all payers may keep waiting: a few clients with all the files that one may have, and still a small
/// part of the smallest machine's memory.
pub const WAITING_BYTES: usize = 96 << 20;
/// The part of it that one payer may have.
pub const WAITING_BYTES_OF_PAYER: usize = WAITING_BYTES / 2;

/// What a client is told whose answer finds no place.
pub const TOO_MUCH_WAITS: &str =
    "too many large answers wait to be read; read them, or try again later";

/// One permit stands for so many bytes.
const BYTES_OF_PERMIT: usize = 1 << 10;

/// Permits for so many bytes.
pub fn permits(bytes: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(bytes / BYTES_OF_PERMIT))
}

/// Bytes that are reserved. Dropping them gives them back.
#[derive(Debug)]
pub struct WaitingBytes {
    _own: OwnedSemaphorePermit,
    _shared: OwnedSemaphorePermit,
}

impl WaitingBytes {
    /// Reserves bytes of one payer, which all share; `None` if there are none left.
    pub fn take(own: &Arc<Semaphore>, shared: &Arc<Semaphore>, bytes: usize) -> Option<Self> {
        let permits = u32::try_from(bytes.div_ceil(BYTES_OF_PERMIT)).ok()?;
        Some(Self {
            _own: own.clone().try_acquire_many_owned(permits).ok()?,
            _shared: shared.clone().try_acquire_many_owned(permits).ok()?,
        })
    }

    /// The bytes for which this is, which keep it until the last of them is dropped.
    pub fn around(self, bytes: Bytes) -> Bytes {
        holding(bytes, self)
    }
}
