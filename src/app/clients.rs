//! The doors whose clients connect to the gateway: HTTP with WebSocket, and plain lines.

use std::sync::Arc;

use tokio::net::TcpListener;

use super::core::Core;
use super::files::ConnectionShares;
use crate::command::DoorKind;
use crate::doors::clients::Clients;
use crate::doors::http::{HttpDoor, HttpSettings, Sampler};
use crate::doors::tcp::TcpDoor;
use crate::net::{Listener, ServerTls};

/// What both doors are started with.
pub struct ClientDoors<'a> {
    /// The rooms, and the links to those of other gateways.
    pub core: &'a Core,
    /// Their clients.
    pub clients: &'a Arc<Clients>,
    /// The certificate of the configuration, if it names one.
    pub tls: Option<&'a Arc<ServerTls>>,
    /// How many connections each may have.
    pub shares: ConnectionShares,
}

impl ClientDoors<'_> {
    /// Starts HTTP and WebSocket, if there is a socket for them.
    ///
    /// # Errors
    /// The socket cannot be used.
    pub fn start_http(
        &self,
        socket: Option<TcpListener>,
        sampler: Sampler,
    ) -> Result<Option<HttpDoor>, String> {
        let Some(socket) = socket else {
            return Ok(None);
        };
        let listener = self.listener(DoorKind::Http, socket, self.shares.http, self.tls);
        let members = self.core.links.as_ref().map(|links| links.door.clone());
        let settings = HttpSettings::new(&self.core.config.http);
        let door = HttpDoor::start(listener, self.clients.clone(), members, settings, sampler)?;
        let telemetry = &self.core.telemetry;
        telemetry.http_started(door.addr(), self.tls.is_some());
        Ok(Some(door))
    }

    /// Starts plain lines, if there is a socket for them.
    ///
    /// # Errors
    /// The socket cannot be used.
    pub fn start_tcp(&self, socket: Option<TcpListener>) -> Result<Option<TcpDoor>, String> {
        let Some(socket) = socket else {
            return Ok(None);
        };
        let has_tls = self.core.config.tcp.tls;
        let tls = self.tls.filter(|_| has_tls);
        let listener = self.listener(DoorKind::Tcp, socket, self.shares.tcp, tls);
        let door = TcpDoor::start(listener, self.clients.clone())?;
        self.core.telemetry.lines_started(door.addr(), has_tls);
        Ok(Some(door))
    }

    fn listener(
        &self,
        door: DoorKind,
        socket: TcpListener,
        connections: usize,
        tls: Option<&Arc<ServerTls>>,
    ) -> Listener {
        let limits = &self.clients.limits;
        Listener {
            socket,
            tls: tls.cloned(),
            connections,
            handshake_timeout: limits.greeting_timeout,
            write_timeout: limits.send_timeout,
            door,
            telemetry: self.core.telemetry.clone(),
        }
    }
}
