//! One client that has logged in: whose it is, and the answers to the library's questions about it.

use std::borrow::Cow;
use std::future::{Future, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use mqtt5::broker::auth::{AuthProvider, AuthResult};
use mqtt5::broker::sys_topics::BrokerStats;
use mqtt5::packet::connect::ConnectPacket;
use mqtt5::types::WillMessage;
use tokio::sync::Semaphore;

use super::answers::Denial;
use super::authentication::Login;
use super::client_owner::ClientOwner;
use super::filters::FilterLedger;
use super::gateway_mail::GatewayMail;
use super::gateway_retained::GatewayRetained;
use super::limits::LARGE_PACKETS_BYTES;
use super::pace::{PublishedHeads, StalledClients};
use super::places::PlaceNames;
use super::property_size::PropertySize;
use super::qos2_inflight::Qos2Inflight;
use super::replays::{PLACEHOLDERS, Placeholder};
use super::retained::{ReservedWill, RetainedLedger};
use super::rights::{BrokerRights, GATEWAY_USER, PublishAttempt, Recipients};
use super::rules::check_filter;
use super::tickets::CommandQueue;
use super::topic_size::{FILTER_TOO_LONG, TOPIC_TOO_LONG, is_moderate};
use crate::telemetry::Telemetry;

/// A client that has logged in.
#[derive(Debug)]
pub struct BrokerClient {
    /// Its name at the library: see [`super::places`].
    pub place: String,
    pub owner: ClientOwner,
    login: Login,
    pub shared: Arc<ClientsShare>,
}

/// What all clients share: their rights, and what limits them together.
#[derive(Debug)]
pub struct ClientsShare {
    pub rights: BrokerRights,
    /// The library's names of clients and groups.
    pub places: PlaceNames,
    pub filters: FilterLedger,
    /// What clients retain.
    pub retained: RetainedLedger,
    pub gateway_retained: GatewayRetained,
    pub qos2_inflight: Qos2Inflight,
    /// The largest packet of a client, as CONNACK says.
    pub largest_packet: usize,
    /// Permits of KiB for large messages that are coming.
    pub large_packets: Arc<Semaphore>,
    /// Counts what is published: messages and payloads.
    pub stats: Arc<BrokerStats>,
    /// Counts the topics and properties of what clients publish.
    pub published_heads: PublishedHeads,
    /// Counts the clients that read nothing.
    pub stalled: StalledClients,
    pub telemetry: Arc<Telemetry>,
    pub gateway_mail: GatewayMail,
    /// Commands on their way to the gateway.
    pub commands: Arc<CommandQueue>,
}

impl ClientsShare {
    pub fn new(
        rights: BrokerRights,
        places: PlaceNames,
        telemetry: Arc<Telemetry>,
        largest_packet: usize,
    ) -> Self {
        Self {
            rights,
            places,
            filters: FilterLedger::default(),
            retained: RetainedLedger::default(),
            gateway_retained: GatewayRetained::default(),
            qos2_inflight: Qos2Inflight::default(),
            largest_packet,
            large_packets: Arc::new(Semaphore::new(LARGE_PACKETS_BYTES >> 10)),
            stats: Arc::new(BrokerStats::new()),
            published_heads: PublishedHeads::default(),
            stalled: StalledClients::default(),
            telemetry,
            gateway_mail: GatewayMail::default(),
            commands: Arc::default(),
        }
    }

    /// The session of this place has ended.
    pub fn forget(&self, place: &str) {
        self.filters.forget(place);
        self.qos2_inflight.forget(place);
    }

    /// Something was denied: counts it if that keeps a limit.
    pub fn denied(&self, denial: &Denial) {
        if let Some(limit) = denial.limit {
            self.telemetry.broker_limited(limit);
        }
    }
}

#[cfg(test)]
impl ClientsShare {
    /// Of a broker without users and prefix.
    pub fn without_users() -> Arc<Self> {
        use crate::topics::{DiscoveryTopics, Prefix};

        let rights = BrokerRights::new(Vec::new(), Prefix::new(""), DiscoveryTopics::default());
        let places = PlaceNames::new().unwrap();
        Arc::new(Self::new(rights, places, Arc::default(), 1 << 20))
    }
}

impl BrokerClient {
    pub fn new(place: String, owner: ClientOwner, login: Login, shared: Arc<ClientsShare>) -> Self {
        Self {
            place,
            owner,
            login,
            shared,
        }
    }

    /// Its name in the rights; `None` where clients connect without a user.
    pub fn user(&self) -> Option<&str> {
        match &self.login {
            Login::Gateway => Some(GATEWAY_USER),
            Login::User(name) => Some(name),
            Login::Anyone => None,
        }
    }

    pub fn is_gateway(&self) -> bool {
        matches!(self.login, Login::Gateway)
    }

    /// Who gets what it publishes.
    ///
    /// # Errors
    /// Nobody does.
    pub fn publish(&self, attempt: &PublishAttempt<'_>) -> Result<Recipients, Denial> {
        if !is_moderate(attempt.topic) {
            return Err(TOPIC_TOO_LONG);
        }
        Ok(self.shared.rights.publish(self.user(), attempt)?)
    }

    /// Whether the broker may retain a message of this size for it.
    ///
    /// # Errors
    /// It may not.
    pub fn retain(
        &self,
        topic: &str,
        payload: usize,
        properties: PropertySize,
    ) -> Result<(), Denial> {
        if self.counts_as_retained(topic, payload) {
            self.shared.retained.check(topic, payload, properties)
        } else {
            Ok(())
        }
    }

    /// Keeps room for a will that the broker may have to retain for it.
    ///
    /// # Errors
    /// There is none.
    pub fn retain_will(&self, will: &WillMessage) -> Result<Option<ReservedWill>, Denial> {
        let (topic, payload) = (&will.topic, will.payload.len());
        if !will.retain || !self.counts_as_retained(topic, payload) {
            return Ok(None);
        }
        let properties = PropertySize::of_will(&will.properties);
        ReservedWill::new(&self.shared, topic, payload, properties).map(Some)
    }

    /// Whether a message that is to be retained takes of what clients may have.
    fn counts_as_retained(&self, topic: &str, payload: usize) -> bool {
        payload > 0 && !self.shared.rights.is_gateways(topic)
    }

    /// Counts a subscription. Says whether it is new.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn subscribe(&self, filter: &str) -> Result<bool, Denial> {
        check_filter(filter)?;
        if Placeholder::is_matched_by(filter) {
            return Err(PLACEHOLDERS);
        }
        if !is_moderate(filter) {
            return Err(FILTER_TOO_LONG);
        }
        self.shared.rights.subscribe(self.user(), filter)?;
        let filter = self.filter_for_library(filter);
        let filters = &self.shared.filters;
        filters.subscribe(&self.place, &self.owner, &filter)
    }

    /// It has ended a subscription.
    pub fn unsubscribe(&self, filter: &str) {
        let filter = self.filter_for_library(filter);
        self.shared.filters.unsubscribe(&self.place, &filter);
    }

    /// Whether the messages of a subscription keep their retain flag.
    pub fn set_as_published(&self, filter: &str, is_kept: bool) {
        // By the name that `unsubscribe` ends it with, so that none stays.
        let filter = self.filter_for_library(filter);
        let filters = &self.shared.filters;
        filters.set_as_published(&self.place, &filter, is_kept);
    }

    /// A filter of it as the library sees it: see [`PlaceNames::filter`].
    pub fn filter_for_library<'a>(&self, filter: &'a str) -> Cow<'a, str> {
        if !is_moderate(filter) {
            // Nobody has subscribed to it, and a longer one may not fit into a packet.
            return filter.into();
        }
        self.shared.places.filter(&self.login, filter)
    }
}

/// The library's questions about one client. It keeps this for as long as it may publish the client's will.
pub struct ClientQuestions {
    client: Arc<BrokerClient>,
    _will: Option<ReservedWill>,
}

impl ClientQuestions {
    pub fn new(client: Arc<BrokerClient>, will: Option<ReservedWill>) -> Self {
        Self {
            client,
            _will: will,
        }
    }
}

/// The return type of the library's trait.
type AuthFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl AuthProvider for ClientQuestions {
    /// The password was checked before the library knew of the client.
    fn authenticate<'a>(
        &'a self,
        _: &'a ConnectPacket,
        _: SocketAddr,
    ) -> AuthFuture<'a, mqtt5::Result<AuthResult>> {
        let result = match self.client.user() {
            Some(user) => AuthResult::success_with_user(user),
            None => AuthResult::success(),
        };
        Box::pin(ready(Ok(result)))
    }

    /// `inbound` has decided about messages and the gate about the will, with all that the library
    /// does not tell here.
    fn authorize_publish<'a>(
        &'a self,
        _: &str,
        _: Option<&'a str>,
        _: &'a str,
    ) -> AuthFuture<'a, bool> {
        Box::pin(ready(true))
    }

    /// Asked for SUBSCRIBE, about which `inbound` has decided, and for sessions that are resumed.
    fn authorize_subscribe<'a>(
        &'a self,
        _: &str,
        _: Option<&'a str>,
        filter: &'a str,
    ) -> AuthFuture<'a, bool> {
        let rights = &self.client.shared.rights;
        Box::pin(ready(rights.subscribe(self.client.user(), filter).is_ok()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The library has another name for the shared subscription of a user.
    #[test]
    fn a_subscription_that_ended_leaves_nothing_that_keeps_the_retain_flag() {
        for login in [Login::User("panel".into()), Login::Anyone, Login::Gateway] {
            let shared = ClientsShare::without_users();
            let owner = ClientOwner::User("panel".into());
            let client = BrokerClient::new("place".into(), owner, login, shared.clone());
            let kept = || shared.filters.as_published("place").len();
            let filters = &shared.filters;
            filters.subscribe("place", &client.owner, "stays").unwrap();
            for filter in ["a", "a/#", "$share/group/a", "$share/other/+/b"] {
                let name = client.filter_for_library(filter);
                filters.subscribe("place", &client.owner, &name).unwrap();
                client.set_as_published(filter, true);
                assert_eq!(kept(), 1, "{filter}");
                client.unsubscribe(filter);
                assert_eq!(kept(), 0, "{filter}");
            }
            // One that is not counted is not remembered.
            client.set_as_published("unknown", true);
            assert_eq!(kept(), 0);
        }
    }
}
