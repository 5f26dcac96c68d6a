//! The requests that a room has in flight at its device, and which may start now.
//!
//! Pure: the precedence of a room. Camera stops go first, then commands, then polls. The device
//! client alone keeps the limit of requests at a time; here the limit only says when a poll would
//! have to wait there, with the next command behind it.

use super::queue::{FreeLanes, Lane};
use crate::device::MOST_REQUESTS_AT_ONCE;

/// Stands for a read in flight, in a room that takes one request at a time.
const POLL: &str = "a read";
/// The area of camera stops.
const CAMERA_AREA: &str = "camera";

/// The requests that have started and not ended.
#[derive(Debug)]
pub struct RequestsInFlight {
    /// A read and a command are never in flight at the same time.
    one_at_a_time: bool,
    in_order: Option<Running>,
    alongside: Option<Running>,
    file: Option<Running>,
    minutes: Option<Running>,
    camera_stop: bool,
    poll: bool,
}

/// The command that runs on a lane.
#[derive(Debug, Clone, Copy)]
struct Running {
    area: &'static str,
    /// It did not wait for its turn, so it ends something.
    went_first: bool,
}

impl RequestsInFlight {
    /// Nothing has started. `one_at_a_time`: commands wait for the read that is in flight, and reads
    /// wait for all commands.
    pub fn new(one_at_a_time: bool) -> Self {
        Self {
            one_at_a_time,
            in_order: None,
            alongside: None,
            file: None,
            minutes: None,
            camera_stop: false,
            poll: false,
        }
    }

    /// From now on a read and a command are never in flight at the same time, or may be.
    pub fn set_one_at_a_time(&mut self, one_at_a_time: bool) {
        self.one_at_a_time = one_at_a_time;
    }

    fn on(&mut self, lane: Lane) -> &mut Option<Running> {
        match lane {
            Lane::InOrder => &mut self.in_order,
            Lane::Alongside => &mut self.alongside,
            Lane::Files => &mut self.file,
            Lane::Minutes => &mut self.minutes,
        }
    }

    /// A command of this area starts. `went_first`: it did not wait for its turn.
    pub fn command_began(&mut self, lane: Lane, area: &'static str, went_first: bool) {
        *self.on(lane) = Some(Running { area, went_first });
    }

    /// The command on this lane has ended.
    pub fn command_ended(&mut self, lane: Lane) {
        *self.on(lane) = None;
    }

    /// The stop of a camera starts.
    pub fn camera_stop_began(&mut self) {
        self.camera_stop = true;
    }

    /// The stop of a camera has ended.
    pub fn camera_stop_ended(&mut self) {
        self.camera_stop = false;
    }

    /// A poll starts.
    pub fn poll_began(&mut self) {
        self.poll = true;
    }

    /// The poll has ended.
    pub fn poll_ended(&mut self) {
        self.poll = false;
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
        let ending = self.alongside.filter(|command| command.went_first);
        FreeLanes {
            in_order: self.in_order.map_or(Ok(()), |command| Err(command.area)),
            alongside: self.alongside.is_none(),
            files: self.file.is_none(),
            minutes: self.minutes.is_none(),
            ending: [
                ending.map(|command| command.area),
                self.camera_stop.then_some(CAMERA_AREA),
            ],
        }
    }

    /// Whether a file is in flight.
    pub fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// Whether a command or the stop of a camera is in flight: more than a read.
    pub fn has_commands(&self) -> bool {
        let commands = [
            self.in_order.is_some(),
            self.alongside.is_some(),
            self.file.is_some(),
            self.minutes.is_some(),
            self.camera_stop,
        ];
        commands.contains(&true)
    }

    /// Whether a command runs that takes minutes.
    pub fn has_minutes(&self) -> bool {
        self.minutes.is_some()
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
            self.alongside.is_some(),
            self.file.is_some(),
            self.camera_stop,
        ];
        let others = others.into_iter().filter(|is_busy| *is_busy).count();
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
        let mut requests = RequestsInFlight::new(false);
        assert!(requests.may_poll());
        requests.command_began(Lane::InOrder, "audio", false);
        assert!(requests.may_poll());
        requests.poll_began();
        assert!(!requests.may_poll());
        requests.poll_ended();
        assert!(requests.may_poll());
    }

    #[test]
    fn polls_wait_for_two_others() {
        let mut requests = RequestsInFlight::new(false);
        requests.command_began(Lane::InOrder, "audio", false);
        requests.command_began(Lane::Alongside, "system", false);
        assert!(!requests.may_poll());
        requests.command_ended(Lane::InOrder);
        assert!(requests.may_poll());
        requests.camera_stop_began();
        assert!(!requests.may_poll());
        assert!(!requests.may_stop_camera());
        requests.command_ended(Lane::Alongside);
        assert!(requests.may_poll());
    }

    #[test]
    fn at_one_request_at_a_time_reads_and_commands_wait_for_each_other() {
        let mut requests = RequestsInFlight::new(true);
        requests.poll_began();
        let free = requests.free_lanes();
        assert!(free.in_order.is_err() && !free.alongside);
        // A camera that moves does not wait.
        assert!(requests.may_stop_camera());
        requests.poll_ended();
        assert!(requests.free_lanes().in_order.is_ok());
        for lane in [Lane::InOrder, Lane::Alongside] {
            requests.command_began(lane, "audio", false);
            assert!(!requests.may_poll());
            requests.command_ended(lane);
            assert!(requests.may_poll());
        }
        requests.camera_stop_began();
        assert!(!requests.may_poll());
    }

    #[test]
    fn polls_and_other_commands_do_not_wait_for_one_that_takes_minutes() {
        let mut requests = RequestsInFlight::new(false);
        requests.command_began(Lane::Minutes, "system", false);
        requests.command_began(Lane::InOrder, "audio", false);
        assert!(requests.may_poll());
        assert!(requests.free_lanes().alongside && !requests.free_lanes().minutes);
        requests.command_ended(Lane::Minutes);
        assert!(requests.free_lanes().minutes);
    }

    #[test]
    fn each_lane_takes_one_command() {
        let mut requests = RequestsInFlight::new(false);
        requests.command_began(Lane::InOrder, "camera", false);
        let free = requests.free_lanes();
        assert_eq!((free.in_order, free.alongside), (Err("camera"), true));
        requests.command_began(Lane::Alongside, "system", false);
        assert!(!requests.free_lanes().alongside);
        requests.command_ended(Lane::InOrder);
        assert_eq!(requests.free_lanes().in_order, Ok(()));
    }

    #[test]
    fn what_is_being_ended_is_told_by_its_area() {
        let mut requests = RequestsInFlight::new(false);
        let ending = |requests: &RequestsInFlight| requests.free_lanes().ending;
        // A download ends nothing.
        requests.command_began(Lane::Alongside, "system", false);
        assert_eq!(ending(&requests), [None; 2]);
        requests.command_ended(Lane::Alongside);
        requests.command_began(Lane::Alongside, "call", true);
        requests.camera_stop_began();
        assert_eq!(ending(&requests), [Some("call"), Some("camera")]);
        requests.command_ended(Lane::Alongside);
        requests.camera_stop_ended();
        assert_eq!(ending(&requests), [None; 2]);
    }
}
