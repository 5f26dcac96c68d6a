//! What the MQTT door passes on to the publisher.

use bytes::Bytes;

use crate::gateway_id::MessageOwner;

/// A message of another program at the broker, for a part of the gateway that asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundMessage {
    /// The topic as the broker knows it.
    pub topic: String,
    /// The payload.
    pub payload: Bytes,
    /// The gateway that has published it, if one has.
    pub owner: MessageOwner,
}
