//! The states of calls, and what they tell.

use crate::catalogue::connections::CallPhase;
use crate::catalogue::references::{StateTopic, ValueKind};

/// The list of conferences, from which the room makes call events.
pub const CALLS: StateTopic = StateTopic::new(
    "calls",
    "All calls of the room, as a list of conferences, each with its `id` and its `connections` \
     (one for each other party); the list is empty without a call.",
);
pub const CALL_STATE: StateTopic = StateTopic::new(
    "call/state",
    "What the room's calls do: `idle`, `dialing`, `ringing` (somebody calls), `connected` or \
     `held`.",
)
.of(ValueKind::Words(CallPhase::WORDS));
pub const CALL_COUNT: StateTopic = StateTopic::new(
    "call/count",
    "How many calls are up; one that only rings is not counted.",
)
.of(ValueKind::Count(None));
pub const CALL_CAPABILITIES: StateTopic = StateTopic::new(
    "call/capabilities",
    "Which calls the device can make: `canMakeAudioCall`, `canMakeVideoCall`, and `canBlastDial` \
     for calls to several addresses at once.",
);
pub const CALL_MEDIA_STATS: StateTopic = StateTopic::new(
    "call/media_stats",
    "The quality of each audio and video stream of the call, as a list: `bitRate` in kbit/s, \
     `jitter` and `latency` in milliseconds, `percentPacketLoss` in percent. It is there during a \
     call only.",
);
/// The newest entry of the call log.
pub const CALL_LAST: StateTopic = StateTopic::new(
    "call/last",
    "The last call that ended: `address`, `name`, `direction`, `outcome`, whether it was `missed`, \
     `duration` in seconds, and when it `started` and `ended`; `none` while the call log is empty.",
);
