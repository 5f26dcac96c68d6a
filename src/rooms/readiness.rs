//! Room readiness: what is checked, what each check says, and when the daily check runs.
//!
//! Pure: gets states and the time, returns words and decisions. The executor sends the requests, the
//! room's task starts a run, ends it early, and publishes its report.
//!
//! ```text
//! report         the report: checks with a name, ok and a message
//! checks         what each check says of the states that were read
//! obstacle       why a room is not checked now: a call, a meeting
//! test_call      the test call, from the dial to the hang-up
//! interruption   what ends a run early
//! daily          when the daily run is due
//! local_time     the offset of this machine's local time
//! ```

mod checks;
mod daily;
mod interruption;
mod local_time;
mod obstacle;
mod report;
mod test_call;

pub use checks::{
    StateReading, calendar, cameras, login, microphones, moves, panels, registrations,
};
pub use daily::Daily;
pub use interruption::Interruption;
pub use local_time::local_offset;
pub use obstacle::obstacle;
pub use report::{Check, Report, failure_event};
pub use test_call::{CallStep, TestCall};
