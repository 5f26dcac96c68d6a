//! How much clients make the broker retain.
//!
//! What the gateway retains is in `gateway_retained`. Counts what the library says it keeps, and the wills
//! that it may have to keep: all of them may be published at the same time.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mqtt5::QoS;
use mqtt5::broker::events::{BrokerEventHandler, RetainedSetEvent};
use mqtt5::broker::router::MessageRouter;
use mqtt5::broker::storage::{DynamicStorage, StorageBackend};
use mqtt5::packet::publish::PublishPacket;
use mqtt5::protocol::v5::reason_codes::ReasonCode;
use mqtt5::validation::topic_matches_filter;
use parking_lot::Mutex;
use tokio::time::sleep;

use super::answers::Denial;
use super::client::ClientsShare;
use super::limits::{RETAINED_BYTES, RETAINED_MESSAGE_BYTES, RETAINED_MESSAGES};
use super::property_size::PropertySize;
use super::replay::MESSAGE_OVERHEAD;
use crate::topics::SHARE;

/// The library clears a topic with an empty message to its subscribers. It is kept from those that read within
/// this.
const CLEARED_WITHIN: Duration = Duration::from_secs(1);

const TOO_LARGE: Denial = Denial::limit(
    "retained",
    ReasonCode::QuotaExceeded,
    "a retained message may have 256 KiB",
);
const TOO_MANY: Denial = Denial::limit(
    "retained",
    ReasonCode::QuotaExceeded,
    "the broker retains as much as it may for clients",
);

/// What is retained for clients.
#[derive(Debug, Default)]
pub struct RetainedLedger {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    by_topic: HashMap<Box<str>, Entry>,
    /// The size of all entries.
    bytes: usize,
    /// Topics whose messages have expired and are just taken out of the library.
    clearing: HashSet<String>,
}

/// What is retained at one topic, or may have to be.
#[derive(Debug, Default)]
struct Entry {
    /// The message that is retained now.
    kept: Option<Kept>,
    /// The sizes of wills. At most one of them is retained at a time.
    wills: Vec<usize>,
}

/// A message that is retained.
#[derive(Debug, Clone, Copy)]
struct Kept {
    size: usize,
    expires: Option<SystemTime>,
}

impl Kept {
    fn has_expired(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

impl Entry {
    /// The size of the largest message that may be retained.
    fn size(&self) -> usize {
        let kept = self.kept.map(|kept| kept.size);
        let all = self.wills.iter().copied().chain(kept);
        all.max().unwrap_or_default()
    }

    fn is_empty(&self) -> bool {
        self.kept.is_none() && self.wills.is_empty()
    }
}

impl Entries {
    /// Whether a message of this size may be retained.
    fn check(&self, topic: &str, size: usize) -> Result<(), Denial> {
        if size > RETAINED_MESSAGE_BYTES {
            return Err(TOO_LARGE);
        }
        let known = self.by_topic.get(topic);
        let others = self.bytes - known.map_or(0, Entry::size);
        let is_one_more = known.is_none();
        if others + size > RETAINED_BYTES || is_one_more && self.by_topic.len() >= RETAINED_MESSAGES
        {
            return Err(TOO_MANY);
        }
        Ok(())
    }

    fn change(&mut self, topic: &str, change: impl FnOnce(&mut Entry)) {
        let mut entry = self.by_topic.remove(topic).unwrap_or_default();
        self.bytes -= entry.size();
        change(&mut entry);
        self.bytes += entry.size();
        if !entry.is_empty() {
            self.by_topic.insert(topic.into(), entry);
        }
    }
}

/// The bytes that a retained message counts for.
fn size(topic: &str, payload: usize, properties: PropertySize) -> usize {
    topic.len() + payload + properties.in_memory()
}

impl RetainedLedger {
    /// Whether a message with a payload of this size may be retained.
    ///
    /// # Errors
    /// It is too large, or too much is retained already.
    pub fn check(
        &self,
        topic: &str,
        payload: usize,
        properties: PropertySize,
    ) -> Result<(), Denial> {
        self.entries
            .lock()
            .check(topic, size(topic, payload, properties))
    }

    /// The bytes of memory that the library takes when a client subscribes to this filter: all that
    /// matches is copied.
    pub fn replayed(&self, filter: &str) -> usize {
        if filter.starts_with(SHARE) {
            return 0;
        }
        let entries = self.entries.lock();
        let copied = |entry: &Entry| entry.kept.map_or(0, |kept| kept.size + MESSAGE_OVERHEAD);
        if !filter.contains(['+', '#']) {
            return entries.by_topic.get(filter).map_or(0, copied);
        }
        let matching = entries.by_topic.iter();
        let matching = matching.filter(|(topic, _)| topic_matches_filter(topic, filter));
        matching.map(|(_, entry)| copied(entry)).sum()
    }

    /// The broker retains this now; without a payload, nothing. It may expire.
    pub fn set_until(
        &self,
        topic: &str,
        payload: usize,
        properties: PropertySize,
        expires: Option<SystemTime>,
    ) {
        let kept = (payload > 0).then(|| Kept {
            size: size(topic, payload, properties),
            expires,
        });
        self.entries.lock().change(topic, |entry| entry.kept = kept);
    }

    /// The topics whose messages have expired. From now on they are being cleared.
    pub fn begin_clearing(&self, now: SystemTime) -> Vec<String> {
        let mut entries = self.entries.lock();
        let has_expired = |entry: &Entry| entry.kept.is_some_and(|kept| kept.has_expired(now));
        let by_topic = entries.by_topic.iter();
        let expired = by_topic.filter(|(_, entry)| has_expired(entry));
        let topics: Vec<String> = expired.map(|(topic, _)| topic.to_string()).collect();
        entries.clearing = topics.iter().cloned().collect();
        topics
    }

    fn has_expired(&self, topic: &str, now: SystemTime) -> bool {
        let entries = self.entries.lock();
        let kept = entries.by_topic.get(topic).and_then(|entry| entry.kept);
        kept.is_some_and(|kept| kept.has_expired(now))
    }

    /// Whether an empty message of this topic only clears what has expired: no client has published it.
    pub fn is_clearing(&self, topic: &str) -> bool {
        self.entries.lock().clearing.contains(topic)
    }
}

/// Takes what has expired out of the library, which would keep it for ever and does not send it.
pub async fn clear_expired(shared: &ClientsShare, router: &MessageRouter, now: SystemTime) {
    let ledger = &shared.retained;
    let topics = ledger.begin_clearing(now);
    if topics.is_empty() {
        return;
    }
    for topic in topics {
        // Another may have come meanwhile.
        if ledger.has_expired(&topic, now) {
            let nothing = PublishPacket::new(topic, Vec::new(), QoS::AtMostOnce);
            let nothing = nothing.with_retain(true);
            router.route_message(&nothing, None).await;
        }
    }
    sleep(CLEARED_WITHIN).await;
    ledger.entries.lock().clearing.clear();
}

/// Room for a will that the broker may have to retain. It is free again when this is dropped: the will was
/// published, and counts as what is retained, or was discarded.
#[derive(Debug)]
pub struct ReservedWill {
    shared: Arc<ClientsShare>,
    topic: Box<str>,
    size: usize,
}

impl ReservedWill {
    /// Reserves the room.
    ///
    /// # Errors
    /// There is none.
    pub fn new(
        shared: &Arc<ClientsShare>,
        topic: &str,
        payload: usize,
        properties: PropertySize,
    ) -> Result<Self, Denial> {
        let size = size(topic, payload, properties);
        let mut entries = shared.retained.entries.lock();
        entries.check(topic, size)?;
        entries.change(topic, |entry| entry.wills.push(size));
        Ok(Self {
            shared: shared.clone(),
            topic: topic.into(),
            size,
        })
    }
}

impl Drop for ReservedWill {
    fn drop(&mut self) {
        self.shared
            .retained
            .entries
            .lock()
            .change(&self.topic, |entry| {
                let same = entry.wills.iter().position(|size| *size == self.size);
                same.map(|same| entry.wills.swap_remove(same));
            });
    }
}

/// Hears from the library what it retains.
pub struct RetainedListener {
    pub shared: Arc<ClientsShare>,
    pub storage: Arc<DynamicStorage>,
}

impl RetainedListener {
    /// The size of the properties that the library has just stored, and when the message expires. If
    /// another client has cleared or replaced the message meanwhile, the largest that it can be.
    async fn stored(&self, topic: &str) -> (PropertySize, Option<SystemTime>) {
        match self.storage.get_retained_message(topic).await {
            Ok(Some(message)) => (PropertySize::of_retained(&message), message.expires_at),
            _ => (PropertySize::LARGEST, None),
        }
    }
}

impl BrokerEventHandler for RetainedListener {
    fn on_retained_set<'a>(
        &'a self,
        event: RetainedSetEvent,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            let payload = event.payload.len();
            let (properties, expires) = self.stored(&event.topic).await;
            let ledger = &self.shared.retained;
            ledger.set_until(&event.topic, payload, properties, expires);
            // The router has its own; a second one in the storage is for a restart from a file.
            let _ = self.storage.remove_retained_message(&event.topic).await;
        })
    }
}

#[cfg(test)]
mod tests {
    use mqtt5::broker::storage::MemoryBackend;

    use super::*;

    const NONE: PropertySize = PropertySize {
        bytes: 0,
        user_properties: 0,
    };

    impl RetainedLedger {
        /// The broker retains a message that does not expire.
        fn set(&self, topic: &str, payload: usize, properties: PropertySize) {
            self.set_until(topic, payload, properties, None);
        }
    }

    #[test]
    fn messages_and_bytes_are_limited_and_cleared_ones_make_room() {
        let ledger = RetainedLedger::default();
        assert_eq!(
            ledger.check("t", RETAINED_MESSAGE_BYTES, NONE),
            Err(TOO_LARGE)
        );
        let large = RETAINED_MESSAGE_BYTES - 10;
        let count = RETAINED_BYTES / RETAINED_MESSAGE_BYTES;
        for n in 0..count {
            ledger.check(&n.to_string(), large, NONE).unwrap();
            ledger.set(&n.to_string(), large, NONE);
        }
        assert_eq!(ledger.check("more", large, NONE), Err(TOO_MANY));
        // The same again is not more.
        ledger.check("0", large, NONE).unwrap();
        ledger.set("0", 1, NONE);
        ledger.check("more", large, NONE).unwrap();
        for n in 0..count {
            ledger.set(&n.to_string(), 0, NONE);
        }
        assert_eq!(ledger.entries.lock().bytes, 0);
        for n in 0..RETAINED_MESSAGES {
            ledger.set(&n.to_string(), 1, NONE);
        }
        assert_eq!(ledger.check("more", 1, NONE), Err(TOO_MANY));
        ledger.check("0", 2, NONE).unwrap();
    }

    #[test]
    fn what_a_filter_matches_is_copied() {
        let ledger = RetainedLedger::default();
        ledger.set("a/b", 5, NONE);
        ledger.set("a/c", 7, NONE);
        let one = 3 + MESSAGE_OVERHEAD;
        assert_eq!(ledger.replayed("a/b"), one + 5);
        assert_eq!(ledger.replayed("a/c"), one + 7);
        assert_eq!(ledger.replayed("a/#"), 2 * one + 12);
        assert_eq!(ledger.replayed("b/#"), 0);
        assert_eq!(ledger.replayed("$share/g/a/b"), 0);
        ledger.set("a/c", 0, NONE);
        assert_eq!(ledger.replayed("a/+"), one + 5);
    }

    #[test]
    fn properties_count_as_well() {
        let ledger = RetainedLedger::default();
        let mut kept = 0;
        while ledger
            .check(&kept.to_string(), 1, PropertySize::LARGEST)
            .is_ok()
        {
            ledger.set(&kept.to_string(), 1, PropertySize::LARGEST);
            kept += 1;
        }
        assert!(kept < 1_500, "{kept}");
    }

    #[test]
    fn wills_keep_their_room_until_they_are_published_or_discarded() {
        let shared = ClientsShare::without_users();
        let ledger = &shared.retained;
        let reserve = |topic: &str, payload| ReservedWill::new(&shared, topic, payload, NONE);
        let mut wills = Vec::new();
        while let Ok(will) = reserve(&wills.len().to_string(), 15_000) {
            wills.push(will);
        }
        assert_eq!(wills.len(), RETAINED_BYTES / 15_003);
        assert_eq!(ledger.check("more", 15_000, NONE), Err(TOO_MANY));
        assert_eq!(ledger.replayed("#"), 0, "nothing is retained yet");
        // A topic has one message, however many wills there are for it.
        let same = reserve("0", 15_000).unwrap();
        ledger.check("0", 15_000, NONE).unwrap();
        ledger.set("0", 15_000, NONE);
        drop(same);
        // What was published counts on, what was discarded does not.
        wills.remove(0);
        assert_eq!(ledger.check("more", 15_000, NONE), Err(TOO_MANY));
        wills.remove(0);
        ledger.check("more", 15_000, NONE).unwrap();
        wills.clear();
        ledger.set("0", 0, NONE);
        let entries = ledger.entries.lock();
        assert!(entries.by_topic.is_empty());
        assert_eq!(entries.bytes, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_expired_makes_room() {
        let shared = ClientsShare::without_users();
        let storage = Arc::new(DynamicStorage::Memory(MemoryBackend::new()));
        let listener = RetainedListener {
            shared: shared.clone(),
            storage: storage.clone(),
        };
        let router = MessageRouter::with_storage(storage).with_event_handler(Arc::new(listener));
        for n in 0..RETAINED_MESSAGES {
            let message = PublishPacket::new(n.to_string(), "x", QoS::AtMostOnce);
            let mut message = message.with_retain(true);
            if n > 0 {
                message.properties.set_message_expiry_interval(60);
            }
            router.route_message(&message, None).await;
        }
        let ledger = &shared.retained;
        let now = SystemTime::now();
        for (after, kept) in [(0, RETAINED_MESSAGES), (61, 1), (61, 1)] {
            let now = now + Duration::from_secs(after);
            clear_expired(&shared, &router, now).await;
            assert_eq!(router.retained_count().await, kept);
            assert_eq!(ledger.entries.lock().by_topic.len(), kept);
            assert!(ledger.entries.lock().clearing.is_empty());
        }
        ledger.check("more", 1, NONE).unwrap();
    }
}
