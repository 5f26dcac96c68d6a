//! How far a command is that takes longer than a second: a bar on the terminal that replaces itself, and a
//! plain line every few seconds where there is no terminal.
//!
//! On standard error, so that it never mixes with what the command prints.

use std::cell::Cell;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use tokio::time::Instant;

use crate::sleep::ticks_after;

/// To the start of the line, and everything after it away.
const CLEAR_LINE: &str = "\r\x1b[K";
/// How many characters the bar has.
const BAR_WIDTH: usize = 20;
/// The columns of a terminal that does not say how many it has.
const USUAL_WIDTH: usize = 80;
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
            self.one_done();
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

    /// Waits for something, and shows each second how far it is: while nothing ends, too.
    pub async fn shown_during<T>(&self, thing: impl Future<Output = T>) -> T {
        each_second(|| self.show(), thing).await
    }

    /// For how long it runs.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Waits for something that gives no count, and says for how long already since the progress began.
    pub async fn wait_for<T>(&self, what: &str, thing: impl Future<Output = T>) -> T {
        let result = each_second(|| self.show_waiting(what), thing).await;
        clear_line();
        result
    }

    fn show_waiting(&self, what: &str) {
        let text = format!("{} s: {what}", self.elapsed().as_secs());
        if io::stderr().is_terminal() {
            write(&format!(
                "{CLEAR_LINE}{}",
                on_one_row(&text, terminal_width())
            ));
        } else if Instant::now() >= self.next_plain_line.get() {
            self.next_plain_line
                .set(Instant::now() + PLAIN_LINE_INTERVAL);
            write(&format!("{text}\n"));
        }
    }
}

/// Waits for something, and calls `show` each second until it is over.
async fn each_second<T>(show: impl Fn(), thing: impl Future<Output = T>) -> T {
    let mut thing = std::pin::pin!(thing);
    let mut ticks = ticks_after(SHORT, SHORT);
    loop {
        tokio::select! {
            result = &mut thing => break result,
            _ = ticks.tick() => show(),
        }
    }
}

/// The columns of the terminal.
fn terminal_width() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stderr());
    match size.map(|size| usize::from(size.ws_col)) {
        Ok(columns) if columns > 0 => columns,
        _ => USUAL_WIDTH,
    }
}

/// The text without what would go on in the next row, which could not be taken away again.
fn on_one_row(text: &str, width: usize) -> String {
    let most = width.saturating_sub(1);
    if text.chars().count() > most {
        let start = text.chars().take(most.saturating_sub(1));
        start.chain(['…']).collect()
    } else {
        text.to_owned()
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
    fn a_text_stays_on_one_row() {
        for (text, width, wanted) in [
            ("3 s: a", 80, "3 s: a"),
            ("abcdef", 7, "abcdef"),
            ("abcdef", 6, "abcd…"),
            ("ääääää", 4, "ää…"),
            ("abc", 0, "…"),
        ] {
            assert_eq!(on_one_row(text, width), wanted, "{text} {width}");
        }
    }

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
