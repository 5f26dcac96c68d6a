//! Who has a room: the questions that the links ask the rest of the cluster's code.

use std::fmt::Debug;
use std::sync::Arc;

use tokio::sync::watch;
use url::Url;

/// Another gateway of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name, which no other member has.
    pub name: Arc<str>,
    /// The base address of its HTTP door, as the others reach it.
    pub advertise: Arc<Url>,
}

/// Which gateway has a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// This one: its rooms take the commands.
    Me,
    /// Another one.
    Member(Member),
    /// It is being handed from one gateway to another.
    Moving,
    /// None; why, as the end of a sentence about the room: `no gateway that runs has it`.
    Nobody(Arc<str>),
    /// The room is not shared: it is not configured, or differently at the members. The own rooms answer for it.
    NotShared,
}

/// Rooms whose holder may be another one now.
#[derive(Debug, Default)]
pub struct HolderChanges {
    /// The number of this look at the rooms.
    pub look: u64,
    /// Which they are.
    pub rooms: Vec<Arc<str>>,
    /// These are all rooms that the cluster shares; others are not shared any more.
    pub are_all: bool,
}

/// Tells who has which room. Its methods are called often, also under locks: they answer at once, and call
/// neither the state store nor the rooms.
pub trait RoomHolders: Debug + Send + Sync {
    /// Who has this room.
    fn holder(&self, room: &str) -> Holder;

    /// The rooms whose holder may have changed since the look with this number; since look 0 these are all. While rooms
    /// move there are many looks a second, and each is about a few of thousands of rooms.
    fn changed_since(&self, look: u64) -> HolderChanges;

    /// The other members that live.
    fn members(&self) -> Vec<Member>;

    /// Changes each time one of the answers may have changed. What is seen after a change is at least as new.
    fn changed(&self) -> watch::Receiver<()>;
}
