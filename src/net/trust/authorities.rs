//! The authorities whose signatures are trusted: those of a file, or of this machine's certificate store.
//!
//! They are in memory, so that no handshake waits for a disk. After a certificate was refused they are
//! read again: an authority that was added later counts at the next try.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use rustls::RootCertStore;

use crate::net::pem::{certificates, unusable};
use crate::os_error;

/// This machine's store is not read again within this: many rooms may use it, and each reading takes
/// some milliseconds.
const STORE_READ_INTERVAL: Duration = Duration::from_secs(5);

/// Where authorities are, and those that were there when they were last read.
#[derive(Debug)]
pub struct Authorities {
    /// None for this machine's store.
    file: Option<PathBuf>,
    last: Mutex<LastReading>,
}

#[derive(Debug)]
struct LastReading {
    roots: Result<Arc<RootCertStore>, String>,
    at: Instant,
}

impl Authorities {
    /// The authorities of a PEM file.
    ///
    /// # Errors
    /// The file cannot be used; the message names it.
    pub fn of_file(file: &Path) -> Result<Arc<Self>, String> {
        let roots = read_file(file)?;
        Ok(Arc::new(Self::new(Some(file.to_owned()), Ok(roots))))
    }

    /// The authorities of this machine's certificate store, which all servers share.
    pub fn of_this_machine() -> Arc<Self> {
        static STORE: LazyLock<Arc<Authorities>> =
            LazyLock::new(|| Arc::new(Authorities::new(None, read_store())));
        STORE.clone()
    }

    fn new(file: Option<PathBuf>, roots: Result<RootCertStore, String>) -> Self {
        Self {
            file,
            last: Mutex::new(LastReading {
                roots: roots.map(Arc::new),
                at: Instant::now(),
            }),
        }
    }

    /// Whether they are those of this machine's store.
    pub fn are_of_this_machine(&self) -> bool {
        self.file.is_none()
    }

    /// The authorities.
    ///
    /// # Errors
    /// There are none; the message says what to do.
    pub fn roots(&self) -> Result<Arc<RootCertStore>, String> {
        self.last().roots.clone()
    }

    /// Reads them again. What cannot be read any more stays in use.
    pub async fn read_again(self: Arc<Self>) {
        let is_recent = self.last().at.elapsed() < STORE_READ_INTERVAL;
        if self.are_of_this_machine() && is_recent {
            return;
        }
        let read = move || {
            let read = match &self.file {
                Some(file) => read_file(file),
                None => read_store(),
            };
            let mut last = self.last();
            last.at = Instant::now();
            if let Ok(roots) = read {
                last.roots = Ok(Arc::new(roots));
            }
        };
        // Only a panic could be lost here, and there is none.
        let _ = tokio::task::spawn_blocking(read).await;
    }

    fn last(&self) -> MutexGuard<'_, LastReading> {
        self.last.lock()
    }
}

fn read_file(file: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|_| {
            unusable(
                file,
                &"it holds something that is no certificate; copy it again",
            )
        })?;
    }
    if roots.is_empty() {
        Err(unusable(file, &"it holds no certificate"))
    } else {
        Ok(roots)
    }
}

fn read_store() -> Result<RootCertStore, String> {
    let read = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(read.certs);
    if roots.is_empty() {
        let cause = read
            .errors
            .first()
            .map(|error| format!(" ({})", os_error::cause_words(error)));
        return Err(format!(
            "this machine has no certificate store{}: install its package ca-certificates",
            cause.unwrap_or_default()
        ));
    }
    Ok(roots)
}
