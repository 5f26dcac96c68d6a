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

/// The filter: what the environment says, or warnings and the gateway's own lines of `level`. The libraries
/// of the broker and of TLS warn of every client that breaks the protocol, so only their errors are shown. The
/// spans that name room and broker are always part of it; they write no lines themselves.
fn filter(environment: Option<&str>, level: &str) -> EnvFilter {
    let with_spans = |filter: &str| format!("{filter},{SPAN_TARGET}=info");
    environment
        .and_then(|filter| EnvFilter::try_new(with_spans(filter)).ok())
        .unwrap_or_else(|| {
            EnvFilter::new(with_spans(&format!(
                "warn,mqtt5=error,rustls=error,poly2mqtt={level}"
            )))
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
    fn failed_commands_are_logged_in_full_until_they_are_a_flood() {
        for json in [false, true] {
            let log = logged("info", json, |telemetry| {
                (0..1000).for_each(|_| fail(telemetry, ErrorCode::Forbidden));
                fail(telemetry, ErrorCode::Offline);
                telemetry.log_floods();
                fail(telemetry, ErrorCode::Forbidden);
                telemetry.log_floods();
                telemetry.log_floods();
            });
            let lines: Vec<_> = log.lines().collect();
            assert_eq!(lines.len(), 14, "{log}");
            assert!(lines.iter().all(|line| line.contains("boardroom")), "{log}");
            let in_full = |line: &&&str| line.contains("audio/mute") && line.contains("reason");
            assert_eq!(lines[..11].iter().filter(in_full).count(), 11, "{log}");
            assert!(lines[11].contains("again in the last minute"), "{log}");
            for text in ["990", "1000", "mqtt", "forbidden", "audio/mute (990)"] {
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
                telemetry.broker_refused_message(&"t".repeat(60_000), &"quota");
                telemetry.broker_refused_subscription("the commands", &"no");
                telemetry.message_not_sent(&"too large");
                telemetry.state_too_large("room/1/calendar");
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
        assert_eq!(lines("count=990 total=1000"), 5);
        assert_eq!(log.lines().count(), 601 + 11 + 5 * 11);
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
            let log = Log::default();
            let subscriber = tracing_subscriber::fmt()
                .with_env_filter(filter(environment, "info"))
                .with_writer(log.clone());
            tracing::subscriber::with_default(subscriber.finish(), || {
                tracing::warn!(target: "rustls::check", "received another message");
                tracing::warn!(target: "mqtt5::broker", "a client failed");
            });
            log.text().lines().count()
        };
        assert_eq!(lines(None), 0);
        assert_eq!(lines(Some("warn")), 2);
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
