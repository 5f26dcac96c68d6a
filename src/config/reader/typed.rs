//! Reading one key: as a text, a duration, a list …
//!
//! Owns the messages about values of a wrong type. None shows the value, which may be a secret, but
//! a path. Each method gives `None` where the key is not there or is wrong.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::Reader;
use crate::config::key::KeyType;
use crate::config::{RoomId, Secret, units};

impl Reader<'_> {
    /// A text that is not empty. Numbers are taken too: the environment and unquoted values give
    /// them.
    pub fn text(&mut self, key: &str) -> Option<String> {
        self.take_text(key, |kind| matches!(kind, KeyType::Text))
    }

    fn take_text(&mut self, key: &str, fits: impl FnOnce(KeyType) -> bool) -> Option<String> {
        self.take(key, fits, "a text that is not empty", |value| {
            text(value).filter(|text| !text.is_empty())
        })
    }

    /// A text that is not empty and must be there.
    pub fn required_text(&mut self, key: &str) -> Option<String> {
        let text = self.text(key);
        if text.is_none() {
            self.error(key, "is missing");
        }
        text
    }

    /// A text that may be empty.
    pub fn any_text(&mut self, key: &str) -> Option<String> {
        let fits = |kind| matches!(kind, KeyType::Text | KeyType::Secret);
        self.take(key, fits, "a text", text)
    }

    /// A path.
    pub fn path(&mut self, key: &str) -> Option<PathBuf> {
        let path = self.take_text(key, |kind| matches!(kind, KeyType::File));
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
        let fits = |kind| matches!(kind, KeyType::Bool);
        self.take(key, fits, "true or false", |value| {
            text(value)?.parse::<bool>().ok()
        })
    }

    /// A whole number in the bounds of its key.
    pub fn integer(&mut self, key: &str) -> Option<i64> {
        let bounds = self.keys.iter().find_map(|listed| match listed.kind {
            KeyType::Integer(min, max) if listed.name == key => Some((min, max)),
            _ => None,
        });
        let (min, max) = bounds.unwrap_or((i64::MIN, i64::MAX));
        let takes = format!("an integer from {min} to {max}");
        let fits = |kind| matches!(kind, KeyType::Integer(..));
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
        let fits = |kind| matches!(kind, KeyType::Duration);
        self.take(key, fits, &takes, |value| {
            let duration = units::duration(&text(value)?)?;
            in_bounds(duration).then_some(duration)
        })
    }

    /// A size in these bounds.
    pub fn size(&mut self, key: &str, min: usize, max: usize) -> Option<usize> {
        let takes = format!("a size from {min} to {max} bytes such as \"10MiB\"");
        let fits = |kind| matches!(kind, KeyType::Size);
        self.take(key, fits, &takes, |value| {
            let size = units::size(&text(value)?)?;
            (min..=max).contains(&size).then_some(size)
        })
    }

    /// A list of texts; the environment gives them with commas between.
    pub fn list(&mut self, key: &str) -> Option<Vec<String>> {
        let fits = |kind| matches!(kind, KeyType::List);
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
                format!("{key} is set too; remove one of the two"),
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

    /// A secret that must be there.
    pub fn required_secret(&mut self, key: &str) -> Option<Secret> {
        let given = self.has(key) || self.has(&format!("{key}_file"));
        let secret = self.secret(key);
        if !given {
            self.error(key, format!("is missing; give {key} or {key}_file"));
        }
        secret
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
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}
