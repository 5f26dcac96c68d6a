//! What a package holds beside the program: manual pages and completions made from the command line, and a
//! unit that starts nothing without a configuration.
//!
//! `tests/package.sh` installs the package itself in a Debian of its own.

use std::fs;

use poly2mqtt_test_support::program::program;

const UNIT: &str = include_str!("../../examples/systemd/poly2mqtt.service");
const MANIFEST: &str = include_str!("../../Cargo.toml");

fn printed(words: &[&str]) -> String {
    let output = program(words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The commands that `--help` lists.
fn commands() -> Vec<String> {
    let help = printed(&["--help"]);
    let listed = help.split("Commands:").nth(1).unwrap();
    let listed = listed.split("Options:").next().unwrap();
    let name = |line: &str| {
        let rest = line.strip_prefix("  ")?;
        let word = rest.split(' ').next().unwrap();
        (!word.is_empty() && word != "help").then(|| word.to_owned())
    };
    let commands: Vec<String> = listed.lines().filter_map(name).collect();
    assert!(commands.len() > 8, "{commands:?}");
    commands
}

#[test]
fn every_command_has_a_manual_page() {
    let dir = tempfile::tempdir().unwrap();
    let pages = dir.path().to_str().unwrap();
    assert_eq!(printed(&["man", "--directory", pages]), "");
    let main = fs::read_to_string(dir.path().join("poly2mqtt.1")).unwrap();
    assert_eq!(main, printed(&["man"]));
    for heading in [
        "NAME",
        "SYNOPSIS",
        "FILES",
        "ENVIRONMENT",
        "\"EXIT STATUS\"",
    ] {
        assert!(
            main.contains(&format!(".SH {heading}\n")),
            "{heading}: {main}"
        );
    }
    for command in commands() {
        let page = fs::read_to_string(dir.path().join(format!("poly2mqtt-{command}.1")));
        let page = page.unwrap_or_else(|error| panic!("{command}: {error}"));
        assert!(page.starts_with(".ie"), "{page}");
        assert!(page.contains("\n.TH "), "{page}");
        assert!(
            main.contains(&format!("poly2mqtt\\-{command}(1)")),
            "{command}"
        );
    }
    let check = fs::read_to_string(dir.path().join("poly2mqtt-check.1")).unwrap();
    assert!(check.contains("\\-\\-connect"), "{check}");
    let schema = fs::read_to_string(dir.path().join("poly2mqtt-schema.1")).unwrap();
    assert!(
        !schema.contains("example"),
        "a hidden option is shown: {schema}"
    );
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let output = program(&["man", "--directory", "/nowhere"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(words.starts_with("/nowhere/poly2mqtt.1: "), "{words}");
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = printed(&["completions", shell]);
        for command in commands() {
            assert!(script.contains(&command), "{shell}: {command}");
        }
        assert!(script.contains("connect"), "{shell}");
    }
    let output = program(&["completions", "cmd"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

/// The value of a key in the unit.
fn of_unit(key: &str) -> Option<&str> {
    let line = |line: &'static str| line.strip_prefix(key)?.strip_prefix('=');
    UNIT.lines().find_map(line)
}

#[test]
fn nothing_starts_without_a_configuration() {
    let file = of_unit("ConditionPathExists").unwrap();
    let command = of_unit("ExecStart").unwrap();
    assert_eq!(command, format!("/usr/bin/poly2mqtt run --config {file}"));
    // A credential whose file is missing would keep the unit from starting.
    assert_eq!(of_unit("LoadCredential"), None);
    let manifest: toml_edit::DocumentMut = MANIFEST.parse().unwrap();
    let package = &manifest["package"]["metadata"]["deb"];
    for key in ["enable", "start"] {
        assert_eq!(
            package["systemd-units"][key].as_bool(),
            Some(false),
            "{key}"
        );
    }
    for script in ["postinst", "postrm"] {
        let script = maintainer_script(script);
        assert!(script.contains("poly2mqtt"), "{script}");
        assert!(!script.contains("poly2mqtt.toml"), "{script}");
    }
}

fn maintainer_script(script: &str) -> String {
    let root = env!("CARGO_MANIFEST_DIR");
    fs::read_to_string(format!("{root}/packaging/debian/{script}")).unwrap()
}

/// The user that the unit names is the one that package and tarball make.
#[test]
fn the_unit_runs_as_the_user_that_is_made() {
    assert_eq!(of_unit("User"), Some("poly2mqtt"));
    assert!(maintainer_script("postinst").contains("adduser --system --group"));
    let tarball = include_str!("../../packaging/install.sh");
    assert!(tarball.contains("useradd --system --user-group"));
    let owner = "-o root -g poly2mqtt -m 2750 /etc/poly2mqtt";
    assert!(maintainer_script("postinst").contains(owner));
    assert!(UNIT.contains(owner));
}

/// A release changes the version at one place in each of these; this names the one that was forgotten.
#[test]
fn every_place_has_the_version() {
    let version = env!("CARGO_PKG_VERSION");
    let package = format!("poly2mqtt_{version}-1_amd64.deb");
    let tarball = format!("poly2mqtt-{version}-x86_64-unknown-linux-gnu.tar.gz");
    for (path, wanted) in [
        ("CHANGELOG.md", format!("\n## [{version}] - 20")),
        ("docs/upgrade.md", format!(" to {version}\n")),
        ("docs/install.md", package),
        ("docs/install.md", tarball),
        (
            "home-assistant-app/poly2mqtt/config.yaml",
            format!("\nversion: \"{version}\"\n"),
        ),
        (
            "home-assistant-app/poly2mqtt/CHANGELOG.md",
            format!("\n## {version}\n"),
        ),
        (
            "simulator/Cargo.toml",
            format!("\nversion = \"{version}\"\n"),
        ),
        (
            "fuzz/Cargo.lock",
            format!("name = \"poly2mqtt\"\nversion = \"{version}\"\n"),
        ),
    ] {
        let text = fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        assert!(text.contains(&wanted), "{path} lacks {wanted:?}");
    }
}
