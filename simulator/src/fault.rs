//! What can be made to go wrong.

use std::time::Duration;

/// How a request goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// The request is acted on and answered late, also if nobody waits for it any more.
    Delay(Duration),
    /// This status instead of acting.
    Status(u16),
    /// The connection ends before anything was done.
    DropBefore,
    /// It is carried out, then the connection ends without an answer.
    DropAfter,
    /// 200 with something that is not JSON. A write has been carried out all the same; so it is
    /// with the next three.
    Garbage,
    /// 200 with so many bytes.
    Huge(usize),
    /// 200 with `null`.
    Null,
    /// 200 with the first half of the answer.
    Truncated,
    /// All sessions become stale just before it.
    ExpireSession,
}

/// Which requests go wrong, how, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Only this method.
    pub method: Option<String>,
    /// Only paths that start so.
    pub path: String,
    /// So many times; for ever where it is not set.
    pub times: Option<u32>,
    /// What happens.
    pub kind: FaultKind,
}

impl Fault {
    /// Every request whose path starts so goes wrong like this.
    pub fn on(path: &str, kind: FaultKind) -> Self {
        Self {
            method: None,
            path: path.to_owned(),
            times: None,
            kind,
        }
    }

    /// Only with this method.
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// Only the next so many times.
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

/// The first fault that fits a request, which is used up by one.
pub fn take(faults: &mut [Fault], method: &str, path: &str) -> Option<FaultKind> {
    let fault = faults.iter_mut().find(|fault| fault.fits(method, path))?;
    fault.times = fault.times.map(|times| times - 1);
    Some(fault.kind.clone())
}
