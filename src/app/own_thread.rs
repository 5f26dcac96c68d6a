//! A thread of its own for what must not wait for rooms.
//!
//! When this gateway takes thousands of rooms, they keep the main thread busy, and each of its turns takes tens of
//! milliseconds. A gateway that is alone has one thread.

use std::io;

use tokio::runtime::{Builder, EnterGuard, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Runs this on a thread of its own, which ends with it. What is spawned there ends then too.
///
/// # Errors
/// The system gives no thread.
pub fn run_on_thread(
    name: &str,
    task: impl Future<Output = ()> + Send + 'static,
) -> io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    std::thread::Builder::new()
        .name(name.into())
        .spawn(move || runtime.block_on(task))?;
    Ok(handle)
}

/// The thread of the MQTT door, where several gateways share the rooms. Such a door subscribes to more than its own
/// rooms. Mosquitto has twenty messages under way to a client, so each turn of a busy thread would let twenty pass, and
/// commands would wait behind the rest.
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
        let ended = CancellationToken::new();
        let runtime = run_on_thread("mqtt", ended.clone().cancelled_owned());
        Ok(Self {
            runtime: runtime.map_err(|error| format!("the MQTT door has no thread: {error}"))?,
            _ends: ended.drop_guard(),
        })
    }

    /// What is spawned while this is held runs on the thread.
    pub fn enter(&self) -> EnterGuard<'_> {
        self.runtime.enter()
    }
}
