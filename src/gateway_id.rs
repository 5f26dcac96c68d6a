//! The id by which a gateway knows its own messages at a broker.
//!
//! It is made from the MQTT client id: a broker lets only one client have each, and a gateway keeps
//! it over restarts without a file. The client id itself is not told to those who read messages,
//! since at many brokers whoever knows it can take the gateway's place. Also has the words for whose a message
//! is, and makes the part of other ids in which two gateways differ by their topic prefixes.

use std::fmt;

use crate::digest::hex_digest;

/// How many bytes of the digest an id has: no two gateways of one site have the same by chance.
const ID_BYTES: usize = 6;

/// How many bytes of the digest of a topic prefix are used; a site has few prefixes.
const PREFIX_DIGEST_BYTES: usize = 3;

/// The id of a gateway: twelve hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GatewayId(String);

impl GatewayId {
    /// The id of the gateway with this MQTT client id.
    pub fn of_client(client_id: &str) -> Self {
        let text = format!("poly2mqtt gateway {client_id}");
        Self(hex_digest(text.as_bytes(), ID_BYTES))
    }

    /// Whether a text has the form of an id.
    pub fn is_one(text: &str) -> bool {
        text.len() == 2 * ID_BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    }

    /// As it is written in messages.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GatewayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which gateway has published a message at the broker, as the message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageOwner {
    /// This one, in this or an earlier run.
    ThisGateway,
    /// Another one.
    AnotherGateway,
    /// The message does not say: it is of another program, of a person, or of a gateway of a version
    /// that did not mark its messages.
    Unknown,
}

/// A topic prefix as a part of an id in which only the characters that `fits` names may stand. A prefix of such
/// characters stays as it is. In any other, `-` stands for those that do not fit, and digits at the end tell it
/// from other prefixes: `a/b` and `a-b` are two gateways.
pub fn prefix_in_id(prefix: &str, fits: impl Fn(char) -> bool) -> String {
    if prefix.chars().all(&fits) {
        return prefix.to_owned();
    }
    let fitting = |c: char| [c, c.to_ascii_lowercase()].into_iter().find(|c| fits(*c));
    let text: String = prefix.chars().map(|c| fitting(c).unwrap_or('-')).collect();
    let prefix = format!("poly2mqtt prefix {prefix}");
    let digits = hex_digest(prefix.as_bytes(), PREFIX_DIGEST_BYTES);
    format!("{text}-{digits}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_prefixes_never_give_the_same_part_of_an_id() {
        let prefixes = [
            "a/b", "a-b", "a_b", "a.b", "a b", "A/b", "A-b", "ä/b", "ü/b", "a/b/c", "a-b/c",
            "a/b-c", "a--b", "a//b", "a-b-c",
        ];
        let of_client = |c: char| c != '/';
        let of_device = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '_' | '-');
        for (one, other) in prefixes
            .iter()
            .flat_map(|one| prefixes.map(|other| (*one, other)))
        {
            let parts = |prefix| {
                [
                    prefix_in_id(prefix, of_client),
                    prefix_in_id(prefix, of_device),
                ]
            };
            for (a, b) in parts(one).into_iter().zip(parts(other)) {
                assert_eq!(a == b, one == other, "{one} {other} {a} {b}");
            }
            assert!(prefix_in_id(one, of_device).chars().all(of_device), "{one}");
        }
        assert_eq!(prefix_in_id("a-b", of_device), "a-b");
        assert!(prefix_in_id("Av/x", of_device).starts_with("av-x-"));
        assert!(prefix_in_id("Av/x", of_client).starts_with("Av-x-"));
    }

    #[test]
    fn an_id_is_always_the_same_and_differs_from_others() {
        let ids = ["poly2mqtt", "poly2mqtt-av", ""].map(GatewayId::of_client);
        assert_eq!(ids[0], GatewayId::of_client("poly2mqtt"));
        assert!(ids[0] != ids[1] && ids[1] != ids[2]);
        for id in ids {
            assert_eq!(id.as_str().len(), 12, "{id}");
            assert!(id.as_str().chars().all(|c| c.is_ascii_hexdigit()), "{id}");
            assert!(GatewayId::is_one(id.as_str()), "{id}");
        }
    }
}
