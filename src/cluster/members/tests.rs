use super::simulation::Simulation;
use super::*;
use crate::cluster::view::ClusterState;

/// How many random schedules are run, and how long each is.
fn schedules() -> u64 {
    let given = std::env::var("POLY2MQTT_CLUSTER_SCHEDULES").ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(5)
}

fn first_seed() -> u64 {
    let given = std::env::var("POLY2MQTT_CLUSTER_SEED").ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(1)
}

#[test]
fn never_two_gateways_act_on_one_shard_and_all_shards_find_their_owner() {
    let mut smallest_gap = Duration::MAX;
    let (mut dead, mut handed_over) = (0, 0);
    let mut faults = BTreeMap::new();
    for seed in first_seed()..first_seed() + schedules() {
        println!("seed {seed}");
        let mut simulation = Simulation::new(seed, 4);
        simulation.run_with_faults(Duration::from_secs(60));
        simulation.heal();
        simulation.run(Duration::from_secs(20));
        simulation.assert_settled();
        smallest_gap = smallest_gap.min(simulation.smallest_gap);
        dead += simulation.taken_from_dead;
        handed_over += simulation.handed_over;
        for (kind, n) in simulation.faults {
            *faults.entry(kind).or_insert(0) += n;
        }
    }
    println!(
        "smallest gap {smallest_gap:?}; {dead} shards taken from dead members, {handed_over} handed over; \
         faults: {faults:?}"
    );
    assert!(
        smallest_gap >= Duration::from_millis(300),
        "{smallest_gap:?}"
    );
    assert!(dead > 500 && handed_over > 500, "{dead} {handed_over}");
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
