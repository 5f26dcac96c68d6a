//! The device's own configuration: the names of its settings, what its answers say of each, and which
//! values are never shown.
//!
//! Pure. The entries are in `areas::config`. A value may be a password: no message here repeats one.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::call::Call;
use super::field::switch;
use super::quirks::{NO_ERROR, truth};
use super::state::Context;
use super::step::Step;
use crate::command::{ErrorCode, Failure};
use crate::topics;

/// The most settings in one request and in a room's `settings`. People watch a handful; this many make
/// an answer of some 10 KB.
pub const MOST_SETTINGS: usize = 50;
/// A longer name, in bytes, is none. The longest that drivers use has 57 letters.
const LONGEST_NAME: usize = 128;
/// A result that is longer, in bytes, is not one of the device's words.
const LONGEST_RESULT: usize = 40;
/// The result in place of one that the device did not give.
const NO_ANSWER: &str = "NOANSWER";
/// A value with fewer characters than this is no secret: it is a number or a mode, and such digits and letters are in
/// most of what a device says. A PIN of a device has four digits.
const SHORTEST_SECRET: usize = 4;
/// How the names of secret settings end, for firmware that does not say that they are secret.
const SECRET_ENDINGS: &[&str] = &["password", "passphrase", "secret"];

/// The part of a payload about settings that a field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingRule {
    /// The name of one.
    Name,
    /// A list of names, or one name.
    Names,
    /// The value of one.
    Value,
    /// A list of objects with `name` and `value`.
    Values,
}

impl SettingRule {
    /// The allowed values in words, to follow "takes" in a message.
    pub fn describe(self) -> String {
        let form = "names such as system.info.systemname";
        match self {
            Self::Name => "the name of a setting, such as system.info.systemname".into(),
            Self::Names => format!("1 to {MOST_SETTINGS} {form}"),
            Self::Value => "a text, a number, true or false".into(),
            Self::Values => {
                format!("a JSON list of 1 to {MOST_SETTINGS} objects with name and value")
            }
        }
    }

    /// Whether it may hold a secret.
    pub fn is_secret(self) -> bool {
        matches!(self, Self::Value | Self::Values)
    }

    /// The value for the device, or `None` where `value` is not allowed.
    pub(super) fn convert(self, value: &Value) -> Option<Value> {
        match self {
            Self::Name => Some(name(value)?.into()),
            Self::Names => {
                let names: Vec<&str> = match value {
                    Value::Array(items) => items.iter().map(name).collect::<Option<_>>()?,
                    Value::String(text) => text
                        .split(',')
                        .map(str::trim)
                        .map(|text| is_setting_name(text).then_some(text))
                        .collect::<Option<_>>()?,
                    _ => return None,
                };
                is_count(names.len()).then(|| names.into())
            }
            Self::Value => setting_value(value),
            Self::Values => {
                let items = value.as_array().filter(|items| is_count(items.len()))?;
                items.iter().map(name_and_value).collect()
            }
        }
    }
}

fn is_count(count: usize) -> bool {
    (1..=MOST_SETTINGS).contains(&count)
}

/// Whether a text can be the name of a setting: parts with dots between them. A name is a topic level
/// too, and without a dot it could be the last level of a command.
pub fn is_setting_name(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let mut parts = name.split('.');
    name.len() <= LONGEST_NAME
        && name.contains('.')
        && parts.all(|part| !part.is_empty() && part.bytes().all(letter))
}

fn name(value: &Value) -> Option<&str> {
    let name = value.as_str()?.trim();
    is_setting_name(name).then_some(name)
}

fn setting_value(value: &Value) -> Option<Value> {
    let is_scalar = matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_));
    is_scalar.then(|| value.clone())
}

fn name_and_value(item: &Value) -> Option<Value> {
    let item = item.as_object().filter(|item| item.len() == 2)?;
    let (name, value) = (name(item.get("name")?)?, setting_value(item.get("value")?)?);
    Some(json!({"name": name, "value": value}))
}

/// The values that may be secrets, of a value or a list of names and values that was given.
pub(super) fn secret_values(given: &Value) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let texts: Vec<String> = match given {
        Value::Array(items) => items
            .iter()
            .filter_map(|item| text(&item["value"]))
            .collect(),
        one => text(one).into_iter().collect(),
    };
    let is_long = |text: &String| text.chars().count() >= SHORTEST_SECRET;
    let texts = texts.into_iter().filter(is_long);
    texts.filter(|text| switch(text).is_none()).collect()
}

/// Makes a list of the one setting that `config/set` may name.
pub(super) fn as_list(mut own: Step, _: &Context) -> Result<Vec<Step>, Failure> {
    let name = own.values.shift_remove("name");
    let value = own.values.shift_remove("value");
    match (name, value, own.values.contains_key("vars")) {
        (Some(name), Some(value), false) => {
            let vars = json!([{"name": name, "value": value}]);
            Ok(vec![own.with("vars", vars)])
        }
        (None, None, true) => Ok(vec![own]),
        _ => Err(Failure::new(
            ErrorCode::InvalidPayload,
            "config/set takes name and value, or vars",
        )),
    }
}

/// The names of the settings that a command is about.
pub fn setting_names(call: &Call) -> Vec<&str> {
    let named = |list: &str, of: fn(&Value) -> &Value| {
        let items = call.values.get(list).and_then(Value::as_array);
        let items = items.into_iter().flatten();
        items.filter_map(move |item| of(item).as_str())
    };
    let one = call.values.get("name").and_then(Value::as_str);
    let names = named("names", |name| name);
    one.into_iter()
        .chain(names)
        .chain(named("vars", |var| &var["name"]))
        .collect()
}

/// What an answer says of the setting with this name.
fn var<'a>(answer: &'a Value, name: &str) -> Option<&'a Value> {
    let vars = answer["vars"].as_array()?;
    vars.iter().find(|var| var["name"] == name)
}

/// The device's word for how it went. What is no word is not repeated: it might hold the value.
fn result(var: Option<&Value>) -> Cow<'static, str> {
    let is_word = |text: &&str| {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        !text.is_empty() && text.len() <= LONGEST_RESULT && text.bytes().all(letter)
    };
    match var.map(|var| &var["result"]) {
        None => NO_ANSWER.into(),
        // Some firmware may say how it went only where it went wrong.
        Some(Value::Null) => NO_ERROR.into(),
        Some(word) => match word.as_str().filter(is_word) {
            Some(word) => word.to_owned().into(),
            None => "UNKNOWN".into(),
        },
    }
}

/// Whether a value is never shown. Only a plain "no" of the device says that it may be.
fn is_concealed(var: &Value) -> bool {
    let is = |flag: &str| match &var[flag] {
        Value::Null => false,
        flag => truth(flag) != Some(false),
    };
    let name = var["name"].as_str().unwrap_or_default();
    let name = name.to_ascii_lowercase();
    let named_secret = SECRET_ENDINGS.iter().any(|ending| name.ends_with(ending));
    is("isSecure") || is("isHidden") || named_secret
}

/// One state for each setting whose value may be shown.
pub(super) fn settings(answer: &Value) -> Vec<(String, Value)> {
    let setting = |var: &Value| {
        let name = var["name"].as_str().filter(|name| is_setting_name(name))?;
        let shown = result(Some(var)) == NO_ERROR && !is_concealed(var) && !var["value"].is_null();
        shown.then(|| (topics::encode_level(name), var["value"].clone()))
    };
    let vars = answer["vars"].as_array().into_iter().flatten();
    vars.filter_map(setting).collect()
}

/// The result of `config/get`: of each name that was asked for what the device says, without the
/// values that are never shown.
pub(super) fn settings_read(call: &Call, answer: &Value) -> Result<Value, Failure> {
    let told = |name: &str| {
        let var = var(answer, name);
        let mut told = Map::new();
        told.insert("name".into(), name.into());
        told.insert("result".into(), result(var).into());
        let Some(var) = var else {
            return Value::Object(told);
        };
        for flag in ["isEditable", "isHidden", "isSecure"] {
            if let Some(flagged) = truth(&var[flag]) {
                told.insert(flag.into(), flagged.into());
            }
        }
        if is_concealed(var) {
            told.insert("concealed".into(), true.into());
        } else if let Some(value) = var.get("value") {
            told.insert("value".into(), value.clone());
        }
        Value::Object(told)
    };
    let names = setting_names(call);
    let vars: Vec<Value> = names.into_iter().map(told).collect();
    Ok(json!({ "vars": vars }))
}

/// The result of `config/set`: how it went with each name, and whether the device must be restarted.
pub(super) fn settings_written(call: &Call, answer: &Value) -> Result<Value, Failure> {
    let names = setting_names(call).into_iter();
    let results: Vec<_> = names
        .map(|name| (name, result(var(answer, name))))
        .collect();
    let (set, refused): (Vec<_>, Vec<_>) = results
        .into_iter()
        .partition(|(_, result)| result == NO_ERROR);
    let set: Vec<&str> = set.into_iter().map(|(name, _)| name).collect();
    let reboot = truth(&answer["rebootNeeded"]).unwrap_or(false);
    if refused.is_empty() {
        let vars = set
            .iter()
            .map(|name| json!({"name": name, "result": NO_ERROR}));
        let vars: Vec<Value> = vars.collect();
        return Ok(json!({"vars": vars, "reboot_needed": reboot}));
    }
    let refused = refused
        .iter()
        .map(|(name, result)| format!("{name} ({result})"));
    let refused: Vec<String> = refused.collect();
    let rest = match set.as_slice() {
        [] => "it set nothing".to_owned(),
        set if reboot => format!("it set {}, and must be restarted for that", set.join(", ")),
        set => format!("it set {}", set.join(", ")),
    };
    let message = format!("the device did not set {}; {rest}", refused.join(", "));
    Err(Failure::new(ErrorCode::DeviceError, message))
}
