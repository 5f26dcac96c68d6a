//! No two public types of a package have one name: whoever reads the name at one place need not ask which is meant.
//!
//! Private types are left out, since nobody sees two of them at the same time, and so are modules for tests.
use std::collections::BTreeMap;
use std::path::Path;

use super::root;

/// The public types of a package by their names, each with its places.
fn public_types(folder: &Path, types: &mut BTreeMap<String, Vec<String>>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if name.split('_').any(|word| matches!(word, "test" | "tests")) {
            continue;
        }
        if path.is_dir() {
            public_types(&path, types);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            for (number, line) in (1..).zip(text.lines()) {
                let kinds = ["pub struct ", "pub enum ", "pub trait ", "pub type "];
                let defined = kinds.iter().find_map(|kind| line.strip_prefix(kind));
                if let Some(rest) = defined {
                    let end = rest.find(|c: char| c != '_' && !c.is_ascii_alphanumeric());
                    let name = rest[..end.unwrap_or(rest.len())].to_owned();
                    let place = format!("{}:{number}", path.display());
                    types.entry(name).or_default().push(place);
                }
            }
        }
    }
}

#[test]
fn no_two_public_types_share_a_name() {
    for (folder, least) in [("src", 400), ("simulator/src", 20)] {
        let mut types = BTreeMap::new();
        public_types(&root().join(folder), &mut types);
        assert!(types.len() > least, "{folder}: {}", types.len());
        types.retain(|_, places| places.len() > 1);
        assert!(types.is_empty(), "{types:#?}");
    }
}
