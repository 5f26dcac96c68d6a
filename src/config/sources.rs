//! Where the configuration's values come from: one file, and environment variables over it.
//!
//! Owns finding the file, where relative paths begin, and the place that an error names. Reads no
//! keys; `environment` knows the variables.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Format, Serialized, Toml};
use serde_json::{Map, Value};
use toml_edit::{ImDocument, Item};

use super::environment::Environment;
use super::error::{ConfigError, ConfigErrors};
use super::key::{Key, lengthened};
use super::text_file;

/// Where the file is looked for.
const USUAL_FILES: [&str; 2] = ["./poly2mqtt.toml", "/etc/poly2mqtt/poly2mqtt.toml"];
/// The largest configuration file in KiB: ten thousand rooms are a tenth of it.
const LARGEST_FILE: u64 = 32 << 10;

fn whole(place: &str, message: impl Into<String>) -> ConfigErrors {
    ConfigErrors(vec![ConfigError {
        place: place.to_owned(),
        key: String::new(),
        message: message.into(),
    }])
}

/// Finds the file: the one asked for, `$POLY2MQTT_CONFIG` (empty is not set), or one of the usual
/// places. `None` where there is no file.
///
/// # Errors
/// The file asked for cannot be one.
pub fn locate(
    asked: Option<&Path>,
    variable: Option<&OsStr>,
) -> Result<Option<PathBuf>, ConfigErrors> {
    if asked == Some(Path::new("-")) {
        let message = "standard input cannot be read again at a reload; give a file, or set the \
                       keys by variables";
        return Err(whole("--config", message));
    }
    let variable = variable.filter(|path| !path.is_empty()).map(Path::new);
    if let Some(path) = asked.or(variable) {
        return Ok(Some(path.to_owned()));
    }
    let mut usual = USUAL_FILES.iter().map(PathBuf::from);
    Ok(usual.find(|path| is_there(path)))
}

/// Whether there is something at a path: a link that leads nowhere, and what may not be looked at, too.
/// Such a file is named as wrong later, and not taken for none.
pub fn is_there(path: &Path) -> bool {
    let found = fs::symlink_metadata(path);
    !matches!(found, Err(error) if error.kind() == io::ErrorKind::NotFound)
}

/// Where a file is made that does not exist yet: in the package's folder if this user may write there,
/// else in the current folder.
pub fn usual_file() -> PathBuf {
    let [here, installed] = USUAL_FILES.map(PathBuf::from);
    let folder = installed.parent().unwrap_or(Path::new("/"));
    let writable = rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok();
    if writable { installed } else { here }
}

/// There is neither a file nor a variable that sets a key.
pub fn nothing_configured(environment: &Environment) -> ConfigErrors {
    let mut errors = whole(
        "poly2mqtt",
        format!(
            "there is no configuration: $POLY2MQTT_CONFIG is not set, neither {} exists, and no \
             variable such as POLY2MQTT_MQTT__URL is set; \"poly2mqtt demo\" runs without one",
            USUAL_FILES.join(" nor ")
        ),
    );
    let hints = environment.warnings.iter();
    errors.0.extend(hints.filter_map(|hint| {
        let (variable, message) = hint.split_once(": ")?;
        Some(ConfigError {
            place: variable.to_owned(),
            key: String::new(),
            message: message.to_owned(),
        })
    }));
    errors
}

/// The text of a configuration file.
///
/// # Errors
/// It cannot be read.
pub fn read_file(path: &Path) -> Result<String, ConfigErrors> {
    text_file::read(path, LARGEST_FILE)
        .map_err(|error| whole(&path.display().to_string(), error.to_string()))
}

/// Where values came from.
#[derive(Debug)]
pub struct Sources {
    /// The file's name in messages.
    file: String,
    /// The file, to find lines in.
    document: ImDocument<String>,
    environment: Environment,
}

impl Sources {
    /// Reads a file's text, with these environment variables over it. `file` is what errors call
    /// the file; `keys` are the keys there are.
    ///
    /// # Errors
    /// The text is not TOML.
    pub fn read(
        file: String,
        text: &str,
        keys: &'static [Key],
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(Self, Map<String, Value>), ConfigErrors> {
        // The message leaves out the text of the line, which may hold a password.
        let document = ImDocument::parse(text.to_owned()).map_err(|error| {
            let start = error.span().map(|span| span.start);
            let place = start.map_or(file.clone(), |at| format!("{file}:{}", line_of(text, at)));
            let message = error.message().replace('\n', ", ");
            let hint = start.map_or("", |at| hint(text, at));
            whole(&place, format!("not TOML: {message}{hint}"))
        })?;
        let unreadable = |_| whole(&file, "holds values that cannot be read");
        let figment = Figment::from(Toml::string(text));
        let values = figment.extract().map_err(unreadable)?;
        // Before the variables, which may set another key of the same table.
        let figment = figment.merge(Serialized::defaults(lengthened(&values, keys)));
        let environment = Environment::read(keys, &values, variables);
        let merged = figment.merge(Serialized::defaults(&environment.values));
        let values = merged.extract().map_err(unreadable)?;
        let sources = Self {
            file,
            document,
            environment,
        };
        Ok((sources, values))
    }

    /// The variables, and what is wrong with them.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// The rooms of the file, in its order.
    pub fn room_ids(&self) -> impl Iterator<Item = &str> {
        let rooms = self.document.get("rooms");
        let rooms = rooms.and_then(|rooms| rooms.as_table_like());
        let rooms = rooms.into_iter().flat_map(|rooms| rooms.iter());
        rooms.map(|(id, _)| id)
    }

    /// A warning about the whole file.
    pub fn warning(&self, message: impl fmt::Display) -> String {
        format!("{}: {message}", self.file)
    }

    /// A path of the configuration: a relative one is beside the file.
    pub fn beside_file(&self, path: &str) -> PathBuf {
        let folder = Path::new(&self.file).parent();
        folder.unwrap_or(Path::new("")).join(path)
    }

    /// The variable that sets a key.
    pub fn variable(&self, path: &[String]) -> Option<&str> {
        self.environment.variable(path)
    }

    /// What looks like a mistake in the text that a variable sets the key to.
    pub fn oddity(&self, path: &[String]) -> Option<String> {
        self.environment.oddity(path)
    }

    /// Whether the file or a variable sets the key.
    pub fn is_set(&self, path: &[String]) -> bool {
        self.variable(path).is_some() || self.find(path).1 == path.len()
    }

    /// A number, a date or a truth value as the file writes it; `None` for any other value.
    pub fn written(&self, path: &[String]) -> Option<&str> {
        if self.variable(path).is_some() {
            return None;
        }
        let mut item = self.document.as_item();
        for name in path {
            item = child(item, name)?.1;
        }
        let value = item.as_value()?;
        let texts = value.is_str() || value.is_array() || value.is_inline_table();
        let span = value.span().filter(|_| !texts)?;
        self.document.raw().get(span)
    }

    /// A number that the file writes with digits alone, digit for digit.
    pub fn digits(&self, path: &[String]) -> Option<String> {
        let written = self.written(path)?;
        let plain = written.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| written.to_owned())
    }

    /// Where a key is set: the variable, or file and line of the key or of the nearest table around
    /// it. A table that only variables make is blamed on one of them.
    pub fn place(&self, path: &[String]) -> String {
        if let Some(variable) = self.variable(path) {
            return variable.to_owned();
        }
        let (line, found) = self.find(path);
        if found < path.len()
            && let Some(variable) = self.environment.variable_in(&path[..=found])
        {
            return variable.to_owned();
        }
        match line {
            Some(line) => format!("{}:{line}", self.file),
            None => self.file.clone(),
        }
    }

    /// How many parts of a path the file has, and the line of the last that has one.
    fn find(&self, path: &[String]) -> (Option<usize>, usize) {
        let mut line = None;
        let mut item = self.document.as_item();
        for (found, name) in path.iter().enumerate() {
            let Some((key, next)) = child(item, name) else {
                return (line, found);
            };
            let span = key.or_else(|| next.span());
            line = span
                .map(|span| line_of(self.document.raw(), span.start))
                .or(line);
            item = next;
        }
        (line, path.len())
    }
}

/// What may be wrong with a line that is no TOML. It shows nothing of the line.
fn hint(text: &str, at: usize) -> &'static str {
    let line = text.lines().nth(line_of(text, at) - 1).unwrap_or_default();
    let value = line.split_once('=').map(|(_, value)| value.trim_start());
    match value {
        Some(value) if !value.starts_with(['"', '\'', '[', '{']) => {
            "; texts are written in quotes: key = \"text\""
        }
        _ => "",
    }
}

/// A member of a table, or of a list of tables by its number, with the span of its key.
fn child<'a>(item: &'a Item, name: &str) -> Option<(Option<std::ops::Range<usize>>, &'a Item)> {
    if let Ok(index) = name.parse::<usize>()
        && (item.is_array_of_tables() || item.is_array())
    {
        let member = item.get(index)?;
        return Some((member.span(), member));
    }
    let (key, value) = item.as_table_like()?.get_key_value(name)?;
    Some((key.span(), value))
}

/// The line, from 1, of a place in a text.
fn line_of(text: &str, at: usize) -> usize {
    let before = text.as_bytes().iter().take(at);
    before.filter(|byte| **byte == b'\n').count() + 1
}
