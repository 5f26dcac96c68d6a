//! Every path has its methods, and answers 405 to all others: not 404, which says that the firmware lacks the path.
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use super::{Firmware, Room};

/// The methods of every path, as the tables of the guide have them.
fn methods() -> BTreeMap<String, BTreeSet<String>> {
    let tables = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/guide");
    let mut methods: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for table in ["operations.tsv", "beyond.tsv"] {
        let text = std::fs::read_to_string(tables.join(table)).unwrap();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let mut cells = line.split('\t');
            let (method, path) = (cells.next().unwrap(), cells.next().unwrap());
            let path = path.strip_prefix("/rest/").unwrap().to_owned();
            methods.entry(path).or_default().insert(method.to_owned());
        }
    }
    methods
}

/// A path with a value for each of its parameters.
fn filled(path: &str) -> String {
    let segments = path.split('/').map(|segment| match segment {
        "<role>" => "ADMIN",
        parameter if parameter.starts_with('<') => "1",
        fixed => fixed,
    });
    segments.collect::<Vec<_>>().join("/")
}

#[test]
fn every_path_answers_other_methods_with_405() {
    let methods = methods();
    assert!(methods.len() > 80, "{}", methods.len());
    let mut wrong = Vec::new();
    for (path, own) in &methods {
        let all = ["GET", "POST", "PUT", "DELETE"];
        for method in all.into_iter().filter(|method| !own.contains(*method)) {
            let mut room = Room::new(Firmware::V4_6_2);
            let status = room.status(method, &filled(path), &Value::Null);
            if status != 405 {
                wrong.push(format!("{method} {path}: {status}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
