//! `presets` of a room: the names of its camera presets.

use super::forms;
use super::key::{Key, KeyType, Reload};
use super::reader::Reader;
use crate::catalogue::PresetNames;
use crate::json::whole_number;
use crate::topics::is_harmless;
use crate::visible::is_invisible;

/// The longest name in characters: as much as fits on a button.
const LONGEST_NAME: usize = 64;

/// The keys: the numbers of the presets, as people count them.
pub(super) const PRESETS: &[Key] = &[
    preset("1"),
    preset("2"),
    preset("3"),
    preset("4"),
    preset("5"),
    preset("6"),
    preset("7"),
    preset("8"),
    preset("9"),
    preset("10"),
];

const fn preset(number: &'static str) -> Key {
    Key::new(
        number,
        KeyType::Text,
        Reload::Now,
        "Name of the preset with this number",
    )
    .form(forms::preset_name)
}

/// Reads `presets`; `None` where it is not there.
pub(super) fn read_presets(reader: &mut Reader<'_>) -> Option<PresetNames> {
    let is_given = reader.has("presets");
    let mut table = reader.table("presets", PRESETS);
    let mut names = PresetNames::default();
    for (number, key) in (1..).zip(PRESETS) {
        let Some(text) = table.text(key.name) else {
            continue;
        };
        let name = text.trim();
        if let Err(message) = check(name) {
            table.error(key.name, message);
        } else if let Err(other) = names.insert(number, name.to_owned()) {
            let message = format!("is the name of preset {other} too, in the same or another case");
            table.error(key.name, message);
        }
    }
    table.finish();
    is_given.then_some(names)
}

/// Whether people can tell a name from others, and a command can have it in its topic.
fn check(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("takes a text that is not empty".into());
    }
    if name.chars().count() > LONGEST_NAME {
        return Err(format!("takes a name of at most {LONGEST_NAME} characters"));
    }
    if name.chars().any(is_invisible) {
        return Err("has a character that cannot be seen; remove it".into());
    }
    if whole_number(name).is_some() {
        return Err("takes a name, not a number: a command would mean the preset with it".into());
    }
    if !is_harmless(name) {
        return Err("takes a name without the steps . and .., which no topic can have".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::PRESET_NUMBERS;

    #[test]
    fn every_preset_has_a_key() {
        let keys = PRESETS.iter().map(|key| key.name.to_owned());
        let numbers = PRESET_NUMBERS.map(|number| number.to_string());
        assert!(keys.eq(numbers));
    }

    #[test]
    fn a_name_can_be_seen_and_told_from_a_number() {
        let long = "ü".repeat(LONGEST_NAME);
        for good in [
            "Whole table",
            "Lectern",
            "Bühne, links/rechts",
            "Table 19\"",
            "100 %",
            "1st row",
            "3+4",
            "😀",
            &long,
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        let longer = format!("{long}x");
        for (bad, why) in [
            ("", "not empty"),
            (&*longer, "at most 64 characters"),
            ("a\nb", "cannot be seen"),
            ("a\u{200b}", "cannot be seen"),
            ("a\u{a0}b", "cannot be seen"),
            ("3", "not a number"),
            ("-4", "not a number"),
            ("1e1", "not a number"),
            ("2.0", "not a number"),
            ("..", "steps"),
            ("a/../b", "steps"),
        ] {
            let told = check(bad).unwrap_err();
            assert!(told.contains(why), "{bad:?}: {told}");
        }
    }
}
