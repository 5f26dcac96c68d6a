//! The device's call log: which entry is the newest, and what `call/last` tells of it.
//!
//! Pure. Devices list the newest entry first, but the times decide. A member that is missing, null or of
//! another kind is null in the state; it never hides the entry.

use std::cmp::Reverse;

use serde_json::{Value, json};

use super::quirks::{epoch_seconds, seconds, text, truth, whole};
use crate::clock::rfc3339_of_unix;

/// The value of `call/last` while the log is empty.
const NONE: &str = "none";
/// How far a time may be ahead of the gateway's clock, in seconds. One further ahead was written while the
/// device's clock was wrong, and must not hide every later call. A day: the clocks may differ by a time zone.
const CLOCK_TOLERANCE: i64 = 86_400;
/// How much longer than the time between start and end a duration may be, in seconds, since all three are
/// rounded. One that is much longer is in milliseconds.
const ROUNDING: i64 = 2;
/// Names and addresses are cut after this many characters, which is what Home Assistant shows of a sensor.
const LONGEST_TEXT: usize = 255;

/// What `call/last` tells: the newest entry of the log, or `none`. `now`: seconds since 1970.
pub(super) fn last_call(log: &Value, now: i64) -> Value {
    let entries = log.as_array().into_iter().flatten().enumerate();
    let newest = entries.max_by_key(|(index, entry)| {
        let ended = time(entry, "endTime").or_else(|| time(entry, "startTime"));
        let plausible = ended.filter(|ended| *ended <= now.saturating_add(CLOCK_TOLERANCE));
        (
            plausible,
            ended,
            member(entry, "rowId", whole),
            Reverse(*index),
        )
    });
    newest.map_or_else(|| NONE.into(), |(_, entry)| describe(entry))
}

fn describe(entry: &Value) -> Value {
    let (started, ended) = (time(entry, "startTime"), time(entry, "endTime"));
    let kind = words(entry, "type").unwrap_or_default().to_uppercase();
    let direction = direction(entry, &kind);
    let duration = duration(entry, started, ended);
    let outcome = outcome(entry, &kind, direction);
    json!({
        "address": words(entry, "address"),
        "name": words(entry, "name").or_else(|| words(entry, "callerId")),
        "direction": direction,
        "outcome": outcome,
        "missed": outcome == Some("missed"),
        "duration": duration,
        "started": started.and_then(rfc3339_of_unix),
        "ended": ended.and_then(rfc3339_of_unix),
        "cause_code": member(entry, "causeCode", whole),
    })
}

fn member<T>(entry: &Value, name: &str, read: impl Fn(&Value) -> Option<T>) -> Option<T> {
    entry.get(name).and_then(read)
}

/// A text that is not empty.
fn words(entry: &Value, name: &str) -> Option<String> {
    let words = entry.get(name).and_then(text)?.trim();
    (!words.is_empty()).then(|| words.chars().take(LONGEST_TEXT).collect())
}

/// A time in seconds since 1970. A call that has not been connected may have 0 or -1 there.
fn time(entry: &Value, name: &str) -> Option<i64> {
    member(entry, name, epoch_seconds).filter(|time| *time > 0)
}

/// Which way the call went.
fn direction(entry: &Value, kind: &str) -> Option<&'static str> {
    let is_one_of = |words: &[&str]| words.iter().any(|word| kind.contains(word));
    let outgoing = member(entry, "outgoingCall", truth).or_else(|| {
        if is_one_of(&["PLACED", "OUTGOING", "DIALED"]) {
            Some(true)
        } else {
            is_one_of(&["RECEIVED", "MISSED", "INCOMING", "REJECTED"]).then_some(false)
        }
    });
    outgoing.map(|outgoing| if outgoing { "outgoing" } else { "incoming" })
}

/// How long it took, in seconds.
fn duration(entry: &Value, started: Option<i64>, ended: Option<i64>) -> Option<i64> {
    let span = ended
        .zip(started)
        .map(|(ended, started)| ended.saturating_sub(started))
        .filter(|span| *span >= 0);
    let told = member(entry, "duration", seconds).filter(|told| *told >= 0);
    match (told, span) {
        (Some(told), Some(span))
            if told > span.saturating_add(ROUNDING)
                && told / 1000 <= span.saturating_add(ROUNDING) =>
        {
            Some(told / 1000)
        }
        (told, span) => told.or(span),
    }
}

/// How the call ended, as far as people care.
fn outcome(entry: &Value, kind: &str, direction: Option<&str>) -> Option<&'static str> {
    if kind.contains("MISSED") {
        return Some("missed");
    }
    if kind.contains("REJECTED") {
        return Some("rejected");
    }
    let is_known = kind.contains("RECEIVED") || member(entry, "duration", seconds) > Some(0);
    let connected = member(entry, "connected", truth).or(is_known.then_some(true));
    match (connected?, direction) {
        (true, _) => Some("answered"),
        (false, Some("incoming")) => Some("missed"),
        (false, _) => Some("not_answered"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000;

    fn last(log: &str) -> Value {
        last_call(&serde_json::from_str(log).unwrap(), NOW)
    }

    #[test]
    fn an_entry_as_recorded() {
        let log = json!([{
            "address": "testcall@example.com", "callType": "UNKNOWN", "callerId": "testcall",
            "causeCode": 0, "connected": true, "duration": 7, "endTime": 1_664_470_157_000_i64,
            "name": "testcall", "precedenceLevel": "none", "rate": 64, "rowId": 100,
            "startTime": 1_664_470_150_000_i64, "transportType": "voice_sip", "type": "PLACED",
            "outgoingCall": true,
        }]);
        let wanted = json!({
            "address": "testcall@example.com", "name": "testcall", "direction": "outgoing",
            "outcome": "answered", "missed": false, "duration": 7,
            "started": "2022-09-29T16:49:10Z", "ended": "2022-09-29T16:49:17Z", "cause_code": 0,
        });
        assert_eq!(last_call(&log, NOW), wanted);
        // The gateway's own clock may be wrong.
        assert_eq!(last_call(&log, 0), wanted);
    }

    #[test]
    fn the_newest_entry_is_found_in_any_order() {
        for (log, newest) in [
            ("[]", Value::Null),
            // By the end; in seconds, milliseconds and texts.
            (
                r#"[{"name":"a","endTime":1600000000},{"name":"b","endTime":1600000100000},
                    {"name":"c","endTime":"1600000050"}]"#,
                json!("b"),
            ),
            // Without an end by the start.
            (
                r#"[{"name":"a","startTime":1600000000,"endTime":1600000010},
                    {"name":"b","startTime":1600000020,"endTime":0}]"#,
                json!("b"),
            ),
            // A time that has not come yet is a clock that was wrong.
            (
                r#"[{"name":"a","endTime":1600000000},{"name":"b","endTime":1900000000}]"#,
                json!("a"),
            ),
            // At the same second by the row, or else by the device's order.
            (
                r#"[{"name":"a","endTime":1,"rowId":9},{"name":"b","endTime":1,"rowId":"10"}]"#,
                json!("b"),
            ),
            (r#"[{"name":"a"},{"name":"b"}]"#, json!("a")),
            (
                r#"[{"name":"a","endTime":null},{"name":"b","endTime":"soon"},
                    {"name":"c","endTime":5}]"#,
                json!("c"),
            ),
        ] {
            assert_eq!(last(log)["name"], newest, "{log}");
        }
        assert_eq!(last("[]"), "none");
    }

    #[test]
    fn a_duration_is_in_seconds_whatever_the_device_counts_in() {
        for (members, duration) in [
            (r#""duration":7"#, json!(7)),
            (r#""duration":"7""#, json!(7)),
            (r#""duration":7.9"#, json!(7)),
            (r#""duration":null"#, Value::Null),
            (r#""duration":-1"#, Value::Null),
            (
                r#""duration":7,"startTime":1600000000,"endTime":1600000007"#,
                json!(7),
            ),
            (
                r#""duration":7000,"startTime":1600000000,"endTime":1600000037"#,
                json!(7),
            ),
            (
                r#""duration":7000,"startTime":1600000000000,"endTime":1600000007000"#,
                json!(7),
            ),
            (
                r#""duration":400,"startTime":1600000000,"endTime":1600000001"#,
                json!(0),
            ),
            (
                r#""startTime":1600000000000,"endTime":1600000007000"#,
                json!(7),
            ),
            (
                r#""startTime":1600000007,"endTime":1600000000"#,
                Value::Null,
            ),
            (
                r#""duration":7200,"startTime":1600000000,"endTime":1600007200"#,
                json!(7200),
            ),
        ] {
            assert_eq!(
                last(&format!("[{{{members}}}]"))["duration"],
                duration,
                "{members}"
            );
        }
    }

    #[test]
    fn which_way_a_call_went_and_how_it_ended() {
        for (members, direction, outcome) in [
            (
                r#""type":"PLACED","outgoingCall":true,"connected":true"#,
                json!("outgoing"),
                json!("answered"),
            ),
            (
                r#""type":"PLACED","outgoingCall":1,"connected":0"#,
                json!("outgoing"),
                json!("not_answered"),
            ),
            (
                r#""type":"RECEIVED","connected":"true""#,
                json!("incoming"),
                json!("answered"),
            ),
            (
                r#""type":"MISSED","outgoingCall":false,"connected":false"#,
                json!("incoming"),
                json!("missed"),
            ),
            (r#""type":"missed""#, json!("incoming"), json!("missed")),
            (
                r#""outgoingCall":false,"connected":false"#,
                json!("incoming"),
                json!("missed"),
            ),
            (
                r#""type":"REJECTED","outgoingCall":false,"connected":false"#,
                json!("incoming"),
                json!("rejected"),
            ),
            (
                r#""type":null,"duration":5"#,
                Value::Null,
                json!("answered"),
            ),
            (
                r#""type":7,"outgoingCall":null,"connected":null"#,
                Value::Null,
                Value::Null,
            ),
            ("", Value::Null, Value::Null),
        ] {
            let last = last(&format!("[{{{members}}}]"));
            assert_eq!(
                (&last["direction"], &last["outcome"]),
                (&direction, &outcome),
                "{members}"
            );
            assert_eq!(last["missed"], outcome == json!("missed"), "{members}");
        }
    }

    #[test]
    fn who_it_was_with() {
        for (members, address, name) in [
            (
                r#""address":"a@b","name":"","callerId":"Ann""#,
                json!("a@b"),
                json!("Ann"),
            ),
            (
                r#""address":12345678901234567890123,"name":" ""#,
                json!("12345678901234567890123"),
                Value::Null,
            ),
            (r#""address":null,"name":["x"]"#, Value::Null, Value::Null),
        ] {
            let last = last(&format!("[{{{members}}}]"));
            assert_eq!(
                (&last["address"], &last["name"]),
                (&address, &name),
                "{members}"
            );
        }
        let long = format!(r#"[{{"name":"{}"}}]"#, "x".repeat(1000));
        assert_eq!(last(&long)["name"].as_str().unwrap().len(), LONGEST_TEXT);
    }
}
