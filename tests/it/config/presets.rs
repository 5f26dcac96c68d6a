//! `presets`: the names of camera presets, in the file and in the environment.
use serde_json::{Value, json};

use super::{ROOM, errors, read, read_with};

#[test]
fn presets_are_named_by_number() {
    let presets = |text: &str| {
        let config = read(text).unwrap_or_else(|told| panic!("{text}: {told}"));
        config.rooms["1"].presets.to_json().unwrap_or_default()
    };
    let named = json!({"1": "Whole table", "10": "Door"});
    assert_eq!(presets(ROOM), Value::Null);
    for table in [
        "presets = { 1 = \"Whole table\", 10 = \"Door\" }",
        "presets = { \"1\" = \" Whole table \", \"10\" = 'Door' }",
        "[rooms.1.presets]\n1 = \"Whole table\"\n10 = \"Door\"",
        "presets.1 = \"Whole table\"\npresets.10 = \"Door\"",
    ] {
        assert_eq!(presets(&format!("{ROOM}{table}")), named);
    }
    // Those of [defaults] hold for a room that names none; its own table replaces them.
    let defaults = "[defaults]\npresets = { 1 = \"Whole table\", 10 = \"Door\" }\n";
    assert_eq!(presets(&format!("{defaults}{ROOM}")), named);
    let own = format!("{defaults}{ROOM}presets = {{ 1 = \"Door\" }}");
    assert_eq!(presets(&own), json!({"1": "Door"}));
    assert_eq!(
        presets(&format!("{defaults}{ROOM}presets = {{}}")),
        Value::Null
    );
    // The environment names one, whatever the file says of the others.
    for (file, wanted) in [
        ("", json!({"2": "Desk"})),
        (
            "presets = { 1 = \"Whole table\", 2 = \"Lectern\" }",
            json!({"1": "Whole table", "2": "Desk"}),
        ),
    ] {
        let variable = ("POLY2MQTT_ROOMS__1__PRESETS__2", "Desk");
        let loaded = read_with(&format!("{ROOM}{file}"), &[variable]).unwrap();
        assert_eq!(loaded.config.rooms["1"].presets.to_json(), Some(wanted));
    }
}

#[test]
fn a_wrong_name_of_a_preset_is_named_with_its_place() {
    let long = format!("presets = {{ 3 = \"{}\" }}", "x".repeat(65));
    for (line, wanted) in [
        (
            "presets = { 0 = \"Door\" }",
            "rooms.1.presets.0: unknown key; known here are 1, 2,",
        ),
        (
            "presets = { 11 = \"Door\" }",
            "rooms.1.presets.11: unknown key; known here are 1, 2,",
        ),
        (
            "presets = { Door = \"1\" }",
            "rooms.1.presets.Door: unknown key; known here are 1, 2,",
        ),
        ("presets = [\"Door\"]", "rooms.1.presets: takes a table"),
        (
            "presets = { 3 = \"\" }",
            "rooms.1.presets.3: takes a text that is not empty",
        ),
        (
            "presets = { 3 = \" \" }",
            "rooms.1.presets.3: takes a text that is not empty",
        ),
        (
            "presets = { 3 = 4 }",
            "rooms.1.presets.3: takes a name, not a number",
        ),
        (
            "presets = { 3 = \"4.0\" }",
            "rooms.1.presets.3: takes a name, not a number",
        ),
        ("presets = { 3 = true }", "rooms.1.presets.3: takes a text"),
        (
            "presets = { 3 = \"a\\tb\" }",
            "rooms.1.presets.3: has a character that cannot be seen",
        ),
        (
            "presets = { 3 = \"a/../b\" }",
            "rooms.1.presets.3: takes a name without the steps",
        ),
        (
            &long,
            "rooms.1.presets.3: takes a name of at most 64 characters",
        ),
        (
            "presets = { 3 = \"Door\", 1 = \"DOOR \" }",
            "rooms.1.presets.3: is the name of preset 1 too",
        ),
    ] {
        let told = errors(&format!("{ROOM}{line}"));
        assert!(told.contains(wanted), "{line}: {told}");
    }
    let variable = ("POLY2MQTT_ROOMS__1__PRESETS__12", "Desk");
    let told = read_with(ROOM, &[variable]).unwrap_err().to_string();
    assert!(told.contains("unknown key; known here are 1, 2,"), "{told}");
}
