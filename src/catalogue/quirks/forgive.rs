//! The functions that read answers which differ from the guide.
//!
//! Pure. Each is named in the list of quirks.

use serde_json::{Value, json};

use crate::catalogue::field::switch;
use crate::json::{is_integer, whole_number};

/// The first of `names` that `value` has, and that is not null: firmware may send both spellings, and fill one.
pub(in crate::catalogue) fn member<'a>(value: &'a Value, names: &[&str]) -> Option<&'a Value> {
    let mut members = names.iter().filter_map(|name| value.get(name));
    members.find(|member| !member.is_null())
}

/// The word of a device for an error where there is none.
pub(in crate::catalogue) const NO_ERROR: &str = "NOERROR";

/// The device's word in an answer of which `error` says whether the command was carried out; `None`: it was.
pub(in crate::catalogue) fn error_word(answer: &Value) -> Option<String> {
    let word = match answer.get("error")? {
        Value::Null | Value::Bool(false) => return None,
        error => text(error).map_or_else(|| error.to_string(), str::to_owned),
    };
    (word != NO_ERROR && !word.is_empty()).then_some(word)
}

/// The longest reason of a refusal that is passed on, in characters: some devices send whole pages.
const LONGEST_REASON: usize = 200;

/// Whether a body says no, whatever the status says.
pub fn refuses(body: &Value) -> bool {
    let says_no = |answer: &Value| answer.get("success").and_then(truth) == Some(false);
    match body {
        Value::Array(items) => !items.is_empty() && items.iter().all(says_no),
        one => says_no(one),
    }
}

/// The device's own reason for a refusal, cut where it is long.
pub fn refusal_reason(body: &Value) -> Option<String> {
    let body = match body {
        Value::Array(items) => items.first()?,
        one => one,
    };
    let reason = body["reason"].as_str().or_else(|| body.as_str())?;
    Some(reason.chars().take(LONGEST_REASON).collect())
}

/// The longest word that is taken without quotes, in bytes. The guide's longest has 32.
const LONGEST_WORD: usize = 128;

/// A word that should have had quotes.
pub(in crate::catalogue) fn bare_word(text: &str) -> Option<Value> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    (!text.is_empty() && text.len() <= LONGEST_WORD && text.bytes().all(fits)).then(|| text.into())
}

/// A list: one object becomes a list of one, null an empty one.
pub(in crate::catalogue) fn as_list(answer: Value) -> Value {
    match answer {
        Value::Null => Value::Array(Vec::new()),
        list @ Value::Array(_) => list,
        one => Value::Array(vec![one]),
    }
}

/// A whole number, however it is spelled: `62`, `62.0`, `"62"`.
pub(in crate::catalogue) fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => whole_number(number.as_str()),
        Value::String(text) => whole_number(text.trim()),
        _ => None,
    }
}

/// A value that is whole in its usual spelling, and any other as it is.
pub(in crate::catalogue) fn plain_number(value: &Value) -> Value {
    whole(value).map_or_else(|| value.clone(), Value::from)
}

/// Whole seconds; a fraction is left out.
pub(in crate::catalogue) fn seconds(value: &Value) -> Option<i64> {
    whole(value).or_else(|| value.as_f64().map(|seconds| seconds as i64))
}

/// An id or an address: text, or an integer digit for digit.
pub(in crate::catalogue) fn text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        Value::Number(number) if is_integer(number.as_str()) => Some(number.as_str()),
        _ => None,
    }
}

/// A truth value: `true`, 1, or a word for it.
pub fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::Number(number) => whole_number(number.as_str()).map(|number| number != 0),
        Value::String(text) => switch(text.trim()),
        _ => None,
    }
}

/// The value in `{"result": value}`, or the value itself.
pub(in crate::catalogue) fn unwrap_result(answer: Value) -> Value {
    match answer {
        Value::Object(mut map) => map.remove("result").unwrap_or(Value::Null),
        value => value,
    }
}

/// Where the value of `{"result": value}` or of a bare value is; none in an object without result.
pub(in crate::catalogue) fn result_of(answer: &Value) -> Option<&Value> {
    match answer {
        Value::Object(map) => map.get("result"),
        value => Some(value),
    }
}

/// True or false, where the device may send another word for it.
pub(in crate::catalogue) fn flag(value: Value) -> Value {
    truth(&value).map_or(value, Value::from)
}

/// A list of microphones with `mute` as a boolean.
pub(in crate::catalogue) fn numeric_mute(list: &Value) -> Option<Value> {
    let mut list = list.clone();
    for microphone in list.as_array_mut()? {
        if let Some(mute) = microphone.get_mut("mute")
            && let Some(muted) = truth(mute)
        {
            *mute = muted.into();
        }
    }
    Some(list)
}

/// The offset of preset numbers at the device, learned from the list `presets/all`:
/// a list with a preset 0 counts from zero. An empty list shows nothing.
pub fn learned_preset_offset(presets: &Value) -> Option<i8> {
    let presets = presets.as_array().filter(|presets| !presets.is_empty())?;
    let zero = |preset: &Value| preset.get("index").and_then(whole) == Some(0);
    Some(-i8::from(presets.iter().any(zero)))
}

/// A list of presets with the numbers that people use, and `stored` as a boolean. The configured offset wins
/// over the learned one.
pub(in crate::catalogue) fn preset_numbers(list: &Value, configured: Option<i8>) -> Option<Value> {
    let offset = configured.or_else(|| learned_preset_offset(list));
    let offset = i64::from(offset.unwrap_or(0));
    let mut list = list.clone();
    for preset in list.as_array_mut()? {
        if let Some(index) = preset.get_mut("index")
            && let Some(number) = whole(index)
        {
            *index = number.saturating_sub(offset).into();
        }
        if let Some(stored) = preset.get_mut("stored") {
            *stored = flag(stored.take());
        }
    }
    Some(list)
}

/// Whether a conference's id is the one that unanswered incoming calls are listed under.
pub(in crate::catalogue) fn is_pending(conference: &str) -> bool {
    conference == "PENDING"
}

/// The collaboration's session by the guide's names.
pub(in crate::catalogue) fn collaboration_session(answer: &Value) -> Option<Value> {
    if answer.is_string() {
        return Some(answer.clone());
    }
    let id = member(answer, &["sessionId", "id"]);
    let state = member(answer, &["sessionState", "state"]);
    state.map(|state| json!({"sessionId": id, "sessionState": state}))
}

/// The names of the calendar's status.
pub(in crate::catalogue) const CALENDAR_STATUS: &[&str] = &["Status", "status"];

/// In seconds this is the year 5138, in milliseconds 1973: a larger time is milliseconds.
const LARGEST_SECONDS: i64 = 100_000_000_000;

/// A time as seconds since 1970.
pub(in crate::catalogue) fn epoch_seconds(time: &Value) -> Option<i64> {
    let time = seconds(time)?;
    Some(if time > LARGEST_SECONDS {
        time / 1000
    } else {
        time
    })
}
