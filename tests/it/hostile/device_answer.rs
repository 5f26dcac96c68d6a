//! Answers of a device: any answer gives valid states, requests and messages.

use bytes::Bytes;
use poly2mqtt::catalogue::{
    CATALOGUE, Call, Context, Operation, Params, Plan, Search, connections, learned_preset_offset,
    operations, payload, session_holders, session_state,
};
use poly2mqtt::device::{DeviceResponse, LoginReply, Session};
use poly2mqtt::doors::clients::{json, plain};
use poly2mqtt::rooms::ReadOutcome;
use poly2mqtt::state::StateValue;
use serde_json::Value;

use super::url;

const CONTEXT: Context = Context {
    now: 1_700_000_000,
    preset_offset: None,
    preset_names: None,
    started: None,
};

/// More than this is no topic in MQTT.
const LONGEST_TOPIC: usize = 65_535;

/// The first byte says to which operation it is the answer, the second the status. Of a log-in,
/// what stands before an empty line is the cookies.
pub fn run(data: &[u8]) {
    let [which, status, body @ ..] = data else {
        return;
    };
    let status = match status {
        0..100 => 200,
        other => u16::from(*other) * 3,
    };
    match operations().nth(usize::from(*which)) {
        Some(operation) => answer(operation, status, body),
        None => log_in(status, body),
    }
}

fn answer(operation: &Operation, status: u16, body: &[u8]) {
    let answer = DeviceResponse {
        status,
        content_type: None,
        retry_after: None,
        body: Bytes::copy_from_slice(body),
    };
    let value = match ReadOutcome::of(operation, &answer) {
        ReadOutcome::Value(value) => value,
        ReadOutcome::Failed(failure) => {
            assert!(failure.message.len() < 1500);
            return;
        }
        ReadOutcome::Absent | ReadOutcome::Unsupported(_) => return,
    };
    for preset_offset in [None, Some(-1)] {
        let context = Context {
            preset_offset,
            ..CONTEXT
        };
        for state in operation.states {
            for (topic, value) in state.values(&value, &context) {
                check_topic(state.topic.as_str(), &topic);
                if let Some(value) = value {
                    check_state(&topic, &value);
                }
            }
        }
    }
    for command in operation.commands {
        if let Some(map_answer) = command.map_answer
            && let Some(route) = CATALOGUE.pattern(command.topic)
        {
            // A failure is an answer too.
            let _ = map_answer(&Call::of(route, Params::new()), &value);
        }
    }
    if let Some(holders) = session_holders(&value) {
        assert!(holders.len() < 3000, "{holders}");
    }
    session_state(&value);
    learned_preset_offset(&value);
    for connection in connections(&value) {
        connection.describe();
    }
    calls(&value);
    search(value);
}

fn check_topic(state: &str, topic: &str) {
    let whole = format!("room/1/{topic}");
    assert!(topic.starts_with(state), "{topic}");
    assert!(whole.len() <= LONGEST_TOPIC, "{}", whole.len());
    assert!(!whole.contains(['+', '#']) && !whole.contains(char::is_control));
    assert!(!whole.ends_with('/') && !whole.contains("//"), "{topic}");
    assert!(CATALOGUE.pattern(topic).is_none(), "{topic} is a command");
    assert!(!topic.ends_with("/result"), "{topic}");
}

fn check_state(topic: &str, value: &Value) {
    let state = StateValue::text(payload(value));
    let frame = json::write_state(topic, Some(&state));
    assert!(serde_json::from_str::<Value>(&frame).is_ok());
    assert!(!plain::write_state(topic, Some(&state)).contains(['\r', '\n', '\0']));
}

/// What follows from a state without anybody's saying where to.
fn calls(value: &Value) {
    for route in CATALOGUE.routes() {
        let Plan::From { .. } = route.command().plan else {
            continue;
        };
        let call = Call::of(route, Params::new());
        for call in call.planned(&CONTEXT, value).unwrap_or_default() {
            if let Ok(request) = call.request(0) {
                url::check(call.variant().operation, &request);
            }
        }
    }
}

fn search(value: Value) {
    let call = Call::parse("directory/search", &Bytes::from_static(b"x"), &mut None).unwrap();
    let Ok(mut search) = Search::begin(&call, &value) else {
        return;
    };
    let _ = search.take(value.clone());
    for call in [search.page().unwrap(), Some(search.delete().unwrap())] {
        let Some(call) = call else { continue };
        if let Ok(request) = call.request(0) {
            url::check(call.variant().operation, &request);
        }
    }
    let _ = search.take(value);
    let found = search.found();
    assert!(found["entries"].as_array().unwrap().len() <= 200);
}

fn log_in(status: u16, answer: &[u8]) {
    let end = answer.windows(2).position(|two| two == b"\n\n");
    let (head, body) = match end {
        Some(end) => (&answer[..end], &answer[end + 2..]),
        None => (&[][..], answer),
    };
    let cookies: Vec<String> = head
        .split(|byte| *byte == b'\n')
        .map(|cookie| String::from_utf8_lossy(cookie).into_owned())
        .collect();
    let reply = LoginReply {
        status,
        cookies: &cookies,
        body,
    };
    let sessions = [reply.session(1).ok(), Session::from_cookies(&cookies, 1)];
    for mut session in sessions.into_iter().flatten() {
        let renewed = session.renew_token(&cookies);
        assert!(!renewed, "a token is read alike each time");
        for value in std::iter::once(&session.headers().cookie).chain(&session.headers().token) {
            assert!(value.is_sensitive());
            // Beyond ASCII it goes back byte for byte.
            assert!(!value.as_bytes().contains(&b'\r') && !value.as_bytes().contains(&b'\n'));
        }
        assert!(!format!("{session:?}").contains("state"));
    }
}
