//! Who may see and do what, at every door but the broker's.
//!
//! Owns the tokens (as digests; the tokens themselves are not kept) and what each permits. Knows
//! no transport: a door hands over what it was shown. No token is ever written anywhere.

mod attempts;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::watch;

use crate::command::Authority;
use crate::config::{AccessLevel, HttpConfig, RoomId};
use attempts::Attempts;

type Digest = [u8; 32];

/// A token as it is kept.
#[derive(Debug, PartialEq, Eq)]
struct Token {
    name: String,
    digest: Digest,
    rooms: Option<BTreeSet<Arc<str>>>,
    level: AccessLevel,
}

/// What somebody may see and do.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Nothing where no tokens are configured: anyone who gets here may do what MQTT clients may.
    token: Option<Arc<Token>>,
}

impl Grant {
    /// Whether a room is shown.
    pub fn sees(&self, room: &str) -> bool {
        let rooms = self.token.as_ref().and_then(|token| token.rooms.as_ref());
        rooms.is_none_or(|rooms| rooms.contains(room))
    }

    /// Whether a topic is shown: those about the gateway always are.
    pub fn sees_topic(&self, topic: &str) -> bool {
        let Some(below) = topic.strip_prefix("room/") else {
            return true;
        };
        self.sees(below.split('/').next().unwrap_or(below))
    }

    /// With which authority commands go to a room.
    ///
    /// # Errors
    /// Why none may be sent.
    pub fn authority(&self, room: &str) -> Result<Authority, String> {
        let Some(token) = &self.token else {
            return Ok(Authority::RoomAllows);
        };
        if !self.sees(room) {
            return Err(format!(
                "the token \"{}\" is not for room \"{room:.64}\"",
                token.name
            ));
        }
        match token.level {
            AccessLevel::Admin => Ok(Authority::Admin),
            AccessLevel::Control => Ok(Authority::Ordinary),
            AccessLevel::Read => Err(format!(
                "the token \"{}\" has access = \"read\": it sees states and sends nothing",
                token.name
            )),
        }
    }
}

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// No token was shown, and one is needed.
    Missing,
    /// A wrong one.
    Wrong,
    /// So many wrong ones that this one was not even looked at.
    TooOften,
}

/// Tells when the tokens change.
#[derive(Debug)]
pub struct Changes(watch::Receiver<Vec<Arc<Token>>>);

impl Changes {
    /// Waits for the next change; for ever, once there will be none.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

/// The tokens of now, and who showed wrong ones.
#[derive(Debug)]
pub struct Access {
    tokens: watch::Sender<Vec<Arc<Token>>>,
    attempts: Attempts,
}

impl Access {
    /// The tokens of a configuration.
    pub fn new(http: &HttpConfig) -> Self {
        Self {
            tokens: watch::Sender::new(tokens(http)),
            attempts: Attempts::default(),
        }
    }

    /// Takes over the tokens of another configuration.
    pub fn reload(&self, http: &HttpConfig) {
        let new = tokens(http);
        self.tokens.send_if_modified(|old| {
            let changed = *old != new;
            *old = new;
            changed
        });
    }

    /// Told when the tokens change.
    pub fn changes(&self) -> Changes {
        Changes(self.tokens.subscribe())
    }

    /// Whether a grant is still what the configuration says.
    pub fn still_holds(&self, grant: &Grant) -> bool {
        let tokens = self.tokens.borrow();
        match &grant.token {
            None => tokens.is_empty(),
            Some(token) => tokens.contains(token),
        }
    }

    /// Whether anybody needs a token.
    pub fn is_open(&self) -> bool {
        self.tokens.borrow().is_empty()
    }

    /// What the bearer of this token may do. A wrong one is answered late, ever later.
    ///
    /// # Errors
    /// Why it opens nothing.
    pub async fn admit(&self, peer: IpAddr, shown: Option<&str>) -> Result<Grant, Denied> {
        if self.is_open() {
            return Ok(Grant { token: None });
        }
        let shown = shown.ok_or(Denied::Missing)?;
        if self.attempts.too_many(peer) {
            return Err(Denied::TooOften);
        }
        let digest = digest(shown);
        let mut found = None;
        // All are compared, each in constant time: how long it takes tells nothing.
        for token in self.tokens.borrow().iter() {
            if same(&token.digest, &digest) {
                found = Some(token.clone());
            }
        }
        if found.is_none() {
            self.attempts.failed(peer).await;
        }
        found
            .map(|token| Grant { token: Some(token) })
            .ok_or(Denied::Wrong)
    }
}

fn tokens(http: &HttpConfig) -> Vec<Arc<Token>> {
    let token = |token: &crate::config::HttpToken| {
        let rooms = token.rooms.as_ref();
        Arc::new(Token {
            name: token.name.clone(),
            digest: digest(token.token.expose()),
            rooms: rooms.map(|rooms| rooms.iter().map(RoomId::shared).collect()),
            level: token.level,
        })
    };
    http.tokens.iter().map(token).collect()
}

fn digest(text: &str) -> Digest {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    let mut bytes = Digest::default();
    bytes.copy_from_slice(digest.as_ref());
    bytes
}

fn same(one: &Digest, other: &Digest) -> bool {
    let differ = one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b));
    std::hint::black_box(differ) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{HttpToken, Secret};

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn http(tokens: &[(&str, AccessLevel, Option<&str>)]) -> HttpConfig {
        let token = |(text, level, room): &(&str, AccessLevel, Option<&str>)| HttpToken {
            name: (*text).to_owned(),
            token: Secret::new(*text),
            rooms: room.map(|room| vec![RoomId::new(room).unwrap()]),
            level: *level,
        };
        HttpConfig {
            tokens: tokens.iter().map(token).collect(),
            ..HttpConfig::default()
        }
    }

    #[tokio::test]
    async fn tokens_open_what_they_are_for() {
        let access = Access::new(&http(&[
            ("reads", AccessLevel::Read, None),
            ("controls", AccessLevel::Control, Some("1")),
            ("administers", AccessLevel::Admin, None),
        ]));
        let admit = async |token| access.admit(PEER, Some(token)).await;
        let reads = admit("reads").await.unwrap();
        assert!(reads.sees("2") && reads.authority("2").unwrap_err().contains("read"));
        let controls = admit("controls").await.unwrap();
        assert_eq!(controls.authority("1"), Ok(Authority::Ordinary));
        assert!(
            controls
                .authority("2")
                .unwrap_err()
                .contains("not for room")
        );
        assert!(controls.sees_topic("room/1/audio/volume"));
        assert!(controls.sees_topic("gateway/info"));
        assert!(!controls.sees_topic("room/2/audio/volume"));
        assert!(!controls.sees_topic("room/11"));
        let administers = admit("administers").await.unwrap();
        assert_eq!(administers.authority("1"), Ok(Authority::Admin));
        assert_eq!(admit("read").await.unwrap_err(), Denied::Wrong);
        assert_eq!(access.admit(PEER, None).await.unwrap_err(), Denied::Missing);
    }

    #[tokio::test]
    async fn without_tokens_anyone_may_do_what_the_rooms_allow() {
        let access = Access::new(&http(&[]));
        let grant = access.admit(PEER, Some("whatever")).await.unwrap();
        assert_eq!(grant.authority("1"), Ok(Authority::RoomAllows));
    }

    #[tokio::test]
    async fn a_grant_ends_when_its_token_changes() {
        let access = Access::new(&http(&[
            ("a", AccessLevel::Read, None),
            ("b", AccessLevel::Read, None),
        ]));
        let (a, b) = (
            access.admit(PEER, Some("a")).await.unwrap(),
            access.admit(PEER, Some("b")).await.unwrap(),
        );
        let mut changes = access.changes();
        access.reload(&http(&[
            ("b", AccessLevel::Read, None),
            ("a", AccessLevel::Admin, None),
        ]));
        changes.next().await;
        assert!(!access.still_holds(&a) && access.still_holds(&b));
        access.reload(&http(&[
            ("b", AccessLevel::Read, None),
            ("a", AccessLevel::Admin, None),
        ]));
        assert!(!changes.0.has_changed().unwrap());
    }
}
