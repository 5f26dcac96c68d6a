//! The two directions of one connection: lines from the client, and lines to it.

use std::io;
use std::mem;
use std::sync::Arc;

use bytes::BytesMut;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use super::line_parser::{LineParser, Parsed};
use crate::doors::clients::{
    ClientFrame, ClientLimits, CloseReason, Disconnected, FrameSink, FrameSource, Incoming,
};
use crate::doors::payers::{PartialMessage, Payer};
use crate::net::Stream;

/// Room in the buffer for one read: most lines are far below 1 KB.
const READ_BYTES: usize = 1024;

/// What a client is told that ends its side amid a line. It is not carried out: `10` may be the start of `100`.
const CUT_OFF: &str = "the last line has no line end; nothing was done";

/// Answers to requests of telnet that wait for the next flush. The source makes them, the sink writes
/// them. How many there can be is bounded by the answers that a client may leave unread.
#[derive(Debug, Clone, Default)]
struct TelnetAnswers(Arc<Mutex<Vec<u8>>>);

/// The two directions of a connection. A line has at most `max_line` bytes.
pub fn split(stream: Box<dyn Stream>, max_line: usize) -> (LineSource, LineSink) {
    let (read, write) = tokio::io::split(stream);
    let answers = TelnetAnswers::default();
    let source = LineSource {
        read,
        buffer: BytesMut::new(),
        parser: LineParser::default(),
        max_line,
        partial: None,
        told_cut_off: false,
        answers: answers.clone(),
    };
    let sink = LineSink {
        write,
        unwritten: BytesMut::new(),
        answers,
    };
    (source, sink)
}

/// The lines of a client.
pub struct LineSource {
    read: ReadHalf<Box<dyn Stream>>,
    buffer: BytesMut,
    parser: LineParser,
    /// The longest line.
    max_line: usize,
    /// What the line that is coming takes, once it may be a long one.
    partial: Option<PartialMessage>,
    answers: TelnetAnswers,
    /// The client has been told that its last line has no end.
    told_cut_off: bool,
}

impl LineSource {
    /// The client was let in: its lines may be longer.
    pub fn is_admitted(&mut self, limits: &ClientLimits, payer: Arc<Payer>) {
        self.max_line = limits.max_message;
        let partial = PartialMessage::new(payer, limits.max_message, limits.body_timeout);
        self.partial = Some(partial);
    }

    /// What came in the first packet; nothing if the client left.
    pub async fn first_bytes(&mut self) -> &[u8] {
        if self.buffer.is_empty() {
            // The next read says what went wrong.
            let _ = self.fill().await;
        }
        &self.buffer
    }

    /// Reads more, if the line that is coming may be that long; 0 at the end.
    ///
    /// # Errors
    /// Why the client must be closed.
    async fn fill_in_time(&mut self) -> Result<usize, CloseReason> {
        let line = self.parser.unfinished();
        self.buffer.reserve(READ_BYTES);
        let read = self.read.read_buf(&mut self.buffer);
        let read = match &mut self.partial {
            None => read.await,
            Some(partial) => {
                partial.has(line)?;
                tokio::select! {
                    read = read => read,
                    why = partial.late() => return Err(why.into()),
                }
            }
        };
        read.map_err(|_| CloseReason::ClientLeft)
    }

    /// Reads more; 0 at the end.
    async fn fill(&mut self) -> io::Result<usize> {
        self.buffer.reserve(READ_BYTES);
        self.read.read_buf(&mut self.buffer).await
    }
}

impl FrameSource for LineSource {
    async fn next(&mut self) -> Incoming {
        loop {
            let parsed = self.parser.next(&mut self.buffer, self.max_line);
            if let (Some(Parsed::Line(_) | Parsed::NoText(_)), Some(partial)) =
                (&parsed, &mut self.partial)
            {
                partial.is_whole();
            }
            match parsed {
                Some(Parsed::Line(line)) => return Incoming::Text(line),
                Some(Parsed::NoText(why)) => return Incoming::NoText(why),
                Some(Parsed::Telnet(answer)) => {
                    self.answers.0.lock().extend_from_slice(&answer);
                    return Incoming::Ping;
                }
                Some(Parsed::TooLong) => return Incoming::End(CloseReason::MessageTooLarge),
                None => {}
            }
            match self.fill_in_time().await {
                Err(reason) => return Incoming::End(reason),
                Ok(0) if self.parser.is_amid_a_line() && !self.told_cut_off => {
                    self.told_cut_off = true;
                    return Incoming::NoText(CUT_OFF.into());
                }
                Ok(0) => return Incoming::End(CloseReason::ClientLeft),
                Ok(_) => {}
            }
        }
    }

    async fn drain(&mut self) {
        self.buffer.clear();
        while let Ok(1..) = self.fill().await {
            self.buffer.clear();
        }
    }
}

/// The lines to a client.
pub struct LineSink {
    write: WriteHalf<Box<dyn Stream>>,
    /// What has to be written before anything else. Writing may be broken off, but never amid a line.
    unwritten: BytesMut,
    answers: TelnetAnswers,
}

impl LineSink {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Disconnected> {
        self.unwritten.extend_from_slice(bytes);
        let written = self.write.write_all_buf(&mut self.unwritten).await;
        written.map_err(|_| Disconnected)?;
        // A long line leaves no buffer behind.
        self.unwritten = BytesMut::new();
        Ok(())
    }
}

impl FrameSink for LineSink {
    async fn send(&mut self, frame: ClientFrame) -> Result<(), Disconnected> {
        match frame {
            ClientFrame::Text(line) => self.write(format!("{line}\r\n").as_bytes()).await,
            // Lines have neither.
            ClientFrame::Binary(_) | ClientFrame::Ping => Ok(()),
        }
    }

    async fn flush(&mut self) -> Result<(), Disconnected> {
        let answers = mem::take(&mut *self.answers.0.lock());
        self.write(&answers).await?;
        self.write.flush().await.map_err(|_| Disconnected)
    }

    async fn close(&mut self, reason: CloseReason) {
        if let Some(message) = reason.message() {
            let hint = match reason {
                CloseReason::BadToken => "; the first line is: token TOKEN",
                _ => "",
            };
            // The client may be gone already.
            let _ = self
                .send(ClientFrame::Text(format!("closed {message}{hint}").into()))
                .await;
        }
        let _ = self.write.shutdown().await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::io::duplex;

    use super::*;
    use crate::doors::payers::{OWN_TIME, PayerId, Payers, WAITING_BYTES_OF_PAYER};

    #[tokio::test]
    async fn a_line_may_come_in_pieces_and_the_next_waits() {
        let (mut client, stream) = duplex(64);
        let (mut source, _sink) = split(Box::new(stream), 8);
        let text = |text: &str| Incoming::Text(text.into());
        client.write_all(b"a\r\nb\r").await.unwrap();
        assert_eq!(source.next().await, text("a"));
        assert_eq!(source.next().await, text("b"));
        client.write_all(b"\nha").await.unwrap();
        let next = tokio::time::timeout(std::time::Duration::from_millis(50), source.next());
        assert!(next.await.is_err(), "half a line is none");
        client.write_all(b"lf\n123456789").await.unwrap();
        assert_eq!(source.next().await, text("half"));
        let too_large = Incoming::End(CloseReason::MessageTooLarge);
        assert_eq!(source.next().await, too_large);
        drop(client);
        let left = Incoming::End(CloseReason::ClientLeft);
        let (_, stream) = duplex(64);
        assert_eq!(split(Box::new(stream), 8).0.next().await, left);
    }

    #[tokio::test]
    async fn a_line_whose_writing_is_broken_off_is_finished_before_the_next() {
        let (mut client, stream) = duplex(8);
        let (_source, mut sink) = split(Box::new(stream), 8);
        let broken_off = sink.send(ClientFrame::Text("room/1/audio/volume 40".into()));
        assert!(broken_off.now_or_never().is_none(), "the line does not fit");
        let read = async {
            let mut text = String::new();
            client.read_to_string(&mut text).await.unwrap();
            text
        };
        let close = async {
            sink.close(CloseReason::MessageTooLarge).await;
            drop((_source, sink));
        };
        let (text, ()) = tokio::join!(read, close);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "room/1/audio/volume 40");
        assert!(lines[1].starts_with("closed "), "{text}");
    }

    #[tokio::test]
    async fn requests_of_telnet_are_answered_by_the_next_flush() {
        let (mut client, stream) = duplex(64);
        let (mut source, mut sink) = split(Box::new(stream), 8);
        client.write_all(b"\xff\xfd\x01\xff\xfb\x1f").await.unwrap();
        assert_eq!(source.next().await, Incoming::Ping);
        assert_eq!(source.next().await, Incoming::Ping);
        sink.flush().await.unwrap();
        let mut answers = [0; 6];
        client.read_exact(&mut answers).await.unwrap();
        assert_eq!(&answers, b"\xff\xfc\x01\xff\xfe\x1f");
    }

    /// Where lines come one after the other, each read ends amid the next one.
    #[tokio::test(start_paused = true)]
    async fn the_time_of_a_large_line_ends_with_it() {
        let (mut client, stream) = duplex(64 << 10);
        let (mut source, _sink) = split(Box::new(stream), 8);
        let payer = Payers::new(OWN_TIME).of(PayerId::Token(1));
        let limits = ClientLimits::default();
        source.is_admitted(&limits, payer.clone());
        let large = format!("{}\r\nroom/1/au", " ".repeat(20 << 10));
        client.write_all(large.as_bytes()).await.unwrap();
        assert!(matches!(source.next().await, Incoming::Text(_)));
        for _ in 0..5 {
            let next = async {
                tokio::time::sleep(limits.body_timeout / 2).await;
                client.write_all(b"dio/mute\r\nroom/1/au").await.unwrap();
            };
            let (line, ()) = tokio::join!(source.next(), next);
            assert_eq!(line, Incoming::Text("room/1/audio/mute".into()));
        }
        // Nothing is reserved for it any more.
        assert!(payer.reserve(WAITING_BYTES_OF_PAYER).is_some());
    }
}
