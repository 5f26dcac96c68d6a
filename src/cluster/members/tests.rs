use std::num::NonZero;

use super::simulation::Simulation;
use super::*;
use crate::cluster::placement::{Placement, Shard, shard_of};
use crate::cluster::view::ClusterState;
use crate::config::RoomDigest;

/// How many random schedules are run, and how long each is.
fn schedules() -> u64 {
    let given = std::env::var("POLY2MQTT_CLUSTER_SCHEDULES").ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(5)
}

fn first_seed() -> u64 {
    let given = std::env::var("POLY2MQTT_CLUSTER_SEED").ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// A schedule with faults, then without; whole again at its end, and nothing goes to and fro.
fn run_schedule(seed: u64) -> Simulation {
    println!("seed {seed}");
    let mut simulation = Simulation::new(seed, 4);
    let differ = seed.is_multiple_of(2);
    if differ {
        simulation.with_configurations(three_configurations());
    }
    simulation.run_with_faults(Duration::from_secs(60));
    simulation.heal();
    simulation.run(Duration::from_secs(20));
    simulation.assert_settled();
    if differ {
        simulation.assert_rooms_are_served();
    }
    let revision = simulation.table_revision();
    simulation.run(Duration::from_secs(5));
    assert_eq!(simulation.table_revision(), revision);
    simulation
}

#[test]
fn never_two_gateways_act_on_one_shard_and_all_shards_find_their_owner() {
    let mut smallest_gap = Duration::MAX;
    let (mut dead, mut handed_over, mut postponed) = (0, 0, 0);
    let mut faults = BTreeMap::new();
    // They know nothing of each other, so each processor runs one.
    let seeds: Vec<u64> = (first_seed()..first_seed() + schedules()).collect();
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    for some in seeds.chunks(processors) {
        let ended: Vec<Simulation> = std::thread::scope(|scope| {
            let running: Vec<_> = some
                .iter()
                .map(|seed| scope.spawn(|| run_schedule(*seed)))
                .collect();
            let ended = running.into_iter().map(|schedule| schedule.join().unwrap());
            ended.collect()
        });
        for simulation in ended {
            smallest_gap = smallest_gap.min(simulation.smallest_gap);
            dead += simulation.taken_from_dead;
            handed_over += simulation.handed_over;
            postponed += simulation.postponed;
            for (kind, n) in simulation.faults {
                *faults.entry(kind).or_insert(0) += n;
            }
        }
    }
    println!(
        "smallest gap {smallest_gap:?}; {dead} shards taken from dead members, {handed_over} handed over, \
         {postponed} times later than told; faults: {faults:?}"
    );
    assert!(
        smallest_gap >= Duration::from_millis(300),
        "{smallest_gap:?}"
    );
    assert!(
        dead > 500 && handed_over > 500 && postponed > 50,
        "{dead} {handed_over} {postponed}"
    );
}

#[test]
fn the_shards_of_a_killed_member_are_owned_again_in_time() {
    for seed in 1..8 {
        let mut simulation = Simulation::new(seed, 3);
        simulation.run(Duration::from_secs(15));
        simulation.assert_settled();
        simulation.kill(1);
        simulation.run(Duration::from_millis(3300));
        simulation.assert_all_owned();
    }
}

#[test]
fn a_member_that_leaves_hands_over_without_the_guard() {
    for seed in 1..8 {
        let mut simulation = Simulation::new(seed, 3);
        simulation.run(Duration::from_secs(15));
        let before = simulation.taken_from_dead;
        simulation.leave(2);
        simulation.run(Duration::from_millis(3000));
        simulation.assert_all_owned();
        assert_eq!(simulation.taken_from_dead, before);
        assert!(
            simulation.longest_without_owner < Duration::from_millis(800),
            "{:?}",
            simulation.longest_without_owner
        );
    }
}

#[test]
fn a_shard_that_cannot_stop_stays_and_the_others_go() {
    let mut simulation = Simulation::new(4, 2);
    simulation.run(Duration::from_secs(15));
    let before = simulation.owners(0);
    simulation.busy = Shard::all().step_by(10).collect();
    let busy = simulation.busy.clone();
    simulation.start("gw-3", 1);
    simulation.run(Duration::from_secs(60));
    let stayed = simulation.owners(0);
    let is_busy = |shard: &Shard| busy.contains(shard);
    for shard in Shard::all().filter(is_busy) {
        assert_eq!(stayed[shard.index()], before[shard.index()]);
    }
    let moved = Shard::all().filter(|shard| stayed[shard.index()] != before[shard.index()]);
    assert!(moved.count() > 250);
    simulation.assert_all_owned();

    // The gateway that they were to go to ends: they are not asked for any more.
    simulation.leave(2);
    simulation.run(Duration::from_secs(10));
    simulation.assert_settled();
    let postponed = simulation.postponed;
    simulation.run(Duration::from_secs(10));
    assert_eq!(simulation.postponed, postponed);
    assert_eq!(simulation.owners(0), before);

    // One that leaves keeps them until they can stop, and then goes.
    simulation.leave(1);
    simulation.run(Duration::from_secs(20));
    assert_eq!(simulation.ended(1), None);
    let owners = simulation.owners(0);
    let kept = Shard::all().filter(|shard| owners[shard.index()].as_deref() == Some("gw-2"));
    let kept: Vec<Shard> = kept.collect();
    assert!(kept.len() > 30 && kept.iter().all(is_busy));
    simulation.busy.clear();
    simulation.run(Duration::from_secs(3));
    assert_eq!(simulation.ended(1), Some(None));
    simulation.assert_all_owned();
}

#[test]
fn a_store_that_is_away_for_long_moves_nothing() {
    let mut simulation = Simulation::new(3, 3);
    simulation.run(Duration::from_secs(15));
    let (dead, handed_over) = (simulation.taken_from_dead, simulation.handed_over);
    for millis in [400, 1300, 2500, 8000] {
        simulation.store_away(Duration::from_millis(millis));
        simulation.run(Duration::from_millis(millis + 4000));
        simulation.assert_settled();
    }
    assert_eq!(
        (simulation.taken_from_dead, simulation.handed_over),
        (dead, handed_over)
    );
}

#[test]
fn another_format_is_not_joined() {
    let mut simulation = Simulation::new(1, 0);
    simulation.put("/c/format", "12 shards");
    simulation.start("gw-1", 1);
    simulation.run(Duration::from_secs(3));
    let reason = simulation.ended(0).unwrap().unwrap();
    assert!(
        reason.contains("\"12 shards\"") && reason.contains("same version"),
        "{reason}"
    );
}

#[test]
fn a_process_waits_for_an_earlier_one_of_its_name() {
    let mut simulation = Simulation::new(1, 1);
    simulation.run(Duration::from_secs(5));
    simulation.start("gw-1", 1);
    simulation.run(Duration::from_secs(10));
    assert_eq!(simulation.state(1), ClusterState::Joining);
    simulation.kill(0);
    simulation.run(Duration::from_secs(5));
    assert_eq!(simulation.state(1), ClusterState::Ok);
    simulation.assert_all_owned();
}

fn rooms(rooms: impl IntoIterator<Item = u32>, change: impl Fn(u32) -> u32) -> RoomDigests {
    let rooms = rooms.into_iter();
    RoomDigests::new(rooms.map(|room| {
        let digest = RoomDigest {
            settings: change(room),
            device: room,
        };
        (format!("room-{room}"), digest)
    }))
}

/// Some rooms are in all of them, some in one or two; some have other settings.
fn three_configurations() -> Vec<RoomDigests> {
    vec![
        rooms(0..900, |room| room),
        rooms(100..1000, |room| room + u32::from(room % 50 == 0)),
        rooms(50..800, |room| room + u32::from(room % 70 == 0)),
    ]
}

#[test]
fn only_rooms_that_all_have_alike_move_when_a_member_joins() {
    let mut simulation = Simulation::new(5, 2);
    let one = rooms(0..3000, |room| room);
    let other = rooms(0..3000, |room| room + u32::from(room == 17));
    let differing = shard_of("room-17");
    for at in 0..2 {
        simulation.configure(at, one.clone());
    }
    simulation.run(Duration::from_secs(10));
    let owners = simulation.owners(0);
    // A name whose place is that of the room that differs, so that it would move.
    let is_wanted = |name: &&String| {
        let members = ["gw-1", "gw-2", name].map(|name| (name.to_owned(), 1));
        Placement::new(members.into()).owner(differing) == Some(name)
    };
    let names: Vec<String> = (3..99).map(|n| format!("gw-{n}")).collect();
    let name = names.iter().find(is_wanted).unwrap();
    simulation.start(name, 1);
    simulation.configure(2, other);
    simulation.run(Duration::from_secs(10));
    simulation.assert_settled();
    simulation.assert_rooms_are_served();
    let moved: Vec<Shard> = Shard::all()
        .filter(|shard| simulation.owners(0)[shard.index()] != owners[shard.index()])
        .collect();
    assert!(
        moved.len() > 250 && !moved.contains(&differing),
        "{}",
        moved.len()
    );
    let view = simulation.view(0);
    let wanted = DifferingShard {
        shard: differing,
        members: vec![vec!["gw-1".into(), "gw-2".into()], vec![name.clone()]],
        rooms: vec!["room-17".into()],
    };
    assert_eq!(*view.differing, [wanted]);

    // Its owner ends: a member takes it over, although they differ.
    let owner = owners[differing.index()].clone().unwrap();
    let at = usize::from(owner == "gw-2");
    let heir = simulation.view(at).heir(differing).unwrap().name.clone();
    simulation.kill(at);
    simulation.run(Duration::from_millis(3500));
    simulation.assert_all_owned();
    assert_eq!(simulation.owners(1 - at)[differing.index()], Some(heir));

    // All are the same again: it goes where it is wanted.
    simulation.configure(2, one);
    simulation.run(Duration::from_secs(5));
    simulation.assert_settled();
    simulation.assert_rooms_are_served();
    assert!(simulation.view(2).differing.is_empty());
}

#[test]
fn a_room_that_its_shards_owner_does_not_know_goes_to_a_member_that_does() {
    let mut simulation = Simulation::new(6, 3);
    simulation.run(Duration::from_secs(10));
    simulation.configure(1, rooms(0..1, |room| room));
    simulation.run(Duration::from_secs(3));
    simulation.assert_settled();
    simulation.assert_rooms_are_served();
    let owners = simulation.owners(1);
    assert_eq!(owners[shard_of("room-0").index()].as_deref(), Some("gw-2"));
}

#[test]
fn owners_and_heirs_are_worked_out_when_they_change_and_not_with_each_heartbeat() {
    let mut simulation = Simulation::new(7, 3);
    simulation.run(Duration::from_secs(15));
    simulation.assert_settled();
    let before = simulation.view(0);
    let revision = simulation.seen_revision();
    simulation.run(Duration::from_secs(5));
    assert!(simulation.seen_revision() > revision + 20);
    let after = simulation.view(0);
    assert!(Arc::ptr_eq(&after.owners, &before.owners));
    assert!(Arc::ptr_eq(&after.heirs, &before.heirs));
    assert!(Arc::ptr_eq(&after.members, &before.members));
    simulation.leave(2);
    simulation.run(Duration::from_secs(3));
    let after = simulation.view(0);
    assert!(after.owners != before.owners);
}

#[test]
fn a_members_key_that_a_person_has_changed_is_shown_as_it_is() {
    let mut simulation = Simulation::new(9, 2);
    simulation.run(Duration::from_secs(15));
    let before = simulation.view(0).members[1].clone();
    // Its next heartbeat would put everything right.
    simulation.kill(1);
    let record = MemberRecord {
        nonce: "nonce-1".into(),
        advertise: "http://elsewhere".into(),
        weight: before.weight,
        version: before.version.clone(),
        since: before.since,
        leaving: before.leaving,
        rooms: before.rooms.clone(),
        named_rooms: String::new(),
        devices: String::new(),
        configuration: 0,
        settings: Default::default(),
    };
    simulation.put("/c/members/gw-2", &record.to_text());
    simulation.run(Duration::from_secs(1));
    let after = &simulation.view(0).members[1];
    assert_eq!(after.advertise, "http://elsewhere");
    assert_eq!(after.shards, before.shards);
}

/// The names of the next owners of all shards.
fn heirs(view: &ClusterView) -> Vec<Option<&str>> {
    let name = |shard| view.heir(shard).map(|heir| &*heir.name);
    Shard::all().map(name).collect()
}

#[test]
fn heirs_stay_while_the_rooms_of_a_member_are_read() {
    for joins in [false, true] {
        let mut simulation = Simulation::new(8, 3);
        simulation.run(Duration::from_secs(15));
        simulation.assert_settled();
        let before = simulation.view(0);
        let name = if joins { "gw-0" } else { "gw-3" };
        if joins {
            // Its place is before those of the others.
            simulation.start(name, 1);
        }
        simulation.configure(if joins { 3 } else { 2 }, rooms(0..3, |room| room));
        let mut looks = 0;
        let view = loop {
            simulation.run(Duration::from_millis(1));
            let view = simulation.view(0);
            if !view.differing.is_empty() {
                break view;
            }
            let member = view.members.iter().find(|member| member.name == name);
            looks +=
                u32::from(member.is_some_and(|member| member.rooms != before.members[0].rooms));
            let (now, then) = (heirs(&view), heirs(&before));
            // The others may have read them already, and hand shards over.
            let owner = |view: &ClusterView, shard| view.owner(shard).map(|it| it.name.clone());
            let stays = |shard: &Shard| owner(&view, *shard) == owner(&before, *shard);
            for shard in Shard::all().filter(stays) {
                let at = shard.index();
                assert_eq!(now[at], then[at], "{joins} {shard}");
            }
            assert!(
                simulation.seen_revision() < 1000,
                "the rooms are never read"
            );
        };
        assert!(looks > 0);
        assert!(!joins || heirs(&view) != heirs(&before));
    }
}

/// A room gets another name, and the members learn of it one after the other.
#[test]
fn no_member_may_begin_to_use_a_device_that_another_may_use_under_another_name() {
    let mut simulation = Simulation::new(8, 3);
    let named = |name: &str| {
        let name_of = |room| match room {
            17 => name.to_owned(),
            _ => format!("room-{room}"),
        };
        RoomDigests::new((0..900).map(|device| {
            let settings = device;
            (name_of(device), RoomDigest { settings, device })
        }))
    };
    (0..3).for_each(|at| simulation.configure(at, named("room-17")));
    simulation.run(Duration::from_secs(10));
    let owner_of = |simulation: &Simulation, name: &str| {
        let owner = simulation.owners(0)[shard_of(name).index()]
            .clone()
            .unwrap();
        owner.trim_start_matches("gw-").parse::<usize>().unwrap() - 1
    };
    let former = owner_of(&simulation, "room-17");
    let new_names = (0..).map(|n: u32| format!("new-{n}"));
    let mut new_names = new_names.filter(|name| owner_of(&simulation, name) != former);
    let new = new_names.next().unwrap();
    let next = owner_of(&simulation, &new);
    let is_blocked = |simulation: &Simulation, at: usize, name: &str| {
        let view = simulation.view(at);
        assert!(!view.conflicts.are_unknown);
        view.conflicts.devices.get(name).map(|it| it.blocks)
    };
    // The one that has the shard of the new name, then the third one.
    for at in [next, 3 - former - next] {
        simulation.configure(at, named(&new));
        simulation.run(Duration::from_secs(3));
        assert_eq!(is_blocked(&simulation, next, &new), Some(true));
        // It has the device, and could not begin with it anew: the other has the other shard.
        assert_eq!(is_blocked(&simulation, former, "room-17"), Some(true));
        assert_eq!(simulation.view(at).told_configuration, 3);
    }
    // It dies, so that nobody knows the former name any more.
    simulation.kill(former);
    simulation.run(Duration::from_millis(3500));
    assert_eq!(is_blocked(&simulation, next, &new), None);
    simulation.assert_all_owned();

    // One comes that has the former name: it may not take the device as long as the other has the new name's shard.
    simulation.start("gw-4", 1);
    simulation.configure(3, named("room-17"));
    simulation.run(Duration::from_secs(10));
    let ownerless = simulation
        .view(3)
        .conflicts
        .ownerless
        .contains_key("room-17");
    assert!(ownerless || is_blocked(&simulation, 3, "room-17") == Some(true));
    assert_ne!(is_blocked(&simulation, next, &new), None);
}
