//! What all clients share: where they are let in, and what they talk about.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Limits;
use super::frame_cache::FrameCache;
use crate::command::{DoorKind, ErrorCode, Failure, Reply, Submission, Submit, Transfer};
use crate::doors::access::{Access, Grant};
use crate::state::StateStore;
use crate::telemetry::{ClientRefusal, Telemetry};

/// What all clients share.
pub struct Clients {
    /// The retained states.
    pub store: Arc<StateStore>,
    /// Takes commands.
    pub gateway: Arc<dyn Submit>,
    /// Who may see and do what.
    pub access: Access,
    /// Counts.
    pub telemetry: Arc<Telemetry>,
    /// What a client may take.
    pub limits: Limits,
    /// State frames that were written already.
    pub(super) written: FrameCache,
    /// Cancelled when conversations are to end.
    pub stopping: CancellationToken,
    /// Every conversation.
    pub tasks: TaskTracker,
    places: Arc<Semaphore>,
}

impl std::fmt::Debug for Clients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clients").finish_non_exhaustive()
    }
}

impl Clients {
    /// No clients yet.
    pub fn new(
        store: Arc<StateStore>,
        gateway: Arc<dyn Submit>,
        access: Access,
        telemetry: Arc<Telemetry>,
        limits: Limits,
    ) -> Arc<Self> {
        Arc::new(Self {
            places: Arc::new(Semaphore::new(limits.clients)),
            store,
            gateway,
            access,
            telemetry,
            limits,
            written: FrameCache::default(),
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
        })
    }

    /// A place for one more client, unless there are too many.
    pub fn place(&self) -> Option<OwnedSemaphorePermit> {
        let place = self.places.clone().try_acquire_owned().ok();
        if place.is_none() {
            self.telemetry.client_refused(ClientRefusal::Limit);
        }
        place
    }

    /// Ends all clients, each after its last messages; whoever has not read them by `deadline` goes
    /// without them.
    pub async fn stop(&self, deadline: Instant) {
        self.stopping.cancel();
        self.tasks.close();
        let _ = timeout_at(deadline, self.tasks.wait()).await;
    }

    /// Hands a command in, if the sender may send it.
    pub fn submit(
        &self,
        grant: &Grant,
        door: DoorKind,
        payload: bytes::Bytes,
        transfer: Transfer,
        reply: Reply,
    ) {
        let authority = match grant.authority(reply.room()) {
            Ok(authority) => authority,
            Err(message) => {
                let failure = Failure::new(ErrorCode::Forbidden, message);
                return self.gateway.refuse(door, reply, failure);
            }
        };
        self.gateway.submit(Submission {
            room: reply.room().clone(),
            command: reply.command().to_owned(),
            payload,
            expires: None,
            received: Instant::now(),
            authority,
            door,
            transfer,
            reply,
        });
    }
}
