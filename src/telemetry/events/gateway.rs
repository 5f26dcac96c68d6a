//! The gateway as a whole: its doors, its limits, its configuration and its own certificates.

use std::fmt::Display;
use std::net::SocketAddr;
use std::time::Duration;

use time::OffsetDateTime;

use super::APP;
use crate::telemetry::{Telemetry, time_in_words};

/// Documented in docs/first-room.md.
const CLIENTS: &str = "poly2mqtt::app::clients";

/// Doors that clients connect to.
impl Telemetry {
    /// HTTP and WebSocket take clients at this address.
    pub fn http_started(&self, address: SocketAddr, tls: bool) {
        tracing::info!(target: CLIENTS, %address, tls, "HTTP and WebSocket");
    }

    /// Plain lines take clients at this address.
    pub fn lines_started(&self, address: SocketAddr, tls: bool) {
        tracing::info!(target: CLIENTS, %address, tls, "plain lines");
    }

    /// The system lets the process open `limit` files, of the `wanted`. The others: how many connections the doors
    /// get of them.
    pub fn few_open_files(
        &self,
        limit: usize,
        wanted: usize,
        http: usize,
        tcp: usize,
        broker: usize,
    ) {
        tracing::warn!(
            target: APP,
            limit,
            wanted,
            http,
            tcp,
            broker,
            "the limit of open files is low (ulimit -n, LimitNOFILE); fewer clients can connect"
        );
    }
}

/// The process.
impl Telemetry {
    /// The process did not run for so long.
    pub fn stood_still(&self, time: Duration) {
        let time = time_in_words(time.as_secs());
        tracing::warn!(
            target: APP,
            time,
            "the gateway stood still: its process was stopped, its machine slept, or it got no processor; commands \
             that came meanwhile count as received when that began"
        );
    }
}

/// The configuration.
impl Telemetry {
    /// A reload has found changes of these keys, which wait for the next start.
    pub fn changes_wait(&self, keys: &[String]) {
        let keys = keys.join(", ");
        tracing::warn!(target: APP, "changes of {keys} take effect at the next start");
    }

    /// The next start leaves topics at the broker, which `poly2mqtt clear` finds with these options.
    pub fn topics_will_be_left(&self, options: &str) {
        tracing::warn!(
            target: APP,
            "what the gateway has published at the broker until then stays there; after that \
             start `poly2mqtt clear{options}` lists it, and clears it with --yes (docs/mqtt.md)"
        );
    }

    /// This start has left topics at the broker, which `poly2mqtt clear` finds with these options.
    pub fn topics_left(&self, options: &str) {
        tracing::warn!(
            target: APP,
            "the gateway publishes at other topics than before, and what it has left at the broker \
             stays there; `poly2mqtt clear{options}` lists it, and clears it with --yes"
        );
    }

    /// The next start will not know which topics this one used.
    pub fn topics_not_remembered(&self, error: &dyn Display) {
        tracing::debug!(target: APP, %error, "the topics at the broker are not remembered");
    }
}

/// The gateway's own certificates.
impl Telemetry {
    /// The gateway shows a certificate that it has by this key of the configuration, until it ends.
    pub fn certificate_in_use(&self, key: &'static str, end: Option<OffsetDateTime>) {
        self.metrics.certificate_in_use(key, end);
    }

    /// A certificate has expired, or will soon.
    pub fn certificate_expires(&self, warning: &str) {
        tracing::warn!(target: APP, "{warning}");
    }
}
