//! The configurations of this project fit the schema that is shipped with it, and say to editors where it is.
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Format, Toml};
use poly2mqtt::config::generate;
use serde_json::Value;

const SHIPPED: &str = "config/poly2mqtt.schema.json";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).expect(path)
}

fn wrong(schema: &jsonschema::Validator, text: &str) -> Vec<String> {
    let value: Value = Figment::from(Toml::string(text)).extract().unwrap();
    let errors = schema.iter_errors(&value);
    errors
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

/// The file that editors read is the schema, and validators take it.
fn shipped() -> jsonschema::Validator {
    let schema: Value = serde_json::from_str(&read(SHIPPED)).unwrap();
    assert!(jsonschema::meta::is_valid(&schema));
    jsonschema::validator_for(&schema).unwrap()
}

#[test]
fn every_configuration_of_this_project_fits_the_schema() {
    let schema = shipped();
    let mut count = 0;
    for folder in ["docs", ".", "simulator", "examples/docker", "config"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let blocks: Vec<String> = match name.rsplit_once('.') {
                Some((_, "md")) => {
                    let text = std::fs::read_to_string(&path).unwrap();
                    let blocks = text.split("```toml\n").skip(1);
                    blocks
                        .map(|rest| rest.split("```").next().unwrap().to_owned())
                        .collect()
                }
                Some(("poly2mqtt", "toml")) => vec![std::fs::read_to_string(&path).unwrap()],
                _ => continue,
            };
            for block in blocks {
                let wrong = wrong(&schema, &block);
                assert!(wrong.is_empty(), "{}: {wrong:?}\n{block}", path.display());
                count += 1;
            }
        }
    }
    assert!(count > 10, "{count}");
}

/// The example file with each commented line in use, one section's key at a time where keys exclude each other.
#[test]
fn the_commented_example_fits_the_schema() {
    let schema = shipped();
    let example = generate::example();
    let is_setting = |line: &&str| {
        let name = line.split(" = ").next().filter(|_| line.contains(" = "));
        name.is_some_and(|name| {
            name.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        })
    };
    let mut count = 0;
    for (n, line) in example.lines().enumerate() {
        let Some(setting) = line.strip_prefix("# ").filter(is_setting) else {
            continue;
        };
        // Keys of a list of tables belong to its header.
        let mut lines: Vec<String> = example.lines().map(str::to_owned).collect();
        let header = example
            .lines()
            .take(n)
            .filter(|line| line.trim_start_matches("# ").starts_with('['));
        if header.last().is_some_and(|header| header.starts_with('#')) {
            continue;
        }
        lines[n] = setting.to_owned();
        let key = setting.split(" = ").next().unwrap();
        // What the file sets already, or what this key replaces or needs.
        let replaced = match key {
            "password_file" => "password = ",
            _ => "",
        };
        lines.retain(|line| replaced.is_empty() || !line.starts_with(replaced));
        let pairs = key.starts_with("tls_") || key.starts_with("client_") && key.ends_with("_file");
        let found = wrong(&schema, &lines.join("\n"));
        assert_eq!(found.is_empty(), !pairs, "{setting}: {found:?}");
        count += 1;
    }
    assert!(count > 30, "{count}");
}

/// The line by which editors find the schema leads from each example to it.
#[test]
fn example_configurations_name_the_schema() {
    for file in [
        "config/poly2mqtt.toml",
        "examples/docker/poly2mqtt.toml",
        "examples/docker/cluster.toml",
    ] {
        let text = read(file);
        let first = text.lines().next().unwrap();
        let named = first.strip_prefix("#:schema ").expect(file);
        let folder: PathBuf = root().join(file).parent().unwrap().join(named);
        assert_eq!(
            folder.canonicalize().unwrap(),
            root().join(SHIPPED).canonicalize().unwrap(),
            "{file}"
        );
    }
}
