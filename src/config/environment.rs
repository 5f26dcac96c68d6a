//! The environment over the file: which variable sets which key.
//!
//! Owns the values that variables set, and the messages about variables that set none. `names` says
//! what a variable's name means. Checks no value: the reader does.

mod names;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::error::ConfigError;
use super::key::{Key, KeyType, find_key, unknown_key};
use super::oddities::oddities;
use names::VariableMeaning;

/// The variables that set keys.
#[derive(Debug, Default)]
pub struct Environment {
    /// The names of the variables, by the path of the key that each sets.
    variables: BTreeMap<Vec<String>, Variable>,
    /// The values, as a tree to be put over that of the file.
    pub values: Map<String, Value>,
    /// Variables that are wrong whatever their value is.
    pub errors: Vec<ConfigError>,
    /// Variables that set nothing, or whose value looks like a mistake.
    pub warnings: Vec<String>,
}

#[derive(Debug)]
struct Variable {
    name: String,
    value: String,
}

impl Environment {
    /// Reads the variables; `file` is what the file says, and `keys` are the keys there are.
    pub fn read(
        keys: &'static [Key],
        file: &Map<String, Value>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let mut environment = Self::default();
        let mut variables: Vec<_> = variables.into_iter().collect();
        variables.sort();
        for (name, value) in variables {
            let meaning = names::meaning(&name, &value, keys, file);
            environment.note(keys, file, meaning, Variable { name, value });
        }
        environment.set_values(keys, file);
        environment
    }

    /// The variable that sets this key.
    pub fn variable(&self, path: &[String]) -> Option<&str> {
        Some(&self.variables.get(path)?.name)
    }

    /// A variable that sets a key in the table with this path.
    pub fn variable_in(&self, table: &[String]) -> Option<&str> {
        let mut from = self.variables.range(table.to_vec()..);
        let (path, variable) = from.next()?;
        path.starts_with(table).then_some(&variable.name)
    }

    /// What looks like a mistake in the text that a variable sets this key to.
    pub fn oddity(&self, path: &[String]) -> Option<String> {
        let value = &self.variables.get(path)?.value;
        oddities(value)
            .into_iter()
            .next()
            .filter(|_| !value.trim().is_empty())
    }

    /// Whether no variable was meant to set a key.
    pub fn is_empty(&self) -> bool {
        self.variables.is_empty() && self.errors.is_empty()
    }

    fn error(&mut self, variable: &str, path: &[String], message: impl Into<String>) {
        self.errors.push(ConfigError {
            place: variable.to_owned(),
            key: path.join("."),
            message: message.into(),
        });
    }

    fn note(
        &mut self,
        keys: &'static [Key],
        file: &Map<String, Value>,
        meaning: VariableMeaning,
        variable: Variable,
    ) {
        let name = variable.name.clone();
        match meaning {
            VariableMeaning::NotOurs => {}
            VariableMeaning::NoKey(hint) => {
                self.warnings.push(format!("{name}: sets nothing: {hint}"))
            }
            VariableMeaning::SeveralIds(ids) => {
                let message = format!(
                    "stands for {} alike; write the id as the file does",
                    ids.join(" and ")
                );
                self.error(&name, &["rooms".to_owned()], message);
            }
            VariableMeaning::Key(path) => match find_key(keys, &path) {
                Ok(key) if key.below().is_empty() => self.note_key(key, path, variable),
                Ok(&Key {
                    short_for: Some(short),
                    ..
                }) => {
                    let path = [path, vec![short.to_owned()]].concat();
                    self.note(keys, file, VariableMeaning::Key(path), variable);
                }
                Ok(_) => {
                    let meant = names::other_underscores(&name, keys, file);
                    let message = format!("is a table; set its keys: {name}__KEY");
                    self.error(&name, &path, meant.unwrap_or(message));
                }
                Err((known, depth)) => {
                    let meant = names::other_underscores(&name, keys, file);
                    let message = meant.unwrap_or_else(|| unknown_key(known, &path[depth]));
                    self.error(&name, &path[..=depth], message);
                }
            },
        }
    }

    fn note_key(&mut self, key: &Key, path: Vec<String>, variable: Variable) {
        // The reader warns of secrets, wherever they come from. The items of a list may have quotes.
        if !matches!(key.kind, KeyType::Secret | KeyType::List) {
            let told = oddities(&variable.value);
            let lines = told
                .iter()
                .map(|oddity| format!("{}: the value {oddity}", variable.name));
            self.warnings.extend(lines);
        }
        match self.variables.get(&path) {
            Some(first) if first.value != variable.value => {
                let message = format!("{} sets it too, to something else", first.name);
                self.error(&variable.name, &path, message);
            }
            Some(_) => {}
            None => {
                self.variables.insert(path, variable);
            }
        }
    }

    fn set_values(&mut self, keys: &'static [Key], file: &Map<String, Value>) {
        let mut variables: Vec<_> = self.variables.iter().collect();
        // A list of tables is filled in the order of its numbers.
        variables.sort_by_key(|(path, _)| {
            let numbered = |part: &String| (part.parse().unwrap_or(usize::MAX), part.clone());
            path.iter().map(numbered).collect::<Vec<_>>()
        });
        let file = Value::Object(file.clone());
        let mut values = Map::new();
        let mut errors = Vec::new();
        for (path, variable) in variables {
            let value = variable.value.clone().into();
            if let Err(message) = set(&mut values, Some(&file), keys, path, value) {
                errors.push(ConfigError {
                    place: variable.name.clone(),
                    key: path.join("."),
                    message,
                });
            }
        }
        self.values = values;
        self.errors.append(&mut errors);
    }
}

/// Sets a key below `into`; `file` is what the file says there. A list of tables starts as that of
/// the file, because the whole list replaces it. Where the file has no table at a place that needs
/// one, nothing is set, and the reader says what is wrong.
fn set(
    into: &mut Map<String, Value>,
    file: Option<&Value>,
    keys: &[Key],
    path: &[String],
    value: Value,
) -> Result<(), String> {
    let Some((name, rest)) = path.split_first() else {
        return Ok(());
    };
    let file = file.and_then(|file| file.get(name));
    let kind = keys.iter().find(|key| key.name == name);
    match (kind.map(|key| key.kind), rest.split_first()) {
        (Some(KeyType::Table(below) | KeyType::TextByNumber(below)), _) => {
            match table(into, name) {
                Some(into) => set(into, file, below, rest, value),
                None => Ok(()),
            }
        }
        (Some(KeyType::ById(below)), Some((id, rest))) => {
            let file = file.and_then(|file| file.get(id));
            match table(into, name).and_then(|into| table(into, id)) {
                Some(into) => set(into, file, below, rest, value),
                None => Ok(()),
            }
        }
        (Some(KeyType::Tables(below)), Some((number, rest))) => {
            let start = || file.cloned().unwrap_or_else(|| Value::Array(Vec::new()));
            let Some(list) = into.entry(name).or_insert_with(start).as_array_mut() else {
                return Ok(());
            };
            let count = list.len();
            let number: Option<usize> = number.parse().ok().filter(|number| *number <= count);
            let Some(number) = number else {
                return Err(format!(
                    "the tables of {name} have numbers, from 0 to {count}"
                ));
            };
            if number == count {
                list.push(Value::Object(Map::new()));
            }
            match list[number].as_object_mut() {
                Some(into) => set(into, None, below, rest, value),
                None => Ok(()),
            }
        }
        _ => {
            into.insert(name.clone(), value);
            Ok(())
        }
    }
}

fn table<'a>(into: &'a mut Map<String, Value>, name: &str) -> Option<&'a mut Map<String, Value>> {
    let empty = || Value::Object(Map::new());
    into.entry(name).or_insert_with(empty).as_object_mut()
}
