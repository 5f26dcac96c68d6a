//! What the tests of the hearing of rooms share. Each file of the folder has one thing that happens to a room; `model` has
//! all of them in any order.

mod deaths;
mod losses;
mod model;
mod moves;
mod restarts;

use super::*;

#[derive(Debug, PartialEq, Eq)]
struct Numbered(u32);

impl HeardCommand for Numbered {
    type Id = u32;
    fn id(&self) -> u32 {
        self.0
    }
    fn size(&self) -> usize {
        1
    }
    fn shorten(&mut self) {}
}

type TestHearing = Hearing<Numbered, u32>;

const ROOM: &str = "1";
const LANES: [Lane; 2] = [Lane::AtMostOnce, Lane::AtLeastOnce];

fn room() -> Arc<str> {
    ROOM.into()
}

fn owner() -> (TestHearing, Instant) {
    let (mut hearing, now) = (TestHearing::default(), Instant::now());
    hearing.begin(&room(), 1);
    hearing.markers(|_| true, now);
    for lane in LANES {
        hearing.own_marker(ROOM, lane);
    }
    (hearing, now)
}

/// What a marker says of a room that has moved in with revision 2.
fn moved() -> BTreeMap<(Arrival, Revision), Vec<Arc<str>>> {
    BTreeMap::from([((Arrival::Moved, 2), vec![room()])])
}

fn acts(hearing: &mut TestHearing) -> Vec<Act<Numbered, u32>> {
    std::iter::from_fn(|| hearing.next_act()).collect()
}
