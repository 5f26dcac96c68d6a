//! The last look at the fence: when the bytes of a request are encrypted, right before they are sent.
//!
//! The library hands a request to a task of the connection, which writes it a little later. If this gateway is paused
//! in between, for longer than it may use the device, the request must not go out. So the encrypter of a connection
//! asks the fence too: while that is closed, a notice of the connection's end goes out instead (`close_notify`, RFC
//! 8446, section 6.1), and no byte of a request after it. Knows nothing of HTTP. A gateway that is alone has no such
//! encrypters.

use std::cell::Cell;

use rustls::crypto::cipher::{
    MessageEncrypter, OutboundChunks, OutboundOpaqueMessage, OutboundPlainMessage,
};
use rustls::{ContentType, Error};

use crate::device::fence::DeviceFence;

/// `close_notify` as an alert of the level `warning`.
const CLOSE_NOTIFY: &[u8] = &[1, 0];

thread_local! {
    /// The fence for the encrypter that is made next.
    static NEXT_FENCE: Cell<Option<DeviceFence>> = const { Cell::new(None) };
}

/// The connection whose keys are made now is to this device. rustls makes the encrypter in the same call.
pub fn keys_are_made(fence: &DeviceFence) {
    NEXT_FENCE.set(fence.exists().then(|| fence.clone()));
}

/// An encrypter that asks the connection's fence, if it has one.
pub fn fenced(encrypter: Box<dyn MessageEncrypter>) -> Box<dyn MessageEncrypter> {
    match NEXT_FENCE.take() {
        Some(fence) => Box::new(FencedEncrypter {
            encrypter,
            fence,
            has_ended: false,
        }),
        None => encrypter,
    }
}

/// Encrypts one direction of a connection, as long as the fence is open.
struct FencedEncrypter {
    encrypter: Box<dyn MessageEncrypter>,
    fence: DeviceFence,
    /// The end of the connection was told: nothing may follow.
    has_ended: bool,
}

impl MessageEncrypter for FencedEncrypter {
    fn encrypt(
        &mut self,
        message: OutboundPlainMessage<'_>,
        sequence: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        let is_content = message.typ == ContentType::ApplicationData;
        if !is_content || !self.has_ended && self.fence.check().is_ok() {
            return self.encrypter.encrypt(message, sequence);
        }
        self.has_ended = true;
        // An error would be a panic here: the library expects none.
        let end = OutboundPlainMessage {
            typ: ContentType::Alert,
            version: message.version,
            payload: OutboundChunks::Single(CLOSE_NOTIFY),
        };
        self.encrypter.encrypt(end, sequence)
    }

    fn encrypted_payload_len(&self, payload_len: usize) -> usize {
        self.encrypter.encrypted_payload_len(payload_len)
    }
}
