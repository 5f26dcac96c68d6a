//! Readings that may not be what the device means.
//!
//! Pure. Something before the device, or a device that starts, may answer as if the device had lost all
//! that it has. Keeps such readings until the device is known to be understood, and says which of them
//! must be read again before they take a state away. Publishes nothing.

use super::reading::Reading;
use crate::catalogue::Evidence;

/// A state that the room has is taken away when the device has said so often, in a row, that it lacks it
/// or that it is null, each time with an answer of a Poly device after it. A device that starts has some
/// of its parts later than others.
const SAID_BEFORE_TAKEN_AWAY: u8 = 3;

/// The doubtful readings of one room since its log-in.
#[derive(Debug, Default)]
pub struct Doubtful {
    /// The newest of each operation.
    readings: Vec<Reading>,
    /// How often each operation, by its path, was said in a row to be missing or null.
    said: Vec<(&'static str, u8)>,
}

impl Doubtful {
    /// After a log-in, or when the device cannot be used.
    pub fn clear(&mut self) {
        self.readings.clear();
        self.said.clear();
    }

    /// Keeps a reading in place of an older one of the same operation.
    pub fn keep(&mut self, reading: Reading) {
        self.drop_older(&reading);
        self.readings.push(reading);
    }

    /// A reading is applied: older ones of the same operation mean nothing any more.
    pub fn applied(&mut self, reading: &Reading) {
        self.drop_older(reading);
        let path = reading.operation.path;
        self.said.retain(|(said, _)| *said != path);
    }

    fn drop_older(&mut self, newer: &Reading) {
        let path = newer.operation.path;
        self.readings.retain(|older| older.operation.path != path);
    }

    /// The device is understood: what it said until now.
    pub fn take(&mut self) -> Vec<Reading> {
        std::mem::take(&mut self.readings)
    }

    /// Whether a reading that was followed by an answer of a Poly device must be repeated before it counts.
    /// `has_states`: the room has states that it would take away.
    pub fn must_be_repeated(&mut self, reading: &Reading, has_states: bool) -> bool {
        if !has_states || reading.evidence != Evidence::NotPoly {
            return false;
        }
        let path = reading.operation.path;
        let times = match self.said.iter_mut().find(|(said, _)| *said == path) {
            Some((_, times)) => {
                *times += 1;
                *times
            }
            None => {
                self.said.push((path, 1));
                1
            }
        };
        times < SAID_BEFORE_TAKEN_AWAY
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rooms::reading::ReadOutcome;
    use crate::rooms::testing::operation_and_response;

    fn reading(status: u16) -> Reading {
        let body = r#"{"volume":5,"muted":false}"#;
        let (operation, response) = operation_and_response("/rest/audio", status, body);
        Reading::of(operation, &response)
    }

    #[test]
    fn a_state_is_taken_away_when_the_device_lacks_it_three_times_in_a_row() {
        let mut doubtful = Doubtful::default();
        let missing = reading(405);
        for _ in 0..2 {
            assert!(doubtful.must_be_repeated(&missing, true));
        }
        doubtful.applied(&reading(200));
        for _ in 0..2 {
            assert!(doubtful.must_be_repeated(&missing, true));
        }
        assert!(!doubtful.must_be_repeated(&missing, true));
        doubtful.clear();
        assert!(!doubtful.must_be_repeated(&missing, false));
        assert!(!doubtful.must_be_repeated(&reading(200), true));
    }

    #[test]
    fn the_newest_reading_of_an_operation_is_kept() {
        let mut doubtful = Doubtful::default();
        doubtful.keep(reading(404));
        doubtful.keep(reading(405));
        let kept = doubtful.take();
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].outcome, ReadOutcome::Unsupported(405));
        assert!(doubtful.take().is_empty());
    }
}
