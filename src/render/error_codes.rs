//! The table of error codes in `docs/commands.md`.

use std::fmt::Write;

use crate::command::ErrorCode;

const BEGIN: &str = "<!-- generated: error codes -->\n";
const END: &str = "<!-- end -->";

/// The page about commands, with the table of error codes put between its markers
/// `<!-- generated: error codes -->` and `<!-- end -->`. Everything else stays as it is.
///
/// # Errors
/// A marker is missing.
pub fn commands_page(page: &str) -> Result<String, String> {
    let missing = |marker: &str| format!("there is no {}", marker.trim_end());
    let (before, rest) = page.split_once(BEGIN).ok_or_else(|| missing(BEGIN))?;
    let (_, after) = rest.split_once(END).ok_or_else(|| missing(END))?;
    Ok(format!("{before}{BEGIN}\n{}\n{END}{after}", table()))
}

/// One row for each code: what it means, and what the sender can do about it.
fn table() -> String {
    let mut table = String::from("| code | means | what to do |\n|---|---|---|\n");
    for code in ErrorCode::ALL {
        let (name, meaning, advice) = (code.as_str(), code.meaning(), code.advice());
        // Writing to a string cannot fail.
        let _ = writeln!(table, "| `{name}` | {meaning} | {advice} |");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_table_changes() {
        let page = format!("before\n{BEGIN}stale\n{END}\nafter\n");
        let made = commands_page(&page).unwrap();
        assert!(made.starts_with("before\n<!--") && made.ends_with("-->\nafter\n"));
        assert!(made.contains("\n| `busy` | ") && !made.contains("stale"));
        assert_eq!(commands_page(&made).unwrap(), made);
        assert!(commands_page(END).is_err());
    }
}
