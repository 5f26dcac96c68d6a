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

pub use client::{Answer, Device, Failed, LoginLimiter, Oversize, Settings, Timings};
pub use login::{Session, read_login};
pub use problem::{Problem, ProblemCode};
pub use session_store::SessionStore;
pub use stream::{Downloaded, LARGEST_UPLOAD, NotDownloaded};
pub use tls::fingerprint_text;
