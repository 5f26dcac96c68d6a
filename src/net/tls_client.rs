//! TLS towards a server: which certificates are trusted, and the client's own certificate.
//!
//! Reads the files once. Does not connect: [`super::dial()`] does.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::pem::{certificates, private_key, unusable};

/// The files a client uses.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClientTlsFiles<'a> {
    /// The authorities that are trusted; without it, those of the operating system.
    pub authorities: Option<&'a Path>,
    /// The client's certificate and its key, where the server asks for one.
    pub identity: Option<(&'a Path, &'a Path)>,
}

/// Makes a connector that verifies the server's certificate and name.
///
/// # Errors
/// A file cannot be used; the message names it and holds nothing of its content.
pub fn client_connector(files: ClientTlsFiles<'_>) -> Result<TlsConnector, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match files.authorities {
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots
                    .add(certificate)
                    .map_err(|error| unusable(path, &error))?;
            }
            builder.with_root_certificates(roots)
        }
        None => {
            let verifier = rustls_platform_verifier::Verifier::new(provider)
                .map_err(|error| format!("the system's certificates cannot be used: {error}"))?;
            let verifier: Arc<dyn ServerCertVerifier> = Arc::new(verifier);
            // The library's word for a verifier of one's own; this one is the operating system's.
            builder
                .dangerous()
                .with_custom_certificate_verifier(verifier)
        }
    };
    let config = match files.identity {
        Some((certificate, key)) => builder
            .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
            .map_err(|error| unusable(certificate, &error))?,
        None => builder.with_no_client_auth(),
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_used_is_named() {
        let missing = Path::new("/nowhere/ca.pem");
        let message = |files| client_connector(files).err().unwrap();
        let authorities = ClientTlsFiles {
            authorities: Some(missing),
            identity: None,
        };
        assert!(message(authorities).starts_with("/nowhere/ca.pem cannot be used: "));
        let identity = ClientTlsFiles {
            authorities: None,
            identity: Some((missing, missing)),
        };
        assert!(message(identity).starts_with("/nowhere/ca.pem cannot be used: "));
        assert!(client_connector(ClientTlsFiles::default()).is_ok());
    }
}
