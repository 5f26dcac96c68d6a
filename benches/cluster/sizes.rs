//! What the keys in etcd hold, and how long it takes to make them.

use std::time::Instant;

use poly2mqtt::cluster::{
    MemberRecord, NamedRooms, Owner, Placement, RoomDigests, RoomsDocument, Shard, Table,
};
use poly2mqtt::config::RoomDigest;
use poly2mqtt_bench_support::figures::{head, median, row};

use crate::room_ids::{Style, ids};
use crate::{Size, gateway_name};

/// The rooms as a configuration has them, each with a digest of its settings.
pub fn configured(rooms: &[String]) -> RoomDigests {
    let rooms = rooms.iter().zip(0_u32..);
    RoomDigests::new(rooms.map(|(id, n)| {
        let digest = RoomDigest {
            settings: n.wrapping_mul(2_654_435_761),
            device: n.wrapping_mul(2_246_822_519),
        };
        (id.clone(), digest)
    }))
}

pub fn measure(size: Size) {
    let rooms = ids(Style::Buildings, size.rooms, 7);
    let (digests, took) = timed(|| configured(&rooms));
    let placement = Placement::new((0..size.gateways).map(|n| (gateway_name(n), 1)).collect());
    let mut table = Table::default();
    for shard in Shard::all() {
        let owner = placement.owner(shard).map(|name| Owner {
            name: name.to_owned(),
            created: 1_234_567_890,
        });
        table.set(shard, owner.as_ref());
    }
    let (text, table_took) = timed(|| table.to_text());
    let (_, parse_took) = timed(|| Table::parse(&text).unwrap());
    let document = |shards: usize| {
        let document = RoomsDocument {
            shards: digests.shards().clone(),
            named: NamedRooms::of(&digests, Shard::all().take(shards)),
            devices: digests.devices().clone(),
        };
        document.to_text().len()
    };
    let record = MemberRecord {
        nonce: "0".repeat(32),
        advertise: "https://gw-1.av.example.edu:8080".into(),
        weight: 1,
        version: env!("CARGO_PKG_VERSION").into(),
        since: 1_764_000_000,
        leaving: false,
        rooms: digests.shards().digest(),
        named_rooms: String::new(),
        devices: digests.devices().digest(),
        configuration: 0,
        settings: Default::default(),
    };
    let title = format!(
        "Keys in etcd, {} rooms, {} gateways",
        size.rooms, size.gateways
    );
    head(&title, &["key", "bytes", "time to make"]);
    row(&[
        "table, one for all".into(),
        text.len().to_string(),
        format!("{table_took:.2} ms, and {parse_took:.2} ms to read"),
    ]);
    row(&[
        "members/…, written with each heartbeat".into(),
        record.to_text().len().to_string(),
        "–".into(),
    ]);
    row(&[
        "rooms/…, of each gateway".into(),
        document(0).to_string(),
        format!("{took:.1} ms for the digests of all rooms"),
    ]);
    for shards in [1, 20, usize::MAX] {
        let shards = shards.min(Shard::all().count());
        row(&[
            format!("rooms/… with differences in {shards} shards"),
            document(shards).to_string(),
            "–".into(),
        ]);
    }
}

/// The last result, and the median of five times in milliseconds.
fn timed<T>(work: impl Fn() -> T) -> (T, f64) {
    let mut times = Vec::new();
    loop {
        let begun = Instant::now();
        let result = work();
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        if times.len() == 5 {
            return (result, median(times));
        }
    }
}
