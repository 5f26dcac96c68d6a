//! Faults that tests and people can switch on.

use std::time::Duration;

/// How a request goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// The device acts and answers after this time, even if the client has gone; see
    /// [`SimulatedDevice::end_delays`](super::SimulatedDevice::end_delays).
    Delay(Duration),
    /// The device answers with this status and does nothing.
    Status(u16),
    /// The same, and with this `Retry-After`.
    RetryAfter(u16, String),
    /// 200 with a web page, as from a proxy or another product. The device does nothing.
    Page,
    /// A redirect to a log-in page. The device does nothing.
    Redirect,
    /// The connection ends before the device acts.
    DropBefore,
    /// The device acts, then the connection ends without an answer.
    DropAfter,
    /// 200 with something that is not JSON. The device has acted, as for the next four.
    Garbage,
    /// 200 with this many bytes.
    Huge(usize),
    /// 200 with `null`.
    Null,
    /// 200 with the first half of the answer.
    Truncated,
    /// 200 with this body.
    Body(String),
    /// All sessions become stale just before the request.
    ExpireSession,
}

/// A fault: which requests it applies to, what happens, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Applies to this method only; to every method if `None`.
    pub method: Option<String>,
    /// Applies to paths that start with this.
    pub path: String,
    /// How many requests go well before.
    pub after: u32,
    /// How many requests it applies to; without end if `None`.
    pub times: Option<u32>,
    /// What happens.
    pub kind: FaultKind,
}

impl Fault {
    /// A fault of every request whose path starts with `path`.
    pub fn on(path: &str, kind: FaultKind) -> Self {
        Self {
            method: None,
            path: path.to_owned(),
            after: 0,
            times: None,
            kind,
        }
    }

    /// Limits it to one method.
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// Lets so many requests go well before.
    pub fn after(mut self, requests: u32) -> Self {
        self.after = requests;
        self
    }

    /// Limits it to the next `times` requests.
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    fn fits(&self, method: &str, path: &str) -> bool {
        self.times != Some(0)
            && path.starts_with(&self.path)
            && self.method.as_deref().is_none_or(|wanted| wanted == method)
    }
}

/// Takes the first fault that applies to a request, and counts it.
pub fn take(faults: &mut [Fault], method: &str, path: &str) -> Option<FaultKind> {
    let mut fitting = faults.iter_mut().filter(|fault| fault.fits(method, path));
    let fault = fitting.find_map(|fault| match fault.after.checked_sub(1) {
        Some(left) => {
            fault.after = left;
            None
        }
        None => Some(fault),
    })?;
    fault.times = fault.times.map(|times| times - 1);
    Some(fault.kind.clone())
}
