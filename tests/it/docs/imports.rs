//! The modules at the top of `src/` do not import each other in circles: each can be read without those above it.
//!
//! Tests are left out. They may use whatever is convenient.
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use super::root;

/// Of each module the modules that it imports, each with the places.
type Imports = BTreeMap<String, BTreeMap<String, Vec<String>>>;

/// The path of each file below `src/`, and its text.
type Sources = BTreeMap<String, String>;

fn add_sources(folder: &Path, sources: &mut Sources) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            add_sources(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let below = path.strip_prefix(root().join("src")).unwrap();
            let name = below.to_str().unwrap().to_owned();
            sources.insert(name, std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// What a file has besides tests.
struct Code<'a> {
    /// Its lines without comments, with their numbers.
    lines: Vec<(usize, &'a str)>,
    /// The modules in files of their own that are only there for tests.
    test_modules: Vec<&'a str>,
}

fn code(text: &str) -> Code<'_> {
    let mut code = Code {
        lines: Vec::new(),
        test_modules: Vec::new(),
    };
    let mut lines = (1..).zip(text.lines());
    while let Some((number, line)) = lines.next() {
        let attribute = line.trim_start();
        let is_test = ["#[cfg(test)]", "#[cfg(all(test"];
        if !is_test.iter().any(|test| attribute.starts_with(test)) {
            code.lines.push((number, line.split("//").next().unwrap()));
            continue;
        }
        // More attributes and comments may follow before the item.
        let is_item = |line: &str| !["#[", "//"].iter().any(|not| line.starts_with(not));
        let mut items = lines.by_ref().map(|(_, line)| line.trim_start());
        let item = items.find(|line| is_item(line)).unwrap();
        let module = item
            .strip_suffix(';')
            .and_then(|item| item.rsplit_once("mod "));
        code.test_modules.extend(module.map(|(_, name)| name));
        if !item.ends_with([';', ',', '}']) {
            // rustfmt puts the end of the item below its begin.
            let indent = &line[..line.len() - attribute.len()];
            let end = format!("{indent}}}");
            let end = lines.find(|(_, line)| line.starts_with(&end));
            assert!(end.is_some(), "line {number}: the test has no end");
        }
    }
    code
}

fn imports(sources: &Sources) -> Imports {
    let module_of = |path: &str| path.split(['/', '.']).next().unwrap().to_owned();
    let modules: BTreeSet<String> = sources.keys().map(|path| module_of(path)).collect();
    let codes: BTreeMap<_, _> = sources
        .iter()
        .map(|(path, text)| (path, code(text)))
        .collect();
    let only_tests: Vec<String> = codes
        .iter()
        .flat_map(|(path, code)| {
            let folder = path.strip_suffix(".rs").unwrap();
            let modules = code.test_modules.iter();
            modules.map(move |module| format!("{folder}/{module}"))
        })
        .collect();
    let is_test = |path: &str| {
        only_tests.iter().any(|module| {
            let rest = path.strip_prefix(module.as_str());
            rest.is_some_and(|rest| rest.starts_with(['/', '.']))
        })
    };
    let mut imports = Imports::new();
    for (path, code) in codes.into_iter().filter(|(path, _)| !is_test(path)) {
        let module = module_of(path);
        for (number, line) in code.lines {
            for (at, _) in line.match_indices("crate::") {
                let rest = &line[at + "crate::".len()..];
                let place = format!("src/{path}:{number}");
                assert!(
                    !rest.starts_with('{'),
                    "{place}: write one `use` for each module"
                );
                let end = rest.find(|c: char| c != '_' && !c.is_ascii_alphanumeric());
                let imported = &rest[..end.unwrap_or(rest.len())];
                if imported != module && modules.contains(imported) {
                    let of_module = imports.entry(module.clone()).or_default();
                    let places = of_module.entry(imported.to_owned()).or_default();
                    places.push(place);
                }
            }
        }
    }
    imports
}

/// The shortest chain of imports from a module back to itself.
fn circle_of<'a>(imports: &'a Imports, start: &'a str) -> Option<Vec<&'a str>> {
    let mut importer: BTreeMap<&str, &str> = BTreeMap::new();
    let mut waiting = VecDeque::from([start]);
    while let Some(module) = waiting.pop_front() {
        for imported in imports.get(module).into_iter().flat_map(BTreeMap::keys) {
            if imported == start {
                let mut chain = vec![module];
                while let Some(before) = importer.get(chain[chain.len() - 1]) {
                    chain.push(before);
                }
                chain.reverse();
                return Some(chain);
            }
            if !importer.contains_key(imported.as_str()) {
                importer.insert(imported.as_str(), module);
                waiting.push_back(imported);
            }
        }
    }
    None
}

/// Each circle once: its modules, and the places of every import.
fn circles(imports: &Imports) -> Vec<String> {
    let mut found = BTreeSet::new();
    for module in imports.keys() {
        let Some(mut circle) = circle_of(imports, module) else {
            continue;
        };
        let first = (0..circle.len()).min_by_key(|at| circle[*at]);
        circle.rotate_left(first.unwrap());
        found.insert(circle);
    }
    let told = found.iter().map(|circle| {
        let next = circle.iter().cycle().skip(1);
        let steps = circle.iter().zip(next).map(|(module, imported)| {
            let places = imports[*module][*imported].join(", ");
            format!("{module} imports {imported}: {places}")
        });
        steps.collect::<Vec<_>>().join("; ")
    });
    told.collect()
}

#[test]
fn modules_do_not_import_each_other_in_circles() {
    let mut sources = Sources::new();
    add_sources(&root().join("src"), &mut sources);
    // They only name the modules, and belong to none.
    for root in ["lib.rs", "main.rs"] {
        assert!(sources.remove(root).is_some());
    }
    let imports = imports(&sources);
    let places = imports.values().flat_map(BTreeMap::values).flatten();
    assert!(places.count() > 300);
    let circles = circles(&imports);
    assert!(circles.is_empty(), "{circles:#?}");
}

#[test]
fn a_circle_is_named_with_its_places() {
    let files = [
        (
            "a.rs",
            "//! Not `crate::c`.\nmod deep;\n#[cfg(test)]\nmod tests;\nuse crate::b::B;\n",
        ),
        ("a/tests.rs", "use crate::d::D;\n"),
        (
            "a/deep.rs",
            "#[cfg(test)]\nmod tests {\n    use crate::d::D;\n}\n",
        ),
        ("b.rs", ""),
        ("b/deep.rs", "use super::B;\n\nfn f(c: crate::c::C) {}\n"),
        ("c.rs", "use crate::a::A; // crate::d\n"),
        ("d.rs", "use crate::a::A;\nuse crate::e::E;\n"),
        ("e.rs", "#[cfg(test)]\nuse crate::b::B;\nuse crate::d::D;\n"),
    ];
    let sources = files.map(|(path, text)| (path.to_owned(), text.to_owned()));
    assert_eq!(
        circles(&imports(&sources.into())),
        [
            "a imports b: src/a.rs:5; b imports c: src/b/deep.rs:3; c imports a: src/c.rs:1",
            "d imports e: src/d.rs:2; e imports d: src/e.rs:3",
        ]
    );
}
