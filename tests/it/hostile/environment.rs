//! Environment variables over a configuration: any value is accepted or refused, and no message
//! holds a secret.

use poly2mqtt::config;

const FILE: &str = "[rooms.1]\nurl = \"https://192.0.2.1\"\npassword = \"456\"\n";
/// The end of the one variable that is a secret.
const CANARY: &str = "canary-9f86d081884c";

/// Each line is `NAME=value`; the first line is the password of room 1.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut lines = text.lines();
    let password = format!("{}{CANARY}", lines.next().unwrap_or_default());
    let mut variables = vec![("POLY2MQTT_ROOMS__1__PASSWORD".to_owned(), password)];
    variables.extend(lines.filter_map(|line| {
        let (name, value) = line.split_once('=')?;
        // Files that it names would be opened.
        let opens = name.to_ascii_uppercase().contains("FILE") || value.contains("_file");
        (!opens).then(|| (format!("POLY2MQTT_{name}"), value.to_owned()))
    }));
    let said = match config::read("file".into(), FILE, variables) {
        Ok(loaded) => format!("{:?} {:?}", loaded.config, loaded.warnings),
        Err(errors) => errors.to_string(),
    };
    assert!(!said.is_empty());
    // Whoever writes the password elsewhere too has it shown.
    if !text.contains("canary") {
        assert!(!said.contains(CANARY), "{said}");
    }
}
