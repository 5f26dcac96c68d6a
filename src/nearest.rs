//! Which of the known names somebody meant, for messages about a name that is not known.
//!
//! Owns what is near and how many names a message gives. Pure. The caller passes only names that the
//! reader of the message may see. A long wanted name is not compared: the time to compare grows with its
//! length, which the sender chooses.

use std::cmp::Reverse;

/// Up to this many names are all given: a person takes them in at a glance.
const FEW: usize = 5;
/// The names that are given where there are more.
const MOST_NEAR: usize = 3;
/// A longer name, in bytes, is not compared.
const LONGEST_COMPARED: usize = 128;
/// The letters that must be the same of a name that only begins alike.
const SHORTEST_PREFIX: usize = 2;

/// The names that a message gives.
#[derive(Debug, PartialEq, Eq)]
pub struct Nearest<'a> {
    /// All names if they are few, otherwise the nearest, best first.
    pub names: Vec<&'a str>,
    /// How many are known.
    pub known: usize,
}

impl<'a> Nearest<'a> {
    /// Of these names, those that a message about `wanted` gives.
    pub fn of(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let known: Vec<&str> = known.into_iter().collect();
        let count = known.len();
        if count <= FEW {
            return Self {
                names: known,
                known: count,
            };
        }
        Self {
            names: near(wanted, known, MOST_NEAR),
            known: count,
        }
    }

    /// Whether there are more names than these.
    pub fn is_part(&self) -> bool {
        self.names.len() < self.known
    }

    /// The names in words after what they are: `configured are 1, 2`, or
    /// `the nearest of 60 configured are hall-1, hall-2`. `show` writes a name.
    pub fn words(&self, what: &str, show: impl Fn(&str) -> String) -> String {
        let names: Vec<String> = self.names.iter().map(|name| show(name)).collect();
        let (names, known) = (names.join(", "), self.known);
        match (self.known, self.names.len()) {
            (0, _) => format!("none is {what}"),
            (_, 0) => format!("none of the {known} that are {what} has a name like it"),
            (_, 1) if self.is_part() => format!("the nearest of {known} {what} is {names}"),
            _ if self.is_part() => format!("the nearest of {known} {what} are {names}"),
            _ => format!("{what} are {names}"),
        }
    }
}

/// The one name that was probably meant.
pub fn nearest<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    near(wanted, known, 1).first().copied()
}

/// The names that are like the wanted one, best first: by the fewest changes of a letter, then by the
/// longest common beginning, then by the alphabet.
fn near<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>, most: usize) -> Vec<&'a str> {
    if wanted.len() > LONGEST_COMPARED {
        return Vec::new();
    }
    let wanted = wanted.trim().to_lowercase();
    let length = wanted.chars().count();
    // A third of the letters may be wrong.
    let far = (length / 3).max(1);
    let mut found: Vec<_> = known
        .into_iter()
        .filter(|name| name.len() <= LONGEST_COMPARED)
        .filter_map(|name| {
            let lower = name.to_lowercase();
            let same = lower.chars().zip(wanted.chars());
            let same = same.take_while(|(known, given)| known == given).count();
            let shorter = length.min(lower.chars().count());
            let begins = shorter >= SHORTEST_PREFIX && same == shorter;
            // The distance of two texts is at least the difference of their lengths.
            let differs = lower.chars().count().abs_diff(length);
            let distance = (differs <= far)
                .then(|| strsim::osa_distance(&lower, &wanted))
                .filter(|distance| *distance <= far);
            // A name that only goes on, or only ends early, is as near as one with a wrong letter.
            let distance = match (distance, begins) {
                (Some(0), _) => 0,
                (_, true) => 1,
                (distance, false) => distance?,
            };
            Some((distance, Reverse(same), name))
        })
        .collect();
    found.sort_unstable();
    found.truncate(most);
    found.into_iter().map(|(.., name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rooms() -> Vec<String> {
        let numbered = (1..=60).map(|number| format!("room-{number}"));
        let named = ["boardroom", "boardroom-2", "Lecture-Hall", "café"];
        numbered.chain(named.map(str::to_owned)).collect()
    }

    #[test]
    fn a_few_near_names_are_given_of_many() {
        let rooms = rooms();
        let names = || rooms.iter().map(String::as_str);
        for (wanted, given) in [
            ("bordroom", &["boardroom"][..]),
            ("BOARDROOM", &["boardroom", "boardroom-2"]),
            ("board", &["boardroom", "boardroom-2"]),
            ("lecture_hall", &["Lecture-Hall"]),
            ("room61", &["room-1"]),
            ("boardroom-2-left", &["boardroom-2"]),
            ("cafe", &["café"]),
            ("xyzzy", &[]),
            ("", &[]),
        ] {
            let nearest = Nearest::of(wanted, names());
            assert!(nearest.names.len() <= MOST_NEAR && nearest.is_part());
            let all_given = given.iter().all(|name| nearest.names.contains(name));
            assert!(all_given, "{wanted}: {:?}", nearest.names);
            assert_eq!(nearest.names.is_empty(), given.is_empty(), "{wanted}");
        }
        let long = "room-1".repeat(50);
        assert_eq!(Nearest::of(&long, names()).names, [""; 0]);
    }

    #[test]
    fn all_names_are_given_of_few() {
        let nearest = Nearest::of("x", ["2", "1"]);
        assert_eq!(nearest.names, ["2", "1"]);
        assert!(!nearest.is_part());
    }

    #[test]
    fn the_words_say_how_many_there_are() {
        let words = |names: &[&'static str], known| {
            let names = names.to_vec();
            Nearest { names, known }.words("configured", str::to_owned)
        };
        assert_eq!(words(&[], 0), "none is configured");
        assert_eq!(words(&["1", "2"], 2), "configured are 1, 2");
        assert_eq!(
            words(&["1", "2"], 60),
            "the nearest of 60 configured are 1, 2"
        );
        assert_eq!(words(&["1"], 60), "the nearest of 60 configured is 1");
        let none = "none of the 60 that are configured has a name like it";
        assert_eq!(words(&[], 60), none);
    }

    #[test]
    fn the_one_that_was_meant_is_the_nearest() {
        let known = ["audio/volume/set", "audio/volume/up", "audio/muted/set"];
        assert_eq!(nearest("audio/volum/set", known), Some("audio/volume/set"));
        assert_eq!(nearest("lights/on", known), None);
    }
}
