//! Why a room is not checked now. A check moves the camera and may place a call, so it must not run while
//! people meet in the room, nor shortly before.

/// A room is not checked in this time before a meeting, in seconds. People come some minutes early, and a
/// check with a call that does not connect takes up to four minutes.
const CLEAR_TIME_BEFORE_MEETING: i64 = 15 * 60;

/// Why the room is not checked now; `None` if it can be.
///
/// `call_state`: the word of `call/state`. `in_meeting`: an app of the device is in a meeting.
/// `next_meeting`, `now`: seconds since 1970.
pub fn obstacle(
    call_state: Option<&str>,
    in_meeting: bool,
    next_meeting: Option<i64>,
    now: i64,
) -> Option<String> {
    if let Some(state) = call_state.filter(|state| *state != "idle") {
        return Some(format!(
            "the room is in a call ({state}), so it is not checked; run it again after the call"
        ));
    }
    if in_meeting {
        return Some(
            "an app of the device is in a meeting, so the room is not checked; run it again after \
             the meeting"
                .into(),
        );
    }
    let before = next_meeting?.saturating_sub(now);
    (0..=CLEAR_TIME_BEFORE_MEETING).contains(&before).then(|| {
        format!(
            "a meeting begins in {} minutes, so the room is not checked; run it again after the \
             meeting",
            before / 60
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_not_checked_in_a_call_or_before_a_meeting() {
        for (call, in_meeting, next, words) in [
            (Some("connected"), false, None, "in a call (connected)"),
            (Some("ringing"), false, None, "in a call (ringing)"),
            (Some("dialing"), false, Some(9999), "in a call (dialing)"),
            (Some("held"), true, None, "in a call (held)"),
            (Some("idle"), true, None, "an app of the device"),
            (None, true, None, "an app of the device"),
            (Some("idle"), false, Some(1000), "in 0 minutes"),
            (Some("idle"), false, Some(1000 + 900), "in 15 minutes"),
        ] {
            let obstacle = obstacle(call, in_meeting, next, 1000).unwrap();
            assert!(obstacle.contains(words), "{obstacle}");
        }
        for (call, next) in [
            (Some("idle"), Some(1000 + 901)),
            (Some("idle"), None),
            (None, None),
            (None, Some(0)),
        ] {
            assert_eq!(obstacle(call, false, next, 1000), None, "{call:?} {next:?}");
        }
    }
}
