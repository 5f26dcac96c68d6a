//! What a transport must offer to carry a client's frames: a [`FrameSource`] and a [`FrameSink`].

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;

use super::CloseReason;

/// The form of the frames that a client is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameFormat {
    /// JSON objects. The client may send plain frames too.
    Json,
    /// Plain lines.
    Plain,
}

/// Something that came from a client.
#[derive(Debug, PartialEq)]
pub enum Incoming {
    /// A frame.
    Text(String),
    /// A frame that should be text and is not; the message says why.
    NoText(String),
    /// A frame of bytes; no command takes one.
    Binary(Bytes),
    /// A pong or the like: a sign of life.
    KeepAlive,
    /// A ping, or another question to the transport. It has put the answer into its buffer; the next
    /// flush sends it.
    Ping,
    /// The last: the client left, or did something for which it is closed.
    End(CloseReason),
}

/// Something for a client.
#[derive(Debug, PartialEq)]
pub enum ClientFrame {
    /// A frame.
    Text(Arc<str>),
    /// The bytes of a file; the frame before is its result.
    Binary(Bytes),
    /// Asks the client for a sign of life.
    Ping,
}

/// The client's connection is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disconnected;

/// Where a client's frames come from.
pub trait FrameSource: Send {
    /// The next frame. May be dropped and called again without losing one.
    fn next(&mut self) -> impl Future<Output = Incoming> + Send;
    /// Reads and drops what still comes, until the client is gone.
    fn drain(&mut self) -> impl Future<Output = ()> + Send;
}

/// Where a client's frames go.
pub trait FrameSink: Send {
    /// Sends a frame, or buffers it until the flush.
    fn send(&mut self, frame: ClientFrame)
    -> impl Future<Output = Result<(), Disconnected>> + Send;
    /// Sends everything buffered.
    fn flush(&mut self) -> impl Future<Output = Result<(), Disconnected>> + Send;
    /// Says why the client is closed, and closes it.
    fn close(&mut self, reason: CloseReason) -> impl Future<Output = ()> + Send;
}
