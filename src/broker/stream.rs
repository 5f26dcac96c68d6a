//! The connection as the library sees it: what the client sends is inspected first, and what the
//! library writes is corrected.
//!
//! Knows only frames: `inbound` and `outbound` decide. The gateway's own connection is not
//! inspected. Payloads are passed on in pieces as they come.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use mqtt5::broker::transport::WebSocketTransport;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::io::poll_read_buf;

use super::corrections::Correction;
use super::frames::{Frame, kind};
use super::gateway_stream::GatewayStream;
use super::inbound::{InboundPackets, PacketVerdict};
use super::keep_alive::KeepAlive;
use super::large_packet::LargePacket;
use super::limits::{LINGER_LIMITS, MOST_UNREAD_BYTES};
use super::outbound::Outbound;
use super::pace::ClientPace;
use super::refusals::RefusalThrottle;
use crate::net::{Lingering, poll_turn};

/// How much is read from a client at a time.
const READ_SIZE: usize = 8 << 10;

/// The connection of one client that has logged in.
pub struct InspectedStream {
    socket: TcpStream,
    peer: SocketAddr,
    /// What the client sent and the library has not taken.
    received: BytesMut,
    /// Whole packets for the library that no client sent, between two of the client's.
    for_library: BytesMut,
    /// What is waiting to be written, before anything else: whole packets.
    to_send: BytesMut,
    reading: Reading,
    /// The bytes that are left of the packet that the library is writing.
    writing: usize,
    /// Whole packets to send between two of the library's.
    answers: BytesMut,
    /// The answer to the packet that is coming, when the library has all of it.
    answer_at_end: Vec<u8>,
    peer_kind: PeerKind,
    /// The last answer is written, and the connection ends.
    lingering: Option<Lingering>,
}

/// Whose connection it is.
pub enum PeerKind {
    /// A client's.
    Client(Box<Inspection>),
    /// The gateway's own.
    Gateway(GatewayStream),
}

/// What decides about the packets of one client.
pub struct Inspection {
    pub inbound: InboundPackets,
    pub outbound: Outbound,
    pub pace: ClientPace,
    pub large_packet: LargePacket,
    pub refusals: RefusalThrottle,
    pub keep_alive: KeepAlive,
}

/// What happens to the next bytes from the client.
#[derive(Debug, Clone, Copy)]
enum Reading {
    /// A packet begins.
    Head,
    /// This many bytes are for the library.
    Pass(usize),
    /// This many bytes are dropped.
    Drop(usize),
    /// The connection ends.
    End,
}

impl PeerKind {
    /// What to send instead of the packet that these bytes begin with, if that is wrong.
    fn correct(&mut self, frame: &Frame, bytes: &[u8]) -> Option<Correction> {
        let inspection = match self {
            Self::Client(inspection) => inspection,
            Self::Gateway(gateway) => {
                gateway.writes(frame, bytes);
                return None;
            }
        };
        let Inspection {
            inbound,
            outbound,
            pace,
            keep_alive,
            ..
        } = &mut **inspection;
        if keep_alive.is_owed(frame) {
            return Some(Correction::Drop(Vec::new()));
        }
        let correction = outbound.correct(frame, bytes.get(..frame.length())?, inbound);
        let is_dropped = matches!(correction, Some(Correction::Drop(_)));
        if frame.kind == kind::PUBLISH {
            inbound.replay.sent(frame.length());
            if !is_dropped {
                pace.sends(frame, bytes, outbound.is_mqtt_5);
            }
        }
        correction
    }
}

impl InspectedStream {
    /// The stream of a client. `received` begins with its CONNECT, as the library is to see it,
    /// which has this many bytes.
    pub fn new(
        socket: TcpStream,
        peer: SocketAddr,
        received: BytesMut,
        connect_length: usize,
        peer_kind: PeerKind,
    ) -> Self {
        Self {
            socket,
            peer,
            received,
            for_library: BytesMut::new(),
            to_send: BytesMut::new(),
            reading: Reading::Pass(connect_length),
            writing: 0,
            answers: BytesMut::new(),
            answer_at_end: Vec::new(),
            peer_kind,
            lingering: None,
        }
    }

    /// Writes what waits to be written. Answers go between two packets of the library.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let PeerKind::Gateway(gateway) = &mut self.peer_kind {
            while self.answers.len() < MOST_UNREAD_BYTES
                && let Poll::Ready(Some(packet)) = gateway.poll_mail(cx)
            {
                self.answers.extend_from_slice(&packet);
            }
        }
        loop {
            if self.writing == 0 && !self.answers.is_empty() {
                self.to_send.unsplit(self.answers.split());
            }
            if self.to_send.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let written = ready!(Pin::new(&mut self.socket).poll_write(cx, &self.to_send))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.to_send.advance(written);
        }
    }

    /// Decides about the packet at the start of `received`. Says how many bytes of it are needed
    /// if there are too few.
    fn inspect(&mut self) -> Option<usize> {
        let frame = match Frame::at(&self.received) {
            Ok(Some(frame)) => frame,
            Ok(None) => return Some(self.received.len() + 1),
            Err(_) => {
                self.reading = Reading::End;
                if let PeerKind::Client(inspection) = &self.peer_kind {
                    self.answers.extend(inspection.inbound.malformed());
                }
                return None;
            }
        };
        let inspection = match &mut self.peer_kind {
            PeerKind::Client(inspection) => inspection,
            PeerKind::Gateway(gateway) => {
                let read = gateway.reads(&frame, &mut self.received);
                if read.is_ok() {
                    self.reading = Reading::Pass(frame.length());
                }
                return read.err();
            }
        };
        inspection.pace.acknowledges(&frame, &self.received);
        if frame.kind == kind::SUBSCRIBE && inspection.pace.takes_everything() {
            inspection.inbound.replay.takes_everything(Instant::now());
        }
        match inspection.inbound.inspect(&frame, &self.received) {
            PacketVerdict::NeedMore(length) => return Some(length),
            PacketVerdict::Pass => {
                inspection.keep_alive.passes();
                inspection.large_packet.begins(frame.length());
                self.reading = Reading::Pass(frame.length());
            }
            PacketVerdict::Replace {
                length,
                with,
                answer,
            } => {
                inspection.keep_alive.passes();
                inspection.large_packet.begins(frame.length());
                self.replace(&frame, length, &with);
                self.answer_at_end = answer;
            }
            PacketVerdict::Answer(answer) => {
                if frame.kind != kind::PUBREL {
                    inspection.refusals.refused();
                }
                self.answers.extend(answer);
                let instead = inspection.keep_alive.withholds();
                self.for_library.extend_from_slice(instead);
                self.reading = Reading::Drop(frame.length());
            }
            PacketVerdict::End(answer) => {
                self.answers.extend(answer);
                self.reading = Reading::End;
            }
        }
        None
    }

    /// Ends the connection after the last answer.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            ready!(self.poll_send(cx))?;
        }
        let new = || Lingering::new(LINGER_LIMITS);
        self.lingering
            .get_or_insert_with(new)
            .poll(&mut self.socket, cx)
    }

    /// The library gets other bytes instead of the first ones of a packet.
    fn replace(&mut self, frame: &Frame, length: usize, with: &[u8]) {
        self.reading = Reading::Pass(with.len() + frame.length() - length);
        let rest = self.received.split_off(length);
        self.received = BytesMut::from(with);
        self.received.unsplit(rest);
    }

    fn waiting_to_send(&self) -> usize {
        self.to_send.len() + self.answers.len()
    }

    /// Ends the connection of a client that does not take what it subscribed to.
    fn check_pace(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let PeerKind::Client(inspection) = &mut self.peer_kind else {
            return Ok(());
        };
        let checked = inspection.pace.check(cx);
        checked.inspect_err(|_| inspection.inbound.was_too_slow())
    }

    fn wrote(&mut self, written: Option<usize>) {
        if let PeerKind::Client(inspection) = &mut self.peer_kind {
            inspection.pace.wrote(written);
        }
    }

    /// Ready if the client's next packet may be looked at: others have had their turn, it was not
    /// refused too much lately, and few of its commands are on their way to the gateway.
    fn poll_next_packet(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let PeerKind::Client(inspection) = &mut self.peer_kind else {
            return Poll::Ready(());
        };
        ready!(inspection.refusals.poll_over(cx));
        ready!(inspection.inbound.tickets.poll_may_pass(cx));
        poll_turn(cx)
    }

    /// Reads from the socket until this many bytes are there. `false` at the end of the stream.
    fn poll_receive(&mut self, cx: &mut Context<'_>, length: usize) -> Poll<io::Result<bool>> {
        while self.received.len() < length {
            self.received.reserve(READ_SIZE);
            let socket = Pin::new(&mut self.socket);
            if ready!(poll_read_buf(socket, cx, &mut self.received))? == 0 {
                return Poll::Ready(Ok(false));
            }
        }
        Poll::Ready(Ok(true))
    }
}

impl AsyncRead for InspectedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_pace(cx)?;
        loop {
            let sent = self.poll_send(cx)?;
            // A client that does not read its answers is not served further.
            if sent.is_pending() && self.waiting_to_send() > MOST_UNREAD_BYTES {
                return Poll::Pending;
            }
            match self.reading {
                Reading::Head if !self.for_library.is_empty() => {
                    let length = self.for_library.len().min(buf.remaining());
                    buf.put_slice(&self.for_library.split_to(length));
                    return Poll::Ready(Ok(()));
                }
                Reading::Head => {
                    ready!(self.poll_next_packet(cx));
                    if let Some(length) = self.inspect()
                        && !ready!(self.poll_receive(cx, length))?
                    {
                        return Poll::Ready(Ok(()));
                    }
                }
                Reading::Pass(0) | Reading::Drop(0) => {
                    if let PeerKind::Client(inspection) = &mut self.peer_kind {
                        let place = inspection.large_packet.ends();
                        inspection.inbound.tickets.arrived(place);
                    }
                    let answer = std::mem::take(&mut self.answer_at_end);
                    self.answers.extend(answer);
                    self.reading = Reading::Head;
                }
                Reading::Pass(left) => {
                    if let PeerKind::Client(inspection) = &mut self.peer_kind {
                        ready!(inspection.large_packet.poll_may_come(cx))?;
                    }
                    if !ready!(self.poll_receive(cx, 1))? {
                        return Poll::Ready(Ok(()));
                    }
                    let length = left.min(self.received.len()).min(buf.remaining());
                    buf.put_slice(&self.received[..length]);
                    self.received.advance(length);
                    self.reading = Reading::Pass(left - length);
                    return Poll::Ready(Ok(()));
                }
                Reading::Drop(left) => {
                    if !ready!(self.poll_receive(cx, 1))? {
                        return Poll::Ready(Ok(()));
                    }
                    let length = left.min(self.received.len());
                    self.received.advance(length);
                    self.reading = Reading::Drop(left - length);
                }
                Reading::End => {
                    // To the library this is a client that went without DISCONNECT.
                    return self.poll_end(cx);
                }
            }
        }
    }
}

impl AsyncWrite for InspectedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.lingering.is_some() {
            // Nothing more goes to the client, which has its last answer.
            return Poll::Ready(Ok(buf.len()));
        }
        self.check_pace(cx)?;
        if self.poll_send(cx)?.is_pending() {
            self.wrote(None);
            return Poll::Pending;
        }
        if self.writing == 0 {
            // The library writes packet after packet, each in one piece.
            let Ok(Some(frame)) = Frame::at(buf) else {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            };
            match self.peer_kind.correct(&frame, buf) {
                None => self.writing = frame.length(),
                Some(Correction::Replace { replaced, with }) => {
                    self.to_send.extend_from_slice(&with);
                    self.writing = frame.length() - replaced;
                    // What cannot be written now is written before the next bytes, or at the flush.
                    let _ = self.poll_send(cx)?;
                    return Poll::Ready(Ok(replaced));
                }
                Some(Correction::Drop(answer)) => {
                    self.for_library.extend_from_slice(&answer);
                    return Poll::Ready(Ok(frame.length()));
                }
            }
        }
        let length = self.writing.min(buf.len());
        let Poll::Ready(written) = Pin::new(&mut self.socket).poll_write(cx, &buf[..length])?
        else {
            self.wrote(None);
            // Sees to it that the client is looked at again.
            self.check_pace(cx)?;
            return Poll::Pending;
        };
        self.wrote(Some(written));
        self.writing -= written;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// The library's only transport that takes any stream. Nothing of WebSocket is spoken here.
impl WebSocketTransport for InspectedStream {
    fn peer_addr(&self) -> mqtt5::error::Result<SocketAddr> {
        Ok(self.peer)
    }
}

#[cfg(test)]
mod tests;
