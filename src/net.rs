//! The network below every protocol: listening, dialling, and TLS in both directions.
//!
//! Knows none of the protocols above it.

mod dial;
mod files;
mod guarded;
mod lingering;
mod listen;
mod network;
mod pem;
mod places;
pub mod root_cause;
mod tls_client;
mod tls_server;
mod turn;

use tokio::io::{AsyncRead, AsyncWrite};

pub use dial::dial;
pub use files::{open_file_limit, share_files};
pub use lingering::{LingerLimits, Lingering, linger};
pub use listen::{Listener, Peer, accept, bind};
pub use network::Network;
pub use places::{HeldForAWhile, MOST_LEAVING, NoPlace, Place, Places};
pub use tls_client::{ClientTlsFiles, client_connector};
pub use tls_server::ServerTls;
pub use turn::{poll_turn, turn};

/// A connection, with or without TLS.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}
