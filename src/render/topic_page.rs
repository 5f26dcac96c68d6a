//! The topics as a page to read: `docs/topics.md`.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::table::{files, read, requests, states, takes};
use crate::catalogue::{
    Binary, CATALOGUE, GATEWAY_TOPICS, Kind, Operation, Route, about_parameter, parameters,
};

const HEAD: &str = "\
# Topics

Made from the gateway's catalogue by `poly2mqtt topics --markdown`; not edited by hand.

But for the gateway's own, every topic stands below `room/<room>/`, after the configured prefix if there is one. A
`{parameter}` is one topic level; in it `/`, `+`, `#` and `%` are percent-encoded.

- A **state** is retained and published by the gateway when it changes: a scalar as plain text, anything else as JSON.
- A **command** changes something, a **query** only asks. Both are published by clients, not retained, and get exactly one
  result at `<topic>/result`, or at the Response Topic of MQTT 5.
- A payload of one value may be that value alone or a JSON object, which may also carry a `request_id` for the result;
  in objects the REST guide's own camelCase names are taken too.
- *Read* is how often the gateway asks the device: `fast`, `normal` and `slow` are the intervals below `[poll]`.
- *Guarded* commands need the room's `allow`, or an administrator's token.
";

/// One of the page's sections.
#[derive(Default)]
struct Area {
    states: String,
    commands: String,
    queries: String,
}

/// The page: each area's states, then its commands, then its queries.
pub fn topic_page() -> String {
    let mut areas = BTreeMap::<String, Area>::new();
    for (topic, operation, _) in states() {
        let area = areas.entry(area(&topic)).or_default();
        area.states.push_str(&state(&topic, operation));
    }
    for answer in files() {
        let area = areas.entry(area(answer.topic)).or_default();
        area.states.push_str(&file(answer));
    }
    for route in CATALOGUE.routes() {
        let area = areas.entry(area(&route.topic)).or_default();
        let rows = match route.kind() {
            Kind::Command => &mut area.commands,
            Kind::Query => &mut area.queries,
        };
        rows.push_str(&row(route));
    }
    let mut page = HEAD.to_owned() + &parameter_table() + &own_table();
    for (name, area) in areas {
        // Writing to a String cannot fail.
        let _ = write!(page, "\n## {name}\n");
        let tables = [
            ("state | source | read", area.states),
            ("command | payload | sends", area.commands),
            ("query | payload | sends", area.queries),
        ];
        for (heading, rows) in tables {
            if !rows.is_empty() {
                let _ = write!(page, "\n| {heading} |\n|---|---|---|\n{rows}");
            }
        }
    }
    page
}

fn own_table() -> String {
    let mut table = String::from("\n## The gateway's own\n\n| topic | says |\n|---|---|\n");
    for own in GATEWAY_TOPICS {
        let topic = own.topic.replace("{room}", "<room>");
        let kept = if own.retained { "" } else { " (not retained)" };
        let _ = writeln!(table, "| `{topic}` | {}{kept} |", own.about);
    }
    table
}

/// The first level; `calls` belongs to `call`.
fn area(topic: &str) -> String {
    let first = topic.split('/').next().unwrap_or_default();
    match first {
        "calls" => "call".into(),
        _ => first.into(),
    }
}

fn state(topic: &str, operation: &Operation) -> String {
    let (method, path) = (operation.method.as_str(), operation.path);
    let none = if operation.absent {
        "; `none` where there is none"
    } else {
        ""
    };
    format!(
        "| `{topic}` | `{method} {path}`{none} | {} |\n",
        read(operation)
    )
}

fn file(file: Binary) -> String {
    let (topic, content_type) = (file.topic, file.content_type);
    let kept = if file.retained { "" } else { ", not retained" };
    format!("| `{topic}` | the bytes of its query ({content_type}){kept} | on request |\n")
}

fn row(route: &Route) -> String {
    let guarded = if route.guarded() { " **guarded**" } else { "" };
    let (topic, payload) = (&route.topic, takes(route));
    format!(
        "| `{topic}`{guarded} | {payload} | `{}` |\n",
        requests(route)
    )
}

fn parameter_table() -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in CATALOGUE
        .routes()
        .iter()
        .flat_map(|route| parameters(&route.topic))
    {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut table = String::from("\n| parameter | is |\n|---|---|\n");
    for name in names {
        let _ = writeln!(table, "| `{{{name}}}` | {} |", about_parameter(name));
    }
    table
}
