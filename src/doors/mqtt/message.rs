//! The form of the gateway's own messages.
//!
//! Pure: topics, properties and sizes, no connection.

use bytes::Bytes;

use super::shared::messages::{COMMAND_PROPERTY, CommandId};
use crate::byte_budget::ByteBudget;
use crate::command::{ErrorCode, Failure, Outcome, Success};
use crate::state::OutboxReply;
use crate::topics::{Prefix, RoomTopics};

/// The bytes that a result takes while it waits, besides what its sender or its answer made long.
pub const USUAL_RESULT: usize = 1 << 10;
/// A result with more bytes is large: its bytes count among those of all files and large results that wait, also while
/// they are in flight or are to be sent again.
pub const LARGE_RESULT: usize = 16 << 10;
/// At most so many bytes of files and large results wait for the broker, as for one client of the other doors. More
/// only where `mqtt.max_payload` allows a file that is larger.
pub const LARGE_RESULT_BYTES: usize = 32 << 20;

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
    /// Without the answer's body, which is in `payload`. A file that did not fit into what may wait has no bytes: its
    /// result names the URL where it can be fetched.
    pub outcome: Box<Outcome>,
    /// The result as JSON.
    pub payload: Bytes,
}

impl Delivery {
    /// Of an outcome. What is large of it takes its part of `large` for as long as it waits.
    pub fn new(address: ReplyAddress, mut outcome: Outcome, large: &ByteBudget) -> Self {
        if let Ok(success) = &mut outcome.result
            && let Some(file) = &mut success.file
        {
            let bytes = file.bytes.take();
            // One that is a state is published as that.
            let bytes = bytes.filter(|_| !file.is_state);
            file.bytes = bytes.and_then(|bytes| large.counted(bytes));
        }
        let mut payload = outcome.to_json();
        let size = payload.len();
        if size > LARGE_RESULT {
            if let Some(counted) = large.counted(payload.clone()) {
                payload = counted;
            } else if outcome.result.is_ok() {
                let why = "too many files and large answers wait for the broker";
                outcome.result = Err(too_large(size, why));
                payload = outcome.to_json();
            }
        }
        if let Ok(success) = &mut outcome.result {
            success.body = serde_json::Value::Null;
        }
        Self {
            address,
            outcome: Box::new(outcome),
            payload,
        }
    }
}

/// Why a command that was carried out has no answer.
pub fn too_large(size: usize, why: impl std::fmt::Display) -> Failure {
    let message = format!("the answer has {size} bytes: {why}");
    Failure::new(ErrorCode::TooLarge, message)
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

    /// What is large of the answer is counted elsewhere.
    fn size(&self) -> usize {
        let response = self.address.response.as_ref().map_or(0, String::len);
        let correlation = self.address.correlation.as_ref().map_or(0, Bytes::len);
        let request_id = self.outcome.request_id.as_ref();
        let request_id = request_id.map_or(0, |id| id.as_str().len());
        let payload = Some(self.payload.len()).filter(|size| *size <= LARGE_RESULT);
        USUAL_RESULT
            + self.outcome.command.len()
            + response
            + correlation
            + request_id
            + payload.unwrap_or_default()
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

/// The messages of a result: the file it brought, then the result itself.
pub fn result_messages(prefix: &Prefix, delivery: &Delivery) -> Vec<Message> {
    let Delivery {
        address,
        outcome,
        payload,
    } = delivery;
    let room = RoomTopics::new(&outcome.room);
    let mut messages = Vec::new();
    if let Ok(Success {
        file: Some(file), ..
    }) = &outcome.result
        && let Some(bytes) = &file.bytes
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
        ..Message::plain(topic, payload.clone(), Some("application/json".into()))
    });
    messages
}
