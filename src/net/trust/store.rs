//! The authorities of this machine's certificate store.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::RootCertStore;

/// Reads them once for all servers. A store that is empty is read again.
///
/// # Errors
/// There are none; the message says what to do.
pub fn system_roots() -> Result<Arc<RootCertStore>, String> {
    static ROOTS: Mutex<Option<Arc<RootCertStore>>> = Mutex::new(None);
    let mut known = ROOTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(roots) = &*known {
        return Ok(roots.clone());
    }
    let read = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(read.certs);
    if roots.is_empty() {
        let cause = read.errors.first().map(|error| format!(" ({error})"));
        return Err(format!(
            "this machine has no certificate store{}: install its package ca-certificates",
            cause.unwrap_or_default()
        ));
    }
    let roots = Arc::new(roots);
    *known = Some(roots.clone());
    Ok(roots)
}
