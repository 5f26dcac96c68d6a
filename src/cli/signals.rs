//! The signals that end a command or make it read its configuration again.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::CliError;
use crate::os_error;

/// Listens for SIGTERM and ctrl-C from now on, so that none is missed during the start. The future
/// ends with the first of them, and says its name.
pub fn stop() -> Result<impl Future<Output = &'static str>, CliError> {
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}

/// Listens for SIGHUP from now on.
pub fn reload() -> Result<Signal, CliError> {
    listen(SignalKind::hangup())
}

/// SIGUSR1 and SIGUSR2 do nothing from now on. Scripts that rotate logs send them to everything; by default they end a
/// process, and the gateway would say goodbye neither to the broker nor to its devices.
pub fn ignore_others() -> Result<(), CliError> {
    for kind in [SignalKind::user_defined1(), SignalKind::user_defined2()] {
        // Who listens once has them for good.
        drop(listen(kind)?);
    }
    Ok(())
}

fn listen(kind: SignalKind) -> Result<Signal, CliError> {
    signal(kind).map_err(|error| {
        let why = os_error::words(&error);
        CliError::Other(format!("signals cannot be received: {why}"))
    })
}
