//! JSON Schemas of payloads, made from the catalogue's rules.
//!
//! Owns the schemas that several messages share. A schema describes the payload as JSON, or as a
//! string where it is no JSON: `40` is a number, `left` a string, nothing the empty string.

use serde_json::{Map, Value, json};

use crate::catalogue::{
    Field, MOST_KEYS, MOST_SETTINGS, OFF, ON, Payload, Rule, SettingRule, SwitchWords, TOGGLE,
};

/// The name of a setting.
const SETTING_NAME: &str = r"^\s*[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+\s*$";
/// One or more of them with commas between.
const SETTING_NAMES: &str =
    r"^\s*[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+\s*(,\s*[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+\s*)*$";

/// The shared schemas by name.
#[derive(Debug, Default)]
pub struct Schemas(Map<String, Value>);

impl Schemas {
    /// All of them, for `components.schemas`.
    pub fn into_map(self) -> Map<String, Value> {
        self.0
    }

    /// A reference to a schema under this name, or under this name with a number where another
    /// schema has it already.
    pub fn share(&mut self, name: &str, schema: Value) -> Value {
        let free = |name: &String| self.0.get(name).is_none_or(|known| *known == schema);
        let numbered = (2..).map(|number| format!("{name}_{number}"));
        let mut names = std::iter::once(name.to_owned()).chain(numbered);
        let name = names.find(free).unwrap_or_default();
        let reference = json!({"$ref": format!("#/components/schemas/{name}")});
        self.0.insert(name, schema);
        reference
    }

    /// What a command takes.
    pub fn payload(&mut self, payload: Payload, switch_words: SwitchWords) -> Value {
        let (bare, fields) = match payload {
            Payload::Bytes { content_type } => return bytes(content_type),
            Payload::None => (None, [].as_slice()),
            Payload::Fields { bare, fields, .. } => (bare, fields),
        };
        let mut forms = Vec::new();
        if let Some(field) = fields.iter().find(|field| bare == Some(field.name)) {
            forms.push(explained(self.rule(field, switch_words), field));
        }
        if !fields.iter().any(|field| field.required) {
            let nothing = json!({
                "type": "string",
                "maxLength": 0,
                "description": "An empty payload.",
            });
            forms.push(self.share("nothing", nothing));
        }
        forms.push(self.object(bare, fields, switch_words));
        match forms.len() {
            1 => forms.remove(0),
            _ => json!({"anyOf": forms}),
        }
    }

    /// The JSON object of these fields, under each of their names.
    fn object(&mut self, bare: Option<&str>, fields: &[Field], switch_words: SwitchWords) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        let mut either = Vec::new();
        let mut nested = Map::<String, Value>::new();
        for field in fields {
            let schema = explained(self.rule(field, switch_words), field);
            let mut names = Vec::new();
            for name in field.names(bare) {
                if !names.contains(&name) {
                    properties.insert(name.into(), schema.clone());
                    names.push(name);
                }
            }
            // The guide's own body has it in an object: `camPosition.pan` is `{"camPosition": {"pan": …}}` too.
            if let Some((outer, inner)) = field.wire.split_once('.') {
                nested.entry(outer).or_insert_with(|| json!({}))[inner] = schema;
                names.push(outer);
            }
            if !field.required {
                continue;
            }
            match names.as_slice() {
                [name] => required.push(json!(name)),
                names => {
                    let one = names.iter().map(|name| json!({"required": [name]}));
                    either.push(json!({"anyOf": one.collect::<Vec<_>>()}));
                }
            }
        }
        properties.extend(nested.into_iter().map(|(outer, inner)| {
            let object =
                json!({"type": "object", "properties": inner, "additionalProperties": false});
            (outer, object)
        }));
        let request_id = json!({"description": "Any JSON; it comes back in the result."});
        properties.insert("request_id".into(), self.share("request_id", request_id));
        let mut object = json!({
            "type": "object",
            "properties": properties,
            "additionalProperties": false,
        });
        if !required.is_empty() {
            object["required"] = required.into();
        }
        if !either.is_empty() {
            object["allOf"] = either.into();
        }
        object
    }

    /// What a field's value may be.
    fn rule(&mut self, field: &Field, switch_words: SwitchWords) -> Value {
        let rule = &field.rule;
        let described = |mut schema: Value| {
            schema["description"] = rule.describe(switch_words).into();
            schema
        };
        // An integer is a text too.
        let text = ["string", "integer"];
        match rule {
            Rule::Switch => {
                let name = match switch_words {
                    SwitchWords::OnOff => "switch",
                    SwitchWords::OnOffToggle => "switch_or_toggle",
                };
                self.share(name, described(words(switch(switch_words))))
            }
            Rule::NamedSwitch(on, off) => {
                let more = switch(switch_words).chain([json!(on), json!(off)]);
                self.share(&format!("{on}_or_{off}"), described(words(more)))
            }
            Rule::YesNo => {
                let more = switch(switch_words).chain([json!("Yes"), json!("No")]);
                self.share("yes_or_no", described(words(more)))
            }
            Rule::Integer { min, max: i64::MAX } => json!({"type": "integer", "minimum": min}),
            Rule::Integer { min, max } => {
                json!({"type": "integer", "minimum": min, "maximum": max})
            }
            Rule::Text => self.share("text", described(json!({"type": text, "pattern": "\\S"}))),
            Rule::AnyText => self.share("any_text", described(json!({"type": text}))),
            Rule::Secret => {
                let schema = described(json!({"type": text, "format": "password"}));
                self.share("secret", schema)
            }
            Rule::Word(known) => {
                let own = known.iter().map(|(word, _)| json!(word));
                let wire = known.iter().map(|(_, wire)| json!(wire));
                self.share(field.name, described(words(own.chain(wire))))
            }
            Rule::Keys => {
                let pattern = format!("^[0-9*#]{{1,{MOST_KEYS}}}$");
                let schema =
                    json!({"type": ["string", "integer"], "pattern": pattern, "minimum": 0});
                self.share("keys", described(schema))
            }
            Rule::Texts => {
                let list = json!({
                    "type": "array",
                    "minItems": 1,
                    "items": {"type": text, "minLength": 1},
                });
                let one = r"^\s*[^,\s][^,]*(,\s*[^,\s][^,]*)*$";
                let text = json!({"type": "string", "pattern": one});
                self.share("texts", described(json!({"anyOf": [list, text]})))
            }
            Rule::List(_) => self.share("list", described(json!({"type": "array"}))),
            Rule::Setting(rule) => {
                let (name, schema) = setting(*rule);
                self.share(name, described(schema))
            }
        }
    }
}

/// A field's schema with what the field means. What stands beside a reference does not count, so a shared
/// schema is wrapped.
fn explained(mut schema: Value, field: &Field) -> Value {
    if schema.get("$ref").is_some() {
        return json!({"allOf": [schema], "description": field.about});
    }
    schema["description"] = field.about.into();
    schema
}

/// Bytes as they are.
pub fn bytes(content_type: &str) -> Value {
    json!({"type": "string", "minLength": 1, "contentMediaType": content_type})
}

/// A part of a payload about the device's own settings: the name to share it under, and its schema.
fn setting(rule: SettingRule) -> (&'static str, Value) {
    let name = json!({"type": "string", "pattern": SETTING_NAME});
    let value = json!({"type": ["string", "number", "boolean"]});
    let list = |items: Value| json!({"type": "array", "minItems": 1, "maxItems": MOST_SETTINGS, "items": items});
    match rule {
        SettingRule::Name => ("setting_name", name),
        SettingRule::Names => {
            let text = json!({"type": "string", "pattern": SETTING_NAMES});
            ("setting_names", json!({"anyOf": [list(name), text]}))
        }
        SettingRule::Value => ("setting_value", value),
        SettingRule::Values => {
            let item = json!({
                "type": "object",
                "required": ["name", "value"],
                "properties": {"name": name, "value": value},
                "additionalProperties": false,
            });
            ("setting_values", list(item))
        }
    }
}

/// One of these, each once.
fn words(values: impl Iterator<Item = Value>) -> Value {
    let mut known = Vec::new();
    for value in values {
        if !known.contains(&value) {
            known.push(value);
        }
    }
    json!({"enum": known})
}

/// What a switch takes, as JSON and as words.
fn switch(switch_words: SwitchWords) -> impl Iterator<Item = Value> {
    let toggle = (switch_words == SwitchWords::OnOffToggle).then(|| json!(TOGGLE));
    let json = [json!(true), json!(false), json!(1), json!(0)];
    let texts = ON.iter().chain(OFF).map(|word| json!(word));
    json.into_iter().chain(texts).chain(toggle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_that_are_alike_are_shared_and_others_keep_apart() {
        let mut schemas = Schemas::default();
        let one = schemas.share("a", json!({"type": "string"}));
        assert_eq!(schemas.share("a", json!({"type": "string"})), one);
        let two = schemas.share("a", json!({"type": "integer"}));
        assert_eq!(two["$ref"], "#/components/schemas/a_2");
        assert_eq!(schemas.into_map().len(), 2);
    }
}
