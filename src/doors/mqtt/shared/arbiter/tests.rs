//! What the tests of the command arbiter share. Each file of the folder has one thing that happens to a room; `model`
//! has all of them in any order.

mod deaths;
mod losses;
mod model;
mod moves;
mod restarts;

use super::*;

#[derive(Debug, PartialEq, Eq)]
struct Numbered(u32);

impl RoomCommand for Numbered {
    type Id = u32;
    fn id(&self) -> u32 {
        self.0
    }
    fn size(&self) -> usize {
        1
    }
    fn shorten(&mut self) {}
}

type TestArbiter = CommandArbiter<Numbered, u32>;

const ROOM: &str = "1";
const LANES: [QosLane; 2] = [QosLane::AtMostOnce, QosLane::AtLeastOnce];

fn room() -> Arc<str> {
    ROOM.into()
}

/// Of a gateway that the broker delivers markers to.
fn connected() -> TestArbiter {
    let mut arbiter = TestArbiter::default();
    arbiter.hears_markers();
    arbiter
}

fn owner() -> (TestArbiter, Instant) {
    let (mut arbiter, now) = (connected(), Instant::now());
    arbiter.arrive(&room(), Arrival::New, 1);
    arbiter.markers(|_| true, usize::MAX, now);
    for lane in LANES {
        arbiter.own_marker(ROOM, lane);
    }
    (arbiter, now)
}

/// What a marker says of a room that has moved in with revision 2.
fn moved() -> BTreeMap<(Arrival, Revision), Vec<Arc<str>>> {
    BTreeMap::from([((Arrival::HandedOver, 2), vec![room()])])
}

fn actions(arbiter: &mut TestArbiter) -> Vec<CommandAction<Numbered, u32>> {
    std::iter::from_fn(|| arbiter.next_action()).collect()
}
