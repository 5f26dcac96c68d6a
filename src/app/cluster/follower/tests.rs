use futures_util::FutureExt;

use super::*;
use crate::cluster::{
    ClusterIdentity, ClusterSessions, DeviceConflict, Etcd, EtcdSettings, MemberView,
    MeteredRegistry, Owner, RoomConflicts, RoomDigests, ShardFence, join,
};
use crate::config::Secret;
use crate::device::DeviceTimings;
use crate::doors::mqtt::RoomRole;
use crate::rooms::RoomSharing;

const ROOM: &str = "1";

/// Another room of the same shard.
fn neighbour() -> String {
    let ids = (2..).map(|n: u32| n.to_string());
    let mut neighbours = ids.filter(|id| shard_of(id) == shard_of(ROOM));
    neighbours.next().unwrap()
}

fn config(rooms: &[&str]) -> Config {
    let room =
        |id: &&str| format!("[rooms.{id}]\nurl = \"https://127.0.0.1:1\"\npassword = \"4\"\n");
    let rooms: String = rooms.iter().map(room).collect();
    let text = format!("[mqtt]\nurl = \"off\"\n{rooms}");
    let read = crate::config::read("test".into(), &text, []);
    read.unwrap().config
}

/// A follower whose etcd and broker nobody asks: no marker of a room comes back, and no device may be asked.
async fn follower(config: Config, has_mqtt: bool) -> Follower {
    let etcd = || {
        let etcd = Etcd::new(EtcdSettings {
            endpoints: vec!["http://127.0.0.1:1".into()],
            login: None,
            authorities: None,
        });
        Arc::new(MeteredRegistry::new(etcd.unwrap(), Arc::default()))
    };
    let token = Secret::new("the token of this cluster");
    let (sessions, keeping) = ClusterSessions::start(etcd(), "/test", token, Arc::default());
    // No sessions are read, so a shard that comes waits for them as long as it may.
    tokio::spawn(async {
        std::future::pending::<()>().await;
        keeping.await;
    });
    let identity = ClusterIdentity {
        prefix: "/test".into(),
        name: "gw-1".into(),
        advertise: "http://gw-1".into(),
        weight: 1,
        version: String::new(),
        rooms: RoomDigests::default(),
        since: 0,
        settings: Default::default(),
    };
    let (cluster, ..) = join(etcd(), identity, Arc::default());
    let placed = PlacedRooms::new("gw-1", &config, sessions);
    // Nobody else is there who would have to know of a room's device.
    placed.seen(ClusterView {
        told_configuration: u64::MAX,
        ..ClusterView::unknown("gw-1")
    });
    let shared = has_mqtt.then(|| SharedRooms::new("gw-1", placed.clone()));
    let store = StateStore::new();
    let sharing: Arc<dyn RoomSharing> = placed.clone();
    let timings = DeviceTimings::default();
    let rooms = Rooms::new(store.clone(), timings, Arc::default(), None, Some(sharing));
    rooms.apply(&config).await.unwrap();
    let status = ClusterStatus::new(
        placed.clone(),
        cluster.fence().clone(),
        shared.clone(),
        Arc::default(),
    );
    Follower::new(FollowerParts {
        cluster,
        placed,
        rooms,
        store,
        shared,
        presence: None,
        config: Arc::new(config),
        status: Arc::new(status),
        has_joined: watch::Sender::new(false),
    })
}

fn held(period: u64) -> HeldShard {
    let shard = shard_of(ROOM);
    HeldShard { shard, period }
}

fn gained(period: u64) -> Vec<GainedShard> {
    vec![GainedShard {
        held: held(period),
        fence: ShardFence::closed(),
        predecessor: Predecessor::None,
        owner: Owner {
            name: "gw-1".into(),
            created: 1,
        },
        revision: period,
    }]
}

impl Follower {
    fn running(&self) -> Vec<Arc<str>> {
        self.rooms.sample().into_keys().collect()
    }

    fn role(&self, room: &str) -> Option<RoomRole> {
        self.shared.as_ref().unwrap().role(room)
    }
}

#[tokio::test(start_paused = true)]
async fn a_hand_over_that_a_later_ownership_has_overtaken_stops_none_of_its_rooms() {
    for has_mqtt in [true, false] {
        let mut follower = follower(config(&[ROOM]), has_mqtt).await;
        follower.gained(gained(1)).await;
        let mut hand_over = Box::pin(follower.hand_over(held(1)));
        if has_mqtt {
            // It waits until all gateways know that the room is here.
            assert!((&mut hand_over).now_or_never().is_none());
        }
        follower.lost(vec![held(1)]).await;
        follower.gained(gained(2)).await;
        assert_eq!(hand_over.await, HandOver::Overtaken);
        let phase = follower.placed.phase(held(2).shard);
        assert_eq!(phase, Some(ShardPhase::Running));
        assert_eq!(follower.running(), [ROOM.into()]);
        if has_mqtt {
            assert_eq!(follower.role(ROOM), Some(RoomRole::Owner));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_is_lost_while_its_rooms_finish_is_not_handed_over() {
    let mut follower = follower(config(&[ROOM]), true).await;
    follower.gained(gained(1)).await;
    let mut hand_over = Box::pin(follower.hand_over(held(1)));
    assert!((&mut hand_over).now_or_never().is_none());
    tokio::time::advance(ESTABLISH_TIMEOUT).await;
    assert!((&mut hand_over).now_or_never().is_none());
    let phase = follower.placed.phase(held(1).shard);
    assert_eq!(phase, Some(ShardPhase::Stopping));
    follower.lost(vec![held(1)]).await;
    // Otherwise this gateway would forget what it remembers until the room has an owner again.
    assert_eq!(hand_over.await, HandOver::Overtaken);
    assert_eq!(follower.memory(held(1).shard).told, Told::Lost);
    assert_eq!(follower.role(ROOM), Some(RoomRole::Lost));
}

#[tokio::test(start_paused = true)]
async fn a_room_that_a_reload_adds_to_a_shard_during_its_hand_over_goes_too() {
    let mut follower = follower(config(&[ROOM]), true).await;
    follower.gained(gained(1)).await;
    let mut hand_over = Box::pin(follower.hand_over(held(1)));
    assert!((&mut hand_over).now_or_never().is_none());
    let neighbour = neighbour();
    let more = config(&[ROOM, &neighbour]);
    follower.placed.configure(&more);
    follower.rooms.apply(&more).await.unwrap();
    follower.reconfigured(Arc::new(more)).await;
    assert_eq!(follower.running().len(), 2);
    assert_eq!(hand_over.await, HandOver::Done);
    assert_eq!(follower.running(), []);
    for room in [ROOM, &neighbour] {
        assert_eq!(follower.role(room), Some(RoomRole::Leaving), "{room}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_room_that_a_reload_adds_to_a_shard_while_it_comes_starts_too() {
    let mut follower = follower(config(&[ROOM]), true).await;
    let neighbour = neighbour();
    let more = config(&[ROOM, &neighbour]);
    let (placed, rooms) = (follower.placed.clone(), follower.rooms.clone());
    {
        let mut coming = Box::pin(follower.gained(gained(1)));
        // It waits for the sessions of the rooms.
        assert!((&mut coming).now_or_never().is_none());
        placed.configure(&more);
        rooms.apply(&more).await.unwrap();
        coming.await;
    }
    assert_eq!(follower.running().len(), 2);
    assert_eq!(follower.role(&neighbour), Some(RoomRole::Owner));
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_gets_a_room_which_nobody_had_speaks_for_it_no_longer() {
    let mut follower = follower(config(&[ROOM]), true).await;
    follower
        .seen(ClusterView {
            state: ClusterState::Ok,
            members: [MemberView::named("gw-1")].into(),
            ..ClusterView::unknown("gw-1")
        })
        .await;
    tokio::time::advance(Duration::from_secs(10)).await;
    follower.look();
    let shared = follower.shared.clone().unwrap();
    assert!(shared.publishes_states(ROOM));
    follower.gained(gained(1)).await;
    follower.lost(vec![held(1)]).await;
    // Another gateway has it.
    shared.unsubscribe([&ROOM.into()]);
    assert!(!shared.publishes_states(ROOM));
}

#[tokio::test(start_paused = true)]
async fn a_room_that_waited_for_its_device_is_spoken_for_no_longer_once_it_starts() {
    let mut follower = follower(config(&[ROOM]), true).await;
    let view = |conflicts: RoomConflicts| ClusterView {
        state: ClusterState::Ok,
        members: [MemberView::named("gw-1")].into(),
        told_configuration: u64::MAX,
        conflicts: Arc::new(conflicts),
        ..ClusterView::unknown("gw-1")
    };
    let conflict = DeviceConflict {
        member: "gw-2".into(),
        blocks: true,
    };
    let conflicts = RoomConflicts {
        devices: [(Arc::from(ROOM), conflict)].into(),
        ..RoomConflicts::default()
    };
    follower.seen(view(conflicts)).await;
    follower.gained(gained(1)).await;
    follower.look();
    assert!(!follower.rooms.is_running(ROOM) && follower.unowned.contains_key(ROOM));
    follower.seen(view(RoomConflicts::default())).await;
    assert!(follower.rooms.is_running(ROOM));
    follower.lost(vec![held(1)]).await;
    // Another gateway has it.
    let shared = follower.shared.clone().unwrap();
    shared.unsubscribe([&ROOM.into()]);
    assert!(!shared.publishes_states(ROOM));
}
