//! Plain lines over bare TCP, for controllers that have neither JSON nor WebSocket.
//!
//! Owns the splitting into lines and the first line, `token …`. [`clients`](crate::doors::clients)
//! handles the lines.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::command::DoorKind;
use crate::doors::access::{Denied, Grant, Sender};
use crate::doors::clients::{
    Clients, CloseReason, Disconnected, FrameFormat, FrameSink, FrameSource, Incoming, NewClient,
    Outgoing, close_client, serve_client,
};
use crate::net::{Listener, Peer, Stream};
use crate::telemetry::ClientRefusal;

/// Room in the buffer for one read: most lines are far below 1 KB.
const READ_BYTES: usize = 1024;

/// The longest first line. A token has at most some hundred bytes; who sent none yet is not trusted
/// with more memory.
pub const MAX_GREETING: usize = 4 << 10;

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
            .map_err(|error| error.to_string())?;
        let stop_accepting = CancellationToken::new();
        let tasks = clients.tasks.clone();
        let serve = move |stream, peer| {
            let clients = clients.clone();
            async move { serve(stream, peer, &clients).await }
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

async fn serve(stream: Box<dyn Stream>, peer: Peer, clients: &Arc<Clients>) {
    let (read, write) = split(stream);
    let sink = LineSink { write };
    let mut source = LineSource {
        read,
        buffer: BytesMut::new(),
        searched: 0,
        max_line: MAX_GREETING,
    };
    let greeted = tokio::select! {
        greeted = greet(&mut source, &peer, clients) => greeted,
        () = clients.stopping.cancelled() => Err(CloseReason::Stopping),
    };
    source.max_line = clients.limits.max_message;
    let (grant, _slot) = match greeted {
        Ok(greeted) => greeted,
        Err(reason) => return close_client(clients, reason, source, sink).await,
    };
    let new = NewClient {
        grant,
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
    peer: &Peer,
    clients: &Clients,
) -> Result<(Grant, OwnedSemaphorePermit), CloseReason> {
    let mut first = None;
    if clients.access.is_open() {
        if clients.is_full() {
            clients.telemetry.client_refused(ClientRefusal::Limit);
            return Err(CloseReason::TooManyClients);
        }
        source.wait_for_bytes().await;
    } else {
        let line = timeout(clients.limits.greeting_timeout, source.next()).await;
        first = match line.map_err(|_| CloseReason::BadToken)? {
            Incoming::Text(line) => Some(line),
            Incoming::End(reason) => return Err(reason),
            Incoming::Binary(_) | Incoming::KeepAlive | Incoming::Ping => None,
        };
    }
    let token = first
        .as_deref()
        .and_then(|line| line.strip_prefix("token "));
    let sender = Sender {
        door: DoorKind::Tcp,
        address: peer.addr.ip(),
    };
    let grant = clients.access.admit(sender, token.map(str::trim)).await;
    let grant = grant.map_err(|denied| {
        clients.telemetry.client_refused(ClientRefusal::Token);
        match denied {
            Denied::Missing | Denied::Wrong => CloseReason::BadToken,
            Denied::TooOften { .. } => CloseReason::TooManyGuesses,
        }
    })?;
    let slot = clients.reserve_slot(Some(&peer.place))?;
    Ok((grant, slot))
}

struct LineSource {
    read: ReadHalf<Box<dyn Stream>>,
    buffer: BytesMut,
    /// So many bytes at the beginning hold no line end. A line that comes in pieces is searched once.
    searched: usize,
    max_line: usize,
}

impl LineSource {
    /// Waits until the client has sent anything, or has left.
    async fn wait_for_bytes(&mut self) {
        if self.buffer.is_empty() {
            // The next read says what went wrong.
            let _ = self.fill().await;
        }
    }

    /// Reads more; 0 at the end.
    async fn fill(&mut self) -> std::io::Result<usize> {
        self.buffer.reserve(READ_BYTES);
        self.read.read_buf(&mut self.buffer).await
    }
}

impl FrameSource for LineSource {
    async fn next(&mut self) -> Incoming {
        loop {
            let mut new = self.buffer.iter().skip(self.searched);
            let end = new.position(|byte| *byte == b'\n');
            let end = end.map(|end| self.searched + end);
            self.searched = end.map_or(self.buffer.len(), |_| 0);
            if end.unwrap_or(self.buffer.len()) > self.max_line {
                return Incoming::End(CloseReason::MessageTooLarge);
            }
            if let Some(end) = end {
                let line = self.buffer.split_to(end);
                self.buffer.advance(1);
                return match String::from_utf8(line.to_vec()) {
                    Ok(line) => Incoming::Text(line),
                    Err(_) => Incoming::End(CloseReason::InvalidText),
                };
            }
            match self.fill().await {
                Ok(0) | Err(_) => return Incoming::End(CloseReason::ClientLeft),
                Ok(_) => {}
            }
        }
    }

    async fn drain(&mut self) {
        self.buffer.clear();
        self.searched = 0;
        while let Ok(1..) = self.fill().await {
            self.buffer.clear();
        }
    }
}

struct LineSink {
    write: WriteHalf<Box<dyn Stream>>,
}

impl FrameSink for LineSink {
    async fn send(&mut self, frame: Outgoing) -> Result<(), Disconnected> {
        match frame {
            Outgoing::Text(line) => {
                let line = format!("{line}\r\n");
                let sent = self.write.write_all(line.as_bytes()).await;
                sent.map_err(|_| Disconnected)
            }
            // Lines have neither.
            Outgoing::Binary(_) | Outgoing::Ping => Ok(()),
        }
    }

    async fn flush(&mut self) -> Result<(), Disconnected> {
        self.write.flush().await.map_err(|_| Disconnected)
    }

    async fn close(&mut self, reason: CloseReason) {
        if let Some(reason) = reason.message() {
            // The client may be gone already.
            let _ = self
                .send(Outgoing::Text(format!("closed {reason}").into()))
                .await;
        }
        let _ = self.write.shutdown().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(sent: &[u8]) -> Vec<Incoming> {
        let (mut here, there) = tokio::io::duplex(64);
        let stream: Box<dyn Stream> = Box::new(there);
        let mut source = LineSource {
            read: split(stream).0,
            buffer: BytesMut::new(),
            searched: 0,
            max_line: 8,
        };
        let sent = sent.to_vec();
        let sender = tokio::spawn(async move {
            let _ = here.write_all(&sent).await;
        });
        let mut received = Vec::new();
        loop {
            received.push(source.next().await);
            if matches!(received.last(), Some(Incoming::End(_))) {
                drop(source);
                sender.await.unwrap();
                return received;
            }
        }
    }

    #[tokio::test]
    async fn lines_end_in_cr_lf_or_lf_and_have_a_length() {
        let text = |text: &str| Incoming::Text(text.into());
        let left = Incoming::End(CloseReason::ClientLeft);
        assert_eq!(
            lines(b"a\r\nb\n\nhalf").await,
            [text("a\r"), text("b"), text(""), left]
        );
        assert_eq!(
            lines(b"12345678\n123456789\n").await[1],
            Incoming::End(CloseReason::MessageTooLarge)
        );
        assert_eq!(
            lines(&[b'x'; 1000]).await,
            [Incoming::End(CloseReason::MessageTooLarge)]
        );
        assert_eq!(
            lines(b"\xff\n").await,
            [Incoming::End(CloseReason::InvalidText)]
        );
    }
}
