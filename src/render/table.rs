//! The catalogue as text for people: what `poly2mqtt topics` prints.
//!
//! Owns the words for payloads, requests and polling, which the topics page and the AsyncAPI
//! document use too. Pure.

use std::collections::HashSet;
use std::fmt::Write;

use crate::catalogue::{
    AnswerKind, CATALOGUE, Class, Field, FileSpec, Operation, PROVIDERS, Payload, Plan, ReadBody,
    Route, SYSTEM_MODE, State, StateTopic, Variant, When, about_parameter, operations, parameters,
};

/// One line for each state, each file and each command, tab-separated, with a heading. A command's fields
/// and the parameters of topics follow with what they mean.
pub fn topic_table() -> String {
    let mut table = String::from(HEADING);
    for (topic, operation, state) in states() {
        // Writing to a String cannot fail.
        let _ = writeln!(
            table,
            "state\t{topic}\t\t{}\t{}\t{}",
            source(operation),
            read(operation),
            state.topic.about()
        );
    }
    for file in files() {
        let (topic, content_type) = (file.topic, file.content_type);
        let about = about_file(file);
        let _ = writeln!(
            table,
            "file\t{topic}\t\t{content_type}\ton request\t{about}"
        );
    }
    for route in CATALOGUE.routes() {
        let Route { topic, about, .. } = route;
        let (kind, payload) = (route.kind().as_str(), takes(route));
        let requests = requests(route);
        let _ = writeln!(table, "{kind}\t{topic}\t{payload}\t{requests}\t\t{about}");
        for field in fields(route) {
            let (takes, about) = (field_takes(route, field), field.about);
            let _ = writeln!(table, "field\t{topic}\t{takes}\t\t\t{about}");
        }
    }
    for name in topic_parameters() {
        let about = about_parameter(name);
        let _ = writeln!(table, "parameter\t{{{name}}}\t\t\t\t{about}");
    }
    table
}

const HEADING: &str = "kind\ttopic below room/<room>/\tpayload\toperation\tread\tmeaning\n";

/// The parameters of topics, each once.
pub fn topic_parameters() -> impl Iterator<Item = &'static str> {
    let mut seen = HashSet::new();
    let routes = CATALOGUE.routes().iter();
    routes
        .flat_map(|route| parameters(&route.topic))
        .filter(move |name| seen.insert(*name))
}

/// The fields of a topic's payload.
pub fn fields(route: &Route) -> &'static [Field] {
    match route.command().payload {
        Payload::Fields { fields, .. } => fields,
        Payload::None | Payload::Bytes { .. } => &[],
    }
}

/// What a file is: which query answers with it, and whether the topic keeps it.
pub fn about_file(file: FileSpec) -> String {
    let answers = |route: &&Route| matches!(route.command().answer, AnswerKind::File(of) if of.topic == file.topic);
    let queries = CATALOGUE.routes().iter().filter(answers);
    let queries: Vec<String> = queries.map(|route| format!("`{}`", route.topic)).collect();
    let kept = if file.is_state {
        "retained"
    } else {
        "not retained"
    };
    format!(
        "The file that {} answered last, as its bytes; {kept}.",
        queries.join(" or ")
    )
}

/// Every retained topic below a room once, with the first operation that feeds it: the polled one.
pub fn states() -> impl Iterator<Item = (String, &'static Operation, &'static State)> {
    let mut seen = HashSet::new();
    operations()
        .flat_map(|operation| operation.states.iter().map(move |state| (operation, state)))
        .map(|(operation, state)| (state.pattern(), operation, state))
        .filter(move |(topic, ..)| seen.insert(topic.clone()))
}

/// Every file that a query answers with.
pub fn files() -> impl Iterator<Item = FileSpec> {
    let answers = CATALOGUE
        .routes()
        .iter()
        .map(|route| route.command().answer);
    answers.filter_map(|answer| match answer {
        AnswerKind::File(file) => Some(file),
        AnswerKind::Json => None,
    })
}

/// How often a state is read.
pub fn read(operation: &Operation) -> &'static str {
    match operation.poll {
        None if operation.is_gateways_own() => "when a check has ended",
        None if operation.reads() => "on request",
        None => "with the log-in",
        Some((_, When::Meters)) => "fast, with poll.meters",
        Some((_, When::AfterCall)) => "slow, and after a call",
        Some((_, When::AroundCalls)) => "normal, and when a call begins or ends",
        _ if operation.read == Some(ReadBody::SettingNames) => "slow, with settings",
        Some((Class::Fast, When::Always)) => "fast",
        Some((Class::Normal, When::Always)) => "normal",
        Some((Class::Slow, When::Always)) => "slow",
        Some((Class::Fast, When::InCall)) => "fast, in a call",
        Some((Class::Normal, When::InCall)) => "normal, in a call",
        Some((Class::Slow, When::InCall)) => "slow, in a call",
    }
}

/// The payload that a topic takes.
pub fn takes(route: &Route) -> String {
    let command = route.command();
    match command.payload {
        Payload::None => "none".into(),
        Payload::Bytes { .. } => "the file's bytes".into(),
        Payload::Fields { bare, fields, .. } => {
            let rule = |field: &Field| field_takes(route, field);
            let mut text: Vec<_> = fields.iter().map(rule).collect();
            if let Some(bare) = bare {
                text.push(format!("or {bare} alone"));
            }
            text.join("; ")
        }
    }
}

/// The values that a field of a topic's payload takes.
fn field_takes(route: &Route, field: &Field) -> String {
    let words = route.command().switch_words();
    let optional = if field.required { "" } else { " (optional)" };
    format!("{}: {}{optional}", field.name, field.rule.describe(words))
}

/// The requests that a topic makes the gateway send to the device, in order.
pub fn requests(route: &Route) -> String {
    let command = route.command();
    let (others, first): (Vec<_>, Vec<_>) = route
        .variants
        .iter()
        .partition(|variant| variant.command.fallback);
    let joined = |variants: Vec<&Variant>| {
        let requests: Vec<_> = variants.into_iter().map(request).collect();
        requests.join(" or ")
    };
    let mut direct = joined(first);
    if !others.is_empty() {
        let _ = write!(direct, " (where missing: {})", joined(others));
    }
    match command.plan {
        Plan::Direct | Plan::Split(_) => direct,
        Plan::Readiness => {
            "reads, a move of the camera and back, and a call if readiness_dial is set".into()
        }
        Plan::Move => format!("{direct}, then its stop"),
        Plan::From { state, .. } => format!("{}, then {direct}", reading(state)),
        Plan::Read(state) => reading(state),
        Plan::Stored(_) => "nothing: the retained value".into(),
        Plan::Search => format!("{direct}, then GET its pages and DELETE it"),
        Plan::Renew => format!("DELETE, then {direct}"),
        Plan::SwitchProvider => {
            let (providers, mode) = (reading(PROVIDERS), reading(SYSTEM_MODE));
            format!("{providers}, then {direct}, then {mode} until it is active")
        }
    }
}

fn reading(state: StateTopic) -> String {
    let reader = CATALOGUE.reader(state);
    reader.map_or_else(String::new, |(operation, _)| source(operation))
}

/// The request that reads an operation's states, and its other spelling.
pub fn source(operation: &Operation) -> String {
    match CATALOGUE.fallback_of(operation) {
        Some(other) => format!("{} (where missing: {})", path(operation), path(other)),
        None => path(operation),
    }
}

fn path(operation: &Operation) -> String {
    if operation.is_gateways_own() {
        return "the gateway itself".into();
    }
    format!("{} {}", operation.method.as_str(), operation.path)
}

/// An operation's request with what the topic fixes in it.
fn request(variant: &Variant) -> String {
    let command = &variant.command;
    let mut request = path(variant.operation);
    for (name, value) in command.path_constants {
        request = request.replace(&format!("{{{name}}}"), value);
    }
    for (name, value) in command.body_constants {
        let _ = write!(request, " {name}={value}");
    }
    for (name, value) in command.body_flags {
        let _ = write!(request, " {name}={value}");
    }
    request
}
