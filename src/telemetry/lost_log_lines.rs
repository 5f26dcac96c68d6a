//! How many lines of the log were lost. There is one log for the whole process, and it starts before
//! any gateway, so this count belongs to the process too.

use std::sync::atomic::{AtomicU64, Ordering};

static LOST: AtomicU64 = AtomicU64::new(0);

/// A line could not be written, because standard error is not read.
pub fn log_line_lost() {
    LOST.fetch_add(1, Ordering::Relaxed);
}

/// How many were lost since the start.
pub fn lost_log_lines() -> u64 {
    LOST.load(Ordering::Relaxed)
}
