//! The gateway as a process: started, reloaded, stopped and killed as users do it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use poly2mqtt::app::{App, AppOptions};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::secrets;
use poly2mqtt_test_support::gateway::timings;

const CONFIG: &str = "FAULTS_GATEWAY_CONFIG";
const RUNTIME: &str = "FAULTS_GATEWAY_RUNTIME";

/// Runs the gateway if this binary was started for that; otherwise does nothing.
pub fn serve_if_asked() {
    let Some(config) = std::env::var_os(CONFIG) else {
        return;
    };
    let log = std::env::var("POLY2MQTT_LOG").unwrap_or_else(|_| "off".into());
    let told = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .with_filter(log.parse::<Targets>().unwrap());
    tracing_subscriber::registry()
        .with(told)
        .with(secrets::layer())
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(serve(Path::new(&config)));
}

async fn serve(config: &Path) {
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    let mut hangup = signal(SignalKind::hangup()).unwrap();
    let load = || poly2mqtt::config::load(config, []).map(|loaded| loaded.config);
    let options = AppOptions {
        timings: timings(),
        runtime: std::env::var_os(RUNTIME).map(PathBuf::from),
        ..AppOptions::default()
    };
    let mut service = App::start_with(load().unwrap(), options).await.unwrap();
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = hangup.recv() => match load() {
                Ok(config) => {
                    let _ = service.reload(config).await;
                }
                Err(errors) => eprintln!("{errors}"),
            },
        }
    }
    service.stop().await;
}

/// The gateway's process.
pub struct Gateway {
    child: Child,
}

impl Gateway {
    pub fn start(directory: &Path) -> Self {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(directory.join("gateway.log"))
            .unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        if secrets::wanted() {
            command.env(secrets::FOUND, secrets::file(directory));
        }
        let child = command
            .args(["gateway_process", "--exact", "--nocapture"])
            .env(CONFIG, directory.join("gateway.toml"))
            .env(RUNTIME, runtime(directory))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends SIGTERM; false if the process does not end in time.
    pub async fn terminate(&mut self) -> bool {
        self.signal("-TERM");
        let deadline = Instant::now() + Duration::from_secs(15);
        while Instant::now() < deadline {
            if self.child.try_wait().unwrap().is_some() {
                return true;
            }
            sleep(Duration::from_millis(10)).await;
        }
        self.kill();
        false
    }

    /// Sends SIGHUP.
    pub fn reload(&self) {
        self.signal("-HUP");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([signal, &self.pid().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }

    pub fn running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Resident memory in KiB and the number of open files.
    pub fn holds(&self) -> (u64, usize) {
        let proc = PathBuf::from(format!("/proc/{}", self.pid()));
        let status = std::fs::read_to_string(proc.join("status")).unwrap_or_default();
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let rss = rss.and_then(|rss| rss.split_whitespace().next()?.parse().ok());
        let files = std::fs::read_dir(proc.join("fd")).map_or(0, Iterator::count);
        (rss.unwrap_or(0), files)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The directory in which the gateway stores its sessions.
pub fn runtime(directory: &Path) -> OsString {
    directory.join("runtime").into()
}
