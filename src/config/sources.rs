//! Where the configuration's values come from: one file, and environment variables over it.
//!
//! Owns finding the file, the names of the variables, and the place that an error names. Reads no
//! keys.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Format, Serialized, Toml};
use serde_json::{Map, Value};
use toml_edit::{ImDocument, Item};

use super::error::{ConfigError, ConfigErrors};

/// What the names of the variables begin with.
const PREFIX: &str = "POLY2MQTT_";
/// Variables with that beginning that are no keys.
const NOT_KEYS: &[&str] = &["CONFIG", "LOG", "LOG_FORMAT", "RUNTIME_DIR"];

fn whole(place: &str, message: impl Into<String>) -> ConfigErrors {
    ConfigErrors(vec![ConfigError {
        place: place.to_owned(),
        key: String::new(),
        message: message.into(),
    }])
}

/// Finds the file: the one asked for, `$POLY2MQTT_CONFIG`, or one of the usual places.
///
/// # Errors
/// There is none; the message says where it was looked for.
pub fn locate(asked: Option<&Path>, variable: Option<&str>) -> Result<PathBuf, ConfigErrors> {
    if let Some(path) = asked {
        return Ok(path.to_owned());
    }
    if let Some(path) = variable {
        return Ok(path.into());
    }
    let usual = ["./poly2mqtt.toml", "/etc/poly2mqtt/poly2mqtt.toml"];
    usual
        .iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
        .ok_or_else(|| {
            whole(
                "poly2mqtt",
                format!(
                    "there is no configuration: $POLY2MQTT_CONFIG is not set, and neither {} \
                     exists; \"poly2mqtt demo\" runs without one",
                    usual.join(" nor ")
                ),
            )
        })
}

/// The text of a configuration file.
///
/// # Errors
/// It cannot be read.
pub fn read_file(path: &Path) -> Result<String, ConfigErrors> {
    std::fs::read_to_string(path).map_err(|error| {
        whole(
            &path.display().to_string(),
            format!("cannot be read: {error}"),
        )
    })
}

/// Where values came from.
#[derive(Debug)]
pub struct Sources {
    /// The file's name in messages.
    file: String,
    /// The file, to find lines in.
    document: ImDocument<String>,
    /// Environment variables by the key they set.
    env: BTreeMap<String, String>,
}

impl Sources {
    /// Reads a file's text, with these environment variables over it. `file` is what errors call
    /// the file.
    ///
    /// # Errors
    /// The text is not TOML.
    pub fn read(
        file: String,
        text: &str,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(Self, Map<String, Value>), ConfigErrors> {
        // The message leaves out the text of the line, which may hold a password.
        let document = ImDocument::parse(text.to_owned()).map_err(|error| {
            let line = error.span().map(|span| line_of(text, span.start));
            let place = line.map_or(file.clone(), |line| format!("{file}:{line}"));
            whole(&place, format!("not TOML: {}", error.message()))
        })?;
        let ids: Vec<String> = document
            .get("rooms")
            .and_then(|rooms| rooms.as_table_like())
            .map(|rooms| rooms.iter().map(|(id, _)| id.to_owned()).collect())
            .unwrap_or_default();
        let mut figment = Figment::from(Toml::string(text));
        let mut sources = Self {
            file,
            document,
            env: BTreeMap::new(),
        };
        for (variable, value) in env {
            let Some(name) = variable.strip_prefix(PREFIX) else {
                continue;
            };
            if NOT_KEYS.contains(&name) {
                continue;
            }
            let key = env_key(name, &ids);
            figment = figment.merge(Serialized::default(&key, value));
            sources.env.insert(key, variable);
        }
        let values = figment
            .extract()
            .map_err(|_| whole(&sources.file, "holds values that cannot be read"))?;
        Ok((sources, values))
    }

    /// Where a key is set: the variable, or file and line of the key or of the nearest table around
    /// it.
    pub fn place(&self, path: &[String]) -> String {
        if let Some(variable) = self.env.get(&path.join(".")) {
            return variable.clone();
        }
        let mut line = None;
        let mut item = self.document.as_item();
        for name in path {
            let Some((key, next)) = child(item, name) else {
                break;
            };
            let span = key.or_else(|| next.span());
            line = span
                .map(|span| line_of(self.document.raw(), span.start))
                .or(line);
            item = next;
        }
        match line {
            Some(line) => format!("{}:{line}", self.file),
            None => self.file.clone(),
        }
    }
}

/// `ROOMS__1__PASSWORD` is `rooms.1.password`; the case of a room's id is the file's.
fn env_key(name: &str, ids: &[String]) -> String {
    let mut path: Vec<String> = name.split("__").map(str::to_ascii_lowercase).collect();
    if path.len() > 1 && path[0] == "rooms" {
        let id = ids.iter().find(|id| id.eq_ignore_ascii_case(&path[1]));
        if let Some(id) = id {
            path[1].clone_from(id);
        }
    }
    path.join(".")
}

/// A member of a table, or of a list of tables by its number, with the span of its key.
fn child<'a>(item: &'a Item, name: &str) -> Option<(Option<std::ops::Range<usize>>, &'a Item)> {
    if let Ok(index) = name.parse::<usize>()
        && let Some(tables) = item.as_array_of_tables()
    {
        return Some((tables.get(index)?.span(), item.get(index)?));
    }
    let (key, value) = item.as_table_like()?.get_key_value(name)?;
    Some((key.span(), value))
}

/// The line, from 1, of a place in a text.
fn line_of(text: &str, at: usize) -> usize {
    let before = text.as_bytes().iter().take(at);
    before.filter(|byte| **byte == b'\n').count() + 1
}
