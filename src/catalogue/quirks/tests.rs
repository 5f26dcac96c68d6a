//! Every quirk of the list is handled: what a device sends comes out as it should.

use std::borrow::Cow;
use std::path::Path;

use poly2mqtt_simulator::{Options, SimulatedDevice};
use serde_json::{Value, json};

use super::*;
use crate::catalogue::{
    Call, CallPhase, Context, Params, Request, RequestBody, TimeLimit, connections, operations,
    read_body,
};
use crate::command::{ErrorCode, Failure};
use crate::config::Certificate;
use crate::device::{Device, LoginReply, ProblemCode};
use crate::rooms::testing::{ModeLock, device_settings};

const CONTEXT: Context = Context {
    now: 0,
    preset_offset: None,
    preset_names: None,
    started: None,
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
    let (_, value) = state.values(&answer, &CONTEXT).remove(0);
    value.map(Cow::into_owned)
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

/// What a device receives for a read in a session that it has forgotten, and the statuses of its
/// answers.
async fn read_in_a_stale_session() -> Vec<String> {
    let simulated = SimulatedDevice::start(Options::default()).await.unwrap();
    let certificate = Certificate::parse(&simulated.fingerprint()).unwrap();
    let device = Device::new(device_settings(&simulated.url(), certificate)).unwrap();
    device.log_in().await.unwrap();
    simulated.expire_sessions();
    simulated.clear_journal();
    let operation = operations().find(|it| it.path == "/rest/audio").unwrap();
    let request = Request::read(operation, &Params::new(), &[]).unwrap();
    let sent = device.send(&request, 1 << 20, device.deadline(TimeLimit::Ordinary));
    assert_eq!(sent.await.unwrap().status, 200);
    let entries = simulated.take_journal().into_iter();
    entries
        .map(|entry| format!("{} {} {}", entry.method, entry.path, entry.status))
        .collect()
}

/// Each spelling of a command: its target and its body.
fn spellings(topic: &str, payload: &'static str) -> Vec<String> {
    let payload = bytes::Bytes::from(payload);
    let call = Call::parse(topic, &payload, &mut None).unwrap();
    let call = call.planned(&CONTEXT, &Value::Null).unwrap().remove(0);
    let requests = call
        .spellings()
        .map(|variant| call.request_spelled(variant, 0).unwrap());
    requests
        .map(|request| format!("{} {:?}", request.target(), request.body))
        .collect()
}

fn json_sent(path: &str, body: Value) -> String {
    format!("{path} {:?}", RequestBody::Json(body))
}

/// Shows that a quirk is handled: what the device sends comes out as it should.
async fn check(name: &str) {
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
        "flag as a number" => {
            for body in ["1", r#"{"result":1}"#] {
                assert_eq!(state("video/muted", body), Some(json!(true)));
            }
            for (sent, muted) in [
                ("1", true),
                ("0", false),
                ("\"on\"", true),
                ("\"false\"", false),
            ] {
                let audio = format!(r#"{{"volume":5,"muted":{sent},"muteLocked":{sent}}}"#);
                for topic in ["audio/muted", "audio/mute_locked"] {
                    assert_eq!(state(topic, &audio), Some(json!(muted)), "{topic} {sent}");
                }
                let presets = format!(r#"[{{"index":1,"stored":{sent}}}]"#);
                let wanted = json!([{"index": 1, "stored": muted}]);
                assert_eq!(state("camera/presets", &presets), Some(wanted), "{sent}");
                let grants = |success| {
                    log_in(
                        200,
                        &["session_id=a"],
                        &format!(r#"{{"success":{success}}}"#),
                    )
                };
                assert_eq!(grants(sent).is_ok(), muted, "{sent}");
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
            assert_eq!(connections(&ringing)[0].phase, CallPhase::Ringing);
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
        "whole number with a fraction" => {
            for spelled in ["62", "62.0", "6.2e1", "\"62\""] {
                let audio = format!("{{\"volume\":{spelled},\"muted\":false}}");
                let volume = state("audio/volume", &audio);
                assert_eq!(volume, Some(json!(62)), "{spelled}");
            }
            for spelled in ["1800", "1800.0", "1800.5", "\"1800\""] {
                assert_eq!(seconds(&serde_json::from_str(spelled).unwrap()), Some(1800));
            }
            let presets = serde_json::from_str("[{\"index\":0.0},{\"index\":1e0}]").unwrap();
            assert_eq!(learned_preset_offset(&presets), Some(-1));
        }
        "id or address as a number" => {
            let digits = "12345678901234567890123";
            let list = format!(
                "[{{\"id\":{digits},\"connections\":[{{\"id\":7,\"address\":{digits}}}]}}]"
            );
            let list = serde_json::from_str(&list).unwrap();
            let found = connections(&list);
            assert_eq!(found[0].conference, digits);
            assert_eq!(found[0].id, "7");
            assert_eq!(found[0].address.as_deref(), Some(digits));
        }
        "success false with 200" => {
            for success in ["false", "0", "\"false\""] {
                let refused = log_in(200, &[], &format!(r#"{{"success":{success}}}"#));
                assert_eq!(refused, Err(ProblemCode::Unauthorized), "{success}");
            }
        }
        "missing endpoint" => {
            let read = |status| {
                let answer = crate::device::DeviceResponse {
                    status,
                    content_type: None,
                    retry_after: None,
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
        "providers" => {
            assert!(is_there("GET", "/rest/system/apps"));
            assert!(is_there("POST", "/rest/current/system/mode"));
            let refused = crate::catalogue::switch_accepted(&json!({"error": "INVALIDAPP"}));
            assert!(refused.is_err());
        }
        "no Poly provider" => {
            let call = Call::parse("call/dial", &"a@example.com".into(), &mut None).unwrap();
            let dial = call.request(0).unwrap();
            let stays_refused = |apps| {
                let mut lock = ModeLock::default();
                lock.learn(crate::catalogue::PROVIDERS, Some(&apps));
                lock.note(&dial, &Failure::new(ErrorCode::ModeLocked, ""));
                lock.refusal_of(&dial).is_some()
            };
            let [teams, poly] = ["Teams", "Poly"].map(|name| json!({"appName": name}));
            assert!(stays_refused(json!([teams])));
            assert!(!stays_refused(json!([teams, poly])));
        }
        "device configuration" => {
            assert!(is_there("POST", "/rest/config"));
            let set = "config/set";
            let payload = r#"{"name":"a.b","value":1}"#.into();
            let call = Call::parse(set, &payload, &mut None).unwrap();
            let map_answer = call.route.command().map_answer.unwrap();
            let answer = json!({"vars": [{"name": "a.b", "result": "INVALIDNAME"}]});
            assert!(map_answer(&call, &answer).is_err());
        }
        "setting that does not say that it is secret" => {
            let operation = operations().find(|it| it.path == "/rest/config").unwrap();
            let secret = json!({"name": "a.b.sippassword", "value": "x", "isSecure": false});
            let answer = json!({"vars": [secret]});
            let values = operation.states[0].values(&answer, &CONTEXT);
            assert!(values.is_empty());
        }
        "403 for a stale session" => {
            let journal = read_in_a_stale_session().await;
            let journal: Vec<_> = journal.iter().map(String::as_str).collect();
            let [first, .., login, released, last] = journal.as_slice() else {
                panic!("{journal:?}");
            };
            assert_eq!(*first, "GET /rest/audio 403");
            assert_eq!(*login, "POST /rest/session 200");
            assert_eq!(*released, "DELETE /rest/session 400");
            assert_eq!(*last, "GET /rest/audio 200");
        }
        "XSRF token" => {
            let cookies = ["session_id=s", "XSRF-TOKEN=t; Path=/"];
            let (_, token) = log_in(200, &cookies, r#"{"success":true}"#).unwrap();
            assert_eq!(token, "t");
        }
        "paths with current" => {
            for path in crate::catalogue::SYSTEM_MODES {
                assert!(is_there("GET", path) && is_there("POST", path));
            }
            assert!(is_there("GET", "/rest/current/system/apps/state"));
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
        "content saving" => {
            let sent = spellings("collaboration/content/saving/set", "on");
            let path = "/rest/collaboration/";
            let [guide, other] = [
                "contentssavestatus?status=true",
                "contentsavestatus?status=True",
            ];
            assert_eq!(
                sent,
                [format!("{path}{guide} None"), format!("{path}{other} None")]
            );
        }
        "DTMF" => {
            let sent = spellings("audio/dtmf/play", "#");
            let guide = json!({"action": "playDTMF", "dtmfChar": "#"});
            let other = json!({"dtmfChar": "#"});
            let paths = ["/rest/audio", "/rest/audio/playdtmf"];
            let wanted = paths.into_iter().zip([guide, other]);
            let wanted: Vec<_> = wanted.map(|(path, body)| json_sent(path, body)).collect();
            assert_eq!(sent, wanted);
        }
        "reboot" => {
            let bodies = [json!({"action": "reboot"}), json!({"restartAll": true})];
            let wanted = bodies.map(|body| json_sent("/rest/system/reboot", body));
            assert_eq!(spellings("system/reboot", ""), wanted);
        }
        "paired devices" => {
            let first = operations().find(|it| it.path == "/rest/devicemanagement/devices");
            let other = crate::catalogue::CATALOGUE
                .fallback_of(first.unwrap())
                .unwrap();
            assert_eq!(other.path, "/rest/current/devicemanagement/devices");
            let request = Request::read(other, &Params::new(), &[]).unwrap();
            assert_eq!(request.body, RequestBody::Json(Value::Null));
        }
        "remote controls with one id" => {
            let remote = json!({"deviceType": "UNKNOWN", "deviceState": "PAIRED", "uid": "r"});
            let list = json!([remote, remote]);
            assert_eq!(crate::catalogue::paired_devices(&list).len(), 1);
        }
        "call log" => {
            let entry =
                |name: &str, ended: i64| json!({"type": "PLACED", "name": name, "endTime": ended});
            let log = json!([entry("a", 0), entry("b", 200_000_000_000)]);
            let last = state("call/last", &log.to_string()).unwrap();
            assert_eq!(last["ended"], "1976-05-03T19:33:20Z");
            assert_eq!(last["name"], "b");
        }
        "who holds sessions" => {
            let sent = spellings("session/list/get", "");
            let paths = crate::catalogue::SESSION_LISTS;
            assert_eq!(sent, paths.map(|path| format!("{path} None")));
            let route = crate::catalogue::CATALOGUE
                .pattern("session/list/get")
                .unwrap();
            let call = Call::of(route, Params::new());
            let map_answer = route.command().map_answer.unwrap();
            let shown = map_answer(&call, &json!([{"sessionId": "secret"}])).unwrap();
            assert!(!shown.to_string().contains("secret"));
        }
        "another status for a refused log-in" => {
            let body = r#"{"success":false,"reason":"SessionAlreadyActive"}"#;
            for status in [400, 403, 412] {
                let refused = log_in(status, &[], body);
                assert_eq!(refused, Err(ProblemCode::NotUnderstood), "{status}");
            }
        }
        "cameras that are not there" => {
            let list = r#"[
                {"cameraIndex": 3, "name": "", "sourceType": "SRC_PEOPLE", "connected": true},
                {"cameraIndex": 9, "name": "rdpLP", "sourceType": "SRC_PEOPLE", "connected": false}
            ]"#;
            let people = json!([{"index": 3, "name": "Camera 3"}]);
            let wanted = json!({"people": people, "content": []});
            assert_eq!(state("camera/near/connected", list), Some(wanted));
        }
        "no collaboration" => {
            let wanted = json!({"sessionId": "Local Session", "sessionState": "INACTIVE"});
            let body = r#"{"id":"Local Session","state":"INACTIVE"}"#;
            assert_eq!(state("collaboration", body), Some(wanted));
        }
        // Home Assistant reads the templates; the words are in `tests/it/home_assistant`.
        "words of servers and functions" => {
            let operation = operations().find(|it| it.path == "/rest/system/sipservers");
            assert!(operation.is_some_and(|it| it.states.iter().any(|state| {
                let value = json!([{"state": "UP"}]);
                state
                    .values(&value, &CONTEXT)
                    .iter()
                    .any(|(_, kept)| kept.is_some())
            })));
        }
        other => panic!("{other}: say here how it is handled"),
    }
}

#[tokio::test]
async fn every_quirk_is_handled_where_the_list_says() {
    for quirk in QUIRKS {
        check(quirk.name).await;
        let (file, place) = quirk.handled;
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(place), "{}: {place} in {file}", quirk.name);
    }
}

#[test]
fn every_source_can_be_looked_up() {
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded");
    for quirk in QUIRKS {
        let (named, are_files) = match quirk.source {
            QuirkSource::Recordings(files) => (files, true),
            QuirkSource::Drivers(drivers) => (drivers, false),
            QuirkSource::GuideSamples | QuirkSource::Reported | QuirkSource::Precaution => continue,
        };
        assert!(!named.is_empty(), "{}", quirk.name);
        let is_there = |file: &&str| !are_files || recorded.join(file).is_file();
        assert!(named.iter().all(is_there), "{}: {named:?}", quirk.name);
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
    let zero = json!([{"index": 0}, {"index": 1}]);
    let one = json!([{"index": 1}, {"index": 2}]);
    assert_eq!(preset_numbers(&zero, None), Some(one.clone()));
    assert_eq!(preset_numbers(&one, None), Some(one.clone()));
    let shifted = preset_numbers(&one, Some(-1)).unwrap();
    assert_eq!(shifted[0]["index"], 2);
    let last = json!([{"index": i64::MAX}]);
    assert_eq!(preset_numbers(&last, Some(-1)), Some(last.clone()));
}

#[test]
fn values_of_other_shapes_stay() {
    assert_eq!(as_list(json!([1])), json!([1]));
    assert_eq!(unwrap_result(json!(false)), json!(false));
    assert_eq!(unwrap_result(json!({})), Value::Null);
}
