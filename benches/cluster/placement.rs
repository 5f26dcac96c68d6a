//! How evenly the gateway's own placement spreads rooms, and what moves when a gateway comes or goes.

use std::time::Instant;

use poly2mqtt::cluster::{Placement, SHARDS, Shard, ShardRooms, shard_of};
use poly2mqtt_bench_support::figures::{head, median, row};

use crate::room_ids::{Style, ids};
use crate::{Size, gateway_name};

/// The rooms of each shard, of one set of ids.
struct Campus(Vec<u32>);

impl Campus {
    fn new(style: Style, rooms: usize, seed: u64) -> Self {
        let mut counts = vec![0; usize::from(SHARDS)];
        for id in ids(style, rooms, seed) {
            counts[shard_of(&id).index()] += 1;
        }
        Self(counts)
    }

    fn rooms(&self, shard: Shard) -> f64 {
        f64::from(self.0[shard.index()])
    }

    fn all(&self) -> f64 {
        self.0.iter().copied().map(f64::from).sum()
    }

    /// The rooms of each member if `owner` says which has which shard.
    fn by_owner(&self, members: usize, owner: impl Fn(Shard) -> Option<usize>) -> Vec<f64> {
        let mut rooms = vec![0.0; members];
        for shard in Shard::all() {
            if let Some(at) = owner(shard) {
                rooms[at] += self.rooms(shard);
            }
        }
        rooms
    }
}

/// The names of a cluster's gateways: as operators choose them, of which every trial has others.
fn names(count: usize, trial: usize) -> Vec<(String, u32)> {
    let name = |n: usize| match trial % 3 {
        0 => format!("gw-{}", trial * 100 + n),
        1 => format!("poly2mqtt-{trial}-{}.example.edu", (b'a' + n as u8) as char),
        _ => format!("room-gateway-{}", trial * 7919 + n * 104_729),
    };
    (0..count).map(|n| (name(n), 1)).collect()
}

/// The median and the worst, as text.
fn both(values: &[f64]) -> String {
    let worst = values.iter().copied().fold(f64::MIN, f64::max);
    format!("{:.3} ({worst:.3})", median(values.to_vec()))
}

pub fn measure(size: Size, trials: usize) {
    let campuses: Vec<Campus> = (0..trials)
        .map(|trial| Campus::new(Style::ALL[trial % 4], size.rooms, trial as u64 + 1))
        .collect();
    head(
        &format!(
            "Placement of {} rooms, {trials} sets of ids and gateways; median (worst)",
            size.rooms
        ),
        &[
            "gateways",
            "busiest to mean",
            "moved when one joins, of all",
            "… to 1/(n+1)",
            "moved when one leaves, of all",
            "others' rooms moved then",
            "busiest to mean after that",
            "most of a dead one's rooms at one survivor, to an even share",
        ],
    );
    for count in [2, 3, 5, 8] {
        spread(&campuses, count);
    }
    styles(&campuses, size.gateways);
    weights(&campuses);
    times(size);
}

#[allow(clippy::cast_precision_loss)]
fn spread(campuses: &[Campus], count: usize) {
    let mut columns: [Vec<f64>; 7] = Default::default();
    for (trial, campus) in campuses.iter().enumerate() {
        let members = names(count, trial);
        let before = Placement::new(members.clone());
        let owner = |shard| before.owner_place(shard);
        let busiest = |rooms: &[f64], members: usize| {
            let most = rooms.iter().copied().fold(0.0, f64::max);
            most * members as f64 / campus.all()
        };
        let rooms = campus.by_owner(count, owner);
        columns[0].push(busiest(&rooms, count));

        let mut more = members.clone();
        more.push((format!("{}-new", members[0].0), 1));
        let joined = Placement::new(more);
        let moved = |shard: &Shard| joined.owner_place(*shard) != owner(*shard);
        let moved: f64 = Shard::all()
            .filter(moved)
            .map(|shard| campus.rooms(shard))
            .sum();
        columns[1].push(moved / campus.all());
        columns[2].push(moved / campus.all() * (count + 1) as f64);

        let dead = trial % count;
        let after = |shard| before.owner_among(shard, |at| at != dead);
        let moves = |shard: &Shard| owner(*shard) != Some(dead) && after(*shard) != owner(*shard);
        let others: f64 = Shard::all()
            .filter(moves)
            .map(|shard| campus.rooms(shard))
            .sum();
        columns[3].push(rooms[dead] / campus.all());
        columns[4].push(others);
        let survivors = campus.by_owner(count, after);
        columns[5].push(busiest(&survivors, count - 1));
        let gained = survivors.iter().zip(&rooms).enumerate();
        let gained = gained.filter(|(at, _)| *at != dead);
        let most = gained
            .map(|(_, (now, then))| now - then)
            .fold(0.0, f64::max);
        columns[6].push(most * (count - 1) as f64 / rooms[dead]);
    }
    let mut cells = vec![count.to_string()];
    cells.extend(columns.iter().map(|values| both(values)));
    let others = columns[4].iter().copied().fold(0.0, f64::max);
    cells[5] = format!("{others:.0}");
    row(&cells);
}

/// The same by the look of the ids: a hash must not care.
#[allow(clippy::cast_precision_loss)]
fn styles(campuses: &[Campus], count: usize) {
    head(
        &format!("By the look of the ids, {count} gateways; median (worst)"),
        &["ids", "busiest to mean", "fullest shard, rooms"],
    );
    for (n, style) in Style::ALL.into_iter().enumerate() {
        let (mut busiest, mut fullest) = (Vec::new(), Vec::new());
        for (trial, campus) in campuses.iter().enumerate() {
            if trial % Style::ALL.len() != n {
                continue;
            }
            let placement = Placement::new(names(count, trial));
            let rooms = campus.by_owner(count, |shard| placement.owner_place(shard));
            let most = rooms.iter().copied().fold(0.0, f64::max);
            busiest.push(most * count as f64 / campus.all());
            let most = campus.0.iter().copied().max().unwrap_or(0);
            fullest.push(f64::from(most));
        }
        if !busiest.is_empty() {
            row(&[format!("{style:?}"), both(&busiest), both(&fullest)]);
        }
    }
}

fn weights(campuses: &[Campus]) {
    head(
        "Weights: rooms of the member that is furthest above its share, to that share; median (worst)",
        &["weights", "rooms to share"],
    );
    for weights in [&[1, 2][..], &[1, 1, 2], &[1, 2, 3, 4], &[1, 1, 1, 1, 4]] {
        let mut ratios = Vec::new();
        for (trial, campus) in campuses.iter().enumerate() {
            let mut members = names(weights.len(), trial);
            for (member, weight) in members.iter_mut().zip(weights) {
                member.1 = *weight;
            }
            let placement = Placement::new(members);
            let rooms = campus.by_owner(weights.len(), |shard| placement.owner_place(shard));
            let sum: u32 = weights.iter().sum();
            let share = |weight: u32| campus.all() * f64::from(weight) / f64::from(sum);
            let ratio = rooms.iter().zip(weights);
            ratios.push(
                ratio
                    .map(|(rooms, weight)| rooms / share(*weight))
                    .fold(0.0, f64::max),
            );
        }
        let weights: Vec<String> = weights.iter().map(u32::to_string).collect();
        row(&[weights.join(", "), both(&ratios)]);
    }
}

fn times(size: Size) {
    let rooms = ids(Style::Buildings, size.rooms, 7);
    let members: Vec<(String, u32)> = (0..size.gateways).map(|n| (gateway_name(n), 1)).collect();
    let time = |work: &dyn Fn()| {
        let took = (0..5).map(|_| {
            let begun = Instant::now();
            work();
            begun.elapsed().as_secs_f64() * 1e3
        });
        format!("{:.2} ms", median(took.collect()))
    };
    let placement = Placement::new(members.clone());
    head("Time to place", &["", "median of five"]);
    row(&[
        format!("the shards of {} rooms", size.rooms),
        time(&|| drop(ShardRooms::of(rooms.iter().map(String::as_str)))),
    ]);
    row(&[
        format!("the owners of all shards, {} gateways", size.gateways),
        time(&|| drop(Placement::new(members.clone()))),
    ]);
    row(&[
        "the owners that follow when one is gone".into(),
        time(&|| {
            let after = |shard| placement.owner_among(shard, |at| at != 0);
            drop(Shard::all().map(after).collect::<Vec<_>>());
        }),
    ]);
}
