//! The names that people give to camera presets, and which presets there are.
//!
//! Pure. Names come from the configuration, which checks them; commands take them instead of numbers, and
//! states show them. The device knows none of them.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::json::whole_number;
use crate::nearest::Nearest;
use crate::visible::quoted_start;

/// The numbers of the presets, as people count them. Devices have more, which no command reaches.
pub const PRESET_NUMBERS: RangeInclusive<i64> = 1..=10;

/// The names of a room's presets, by their numbers as people count them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PresetNames(BTreeMap<i64, String>);

impl PresetNames {
    /// The name of a preset.
    pub fn name(&self, number: i64) -> Option<&str> {
        self.0.get(&number).map(String::as_str)
    }

    /// The preset with this name. The case of letters and blanks around the name mean nothing.
    pub fn number(&self, name: &str) -> Option<i64> {
        let wanted = comparable(name);
        let mut names = self.0.iter();
        let found = names.find(|(_, known)| comparable(known) == wanted);
        found.map(|(number, _)| *number)
    }

    /// Names a preset.
    ///
    /// # Errors
    /// The preset that has this name already.
    pub fn insert(&mut self, number: i64, name: String) -> Result<(), i64> {
        if let Some(other) = self.number(&name).filter(|other| *other != number) {
            return Err(other);
        }
        self.0.insert(number, name);
        Ok(())
    }

    /// `{"1":"Whole table"}`; `None` without names.
    pub fn to_json(&self) -> Option<Value> {
        let names = self.0.iter();
        let names: Map<String, Value> = names
            .map(|(number, name)| (number.to_string(), name.as_str().into()))
            .collect();
        (!names.is_empty()).then_some(Value::Object(names))
    }

    /// Adds `name` to each preset of a list that has one. The list has the numbers of people.
    pub fn add_to(&self, presets: &mut Value) {
        for preset in presets.as_array_mut().into_iter().flatten() {
            let number = preset.get("index").and_then(Value::as_i64);
            if let (Some(name), Some(preset)) = (
                number.and_then(|number| self.name(number)),
                preset.as_object_mut(),
            ) {
                preset.insert("name".into(), name.into());
            }
        }
    }

    /// The number of the preset that a command names, by number or by name.
    ///
    /// # Errors
    /// What names a preset.
    pub fn resolve(&self, given: &str) -> Result<i64, String> {
        let by_number = whole_number(given).filter(|number| PRESET_NUMBERS.contains(number));
        by_number
            .or_else(|| self.number(given))
            .ok_or_else(|| self.not_a_preset(given))
    }

    fn not_a_preset(&self, given: &str) -> String {
        let near = Nearest::of(given, self.0.values().map(String::as_str));
        let names = near.names.iter().map(|name| format!("\"{name}\""));
        let names: Vec<String> = names.collect();
        let or_name = match (names.as_slice(), near.known) {
            ([], 0) => String::new(),
            ([], known) => format!(" or one of {known} names"),
            (_, known) if near.is_part() => {
                format!(" or one of {known} names such as {}", names.join(", "))
            }
            ([name], _) => format!(" or the name {name}"),
            _ => format!(" or one of the names {}", names.join(", ")),
        };
        format!(
            "a preset is a number from {} to {}{or_name}, not \"{}\"",
            PRESET_NUMBERS.start(),
            PRESET_NUMBERS.end(),
            quoted_start(given)
        )
    }
}

fn comparable(name: &str) -> String {
    name.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn names(named: &[(i64, &str)]) -> PresetNames {
        let mut names = PresetNames::default();
        for (number, name) in named {
            names.insert(*number, (*name).to_owned()).unwrap();
        }
        names
    }

    #[test]
    fn a_preset_is_found_by_number_and_by_name() {
        let names = names(&[(1, "Whole table"), (2, "Lectern"), (10, "Bühne / links")]);
        for (given, number) in [
            ("1", 1),
            ("3", 3),
            ("10", 10),
            ("2.0", 2),
            ("Whole table", 1),
            ("whole TABLE", 1),
            (" Lectern ", 2),
            ("BÜHNE / LINKS", 10),
        ] {
            assert_eq!(names.resolve(given), Ok(number), "{given}");
        }
        for given in ["0", "11", "-1", "1.5", "Lecter", "", "Whole  table", "0x1"] {
            let message = names.resolve(given).unwrap_err();
            let known = "or one of the names \"Whole table\", \"Lectern\", \"Bühne / links\", not";
            assert!(message.contains(known), "{message}");
            assert!(message.ends_with(&format!("\"{given}\"")), "{message}");
        }
    }

    #[test]
    fn without_names_only_numbers_are_said() {
        let message = PresetNames::default().resolve("Lectern").unwrap_err();
        assert_eq!(
            message,
            "a preset is a number from 1 to 10, not \"Lectern\""
        );
        assert_eq!(PresetNames::default().to_json(), None);
    }

    #[test]
    fn no_two_presets_have_one_name() {
        let mut names = names(&[(1, "Door")]);
        assert_eq!(names.insert(2, " DOOR".into()), Err(1));
        assert_eq!(names.insert(2, "Door 2".into()), Ok(()));
        assert_eq!(names.to_json(), Some(json!({"1": "Door", "2": "Door 2"})));
    }

    #[test]
    fn a_list_gets_the_names_of_its_numbers() {
        let names = names(&[(1, "Whole table"), (4, "Door")]);
        let mut list = json!([{"index": 1, "stored": true}, {"index": 2}, {"x": 1}, 5]);
        names.add_to(&mut list);
        let named = json!([
            {"index": 1, "stored": true, "name": "Whole table"}, {"index": 2}, {"x": 1}, 5,
        ]);
        assert_eq!(list, named);
        let mut other = json!({"index": 1});
        names.add_to(&mut other);
        assert_eq!(other, json!({"index": 1}));
    }
}
