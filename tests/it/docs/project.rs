//! What pages say of the project itself is so: paths, recipes, types, decisions, and the tests that keep
//! promises.
use poly2mqtt::catalogue::CATALOGUE;

use super::{page, pages, root};

/// What stands in backticks on a page.
fn in_backticks(text: &str) -> impl Iterator<Item = &str> {
    // Fenced blocks have three of them; their contents are examples, not names.
    let prose = text.split("```").step_by(2);
    prose.flat_map(|part| part.split('`').skip(1).step_by(2))
}

/// Whether a word on a page is the path of a file of this project. `{a,b}` and `<name>` are not.
fn is_path(word: &str) -> bool {
    let folders = [
        "src/",
        "tests/",
        "simulator/",
        "benches/",
        "fuzz/",
        "tools/",
        "config/",
        "docs/",
        "examples/",
        ".ci/",
    ];
    folders.iter().any(|folder| word.starts_with(folder))
        && !word.contains(['<', '{', '*', ' ', '…'])
}

#[test]
fn every_path_on_a_page_exists() {
    let mut count = 0;
    let mut missing = Vec::new();
    for (path, text) in pages() {
        let folder = path.parent().unwrap();
        // A command such as `config/set` is not in the folder `config/`.
        let is_command = |word: &str| CATALOGUE.is_command(word);
        for word in in_backticks(&text).filter(|word| is_path(word) && !is_command(word)) {
            // A page of another package names that package's files from its own folder.
            if ![root(), folder].iter().any(|base| base.join(word).exists()) {
                missing.push(format!("{}: {word}", path.display()));
            }
            count += 1;
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(count > 80, "{count}");
}

#[test]
fn every_recipe_on_a_page_exists() {
    let justfile = page("justfile");
    let recipes: Vec<&str> = justfile
        .lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()))
        .filter_map(|line| line.split([' ', ':']).next())
        .collect();
    let mut count = 0;
    for (path, text) in pages() {
        for recipe in in_backticks(&text).filter_map(|word| word.strip_prefix("just ")) {
            let recipe = recipe.split(' ').next().unwrap();
            assert!(recipes.contains(&recipe), "{}: {recipe}", path.display());
            count += 1;
        }
    }
    assert!(count > 5, "{count}");
}

/// Every step names a type, and a file in which the type is defined.
#[test]
fn the_path_of_one_command_is_as_the_code() {
    let text = page("ARCHITECTURE.md");
    let (_, section) = text.split_once("## The path of one command").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let mut count = 0;
    for row in section.lines() {
        let cells: Vec<&str> = row.split(" | ").collect();
        let [_, _, types, files] = cells[..] else {
            continue;
        };
        let sources: Vec<String> = in_backticks(files).map(page).collect();
        for name in in_backticks(types) {
            let defined = ["struct", "enum", "trait"].iter().any(|kind| {
                let definition = format!("{kind} {name}");
                sources.iter().any(|source| {
                    source.match_indices(&definition).any(|(at, _)| {
                        let after = &source[at + definition.len()..];
                        after.starts_with([' ', '<', '(', ';'])
                    })
                })
            });
            assert!(defined, "{name} is not defined in {files}");
            count += 1;
        }
    }
    assert!(count >= 13, "{count}");
}

/// CONTRIBUTING.md promises it. A file that is longer has two ideas.
#[test]
fn no_file_of_rust_is_above_500_lines() {
    let mut folders = ["src", "simulator/src", "tests"]
        .map(|folder| root().join(folder))
        .to_vec();
    let (mut count, mut long) = (0, Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let lines = std::fs::read_to_string(&path).unwrap().lines().count();
                if lines > 500 {
                    long.push(format!("{}: {lines} lines", path.display()));
                }
                count += 1;
            }
        }
    }
    assert!(long.is_empty(), "{long:#?}");
    assert!(count > 500, "{count}");
}

/// The names of a file's `const fn`, but for those that make an entry.
fn entry_functions(file: &str) -> Vec<String> {
    let makers = ["new", "gateways_own", "get", "post", "put", "delete"];
    let text = page(file);
    let after = text.split("const fn ").skip(1);
    let names = after.filter_map(|rest| rest.split('(').next());
    let names = names.filter(|name| !makers.contains(name));
    names.map(str::to_owned).collect()
}

/// Whoever writes an entry sees on the page what it can say.
#[test]
fn the_pages_name_all_that_an_entry_can_say() {
    for (page_name, file, least) in [
        (
            "docs/adding-an-operation.md",
            "src/catalogue/operation.rs",
            10,
        ),
        (
            "docs/adding-an-operation.md",
            "src/catalogue/command.rs",
            20,
        ),
        ("docs/adding-an-operation.md", "src/catalogue/entity.rs", 20),
        ("docs/adding-a-key.md", "src/config/key.rs", 15),
    ] {
        let text = page(page_name);
        let names = entry_functions(file);
        assert!(names.len() > least, "{file}: {names:?}");
        for name in names {
            let ways = [
                format!(".{name}("),
                format!("`{name}`"),
                format!("::{name}"),
            ];
            let is_named = ways.iter().any(|way| text.contains(way));
            assert!(is_named, "{page_name} lacks {name} of {file}");
        }
    }
    let text = page("docs/adding-an-operation.md");
    let files = ["operation", "command", "entity"];
    let known = files.map(|file| entry_functions(&format!("src/catalogue/{file}.rs")));
    let known = known.concat();
    let cells = text.lines().filter_map(|line| line.strip_prefix("| `."));
    let cells = cells.filter_map(|rest| rest.split(" | ").next());
    let named: Vec<&str> = cells
        .flat_map(|cell| cell.split("`."))
        .filter_map(|rest| rest.split('(').next())
        .collect();
    assert!(named.len() > 40, "{named:?}");
    for name in named {
        let is_there = known.iter().any(|known| known == name);
        assert!(is_there, "docs/adding-an-operation.md: there is no {name}");
    }
    let text = page("docs/adding-a-key.md");
    let key = page("src/config/key.rs");
    let (_, kinds) = key.split_once("pub enum KeyType {").unwrap();
    let (kinds, _) = kinds.split_once("\n}").unwrap();
    let kinds = kinds.lines().map(str::trim);
    let kinds = kinds.filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()));
    for kind in kinds {
        let name = kind.split([',', '(']).next().unwrap();
        let is_named =
            text.contains(&format!("KeyType::{name}")) || text.contains(&format!("`{name}`"));
        assert!(is_named, "docs/adding-a-key.md lacks {name}");
    }
}

/// A decision that the index does not name is not found.
#[test]
fn the_index_names_every_decision() {
    let index = page("docs/decisions/README.md");
    let folder = || std::fs::read_dir(root().join("docs/decisions")).unwrap();
    assert!(folder().count() > 10);
    for entry in folder() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            name == "README.md" || index.contains(&format!("]({name})")),
            "{name}"
        );
    }
}

/// Cargo builds the image only if it finds every member of the workspace in Docker's context.
#[test]
fn the_image_is_built_with_every_member_of_the_workspace() {
    let manifest = page("Cargo.toml");
    let (_, members) = manifest.split_once("members = [").unwrap();
    let members = members.split_once(']').unwrap().0.split(',');
    let ignored = page(".dockerignore");
    let is_line = |wanted: String| ignored.lines().any(|line| line == wanted);
    let mut count = 0;
    for member in members.map(|member| member.trim().trim_matches('"')) {
        let folder = member.split('/').next().unwrap();
        assert!(!is_line(folder.to_owned()), ".dockerignore: {folder}");
        assert!(
            !is_line(format!("{folder}/*")) || is_line(format!("!{member}")),
            ".dockerignore leaves out {member}"
        );
        count += 1;
    }
    assert!(count > 1);
}

/// The file that holds a test which a page names as `module::test`: below `tests/it`, in a test program of
/// its own, or beside the code.
fn file_of_test(modules: &[&str]) -> Option<String> {
    let path = modules.join("/");
    let parent = path.trim_end_matches("/tests");
    [
        format!("tests/it/{path}.rs"),
        format!("tests/{path}/main.rs"),
        format!("src/{path}.rs"),
        format!("src/{parent}.rs"),
    ]
    .into_iter()
    .find_map(|file| std::fs::read_to_string(root().join(file)).ok())
}

#[test]
fn every_promise_names_tests_that_exist() {
    let page = page("SECURITY.md");
    let named = page
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|code| code.contains("::") && !code.contains(char::is_whitespace));
    let mut count = 0;
    for name in named {
        let parts: Vec<_> = name.split("::").collect();
        let (test, modules) = parts.split_last().unwrap();
        let text = file_of_test(modules).unwrap_or_else(|| panic!("{name}: there is no such file"));
        // The second form is an item of the macro in tests/it/hostile.rs.
        let is_there = [format!("fn {test}("), format!(", {test};")]
            .iter()
            .any(|form| text.contains(form));
        assert!(is_there, "{name}: there is no such test");
        count += 1;
    }
    assert!(count > 40, "{count}");
    // Each row of the tables of promises names one.
    let rows = page
        .lines()
        .filter(|line| line.starts_with("| ") && line.ends_with(" |"));
    for row in rows.filter(|row| row.matches(" | ").count() == 2) {
        let header = row.contains("| kept by |");
        assert!(header || row.contains("::"), "{row}: no test keeps it");
    }
}
