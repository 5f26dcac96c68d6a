//! The bounds of the embedded broker: what clients may take of its memory, files and time.
//!
//! docs/mqtt.md lists them for users. Each has its answer to the client (`answers`) and its place
//! in the metric `poly2mqtt_broker_limited_total`.

use std::time::Duration;

/// The largest CONNECT, with its will. Who has not logged in gets no more memory than this.
pub const CONNECT_LIMIT: usize = 16 << 10;
/// How long a client may take to send its CONNECT. An honest one sends it at once.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The most connections that have not logged in, in all. Each takes a file.
pub const WAITING_LIMIT: usize = 128;
/// The most connections of one address that have not logged in, unless all of them are younger
/// than [`WAITING_GRACE`]: after a power cut many clients come at once through one router.
pub const WAITING_PER_ADDRESS: usize = 32;
/// A connection that has not logged in is not closed to make room for another before this.
pub const WAITING_GRACE: Duration = Duration::from_millis(250);
/// The share of the broker's connections that is for those that have not logged in, if that is
/// less than [`WAITING_LIMIT`]: one of this many.
pub const WAITING_SHARE: usize = 4;

/// The largest packet without a payload, such as SUBSCRIBE: some thousand filters.
pub const CONTROL_PACKET_LIMIT: usize = 64 << 10;
/// The largest topic and properties of a message.
pub const MESSAGE_HEAD_LIMIT: usize = 64 << 10;
/// The most bytes of answers that a client has not read. After that nothing more is read from it.
pub const UNREAD_ANSWERS_LIMIT: usize = 64 << 10;
