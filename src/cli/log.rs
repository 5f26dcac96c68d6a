//! The log: which lines are written to standard error, and in which form.
//!
//! The gateway's lines go through `writer`, which never waits; the other commands write directly.

mod format;
mod lines;
mod panics;
mod writer;

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use tracing::Subscriber;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use lines::Lines;
use writer::LogWriter;

use crate::telemetry::{LogRing, RingLayer, SPAN_TARGET};

/// What the libraries may log at most; `filter` names the exceptions.
const LIBRARIES: LevelFilter = LevelFilter::WARN;
/// The libraries that warn of every client that breaks the protocol, so only their errors are shown.
const LOUD_LIBRARIES: [&str; 2] = ["mqtt5", "rustls"];

/// Starts the log. `level` is the gateway's own if the environment says nothing else.
///
/// `POLY2MQTT_LOG` is a filter such as `debug` or `info,poly2mqtt::doors::mqtt=debug`; with
/// `POLY2MQTT_LOG_FORMAT=json` every line is JSON. What is wrong with either is the first line.
pub fn start(level: LevelFilter) {
    start_writing(level, None, |_| BoxMakeWriter::new(io::stderr));
}

/// Starts the log, and keeps its newest lines in `ring` too, whatever level is written.
pub fn start_with_ring(level: LevelFilter, ring: Arc<LogRing>) {
    start_writing(level, Some(ring), |_| BoxMakeWriter::new(io::stderr));
}

/// Like [`start_with_ring`] for a program that must not wait when standard error is not read. What it panics with goes
/// the same way.
pub fn start_queued(level: LevelFilter, ring: Arc<LogRing>) -> QueuedLog {
    let mut queued = QueuedLog(None);
    start_writing(level, Some(ring), |json| match LogWriter::start(json) {
        Ok(writer) => {
            queued.0 = Some(writer.clone());
            BoxMakeWriter::new(writer)
        }
        // Without a thread of its own the log may make the gateway wait, but it is there.
        Err(_) => BoxMakeWriter::new(io::stderr),
    });
    if let Some(writer) = &queued.0 {
        panics::write_to(writer.clone());
    }
    queued
}

/// A log whose last lines may not be written yet. When it is dropped it waits a moment for them.
pub struct QueuedLog(Option<LogWriter>);

impl QueuedLog {
    /// Where other texts for standard error go, after the lines before them. Each is written at once.
    pub fn output(&self) -> Box<dyn Write> {
        match &self.0 {
            Some(writer) => Box::new(writer.clone()),
            None => Box::new(io::stderr()),
        }
    }
}

impl Drop for QueuedLog {
    fn drop(&mut self) {
        if let Some(writer) = &self.0 {
            writer.finish();
        }
    }
}

/// Starts the log with the writer that `writer` makes; it is told whether lines are JSON.
fn start_writing(
    level: LevelFilter,
    ring: Option<Arc<LogRing>>,
    writer: impl FnOnce(bool) -> BoxMakeWriter,
) {
    let (filter, wrong_filter) = filter(variable("POLY2MQTT_LOG").as_deref(), level);
    let (json, wrong_format) = is_json(variable("POLY2MQTT_LOG_FORMAT").as_deref());
    let layer = tracing_subscriber::fmt::layer()
        // A line that cannot be written, to a full disk for example, is lost. Reporting that to
        // standard error would panic.
        .log_internal_errors(false)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(writer(json));
    if json {
        // The list of spans holds the current one, so that is not written again.
        subscriber(layer.json().with_current_span(false), filter, ring).init();
    } else {
        let layer = layer.fmt_fields(format::EscapedFields::default());
        subscriber(layer, filter, ring).init();
    }
    for wrong in wrong_filter.into_iter().chain(wrong_format) {
        tracing::warn!("{wrong}");
    }
}

/// What takes all lines. The filter is that of the written ones alone.
fn subscriber(
    written: impl Layer<Registry> + Send + Sync,
    filter: Targets,
    ring: Option<Arc<LogRing>>,
) -> impl Subscriber + Send + Sync + for<'span> LookupSpan<'span> {
    let lines = Lines {
        written,
        filter,
        ring: ring.map(RingLayer),
    };
    tracing_subscriber::registry().with(lines)
}

/// A variable that is set and not empty.
fn variable(name: &str) -> Option<String> {
    let value = std::env::var_os(name)?.to_string_lossy().trim().to_owned();
    Some(value).filter(|value| !value.is_empty())
}

/// Whether lines are JSON, and what is wrong with the variable that says so.
fn is_json(format: Option<&str>) -> (bool, Option<String>) {
    match format.map(str::to_ascii_lowercase).as_deref() {
        Some("json") => (true, None),
        None | Some("text") => (false, None),
        Some(other) => {
            let wrong = format!("POLY2MQTT_LOG_FORMAT takes json or text, not {other:?}");
            (false, Some(wrong))
        }
    }
}

/// The filter that the environment asks for, or the gateway's own lines of `level`; and what is wrong
/// with the environment's. The spans that name room and broker are always part of it; they write no
/// lines themselves.
fn filter(environment: Option<&str>, level: LevelFilter) -> (Targets, Option<String>) {
    match environment.map(|asked| asked_lines(asked, level)) {
        Some(Ok(filter)) => (filter, None),
        Some(Err(wrong)) => {
            let wrong = format!(
                "POLY2MQTT_LOG is ignored: {wrong}; it takes off, error, warn, info, debug or \
                 trace, or parts of the gateway as in info,poly2mqtt::doors::mqtt=debug"
            );
            (own_lines(level), Some(wrong))
        }
        None => (own_lines(level), None),
    }
}

/// The lines of a filter that people write. A level alone is that of the gateway's own lines; a library's lines are
/// asked for by its name.
fn asked_lines(asked: &str, own_level: LevelFilter) -> Result<Targets, String> {
    let mut level = None;
    let mut names_own = false;
    let mut named = Vec::new();
    for part in asked
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        // A filter by span, such as `[room]=debug`, is none of ours.
        if let Ok(asked) = part.parse() {
            level = Some(asked);
        } else if is_own(part) || is_name_with_level(part) {
            names_own |= part.starts_with("poly2mqtt");
            let lines = part.parse::<Targets>();
            named.push(lines.map_err(|error| format!("{asked:?}: {error}"))?);
        } else {
            return Err(format!("{part:?} is no level"));
        }
    }
    let mut lines = match level {
        Some(level) => own_lines(level),
        None if named.is_empty() => return Err(format!("{asked:?} is no level")),
        None if names_own => Targets::new().with_target(SPAN_TARGET, LevelFilter::INFO),
        // Only libraries are named: the gateway's own lines are as without them.
        None => own_lines(own_level),
    };
    // Later ones win over earlier ones of the same name.
    named.into_iter().for_each(|named| lines.extend(named));
    Ok(lines)
}

/// Whether it is a module's name and a level, such as `hyper=debug`.
fn is_name_with_level(part: &str) -> bool {
    let Some((name, level)) = part.split_once('=') else {
        return false;
    };
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':' | b'-');
    !name.is_empty()
        && name.bytes().all(is_word)
        && level.parse::<LevelFilter>().is_ok()
        && !level.is_empty()
}

/// Whether a part of the gateway is named, such as `poly2mqtt::doors::mqtt`.
fn is_own(part: &str) -> bool {
    let mut modules = part.split("::");
    let is_name = |name: &str| name.starts_with(|c: char| c.is_ascii_lowercase());
    let is_word = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    modules.next() == Some("poly2mqtt") && modules.all(|name| is_name(name) && is_word(name))
}

/// The gateway's own lines of this level, and warnings of the libraries if they are within it.
fn own_lines(level: LevelFilter) -> Targets {
    let loud = LOUD_LIBRARIES.map(|library| (library, LevelFilter::ERROR.min(level)));
    Targets::new()
        .with_default(LIBRARIES.min(level))
        .with_targets(loud)
        .with_target("poly2mqtt", level)
        .with_target(SPAN_TARGET, LevelFilter::INFO)
}

#[cfg(test)]
mod tests;
