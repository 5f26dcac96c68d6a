//! The configured tokens, as they are kept in memory.
//!
//! Only digests are kept, so a token can be compared but never shown.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::config::{AccessLevel, HttpConfig, HttpToken, RoomId};
use crate::secret::SecretDigest;

/// One `[[http.token]]`.
#[derive(Debug, PartialEq, Eq)]
pub struct Token {
    /// Its name in the configuration, for messages.
    pub name: String,
    /// The rooms it is for; `None` for all.
    pub rooms: Option<BTreeSet<Arc<str>>>,
    /// What it permits in them.
    pub level: AccessLevel,
    pub(super) digest: SecretDigest,
}

impl Token {
    fn new(token: &HttpToken) -> Self {
        let rooms = token.rooms.as_ref();
        Self {
            name: token.name.clone(),
            rooms: rooms.map(|rooms| rooms.iter().map(RoomId::shared).collect()),
            level: token.level,
            digest: SecretDigest::of(token.token.expose().as_bytes()),
        }
    }
}

/// All tokens of a configuration.
pub fn configured(http: &HttpConfig) -> Vec<Arc<Token>> {
    let tokens = http.tokens.iter();
    tokens.map(|token| Arc::new(Token::new(token))).collect()
}

/// The token with this text. Compares with every token, each in constant time, so that the time it
/// takes tells an attacker nothing.
pub fn find(tokens: &[Arc<Token>], text: &str) -> Option<Arc<Token>> {
    let digest = SecretDigest::of(text.as_bytes());
    let mut found = None;
    for token in tokens {
        if token.digest == digest {
            found = Some(token.clone());
        }
    }
    found
}
