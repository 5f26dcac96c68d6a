//! The log: which lines are written to standard error, and in which form.

mod format;

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::telemetry::SPAN_TARGET;

/// Starts the log. `level` is the gateway's own if the environment says nothing else.
///
/// `POLY2MQTT_LOG` is a filter such as `debug` or `poly2mqtt::doors::mqtt=debug`; with
/// `POLY2MQTT_LOG_FORMAT=json` every line is JSON.
pub fn start(level: &str) {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(
            std::env::var("POLY2MQTT_LOG").ok().as_deref(),
            level,
        ))
        // A line that cannot be written, to a full disk for example, is lost. Reporting that to
        // standard error would panic.
        .log_internal_errors(false)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    if std::env::var("POLY2MQTT_LOG_FORMAT").is_ok_and(|format| format == "json") {
        // The list of spans holds the current one, so that is not written again.
        builder.json().with_current_span(false).init();
    } else {
        builder.fmt_fields(format::EscapedFields::default()).init();
    }
}

/// The filter: what the environment says, or warnings and the gateway's own lines of `level`. The broker's
/// library warns of every client that breaks the protocol, so only its errors are shown. The
/// spans that name room and broker are always part of it; they write no lines themselves.
fn filter(environment: Option<&str>, level: &str) -> EnvFilter {
    let with_spans = |filter: &str| format!("{filter},{SPAN_TARGET}=info");
    environment
        .and_then(|filter| EnvFilter::try_new(with_spans(filter)).ok())
        .unwrap_or_else(|| {
            EnvFilter::new(with_spans(&format!("warn,mqtt5=error,poly2mqtt={level}")))
        })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use poly2mqtt_test_support::log::Log;

    use super::*;
    use crate::command::{DoorKind, ErrorCode, Failure, Reply};
    use crate::net::Network;
    use crate::telemetry::{FloodKind, Telemetry, broker_span, room_span};

    /// The log of `events`, in text or as JSON, with this filter.
    fn logged(environment: &str, json: bool, events: impl FnOnce(&Arc<Telemetry>)) -> String {
        let log = Log::default();
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter(Some(environment), "info"))
            .with_ansi(false)
            .with_writer(log.clone());
        let telemetry = Arc::<Telemetry>::default();
        let events = || events(&telemetry);
        if json {
            let builder = builder.json().with_current_span(false);
            tracing::subscriber::with_default(builder.finish(), events);
        } else {
            let builder = builder.fmt_fields(format::EscapedFields::default());
            tracing::subscriber::with_default(builder.finish(), events);
        }
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
    fn the_text_is_as_the_readme_shows_it() {
        let log = logged("info", false, |telemetry| {
            telemetry.room_online("boardroom");
            let _broker = broker_span("127.0.0.1:1883").entered();
            telemetry.broker_connected();
        });
        let readme = include_str!("../../README.md");
        assert_eq!(log.lines().count(), 2, "{log}");
        for line in log.lines() {
            let (_time, rest) = line.split_once(' ').unwrap();
            assert!(readme.contains(rest), "{rest}");
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
