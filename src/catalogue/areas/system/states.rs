//! The states of the device itself, and what they tell.

use crate::catalogue::references::{StateTopic, ValueKind};

pub const H323_GATEKEEPERS: StateTopic = StateTopic::new(
    "system/h323_gatekeepers",
    "The H.323 gatekeepers of the device, as a list; `state` says whether it is registered there.",
);
pub const ENVIRONMENT_APP: StateTopic = StateTopic::new(
    "system/environment_app",
    "Whether the paired touch panel shows its app for the room's environment, such as lights and \
     blinds.",
)
.of(ValueKind::Flag);
pub const DEVICE_MODE: StateTopic = StateTopic::new(
    "system/device_mode",
    "Whether the device runs in Device Mode, in which a computer uses it as camera, microphone and \
     loudspeaker.",
)
.of(ValueKind::Flag);
pub const SIGNAGE: StateTopic = StateTopic::new(
    "system/signage",
    "Whether the screen shows digital signage.",
)
.of(ValueKind::Flag);
pub const SIP_SERVERS: StateTopic = StateTopic::new(
    "system/sip_servers",
    "The SIP servers of the device, as a list; `state` says whether it is registered there.",
);
pub const STATUS: StateTopic = StateTopic::new(
    "system/status",
    "The state of every part of the device, as a list with `name` and `stateList`.",
);
/// Model, serial number and firmware.
pub const INFO: StateTopic = StateTopic::new(
    "system/info",
    "Model, serial number, firmware (`softwareVersion`) and name of the device, as one object.",
);
/// What the device is doing: `READY`, `ASLEEP`, `IN_CALL`.
pub const STATE: StateTopic = StateTopic::new(
    "system/state",
    "What the device does: `READY`, `ASLEEP`, `IN_CALL`, `INITIALIZING`, `UPDATING`, \
     `SHUTTING_DOWN` or `DOWN`.",
);
/// Whether a change waits for a reboot.
pub const REBOOT_NEEDED: StateTopic = StateTopic::new(
    "system/reboot_needed",
    "Whether a setting was changed that takes effect at the next reboot.",
)
.of(ValueKind::Flag);
/// The network: state, speed, duplex.
pub const LAN: StateTopic = StateTopic::new(
    "system/lan",
    "The network connection: its `state`, `speedMbps` in Mbit/s, and `duplex`.",
);
pub const TIME_SERVER: StateTopic = StateTopic::new(
    "system/time_server",
    "Whether the device gets its time from its time server, as the device's word.",
);
/// When the device started.
pub const BOOT_TIME: StateTopic = StateTopic::new(
    "system/boot_time",
    "When the device started, as a date in UTC such as `2026-01-31T07:05:00Z`.",
);
/// Whether the device's log is full.
pub const LOG_FULL: StateTopic =
    StateTopic::new("system/log_full", "Whether the device's log is full.").of(ValueKind::Flag);
/// One topic below it for each part.
pub const STATUS_PART: StateTopic = StateTopic::new(
    "system/status",
    "The state of one part of the device: a word such as `up`, `down` or `off`, or a list of \
     several.",
);
