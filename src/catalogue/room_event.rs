//! What happens in a room, as the names of its events.

/// Something that happened in a room. Its topic is `event/` and its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomEvent {
    /// A call rings.
    IncomingCall,
    /// A call came up.
    CallConnected,
    /// A call has ended, or rang and was not answered.
    CallEnded,
    /// A paired device is gone.
    DeviceLost,
    /// A paired device is there again.
    DeviceBack,
    /// A check of the room found something wrong.
    ReadinessFailed,
    /// A command failed.
    CommandFailed,
}

impl RoomEvent {
    /// Every event.
    pub const ALL: [Self; 7] = [
        Self::IncomingCall,
        Self::CallConnected,
        Self::CallEnded,
        Self::DeviceLost,
        Self::DeviceBack,
        Self::ReadinessFailed,
        Self::CommandFailed,
    ];

    /// The last level of its topic, and its `event_type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IncomingCall => "incoming_call",
            Self::CallConnected => "call_connected",
            Self::CallEnded => "call_ended",
            Self::DeviceLost => "device_lost",
            Self::DeviceBack => "device_back",
            Self::ReadinessFailed => "readiness_failed",
            Self::CommandFailed => "command_failed",
        }
    }

    /// The event of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == name)
    }

    /// What it says, in a sentence.
    pub(super) const fn about(self) -> &'static str {
        match self {
            Self::IncomingCall => {
                "A call rings: `address` says who calls, `conference` and `connection` are the ids \
                 to answer it by."
            }
            Self::CallConnected => "A call is connected; `incoming` says who began it.",
            Self::CallEnded => "A call has ended; `answered` is false if it was never connected.",
            Self::DeviceLost => {
                "A touch panel or another paired device is gone: `id`, `name`, `type`, `state`."
            }
            Self::DeviceBack => "A paired device that was gone is there again.",
            Self::ReadinessFailed => {
                "The room was checked and is not ready: `at` says when, and `failed` has the \
                 `name` and `message` of each check that failed."
            }
            Self::CommandFailed => {
                "A command of any client failed: its topic is `command`, and `code` and `message` \
                 say why."
            }
        }
    }
}
