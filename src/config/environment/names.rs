//! What the name of a variable means: a key, a mistake, or something else's variable.
//!
//! `POLY2MQTT_ROOMS__BOARDROOM__PASSWORD` is `rooms.boardroom.password`: two underscores are between
//! the parts, and the case does not matter. In a room's id `_` stands for `-` too, because shells
//! take no `-` in a name.

use serde_json::{Map, Value};

use crate::config::key::{Key, KeyType};

/// What the names of the variables begin with.
const PREFIX: &str = "POLY2MQTT_";
/// Variables with that beginning that other parts of the gateway read.
const NOT_KEYS: [&str; 4] = ["CONFIG", "LOG", "LOG_FORMAT", "RUNTIME_DIR"];
/// Between the parts of a key.
const SEPARATOR: &str = "__";
/// A name that differs in more letters is no slip of the keyboard.
const SLIP: usize = 2;

/// What a variable means.
#[derive(Debug, PartialEq, Eq)]
pub enum VariableMeaning {
    /// It sets the key with this path. Whether there is such a key is not said.
    Key(Vec<String>),
    /// It stands for the ids of several rooms.
    SeveralIds(Vec<String>),
    /// It sets nothing, with what to do about it.
    NoKey(String),
    /// It is not for the configuration.
    NotOurs,
}

/// What a variable means; `file` has the ids of the rooms.
pub fn meaning(
    variable: &str,
    value: &str,
    keys: &[Key],
    file: &Map<String, Value>,
) -> VariableMeaning {
    let Some(name) = without_prefix(variable) else {
        return VariableMeaning::NotOurs;
    };
    let is_ours = variable.starts_with(PREFIX) && NOT_KEYS.contains(&name);
    if is_ours || !is_in_section(name, keys) && made_by_kubernetes(name, value) {
        return VariableMeaning::NotOurs;
    }
    if !name.contains(SEPARATOR) {
        return VariableMeaning::NoKey(match meant(name, keys, file, SLIP) {
            Some(meant) if meant.contains(SEPARATOR) => two_underscores(&meant),
            Some(meant) => format!("did you mean {PREFIX}{meant}?"),
            None => format!(
                "it names no key, which has two underscores between its parts, as in \
                 {PREFIX}MQTT__URL"
            ),
        });
    }
    key(name, keys, file)
}

fn two_underscores(meant: &str) -> String {
    format!("two underscores are between the parts of a key; did you mean {PREFIX}{meant}?")
}

/// The message for a variable that would name a key if other ones of its underscores were two.
pub fn other_underscores(
    variable: &str,
    keys: &[Key],
    file: &Map<String, Value>,
) -> Option<String> {
    let name = without_prefix(variable)?;
    let words: Vec<&str> = name.split('_').filter(|word| !word.is_empty()).collect();
    let meant = meant(&words.join("_"), keys, file, 0)?;
    meant.contains(SEPARATOR).then(|| two_underscores(&meant))
}

fn without_prefix(variable: &str) -> Option<&str> {
    let start = variable.get(..PREFIX.len())?;
    start
        .eq_ignore_ascii_case(PREFIX)
        .then(|| &variable[PREFIX.len()..])
}

fn key(name: &str, keys: &[Key], file: &Map<String, Value>) -> VariableMeaning {
    let (section, rest) = name.split_once(SEPARATOR).unwrap_or((name, ""));
    let section = section.to_ascii_lowercase();
    let by_id = |key: &Key| matches!(key.kind, KeyType::ById(_)) && key.name == section;
    let mut path = vec![section.clone()];
    let mut rest = rest;
    if keys.iter().any(by_id) {
        let ids = ids(&section, file);
        match id_of(rest, &ids) {
            Ok((id, after)) => {
                path.push(id);
                rest = after;
            }
            Err(ids) => return VariableMeaning::SeveralIds(ids),
        }
        if rest.is_empty() {
            return VariableMeaning::Key(path);
        }
    }
    let parts = rest.split(SEPARATOR).map(|part| {
        let number = part.parse::<usize>();
        number.map_or_else(|_| part.to_ascii_lowercase(), |number| number.to_string())
    });
    path.extend(parts);
    VariableMeaning::Key(path)
}

/// The ids that the file has in a section.
fn ids<'a>(section: &str, file: &'a Map<String, Value>) -> Vec<&'a str> {
    let tables = file.get(section).and_then(Value::as_object);
    tables
        .map(|tables| tables.keys().map(String::as_str).collect())
        .unwrap_or_default()
}

/// The id at the start of a name, as the file writes it, and what follows its separator. An id that
/// the file does not have is in small letters.
///
/// # Errors
/// The ids that it may stand for.
fn id_of<'a>(name: &'a str, ids: &[&str]) -> Result<(String, &'a str), Vec<String>> {
    // An id may have a separator in it: the longest that fits is meant.
    let mut fitting: Vec<(&str, &str)> = Vec::new();
    for id in ids.iter().copied() {
        let Some(after) = after_id(name, id) else {
            continue;
        };
        match fitting.first() {
            Some((longest, _)) if longest.len() > id.len() => continue,
            Some((longest, _)) if longest.len() < id.len() => fitting.clear(),
            _ => {}
        }
        fitting.push((id, after));
    }
    let exact = fitting.iter().find(|(id, _)| name.starts_with(id));
    match (exact, fitting.as_slice()) {
        (Some((id, after)), _) | (None, [(id, after)]) => Ok(((*id).to_owned(), *after)),
        (None, []) => {
            let (id, after) = name.split_once(SEPARATOR).unwrap_or((name, ""));
            Ok((id.to_ascii_lowercase(), after))
        }
        (None, several) => Err(several.iter().map(|(id, _)| (*id).to_owned()).collect()),
    }
}

/// What follows an id and its separator, if the name begins with the id.
fn after_id<'a>(name: &'a str, id: &str) -> Option<&'a str> {
    let start = name.get(..id.len())?;
    let same = |(a, b): (u8, u8)| a.eq_ignore_ascii_case(&b) || (a, b) == (b'_', b'-');
    if !start.bytes().zip(id.bytes()).all(same) {
        return None;
    }
    let after = &name[id.len()..];
    match after {
        "" => Some(after),
        _ => after.strip_prefix(SEPARATOR),
    }
}

/// Whether the name has two underscores after the name of a section or a table of keys. Then it is
/// meant as a key, whatever is in a room's id.
fn is_in_section(name: &str, keys: &[Key]) -> bool {
    let section = name.split_once(SEPARATOR).map(|(section, _)| section);
    section.is_some_and(|section| {
        keys.iter()
            .any(|key| key.name.eq_ignore_ascii_case(section))
    })
}

/// Whether Kubernetes makes such a variable: it tells every container of a namespace the addresses of
/// its services. That of a service `poly2mqtt` is `POLY2MQTT_PORT=tcp://10.0.0.1:8080`; a service
/// `poly2mqtt-http` has one more word in it.
fn made_by_kubernetes(name: &str, value: &str) -> bool {
    let words: Vec<&str> = name.split('_').collect();
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
    (0..words.len()).any(|at| match &words[at..] {
        ["SERVICE", "HOST"] | ["SERVICE", "PORT", ..] => true,
        ["PORT"] => value.contains("://"),
        ["PORT", number, "TCP" | "UDP" | "SCTP"] => is_number(number),
        [
            "PORT",
            number,
            "TCP" | "UDP" | "SCTP",
            "PROTO" | "PORT" | "ADDR",
        ] => is_number(number),
        _ => false,
    })
}

/// The name that was meant, without the prefix; `slip`: how many letters may differ.
fn meant(name: &str, keys: &[Key], file: &Map<String, Value>, slip: usize) -> Option<String> {
    let name = name.to_ascii_uppercase().replace('-', "_");
    let mut known: Vec<String> = NOT_KEYS.map(str::to_owned).into();
    for key in keys {
        match key.kind {
            KeyType::ById(below) => {
                let section = key.name.to_ascii_uppercase();
                for id in ids(key.name, file) {
                    let id = id.to_ascii_uppercase().replace('-', "_");
                    add_names(&format!("{section}{SEPARATOR}{id}"), below, &mut known);
                }
                known.extend(of_new_id(&name, &section, below));
            }
            _ => add_names("", std::slice::from_ref(key), &mut known),
        }
    }
    let most = slip.min(name.len() / 3);
    let near = known.into_iter().filter_map(|known| {
        let one_each = known.replace(SEPARATOR, "_");
        // The distance of two texts is at least the difference of their lengths. Thousands of rooms have many keys.
        let can_be = one_each.len().abs_diff(name.len()) <= most;
        let distance = can_be.then(|| strsim::damerau_levenshtein(&one_each, &name))?;
        (distance <= most).then_some((distance, known))
    });
    Some(near.min()?.1)
}

/// The names of these keys and those below them.
fn add_names(section: &str, keys: &[Key], names: &mut Vec<String>) {
    for key in keys {
        let mut name = key.name.to_ascii_uppercase();
        if !section.is_empty() {
            name = format!("{section}{SEPARATOR}{name}");
        }
        match key.kind {
            KeyType::Tables(below) => add_names(&format!("{name}{SEPARATOR}0"), below, names),
            KeyType::Table(below) | KeyType::TextByNumber(below) => add_names(&name, below, names),
            _ => names.push(name),
        }
    }
}

/// `ROOMS_HALL_PASSWORD` was meant as the password of a room that the file does not have.
fn of_new_id(name: &str, section: &str, keys: &[Key]) -> Option<String> {
    let rest = name.strip_prefix(section)?.strip_prefix('_')?;
    let key = |key: &Key| {
        let key = key.name.to_ascii_uppercase();
        let id = rest.strip_suffix(&key)?.strip_suffix('_')?;
        let whole = format!("{section}{SEPARATOR}{id}{SEPARATOR}{key}");
        (!id.is_empty()).then_some(whole)
    };
    keys.iter().find_map(key)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::Config;
    use crate::config::key::Section;

    fn meaning_with(ids: &[&str], variable: &str, value: &str) -> VariableMeaning {
        let rooms: Map<String, Value> =
            ids.iter().map(|id| ((*id).to_owned(), json!({}))).collect();
        let file = Map::from_iter([("rooms".to_owned(), Value::Object(rooms))]);
        meaning(variable, value, Config::KEYS, &file)
    }

    #[test]
    fn the_id_of_a_room_is_found_however_the_variable_writes_it() {
        for (ids, name, wanted) in [
            (&["huddle-1"][..], "HUDDLE_1__PASSWORD", "huddle-1.password"),
            (&["Huddle_1"], "HUDDLE_1__PASSWORD", "Huddle_1.password"),
            (&["Huddle-1"], "huddle_1__password", "Huddle-1.password"),
            (&["huddle-1"], "HUDDLE-1__PASSWORD", "huddle-1.password"),
            (&["1"], "1__POLL__FAST", "1.poll.fast"),
            (&["a-b", "a_b"], "A-B__URL", "a-b.url"),
            (&["a-b", "a_b"], "a_b__URL", "a_b.url"),
            (&["Main", "main"], "Main__URL", "Main.url"),
            (&["a", "a__b"], "A__B__URL", "a__b.url"),
            (&["a", "a_"], "A___URL", "a_.url"),
            (&["a", "a--b", "a-b"], "A__B__URL", "a--b.url"),
            (&["1", "12"], "12__URL", "12.url"),
            (&["huddle-1"], "HUDDLE_2__URL", "huddle_2.url"),
            (&[], "Hall__URL", "hall.url"),
            (&["hall"], "HALL", "hall"),
        ] {
            let meant = meaning_with(ids, &format!("POLY2MQTT_ROOMS__{name}"), "x");
            let path = format!("rooms.{wanted}");
            let path = path.split('.').map(str::to_owned).collect();
            assert_eq!(meant, VariableMeaning::Key(path), "{ids:?} {name}");
        }
        for (ids, name) in [
            (["a-b", "a_b"], "A_B__URL"),
            (["Main", "main"], "MAIN__PASSWORD"),
            (["x-1_a", "x_1-a"], "X_1_A__NAME"),
        ] {
            let meant = meaning_with(&ids, &format!("POLY2MQTT_ROOMS__{name}"), "x");
            assert_eq!(
                meant,
                VariableMeaning::SeveralIds(ids.map(str::to_owned).into())
            );
        }
    }

    #[test]
    fn variables_of_kubernetes_services_are_nothing_to_the_gateway() {
        for (name, value) in [
            ("PORT", "tcp://10.96.0.7:8080"),
            ("SERVICE_HOST", "10.96.0.7"),
            ("SERVICE_PORT", "8080"),
            ("SERVICE_PORT_HTTP", "8080"),
            ("SERVICE_PORT_WEB_UI", "8080"),
            ("PORT_8080_TCP", "tcp://10.96.0.7:8080"),
            ("PORT_8080_TCP_PROTO", "tcp"),
            ("PORT_8080_TCP_PORT", "8080"),
            ("PORT_8080_TCP_ADDR", "fd00::7"),
            ("PORT_53_UDP_ADDR", "10.96.0.7"),
            ("PORT_9_SCTP", "sctp://10.96.0.7:9"),
            ("MQTT_PORT", "tcp://10.96.0.8:1883"),
            ("MQTT_SERVICE_HOST", "10.96.0.8"),
            ("MQTT_SERVICE_PORT_MQTT", "1883"),
            ("MQTT_PORT_1883_TCP_ADDR", "10.96.0.8"),
            ("A__B_SERVICE_PORT", "1"),
        ] {
            let meant = meaning_with(&["1"], &format!("POLY2MQTT_{name}"), value);
            assert_eq!(meant, VariableMeaning::NotOurs, "{name}");
        }
        // A room with such an id is not Kubernetes'.
        for (id, name, value) in [
            ("service-port", "SERVICE_PORT__PASSWORD", "x"),
            ("service_host", "SERVICE_HOST__PASSWORD", "x"),
            ("hall_service_port", "HALL_SERVICE_PORT__URL", "x"),
            ("port", "PORT__URL", "https://192.0.2.1"),
        ] {
            let meant = meaning_with(&[id], &format!("POLY2MQTT_ROOMS__{name}"), value);
            assert!(
                matches!(meant, VariableMeaning::Key(_)),
                "{name}: {meant:?}"
            );
        }
        // What people set.
        for (name, value) in [("PORT", "8080"), ("PORT_HTTP", "1"), ("HOST", "::")] {
            let meant = meaning_with(&["1"], &format!("POLY2MQTT_{name}"), value);
            assert!(
                matches!(meant, VariableMeaning::NoKey(_)),
                "{name}: {meant:?}"
            );
        }
    }

    #[test]
    fn a_name_with_two_underscores_elsewhere_is_told_what_was_meant() {
        let rooms = Map::from_iter(["1", "huddle-1"].map(|id| (id.to_owned(), json!({}))));
        let file = Map::from_iter([("rooms".to_owned(), Value::Object(rooms))]);
        for (name, wanted) in [
            ("ROOMS__HUDDLE_1_PASSWORD", "ROOMS__HUDDLE_1__PASSWORD"),
            ("ROOMS__1_PASSWORD", "ROOMS__1__PASSWORD"),
            ("ROOMS_1__PASSWORD", "ROOMS__1__PASSWORD"),
            ("_ROOMS__1__PASSWORD", "ROOMS__1__PASSWORD"),
            ("HOME__ASSISTANT__DISCOVERY", "HOME_ASSISTANT__DISCOVERY"),
            (
                "ROOMS__HUDDLE_1__PASSWORD__FILE",
                "ROOMS__HUDDLE_1__PASSWORD_FILE",
            ),
            ("ROOMS__HALL_PASSWORD", "ROOMS__HALL__PASSWORD"),
        ] {
            let told = other_underscores(&format!("{PREFIX}{name}"), Config::KEYS, &file);
            let told = told.unwrap_or_else(|| panic!("{name}"));
            assert!(
                told.ends_with(&format!("did you mean {PREFIX}{wanted}?")),
                "{name}: {told}"
            );
        }
        for name in ["ROOMS__1__COLOUR", "FOO__BAR", "ROOMS__1"] {
            let told = other_underscores(&format!("{PREFIX}{name}"), Config::KEYS, &file);
            assert_eq!(told, None, "{name}");
        }
    }

    #[test]
    fn a_name_without_two_underscores_is_told_what_was_meant() {
        for (name, wanted) in [
            ("MQTT_URL", "did you mean POLY2MQTT_MQTT__URL?"),
            ("mqtt_url", "did you mean POLY2MQTT_MQTT__URL?"),
            ("MQTT_ULR", "did you mean POLY2MQTT_MQTT__URL?"),
            (
                "MQTT_PASSWORD_FILE",
                "did you mean POLY2MQTT_MQTT__PASSWORD_FILE?",
            ),
            (
                "HOME_ASSISTANT_STATUS_TOPIC",
                "did you mean POLY2MQTT_HOME_ASSISTANT__STATUS_TOPIC?",
            ),
            (
                "ROOMS_1_PASSWORD",
                "did you mean POLY2MQTT_ROOMS__1__PASSWORD?",
            ),
            (
                "ROOMS_HUDDLE_2_PASSWORD_FILE",
                "did you mean POLY2MQTT_ROOMS__HUDDLE_2__PASSWORD_FILE?",
            ),
            (
                "ROOMS_NEW_HALL_URL",
                "did you mean POLY2MQTT_ROOMS__NEW_HALL__URL?",
            ),
            (
                "HTTP_TOKEN_0_TOKEN",
                "did you mean POLY2MQTT_HTTP__TOKEN__0__TOKEN?",
            ),
            ("LOGFORMAT", "did you mean POLY2MQTT_LOG_FORMAT?"),
            ("CONFIGS", "did you mean POLY2MQTT_CONFIG?"),
            ("FOO", "two underscores between its parts"),
            ("VERSION", "two underscores between its parts"),
            ("", "two underscores between its parts"),
        ] {
            let meant = meaning_with(&["1", "huddle-2"], &format!("POLY2MQTT_{name}"), "x");
            let VariableMeaning::NoKey(hint) = &meant else {
                panic!("{name}: {meant:?}");
            };
            assert!(hint.contains(wanted), "{name}: {hint}");
        }
        for name in ["OTHER", "poly2mqtt", "PÖLY2MQTT_X__Y", "POLY2MQTT_LOG"] {
            assert_eq!(
                meaning_with(&[], name, "x"),
                VariableMeaning::NotOurs,
                "{name}"
            );
        }
    }
}
