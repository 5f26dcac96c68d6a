//! The task that runs the state machine over a registry, and the handle to it.
//!
//! Owns the requests under way, the timer and the channels. Decides nothing: [`Members`] does.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::fence::MemberFence;
use super::members::{Action, GainedShard, HeldShard, Members, Notice};
use super::record::MemberRecord;
use super::registry::{Registry, RegistryError, TransactionReply};
use super::room_digests::RoomDigests;
use super::view::{ClusterView, DifferingShard};
use crate::boot_instant::BootInstant;
use crate::secret::random_bytes;
use crate::telemetry::Telemetry;

/// Longest sleep without a look at the clock: the timer stands still while the machine sleeps.
const LONGEST_SLEEP: Duration = Duration::from_millis(250);

/// What the gateway has to do with its rooms, in this order.
#[derive(Debug)]
pub enum ShardEvent {
    /// Start the rooms of these shards, each with its fence.
    Gained(Vec<GainedShard>),
    /// Stop the rooms of these shards in good order, and say [`Cluster::stopped`] or [`Cluster::postponed`] for each.
    Stop(Vec<HeldShard>),
    /// End the rooms of these shards without a request to their devices. No answer is wanted.
    Lost(Vec<HeldShard>),
    /// The cluster is left; or it cannot be joined, for this reason.
    Ended(Option<String>),
}

/// What this gateway tells the others about itself.
#[derive(Debug, Clone)]
pub struct ClusterIdentity {
    /// The start of all keys, without a slash at its end.
    pub prefix: String,
    /// Its name in the cluster.
    pub name: String,
    /// How the others reach its HTTP port.
    pub advertise: String,
    /// Its share of the rooms.
    pub weight: u32,
    /// The version of its program.
    pub version: String,
    /// The rooms of its configuration.
    pub rooms: RoomDigests,
    /// When it started, in seconds since 1970.
    pub since: u64,
    /// Settings that all members must have alike, by their keys.
    pub settings: BTreeMap<String, String>,
}

enum Order {
    Stopped(HeldShard),
    Postponed(HeldShard),
    Drain,
    Leave,
    Rooms(u64, RoomDigests),
}

/// The handle to a cluster. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cluster {
    view: watch::Receiver<ClusterView>,
    orders: mpsc::UnboundedSender<Order>,
    fence: MemberFence,
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stopped(_) => "Stopped",
            Self::Postponed(_) => "Postponed",
            Self::Drain => "Drain",
            Self::Leave => "Leave",
            Self::Rooms(..) => "Rooms",
        })
    }
}

impl Cluster {
    /// What is known of the cluster, now and at each change.
    pub fn view(&self) -> watch::Receiver<ClusterView> {
        self.view.clone()
    }

    /// The fence of this member, for what belongs to no shard.
    pub fn fence(&self) -> &MemberFence {
        &self.fence
    }

    /// The rooms of a shard that had to stop have stopped: none of them will send a request any more.
    pub fn stopped(&self, held: HeldShard) {
        self.order(Order::Stopped(held));
    }

    /// The rooms of a shard that had to stop run on, since one of them has a command that takes long. If the shard is
    /// still to go, [`ShardEvent::Stop`] comes again in half a second.
    pub fn postponed(&self, held: HeldShard) {
        self.order(Order::Postponed(held));
    }

    /// Gives up all shards, and stays until [`Cluster::leave`], so that it knows who has the rooms now.
    pub fn drain(&self) {
        self.order(Order::Drain);
    }

    /// Gives up all shards, then leaves. [`ShardEvent::Ended`] comes at the end.
    pub fn leave(&self) {
        self.order(Order::Leave);
    }

    /// The configuration has these rooms now. It is the one of this number: [`FIRST_CONFIGURATION`] is the one that the
    /// cluster was joined with. What it has not any more has ended.
    ///
    /// [`FIRST_CONFIGURATION`]: super::FIRST_CONFIGURATION
    pub fn set_rooms(&self, configuration: u64, rooms: RoomDigests) {
        self.order(Order::Rooms(configuration, rooms));
    }

    /// The keeper has ended already: nothing is left to do for it.
    fn order(&self, order: Order) {
        let _ = self.orders.send(order);
    }
}

/// Joins a cluster: the handle, what to do with the rooms, and the task to spawn. Dropping the task is an end
/// without a word: the others notice it after the guard's time.
pub fn join<R: Registry>(
    registry: Arc<R>,
    identity: ClusterIdentity,
    telemetry: Arc<Telemetry>,
) -> (
    Cluster,
    mpsc::UnboundedReceiver<ShardEvent>,
    impl Future<Output = ()> + Send + 'static,
) {
    let fence = MemberFence::closed();
    let (view_sender, view) = watch::channel(ClusterView::unknown(&identity.name));
    let (orders, order_receiver) = mpsc::unbounded_channel();
    let (event_sender, events) = mpsc::unbounded_channel();
    let record = MemberRecord {
        nonce: nonce(),
        advertise: identity.advertise,
        weight: identity.weight,
        version: identity.version,
        since: identity.since,
        leaving: false,
        rooms: String::new(),
        named_rooms: String::new(),
        devices: String::new(),
        configuration: 0,
        settings: identity.settings,
    };
    let members = Members::new(
        &identity.prefix,
        &identity.name,
        record,
        identity.rooms,
        fence.clone(),
    );
    let keeper = Keeper {
        registry,
        telemetry,
        members,
        calls: JoinSet::new(),
        view: view_sender,
        events: event_sender,
        has_ended: false,
        caveat: None,
    };
    let cluster = Cluster {
        view,
        orders,
        fence,
    };
    (cluster, events, keeper.run(order_receiver))
}

/// A text that no other process has.
fn nonce() -> String {
    // Without random numbers there is no TLS either; the process id and the clock have to do.
    let bytes = random_bytes().unwrap_or_else(|_| {
        let clock = BootInstant::now().as_nanos().to_be_bytes();
        let process = u64::from(std::process::id()).to_be_bytes();
        [clock, process].concat().try_into().unwrap_or([0_u8; 16])
    });
    HEXLOWER.encode(&bytes)
}

type CallResult = (u64, Result<TransactionReply, RegistryError>);

struct Keeper<R> {
    registry: Arc<R>,
    telemetry: Arc<Telemetry>,
    members: Members,
    calls: JoinSet<CallResult>,
    view: watch::Sender<ClusterView>,
    events: mpsc::UnboundedSender<ShardEvent>,
    has_ended: bool,
    /// What the log was told of the store.
    caveat: Option<&'static str>,
}

impl<R: Registry> Keeper<R> {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        loop {
            self.act();
            if self.has_ended {
                return;
            }
            let now = BootInstant::now();
            let wakes_at = self.members.wakes_at().unwrap_or(now + LONGEST_SLEEP);
            let sleep = wakes_at.since(now).min(LONGEST_SLEEP);
            tokio::select! {
                biased;
                Some(call) = self.calls.join_next() => self.answered(call),
                order = orders.recv() => match order {
                    Some(order) => self.obey(order),
                    // Nobody holds a handle any more.
                    None => return,
                },
                () = tokio::time::sleep(sleep) => {}
            }
            // All that is there, for one look at the whole.
            while let Some(call) = self.calls.try_join_next() {
                self.answered(call);
            }
            while let Ok(order) = orders.try_recv() {
                self.obey(order);
            }
        }
    }

    fn answered(&mut self, call: Result<CallResult, tokio::task::JoinError>) {
        // A call that panicked stays under way for ever; the others go on.
        if let Ok((id, answer)) = call {
            self.members.answered(id, answer, BootInstant::now());
        }
        let caveat = self.registry.caveat();
        if caveat != self.caveat {
            self.caveat = caveat;
            if let Some(caveat) = caveat {
                self.telemetry.etcd_caveat(caveat);
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Stopped(held) => self.members.stopped(held),
            Order::Postponed(held) => self.members.postponed(held, BootInstant::now()),
            Order::Drain => self.members.drain(BootInstant::now()),
            Order::Leave => self.members.leave(BootInstant::now()),
            Order::Rooms(configuration, rooms) => self.members.set_rooms(configuration, rooms),
        }
    }

    fn act(&mut self) {
        let now = BootInstant::now();
        let actions = self.members.poll(now);
        // Before the events: whoever starts the rooms of a shard that was gained knows why some may not start.
        self.show(now);
        for action in actions {
            match action {
                Action::Send(id, transaction) => {
                    let registry = self.registry.clone();
                    self.calls
                        .spawn(async move { (id, registry.compare_and_swap(&transaction).await) });
                }
                Action::Gained(shards) => self.tell(ShardEvent::Gained(shards)),
                Action::Stop(shards) => self.tell(ShardEvent::Stop(shards)),
                Action::Lost(shards) => self.tell(ShardEvent::Lost(shards)),
                Action::Notice(notice) => report(&self.telemetry, &notice),
                Action::Ended(reason) => {
                    self.has_ended = true;
                    self.tell(ShardEvent::Ended(reason));
                }
            }
        }
    }

    fn show(&self, now: BootInstant) {
        let view = self.members.view(now);
        self.view.send_if_modified(|before| {
            let is_new = *before != view;
            if is_new {
                *before = view;
            }
            is_new
        });
    }

    /// The receiver is gone when the gateway ends.
    fn tell(&self, event: ShardEvent) {
        let _ = self.events.send(event);
    }
}

fn report(telemetry: &Telemetry, notice: &Notice) {
    match notice {
        Notice::Joined => telemetry.cluster_joined(),
        Notice::Removed => telemetry.removed_from_cluster(),
        Notice::StoreWentBack => telemetry.etcd_went_back(),
        Notice::NameTaken => telemetry.member_name_taken(),
        Notice::SettingsDiffer(why) => telemetry.does_not_join(why),
        Notice::MemberJoined(member) => telemetry.member_joined(member),
        Notice::MemberGone(member) => telemetry.member_gone(member),
        Notice::RoomsDiffer(shards) if shards.is_empty() => telemetry.rooms_agree(),
        Notice::RoomsDiffer(shards) => report_differing(telemetry, shards),
        Notice::RemovesDead(member) => telemetry.member_silent(member),
    }
}

fn report_differing(telemetry: &Telemetry, shards: &[DifferingShard]) {
    let rooms: Vec<&str> = shards
        .iter()
        .flat_map(|differing| differing.rooms.iter().map(String::as_str))
        .collect();
    let alike = shards.first().map(|differing| {
        let alike = differing.members.iter().map(|names| names.join(", "));
        alike.collect::<Vec<_>>().join(" / ")
    });
    telemetry.rooms_differ(shards.len(), &rooms, &alike.unwrap_or_default());
}
