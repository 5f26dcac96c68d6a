//! What the dashboard's scripts say of topics and of problems agrees with the catalogue and the gateway.
use std::collections::BTreeSet;

use super::SCRIPT;
use crate::catalogue::{CATALOGUE, GATEWAY_TOPICS, operations};
use crate::device::{DeviceTimings, LONGEST_LOGIN_WAIT, ProblemCode};
use crate::rooms::LONGEST_RECONNECT_WAIT;

/// What comes before a topic below a room in the scripts.
const BEFORE_A_TOPIC: [&str; 11] = [
    "${base}",
    "room/+/",
    "room/${room}/",
    "room/${each}/",
    "state: \"",
    "command: \"",
    "selected: \"",
    "room, \"",
    "room, `",
    "state(\"",
    "base + \"",
];

/// A topic of the scripts, in which `${level(id)}` and the like stand for one level of any value.
fn topic_pattern(text: &str) -> String {
    let mut topic = String::new();
    let mut depth = 0;
    for c in text.trim_start_matches('/').chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            '$' if depth == 0 => topic.push('+'),
            _ if depth == 0 => topic.push(c),
            _ => {}
        }
    }
    // What begins a topic stands for all that it begins.
    if topic.ends_with('/') {
        topic.push('+');
    }
    topic
}

/// All topics below a room that the scripts name.
fn topics_in_scripts() -> BTreeSet<String> {
    let mut topics = BTreeSet::new();
    for before in BEFORE_A_TOPIC {
        for (at, _) in SCRIPT.match_indices(before) {
            let rest = &SCRIPT[at + before.len()..];
            let end = rest.find(['`', '"']).unwrap_or(rest.len());
            topics.insert(topic_pattern(&rest[..end]));
        }
    }
    // The room itself, and all of its topics.
    for whole in ["", "#"] {
        topics.remove(whole);
    }
    topics
}

/// Whether a topic of the catalogue is meant; `+` and a parameter stand for any level.
fn means(used: &str, topic: &str) -> bool {
    let (used, topic) = (used.split('/'), topic.split('/'));
    used.clone().count() == topic.clone().count()
        && used
            .zip(topic)
            .all(|(used, level)| used == level || used == "+" || level.starts_with('{'))
}

#[test]
fn every_topic_that_the_scripts_use_is_in_the_catalogue() {
    let mut known = BTreeSet::new();
    known.extend(CATALOGUE.routes().iter().map(|route| route.topic.clone()));
    known.extend(
        operations()
            .flat_map(|each| each.states)
            .map(|state| state.pattern()),
    );
    known.extend(GATEWAY_TOPICS.iter().map(|each| {
        let topic = each.topic.to_string();
        topic.trim_start_matches("room/{room}/").to_owned()
    }));
    // All events of a room.
    known.insert("event/#".to_owned());
    let used = topics_in_scripts();
    for sure in [
        "audio/muted",
        "audio/muted/set",
        "calendar/meeting/+/dial",
        "system/status/+",
    ] {
        assert!(used.contains(sure), "{sure} is not found: {used:?}");
    }
    let unknown: Vec<_> = used
        .iter()
        .filter(|used| !known.iter().any(|topic| means(used, topic)))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn the_page_knows_every_problem_and_the_waits_of_the_gateway() {
    for code in ProblemCode::ALL {
        let code = serde_json::json!(code);
        let entry = format!("\n  {}: [\"", code.as_str().unwrap());
        assert!(SCRIPT.contains(&entry), "{entry}");
    }
    let timings = DeviceTimings::default();
    let waits = format!(
        "{{ unauthorized: [{}, {}], locked_out: [{3}, {3}], too_many_sessions: [{2}, {2}] }}",
        timings.retry_after_refused_login.as_secs(),
        LONGEST_LOGIN_WAIT.as_secs(),
        timings.retry_after_too_many_sessions.as_secs(),
        timings.retry_after_lockout.as_secs(),
    );
    let longest = LONGEST_RECONNECT_WAIT.as_secs();
    let longest = format!("\nconst LONGEST_RECONNECT_S = {longest};");
    for wanted in [waits, longest] {
        assert!(SCRIPT.contains(&wanted), "{wanted}");
    }
}
