//! The requests that a room has under way at its device, and which may start now.
//!
//! Pure: the precedence of a room. Camera stops go first, then commands, then polls. The device
//! client alone keeps the limit of requests at a time; here the limit only says when a poll would
//! have to wait there, with the next command behind it.

use super::queue::{FreeLanes, Lane};
use crate::device::MOST_REQUESTS_AT_ONCE;

/// The requests that have started and not ended.
#[derive(Debug, Default)]
pub struct Underway {
    /// The area of the command that runs in order.
    in_order: Option<&'static str>,
    /// A command runs alongside it.
    alongside: bool,
    camera_stop: bool,
    poll: bool,
}

impl Underway {
    /// A command of this area starts.
    pub fn command_began(&mut self, lane: Lane, area: &'static str) {
        match lane {
            Lane::InOrder => self.in_order = Some(area),
            Lane::Alongside => self.alongside = true,
        }
    }

    /// The command on this lane has ended.
    pub fn command_ended(&mut self, lane: Lane) {
        match lane {
            Lane::InOrder => self.in_order = None,
            Lane::Alongside => self.alongside = false,
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
        FreeLanes {
            in_order: self.in_order.map_or(Ok(()), Err),
            alongside: !self.alongside,
        }
    }

    /// One camera stop runs at a time.
    pub fn may_stop_camera(&self) -> bool {
        !self.camera_stop
    }

    /// One poll runs at a time, and only if camera stops and commands leave a request for it.
    pub fn may_poll(&self) -> bool {
        let others = [self.in_order.is_some(), self.alongside, self.camera_stop];
        let others = others.into_iter().filter(|underway| *underway).count();
        !self.poll && others < MOST_REQUESTS_AT_ONCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_poll_runs_beside_one_command() {
        let mut underway = Underway::default();
        assert!(underway.may_poll());
        underway.command_began(Lane::InOrder, "audio");
        assert!(underway.may_poll());
        underway.set_poll(true);
        assert!(!underway.may_poll());
        underway.set_poll(false);
        assert!(underway.may_poll());
    }

    #[test]
    fn polls_wait_for_two_others() {
        let mut underway = Underway::default();
        underway.command_began(Lane::InOrder, "audio");
        underway.command_began(Lane::Alongside, "system");
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
    fn each_lane_takes_one_command() {
        let mut underway = Underway::default();
        underway.command_began(Lane::InOrder, "camera");
        let free = underway.free_lanes();
        assert_eq!((free.in_order, free.alongside), (Err("camera"), true));
        underway.command_began(Lane::Alongside, "system");
        assert!(!underway.free_lanes().alongside);
        underway.command_ended(Lane::InOrder);
        assert_eq!(underway.free_lanes().in_order, Ok(()));
    }
}
