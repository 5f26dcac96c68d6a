//! Which lines the log has.
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
        telemetry.broker_connected(true);
    });
    let page = include_str!("../../../docs/first-room.md");
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
