//! The doors whose clients connect to the gateway: HTTP with WebSocket, and plain lines.

use std::sync::Arc;

use tokio::net::TcpListener;

use crate::cluster::link::MemberDoor;
use crate::command::DoorKind;
use crate::config::Config;
use crate::doors::clients::Clients;
use crate::doors::http::{HttpDoor, HttpSettings, Sampler};
use crate::doors::tcp::TcpDoor;
use crate::net::{Listener, ServerTls};

/// Starts HTTP and WebSocket, if there is a socket for them.
///
/// # Errors
/// The socket cannot be used.
pub fn start_http(
    config: &Config,
    socket: Option<TcpListener>,
    tls: Option<&Arc<ServerTls>>,
    connections: usize,
    clients: &Arc<Clients>,
    members: Option<Arc<MemberDoor>>,
    sampler: Sampler,
) -> Result<Option<HttpDoor>, String> {
    let Some(socket) = socket else {
        return Ok(None);
    };
    let listener = Listener {
        socket,
        tls: tls.cloned(),
        connections,
        handshake_timeout: clients.limits.greeting_timeout,
        write_timeout: clients.limits.send_timeout,
        door: DoorKind::Http,
        telemetry: clients.telemetry.clone(),
    };
    let settings = HttpSettings::new(&config.http);
    let door = HttpDoor::start(listener, clients.clone(), members, settings, sampler)?;
    (clients.telemetry).http_started(door.addr(), tls.is_some());
    Ok(Some(door))
}

/// Starts plain lines, if there is a socket for them.
///
/// # Errors
/// The socket cannot be used.
pub fn start_tcp(
    config: &Config,
    socket: Option<TcpListener>,
    tls: Option<&Arc<ServerTls>>,
    connections: usize,
    clients: &Arc<Clients>,
) -> Result<Option<TcpDoor>, String> {
    let Some(socket) = socket else {
        return Ok(None);
    };
    let listener = Listener {
        socket,
        tls: tls.filter(|_| config.tcp.tls).cloned(),
        connections,
        handshake_timeout: clients.limits.greeting_timeout,
        write_timeout: clients.limits.send_timeout,
        door: DoorKind::Tcp,
        telemetry: clients.telemetry.clone(),
    };
    let door = TcpDoor::start(listener, clients.clone())?;
    (clients.telemetry).lines_started(door.addr(), config.tcp.tls);
    Ok(Some(door))
}
