//! What the journal says of a request.

use std::net::SocketAddr;

use bytes::Bytes;
use tokio::time::Instant;

use super::FaultKind;

/// An entry of the journal: a request that reached the device, and its answer.
#[derive(Debug, Clone)]
pub struct JournalEntry {
    /// Where the connection came from.
    pub client: SocketAddr,
    /// The method.
    pub method: String,
    /// The path as it was sent, still encoded.
    pub path: String,
    /// The query as it was sent.
    pub query: String,
    /// The `Content-Type`.
    pub content_type: Option<String>,
    /// The `Cookie`.
    pub cookie: Option<String>,
    /// The `X-XSRF-Token`.
    pub token: Option<String>,
    /// The body.
    pub body: Bytes,
    /// The status of the answer; 0 if the connection was dropped instead.
    pub status: u16,
    /// When it arrived.
    pub came: Instant,
    /// When it was answered, or dropped.
    pub answered: Instant,
    /// The status before any fault changed the answer; `None` if a fault kept the request away.
    pub acted: Option<u16>,
    /// The fault that applied to it.
    pub fault: Option<FaultKind>,
    /// The session that it created.
    pub session: Option<String>,
}
