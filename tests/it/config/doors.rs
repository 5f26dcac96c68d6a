//! `[http]`, its tokens and `[tcp]`.

use super::*;

const TOKEN: &str = "[[http.token]]\nname = \"panel\"\ntoken = \"0123456789abcdef\"\n";

#[test]
fn the_doors_are_set_up() {
    let config = read(ROOM).unwrap();
    assert_eq!(config.http, HttpConfig::default());
    assert_eq!(config.http.listen, Some(([127, 0, 0, 1], 8080).into()));
    assert_eq!(config.tcp.listen, None);
    let text = format!(
        "[mqtt]\nurl = \"off\"\n[http]\nlisten = \"0.0.0.0:80\"\nhosts = [\"av.example.com\"]\n\
         {TOKEN}rooms = [\"1\"]\naccess = \"read\"\n[tcp]\nlisten = \"0.0.0.0:7000\"\n{ROOM}"
    );
    let loaded = read_with(&text, &[]).unwrap();
    let (config, warnings) = (loaded.config, loaded.warnings.join("\n"));
    assert_eq!(config.mqtt.url, BrokerUrl::Off);
    assert_eq!(config.http.tokens[0].level, AccessLevel::Read);
    assert_eq!(config.tcp.listen, Some(([0, 0, 0, 0], 7000).into()));
    assert!(warnings.contains("without TLS"), "{warnings}");
    let shown = config.redacted().to_string();
    assert!(
        shown.contains("\"name\":\"panel\"") && !shown.contains("0123456789"),
        "{shown}"
    );
    assert!(!format!("{config:?}").contains("0123456789"));
    let off = read(&format!("[http]\nlisten = \"off\"\n{ROOM}")).unwrap();
    assert_eq!(off.http.listen, None);
    let open = "[http]\nlisten = \"0.0.0.0:80\"\nopen = true\n";
    assert!(read(&format!("{open}{ROOM}")).is_ok());
    for (lines, wanted) in [
        ("[http]\nlisten = \"8080\"", "takes ADDRESS:PORT"),
        (
            "[http]\nlisten = \"0.0.0.0:80\"",
            "needs [[http.token]], or http.open",
        ),
        (
            "[tcp]\nlisten = \"0.0.0.0:7000\"",
            "tcp.listen: listening beyond this machine",
        ),
        ("[tcp]\ntls = true", "needs http.tls_cert_file"),
        (
            "[http]\ntls_cert_file = \"/etc/hostname\"",
            "belong together",
        ),
        (
            "[http]\ntls_cert_file = \"/nowhere\"\ntls_key_file = \"/x\"",
            "is not a file",
        ),
        ("[http]\ntokn = 1", "did you mean \"token\"?"),
        ("[[http.token]]\nname = \"p\"", "give token or token_file"),
        (
            "[[http.token]]\ntoken = \"x\"\nacces = \"read\"",
            "did you mean \"access\"?",
        ),
        (
            &format!("{TOKEN}access = \"all\""),
            "\"read\", \"control\" or \"admin\"",
        ),
        (
            &format!("{TOKEN}rooms = [\"9\"]"),
            "entry 1 names a room that is not configured; configured are \"1\"",
        ),
        (
            &format!(
                "[rooms.lab]\nurl = \"https://x\"\npassword = \"x\"\n{TOKEN}rooms = [\"1\", \"Lab\"]"
            ),
            "entry 2 names a room that is not configured; configured are \"1\", \"lab\"",
        ),
        // Nothing like it is known.
        (
            "[defaults]\nurl = \"https://x\"",
            "unknown key; known here are user,",
        ),
        ("[defaults]\nusr = \"x\"", "did you mean \"user\"?"),
        (&format!("{TOKEN}{TOKEN}"), "the token of another"),
    ] {
        let told = errors(&format!("{lines}\n{ROOM}"));
        assert!(told.contains(wanted), "{lines}: {told}");
        assert!(!told.contains("0123456789"), "{told}");
    }
}
