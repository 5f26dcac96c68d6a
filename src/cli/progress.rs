//! How far a command is that takes longer than a second: a bar on the terminal that replaces itself, and a
//! plain line every few seconds where there is no terminal.
//!
//! On standard error, so that it never mixes with what the command prints.

use std::cell::Cell;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

/// To the start of the line, and everything after it away.
const CLEAR_LINE: &str = "\r\x1b[K";
/// How many characters the bar has.
const BAR_WIDTH: usize = 20;
/// What is over within this needs no progress.
const SHORT: Duration = Duration::from_secs(1);
/// How often there is a plain line, in a log for example.
const PLAIN_LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Counts what is tried and what is done.
#[derive(Debug)]
pub struct Progress {
    total: Cell<usize>,
    done: Cell<usize>,
    started: Instant,
    next_plain_line: Cell<Instant>,
}

impl Default for Progress {
    fn default() -> Self {
        let started = Instant::now();
        Self {
            total: Cell::new(0),
            done: Cell::new(0),
            started,
            next_plain_line: Cell::new(started + SHORT),
        }
    }
}

impl Progress {
    /// For so many things, which are counted with [`Progress::one_done`].
    pub fn of_total(total: usize) -> Self {
        let progress = Self::default();
        progress.total.set(total);
        progress
    }

    /// One more is done.
    pub fn one_done(&self) {
        self.done.set(self.done.get() + 1);
    }

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
        if done >= total {
            return;
        }
        if io::stderr().is_terminal() {
            write(&format!(
                "{CLEAR_LINE}{} {done} of {total} tried",
                bar(done, total)
            ));
        } else if Instant::now() >= self.next_plain_line.get() {
            self.next_plain_line
                .set(Instant::now() + PLAIN_LINE_INTERVAL);
            write(&format!("{done} of {total} tried\n"));
        }
    }

    /// Takes the line away, before something else is printed.
    pub fn clear(&self) {
        clear_line();
    }

    /// Waits for one thing that gives no count, and says for how long already.
    pub async fn wait_for<T>(what: &str, thing: impl Future<Output = T>) -> T {
        let progress = Self::default();
        let mut thing = std::pin::pin!(thing);
        let mut ticks = interval(SHORT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        let result = loop {
            tokio::select! {
                result = &mut thing => break result,
                _ = ticks.tick() => progress.show_waiting(what),
            }
        };
        clear_line();
        result
    }

    fn show_waiting(&self, what: &str) {
        let waited = self.started.elapsed().as_secs();
        if io::stderr().is_terminal() {
            write(&format!("{CLEAR_LINE}{what}: {waited} s"));
        } else if Instant::now() >= self.next_plain_line.get() {
            self.next_plain_line
                .set(Instant::now() + PLAIN_LINE_INTERVAL);
            write(&format!("{what}: {waited} s\n"));
        }
    }
}

/// `[#####---------------]`.
fn bar(done: usize, total: usize) -> String {
    let full = (done * BAR_WIDTH).checked_div(total).unwrap_or(BAR_WIDTH);
    let full = full.min(BAR_WIDTH);
    format!("[{}{}]", "#".repeat(full), "-".repeat(BAR_WIDTH - full))
}

fn clear_line() {
    if io::stderr().is_terminal() {
        write(CLEAR_LINE);
    }
}

fn write(text: &str) {
    // Only decoration: the results are printed elsewhere.
    let _ = io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills_from_the_left() {
        for (done, total, wanted) in [
            (0, 4, "[--------------------]"),
            (1, 4, "[#####---------------]"),
            (4, 4, "[####################]"),
            (0, 0, "[####################]"),
        ] {
            assert_eq!(bar(done, total), wanted);
        }
    }
}
