//! What holds for every key of every section, so that a new key is checked without a test of its
//! own.

mod dependent;
mod schema;

use std::collections::BTreeSet;
use std::time::Duration;

use super::key::Info;
use super::*;
use crate::secret::UNGUESSABLE_TOKEN_LENGTH;

/// A section and where it is in the file.
#[derive(Debug, Clone, Copy)]
struct Place {
    header: &'static str,
    keys: &'static [Key],
    /// What the section needs besides the key that is tried.
    needs: &'static [(&'static str, &'static str)],
}

const PASSWORD: (&str, &str) = ("password", "\"x\"");
const PLACES: &[Place] = &[
    Place {
        header: "[mqtt]",
        keys: MqttConfig::KEYS,
        needs: &[],
    },
    Place {
        header: "[[mqtt.user]]",
        keys: MqttUser::KEYS,
        needs: &[("name", "\"n\""), PASSWORD],
    },
    Place {
        header: "[http]",
        keys: HttpConfig::KEYS,
        needs: &[],
    },
    Place {
        header: "[[http.token]]",
        keys: HttpToken::KEYS,
        needs: &[("name", "\"n\""), ("token", "\"x\"")],
    },
    Place {
        header: "[tcp]",
        keys: TcpConfig::KEYS,
        needs: &[],
    },
    Place {
        header: "[home_assistant]",
        keys: HomeAssistantConfig::KEYS,
        needs: &[],
    },
    Place {
        header: "[mqtt]\nurl = \"mqtt://a\"\n[cluster]",
        keys: ClusterConfig::KEYS,
        needs: &[
            ("name", "\"gw-1\""),
            ("etcd", "[\"http://192.0.2.7\"]"),
            ("username", "\"u\""),
            PASSWORD,
            ("advertise", "\"http://192.0.2.8:8080\""),
            ("token", "\"sixteen letters.\""),
        ],
    },
    Place {
        header: "[poll]",
        keys: PollConfig::KEYS,
        needs: &[],
    },
    Place {
        header: "[defaults]",
        keys: RoomConfig::DEFAULTS_KEYS,
        needs: &[],
    },
    Place {
        header: "[rooms.tried]",
        keys: RoomConfig::KEYS,
        needs: &[("url", "\"https://192.0.2.1\""), PASSWORD],
    },
];

/// A configuration with this section, in which a key is set.
fn with(place: Place, key: Option<(&str, &str)>) -> String {
    let needs = place.needs.iter().copied();
    let needs = needs.filter(|(name, _)| key.is_none_or(|(key, _)| key != *name));
    let lines = needs.chain(key);
    let lines: String = lines
        .map(|(key, value)| format!("{key} = {value}\n"))
        .collect();
    let room = "[rooms.boardroom]\nurl = \"https://192.0.2.9\"\npassword = \"x\"\n";
    format!("{room}{}\n{lines}", place.header)
}

/// Every key that is no list of tables, with its place.
fn keys() -> impl Iterator<Item = (Place, &'static Key)> {
    let keys = PLACES
        .iter()
        .flat_map(|place| place.keys.iter().map(|key| (*place, key)));
    keys.filter(|(_, key)| !matches!(key.kind, KeyType::Tables(_)))
}

/// The example file with every key in use.
fn everything() -> String {
    let line = |line: &str| {
        let key = line.strip_prefix("# ").filter(|rest| {
            let name = rest.split(" = ").next().filter(|_| rest.contains(" = "));
            let is_name = |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            rest.starts_with("[[") || name.is_some_and(is_name)
        });
        format!("{}\n", key.unwrap_or(line))
    };
    generate::example().lines().map(line).collect()
}

fn findings(text: &str) -> (Option<Config>, Findings) {
    let (sources, values) = Sources::read("file".into(), text, Config::KEYS, []).unwrap();
    read_values(values, &sources)
}

#[test]
fn listed_keys_are_those_that_are_read() {
    let (_, findings) = findings(&everything());
    assert_eq!(findings.mistakes, Vec::<String>::new());
    // The test above would see nothing if the example lacked sections.
    let mut places = BTreeSet::from_iter(PLACES.iter().map(|place| place.header));
    places.remove("[rooms.tried]");
    for header in places {
        let header = header.lines().last().unwrap();
        assert!(everything().contains(&format!("\n{header}\n")), "{header}");
    }
}

#[test]
fn a_key_that_is_not_listed_is_a_mistake() {
    let findings = RefCell::default();
    let (sources, values) = Sources::read("file".into(), "", Config::KEYS, []).unwrap();
    let mut reader = Reader::root(values, TcpConfig::KEYS, &sources, &findings);
    reader.text("lisen");
    reader.text("tls");
    reader.finish();
    assert_eq!(
        findings.into_inner().mistakes,
        [
            "lisen is read, but not listed or listed as another kind",
            "tls is read, but not listed or listed as another kind",
            "listen is listed, but not read",
        ]
    );
}

#[test]
fn every_key_has_a_value_unless_it_is_part_of_another() {
    fn check(keys: &[Key], values: &Values) {
        let listed = keys.iter().filter(|key| key.part_of.is_none());
        let listed = BTreeSet::from_iter(listed.map(|key| key.name));
        assert_eq!(listed, BTreeSet::from_iter(values.keys().copied()));
        for key in keys {
            let secret = matches!(key.kind, KeyType::Secret);
            let value = values.get(key.name);
            assert_eq!(
                secret,
                matches!(value, Some(KeyValue::Secret(_))),
                "{}",
                key.name
            );
            match value {
                Some(KeyValue::Table(values)) => check(key.below(), values),
                Some(KeyValue::Tables(list)) => list.iter().for_each(|v| check(key.below(), v)),
                Some(KeyValue::ById(tables)) => tables.values().for_each(|v| check(key.below(), v)),
                _ => {}
            }
        }
    }
    let text = "[[mqtt.user]]\nname = \"n\"\npassword = \"x\"\n[[http.token]]\nname = \"n\"\n\
                token = \"x\"\n[rooms.1]\nurl = \"https://h\"\npassword = \"x\"\n";
    let (config, _) = findings(text);
    check(Config::KEYS, &config.unwrap().values());
}

#[test]
fn no_secret_is_in_gateway_info() {
    let secrets = keys().filter(|(_, key)| matches!(key.kind, KeyType::Secret));
    let names = secrets.map(|(_, key)| {
        assert_eq!(key.info, Info::Hidden, "{}", key.name);
        key.name
    });
    let names: BTreeSet<&str> = names.collect();
    let known = BTreeSet::from(["password", "token"]);
    assert!(names.is_superset(&known), "{names:?}");
}

#[test]
fn explanations_are_lines_without_a_full_stop() {
    for key in PLACES.iter().flat_map(|place| place.keys) {
        let meanings = key.choices.iter().map(|(_, meaning)| *meaning);
        for text in [key.about].into_iter().chain(meanings) {
            let good = !text.is_empty() && !text.ends_with(['.', ':', ' ']) && !text.contains('\n');
            // The bar would end a cell of the table.
            assert!(good && !text.contains('|'), "{}: {text}", key.name);
        }
        assert!(
            key.about
                .starts_with(|c: char| c.is_uppercase() || c == '`'),
            "{}",
            key.name
        );
        let shown = key.example.or(key.default);
        assert!(
            shown.is_some() || !key.below().is_empty(),
            "{} has no example",
            key.name
        );
    }
}

/// The defaults that people read are those that hold.
#[test]
fn setting_a_key_to_its_default_changes_nothing() {
    let mut count = 0;
    for (place, key) in keys() {
        let Some(default) = key.default else { continue };
        let literal = key.literal(default);
        let set = with(place, Some((key.name, &literal)));
        let config = |text: &str| {
            let (config, findings) = findings(text);
            assert_eq!(findings.errors, [], "{text}");
            config.unwrap()
        };
        assert_eq!(config(&set), config(&with(place, None)), "{set}");
        count += 1;
    }
    assert!(count > 15, "{count}");
}

/// Examples are values that the key takes. Only their files are not there.
#[test]
fn every_example_is_taken() {
    for (place, key) in keys() {
        let value = key.example.or(key.default).unwrap();
        let text = with(place, Some((key.name, &key.literal(value))));
        for error in findings(&text).1.errors {
            let about_a_file = error.key.ends_with("_file")
                && !["takes", "unknown"]
                    .iter()
                    .any(|word| error.message.contains(word));
            let other_broker = ["at its own broker", "with an mqtts:// url"]
                .iter()
                .any(|words| error.message.contains(words));
            assert!(about_a_file || other_broker, "{text}{error}");
        }
    }
}

/// Two configurations that differ in every section.
fn two() -> [Config; 2] {
    let files = ["Cargo.toml", "Cargo.lock"].map(|name| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        format!("\"{}\"", path.display())
    });
    let [one, other] = files;
    let old = format!(
        "[mqtt]\nurl = \"mqtt://a\"\npassword = \"x\"\n\
         [http]\ntls_cert_file = {one}\ntls_key_file = {one}\n[[http.token]]\nname = \"t\"\n\
         token = \"1\"\n[rooms.a]\nurl = \"https://a\"\npassword = \"x\"\n[rooms.b]\n\
         url = \"https://b\"\npassword = \"x\"\n"
    );
    let new = format!(
        "[mqtt]\nurl = \"mqtt://a\"\npassword = \"y\"\nkeep_alive = \"9s\"\n\
         [http]\nlisten = \"127.0.0.1:1\"\nopen = true\ntls_cert_file = {other}\n\
         tls_key_file = {one}\n[[http.token]]\nname = \"t\"\ntoken = \"2\"\n\
         [tcp]\nlisten = \"127.0.0.1:2\"\n[home_assistant]\nprefix = \"x\"\n\
         [rooms.a]\nurl = \"https://a\"\npassword = \"y\"\npoll = {{ fast = \"1s\" }}\n\
         [rooms.c]\nurl = \"https://c\"\npassword = \"x\"\n"
    );
    [old, new].map(|text| {
        let (config, findings) = findings(&text);
        assert_eq!(findings.errors, []);
        config.unwrap()
    })
}

#[test]
fn changes_are_named_by_their_keys() {
    let [old, new] = two();
    let changed = changes(&old, &new);
    assert_eq!(
        changed.at_next_start,
        [
            "mqtt.password",
            "mqtt.keep_alive",
            "http.listen",
            "tcp.listen",
            "home_assistant.prefix",
            "home_assistant.status_topic",
        ]
    );
    assert_eq!(
        changed.now,
        [
            "http.open",
            "http.tls_cert_file",
            "http.token",
            "rooms.a.password",
            "rooms.a.poll.fast",
            "rooms.c",
            "rooms.b",
        ]
    );
    assert_eq!(changes(&old, &old), Changes::default());
    let plain = Config {
        http: HttpConfig {
            tls: None,
            ..old.http.clone()
        },
        ..old.clone()
    };
    let tls = ["http.tls_cert_file", "http.tls_key_file"];
    assert_eq!(changes(&old, &plain).at_next_start, tls);
    assert_eq!(changes(&plain, &old).at_next_start, tls);
}

/// What the tables of keys say is what the sections do.
#[test]
fn a_reload_keeps_exactly_what_takes_effect_at_the_next_start() {
    let [old, new] = two();
    let plain = |config: &Config| {
        let mut config = config.clone();
        config.http.tls = None;
        config
    };
    for (old, new) in [
        (old.clone(), new.clone()),
        (new.clone(), old.clone()),
        (plain(&old), new.clone()),
        (old, plain(&new)),
    ] {
        let wanted = changes(&old, &new).now;
        let mut kept = new;
        kept.keep_until_restart(&old);
        let left = changes(&old, &kept);
        assert_eq!(left.at_next_start, Vec::<String>::new());
        assert_eq!(left.now, wanted);
    }
}

/// A value that is not the default, where one can be told from the kind.
fn another(key: &Key) -> String {
    let value = match key.kind {
        KeyType::Bool if key.default == Some("true") => "false",
        KeyType::Bool => "true",
        KeyType::Duration(_) => "7s",
        KeyType::Size(..) => "1MiB",
        KeyType::Integer(min, _) => return min.to_string(),
        _ => key.example.unwrap_or("another"),
    };
    key.literal(value)
}

/// A change of one key alone is named, and taken over when its table says so.
#[test]
fn each_key_is_taken_over_when_its_table_says_so() {
    let mut count = 0;
    for (place, key) in keys() {
        let old = findings(&with(place, None));
        let new = findings(&with(place, Some((key.name, &another(key)))));
        if !new.1.errors.is_empty() {
            // It needs other keys beside it.
            continue;
        }
        let [old, mut new] = [old, new].map(|(config, _)| config.unwrap());
        let changed = changes(&old, &new);
        if key.reload == Reload::NextStart {
            assert_eq!(changed.now, Vec::<String>::new(), "{}", key.name);
            new.keep_until_restart(&old);
            assert_eq!(new, old, "{} {}", place.header, key.name);
        } else {
            assert_eq!(changed.at_next_start, Vec::<String>::new(), "{}", key.name);
            let taken = new.clone();
            new.keep_until_restart(&old);
            assert_eq!(new, taken, "{} {}", place.header, key.name);
        }
        count += usize::from(changed != Changes::default());
    }
    assert!(count > 30, "{count}");
}

/// The bounds that an explanation names are those that hold.
#[test]
fn durations_have_the_bounds_of_their_explanations() {
    let mut count = 0;
    for (place, key) in keys() {
        let Some((_, rest)) = key.about.split_once("at least ") else {
            continue;
        };
        let bound: String = rest.chars().take_while(|c| !",;".contains(*c)).collect();
        let Some(least) = units::duration(&bound) else {
            continue;
        };
        let errors = |duration: Duration| {
            let literal = format!("\"{} ms\"", duration.as_millis());
            findings(&with(place, Some((key.name, &literal)))).1.errors
        };
        assert_eq!(errors(least), [], "{}", key.name);
        let below = errors(least - Duration::from_millis(1));
        assert!(below[0].message.contains("at least"), "{below:?}");
        count += 1;
    }
    assert_eq!(count, 4);
}

#[test]
fn the_keys_of_tokens_say_how_long_a_token_is() {
    let wanted = format!("at least {UNGUESSABLE_TOKEN_LENGTH} characters");
    for keys in [HttpToken::KEYS, ClusterConfig::KEYS] {
        let key = keys.iter().find(|key| key.name == "token").unwrap();
        assert!(key.about.contains(&wanted), "{}", key.about);
    }
}
