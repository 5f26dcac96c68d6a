//! Reading a table key by key, collecting what is wrong.
//!
//! Owns the messages about single values. A value is shown only where its key can hold no secret.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};
use toml_edit::{ImDocument, Item};

use super::error::ConfigError;
use super::keys::Key;
use super::{RoomId, Secret, units};

/// Where values came from.
#[derive(Debug)]
pub struct Sources {
    /// The file's name in messages.
    pub file: String,
    /// The file, to find lines in.
    pub document: Option<ImDocument<String>>,
    /// Environment variables by the key they set.
    pub env: BTreeMap<String, String>,
}

impl Sources {
    /// Where a key stands: the variable that sets it, else file and line of it or of the nearest
    /// table around it.
    pub fn place(&self, path: &[String]) -> String {
        if let Some(variable) = self.env.get(&path.join(".")) {
            return variable.clone();
        }
        let mut line = None;
        if let Some(document) = &self.document {
            let mut item = document.as_item();
            for name in path {
                let Some((key, next)) = child(item, name) else {
                    break;
                };
                let span = key.or_else(|| next.span());
                line = span
                    .map(|span| line_of(document.raw(), span.start))
                    .or(line);
                item = next;
            }
        }
        match line {
            Some(line) => format!("{}:{line}", self.file),
            None => self.file.clone(),
        }
    }
}

/// A member of a table, or of a list of tables by its number, with the span of its key.
fn child<'a>(item: &'a Item, name: &str) -> Option<(Option<std::ops::Range<usize>>, &'a Item)> {
    if let Ok(index) = name.parse::<usize>()
        && let Some(tables) = item.as_array_of_tables()
    {
        let table = tables.get(index)?;
        let _ = table;
        return Some((tables.get(index)?.span(), item.get(index)?));
    }
    let (key, value) = item.as_table_like()?.get_key_value(name)?;
    Some((key.span(), value))
}

/// The line, from 1, of a place in a text.
pub fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()
        .iter()
        .take(at)
        .filter(|byte| **byte == b'\n')
        .count()
        + 1
}

/// A table that is being read.
#[derive(Debug)]
pub struct Section<'a> {
    path: Vec<String>,
    values: Map<String, Value>,
    keys: &'static [Key],
    sources: &'a Sources,
    errors: &'a RefCell<Vec<ConfigError>>,
}

impl<'a> Section<'a> {
    /// The whole file.
    pub fn root(
        values: Map<String, Value>,
        keys: &'static [Key],
        sources: &'a Sources,
        errors: &'a RefCell<Vec<ConfigError>>,
    ) -> Self {
        Self {
            path: Vec::new(),
            values,
            keys,
            sources,
            errors,
        }
    }

    fn path_of(&self, key: &str) -> Vec<String> {
        let mut path = self.path.clone();
        if !key.is_empty() {
            path.push(key.to_owned());
        }
        path
    }

    /// Something is wrong with a key of this table; an empty key is the table itself.
    pub fn error(&self, key: &str, message: impl Into<String>) {
        let path = self.path_of(key);
        self.errors.borrow_mut().push(ConfigError {
            place: self.sources.place(&path),
            key: path.join("."),
            message: message.into(),
        });
    }

    /// The key is there.
    pub fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    fn take<T>(
        &mut self,
        key: &str,
        takes: &str,
        convert: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.values.remove(key)?;
        let converted = convert(&value);
        if converted.is_none() {
            self.error(key, format!("takes {takes}"));
        }
        converted
    }

    /// A text; the environment and careless quoting also give numbers.
    pub fn text(&mut self, key: &str) -> Option<String> {
        self.take(key, "a text that is not empty", |value| {
            text(value).filter(|text| !text.is_empty())
        })
    }

    /// A text that may be empty.
    pub fn any_text(&mut self, key: &str) -> Option<String> {
        self.take(key, "a text", text)
    }

    /// A path.
    pub fn path(&mut self, key: &str) -> Option<PathBuf> {
        self.text(key).map(PathBuf::from)
    }

    /// True or false.
    pub fn bool(&mut self, key: &str) -> Option<bool> {
        self.take(key, "true or false", |value| match text(value)?.as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        })
    }

    /// A whole number in these bounds.
    pub fn integer(&mut self, key: &str, min: i64, max: i64) -> Option<i64> {
        let takes = format!("an integer from {min} to {max}");
        self.take(key, &takes, |value| {
            let number = text(value)?.parse().ok()?;
            (min..=max).contains(&number).then_some(number)
        })
    }

    /// A duration of at least `min`, or where `zero` says so none at all.
    pub fn duration(&mut self, key: &str, min: Duration, zero: bool) -> Option<Duration> {
        let or_zero = if zero { ", or 0" } else { "" };
        let takes = format!(
            "a duration of at least {} ms such as \"2s\", \"500ms\" or \"10m\"{or_zero}",
            min.as_millis()
        );
        self.take(key, &takes, |value| {
            let duration = units::duration(&text(value)?)?;
            (duration >= min || (zero && duration.is_zero())).then_some(duration)
        })
    }

    /// A size in these bounds.
    pub fn size(&mut self, key: &str, min: usize, max: usize) -> Option<usize> {
        let takes = format!("a size from {min} to {max} bytes such as \"10MiB\"");
        self.take(key, &takes, |value| {
            let size = units::size(&text(value)?)?;
            (min..=max).contains(&size).then_some(size)
        })
    }

    /// A list of texts; the environment gives them with commas between.
    pub fn list(&mut self, key: &str) -> Option<Vec<String>> {
        self.take(key, "a list of texts", |value| match value {
            Value::Array(items) => items.iter().map(text).collect(),
            other => Some(
                text(other)?
                    .split(',')
                    .map(|part| part.trim().to_owned())
                    .filter(|part| !part.is_empty())
                    .collect(),
            ),
        })
    }

    /// A password, given directly or as a file.
    pub fn password(&mut self) -> Option<Secret> {
        self.secret("password")
    }

    /// A secret, given directly as `key` or as the file that `key_file` names.
    pub fn secret(&mut self, key: &str) -> Option<Secret> {
        let file_key = format!("{key}_file");
        let both = self.has(key) && self.has(&file_key);
        let given = self.any_text(key).map(Secret::new);
        let file = self.path(&file_key);
        if both {
            self.error(
                &file_key,
                format!("stands beside {key}; give one of the two"),
            );
            return given;
        }
        let Some(file) = file else { return given };
        match std::fs::read_to_string(&file) {
            Ok(text) => Some(Secret::new(text.trim_end_matches(['\r', '\n']))),
            Err(error) => {
                let message = format!("{} cannot be read: {error}", file.display());
                self.error(&file_key, message);
                None
            }
        }
    }

    /// `rooms`: some of those that are configured.
    pub fn rooms(&mut self, ids: &[RoomId]) -> Option<Vec<RoomId>> {
        let rooms = self.list("rooms")?;
        let known = |id: &String| {
            let id = RoomId::new(id).filter(|id| ids.contains(id));
            if id.is_none() {
                self.error("rooms", "names a room that is not configured");
            }
            id
        };
        Some(rooms.iter().filter_map(known).collect())
    }

    /// A table inside this one; an empty one where it is not there.
    pub fn section(&mut self, key: &str, keys: &'static [Key]) -> Section<'a> {
        let values = self.take(key, "a table", |value| value.as_object().cloned());
        self.below(vec![key.to_owned()], values.unwrap_or_default(), keys)
    }

    /// The tables of a list.
    pub fn sections(&mut self, key: &str, keys: &'static [Key]) -> Vec<Section<'a>> {
        let list = self.take(key, "a list of tables", |value| {
            let items = value.as_array()?.iter();
            items
                .map(|item| item.as_object().cloned())
                .collect::<Option<Vec<_>>>()
        });
        let numbered = list.unwrap_or_default().into_iter().enumerate();
        numbered
            .map(|(n, values)| self.below(vec![key.to_owned(), n.to_string()], values, keys))
            .collect()
    }

    /// The tables of a table, by their names.
    pub fn by_id(&mut self, key: &str, keys: &'static [Key]) -> Vec<(String, Section<'a>)> {
        let tables = self.take(key, "a table", |value| value.as_object().cloned());
        let mut sections = Vec::new();
        for (id, value) in tables.unwrap_or_default() {
            let mut section = self.below(vec![key.to_owned(), id.clone()], Map::new(), keys);
            match value {
                Value::Object(values) => section.values = values,
                _ => section.error("", "takes a table"),
            }
            sections.push((id, section));
        }
        sections
    }

    fn below(
        &self,
        path: Vec<String>,
        values: Map<String, Value>,
        keys: &'static [Key],
    ) -> Section<'a> {
        Section {
            path: self.path.iter().cloned().chain(path).collect(),
            values,
            keys,
            sources: self.sources,
            errors: self.errors,
        }
    }

    /// All keys have been asked for: what is left is unknown.
    pub fn finish(self) {
        for unknown in self.values.keys() {
            let near = self
                .keys
                .iter()
                .map(|key| (strsim::damerau_levenshtein(key.name, unknown), key.name))
                .min()
                .filter(|(distance, _)| *distance <= 3);
            let message = match near {
                Some((_, near)) => format!("unknown key; did you mean \"{near}\"?"),
                None => {
                    let known: Vec<_> = self.keys.iter().map(|key| key.name).collect();
                    format!("unknown key; known here are {}", known.join(", "))
                }
            };
            self.error(unknown, message);
        }
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}
