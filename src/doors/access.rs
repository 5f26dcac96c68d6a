//! What clients may see and do, at every door except MQTT's.
//!
//! Owns the current tokens and the decision whether one is right. What a token permits is in
//! [`Grant`]; how wrong tokens are slowed down is in [`guesses`](crate::guesses). Knows no transport: a
//! door hands over the token it was shown. No token is ever written to a log or a message.

mod grant;
mod own_view;
mod token;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::command::DoorKind;
use crate::config::HttpConfig;
use crate::guesses::{Attempt, Guesses, Verdict};
use token::Token;

pub use grant::Grant;

/// Why a sender is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// No token was shown, and one is needed.
    Missing,
    /// The token is wrong.
    Wrong,
    /// Too many wrong tokens came from this address; whether this one is right is not said.
    TooOften {
        /// How long the sender should wait.
        retry_after: Duration,
    },
}

/// What has become of a grant after a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is what the configuration says.
    Holds,
    /// Its token is still right, and permits something else.
    Changed,
    /// Its token is not right any more, or one is needed now.
    Gone,
}

/// Tells when the tokens change.
#[derive(Debug)]
pub struct TokenChanges(watch::Receiver<Vec<Arc<Token>>>);

impl TokenChanges {
    /// Waits for the next change; for ever, once there will be none.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

/// The client that shows a token.
#[derive(Debug, Clone, Copy)]
pub struct Sender {
    /// The door that it uses.
    pub door: DoorKind,
    /// Its address.
    pub address: IpAddr,
}

/// The current tokens, and the penalties for wrong ones.
#[derive(Debug)]
pub struct Access {
    tokens: watch::Sender<Vec<Arc<Token>>>,
    guesses: Arc<Guesses>,
}

impl Access {
    /// With the tokens of a configuration. All doors share `guesses`.
    pub fn new(http: &HttpConfig, guesses: Arc<Guesses>) -> Self {
        Self {
            tokens: watch::Sender::new(token::configured(http)),
            guesses,
        }
    }

    /// Takes over the tokens of another configuration.
    pub fn reload(&self, http: &HttpConfig) {
        let new = token::configured(http);
        self.tokens.send_if_modified(|old| {
            let changed = *old != new;
            *old = new;
            changed
        });
    }

    /// Tells when the tokens change.
    pub fn changes(&self) -> TokenChanges {
        TokenChanges(self.tokens.subscribe())
    }

    /// Whether a grant is still what the configuration says.
    pub fn standing(&self, grant: &Grant) -> Standing {
        let tokens = self.tokens.borrow();
        let Some(token) = &grant.token else {
            return if tokens.is_empty() {
                Standing::Holds
            } else {
                Standing::Gone
            };
        };
        if tokens.contains(token) {
            return Standing::Holds;
        }
        // Another name, other rooms or another access.
        let is_same_secret = |other: &Arc<Token>| other.digest == token.digest;
        if tokens.iter().any(is_same_secret) {
            Standing::Changed
        } else {
            Standing::Gone
        }
    }

    /// Whether no tokens are configured, so that clients need none.
    pub fn is_open(&self) -> bool {
        self.tokens.borrow().is_empty()
    }

    /// What the sender of this token may do. The answer to a wrong token is delayed, longer each
    /// time.
    ///
    /// # Errors
    /// Why the sender may do nothing.
    pub async fn admit(&self, sender: Sender, token: Option<&str>) -> Result<Grant, Denied> {
        if self.is_open() {
            return Ok(Grant::open());
        }
        let text = token.ok_or(Denied::Missing)?;
        let found = token::find(&self.tokens.borrow(), text);
        self.check(sender, text, found.is_some()).await?;
        let token = found.ok_or(Denied::Wrong)?;
        Ok(Grant { token: Some(token) })
    }

    /// Whether the sender of this token is let in; `right` says whether it is the right one. The answer to a wrong
    /// one is delayed, longer each time.
    ///
    /// # Errors
    /// Why the sender may do nothing.
    pub async fn check(&self, sender: Sender, token: &str, right: bool) -> Result<(), Denied> {
        let verdict = self.guesses.check(&Attempt {
            door: sender.door,
            address: sender.address,
            user: "",
            client: "",
            secret: token.as_bytes(),
            right,
        });
        match verdict {
            Verdict::Admit => Ok(()),
            Verdict::Wrong(delay) => {
                delay.over().await;
                Err(Denied::Wrong)
            }
            Verdict::TooOften { retry_after } => Err(Denied::TooOften { retry_after }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::CommandAuthority;
    use crate::config::{AccessLevel, HttpToken, RoomId, Secret};

    const PEER: Sender = Sender {
        door: DoorKind::Http,
        address: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
    };

    fn access(tokens: &[(&str, AccessLevel, Option<&str>)]) -> Access {
        Access::new(&http(tokens), Guesses::new(Arc::default()))
    }

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
        let access = access(&[
            ("reads", AccessLevel::Read, None),
            ("controls", AccessLevel::Control, Some("1")),
            ("administers", AccessLevel::Admin, None),
        ]);
        let admit = async |token| access.admit(PEER, Some(token)).await;
        let reads = admit("reads").await.unwrap();
        assert!(reads.sees("2") && reads.authority("2").unwrap_err().contains("read"));
        let controls = admit("controls").await.unwrap();
        assert_eq!(controls.authority("1"), Ok(CommandAuthority::Ordinary));
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
        assert_eq!(administers.authority("1"), Ok(CommandAuthority::Admin));
        assert_eq!(admit("read").await.unwrap_err(), Denied::Wrong);
        assert_eq!(access.admit(PEER, None).await.unwrap_err(), Denied::Missing);
    }

    #[tokio::test]
    async fn without_tokens_anyone_may_do_what_the_rooms_allow() {
        let access = access(&[]);
        let grant = access.admit(PEER, Some("whatever")).await.unwrap();
        assert_eq!(grant.authority("1"), Ok(CommandAuthority::RoomAllows));
    }

    #[tokio::test]
    async fn a_grant_ends_when_its_token_changes() {
        let access = access(&[
            ("a", AccessLevel::Read, None),
            ("b", AccessLevel::Read, None),
        ]);
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
        let standings = [&a, &b].map(|grant| access.standing(grant));
        assert_eq!(standings, [Standing::Changed, Standing::Holds]);
        access.reload(&http(&[
            ("b", AccessLevel::Read, None),
            ("a", AccessLevel::Admin, None),
        ]));
        assert!(!changes.0.has_changed().unwrap());
        access.reload(&http(&[("a", AccessLevel::Admin, None)]));
        assert_eq!(access.standing(&b), Standing::Gone);
    }
}
