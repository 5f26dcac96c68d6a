//! Environment variables over the configuration's file.
use std::fs;

use poly2mqtt::config::{Certificate, ConfigErrors, Loaded, read};

const FILE: &str = "[mqtt]\nurl = \"mqtt://broker\"\n\
                    [http]\n[[http.token]]\nname = \"panel\"\ntoken = \"0123456789abcdef\"\n\
                    [rooms.1]\nurl = \"https://192.0.2.1\"\npassword = \"file\"\n\
                    certificate = \"system\"\n\
                    [rooms.huddle-1]\nurl = \"https://192.0.2.2\"\npassword_file = \"/nowhere\"\n\
                    certificate = \"system\"\n";

fn with(file: &str, variables: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    let variables = variables
        .iter()
        .map(|(name, value)| (format!("POLY2MQTT_{name}"), (*value).to_owned()));
    read("poly2mqtt.toml".into(), file, variables)
}

const HUDDLE: (&str, &str) = ("ROOMS__HUDDLE_1__PASSWORD", "456");

#[test]
fn a_variable_wins_over_whatever_the_file_says() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    fs::write(&file, "by file").unwrap();
    let file = file.to_str().unwrap();
    for variables in [
        &[HUDDLE][..],
        &[("ROOMS__huddle-1__PASSWORD", "456")],
        &[("rooms__Huddle_1__password", "456")],
        &[HUDDLE, ("ROOMS__1__PASSWORD_FILE", file)],
        &[HUDDLE, ("ROOMS__1__CA_FILE", file)],
        &[HUDDLE, ("MQTT__PASSWORD", "[\"a\"]")],
        &[HUDDLE, ("HTTP__TOKEN__0__TOKEN", "another long token")],
        &[HUDDLE, ("HTTP__TOKEN__0__TOKEN_FILE", file)],
        &[
            HUDDLE,
            ("HTTP__TOKEN__1__NAME", "second"),
            ("HTTP__TOKEN__1__TOKEN", "the second long token"),
        ],
        &[HUDDLE, ("ROOMS__1__ALLOW", "system/reboot, session/renew")],
        &[
            HUDDLE,
            ("ROOMS__1__ALLOW", "[\"system/reboot\", 'session/renew']"),
        ],
        &[
            HUDDLE,
            ("ROOMS__1__ALLOW", "'system/reboot',\"session/renew\""),
        ],
        &[HUDDLE, ("ROOMS__1__ALLOW", "")],
        &[HUDDLE, ("MQTT__TOPIC_PREFIX", "")],
        &[HUDDLE, ("HTTP__HOSTS", "[]")],
    ] {
        let config = with(FILE, variables)
            .unwrap_or_else(|told| panic!("{variables:?}: {told}"))
            .config;
        assert_eq!(config.rooms["huddle-1"].password.expose(), "456");
        assert_eq!(config.rooms.len(), 2);
        let room = &config.rooms["1"];
        for (name, value) in variables {
            match *name {
                "ROOMS__1__PASSWORD_FILE" => assert_eq!(room.password.expose(), "by file"),
                "ROOMS__1__CA_FILE" => {
                    assert_eq!(room.certificate, Certificate::CaFile(file.into()));
                }
                "MQTT__PASSWORD" => {
                    assert_eq!(config.mqtt.password.as_ref().unwrap().expose(), *value);
                }
                "HTTP__TOKEN__0__TOKEN" => {
                    assert_eq!(config.http.tokens[0].token.expose(), *value);
                    assert_eq!(config.http.tokens[0].name, "panel");
                }
                "HTTP__TOKEN__0__TOKEN_FILE" => {
                    assert_eq!(config.http.tokens[0].token.expose(), "by file");
                }
                "HTTP__TOKEN__1__TOKEN" => {
                    assert_eq!(config.http.tokens[1].token.expose(), *value);
                    assert_eq!(config.http.tokens[0].token.expose(), "0123456789abcdef");
                }
                "ROOMS__1__ALLOW" => {
                    assert_eq!(room.allow.len(), if value.is_empty() { 0 } else { 2 });
                }
                _ => {}
            }
        }
    }
}

/// The file is for another kind of broker than the variable names.
#[test]
fn a_broker_by_variable_leaves_out_what_the_file_has_for_another() {
    let room =
        "[rooms.1]\nurl = \"https://192.0.2.1\"\npassword = \"x\"\ncertificate = \"system\"\n";
    let own = "[mqtt]\nurl = \"embedded://0.0.0.0:1883\"\nopen = true\n\
               [[mqtt.user]]\nname = \"n\"\npassword = \"x\"\n";
    let other = "[mqtt]\nurl = \"mqtts://broker\"\nusername = \"u\"\npassword = \"x\"\n\
                 ca_file = \"/etc/hostname\"\n";
    for (file, url, ignored) in [
        (own, "mqtt://broker", &["mqtt.open", "mqtt.user"][..]),
        (own, "off", &["mqtt.open", "mqtt.user"]),
        (own, "embedded://127.0.0.1:1", &[]),
        (other, "mqtt://broker", &["mqtt.ca_file"]),
        (other, "mqtts://other", &[]),
        (
            other,
            "embedded://127.0.0.1:1",
            &["mqtt.ca_file", "mqtt.username", "mqtt.password"],
        ),
    ] {
        let loaded = with(&format!("{file}{room}"), &[("MQTT__URL", url)]);
        let loaded = loaded.unwrap_or_else(|told| panic!("{url}: {told}"));
        let told = &loaded.warnings;
        assert_eq!(told.len(), ignored.len(), "{url}: {told:?}");
        for (line, key) in told.iter().zip(ignored) {
            assert!(line.starts_with("poly2mqtt.toml:"), "{line}");
            let wanted = format!("{key}: has no meaning beside POLY2MQTT_MQTT__URL: ignored");
            assert!(line.contains(&wanted), "{line}");
        }
    }
    // Of two keys for the certificate, the one by variable.
    let by_file = format!("[mqtt]\nurl = \"mqtts://broker\"\nca_file = \"/nowhere\"\n{room}");
    assert!(with(&by_file, &[]).is_err());
    assert!(with(&by_file, &[("MQTT__CERTIFICATE", "system")]).is_ok());
    // What came by variable too is an error.
    let both = [("MQTT__URL", "mqtt://broker"), ("MQTT__OPEN", "true")];
    let told = with(&format!("{own}{room}"), &both)
        .unwrap_err()
        .to_string();
    assert!(
        told.contains("POLY2MQTT_MQTT__OPEN: mqtt.open: only has a meaning"),
        "{told}"
    );
}

/// Each is an error that begins with the name of the variable, and nothing else is said.
#[test]
fn what_came_by_variable_is_blamed_on_the_variable() {
    for (name, value, wanted) in [
        (
            "ROOMS__1__PASSWORD",
            "",
            "rooms.1.password: the secret is empty",
        ),
        (
            "ROOMS__1__PASSWORD",
            "  ",
            "rooms.1.password: the secret is empty",
        ),
        (
            "MQTT__PASSWORD_FILE",
            "",
            "mqtt.password_file: takes a text that is not empty",
        ),
        ("MQTT__URL", "", "mqtt.url: takes a text that is not empty"),
        (
            "MQTT__ULR",
            "x",
            "mqtt.ulr: unknown key; did you mean \"url\"?",
        ),
        (
            "MQTT___URL",
            "x",
            "mqtt._url: two underscores are between the parts of a key; did you mean POLY2MQTT_MQTT__URL?",
        ),
        (
            "_MQTT__URL",
            "x",
            "_mqtt: two underscores are between the parts of a key; did you mean POLY2MQTT_MQTT__URL?",
        ),
        (
            "MQTT__URL__HOST",
            "x",
            "mqtt.url.host: the key before it is no table",
        ),
        ("MQTT__", "x", "mqtt.: unknown key"),
        ("MQTT__KEEP_ALIVE", "\"30s\"", "has quotes around it"),
        ("HTTP__LISTEN", "'0.0.0.0:80'", "has quotes around it"),
        (
            "HTTP__LISTEN",
            "0.0.0.0:80\r",
            "http.listen: takes ADDRESS:PORT such as \"127.0.0.1:8080\", or \"off\"; the value \
             holds a carriage return",
        ),
        ("HTTP__OPEN", "yes", "http.open: takes true or false"),
        (
            "ROOMS__1",
            "{}",
            "rooms.1: is a table; set its keys: POLY2MQTT_ROOMS__1__KEY",
        ),
        (
            "ROOMS__1__POLL",
            "{fast=\"1s\"}",
            "rooms.1.poll.pace: takes \"normal\" or \"gentle\"",
        ),
        ("HTTP__TOKEN", "secret", "http.token: is a table"),
        (
            "HTTP__TOKEN__7__TOKEN",
            "x",
            "the tables of token have numbers, from 0 to 1",
        ),
        (
            "HTTP__TOKEN__PANEL__TOKEN",
            "x",
            "the tables of token have numbers",
        ),
        (
            "HTTP__HOSTS",
            "[\"a\", 1]",
            "http.hosts: takes a list of texts",
        ),
        ("HTTP__HOSTS", "[a, b]", "http.hosts: takes a list of texts"),
        (
            "HTTP__TLS_KEY_FILE",
            "/etc/hostname",
            "http.tls_key_file: tls_cert_file and",
        ),
        (
            "MQTT__CLIENT_KEY_FILE",
            "/etc/hostname",
            "mqtt.client_key_file: only has a meaning",
        ),
        (
            "ROOMS__HUDLE_1__PASSWORD",
            "x",
            "rooms.hudle_1.url: is missing",
        ),
        (
            "ROOMS__A B__URL",
            "https://192.0.2.3",
            "a room's id takes letters",
        ),
    ] {
        let told = with(FILE, &[HUDDLE, (name, value)]).unwrap_err();
        let told: Vec<String> = told.0.iter().map(ToString::to_string).collect();
        let place = format!("POLY2MQTT_{name}: ");
        let at_variable = told.iter().all(|line| line.starts_with(&place));
        assert!(at_variable, "{name}={value}: {told:?}");
        assert!(
            told.iter().any(|line| line.contains(wanted)),
            "{name}={value}: {told:?}"
        );
    }
    // Two variables for one key.
    for (one, other) in [
        (
            ("ROOMS__1__PASSWORD", "a"),
            ("ROOMS__1__PASSWORD_FILE", "b"),
        ),
        (("MQTT__URL", "mqtt://a"), ("mqtt__url", "mqtt://b")),
    ] {
        let told = with(FILE, &[HUDDLE, one, other]).unwrap_err().to_string();
        assert!(
            told.starts_with(&format!("POLY2MQTT_{}: ", other.0)),
            "{told}"
        );
        assert!(told.contains("too"), "{told}");
    }
    let same = [HUDDLE, ("MQTT__URL", "mqtt://a"), ("mqtt__url", "mqtt://a")];
    assert!(with(FILE, &same).is_ok());
}

#[test]
fn a_variable_that_stands_for_two_rooms_is_refused() {
    let room = |id: &str, host: u8| {
        format!("[rooms.{id}]\nurl = \"https://192.0.2.{host}\"\ncertificate = \"system\"\n")
    };
    let rooms = format!("{}{}", room("a-b", 1), room("a_b", 2));
    let told = with(&rooms, &[("ROOMS__A_B__PASSWORD", "456")])
        .unwrap_err()
        .to_string();
    let wanted = "POLY2MQTT_ROOMS__A_B__PASSWORD: rooms: stands for a-b and a_b alike; write the id \
                  as the file does";
    assert!(told.contains(wanted), "{told}");
    let exact = [
        ("ROOMS__a-b__PASSWORD", "minus"),
        ("ROOMS__a_b__PASSWORD", "low"),
    ];
    let config = with(&rooms, &exact).unwrap().config;
    assert_eq!(config.rooms["a-b"].password.expose(), "minus");
    assert_eq!(config.rooms["a_b"].password.expose(), "low");
}

/// None of these is an error. Those of Kubernetes are not even told.
#[test]
fn a_variable_that_cannot_be_a_key_gets_one_line() {
    for (name, value, wanted) in [
        ("PORT", "tcp://10.0.0.1:8080", ""),
        ("SERVICE_HOST", "10.0.0.1", ""),
        ("SERVICE_PORT_HTTP", "8080", ""),
        ("PORT_8080_TCP_ADDR", "10.0.0.1", ""),
        ("MQTT_PORT_1883_TCP", "tcp://10.0.0.1:1883", ""),
        ("CONFIG", "x", ""),
        ("LOG", "debug", ""),
        ("LOG_FORMAT", "json", ""),
        ("RUNTIME_DIR", "/run/x", ""),
        (
            "MQTT_URL",
            "mqtt://u:hunter2@h",
            "POLY2MQTT_MQTT_URL: sets nothing: two underscores are between the parts of a key; did \
             you mean POLY2MQTT_MQTT__URL?",
        ),
        (
            "ROOMS_HUDDLE_1_PASSWORD",
            "hunter2",
            "did you mean POLY2MQTT_ROOMS__HUDDLE_1__PASSWORD?",
        ),
        (
            "PORT",
            "8080",
            "POLY2MQTT_PORT: sets nothing: it names no key",
        ),
        ("VERSION", "1.2", "POLY2MQTT_VERSION: sets nothing"),
        (
            "MQTT__USERNAME",
            "\"admin\"",
            "POLY2MQTT_MQTT__USERNAME: the value has quotes around it",
        ),
        (
            "MQTT__USERNAME",
            "admin\r",
            "POLY2MQTT_MQTT__USERNAME: the value holds a carriage return",
        ),
        (
            "MQTT__PASSWORD",
            "hunter2\r",
            "POLY2MQTT_MQTT__PASSWORD: mqtt.password: the secret holds a carriage return",
        ),
        ("MQTT__PASSWORD", "\"hunter2\"", "has quotes around it"),
        (
            "MQTT__PASSWORD",
            "${hunter2}",
            "the secret looks like a reference to a variable",
        ),
    ] {
        let loaded = with(FILE, &[HUDDLE, (name, value)]).unwrap();
        let told = &loaded.warnings;
        assert_eq!(
            told.len(),
            usize::from(!wanted.is_empty()),
            "{name}: {told:?}"
        );
        assert!(
            told.iter().all(|line| !line.contains("hunter2")),
            "{told:?}"
        );
        assert!(
            wanted.is_empty() || told.iter().any(|line| line.contains(wanted)),
            "{name}: {told:?}"
        );
    }
}
