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

/// The same, and the newest lines stay in `ring` too, whatever level is written.
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
mod tests {
    use poly2mqtt_test_support::log::Log;

    use super::*;
    use crate::command::{DoorKind, ErrorCode, Failure, Reply};
    use crate::network::Network;
    use crate::telemetry::{FloodKind, Telemetry, broker_span, room_span};

    /// The log of `events` with this filter, in text.
    fn text_of(environment: Option<&str>, events: impl FnOnce()) -> String {
        let log = Log::default();
        let layer = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_writer(log.clone())
            .fmt_fields(format::EscapedFields::default());
        write(layer, environment, events);
        log.text()
    }

    fn write(
        layer: impl Layer<Registry> + Send + Sync,
        environment: Option<&str>,
        events: impl FnOnce(),
    ) {
        let (filter, _) = filter(environment, LevelFilter::INFO);
        tracing::subscriber::with_default(subscriber(layer, filter, None), events);
    }

    /// The log of `events`, in text or as JSON, with this filter.
    fn logged(environment: &str, json: bool, events: impl FnOnce(&Arc<Telemetry>)) -> String {
        let telemetry = Arc::<Telemetry>::default();
        let events = || events(&telemetry);
        if !json {
            return text_of(Some(environment), events);
        }
        let log = Log::default();
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(log.clone())
            .json()
            .with_current_span(false);
        write(layer, Some(environment), events);
        log.text()
    }

    fn fail(telemetry: &Arc<Telemetry>, code: ErrorCode) {
        let telemetry = telemetry.clone();
        let reply = Reply::new("boardroom".into(), "audio/mute", move |outcome| {
            telemetry.command_finished(DoorKind::Mqtt, &outcome);
        });
        reply.answer(Err(Failure::new(code, "no")));
    }

    #[test]
    fn a_line_names_its_room_once_whatever_the_filter_shows() {
        for filter in ["warn", "info", "debug", "poly2mqtt::rooms=warn"] {
            for json in [false, true] {
                let log = logged(filter, json, |telemetry| {
                    let _room = room_span("boardroom").entered();
                    telemetry.room_offline("boardroom", "no route");
                });
                assert_eq!(log.matches("boardroom").count(), 1, "{filter}: {log}");
                assert!(log.contains("offline"), "{log}");
            }
        }
    }

    #[test]
    fn the_text_is_as_the_page_shows_it() {
        let log = logged("info", false, |telemetry| {
            telemetry.room_online("boardroom");
            let _broker = broker_span("127.0.0.1:1883").entered();
            telemetry.broker_connected();
        });
        let page = include_str!("../../docs/first-room.md");
        assert_eq!(log.lines().count(), 2, "{log}");
        for line in log.lines() {
            let (_time, rest) = line.split_once(' ').unwrap();
            assert!(page.contains(rest), "{rest}");
        }
    }

    #[test]
    fn a_failed_command_is_logged_with_its_room_and_not_with_its_broker() {
        for json in [false, true] {
            let log = logged("info", json, |telemetry| {
                let _broker = broker_span("127.0.0.1:1883").entered();
                fail(telemetry, ErrorCode::Offline);
                fail(telemetry, ErrorCode::Superseded);
            });
            assert_eq!(log.lines().count(), 1, "{log}");
            assert_eq!(log.matches("boardroom").count(), 1, "{log}");
            assert_eq!(log.matches("audio/mute").count(), 1, "{log}");
            assert!(!log.contains("1883"), "{log}");
        }
    }

    #[test]
    fn failed_commands_are_logged_in_full_until_they_are_a_flood() {
        for json in [false, true] {
            let log = logged("info", json, |telemetry| {
                (0..1000).for_each(|_| fail(telemetry, ErrorCode::Timeout));
                fail(telemetry, ErrorCode::Offline);
                telemetry.log_floods();
                fail(telemetry, ErrorCode::Timeout);
                telemetry.log_floods();
                telemetry.log_floods();
            });
            let lines: Vec<_> = log.lines().collect();
            assert_eq!(lines.len(), 14, "{log}");
            assert!(lines.iter().all(|line| line.contains("boardroom")), "{log}");
            let in_full = |line: &&&str| line.contains("audio/mute") && line.contains("reason");
            assert_eq!(lines[..11].iter().filter(in_full).count(), 11, "{log}");
            assert!(lines[11].contains("again in the last minute"), "{log}");
            for text in ["990", "1000", "mqtt", "timeout", "audio/mute (990)"] {
                assert!(lines[11].contains(text), "{log}");
            }
            assert!(in_full(&&lines[12]), "{log}");
            assert!(lines[13].contains("not in the last minute"), "{log}");
            assert!(lines[13].contains("1001"), "{log}");
        }
    }

    #[test]
    fn messages_rooms_and_guesses_that_flood_write_few_lines() {
        let log = logged("info", false, |telemetry| {
            for n in 0..1000_u16 {
                telemetry.inbound_dropped("homeassistant/status");
                telemetry.message_left_out(&"t".repeat(60_000), 5, &"quota", true);
                telemetry.broker_refused_subscription("room/#", "no", "no commands");
                telemetry.message_not_sent(&"too large");
                telemetry.room_online("boardroom");
                telemetry.room_offline("boardroom", &"no route".repeat(1000));
                let [a, b] = n.to_be_bytes();
                telemetry.wrong_secret(DoorKind::Http, [192, 0, a, b].into(), 1);
            }
            telemetry.log_floods();
        });
        let lines = |text| log.lines().filter(|line| line.contains(text)).count();
        assert_eq!(lines("wrong token or password"), 600 + 1);
        assert_eq!(lines("count=400 total=1000"), 1);
        // The room is online and offline in turn.
        assert_eq!(lines("boardroom"), 10 + 1);
        assert_eq!(lines("count=1990 total=2000"), 1);
        assert_eq!(lines("count=990 total=1000"), 4);
        assert_eq!(log.lines().count(), 601 + 11 + 4 * 11);
        assert!(log.lines().all(|line| line.chars().count() < 1000));
    }

    #[test]
    fn what_a_client_chose_is_shortened() {
        let log = logged("info", false, |telemetry| {
            let telemetry = telemetry.clone();
            let (room, command) = ("r".repeat(60_000), "c\n".repeat(30_000));
            let reply = Reply::new(room.into(), &*command, move |outcome| {
                telemetry.command_finished(DoorKind::Tcp, &outcome);
            });
            let failure = Failure::new(ErrorCode::UnknownRoom, "w".repeat(60_000));
            reply.answer(Err(failure));
        });
        assert_eq!(log.lines().count(), 1, "{log}");
        assert!(log.contains("rrr…") && log.contains("www…"), "{log}");
        assert!(log.contains("c\\nc\\n") || log.contains("c\nc\n"), "{log}");
        assert!(log.len() < 2000, "{}", log.len());
    }

    #[test]
    fn the_libraries_of_broker_and_tls_write_no_warnings() {
        let lines = |environment| {
            let log = text_of(environment, || {
                tracing::warn!(target: "rustls::check", "received another message");
                tracing::warn!(target: "mqtt5::broker", "a client failed");
            });
            log.lines().count()
        };
        assert_eq!(lines(None), 0);
        assert_eq!(lines(Some("warn")), 0);
        assert_eq!(lines(Some("rustls=warn,mqtt5=warn,warn")), 2);
    }

    /// How many lines of the gateway and of a library a filter shows, from error to trace.
    fn shown(filter_text: Option<&str>) -> [usize; 2] {
        let log = text_of(filter_text, || {
            macro_rules! lines {
                ($target:literal) => {
                    tracing::error!(target: $target, "");
                    tracing::warn!(target: $target, "");
                    tracing::info!(target: $target, "");
                    tracing::debug!(target: $target, "");
                    tracing::trace!(target: $target, "");
                };
            }
            lines!("poly2mqtt::rooms");
            lines!("hyper_util::client");
        });
        ["poly2mqtt::rooms", "hyper_util"].map(|target| log.matches(target).count())
    }

    #[test]
    fn a_level_alone_is_that_of_the_gateways_own_lines() {
        for (text, wanted) in [
            (None, [3, 2]),
            (Some("off"), [0, 0]),
            (Some("error"), [1, 1]),
            (Some("warn"), [2, 2]),
            (Some("info"), [3, 2]),
            (Some("debug"), [4, 2]),
            (Some("DEBUG"), [4, 2]),
            (Some(" trace "), [5, 2]),
            (Some("debug,hyper_util=debug"), [4, 4]),
            (Some("hyper_util=trace,warn"), [2, 5]),
            (Some("warn,poly2mqtt::rooms=debug"), [4, 2]),
            (Some("poly2mqtt::rooms=warn"), [2, 0]),
            (Some("poly2mqtt"), [5, 0]),
            // Of a library alone: the gateway's own lines stay.
            (Some("hyper_util=debug"), [3, 4]),
            (Some("hyper_util=off"), [3, 0]),
            // What is wrong is as if it were not set.
            (Some("verbose"), [3, 2]),
            (Some("debug,poly2mqtt=loud"), [3, 2]),
        ] {
            assert_eq!(shown(text), wanted, "{text:?}");
        }
    }

    #[test]
    fn a_wrong_filter_or_format_is_told() {
        for (text, wanted) in [
            ("dbug", "\"dbug\" is no level"),
            ("warning", "\"warning\" is no level"),
            ("\"debug\"", "is no level"),
            ("debug info", "is no level"),
            ("info,hyper", "\"hyper\" is no level"),
            ("poly2mqtt=loud", "poly2mqtt=loud"),
            ("poly2mqtt::rooms:debug", "is no level"),
            ("debug=", "is no level"),
            ("poly2mqtt=", "is no level"),
            ("debug;hyper=info", "is no level"),
            ("debug hyper=info", "is no level"),
            ("=info", "is no level"),
            (",", "is no level"),
            ("6", "\"6\" is no level"),
            ("[room]=debug", "\"[room]=debug\" is no level"),
            ("info,hyper[request]=debug", "is no level"),
        ] {
            let (_, wrong) = filter(Some(text), LevelFilter::INFO);
            let wrong = wrong.unwrap_or_default();
            assert!(wrong.contains(wanted), "{text}: {wrong}");
            assert!(wrong.contains("off, error, warn"), "{text}: {wrong}");
        }
        for right in ["debug", "warn,poly2mqtt::doors=trace", "hyper=off", "3"] {
            assert_eq!(filter(Some(right), LevelFilter::INFO).1, None, "{right}");
        }
        for (format, json) in [(None, false), (Some("text"), false), (Some("JSON"), true)] {
            assert_eq!(is_json(format), (json, None), "{format:?}");
        }
        for format in ["xml", "jsonl", "true", "\"json\""] {
            let (json, wrong) = is_json(Some(format));
            assert!(!json && wrong.unwrap().contains("json or text"), "{format}");
        }
    }

    #[test]
    fn a_flood_writes_few_lines() {
        for json in [false, true] {
            let log = logged("info", json, |telemetry| {
                let network = |n: u8| Network::of([192, 0, 2, n % 7].into());
                for n in 0..=255 {
                    telemetry.flood(DoorKind::Tcp, FloodKind::GaveWay, network(n), "");
                }
                telemetry.log_floods();
                telemetry.log_floods();
                telemetry.log_floods();
            });
            let lines: Vec<_> = log.lines().collect();
            assert_eq!(lines.len(), 3, "{log}");
            assert!(lines[0].contains("192.0.2.0"), "{log}");
            assert!(
                lines[1].contains("255") && lines[1].contains("192.0.2.1 (37), "),
                "{log}"
            );
            assert!(
                lines[2].contains("not in the last minute any more"),
                "{log}"
            );
        }
    }
}
