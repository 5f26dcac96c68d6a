//! Which devices a gateway logs in to and asks first, when it starts with thousands of them.
//!
//! A queue for each kind of work, so that commands get their part of the processor meanwhile
//! (`docs/decisions/many-rooms-at-once.md`). Sends nothing.
//!
//! ```text
//! is a stored session still valid? ─► StartLimiter ── 8 at a time, 5 ms each ────────────────► read the states
//!                              │ no
//!                              └───► StartLimiter (connect, 50 ms) ─► LoginLimiter ── 20 at a time, 250 ms each
//! ```
//!
//! Both are a `PrioritySemaphore`: a device whose `LoginPriority` is raised, since a command waits for it, passes the
//! queue. Both give a `TimedPermit`, which a slow device loses. `QueueTime` measures how long a device has waited in
//! these queues: it is no part of the time in which the device must answer.

mod login_limiter;
mod login_priority;
mod priority_semaphore;
mod queue_time;
mod start_limiter;
mod timed_permit;

pub use login_limiter::LoginLimiter;
pub use start_limiter::StartLimiter;

pub(super) use login_limiter::LONGEST_LOGIN_PERMIT;
pub(super) use login_priority::LoginPriority;
pub(super) use queue_time::QueueTime;
pub(super) use start_limiter::{LONGEST_CONNECT_PERMIT, LONGEST_START_PERMIT};
pub(super) use timed_permit::TimedPermit;
