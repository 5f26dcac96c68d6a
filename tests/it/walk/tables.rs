//! The tables of the walk: `guide/operations.tsv` holds the guide's methods and paths, `guide/beyond.tsv` those
//! beyond it, `guide/lacks.tsv` what which firmware lacks, `guide/walk.tsv` the exact request of each topic,
//! `guide/second.tsv` the second spelling of some, and `guide/states.tsv` the states.

use poly2mqtt_simulator::Firmware;

pub const OPERATIONS: &str = include_str!("../../guide/operations.tsv");
const BEYOND: &str = include_str!("../../guide/beyond.tsv");
const LACKS: &str = include_str!("../../guide/lacks.tsv");
const WALK: &str = include_str!("../../guide/walk.tsv");
const SECOND: &str = include_str!("../../guide/second.tsv");
const STATES: &str = include_str!("../../guide/states.tsv");

/// A method and a path, whose parameters stand in angle brackets.
pub type Pair = (&'static str, &'static str);

/// A command, and the request that it makes.
#[derive(Debug, Clone)]
pub struct Row {
    pub topic: &'static str,
    pub payload: &'static str,
    pub method: &'static str,
    pub path: &'static str,
    pub query: &'static str,
    /// JSON; `*` for any; `xml:` for bytes.
    pub body: &'static str,
}

pub fn lines(table: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    table
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.split('\t').collect())
}

fn rows_of(table: &'static str) -> impl Iterator<Item = Row> {
    lines(table).map(|columns| {
        let column = |number: usize| columns.get(number).copied().unwrap_or_default();
        assert!(
            columns.len() == 6 || column(0).starts_with('!'),
            "{columns:?}"
        );
        Row {
            topic: column(0),
            payload: column(1),
            method: column(2),
            path: column(3),
            query: column(4),
            body: column(5),
        }
    })
}

/// The room's `settings`.
pub const SETTINGS: [&str; 2] = ["system.info.systemname", "audio.volume.speakervolume"];

/// The walk, in order. A topic with `!` is what a person does.
pub fn rows(firmware: Firmware) -> impl Iterator<Item = Row> {
    rows_of(WALK).map(move |row| match (firmware, row.topic) {
        // It has no provider Poly.
        (Firmware::V5_0, "system/provider/set") => Row {
            payload: "Teams",
            body: r#"{"enabledapps":["Teams"]}"#,
            ..row
        },
        _ => row,
    })
}

/// The second spelling of a row's request.
pub fn second(row: &Row) -> Option<Row> {
    rows_of(SECOND).find(|second| (second.topic, second.payload) == (row.topic, row.payload))
}

/// The word in `beyond.tsv` for what is sent only where another spelling is missing.
const OTHER_SPELLING: &str = "other spelling";

/// The pairs that the gateway sends to a device that has all of them.
pub fn first_spellings() -> Vec<Pair> {
    lines(OPERATIONS)
        .chain(lines(BEYOND).filter(|columns| columns.get(2) != Some(&OTHER_SPELLING)))
        .map(|columns| (columns[0], columns[1]))
        .collect()
}

/// Every pair of the guide and beyond it.
pub fn known() -> Vec<Pair> {
    lines(OPERATIONS)
        .chain(lines(BEYOND))
        .map(|columns| (columns[0], columns[1]))
        .collect()
}

fn fits(pattern: &str, path: &str) -> bool {
    let (pattern, path) = (pattern.split('/'), path.split('/'));
    pattern.clone().count() == path.clone().count()
        && pattern.zip(path).all(|(p, s)| p.starts_with('<') || p == s)
}

/// The pair that a request is: a literal segment wins over a parameter.
pub fn pair_of(method: &str, path: &str) -> Option<Pair> {
    let parameters = |pattern: &str| {
        pattern
            .split('/')
            .map(|part| part.starts_with('<'))
            .collect::<Vec<_>>()
    };
    known()
        .into_iter()
        .filter(|(known, pattern)| *known == method && fits(pattern, path))
        .min_by_key(|(_, pattern)| parameters(pattern))
}

/// Whether the firmware lacks a pair, or the request that it is of.
pub fn lacks(firmware: Firmware, method: &str, path: &str) -> bool {
    let path = pair_of(method, path).map_or(path, |(_, pattern)| pattern);
    let named = |columns: &Vec<&str>| {
        let same_path = match columns[1].strip_suffix('*') {
            Some(start) => path.starts_with(start),
            None => path == columns[1],
        };
        same_path && ["*", method].contains(&columns[0])
    };
    lines(LACKS)
        .filter(named)
        .any(|columns| columns[2].split(',').any(|name| name == firmware.name()))
}

/// The topics of states that are there without a call, and of those that are not.
pub fn states(firmware: Firmware) -> (Vec<String>, Vec<String>) {
    let mut there = Vec::new();
    let mut absent = Vec::new();
    for row in lines(STATES).filter(|row| row.get(1) != Some(&"call")) {
        let lacking = row.get(1).is_some_and(|paths| {
            let mut paths = paths.split(',');
            paths.all(|path| lacks(firmware, "GET", path))
        });
        let excepted = row
            .get(2)
            .is_some_and(|names| names.split(',').any(|name| name == firmware.name()));
        let list = if lacking || excepted {
            &mut absent
        } else {
            &mut there
        };
        list.push(format!("room/1/{}", row[0]));
    }
    (there, absent)
}

/// The topics of states that are there in a call.
pub fn call_states() -> impl Iterator<Item = String> {
    let of_call = lines(STATES).filter(|row| row.get(1) == Some(&"call"));
    of_call.map(|row| format!("room/1/{}", row[0]))
}
