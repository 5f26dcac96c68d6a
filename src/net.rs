//! The network below every protocol: listening, dialling, when to write, and TLS in both directions: which certificate
//! is trusted, and words for what fails.
//!
//! Of the protocols above it, it knows only how each begins (`protocol`), so that a door can name one that is not its
//! own. A listener has the name of its door only to tell telemetry.

mod dial;
mod files;
mod flush_rule;
mod guarded;
mod lingering;
mod listen;
mod listen_error;
mod pem;
mod places;
mod port_holder;
mod protocol;
mod tls_client;
mod tls_failure;
mod tls_server;
mod trust;
mod turn;
mod validity;
pub mod x509;

use tokio::io::{AsyncRead, AsyncWrite};

pub use dial::dial;
pub use files::{open_file_limit, share_files};
pub use flush_rule::FlushRule;
pub use guarded::Guarded;
pub use lingering::{LingerLimits, Lingering, linger};
pub use listen::{Accepted, Listener, Peer, accept, bind, try_bind};
pub use listen_error::ListenSetting;
pub use places::{HeldForAWhile, MOST_LEAVING, NoPlace, Place, Places};
pub use port_holder::{PortHolder, port_holder};
pub use protocol::Protocol;
pub use tls_client::{ClientTls, ClientTlsError, ClientTlsSettings};
pub use tls_failure::{handshake_failure, tls_failure, wants_client_certificate};
pub use tls_server::ServerTls;
pub use trust::{Authorities, CertificateRefusal, Handshakes, ServerWords, Trust, client_config};
pub use turn::{poll_turn, turn};
pub use validity::Validity;

/// A connection, with or without TLS.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}
