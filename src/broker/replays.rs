//! Sends a client what the gateway retains, when the client subscribes.
//!
//! Such a message needs the library's packet identifiers, acknowledgements and sessions. So the library
//! gets a placeholder with the topic, to a topic that only this client has, and `outbound` puts the message
//! in its place when the library writes it. Few placeholders are under way at a time, and a message is
//! always the newest, however long its placeholder waited.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mqtt5::QoS;
use mqtt5::broker::router::{MessageRouter, SubscriptionRequest};
use mqtt5::packet::publish::PublishPacket;
use mqtt5::protocol::v5::reason_codes::ReasonCode;
use mqtt5::types::ProtocolVersion;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::yield_now;
use tokio::time::timeout;

use super::answers::Denial;
use super::client::ClientsShare;
use super::frames::{FieldReader, Malformed};
use super::gateway_retained::RetainedSearch;
use super::limits::WAITING_REPLAYS;
use crate::topics::{Filter, split_shared};

/// The first level of the topics of placeholders; the client's place follows. No client can subscribe or
/// publish to it.
const PLACEHOLDER_LEVEL: &str = "$replay";
/// The placeholders of one client that are under way at a time.
const PLACEHOLDERS_IN_FLIGHT: usize = 64;
/// The library drops messages of a client that takes nothing. A placeholder that was not written after this
/// is taken for dropped, so that the others are sent.
const PLACEHOLDER_TIMEOUT: Duration = Duration::from_secs(1);

const TOO_MANY: Denial = Denial::limit(
    "replay",
    ReasonCode::QuotaExceeded,
    "the retained messages of many subscriptions are on their way already; subscribe again when they have come",
);

/// A placeholder in the hands of another client would give it a message that it may not see.
pub const PLACEHOLDERS: Denial = Denial::new(
    ReasonCode::NotAuthorized,
    "topics that begin with $replay are the broker's own",
);

/// What is retained is to be sent for this filter.
#[derive(Debug, PartialEq, Eq)]
pub struct Replay {
    pub filter: Filter,
    /// The QoS that was granted.
    pub qos: u8,
    /// The Subscription Identifier of the SUBSCRIBE; 0 for none.
    pub identifier: u32,
}

/// Stands for a retained message, while the library has it.
#[derive(Debug, PartialEq, Eq)]
pub struct Placeholder<'a> {
    pub topic: &'a str,
    /// 0 for none.
    pub identifier: u32,
}

impl<'a> Placeholder<'a> {
    /// Whose placeholders the messages of this topic are: the place of a client. `None` if they are none.
    pub fn place(topic: &[u8]) -> Option<&[u8]> {
        topic
            .strip_prefix(PLACEHOLDER_LEVEL.as_bytes())?
            .strip_prefix(b"/")
    }

    /// Whether a filter can match placeholders.
    pub fn is_matched_by(filter: &str) -> bool {
        let filter = split_shared(filter).map_or(filter, |(_, filter)| filter);
        filter.split('/').next() == Some(PLACEHOLDER_LEVEL)
    }

    /// Of a message's payload.
    ///
    /// # Errors
    /// It is no placeholder.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = FieldReader(payload);
        let identifier = reader.take(4)?.try_into().map_err(|_| Malformed)?;
        Ok(Self {
            topic: std::str::from_utf8(reader.0).map_err(|_| Malformed)?,
            identifier: u32::from_be_bytes(identifier),
        })
    }

    fn payload(&self) -> Vec<u8> {
        [&self.identifier.to_be_bytes(), self.topic.as_bytes()].concat()
    }
}

/// The subscriptions of one client whose retained messages are to be sent, as its stream sees them.
#[derive(Debug)]
pub struct Replays {
    to_replayer: mpsc::UnboundedSender<Replay>,
    waiting: Arc<AtomicUsize>,
    room: Arc<Semaphore>,
}

/// Sends the placeholders of one client.
#[derive(Debug)]
pub struct Replayer {
    replays: mpsc::UnboundedReceiver<Replay>,
    waiting: Arc<AtomicUsize>,
    /// Permits of placeholders.
    room: Arc<Semaphore>,
    shared: Arc<ClientsShare>,
    place: String,
    version: ProtocolVersion,
}

impl Replays {
    /// For the client at this place.
    pub fn new(shared: Arc<ClientsShare>, place: String, is_mqtt_5: bool) -> (Self, Replayer) {
        let (to_replayer, replays) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let room = Arc::new(Semaphore::new(PLACEHOLDERS_IN_FLIGHT));
        let this = Self {
            to_replayer,
            waiting: waiting.clone(),
            room: room.clone(),
        };
        let version = if is_mqtt_5 {
            ProtocolVersion::V5
        } else {
            ProtocolVersion::V311
        };
        let replayer = Replayer {
            replays,
            waiting,
            room,
            shared,
            place,
            version,
        };
        (this, replayer)
    }

    /// Whether so many may wait.
    ///
    /// # Errors
    /// They may not.
    pub fn check(&self, more: usize) -> Result<(), Denial> {
        let waiting = self.waiting.load(Ordering::Relaxed) + more;
        if waiting > WAITING_REPLAYS {
            return Err(TOO_MANY);
        }
        Ok(())
    }

    /// The client's subscription was granted.
    pub fn begin(&self, replay: Replay) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        // The replayer goes only with the client.
        let _ = self.to_replayer.send(replay);
    }

    /// The library has written a placeholder.
    pub fn was_written(&self) {
        // More may come when one was taken for dropped.
        if self.room.available_permits() < PLACEHOLDERS_IN_FLIGHT {
            self.room.add_permits(1);
        }
    }
}

impl Replayer {
    /// Sends placeholders for as long as the client is there.
    pub async fn run(mut self, router: &MessageRouter) {
        let topic = format!("{PLACEHOLDER_LEVEL}/{}", self.place);
        while let Some(replay) = self.replays.recv().await {
            let request = SubscriptionRequest::new(&*self.place, &*topic, QoS::ExactlyOnce)
                .with_protocol_version(self.version);
            if let Err(error) = router.subscribe(request).await {
                tracing::debug!(%error, "retained messages could not be sent");
                return;
            }
            let filter = replay.filter.as_str().to_owned();
            let mut search = RetainedSearch::new(replay.filter);
            'search: while let Some(found) = self.shared.gateway_retained.next_part(&mut search) {
                for found in found {
                    if let Ok(Ok(permit)) = timeout(PLACEHOLDER_TIMEOUT, self.room.acquire()).await
                    {
                        permit.forget();
                    }
                    // Nothing more after UNSUBSCRIBE (MQTT 5, 3.10.4).
                    if !self.shared.filters.contains(&self.place, &filter) {
                        break 'search;
                    }
                    let placeholder = Placeholder {
                        topic: &found.topic,
                        identifier: replay.identifier,
                    };
                    let qos = QoS::from(replay.qos.min(found.qos));
                    let message = PublishPacket::new(&*topic, placeholder.payload(), qos);
                    router.route_message(&message, None).await;
                }
                yield_now().await;
            }
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written() {
        let placeholder = Placeholder {
            topic: "room/1/audio/volume",
            identifier: 268_435_455,
        };
        assert_eq!(Placeholder::parse(&placeholder.payload()), Ok(placeholder));
        assert_eq!(Placeholder::parse(&[0, 0, 1]), Err(Malformed));
        assert_eq!(Placeholder::parse(&[0, 0, 0, 1, 0xFF]), Err(Malformed));
    }

    #[test]
    fn a_filter_of_placeholders_is_known() {
        for (filter, is_known) in [
            ("$replay/#", true),
            ("$replay/+", true),
            ("$replay", true),
            ("$share/group/$replay/+/#", true),
            ("$replays/#", false),
            ("$share/$replay/#", false),
            ("room/$replay/#", false),
            ("#", false),
        ] {
            assert_eq!(Placeholder::is_matched_by(filter), is_known, "{filter}");
        }
    }
}
