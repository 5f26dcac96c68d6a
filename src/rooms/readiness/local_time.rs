//! How far the local time of this machine is from UTC. `daily` gets it as a function.

use time::{OffsetDateTime, UtcOffset};

/// How many seconds the local time of this machine is ahead of UTC at a time in seconds since 1970. UTC
/// where the machine does not tell.
pub fn local_offset(at: i64) -> i64 {
    let at = OffsetDateTime::from_unix_timestamp(at).ok();
    let offset = at.and_then(|at| UtcOffset::local_offset_at(at).ok());
    offset.map_or(0, |offset| i64::from(offset.whole_seconds()))
}
