//! The id by which a gateway knows its own messages at a broker.
//!
//! It is made from the MQTT client id: a broker lets only one client have each, and a gateway keeps
//! it over restarts without a file. The client id itself is not told to those who read messages,
//! since at many brokers whoever knows it can take the gateway's place.

use std::fmt;

use ring::digest::{SHA256, digest};

/// How many bytes of the digest an id has: no two gateways of one site have the same by chance.
const ID_BYTES: usize = 6;

/// The id of a gateway: twelve hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GatewayId(String);

impl GatewayId {
    /// Of the gateway with this MQTT client id.
    pub fn of_client(client_id: &str) -> Self {
        let digest = digest(&SHA256, format!("poly2mqtt gateway {client_id}").as_bytes());
        let bytes = digest.as_ref().iter().take(ID_BYTES);
        Self(bytes.map(|byte| format!("{byte:02x}")).collect())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_always_the_same_and_differs_from_others() {
        let ids = ["poly2mqtt", "poly2mqtt-av", ""].map(GatewayId::of_client);
        assert_eq!(ids[0], GatewayId::of_client("poly2mqtt"));
        assert!(ids[0] != ids[1] && ids[1] != ids[2]);
        for id in ids {
            assert_eq!(id.as_str().len(), 12, "{id}");
            assert!(id.as_str().chars().all(|c| c.is_ascii_hexdigit()), "{id}");
        }
    }
}
