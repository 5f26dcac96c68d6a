//! The requests that a room has under way at its device, and which may start now.
//!
//! Pure: the precedence of a room. Camera stops go first, then commands, then polls. The device
//! client alone keeps the limit of requests at a time; here the limit only says when a poll would
//! have to wait there, with the next command behind it.

use super::queue::{FreeLanes, Lane};
use crate::device::MOST_REQUESTS_AT_ONCE;

/// Stands for a read under way, in a room that takes one request at a time.
const POLL: &str = "a read";
/// The area of camera stops.
const CAMERA_AREA: &str = "camera";

/// The requests that have started and not ended.
#[derive(Debug)]
pub struct Underway {
    /// A read and a command are never under way at the same time.
    one_at_a_time: bool,
    /// The area of the command that runs in order.
    in_order: Option<&'static str>,
    /// A command runs alongside it.
    alongside: bool,
    /// The area of that command, if it went first.
    ending: Option<&'static str>,
    /// A file is under way.
    file: bool,
    /// A command runs that takes minutes.
    minutes: bool,
    camera_stop: bool,
    poll: bool,
}

impl Underway {
    /// Nothing has started. `one_at_a_time`: commands wait for the read that is under way, and reads
    /// wait for all commands.
    pub fn new(one_at_a_time: bool) -> Self {
        Self {
            one_at_a_time,
            in_order: None,
            alongside: false,
            ending: None,
            file: false,
            minutes: false,
            camera_stop: false,
            poll: false,
        }
    }

    /// A command of this area starts. `went_first`: it did not wait for its turn.
    pub fn command_began(&mut self, lane: Lane, area: &'static str, went_first: bool) {
        match lane {
            Lane::InOrder => self.in_order = Some(area),
            Lane::Alongside => {
                self.alongside = true;
                self.ending = went_first.then_some(area);
            }
            Lane::Files => self.file = true,
            Lane::Minutes => self.minutes = true,
        }
    }

    /// The command on this lane has ended.
    pub fn command_ended(&mut self, lane: Lane) {
        match lane {
            Lane::InOrder => self.in_order = None,
            Lane::Alongside => {
                self.alongside = false;
                self.ending = None;
            }
            Lane::Files => self.file = false,
            Lane::Minutes => self.minutes = false,
        }
    }

    /// A camera stop starts or has ended.
    pub fn set_camera_stop(&mut self, underway: bool) {
        self.camera_stop = underway;
    }

    /// A poll starts or has ended.
    pub fn set_poll(&mut self, underway: bool) {
        self.poll = underway;
    }

    /// On which lanes a command may start.
    pub fn free_lanes(&self) -> FreeLanes {
        if self.one_at_a_time && self.poll {
            return FreeLanes {
                in_order: Err(POLL),
                alongside: false,
                files: false,
                minutes: false,
                ending: [None; 2],
            };
        }
        FreeLanes {
            in_order: self.in_order.map_or(Ok(()), Err),
            alongside: !self.alongside,
            files: !self.file,
            minutes: !self.minutes,
            ending: [self.ending, self.camera_stop.then_some(CAMERA_AREA)],
        }
    }

    /// Whether a file is under way.
    pub fn has_file(&self) -> bool {
        self.file
    }

    /// Whether a command or the stop of a camera is under way: more than a read.
    pub fn has_commands(&self) -> bool {
        let commands = [
            self.in_order.is_some(),
            self.alongside,
            self.file,
            self.minutes,
            self.camera_stop,
        ];
        commands.contains(&true)
    }

    /// Whether a command runs that takes minutes.
    pub fn has_minutes(&self) -> bool {
        self.minutes
    }

    /// One camera stop runs at a time.
    pub fn may_stop_camera(&self) -> bool {
        !self.camera_stop
    }

    /// One poll runs at a time, and only if camera stops and commands leave a request for it. A command that
    /// takes minutes does not count: most of the time it sends nothing.
    pub fn may_poll(&self) -> bool {
        let others = [
            self.in_order.is_some(),
            self.alongside,
            self.file,
            self.camera_stop,
        ];
        let others = others.into_iter().filter(|underway| *underway).count();
        let most = if self.one_at_a_time {
            1
        } else {
            MOST_REQUESTS_AT_ONCE
        };
        !self.poll && others < most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_poll_runs_beside_one_command() {
        let mut underway = Underway::new(false);
        assert!(underway.may_poll());
        underway.command_began(Lane::InOrder, "audio", false);
        assert!(underway.may_poll());
        underway.set_poll(true);
        assert!(!underway.may_poll());
        underway.set_poll(false);
        assert!(underway.may_poll());
    }

    #[test]
    fn polls_wait_for_two_others() {
        let mut underway = Underway::new(false);
        underway.command_began(Lane::InOrder, "audio", false);
        underway.command_began(Lane::Alongside, "system", false);
        assert!(!underway.may_poll());
        underway.command_ended(Lane::InOrder);
        assert!(underway.may_poll());
        underway.set_camera_stop(true);
        assert!(!underway.may_poll());
        assert!(!underway.may_stop_camera());
        underway.command_ended(Lane::Alongside);
        assert!(underway.may_poll());
    }

    #[test]
    fn at_one_request_at_a_time_reads_and_commands_wait_for_each_other() {
        let mut underway = Underway::new(true);
        underway.set_poll(true);
        let free = underway.free_lanes();
        assert!(free.in_order.is_err() && !free.alongside);
        // A camera that moves does not wait.
        assert!(underway.may_stop_camera());
        underway.set_poll(false);
        assert!(underway.free_lanes().in_order.is_ok());
        for lane in [Lane::InOrder, Lane::Alongside] {
            underway.command_began(lane, "audio", false);
            assert!(!underway.may_poll());
            underway.command_ended(lane);
            assert!(underway.may_poll());
        }
        underway.set_camera_stop(true);
        assert!(!underway.may_poll());
    }

    #[test]
    fn polls_and_other_commands_do_not_wait_for_one_that_takes_minutes() {
        let mut underway = Underway::new(false);
        underway.command_began(Lane::Minutes, "system", false);
        underway.command_began(Lane::InOrder, "audio", false);
        assert!(underway.may_poll());
        assert!(underway.free_lanes().alongside && !underway.free_lanes().minutes);
        underway.command_ended(Lane::Minutes);
        assert!(underway.free_lanes().minutes);
    }

    #[test]
    fn each_lane_takes_one_command() {
        let mut underway = Underway::new(false);
        underway.command_began(Lane::InOrder, "camera", false);
        let free = underway.free_lanes();
        assert_eq!((free.in_order, free.alongside), (Err("camera"), true));
        underway.command_began(Lane::Alongside, "system", false);
        assert!(!underway.free_lanes().alongside);
        underway.command_ended(Lane::InOrder);
        assert_eq!(underway.free_lanes().in_order, Ok(()));
    }

    #[test]
    fn what_is_being_ended_is_told_by_its_area() {
        let mut underway = Underway::new(false);
        let ending = |underway: &Underway| underway.free_lanes().ending;
        // A download ends nothing.
        underway.command_began(Lane::Alongside, "system", false);
        assert_eq!(ending(&underway), [None; 2]);
        underway.command_ended(Lane::Alongside);
        underway.command_began(Lane::Alongside, "call", true);
        underway.set_camera_stop(true);
        assert_eq!(ending(&underway), [Some("call"), Some("camera")]);
        underway.command_ended(Lane::Alongside);
        underway.set_camera_stop(false);
        assert_eq!(ending(&underway), [None; 2]);
    }
}
