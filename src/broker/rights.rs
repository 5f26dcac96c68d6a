//! What a user of the embedded broker may publish, and which topics may reach it.
//!
//! Pure: decides by users, names and the catalogue, never by what exists at the moment. The gateway
//! itself may publish everything.
//!
//! - Below the gateway's own topics, users publish the commands and queries of their rooms, and
//!   nothing else: nothing retained, no will.
//! - Home Assistant's topics are for users of all rooms. The gateway's documents there are its own;
//!   these users may clear them.
//! - `response/<user>/…` belongs to that user.
//! - Everything else is free, so that clients can use the broker for more.

use std::fmt;
use std::sync::Arc;

use secrecy::SecretString;

use crate::catalogue::CATALOGUE;
use crate::home_assistant::Namespace;
use crate::topics::{
    Below, DiscoveryTopics, LevelRule, NAMES_NO_ROOM, Prefix, Region, Topic, check_response,
    encode_level, is_below_longer_prefix, is_gateway_topic, reaches,
};

/// The gateway's own user. The configuration takes no name with a colon.
pub const GATEWAY_USER: &str = "gateway:";

/// A user of the broker.
#[derive(Debug, Clone)]
pub struct BrokerUser {
    /// The name.
    pub name: String,
    /// The password.
    pub password: SecretString,
    /// The rooms that the user sees; `None` for all.
    pub rooms: Option<Vec<Arc<str>>>,
    /// May send commands, not only read.
    pub control: bool,
}

impl BrokerUser {
    fn sees(&self, room: &str) -> bool {
        let rooms = self.rooms.as_ref();
        rooms.is_none_or(|rooms| rooms.iter().any(|known| **known == *room))
    }
}

/// A publish, or the will of a CONNECT, as far as rights depend on it.
#[derive(Debug, Clone, Copy)]
pub struct PublishAttempt<'a> {
    /// The topic, its alias resolved.
    pub topic: &'a str,
    /// With the retain flag.
    pub retain: bool,
    /// Without a payload.
    pub empty: bool,
    /// The MQTT 5 response topic.
    pub response: Option<&'a str>,
    /// It is a will.
    pub will: bool,
}

#[cfg(test)]
impl<'a> PublishAttempt<'a> {
    /// To this topic, without anything else.
    pub fn plain(topic: &'a str) -> Self {
        Self {
            topic,
            retain: false,
            empty: true,
            response: None,
            will: false,
        }
    }
}

/// Who gets a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipients {
    /// Everyone who has subscribed.
    Everyone,
    /// The gateway alone, which answers that it does not carry it out: a retained command, or a
    /// topic that is no command. The broker does not keep it.
    Gateway,
}

/// Why a publish, a will or a subscription is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Clients must log in, and this one has not.
    NoUser,
    /// The user has `access = "read"`.
    ReadsOnly,
    /// A topic with `$` at its beginning.
    BrokersTopic,
    /// A state, a result, an event, or something about the gateway.
    GatewaysTopic,
    /// A topic of a room that the user does not see.
    OtherRoom,
    /// A will below the gateway's topics.
    Will,
    /// Home Assistant's topics, and the user does not see all rooms.
    HomeAssistant,
    /// A document of this gateway for Home Assistant.
    GatewaysDocument,
    /// The response topics of another user.
    OthersResponses,
    /// A response topic that users can read who do not see the room. Holds where the user's own
    /// begin.
    PublicResponse(String),
    /// The filter can match topics that the user may not see.
    Filter,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoUser => "the client has not logged in",
            Self::ReadsOnly => "the user has access = \"read\"",
            Self::BrokersTopic => "topics that begin with $ are the broker's own",
            Self::GatewaysTopic => "only the gateway publishes here",
            Self::OtherRoom => "the user does not see this room",
            Self::Will => "a will cannot be a command or a state",
            Self::HomeAssistant => "Home Assistant's topics are for users of all rooms",
            Self::GatewaysDocument => "this document is the gateway's",
            Self::OthersResponses => "these response topics are another user's",
            Self::PublicResponse(own) => {
                return write!(
                    f,
                    "users of other rooms can read this response topic; take one below {own}"
                );
            }
            Self::Filter => "the filter can match topics that the user may not see",
        })
    }
}

/// A user, and the topics that must not reach it.
#[derive(Debug)]
struct UserRights {
    user: BrokerUser,
    closed: Vec<Region>,
}

impl UserRights {
    fn may_read(&self, topic: &str) -> bool {
        !self.closed.iter().any(|region| region.contains(topic))
    }
}

/// The rights of all users.
#[derive(Debug)]
pub struct BrokerRights {
    /// If empty, every client may do what a user of all rooms may.
    users: Vec<UserRights>,
    prefix: Prefix,
    discovery: DiscoveryTopics,
    namespace: Namespace,
}

impl BrokerRights {
    /// The rights of these users, for topics with this prefix.
    pub fn new(users: Vec<BrokerUser>, prefix: Prefix, discovery: DiscoveryTopics) -> Self {
        let namespace = Namespace {
            topic_prefix: prefix.as_str().to_owned(),
            discovery_prefix: discovery.prefix.clone(),
        };
        let with_regions = |user: BrokerUser| UserRights {
            closed: closed_regions(&user, &prefix, &namespace),
            user,
        };
        Self {
            users: users.into_iter().map(with_regions).collect(),
            prefix,
            discovery,
            namespace,
        }
    }

    /// Whether clients may connect without a password.
    pub fn is_open(&self) -> bool {
        self.users.is_empty()
    }

    /// The users.
    pub fn users(&self) -> impl Iterator<Item = &BrokerUser> {
        self.users.iter().map(|rights| &rights.user)
    }

    /// Whether clients write this topic for the gateway to read: a command or query.
    pub fn is_command(&self, topic: &str) -> bool {
        let command = self.prefix.command(topic);
        command.is_some_and(|(_, command)| CATALOGUE.is_command(command))
    }

    /// Whether the gateway answers a message at this topic, which may be no command.
    pub fn is_answered(&self, topic: &str) -> bool {
        let topic = self.prefix.strip(topic);
        topic.is_some_and(|topic| !is_below_longer_prefix(topic))
    }

    /// Whether this topic is an event's, a state's or a file's, and so no result's.
    pub fn is_event_or_file(&self, topic: &str) -> bool {
        match self.prefix.strip(topic).and_then(Topic::parse) {
            Some(Topic::Room { below, .. }) => match below {
                Below::Event(_) => true,
                Below::Other(state) => CATALOGUE.is_published(state),
                _ => false,
            },
            Some(Topic::Gateway(_) | Topic::Member { .. }) => true,
            None => false,
        }
    }

    /// Whether only the gateway writes this topic.
    pub fn is_gateways(&self, topic: &str) -> bool {
        self.prefix.strip(topic).is_some_and(is_gateway_topic)
            || self.namespace.device(topic).is_some()
    }

    /// The client's user; `None` if the broker is open.
    fn client(&self, name: Option<&str>) -> Result<Option<&UserRights>, Refusal> {
        if self.is_open() {
            return Ok(None);
        }
        let mut users = self.users.iter();
        let found = name.and_then(|name| users.find(|rights| rights.user.name == name));
        found.map(Some).ok_or(Refusal::NoUser)
    }

    /// Who gets what a client publishes. `name` is its user, if it has logged in as one.
    ///
    /// # Errors
    /// Nobody does: the client may not publish it.
    pub fn publish(
        &self,
        name: Option<&str>,
        attempt: &PublishAttempt<'_>,
    ) -> Result<Recipients, Refusal> {
        if name == Some(GATEWAY_USER) {
            return Ok(Recipients::Everyone);
        }
        let user = self.client(name)?.map(|rights| &rights.user);
        if user.is_some_and(|user| !user.control) {
            return Err(Refusal::ReadsOnly);
        }
        let topic = attempt.topic;
        if topic.starts_with('$') {
            return Err(Refusal::BrokersTopic);
        }
        if self.prefix.strip(topic).is_some_and(is_gateway_topic) {
            return self.command(user, attempt);
        }
        if self.discovery.contains(topic) && user.is_some_and(|user| user.rooms.is_some()) {
            return Err(Refusal::HomeAssistant);
        }
        // Home Assistant clears the document of a device that a person deletes there.
        if self.namespace.device(topic).is_some() && !attempt.empty {
            return Err(Refusal::GatewaysDocument);
        }
        self.own_responses_only(user, topic)?;
        Ok(Recipients::Everyone)
    }

    /// A publish below the gateway's own topics.
    fn command(
        &self,
        user: Option<&BrokerUser>,
        attempt: &PublishAttempt<'_>,
    ) -> Result<Recipients, Refusal> {
        if attempt.will {
            return Err(Refusal::Will);
        }
        let command = self.prefix.command(attempt.topic);
        let (room, command) = command.ok_or(Refusal::GatewaysTopic)?;
        if user.is_some_and(|user| !user.sees(room)) {
            return Err(Refusal::OtherRoom);
        }
        let known = CATALOGUE.is_command(command);
        if !known && CATALOGUE.is_published(command) {
            return Err(Refusal::GatewaysTopic);
        }
        if let (Some(user), Some(response)) = (user, attempt.response) {
            self.response(user, room, response)?;
        }
        if known && !attempt.retain {
            Ok(Recipients::Everyone)
        } else {
            Ok(Recipients::Gateway)
        }
    }

    /// The gateway publishes the result, so the topic must be one where the user may do so, and where
    /// only those read it who see the room.
    fn response(&self, user: &BrokerUser, room: &str, response: &str) -> Result<(), Refusal> {
        if check_response(&self.prefix, &self.discovery, room, response).is_err() {
            // The gateway refuses the command and says why.
            return Ok(());
        }
        self.own_responses_only(Some(user), response)?;
        let mut others = self.users.iter().filter(|other| !other.user.sees(room));
        if others.any(|other| other.may_read(response)) {
            let own = self.prefix.responses_of(&user.name);
            return Err(Refusal::PublicResponse(own));
        }
        Ok(())
    }

    fn own_responses_only(&self, user: Option<&BrokerUser>, topic: &str) -> Result<(), Refusal> {
        let (Some(user), Some(owner)) = (user, self.prefix.response_user(topic)) else {
            return Ok(());
        };
        if owner == encode_level(&user.name) {
            Ok(())
        } else {
            Err(Refusal::OthersResponses)
        }
    }

    /// Whether a client may subscribe to a filter: only if no topic that it may not see matches.
    ///
    /// # Errors
    /// It may not.
    pub fn subscribe(&self, name: Option<&str>, filter: &str) -> Result<(), Refusal> {
        if name == Some(GATEWAY_USER) {
            return Ok(());
        }
        match self.client(name)? {
            Some(rights) if reaches(filter, &rights.closed) => Err(Refusal::Filter),
            _ => Ok(()),
        }
    }
}

/// What must not reach a user: of other rooms, of the gateway, and the responses to other users.
fn closed_regions(user: &BrokerUser, prefix: &Prefix, namespace: &Namespace) -> Vec<Region> {
    let Some(rooms) = &user.rooms else {
        return Vec::new();
    };
    // What the ids of all rooms' devices begin with.
    let start = namespace.room("");
    let except = rooms.iter().map(|room| namespace.room(room)).collect();
    let device = LevelRule::BeginsWith { start, except };
    vec![
        Region::of_other_rooms(prefix, rooms),
        Region::of_gateway_except(prefix, &NAMES_NO_ROOM),
        Region::of_other_responses(prefix, &user.name),
        Region::of_documents(&namespace.discovery_prefix, device),
    ]
}

#[cfg(test)]
mod tests;
