//! JSON as people, controllers and devices write it.
//!
//! Owns what serde_json does not do: numbers that are whole however they are spelled, values that go
//! back exactly as they came, and advice about text that is nearly JSON. Pure. It knows no topics and
//! no fields: what a value may be is the catalogue's business.

mod advice;
mod exact;
mod number;
mod object;

pub use advice::advice;
pub use exact::JsonText;
pub use number::{is_integer, is_number, whole_number};
pub use object::JsonObject;

use serde::de::DeserializeOwned;

/// Reads JSON that a person may have written.
///
/// # Errors
/// `broken JSON: …`, with advice where the flaw is a usual one.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| match advice(text) {
        Some(advice) => format!("broken JSON: {error}; {advice}"),
        None => format!("broken JSON: {error}"),
    })
}
