//! The root cause of a library's error.

use std::error::Error;

/// The deepest cause of an error. Libraries wrap what went wrong in their own words; people need
/// the cause.
pub fn root_cause<'a>(mut error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    while let Some(deeper) = error.source() {
        error = deeper;
    }
    error
}
