//! Connections that cannot be accepted, mostly because the program has too many open files.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::NET;
use crate::telemetry::Telemetry;

/// How often it is said at most that connections cannot be accepted.
const ACCEPT_WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// Decides when to say that connections cannot be accepted: at most once a minute, with how often that was not
/// said. Between two failures some may be accepted. One for all listening sockets: what they lack, the whole
/// program lacks.
#[derive(Debug, Default)]
pub(in crate::telemetry) struct AcceptWarning {
    said: Option<Instant>,
    unsaid: u64,
}

impl AcceptWarning {
    /// Another failure: how many were not said before, if it is to be said now.
    fn failed(&mut self, now: Instant) -> Option<u64> {
        if self
            .said
            .is_some_and(|said| now < said + ACCEPT_WARNING_INTERVAL)
        {
            self.unsaid += 1;
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

impl Telemetry {
    /// A connection at this address of the gateway could not be accepted.
    pub fn connection_not_accepted(&self, address: Option<SocketAddr>, reason: &str) {
        self.metrics.accept_failures.inc();
        let mut warning = self.accept_warning.lock();
        let unsaid = warning.failed(Instant::now());
        drop(warning);
        if let Some(unsaid) = unsaid {
            let address = address.map(tracing::field::display);
            let repeats = (unsaid > 0).then_some(unsaid);
            let text = "connections cannot be accepted for now";
            tracing::warn!(target: NET, address, reason, repeats, "{text}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_said_once_a_minute_and_counted() {
        let (mut warning, start) = (AcceptWarning::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        for (seconds, wanted) in [
            (0, Some(0)),
            (1, None),
            (30, None),
            (59, None),
            (60, Some(3)),
            (61, None),
            (200, Some(1)),
            (400, Some(0)),
        ] {
            assert_eq!(warning.failed(after(seconds)), wanted, "{seconds}");
        }
    }
}
