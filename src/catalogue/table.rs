//! The catalogue as a table for people: what `poly2mqtt topics` prints.

use std::fmt::Write;

use super::payload::Payload;
use super::{CATALOGUE, Class, Pick, Plan, When, operations};

/// One line for each state and each command, tab-separated, with a heading.
pub fn topic_table() -> String {
    let mut table = String::from("kind\ttopic below room/<room>/\tpayload\toperation\tread\n");
    for operation in operations() {
        let request = format!("{} {}", operation.method.as_str(), operation.path);
        let read = match operation.poll {
            Some((class, when)) => polled(class, when),
            None => "on request",
        };
        for state in operation.states {
            let more = if matches!(state.pick, Pick::Each(_)) {
                "/{name}"
            } else {
                ""
            };
            // Writing to a String cannot fail.
            let _ = writeln!(table, "state\t{}{more}\t\t{request}\t{read}", state.topic);
        }
    }
    for route in CATALOGUE.routes() {
        for variant in &route.variants {
            let command = &variant.command;
            let kind = match command.plan {
                Plan::State(_) | Plan::Held(_) => "query",
                _ if variant.operation.method == super::Method::Get => "query",
                _ => "command",
            };
            let payload = describe(command.payload, command.toggles.is_some());
            let (method, path) = (variant.operation.method.as_str(), variant.operation.path);
            let _ = writeln!(
                table,
                "{kind}\t{}\t{payload}\t{method} {path}\t",
                route.topic
            );
        }
    }
    table
}

fn polled(class: Class, when: When) -> &'static str {
    match (class, when) {
        (_, When::Meters) => "fast, with poll.meters",
        (Class::Fast, When::Always) => "fast",
        (Class::Normal, When::Always) => "normal",
        (Class::Slow, When::Always) => "slow",
        (Class::Fast, When::InCall) => "fast, in a call",
        (Class::Normal, When::InCall) => "normal, in a call",
        (Class::Slow, When::InCall) => "slow, in a call",
    }
}

fn describe(payload: Payload, toggles: bool) -> String {
    match payload {
        Payload::None => "none".into(),
        Payload::Bytes { .. } => "the file's bytes".into(),
        Payload::Fields { bare, fields, .. } => {
            let rule = |field: &super::Field| {
                let optional = if field.required { "" } else { " (optional)" };
                format!("{}: {}{optional}", field.name, field.rule.describe(toggles))
            };
            let mut text: Vec<_> = fields.iter().map(rule).collect();
            if let Some(bare) = bare {
                text.push(format!("or {bare} alone"));
            }
            text.join("; ")
        }
    }
}
