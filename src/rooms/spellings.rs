//! Which spelling of a request the device has, where firmware spells the same thing in two ways.
//!
//! Pure. Only remembers what worked, so that a missing spelling is not asked for again and again. That
//! there are other spellings is in the catalogue; who sends them is the executor and the schedule.

use std::collections::BTreeMap;

use crate::catalogue::{CATALOGUE, Call, Operation, Variant};

/// The spellings that worked last.
#[derive(Debug, Clone, Default)]
pub struct Spellings {
    /// By the command's topic: the index of the spelling. The first one is not kept.
    commands: BTreeMap<&'static str, usize>,
    /// The path of the first spelling of a read, and that of the one that was answered last. A device has one or
    /// two of these, for which a map would take ten times as much memory.
    reads: Vec<(&'static str, &'static str)>,
}

impl Spellings {
    /// After a log-in the firmware may be another. Reads are found out by the polls, and what the
    /// device had before is not thrown away until they are.
    pub fn logged_in(&mut self) {
        self.commands.clear();
    }

    /// The spellings of a command with their indexes, in the order in which to try them.
    pub fn of_command(&self, call: &Call) -> Vec<(usize, &'static Variant)> {
        let mut spellings: Vec<_> = call.spellings().enumerate().collect();
        if let Some(known) = self.commands.get(call.route.topic.as_str()) {
            // The others keep their order.
            spellings.sort_by_key(|(index, _)| index != known);
        }
        spellings
    }

    /// The device has this spelling of a command.
    pub fn command_worked(&mut self, topic: &'static str, index: usize) {
        match index {
            0 => self.commands.remove(topic),
            _ => self.commands.insert(topic, index),
        };
    }

    /// The spellings of a read, in the order in which to try them.
    pub fn of_read(&self, operation: &'static Operation) -> Vec<&'static Operation> {
        let mut spellings = vec![operation];
        spellings.extend(CATALOGUE.fallback_of(operation));
        let known = self.newest_read(operation.path);
        spellings.sort_by_key(|spelling| known.is_some_and(|known| spelling.path != known));
        spellings
    }

    /// The path of the spelling that was answered last, by that of the first one.
    fn newest_read(&self, first: &str) -> Option<&'static str> {
        let mut reads = self.reads.iter();
        reads
            .find(|(known, _)| *known == first)
            .map(|(_, newest)| *newest)
    }

    /// The device answered this read.
    pub fn read_worked(&mut self, operation: &'static Operation) {
        if let Some(first) = first_spelling(operation) {
            self.reads.retain(|(known, _)| *known != first);
            self.reads.push((first, operation.path));
        }
    }

    /// The device lacks this read. True if nothing else reads its states, so that they are gone.
    pub fn read_is_missing(&mut self, operation: &'static Operation) -> bool {
        let Some(first) = first_spelling(operation) else {
            return true;
        };
        let newest = self.newest_read(first);
        let is_gone = match operation.fallback_for {
            // The other spelling is asked next and decides, unless the device had this one until now.
            None => newest == Some(first),
            Some(_) => newest != Some(first),
        };
        if is_gone {
            self.reads.retain(|(known, _)| *known != first);
        }
        is_gone
    }
}

/// The path of the first spelling of a read, if it has several.
fn first_spelling(operation: &'static Operation) -> Option<&'static str> {
    let has_another = CATALOGUE.fallback_of(operation).is_some();
    let own = has_another.then_some(operation.path);
    operation.fallback_for.or(own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{Params, operations};

    fn operation(path: &str) -> &'static Operation {
        let mut found = operations().filter(|operation| operation.path == path);
        found.next().unwrap()
    }

    fn call(topic: &str) -> Call {
        Call::of(CATALOGUE.pattern(topic).unwrap(), Params::new())
    }

    fn indexes(spellings: &Spellings, call: &Call) -> Vec<usize> {
        let spellings = spellings.of_command(call).into_iter();
        spellings.map(|(index, _)| index).collect()
    }

    #[test]
    fn the_spelling_of_a_command_that_worked_is_tried_first_until_the_next_log_in() {
        let mut spellings = Spellings::default();
        let reboot = call("system/reboot");
        assert_eq!(indexes(&spellings, &reboot), [0, 1]);
        spellings.command_worked("system/reboot", 1);
        assert_eq!(indexes(&spellings, &reboot), [1, 0]);
        assert_eq!(indexes(&spellings, &call("audio/dtmf/play")), [0, 1]);
        spellings.logged_in();
        assert_eq!(indexes(&spellings, &reboot), [0, 1]);
        assert_eq!(indexes(&spellings, &call("audio/mute")), [0]);
    }

    #[test]
    fn states_are_gone_only_when_no_spelling_reads_them() {
        let mut spellings = Spellings::default();
        let first = operation("/rest/devicemanagement/devices");
        let second = operation("/rest/current/devicemanagement/devices");
        let paths = |spellings: &Spellings| -> Vec<_> {
            let spellings = spellings.of_read(first).into_iter();
            spellings.map(|operation| operation.path).collect()
        };
        assert_eq!(paths(&spellings), [first.path, second.path]);
        // The second is asked before anything is cleared.
        assert!(!spellings.read_is_missing(first));
        assert!(spellings.read_is_missing(second));
        spellings.read_worked(second);
        assert_eq!(paths(&spellings), [second.path, first.path]);
        spellings.logged_in();
        assert!(!spellings.read_is_missing(first));
        assert!(spellings.read_is_missing(second));
        assert_eq!(paths(&spellings), [first.path, second.path]);
        spellings.read_worked(first);
        assert!(!spellings.read_is_missing(second));
        assert!(spellings.read_is_missing(first));
        // What has one spelling is simply gone.
        let audio = operation("/rest/audio");
        spellings.read_worked(audio);
        assert!(spellings.read_is_missing(audio));
    }
}
