//! What the device has said that it lacks, so that the next command for it costs no request.
//!
//! Pure: gets the time. Owns which refusals say that: a 404 may be about the moment, or about what the
//! command names. Everything is forgotten at the next log-in, since the firmware may be another then.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use crate::catalogue::{Command, Method, Operation, Request};

/// How many refusals are remembered. A device lacks some ten of the paths without parameters; ids in
/// paths come from clients, who must not fill the memory.
const MOST_REMEMBERED: usize = 64;
/// A 404 is asked for again after this time. A device in trouble may answer so for a moment, and the next
/// log-in may be days away; one request in ten minutes costs nothing.
const NOT_FOUND_REMEMBERED: Duration = Duration::from_secs(600);

/// The method and path of a request, which is what a device has or lacks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Target {
    method: Method,
    path: Vec<Cow<'static, str>>,
}

impl Target {
    pub(super) fn of(request: &Request) -> Self {
        Self {
            method: request.method,
            path: request.path.clone(),
        }
    }
}

/// What the device lacks, as far as its answers to commands and queries say.
#[derive(Debug, Clone, Default)]
pub struct Missing {
    /// The status and the time of each refusal.
    refused: HashMap<Target, (u16, Instant)>,
    /// The paths of reads that were missing when they were sent last.
    reads: BTreeSet<&'static str>,
}

impl Missing {
    /// After a log-in the firmware may be another.
    pub fn logged_in(&mut self) {
        *self = Self::default();
    }

    /// The status with which the device said that it lacks this.
    pub fn status_of(&self, request: &Request, now: Instant) -> Option<u16> {
        if self.refused.is_empty() {
            return None;
        }
        let (status, since) = *self.refused.get(&Target::of(request))?;
        let is_over = status == 404 && now >= since + NOT_FOUND_REMEMBERED;
        (!is_over).then_some(status)
    }

    /// The device has refused a request. `command`: what it carries out; `None` for a read of states.
    /// True if it says that the device lacks it.
    pub fn note(
        &mut self,
        request: &Request,
        operation: &Operation,
        command: Option<&Command>,
        status: u16,
        now: Instant,
    ) -> bool {
        let lacks = lacks_for_good(operation, command, status);
        if lacks {
            self.insert(Target::of(request), (status, now));
        }
        lacks
    }

    fn insert(&mut self, target: Target, refusal: (u16, Instant)) {
        if self.refused.len() < MOST_REMEMBERED || self.refused.contains_key(&target) {
            self.refused.insert(target, refusal);
        }
    }

    /// Takes over what a command has found out.
    pub fn add(&mut self, found: Self) {
        for (target, refusal) in found.refused {
            self.insert(target, refusal);
        }
    }

    /// The device lacks this read now.
    pub fn read_is_missing(&mut self, operation: &Operation) {
        self.reads.insert(operation.path);
    }

    /// The device answers this read. If it lacked it before, it was only starting, and 404 meant
    /// nothing.
    pub fn read_is_there(&mut self, operation: &Operation) {
        if self.reads.remove(operation.path) {
            self.refused.retain(|_, (status, _)| *status != 404);
        }
    }
}

/// Whether a status says that the device lacks the operation, whatever the moment and whatever the
/// command names.
fn lacks_for_good(operation: &Operation, command: Option<&Command>, status: u16) -> bool {
    match status {
        405 | 501 => true,
        404 => {
            let names_something = operation.path.contains('{')
                || command.is_some_and(|command| {
                    !command.carry.is_empty() || command.payload.names_something()
                });
            !names_something && !operation.absent && !operation.comes_and_goes
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::catalogue::{Call, Params, operations};

    /// Whether a command is remembered as missing after this status.
    fn remembered(topic: &str, payload: &'static str, status: u16) -> bool {
        let call = Call::parse(topic, &Bytes::from(payload), &mut None).unwrap();
        let variant = call.variant();
        let request = call.request(0).unwrap();
        let mut missing = Missing::default();
        let (operation, command, now) = (variant.operation, &variant.command, Instant::now());
        let noted = missing.note(&request, operation, Some(command), status, now);
        assert_eq!(missing.status_of(&request, now), noted.then_some(status));
        noted
    }

    #[test]
    fn only_what_cannot_be_about_the_moment_is_remembered() {
        for (topic, payload, by_404) in [
            ("audio/start", "", true),
            ("audio/volume/set", "5", true),
            ("system/time/get", "", true),
            // There is a far end only in a call, and a collaboration only at times.
            ("camera/far/selected_people/stop", "", false),
            ("camera/near/selected_people/stop", "", false),
            ("camera/near/selected_content/stop", "", false),
            ("camera/near/people/get", "", false),
            ("collaboration/end", "", false),
            ("collaboration/content/saving/set", "on", false),
            ("collaboration/content/all/get", "", false),
            // It is about what the command names.
            ("camera/near/9/activate", "", false),
            ("camera/preset/3/activate", "", false),
            ("call/connection/7/answer", "", false),
            ("call/dial", "alice@example.com", false),
            ("system/network/ping", "192.0.2.1", false),
            ("camera/snapshot/near/get", "", false),
        ] {
            assert_eq!(remembered(topic, payload, 404), by_404, "{topic}");
            assert!(remembered(topic, payload, 405), "{topic}");
            assert!(remembered(topic, payload, 501), "{topic}");
            for other in [400, 403, 413, 500, 503] {
                assert!(!remembered(topic, payload, other), "{topic} {other}");
            }
        }
    }

    #[test]
    fn another_id_is_another_path() {
        let request = |topic: &str| {
            let call = Call::parse(topic, &Bytes::new(), &mut None).unwrap();
            call.request(0).unwrap()
        };
        let first = request("camera/near/1/activate");
        let call = Call::parse("camera/near/1/activate", &Bytes::new(), &mut None).unwrap();
        let mut missing = Missing::default();
        let now = Instant::now();
        missing.note(&first, call.variant().operation, None, 405, now);
        let status = |missing: &Missing, request: &Request| missing.status_of(request, now);
        assert_eq!(status(&missing, &first), Some(405));
        for other in ["camera/near/2/activate", "camera/near/1/get"] {
            assert_eq!(status(&missing, &request(other)), None, "{other}");
        }
        missing.logged_in();
        assert_eq!(status(&missing, &first), None);
    }

    #[test]
    fn a_404_of_a_device_that_was_starting_or_in_trouble_is_forgotten() {
        let audio = operations().find(|it| it.path == "/rest/audio").unwrap();
        let request = Request::read(audio, &Params::new(), &[]).unwrap();
        let now = Instant::now();
        let mut missing = Missing::default();
        missing.note(&request, audio, None, 404, now);
        let later = now + NOT_FOUND_REMEMBERED;
        assert_eq!(missing.status_of(&request, later), None);
        // An answer to what was there all the time says nothing.
        missing.read_is_there(audio);
        assert_eq!(missing.status_of(&request, now), Some(404));
        missing.read_is_missing(audio);
        missing.read_is_there(audio);
        assert_eq!(missing.status_of(&request, now), None);
        missing.note(&request, audio, None, 405, now);
        missing.read_is_missing(audio);
        missing.read_is_there(audio);
        assert_eq!(missing.status_of(&request, later), Some(405));
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut missing = Missing::default();
        for id in 0..10 * MOST_REMEMBERED {
            let topic = format!("camera/near/{id}/activate");
            let call = Call::parse(&topic, &Bytes::new(), &mut None).unwrap();
            let request = call.request(0).unwrap();
            missing.note(
                &request,
                call.variant().operation,
                None,
                405,
                Instant::now(),
            );
        }
        assert_eq!(missing.refused.len(), MOST_REMEMBERED);
    }

    /// Where a read of the same path may answer that there is none, so may a command.
    #[test]
    fn a_command_to_what_may_be_absent_comes_and_goes() {
        for read in operations().filter(|operation| operation.absent) {
            let same = operations().filter(|other| other.path == read.path && !other.absent);
            for other in same.filter(|other| !other.path.contains('{')) {
                assert!(other.comes_and_goes, "{:?} {}", other.method, other.path);
            }
        }
    }
}
