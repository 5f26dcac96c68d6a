//! A device's cameras and inputs as people see them: those that are connected, each by a name of its own.
//!
//! Pure. Devices list entries without names, several with one name, and virtual devices that nobody knows.
//! Owns the names, and which index a name means. Commands by index do not come here.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::entity::SelectOption;
use super::quirks::{truth, whole};
use crate::command::{ErrorCode, Failure};
use crate::json::whole_number;
use crate::nearest::Nearest;
use crate::visible::{is_invisible, visible_start};

/// A longer name is cut after this many characters: it stands on a button, and in a list.
const LONGEST_NAME: usize = 60;
/// How often names that are equal get their number, which may make them equal to others.
const ROUNDS: usize = 4;
/// What `sourceType` says of an input for content.
const CONTENT_TYPE: &str = "SRC_CONTENT";

/// What a source is selected for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SourceUse {
    People,
    Content,
}

impl SourceUse {
    /// The member of the state with the list of these sources.
    pub const fn member(self) -> &'static str {
        match self {
            Self::People => "people",
            Self::Content => "content",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::People => "Camera",
            Self::Content => "Input",
        }
    }
}

/// An entry of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    index: i64,
    name: String,
    used_for: SourceUse,
    is_connected: bool,
}

impl Source {
    fn read(entry: &Value) -> Option<Self> {
        let index = entry.get("cameraIndex").and_then(whole)?;
        let used_for = if entry["sourceType"] == CONTENT_TYPE {
            SourceUse::Content
        } else {
            SourceUse::People
        };
        Some(Self {
            index,
            name: match clean(entry["name"].as_str().unwrap_or_default()) {
                name if name.is_empty() => format!("{} {index}", used_for.word()),
                // Home Assistant reads this option as no option at all.
                name if name.eq_ignore_ascii_case("none") => format!("{name} ({index})"),
                name => name,
            },
            used_for,
            is_connected: entry
                .get("connected")
                .is_none_or(|connected| truth(connected) == Some(true)),
        })
    }
}

/// A name on one line, without what cannot be seen.
fn clean(name: &str) -> String {
    let visible = name
        .chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .filter(|c| *c == ' ' || !is_invisible(*c))
        .collect::<String>();
    let words: Vec<&str> = visible.split_whitespace().collect();
    let short: String = words.join(" ").chars().take(LONGEST_NAME).collect();
    short.trim_end().to_owned()
}

/// All entries of the list. Those that would share a name have their number behind it, also if only one
/// of them is connected: its name must not change when another is plugged in.
fn sources(list: &Value) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    for source in list
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Source::read)
    {
        if sources.iter().all(|known| known.index != source.index) {
            sources.push(source);
        }
    }
    for _ in 0..ROUNDS {
        let mut named: BTreeMap<String, usize> = BTreeMap::new();
        for source in &sources {
            *named.entry(source.name.to_lowercase()).or_default() += 1;
        }
        for source in &mut sources {
            if named.get(&source.name.to_lowercase()) > Some(&1) {
                source.name = format!("{} ({})", source.name, source.index);
            }
        }
    }
    sources
}

/// The connected sources: for people and for content, each with index and name.
pub(super) fn connected(list: &Value) -> Option<Value> {
    list.as_array()?;
    let sources = sources(list);
    let used_for = |used_for: SourceUse| -> Value {
        let connected = sources.iter().filter(|source| source.is_connected);
        let wanted = connected.filter(|source| source.used_for == used_for);
        wanted
            .map(|source| json!({"index": source.index, "name": source.name}))
            .collect()
    };
    Some(json!({
        (SourceUse::People.member()): used_for(SourceUse::People),
        (SourceUse::Content.member()): used_for(SourceUse::Content),
    }))
}

/// The connected cameras as options, from the value of the state.
pub(super) fn people_options(connected: &Value) -> Vec<SelectOption> {
    options(connected, SourceUse::People)
}

/// The connected inputs as options, from the value of the state.
pub(super) fn content_options(connected: &Value) -> Vec<SelectOption> {
    options(connected, SourceUse::Content)
}

fn options(connected: &Value, used_for: SourceUse) -> Vec<SelectOption> {
    let sources = connected[used_for.member()]
        .as_array()
        .into_iter()
        .flatten();
    let option = |source: &Value| {
        Some(SelectOption {
            keys: vec![source["index"].as_i64()?.to_string()],
            name: source["name"].as_str()?.to_owned(),
        })
    };
    sources.filter_map(option).collect()
}

/// The index of the source that is meant: a connected one by its name in any case, or any by its index.
///
/// # Errors
/// `not_found`, with the names that are known.
pub(super) fn index_of(list: &Value, wanted: &str, used_for: SourceUse) -> Result<i64, Failure> {
    let mut sources = sources(list);
    sources.retain(|source| source.used_for == used_for);
    let connected = || sources.iter().filter(|source| source.is_connected);
    let lower = wanted.trim().to_lowercase();
    let by_name = connected().find(|source| source.name.to_lowercase() == lower);
    let by_index = || {
        let index = whole_number(wanted)?;
        sources.iter().find(|source| source.index == index)
    };
    if let Some(source) = by_name.or_else(by_index) {
        return Ok(source.index);
    }
    let known = Nearest::of(wanted, connected().map(|source| source.name.as_str()));
    let known = known.words("connected", |name| format!("\"{name}\""));
    let message = format!(
        "there is no {} \"{}\"; {known}",
        used_for.word().to_lowercase(),
        visible_start(wanted, LONGEST_NAME)
    );
    Err(Failure::new(ErrorCode::NotFound, message))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn entry(index: i64, name: &str, kind: &str, connected: bool) -> Value {
        json!({"cameraIndex": index, "name": name, "sourceType": kind, "connected": connected})
    }

    fn people(index: i64, name: &str) -> Value {
        entry(index, name, "SRC_PEOPLE", true)
    }

    fn names(list: &Value, member: &str) -> Vec<String> {
        let connected = connected(list).unwrap();
        let named = connected[member].as_array().unwrap().iter();
        named
            .map(|it| format!("{}={}", it["index"], it["name"].as_str().unwrap()))
            .collect()
    }

    #[test]
    fn people_see_what_is_connected_by_names_that_are_unique_and_stay() {
        let list = json!([
            people(1, "Main"),
            entry(2, "HDMI Input", CONTENT_TYPE, true),
            people(3, ""),
            entry(4, "VIRTDEV1", "SRC_PEOPLE", false),
            people(7, "main"),
            people(9, "None"),
            people(10, " a\u{200b}\tb\n"),
            people(7, "the same index again"),
            entry(11, "hdmi input", CONTENT_TYPE, false),
            people(12, &"x".repeat(100)),
            json!({"name": "no index"}),
            json!(5),
        ]);
        let long = format!("12={}", "x".repeat(60));
        let wanted = [
            "1=Main (1)",
            "3=Camera 3",
            "7=main (7)",
            "9=None (9)",
            "10=a b",
            &long,
        ];
        assert_eq!(names(&list, "people"), wanted);
        // Its name stays when the other one is plugged in.
        assert_eq!(names(&list, "content"), ["2=HDMI Input (2)"]);
        assert_eq!(connected(&json!({})), None);
        let nothing = json!({"people": [], "content": []});
        assert_eq!(connected(&json!([])), Some(nothing));
    }

    #[test]
    fn a_number_behind_a_name_does_not_make_it_another_name() {
        let list = json!([people(1, "A"), people(2, "A"), people(3, "A (1)")]);
        let all = sources(&list);
        let names: BTreeSet<_> = all.iter().map(|source| &source.name).collect();
        assert_eq!(names.len(), 3, "{names:?}");
    }

    #[test]
    fn a_source_is_meant_by_name_or_index() {
        let list = json!([
            people(1, "Main"),
            people(3, "7"),
            entry(7, "", "SRC_PEOPLE", false),
            entry(2, "HDMI Input", CONTENT_TYPE, true),
        ]);
        let index = |wanted: &str, used_for| index_of(&list, wanted, used_for);
        use SourceUse::{Content, People};
        for (wanted, used_for, found) in [
            ("Main", People, 1),
            (" main ", People, 1),
            ("1", People, 1),
            ("1.0", People, 1),
            // A name comes before an index.
            ("7", People, 3),
            ("HDMI Input", Content, 2),
            ("2", Content, 2),
        ] {
            assert_eq!(index(wanted, used_for), Ok(found), "{wanted}");
        }
        let told = |wanted: &str, used_for| index(wanted, used_for).unwrap_err().message;
        let wanted = "there is no camera \"HDMI Input\"; connected are \"Main\", \"7\"";
        assert_eq!(told("HDMI Input", People), wanted);
        let wanted = "there is no input \"1\"; connected are \"HDMI Input\"";
        assert_eq!(told("1", Content), wanted);
        // It has no name that people could know.
        assert!(index("Camera 7", People).is_err());
        let none = index_of(&json!([]), "x", People).unwrap_err().message;
        assert_eq!(none, "there is no camera \"x\"; none is connected");
    }
}
