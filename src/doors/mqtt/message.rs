//! The form of the gateway's own messages.
//!
//! Pure: topics, properties and sizes, no connection.

use bytes::Bytes;

use super::shared::messages::{COMMAND_PROPERTY, CommandId};
use crate::command::{ErrorCode, Outcome, Success};
use crate::state::OutboxReply;
use crate::topics::{Prefix, RoomTopics};

/// The bytes that a result takes while it waits, besides what its sender made long.
pub const USUAL_RESULT: usize = 1 << 10;

/// Where a result goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplyAddress {
    /// The MQTT 5 response topic; without one it is `<command>/result`.
    pub response: Option<String>,
    /// The MQTT 5 correlation data.
    pub correlation: Option<Bytes>,
    /// The command's id, where other gateways receive it too.
    pub command: Option<CommandId>,
}

/// A result with where it goes.
#[derive(Debug)]
pub struct Delivery {
    pub address: ReplyAddress,
    pub outcome: Box<Outcome>,
}

impl OutboxReply for Delivery {
    const OVERTAKES: bool = true;

    /// What names no room of anybody waits together: a client can name any number of them.
    fn room(&self) -> &str {
        match &self.outcome.result {
            Err(failure) if failure.code == ErrorCode::UnknownRoom => "",
            _ => &self.outcome.room,
        }
    }

    /// What its sender made long counts. A device's answers are as many as a room's requests.
    fn size(&self) -> usize {
        let response = self.address.response.as_ref().map_or(0, String::len);
        let correlation = self.address.correlation.as_ref().map_or(0, Bytes::len);
        let request_id = self.outcome.request_id.as_ref();
        let request_id = request_id.map_or(0, |id| id.as_str().len());
        USUAL_RESULT + self.outcome.command.len() + response + correlation + request_id
    }
}

/// A message to be published. A clone shares the payload.
#[derive(Debug, Clone)]
pub struct Message {
    pub topic: String,
    pub payload: Bytes,
    pub retain: bool,
    pub content_type: Option<String>,
    pub correlation: Option<Bytes>,
    pub user: Vec<(String, String)>,
}

impl Message {
    /// Without properties but a content type.
    pub fn plain(topic: String, payload: Bytes, content_type: Option<String>) -> Self {
        Self {
            topic,
            payload,
            retain: false,
            content_type,
            correlation: None,
            user: Vec::new(),
        }
    }

    /// The bytes of its packet, MQTT 5 section 3.3.
    pub fn packet_size(&self) -> usize {
        let property = |length: usize| 1 + 2 + length;
        let user = self
            .user
            .iter()
            .map(|(k, v)| property(k.len()) + 2 + v.len());
        let properties = self
            .content_type
            .as_ref()
            .map_or(0, |it| property(it.len()))
            + self.correlation.as_ref().map_or(0, |it| property(it.len()))
            + user.sum::<usize>();
        let packet_id = 2;
        let body = 2
            + self.topic.len()
            + packet_id
            + length_of_variable_integer(properties)
            + properties
            + self.payload.len();
        1 + length_of_variable_integer(body) + body
    }
}

/// How many bytes a length takes, MQTT 5 section 1.5.5.
fn length_of_variable_integer(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

/// The messages of a result: the file it brought, then the result itself. A file that is a
/// state is not among them: it is published as a state.
pub fn result_messages(prefix: &Prefix, delivery: &Delivery) -> Vec<Message> {
    let Delivery { address, outcome } = delivery;
    let room = RoomTopics::new(&outcome.room);
    let mut messages = Vec::new();
    if let Ok(Success {
        file: Some(file), ..
    }) = &outcome.result
        && let Some(bytes) = file.bytes.as_ref().filter(|_| !file.is_state)
    {
        let topic = prefix.add(&room.below(&file.topic));
        messages.push(Message {
            correlation: address.correlation.clone(),
            ..Message::plain(topic, bytes.clone(), Some(file.content_type.to_string()))
        });
    }
    let (status, code) = match &outcome.result {
        Ok(_) => ("ok", None),
        Err(failure) => ("error", Some(failure.code.as_str())),
    };
    let mut user = vec![("status".to_owned(), status.to_owned())];
    user.extend(code.map(|code| ("code".to_owned(), code.to_owned())));
    let command = address.command.filter(|_| address.response.is_none());
    user.extend(command.map(|id| (COMMAND_PROPERTY.to_owned(), id.to_string())));
    let result_topic = || prefix.add(&room.result(&outcome.command));
    let topic = address.response.clone().unwrap_or_else(result_topic);
    messages.push(Message {
        correlation: address.correlation.clone(),
        user,
        ..Message::plain(topic, outcome.to_json(), Some("application/json".into()))
    });
    messages
}
