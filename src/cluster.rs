//! Several gateways that share the rooms of one campus, over etcd.
//!
//! Owns which member of the cluster drives which room, and proves that no two ever do. Except for `sessions` and `link`
//! it knows no rooms, doors or devices: it says which shards are gained and which are to be given up, and hands out the
//! fence that is asked before each request to a device. `docs/decisions/cluster.md` says why it is built so.
//!
//! ```text
//! placement    room → shard → wanted owner
//! fence        until when a request may begin
//! record       what a member writes about itself
//! room_digests which rooms a member has, for the others to compare
//! table        who owns which shard, in one key
//! registry     the two functions that a store needs: list, compare and swap
//! etcd         the registry over etcd's JSON interface
//! members      the rule as a state machine: heartbeats, guard, taking, giving up
//! keeper       the task that runs the state machine over a registry
//! survey       what the store holds, for a look from outside
//! forget       removes what members and rooms that are gone have left in the store
//! view         what the rest of the gateway sees of the cluster
//! document     the same as `gateway/cluster`
//! metered      a registry whose requests are counted
//! sessions     the rooms' sessions at their devices, sealed in the registry
//! link         what a client wants of rooms that another gateway has: commands, states, files
//! ```

mod document;
mod etcd;
mod fence;
mod forget;
mod keeper;
pub mod link;
mod members;
mod metered;
mod placement;
mod record;
mod registry;
mod room_digests;
mod sessions;
mod survey;
mod table;
mod view;

pub use document::{
    ClusterCounts, ClusterFacts, ShardRooms, cluster_document, differing_members, differing_rooms,
    state_word,
};
pub use etcd::{Etcd, EtcdSettings, EtcdStatus, TWO_CLUSTERS};
pub use fence::{FENCE, MemberFence, ShardFence};
pub use forget::{forget_member, forget_rooms};
pub use keeper::{Cluster, ClusterIdentity, ShardEvent, join};
pub use members::{
    Action, FIRST_CONFIGURATION, GainedShard, HeldShard, Members, Notice, Predecessor,
};
pub use metered::MeteredRegistry;
pub use placement::{FORMAT, Placement, SHARDS, Shard, shard_of};
pub use record::{MemberRecord, Owner};
pub use registry::{
    Condition, Entry, Read, Registry, RegistryError, Transaction, TransactionReply, Write,
};
pub use room_digests::{
    NamedRooms, RoomDevices, RoomDigests, RoomsDocument, ShardDigest, ShardDigests,
};
pub use sessions::ClusterSessions;
pub use survey::{ClusterSurvey, SurveyedMember, try_writing};
pub use table::Table;
pub use view::{
    ClusterState, ClusterView, DeviceConflict, DifferingShard, MemberView, OwnerlessRoom,
    RoomConflicts,
};
