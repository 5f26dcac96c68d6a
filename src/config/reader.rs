//! Reading a table key by key, collecting everything that is wrong.
//!
//! Finds unknown keys, and keys that a section's file reads but does not list. `typed` reads the
//! value of one key, `secrets` reads passwords and tokens.

mod secrets;
mod typed;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value};

use typed::not_what_was_given;

use super::error::ConfigError;
use super::exposed::SecretPlaces;
use super::key::{Key, KeyType, unknown_key};
use super::sources::Sources;

/// The messages of a reading.
#[derive(Debug, Default)]
pub struct Findings {
    /// The errors.
    pub errors: Vec<ConfigError>,
    /// The warnings: settings that are allowed but unwise.
    pub warnings: Vec<String>,
    /// Where the secrets were.
    pub secret_places: SecretPlaces,
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
        let mut message = message.into();
        if let Some(oddity) = self.sources.oddity(&path) {
            message += &format!("; the value {oddity}");
        }
        self.findings.borrow_mut().errors.push(ConfigError {
            place: self.sources.place(&path),
            key: path.join("."),
            message,
        });
    }

    /// Something is allowed but unwise.
    pub fn warn(&self, message: impl fmt::Display) {
        let warning = self.sources.warning(message);
        self.findings.borrow_mut().warnings.push(warning);
    }

    /// The value of a key is allowed but unwise.
    pub fn warn_of(&self, key: &str, message: impl fmt::Display) {
        let path = self.path_of(key);
        let place = self.sources.place(&path);
        let warning = format!("{place}: {}: {message}", path.join("."));
        self.findings.borrow_mut().warnings.push(warning);
    }

    /// Whether an error was found in one of these keys, or below one. They have their full names, such as `http.token`.
    ///
    /// A check over the value of another key asks this first: of a key that is wrong the value is not known, and what
    /// the check would say of it leads people to change what is right.
    pub fn is_any_wrong(&self, keys: &[&str]) -> bool {
        let findings = self.findings.borrow();
        let is_in = |error: &ConfigError, key: &str| {
            let below = error.key.strip_prefix(key);
            below.is_some_and(|below| below.is_empty() || below.starts_with('.'))
        };
        let mut errors = findings.errors.iter();
        errors.any(|error| keys.iter().any(|key| is_in(error, key)))
    }

    /// Whether the key is set.
    pub fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// Whether both keys are set, of which only one may be. A variable wins over the other key in the
    /// file, which is then ignored.
    pub fn both(&mut self, one: &str, other: &str) -> bool {
        if !(self.has(one) && self.has(other)) {
            return false;
        }
        let by_variable = |key| self.sources.variable(&self.path_of(key)).is_some();
        let ignored = match [one, other].map(by_variable) {
            [true, false] => other,
            [false, true] => one,
            _ => return true,
        };
        self.values.remove(ignored);
        false
    }

    /// Says so if only one of two things is set that belong together. `one` and `other`: each with the keys that can
    /// set it. Asked before they are read: of a wrong value it is known that it was given.
    pub fn belong_together(&self, one: &[&'static str], other: &[&'static str]) {
        let is_set = |keys: &[&str]| keys.iter().any(|key| self.has(key));
        if is_set(one) != is_set(other) {
            let keys = [one, other].concat();
            let names: Vec<&str> = [one, other]
                .iter()
                .filter_map(|it| it.first().copied())
                .collect();
            let message = format!("{} belong together", names.join(" and "));
            self.error(self.set_of(&keys), message);
        }
    }

    /// Ignores keys of the file that have no meaning beside a value that a variable sets, with a
    /// warning each. Where the file sets the value too, they stay, and are wrong.
    pub fn overrule(&mut self, key: &str, meaningless: &[&str]) {
        let Some(variable) = self.sources.variable(&self.path_of(key)) else {
            return;
        };
        for other in meaningless {
            if self.has(other) && self.sources.variable(&self.path_of(other)).is_none() {
                self.values.remove(*other);
                self.warn_of(
                    other,
                    format_args!("has no meaning beside {variable}: ignored"),
                );
            }
        }
    }

    /// Which of these keys is to blame: one that a variable sets, one that the file sets, or the
    /// first.
    pub fn set_of(&self, keys: &[&'static str]) -> &'static str {
        let by_variable = |key: &&str| self.sources.variable(&self.path_of(key)).is_some();
        let set = |key: &&str| self.sources.is_set(&self.path_of(key));
        let keys = || keys.iter().copied();
        let found = keys().find(by_variable).or_else(|| keys().find(set));
        found.or(keys().next()).unwrap_or_default()
    }

    /// Notes that a key was read, and whether the table lists it as such.
    fn ask(&mut self, name: &str, fits: impl FnOnce(KeyType) -> bool) {
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
        fits: impl FnOnce(KeyType) -> bool,
        takes: &str,
        convert: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        self.ask(key, fits);
        let value = self.values.remove(key)?;
        let converted = convert(&value);
        if converted.is_none() {
            // Of a number that is wanted the value is wrong, not the kind.
            let given = if value.is_number() {
                ""
            } else {
                not_what_was_given(&value)
            };
            self.error(key, format!("takes {takes}{given}"));
        }
        converted
    }

    /// A table inside this one; an empty one where it is not there.
    pub fn table(&mut self, key: &str, keys: &'static [Key]) -> Reader<'a> {
        let fits = |kind| matches!(kind, KeyType::Table(_) | KeyType::TextByNumber(_));
        let values = self.take(key, fits, "a table", |value| value.as_object().cloned());
        self.below(vec![key.to_owned()], values.unwrap_or_default(), keys)
    }

    /// The tables of a list.
    pub fn tables(&mut self, key: &str, keys: &'static [Key]) -> Vec<Reader<'a>> {
        let fits = |kind| matches!(kind, KeyType::Tables(_));
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
        let fits = |kind| matches!(kind, KeyType::ById(_));
        let tables = self.take(key, fits, "a table", |value| value.as_object().cloned());
        let mut readers = Vec::new();
        for (id, value) in tables.unwrap_or_default() {
            let mut reader = self.below(vec![key.to_owned(), id.clone()], Map::new(), keys);
            match value {
                Value::Object(values) => reader.values = values,
                other => reader.error("", format!("takes a table{}", not_what_was_given(&other))),
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

    /// Ends the reading: every key that was not read is reported as unknown.
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
            let message = unknown_key(self.keys, unknown);
            self.error(unknown, message);
        }
    }
}
