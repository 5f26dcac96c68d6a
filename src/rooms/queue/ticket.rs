//! One waiting command, and its relation to other waiting commands.

use tokio::time::Instant;

use crate::catalogue::{
    AnswerKind, Call, Command, Ended, Motion, Payload, Plan, TimeLimit, Urgency,
};
use crate::command::{Reply, Transfer};

/// The area of what dials and hangs up.
const CALL_AREA: &str = "call";

/// A command that waits.
#[derive(Debug)]
pub struct Ticket {
    /// The command to carry out.
    pub call: Call,
    /// Takes its one result.
    pub reply: Reply,
    /// When it expires.
    pub expires: Instant,
    /// The file that streams along with it.
    pub transfer: Transfer,
}

impl Ticket {
    fn command(&self) -> &'static Command {
        self.call.route.command()
    }

    /// It checks whether the room is ready.
    pub fn is_check(&self) -> bool {
        matches!(self.command().plan, Plan::Readiness)
    }

    /// It goes before the commands that are not urgent.
    pub fn is_urgent(&self) -> bool {
        self.command().urgency != Urgency::InTurn
    }

    /// Others need not wait for it: a long query that changes no state, such as a download.
    pub fn runs_alongside(&self) -> bool {
        self.command().time_limit == TimeLimit::Slow && self.command().refresh.is_empty()
    }

    /// A file that may be large goes to the device or comes from it. A picture that is kept as a state is small.
    pub fn is_file(&self) -> bool {
        let comes = matches!(self.command().answer, AnswerKind::File(file) if !file.is_state);
        comes || matches!(self.command().payload, Payload::Bytes { .. })
    }

    /// It may run so long that nothing may wait for it.
    pub fn takes_minutes(&self) -> bool {
        self.command().time_limit == TimeLimit::Minutes
    }

    /// It may take much longer than an ordinary request: a minute or several, or as long as a file streams.
    pub fn takes_long(&self) -> bool {
        self.command().time_limit != TimeLimit::Ordinary || !matches!(self.transfer, Transfer::None)
    }

    /// The part of the device it is about: the topic's first level. What dials is about calls, whatever its topic.
    pub fn area(&self) -> &'static str {
        if self.command().dials {
            return CALL_AREA;
        }
        let topic = self.call.route.topic.as_str();
        topic.split('/').next().unwrap_or(topic)
    }

    /// The newer command makes this one pointless: it sets the same state, or ends what this one
    /// would begin.
    pub fn superseded_by(&self, newer: &Self) -> bool {
        self.sets_same_state(newer) || self.is_ended_by(newer)
    }

    fn sets_same_state(&self, newer: &Self) -> bool {
        let sets = self.command().sets;
        // Two toggles are not one.
        let toggles = self.call.toggled().is_some() || newer.call.toggled().is_some();
        sets.is_some()
            && sets == newer.command().sets
            && self.call.params == newer.call.params
            && !toggles
    }

    fn is_ended_by(&self, newer: &Self) -> bool {
        let Urgency::Ends(ended) = newer.command().urgency else {
            return false;
        };
        let shares_target = match ended {
            Ended::Move => Motion::camera(&self.call) == Motion::camera(&newer.call),
            // A hang-up is about every call that waits to be dialled.
            Ended::Dial => true,
        };
        self.command().begins() == Some(ended) && shares_target
    }
}
