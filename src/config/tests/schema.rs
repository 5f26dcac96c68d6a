//! The JSON Schema says what the reader says: every default and example fits, and what one refuses the other
//! refuses too, as far as a schema can tell.

use jsonschema::Validator;
use serde_json::Value;

use super::*;

fn validator() -> Validator {
    jsonschema::draft7::new(&generate::schema()).unwrap()
}

/// A file as the schema sees it.
fn json(text: &str) -> Value {
    let (_, values) = Sources::read("file".into(), text, Config::KEYS, []).unwrap();
    Value::Object(values)
}

/// The values of certain keys in a section.
fn set(place: Place, lines: &[(&str, &str)]) -> String {
    let (first, more) = lines.split_first().unwrap();
    let more = more.iter().map(|(key, value)| format!("{key} = {value}\n"));
    with(place, Some(*first)) + &more.collect::<String>()
}

#[test]
fn every_default_and_example_fits_the_schema() {
    let schema = validator();
    let mut count = 0;
    for (place, key) in keys() {
        for value in [key.default, key.example].into_iter().flatten() {
            let literal = key.literal(value);
            let mut lines = vec![(key.name, literal.as_str())];
            // A secret's file stands in its place, and a certificate beside its key.
            lines.extend(key.together_with.map(|other| (other, "\"/file\"")));
            let mut text = set(place, &lines);
            if let Some(secret) = key.part_of {
                let file = text.find(&format!("\n{} = ", key.name)).unwrap();
                if let Some(start) = text[..file].rfind(&format!("\n{secret} = ")) {
                    let end = start + 1 + text[start + 1..].find('\n').unwrap();
                    text.replace_range(start..end, "");
                }
            }
            let wrong: Vec<String> = schema
                .iter_errors(&json(&text))
                .map(|e| e.to_string())
                .collect();
            assert!(wrong.is_empty(), "{text}\n{wrong:?}");
            count += 1;
        }
    }
    assert!(count > 50, "{count}");
}

#[test]
fn the_schema_has_defaults_examples_and_bounds() {
    let schema = generate::schema();
    let at = |path: &str| schema.pointer(&path.replace(" ", "/properties/")).cloned();
    let room = "/properties/rooms/patternProperties/^([A-Za-z0-9_-]+)$";
    for (path, wanted) in [
        (
            " mqtt url/default".to_owned(),
            "\"embedded://127.0.0.1:1883\"",
        ),
        (" mqtt open/default".to_owned(), "false"),
        (" mqtt max_payload/minimum".to_owned(), "65536"),
        (" mqtt max_payload/maximum".to_owned(), "268435456"),
        (" http hosts/default".to_owned(), "[]"),
        (" http hosts/examples/0/0".to_owned(), "\"av.example.com\""),
        (" poll pace/enum".to_owned(), "[\"normal\",\"gentle\"]"),
        (format!("{room} preset_offset/minimum"), "-1"),
        (format!("{room} presets/examples/0/1"), "\"Whole table\""),
        (format!("{room} settings/maxItems"), "50"),
        (format!("{room}/required"), "[\"url\"]"),
    ] {
        let wanted: Value = serde_json::from_str(wanted).unwrap();
        assert_eq!(at(&path), Some(wanted), "{path}");
    }
}

const POLL: &str = "[poll]";
const MQTT: &str = "[mqtt]";
const HTTP: &str = "[http]";
const ROOM: &str = "[rooms.tried]";

/// A section by its header.
fn place(header: &str) -> Place {
    *PLACES.iter().find(|place| place.header == header).unwrap()
}

/// Sections, keys and values that are taken.
const GOOD: &[(&str, &str, &[&str])] = &[
    (
        POLL,
        "fast",
        &[
            "\"200ms\"",
            "\"0.2s\"",
            "\"1.5 s\"",
            "\"10m\"",
            "\"1 min\"",
            "\".5s\"",
            "\" 2s\"",
            "\"1h\"",
            "\"0200 ms\"",
            "\"1.s\"",
        ],
    ),
    (
        MQTT,
        "session_expiry",
        &["\"0\"", "0", "\"1s\"", "\"0ms\"", "\"1000ms\""],
    ),
    (
        MQTT,
        "max_payload",
        &[
            "\"64KiB\"",
            "65536",
            "\"65536\"",
            "\"256 MiB\"",
            "\"1MB\"",
            "\"268435456 B\"",
            "\"0.5MiB\"",
        ],
    ),
    (
        MQTT,
        "url",
        &[
            "\"off\"",
            "\"embedded://[::1]:99\"",
            "\"mqtt://broker\"",
            "\"mqtts://b:99/\"",
            "\"embedded://127.0.0.1:0\"",
            "\"embedded://localhost\"",
        ],
    ),
    (MQTT, "topic_prefix", &["\"\"", "\"av\"", "\"av/hall 1\""]),
    (
        HTTP,
        "listen",
        &[
            "\"off\"",
            "\"localhost:80\"",
            "\"[::1]:8080\"",
            "\"127.0.0.1:0\"",
        ],
    ),
    (
        HTTP,
        "trusted_proxies",
        &["[]", "[\"10.0.0.0/8\", \"fe80::/10\", \"::1\"]"],
    ),
    (
        ROOM,
        "url",
        &[
            "\"https://codec_1\"",
            "\"https://192.0.2.1:8443/\"",
            "\"https://[2001:db8::1]\"",
            "\"https://1e3\"",
        ],
    ),
    (ROOM, "password", &["456", "\"a b\"", "\" x\""]),
    (ROOM, "name", &["12", "\"Hall\""]),
    (ROOM, "certificate", &["\"system\"", "\"insecure\""]),
    (ROOM, "readiness", &["\"off\"", "\"6:30\"", "\"23:59\""]),
    (ROOM, "readiness_dial", &["\"\"", "4711"]),
    (
        ROOM,
        "poll",
        &["\"gentle\"", "{ fast = \"1s\", pace = \"normal\" }"],
    ),
    (ROOM, "presets", &["{ 1 = \"A\", 10 = \" B \" }"]),
    (
        ROOM,
        "allow",
        &["[]", "[\"system/reboot\", \"config/set\"]"],
    ),
    ("[[http.token]]", "rooms", &["[\"boardroom\"]"]),
    ("[[http.token]]", "access", &["\"read\"", "\"admin\""]),
];

/// Sections, keys and values that are refused.
const BAD: &[(&str, &str, &[&str])] = &[
    (
        POLL,
        "fast",
        &[
            "\"199ms\"",
            "\"0.19s\"",
            "\"0\"",
            "2",
            "\"2\"",
            "\"fast\"",
            "\"-2s\"",
            "\"2 s s\"",
            "\"1.2.3s\"",
            "\"\"",
            "\"s\"",
            "\".s\"",
            "true",
            "\"2d\"",
            "\"0.00001h\"",
        ],
    ),
    (POLL, "pace", &["\"slow\"", "\"Gentle\"", "\"\"", "1"]),
    (POLL, "meters", &["\"yes\"", "1", "[]"]),
    (POLL, "fats", &["\"2s\""]),
    (
        MQTT,
        "session_expiry",
        &["\"999ms\"", "\"0.5s\"", "1", "\"1\""],
    ),
    (MQTT, "keep_alive", &["\"4999ms\"", "\"4s\"", "\"0.08m\""]),
    (
        MQTT,
        "max_payload",
        &[
            "\"63KiB\"",
            "65535",
            "\"257MiB\"",
            "268435457",
            "\"10 apples\"",
            "\"MiB\"",
            "\"300000KiB\"",
            "\"10mib\"",
            "-1",
        ],
    ),
    (
        MQTT,
        "url",
        &[
            "\"broker\"",
            "\"tcp://broker\"",
            "\"mqtt://broker/path\"",
            "\"mqtt://u:p@broker\"",
            "\"embedded://broker\"",
            "\"mqtt://127.0.0.010\"",
            "\"mqtt://broker:0\"",
            "\"mqtt://broker:65536\"",
            "\"\"",
            "\"mqtt://\"",
            "1",
            "\"mqtts://256.1.1.1\"",
        ],
    ),
    (
        MQTT,
        "certificate",
        &["\"insecure\"", "\"sha256:00\"", "\"md5:0\""],
    ),
    (
        MQTT,
        "topic_prefix",
        &["\"/av\"", "\"av/\"", "\"av/+\"", "\"#\"", "\"$SYS\""],
    ),
    ("[[mqtt.user]]", "access", &["\"admin\"", "\"write\""]),
    (
        HTTP,
        "listen",
        &[
            "\"8080\"",
            "\"127.0.0.1\"",
            "\"127.0.0.1:65536\"",
            "\"host:80\"",
            "\"256.0.0.1:80\"",
            "\"http://127.0.0.1:80\"",
            "8080",
        ],
    ),
    (
        HTTP,
        "hosts",
        &[
            "[\"a:80\"]",
            "[\"*.example.com\"]",
            "[\"\"]",
            "[\"https://a\"]",
        ],
    ),
    (
        HTTP,
        "trusted_proxies",
        &[
            "[\"10.0.0.0/33\"]",
            "[\"proxy\"]",
            "[\"::1/129\"]",
            "[\"10.0.0\"]",
        ],
    ),
    (
        "[[http.token]]",
        "token",
        &["\"\"", "\" \"", "\" x\"", "\"x \"", "true"],
    ),
    ("[[http.token]]", "access", &["\"root\"", "\"Read\""]),
    ("[[http.token]]", "rooms", &["[\"a/b\"]", "[\"\"]"]),
    ("[tcp]", "listen", &["\"8023\"", "\"on\""]),
    ("[home_assistant]", "prefix", &["\"\"", "\"a/#\"", "\"/a\""]),
    ("[home_assistant]", "discovery", &["\"on\"", "2"]),
    (
        ROOM,
        "url",
        &[
            "\"http://codec\"",
            "\"codec\"",
            "\"https://\"",
            "\"https://a/b\"",
            "\"https://a?x\"",
            "\"https://admin@a\"",
            "\"https://a:0\"",
            "\"https://a:99999\"",
            "\"https://10.0.0.01\"",
            "\"https://1.2.3.4.5\"",
            "\"https://2001:db8::1\"",
            "\"https://<codec>\"",
            "\"https://co dec\"",
            "5",
        ],
    ),
    (
        ROOM,
        "certificate",
        &[
            "\"sha256:0\"",
            "\"SYSTEM\"",
            "\"pinned\"",
            "\"\"",
            "\"sha256:000000000000000000000000000000000000000000000000000000000000000g\"",
        ],
    ),
    (ROOM, "preset_offset", &["1", "-2", "\"x\"", "0.5"]),
    (
        ROOM,
        "presets",
        &[
            "{ 11 = \"A\" }",
            "{ 0 = \"A\" }",
            "{ 1 = \"\" }",
            "{ 1 = \" \" }",
            "[]",
            "{ 1 = \"0123456789012345678901234567890123456789012345678901234567890123x\" }",
        ],
    ),
    (
        ROOM,
        "readiness",
        &[
            "\"24:00\"",
            "\"6\"",
            "\"6:3\"",
            "\"6:30 pm\"",
            "\"on\"",
            "630",
        ],
    ),
    (ROOM, "allow", &["[\"system/format\"]", "[\"\"]"]),
    (
        ROOM,
        "settings",
        &[
            "[\"name\"]",
            "[\"a.b\", \"a.b\"]",
            "[\"a b.c\"]",
            "[\"a..b\"]",
        ],
    ),
    (ROOM, "max_command_age", &["\"99ms\"", "\"0\"", "5"]),
    (
        ROOM,
        "poll",
        &["\"slow\"", "{ fast = \"1ms\" }", "{ quick = \"1s\" }", "7"],
    ),
    (ROOM, "password", &["\"\"", "\"  \"", "true", "1.5"]),
    (ROOM, "keep_alive", &["\"maybe\""]),
    ("[defaults]", "url", &["\"https://a\""]),
    ("[defaults]", "certificate", &["\"no\""]),
];

#[test]
fn schema_and_check_take_and_refuse_alike() {
    let schema = validator();
    let mut wrong = Vec::new();
    for (table, good) in [(GOOD, true), (BAD, false)] {
        for (header, key, values) in table {
            for value in *values {
                let text = with(place(header), Some((key, value)));
                let check = findings(&text).1.errors;
                if check.is_empty() != good {
                    wrong.push(format!("check: {header} {key} = {value}: {check:?}"));
                }
                if schema.is_valid(&json(&text)) != good {
                    wrong.push(format!("schema: {header} {key} = {value}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What excludes another, what belongs together, what is missing, and keys that nobody knows.
#[test]
fn tables_are_refused_alike() {
    let schema = validator();
    let room = "[rooms.a]\nurl = \"https://a\"\n";
    for text in [
        format!("{room}password = \"x\"\npassword_file = \"/f\"\n"),
        format!("{room}password = \"x\"\ncertificate = \"system\"\nca_file = \"/f\"\n"),
        "[rooms.a]\npassword = \"x\"\n".to_owned(),
        format!("{room}password = \"x\"\n[http]\ntls_cert_file = \"/f\"\n"),
        format!("{room}password = \"x\"\n[mqtt]\nurl = \"mqtts://a\"\nclient_key_file = \"/f\"\n"),
        format!("{room}password = \"x\"\n[[http.token]]\ntoken = \"0123456789abcdef\"\n"),
        format!(
            "{room}password = \"x\"\n[[http.token]]\nname = \"a\"\ntoken = \"x\"\ntoken_file = \"/f\"\n"
        ),
        "[rooms.\"a b\"]\nurl = \"https://a\"\npassword = \"x\"\n".to_owned(),
        "[room.a]\nurl = \"https://a\"\n".to_owned(),
        "rooms = 7\n".to_owned(),
        "[http.token]\nname = \"a\"\n".to_owned(),
        "mqtt = \"off\"\n".to_owned(),
    ] {
        assert!(!findings(&text).1.errors.is_empty(), "{text}");
        assert!(!schema.is_valid(&json(&text)), "{text}");
    }
}

/// Numbers below 2³² that look random and are the same in each run (Numerical Recipes' generator).
fn next(seed: &mut u32) -> usize {
    *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    (*seed >> 8) as usize
}

/// An editor never complains of what the gateway takes: values near the good ones, some of which are good too.
#[test]
fn the_schema_refuses_nothing_that_check_takes() {
    const LETTERS: &[u8] = b"0123456789abfms.:/-_ %[]+#$@,!~";
    const SIZE_LETTERS: &[u8] = b"0123456789.KMiB k";
    const CHANGED: usize = 150;
    let schema = validator();
    let mut seed = 7;
    let (mut taken, mut refused) = (0, 0);
    for (place, key) in keys() {
        let is_text = matches!(
            key.kind,
            KeyType::Text | KeyType::Duration(_) | KeyType::Size(..)
        );
        let values = [key.default, key.example].into_iter().flatten();
        for value in values.filter(|_| is_text) {
            let letters = match key.kind {
                KeyType::Size(..) => SIZE_LETTERS,
                _ => LETTERS,
            };
            for _ in 0..CHANGED {
                let mut value: Vec<char> = value.chars().collect();
                for _ in 0..1 + next(&mut seed) % 3 {
                    let letter = char::from(letters[next(&mut seed) % letters.len()]);
                    let at = next(&mut seed) % (value.len() + 1);
                    match next(&mut seed) % 3 {
                        0 => value.insert(at, letter),
                        1 if at < value.len() => value[at] = letter,
                        _ if at < value.len() => drop(value.remove(at)),
                        _ => {}
                    }
                }
                let value = String::from_iter(value);
                let text = with(place, Some((key.name, &key.literal(&value))));
                let takes = findings(&text).1.errors.is_empty();
                let fits = schema.is_valid(&json(&text));
                assert!(!takes || fits, "check takes and the schema refuses {text}");
                taken += usize::from(takes);
                refused += usize::from(!fits);
            }
        }
    }
    assert!(taken > 500 && refused > 500, "{taken} {refused}");
}
