//! The catalogue for the dashboard's console: every command and query, with what the page must know
//! to offer it.
//!
//! Pure. The dashboard has no list of topics: it shows this one.

use serde_json::{Map, Value, json};

use super::table::{fields, requests, states, takes, topic_parameters};
use crate::catalogue::{CATALOGUE, Field, Payload, Route, Rule, SettingRule, about_parameter};

/// All topics that can be sent to, what the parameters in them are, and what the states mean. Each has its
/// sentence: `about`.
pub fn console() -> Value {
    let topics: Value = CATALOGUE.routes().iter().map(command).collect();
    let parameters: Map<String, Value> = topic_parameters()
        .map(|name| (name.to_owned(), about_parameter(name).into()))
        .collect();
    let states: Map<String, Value> = states()
        .map(|(topic, _, state)| (topic, state.topic.about().into()))
        .collect();
    json!({"topics": topics, "parameters": parameters, "states": states})
}

/// A topic that can be sent to, with everything that its sender must know.
pub fn command(route: &Route) -> Value {
    let command = route.command();
    let words = command.switch_words();
    let bare = match command.payload {
        Payload::Fields { bare, .. } => bare,
        Payload::None | Payload::Bytes { .. } => None,
    };
    let field = |field: &Field| {
        json!({
            "name": field.name,
            "about": field.about,
            "rule": field.rule.describe(words),
            "required": field.required,
            "sample": sample(&field.rule),
        })
    };
    json!({
        "topic": route.topic,
        "about": route.about,
        "kind": route.kind().as_str(),
        "takes": takes(route),
        "requests": requests(route),
        "guarded": route.guarded(),
        "file": matches!(command.payload, Payload::Bytes { .. }),
        "bare": bare,
        "fields": fields(route).iter().map(field).collect::<Value>(),
    })
}

/// A value that a rule takes, or an empty one where only the user knows any.
fn sample(rule: &Rule) -> Value {
    match rule {
        Rule::Switch | Rule::NamedSwitch(..) | Rule::YesNo => true.into(),
        Rule::Integer { min, max } => 0.clamp(*min, *max).into(),
        Rule::Text | Rule::AnyText | Rule::Secret => "".into(),
        Rule::Word(words) => words.first().map_or("", |(word, _)| word).into(),
        Rule::Keys => "1".into(),
        Rule::Texts | Rule::List(_) | Rule::Setting(SettingRule::Names | SettingRule::Values) => {
            json!([])
        }
        Rule::Setting(SettingRule::Name | SettingRule::Value) => "".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::operations;

    fn find<'a>(console: &'a Value, topic: &str) -> &'a Value {
        let topics = console["topics"].as_array().unwrap();
        topics.iter().find(|entry| entry["topic"] == topic).unwrap()
    }

    #[test]
    fn every_topic_is_there_with_its_rule() {
        let console = console();
        let volume = find(&console, "audio/volume/set");
        assert_eq!(volume["requests"], "POST /rest/audio/volume");
        assert_eq!(volume["fields"][0]["rule"], "an integer from 0 to 100");
        assert_eq!(volume["bare"], "volume");
        let about = CATALOGUE.pattern("audio/volume/set").unwrap();
        assert_eq!(volume["about"], about.about.as_str());
        let meaning = volume["fields"][0]["about"].as_str().unwrap();
        assert!(meaning.contains("100 is loudest"), "{meaning}");
        assert!(console["states"]["audio/volume"].is_string());
        assert_eq!(volume["guarded"], false);
        assert_eq!(find(&console, "system/reboot")["guarded"], true);
        assert_eq!(find(&console, "directory/import")["file"], true);
        assert_eq!(find(&console, "audio/volume/get")["kind"], "query");
        assert!(console["parameters"]["meeting_id"].is_string());
        for operation in operations() {
            for command in operation.commands {
                find(&console, command.topic);
            }
        }
    }
}
