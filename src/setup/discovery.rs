//! Looks for Poly devices in a network.
//!
//! Each address gets one connection with one read, which needs no log-in and changes nothing. The rate and
//! the number of connections are bounded, so that neither network nor devices notice it.

use std::net::IpAddr;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::room::{DeviceAddress, id_of_host};
use super::trial::client;
use crate::catalogue::{read_body, refusal_reason};
use crate::config::{Certificate, IpNetwork};
use crate::device::DeviceIdentity;
use crate::sleep::ticks;

/// The most addresses of a search: a network with /20. A larger one is searched in parts.
pub const MOST_ADDRESSES: usize = 4096;
/// The most connections at a time.
pub const MOST_CONNECTIONS: usize = 32;
/// The pause between two connections: at most fifty begin in a second, which no switch takes for a scan that
/// it must stop.
const CONNECTION_INTERVAL: Duration = Duration::from_millis(20);
/// How long one address may take. A device on the local network answers in milliseconds.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(3);
/// A read that every firmware has, and that it refuses without a log-in.
const KNOWN_BY: &str = "/rest/system";

/// Something that may be a Poly device.
#[derive(Debug, Clone)]
pub struct FoundDevice {
    /// Its address.
    pub address: DeviceAddress,
    /// An id for its room.
    pub id: String,
    /// What it says of itself without a log-in; mostly nothing.
    pub identity: DeviceIdentity,
    /// The fingerprint of its certificate.
    pub certificate: String,
    /// Whether the answer is one that only a Poly device gives.
    pub is_certain: bool,
}

impl FoundDevice {
    /// One line, with tabs between its parts.
    pub fn line(&self) -> String {
        let what = match (&self.identity.model, self.is_certain) {
            (Some(_), _) => self.identity.to_string(),
            (None, true) => "a Poly device".to_owned(),
            (None, false) => {
                "perhaps a Poly device: it wants a log-in for its REST interface".to_owned()
            }
        };
        let Self {
            id,
            address,
            certificate,
            ..
        } = self;
        format!("{id}\t{}\t{certificate}\t{what}\n", address.text)
    }

    /// The device as JSON, for programs.
    pub fn json(&self) -> Value {
        json!({
            "id": self.id,
            "url": self.address.text,
            "certificate": self.certificate,
            "certain": self.is_certain,
            "model": self.identity.model,
            "firmware": self.identity.firmware,
            "name": self.identity.name,
        })
    }
}

/// The addresses of a network.
///
/// # Errors
/// They are too many.
pub fn addresses_of(network: &IpNetwork) -> Result<Vec<IpAddr>, String> {
    network.addresses(MOST_ADDRESSES).ok_or_else(|| {
        format!(
            "{network} has more than {MOST_ADDRESSES} addresses; give a smaller network, such as one \
             with /24 (254 addresses)"
        )
    })
}

/// Looks at every address. `each` gets what is there as soon as it is known.
pub async fn discover(
    addresses: Vec<IpAddr>,
    port: u16,
    mut each: impl FnMut(Option<FoundDevice>),
) {
    let mut waiting = addresses.into_iter().peekable();
    let mut looks = JoinSet::new();
    let mut pace = ticks(CONNECTION_INTERVAL);
    loop {
        let begins = looks.len() < MOST_CONNECTIONS && waiting.peek().is_some();
        tokio::select! {
            _ = pace.tick(), if begins => {
                if let Some(address) = waiting.next() {
                    looks.spawn(look_at(address, port));
                }
            }
            Some(look) = looks.join_next() => each(look.unwrap_or_default()),
            else => break,
        }
    }
}

async fn look_at(address: IpAddr, port: u16) -> Option<FoundDevice> {
    let text = match (address, port) {
        (IpAddr::V4(ip), 443) => ip.to_string(),
        (IpAddr::V6(ip), 443) => format!("[{ip}]"),
        (IpAddr::V4(ip), port) => format!("{ip}:{port}"),
        (IpAddr::V6(ip), port) => format!("[{ip}]:{port}"),
    };
    let address = DeviceAddress::parse(&text).ok()?;
    // Any certificate will do: nothing is sent that is secret.
    let nobody = SecretString::from(String::new());
    let device = client(&address.url, "", &nobody, Certificate::Insecure).ok()?;
    let read = device.read_without_login(KNOWN_BY);
    let answer = timeout(ADDRESS_TIMEOUT, read).await.ok()??;
    let (is_certain, identity) = judge(answer.status, &answer.body)?;
    Some(FoundDevice {
        id: id_of_host(&address.url),
        certificate: device.fingerprint()?,
        address,
        identity,
        is_certain,
    })
}

/// Whether this is the answer of a Poly device to a read without a log-in, for certain or perhaps.
fn judge(status: u16, body: &[u8]) -> Option<(bool, DeviceIdentity)> {
    let answer: Value = read_body(body).unwrap_or_default();
    let identity = DeviceIdentity::of(&answer);
    if status == 200 {
        // One that takes reads without a log-in.
        let is_device = identity.model.is_some() && identity.firmware.is_some();
        return is_device.then_some((true, identity));
    }
    // Any other server has no such path, or answers 401; Poly devices refuse with 403.
    if status != 403 {
        return None;
    }
    let reason = refusal_reason(&answer);
    let by_session = reason.is_some_and(|reason| reason.starts_with("Session"));
    let page = String::from_utf8_lossy(body).to_ascii_lowercase();
    let by_name = ["polycom", "videoos", "hp poly"]
        .iter()
        .any(|name| page.contains(name));
    Some((by_session || by_name, DeviceIdentity::default()))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;
    use tokio::time::Instant;

    use super::*;

    /// Servers that accept and say nothing, at as many addresses: the most connections at a time, and all of
    /// them.
    async fn silent_servers(port: u16, count: u8) -> (Arc<AtomicUsize>, Arc<AtomicUsize>) {
        let peak = Arc::<AtomicUsize>::default();
        let all = Arc::<AtomicUsize>::default();
        let open = Arc::<AtomicUsize>::default();
        for last in 1..=count {
            let listener = TcpListener::bind(SocketAddr::from(([127, 0, 3, last], port)))
                .await
                .unwrap();
            let (peak, open, all) = (peak.clone(), open.clone(), all.clone());
            tokio::spawn(async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    all.fetch_add(1, Ordering::SeqCst);
                    let now = open.fetch_add(1, Ordering::SeqCst) + 1;
                    peak.fetch_max(now, Ordering::SeqCst);
                    let open = open.clone();
                    tokio::spawn(async move {
                        let mut heard = [0; 1024];
                        while stream.read(&mut heard).await.is_ok_and(|count| count > 0) {}
                        open.fetch_sub(1, Ordering::SeqCst);
                    });
                }
            });
        }
        (peak, all)
    }

    #[tokio::test]
    async fn a_search_has_few_connections_at_a_time_and_begins_them_slowly() {
        let free = TcpListener::bind("127.0.3.1:0").await.unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let (peak, all) = silent_servers(port, 62).await;
        let addresses = addresses_of(&"127.0.3.0/26".parse().unwrap()).unwrap();
        let started = Instant::now();
        let mut looked_at = 0;
        discover(addresses, port, |found| {
            assert!(found.is_none());
            looked_at += 1;
        })
        .await;
        assert_eq!(looked_at, 62);
        assert_eq!(all.load(Ordering::SeqCst), 62);
        let peak = peak.load(Ordering::SeqCst);
        assert!((2..=MOST_CONNECTIONS).contains(&peak), "{peak}");
        // Two rounds, each of which waits until its time is over.
        assert!(
            started.elapsed() >= ADDRESS_TIMEOUT,
            "{:?}",
            started.elapsed()
        );
    }

    #[test]
    fn a_device_is_known_by_its_refusal() {
        for (status, body, wanted) in [
            (
                403,
                r#"{"success":false,"reason":"SessionNoActiveSession"}"#,
                Some(true),
            ),
            (403, "<html><title>Poly VideoOS</title></html>", Some(true)),
            (403, "<html>403 Forbidden</html>", Some(false)),
            (403, "", Some(false)),
            (
                200,
                r#"{"model":"Studio X50","softwareVersion":"4.0.0"}"#,
                Some(true),
            ),
            (200, r#"{"model":"printer"}"#, None),
            (200, "<html>welcome to polycom</html>", None),
            (401, "", None),
            (404, "polycom", None),
            (302, "", None),
            (500, "", None),
        ] {
            let judged = judge(status, body.as_bytes()).map(|(is_certain, _)| is_certain);
            assert_eq!(judged, wanted, "{status} {body}");
        }
    }
}
