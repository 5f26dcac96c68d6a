//! What a room needs to know of the gateways that share it.
//!
//! Owns only the questions. A gateway that is alone asks none: it runs every configured room.

use std::fmt::Debug;
use std::sync::Arc;

use crate::config::RoomConfig;
use crate::device::{DeviceFence, SessionStore};

/// Which of the configured rooms this gateway runs.
pub trait RoomSharing: Debug + Send + Sync {
    /// Whether this gateway runs the room now.
    fn owns(&self, room: &str) -> bool;

    /// Whether requests to the room's device may begin.
    fn fence(&self, room: &Arc<str>) -> DeviceFence;

    /// Where the room's sessions are kept, so that the next gateway finds them.
    fn sessions(&self, room: &Arc<str>, config: &RoomConfig) -> SessionStore;
}

/// How a room leaves this gateway for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    /// It finishes what it began. The other gateway waits for that.
    HandedOver,
    /// At once, without any request: another gateway may have it already.
    Lost,
}

/// Where a room comes from that starts at this gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreviousOwner {
    /// Nobody had it, as far as is known: it is offline until its device was reached.
    Nobody,
    /// Another gateway had it: what that one has said of it stays until this one knows better.
    AnotherGateway,
}
