//! A thread of its own for the MQTT door, where several gateways share the rooms.
//!
//! Such a door hears more than its own rooms. When this gateway takes thousands of rooms, they keep its thread busy, and
//! each of its turns takes tens of milliseconds. Mosquitto has twenty messages under way to a client, so each turn would
//! let twenty pass, and commands would wait behind the rest. A gateway that is alone has one thread.

use tokio::runtime::{Builder, EnterGuard, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The thread, which ends with this, and what still runs on it too.
#[derive(Debug)]
pub struct DoorThread {
    runtime: Handle,
    _ends: DropGuard,
}

impl DoorThread {
    /// Starts it.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start() -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("the MQTT door has no thread: {error}");
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(failed)?;
        let handle = runtime.handle().clone();
        let ended = CancellationToken::new();
        let ends = ended.clone().drop_guard();
        std::thread::Builder::new()
            .name("mqtt".into())
            .spawn(move || runtime.block_on(ended.cancelled()))
            .map_err(failed)?;
        Ok(Self {
            runtime: handle,
            _ends: ends,
        })
    }

    /// What is spawned while this is held runs on the thread.
    pub fn enter(&self) -> EnterGuard<'_> {
        self.runtime.enter()
    }
}
