//! What goes over a link: one WebSocket message is a frame, with a head in JSON and a body of any bytes.
//!
//! Pure. The length of the head comes first, as four bytes. Payloads and results are not part of the JSON, so
//! they arrive exactly as they were sent, and are not escaped and read again.
//!
//! Gateways of neighbouring versions have links, so a field that is new may be missing, one that is not known is passed
//! over, and a kind of frame that is new goes only to a member that has said that it knows it.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::wire::{CommandHead, OutcomeHead};

/// A longer head is none: the longest topic and the ids of some hundred rooms fit.
pub const LARGEST_HEAD: usize = 4 << 20;

/// How much of a room's states a member wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    /// Its availability and problem, for lists of rooms.
    Availability,
    /// All its states and events.
    All,
}

/// What a frame says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrameHead {
    /// To the owner: a command; the body is its payload.
    Command {
        /// Comes back in the answer.
        id: u64,
        /// The command.
        command: CommandHead,
    },
    /// To the owner: send these states, now and when they change. Replaces what was asked for before.
    Watch {
        /// Of these rooms.
        rooms: Vec<String>,
        /// These of them.
        depth: Depth,
        /// Comes back with [`FrameHead::AllSent`]. Later ones are higher.
        #[serde(skip_serializing_if = "Option::is_none")]
        number: Option<u64>,
    },
    /// To the owner: send nothing more of these rooms.
    Unwatch(Vec<String>),
    /// From the owner: the result of a command; the body is that of [`OutcomeHead`].
    Result {
        /// As in the command.
        id: u64,
        /// The result.
        outcome: OutcomeHead,
    },
    /// From a member that does not have the room: the command was not begun.
    NotHere(u64),
    /// From the owner: the value of a state is the body.
    State {
        /// The topic.
        topic: String,
        /// The MIME type, where it is not text or JSON.
        content_type: Option<String>,
        /// There is no value: the state was cleared.
        cleared: bool,
    },
    /// From the owner: an event of this topic; the body is its payload.
    Event(String),
    /// From the owner: every state that was asked for has been sent.
    AllSent {
        /// Of this room.
        room: String,
        /// The room has no others. Otherwise it has not read all of them yet, and this comes again.
        complete: bool,
        /// That of the [`FrameHead::Watch`] that it answers, if that had one.
        #[serde(skip_serializing_if = "Option::is_none")]
        number: Option<u64>,
    },
    /// The body is part of a frame that is too large to go as a whole. Goes only to a member that has said that it
    /// takes pieces ([`PIECES_HEADER`](super::PIECES_HEADER)).
    Piece {
        /// The number of the frame.
        of: u64,
        /// It is the last part.
        last: bool,
    },
    /// So many pieces have come.
    Taken(u32),
}

/// A frame.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkFrame {
    /// What it says.
    pub head: FrameHead,
    /// The bytes that belong to it.
    pub body: Bytes,
}

/// A message that is no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it sent what is no frame of a link")]
pub struct NoFrame;

impl LinkFrame {
    /// A frame without a body.
    pub fn head(head: FrameHead) -> Self {
        let body = Bytes::new();
        Self { head, body }
    }

    /// As it is sent.
    pub fn encode(&self) -> Bytes {
        encode(&self.head, &self.body)
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// It is none.
    pub fn decode(bytes: Bytes) -> Result<Self, NoFrame> {
        let (head, body) = decode(bytes)?;
        Ok(Self { head, body })
    }
}

/// A head of any kind with its body.
pub fn encode(head: &impl Serialize, body: &[u8]) -> Bytes {
    // Serialization of these types cannot fail: they have no maps with other keys than text.
    let head = serde_json::to_vec(head).unwrap_or_default();
    let mut bytes = BytesMut::with_capacity(4 + head.len() + body.len());
    bytes.put_u32(u32::try_from(head.len()).unwrap_or(u32::MAX));
    bytes.put_slice(&head);
    bytes.put_slice(body);
    bytes.freeze()
}

/// The inverse of [`encode`].
///
/// # Errors
/// It is no such message.
pub fn decode<T: for<'a> Deserialize<'a>>(mut bytes: Bytes) -> Result<(T, Bytes), NoFrame> {
    if bytes.len() < 4 {
        return Err(NoFrame);
    }
    let length = bytes.get_u32() as usize;
    if length > LARGEST_HEAD || length > bytes.len() {
        return Err(NoFrame);
    }
    let head = bytes.split_to(length);
    let head = serde_json::from_slice(&head).map_err(|_| NoFrame)?;
    Ok((head, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_as_they_were_written() {
        for frame in [
            LinkFrame::head(FrameHead::Watch {
                rooms: vec!["1".into(), "boardroom".into()],
                depth: Depth::All,
                number: Some(u64::MAX),
            }),
            LinkFrame::head(FrameHead::NotHere(u64::MAX)),
            LinkFrame {
                head: FrameHead::State {
                    topic: "room/1/camera/snapshot/near".into(),
                    content_type: Some("image/jpeg".into()),
                    cleared: false,
                },
                body: Bytes::from_static(b"\xff\xd8\0"),
            },
        ] {
            assert_eq!(LinkFrame::decode(frame.encode()), Ok(frame));
        }
    }

    #[test]
    fn frames_of_versions_that_number_nothing_are_read() {
        let watch = FrameHead::Watch {
            rooms: vec!["1".into()],
            depth: Depth::All,
            number: None,
        };
        let all_sent = FrameHead::AllSent {
            room: "1".into(),
            complete: true,
            number: None,
        };
        for (head, text) in [
            (watch, "{\"watch\":{\"rooms\":[\"1\"],\"depth\":\"all\"}}"),
            (
                all_sent,
                "{\"all_sent\":{\"room\":\"1\",\"complete\":true}}",
            ),
        ] {
            assert_eq!(serde_json::to_string(&head).unwrap(), text);
            assert_eq!(serde_json::from_str::<FrameHead>(text).unwrap(), head);
        }
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        for bytes in [
            &b""[..],
            b"\0\0\0",
            b"\0\0\0\x05{}",
            b"\xff\xff\xff\xff{}",
            b"\0\0\0\x02{}",
            b"\0\0\0\x09{\"a\":{}}x",
        ] {
            let bytes = Bytes::copy_from_slice(bytes);
            assert_eq!(LinkFrame::decode(bytes), Err(NoFrame));
        }
    }
}
