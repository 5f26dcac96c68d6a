//! What a device can do, by area: one file each, with data and small functions only.
//!
//! In the guide: `audio`, `calendar`, `cameras`, `collaboration`, `conferences`, `directory`, `session`, `system`,
//! `video`. Beyond it: `config` (the device's settings), `paired` (what is paired with it), `providers` (which one runs
//! the room). `readiness` is made by the gateway.

use super::operation::Operation;

pub(super) mod audio;
pub(super) mod calendar;
pub(super) mod cameras;
pub(super) mod collaboration;
pub(super) mod conferences;
pub(super) mod config;
pub(super) mod directory;
pub(super) mod paired;
pub(super) mod providers;
pub(super) mod readiness;
pub(super) mod session;
pub(super) mod system;
pub(super) mod video;

/// Every area's operations, in the guide's order.
const AREAS: &[&[Operation]] = &[
    audio::OPERATIONS,
    calendar::OPERATIONS,
    cameras::OPERATIONS,
    collaboration::OPERATIONS,
    conferences::OPERATIONS,
    directory::OPERATIONS,
    readiness::OPERATIONS,
    session::OPERATIONS,
    system::OPERATIONS,
    providers::OPERATIONS,
    paired::OPERATIONS,
    config::OPERATIONS,
    video::OPERATIONS,
];

/// Every operation: the guide's in its order, area by area, and those beyond it.
pub fn operations() -> impl Iterator<Item = &'static Operation> {
    AREAS.iter().copied().flatten()
}
