//! Every topic, field and parameter says what it means, in a sentence that helps.

use std::collections::BTreeMap;

use super::*;
use crate::render;

/// What is explained, and its sentence.
fn sentences() -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for (topic, _, state) in render::states() {
        found.push((topic, state.topic.about().to_owned()));
    }
    for route in CATALOGUE.routes() {
        found.push((route.topic.clone(), route.about.clone()));
        for name in parameters(&route.topic) {
            found.push((format!("{{{name}}}"), about_parameter(name).to_owned()));
        }
        if let Payload::Fields { fields, .. } = route.command().payload {
            for field in fields {
                found.push((format!("field {}", field.name), field.about.to_owned()));
            }
        }
    }
    for known in GATEWAY_TOPICS {
        found.push((known.topic.to_string(), known.about.to_owned()));
    }
    found
}

/// Why a text is no sentence that explains `name`.
fn flaw(name: &str, text: &str) -> Option<&'static str> {
    let words = |text: &str| -> Vec<String> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric());
        let words = words.filter(|word| !word.is_empty());
        words.map(str::to_lowercase).collect()
    };
    let named = words(name);
    let new = words(text).into_iter().filter(|word| !named.contains(word));
    let new = new.filter(|word| !matches!(word.as_str(), "the" | "a" | "an" | "of"));
    if !text.starts_with(|c: char| c.is_ascii_uppercase()) {
        Some("it does not start with a capital letter")
    } else if !text.ends_with('.') {
        Some("it does not end with a full stop")
    } else if text.contains(['\n', '\t', '|']) || text.contains("  ") {
        Some("it does not fit into one cell of a table")
    } else if new.count() < 2 {
        Some("it only repeats the name")
    } else {
        None
    }
}

#[test]
fn every_topic_field_and_parameter_is_explained_in_a_sentence() {
    let all = sentences();
    assert!(all.len() > 400, "{}", all.len());
    let flaws = all
        .iter()
        .filter_map(|(name, text)| Some(format!("{name}: {}: {text:?}", flaw(name, text)?)));
    assert_eq!(flaws.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn what_explains_nothing_is_found() {
    for (name, text) in [
        ("audio/volume", ""),
        ("audio/volume", "the volume from 0 to 100."),
        ("audio/volume", "How loud it is"),
        ("audio/volume", "The audio volume."),
        ("audio/volume", "How loud | it is."),
        ("field start", "Start."),
    ] {
        assert!(flaw(name, text).is_some(), "{text}");
    }
    assert_eq!(flaw("audio/volume", "How loud it is."), None);
}

/// A sentence that fits two topics says too little about either.
#[test]
fn no_two_things_have_the_same_sentence() {
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    for (name, text) in sentences() {
        let other = known.entry(text.clone()).or_insert_with(|| name.clone());
        assert_eq!(*other, name, "{text}");
    }
}

/// Two operations of one topic, such as on and off, do one thing in the eyes of people.
#[test]
fn the_operations_of_one_topic_share_its_sentence() {
    let routes = CATALOGUE.routes().iter();
    assert!(routes.filter(|route| route.variants.len() > 1).count() > 5);
    for route in CATALOGUE.routes() {
        for variant in route.variants.iter().filter(|it| !it.command.fallback) {
            let own = variant.command.about;
            assert!(
                own.is_empty() || own == route.about,
                "{}: {own}",
                route.topic
            );
        }
    }
}

/// A template whose last word is "off" says so of what the device does not tell, too.
#[test]
fn no_template_claims_a_value_for_what_is_not_told() {
    let of_states = operations().flat_map(|operation| operation.states);
    let of_states = of_states.flat_map(|state| state.entities);
    let of_commands = operations().flat_map(|operation| operation.commands);
    let of_commands = of_commands.flat_map(|command| command.entities);
    let mut seen = 0;
    for entity in of_states.chain(of_commands) {
        let Some(value) = entity.value.filter(|value| value.contains("else 'false'")) else {
            continue;
        };
        seen += 1;
        assert!(value.contains("'None'"), "{}", entity.key);
    }
    assert!(seen >= 3, "{seen}");
}
