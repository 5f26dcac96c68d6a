//! Clients that do not take what they subscribed to.
//!
//! The library keeps messages for such a client without a limit in bytes, and when it keeps many it
//! makes their senders wait. So a client is dropped when it does not read, or does not acknowledge,
//! and meanwhile more was published than one client may make the broker keep. What was retained when
//! it subscribed waits too, so a client that reads nothing at all is also dropped after a time.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use mqtt5::broker::sys_topics::BrokerStats;
use tokio::time::{Instant, Sleep, sleep};

use super::client::ClientsShare;
use super::frames::{FieldReader, Frame, kind};
use super::limits::{
    BACKLOG_BYTES, BACKLOG_HEAD_BYTES, BACKLOG_MESSAGES, UNACKNOWLEDGED_BYTES,
    UNACKNOWLEDGED_MESSAGES, UNREAD_CLIENTS, UNREAD_TIMEOUT, UNREAD_TIMEOUT_IN_A_FLOOD,
};
use super::message::MessageHead;

/// A client that takes nothing for this long is stuck. Shorter pauses are the network's, or the
/// scheduler's.
const STUCK_AFTER: Duration = Duration::from_millis(250);
/// A client that was not stuck for this long has caught up.
const CAUGHT_UP_AFTER: Duration = Duration::from_secs(1);
/// A client that may be sent more, and is not for this long, has everything. The library sends the next
/// message at once.
const NOTHING_WAITS_AFTER: Duration = Duration::from_millis(100);
/// A client that may be behind is looked at this often.
const CHECK_INTERVAL: Duration = Duration::from_millis(300);

/// How many clients read nothing now. All clients share it.
#[derive(Debug, Clone, Default)]
pub struct StalledClients(Arc<AtomicUsize>);

impl StalledClients {
    /// How long a client may read nothing.
    fn timeout(&self) -> Duration {
        if self.0.load(Ordering::Relaxed) > UNREAD_CLIENTS {
            UNREAD_TIMEOUT_IN_A_FLOOD
        } else {
            UNREAD_TIMEOUT
        }
    }
}

/// Counts the bytes of topics and properties that clients publish. The library counts payloads only.
#[derive(Debug, Clone, Default)]
pub struct PublishedHeads(Arc<AtomicU64>);

impl PublishedHeads {
    pub fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// A client reads nothing, since then. Counted until it is dropped.
#[derive(Debug)]
struct ReadsNothing {
    since: Instant,
    stalled: StalledClients,
}

impl ReadsNothing {
    fn new(stalled: &StalledClients, now: Instant) -> Self {
        stalled.0.fetch_add(1, Ordering::Relaxed);
        Self {
            since: now,
            stalled: stalled.clone(),
        }
    }
}

impl Drop for ReadsNothing {
    fn drop(&mut self) {
        self.stalled.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Messages, the bytes of their payloads, and those of their topics and properties.
#[derive(Debug, Clone, Copy, Default)]
struct Amount {
    messages: u64,
    bytes: u64,
    heads: u64,
}

impl Amount {
    /// What all clients and the gateway have published since the start. The heads are those of
    /// clients.
    fn published(stats: &BrokerStats, heads: &PublishedHeads) -> Self {
        Self {
            messages: stats.publish_received.load(Ordering::Relaxed),
            bytes: stats.bytes_received.load(Ordering::Relaxed),
            heads: heads.0.load(Ordering::Relaxed),
        }
    }

    /// Whether more was published than taken, from one time to another, than a client may be behind.
    fn is_backlog(published: [Self; 2], taken: [Self; 2]) -> bool {
        let missed = |of: fn(&Self) -> u64| {
            let [published, taken] = [published, taken].map(|[then, now]| of(&now) - of(&then));
            published.saturating_sub(taken)
        };
        missed(|amount| amount.bytes) > BACKLOG_BYTES as u64
            || missed(|amount| amount.heads) > BACKLOG_HEAD_BYTES as u64
            || missed(|amount| amount.messages) > BACKLOG_MESSAGES as u64
    }
}

/// How one client keeps up.
#[derive(Debug)]
pub struct ClientPace {
    stats: Arc<BrokerStats>,
    published_heads: PublishedHeads,
    /// The messages that it has not acknowledged: their sizes.
    unacknowledged: HashMap<u16, usize>,
    unacknowledged_bytes: usize,
    /// The library sends no more before it acknowledges some, when so many are not.
    window: usize,
    /// When it had acknowledged so much that the library may send it more; nothing was sent since.
    open_since: Option<Instant>,
    /// Something cannot be written, because it does not read.
    is_blocked: bool,
    stalled: StalledClients,
    reads_nothing: Option<ReadsNothing>,
    /// What it took since the start.
    taken: Amount,
    stuck: Option<Stuck>,
    /// When it is looked at next.
    next_check: Option<Pin<Box<Sleep>>>,
}

/// Since when a client takes too little.
#[derive(Debug)]
struct Stuck {
    since: Instant,
    /// When it last took too little.
    last: Instant,
    published: Amount,
    taken: Amount,
}

impl ClientPace {
    /// `receive_maximum` is what the client's CONNECT says (MQTT 5, 3.1.2.11.3).
    pub fn new(shared: &ClientsShare, receive_maximum: Option<u16>) -> Self {
        let receive_maximum = receive_maximum.map_or(usize::MAX, usize::from);
        Self {
            stats: shared.stats.clone(),
            published_heads: shared.published_heads.clone(),
            stalled: shared.stalled.clone(),
            reads_nothing: None,
            unacknowledged: HashMap::new(),
            unacknowledged_bytes: 0,
            window: UNACKNOWLEDGED_MESSAGES.min(receive_maximum).max(1),
            open_since: None,
            is_blocked: false,
            taken: Amount::default(),
            stuck: None,
            next_check: None,
        }
    }

    /// The library writes a PUBLISH.
    pub fn sends(&mut self, frame: &Frame, bytes: &[u8], is_mqtt_5: bool) {
        self.taken.messages += 1;
        let open_since = self.open_since.take();
        if open_since.is_some_and(|since| since.elapsed() >= NOTHING_WAITS_AFTER) {
            // It is slow with the acknowledgements, but nothing waited for them.
            self.stuck = None;
        }
        if let Ok(head) = MessageHead::parse(frame, bytes, is_mqtt_5) {
            self.taken.heads += head.topic.len() as u64;
            self.taken.heads += head.property_size().in_memory() as u64;
        }
        if frame.flags >> 1 & 3 == 0 {
            return;
        }
        let mut reader = FieldReader(frame.body_in(bytes));
        let packet_id = reader.binary().and_then(|_| reader.two_bytes());
        if let Ok(packet_id) = packet_id {
            self.acknowledged(packet_id);
            self.unacknowledged.insert(packet_id, frame.length());
            self.unacknowledged_bytes += frame.length();
        }
    }

    /// The client sends a packet, which may end a message: PUBACK, PUBCOMP, or a PUBREC that
    /// refuses.
    pub fn acknowledges(&mut self, frame: &Frame, bytes: &[u8]) {
        let mut reader = FieldReader(frame.body_in(bytes));
        let Ok(packet_id) = reader.two_bytes() else {
            return;
        };
        let refuses = reader.byte().is_ok_and(|code| code >= 0x80);
        match frame.kind {
            kind::PUBACK | kind::PUBCOMP => self.acknowledged(packet_id),
            kind::PUBREC if refuses => self.acknowledged(packet_id),
            _ => {}
        }
    }

    fn acknowledged(&mut self, packet_id: u16) {
        let was_closed = self.is_window_closed();
        let size = self.unacknowledged.remove(&packet_id).unwrap_or_default();
        self.unacknowledged_bytes -= size;
        if was_closed && !self.is_window_closed() {
            self.open_since = Some(Instant::now());
        }
    }

    fn is_window_closed(&self) -> bool {
        self.unacknowledged.len() >= self.window
    }

    /// So much was written, or nothing because the client does not read.
    pub fn wrote(&mut self, written: Option<usize>) {
        self.is_blocked = written.is_none();
        if self.is_blocked {
            self.open_since = None;
        }
        self.taken.bytes += written.unwrap_or_default() as u64;
    }

    /// Looks at the client now, and again later while it may be behind.
    ///
    /// # Errors
    /// It must be dropped.
    pub fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.stuck.is_none() && !self.takes_too_little() {
            return Ok(());
        }
        if self.is_too_slow(Instant::now()) {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the client does not take what it subscribed to",
            ));
        }
        if self.stuck.is_none() {
            self.next_check = None;
            return Ok(());
        }
        loop {
            let new = || Box::pin(sleep(CHECK_INTERVAL));
            let next_check = self.next_check.get_or_insert_with(new);
            match next_check.as_mut().poll(cx) {
                Poll::Ready(()) => self.next_check = None,
                Poll::Pending => return Ok(()),
            }
        }
    }

    /// Nothing waits for the client to read or acknowledge.
    pub fn takes_everything(&self) -> bool {
        !self.is_blocked && self.unacknowledged.is_empty()
    }

    fn takes_too_little(&self) -> bool {
        self.is_blocked
            || self.unacknowledged_bytes > UNACKNOWLEDGED_BYTES
            || self.is_window_closed()
    }

    fn reads_nothing_for_too_long(&mut self, now: Instant) -> bool {
        if !self.is_blocked {
            self.reads_nothing = None;
            return false;
        }
        let begin = || ReadsNothing::new(&self.stalled, now);
        let since = self.reads_nothing.get_or_insert_with(begin).since;
        now.duration_since(since) >= self.stalled.timeout()
    }

    /// Whether the client must be dropped.
    fn is_too_slow(&mut self, now: Instant) -> bool {
        if self.reads_nothing_for_too_long(now) {
            return true;
        }
        let published = Amount::published(&self.stats, &self.published_heads);
        let takes_too_little = self.takes_too_little();
        let Some(stuck) = &mut self.stuck else {
            if takes_too_little {
                self.stuck = Some(Stuck {
                    since: now,
                    last: now,
                    published,
                    taken: self.taken,
                });
            }
            return false;
        };
        let is_confirmed = now.duration_since(stuck.since) >= STUCK_AFTER;
        if takes_too_little {
            stuck.last = now;
        } else if !is_confirmed || now.duration_since(stuck.last) > CAUGHT_UP_AFTER {
            self.stuck = None;
            return false;
        }
        is_confirmed && Amount::is_backlog([stuck.published, published], [stuck.taken, self.taken])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::frames::packet;

    fn pace() -> (ClientPace, Arc<BrokerStats>, Instant) {
        let shared = ClientsShare::without_users();
        (
            ClientPace::new(&shared, None),
            shared.stats.clone(),
            Instant::now(),
        )
    }

    #[test]
    fn topics_and_properties_count_as_well() {
        let (mut pace, _, now) = pace();
        pace.wrote(None);
        assert!(!pace.is_too_slow(now));
        pace.published_heads.add(BACKLOG_HEAD_BYTES);
        assert!(!pace.is_too_slow(now + STUCK_AFTER));
        pace.published_heads.add(1);
        let taken = packet(kind::PUBLISH, 0, &[0, 1, b't', 5, 0x26, 0, 0, 0, 0]);
        let mut reading = ClientPace::new(&ClientsShare::without_users(), None);
        reading.sends(&Frame::at(&taken).unwrap().unwrap(), &taken, true);
        assert_eq!(reading.taken.heads, 1 + 5 + 64);
        assert!(pace.is_too_slow(now + STUCK_AFTER));
    }

    #[test]
    fn who_does_not_read_is_too_slow_after_some_megabytes() {
        let (mut pace, stats, now) = pace();
        stats.publish_received(BACKLOG_BYTES * 9);
        assert!(!pace.is_too_slow(now));
        pace.wrote(None);
        assert!(!pace.is_too_slow(now));
        let later = now + STUCK_AFTER;
        stats.publish_received(BACKLOG_BYTES);
        assert!(!pace.is_too_slow(later));
        stats.publish_received(1);
        assert!(pace.is_too_slow(later));
    }

    #[test]
    fn who_does_not_read_is_too_slow_after_many_messages() {
        let (mut pace, stats, now) = pace();
        pace.wrote(None);
        assert!(!pace.is_too_slow(now));
        for _ in 0..=BACKLOG_MESSAGES {
            stats.publish_received(1);
        }
        assert!(pace.is_too_slow(now + STUCK_AFTER));
    }

    #[test]
    fn who_reads_nothing_is_too_slow_after_a_time_and_sooner_in_a_flood() {
        let shared = ClientsShare::without_users();
        let stalled = &shared.stalled;
        let now = Instant::now();
        let blocked = || {
            let mut pace = ClientPace::new(&shared, None);
            pace.wrote(None);
            assert!(!pace.is_too_slow(now));
            pace
        };
        let mut first = blocked();
        let almost = now + UNREAD_TIMEOUT - Duration::from_millis(1);
        assert!(!first.is_too_slow(almost));
        assert!(first.is_too_slow(now + UNREAD_TIMEOUT));
        let flood: Vec<_> = (0..UNREAD_CLIENTS).map(|_| blocked()).collect();
        assert!(first.is_too_slow(now + UNREAD_TIMEOUT_IN_A_FLOOD));
        drop(flood);
        assert!(!first.is_too_slow(almost));
        // It reads something.
        first.wrote(Some(1));
        assert!(!first.is_too_slow(now + UNREAD_TIMEOUT));
        drop(first);
        assert_eq!(stalled.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_short_pause_is_nothing() {
        let (mut pace, stats, mut now) = pace();
        for _ in 0..1000 {
            pace.wrote(None);
            assert!(!pace.is_too_slow(now));
            stats.publish_received(BACKLOG_BYTES);
            pace.wrote(Some(1));
            now += STUCK_AFTER / 2;
            assert!(!pace.is_too_slow(now));
        }
    }

    #[test]
    fn who_reads_slowly_and_gets_all_is_not_dropped() {
        let (mut pace, stats, mut now) = pace();
        for _ in 0..1000 {
            pace.wrote(None);
            stats.publish_received(BACKLOG_BYTES / 2);
            now += STUCK_AFTER * 2;
            assert!(!pace.is_too_slow(now));
            pace.wrote(Some(BACKLOG_BYTES / 2));
            assert!(!pace.is_too_slow(now));
        }
        // It caught up, and nothing of before counts.
        now += CAUGHT_UP_AFTER * 2;
        assert!(!pace.is_too_slow(now));
        stats.publish_received(BACKLOG_BYTES * 9);
        pace.wrote(None);
        assert!(!pace.is_too_slow(now));
    }

    /// A message of QoS 1 is sent.
    fn send(pace: &mut ClientPace, id: u8) {
        let bytes = packet(kind::PUBLISH, 2, &[0, 1, b't', 0, id, 0]);
        pace.sends(&Frame::at(&bytes).unwrap().unwrap(), &bytes, true);
    }

    fn acknowledge(pace: &mut ClientPace, id: u8) {
        let bytes = [0x40, 2, 0, id];
        pace.acknowledges(&Frame::at(&bytes).unwrap().unwrap(), &bytes);
    }

    #[test]
    fn who_does_not_acknowledge_is_too_slow() {
        for (receive_maximum, window) in [
            (None, UNACKNOWLEDGED_MESSAGES),
            (Some(u16::MAX), UNACKNOWLEDGED_MESSAGES),
            (Some(3), 3),
            (Some(1), 1),
        ] {
            let shared = ClientsShare::without_users();
            let mut pace = ClientPace::new(&shared, receive_maximum);
            let now = Instant::now();
            for id in 1..=window as u8 {
                assert!(!pace.takes_too_little(), "{receive_maximum:?}");
                send(&mut pace, id);
            }
            assert!(!pace.is_too_slow(now));
            shared.stats.publish_received(BACKLOG_BYTES + 1);
            assert!(pace.is_too_slow(now + STUCK_AFTER), "{receive_maximum:?}");
        }
        let (mut pace, ..) = self::pace();
        for id in 1..=200 {
            send(&mut pace, id);
            acknowledge(&mut pace, id);
            assert!(!pace.takes_too_little());
        }
        assert_eq!(pace.unacknowledged_bytes, 0);
    }

    /// A small Receive Maximum is reached by every message.
    #[tokio::test(start_paused = true)]
    async fn who_acknowledges_late_and_has_all_is_not_dropped() {
        for nothing_waits in [true, false] {
            let shared = ClientsShare::without_users();
            let mut pace = ClientPace::new(&shared, Some(1));
            let mut was_too_slow = false;
            for id in 1..=200 {
                send(&mut pace, id);
                was_too_slow |= pace.is_too_slow(Instant::now());
                tokio::time::advance(STUCK_AFTER * 2).await;
                shared.stats.publish_received(BACKLOG_BYTES / 10);
                was_too_slow |= pace.is_too_slow(Instant::now());
                acknowledge(&mut pace, id);
                if nothing_waits {
                    tokio::time::advance(NOTHING_WAITS_AFTER).await;
                }
            }
            assert_eq!(was_too_slow, !nothing_waits);
        }
    }
}
