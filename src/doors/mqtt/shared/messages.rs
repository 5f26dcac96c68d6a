//! What gateways tell each other through the broker: which rooms have a new owner, and which commands are
//! done.
//!
//! Pure text. A result at `…/result` names its command in a user property, and so tells a deputy by itself.
//! One that goes to a response topic cannot: its command is named at `gateway/<name>/done`, together with
//! all others of the same write.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use ring::digest::{Context, SHA256};
use rumqttc::v5::mqttbytes::v5::Publish;
use serde_json::{Value, json};

use super::arbiter::{Arrival, Revision};

/// The user property of a result that names its command.
pub const COMMAND_PROPERTY: &str = "command";
/// What follows `gateway/<name>/` in a marker's topic.
pub const MOVED: &str = "moved";
/// What follows `gateway/<name>/` where finished commands are named.
pub const DONE: &str = "done";
/// How many bytes of a payload count. Two files that differ only after them are one command for a deputy.
const HASHED_PAYLOAD: usize = 64 << 10;
/// The id of a command, the same at every gateway that receives it. Equal commands have equal ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CommandId(u64);

impl CommandId {
    /// Of this message.
    pub fn of(publish: &Publish) -> Self {
        let properties = publish.properties.as_ref();
        let response = properties.and_then(|it| it.response_topic.as_ref());
        let correlation = properties.and_then(|it| it.correlation_data.as_ref());
        let some = publish.payload.len().min(HASHED_PAYLOAD);
        let parts = [
            &publish.topic[..],
            response.map_or(&[][..], |it| it.as_bytes()),
            correlation.map_or(&[][..], |it| &it[..]),
            &publish.payload[..some],
        ];
        let mut digest = Context::new(&SHA256);
        for part in parts {
            digest.update(&part.len().to_be_bytes());
            digest.update(part);
        }
        let digest = digest.finish();
        let mut first = [0; 8];
        first.copy_from_slice(&digest.as_ref()[..8]);
        Self(u64::from_be_bytes(first))
    }

    /// Reads what [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        let is_one = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u64::from_str_radix(text, 16).ok();
        number.filter(|_| is_one).map(Self)
    }
}

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The id of the command that a result names.
pub fn command_of(result: &Publish) -> Option<CommandId> {
    let user = &result.properties.as_ref()?.user_properties;
    let named = user.iter().find(|(name, _)| name == COMMAND_PROPERTY)?;
    CommandId::parse(&named.1)
}

/// What a marker says: how its gateway came by these rooms, and since which revision.
#[derive(Debug, PartialEq, Eq)]
pub struct Marker {
    pub arrival: Arrival,
    pub revision: Revision,
    pub rooms: Vec<String>,
}

/// The payload of a marker. Gateways of other versions know the arrivals by these words.
pub fn marker(arrival: Arrival, revision: Revision, rooms: &[Arc<str>]) -> String {
    let rooms: Vec<&str> = rooms.iter().map(|room| &**room).collect();
    let how = match arrival {
        Arrival::HandedOver => "moved",
        Arrival::New => "begun",
        Arrival::TakenOver => "taken_over",
        Arrival::TakenBack => "taken_over_unheard",
    };
    json!({"how": how, "revision": revision, "rooms": rooms}).to_string()
}

/// Reads a marker; `None` if it is none.
pub fn read_marker(payload: &[u8]) -> Option<Marker> {
    let marker: Value = serde_json::from_slice(payload).ok()?;
    let arrival = match marker["how"].as_str()? {
        "moved" => Arrival::HandedOver,
        "begun" => Arrival::New,
        "taken_over" => Arrival::TakenOver,
        "taken_over_unheard" => Arrival::TakenBack,
        _ => return None,
    };
    let rooms = marker["rooms"].as_array()?.iter();
    let rooms = rooms.map(|room| room.as_str().map(str::to_owned));
    Some(Marker {
        arrival,
        revision: marker["revision"].as_u64()?,
        rooms: rooms.collect::<Option<_>>()?,
    })
}

/// The payload that names finished commands by their rooms.
pub fn done(commands: &[(Arc<str>, CommandId)]) -> String {
    let mut rooms = BTreeMap::<&str, Vec<String>>::new();
    for (room, id) in commands {
        rooms.entry(room).or_default().push(id.to_string());
    }
    json!(rooms).to_string()
}

/// Reads finished commands; `None` if it names none.
pub fn read_done(payload: &[u8]) -> Option<Vec<(String, CommandId)>> {
    let rooms: BTreeMap<String, Vec<String>> = serde_json::from_slice(payload).ok()?;
    let mut commands = Vec::new();
    for (room, ids) in rooms {
        for id in ids {
            commands.push((room.clone(), CommandId::parse(&id)?));
        }
    }
    Some(commands)
}

#[cfg(test)]
mod tests {
    use rumqttc::v5::mqttbytes::v5::PublishProperties;

    use super::*;

    fn command(topic: &str, payload: &str, response: Option<&str>, correlation: &str) -> Publish {
        Publish {
            topic: topic.to_owned().into(),
            payload: payload.to_owned().into(),
            properties: Some(PublishProperties {
                response_topic: response.map(str::to_owned),
                correlation_data: Some(correlation.to_owned().into()),
                ..PublishProperties::default()
            }),
            ..Publish::default()
        }
    }

    #[test]
    fn commands_that_differ_in_anything_have_different_ids() {
        let commands = [
            command("room/1/a", "b", None, ""),
            command("room/1/ab", "", None, ""),
            command("room/1/a", "", Some("b"), ""),
            command("room/1/a", "", None, "b"),
            command("room/1/a", "", None, ""),
        ];
        let ids: Vec<_> = commands.iter().map(CommandId::of).collect();
        for (n, id) in ids.iter().enumerate() {
            assert!(!ids[..n].contains(id), "{n}");
            assert_eq!(CommandId::parse(&id.to_string()), Some(*id));
        }
        // The delivery does not count.
        let mut again = commands[0].clone();
        (again.pkid, again.dup) = (9, true);
        assert_eq!(CommandId::of(&again), ids[0]);
        // Every version has to find the same, since members may differ in theirs.
        assert_eq!(ids[4].to_string().len(), 16);
    }

    #[test]
    fn what_is_written_is_read_and_nonsense_is_not() {
        let rooms: Vec<Arc<str>> = vec!["1".into(), "hall".into()];
        for arrival in [Arrival::HandedOver, Arrival::TakenOver, Arrival::TakenBack] {
            let text = marker(arrival, 7, &rooms);
            let read = Marker {
                arrival,
                revision: 7,
                rooms: vec!["1".to_owned(), "hall".to_owned()],
            };
            assert_eq!(read_marker(text.as_bytes()), Some(read));
        }
        let id = CommandId::of(&command("a", "", None, ""));
        let text = done(&[("1".into(), id), ("1".into(), id)]);
        let both = vec![("1".to_owned(), id), ("1".to_owned(), id)];
        assert_eq!(read_done(text.as_bytes()), Some(both));
        for nonsense in [
            &b""[..],
            b"[]",
            b"{\"rooms\":[1],\"how\":\"moved\",\"revision\":1}",
            b"{\"rooms\":[\"1\"],\"how\":\"moved\"}",
            b"{\"rooms\":[\"1\"],\"how\":\"moved\",\"revision\":-1}",
            b"{\"1\":[\"x\"]}",
            b"\xff",
        ] {
            assert_eq!(read_marker(nonsense), None);
            assert_eq!(read_done(nonsense), None);
        }
    }
}
