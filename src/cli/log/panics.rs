//! What a panic says, on its way to standard error.
//!
//! The usual hook writes by itself, waits where standard error is not read, and would keep a thread of the
//! gateway from going on. Owns the hook and its words.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::thread;

use super::writer::LogWriter;

/// From now on panics of every thread are written through this writer.
pub fn write_to(writer: LogWriter) {
    panic::set_hook(Box::new(move |info| writer.panicked(&words(info))));
}

/// Thread, place and message; with RUST_BACKTRACE=1 also how it came there.
fn words(info: &PanicHookInfo<'_>) -> String {
    let thread = thread::current();
    let mut words = format!("thread {:?} {info}", thread.name().unwrap_or("unnamed"));
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        words += &format!("\n{backtrace}");
    }
    words
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::process::Command;
    use std::sync::Arc;

    use tracing_subscriber::filter::LevelFilter;

    /// Set in the process that panics.
    const PANICS: &str = "TEST_PANICS";

    /// Runs in a process of its own, because hook and log belong to the whole process.
    #[test]
    fn what_a_thread_panics_with_is_written_after_the_lines_before_it() {
        if env::var_os(PANICS).is_some() {
            let _log = crate::cli::log::start_queued(LevelFilter::INFO, Arc::default());
            tracing::warn!(target: "poly2mqtt::rooms", "the line before");
            let worker = std::thread::Builder::new().name("worker".to_owned());
            let panicking = worker.spawn(|| panic!("first panic")).unwrap();
            assert!(panicking.join().is_err());
            // Unwinding drops the log.
            panic!("last panic");
        }
        for (format, thread) in [
            ("text", "thread \"worker\""),
            ("json", "thread \\\"worker\\\""),
        ] {
            let mut again = Command::new(env::current_exe().unwrap());
            again.args(["--exact", "cli::log::panics::tests::what_a_thread_panics_with_is_written_after_the_lines_before_it"]);
            again.args(["--nocapture", "--test-threads=1"]);
            again.env(PANICS, "1").env("POLY2MQTT_LOG_FORMAT", format);
            let ended = again.output().unwrap();
            assert!(!ended.status.success());
            let told = String::from_utf8(ended.stderr).unwrap();
            let at = |text: &str| told.find(text).unwrap_or_else(|| panic!("{text}\n{told}"));
            assert!(at("the line before") < at("first panic"), "{told}");
            assert!(at(thread) < at("first panic"), "{told}");
            assert!(at("first panic") < at("last panic"), "{told}");
        }
    }
}
