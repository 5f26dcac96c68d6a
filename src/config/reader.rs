//! Reading a table key by key, collecting everything that is wrong.
//!
//! Owns the messages about single values. A value is shown only where its key can hold no secret.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

use super::error::ConfigError;
use super::key::{Key, Kind};
use super::sources::Sources;
use super::{RoomId, Secret, units};

/// What a reading has found besides values.
#[derive(Debug, Default)]
pub struct Findings {
    /// What is wrong.
    pub errors: Vec<ConfigError>,
    /// What is allowed but unwise.
    pub warnings: Vec<String>,
    /// Where a section's file reads other keys than its table lists. A test sees that there are
    /// none.
    pub mistakes: Vec<String>,
}

/// A table that is being read.
#[derive(Debug)]
pub struct Reader<'a> {
    path: Vec<String>,
    values: Map<String, Value>,
    keys: &'static [Key],
    asked: BTreeSet<String>,
    sources: &'a Sources,
    findings: &'a RefCell<Findings>,
}

impl<'a> Reader<'a> {
    /// Reads the whole file.
    pub fn root(
        values: Map<String, Value>,
        keys: &'static [Key],
        sources: &'a Sources,
        findings: &'a RefCell<Findings>,
    ) -> Self {
        Self {
            path: Vec::new(),
            values,
            keys,
            asked: BTreeSet::new(),
            sources,
            findings,
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
        self.findings.borrow_mut().errors.push(ConfigError {
            place: self.sources.place(&path),
            key: path.join("."),
            message: message.into(),
        });
    }

    /// Something is allowed but unwise.
    pub fn warn(&self, message: impl Into<String>) {
        self.findings.borrow_mut().warnings.push(message.into());
    }

    /// The key is there.
    pub fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// Notes that a key was read, and whether the table lists it as such.
    fn ask(&mut self, name: &str, fits: impl FnOnce(Kind) -> bool) {
        let key = self.keys.iter().find(|key| key.name == name);
        if !key.is_some_and(|key| fits(key.kind)) {
            let path = self.path_of(name).join(".");
            let mistake = format!("{path} is read, but not listed or listed as another kind");
            self.findings.borrow_mut().mistakes.push(mistake);
        }
        self.asked.insert(name.to_owned());
    }

    fn take<T>(
        &mut self,
        key: &str,
        fits: impl FnOnce(Kind) -> bool,
        takes: &str,
        convert: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        self.ask(key, fits);
        let value = self.values.remove(key)?;
        let converted = convert(&value);
        if converted.is_none() {
            self.error(key, format!("takes {takes}"));
        }
        converted
    }

    /// A text that is not empty. Numbers are taken too: the environment and unquoted values give
    /// them.
    pub fn text(&mut self, key: &str) -> Option<String> {
        self.take_text(key, |kind| matches!(kind, Kind::Text))
    }

    fn take_text(&mut self, key: &str, fits: impl FnOnce(Kind) -> bool) -> Option<String> {
        self.take(key, fits, "a text that is not empty", |value| {
            text(value).filter(|text| !text.is_empty())
        })
    }

    /// A text that may be empty.
    pub fn any_text(&mut self, key: &str) -> Option<String> {
        let fits = |kind| matches!(kind, Kind::Text | Kind::Secret);
        self.take(key, fits, "a text", text)
    }

    /// A path.
    pub fn path(&mut self, key: &str) -> Option<PathBuf> {
        let path = self.take_text(key, |kind| matches!(kind, Kind::File));
        path.map(PathBuf::from)
    }

    /// The path of a file that is there.
    pub fn file(&mut self, key: &str) -> Option<PathBuf> {
        let path = self.path(key)?;
        if !path.is_file() {
            self.error(key, format!("{} is not a file", path.display()));
        }
        Some(path)
    }

    /// True or false.
    pub fn bool(&mut self, key: &str) -> Option<bool> {
        let fits = |kind| matches!(kind, Kind::Bool);
        self.take(key, fits, "true or false", |value| {
            text(value)?.parse::<bool>().ok()
        })
    }

    /// A whole number in the bounds of its key.
    pub fn integer(&mut self, key: &str) -> Option<i64> {
        let bounds = self.keys.iter().find_map(|listed| match listed.kind {
            Kind::Integer(min, max) if listed.name == key => Some((min, max)),
            _ => None,
        });
        let (min, max) = bounds.unwrap_or((i64::MIN, i64::MAX));
        let takes = format!("an integer from {min} to {max}");
        let fits = |kind| matches!(kind, Kind::Integer(..));
        self.take(key, fits, &takes, |value| {
            let number = text(value)?.parse().ok()?;
            (min..=max).contains(&number).then_some(number)
        })
    }

    /// A duration of at least `min`.
    pub fn duration(&mut self, key: &str, min: Duration) -> Option<Duration> {
        self.take_duration(key, "", |duration| duration >= min, min)
    }

    /// A duration of at least `min`, or 0.
    pub fn duration_or_zero(&mut self, key: &str, min: Duration) -> Option<Duration> {
        let fits = |duration: Duration| duration >= min || duration.is_zero();
        self.take_duration(key, ", or 0", fits, min)
    }

    fn take_duration(
        &mut self,
        key: &str,
        or: &str,
        in_bounds: impl FnOnce(Duration) -> bool,
        min: Duration,
    ) -> Option<Duration> {
        let takes = format!(
            "a duration of at least {} ms such as \"2s\", \"500ms\" or \"10m\"{or}",
            min.as_millis()
        );
        let fits = |kind| matches!(kind, Kind::Duration);
        self.take(key, fits, &takes, |value| {
            let duration = units::duration(&text(value)?)?;
            in_bounds(duration).then_some(duration)
        })
    }

    /// A size in these bounds.
    pub fn size(&mut self, key: &str, min: usize, max: usize) -> Option<usize> {
        let takes = format!("a size from {min} to {max} bytes such as \"10MiB\"");
        let fits = |kind| matches!(kind, Kind::Size);
        self.take(key, fits, &takes, |value| {
            let size = units::size(&text(value)?)?;
            (min..=max).contains(&size).then_some(size)
        })
    }

    /// A list of texts; the environment gives them with commas between.
    pub fn list(&mut self, key: &str) -> Option<Vec<String>> {
        let fits = |kind| matches!(kind, Kind::List);
        self.take(key, fits, "a list of texts", |value| match value {
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
    pub fn table(&mut self, key: &str, keys: &'static [Key]) -> Reader<'a> {
        let fits = |kind| matches!(kind, Kind::Table(_));
        let values = self.take(key, fits, "a table", |value| value.as_object().cloned());
        self.below(vec![key.to_owned()], values.unwrap_or_default(), keys)
    }

    /// The tables of a list.
    pub fn tables(&mut self, key: &str, keys: &'static [Key]) -> Vec<Reader<'a>> {
        let fits = |kind| matches!(kind, Kind::Tables(_));
        let list = self.take(key, fits, "a list of tables", |value| {
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
    pub fn by_id(&mut self, key: &str, keys: &'static [Key]) -> Vec<(String, Reader<'a>)> {
        let fits = |kind| matches!(kind, Kind::ById(_));
        let tables = self.take(key, fits, "a table", |value| value.as_object().cloned());
        let mut readers = Vec::new();
        for (id, value) in tables.unwrap_or_default() {
            let mut reader = self.below(vec![key.to_owned(), id.clone()], Map::new(), keys);
            match value {
                Value::Object(values) => reader.values = values,
                _ => reader.error("", "takes a table"),
            }
            readers.push((id, reader));
        }
        readers
    }

    fn below(
        &self,
        path: Vec<String>,
        values: Map<String, Value>,
        keys: &'static [Key],
    ) -> Reader<'a> {
        let path = self.path.iter().cloned().chain(path).collect();
        Self {
            path,
            ..Self::root(values, keys, self.sources, self.findings)
        }
    }

    /// All keys have been read: what is left is unknown.
    pub fn finish(self) {
        for key in self
            .keys
            .iter()
            .filter(|key| !self.asked.contains(key.name))
        {
            let path = self.path_of(key.name).join(".");
            let mistake = format!("{path} is listed, but not read");
            self.findings.borrow_mut().mistakes.push(mistake);
        }
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
