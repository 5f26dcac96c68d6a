//! The bound on what a device may send beside the content of its answers.
//!
//! reqwest and rustls take some things without end: interim answers (`100 Continue`), zeros in front
//! of a chunk's size, TLS messages. Every byte that a device sends passes a decrypter of the TLS
//! connection, so that is where they are counted. Knows no HTTP: a response tells
//! [`SurplusMeter`] which of the bytes were content. docs/decisions/reqwest.md says why it is so.

use std::cell::Cell;
use std::error::Error as StdError;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};

use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, KeyBlockShape, MessageDecrypter,
    MessageEncrypter, Tls12AeadAlgorithm, Tls13AeadAlgorithm, UnsupportedOperationError,
};
use rustls::crypto::{CryptoProvider, ring};
use rustls::{
    CipherSuiteCommon, ConnectionTrafficSecrets, Error, KeyLog, OtherError, SupportedCipherSuite,
    Tls12CipherSuite, Tls13CipherSuite,
};

use super::fenced;
use crate::device::fence::DeviceFence;

/// How many bytes a device may send that are not the content of an answer, besides twice as many as
/// that content. The library reads up to 400 KB ahead of what is taken from it. A handshake with
/// certificates takes 5 KB, the head of a response 1 KB and at most 64 KiB.
pub const LARGEST_SURPLUS: u32 = 1 << 20;
/// As how many bytes of surplus each part of an answer counts, because handling a part takes longer
/// than its bytes. A device that sends lines of a log one by one stays below it, one that
/// sends each byte as a chunk does not.
const SURPLUS_OF_A_PART: usize = 64;
/// The header of a TLS record, in bytes.
const RECORD_HEADER: usize = 5;

/// A device sent more than [`LARGEST_SURPLUS`]: interim answers, TLS messages, empty chunks and the
/// like without end.
#[derive(Debug, thiserror::Error)]
#[error("it sends much that is no answer")]
struct SurplusError;

/// Whether an error says that a device sent more than [`LARGEST_SURPLUS`]. Looks into its causes.
pub fn is_surplus(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(Error::Other(OtherError(other))) = error.downcast_ref() {
            return other.is::<SurplusError>();
        }
        let io = error.downcast_ref::<std::io::Error>();
        cause = match io.and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}

/// Counts what the connections to one device received and what of that was content.
///
/// Whatever kind of filler a device invents, in TLS or in HTTP, is among the received bytes and not
/// among the content.
#[derive(Debug, Clone, Default)]
pub struct SurplusMeter(Arc<AtomicI64>);

impl SurplusMeter {
    fn received(&self, bytes: usize) -> Result<(), Error> {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let surplus = self.0.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if surplus > i64::from(LARGEST_SURPLUS) {
            return Err(OtherError(Arc::new(SurplusError)).into());
        }
        Ok(())
    }

    /// A part of an answer was content, of this many bytes, and twice as many may be something else.
    pub fn was_content(&self, bytes: usize) {
        let count = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
        let allowed = count(bytes.saturating_mul(3)) - count(SURPLUS_OF_A_PART);
        self.0.fetch_sub(allowed, Ordering::Relaxed);
    }

    /// An exchange begins. It is counted by itself.
    pub fn begin_exchange(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

thread_local! {
    /// The meter for the decrypter that is made next.
    static NEXT_METER: Cell<Option<SurplusMeter>> = const { Cell::new(None) };
}

/// Lets the connections of a client count on this meter, and ask this fence. rustls tells a connection's key log of
/// each key, and makes decrypter and encrypter for it in the same call. The key itself is not looked at.
#[derive(Debug)]
pub struct MeterOfConnections {
    /// What counts.
    pub meter: SurplusMeter,
    /// What is asked before anything is sent.
    pub fence: DeviceFence,
}

impl KeyLog for MeterOfConnections {
    fn log(&self, _label: &str, _client_random: &[u8], _secret: &[u8]) {
        NEXT_METER.set(Some(self.meter.clone()));
        fenced::keys_are_made(&self.fence);
    }
}

/// ring's cryptography with decrypters that count. For clients whose key log is a [`MeterOfConnections`].
pub static METERED_PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let mut provider = ring::default_provider();
    for suite in &mut provider.cipher_suites {
        *suite = metered(*suite);
    }
    provider.into()
});

/// rustls wants suites that live as long as the program. This runs once for each of the nine.
fn metered(suite: SupportedCipherSuite) -> SupportedCipherSuite {
    let common = |common: &CipherSuiteCommon| CipherSuiteCommon {
        suite: common.suite,
        hash_provider: common.hash_provider,
        confidentiality_limit: common.confidentiality_limit,
    };
    match suite {
        SupportedCipherSuite::Tls12(suite) => {
            SupportedCipherSuite::Tls12(Box::leak(Box::new(Tls12CipherSuite {
                common: common(&suite.common),
                prf_provider: suite.prf_provider,
                kx: suite.kx,
                sign: suite.sign,
                aead_alg: Box::leak(Box::new(Metered(suite.aead_alg))),
            })))
        }
        SupportedCipherSuite::Tls13(suite) => {
            SupportedCipherSuite::Tls13(Box::leak(Box::new(Tls13CipherSuite {
                common: common(&suite.common),
                hkdf_provider: suite.hkdf_provider,
                aead_alg: Box::leak(Box::new(Metered(suite.aead_alg))),
                quic: None,
            })))
        }
    }
}

/// A cipher whose decrypters count, and whose encrypters ask the fence.
struct Metered<A: ?Sized + 'static>(&'static A);

impl Tls13AeadAlgorithm for Metered<dyn Tls13AeadAlgorithm> {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        fenced::fenced(self.0.encrypter(key, iv))
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        MeteredDecrypter::boxed(self.0.decrypter(key, iv))
    }

    fn key_len(&self) -> usize {
        self.0.key_len()
    }

    fn extract_keys(
        &self,
        key: AeadKey,
        iv: Iv,
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        self.0.extract_keys(key, iv)
    }
}

impl Tls12AeadAlgorithm for Metered<dyn Tls12AeadAlgorithm> {
    fn encrypter(&self, key: AeadKey, iv: &[u8], extra: &[u8]) -> Box<dyn MessageEncrypter> {
        fenced::fenced(self.0.encrypter(key, iv, extra))
    }

    fn decrypter(&self, key: AeadKey, iv: &[u8]) -> Box<dyn MessageDecrypter> {
        MeteredDecrypter::boxed(self.0.decrypter(key, iv))
    }

    fn key_block_shape(&self) -> KeyBlockShape {
        self.0.key_block_shape()
    }

    fn extract_keys(
        &self,
        key: AeadKey,
        iv: &[u8],
        explicit: &[u8],
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        self.0.extract_keys(key, iv, explicit)
    }
}

/// Decrypts one direction of a connection, and counts its bytes.
struct MeteredDecrypter {
    decrypter: Box<dyn MessageDecrypter>,
    /// None if the device changes its key (TLS 1.3 KeyUpdate), which it could do without end, and of
    /// which no key log is told.
    meter: Option<SurplusMeter>,
}

impl MeteredDecrypter {
    fn boxed(decrypter: Box<dyn MessageDecrypter>) -> Box<dyn MessageDecrypter> {
        Box::new(Self {
            decrypter,
            meter: NEXT_METER.take(),
        })
    }
}

impl MessageDecrypter for MeteredDecrypter {
    fn decrypt<'a>(
        &mut self,
        message: InboundOpaqueMessage<'a>,
        sequence: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let Some(meter) = &self.meter else {
            return Err(Error::General("the device changed its key".into()));
        };
        meter.received(message.payload.len() + RECORD_HEADER)?;
        self.decrypter.decrypt(message, sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_may_send_its_content_and_twice_as_much_and_the_allowance() {
        let meter = SurplusMeter::default();
        let allowance = LARGEST_SURPLUS as usize;
        assert!(meter.received(allowance).is_ok());
        let error = meter.received(1).unwrap_err();
        assert!(is_surplus(&std::io::Error::other(error)));
        assert!(!is_surplus(&std::io::Error::other("reset")));
        meter.begin_exchange();
        // Content never uses the allowance up, however much it is.
        for _ in 0..1000 {
            meter.received(64 << 10).unwrap();
            meter.was_content(64 << 10);
        }
        meter.begin_exchange();
        assert!(meter.received(allowance + 1).is_err(), "no credit is kept");
    }

    #[test]
    fn lines_one_by_one_are_no_surplus_and_bytes_one_by_one_are() {
        /// How much a TLS record and a chunk take besides their content.
        const OVERHEAD: usize = 22 + 7;
        let parts = |size: usize| {
            let meter = SurplusMeter::default();
            let mut parts = 0_u32;
            while parts < 1_000_000 && meter.received(size + OVERHEAD).is_ok() {
                meter.was_content(size);
                parts += 1;
            }
            parts
        };
        assert_eq!(parts(50), 1_000_000);
        assert!((4_000..20_000).contains(&parts(1)), "{}", parts(1));
    }
}
