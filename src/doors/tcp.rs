//! Plain lines over bare TCP, for controllers that have neither JSON nor WebSocket.
//!
//! Owns the door and the log-in: the line `token …`. How bytes become lines is in `line_parser` and
//! `telnet`; [`clients`](crate::doors::clients) handles the lines.

mod line_parser;
mod lines;
mod telnet;

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::command::DoorKind;
use crate::doors::access::{Denied, Grant, Sender};
use crate::doors::clients::{
    ClientSlot, Clients, CloseReason, FrameFormat, FrameSink, FrameSource, Incoming, NewClient,
    Newcomer, OtherProtocol, close_client, plain, serve_client,
};
use crate::doors::paid_stream::paid_stream;
use crate::doors::payers::metered;
use crate::net::{Accepted, Listener, Peer, Place};
use crate::network::Network;
use crate::os_error;
use crate::telemetry::{ClientRefusal, FloodKind};
use lines::{LineSink, LineSource};

/// The longest first line. A token has at most some hundred bytes; who sent none yet is not trusted
/// with more memory.
pub const LARGEST_GREETING: usize = 4 << 10;
/// Blank lines and requests of telnet before the token. PuTTY sends eight requests.
const MOST_BEFORE_TOKEN: usize = 64;

/// The running door.
#[derive(Debug)]
pub struct TcpDoor {
    addr: SocketAddr,
    stop_accepting: CancellationToken,
    accepting: JoinHandle<()>,
}

impl TcpDoor {
    /// Takes clients at `listener`.
    ///
    /// # Errors
    /// The socket does not say where it listens.
    pub fn start(listener: Listener, clients: Arc<Clients>) -> Result<Self, String> {
        let addr = listener
            .socket
            .local_addr()
            .map_err(|error| os_error::words(&error))?;
        let stop_accepting = CancellationToken::new();
        let tasks = clients.tasks.clone();
        let serve = move |accepted, peer| {
            let clients = clients.clone();
            async move { serve(accepted, peer, &clients).await }
        };
        let accepting = tokio::spawn(listener.run(stop_accepting.clone(), tasks, serve));
        Ok(Self {
            addr,
            stop_accepting,
            accepting,
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Accepts no more clients; connected ones continue.
    pub fn stop_accepting(&self) {
        self.stop_accepting.cancel();
    }

    /// Accepts no more clients, and waits for that until `deadline`. Those that are
    /// connected end with [`Clients::stop`].
    pub async fn stop(self, deadline: Instant) {
        self.stop_accepting.cancel();
        // The task ends by itself, at once; a panic in it has been reported already.
        let _ = timeout_at(deadline, self.accepting).await;
    }
}

async fn serve(accepted: Accepted, peer: Peer, clients: &Arc<Clients>) {
    let stranger = clients.stranger(peer.addr.ip());
    let stream = tokio::select! {
        stream = paid_stream(accepted, stranger.clone()) => stream,
        () = clients.stopping.cancelled() => None,
    };
    let Some((stream, reads)) = stream else {
        return;
    };
    let (mut source, mut sink) = lines::split(stream, LARGEST_GREETING);
    let greeted = greet(&mut source, &mut sink, &peer, clients);
    let greeted = metered(greeted, |cost| stranger.charge(cost));
    let greeted = tokio::select! {
        greeted = greeted => greeted,
        () = clients.stopping.cancelled() => Err(CloseReason::Stopping),
    };
    let (grant, _slot) = match greeted {
        Ok(greeted) => greeted,
        Err(reason) => return close_client(clients, reason, source, sink).await,
    };
    let payer = clients.payer(&grant, peer.addr.ip());
    reads.becomes(payer.clone());
    source.is_admitted(&clients.limits, payer.clone());
    let new = NewClient {
        grant,
        payer,
        door: DoorKind::Tcp,
        format: FrameFormat::Plain,
        filters: Vec::new(),
        // A controller may be silent for hours. TCP keep-alive finds out that it is gone.
        answers_pings: false,
    };
    serve_client(clients, new, source, sink).await;
}

/// Lets a client in: a right token in the first line if one is needed, and a slot. Until then it
/// takes nothing that others need: its connection gives way to theirs. Without tokens its first
/// bytes count as the greeting, for which it has all the time it likes.
///
/// # Errors
/// Why the client must be closed.
async fn greet(
    source: &mut LineSource,
    sink: &mut LineSink,
    peer: &Peer,
    clients: &Clients,
) -> Result<(Grant, ClientSlot), CloseReason> {
    let mut token = None;
    if clients.access.is_open() {
        // Who would be turned away is told so at once. Its place is not held yet.
        clients.reserve_slot(newcomer(peer, &Grant::open(), None))?;
        check_protocol(source, peer, clients).await?;
    } else {
        let read = async {
            check_protocol(source, peer, clients).await?;
            read_token(source, sink).await
        };
        let read = timeout(clients.limits.greeting_timeout, read).await;
        token = read.unwrap_or_else(|_| {
            clients.telemetry.client_refused(ClientRefusal::Token);
            Err(CloseReason::BadToken)
        })?;
    }
    let sender = Sender {
        door: DoorKind::Tcp,
        address: peer.addr.ip(),
    };
    let grant = clients.access.admit(sender, token.as_deref()).await;
    let grant = grant.map_err(|denied| {
        clients.telemetry.client_refused(ClientRefusal::Token);
        match denied {
            Denied::Missing | Denied::Wrong => CloseReason::BadToken,
            Denied::TooOften { .. } => CloseReason::TooManyGuesses,
        }
    })?;
    let slot = clients.reserve_slot(newcomer(peer, &grant, Some(&peer.place)))?;
    Ok((grant, slot))
}

fn newcomer<'a>(peer: &Peer, grant: &'a Grant, place: Option<&'a Place>) -> Newcomer<'a> {
    Newcomer {
        door: DoorKind::Tcp,
        address: peer.addr.ip(),
        grant,
        place,
    }
}

/// Waits for the first bytes, and looks whether they are lines at all. Where no token is needed, this
/// keeps a web page from making a browser send lines in an HTTP request.
///
/// # Errors
/// They are of another protocol. Logged: the person who configured the client looks there.
async fn check_protocol(
    source: &mut LineSource,
    peer: &Peer,
    clients: &Clients,
) -> Result<(), CloseReason> {
    let Some(protocol) = OtherProtocol::of(source.first_bytes().await) else {
        return Ok(());
    };
    let network = Network::of(peer.addr.ip());
    let (kind, telemetry) = (FloodKind::OtherProtocol, &clients.telemetry);
    telemetry.flood(DoorKind::Tcp, kind, network, protocol.name());
    Err(CloseReason::OtherProtocol(protocol))
}

/// The token of the first line that is not blank; `None` if it is another line. Telnet's requests are
/// answered meanwhile, those that have come together by one write.
///
/// # Errors
/// The client left, or the line is too long.
async fn read_token(
    source: &mut LineSource,
    sink: &mut LineSink,
) -> Result<Option<String>, CloseReason> {
    let mut token = None;
    for _ in 0..MOST_BEFORE_TOKEN {
        let next = match source.next().now_or_never() {
            Some(next) => next,
            None => {
                sink.flush().await.map_err(|_| CloseReason::ClientLeft)?;
                source.next().await
            }
        };
        match next {
            Incoming::Text(line) if plain::is_blank(&line) => {}
            Incoming::Text(line) => {
                token = plain::token(&line).map(str::to_owned);
                break;
            }
            Incoming::Ping => {}
            Incoming::End(reason) => return Err(reason),
            Incoming::NoText(_) | Incoming::Binary(_) | Incoming::KeepAlive => break,
        }
    }
    sink.flush().await.map_err(|_| CloseReason::ClientLeft)?;
    Ok(token)
}
