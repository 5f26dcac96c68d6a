//! Reading one key: as a text, a duration, a list …
//!
//! Owns the messages about values of a wrong type. None shows the value, which may be a secret, but
//! a path. Each method gives `None` where the key is not there or is wrong.

use std::borrow::Borrow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::Reader;
use crate::config::key::{DurationBounds, KeyType, LONGEST_DURATION};
use crate::config::{RoomId, units};
use crate::nearest::Nearest;

impl Reader<'_> {
    /// A text that is not empty. Plain numbers are taken too, digit for digit.
    pub fn text(&mut self, key: &str) -> Option<String> {
        self.take_text(key, |kind| matches!(kind, KeyType::Text))
    }

    fn take_text(&mut self, key: &str, fits: impl FnOnce(KeyType) -> bool) -> Option<String> {
        let text = self.take_any_text(key, fits, "a text that is not empty")?;
        if text.is_empty() {
            self.error(key, "takes a text that is not empty");
            return None;
        }
        Some(text)
    }

    /// A text as it is written. A number has to be digits and nothing else, so that TOML cannot read
    /// another text than the file shows: `1_000`, `0x1F` and `1.50` are refused.
    pub(super) fn take_any_text(
        &mut self,
        key: &str,
        fits: impl FnOnce(KeyType) -> bool,
        takes: &str,
    ) -> Option<String> {
        self.ask(key, fits);
        let value = self.values.remove(key)?;
        if let Value::String(text) = value {
            return Some(text);
        }
        let path = self.path_of(key);
        let digits = self.sources.digits(&path);
        if digits.is_none() {
            let hint = match value {
                Value::Object(_) | Value::Array(_) => "",
                _ if self.sources.written(&path).is_some() => "; write the value in quotes",
                _ => "",
            };
            let given = not_what_was_given(&value);
            self.error(key, format!("takes {takes}{given}{hint}"));
        }
        digits
    }

    /// A text that is not empty and must be there.
    pub fn required_text(&mut self, key: &str) -> Option<String> {
        if !self.has(key) {
            self.error(key, "is missing");
        }
        self.text(key)
    }

    /// A text that may be empty.
    pub fn any_text(&mut self, key: &str) -> Option<String> {
        self.take_any_text(key, |kind| matches!(kind, KeyType::Text), "a text")
    }

    /// A path as it is written. `Sources::beside_file` says which file it is.
    pub(super) fn path(&mut self, key: &str) -> Option<String> {
        self.take_text(key, |kind| matches!(kind, KeyType::File))
    }

    /// The path of a file that is there.
    pub fn file(&mut self, key: &str) -> Option<PathBuf> {
        let written = self.path(key)?;
        let path = self.sources.beside_file(&written);
        if !path.exists() && Path::new(&written).is_relative() {
            self.error(key, self.not_beside_file(&written));
        } else if !path.is_file() {
            self.error(key, format!("{} is not a file", path.display()));
        }
        Some(path)
    }

    /// A file with a relative path is not there. The path is not shown: people write the password
    /// itself where the name of its file is wanted.
    pub(super) fn not_beside_file(&self, written: &str) -> String {
        let folder = self.sources.beside_file("");
        let folder = if folder.as_os_str().is_empty() {
            "the working directory".into()
        } else {
            folder.to_string_lossy()
        };
        let hint = if written.starts_with('~') || written.contains('$') {
            "; ~ and variables are not replaced"
        } else {
            ""
        };
        format!("there is no such file; relative paths begin in {folder}{hint}")
    }

    /// True or false.
    pub fn bool(&mut self, key: &str) -> Option<bool> {
        let fits = |kind| matches!(kind, KeyType::Bool);
        self.take(key, fits, "true or false", |value| {
            text(value)?.parse::<bool>().ok()
        })
    }

    /// The type of a key of this table.
    fn kind(&self, key: &str) -> Option<KeyType> {
        let listed = self.keys.iter().find(|listed| listed.name == key);
        listed.map(|key| key.kind)
    }

    /// One of the key's choices.
    pub fn choice(&mut self, key: &str) -> Option<&'static str> {
        let text = self.take_text(key, |kind| matches!(kind, KeyType::Choice))?;
        let keys = self.keys;
        let listed = keys.iter().find(|listed| listed.name == key);
        let choices = listed.map_or(&[][..], |key| key.choices);
        let found = choices.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
            self.error(key, format!("takes {}", quoted_alternatives(&words)));
        }
        found.map(|(word, _)| *word)
    }

    /// A whole number in the bounds of its key.
    pub fn integer(&mut self, key: &str) -> Option<i64> {
        let (min, max) = match self.kind(key) {
            Some(KeyType::Integer(min, max)) => (min, max),
            _ => (i64::MIN, i64::MAX),
        };
        let takes = format!("an integer from {min} to {max}");
        let fits = |kind| matches!(kind, KeyType::Integer(..));
        self.take(key, fits, &takes, |value| {
            let number = text(value)?.parse().ok()?;
            (min..=max).contains(&number).then_some(number)
        })
    }

    /// A duration in the bounds of its key.
    pub fn duration(&mut self, key: &str) -> Option<Duration> {
        let bounds = match self.kind(key) {
            Some(KeyType::Duration(bounds)) => bounds,
            _ => DurationBounds::at_least(Duration::ZERO),
        };
        let takes = format!(
            "a duration of at least {} ms and at most {} h such as \"2s\", \"500ms\" or \"10m\"{}",
            bounds.least.as_millis(),
            LONGEST_DURATION.as_secs() / 3600,
            if bounds.or_zero { ", or 0" } else { "" }
        );
        let fits = |kind| matches!(kind, KeyType::Duration(_));
        self.take(key, fits, &takes, |value| {
            let duration = units::duration(&text(value)?)?;
            bounds.contains(duration).then_some(duration)
        })
    }

    /// A size in the bounds of its key.
    pub fn size(&mut self, key: &str) -> Option<usize> {
        let (min, max) = match self.kind(key) {
            Some(KeyType::Size(min, max)) => (min, max),
            _ => (0, usize::MAX),
        };
        let takes = format!("a size from {min} to {max} bytes such as \"10MiB\"");
        let fits = |kind| matches!(kind, KeyType::Size(..));
        self.take(key, fits, &takes, |value| {
            let size = units::size(&text(value)?)?;
            (min..=max).contains(&size).then_some(size)
        })
    }

    /// A list of texts. The environment gives them with commas between, or as the file writes them.
    pub fn list(&mut self, key: &str) -> Option<Vec<String>> {
        let fits = |kind| matches!(kind, KeyType::List);
        let (sources, path) = (self.sources, self.path_of(key));
        self.take(key, fits, "a list of texts", |value| match value {
            Value::Array(items) => {
                let items = items.iter().enumerate();
                let item = |(n, item): (usize, &Value)| match item {
                    Value::String(text) => Some(text.clone()),
                    // Ids of rooms may be numbers.
                    _ => sources.digits(&[path.as_slice(), &[n.to_string()]].concat()),
                };
                items.map(item).collect()
            }
            other => list_of(&text(other)?),
        })
    }

    /// `rooms`: some of those that are configured.
    pub fn rooms(&mut self, ids: &[RoomId]) -> Option<Vec<RoomId>> {
        let rooms = self.list("rooms")?;
        let known = |(number, wanted): (usize, &String)| {
            let id = RoomId::new(wanted).filter(|id| ids.contains(id));
            if id.is_none() {
                let near = Nearest::of(wanted, ids.iter().map(Borrow::borrow));
                let near = near.words("configured", |id| format!("\"{id}\""));
                let which = number + 1;
                let message = format!("entry {which} names a room that is not configured; {near}");
                self.error("rooms", message);
            }
            id
        };
        Some(rooms.iter().enumerate().filter_map(known).collect())
    }
}

/// `"a"`, `"b"` or `"c"`.
fn quoted_alternatives(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// `, not a list`: the kind of a value that has a wrong one. A text is wrong in another way, and may be secret.
pub(super) fn not_what_was_given(value: &Value) -> &'static str {
    match value {
        Value::Null | Value::String(_) => "",
        Value::Bool(_) => ", not a truth value",
        Value::Number(_) => ", not a number",
        Value::Array(_) => ", not a list",
        // How the library hands over what is only in TOML.
        Value::Object(values) if values.keys().any(|key| key.starts_with("$__toml_private")) => {
            ", not a time or date without quotes"
        }
        Value::Object(_) => ", not a table",
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

/// `a, b` or `"a", "b"` or `["a", "b"]`.
fn list_of(text: &str) -> Option<Vec<String>> {
    let text = text.trim();
    if text.starts_with(['[', '"', '\'']) {
        let brackets = text.starts_with('[');
        let text = if brackets { text } else { &format!("[{text}]") };
        let items: toml_edit::Array = text.parse::<toml_edit::Value>().ok()?.as_array()?.clone();
        let item = |item: &toml_edit::Value| item.as_str().map(str::to_owned);
        return items.iter().map(item).collect();
    }
    let parts = text.split(',').map(str::trim);
    Some(
        parts
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect(),
    )
}
