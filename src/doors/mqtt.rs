//! The MQTT door: commands in, results and retained states out, over one connection to a broker.
//!
//! The path of a packet from the broker, and of an item to it:
//!
//! ```text
//!            broker                                        state store, rooms
//!              │ bytes                                             │ changes, events, results
//!  link        │ one socket, one write for all that waits          ▼
//!  packets     ▼ bytes become packets                    subscriber  outbox, leftovers
//!  connection  one loop: receives, sends, keeps alive, connects again
//!              │ packets                                           │ items, when the window allows
//!  receive     ▼ what a packet means                         send  ▼ what message_maker makes of an item
//!              │                                                   │ packet ids
//!              ▼ submissions, refusals                    inflight ▼ kept until acknowledged
//!            gateway                                             broker
//! ```
//!
//! `session` holds what belongs to one connection, `subscription` what is subscribed to, `backoff` when the next
//! connection is tried, `outgoing` what becomes of messages that were sent, with `refusals` (which the broker does not
//! take), `pace` (how fast they are sent) and `postponed` (which wait for a time of their own), `redelivery` which
//! commands the broker repeats, `first_commands` those that arrive with what it retains, `delivery` and
//! `retained_watch` whether it delivers and holds what it should, `broker_memory` whether it may hold something older
//! than it was given, which `older_retained` reads, `idle_ends` whether connections end for being idle, `restores`
//! which states somebody else has cleared, `shared` which rooms it subscribes to where several gateways share them,
//! `retained_reader` what the broker holds of rooms that this gateway has taken, `presence` what their speaker says for
//! all, `leftovers` what an earlier run left there, `other_gateways` which others publish at the same topics; `mark`
//! tells whose message is whose, and `incoming` takes a publish apart once. `settings` has how the connection is set
//! up, `error` why there is none, `reason` MQTT's codes in words, `fuzzed` the entrances of the fuzz targets. `survey`
//! is a connection of its own, for `poly2mqtt clear`, `trial` what `check --connect` does. This is the only place that
//! names an MQTT client library, and it uses the library's packets but not its loop: `docs/decisions/mqtt-packets.md`
//! says why. Knows nothing of devices; of rooms, only what is at the broker about them.

mod backoff;
mod broker_memory;
mod connection;
mod delivery;
mod error;
mod first_commands;
#[doc(hidden)]
pub mod fuzzed;
mod idle_ends;
mod incoming;
mod inflight;
mod leftovers;
mod link;
mod mark;
mod message;
mod message_maker;
mod older_retained;
mod other_gateways;
mod outgoing;
mod pace;
mod packets;
mod postponed;
mod presence;
mod reason;
mod receive;
mod redelivery;
mod refusals;
mod restores;
mod retained_reader;
mod retained_watch;
mod send;
mod session;
mod settings;
mod shared;
mod subscriber;
mod subscription;
mod survey;
mod trial;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::byte_budget::ByteBudget;
use crate::command::Submit;
use crate::home_assistant::{DOCUMENT_HEADER, DocumentLimits, InboundMessage};
use crate::state::{StateStore, StateValue, Subscriber};
use crate::telemetry::{Telemetry, broker_span};
use crate::topics::GATEWAY_AVAILABILITY;
use connection::Connection;
use error::SizeCause;
use message::LARGE_RESULT_BYTES;
use refusals::Obstacle;
use retained_reader::read_retained;
use subscriber::MqttSubscriber;

pub use error::ConnectionLost;
pub use leftovers::Retained;
pub use message::ReplyAddress;
pub use presence::{Presence, RemainingGateways};
pub use settings::{BrokerAddress, MqttSettings};
pub use shared::{Arrival, RefusedRoom, RoomRole, SharedRooms, SharingRules};
pub use survey::{MANY_MESSAGES, RetainedMessage, Survey};
pub use trial::{BrokerRight, BrokerTrial, TrialTopics, try_broker};

/// Topics without the prefix, for messages to and from another program.
#[derive(Debug, Clone)]
pub struct ExtraTopics {
    /// The retained topics for it.
    pub store: Arc<StateStore>,
    /// Makes the payload that is published from the one that the store holds.
    pub encode: fn(&[u8]) -> Bytes,
    /// The filters to subscribe to.
    pub filters: Vec<String>,
    /// Where messages at these filters go.
    pub inbound: mpsc::Sender<InboundMessage>,
    /// The largest payloads that the broker takes at these topics, as far as is known: the door
    /// lowers one when its document is too large, and raises them with a new connection.
    pub document_limits: watch::Sender<DocumentLimits>,
}

/// The data that the door's parts share.
struct DoorContext {
    settings: MqttSettings,
    store: Arc<StateStore>,
    extra_topics: Option<ExtraTopics>,
    subscriber: Arc<MqttSubscriber>,
    /// What files and large results take, wherever they wait.
    large_results: ByteBudget,
    gateway: Arc<dyn Submit>,
    telemetry: Arc<Telemetry>,
    connected: watch::Sender<bool>,
    /// Cancelled when the door stops: it takes no more commands, and sends what waits.
    stopping: CancellationToken,
}

impl DoorContext {
    fn new(
        settings: MqttSettings,
        store: Arc<StateStore>,
        gateway: Arc<dyn Submit>,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        Self {
            subscriber: Arc::new(MqttSubscriber::new(
                settings.gateway_id.clone(),
                telemetry.clone(),
            )),
            large_results: ByteBudget::new(LARGE_RESULT_BYTES.max(settings.max_payload)),
            settings,
            store,
            extra_topics: None,
            gateway,
            telemetry,
            connected: watch::Sender::new(false),
            stopping: CancellationToken::new(),
        }
    }

    /// Subscribes to every store.
    fn subscribe(&self) {
        let subscriber: Arc<dyn Subscriber> = self.subscriber.clone();
        for store in self.stores() {
            store.subscribe(Arc::downgrade(&subscriber));
        }
    }

    /// A connection came up, to a broker that takes packets of this size.
    fn document_limit(&self, largest_packet: usize) {
        let limit = largest_packet.saturating_sub(DOCUMENT_HEADER);
        let limit = limit.min(self.settings.max_payload);
        self.change_document_limits(|limits| limits.connected(limit));
    }

    /// The broker does not take a document of this size.
    fn document_refused(&self, topic: &str, size: usize, obstacle: &Obstacle) {
        let (size, cause) = obstacle.size_cause(size);
        self.change_document_limits(|limits| match cause {
            SizeCause::Certain => limits.too_large(topic, size),
            SizeCause::Possible => limits.perhaps_too_large(topic, size),
            SizeCause::No => {}
        });
    }

    /// The broker took a document of this size.
    fn document_taken(&self, topic: &str, size: usize) {
        if let Some(extra) = &self.extra_topics {
            extra.document_limits.send_if_modified(|limits| {
                limits.taken(topic, size);
                false
            });
        }
    }

    fn change_document_limits(&self, change: impl Fn(&mut DocumentLimits)) {
        if let Some(extra) = &self.extra_topics {
            extra.document_limits.send_if_modified(|limits| {
                let before = limits.clone();
                change(limits);
                *limits != before
            });
        }
    }

    fn stores(&self) -> impl Iterator<Item = &Arc<StateStore>> {
        let extra = self.extra_topics.iter().map(|extra| &extra.store);
        std::iter::once(&self.store).chain(extra)
    }
}

/// Loads the certificates and keys of the settings, as [`MqttDoor::start`] does.
///
/// # Errors
/// Certificate files that cannot be used.
pub fn check_certificates(settings: &MqttSettings) -> Result<(), String> {
    settings::client_tls(settings).map(drop)
}

/// The running door.
#[derive(Debug)]
pub struct MqttDoor {
    store: Arc<StateStore>,
    subscriber: Arc<MqttSubscriber>,
    connected: watch::Receiver<bool>,
    stopping: CancellationToken,
    task: JoinHandle<()>,
}

impl MqttDoor {
    /// Starts the door, which connects by itself and stays connected.
    ///
    /// # Errors
    /// Certificate files that cannot be used.
    pub fn start(
        settings: MqttSettings,
        store: Arc<StateStore>,
        gateway: Arc<dyn Submit>,
        telemetry: Arc<Telemetry>,
        extra_topics: Option<ExtraTopics>,
    ) -> Result<Self, String> {
        let tls = settings::client_tls(&settings)?;
        let span = broker_span(&settings.address());
        let mut context = DoorContext::new(settings, store.clone(), gateway, telemetry);
        context.extra_topics = extra_topics;
        context.subscribe();
        store.set(GATEWAY_AVAILABILITY, StateValue::text("online"));
        let connected = context.connected.subscribe();
        let stopping = context.stopping.clone();
        let subscriber = context.subscriber.clone();
        let context = Arc::new(context);
        if let Some(shared) = context.settings.shared.clone() {
            let reading = read_retained(context.clone(), shared);
            tokio::spawn(reading.instrument(span.clone()));
        }
        let connection = Connection::new(context, tls);
        let task = tokio::spawn(connection.run().instrument(span));
        Ok(Self {
            store,
            subscriber,
            connected,
            stopping,
            task,
        })
    }

    /// Whether the gateway can work with the broker, now and from now on: commands arrive, and the
    /// first message was acknowledged.
    pub fn connected(&self) -> watch::Receiver<bool> {
        self.connected.clone()
    }

    /// Whether messages of earlier runs may be cleared: the broker has told what it holds, and no
    /// other gateway has claimed this one's id.
    pub fn may_clear(&self) -> watch::Receiver<bool> {
        self.subscriber.may_clear()
    }

    /// Tells other gateways at the same topics that this one is about to stop, so that the last of
    /// them publishes `offline`.
    pub fn announce_stop(&self) {
        self.subscriber.announce_stop();
    }

    /// Takes no more commands, sends what waits, publishes `offline` unless another gateway uses the same topics, and
    /// disconnects, all by `deadline`. A door that is cut off then leaves it to the broker to publish `offline` (its
    /// will).
    pub async fn stop(self, deadline: Instant) {
        self.store
            .set(GATEWAY_AVAILABILITY, StateValue::text("offline"));
        self.stopping.cancel();
        let abort = self.task.abort_handle();
        if timeout_at(deadline, self.task).await.is_err() {
            abort.abort();
        }
    }
}
