//! Frames and lines of clients, the filters in them, and what is written in answer.

use std::time::Duration;

use poly2mqtt::command::{ErrorCode, Failure, Outcome, Success};
use poly2mqtt::doors::clients::frame::{FrameAnswer, FrameRequest, RequestFrame};
use poly2mqtt::doors::clients::{json, payload_as_json, plain};
use poly2mqtt::state::StateValue;
use poly2mqtt::topics::{Filter, Filters};
use serde_json::Value;

/// The whole of it is a frame, a line and a filter.
pub fn run(data: &[u8]) {
    payload_as_json(data);
    let text = String::from_utf8_lossy(data);
    for frame in [json::parse(&text), plain::parse(&text)]
        .into_iter()
        .flatten()
    {
        answer_frame(frame);
    }
    if let Ok(filter) = Filter::new(&text) {
        assert!(filter.matches(&text) || text.contains(['+', '#']));
    }
    let state = StateValue::text(data.to_vec());
    one_frame(&json::write_state("room/1/x", Some(&state)));
    one_frame(&json::write_event("room/1/event/x", data));
    one_line(&plain::write_state("room/1/x", Some(&state)));
    one_line(&plain::write_event("room/1/event/x", data));
}

fn answer_frame(RequestFrame { id, request }: RequestFrame) {
    let answers = match request {
        Err(error) => {
            assert!(error.message.len() < 600, "{}", error.message.len());
            vec![FrameAnswer::Error(error)]
        }
        Ok(FrameRequest::Ping) => vec![FrameAnswer::Pong],
        Ok(FrameRequest::Help | FrameRequest::Token) => {
            vec![FrameAnswer::Text(vec!["help".into(), "token".into()])]
        }
        Ok(FrameRequest::Subscribe(filters) | FrameRequest::Unsubscribe(filters)) => {
            let mut all = Filters::default();
            for filter in &filters {
                all.add(filter.clone());
            }
            all.matches("room/1/audio/volume");
            for filter in &filters {
                all.remove(filter);
            }
            assert!(all.is_empty());
            vec![FrameAnswer::Subscribed(filters)]
        }
        Ok(FrameRequest::Command { topic, payload }) => {
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
            let answer = |result| FrameAnswer::Result(Box::new(outcome(result)));
            results.map(answer).into()
        }
    };
    for answer in &answers {
        one_frame(&json::write_answer(id.as_ref(), answer));
        plain::write_answer(answer)
            .iter()
            .for_each(|line| one_line(line));
    }
}

fn one_frame(frame: &str) {
    let frame: Value = serde_json::from_str(frame).unwrap();
    assert!(frame.is_object());
}

fn one_line(line: &str) {
    assert!(!line.contains(['\r', '\n', '\0']), "{line:?}");
}
