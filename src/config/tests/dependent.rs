//! A value that is wrong is one error, though checks of other keys depend on it.

use super::findings;

/// Each value of these is wrong in turn. Sections depend on each other: on tokens, users, certificates, ports, rooms.
const DEPENDENT: [&str; 2] = [
    r#"
[mqtt]
url = "embedded://0.0.0.0:1883"
open = false
[[mqtt.user]]
name = "panel"
password = "a password"
rooms = ["1"]
[http]
listen = "0.0.0.0:8080"
open = false
tls_cert_file = "Cargo.toml"
tls_key_file = "Cargo.toml"
[[http.token]]
name = "panel"
token = "a long random text"
rooms = ["1"]
[tcp]
listen = "0.0.0.0:8081"
tls = true
[home_assistant]
prefix = "ha"
[defaults]
certificate = "system"
[rooms.1]
url = "https://192.0.2.1"
password = "4"
"#,
    r#"
[mqtt]
url = "mqtts://broker"
username = "gateway"
password = "a password"
client_cert_file = "Cargo.toml"
client_key_file = "Cargo.toml"
[http]
listen = "127.0.0.1:8082"
[tcp]
listen = "127.0.0.1:8080"
[cluster]
name = "gw-1"
etcd = ["https://etcd"]
username = "gateway"
password = "a password"
advertise = "http://192.0.2.2:8082"
token = "a long random text"
[defaults]
password = "4"
[rooms.1]
url = "https://192.0.2.1"
certificate = "system"
"#,
];

#[test]
fn one_wrong_value_is_one_error() {
    for text in DEPENDENT {
        assert_eq!(findings(text).1.errors, [], "{text}");
        for (n, line) in text.lines().enumerate() {
            let Some((key, _)) = line.split_once(" = ") else {
                continue;
            };
            let mut wrong = vec![format!("{key} = {{ wrong = 1 }}")];
            match key {
                "password" | "token" => wrong.push(format!("{key}_file = \"/nowhere/secret\"")),
                _ if key.ends_with("_file") => wrong.push(format!("{key} = \"/nowhere/file\"")),
                "prefix" => wrong.push("prefix = \"a/#\"".to_owned()),
                "etcd" => wrong.push("etcd = [\"nothing\"]".to_owned()),
                _ => {}
            }
            for wrong in wrong {
                let mut lines: Vec<&str> = text.lines().collect();
                lines[n] = &wrong;
                let errors = findings(&lines.join("\n")).1.errors;
                let [error] = &errors[..] else {
                    panic!("line {n}, {wrong}: {errors:?}");
                };
                let name = wrong.split(" = ").next().unwrap_or_default();
                let last = error.key.rsplit('.').next();
                assert_eq!(last, Some(name), "line {n}, {wrong}: {error}");
            }
        }
    }
}

/// A wrong value does not hide that its partner is missing.
#[test]
fn what_belongs_together_is_told_beside_a_wrong_value() {
    let cluster = "[mqtt]\nurl = \"mqtt://broker\"\n[http]\nlisten = \"127.0.0.1:8082\"\n[cluster]\nname = \"gw-1\"\n\
                   etcd = [\"https://etcd\"]\nadvertise = \"http://192.0.2.2:8082\"\ntoken = \"a long random text\"\n";
    let broker = "[mqtt]\nurl = \"mqtts://broker\"\n";
    let http = "[mqtt]\nurl = \"off\"\n[http]\nlisten = \"127.0.0.1:8082\"\n";
    for (section, name, text, keys, both) in [
        (
            "mqtt",
            "client_cert_file and client_key_file",
            broker,
            ["client_cert_file", "client_key_file"],
            "Cargo.toml",
        ),
        (
            "http",
            "tls_cert_file and tls_key_file",
            http,
            ["tls_cert_file", "tls_key_file"],
            "Cargo.toml",
        ),
        (
            "cluster",
            "username and password",
            cluster,
            ["username", "password"],
            "a word",
        ),
    ] {
        let told = format!("{name} belong together");
        for key in keys {
            let wrong = format!("{key} = {{ wrong = 1 }}");
            let right = format!("{key} = \"{both}\"");
            for (line, wanted) in [(wrong, 2), (right, 1)] {
                let errors = findings(&format!("{text}{line}\n")).1.errors;
                let of_key =
                    |error: &&crate::config::ConfigError| error.key == format!("{section}.{key}");
                assert_eq!(
                    errors.iter().filter(of_key).count(),
                    wanted,
                    "{line}: {errors:?}"
                );
                let is_told = errors.iter().any(|error| error.message == told);
                assert!(is_told, "{line}: {errors:?}");
            }
        }
    }
}
