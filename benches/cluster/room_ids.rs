//! Ids of rooms as campuses have them, and random ones.

use poly2mqtt_test_support::random::Random;

/// How the ids of a campus look.
#[derive(Debug, Clone, Copy)]
pub enum Style {
    /// `17`
    Numbers,
    /// `b07-f3-r214`: building, floor, room.
    Buildings,
    /// `library-east-2-study-14`
    Words,
    /// 16 hexadecimal digits, as of a device's serial number.
    Random,
}

impl Style {
    pub const ALL: [Self; 4] = [Self::Numbers, Self::Buildings, Self::Words, Self::Random];
}

const PLACES: [&str; 12] = [
    "library", "medicine", "law", "physics", "main", "arts", "sports", "north", "south", "annex",
    "tower", "campus-2",
];
const KINDS: [&str; 8] = [
    "seminar", "lecture", "study", "board", "office", "lab", "huddle", "hall",
];

/// So many different ids. Another seed gives another campus.
pub fn ids(style: Style, count: usize, seed: u64) -> Vec<String> {
    let mut random = Random::new(seed, "room ids");
    // Another campus has other numbers.
    let first = usize::try_from(seed % 1000).unwrap_or(0);
    let id = |n: usize| match style {
        Style::Numbers => (first * 100_000 + n).to_string(),
        Style::Buildings => {
            let (building, rest) = (first + n / 800, n % 800);
            format!("b{building:03}-f{}-r{:03}", rest / 100, rest % 100 + 100)
        }
        Style::Words => {
            let (place, rest) = (n % PLACES.len(), n / PLACES.len());
            let (kind, number) = (rest % KINDS.len(), rest / KINDS.len());
            let (floor, door) = (number % 9, number / 9);
            format!("{}-{first}-{floor}-{}-{door}", PLACES[place], KINDS[kind])
        }
        Style::Random => unreachable!("it draws"),
    };
    match style {
        Style::Random => (0..count)
            .map(|_| format!("{:016x}", random.draw()))
            .collect(),
        _ => (0..count).map(id).collect(),
    }
}
