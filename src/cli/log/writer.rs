//! The writer of the gateway's log: a thread of its own, so that nobody who logs waits for standard
//! error.
//!
//! Whoever reads standard error may stop reading without leaving, and then a write waits. Owns the
//! queue of lines before that thread, and its bound: a line that does not fit is lost and counted, and
//! the log says so at its place. Knows nothing of what lines say.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use crate::telemetry::log_line_lost;

/// The part of the gateway that the log's own lines are from.
const TARGET: &str = "poly2mqtt::log";
/// How many bytes of lines may wait: some thousand lines, more than a start with many rooms writes.
const MOST_WAITING_BYTES: usize = 1 << 20;
/// After lines were lost, none is taken before this much has been written. So the log says once that
/// lines are missing, and not between any two.
const REFILL_BYTES: usize = MOST_WAITING_BYTES / 2;
/// How long the end of the program waits for the last lines.
const FINISH_TIMEOUT: Duration = Duration::from_secs(1);
/// How long to wait before the next attempt where standard error says that it would have to wait.
const RETRY_DELAY: Duration = Duration::from_millis(10);

/// Takes lines of the log and never waits.
#[derive(Debug, Clone)]
pub struct LogWriter(Arc<LineQueue>);

#[derive(Debug)]
struct LineQueue {
    lines: Mutex<WaitingLines>,
    /// A line was added, or the last one has been written.
    changed: Condvar,
    json: bool,
}

#[derive(Debug, Default)]
struct WaitingLines {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// How many lines were lost since the last one that was taken.
    lost: u64,
    /// The thread is writing a line.
    is_writing: bool,
}

impl LogWriter {
    /// Starts the thread that writes to standard error. With `json`, its own line is JSON too.
    ///
    /// # Errors
    /// There are too many files or threads.
    pub fn start(json: bool) -> io::Result<Self> {
        // Not `io::stderr()`, whose lock everything else that prints would wait for.
        let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        Self::writing_to(stderr, json)
    }

    fn writing_to(out: impl Write + Send + 'static, json: bool) -> io::Result<Self> {
        let queue = Arc::new(LineQueue {
            lines: Mutex::default(),
            changed: Condvar::new(),
            json,
        });
        let writes = queue.clone();
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || writes.write_to(out))?;
        Ok(Self(queue))
    }

    /// Writes what a thread panicked with, and waits a moment for it: the end of the program may follow.
    pub fn panicked(&self, text: &str) {
        self.0.push(&if self.0.json {
            json_line("ERROR", json!({"message": text}))
        } else {
            text_line("ERROR", text)
        });
        self.finish();
    }

    /// Waits until every line is written, or for [`FINISH_TIMEOUT`]. Whether all were written.
    pub fn finish(&self) -> bool {
        let waits = |lines: &mut WaitingLines| !lines.is_done();
        let mut lines = self.0.lines.lock();
        (self.0.changed).wait_while_for(&mut lines, waits, FINISH_TIMEOUT);
        lines.is_done()
    }
}

impl Write for LogWriter {
    /// Takes a whole line: the log writes each event at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for LogWriter {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl LineQueue {
    fn push(&self, line: &[u8]) {
        let mut lines = self.lines.lock();
        if !lines.has_room(line.len()) {
            lines.lost += 1;
            drop(lines);
            return log_line_lost();
        }
        if lines.lost > 0 {
            let missing = missing_lines(lines.lost, self.json);
            lines.lost = 0;
            lines.add(missing);
        }
        lines.add(line.to_vec());
        drop(lines);
        self.changed.notify_all();
    }

    /// The next line to write; waits for one.
    fn next(&self) -> Vec<u8> {
        let mut lines = self.lines.lock();
        lines.is_writing = false;
        loop {
            if let Some(line) = lines.lines.pop_front() {
                lines.bytes -= line.len();
                lines.is_writing = true;
                return line;
            }
            if lines.lost > 0 {
                let missing = missing_lines(lines.lost, self.json);
                lines.lost = 0;
                lines.is_writing = true;
                return missing;
            }
            self.changed.notify_all();
            self.changed.wait(&mut lines);
        }
    }

    fn write_to(&self, mut out: impl Write) {
        loop {
            if write_line(&mut out, &self.next()).is_err() {
                log_line_lost();
            }
        }
    }
}

impl WaitingLines {
    fn has_room(&self, size: usize) -> bool {
        let most = match self.lost {
            0 => MOST_WAITING_BYTES,
            _ => REFILL_BYTES,
        };
        self.lines.is_empty() || self.bytes + size <= most
    }

    fn add(&mut self, line: Vec<u8>) {
        self.bytes += line.len();
        self.lines.push_back(line);
    }

    fn is_done(&self) -> bool {
        self.lines.is_empty() && self.lost == 0 && !self.is_writing
    }
}

/// Writes one line, however long that takes.
///
/// # Errors
/// It cannot be written, to a full disk or to a reader that has gone.
fn write_line(out: &mut impl Write, mut line: &[u8]) -> io::Result<()> {
    while !line.is_empty() {
        match out.write(line) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => line = &line[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY_DELAY),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The line that stands where lines were lost.
fn missing_lines(count: u64, json: bool) -> Vec<u8> {
    let message = "lines are missing here, because standard error was not read";
    if json {
        json_line("WARN", json!({"message": message, "count": count}))
    } else {
        text_line("WARN", &format!("{message} count={count}"))
    }
}

/// A line of the log itself, in the text form.
fn text_line(level: &str, text: &str) -> Vec<u8> {
    format!("{} {level:>5} {TARGET}: {text}\n", now()).into_bytes()
}

/// A line of the log itself, in the JSON form.
fn json_line(level: &str, fields: Value) -> Vec<u8> {
    let line = json!({"timestamp": now(), "level": level, "fields": fields, "target": TARGET});
    format!("{line}\n").into_bytes()
}

/// The time as other lines have it.
fn now() -> String {
    let mut now = String::new();
    // Writing to a String cannot fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut now));
    now
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;
    use crate::telemetry::lost_log_lines;

    const LINE: usize = 1000;

    /// A reader that takes a line only when it is allowed to, and every line once `may_read` has gone.
    struct Reader {
        may_read: Receiver<()>,
        lines: Sender<String>,
    }

    impl Write for Reader {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            let _ = self.may_read.recv();
            let text = String::from_utf8(line.to_vec()).unwrap();
            let _ = self.lines.send(text);
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A writer, what lets its reader read, and what the reader has read.
    fn stalled(json: bool) -> (LogWriter, Sender<()>, Receiver<String>) {
        let (allow, may_read) = channel();
        let (lines, read) = channel();
        let writer = LogWriter::writing_to(Reader { may_read, lines }, json).unwrap();
        (writer, allow, read)
    }

    fn line(number: usize) -> String {
        format!("{number:>width$}\n", width = LINE - 1)
    }

    fn write(writer: &LogWriter, number: usize) {
        writer
            .make_writer()
            .write_all(line(number).as_bytes())
            .unwrap();
    }

    #[test]
    fn lines_are_written_in_their_order_up_to_the_last() {
        let (writer, allow, read) = stalled(false);
        drop(allow);
        (0..500).for_each(|number| write(&writer, number));
        assert!(writer.finish());
        let lines: Vec<_> = read.try_iter().collect();
        assert_eq!(lines, (0..500).map(line).collect::<Vec<_>>());
    }

    #[test]
    fn a_reader_that_stalls_costs_lines_and_no_time() {
        for json in [false, true] {
            let (writer, allow, read) = stalled(json);
            let before = lost_log_lines();
            let most = MOST_WAITING_BYTES / LINE;
            (0..3 * most).for_each(|number| write(&writer, number));
            assert!(lost_log_lines() - before >= (2 * most - 1) as u64);
            assert!(!writer.finish());
            // The reader reads again: what waited comes first, then what is missing.
            let mut lines = Vec::new();
            let refill = (MOST_WAITING_BYTES - REFILL_BYTES) / LINE + 10;
            for _ in 0..refill {
                allow.send(()).unwrap();
                lines.push(read.recv().unwrap());
            }
            write(&writer, 3 * most);
            drop(allow);
            assert!(writer.finish());
            lines.extend(read.try_iter());
            let waited = lines.iter().enumerate();
            let waited = waited.take_while(|(number, text)| **text == line(*number));
            let waited = waited.count();
            assert!((most..=most + 1).contains(&waited), "{waited}");
            let [missing, last] = &lines[waited..] else {
                panic!("{:?}", &lines[waited..]);
            };
            assert_eq!(*last, line(3 * most));
            let lost = 3 * most - waited;
            let count = if json {
                format!("\"count\":{lost}")
            } else {
                format!("count={lost}\n")
            };
            assert!(
                missing.contains(&count) && missing.ends_with('\n'),
                "{missing}"
            );
            assert!(missing.contains("lines are missing here"), "{missing}");
        }
    }

    #[test]
    fn missing_lines_are_told_though_no_other_comes() {
        let (writer, allow, read) = stalled(false);
        let most = MOST_WAITING_BYTES / LINE;
        (0..most + 10).for_each(|number| write(&writer, number));
        drop(allow);
        assert!(writer.finish());
        let last = read.try_iter().last().unwrap();
        assert!(last.contains("lines are missing here"), "{last}");
    }
}
