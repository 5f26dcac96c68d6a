//! Plain lines over bare TCP, for controllers that have neither JSON nor WebSocket.
//!
//! Owns the splitting into lines and the first line, `token …`. What the lines mean is the
//! [conversation](crate::doors::conversation)'s.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::command::DoorKind;
use crate::doors::conversation::{
    Clients, Ending, Format, Gone, Received, Sent, Sink, Source, Visitor, converse, dismiss,
};
use crate::net::{Listener, Stream};
use crate::telemetry::ClientRefusal;

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

    /// Accepts no more clients; those that are connected go on.
    pub fn stop_accepting(&self) {
        self.stop_accepting.cancel();
    }

    /// Accepts no more clients, and waits until `deadline` until that is so. Those that are connected
    /// end with [`Clients::stop`].
    pub async fn stop(self, deadline: Instant) {
        self.stop_accepting.cancel();
        // The task ends by itself, at once; a panic in it has been reported already.
        let _ = timeout_at(deadline, self.accepting).await;
    }
}

async fn serve(stream: Box<dyn Stream>, peer: SocketAddr, clients: &Arc<Clients>) {
    let (read, write) = split(stream);
    let sink = LineSink { write };
    let mut source = LineSource {
        read,
        buffer: BytesMut::new(),
        longest: clients.limits.message,
    };
    let greeted = async {
        let _place = clients.place().ok_or(Ending::TooMany)?;
        let mut first = None;
        if !clients.access.is_open() {
            let line = timeout(clients.limits.greeting, source.next()).await;
            first = match line.map_err(|_| Ending::BadToken)? {
                Received::Text(line) => Some(line),
                Received::End(ending) => return Err(ending),
                Received::Binary(_) | Received::Sign => None,
            };
        }
        let token = first
            .as_deref()
            .and_then(|line| line.strip_prefix("token "));
        let admitted = clients.access.admit(peer.ip(), token.map(str::trim)).await;
        let grant = admitted.map_err(|_| {
            clients.telemetry.client_refused(ClientRefusal::Token);
            Ending::BadToken
        })?;
        Ok((grant, _place))
    };
    let (grant, _place) = match greeted.await {
        Ok(greeted) => greeted,
        Err(ending) => return dismiss(clients, ending, source, sink).await,
    };
    let visitor = Visitor {
        grant,
        door: DoorKind::Tcp,
        format: Format::Plain,
        filters: Vec::new(),
        // A controller may be silent for hours; that it is gone is TCP's to find out.
        answers_pings: false,
    };
    converse(clients, visitor, source, sink).await;
}

struct LineSource {
    read: ReadHalf<Box<dyn Stream>>,
    buffer: BytesMut,
    longest: usize,
}

impl Source for LineSource {
    async fn next(&mut self) -> Received {
        loop {
            let end = self.buffer.iter().position(|byte| *byte == b'\n');
            if end.unwrap_or(self.buffer.len()) > self.longest {
                return Received::End(Ending::TooLarge);
            }
            if let Some(end) = end {
                let line = self.buffer.split_to(end);
                self.buffer.advance(1);
                return match String::from_utf8(line.to_vec()) {
                    Ok(line) => Received::Text(line),
                    Err(_) => Received::End(Ending::NotText),
                };
            }
            self.buffer.reserve(1024);
            match self.read.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return Received::End(Ending::Left),
                Ok(_) => {}
            }
        }
    }

    async fn rest(&mut self) {
        self.buffer.clear();
        while let Ok(1..) = self.read.read_buf(&mut self.buffer).await {
            self.buffer.clear();
        }
    }
}

struct LineSink {
    write: WriteHalf<Box<dyn Stream>>,
}

impl Sink for LineSink {
    async fn send(&mut self, frame: Sent) -> Result<(), Gone> {
        match frame {
            Sent::Text(line) => {
                let line = format!("{line}\r\n");
                let sent = self.write.write_all(line.as_bytes()).await;
                sent.map_err(|_| Gone)
            }
            // Neither exists on lines.
            Sent::Binary(_) | Sent::Ping => Ok(()),
        }
    }

    async fn flush(&mut self) -> Result<(), Gone> {
        self.write.flush().await.map_err(|_| Gone)
    }

    async fn close(&mut self, ending: Ending) {
        if let Some(reason) = ending.reason() {
            // Nobody may be there to read it.
            let _ = self
                .send(Sent::Text(format!("closed {reason}").into()))
                .await;
        }
        let _ = self.write.shutdown().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(sent: &[u8]) -> Vec<Received> {
        let (mut here, there) = tokio::io::duplex(64);
        let stream: Box<dyn Stream> = Box::new(there);
        let mut source = LineSource {
            read: split(stream).0,
            buffer: BytesMut::new(),
            longest: 8,
        };
        let sent = sent.to_vec();
        let sender = tokio::spawn(async move {
            let _ = here.write_all(&sent).await;
        });
        let mut received = Vec::new();
        loop {
            received.push(source.next().await);
            if matches!(received.last(), Some(Received::End(_))) {
                drop(source);
                sender.await.unwrap();
                return received;
            }
        }
    }

    #[tokio::test]
    async fn lines_end_in_cr_lf_or_lf_and_have_a_length() {
        let text = |text: &str| Received::Text(text.into());
        let left = Received::End(Ending::Left);
        assert_eq!(
            lines(b"a\r\nb\n\nhalf").await,
            [text("a\r"), text("b"), text(""), left]
        );
        assert_eq!(
            lines(b"12345678\n123456789\n").await[1],
            Received::End(Ending::TooLarge)
        );
        assert_eq!(
            lines(&[b'x'; 1000]).await,
            [Received::End(Ending::TooLarge)]
        );
        assert_eq!(lines(b"\xff\n").await, [Received::End(Ending::NotText)]);
    }
}
