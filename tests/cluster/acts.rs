//! What is done to the cluster: each kind of act, and how it is carried out and healed.

use std::time::Duration;

use poly2mqtt_test_support::random::Random;
use tokio::time::sleep;

use crate::proxy::{ETCD_MEMBERS, MEMBERS, Path, Target};
use crate::timeline::Act;
use crate::world::World;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// SIGKILL, and a start some time later.
    Kill,
    /// SIGKILL together with etcd's leader.
    KillWithLeader,
    /// SIGSTOP and SIGCONT.
    Pause,
    /// SIGTERM.
    Leave,
    /// A start after SIGTERM.
    Join,
    /// SIGTERM, and a start with another weight.
    Weight,
    EtcdLeader,
    EtcdMajority,
    EtcdGone,
    /// One gateway's path to all of etcd.
    EtcdPath,
    /// One gateway's path to one member of etcd.
    EtcdMemberPath,
    DevicesPath,
    BrokerPath,
    PeerPath,
    Broker,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Kill => "gateway killed",
            Self::KillWithLeader => "gateway and etcd's leader killed",
            Self::Pause => "gateway stopped for a while",
            Self::Leave => "gateway leaves",
            Self::Join => "gateway joins",
            Self::Weight => "weight changed",
            Self::EtcdLeader => "etcd's leader killed",
            Self::EtcdMajority => "etcd's majority killed",
            Self::EtcdGone => "etcd gone",
            Self::EtcdPath => "path to etcd",
            Self::EtcdMemberPath => "path to one member of etcd",
            Self::DevicesPath => "path to the devices",
            Self::BrokerPath => "path to the broker",
            Self::PeerPath => "path between gateways",
            Self::Broker => "broker killed",
        }
    }

    /// The broker may have lost messages.
    pub fn is_of_broker(self) -> bool {
        matches!(self, Self::Broker | Self::BrokerPath)
    }

    /// Gateways may be unable to drive rooms or to receive commands.
    pub fn is_of_gateway(self) -> bool {
        !matches!(self, Self::EtcdLeader | Self::EtcdMemberPath)
    }

    /// Rooms change hands.
    pub fn forces_changes(self) -> bool {
        matches!(
            self,
            Self::Kill
                | Self::KillWithLeader
                | Self::Pause
                | Self::Leave
                | Self::Join
                | Self::Weight
                | Self::EtcdPath
        )
    }
}

/// How often each kind is chosen at random.
const RANDOM: &[(u64, Kind)] = &[
    (8, Kind::Kill),
    (3, Kind::KillWithLeader),
    (10, Kind::Pause),
    (5, Kind::Leave),
    (3, Kind::Weight),
    (4, Kind::EtcdLeader),
    (2, Kind::EtcdMajority),
    (2, Kind::EtcdGone),
    (6, Kind::EtcdPath),
    (3, Kind::EtcdMemberPath),
    (3, Kind::DevicesPath),
    (3, Kind::BrokerPath),
    (3, Kind::PeerPath),
    (2, Kind::Broker),
];

/// An act with all that chance decides about it.
#[derive(Debug, Clone)]
pub struct Plan {
    pub kind: Kind,
    pub gateway: usize,
    pub lasts: Duration,
    pub path: Path,
    /// For what only some kinds need.
    pub draw: u64,
}

impl Plan {
    /// One of these, with everything else at random.
    pub fn new(kind: Kind, random: &mut Random) -> Self {
        let gateway = usize::try_from(random.between(0, MEMBERS as u64 - 1)).unwrap();
        let lasts = match kind {
            Kind::Pause => random.millis(300, 10_000),
            Kind::Kill | Kind::KillWithLeader => random.millis(500, 8000),
            Kind::EtcdLeader => random.millis(1000, 4000),
            Kind::EtcdMajority | Kind::EtcdGone => random.millis(500, 6000),
            Kind::Broker => random.millis(200, 3000),
            _ => random.millis(300, 8000),
        };
        let late = random.millis(50, 900);
        let path = *random.pick(&[Path::Cut, Path::Freeze, Path::HalfOpen, Path::Delay(late)]);
        Self {
            kind,
            gateway,
            lasts,
            path,
            draw: random.draw(),
        }
    }

    /// Any.
    pub fn any(random: &mut Random) -> Self {
        Self::new(random.weighted(RANDOM), random)
    }

    fn other(&self) -> usize {
        let step = 1 + usize::try_from(self.draw % (MEMBERS as u64 - 1)).unwrap();
        (self.gateway + step) % MEMBERS
    }

    fn about(&self, world: &World) -> String {
        let name = &world.names[self.gateway];
        let lasts = self.lasts.as_millis();
        match self.kind {
            Kind::EtcdPath | Kind::EtcdMemberPath | Kind::DevicesPath | Kind::BrokerPath => {
                format!("{name}, {:?}, {lasts} ms", self.path)
            }
            Kind::PeerPath => {
                let other = &world.names[self.other()];
                format!("{name} to {other}, {:?}, {lasts} ms", self.path)
            }
            Kind::EtcdLeader | Kind::EtcdMajority | Kind::EtcdGone | Kind::Broker => {
                format!("{lasts} ms")
            }
            Kind::Leave | Kind::Join => name.clone(),
            _ => format!("{name}, {lasts} ms"),
        }
    }

    fn gateways(&self) -> Vec<usize> {
        match self.kind {
            Kind::EtcdLeader | Kind::Broker => Vec::new(),
            Kind::EtcdMajority | Kind::EtcdGone => (0..MEMBERS).collect(),
            Kind::PeerPath => vec![self.gateway, self.other()],
            _ => vec![self.gateway],
        }
    }

    /// Carries it out, and heals what it broke. Gives all that was done, as it is on the timeline.
    pub async fn carry_out(&self, world: &World) -> Vec<Act> {
        let act = world
            .timeline
            .begin(self.kind, &self.gateways(), self.about(world));
        let mut done = Vec::new();
        match self.kind {
            Kind::Kill => {
                world.gateway(self.gateway).await.kill();
                sleep(self.lasts).await;
                world.start_gateway(self.gateway).await;
            }
            Kind::KillWithLeader => {
                let leader = world.kill_leader().await;
                world.gateway(self.gateway).await.kill();
                sleep(self.lasts).await;
                world.etcd.lock().await.run(leader);
                world.start_gateway(self.gateway).await;
            }
            Kind::Pause => {
                world.gateway(self.gateway).await.signal("-STOP");
                sleep(self.lasts).await;
                world.gateway(self.gateway).await.signal("-CONT");
            }
            Kind::Leave | Kind::Join => {
                world.stop_gateway(self.gateway).await;
                done.push(world.timeline.end(act));
                if world.healed(Duration::from_secs(60)).await.is_err() {
                    // The wait after the start says so.
                }
                let about = self.about(world);
                let join = world.timeline.begin(Kind::Join, &[self.gateway], about);
                world.start_gateway(self.gateway).await;
                done.push(world.timeline.end(join));
                return done;
            }
            Kind::Weight => world.change_weight(self.gateway, 1 + self.draw % 3).await,
            Kind::EtcdLeader => {
                let leader = world.kill_leader().await;
                sleep(self.lasts).await;
                world.etcd.lock().await.run(leader);
            }
            Kind::EtcdMajority => self.etcd_down(world, ETCD_MEMBERS - 1).await,
            Kind::EtcdGone => self.etcd_down(world, ETCD_MEMBERS).await,
            Kind::EtcdPath => self.etcd_path(world, &[0, 1, 2]).await,
            Kind::EtcdMemberPath => {
                let member = usize::try_from(self.draw % ETCD_MEMBERS as u64).unwrap();
                self.etcd_path(world, &[member]).await;
            }
            Kind::DevicesPath => {
                world.farm.set(self.gateway, self.path);
                sleep(self.lasts).await;
                world.farm.set(self.gateway, Path::Clear);
            }
            Kind::BrokerPath => self.path(world, Target::Broker).await,
            Kind::PeerPath => self.path(world, Target::Peer(self.other())).await,
            Kind::Broker => world.restart_broker(self.lasts).await,
        }
        done.push(world.timeline.end(act));
        done
    }

    async fn path(&self, world: &World, target: Target) {
        world.paths.set(self.gateway, target, self.path);
        sleep(self.lasts).await;
        world.paths.set(self.gateway, target, Path::Clear);
    }

    async fn etcd_path(&self, world: &World, members: &[usize]) {
        for member in members {
            world
                .paths
                .set(self.gateway, Target::Etcd(*member), self.path);
        }
        sleep(self.lasts).await;
        for member in members {
            world
                .paths
                .set(self.gateway, Target::Etcd(*member), Path::Clear);
        }
    }

    /// Kills so many members of etcd, and starts them again.
    async fn etcd_down(&self, world: &World, count: usize) {
        let members: Vec<_> = (0..count)
            .map(|step| (step + usize::try_from(self.draw % 3).unwrap()) % ETCD_MEMBERS)
            .collect();
        for member in &members {
            world.etcd.lock().await.kill(*member);
        }
        sleep(self.lasts).await;
        for member in &members {
            world.etcd.lock().await.run(*member);
        }
        world.etcd_answers().await;
    }
}
