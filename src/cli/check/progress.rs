//! How far `check --connect` is: a line on the terminal that replaces itself.
//!
//! Devices that are switched off take ten seconds, so there may be nothing to print for a while. Where standard
//! error is not a terminal, nothing is shown.

use std::cell::Cell;
use std::io::{self, IsTerminal, Write};

/// To the start of the line, and everything after it away.
const CLEAR_LINE: &str = "\r\x1b[K";

/// Counts what is tried and what is done.
#[derive(Debug, Default)]
pub struct Progress {
    total: Cell<usize>,
    done: Cell<usize>,
}

impl Progress {
    /// The future, counted.
    pub fn of<F: Future>(&self, trial: F) -> impl Future<Output = F::Output> {
        self.total.set(self.total.get() + 1);
        async move {
            let result = trial.await;
            self.done.set(self.done.get() + 1);
            self.show();
            result
        }
    }

    /// Shows the line, while something is missing.
    pub fn show(&self) {
        let (done, total) = (self.done.get(), self.total.get());
        if done < total {
            write(&format!("{CLEAR_LINE}{done} of {total} tried"));
        }
    }

    /// Takes the line away, before something else is printed.
    pub fn clear(&self) {
        write(CLEAR_LINE);
    }
}

fn write(text: &str) {
    let mut stderr = io::stderr();
    if stderr.is_terminal() {
        // Only decoration: the results are printed elsewhere.
        let _ = stderr.write_all(text.as_bytes());
    }
}
