//! What is generated from the configuration's keys: schema, page, example, and what `gateway/info` shows.
use poly2mqtt::config::generate::{example, page, schema};

use super::read;

/// Users start from the commented file: it must load, and every key must be in it.
#[test]
fn the_example_is_good_and_complete() {
    let text = example();
    assert!(read(&text).is_ok());
    let uncommented: String = text
        .lines()
        .map(|line| {
            let key = line.strip_prefix("# ").filter(|rest| {
                rest.starts_with("[[")
                    || rest.split(" = ").next().is_some_and(|key| {
                        rest.contains(" = ")
                            && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
                    })
            });
            format!("{}\n", key.unwrap_or(line))
        })
        .collect();
    let told = read(&uncommented).err().unwrap_or_default();
    assert!(!told.contains("unknown key"), "{told}");
    assert!(!told.contains("not TOML"), "{told}");
    let mut keys = Vec::new();
    names(&schema(), &mut keys);
    assert!(keys.len() > 25);
    for key in keys {
        let named = uncommented.contains(&format!("{key} = "))
            || uncommented.contains(&format!("[{key}]"))
            || uncommented.contains(&format!("[{key}."))
            || uncommented.contains(&format!(".{key}]]"));
        assert!(named, "{key} is not in config/poly2mqtt.toml");
    }
}

fn names(schema: &serde_json::Value, into: &mut Vec<String>) {
    if let Some(properties) = schema["properties"].as_object() {
        for (name, below) in properties {
            into.push(name.clone());
            names(below, into);
            names(&below["items"], into);
        }
    }
    if let Some(patterns) = schema["patternProperties"].as_object() {
        patterns.values().for_each(|below| names(below, into));
    }
}

/// The keys of a table, as the schema has them.
fn keys_of<'a>(schema: &'a serde_json::Value, section: &str) -> Vec<&'a String> {
    let mut table = schema;
    for name in section.split('.') {
        table = &table["properties"][name];
        if table["items"].is_object() {
            table = &table["items"];
        }
        if let Some(patterns) = table["patternProperties"].as_object() {
            table = patterns.values().next().unwrap();
        }
    }
    table["properties"].as_object().unwrap().keys().collect()
}

/// Every key, given every wrong type of TOML: one line that names the key, where it stands, and what is wrong.
#[test]
fn a_value_of_a_wrong_type_is_told_for_every_key() {
    let schema = schema();
    let room = "url = \"https://192.0.2.1\"\npassword = \"x\"\n";
    let user = "name = \"n\"\npassword = \"0123456789abcdef\"\n";
    let token = "name = \"n\"\ntoken = \"0123456789abcdef\"\n";
    let mut tried = 0;
    for (section, header, beside) in [
        ("mqtt", "[mqtt]", ""),
        ("mqtt.user", "[[mqtt.user]]", user),
        ("http", "[http]", ""),
        ("http.token", "[[http.token]]", token),
        ("tcp", "[tcp]", ""),
        ("home_assistant", "[home_assistant]", ""),
        ("poll", "[poll]", ""),
        ("defaults", "[defaults]", ""),
        ("rooms", "[rooms.1]", room),
    ] {
        for key in keys_of(&schema, section) {
            for (value, kind) in [
                ("{ a = { b = 1 } }", "not a table"),
                ("[[1, 2], [3]]", "not a list"),
                ("[{ a = 1 }]", "not a list"),
                ("true", "not a truth value"),
                ("1.5", "not a number"),
                ("1979-05-27", ""),
            ] {
                // Another value for the key is left out: TOML has each key once.
                let others = beside
                    .lines()
                    .filter(|line| !line.starts_with(&format!("{key} = ")));
                let others: String = others.map(|line| format!("{line}\n")).collect();
                let text = format!("{header}\n{key} = {value}\n{others}");
                let Err(told) = read(&text) else {
                    // What a file may say so: a switch, a number of seconds, a plain text.
                    assert!(!value.starts_with(['{', '[']), "{text}");
                    continue;
                };
                tried += 1;
                let of_key =
                    |line: &&str| line.contains("poly2mqtt.toml:2: ") && line.contains(&**key);
                let lines: Vec<&str> = told.lines().filter(of_key).collect();
                assert!(!lines.is_empty(), "{text}: {told}");
                let says_type = lines.iter().any(|line| line.contains(kind));
                let is_deeper = lines.iter().any(|line| line.contains(&format!("{key}.")));
                if value.starts_with(['{', '[']) {
                    assert!(says_type || is_deeper, "{text}: {told}");
                }
            }
        }
    }
    assert!(tried > 200, "{tried}");
}

/// What is listed for a key reaches all that is made from it.
#[test]
fn a_key_is_in_schema_page_and_example() {
    let sections = [
        "mqtt",
        "mqtt.user",
        "http",
        "http.token",
        "tcp",
        "home_assistant",
        "cluster",
        "poll",
        "rooms",
    ];
    for section in sections {
        let marked = format!("<!-- generated: {section} -->\n<!-- end -->\n");
        let table = page(&marked).unwrap();
        let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
        let rows: Vec<&str> = rows.map(|row| row.split('`').next().unwrap()).collect();
        let mut schema = &schema();
        for name in section.split('.') {
            let below = &schema["properties"][name];
            schema = match below["type"].as_str() {
                Some("array") => &below["items"],
                _ if below["patternProperties"].is_object() => below["patternProperties"]
                    .as_object()
                    .unwrap()
                    .values()
                    .next()
                    .unwrap(),
                _ => below,
            };
        }
        let properties = schema["properties"].as_object().unwrap();
        assert_eq!(rows, Vec::from_iter(properties.keys()), "{section}");

        let example = example();
        let (_, rest) = example.split_once(&format!("[{section}")).unwrap();
        let end = rest.find("\n[").unwrap_or(rest.len());
        for key in rows {
            let line = rest[..end].lines().any(|line| {
                let line = line.trim_start_matches("# ");
                line.starts_with(&format!("{key} = ")) || line == format!("[[{section}.{key}]]")
            });
            assert!(line, "{section}.{key}");
        }
    }
}

/// Programs read the configuration in `gateway/info`: its names and forms stay.
#[test]
fn gateway_info_shows_these_keys() {
    let text = "[mqtt]\nurl = \"mqtts://broker:8884\"\nusername = \"u\"\npassword = \"p\"\n\
        client_id = \"c\"\ntopic_prefix = \"av\"\nsession_expiry = \"0\"\nmax_payload = \"1MiB\"\n\
        [http]\nlisten = \"127.0.0.1:99\"\nopen = true\nhosts = [\"a.b\"]\n\
        [[http.token]]\nname = \"panel\"\ntoken = \"0123456789abcdef\"\nrooms = [\"a\"]\n\
        access = \"admin\"\n[[http.token]]\nname = \"q\"\ntoken = \"1123456789abcdef\"\n\
        [tcp]\nlisten = \"localhost:12\"\n[home_assistant]\ndiscovery = false\n\
        prefix = \"ha/x\"\n[poll]\nnormal = \"20s\"\n[defaults]\nuser = \"me\"\npassword = \"x\"\n\
        [rooms.a]\nurl = \"https://a:99\"\nname = \"A\"\ncertificate = \"insecure\"\n\
        readiness = \"6:30\"\nreadiness_dial = \"echo@example.com\"\n\
        allow = [\"system/reboot\"]\nsettings = [\"a.b\"]\npoll = { fast = \"1.5s\", meters = true }\npreset_offset = -1\n\
        presets = { 1 = \"Whole table\", 10 = \"Door\" }\n\
        keep_alive = false\nmax_command_age = \"100ms\"\n[rooms.b]\nurl = \"https://b\"\npoll = \"gentle\"\n";
    let wanted = serde_json::json!({
        "mqtt": {
            "url": "mqtts://broker:8884",
            "username": "u",
            "topic_prefix": "av",
            "session_expiry": 0.0,
            "max_payload": 1 << 20,
            "users": false,
        },
        "http": {
            "listen": "127.0.0.1:99",
            "open": true,
            "hosts": ["a.b"],
            "tls": false,
            "tokens": [
                {"name": "panel", "rooms": ["a"], "access": "admin"},
                {"name": "q", "rooms": null, "access": "control"},
            ],
        },
        "tcp": {"listen": "127.0.0.1:12", "tls": false},
        "home_assistant": {
            "discovery": false,
            "prefix": "ha/x",
            "status_topic": "ha/x/status",
        },
        "rooms": {
            "a": {
                "name": "A",
                "url": "https://a:99/",
                "user": "me",
                "certificate": "insecure",
                "allow": ["system/reboot"],
                "settings": ["a.b"],
                "poll": {"fast": 1.5, "normal": 20.0, "slow": 60.0, "meters": true, "pace": "normal"},
                "preset_offset": -1,
                "presets": {"1": "Whole table", "10": "Door"},
                "keep_alive": false,
                "readiness": "06:30",
                "readiness_dial": "echo@example.com",
                "max_command_age": 0.1,
            },
            "b": {
                "name": null,
                "url": "https://b/",
                "user": "me",
                "certificate": "unset",
                "allow": [],
                "settings": [],
                "poll": {"fast": 2.0, "normal": 20.0, "slow": 60.0, "meters": false, "pace": "gentle"},
                "preset_offset": null,
                "presets": null,
                "keep_alive": true,
                "readiness": "off",
                "readiness_dial": null,
                "max_command_age": 5.0,
            },
        },
    });
    assert_eq!(read(text).unwrap().redacted(), wanted);
    // The names of the embedded broker's users are not shown, only that it has some.
    let text = "[[mqtt.user]]\nname = \"panel\"\npassword = \"0123456789abcdef\"\n\
        [rooms.a]\nurl = \"https://a\"\npassword = \"x\"\n";
    assert_eq!(read(text).unwrap().redacted()["mqtt"]["users"], true);
}
