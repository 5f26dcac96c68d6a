//! `docs/adding-an-operation.md` is true: its changes apply, and with them, after regeneration, the
//! tests pass.
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A change of one file, as a block of the page shows it.
struct Change {
    file: String,
    /// The lines that are there before, and those that are there after.
    hunks: Vec<(String, String)>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The page's blocks: `+++ file`, then hunks that begin with `@@`.
fn changes() -> Vec<Change> {
    let page = std::fs::read_to_string(root().join("docs/adding-an-operation.md")).unwrap();
    let blocks = page.split("```diff\n").skip(1);
    let changes = blocks.map(|rest| {
        let block = rest.split("```").next().unwrap();
        let mut hunks = block.split("@@\n");
        let file = hunks.next().unwrap().trim().strip_prefix("+++ ").unwrap();
        let sides = |hunk: &str| {
            let side = |other: char| -> String {
                let lines = hunk.lines().filter(|line| !line.starts_with(other));
                lines.map(|line| format!("{}\n", &line[1..])).collect()
            };
            (side('+'), side('-'))
        };
        Change {
            file: file.to_owned(),
            hunks: hunks.map(sides).collect(),
        }
    });
    changes.collect()
}

impl Change {
    fn apply(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (before, after) in &self.hunks {
            let found = text.matches(before.as_str()).count();
            assert_eq!(found, 1, "{}: not there once:\n{before}", self.file);
            text = text.replacen(before, after, 1);
        }
        text
    }
}

#[test]
fn the_changes_on_the_page_fit_the_files() {
    let changes = changes();
    let files: Vec<_> = changes.iter().map(|change| change.file.as_str()).collect();
    let by_hand = [
        "src/catalogue/areas/video.rs",
        "simulator/src/video.rs",
        "tests/guide/beyond.tsv",
        "tests/guide/walk.tsv",
        "tests/guide/states.tsv",
    ];
    assert_eq!(files, by_hand);
    for change in changes {
        let text = std::fs::read_to_string(root().join(&change.file)).unwrap();
        assert_ne!(change.apply(&text), text);
    }
}

/// Copies the tree without its history and without what is built.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if name == OsStr::new("target") || name == OsStr::new(".git") {
            continue;
        }
        let (from, to) = (entry.path(), to.join(&name));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(from, to).unwrap();
        }
    }
}

/// Runs a program in the copy, which is built in a folder of its own.
fn run(copy: &Path, program: &str, arguments: &[&str]) -> String {
    let target = target();
    let output = Command::new(program)
        .args(arguments)
        .current_dir(copy)
        .env("CARGO_TARGET_DIR", &target)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    let ok = output.status.success();
    assert!(ok, "{program} {arguments:?}:\n{text}\n{errors}");
    text
}

/// Kept from run to run, so that only the first one builds everything.
fn target() -> PathBuf {
    root().join("target/adding-an-operation")
}

/// Takes two minutes on two cores, because it builds the changed gateway; the first time it builds
/// all dependencies too.
#[test]
#[ignore = "builds the gateway once more; run by .ci/run"]
fn an_operation_is_added_as_the_page_says() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("poly2mqtt");
    copy(root(), &tree);
    for change in changes() {
        let path = tree.join(&change.file);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, change.apply(&text)).unwrap();
    }
    run(&tree, "cargo", &["fmt", "--all", "--check"]);
    run(&tree, "tools/regen.sh", &[]);
    for file in [
        "docs/topics.md",
        "docs/asyncapi.json",
        "examples/mosquitto.acl",
    ] {
        let text = std::fs::read_to_string(tree.join(file)).unwrap();
        assert!(text.contains("video/brightness/set"), "{file}");
    }
    let program = target().join("debug/poly2mqtt");
    let topics = run(&tree, program.to_str().unwrap(), &["topics"]);
    let page = std::fs::read_to_string(tree.join("docs/adding-an-operation.md")).unwrap();
    let about: Vec<_> = topics
        .lines()
        .filter(|it| it.contains("brightness"))
        .collect();
    assert!(page.contains(&about.join("\n")), "{about:#?}");
    run(&tree, "cargo", &["test", "--lib", "--quiet", "catalogue"]);
    let modules = ["walk", "documents", "docs", "home_assistant"];
    let test = ["test", "--test", "it", "--quiet", "--"];
    run(&tree, "cargo", &[&test[..], &modules].concat());
}
