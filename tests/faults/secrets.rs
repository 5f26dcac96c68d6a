//! Searches for secrets in everything that the gateway shows: its log at trace level, what it
//! publishes, and the pages of its HTTP port.
//!
//! The gateway's process searches each log line when it is written and does not keep it: an hour of
//! them would fill the disk. This is slow, so it is done only on request.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::registry::LookupSpan;

use crate::report::Check;
use crate::world::World;
use poly2mqtt_test_support::door::http;
use poly2mqtt_test_support::secrets::find;

/// The variable that names the file in which the gateway's process reports secrets.
pub const FOUND: &str = "FAULTS_GATEWAY_SECRETS";

/// Whether the log is searched in this run.
pub fn wanted() -> bool {
    std::env::var_os("POLY2MQTT_FAULTS_TRACE").is_some()
}

pub fn file(directory: &Path) -> PathBuf {
    directory.join("secrets")
}

/// Searches everything that this process logs, if it is asked to.
pub fn layer<S>() -> Option<impl Layer<S>>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    let found = PathBuf::from(std::env::var_os(FOUND)?);
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(Searching(found))
        .with_filter(LevelFilter::TRACE);
    Some(layer)
}

/// Checks each line and keeps those with a secret.
#[derive(Clone)]
struct Searching(PathBuf);

impl Write for Searching {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Some(found) = find(&String::from_utf8_lossy(line)) {
            let file: io::Result<File> = OpenOptions::new().create(true).append(true).open(&self.0);
            writeln!(file?, "in the log: {found}")?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Searching {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Checks everything at the end of a run.
pub async fn search(world: &World) {
    let broken = |what: &str| {
        let now = tokio::time::Instant::now();
        world
            .report
            .violation(&world.timeline, Check::Secrets, None, what, now);
    };
    if wanted() {
        let found = std::fs::read_to_string(file(world.directory.path())).unwrap_or_default();
        found.lines().for_each(broken);
        world.report.count(Check::Secrets, "logs", 1);
    }
    let (heard, leaked) = world.observer.searched();
    world.report.count(Check::Secrets, "messages", heard);
    leaked.iter().for_each(|text| broken(text));
    for path in [
        "/",
        "/metrics",
        "/asyncapi.json",
        "/readyz",
        "/room/1",
        "/gateway/info",
    ] {
        let page = http().get(format!("http://127.0.0.1:{}{path}", world.http));
        let page = page.send().await.unwrap().text().await.unwrap();
        world.report.count(Check::Secrets, "pages", 1);
        if let Some(found) = find(&page) {
            broken(&format!("{path}: {found}"));
        }
    }
}
