//! What is wrong only in one place of the configuration: ports, and times as TOML has them.
use super::{ROOM, errors, read};

#[test]
fn two_listeners_do_not_share_a_port() {
    let text = |mqtt: &str, http: &str, tcp: &str| {
        format!(
            "[mqtt]\nurl = \"embedded://{mqtt}\"\n[http]\nlisten = \"{http}\"\nopen = true\n\
             [tcp]\nlisten = \"{tcp}\"\n{ROOM}"
        )
    };
    let (a, b, c) = ("127.0.0.1:1883", "127.0.0.1:8080", "127.0.0.1:2323");
    for (mqtt, http, tcp, wanted) in [
        (a, a, c, "http.listen: has the port of mqtt.url"),
        (a, b, a, "tcp.listen: has the port of mqtt.url"),
        (a, b, b, "tcp.listen: has the port of http.listen"),
        (
            a,
            "0.0.0.0:1883",
            c,
            "http.listen: has the port of mqtt.url",
        ),
        (a, b, "[::]:8080", "tcp.listen: has the port of http.listen"),
    ] {
        let told = errors(&text(mqtt, http, tcp));
        assert!(told.contains(wanted), "{told}");
    }
    for (http, tcp) in [
        (b, c),
        ("127.0.0.2:1883", "[::1]:1883"),
        ("127.0.0.1:0", "127.0.0.1:0"),
    ] {
        assert!(read(&text(a, http, tcp)).is_ok(), "{http} {tcp}");
    }
}

#[test]
fn a_time_without_quotes_is_called_so() {
    let told = errors(&format!("{ROOM}readiness = 06:30:00\n"));
    assert!(told.contains("not a time or date without quotes"), "{told}");
}
