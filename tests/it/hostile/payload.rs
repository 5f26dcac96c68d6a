//! Payloads: accepted ones make well-formed requests, the others give a short error.

use std::sync::LazyLock;

use bytes::Bytes;
use poly2mqtt::catalogue::{CATALOGUE, Call, Context, Motion, Plan};
use poly2mqtt::command::ErrorCode;
use poly2mqtt::visible::is_invisible;
use serde_json::Value;

use super::url;

const CONTEXT: Context = Context {
    now: 1_700_000_000,
    preset_offset: None,
    preset_names: None,
    started: None,
};

static TOPICS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let filled = |level: &'static str| if level.starts_with('{') { "3" } else { level };
    let routes = CATALOGUE.routes().iter();
    routes
        .map(|route| {
            route
                .topic
                .split('/')
                .map(filled)
                .collect::<Vec<_>>()
                .join("/")
        })
        .collect()
});

/// The first byte says to which command the rest is the payload.
pub fn run(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let topic = &TOPICS[usize::from(*first) % TOPICS.len()];
    let mut request_id = None;
    let parsed = Call::parse(topic, &Bytes::copy_from_slice(rest), &mut request_id);
    if let Some(request_id) = request_id {
        // It stands in the result as it is.
        serde_json::from_str::<Value>(request_id.as_str()).unwrap();
    }
    let call = match parsed {
        Ok(call) => call,
        Err(failure) => {
            assert_eq!(failure.code, ErrorCode::InvalidPayload, "{topic}");
            assert!(failure.message.len() < 1500, "{}", failure.message.len());
            assert!(
                !failure.message.contains(is_invisible),
                "{}",
                failure.message
            );
            return;
        }
    };
    if let Plan::Move = call.route.command().plan {
        let motion = Motion::of(&call).unwrap();
        assert!(motion.duration.as_secs() <= 10);
    }
    let calls = match call.route.command().plan {
        // What only the device knows is not there.
        Plan::From { .. } => vec![call],
        _ => call.planned(&CONTEXT, &Value::Null).unwrap_or_default(),
    };
    for call in calls {
        let request = match call.request(0) {
            Ok(request) => request,
            Err(failure) => {
                assert_eq!(failure.code, ErrorCode::NotFound);
                continue;
            }
        };
        url::check(call.variant().operation, &request);
    }
}
