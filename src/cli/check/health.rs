//! `check --health`: asks the gateway that runs with this configuration how it is, as a container's health check
//! and other watchers do.
//!
//! Owns the one request to its HTTP port and the words about the answer. It reads no device and no broker, and
//! changes nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use serde::Deserialize;

use crate::config::HttpConfig;
use crate::listed::counted;
use crate::net::{ServerWords, Trust, client_config, http_client};
use crate::os_error::{self, root_cause};

/// How long the gateway may take to answer. It answers at once unless it hangs; container runtimes give a health
/// check 30 s.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);
/// The answer has about 100 bytes. What is longer comes from another program.
const LONGEST_HEALTH_ANSWER: usize = 4 << 10;

/// What counts as healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Health {
    /// The gateway answers: a restart would not help.
    Alive,
    /// The broker is connected too, and every room has tried to reach its device.
    Ready,
}

/// The gateway's answer to `GET /readyz`. Rooms are told only where no token is needed.
#[derive(Debug, Deserialize)]
struct Readiness {
    ready: bool,
    broker: String,
    rooms: Option<usize>,
    rooms_online: Option<usize>,
    rooms_starting: Option<usize>,
}

/// Asks the gateway, and says in a line how it is.
///
/// # Errors
/// The line, if it is not healthy or cannot be asked.
pub async fn ask(http: &HttpConfig, wanted: Health) -> Result<String, String> {
    let listen = http
        .listen
        .ok_or("cannot be asked: http.listen is \"off\"")?;
    if listen.port() == 0 {
        return Err("cannot be asked: http.listen has port 0, so the port is not known".into());
    }
    let client = client()?;
    let scheme = if http.tls.is_some() { "https" } else { "http" };
    let mut failure = String::new();
    for address in addresses_to_ask(listen) {
        let url = format!("{scheme}://{address}/readyz");
        match answer(&client, &url).await {
            Ok(readiness) => return verdict(&readiness, wanted),
            Err(why) => failure = format!("no answer from the gateway at {address}: {why}"),
        }
    }
    Err(failure)
}

/// Where a program on this machine reaches a listener. One at `[::]` is reached over IPv4 too, and only so where
/// IPv6 is off, as in many containers.
fn addresses_to_ask(listen: SocketAddr) -> Vec<SocketAddr> {
    let loopback: &[IpAddr] = match listen.ip() {
        ip if !ip.is_unspecified() => return vec![listen],
        IpAddr::V4(_) => &[IpAddr::V4(Ipv4Addr::LOCALHOST)],
        IpAddr::V6(_) => &[
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ],
    };
    let with_port = |ip: &IpAddr| SocketAddr::new(*ip, listen.port());
    loopback.iter().map(with_port).collect()
}

/// The words of TLS failures; a certificate is never refused.
static OWN_PORT_WORDS: ServerWords = ServerWords {
    server: "the gateway",
    address_key: "http.listen",
    pin_key: None,
    authorities_key: "http.tls_cert_file",
    port_hint: "the gateway's port is in http.listen",
    client_certificate_hint: "the gateway asks for none",
    tls_hint: "see http.tls_cert_file",
    alpn_hint: "the gateway speaks HTTP/1.1",
};

fn client() -> Result<reqwest::Client, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    // Any certificate: the request has no secret, and the gateway's names the host of its clients, not loopback.
    let (tls, _) = client_config(Trust::Anything, &OWN_PORT_WORDS, None, provider)?;
    http_client(tls, HEALTH_TIMEOUT)
        .timeout(HEALTH_TIMEOUT)
        .build()
        .map_err(|error| error.to_string())
}

/// What the gateway says of itself.
///
/// # Errors
/// There is no answer, or it is not one of the gateway's.
async fn answer(client: &reqwest::Client, url: &str) -> Result<Readiness, String> {
    let mut response = client
        .get(url)
        .send()
        .await
        .map_err(|error| words(&error))?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| words(&error))? {
        body.extend_from_slice(&chunk);
        if body.len() > LONGEST_HEALTH_ANSWER {
            break;
        }
    }
    let status = response.status().as_u16();
    serde_json::from_slice(&body)
        .map_err(|_| format!("another program answers there (status {status})"))
}

fn words(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("nothing came within {} s", HEALTH_TIMEOUT.as_secs());
    }
    match std::error::Error::source(error).map(root_cause) {
        Some(cause) => match cause.downcast_ref::<std::io::Error>() {
            Some(error) => os_error::words(error),
            None => cause.to_string(),
        },
        None => error.to_string(),
    }
}

/// The line about a gateway that answered.
fn verdict(readiness: &Readiness, wanted: Health) -> Result<String, String> {
    let broker = match readiness.broker.as_str() {
        "off" => "no broker configured".to_owned(),
        other => format!("broker {other}"),
    };
    let mut parts = vec![broker];
    if let (Some(online), Some(all)) = (readiness.rooms_online, readiness.rooms) {
        parts.push(format!("{online} of {all} rooms online"));
    }
    if let Some(starting @ 1..) = readiness.rooms_starting {
        parts.push(format!("{} not tried yet", counted(starting, "room")));
    }
    let parts = parts.join(", ");
    if readiness.ready {
        Ok(format!("the gateway runs and is ready: {parts}"))
    } else {
        let line = format!("the gateway runs but is not ready: {parts}");
        match wanted {
            Health::Alive => Ok(line),
            Health::Ready => Err(line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_asked_where_it_can_be_reached_from_its_own_machine() {
        for (listen, wanted) in [
            ("127.0.0.1:8080", &["127.0.0.1:8080"][..]),
            ("192.0.2.1:80", &["192.0.2.1:80"]),
            ("0.0.0.0:8080", &["127.0.0.1:8080"]),
            ("[::]:8080", &["127.0.0.1:8080", "[::1]:8080"]),
            ("[::1]:8080", &["[::1]:8080"]),
            ("[2001:db8::1]:8080", &["[2001:db8::1]:8080"]),
        ] {
            let asked = addresses_to_ask(listen.parse().unwrap());
            let asked: Vec<String> = asked.iter().map(ToString::to_string).collect();
            assert_eq!(asked, wanted, "{listen}");
        }
    }

    #[test]
    fn a_line_says_how_the_gateway_is() {
        for (answer, alive, line) in [
            (
                r#"{"ready":true,"broker":"connected","rooms":2,"rooms_online":1,"rooms_starting":0}"#,
                true,
                "the gateway runs and is ready: broker connected, 1 of 2 rooms online",
            ),
            (
                r#"{"ready":true,"broker":"off"}"#,
                true,
                "the gateway runs and is ready: no broker configured",
            ),
            (
                r#"{"ready":false,"broker":"disconnected","rooms":1,"rooms_online":1,"rooms_starting":0}"#,
                false,
                "the gateway runs but is not ready: broker disconnected, 1 of 1 rooms online",
            ),
            (
                r#"{"ready":false,"broker":"off","rooms":1,"rooms_online":0,"rooms_starting":1}"#,
                false,
                "the gateway runs but is not ready: no broker configured, 0 of 1 rooms online, 1 room not tried yet",
            ),
        ] {
            let readiness: Readiness = serde_json::from_str(answer).unwrap();
            assert_eq!(verdict(&readiness, Health::Alive), Ok(line.to_owned()));
            let ready = verdict(&readiness, Health::Ready);
            assert_eq!(ready.is_ok(), alive, "{answer}");
        }
    }
}
