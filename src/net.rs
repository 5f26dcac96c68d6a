//! The network below every protocol: listening, dialling, and TLS in both directions.
//!
//! Knows none of the protocols above it.

mod dial;
mod files;
mod listen;
mod pem;
pub mod root_cause;
mod tls_client;
mod tls_server;

use tokio::io::{AsyncRead, AsyncWrite};

pub use dial::dial;
pub use files::{open_file_limit, share_files};
pub use listen::{Listener, accept, bind};
pub use tls_client::{ClientTlsFiles, client_connector};
pub use tls_server::ServerTls;

/// A connection, with or without TLS.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}
