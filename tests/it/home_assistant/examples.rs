//! `examples/home-assistant`: the files name only what there is. `tests/live/home_assistant` loads them into
//! Home Assistant.
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use poly2mqtt::home_assistant::gateway_document;
use serde_json::Value;

use super::{ALL, facts, namespace, room_value};

fn files(folder: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = std::fs::read_dir(root.join("examples/home-assistant").join(folder)).unwrap();
    let paths = dir.map(|entry| entry.unwrap().path());
    paths
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            (path, text)
        })
        .collect()
}

fn ids(document: &Value, found: &mut BTreeSet<String>) {
    let components = document["components"].as_object().unwrap().values();
    let ids = components.filter_map(|component| component["default_entity_id"].as_str());
    found.extend(ids.map(str::to_owned));
}

/// The entities that a text names: `switch.room_1_microphone_mute`.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.');
    let is_entity = |word: &&str| {
        let rest = word.split_once('.').map(|(_, rest)| rest);
        rest.is_some_and(|rest| rest.starts_with("room_") || rest.starts_with("poly2mqtt_"))
    };
    words.filter(is_entity).map(str::to_owned).collect()
}

#[test]
fn dashboards_name_only_entities_that_there_are() {
    let mut facts = facts(ALL);
    facts.stored = (1..=3).collect();
    let mut known = BTreeSet::new();
    ids(&room_value("", &facts), &mut known);
    facts.id = "2".into();
    ids(&room_value("", &facts), &mut known);
    let gateway = gateway_document(&namespace(""));
    ids(&serde_json::to_value(gateway).unwrap(), &mut known);
    let files = files("dashboards");
    assert_eq!(files.len(), 2);
    for (path, text) in files {
        let named = named(&text);
        assert!(named.len() > 10, "{path:?}: {named:?}");
        let missing: Vec<_> = named.difference(&known).collect();
        assert!(missing.is_empty(), "{path:?}: {missing:?}");
    }
}

#[test]
fn blueprints_use_each_of_their_inputs_and_no_other() {
    let files = files("blueprints");
    assert_eq!(files.len(), 4);
    for (path, text) in files {
        let used: BTreeSet<&str> = text
            .lines()
            .filter_map(|line| line.split_once("!input "))
            .map(|(_, name)| name.trim())
            .collect();
        let (_, inputs) = text.split_once("  input:\n").unwrap();
        let declared: BTreeSet<&str> = inputs
            .lines()
            .take_while(|line| line.starts_with("    "))
            .filter(|line| !line.starts_with("     "))
            .filter_map(|line| line.trim().strip_suffix(':'))
            .collect();
        assert_eq!(used, declared, "{path:?}");
    }
}
