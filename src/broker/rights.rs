//! The topics that a user of the embedded broker may publish and subscribe to.
//!
//! Pure: decides by names and topics. The gateway itself may publish everything. Users may send
//! commands to the rooms they see, if they may control. Only the gateway publishes states.
//! Topics that are not the gateway's are free, so that clients can use the broker for more.

use std::sync::Arc;

use secrecy::SecretString;

use crate::topics::{Prefix, RoomReach, is_gateway_topic, room_reach};

/// The gateway's own user. A colon cannot stand in a configured name.
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

/// The rights of all users.
#[derive(Debug)]
pub struct BrokerRights {
    /// If empty, every client may do everything except publish states.
    users: Vec<BrokerUser>,
    prefix: Prefix,
}

impl BrokerRights {
    /// The rights of these users, for topics with this prefix.
    pub fn new(users: Vec<BrokerUser>, prefix: Prefix) -> Self {
        Self { users, prefix }
    }

    /// Whether clients may connect without a password.
    pub fn is_open(&self) -> bool {
        self.users.is_empty()
    }

    /// The user with this name.
    pub fn user(&self, name: &str) -> Option<&BrokerUser> {
        self.users.iter().find(|user| user.name == name)
    }

    /// Whether a client may publish to a topic. `name` is its user, if it has logged in as one;
    /// `is_state` says whether the gateway publishes a state at a topic without prefix.
    pub fn may_publish(
        &self,
        name: Option<&str>,
        topic: &str,
        is_state: impl Fn(&str) -> bool,
    ) -> bool {
        if name == Some(GATEWAY_USER) {
            return true;
        }
        let user = name.and_then(|name| self.user(name));
        let ours = self.prefix.strip(topic);
        let Some(ours) = ours.filter(|topic| is_gateway_topic(topic)) else {
            return user.is_none_or(|user| user.control);
        };
        match self.prefix.command(topic) {
            Some((room, _)) if !is_state(ours) => match user {
                Some(user) => user.control && user.sees(room),
                None => self.is_open(),
            },
            _ => false,
        }
    }

    /// Whether a client may subscribe to a filter. Users who see only some rooms must name them.
    pub fn may_subscribe(&self, name: Option<&str>, filter: &str) -> bool {
        let Some(user) = name.and_then(|name| self.user(name)) else {
            return true;
        };
        if user.rooms.is_none() {
            return true;
        }
        match room_reach(&self.prefix, filter) {
            RoomReach::None => true,
            RoomReach::One(room) => user.sees(room),
            RoomReach::Many => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, rooms: Option<&str>, control: bool) -> BrokerUser {
        BrokerUser {
            name: name.into(),
            password: "secret".to_owned().into(),
            rooms: rooms.map(|room| vec![room.into()]),
            control,
        }
    }

    fn rights(prefix: &str) -> BrokerRights {
        let users = vec![
            user("all", None, true),
            user("panel", Some("1"), true),
            user("screen", Some("1"), false),
        ];
        BrokerRights::new(users, Prefix::new(prefix))
    }

    const VOLUME: &str = "room/1/audio/volume";

    #[test]
    fn users_publish_commands_for_their_rooms() {
        let rights = rights("");
        let may = |name: &str, topic: &str| {
            rights.may_publish(Some(name), topic, |topic| topic == VOLUME)
        };
        for (name, topic, expected) in [
            (GATEWAY_USER, VOLUME, true),
            (GATEWAY_USER, "gateway/info", true),
            ("all", "room/2/audio/mute", true),
            ("all", VOLUME, false),
            ("all", "gateway/info", false),
            ("all", "room/1/audio/mute/result", false),
            ("all", "room/1/availability", false),
            ("all", "lights/1", true),
            ("panel", "room/1/audio/mute", true),
            ("panel", "room/2/audio/mute", false),
            ("panel", "lights/1", true),
            ("screen", "room/1/audio/mute", false),
            ("screen", "lights/1", false),
        ] {
            assert_eq!(may(name, topic), expected, "{name} {topic}");
        }
        assert!(!rights.may_publish(None, "room/1/audio/mute", |_| false));
    }

    #[test]
    fn without_users_everybody_sends_commands_and_nobody_states() {
        let open = BrokerRights::new(Vec::new(), Prefix::default());
        assert!(open.is_open());
        assert!(open.may_publish(None, "room/1/audio/mute", |_| false));
        assert!(!open.may_publish(None, VOLUME, |topic| topic == VOLUME));
        assert!(!open.may_publish(None, "gateway/health", |_| false));
        assert!(open.may_subscribe(None, "#"));
    }

    #[test]
    fn who_sees_some_rooms_subscribes_to_these() {
        for prefix in ["", "av", "av/site"] {
            let rights = rights(prefix);
            let with = |filter: &str| Prefix::new(prefix).add(filter);
            for (filter, expected) in [
                ("room/1/#", true),
                ("room/1/+/volume", true),
                ("room/2/#", false),
                ("room/+/audio/volume", false),
                ("room/#", false),
                ("+/1/audio/volume", false),
                ("#", false),
                ("gateway/#", true),
            ] {
                let filter = with(filter);
                assert_eq!(
                    rights.may_subscribe(Some("panel"), &filter),
                    expected,
                    "{filter}"
                );
                assert!(rights.may_subscribe(Some("all"), &filter), "{filter}");
            }
            for (filter, expected) in [
                ("#", false),
                ("$share/group/lights/#", false),
                ("lights/#", true),
                ("$SYS/#", true),
            ] {
                assert_eq!(
                    rights.may_subscribe(Some("screen"), filter),
                    expected,
                    "{filter}"
                );
            }
        }
        // A wildcard in the prefix reaches the rooms as well.
        let rights = rights("av/site");
        for filter in ["av/#", "av/+/room/2/x", "+/site/room/2/x", "+/+/#"] {
            assert!(!rights.may_subscribe(Some("panel"), filter), "{filter}");
        }
        assert!(rights.may_subscribe(Some("panel"), "+/site/room/1/x"));
        assert!(rights.may_subscribe(Some("panel"), "other/#"));
    }
}
