//! Messages of QoS 2 that clients have begun and not released: the library keeps each until PUBREL,
//! and with a kept session also while the client is gone.

use std::collections::HashMap;

use mqtt5::protocol::v5::reason_codes::ReasonCode;
use parking_lot::Mutex;

use super::answers::Denial;
use super::limits::{QOS2_INFLIGHT_BYTES, QOS2_INFLIGHT_BYTES_PER_CLIENT};

const TOO_MUCH: Denial = Denial::limit(
    "qos2",
    ReasonCode::QuotaExceeded,
    "too much is under way with QoS 2; release it first",
);

/// What is under way of all clients.
#[derive(Debug, Default)]
pub struct Qos2Inflight {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    by_place: HashMap<Box<str>, HashMap<u16, usize>>,
    bytes: usize,
}

impl Qos2Inflight {
    /// A client begins a message of this size. One at a time may have any size.
    ///
    /// # Errors
    /// Too much is under way.
    pub fn begin(&self, place: &str, packet_id: u16, size: usize) -> Result<(), Denial> {
        let mut entries = self.entries.lock();
        let of_client = entries.by_place.get(place);
        let again = of_client.and_then(|messages| messages.get(&packet_id));
        let again = again.copied().unwrap_or_default();
        let of_client: usize = of_client.map_or(0, |messages| messages.values().sum());
        let (of_client, of_all) = (of_client - again, entries.bytes - again);
        if of_client > 0 && of_client + size > QOS2_INFLIGHT_BYTES_PER_CLIENT
            || of_all > 0 && of_all + size > QOS2_INFLIGHT_BYTES
        {
            return Err(TOO_MUCH);
        }
        entries.bytes = of_all + size;
        let messages = entries.by_place.entry(place.into()).or_default();
        messages.insert(packet_id, size);
        Ok(())
    }

    /// A client releases a message.
    pub fn release(&self, place: &str, packet_id: u16) {
        let mut entries = self.entries.lock();
        let Some(messages) = entries.by_place.get_mut(place) else {
            return;
        };
        let size = messages.remove(&packet_id).unwrap_or_default();
        if messages.is_empty() {
            entries.by_place.remove(place);
        }
        entries.bytes -= size;
    }

    /// The session of this place has ended.
    pub fn forget(&self, place: &str) {
        let mut entries = self.entries.lock();
        let messages = entries.by_place.remove(place).unwrap_or_default();
        entries.bytes -= messages.values().sum::<usize>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_has_any_size_and_several_have_little_together() {
        let all = Qos2Inflight::default();
        all.begin("a", 1, QOS2_INFLIGHT_BYTES_PER_CLIENT * 4)
            .unwrap();
        assert_eq!(all.begin("a", 2, 1), Err(TOO_MUCH));
        // The same once more, after a reconnect.
        all.begin("a", 1, QOS2_INFLIGHT_BYTES_PER_CLIENT * 4)
            .unwrap();
        all.begin("b", 1, 1).unwrap();
        all.release("a", 1);
        all.begin("a", 2, 1).unwrap();
        all.begin("a", 3, QOS2_INFLIGHT_BYTES_PER_CLIENT - 1)
            .unwrap();
        all.begin(
            "c",
            1,
            QOS2_INFLIGHT_BYTES - QOS2_INFLIGHT_BYTES_PER_CLIENT - 1,
        )
        .unwrap();
        assert_eq!(all.begin("d", 1, 1), Err(TOO_MUCH));
        for place in ["a", "b", "c", "d"] {
            all.forget(place);
        }
        assert_eq!(all.entries.lock().bytes, 0);
        assert!(all.entries.lock().by_place.is_empty());
    }
}
