//! The network below every protocol: listening, dialling, when to write, and TLS in both directions: which certificate
//! is trusted, and words for what fails.
//!
//! Of the protocols above it, it knows only how each begins (`protocol`), so that a door can name one that is not its
//! own. A listener has the name of its door only to tell telemetry.
//!
//! ```text
//! listen        accepting connections; listen_error: why an address cannot be had; port_holder: which program has it
//! places        who gives way when there are too many connections; files: the limit of open files
//! dial          connecting to a host, whichever of its addresses answers
//! guarded       a client's socket: its place, and an end for one that reads nothing; lingering: an end it can see
//! flush_rule    when to write; turn: fairness between peers
//! tls_server    TLS towards clients; validity: how long the certificate shown is valid
//! tls_client    TLS towards servers; trust: whether a certificate is trusted, and why not
//! http_client   what all HTTP clients of the gateway have in common
//! tls_failure   words for TLS that fails otherwise; pem: files of certificates; x509: what one says of itself
//! ```

mod dial;
mod files;
mod flush_rule;
mod guarded;
mod http_client;
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
pub use http_client::http_client;
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
