//! Clients of all doors and of the embedded broker: who comes, who goes, who is refused.

use std::net::IpAddr;

use super::DOORS;
use crate::command::DoorKind;
use crate::network::Network;
use crate::telemetry::Telemetry;
use crate::telemetry::floods::Subject;

const BROKER: &str = "poly2mqtt::broker";

/// Why a client was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientRefusal {
    /// It has no token, or a wrong one.
    Token,
    /// There are too many clients already.
    Limit,
    /// All places for connections are taken; this one, or an older one, was closed.
    Place,
    /// A web page of another origin.
    Origin,
    /// It asked for a host name that is not in `http.hosts`.
    Host,
    /// Its request names two hosts, origins or tokens, or no host.
    Request,
}

impl ClientRefusal {
    fn label(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Limit => "limit",
            Self::Place => "place",
            Self::Origin => "origin",
            Self::Host => "host",
            Self::Request => "request",
        }
    }
}

/// Clients of the doors.
impl Telemetry {
    /// A client connected. [`Telemetry::client_disconnected`] must follow.
    pub fn client_connected(&self, door: DoorKind) {
        let clients = self.metrics.clients(door.as_str()).inc();
        tracing::debug!(target: DOORS, door = door.as_str(), clients = clients + 1, "client connected");
    }

    /// A client has gone.
    pub fn client_disconnected(&self, door: DoorKind) {
        let clients = self.metrics.clients(door.as_str()).dec();
        tracing::debug!(target: DOORS, door = door.as_str(), clients = clients - 1, "client disconnected");
    }

    /// A client was refused.
    pub fn client_refused(&self, why: ClientRefusal) {
        self.metrics.client_refused(why.label());
        tracing::debug!(target: DOORS, why = why.label(), "client refused");
    }

    /// A wrong token or password was checked. The line is for programs that block addresses, so its form
    /// is documented in docs/monitoring.md, and no span stands before it. Of an address that goes on,
    /// every twelfth has a line: one in a minute. With very many addresses the others are counted.
    pub fn wrong_secret(&self, door: DoorKind, address: IpAddr, failures: u32) {
        self.metrics.guess(door.as_str());
        let has_line = failures <= 6 || failures.is_multiple_of(12);
        let subject = Subject::WrongSecret(door);
        if has_line && self.floods.is_in_full(subject, &Network::of(address)) {
            let door = door.as_str();
            tracing::warn!(target: DOORS, parent: None, door, %address, failures, "wrong token or password");
        }
    }

    /// An event was dropped, because a reader did not take its events fast enough.
    pub fn event_dropped(&self, door: DoorKind) {
        self.metrics.event_dropped(door.as_str());
    }

    /// The embedded broker denied something to a client because of a limit. Clients can cause any
    /// number of these, so no line.
    pub fn broker_limited(&self, limit: &'static str) {
        self.metrics.broker.limited(limit);
        tracing::debug!(target: BROKER, limit, "a client reached a limit");
    }
}
