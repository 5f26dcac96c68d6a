//! What real devices do other than the REST API Reference Guide 4.0.0 says.
//!
//! [`QUIRKS`] is the one list of every known deviation, each with its source and the place that
//! handles it. The functions that forgive a body live here; what concerns sessions lives in
//! `device`. A deviation that is found is added to the list first.

use serde_json::{Value, json};

use super::state::{Context, member};

/// One deviation of firmware from the guide.
#[derive(Debug, Clone, Copy)]
pub struct Quirk {
    /// A short name, unique in the list.
    pub name: &'static str,
    /// What the guide says.
    pub guide: &'static str,
    /// What devices do.
    pub device: &'static str,
    /// The firmware that is known to do it.
    pub firmware: &'static str,
    /// Where that is known from.
    pub source: Source,
    /// The file and function that handles it.
    pub handled: (&'static str, &'static str),
}

/// How well a deviation is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Several public drivers that were tested on hardware agree.
    Drivers,
    /// One public driver that was tested on hardware.
    Driver,
    /// Answers recorded from a Studio X30.
    Recording,
    /// The guide's own samples contradict its text.
    GuideSamples,
    /// Not seen; handled because it costs nothing.
    Precaution,
}

/// Every known deviation.
pub const QUIRKS: &[Quirk] = &[
    // Bodies.
    Quirk {
        name: "word without quotes",
        guide: "answers are JSON",
        device: "a word such as CONTENT_IDLE comes without quotes, as application/json",
        firmware: "3.10 and later; seen at cameras/contentstatus",
        source: Source::Driver,
        handled: ("src/catalogue/quirks.rs", "bare_word"),
    },
    Quirk {
        name: "one object for a list",
        guide: "several samples show one object, or objects without brackets",
        device: "an array; one object and null are taken too",
        firmware: "all",
        source: Source::GuideSamples,
        handled: ("src/catalogue/quirks.rs", "as_list"),
    },
    Quirk {
        name: "value with or without result",
        guide: "a value stands in {\"result\": …} in some answers",
        device: "the value itself, for instance audio/muted and audio/volume",
        firmware: "all",
        source: Source::Drivers,
        handled: ("src/catalogue/quirks.rs", "unwrap_result"),
    },
    Quirk {
        name: "microphone mute as a number",
        guide: "a microphone's mute is a boolean",
        device: "0 or 1",
        firmware: "3.10 and later",
        source: Source::Recording,
        handled: ("src/catalogue/quirks.rs", "numeric_mute"),
    },
    Quirk {
        name: "presets from zero",
        guide: "the sample numbers presets from 1",
        device: "the presets that people call 1 to 10 are 0 to 9 in paths and in presets/all",
        firmware: "unknown; told from the list",
        source: Source::Driver,
        handled: ("src/catalogue/quirks.rs", "learned_preset_offset"),
    },
    Quirk {
        name: "ringing call as PENDING",
        guide: "a conference has an id and connections",
        device: "an unanswered incoming call is listed under the id PENDING; the entry may stand \
                 beside a live call, and without connections",
        firmware: "3.10 and later",
        source: Source::Recording,
        handled: ("src/catalogue/quirks.rs", "is_pending"),
    },
    Quirk {
        name: "collaboration id and state",
        guide: "sessionId and sessionState",
        device: "id and state",
        firmware: "3.12 and later",
        source: Source::Recording,
        handled: ("src/catalogue/quirks.rs", "collaboration_session"),
    },
    Quirk {
        name: "calendar Status",
        guide: "status in the text, Status in a sample",
        device: "either",
        firmware: "all",
        source: Source::Recording,
        handled: ("src/catalogue/areas/calendar.rs", "CALENDAR_STATUS"),
    },
    Quirk {
        name: "times in milliseconds",
        guide: "a meeting's startTime is seconds since 1970",
        device: "milliseconds, as the call log has them",
        firmware: "none known",
        source: Source::Precaution,
        handled: ("src/catalogue/quirks.rs", "epoch_seconds"),
    },
    Quirk {
        name: "success false with 200",
        guide: "an error has a status of its own",
        device: "200 with {\"success\": false, \"reason\": …}",
        firmware: "all; at the log-in and after commands",
        source: Source::Drivers,
        handled: ("src/rooms/executor.rs", "body[\"success\"] == false"),
    },
    // What is there and what is not.
    Quirk {
        name: "missing endpoint",
        guide: "every operation is there",
        device: "404, 405 or 501 to some, depending on model, mode and firmware",
        firmware: "all",
        source: Source::Drivers,
        handled: ("src/rooms/reading.rs", "Unsupported"),
    },
    Quirk {
        name: "ended conference",
        guide: "a conference is read by its id",
        device: "404 for one that has just ended, which is no error",
        firmware: "all",
        source: Source::Driver,
        handled: ("src/catalogue/operation.rs", "or_none"),
    },
    Quirk {
        name: "callaction",
        guide: "has no way to answer, reject or hang up one connection",
        device: "POST /rest/conferences/callaction with ANSWER, IGNORE or HANGUP",
        firmware: "all",
        source: Source::Drivers,
        handled: (
            "src/catalogue/areas/conferences.rs",
            "/rest/conferences/callaction",
        ),
    },
    Quirk {
        name: "camera tracking",
        guide: "has no operation for it",
        device: "POST and DELETE /rest/cameras/near/<index>/control/tracking",
        firmware: "unknown",
        source: Source::Driver,
        handled: ("src/catalogue/areas/cameras.rs", "control/tracking"),
    },
    Quirk {
        name: "system, mode and apps",
        guide: "has none of /rest/system, /rest/system/mode and /rest/system/apps/state",
        device: "model and firmware, the active provider, and whether an app is in a meeting",
        firmware: "4.6.2; older firmware may lack them",
        source: Source::Drivers,
        handled: ("src/catalogue/areas/system.rs", "/rest/system/apps/state"),
    },
    // Sessions.
    Quirk {
        name: "403 for a stale session",
        guide: "401 for a request without a session",
        device: "403, and the body may be an HTML page; also for a missing XSRF token and for \
                 writes that Teams or Zoom mode refuses",
        firmware: "all",
        source: Source::Drivers,
        handled: ("src/device/probe.rs", "why_forbidden"),
    },
    Quirk {
        name: "XSRF token",
        guide: "knows of no token",
        device: "the log-in sets the cookie XSRF-TOKEN, whose value must come back as the header \
                 X-XSRF-Token of POST, PUT and DELETE",
        firmware: "4.6.2 and later; an administrator can switch it off from 4.7.0 on",
        source: Source::Drivers,
        handled: ("src/device/session.rs", "XSRF-TOKEN"),
    },
    Quirk {
        name: "session cookie byte for byte",
        guide: "says nothing of it",
        device: "the id contains + and /, and is not known when it comes back percent-encoded",
        firmware: "all",
        source: Source::Drivers,
        handled: ("src/device/session.rs", "ID_COOKIE"),
    },
    Quirk {
        name: "log-ins locked out",
        guide: "says nothing of it",
        device: "400 with SessionPortLockout after too many failed log-ins",
        firmware: "all",
        source: Source::Driver,
        handled: ("src/device/login_reply.rs", "SessionPortLockout"),
    },
    Quirk {
        name: "too many sessions",
        guide: "says nothing of it",
        device: "403 with SessionMaxActiveSessionsReached: sessions that are never deleted live \
                 for days",
        firmware: "all",
        source: Source::Recording,
        handled: (
            "src/device/login_reply.rs",
            "SessionMaxActiveSessionsReached",
        ),
    },
    Quirk {
        name: "log-out",
        guide: "sessions are made with POST; of DELETE it says nothing",
        device: "DELETE /rest/session frees the session",
        firmware: "all",
        source: Source::Drivers,
        handled: (
            "src/catalogue/areas/session.rs",
            "delete(\"/rest/session\")",
        ),
    },
];

/// The longest word that is taken without quotes, in bytes. The guide's longest has 32.
const LONGEST_WORD: usize = 128;

/// A word that should have had quotes.
pub(super) fn bare_word(text: &str) -> Option<Value> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    (text.len() <= LONGEST_WORD && text.bytes().all(fits)).then(|| text.into())
}

/// A list: one object becomes a list of one, null an empty one.
pub(super) fn as_list(answer: Value) -> Value {
    match answer {
        Value::Null => Value::Array(Vec::new()),
        list @ Value::Array(_) => list,
        one => Value::Array(vec![one]),
    }
}

/// The value in `{"result": value}`, or the value itself.
pub(super) fn unwrap_result(answer: Value) -> Value {
    match answer {
        Value::Object(mut map) => map.remove("result").unwrap_or(Value::Null),
        value => value,
    }
}

/// A list of microphones with `mute` as a boolean.
pub(super) fn numeric_mute(list: &Value, _: &Context) -> Option<Value> {
    let mut list = list.clone();
    for microphone in list.as_array_mut()? {
        if let Some(mute) = microphone.get_mut("mute")
            && let Some(number) = mute.as_i64()
        {
            *mute = (number != 0).into();
        }
    }
    Some(list)
}

/// What has to be added to a preset's number for the device, as the list `presets/all` shows it:
/// a list with a preset 0 counts from zero. An empty list shows nothing.
pub fn learned_preset_offset(presets: &Value) -> Option<i8> {
    let presets = presets.as_array().filter(|presets| !presets.is_empty())?;
    let zero = |preset: &Value| preset.get("index").and_then(Value::as_i64) == Some(0);
    Some(-i8::from(presets.iter().any(zero)))
}

/// A list of presets with the numbers that people use.
pub(super) fn preset_numbers(list: &Value, context: &Context) -> Option<Value> {
    let offset = context
        .preset_offset
        .or_else(|| learned_preset_offset(list))
        .unwrap_or(0);
    let mut list = list.clone();
    for preset in list.as_array_mut()? {
        if let Some(index) = preset.get_mut("index")
            && let Some(number) = index.as_i64()
        {
            *index = number.saturating_sub(offset.into()).into();
        }
    }
    Some(list)
}

/// Whether a conference's id is the one that unanswered incoming calls are listed under.
pub(super) fn is_pending(conference: &str) -> bool {
    conference == "PENDING"
}

/// The collaboration's session by the guide's names.
pub(super) fn collaboration_session(answer: &Value, _: &Context) -> Option<Value> {
    if answer.is_string() {
        return Some(answer.clone());
    }
    let id = member(answer, &["sessionId", "id"]);
    let state = member(answer, &["sessionState", "state"]);
    state.map(|state| json!({"sessionId": id, "sessionState": state}))
}

/// The names of the calendar's status.
pub(super) const CALENDAR_STATUS: &[&str] = &["Status", "status"];

/// In seconds this is the year 5138, in milliseconds 1973: a larger time is milliseconds.
const LARGEST_SECONDS: i64 = 100_000_000_000;

/// A time as seconds since 1970.
pub(super) fn epoch_seconds(time: &Value) -> Option<i64> {
    let time = time
        .as_i64()
        .or_else(|| time.as_f64().map(|time| time as i64))?;
    Some(if time > LARGEST_SECONDS {
        time / 1000
    } else {
        time
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Call, Phase, connections, operations, read_body};
    use super::*;
    use crate::device::{LoginReply, ProblemCode};

    const CONTEXT: Context = Context {
        now: 0,
        preset_offset: None,
    };

    /// The value of a state, from the body as the device sends it.
    fn state(topic: &str, body: &str) -> Option<Value> {
        let mut operations = operations();
        let (operation, state) = operations
            .find_map(|operation| {
                let mut states = operation.states.iter();
                let state = states.find(|state| state.topic.as_str() == topic)?;
                Some((operation, state))
            })
            .unwrap();
        let answer = operation.shape.apply(read_body(body.as_bytes()).unwrap());
        state.values(&answer, &CONTEXT).remove(0).1
    }

    fn is_there(method: &str, path: &str) -> bool {
        operations().any(|it| it.method.as_str() == method && it.path == path)
    }

    fn log_in(status: u16, cookies: &[&str], body: &str) -> Result<(String, String), ProblemCode> {
        let cookies: Vec<_> = cookies.iter().map(|cookie| (*cookie).to_owned()).collect();
        let reply = LoginReply {
            status,
            cookies: &cookies,
            body: body.as_bytes(),
        };
        let session = reply.session(1).map_err(|problem| problem.code)?;
        let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
        let headers = session.headers();
        let token = headers.token.as_ref().map(text).unwrap_or_default();
        Ok((text(&headers.cookie), token))
    }

    /// Shows that a quirk is handled: the body as the device sends it comes out as it should.
    fn check(name: &str) {
        match name {
            "word without quotes" => {
                let status = state("camera/content_status", "CONTENT_IDLE\r\n");
                assert_eq!(status, Some(json!("CONTENT_IDLE")));
                assert!(read_body(b"<html>").is_err());
            }
            "one object for a list" => {
                let servers = |body| state("system/sip_servers", body);
                assert_eq!(servers(r#"{"state":"UP"}"#), Some(json!([{"state": "UP"}])));
                assert_eq!(servers("null"), Some(json!([])));
            }
            "value with or without result" => {
                for body in ["true", r#"{"result":true}"#] {
                    assert_eq!(state("video/muted", body), Some(json!(true)));
                }
            }
            "microphone mute as a number" => {
                let list = state("audio/microphones", r#"[{"mute":1},{"mute":false}]"#);
                assert_eq!(list, Some(json!([{"mute": true}, {"mute": false}])));
            }
            "presets from zero" => {
                let list = json!([{"index": 0}, {"index": 1}]);
                let people = Some(json!([{"index": 1}, {"index": 2}]));
                assert_eq!(state("camera/presets", &list.to_string()), people);
                let offset = learned_preset_offset(&list).unwrap();
                let topic = "camera/preset/1/activate";
                let call = Call::parse(topic, &bytes::Bytes::new(), &mut None).unwrap();
                let target = call.request(offset).unwrap().target();
                assert_eq!(target, "/rest/cameras/near/presets/0");
            }
            "ringing call as PENDING" => {
                let list = json!([
                    {"id": "0", "connections": [{"id": "1", "state": "CONNECTED"}]},
                    {"id": "PENDING"},
                ]);
                assert_eq!(connections(&list).len(), 1);
                let ringing = json!([{"id": "PENDING", "connections": [{"id": "3"}]}]);
                assert_eq!(connections(&ringing)[0].phase, Phase::Ringing);
            }
            "collaboration id and state" => {
                let session = state("collaboration", r#"{"id":"7","state":"ACTIVE"}"#);
                let guide = json!({"sessionId": "7", "sessionState": "ACTIVE"});
                assert_eq!(session, Some(guide));
            }
            "calendar Status" => {
                for body in [r#"{"Status":"ok"}"#, r#"{"status":"ok"}"#] {
                    assert_eq!(state("calendar/status", body), Some(json!("ok")));
                }
            }
            "times in milliseconds" => {
                for time in [json!(1_700_000_000), json!(1_700_000_000_000_i64)] {
                    assert_eq!(epoch_seconds(&time), Some(1_700_000_000));
                }
            }
            "success false with 200" => {
                let refused = log_in(200, &[], r#"{"success":false}"#);
                assert_eq!(refused, Err(ProblemCode::Unauthorized));
            }
            "missing endpoint" => {
                let read = |status| {
                    let answer = crate::device::DeviceResponse {
                        status,
                        content_type: None,
                        body: bytes::Bytes::new(),
                    };
                    let system = operations().find(|it| it.path == "/rest/system").unwrap();
                    crate::rooms::ReadOutcome::of(system, &answer)
                };
                for status in [404, 405, 501] {
                    assert_eq!(read(status), crate::rooms::ReadOutcome::Unsupported(status));
                }
            }
            "ended conference" => {
                let path = "/rest/conferences/{conf_id}/mediastats";
                assert!(operations().any(|it| it.path == path && it.absent));
            }
            "callaction" => assert!(is_there("POST", "/rest/conferences/callaction")),
            "camera tracking" => {
                let path = "/rest/cameras/near/{source_id}/control/tracking";
                assert!(is_there("POST", path) && is_there("DELETE", path));
            }
            "system, mode and apps" => {
                for path in [
                    "/rest/system",
                    "/rest/system/mode",
                    "/rest/system/apps/state",
                ] {
                    assert!(is_there("GET", path), "{path}");
                }
            }
            // The session tests of `tests/it/gateway` play these with a device.
            "403 for a stale session" => {}
            "XSRF token" => {
                let cookies = ["session_id=s", "XSRF-TOKEN=t; Path=/"];
                let (_, token) = log_in(200, &cookies, r#"{"success":true}"#).unwrap();
                assert_eq!(token, "t");
            }
            "session cookie byte for byte" => {
                let cookies = ["session_id=AB+/c==; Path=/; Secure; HttpOnly"];
                let (cookie, _) = log_in(200, &cookies, r#"{"success":true}"#).unwrap();
                assert_eq!(cookie, "session_id=AB+/c==");
            }
            "log-ins locked out" => {
                let refused = log_in(400, &[], r#"{"reason":"SessionPortLockout"}"#);
                assert_eq!(refused, Err(ProblemCode::LockedOut));
            }
            "too many sessions" => {
                let body = r#"{"reason":"SessionMaxActiveSessionsReached"}"#;
                assert_eq!(log_in(403, &[], body), Err(ProblemCode::TooManySessions));
            }
            "log-out" => assert!(is_there("DELETE", "/rest/session")),
            other => panic!("{other}: say here how it is handled"),
        }
    }

    #[test]
    fn every_quirk_is_handled_where_the_list_says() {
        for quirk in QUIRKS {
            check(quirk.name);
            let (file, place) = quirk.handled;
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.contains(place), "{}: {place} in {file}", quirk.name);
        }
    }

    #[test]
    fn every_quirk_has_a_name_of_its_own() {
        let mut names: Vec<_> = QUIRKS.iter().map(|quirk| quirk.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), QUIRKS.len());
    }

    #[test]
    fn presets_are_numbered_as_people_do() {
        let context = |preset_offset| Context {
            now: 0,
            preset_offset,
        };
        let zero = json!([{"index": 0}, {"index": 1}]);
        let one = json!([{"index": 1}, {"index": 2}]);
        assert_eq!(preset_numbers(&zero, &context(None)), Some(one.clone()));
        assert_eq!(preset_numbers(&one, &context(None)), Some(one.clone()));
        let shifted = preset_numbers(&one, &context(Some(-1))).unwrap();
        assert_eq!(shifted[0]["index"], 2);
        let last = json!([{"index": i64::MAX}]);
        assert_eq!(
            preset_numbers(&last, &context(Some(-1))),
            Some(last.clone())
        );
    }

    #[test]
    fn values_of_other_shapes_stay() {
        assert_eq!(as_list(json!([1])), json!([1]));
        assert_eq!(unwrap_result(json!(false)), json!(false));
        assert_eq!(unwrap_result(json!({})), Value::Null);
    }
}
