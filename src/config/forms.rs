//! Regular expressions for the forms of texts, for the JSON Schema.
//!
//! Each describes what a parser of this folder takes, in the usual spelling: an editor may only complain of what the
//! parser refuses. Pure text, in the common part of ECMA-262 and Rust's syntax: no look-around, no anchors. The
//! reader never matches them: parsers have better messages. `tests/schema.rs` compares the two.

/// The characters of a host name that are no digits and no dots: those that URL parsers take.
const NAME_CHARACTER: &str = r#"[!"$&-\-;=A-Z_`a-z{}~]"#;
/// The characters of a host name, with digits and dots.
const NAME_CHARACTERS: &str = r#"[!"$&-.0-9;=A-Z_`a-z{}~]*"#;
/// A part of an IPv4 address, 0 to 255 without leading zeros.
const BYTE: &str = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";
/// A port from 1 to 65535.
const PORT: &str =
    "0*([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])";
/// The letters of an IPv6 address, which may end in an IPv4 address.
const IPV6: &str = "[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*";

fn ipv4() -> String {
    format!(r"{BYTE}(\.{BYTE}){{3}}")
}

/// A host that cannot be read in two ways, as `server_url` takes it.
fn host() -> String {
    format!(
        r"({}|\[{IPV6}\]|[0-9.]*{NAME_CHARACTER}{NAME_CHARACTERS})",
        ipv4()
    )
}

/// The `url` of a device.
pub fn device_url() -> String {
    format!("https://{}(:{PORT})?/?", host())
}

/// The `url` of a broker.
pub fn broker_url() -> String {
    let listen = format!(r"({}|\[{IPV6}\]|localhost)(:(0+|{PORT}))?", ipv4());
    format!("off|embedded://{listen}/?|mqtts?://{}(:{PORT})?/?", host())
}

/// An address and a port to listen on, or `off`.
pub fn listen() -> String {
    format!(
        r"off|({}|\[{IPV6}(%[0-9]+)?\]|localhost):(0+|{PORT})",
        ipv4()
    )
}

/// A network, or one address.
pub fn network() -> String {
    format!(
        "{}(/0*(3[0-2]|[12]?[0-9]))?|{IPV6}(/0*(12[0-8]|1[01][0-9]|[1-9]?[0-9]))?",
        ipv4()
    )
}

/// A host name without a port.
pub fn host_name() -> String {
    let label = "[A-Za-z0-9_-]+";
    format!("{label}(\\.{label})*\\.?")
}

/// `sha256:` and a certificate's fingerprint.
fn fingerprint() -> &'static str {
    "sha256:(:*[0-9A-Fa-f]){64}:*"
}

/// The `certificate` of a broker.
pub fn broker_certificate() -> String {
    format!("system|{}", fingerprint())
}

/// The `certificate` of a device.
pub fn device_certificate() -> String {
    format!("system|insecure|{}", fingerprint())
}

/// A time of day, or `off`.
pub fn time_of_day() -> String {
    "off|([01]?[0-9]|2[0-3]):[0-5][0-9]".into()
}

/// Levels of a topic without wildcards.
pub fn topic_levels() -> String {
    r"[^+#/$\x00]([^+#\x00]*[^+#/\x00])?".into()
}

/// Levels of a topic, or nothing.
pub fn topic_prefix() -> String {
    format!("({})?", topic_levels())
}

/// A secret: something besides blanks.
pub fn secret() -> String {
    r"[\s\S]*\S[\s\S]*".into()
}

/// A token, which has no blanks at its ends.
pub fn token() -> String {
    r"\S([\s\S]*\S)?".into()
}

/// The id of a room.
pub fn room_id() -> String {
    "[A-Za-z0-9_-]+".into()
}

/// The name of a setting of a device.
pub fn setting_name() -> String {
    r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+".into()
}

/// The name of a protocol in TLS.
pub fn alpn_name() -> String {
    r"[\s\S]{1,255}".into()
}

/// The name of a preset: 1 to 64 characters between blanks.
pub fn preset_name() -> String {
    r"\s*\S([\s\S]{0,62}\S)?\s*".into()
}
