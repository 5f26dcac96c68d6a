//! What the sender of a request may see and do.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::Value;

use super::own_view::{cluster_without_rooms, health_without_rooms, info_for_rooms};
use super::token::Token;
use crate::command::CommandAuthority;
use crate::config::AccessLevel;
use crate::doors::payers::PayerId;
use crate::nearest::Nearest;
use crate::network::Network;
use crate::state::StateValue;
use crate::topics::{
    GATEWAY_CLUSTER, GATEWAY_HEALTH, GATEWAY_INFO, GATEWAY_LOG, NAMES_NO_ROOM, Topic,
};

/// The rights of one token, or of everyone where no tokens are configured.
#[derive(Debug, Clone)]
pub struct Grant {
    /// `None` where no tokens are configured: then everyone may do what MQTT clients may.
    pub(super) token: Option<Arc<Token>>,
}

impl Grant {
    /// Of everyone, where no tokens are configured.
    pub fn open() -> Self {
        Self { token: None }
    }

    /// The rooms it is limited to; `None` for all.
    pub fn rooms(&self) -> Option<&BTreeSet<Arc<str>>> {
        self.token.as_ref()?.rooms.as_ref()
    }

    /// Who pays for what the sender costs, whose address this is.
    pub fn payer(&self, address: IpAddr) -> PayerId {
        match &self.token {
            Some(token) => PayerId::Token(token.digest.prefix()),
            None => PayerId::Address(Network::of(address)),
        }
    }

    /// The name of its token; `None` where none is needed.
    pub fn token_name(&self) -> Option<&str> {
        self.token.as_ref().map(|token| token.name.as_str())
    }

    /// Whether everyone is let in, so that no token was shown.
    pub fn needed_no_token(&self) -> bool {
        self.token.is_none()
    }

    /// Whether the states and events of a room may be seen.
    pub fn sees(&self, room: &str) -> bool {
        self.rooms().is_none_or(|rooms| rooms.contains(room))
    }

    /// Whether the log's entries about a room may be seen; without a room, those about the gateway, which may
    /// name any room.
    pub fn sees_log_of(&self, room: Option<&str>) -> bool {
        match room {
            Some(room) => self.sees(room),
            None => self.rooms().is_none(),
        }
    }

    /// Whether a topic may be seen. Of some perhaps only a part: [`Grant::own_view`].
    pub fn sees_topic(&self, topic: &str) -> bool {
        let Some(rooms) = self.rooms() else {
            return true;
        };
        match Topic::parse(topic) {
            Some(Topic::Room { room, .. }) => rooms.contains(room),
            Some(Topic::Gateway(_)) => {
                matches!(
                    topic,
                    GATEWAY_INFO | GATEWAY_HEALTH | GATEWAY_LOG | GATEWAY_CLUSTER
                ) || NAMES_NO_ROOM.contains(&topic)
            }
            Some(Topic::Member { .. }) | None => false,
        }
    }

    /// Whether an event may be seen, whose topic may be seen: of the log, only what is about the own rooms.
    pub fn sees_event(&self, topic: &str, payload: &[u8]) -> bool {
        if topic != GATEWAY_LOG || self.rooms().is_none() {
            return true;
        }
        let entry: Value = serde_json::from_slice(payload).unwrap_or_default();
        self.sees_log_of(entry["room"].as_str())
    }

    /// The state as this client sees it, where others see more.
    pub fn own_view(&self, topic: &str, state: &StateValue) -> Option<StateValue> {
        let rooms = self.rooms()?;
        let own = match topic {
            GATEWAY_INFO => info_for_rooms(&state.payload, |room| rooms.contains(room)),
            GATEWAY_HEALTH => health_without_rooms(&state.payload),
            GATEWAY_CLUSTER => cluster_without_rooms(&state.payload),
            _ => return None,
        };
        Some(StateValue::text(own.to_string()))
    }

    /// The authority with which commands go to a room.
    ///
    /// # Errors
    /// The reason that no command may be sent, as a message for the user.
    pub fn authority(&self, room: &str) -> Result<CommandAuthority, String> {
        let Some(token) = &self.token else {
            return Ok(CommandAuthority::RoomAllows);
        };
        if !self.sees(room) {
            let own = self.rooms().into_iter().flatten().map(|room| &**room);
            let own = Nearest::of(room, own).words("those of the token", str::to_owned);
            return Err(format!(
                "the token \"{}\" is not for room \"{room:.64}\"; {own}",
                token.name
            ));
        }
        match token.level {
            AccessLevel::Admin => Ok(CommandAuthority::Admin),
            AccessLevel::Control => Ok(CommandAuthority::Ordinary),
            AccessLevel::Read => Err(format!(
                "the token \"{}\" has access = \"read\": it sees states and sends nothing",
                token.name
            )),
        }
    }
}
