//! `poly2mqtt run`: the gateway until it is asked to stop.

use std::path::PathBuf;

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};

use super::{ConfigFile, Failed, asked_to_stop, load};
use crate::app::{App, AppOptions};

pub async fn run(file: &ConfigFile) -> Result<(), Failed> {
    let loaded = load(file)?;
    // Signals first: one that comes during the start must not be missed.
    let stop = asked_to_stop()?;
    tokio::pin!(stop);
    let mut reload = signal(SignalKind::hangup())
        .map_err(|error| Failed::Other(format!("signals cannot be received: {error}")))?;
    let options = AppOptions {
        runtime: runtime_directory(),
        ..AppOptions::default()
    };
    let mut service = App::start_with(loaded.config, options)
        .await
        .map_err(Failed::Other)?;
    // Without systemd this does nothing.
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "started");
    loop {
        tokio::select! {
            () = &mut stop => break,
            _ = reload.recv() => apply(&mut service, file).await,
        }
    }
    tracing::info!("stopping");
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    service.stop().await;
    Ok(())
}

/// Where what must outlive a kill is kept: as a person says, or systemd (`RuntimeDirectory=`, which
/// may name several).
fn runtime_directory() -> Option<PathBuf> {
    let names = ["POLY2MQTT_RUNTIME_DIR", "RUNTIME_DIRECTORY"];
    let given = names.iter().find_map(std::env::var_os)?;
    std::env::split_paths(&given).find(|directory| !directory.as_os_str().is_empty())
}

/// SIGHUP: a bad file is reported, and the old configuration goes on.
async fn apply(service: &mut App, file: &ConfigFile) {
    match load(file) {
        Ok(loaded) => match service.reload(loaded.config).await {
            Ok(()) => tracing::info!("configuration read again"),
            Err(failed) => {
                for room in failed {
                    tracing::error!("{room}");
                }
            }
        },
        Err(errors) => {
            tracing::error!("the configuration is wrong, so the old one goes on");
            for error in errors.0 {
                tracing::error!("{error}");
            }
        }
    }
}
