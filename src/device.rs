//! The client of one device: HTTPS, its session, and what its answers mean.
//!
//! Owns the connection, the log-in and the cookie. Knows nothing of topics or rooms: it carries
//! out a [`Request`](crate::catalogue::Request) and says what came of it.

mod client;
mod connections;
mod http1;
mod login;
mod problem;
mod session_store;
mod sessions;
mod stream;
mod tls;

pub use client::{
    Device, DeviceResponse, DeviceSettings, DeviceTimings, LoginLimiter, Oversize, RequestError,
};
pub use login::{Session, read_login_reply};
pub use problem::{Problem, ProblemCode};
pub use session_store::SessionStore;
pub use stream::{DownloadError, Downloaded, LARGEST_UPLOAD};
