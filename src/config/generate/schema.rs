//! The JSON Schema of the configuration, for editors and other tools.
//!
//! Made from the tables of keys, which the reader checks against too: types, bounds, words, what is required and
//! what excludes what. It has the usual spelling only: `true` and lists are not taken in quotes, though the reader
//! takes them, because variables are always text. Secrets are never required, since they may come by variable.
//! Draft 7, which editors for TOML know.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::config::key::{DurationBounds, Key, KeyType, LONGEST_DURATION};
use crate::config::{Config, Section, forms, units};

/// The configuration's JSON Schema.
pub fn schema() -> Value {
    let mut schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "poly2mqtt.toml",
    });
    if let (Value::Object(schema), Value::Object(root)) = (&mut schema, table(Config::KEYS)) {
        schema.extend(root);
    }
    schema
}

/// A table with these keys.
pub(super) fn table(keys: &[Key]) -> Value {
    let properties: Map<String, Value> = keys
        .iter()
        .map(|key| (key.name.to_owned(), property(key)))
        .collect();
    let mut table =
        json!({"type": "object", "properties": properties, "additionalProperties": false});
    let required = keys.iter().filter(|key| key.required && !is_secret(key));
    let required: Vec<_> = required.map(|key| key.name).collect();
    if !required.is_empty() {
        table["required"] = required.into();
    }
    let pairs = keys
        .iter()
        .filter_map(|key| Some((key.name.to_owned(), json!([key.together_with?]))));
    let pairs: Map<String, Value> = pairs.collect();
    if !pairs.is_empty() {
        table["dependencies"] = pairs.into();
    }
    let exclusive: Vec<_> = keys.iter().filter_map(not_beside).collect();
    if !exclusive.is_empty() {
        table["allOf"] = exclusive.into();
    }
    table
}

fn is_secret(key: &Key) -> bool {
    matches!(key.kind, KeyType::Secret)
}

/// That a key is not set beside the one that it replaces: `password_file` beside `password`.
fn not_beside(key: &Key) -> Option<Value> {
    let file_of = key.part_of.filter(|_| matches!(key.kind, KeyType::File));
    let other = key.instead_of.or(file_of)?;
    Some(json!({"not": {"required": [other, key.name]}}))
}

fn property(key: &Key) -> Value {
    let mut property = of_kind(key);
    if let Some(name) = key.short_for {
        let below = key.below().iter().find(|below| below.name == name);
        property["type"] = json!(["object", "string"]);
        property["pattern"] = whole(&words(below.map_or(&[], |key| key.choices)).join("|")).into();
    }
    let choices = key.choices.iter();
    let choices: String = choices
        .map(|(value, meaning)| format!("\n- `{value}`: {meaning}"))
        .collect();
    let colon = if choices.is_empty() { "" } else { ":" };
    property["description"] = format!("{}{colon}{choices}", key.about).into();
    if let Some(default) = key.default.and_then(|default| typed(key, default)) {
        property["default"] = default;
    }
    if let Some(example) = key.example.and_then(|example| typed(key, example)) {
        property["examples"] = json!([example]);
    }
    property
}

fn words(choices: &[(&'static str, &'static str)]) -> Vec<&'static str> {
    choices.iter().map(|(word, _)| *word).collect()
}

/// A regular expression for the whole text.
fn whole(pattern: &str) -> String {
    format!("^({pattern})$")
}

fn of_kind(key: &Key) -> Value {
    match key.kind {
        KeyType::Text | KeyType::Choice => text(key),
        KeyType::File => json!({"type": "string", "minLength": 1}),
        // Digits are a text too.
        KeyType::Secret => {
            let form = key.form.unwrap_or(forms::secret);
            json!({"type": ["string", "integer"], "pattern": whole(&form())})
        }
        KeyType::Duration(bounds) => {
            let pattern = whole(&units::duration_pattern(bounds));
            let longer = DurationBounds::at_least(LONGEST_DURATION + Duration::from_millis(1));
            let too_long =
                json!({"type": "string", "pattern": whole(&units::duration_pattern(longer))});
            if bounds.or_zero {
                json!({
                    "type": ["string", "integer"],
                    "pattern": pattern,
                    "not": too_long,
                    "minimum": 0,
                    "maximum": 0,
                })
            } else {
                json!({"type": "string", "pattern": pattern, "not": too_long})
            }
        }
        KeyType::Size(min, max) => json!({
            "type": ["string", "integer"],
            "minimum": min,
            "maximum": max,
            "pattern": whole(&units::size_pattern(min)),
            "not": {"type": "string", "pattern": whole(&units::size_pattern(max + 1))},
        }),
        KeyType::Bool => json!({"type": "boolean"}),
        KeyType::Integer(min, max) => json!({"type": "integer", "minimum": min, "maximum": max}),
        KeyType::List => list(key),
        // The same for each number.
        KeyType::TextByNumber(keys) => {
            let numbers: Vec<_> = keys.iter().map(|key| key.name).collect();
            json!({
                "type": "object",
                "patternProperties": {whole(&numbers.join("|")): keys.first().map(property)},
                "additionalProperties": false,
            })
        }
        KeyType::Table(keys) => table(keys),
        KeyType::Tables(keys) => json!({"type": "array", "items": table(keys)}),
        KeyType::ById(keys) => json!({
            "type": "object",
            "patternProperties": {whole(&forms::room_id()): table(keys)},
            "additionalProperties": false,
        }),
    }
}

fn text(key: &Key) -> Value {
    if key.closed {
        return json!({"type": "string", "enum": words(key.choices)});
    }
    match key.form {
        Some(form) => json!({"type": "string", "pattern": whole(&form())}),
        // Digits are a text too.
        None if key.may_be_empty => json!({"type": ["string", "integer"]}),
        None => json!({"type": ["string", "integer"], "minLength": 1}),
    }
}

fn list(key: &Key) -> Value {
    let items = match key.form {
        _ if key.closed => json!({"enum": words(key.choices)}),
        Some(form) => json!({"type": ["string", "integer"], "pattern": whole(&form())}),
        None => json!({"type": ["string", "integer"]}),
    };
    let mut list = json!({"type": "array", "items": items});
    if let Some(most) = key.most {
        list["maxItems"] = most.into();
        list["uniqueItems"] = true.into();
    }
    list
}

/// A value of the key's type from the text that stands for it in documents.
fn typed(key: &Key, text: &str) -> Option<Value> {
    let literal: toml_edit::Value = key.literal(text).parse().ok()?;
    json_of(&literal)
}

fn json_of(value: &toml_edit::Value) -> Option<Value> {
    match value {
        toml_edit::Value::String(text) => Some(text.value().as_str().into()),
        toml_edit::Value::Integer(number) => Some((*number.value()).into()),
        toml_edit::Value::Boolean(flag) => Some((*flag.value()).into()),
        toml_edit::Value::Array(items) => items.iter().map(json_of).collect(),
        toml_edit::Value::InlineTable(table) => {
            let entries = table.iter();
            let entries = entries.map(|(name, value)| Some((name.to_owned(), json_of(value)?)));
            entries.collect::<Option<Map<_, _>>>().map(Value::Object)
        }
        toml_edit::Value::Float(_) | toml_edit::Value::Datetime(_) => None,
    }
}
