//! Comments are as wide as code: rustfmt keeps the width of code only. Drawings, tables and
//! commands may be wider.
use std::path::Path;

use super::root;

/// In characters. Prose takes more than code.
const WIDTH: usize = 120;

/// The comments below a folder that are wider, with their places.
fn wide_comments(folder: &Path, wide: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            wide_comments(&path, wide);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let lines = (1..).zip(text.lines());
            let found = lines.filter(|(_, line)| {
                let may_be_wide = ["  ", "──", "POLY2MQTT_"];
                let comment = line.trim_start();
                comment.starts_with("//")
                    && line.chars().count() > WIDTH
                    && !may_be_wide.iter().any(|part| comment.contains(part))
            });
            wide.extend(found.map(|(number, _)| format!("{}:{number}", path.display())));
        }
    }
}

#[test]
fn no_comment_is_too_wide() {
    let mut wide = Vec::new();
    for folder in [
        "src",
        "simulator/src",
        "tests",
        "benches",
        "fuzz/fuzz_targets",
    ] {
        wide_comments(&root().join(folder), &mut wide);
    }
    assert_eq!(wide, [""; 0]);
}
