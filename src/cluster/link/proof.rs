//! How two gateways show each other that they have the cluster's token, without sending it.
//!
//! The store says whom to dial, and somebody without the token may be able to write to it. So the gateway that was
//! dialled proves first that it has the token, and that it is the member that was meant, at the
//! address that was dialled: nobody in between can pass the proof of another one on. Only then the other one proves
//! itself. Each proof is over random texts of both sides, so none is good a second time. Sends nothing.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use parking_lot::Mutex;
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};

use crate::secret::{NoRandomNumbers, random_bytes};

/// Where a member proves itself to another one, before that one sends a request over the same connection.
pub const PROOF_PATH: &str = "/cluster/proof";
/// The header with the random text of the side that sends it.
pub const NONCE_HEADER: &str = "x-poly2mqtt-nonce";
/// The header with the proof of the side that sends it.
pub const PROOF_HEADER: &str = "x-poly2mqtt-proof";

/// Random bytes in a nonce.
const NONCE_LENGTH: usize = 32;
/// The longest nonce of another member: one has 43 characters.
const LONGEST_NONCE: usize = 64;
/// Tells these proofs from whatever else is made with the same token, and their versions from each other.
const PURPOSE: &str = "poly2mqtt link 1";

/// What both sides of one connection say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The random text of the one that has dialled.
    pub dialer_nonce: String,
    /// The random text of the one that was dialled.
    pub door_nonce: String,
}

/// The member that was dialled.
#[derive(Debug, Clone, Copy)]
pub struct Dialled<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its address, as the store names it and its configuration does.
    pub advertise: &'a str,
}

/// Makes and checks proofs. Debug shows nothing.
#[derive(Clone)]
pub struct TokenProof(hmac::Key);

impl std::fmt::Debug for TokenProof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenProof").finish_non_exhaustive()
    }
}

impl TokenProof {
    /// Of this token.
    pub fn new(token: &SecretString) -> Self {
        let token = token.expose_secret().as_bytes();
        Self(hmac::Key::new(hmac::HMAC_SHA256, token))
    }

    /// The proof of the member that was dialled.
    pub fn of_door(&self, exchange: &Exchange, door: Dialled<'_>) -> String {
        self.sign(&said("door", exchange, door, ""))
    }

    /// Whether that is right.
    pub fn is_of_door(&self, proof: &str, exchange: &Exchange, door: Dialled<'_>) -> bool {
        self.is_right(proof, &said("door", exchange, door, ""))
    }

    /// The proof of the member `name` that has dialled.
    pub fn of_dialer(&self, exchange: &Exchange, door: Dialled<'_>, name: &str) -> String {
        self.sign(&said("dialer", exchange, door, name))
    }

    /// Whether that is right.
    pub fn is_of_dialer(
        &self,
        proof: &str,
        exchange: &Exchange,
        door: Dialled<'_>,
        name: &str,
    ) -> bool {
        self.is_right(proof, &said("dialer", exchange, door, name))
    }

    fn sign(&self, said: &[u8]) -> String {
        STANDARD_NO_PAD.encode(hmac::sign(&self.0, said))
    }

    fn is_right(&self, proof: &str, said: &[u8]) -> bool {
        let proof = STANDARD_NO_PAD.decode(proof);
        proof.is_ok_and(|proof| hmac::verify(&self.0, said, &proof).is_ok())
    }
}

/// What a proof is over. Each part begins with its length, so that no two are the same together.
fn said(side: &str, exchange: &Exchange, door: Dialled<'_>, dialer: &str) -> Vec<u8> {
    let mut said = Vec::new();
    for part in [
        PURPOSE,
        side,
        &exchange.dialer_nonce,
        &exchange.door_nonce,
        door.name,
        door.advertise,
        dialer,
    ] {
        said.extend((part.len() as u64).to_be_bytes());
        said.extend(part.as_bytes());
    }
    said
}

/// A random text that nobody has seen before.
///
/// # Errors
/// The system gives no random numbers.
pub fn nonce() -> Result<String, NoRandomNumbers> {
    Ok(STANDARD_NO_PAD.encode(random_bytes::<NONCE_LENGTH>()?))
}

/// Whether another member's nonce is one.
pub fn is_nonce(text: &str) -> bool {
    (1..=LONGEST_NONCE).contains(&text.len())
}

/// The exchange that has begun on a connection: one for each connection, and good for one request.
#[derive(Debug, Clone, Default)]
pub struct BegunExchange(Arc<Mutex<Option<Exchange>>>);

impl BegunExchange {
    /// It has begun.
    pub fn begin(&self, exchange: Exchange) {
        *self.0.lock() = Some(exchange);
    }

    /// Ends it.
    pub fn take(&self) -> Option<Exchange> {
        let mut begun = self.0.lock();
        begun.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOOR: Dialled<'_> = Dialled {
        name: "gw-1",
        advertise: "http://10.0.0.1:8080/",
    };

    fn exchange() -> Exchange {
        Exchange {
            dialer_nonce: nonce().unwrap(),
            door_nonce: nonce().unwrap(),
        }
    }

    #[test]
    fn a_proof_is_good_for_its_own_exchange_side_member_and_address_alone() {
        let token = TokenProof::new(&"a long random text".to_owned().into());
        let (this, other) = (exchange(), exchange());
        let door = token.of_door(&this, DOOR);
        assert!(token.is_of_door(&door, &this, DOOR));
        assert!(!token.is_of_door(&door, &other, DOOR));
        // What somebody in between has passed on: it was dialled at another address, or under another name.
        let relay = Dialled {
            advertise: "http://10.0.0.9:8080/",
            ..DOOR
        };
        assert!(!token.is_of_door(&door, &this, relay));
        assert!(!token.is_of_door(&door, &this, Dialled { name: "x", ..DOOR }));
        // What one side says proves nothing of the other.
        assert!(!token.is_of_dialer(&door, &this, DOOR, ""));
        let dialer = token.of_dialer(&this, DOOR, "gw-2");
        assert!(token.is_of_dialer(&dialer, &this, DOOR, "gw-2"));
        assert!(!token.is_of_dialer(&dialer, &this, DOOR, "gw-3"));
        assert!(!token.is_of_dialer(&dialer, &this, relay, "gw-2"));
        let another = TokenProof::new(&"another long text".to_owned().into());
        assert!(!another.is_of_door(&door, &this, DOOR));
        assert!(!token.is_of_door("", &this, DOOR) && !token.is_of_door("!", &this, DOOR));
    }

    #[test]
    fn an_exchange_is_good_for_one_request() {
        let begun = BegunExchange::default();
        assert_eq!(begun.take(), None);
        let exchange = exchange();
        begun.begin(exchange.clone());
        assert_eq!(begun.take(), Some(exchange));
        assert_eq!(begun.take(), None);
    }
}
