//! The list of error codes: the one place where a code is added.
//!
//! The enum, its spelling in results, [`ErrorCode::ALL`], the table in `docs/commands.md` and the
//! AsyncAPI document's list are made from it. A code knows nothing of HTTP: `doors/http/status.rs`
//! gives each its status, and does not compile until a new one has it.

/// Makes the enum and its texts: the name, the spelling in results, what it means, and what the
/// sender can do about it (both in Markdown, as rows of the table in `docs/commands.md`).
macro_rules! error_codes {
    ($($name:ident, $text:literal, $meaning:literal, $advice:literal;)+) => {
        /// Why a command failed, spelled in snake case in results.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $(#[doc = $meaning] $name,)+
        }

        impl ErrorCode {
            /// Every code, in the order of the documentation.
            pub const ALL: [Self; [$($text),+].len()] = [$(Self::$name),+];

            /// The code as it is written in results: `invalid_payload`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// What the code means, as one sentence of Markdown.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)+ }
            }

            /// What the sender can do about it, as Markdown.
            pub fn advice(self) -> &'static str {
                match self { $(Self::$name => $advice,)+ }
            }
        }
    };
}

error_codes! {
    UnknownRoom, "unknown_room",
        "No room of that id is configured.",
        "Take an id from the message. Ids are case-sensitive.";
    UnknownCommand, "unknown_command",
        "No command has that topic.",
        "The message names the nearest one; `poly2mqtt topics` lists all.";
    InvalidPayload, "invalid_payload",
        "The payload, a topic level or the response topic is wrong.",
        "The message says what is allowed.";
    Forbidden, "forbidden",
        "A guarded command, a token without this access, or the device refuses this user.",
        "Add it to the room's `allow`, use a token with more `access`, or a device user with the admin role.";
    Busy, "busy",
        "64 commands are waiting already; too many commands or bytes wait for this client or another gateway; the room cannot be checked now: it is in a call, a meeting begins soon, it is being checked, or a command ended the check; or a file gave way to hanging up, to the stop of a camera, or to a new log-in.",
        "If commands or bytes wait: send fewer, or wait for results. Otherwise repeat it: a file at once, a check later.";
    Expired, "expired",
        "The command was too old when its turn came.",
        "Send it again if it is still wanted.";
    Superseded, "superseded",
        "A newer command replaced it.",
        "Nothing: the newer one counts.";
    Offline, "offline",
        "The device is not available now.",
        "Read `room/<room>/problem`: [states.md](states.md#availability-and-problem).";
    Unauthorized, "unauthorized",
        "The device refuses user and password.",
        "Correct them, then reload: [troubleshooting.md](troubleshooting.md#unauthorized).";
    LockedOut, "locked_out",
        "The device refuses all log-ins for a while.",
        "Wait: [troubleshooting.md](troubleshooting.md#locked-out).";
    ModeLocked, "mode_locked",
        "The device runs Teams, Zoom or another provider.",
        "Use that provider's controls, or switch the device back.";
    Unsupported, "unsupported",
        "This device or firmware lacks it (404, 405, 501).",
        "Nothing. States that a device lacks have no topic.";
    NotFound, "not_found",
        "The call, meeting or entry that the command names does not exist.",
        "The state (`calls`, `calendar/meetings`) lists those that exist.";
    DeviceError, "device_error",
        "Any other refusal, with the device's `status` and reason; or the answer is not a Poly device's: a page, a redirect, JSON that breaks off.",
        "Read the message. If it makes no sense, look at the device's own web page.";
    Timeout, "timeout",
        "No answer in time. It is safe to repeat.",
        "Repeat it. If that does not help, the device is overloaded or hangs.";
    OutcomeUnknown, "outcome_unknown",
        "It was sent, but no answer came, and repeating is not safe.",
        "Look at the state before you repeat it.";
    TooLarge, "too_large",
        "The payload, or the answer, is over the limit.",
        "Raise `mqtt.max_payload`. Over [HTTP](http.md) files may have any size; the device itself takes 10 MB.";
    IgnoredRetained, "ignored_retained",
        "The command was published with the retain flag.",
        "Publish it without, and clear it: `mosquitto_pub -r -n -t TOPIC`.";
}

impl ErrorCode {
    /// Whether the device may have carried the command out, or may still do so, as far as the code tells. `Offline`
    /// can be either: a room that was offline sent nothing, but a repeatable command has this code too when the
    /// connection broke each time that it was sent.
    pub fn is_unsure(self) -> bool {
        matches!(self, Self::OutcomeUnknown | Self::Timeout | Self::Offline)
    }

    /// Whether the code says nothing of what the device makes of the command: most often it did not get it, or refused
    /// whoever sent it. What an earlier sender of the same command has reached is then unknown.
    pub fn is_before_device(self) -> bool {
        matches!(
            self,
            Self::Busy
                | Self::Expired
                | Self::Superseded
                | Self::Offline
                | Self::Unauthorized
                | Self::LockedOut
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::ROOM_QUEUE_CAPACITY;

    #[test]
    fn busy_says_how_many_commands_wait() {
        let meaning = ErrorCode::Busy.meaning();
        let wanted = format!("{ROOM_QUEUE_CAPACITY} commands are waiting already;");
        assert!(meaning.starts_with(&wanted), "{meaning}");
    }
}
