//! The answer of a member of etcd as far as it is HTTP, and words for one that does not come.
//!
//! Owns the bound on what a member may send. Does not look at what the answer says.

use bytes::Bytes;
use http::StatusCode;

use super::ETCD_WORDS;
use crate::cluster::registry::RegistryError;
use crate::net::{Handshakes, handshake_failure, tls_failure};
use crate::os_error::cause_words;

/// The largest answer that is read, in bytes. The largest that a gateway asks for are the sessions of 32 shards: of
/// 50,000 rooms they are some 2 MB in this form.
const LARGEST_ANSWER: usize = 16 << 20;

/// What Go's servers say to a client that does not begin with TLS.
const WANTS_TLS: &[u8] = b"HTTP request to an HTTPS server";

/// Reads an answer to its end.
///
/// # Errors
/// The connection broke, or the answer is too large. What was asked for may have happened.
pub async fn read_answer(
    endpoint: &str,
    mut response: reqwest::Response,
) -> Result<(StatusCode, Bytes), RegistryError> {
    let status = response.status();
    let too_large = || {
        RegistryError::InDoubt(format!(
            "etcd at {endpoint}: it sends more than {} MiB, which no answer of etcd has",
            LARGEST_ANSWER >> 20
        ))
    };
    let length = response.content_length().unwrap_or_default();
    if length > LARGEST_ANSWER as u64 {
        return Err(too_large());
    }
    let mut answer = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(part)) if answer.len() + part.len() > LARGEST_ANSWER => return Err(too_large()),
            Ok(Some(part)) => answer.extend_from_slice(&part),
            Ok(None) => break,
            Err(error) => {
                let why = cause_words(&error.without_url());
                return Err(RegistryError::InDoubt(format!("etcd at {endpoint}: {why}")));
            }
        }
    }
    if status == StatusCode::BAD_REQUEST && contains(&answer, WANTS_TLS) {
        return Err(wants_tls(endpoint));
    }
    Ok((status, answer.into()))
}

/// Why a request could not be sent, or had no answer. `is_new`: etcd has answered nothing so far.
pub async fn cannot_send(
    endpoint: &str,
    error: reqwest::Error,
    handshakes: &Handshakes,
    is_new: bool,
) -> RegistryError {
    let error = error.without_url();
    if !endpoint.starts_with("https://") {
        let why = cause_words(&error);
        return match (error.is_connect(), is_new) {
            (true, _) => unreachable(endpoint, &why),
            // An etcd with certificates closes a connection that does not begin with TLS.
            (false, true) => RegistryError::InDoubt(format!(
                "etcd at {endpoint}: {why}; if it has a certificate, give https:// in cluster.etcd"
            )),
            (false, false) => RegistryError::InDoubt(format!("etcd at {endpoint}: {why}")),
        };
    }
    let why = match tls_failure(&error, handshakes, &ETCD_WORDS) {
        // The handshake says more than the library.
        Some(words) => match handshakes.take_refusal().await {
            Some(refusal) => refusal.message,
            None => words,
        },
        None => handshake_failure(&error, handshakes, &ETCD_WORDS)
            // A pooled connection that ends is no handshake.
            .filter(|_| error.is_connect() || handshakes.wants_client_certificate())
            .unwrap_or_else(|| cause_words(&error)),
    };
    if error.is_connect() {
        unreachable(endpoint, &why)
    } else {
        RegistryError::InDoubt(format!("etcd at {endpoint}: {why}"))
    }
}

fn unreachable(endpoint: &str, why: &str) -> RegistryError {
    RegistryError::Unreachable(format!("etcd at {endpoint}: {why}"))
}

fn wants_tls(endpoint: &str) -> RegistryError {
    RegistryError::Refused(format!(
        "etcd at {endpoint}: it wants TLS; give https:// in cluster.etcd"
    ))
}

fn contains(text: &[u8], words: &[u8]) -> bool {
    text.windows(words.len()).any(|part| part == words)
}
