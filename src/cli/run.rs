//! `poly2mqtt run`: the gateway, until it is asked to stop.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use sd_notify::NotifyState;
use tokio::task::spawn_blocking;

use super::config_file::ConfigFile;
use super::{CliError, setup, signals};
use crate::app::{App, AppOptions, Certificates};
use crate::config::Config;
use crate::telemetry::{LogRing, Uptime};

/// What a person at a terminal is told who starts the gateway without any configuration.
const NOTHING_CONFIGURED: &str = "\
there is no configuration yet. To look at the gateway with simulated rooms: poly2mqtt demo
to add a room by its device's address: poly2mqtt add https://ADDRESS (poly2mqtt discover NETWORK finds devices)
to add it in a browser on this machine instead: poly2mqtt run --setup";

#[derive(Debug, Default, clap::Args)]
pub struct Run {
    #[command(flatten)]
    file: ConfigFile,
    /// Where there is no configuration yet: serve a page on this machine that makes one, then run with it.
    #[arg(long)]
    setup: bool,
}

impl Run {
    /// `log`: the newest lines of the log, which HTTP shows.
    pub async fn run(&self, log: Arc<LogRing>) -> Result<(), CliError> {
        let uptime = Uptime::start();
        disable_core_dumps();
        signals::ignore_others()?;
        if self.setup
            && let Some(file) = self.file.for_first_start()?
        {
            return match setup::set_up(file).await? {
                Some(path) => {
                    let file = ConfigFile::at(path);
                    let setup = false;
                    Box::pin(Self { file, setup }.run(log)).await
                }
                None => Ok(()),
            };
        }
        if io::stderr().is_terminal() && self.file.is_absent()? {
            return Err(CliError::Files(vec![NOTHING_CONFIGURED.to_owned()]));
        }
        // Before the configuration is read, which takes a while with thousands of rooms: until then a signal ends the
        // process without a word.
        let stop = signals::stop()?;
        tokio::pin!(stop);
        let mut reload = signals::reload()?;
        let config = self.file.load()?.config;
        let certificates = Certificates::load(&config).map_err(CliError::Files)?;
        log_warnings(&certificates);
        let options = AppOptions {
            runtime: runtime_directory(),
            log,
            ..AppOptions::default()
        };
        let mut app = App::start_loaded(config, certificates, options)
            .await
            .map_err(CliError::Other)?;
        // Fails only where there is no systemd to notify.
        let _ = sd_notify::notify(&[NotifyState::Ready]);
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "started");
        let mut refused = None;
        let reason = loop {
            tokio::select! {
                signal = &mut stop => break signal,
                why = app.cluster_refused() => {
                    refused = Some(why);
                    break "the cluster cannot be joined";
                }
                _ = reload.recv() => {
                    let stopping = app.stopping();
                    let mut reloaded = pin!(self.reload(&mut app));
                    tokio::select! {
                        () = &mut reloaded => {}
                        signal = &mut stop => {
                            // It ends at once, and leaves nothing half done.
                            stopping.cancel();
                            reloaded.await;
                            break signal;
                        }
                    }
                }
            }
        };
        tracing::info!(reason, "stopping");
        let _ = sd_notify::notify(&[NotifyState::Stopping]);
        if let Some(longest) = app.longest_stop() {
            let longest = u32::try_from(longest.as_micros()).unwrap_or(u32::MAX);
            let _ = sd_notify::notify(&[NotifyState::ExtendTimeoutUsec(longest)]);
        }
        app.stop().await;
        tracing::info!(reason, ran = uptime.to_string(), "stopped");
        refused.map_or(Ok(()), |why| Err(CliError::Other(why)))
    }

    /// After SIGHUP. A wrong file changes nothing.
    async fn reload(&self, app: &mut App) {
        // On a thread of its own: with thousands of rooms it takes a while.
        let file = self.file.clone();
        let loaded = spawn_blocking(move || load_again(&file)).await;
        match loaded.unwrap_or_else(|error| Err(vec![error.to_string()])) {
            Ok(config) => match app.reload(config).await {
                Ok(()) => tracing::info!("configuration read again"),
                Err(failed) => log_errors(failed),
            },
            Err(errors) => {
                tracing::error!("the configuration is wrong; the old one stays in use");
                log_errors(errors);
            }
        }
    }
}

/// The configuration, if a start would take it: a certificate that cannot be used is found before
/// a room that runs is stopped for it.
fn load_again(file: &ConfigFile) -> Result<Config, Vec<String>> {
    let loaded = file.load().map_err(|errors| {
        let errors = errors.0.iter();
        errors.map(ToString::to_string).collect::<Vec<_>>()
    })?;
    let certificates = Certificates::load(&loaded.config)?;
    log_warnings(&certificates);
    Ok(loaded.config)
}

fn log_warnings(certificates: &Certificates) {
    for warning in &certificates.warnings {
        tracing::warn!("{warning}");
    }
}

fn log_errors(errors: Vec<String>) {
    for error in errors {
        tracing::error!("{error}");
    }
}

/// Keeps the passwords that the memory holds out of core files, and out of the reach of other
/// programs of the same user.
fn disable_core_dumps() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    // A kernel that refuses one of these leaves it to the unit.
    let _ = setrlimit(Resource::Core, none);
    // The limit alone does not stop a program that the kernel hands core dumps to.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// The directory for what must outlive a kill: $POLY2MQTT_RUNTIME_DIR, or the first that systemd
/// made for `RuntimeDirectory=`.
fn runtime_directory() -> Option<PathBuf> {
    let names = ["POLY2MQTT_RUNTIME_DIR", "RUNTIME_DIRECTORY"];
    let set = |name: &&str| std::env::var_os(name).filter(|value| !value.is_empty());
    let paths = names.iter().find_map(set)?;
    std::env::split_paths(&paths).find(|directory| !directory.as_os_str().is_empty())
}
