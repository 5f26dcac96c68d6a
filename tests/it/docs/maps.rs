//! The module of a large folder is its map: its header names each file, so that a reader finds the one to open.
use std::path::Path;

use super::root;

/// A folder with fewer files is seen at a glance.
const LARGE_FOLDER: usize = 10;

/// The modules in files of their own, without tests.
fn modules(text: &str) -> Vec<&str> {
    let mut is_test = false;
    let mut found = Vec::new();
    for line in text.lines() {
        let module = line
            .strip_suffix(';')
            .and_then(|line| line.rsplit_once("mod "));
        if let Some((visibility, name)) = module
            && !is_test
            && (visibility.is_empty() || visibility.starts_with("pub"))
        {
            found.push(name);
        }
        is_test = line.starts_with("#[cfg(test)]") || (is_test && line.starts_with("#["));
    }
    found
}

fn header(text: &str) -> String {
    let lines = text.lines().take_while(|line| line.starts_with("//!"));
    lines.collect::<Vec<_>>().join("\n")
}

fn is_named(name: &str, header: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    header.split(|c| !is_part(c)).any(|word| word == name)
}

/// Counts the maps at and below a folder, and adds the files that they do not name.
fn add_gaps(folder: &Path, maps: &mut usize, gaps: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            add_gaps(&path, maps, gaps);
        }
    }
    let of_folder = [folder.with_extension("rs"), folder.join("lib.rs")];
    let mut texts = of_folder.iter().map(std::fs::read_to_string);
    let Some(Ok(text)) = texts.find(Result::is_ok) else {
        return;
    };
    let modules = modules(&text);
    if modules.len() < LARGE_FOLDER {
        return;
    }
    *maps += 1;
    let header = header(&text);
    let missing = modules.iter().filter(|name| !is_named(name, &header));
    gaps.extend(missing.map(|name| format!("{}: {name}", folder.display())));
}

#[test]
fn the_map_of_a_large_folder_names_each_file() {
    let (mut maps, mut gaps) = (0, Vec::new());
    for folder in ["src", "simulator/src", "tests/support/src"] {
        add_gaps(&root().join(folder), &mut maps, &mut gaps);
    }
    assert!(maps > 10, "{maps}");
    assert_eq!(gaps, [""; 0]);
}
