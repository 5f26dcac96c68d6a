//! What this gateway offers to the other members: its rooms, their states, and files.
//!
//! Owns the check that another member has the cluster's token. What comes in here goes to the rooms of this gateway and
//! never to another one.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{Sink, Stream};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use super::file::{self, FileAnswered};
use super::frame::NoFrame;
use super::proof::{Dialled, Exchange, TokenProof, is_nonce, nonce};
use super::served::{self, MemberMessage};
use super::wire::{CommandHead, OutcomeHead};
use super::{Holder, LARGEST_MESSAGE, LinkSettings, RoomHolders};
use crate::command::{Download, Outcome, Submit, Transfer};
use crate::standstill::received_now;
use crate::state::StateStore;
use crate::telemetry::Telemetry;

/// An address as the other members read it.
fn whole_address(advertise: &str) -> String {
    let read: Result<Url, _> = advertise.parse();
    read.map_or_else(|_| advertise.to_owned(), |url| url.as_str().to_owned())
}

/// The entrance for other members.
pub struct MemberDoor {
    token: TokenProof,
    name: Arc<str>,
    advertise: String,
    store: Arc<StateStore>,
    rooms: Arc<dyn Submit>,
    holders: Arc<dyn RoomHolders>,
    telemetry: Arc<Telemetry>,
    stopping: CancellationToken,
    /// The links, so that the stop can wait for their last messages.
    tasks: TaskTracker,
}

impl std::fmt::Debug for MemberDoor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemberDoor").finish_non_exhaustive()
    }
}

impl MemberDoor {
    /// For the rooms and states of this gateway.
    pub fn new(
        settings: &LinkSettings,
        store: Arc<StateStore>,
        rooms: Arc<dyn Submit>,
        holders: Arc<dyn RoomHolders>,
        telemetry: Arc<Telemetry>,
    ) -> Arc<Self> {
        Arc::new(Self {
            token: TokenProof::new(&settings.token),
            name: settings.name.clone(),
            advertise: whole_address(&settings.advertise),
            store,
            rooms,
            holders,
            telemetry,
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
        })
    }

    /// Begins an exchange with a member that has dialled and sent this nonce. Also gives the proof of this one; none
    /// if that is no nonce, or the system gives no random numbers.
    pub fn prove(&self, dialer_nonce: &str) -> Option<(Exchange, String)> {
        if !is_nonce(dialer_nonce) {
            return None;
        }
        let exchange = Exchange {
            dialer_nonce: dialer_nonce.to_owned(),
            door_nonce: nonce().ok()?,
        };
        let proof = self.token.of_door(&exchange, self.dialled());
        Some((exchange, proof))
    }

    /// Whether a member of this name proves in this exchange that it has the cluster's token.
    pub fn is_member(&self, exchange: &Exchange, name: &str, proof: &str) -> bool {
        let dialled = self.dialled();
        self.token.is_of_dialer(proof, exchange, dialled, name)
    }

    fn dialled(&self) -> Dialled<'_> {
        Dialled {
            name: &self.name,
            advertise: &self.advertise,
        }
    }

    /// The largest message of a member, in bytes.
    pub fn max_message(&self) -> usize {
        LARGEST_MESSAGE
    }

    /// The tasks of links that are open, for the task of one more.
    pub fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    pub(super) fn store(&self) -> &Arc<StateStore> {
        &self.store
    }

    pub(super) fn rooms(&self) -> &dyn Submit {
        &*self.rooms
    }

    pub(super) fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    pub(super) fn holders(&self) -> &dyn RoomHolders {
        &*self.holders
    }

    /// Waits until links are to end.
    pub(super) async fn stopping(&self) {
        self.stopping.cancelled().await;
    }

    /// Serves a member that has opened its link and has shown the token. `takes_pieces`: it takes large frames in
    /// pieces.
    pub async fn serve<S, K>(self: Arc<Self>, source: S, sink: K, takes_pieces: bool)
    where
        S: Stream<Item = MemberMessage> + Unpin,
        K: Sink<Bytes> + Unpin,
    {
        served::serve(self, source, sink, takes_pieces).await;
    }

    /// Hands in a command that sends or fetches a file, and waits for the first bytes that come back, or the
    /// result. `head` is the header of this name; `upload` the file that is sent.
    ///
    /// # Errors
    /// The header is none of a member.
    pub async fn file(
        &self,
        head: &[u8],
        payload: Bytes,
        upload: Option<crate::command::Upload>,
    ) -> Result<FileAnswered, NoFrame> {
        let head = STANDARD.decode(head).map_err(|_| NoFrame)?;
        let head: CommandHead = serde_json::from_slice(&head).map_err(|_| NoFrame)?;
        if self.holders.holder(head.room()) != Holder::Me {
            return Ok(FileAnswered::NotHere);
        }
        self.telemetry.command_from_member();
        let (transfer, arrival) = match upload {
            Some(upload) => (Transfer::Upload(upload), None),
            None => {
                let (download, arrival) = Download::new();
                (Transfer::Download(download), Some(arrival))
            }
        };
        let (sender, result) = oneshot::channel::<Outcome>();
        let deliver = move |outcome| {
            // The member may have gone away.
            let _ = sender.send(outcome);
        };
        let passed = head.received(payload, transfer, received_now(), deliver);
        passed.submit_to(&*self.rooms);
        if let Some(arrival) = arrival
            && let Ok(head) = arrival.head.await
        {
            return Ok(FileAnswered::File(head, arrival.body));
        }
        // A reply answers even when it is dropped.
        let outcome = result.await.map_err(|_| NoFrame)?;
        let (head, body) = OutcomeHead::new(outcome);
        Ok(FileAnswered::Outcome(file::encode_outcome(&head, &body)))
    }

    /// Ends the links, each after its last messages.
    pub async fn stop(&self, deadline: Instant) {
        self.stopping.cancel();
        self.tasks.close();
        let _ = timeout_at(deadline, self.tasks.wait()).await;
    }
}
