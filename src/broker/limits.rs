//! The bounds of the embedded broker: what clients may take of its memory, files and time.
//!
//! docs/mqtt.md lists them for users. Each has its answer to the client (`answers`) and its place
//! in the metric `poly2mqtt_broker_limited_total`.

use std::time::Duration;

use crate::net::LingerLimits;

/// The largest CONNECT, with its will. Who has not logged in gets no more memory than this.
pub const LARGEST_CONNECT: usize = 16 << 10;
/// How long a client may take to send its CONNECT. An honest one sends it at once.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The most connections that have not logged in, in all. Each takes a file and up to [`LARGEST_CONNECT`].
/// When 2,500 come in a second and say nothing, a newcomer has 0.2 s for its CONNECT.
pub const MOST_WAITING: usize = 512;
/// The share of the broker's connections that is for those that have not logged in, if that is
/// less than [`MOST_WAITING`]: one of this many.
pub const WAITING_SHARE: usize = 4;

/// The end of a connection after its last answer: a client may take some round trips to notice it, and
/// what is on its way meanwhile in a fast network is read.
pub const LINGER_LIMITS: LingerLimits = LingerLimits {
    total: Duration::from_millis(500),
    silence: Duration::from_millis(500),
    bytes: 64 << 10,
};

/// The largest packet without a payload, such as SUBSCRIBE: some thousand filters.
pub const LARGEST_CONTROL_PACKET: usize = 64 << 10;
/// The largest topic and properties of a message.
pub const LARGEST_MESSAGE_HEAD: usize = 64 << 10;
/// The most bytes of a message's properties. Requests have a response topic and an identifier. The
/// library copies the properties for each client that gets the message.
pub const PROPERTY_BYTES: usize = 2 << 10;
/// The most user properties of a message. Each takes memory however short it is.
pub const USER_PROPERTIES: usize = 16;
/// The most bytes of answers that a client has not read. After that nothing more is read from it.
pub const MOST_UNREAD_BYTES: usize = 64 << 10;

/// A client's messages and subscriptions that may be refused at once, and one more after each [`REFUSAL_PAUSE`]: a
/// program with a wrong topic for each of its buttons.
pub const REFUSALS_AT_ONCE: u32 = 100;
/// After more, the client's next packet is looked at only after this.
pub const REFUSAL_PAUSE: Duration = Duration::from_millis(10);

/// How long the session of a client that is gone is kept at most, whatever it asks for.
pub const SESSION_EXPIRY: Duration = Duration::from_secs(3600);
/// How often sessions that have ended and retained messages that have expired are looked for.
pub const SESSION_SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// The most filters with a wildcard of one client. A panel has some.
pub const WILDCARD_FILTERS_PER_CLIENT: usize = 200;
/// The most different filters with a wildcard in all: every message is compared with each, which
/// takes about 0.1 µs, and 10 ns for each level of the filter and of the topic.
pub const WILDCARD_FILTERS: usize = 2000;
/// The most levels of all these together: `room/<room>/#` for 2,000 rooms.
pub const WILDCARD_LEVELS: usize = 6000;
/// One user may have one of this many of both. So what one user subscribes to costs each message about
/// 0.3 ms at most.
pub const WILDCARD_SHARE: usize = 2;
/// The most filters of one client. Home Assistant has about 80 for each room.
pub const FILTERS_PER_CLIENT: usize = 20_000;
/// The most filters in all. Each takes about 1 KB.
pub const FILTERS: usize = 50_000;
/// The most bytes of filters in all: a filter may be long.
pub const FILTER_BYTES: usize = 8 << 20;
/// The most different shared filters, with their groups, since the start: what has ended counts on. The library
/// keeps up to 1 KB of each.
pub const SHARED_FILTERS: usize = 10_000;
/// One user may have one of this many of them.
pub const SHARED_SHARE: usize = 2;

/// The most levels of a topic or filter. The gateway's own have fewer than ten.
pub const TOPIC_LEVELS: usize = 16;
/// The most bytes of a topic or filter.
pub const TOPIC_LENGTH: usize = 1024;

/// One owner may have one of this many of the broker's connections.
pub const CONNECTION_SHARE: usize = 2;
/// The least that one owner may have, however few connections the broker has.
pub const FEWEST_CONNECTIONS: usize = 8;
/// The most sessions that are kept for clients that are gone.
pub const SESSIONS: usize = 1000;
/// The most of them for one user, or one address where there are no users.
pub const SESSIONS_PER_OWNER: usize = 100;
/// The most topic aliases of a client. Each keeps a topic.
pub const TOPIC_ALIASES: u16 = 32;

/// The most retained messages of clients; the gateway's own are not counted.
///
/// The library compares each filter of a SUBSCRIBE with all of them, which takes 0.3 ms.
pub const RETAINED_MESSAGES: usize = 2000;
/// The most bytes of them, with topics and properties. Each client that subscribes gets a copy.
pub const RETAINED_BYTES: usize = 4 << 20;
/// The most bytes of one.
pub const RETAINED_MESSAGE_BYTES: usize = 256 << 10;

/// The most bytes of clients' retained messages that are on their way to one client, unless one filter
/// matches more.
pub const REPLAY_BYTES: usize = 16 << 20;
/// The most filters of one client whose retained messages of the gateway are to be sent. Each keeps the
/// filter.
pub const WAITING_REPLAYS: usize = FILTERS_PER_CLIENT;

/// The most messages that wait for one client: while it is gone, or while it does not acknowledge.
/// The oldest is dropped.
pub const QUEUED_MESSAGES: usize = 1000;
/// The most bytes of them.
pub const QUEUED_BYTES: usize = 256 << 10;
/// A client's message above this size is passed on with QoS 0: connected clients get it, and nobody
/// has to keep it for a client that is gone or does not acknowledge. Such a copy would be made for
/// each session. What gateways and panels tell each other is far below.
pub const QUEUED_MESSAGE_BYTES: usize = 16 << 10;
/// The messages that the library has under way to a client before it waits for PUBACK, as
/// Mosquitto has. Fewer if the client's Receive Maximum is smaller.
pub const UNACKNOWLEDGED_MESSAGES: usize = 20;
/// A client that has not acknowledged more than this is behind.
pub const UNACKNOWLEDGED_BYTES: usize = 1 << 20;
/// The messages that the library keeps for a connected client. When they are as many, their senders
/// wait, and what clients retain is left out.
pub const WAITING_MESSAGES: usize = 50_000;
/// The bytes that may be published while a client does not read or acknowledge. It is dropped after
/// that.
pub const BACKLOG_BYTES: usize = 16 << 20;
/// The bytes of topics and properties in that backlog, which the library copies for each client.
pub const BACKLOG_HEAD_BYTES: usize = 2 << 20;
/// The messages in that backlog: long before their senders wait.
pub const BACKLOG_MESSAGES: usize = 2_500;
/// A client that reads nothing at all for this long is dropped, as at the other doors. The messages
/// that were retained when it subscribed wait for it.
pub const UNREAD_TIMEOUT: Duration = Duration::from_secs(20);
/// More clients than these that read nothing are a flood.
pub const UNREAD_CLIENTS: usize = 4;
/// Then a client that reads nothing is dropped after this. A client that is only slow reads something.
pub const UNREAD_TIMEOUT_IN_A_FLOOD: Duration = Duration::from_millis(250);

/// The commands of one client that are on their way to the gateway. A client with more is not read
/// further. A macro of a controller sends some.
pub const TICKETS_PER_CLIENT: usize = 32;
/// The bytes of these commands after which the client is not read further: each of the usual ones has some ten or
/// some hundred bytes, and the largest is read whole.
pub const TICKET_BYTES_PER_CLIENT: usize = 64 << 10;
/// The commands that the gateway has and has not answered, before a client's further ones count as on their
/// way. A room keeps 64; a control system that switches 1,000 rooms off waits for some results.
pub const COMMANDS_IN_GATEWAY: u64 = 512;
/// A command that is not through after this was probably dropped, or its device is slow.
pub const TICKET_TIMEOUT: Duration = Duration::from_secs(1);

/// Receive Maximum of the broker: the most messages of QoS 2 that a client has under way.
pub const RECEIVE_MAXIMUM: u16 = 256;
/// The most bytes of them for one client, if it is more than one message.
pub const QOS2_INFLIGHT_BYTES_PER_CLIENT: usize = 1 << 20;
/// The same bound for all clients together.
pub const QOS2_INFLIGHT_BYTES: usize = 64 << 20;

/// Messages above this size share [`LARGE_PACKETS_BYTES`] while they come, commands until the gateway gets them.
pub const LARGE_PACKET: usize = 64 << 10;
/// The most bytes of large messages that are coming at a time, and of large commands that wait for the gateway.
/// Others wait.
pub const LARGE_PACKETS_BYTES: usize = 64 << 20;
/// How long a large message may take to come, once it may.
pub const LARGE_PACKET_TIMEOUT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_says_the_same() {
        let page = include_str!("../../docs/mqtt.md");
        let (kib, mib) = (|n: usize| n >> 10, |n: usize| n >> 20);
        for told in [
            format!("{MOST_WAITING}, and seven of eight of one address"),
            format!(
                "{} KiB, within {} s",
                kib(LARGEST_CONNECT),
                CONNECT_TIMEOUT.as_secs()
            ),
            format!("{SESSIONS}, and {SESSIONS_PER_OWNER} of one user; one hour"),
            format!("{QUEUED_MESSAGES}, and {} KiB", kib(QUEUED_BYTES)),
            format!(
                "above {} KiB | passed on with QoS 0",
                kib(QUEUED_MESSAGE_BYTES)
            ),
            format!(
                "{} KiB, {USER_PROPERTIES} user properties",
                kib(PROPERTY_BYTES)
            ),
            format!("{} MiB in all | SUBACK", mib(FILTER_BYTES)),
            format!(
                "{WILDCARD_FILTERS_PER_CLIENT} of a client, {WILDCARD_FILTERS} different ones with \
                 {WILDCARD_LEVELS} levels in all, half"
            ),
            format!(
                "{RETAINED_MESSAGES}, {} MiB in all, {} KiB each",
                mib(RETAINED_BYTES),
                kib(RETAINED_MESSAGE_BYTES)
            ),
            format!(
                "of clients {} MiB to a client, or those of one filter",
                mib(REPLAY_BYTES)
            ),
            format!(
                "{TICKETS_PER_CLIENT} of a client or {} KiB, beside {COMMANDS_IN_GATEWAY} that the gateway",
                kib(TICKET_BYTES_PER_CLIENT)
            ),
            format!("{RECEIVE_MAXIMUM} of a client (Receive Maximum)"),
            format!(
                "{} MiB or one message of a client",
                mib(QOS2_INFLIGHT_BYTES_PER_CLIENT)
            ),
            format!("{} MiB in all | PUBREC", mib(QOS2_INFLIGHT_BYTES)),
            format!("{TOPIC_LENGTH} bytes, {TOPIC_LEVELS} levels"),
            format!("{TOPIC_ALIASES} of a client"),
            format!("without payload | {} KiB", kib(LARGEST_CONTROL_PACKET)),
            format!(
                "{REFUSALS_AT_ONCE} at once, then one in {} ms",
                REFUSAL_PAUSE.as_millis()
            ),
            format!("{} MiB at a time", mib(LARGE_PACKETS_BYTES)),
            format!(
                "above {} KiB, each within {} s",
                kib(LARGE_PACKET),
                LARGE_PACKET_TIMEOUT.as_secs()
            ),
            format!(
                "{} MiB, {} MiB of topics and properties, or {BACKLOG_MESSAGES} messages",
                mib(BACKLOG_BYTES),
                mib(BACKLOG_HEAD_BYTES)
            ),
            format!(
                "{} s, or for {} ms while more than {UNREAD_CLIENTS} clients do so",
                UNREAD_TIMEOUT.as_secs(),
                UNREAD_TIMEOUT_IN_A_FLOOD.as_millis()
            ),
        ] {
            assert!(page.contains(&told), "{told}");
        }
        assert_eq!(SESSION_EXPIRY, Duration::from_secs(3600));
        assert_eq!(
            (FILTERS_PER_CLIENT, WAITING_REPLAYS, FILTERS),
            (20_000, 20_000, 50_000)
        );
        assert_eq!((SHARED_FILTERS, SHARED_SHARE), (10_000, 2));
    }
}
