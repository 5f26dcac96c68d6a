//! The network below every protocol: listening, dialling, TLS for clients.
//!
//! Knows nothing of what is spoken over a connection.

mod dial;
mod listen;
pub mod root_cause;
mod tls;

pub use dial::dial;
pub use listen::{Listener, Stream, accept, bind};
pub use tls::Tls;
