//! Checks a discovery document strictly and says what is wrong with it.
//!
//! Home Assistant silently drops unknown keys, and components with unknown values. `schema.tsv` lists
//! what it accepts.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

const SCHEMA: &str = include_str!("schema.tsv");

/// What is no entity, and has no id of its own.
const TRIGGER: &str = "device_automation";

struct Rule {
    required: bool,
    kind: &'static str,
}

/// Everything that is wrong with a document.
pub fn check(document: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    object(&mut wrong, "root", document, &rules(&["root"]));
    object(
        &mut wrong,
        "device",
        &document["device"],
        &rules(&["device"]),
    );
    object(
        &mut wrong,
        "origin",
        &document["origin"],
        &rules(&["origin"]),
    );
    for (key, component) in document["components"].as_object().into_iter().flatten() {
        if !key.chars().all(id) {
            wrong.push(format!("{key}: cannot stand in an id"));
        }
        let platform = component["platform"].as_str().unwrap_or_default();
        // A component with nothing but its platform is one that is removed.
        if component.as_object().is_some_and(|keys| keys.len() == 1) {
            continue;
        }
        if platform == TRIGGER {
            object(&mut wrong, key, component, &rules(&[TRIGGER]));
            continue;
        }
        object(&mut wrong, key, component, &rules(&["entity", platform]));
        let is_enum = component["device_class"] == "enum";
        if platform == "sensor" && component["options"].is_array() != is_enum {
            wrong.push(format!(
                "{key}: options and the device class enum belong together"
            ));
        }
        let domain = format!("{platform}.");
        let entity_id = component["default_entity_id"].as_str().unwrap_or_default();
        if !entity_id.starts_with(&domain) {
            wrong.push(format!(
                "{key}: {entity_id} is of another domain than {platform}"
            ));
        }
    }
    wrong
}

fn rules(places: &[&str]) -> BTreeMap<&'static str, Rule> {
    let lines = SCHEMA.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.split('\t').collect::<Vec<_>>())
        .filter(|columns| places.contains(&columns[0]))
        .map(|columns| {
            let rule = Rule {
                required: columns[2] == "required",
                kind: columns[3],
            };
            (columns[1], rule)
        })
        .collect()
}

fn object(wrong: &mut Vec<String>, at: &str, value: &Value, rules: &BTreeMap<&str, Rule>) {
    let empty = Map::new();
    let values = value.as_object().unwrap_or(&empty);
    for (key, rule) in rules {
        match values.get(*key) {
            None if rule.required => wrong.push(format!("{at}: {key} is missing")),
            Some(value) if !fits(rule.kind, value) => {
                wrong.push(format!("{at}: {key} takes {}, not {value}", rule.kind));
            }
            _ => {}
        }
    }
    for key in values
        .keys()
        .filter(|key| !rules.contains_key(key.as_str()))
    {
        wrong.push(format!("{at}: {key} is not known there"));
    }
}

fn id(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

fn fits(rule: &str, value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    let (rule, words) = rule.split_once(' ').unwrap_or((rule, ""));
    let mut words = words.split(' ');
    match rule {
        "object" => value.is_object(),
        "bool" => value.is_boolean(),
        "float" => value.is_number(),
        "int" => {
            let mut bound = || words.next().and_then(|word| word.parse::<i64>().ok());
            let (min, max) = (bound(), bound());
            value
                .as_i64()
                .is_some_and(|number| Some(number) >= min && Some(number) <= max)
        }
        "any_text" => value.is_string(),
        "text" => !text.is_empty(),
        "template" => {
            text.contains("{{") && text.matches("{{").count() == text.matches("}}").count()
        }
        "url" => text.starts_with("https://") || text.starts_with("http://"),
        "icon" => text.starts_with("mdi:"),
        "id" => !text.is_empty() && text.chars().all(id),
        "entity_id" => text.split_once('.').is_some_and(|(domain, rest)| {
            let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            !rest.is_empty() && domain.chars().all(fits) && rest.chars().all(fits)
        }),
        "platform" => SCHEMA
            .lines()
            .any(|line| line.split('\t').next() == Some(text)),
        "word" => words.any(|word| word == text),
        "topic" => !text.is_empty() && !text.contains(['+', '#', '\0']),
        "filter" => !text.is_empty() && !text.contains('\0'),
        "texts" => value.as_array().is_some_and(|list| {
            !list.is_empty()
                && list
                    .iter()
                    .all(|one| one.as_str().is_some_and(|one| !one.is_empty()))
        }),
        "pairs" => value.as_array().is_some_and(|list| {
            list.iter()
                .all(|pair| pair.as_array().is_some_and(|pair| pair.len() == 2))
        }),
        "availability" => value.as_array().is_some_and(|list| {
            list.iter().all(|one| {
                let keys = one.as_object().map(Map::len);
                keys == Some(1) && fits("filter", &one["topic"])
            })
        }),
        other => panic!("schema.tsv: nothing is called {other}"),
    }
}
