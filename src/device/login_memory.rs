//! What is remembered of the log-ins to each device, longer than its room lives.
//!
//! A reload replaces a room and its client. What limits log-ins must not begin anew with that, or a tool that reloads
//! often would lock people out of the device. Sends nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;
use url::Url;

use super::login_backoff::LoginBackoff;

/// How many devices are remembered before those that need not be are looked for.
const LEAST_DEVICES: usize = 16;

/// The log-ins of all devices. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct LoginMemory(Arc<Mutex<Devices>>);

#[derive(Debug, Default)]
struct Devices {
    /// By address.
    logins: BTreeMap<String, DeviceLogins>,
    /// How many there were when it was last looked for those that need not be remembered.
    looked_at: usize,
}

/// The log-ins of one device. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct DeviceLogins(Arc<Mutex<LoginBackoff>>);

impl LoginMemory {
    /// The log-ins of the device at this address.
    pub(super) fn of(&self, url: &Url, now: Instant) -> DeviceLogins {
        let mut devices = self.0.lock();
        // Not each time: at a start there are thousands.
        if devices.logins.len() >= LEAST_DEVICES.max(2 * devices.looked_at) {
            // Of a device that nobody has any more, only what still limits log-ins is kept.
            let is_needed = |logins: &DeviceLogins| {
                Arc::strong_count(&logins.0) > 1 || logins.lock().limits(now)
            };
            devices.logins.retain(|_, logins| is_needed(logins));
            devices.looked_at = devices.logins.len();
        }
        devices.logins.entry(url.to_string()).or_default().clone()
    }
}

impl DeviceLogins {
    pub fn lock(&self) -> MutexGuard<'_, LoginBackoff> {
        self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::device::login_backoff::Credential;
    use crate::device::{DeviceTimings, Problem, ProblemCode};

    #[test]
    fn a_device_that_nobody_has_is_remembered_while_it_must_not_be_logged_in_to() {
        let (memory, now) = (LoginMemory::default(), Instant::now());
        let url = |n: usize| Url::parse(&format!("https://192.0.2.1:{n}")).unwrap();
        let refused = Problem::new(ProblemCode::Unauthorized, "refused");
        let timings = DeviceTimings::default();
        let first = memory.of(&url(1), now);
        let who = Credential::of("admin", "wrong");
        first.lock().failed(who, &refused, &timings, now);
        drop(first);
        let used: Vec<_> = (2..52).map(|n| memory.of(&url(n), now)).collect();
        for n in 1000..2000 {
            memory.of(&url(n), now);
        }
        let count = || memory.0.lock().logins.len();
        assert!(count() <= 2 * (1 + used.len()), "{}", count());
        assert!(memory.of(&url(1), now).lock().blocked(who, now).is_some());
        drop(used);
        let later = now + Duration::from_secs(3600);
        for n in 2000..3000 {
            memory.of(&url(n), later);
        }
        assert!(count() <= LEAST_DEVICES, "{}", count());
        assert!(memory.of(&url(1), later).lock().blocked(who, now).is_none());
    }
}
