//! The table of error codes in `docs/commands.md`.

use std::fmt::Write;

use crate::command::ErrorCode;

/// One row for each code: what it means, and what the sender can do about it.
pub fn error_code_table() -> String {
    let mut table = String::from("| code | means | what to do |\n|---|---|---|\n");
    for code in ErrorCode::ALL {
        let (name, meaning, advice) = (code.as_str(), code.meaning(), code.advice());
        // Writing to a string cannot fail.
        let _ = writeln!(table, "| `{name}` | {meaning} | {advice} |");
    }
    table
}
