use proptest::prelude::*;

use super::*;

fn named(names: &[&str]) -> Vec<(String, u32)> {
    names.iter().map(|name| ((*name).to_owned(), 1)).collect()
}

fn gateways(n: usize) -> Vec<(String, u32)> {
    (1..=n).map(|n| (format!("gw-{n}"), 1)).collect()
}

/// Members of other versions agree on these; whoever changes them changes `FORMAT`.
#[test]
fn the_placement_never_changes() {
    for (room, shard) in [
        ("1", 225),
        ("boardroom", 199),
        ("room-2999", 95),
        ("A_b-9", 295),
    ] {
        assert_eq!(shard_of(room), Shard(shard), "{room}");
    }
    let placement = Placement::new(vec![
        ("gw-1".into(), 1),
        ("gw-2".into(), 1),
        ("b".into(), 3),
    ]);
    let owners: Vec<_> = Shard::all()
        .take(12)
        .map(|shard| placement.owner(shard).unwrap())
        .collect();
    let wanted = [
        "gw-1", "b", "gw-2", "b", "gw-1", "b", "b", "gw-1", "b", "b", "gw-1", "b",
    ];
    assert_eq!(owners, wanted);
    assert_eq!(FORMAT, "1024 shards, sha-256, weighted rendezvous, table 1");
}

#[test]
fn the_logarithm_is_that_of_the_textbook() {
    let unit = (1_u64 << FRACTION_BITS) as f64;
    for drawn in [
        0,
        1,
        2,
        3,
        1 << 20,
        (1 << 63) - 1,
        1 << 63,
        u64::MAX / 3,
        u64::MAX - 1,
        u64::MAX,
    ] {
        let wanted = 64.0 - (drawn as f64 + 1.0).log2();
        let ours = minus_log2(drawn) as f64 / unit;
        assert!((ours - wanted).abs() < 1e-9, "{drawn}: {ours} {wanted}");
    }
    assert_eq!(minus_log2(0), 64 << FRACTION_BITS);
    assert_eq!(minus_log2((1 << 63) - 1), 1 << FRACTION_BITS);
    assert_eq!(minus_log2(u64::MAX), 0);
}

#[test]
fn fifty_thousand_rooms_are_spread_evenly() {
    for (n, most) in [(3, 1.12), (5, 1.15), (8, 1.22)] {
        let placement = Placement::new(gateways(n));
        let mut rooms = vec![0_u32; n];
        for room in 0..50_000 {
            let owner = placement.owner(shard_of(&format!("room-{room}"))).unwrap();
            rooms[placement
                .members()
                .iter()
                .position(|(name, _)| name == owner)
                .unwrap()] += 1;
        }
        let busiest = f64::from(*rooms.iter().max().unwrap()) / (50_000.0 / n as f64);
        assert!(busiest < most, "{n} gateways: {busiest}");
    }
}

#[test]
fn a_member_has_the_share_of_its_weight() {
    let placement = Placement::new(vec![
        ("one".into(), 1),
        ("two".into(), 2),
        ("none".into(), 0),
        ("five".into(), 5),
    ]);
    let share = |name| {
        let of = Shard::all()
            .filter(|shard| placement.owner(*shard) == Some(name))
            .count();
        of as f64 / f64::from(SHARDS)
    };
    for (name, wanted) in [
        ("one", 0.125),
        ("two", 0.25),
        ("five", 0.625),
        ("none", 0.0),
    ] {
        let share = share(name);
        assert!((share - wanted).abs() < 0.04, "{name}: {share}");
    }
    assert_eq!(share("none"), 0.0);
    for nobody in [vec![("none".into(), 0)], vec![]] {
        assert_eq!(Placement::new(nobody).owner(Shard(0)), None);
    }
}

#[test]
fn one_that_joins_takes_little_more_than_its_share() {
    for n in 1..=8 {
        let (before, after) = (Placement::new(gateways(n)), Placement::new(gateways(n + 1)));
        let moved = Shard::all()
            .filter(|shard| before.owner(*shard) != after.owner(*shard))
            .count();
        let share = moved as f64 / f64::from(SHARDS) * (n + 1) as f64;
        assert!(share <= 1.15, "{n}: {share}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn only_the_shards_of_one_that_leaves_move(
        names in proptest::collection::btree_set("[a-z0-9-]{1,8}", 2..7),
        weights in proptest::collection::vec(1_u32..100, 7),
        gone in any::<proptest::sample::Index>(),
    ) {
        let members: Vec<_> = names.into_iter().zip(weights).collect();
        let gone = gone.index(members.len());
        let mut rest = members.clone();
        rest.remove(gone);
        let (before, after) = (Placement::new(members.clone()), Placement::new(rest));
        for shard in Shard::all() {
            let owner = before.owner(shard).unwrap();
            if owner == members[gone].0 {
                prop_assert_ne!(after.owner(shard).unwrap(), owner);
            } else {
                prop_assert_eq!(after.owner(shard).unwrap(), owner);
            }
        }
    }

    #[test]
    fn the_order_of_members_does_not_matter(
        names in proptest::collection::btree_set("[a-z]{1,4}", 2..6).prop_map(Vec::from_iter).prop_shuffle(),
    ) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        let (one, other) = (Placement::new(named(&names)), Placement::new(named(&sorted)));
        for shard in Shard::all() {
            prop_assert_eq!(one.owner(shard), other.owner(shard));
        }
    }
}
