//! The client of one device: HTTPS, its session, and what its responses mean.
//!
//! Carries out a [`Request`](crate::catalogue::Request) and returns its response. Owns connections,
//! log-in, session and certificate. Knows neither topics nor rooms.
//!
//! ```text
//! client          repeats a request where that is safe       transfer: files that stream
//! authenticator   logs in and out, one at a time             login_backoff, login_reply
//! admission       which devices come first at a start of thousands
//! identity        what does the device say it is?            session_holders: who holds its sessions
//! login_memory    what of log-ins outlives a room            session_writers: who may write it
//! probe           is a session valid? what does a 403 mean?     unauthenticated: a read without a log-in
//! endpoint        one request, one response; two at a time   sessions; session_store: session_file, session_memory
//! fence           may requests begin, where several gateways share the device?
//! throttle        does the device ask for fewer requests?
//! http            reqwest, with a limit on what is no answer tls: which certificate is trusted
//! problem         why the device cannot be used              settings, timings: how it is reached, and how fast
//! ```

mod admission;
mod authenticator;
mod client;
mod endpoint;
mod fence;
mod http;
mod identity;
mod login_backoff;
mod login_memory;
mod login_reply;
mod probe;
mod problem;
mod response;
mod session;
mod session_file;
mod session_holders;
mod session_memory;
mod session_store;
mod session_writers;
mod sessions;
mod settings;
#[cfg(test)]
mod test_device;
mod throttle;
mod timings;
mod tls;
mod transfer;
mod unauthenticated;

pub use admission::{LoginLimiter, StartLimiter};
pub use authenticator::LONGEST_LOG_OUT;
pub use client::{Device, RequestPriority};
pub use fence::{DeviceFence, Fence, FenceClosed};
pub use http::{HttpError, SessionHeaders};
pub use identity::DeviceIdentity;
#[cfg(test)]
pub(crate) use login_backoff::LONGEST_LOGIN_WAIT;
pub use login_memory::LoginMemory;
pub use login_reply::LoginReply;
pub use problem::{Problem, ProblemCode};
pub use response::{DeviceResponse, Oversize, RequestError};
pub use session::Session;
pub use session_file::SessionFile;
pub use session_memory::SessionMemory;
pub use session_store::{KeptSessions, SessionStore, SharedSessions};
pub use session_writers::SessionWriters;
pub use settings::{DeviceSettings, SharedLimits};
pub use throttle::RequestedPace;
pub use timings::DeviceTimings;
pub use transfer::{DownloadError, Downloaded, Fetched, LARGEST_UPLOAD};

/// How many requests a device gets at a time. Its REST interface is a small embedded server beside
/// the one for people: more at a time slow all of them down.
pub const MOST_REQUESTS_AT_ONCE: usize = 2;
