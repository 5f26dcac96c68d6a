//! What spreads rooms over time, so that they do not all do the same at the same moment.
//!
//! Pure. Knows nothing of what is spread.

use std::hash::{DefaultHasher, Hash, Hasher};

/// A number that differs from room to room, evenly over all 64 bits. The same for a room at each start.
pub fn spread_number(room: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    room.hash(&mut hasher);
    hasher.finish()
}
