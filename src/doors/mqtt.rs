//! The MQTT front door: commands in, results and retained states out.
//!
//! The only place that names an MQTT library. Owns the connection, its outbox and what is not
//! acknowledged yet, which is sent again after a disconnect; knows nothing of devices or rooms.

mod connection;
mod inflight;
mod leftovers;
mod link;
pub(crate) mod message;
mod options;
mod subscriber;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::command::{Outcome, Submit};
use crate::state::{Inbound, StateStore, StateValue, Subscriber};
use crate::telemetry::{Telemetry, broker_span};
use connection::{Connection, Shared};
use subscriber::MqttSubscriber;

pub use message::{Address, Publication, check_response, classify};
pub use options::{BrokerAddress, Settings};

/// The topic that says whether the gateway is there.
pub(crate) const AVAILABILITY: &str = "gateway/availability";
/// The topic that says which rooms the gateway has.
const INFO: &str = "gateway/info";

/// A result with where it goes.
pub(crate) type Answer = (Address, Box<Outcome>);

/// What is published for another program and heard from it, at topics without the prefix.
#[derive(Debug, Clone)]
pub struct ExtraTopics {
    /// The retained topics for it.
    pub store: Arc<StateStore>,
    /// Makes what is published of what the state store holds.
    pub payload: fn(&[u8]) -> Bytes,
    /// The topics to listen to.
    pub filters: Vec<String>,
    /// Where what is heard goes.
    pub heard: mpsc::Sender<Inbound>,
}

/// A running front door.
#[derive(Debug)]
pub struct Door {
    store: Arc<StateStore>,
    connected: watch::Receiver<bool>,
    ending: CancellationToken,
    task: JoinHandle<()>,
}

impl Door {
    /// Starts the door, which connects by itself and stays connected.
    ///
    /// # Errors
    /// Certificate files that cannot be used.
    pub fn start(
        settings: Settings,
        store: Arc<StateStore>,
        gateway: Arc<dyn Submit>,
        telemetry: Arc<Telemetry>,
        foreign: Option<ExtraTopics>,
    ) -> Result<Self, String> {
        let tls = options::connector(&settings)?;
        let subscriber = Arc::new(MqttSubscriber::new(telemetry.clone()));
        let subscription: Arc<dyn Subscriber> = subscriber.clone();
        store.subscribe(Arc::downgrade(&subscription));
        if let Some(foreign) = &foreign {
            foreign.store.subscribe(Arc::downgrade(&subscription));
        }
        store.set(AVAILABILITY, StateValue::text("online"));
        let (tell, connected) = watch::channel(false);
        let ending = CancellationToken::new();
        let shared = Shared {
            settings,
            store: store.clone(),
            foreign,
            subscriber,
            telemetry,
            ending: ending.clone(),
        };
        let span = broker_span(&shared.settings.address());
        let connection = Connection::new(shared, tls, gateway, tell);
        let task = tokio::spawn(connection.run().instrument(span));
        Ok(Self {
            store,
            connected,
            ending,
            task,
        })
    }

    /// Whether the broker is there, now and later.
    pub fn connected(&self) -> watch::Receiver<bool> {
        self.connected.clone()
    }

    /// Takes no more commands, sends what waits, says `offline` and disconnects, all by `deadline`;
    /// after that the broker says `offline` itself.
    pub async fn stop(self, deadline: Instant) {
        self.store.set(AVAILABILITY, StateValue::text("offline"));
        self.ending.cancel();
        let abort = self.task.abort_handle();
        if timeout_at(deadline, self.task).await.is_err() {
            abort.abort();
        }
    }
}

/// The will and the birth are the same message with another word.
pub(crate) fn availability_topic(prefix: &str) -> String {
    message::prefixed(prefix, AVAILABILITY)
}

/// A publish as it is handed to the library.
#[derive(Debug)]
pub(crate) struct Message {
    pub topic: String,
    pub payload: Bytes,
    pub retain: bool,
    pub content_type: Option<String>,
    pub correlation: Option<Bytes>,
    pub user: Vec<(String, String)>,
}
