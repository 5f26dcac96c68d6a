//! What the state machine wants done, and what has happened in the cluster.

use std::sync::Arc;

use crate::cluster::fence::ShardFence;
use crate::cluster::placement::Shard;
use crate::cluster::record::Owner;
use crate::cluster::registry::Transaction;
use crate::cluster::view::DifferingShard;

/// What the state machine wants done.
#[derive(Debug)]
pub enum Action {
    /// Send this to the store, and hand its answer to [`Members::answered`](super::Members::answered).
    Send(u64, Transaction),
    /// These shards are this gateway's now.
    Gained(Vec<GainedShard>),
    /// Stop the rooms of these shards in good order, and say so with [`Members::stopped`](super::Members::stopped), or
    /// that they cannot stop yet with [`Members::postponed`](super::Members::postponed).
    Stop(Vec<HeldShard>),
    /// These shards are lost already: end their rooms without a request to their devices.
    Lost(Vec<HeldShard>),
    /// For the log.
    Notice(Notice),
    /// It has left, or cannot join for this reason. Nothing follows.
    Ended(Option<String>),
}

/// What happened in the cluster, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// This gateway is a member now.
    Joined,
    /// Another member, or a person, has removed this gateway's key; it joins again.
    Removed,
    /// The store has gone back to an earlier state; this gateway joins again.
    StoreWentBack,
    /// Another process has this gateway's name; it is waited for.
    NameTaken,
    /// This gateway does not join, for this reason: others have other settings that must be alike.
    SettingsDiffer(Arc<str>),
    /// Another member joined.
    MemberJoined(String),
    /// A member ended, after leaving or by being removed.
    MemberGone(String),
    /// The members have different configurations of the rooms in these shards; none if they are the same again.
    RoomsDiffer(Arc<[DifferingShard]>),
    /// This gateway removes a member that has given no sign of life.
    RemovesDead(String),
}

/// A shard during one time of ownership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldShard {
    /// Which one.
    pub shard: Shard,
    /// Tells this time of ownership from others of the same shard.
    pub period: u64,
}

/// A shard that is this gateway's from now on.
#[derive(Debug, Clone)]
pub struct GainedShard {
    /// Which one, and which time of ownership.
    pub held: HeldShard,
    /// Asked before each request to a device of its rooms.
    pub fence: ShardFence,
    /// Who had it before.
    pub predecessor: Predecessor,
    /// What the table of owners calls this gateway.
    pub owner: Owner,
    /// The table's revision, which is greater than those of all earlier owners of the shard.
    pub revision: u64,
}

/// Who had a shard before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Predecessor {
    /// Nobody for some time.
    None,
    /// A member that has just given it up in good order.
    HandedOver,
    /// A member that ended without giving it up: its sessions at devices may live on.
    Dead(Owner),
}
