//! A client's connection from its first byte, paid for by its address: the TLS handshake, if there is one, by the
//! processor time that it takes, and what is read by its bytes.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use super::payers::{PaidReads, Payer, ReadsPayer, paid};
use crate::net::{Accepted, ServerTls, Stream};

/// Does the handshake, if there is one; `None` if it fails, which the client sees itself. A signature may take
/// milliseconds and costs a client nothing, so a stranger's is made when it is its turn. `stranger` pays
/// until somebody else is known to.
pub async fn paid_stream(
    accepted: Accepted,
    stranger: Arc<Payer>,
) -> Option<(Box<dyn Stream>, ReadsPayer)> {
    let Accepted {
        socket,
        tls,
        handshake_timeout,
    } = accepted;
    let Some(tls) = tls else {
        let reads = ReadsPayer::new(stranger);
        return Some((Box::new(PaidReads::new(socket, reads.clone())), reads));
    };
    let (stream, reads) = over_tls(socket, &tls, handshake_timeout, stranger).await?;
    Some((Box::new(stream), reads))
}

async fn over_tls<S: Stream>(
    network: S,
    tls: &ServerTls,
    handshake_timeout: Duration,
    stranger: Arc<Payer>,
) -> Option<(PaidReads<TlsStream<PaidReads<S>>>, ReadsPayer)> {
    let reads = ReadsPayer::of_handshake();
    // Below TLS: small records cost far more than the bytes in them.
    let network = PaidReads::new(network, reads.clone());
    let handshake = paid(tls.accept(network), &stranger);
    let stream = timeout(handshake_timeout, handshake).await.ok()?.ok()?;
    reads.begins(stranger);
    Some((PaidReads::paid_below(stream, reads.clone()), reads))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use rustls::pki_types::ServerName;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio_rustls::TlsConnector;

    use super::*;
    use crate::config::TlsFiles;
    use crate::doors::payers::{PayerId, Payers};
    use crate::network::Network;

    const LIMIT: Duration = Duration::from_secs(10);
    const OWN_TIME: Duration = Duration::from_millis(100);

    fn address(n: u8) -> PayerId {
        PayerId::Address(Network::of(Ipv4Addr::new(192, 0, 2, n).into()))
    }

    /// A certificate, and a client that believes it.
    fn certificate() -> (ServerTls, TlsConnector) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let files = TlsFiles {
            certificate: dir.path().join("certificate.pem"),
            key: dir.path().join("key.pem"),
        };
        std::fs::write(&files.certificate, made.cert.pem()).unwrap();
        std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        (ServerTls::new(&files).unwrap(), Arc::new(config).into())
    }

    async fn connect(
        connector: &TlsConnector,
        network: DuplexStream,
    ) -> tokio_rustls::client::TlsStream<DuplexStream> {
        let name = ServerName::try_from("localhost").unwrap();
        connector.connect(name, network).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn records_of_one_byte_are_paid_for_as_they_come_from_the_network() {
        const RECORDS: usize = 20_000;
        let (tls, connector) = certificate();
        let payers = Payers::new(OWN_TIME);
        let (here, there) = duplex(64 << 10);
        let (stranger, token) = (
            payers.strangers().of(address(1)),
            payers.of(PayerId::Token(1)),
        );
        let (served, mut client) = tokio::join!(
            over_tls(here, &tls, LIMIT, stranger),
            connect(&connector, there)
        );
        let (mut stream, reads) = served.unwrap();
        reads.becomes(token.clone());
        let sending = async {
            for _ in 0..RECORDS {
                client.write_all(b"x").await.unwrap();
                client.flush().await.unwrap();
            }
        };
        let mut bytes = vec![0; RECORDS];
        let (_, read) = tokio::join!(sending, stream.read_exact(&mut bytes));
        read.unwrap();
        // No time has passed. 22 bytes and more come around each: 23 ms.
        assert!(token.has_time());
        token.charge(OWN_TIME - Duration::from_millis(20));
        assert!(!token.has_time());
    }

    #[tokio::test(start_paused = true)]
    async fn a_handshake_is_worked_on_when_it_is_its_turn_and_its_first_request_then_waits_for_nobody()
     {
        let (tls, connector) = certificate();
        let strangers = Payers::new(OWN_TIME).strangers();
        // Another stranger's request is being worked on.
        let first = strangers.of(address(1)).admit().await;
        let (here, there) = duplex(64 << 10);
        let stranger = strangers.of(address(2));
        let mut served = Box::pin(over_tls(here, &tls, LIMIT, stranger.clone()));
        let client = async {
            let mut client = connect(&connector, there).await;
            client.write_all(b"GET").await.unwrap();
            client
        };
        let mut client = Box::pin(client);
        for _ in 0..10 {
            assert!(futures_util::poll!(&mut served).is_pending());
            assert!(futures_util::poll!(&mut client).is_pending());
        }
        first.charge(Duration::ZERO);
        let (served, _client) = tokio::join!(served, client);
        let (mut stream, _) = served.unwrap();
        // What the handshake has cost is its address's to pay.
        stranger.charge(OWN_TIME * 2);
        stranger.charge(OWN_TIME * 2);
        assert!(!stranger.has_time());
        let begun = tokio::time::Instant::now();
        let mut request = [0; 3];
        stream.read_exact(&mut request).await.unwrap();
        assert_eq!((&request, begun.elapsed()), (b"GET", Duration::ZERO));
    }
}
