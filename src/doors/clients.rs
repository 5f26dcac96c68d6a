//! Connected clients: what a WebSocket and plain lines over TCP have in common.
//!
//! Owns each client's subscriptions, commands in flight and order of answers, and the limits of all
//! clients together. The path of a frame:
//!
//! ```text
//! FrameSource ─ serve: read_frames  ─ json/plain: parse ─ Client ─ Clients::submit ─ gateway
//! FrameSink   ─ serve: write_frames ─ json/plain: write ─ Client's outbox ─ state store, results
//! ```
//!
//! Knows neither devices nor sockets: the doors bring a [`FrameSource`] and a [`FrameSink`].
//!
//! `frame` has the requests and answers, `members` the one verb of a JSON frame, `transport` what a door must offer.
//! `states` are those that clients see, `frame_cache` their frames, written once. `unsent` holds answers that wait for
//! a client, `limits` what it may have, `close_reason` why it is closed. `help` answers people at a terminal, and
//! `other_protocol` clients that speak something else.

mod client;
mod close_reason;
pub mod frame;
mod frame_cache;
mod help;
pub mod json;
mod limits;
mod members;
mod other_protocol;
pub mod plain;
mod serve;
mod states;
mod transport;
mod unsent;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::command::{DoorKind, ErrorCode, Failure, Reply, Submission, Submit, Transfer};
use crate::doors::access::{Access, Grant};
use crate::doors::payers::{Payer, PayerId, Payers, PayersPlace};
use crate::net::Place;
use crate::network::Network;
use crate::standstill::received_now;
use crate::telemetry::{ClientRefusal, FloodKind, Telemetry};
use frame_cache::FrameCache;

pub use client::{MOST_UNSENT_ANSWERS_FACTOR, PAUSE_READING_BYTES};
pub use close_reason::CloseReason;
pub use frame::{payload_as_json, read_filter, state_as_json};
pub use limits::ClientLimits;
pub use other_protocol::OtherProtocol;
pub use serve::{NewClient, close_client, serve_client};
pub use states::{ClientStates, RoomGateway};
pub use transport::{ClientFrame, Disconnected, FrameFormat, FrameSink, FrameSource, Incoming};

/// The largest payload of a command that is refused whatever it says, which is read for its
/// `request_id`: one of fields, but no file and no flood.
pub const REFUSED_PAYLOAD: usize = 4096;

/// The parts that all clients share.
pub struct Clients {
    /// The retained states.
    pub states: ClientStates,
    /// Takes commands.
    pub gateway: Arc<dyn Submit>,
    /// Decides who may see and do what.
    pub access: Access,
    /// Counts clients, and events that a slow one missed.
    pub telemetry: Arc<Telemetry>,
    /// What a client may use.
    pub limits: ClientLimits,
    /// Cancelled when clients are to end.
    pub stopping: CancellationToken,
    /// The tasks of all clients, so that the stop can wait for them.
    pub tasks: TaskTracker,
    /// State frames, shared because many clients get the same.
    frame_cache: FrameCache,
    slots: Arc<Semaphore>,
    payers: Payers,
    /// Addresses of those who have shown no right token.
    strangers: Payers,
}

/// A client that asks to be let in, and has shown what it must show.
#[derive(Debug, Clone, Copy)]
pub struct Newcomer<'a> {
    /// The door it comes through.
    pub door: DoorKind,
    /// Its address.
    pub address: IpAddr,
    /// What it may see and do.
    pub grant: &'a Grant,
    /// The place of its connection. Only tests have none.
    pub place: Option<&'a Place>,
}

/// The slot of a client: one of all, and one of its payer's. Dropping it frees both.
#[derive(Debug)]
pub struct ClientSlot {
    _one_of_all: OwnedSemaphorePermit,
    _of_payer: PayersPlace,
}

impl std::fmt::Debug for Clients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clients").finish_non_exhaustive()
    }
}

impl Clients {
    /// No clients yet.
    pub fn new(
        states: impl Into<ClientStates>,
        gateway: Arc<dyn Submit>,
        access: Access,
        telemetry: Arc<Telemetry>,
        limits: ClientLimits,
    ) -> Arc<Self> {
        let payers = Payers::new(limits.own_processor_time);
        Arc::new(Self {
            slots: Arc::new(Semaphore::new(limits.max_clients)),
            strangers: payers.strangers(),
            payers,
            states: states.into(),
            gateway,
            access,
            telemetry,
            limits,
            frame_cache: FrameCache::default(),
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
        })
    }

    /// Who pays for what the sender with this grant and address costs.
    pub fn payer(&self, grant: &Grant, address: IpAddr) -> Arc<Payer> {
        self.payers.of(grant.payer(address))
    }

    /// Who pays for what comes from this address without a right token.
    pub fn stranger(&self, address: IpAddr) -> Arc<Payer> {
        self.strangers.of(PayerId::Address(Network::of(address)))
    }

    /// Reserves the slot of one more client. Its connection does not give way to others any more.
    ///
    /// # Errors
    /// There are too many clients, or its payer has too many. This is counted and logged.
    pub fn reserve_slot(&self, newcomer: Newcomer<'_>) -> Result<ClientSlot, CloseReason> {
        let Newcomer {
            door,
            address,
            grant,
            place,
        } = newcomer;
        let payer = self.payer(grant, address);
        let refused = |kind, reason| {
            self.telemetry.client_refused(ClientRefusal::Limit);
            let token = grant.token_name().unwrap_or_default();
            let network = Network::of(address);
            self.telemetry.flood(door, kind, network, token);
            Err(reason)
        };
        let Some(of_payer) = payer.take_place(self.limits.max_clients) else {
            return refused(FloodKind::ClientsOfPayer, CloseReason::TooManyOfPayer);
        };
        let slot = self.slots.clone().try_acquire_owned();
        match (slot, place.map_or(Ok(()), Place::hold)) {
            (Ok(one_of_all), Ok(())) => Ok(ClientSlot {
                _one_of_all: one_of_all,
                _of_payer: of_payer,
            }),
            _ => refused(FloodKind::Clients, CloseReason::TooManyClients),
        }
    }

    /// Hands a command in, or refuses it if the sender may not send it.
    pub fn submit(
        &self,
        grant: &Grant,
        door: DoorKind,
        payload: Bytes,
        transfer: Transfer,
        reply: Reply,
    ) {
        let authority = match grant.authority(reply.room()) {
            Ok(authority) => authority,
            Err(message) => {
                let failure = Failure::new(ErrorCode::Forbidden, message);
                return self.refuse(door, reply, &payload, failure);
            }
        };
        self.gateway.submit(Submission {
            room: reply.room().clone(),
            command: reply.command().to_owned(),
            payload,
            expires: None,
            received: received_now(),
            authority,
            door,
            transfer,
            reply,
        });
    }

    /// Refuses a command whatever it says. A large payload is not read for its `request_id`.
    pub fn refuse(&self, door: DoorKind, reply: Reply, payload: &Bytes, failure: Failure) {
        let is_small = payload.len() <= REFUSED_PAYLOAD;
        let payload = if is_small { payload } else { &Bytes::new() };
        self.gateway.refuse(door, reply, payload, failure);
    }

    /// Ends all clients, each after its last messages. A client that has not read them by
    /// `deadline` loses them.
    pub async fn stop(&self, deadline: Instant) {
        self.stopping.cancel();
        self.tasks.close();
        let _ = timeout_at(deadline, self.tasks.wait()).await;
    }
}
