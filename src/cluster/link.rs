//! The links between the gateways of a cluster: what a client of one gateway gets of rooms that another one has.
//!
//! Each gateway keeps one WebSocket to each other one. Over it go commands and their results, states and events;
//! files that stream go beside it, as HTTP requests. Which gateway has a room is told by [`RoomHolders`]: here nothing
//! is decided about it, and etcd is not known. The path of a command for a room elsewhere, and back:
//!
//! ```text
//! door ─ Router ─ Link ═══ WebSocket ═══ MemberDoor ─ Rooms
//! door ─ (RoomsElsewhere, outcome) ─ Link ═══ WebSocket ═══ MemberDoor ─ (StateStore, outcome)
//! ```
//!
//! A command that came over a link goes to the rooms of the gateway that it reached, and nowhere else: the
//! [`MemberDoor`] does not know the [`Router`]. So none is passed on twice.
//!
//! `connect` reaches another member's door, `proof` shows it the cluster's token; `links` keeps the links and `peer` is
//! one of them. `served` is a member at this gateway's `member_door`. `frame` is the form of what goes over, `wire`
//! that of commands and outcomes in it, `pieces` cuts large ones, and `file` streams past them. `router` sends commands
//! to who has the room, `passed` is one that went out, `elsewhere` has the states of other gateways' rooms, and
//! `holders` are the questions that all this asks the cluster.

mod connect;
mod elsewhere;
mod file;
mod frame;
mod holders;
mod links;
mod member_door;
mod passed;
mod peer;
mod pieces;
mod proof;
mod router;
mod served;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::command::{Submission, Submit};
use crate::config::LARGEST_MAX_PAYLOAD;
use crate::net::ClientTls;
use crate::state::StateStore;
use crate::telemetry::Telemetry;

pub use connect::{member_tls, takes_pieces_by};
pub use elsewhere::{RoomsElsewhere, Wanted, WantedRooms, tell_no_owner};
pub use file::{FILE_ANSWER_HEADER, FILE_HEADER, FileAnswered};
pub use frame::{LARGEST_HEAD, LinkFrame, NoFrame};
pub use holders::{Holder, HolderChanges, Member, RoomHolders};
pub use member_door::MemberDoor;
pub use proof::{
    BegunExchange, Dialled, Exchange, NONCE_HEADER, PROOF_HEADER, PROOF_PATH, TokenProof,
};
pub use router::Router;
pub use served::MemberMessage;

use connect::Dialer;
use links::Links;

/// Where members open their WebSocket.
pub const LINK_PATH: &str = "/cluster";
/// Where members send files to and fetch them from.
pub const FILE_PATH: &str = "/cluster/file";
/// The header with the name of the member that passes something on.
pub const MEMBER_HEADER: &str = "x-poly2mqtt-member";
/// The header of a request that fetches a file; one without it sends a file.
pub const DOWNLOAD_HEADER: &str = "x-poly2mqtt-download";
/// The header with the version of what members say to each other.
pub const FORMAT_HEADER: &str = "x-poly2mqtt-format";
/// That version. Members of different versions have no link.
pub const FORMAT: &str = "2";

/// The header of a member that takes large frames in pieces, with the value 1. A member of a version without it gets
/// them as a whole.
pub const PIECES_HEADER: &str = "x-poly2mqtt-pieces";

/// The largest frame, in bytes. Not made from this gateway's `mqtt.max_payload`: another one may have a larger one, and
/// a message above the limit would end the link for all rooms, each time anew.
const LARGEST_MESSAGE: usize = LARGEST_MAX_PAYLOAD + LARGEST_HEAD;

/// Commands that one other member may have without a result. All clients of a busy gateway together have fewer.
const MOST_UNANSWERED: usize = 4096;

/// How often each end of a link shows that it lives.
const PING_INTERVAL: Duration = Duration::from_millis(500);
/// A member that hears nothing for this long gives its link up. Three pings: one that is late is no failure.
const LONGEST_SILENCE: Duration = Duration::from_millis(1500);

/// How long a gateway that ends waits for the rooms that it has handed over to be taken, which takes less than a
/// second.
const MOVE_TIMEOUT: Duration = Duration::from_secs(2);

/// When many rooms change hands, who has which is looked at this often.
const HOLDERS_LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// What this gateway needs for its links.
#[derive(Debug, Clone)]
pub struct LinkSettings {
    /// Its own name.
    pub name: Arc<str>,
    /// The address that it tells the others.
    pub advertise: Arc<str>,
    /// The token that the members prove to each other.
    pub token: secrecy::SecretString,
    /// What is trusted where a member's address begins with `https`.
    pub tls: Option<ClientTls>,
}

/// The parts of a gateway that has others beside it.
#[derive(Debug)]
pub struct ClusterLinks {
    /// Takes the commands of all doors but MQTT's.
    pub router: Arc<Router>,
    /// The states of rooms that others have.
    pub elsewhere: Arc<RoomsElsewhere>,
    /// Takes what other members pass on.
    pub door: Arc<MemberDoor>,
    links: Arc<Links>,
    tasks: Vec<JoinHandle<()>>,
}

/// Tells how many links there are.
#[derive(Debug, Clone)]
pub struct LinkStatus(Arc<Links>);

impl LinkStatus {
    /// All links, and those that are connected.
    pub fn counts(&self) -> (usize, usize) {
        let status = self.0.status();
        let connected = status.values().filter(|why| why.is_none()).count();
        (status.len(), connected)
    }
}

impl ClusterLinks {
    /// Begins to connect to the other members.
    pub fn start(
        settings: LinkSettings,
        holders: Arc<dyn RoomHolders>,
        store: &Arc<StateStore>,
        rooms: Arc<dyn Submit>,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        let door = MemberDoor::new(
            &settings,
            store.clone(),
            rooms.clone(),
            holders.clone(),
            telemetry.clone(),
        );
        let dialer = Arc::new(Dialer::new(&settings));
        let links = Links::new(dialer.clone(), telemetry.clone());
        let elsewhere = RoomsElsewhere::new(settings.name, holders.clone(), store, links.clone());
        let router = Router::new(rooms, holders.clone(), links.clone(), dialer, telemetry);
        links.deliver_to(elsewhere.clone(), router.clone());
        let tasks = vec![
            tokio::spawn(links.clone().follow(holders)),
            tokio::spawn(elsewhere.clone().follow()),
            tokio::spawn(router.clone().send_waiting()),
        ];
        Self {
            router,
            elsewhere,
            door,
            links,
            tasks,
        }
    }

    /// Takes bytes as if they came over the link to this member, without a connection, after these commands were sent
    /// over it: their numbers begin at 0. For the fuzz target `link_frame`.
    ///
    /// # Errors
    /// As for a link: they are no frame, or one that only the other end receives.
    pub fn receive_bytes(
        &self,
        member: Member,
        sent: Vec<Submission>,
        bytes: Bytes,
    ) -> Result<(), NoFrame> {
        self.links
            .receive_bytes(&self.elsewhere, member, sent, bytes)
    }

    /// Every link by the name of the other member, and why it is not connected, if it is not.
    pub fn status(&self) -> BTreeMap<Arc<str>, Option<String>> {
        self.links.status()
    }

    /// How many links there are and how many are connected, to be asked later.
    pub fn link_status(&self) -> LinkStatus {
        LinkStatus(self.links.clone())
    }

    /// Sends what waits for a room's next gateway, keeps no command any more after that, and waits until `deadline` for
    /// the results of those that other members have.
    pub async fn finish(&self, deadline: Instant) {
        let moved_by = deadline.min(Instant::now() + MOVE_TIMEOUT);
        let _ = timeout_at(moved_by, self.router.sent_all()).await;
        self.router.stop();
        self.links.answered(deadline).await;
    }

    /// Ends the links, after their last messages.
    pub async fn stop(&self, deadline: Instant) {
        for task in &self.tasks {
            task.abort();
        }
        self.links.close();
        self.door.stop(deadline).await;
    }
}
