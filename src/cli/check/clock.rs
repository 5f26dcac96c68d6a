//! The clocks: of this machine, and of each device against it.
//!
//! Pure. Certificates are judged, meetings are shown and rooms are checked by these clocks.

use crate::telemetry::time_in_words;

/// No machine's clock is right before this date: the gateway was written after it.
/// 2025-01-01, in seconds since 1970.
const EARLIEST: i64 = 1_735_689_600;
/// Certificates that are used today end before this date: 2100-01-01.
const LATEST: i64 = 4_102_444_800;
/// Clocks that differ by less are set well enough: meetings have minutes.
const TOLERATED_SECONDS: u64 = 60;

/// What a person should know about the clock of this machine. `ahead`: how many seconds the clocks of devices
/// are ahead of it.
#[derive(Debug, PartialEq, Eq)]
pub enum MachineClock {
    /// Nothing speaks against it.
    Plausible,
    /// The devices agree on another time, which is later or earlier.
    Doubtful {
        /// What to say.
        told: String,
        /// The time on which they agree is later.
        is_behind: bool,
    },
    /// It cannot be right.
    Wrong(String),
}

/// Whether the clock of a machine may be right that says `now`, in seconds since 1970.
fn may_be_right(now: i64) -> bool {
    (EARLIEST..LATEST).contains(&now)
}

/// Judges the clock of this machine, which says `now`, in seconds since 1970.
pub fn of_machine(now: i64, ahead: &[i64]) -> MachineClock {
    if !may_be_right(now) {
        return MachineClock::Wrong(
            "this machine's clock is wrong, so certificates cannot be judged: set it, for example with \
             timedatectl set-ntp true"
                .into(),
        );
    }
    let off = |seconds: &&i64| is_off(**seconds);
    let later = ahead.iter().filter(off).filter(|it| **it > 0).count();
    let earlier = ahead.iter().filter(off).filter(|it| **it < 0).count();
    let count = later.max(earlier);
    if count < 2 || 2 * count <= ahead.len() {
        return MachineClock::Plausible;
    }
    let is_behind = later > earlier;
    let word = if is_behind { "ahead of" } else { "behind" };
    let told = format!(
        "the clocks of {count} devices of {} are {word} this machine's by more than a minute: check whether it \
         gets its time from a time server",
        ahead.len()
    );
    MachineClock::Doubtful { told, is_behind }
}

/// Whether a clock that is ahead by so many seconds of this machine's may need a word.
pub fn is_off(ahead: i64) -> bool {
    ahead.unsigned_abs() > TOLERATED_SECONDS
}

/// What a person should know about the clock of a device that is ahead by so many seconds of this machine's, `machine`.
/// Nothing if this machine's cannot be right, or if most devices agree that it is off in this direction: who follows
/// the advice makes the device's as wrong.
pub fn of_device(machine: &MachineClock, ahead: i64) -> Option<String> {
    let is_machines_fault = match machine {
        MachineClock::Plausible => false,
        MachineClock::Doubtful { is_behind, .. } => *is_behind == (ahead > 0),
        MachineClock::Wrong(_) => true,
    };
    if !is_off(ahead) || is_machines_fault {
        return None;
    }
    let time = time_in_words(ahead.unsigned_abs());
    let word = if ahead > 0 { "ahead of" } else { "behind" };
    Some(format!(
        "its clock is {time} {word} this machine's: check the device's time server, or send system/time/set"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_before_the_gateway_was_written_is_wrong() {
        for (now, is_wrong) in [
            (300, true),
            (EARLIEST - 1, true),
            (EARLIEST, false),
            (LATEST, true),
        ] {
            let found = of_machine(now, &[]);
            assert_eq!(matches!(found, MachineClock::Wrong(_)), is_wrong, "{now}");
        }
    }

    #[test]
    fn most_devices_must_agree_that_it_is_off() {
        let now = EARLIEST + 86_400;
        for (ahead, word) in [
            (&[0, 1, -59][..], None),
            (&[7200], None),
            (&[7200, 0, 0], None),
            (&[7200, -7200], None),
            (&[7200, 7190, 0], Some("2 devices of 3 are ahead of")),
            (&[-86_400, -86_400], Some("2 devices of 2 are behind")),
        ] {
            match (of_machine(now, ahead), word) {
                (MachineClock::Plausible, None) => {}
                (MachineClock::Doubtful { told, is_behind }, Some(word)) => {
                    assert!(told.contains(word), "{told}");
                    assert_eq!(is_behind, word.contains("ahead"), "{told}");
                }
                (found, _) => panic!("{ahead:?}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_device_is_off_by_more_than_a_minute() {
        let plausible = MachineClock::Plausible;
        assert_eq!(of_device(&plausible, 60), None);
        let told = |ahead| of_device(&plausible, ahead).unwrap();
        assert!(told(-61).contains("1 min 1 s behind"));
        assert!(told(7200).contains("2 h 0 min ahead of"));
        let wrong = of_machine(60, &[]);
        assert_eq!(of_device(&wrong, EARLIEST), None);
    }

    #[test]
    fn a_device_is_not_blamed_for_what_most_devices_say() {
        let behind = of_machine(EARLIEST, &[7200, 7190, -7200, 0]);
        assert_eq!(behind, MachineClock::Plausible, "two of four are not most");
        let behind = of_machine(EARLIEST, &[7200, 7190, 7195, -7200]);
        for (ahead, is_blamed) in [(7200, false), (-7200, true), (0, false)] {
            assert_eq!(of_device(&behind, ahead).is_some(), is_blamed, "{ahead}");
        }
    }
}
