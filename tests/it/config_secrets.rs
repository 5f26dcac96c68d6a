//! Secrets in the configuration: what is sent is what the user wrote, or it is refused or warned of.
//! No message holds a secret.
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use poly2mqtt::config::{Config, ConfigErrors, Loaded, Secret, load, read};

const ROOM: &str = "[rooms.1]\nurl = \"https://192.0.2.1\"\ncertificate = \"system\"\n";

/// Every table that takes a secret: its lines without the secret, the secret's key, and where the
/// configuration has it.
type Place = (&'static str, &'static str, fn(&Config) -> &Secret);
const PLACES: [Place; 5] = [
    (ROOM, "password", |config| &config.rooms["1"].password),
    (
        "[rooms.1]\nurl = \"https://192.0.2.1\"\ncertificate = \"system\"\n[defaults]\n",
        "password",
        |config| &config.rooms["1"].password,
    ),
    (
        "[mqtt]\nurl = \"mqtt://broker\"\nusername = \"u\"\n",
        "password",
        |config| config.mqtt.password.as_ref().unwrap(),
    ),
    ("[[mqtt.user]]\nname = \"n\"\n", "password", |config| {
        &config.mqtt.users[0].password
    }),
    ("[[http.token]]\nname = \"n\"\n", "token", |config| {
        &config.http.tokens[0].token
    }),
];

fn inline(place: &Place, value: &str) -> Result<Loaded, ConfigErrors> {
    let text = format!("{}{} = {value}\n", place.0, place.1);
    read("poly2mqtt.toml".into(), &text, [])
}

/// Warnings about the secret alone.
fn warnings(loaded: &Loaded) -> String {
    let told = loaded.warnings.iter();
    let told = told.filter(|line| line.contains(": the secret "));
    told.map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_value_that_toml_would_change_is_refused() {
    for place in &PLACES {
        let line = place.0.lines().count() + 1;
        for value in [
            "12E4",
            "1.50",
            "1.5",
            "0x1F",
            "0o17",
            "0b11",
            "1_000",
            "+5",
            "-5",
            "1e3",
            "6.0221e+23",
            "1979-05-27",
            "07:32:00",
            "1979-05-27T07:32:00Z",
            "true",
            "false",
            "inf",
            "-inf",
            "nan",
            "[\"9f86d0\"]",
            "{ a = \"9f86d0\" }",
            "\"\"",
            "\"   \"",
            "\"\\uFEFF\"",
        ] {
            let told = inline(place, value).unwrap_err().to_string();
            let wanted = format!("poly2mqtt.toml:{line}: ");
            assert!(told.contains(&wanted), "{value}: {told}");
            assert!(told.contains(place.1), "{value}: {told}");
            assert!(value.len() < 4 || !told.contains(value), "{value}: {told}");
            assert!(!told.contains("9f86d0"), "{told}");
            assert_eq!(told.lines().count(), 1, "{value}: {told}");
        }
        // These are no TOML; the line says what to do.
        for value in [
            "012345",
            "99999999999999999999",
            "hunter2",
            "1.2.3.4",
            "4 5 6",
        ] {
            let told = inline(place, value).unwrap_err().to_string();
            let wanted = format!("poly2mqtt.toml:{line}: not TOML");
            assert!(told.contains(&wanted), "{value}: {told}");
            assert!(told.contains("written in quotes"), "{value}: {told}");
            assert!(!told.contains(value), "{value}: {told}");
        }
    }
}

#[test]
fn plain_digits_and_texts_are_taken_as_they_are_written() {
    for place in &PLACES {
        for (value, wanted) in [
            ("456", "456"),
            ("0", "0"),
            ("1234567890123456789", "1234567890123456789"),
            ("\"012345\"", "012345"),
            ("\"12E4\"", "12E4"),
            ("\"true\"", "true"),
            ("'a\"b\\c'", "a\"b\\c"),
            ("\"pässwörd 密码\"", "pässwörd 密码"),
            ("\"\\uFEFF456\"", "456"),
        ] {
            let loaded = inline(place, value).unwrap();
            assert_eq!(place.2(&loaded.config).expose(), wanted, "{value}");
            assert_eq!(warnings(&loaded), "", "{value}");
        }
    }
}

/// The same text, from a file.
fn by_file(folder: &Path, place: &Place) -> Result<Loaded, ConfigErrors> {
    let text = format!("{}{}_file = \"secret\"\n", place.0, place.1);
    let path = folder.join("poly2mqtt.toml");
    fs::write(&path, text).unwrap();
    load(&path, [])
}

#[test]
fn a_file_gives_its_text_without_mark_and_line_ends() {
    let dir = tempfile::tempdir().unwrap();
    for place in &PLACES {
        for (bytes, wanted, warning) in [
            (&b"456789"[..], "456789", ""),
            (b"456789\n", "456789", ""),
            (b"456789\r\n", "456789", ""),
            (b"456789\r", "456789", ""),
            (b"456789\n\n\r\n", "456789", ""),
            (b"\xef\xbb\xbf456789\r\n", "456789", ""),
            (b"12E4", "12E4", ""),
            (b"\"456789\"\n", "\"456789\"", "quotes around it"),
            (b"456\n789\n", "456\n789", "several lines"),
            (b"456\r\n789\r\n", "456\r\n789", "a carriage return"),
            (b"45\x006789", "45\x006789", "NUL"),
            (b"4567\xc2\xa089", "4567\u{a0}89", "U+00A0"),
        ] {
            fs::write(dir.path().join("secret"), bytes).unwrap();
            let loaded = by_file(dir.path(), place).unwrap();
            assert_eq!(place.2(&loaded.config).expose(), wanted, "{bytes:?}");
            let told = warnings(&loaded);
            assert!(told.contains(warning), "{bytes:?}: {told}");
            assert_eq!(told.lines().count(), usize::from(!warning.is_empty()));
            assert!(told.is_empty() || told.contains("_file: "), "{told}");
            assert!(!told.contains("789"), "{told}");
        }
    }
    // A token has no blanks at its ends, because clients cannot send them.
    fs::write(dir.path().join("secret"), "456789 \n").unwrap();
    for place in &PLACES {
        match by_file(dir.path(), place) {
            Ok(loaded) => {
                assert_eq!(place.2(&loaded.config).expose(), "456789 ");
                assert!(warnings(&loaded).contains("a blank"));
            }
            Err(errors) => {
                assert_eq!(place.1, "token");
                let told = errors.to_string();
                assert!(told.contains("token_file: takes a text without"), "{told}");
            }
        }
    }
}

#[test]
fn a_file_that_holds_no_secret_is_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    let utf16 = |text: &str, mark: &[u8], bytes: fn(u16) -> [u8; 2]| {
        let units = text.encode_utf16().flat_map(bytes);
        mark.iter().copied().chain(units).collect::<Vec<u8>>()
    };
    for place in &PLACES {
        for (bytes, wanted) in [
            (Vec::new(), "empty"),
            (b"\n".to_vec(), "empty"),
            (b"\r\n\r\n".to_vec(), "empty"),
            (b" \t\n".to_vec(), "empty"),
            (b"\xef\xbb\xbf\n".to_vec(), "empty"),
            (utf16("456789", b"\xff\xfe", u16::to_le_bytes), "UTF-16"),
            (utf16("456789", b"\xfe\xff", u16::to_be_bytes), "UTF-16"),
            (b"p\xe4ssword\n".to_vec(), "not text in UTF-8"),
            (vec![b'4'; 70_000], "larger than 64 KiB"),
        ] {
            fs::write(&secret, &bytes).unwrap();
            let told = by_file(dir.path(), place).unwrap_err().to_string();
            assert!(told.contains(wanted), "{told}");
            let line = format!("poly2mqtt.toml:{}: ", place.0.lines().count() + 1);
            assert!(told.contains(&line) && told.contains("_file: "), "{told}");
            assert_eq!(told.lines().count(), 1, "{told}");
        }
        fs::remove_file(&secret).unwrap();
        let refused = |wanted: &str| {
            let told = by_file(dir.path(), place).unwrap_err().to_string();
            assert!(told.contains(wanted), "{told}");
        };
        refused("there is no such file");
        fs::create_dir(&secret).unwrap();
        refused("it is a directory");
        fs::remove_dir(&secret).unwrap();
        // Without a writer a pipe would be waited for.
        let made = Command::new("mkfifo").arg(&secret).status().unwrap();
        assert!(made.success());
        refused("a pipe or a device");
        fs::remove_file(&secret).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &secret).unwrap();
        refused("a pipe or a device");
        fs::remove_file(&secret).unwrap();
        fs::write(&secret, "456789").unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
        // Root reads it all the same.
        if fs::read(&secret).is_err() {
            refused("no permission");
        }
        fs::remove_file(&secret).unwrap();
    }
}

#[test]
fn what_looks_like_a_mistake_is_warned_of_with_its_place() {
    for (value, wanted) in [
        ("'\"456789\"'", "quotes around it"),
        ("\"456789\\r\"", "a carriage return"),
        ("\"${POLY_PASSWORD}\"", "taken as it stands"),
        ("\"456789\\u001b\"", "U+001B"),
    ] {
        let loaded = inline(&PLACES[0], value).unwrap();
        let told = warnings(&loaded);
        let start = "poly2mqtt.toml:4: rooms.1.password: ";
        assert!(told.starts_with(start) && told.contains(wanted), "{told}");
        assert!(
            !told.contains("456789") && !told.contains("POLY_"),
            "{told}"
        );
    }
}

/// Numbers are no other texts either where they are not secret.
#[test]
fn texts_are_taken_digit_for_digit_or_refused() {
    let room = |line: &str| {
        let text = format!("{ROOM}password = \"x\"\n{line}\n");
        read("file".into(), &text, []).map(|loaded| loaded.config)
    };
    assert_eq!(room("user = 1001").unwrap().rooms["1"].user, "1001");
    for line in [
        "user = 1_001",
        "user = 0x10",
        "name = 1.50",
        "name = true",
        "user = 12E4",
    ] {
        let told = room(line).unwrap_err().to_string();
        assert!(told.contains("write the value in quotes"), "{line}: {told}");
    }
    let token = |rooms: &str| {
        let token = "[[http.token]]\nname = \"n\"\ntoken = \"0123456789abcdef\"\n";
        let text = format!("{ROOM}password = \"x\"\n{token}rooms = {rooms}\n");
        read("file".into(), &text, []).map_err(|errors| errors.to_string())
    };
    assert!(token("[1]").is_ok() && token("[\"1\"]").is_ok());
    for rooms in ["[0x1]", "[1.0]", "[true]", "[[1]]"] {
        let told = token(rooms).unwrap_err();
        assert!(
            told.contains("rooms: takes a list of texts"),
            "{rooms}: {told}"
        );
    }
    // The same in tables of other forms.
    for text in [
        "rooms.1 = { url = \"https://192.0.2.1\", password = 12E4 }",
        "[rooms]\n1.url = \"https://192.0.2.1\"\n1.password = 1_000",
        "http.token = [{ name = \"n\", token = 0x1F }]",
        "[mqtt]\nuser = [{ name = \"m\", password = 456 }, { name = \"n\", password = 4_56 }]",
    ] {
        let told = read("file".into(), text, []).unwrap_err().to_string();
        assert!(told.contains("write the value in quotes"), "{text}: {told}");
        assert_eq!(told.lines().count(), 1, "{text}: {told}");
    }
    assert_eq!(
        room("preset_offset = -1").unwrap().rooms["1"].preset_offset,
        Some(-1)
    );
}

const PEM: &str = "cert.pem";

#[test]
fn files_are_beside_the_configuration_file() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("etc");
    fs::create_dir_all(folder.join("secrets")).unwrap();
    fs::write(folder.join("secrets/poly"), "456789\n").unwrap();
    fs::write(folder.join(PEM), "").unwrap();
    let path = folder.join("poly2mqtt.toml");
    let text = "[mqtt]\nurl = \"mqtts://broker\"\nca_file = \"cert.pem\"\n\
                client_cert_file = \"./cert.pem\"\nclient_key_file = \"secrets/../cert.pem\"\n\
                password_file = \"secrets/poly\"\n\
                [http]\ntls_cert_file = \"cert.pem\"\ntls_key_file = \"cert.pem\"\n\
                [[http.token]]\nname = \"n\"\ntoken_file = \"secrets/poly\"\n\
                [defaults]\nca_file = \"cert.pem\"\npassword_file = \"secrets/poly\"\n\
                [rooms.1]\nurl = \"https://192.0.2.1\"\n";
    fs::write(&path, text).unwrap();
    // The folder of the test is another one.
    let config = load(&path, []).unwrap().config;
    assert_eq!(config.mqtt.ca_file, Some(folder.join(PEM)));
    let tls = config.http.tls.unwrap();
    assert_eq!(tls.certificate, folder.join(PEM));
    assert!(tls.key.is_file());
    assert!(config.mqtt.client_key_file.unwrap().is_file());
    assert_eq!(config.rooms["1"].password.expose(), "456789");
    assert_eq!(config.http.tokens[0].token.expose(), "456789");
    // A path by variable too.
    let variable = |value: &str| {
        let name = "POLY2MQTT_ROOMS__1__PASSWORD_FILE".to_owned();
        load(&path, [(name, value.to_owned())])
    };
    fs::write(folder.join("other"), "987654").unwrap();
    let config = variable("other").unwrap().config;
    assert_eq!(config.rooms["1"].password.expose(), "987654");
    let absolute = folder.join("other").display().to_string();
    assert!(variable(&absolute).is_ok());
    // Where a password stands for the name of its file, it is not shown.
    for (value, wanted) in [
        ("hunter2", folder.to_str().unwrap()),
        ("~/poly", "~ and variables are not replaced"),
        (
            "${CREDENTIALS_DIRECTORY}/poly",
            "~ and variables are not replaced",
        ),
    ] {
        let told = variable(value).unwrap_err().to_string();
        let start = "POLY2MQTT_ROOMS__1__PASSWORD_FILE: rooms.1.password_file: there is no such \
                     file; relative paths begin in ";
        assert!(told.starts_with(start) && told.contains(wanted), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
    for (path, wanted) in [
        (
            "/nowhere/poly",
            "/nowhere/poly cannot be read: there is no such file",
        ),
        (
            "/run/credentials/x/poly",
            "systemd puts it there while the unit runs",
        ),
    ] {
        let told = variable(path).unwrap_err().to_string();
        assert!(told.contains(wanted), "{told}");
    }
    // A path of a file that is there is shown.
    fs::write(folder.join("utf16"), [0xff, 0xfe, b'x', 0]).unwrap();
    let told = variable("utf16").unwrap_err().to_string();
    assert!(told.contains("utf16 is text in UTF-16"), "{told}");
}

/// The system says different things about a token that is no name of a file: it is too long, it has a
/// character that no name has, or it goes on after the name of a file.
#[test]
fn a_secret_in_the_place_of_its_file_is_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("poly2mqtt.toml");
    fs::write(dir.path().join("eyJhbGciOiJub25lIn0"), "x").unwrap();
    for token in [
        "hunter2".repeat(40),
        "hunter2".repeat(2000),
        format!("eyJhbGciOiJub25lIn0.hunter2.{}", "x".repeat(300)),
        "a\0hunter2".to_owned(),
        "eyJhbGciOiJub25lIn0/hunter2".to_owned(),
        "eyJhbGciOiJub25lIn0/a/hunter2+/=".to_owned(),
    ] {
        for (before, key) in PLACES.map(|(before, key, _)| (before, key)) {
            let value = token.replace('\0', "\\u0000");
            let text = format!("{before}{key}_file = \"{value}\"\n");
            fs::write(&path, text).unwrap();
            let told = load(&path, []).unwrap_err().to_string();
            assert!(told.contains("there is no such file"), "{told}");
            assert!(!told.contains("hunter2"), "{told}");
        }
        fs::write(&path, ROOM).unwrap();
        let name = "POLY2MQTT_ROOMS__1__PASSWORD_FILE".to_owned();
        let told = load(&path, [(name, token.clone())])
            .unwrap_err()
            .to_string();
        assert!(told.contains("there is no such file"), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
}
