//! JSON as people, controllers and devices write it.
//!
//! Owns what serde_json does not do: numbers that are whole however they are spelled, values that go
//! back exactly as they came, and advice about text that is nearly JSON. Pure. It knows no topics and
//! no fields: what a value may be is the catalogue's business.

mod advice;
mod exact;
mod number;
mod object;
mod unique;
mod values;

pub use advice::advice;
pub use exact::JsonText;
pub use number::{is_integer, is_number, whole_number};
pub use object::JsonObject;
pub use values::has_more_values_than;

use serde::de::DeserializeOwned;

use crate::visible::visible_start;

/// The longest start of a key, in characters, that is repeated in a message.
const LONGEST_KEY: usize = 60;

/// The most values of a text that is read here: some thousand filters of a client, and more than anything else
/// has. Each costs a microsecond, in which nothing else is done, and memory.
const MOST_VALUES: usize = 20_000;

/// Reads JSON that a person may have written.
///
/// # Errors
/// As of [`read_few`].
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    read_few(MOST_VALUES, text)
}

/// Reads JSON that a person may have written, if it has at most so many values.
///
/// # Errors
/// `broken JSON: …`, with advice where the flaw is a usual one; or it has more values; or a key is there twice, of
/// which no reader can know which one is meant.
pub fn read_few<T: DeserializeOwned>(most: usize, text: &str) -> Result<T, String> {
    if has_more_values_than(most, text) {
        return Err(format!("JSON that has more than {most} values"));
    }
    if let Some(key) = unique::repeated_key(text) {
        let key = visible_start(&key, LONGEST_KEY);
        return Err(format!("JSON that has \"{key}\" twice in one object"));
    }
    serde_json::from_str(text).map_err(|error| match advice(text) {
        Some(advice) => format!("broken JSON: {error}; {advice}"),
        None => format!("broken JSON: {error}"),
    })
}
