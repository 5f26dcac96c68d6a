//! Dialling a host over TCP: every address of a name is tried, and the first that answers is used.
//!
//! The caller sets the time limit, and speaks TLS where it is wanted.

use std::io;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// The next address of a name is tried beside the previous one after this, so that a dead address
/// does not use up the caller's time. RFC 8305 recommends 250 ms.
const NEXT_ADDRESS_DELAY: Duration = Duration::from_millis(250);

/// Connects to a port of a host. Small messages are sent at once (`TCP_NODELAY`).
///
/// `host` is a name or an address; an IPv6 address may stand in brackets.
///
/// # Errors
/// The name has no address, or why the last of its addresses cannot be connected to.
pub async fn dial(host: &str, port: u16) -> io::Result<TcpStream> {
    let host = host.trim_matches(['[', ']']);
    let mut addresses = lookup_host((host, port)).await?;
    let mut attempts = FuturesUnordered::new();
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        if let Some(address) = addresses.next() {
            attempts.push(TcpStream::connect(address));
        }
        match timeout(NEXT_ADDRESS_DELAY, attempts.next()).await {
            Ok(Some(Ok(stream))) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Ok(Some(Err(error))) => failure = error,
            Ok(None) => return Err(failure),
            // Still connecting.
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn every_address_of_a_name_is_tried() {
        // `localhost` is ::1 too on most systems, where this test does not listen.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["127.0.0.1", "localhost"] {
            let stream = dial(host, port).await.unwrap();
            assert!(stream.nodelay().unwrap(), "{host}");
        }
    }

    #[tokio::test]
    async fn brackets_of_an_ipv6_address_are_ignored() {
        let Ok(listener) = TcpListener::bind("[::1]:0").await else {
            return; // A machine without IPv6.
        };
        let port = listener.local_addr().unwrap().port();
        assert!(dial("[::1]", port).await.is_ok());
    }

    #[tokio::test]
    async fn a_port_where_nobody_listens_gives_the_systems_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let error = dial("127.0.0.1", port).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
