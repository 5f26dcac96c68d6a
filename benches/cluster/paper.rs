//! Arithmetic for what no machine here can run: what each gateway, the broker and etcd have to carry.
//!
//! Rooms are placed by the gateway's own code. What a room costs was measured, and is in the constants below.

use poly2mqtt::cluster::{Placement, shard_of};
use poly2mqtt_bench_support::figures::{head, row};

use crate::room_ids::{Style, ids};
use crate::{Size, gateway_name};

/// `docs/performance.md`, 5,000 rooms at the default intervals: 12,853 requests/s with 43 % of a core.
const REQUESTS: f64 = 2.57;
const REQUEST_PROCESSOR: f64 = 33.5e-6;
/// The same page, 10,000 rooms, in KiB.
const ROOM_MEMORY: f64 = 94.0;
/// What a log-in takes a real device, in seconds, and how many there are at a time.
const LOG_IN: f64 = 0.2;
const LOG_INS_AT_ONCE: f64 = 20.0;
/// How long shards are without a gateway after a death, in seconds: the judge of several gateways asks for 3.5.
const UNTIL_OWNED: f64 = 3.0;

// Measured by the parts `room`, `idle` and `broker` of this program.

/// Processor time of a start, from log-in to the last state, in seconds.
const START_PROCESSOR: f64 = 2.3e-3;
const FILES: f64 = 1.07;
/// What a device sends while nobody does anything, in bytes/s.
const BYTES: f64 = 920.0;
/// What a configured room costs a gateway that has not got it, in KiB.
const OTHERS_ROOM_MEMORY: f64 = 5.6;
/// Messages to the broker when a room starts.
const START_MESSAGES: f64 = 70.0;
/// What Mosquitto takes in a second if each goes to a deputy too.
const BROKER_MESSAGES: f64 = 20_000.0;
/// What Mosquitto keeps, in KiB: of a room's states, of its document for Home Assistant, of a filter.
const RETAINED_ROOM: f64 = 38.2;
const RETAINED_DOCUMENT: f64 = 36.1;
const FILTER: f64 = 0.54;

/// How many rooms the busiest gateway has, and how many come to one survivor at most.
struct Rooms {
    mean: f64,
    busiest: f64,
    after_death: f64,
    gained: f64,
}

impl Rooms {
    #[allow(clippy::cast_precision_loss)]
    fn placed(size: Size) -> Self {
        let placement = Placement::new((0..size.gateways).map(|n| (gateway_name(n), 1)).collect());
        let rooms = ids(Style::Buildings, size.rooms, 7);
        let count = |gone: Option<usize>| {
            let mut counts = vec![0.0; size.gateways];
            for room in &rooms {
                let owner = placement.owner_among(shard_of(room), |at| Some(at) != gone);
                counts[owner.unwrap()] += 1.0;
            }
            counts
        };
        let most = |counts: &[f64]| counts.iter().copied().fold(0.0, f64::max);
        let before = count(None);
        let (mut after_death, mut gained) = (0.0_f64, 0.0_f64);
        for gone in 0..size.gateways {
            let after = count(Some(gone));
            after_death = after_death.max(most(&after));
            for (at, rooms) in after.iter().enumerate().filter(|(at, _)| *at != gone) {
                gained = gained.max(rooms - before[at]);
            }
        }
        Self {
            mean: size.rooms as f64 / size.gateways as f64,
            busiest: most(&before),
            after_death,
            gained,
        }
    }
}

#[allow(clippy::cast_precision_loss)]
pub fn print(size: Size) {
    let rooms = Rooms::placed(size);
    let all = size.rooms as f64;
    let title = format!("On paper: {} rooms, {} gateways", size.rooms, size.gateways);
    head(
        &title,
        &[
            "a gateway",
            "mean",
            "busiest",
            "busiest after the death of one",
        ],
    );
    let columns = [rooms.mean, rooms.busiest, rooms.after_death];
    let line = |what: &str, cell: &dyn Fn(f64) -> String| {
        let mut cells = vec![what.to_owned()];
        cells.extend(columns.iter().map(|rooms| cell(*rooms)));
        row(&cells);
    };
    line("rooms", &|rooms| format!("{rooms:.0}"));
    line("requests to devices", &|rooms| {
        format!("{:.0}/s", rooms * REQUESTS)
    });
    line("processor for them", &|rooms| {
        format!("{:.2} cores", rooms * REQUESTS * REQUEST_PROCESSOR)
    });
    line("memory", &|rooms| {
        let others = (all - rooms) * OTHERS_ROOM_MEMORY;
        format!(
            "{:.1} GiB",
            (rooms * ROOM_MEMORY + others) / 1024.0 / 1024.0
        )
    });
    line("open files", &|rooms| format!("{:.0}", rooms * FILES));
    line("network, from devices", &|rooms| {
        format!("{:.0} Mbit/s", rooms * BYTES * 8.0 / 1e6)
    });

    head(
        "Time",
        &[
            "",
            "log-ins or checks",
            "processor of the busiest",
            "broker",
        ],
    );
    let event = |what: &str, here: f64, everywhere: f64, log_in: bool| {
        row(&[
            what.to_owned(),
            if log_in {
                format!("{:.0} s", here / LOG_INS_AT_ONCE * LOG_IN)
            } else {
                "all at once".into()
            },
            format!("{:.0} s of a core", here * START_PROCESSOR),
            format!("{:.0} s", everywhere * START_MESSAGES / BROKER_MESSAGES),
        ]);
    };
    let gone = rooms.busiest;
    event(
        &format!(
            "a gateway is killed: {:.0} rooms to one survivor, {UNTIL_OWNED} s later",
            rooms.gained
        ),
        rooms.gained,
        gone,
        true,
    );
    event("a gateway leaves in good order", rooms.gained, gone, false);
    event(
        "all start, with sessions in etcd",
        rooms.busiest,
        all,
        false,
    );
    event("all start, without any session", rooms.busiest, all, true);

    head("The broker", &["", ""]);
    row(&["filters".into(), format!("{:.0}", 2.0 * all)]);
    row(&[
        "memory for them".into(),
        format!("{:.0} MiB", 2.0 * all * FILTER / 1024.0),
    ]);
    row(&[
        "retained messages".into(),
        format!("{:.1} million", all * START_MESSAGES / 1e6),
    ]);
    let gib = |of_room: f64| format!("{:.1} GiB", all * of_room / 1024.0 / 1024.0);
    row(&["memory for them".into(), gib(RETAINED_ROOM)]);
    row(&[
        "memory for documents of Home Assistant".into(),
        gib(RETAINED_DOCUMENT),
    ]);
}
