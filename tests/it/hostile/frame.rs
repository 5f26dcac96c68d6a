//! Frames and lines of clients, the filters in them, and what is written in answer.

use std::time::Duration;

use poly2mqtt::command::{ErrorCode, Failure, Outcome, Success};
use poly2mqtt::doors::conversation::frame::{Answer, Asked, Request};
use poly2mqtt::doors::conversation::{Filter, Filters, json, plain, typed};
use poly2mqtt::state::StateValue;
use serde_json::Value;

/// The whole of it is a frame, a line and a filter.
pub fn run(data: &[u8]) {
    typed(data);
    let text = String::from_utf8_lossy(data);
    for asked in [json::read(&text), plain::read(&text)]
        .into_iter()
        .flatten()
    {
        answered(asked);
    }
    if let Ok(filter) = Filter::new(&text) {
        assert!(filter.matches(&text) || text.contains(['+', '#']));
    }
    let state = StateValue::text(data.to_vec());
    one_frame(&json::state("room/1/x", Some(&state)));
    one_frame(&json::event("room/1/event/x", data));
    one_line(&plain::state("room/1/x", Some(&state)));
    one_line(&plain::event("room/1/event/x", data));
}

fn answered(Asked { id, request }: Asked) {
    let answers = match request {
        Err(refused) => {
            assert!(refused.message.len() < 600, "{}", refused.message.len());
            vec![Answer::Refused(refused)]
        }
        Ok(Request::Ping) => vec![Answer::Pong],
        Ok(Request::Subscribe(filters) | Request::Unsubscribe(filters)) => {
            let mut all = Filters::default();
            for filter in &filters {
                all.add(filter.clone());
            }
            all.matches("room/1/audio/volume");
            for filter in &filters {
                all.remove(filter);
            }
            assert!(all.is_empty());
            vec![Answer::Subscribed(filters)]
        }
        Ok(Request::Command { topic, payload }) => {
            let said = String::from_utf8_lossy(&payload).into_owned();
            let failure = Failure::new(ErrorCode::DeviceError, said.clone());
            let results = [Ok(Success::new(200, said.into())), Err(failure)];
            let outcome = |result| Outcome {
                room: topic.as_str().into(),
                command: topic.clone(),
                request_id: id.clone(),
                took: Duration::ZERO,
                result,
            };
            let answer = |result| Answer::Result(Box::new(outcome(result)));
            results.map(answer).into()
        }
    };
    for answer in &answers {
        one_frame(&json::answer(id.as_ref(), answer));
        plain::answer(answer).iter().for_each(|line| one_line(line));
    }
}

fn one_frame(frame: &str) {
    let frame: Value = serde_json::from_str(frame).unwrap();
    assert!(frame.is_object());
}

fn one_line(line: &str) {
    assert!(!line.contains(['\r', '\n', '\0']), "{line:?}");
}
