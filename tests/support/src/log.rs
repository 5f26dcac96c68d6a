//! A log that a test reads.

use std::io;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};

use tracing::Dispatch;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::until;

/// A second subscriber, that logs nothing. With one alone, a line that another thread, without a
/// subscriber, reaches first is switched off for all threads.
static SECOND: LazyLock<Dispatch> = LazyLock::new(|| {
    let silent = tracing_subscriber::fmt().with_max_level(LevelFilter::OFF);
    Dispatch::new(silent.finish())
});

/// Keeps what is logged. Its clones share the text.
#[derive(Clone)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Default for Log {
    fn default() -> Self {
        LazyLock::force(&SECOND);
        Self(Arc::default())
    }
}

impl Log {
    /// Everything until now.
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Waits until it contains this.
    pub async fn contains(&self, wanted: &str) {
        let what = || format!("{wanted}\nin the log\n{}", self.text());
        until(what, async || self.text().contains(wanted)).await;
    }
}

/// Waits until the log in this file contains this so many times.
pub async fn file_contains(path: &Path, wanted: &str, times: usize) {
    let text = || std::fs::read_to_string(path).unwrap();
    let what = || format!("{times} times {wanted}\nin the log\n{}", text());
    until(what, async || text().matches(wanted).count() >= times).await;
}

/// The log of this thread, which runs a whole test, while the guard is held.
pub fn thread_log() -> (Log, tracing::subscriber::DefaultGuard) {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    (log, tracing::subscriber::set_default(subscriber))
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
