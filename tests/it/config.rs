//! The configuration as users see it: the file, the environment, and the messages about both.
mod doors;
mod generated;
mod ports;
mod presets;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use poly2mqtt::config::{
    AccessLevel, BrokerUrl, Certificate, Config, ConfigErrors, Fingerprint, HomeAssistantConfig,
    HttpConfig, Loaded, load, locate,
};

const CANARY: &str = "canary-hunter2";

fn write(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("poly2mqtt.toml");
    fs::write(&path, text).unwrap();
    (dir, path)
}

fn read_with(text: &str, env: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    let (_dir, path) = write(text);
    let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    load(&path, env)
}

fn read(text: &str) -> Result<Config, String> {
    read_with(text, &[])
        .map(|loaded| loaded.config)
        .map_err(|errors| errors.to_string())
}

const ROOM: &str = "[rooms.1]\nurl = \"https://192.0.2.1\"\npassword = \"x\"\n";

fn errors(text: &str) -> String {
    read(text).unwrap_err()
}

#[test]
fn a_room_needs_little_and_the_rest_has_defaults() {
    let config = read(ROOM).unwrap();
    let room = &config.rooms["1"];
    assert_eq!(room.user, "admin");
    assert_eq!(room.certificate, Certificate::Unset);
    assert_eq!(room.poll.fast, Duration::from_secs(2));
    assert_eq!(room.max_command_age, Duration::from_secs(5));
    assert!(room.keep_alive);
    assert_eq!(
        config.mqtt.url,
        BrokerUrl::Embedded(([127, 0, 0, 1], 1883).into())
    );
    assert_eq!(config.mqtt.session_expiry, Duration::from_secs(10));
    assert_eq!(config.mqtt.max_payload, 10 << 20);
    assert_eq!(config.home_assistant, HomeAssistantConfig::default());
    let other = read(&format!("[home_assistant]\nprefix = \"ha/x\"\n{ROOM}")).unwrap();
    assert_eq!(other.home_assistant.status_topic, "ha/x/status");
}

#[test]
fn every_error_is_told_at_once_with_its_place() {
    let text = "[mqtt]\nurl = \"tcp://x\"\nusernme = \"u\"\n\n[rooms.1]\nurl = \"http://x\"\npasswrd = \"x\"\n\n[poll]\nfast = \"1ms\"\n[nonsense]\n";
    let told = errors(text);
    for wanted in [
        "poly2mqtt.toml:2: mqtt.url: takes embedded://",
        "poly2mqtt.toml:3: mqtt.usernme: unknown key; did you mean \"username\"?",
        "poly2mqtt.toml:6: rooms.1.url: takes https://",
        "poly2mqtt.toml:7: rooms.1.passwrd: unknown key; did you mean \"password\"?",
        "poly2mqtt.toml:5: rooms.1.password: is missing",
        "poly2mqtt.toml:10: poll.fast: takes a duration of at least 200 ms",
        "poly2mqtt.toml:11: nonsense: unknown key; known here are mqtt, http, tcp, home_assistant, cluster, poll, defaults, rooms",
    ] {
        assert!(told.contains(wanted), "{wanted}\nis not in\n{told}");
    }
    assert_eq!(told.lines().count(), 7, "{told}");
}

#[test]
fn the_environment_stands_over_the_file_and_is_named_in_errors() {
    let env = [
        ("POLY2MQTT_MQTT__URL", "mqtt://broker"),
        ("POLY2MQTT_ROOMS__MAIN__PASSWORD", "12345"),
        ("POLY2MQTT_POLL__FAST", "500ms"),
        (
            "POLY2MQTT_ROOMS__MAIN__ALLOW",
            "system/reboot, session/renew",
        ),
        ("POLY2MQTT_CONFIG", "ignored"),
        ("POLY2MQTT_LOG", "debug"),
        ("OTHER", "x"),
    ];
    let text = "[rooms.Main]\nurl = \"https://192.0.2.1\"\n";
    let config = read_with(text, &env).unwrap().config;
    assert_eq!(config.rooms["Main"].password.expose(), "12345");
    assert_eq!(config.rooms["Main"].poll.fast, Duration::from_millis(500));
    assert_eq!(config.rooms["Main"].allow.len(), 2);
    let broker = BrokerUrl::Tcp {
        host: "broker".into(),
        port: 1883,
    };
    assert_eq!(config.mqtt.url, broker);
    let wrong = [
        ("POLY2MQTT_MQTT__ULR", "x"),
        ("POLY2MQTT_POLL__FAST", "soon"),
    ];
    let told = read_with(ROOM, &wrong).unwrap_err().to_string();
    assert!(
        told.contains("POLY2MQTT_MQTT__ULR: mqtt.ulr: unknown key; did you mean \"url\"?"),
        "{told}"
    );
    assert!(
        told.contains("POLY2MQTT_POLL__FAST: poll.fast: takes a duration"),
        "{told}"
    );
}

#[test]
fn defaults_and_poll_reach_rooms_that_do_not_say_otherwise() {
    let text = format!(
        "[poll]\nnormal = \"20s\"\n[defaults]\nuser = \"av\"\npassword = \"d\"\npoll = {{ fast = \"3s\" }}\ncertificate = \"sha256:{}\"\n\
         [rooms.a]\nurl = \"https://192.0.2.1\"\n[rooms.b]\nurl = \"https://192.0.2.2\"\nuser = \"me\"\ncertificate = \"system\"\npoll.fast = \"1s\"\n",
        "ab".repeat(32)
    );
    let config = read(&text).unwrap();
    let (a, b) = (&config.rooms["a"], &config.rooms["b"]);
    assert_eq!((a.user.as_str(), b.user.as_str()), ("av", "me"));
    assert_eq!(a.certificate, Certificate::Pinned(Fingerprint([0xab; 32])));
    assert_eq!(b.certificate, Certificate::System);
    assert_eq!(a.poll.fast, Duration::from_secs(3));
    assert_eq!(b.poll.fast, Duration::from_secs(1));
    assert_eq!(b.poll.normal, Duration::from_secs(20));
    assert_eq!(b.password.expose(), "d");
}

/// `poll = "gentle"` is short for `poll = { pace = "gentle" }`, wherever `poll` may stand.
#[test]
fn the_pace_can_stand_in_place_of_the_table() {
    let gentle = "poll = \"gentle\"\n";
    let fast = "poll = { fast = \"1s\" }\n";
    let defaults = |line: &str| format!("[defaults]\n{line}");
    for (before, room, env, wanted) in [
        (String::new(), "", None, (false, 2)),
        (String::new(), gentle, None, (true, 2)),
        (
            String::new(),
            "poll.pace = \"gentle\"\npoll.fast = \"1s\"\n",
            None,
            (true, 1),
        ),
        ("[poll]\npace = \"gentle\"\n".into(), "", None, (true, 2)),
        ("[poll]\npace = \"gentle\"\n".into(), fast, None, (true, 1)),
        (defaults(gentle), "", None, (true, 2)),
        (defaults(gentle), fast, None, (true, 1)),
        (defaults(fast), gentle, None, (true, 1)),
        (defaults(gentle), "poll = \"normal\"\n", None, (false, 2)),
        (
            String::new(),
            "",
            Some(("ROOMS__1__POLL", "gentle")),
            (true, 2),
        ),
        (
            String::new(),
            gentle,
            Some(("ROOMS__1__POLL", "normal")),
            (false, 2),
        ),
        (
            String::new(),
            fast,
            Some(("ROOMS__1__POLL", "gentle")),
            (true, 1),
        ),
        (
            String::new(),
            gentle,
            Some(("ROOMS__1__POLL__FAST", "1s")),
            (true, 1),
        ),
        (
            String::new(),
            gentle,
            Some(("DEFAULTS__POLL", "normal")),
            (true, 2),
        ),
        (
            String::new(),
            "",
            Some(("DEFAULTS__POLL", "gentle")),
            (true, 2),
        ),
    ] {
        let text = format!("{before}{ROOM}{room}");
        let variable = env.map(|(name, value)| (format!("POLY2MQTT_{name}"), value));
        let env: Vec<_> = variable
            .iter()
            .map(|(name, value)| (name.as_str(), *value))
            .collect();
        let config = read_with(&text, &env).unwrap().config;
        let poll = config.rooms["1"].poll;
        assert_eq!((poll.gentle, poll.fast.as_secs()), wanted, "{text} {env:?}");
    }
}

#[test]
fn a_room_can_take_back_what_the_defaults_say_of_its_check() {
    let text = "[defaults]\npassword = \"d\"\nreadiness = \"6:30\"\nreadiness_dial = \"echo@example.com\"\n\
         [rooms.a]\nurl = \"https://192.0.2.1\"\n\
         [rooms.b]\nurl = \"https://192.0.2.2\"\nreadiness = \"off\"\nreadiness_dial = \"\"\n";
    let config = read(text).unwrap();
    let (a, b) = (&config.rooms["a"], &config.rooms["b"]);
    assert_eq!(a.readiness.unwrap().to_string(), "06:30");
    assert_eq!(a.readiness_dial.as_deref(), Some("echo@example.com"));
    assert_eq!((b.readiness, &b.readiness_dial), (None, &None));
}

#[test]
fn bad_values_say_what_is_allowed() {
    for (line, wanted) in [
        ("certificate = \"sha256:12\"", "64 hexadecimal digits"),
        ("certificate = \"yes\"", "\"system\" or \"insecure\""),
        (
            "allow = [\"audio/mute\"]",
            "\"audio/mute\" is not a guarded command; those are system/reboot",
        ),
        (
            "settings = [\"systemname\"]",
            "\"systemname\" is not the name of a setting",
        ),
        ("settings = [\"a/b.c\"]", "is not the name of a setting"),
        ("settings = [\"a.b\", \"c.d\", \"a.b\"]", "names a.b twice"),
        ("settings = 7", "is not the name of a setting"),
        ("preset_offset = 1", "an integer from -1 to 0"),
        ("keep_alive = \"maybe\"", "true or false"),
        ("max_command_age = 5", "a duration of at least 100 ms"),
        ("readiness = \"24:00\"", "from \"00:00\" to \"23:59\""),
        ("readiness = \"6:30 pm\"", "a time of day"),
        ("password_file = \"/nowhere\"", "password is set too"),
        ("ca_file = \"/nowhere\"", "is not a file"),
        ("poll = 3", "takes a table"),
        ("poll = \"gently\"", "takes \"normal\" or \"gentle\""),
    ] {
        let told = errors(&format!("{ROOM}{line}\n"));
        assert!(told.contains(wanted), "{line}: {told}");
        assert!(told.contains("poly2mqtt.toml:4"), "{line}: {told}");
    }
    for (line, wanted) in [
        ("topic_prefix = \"a/#\"", "without wildcards"),
        ("session_expiry = \"10\"", "a duration"),
        ("max_payload = \"1TiB\"", "a size from"),
        ("url = \"mqtt://u:p@h\"", "username and password_file"),
        ("url = \"embedded://0.0.0.0:1883\"", "[[mqtt.user]]"),
        ("username = \"u\"", "[[mqtt.user]]"),
        (
            "url = \"mqtt://h\"\nca_file = \"/etc/hostname\"",
            "mqtts://",
        ),
        (
            "url = \"mqtts://h\"\nclient_cert_file = \"/etc/hostname\"",
            "belong together",
        ),
        ("url = \"mqtt://h\"\ncertificate = \"system\"", "mqtts://"),
        ("url = \"mqtt://h\"\nalpn = [\"mqtt\"]", "mqtts://"),
        ("url = \"mqtts://h\"\nalpn = [true]", "a list of texts"),
        ("url = \"mqtts://h\"\nalpn = [\"\"]", "1 to 255 bytes"),
        (
            "url = \"mqtts://h\"\ncertificate = \"insecure\"",
            "64 hexadecimal digits, or \"system\"",
        ),
        (
            "url = \"mqtts://h\"\ncertificate = \"system\"\nca_file = \"/etc/hostname\"",
            "certificate is set too",
        ),
        (
            "[[mqtt.user]]\nname = \"p\"\npassword = \"x\"\nrooms = [\"9\"]",
            "not configured",
        ),
        (
            "[[mqtt.user]]\nname = \"p\"\npassword = \"x\"\n[[mqtt.user]]\nname = \"p\"\npassword = \"y\"",
            "mqtt.user: \"p\" is there twice",
        ),
        (
            "[[mqtt.user]]\nname = \"gateway:\"\npassword = \"x\"",
            "mqtt.user.0.name: takes no colon",
        ),
        (
            "[[mqtt.user]]\npassword = \"x\"\naccess = \"all\"",
            "mqtt.user.0.access: takes \"read\" or \"control\"",
        ),
    ] {
        let told = errors(&format!("[mqtt]\n{line}\n{ROOM}"));
        assert!(told.contains(wanted), "{line}: {told}");
    }
    for (line, wanted) in [
        ("hosts = [\"av.example.com:80\"]", "names without a port"),
        ("hosts = [\"a..b\"]", "names without a port"),
        ("hosts = [\"ü.de\"]", "send \"ü.de\" as \"xn--tda.de\""),
        ("trusted_proxies = [\"proxy\"]", "addresses or networks"),
        (
            "trusted_proxies = [\"10.0.0.0/33\"]",
            "addresses or networks",
        ),
    ] {
        let told = errors(&format!("[http]\n{line}\n{ROOM}"));
        assert!(told.contains(wanted), "{line}: {told}");
        assert!(told.contains("poly2mqtt.toml:2"), "{line}: {told}");
    }
    for (line, wanted) in [
        ("discovery = \"perhaps\"", "true or false"),
        ("prefix = \"a/+\"", "without wildcards"),
        ("prefix = \"room/x\"", "below room/ or gateway/"),
        (
            "status_topic = \"gateway/status\"",
            "below room/ or gateway/",
        ),
        ("prefx = \"x\"", "did you mean \"prefix\"?"),
    ] {
        let told = errors(&format!("[home_assistant]\n{line}\n{ROOM}"));
        assert!(told.contains(wanted), "{line}: {told}");
        assert!(told.contains("poly2mqtt.toml:2"), "{line}: {told}");
    }
    assert!(
        errors("[rooms.\"a b\"]\nurl = \"https://x\"\npassword = \"x\"\n")
            .contains("letters, digits")
    );
}

#[test]
fn what_is_allowed_but_unwise_is_a_warning() {
    let warnings = |text: &str| read_with(text, &[]).unwrap().warnings.join("\n");
    assert!(warnings("").contains("no rooms"));
    assert!(warnings(ROOM).contains("stays offline"));
    assert!(warnings(&format!("{ROOM}certificate = \"insecure\"\n")).contains("any certificate"));
    let twice = format!("{ROOM}{}", ROOM.replace("rooms.1", "rooms.2"));
    assert!(warnings(&twice).contains("the same url"));
}

#[test]
fn no_secret_is_ever_shown() {
    let broken = format!("[rooms.1]\npassword = \"{CANARY}\" oops\n");
    let wrong = format!(
        "[mqtt]\nurl = \"mqtt://u:{CANARY}@h\"\npassword = [\"{CANARY}\"]\n[rooms.1]\nurl = \"https://u:{CANARY}@h\"\npassword = {{ a = \"{CANARY}\" }}\nuser = 3.5\n"
    );
    for text in [&broken, &wrong] {
        let told = errors(text);
        assert!(!told.contains(CANARY), "{told}");
        assert!(!format!("{:?}", read_with(text, &[]).unwrap_err()).contains(CANARY));
    }
    assert!(errors(&broken).contains("poly2mqtt.toml:2: not TOML"));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    fs::write(&file, format!("{CANARY}\r\n")).unwrap();
    let good = format!(
        "[mqtt]\nurl = \"mqtt://h\"\nusername = \"u\"\npassword = \"{CANARY}\"\n[rooms.1]\nurl = \"https://h\"\npassword_file = \"{}\"\n",
        file.display()
    );
    let loaded = read_with(&good, &[]).unwrap();
    assert_eq!(loaded.config.rooms["1"].password.expose(), CANARY);
    let shown = format!("{loaded:?} {}", loaded.config.redacted());
    assert!(!shown.contains(CANARY), "{shown}");
}

#[test]
fn the_file_is_looked_for_in_order() {
    let found = |asked: Option<&str>, variable: Option<&str>| {
        locate(asked.map(Path::new), variable.map(OsStr::new)).unwrap()
    };
    assert_eq!(found(Some("a"), Some("b")), Some(PathBuf::from("a")));
    assert_eq!(found(None, Some("b")), Some(PathBuf::from("b")));
    // Tests run where there is no configuration.
    assert_eq!(found(None, Some("")), None);
    assert_eq!(found(None, None), None);
    let told = load("/nowhere/x.toml".as_ref(), [])
        .unwrap_err()
        .to_string();
    assert!(told.contains("/nowhere/x.toml: cannot be read"), "{told}");
}

/// `src/config/server_url.rs` has all forms.
#[test]
fn addresses_that_can_be_read_in_two_ways_are_refused_at_rooms_and_broker() {
    for address in ["127.0.0.010", "0x7f.1", "127.1", "2130706433", "127.0.0.1."] {
        for (text, key) in [
            (
                format!("[rooms.1]\nurl = \"https://{address}\"\npassword = \"456\"\n"),
                "rooms.1.url",
            ),
            (format!("[mqtt]\nurl = \"mqtt://{address}\"\n"), "mqtt.url"),
            (
                format!("[mqtt]\nurl = \"mqtts://{address}:8883\"\n"),
                "mqtt.url",
            ),
            (
                format!("[mqtt]\nurl = \"embedded://{address}\"\n"),
                "mqtt.url",
            ),
        ] {
            let told = errors(&text);
            let wanted =
                format!("poly2mqtt.toml:2: {key}: takes an IPv4 address as four decimal numbers");
            assert!(told.contains(&wanted), "{text}{told}");
        }
    }
    let pin = format!("sha256:{}", "ab".repeat(32));
    let text = format!("[mqtt]\nurl = \"mqtts://broker\"\ncertificate = \"{pin}\"\n{ROOM}");
    let config = read(&text).unwrap();
    assert_eq!(config.mqtt.certificate, Some(Fingerprint([0xab; 32])));
}

#[test]
fn a_room_names_some_settings_and_not_many() {
    let text = |more: &str| format!("{ROOM}{more}\n");
    let names = |count: usize| {
        let names = (0..count).map(|n| format!("\"a.b{n}\""));
        format!("settings = [{}]", names.collect::<Vec<_>>().join(", "))
    };
    let told = errors(&text(&names(51)));
    assert!(told.contains("names 51 settings; at most 50"), "{told}");
    let config = read(&text(&names(50))).unwrap();
    let (_, room) = config.rooms.first_key_value().unwrap();
    assert_eq!(room.settings.len(), 50);
    assert_eq!(room.settings[49], "a.b49");
    let by_variable = [("POLY2MQTT_ROOMS__1__SETTINGS", "a.b, c.d")];
    let config = read_with(ROOM, &by_variable).unwrap().config;
    let (_, room) = config.rooms.first_key_value().unwrap();
    assert_eq!(room.settings, ["a.b", "c.d"]);
    let defaults = format!("[defaults]\nsettings = [\"a.b\"]\n{ROOM}");
    let config = read(&defaults).unwrap();
    let (_, room) = config.rooms.first_key_value().unwrap();
    assert_eq!(room.settings, ["a.b"]);
}
