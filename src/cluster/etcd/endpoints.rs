//! The members of etcd, and which one the next call goes to.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

/// How long a call may be without an answer before others go to another member of etcd.
const SLOW_AFTER: Duration = Duration::from_millis(300);

/// The addresses, and the calls under way.
#[derive(Debug)]
pub struct Endpoints {
    urls: Vec<String>,
    /// The place of the one that is tried first.
    preferred: AtomicUsize,
    under_way: Mutex<Vec<CallUnderWay>>,
    calls: AtomicU64,
}

#[derive(Debug)]
struct CallUnderWay {
    call: u64,
    endpoint: usize,
    since: Instant,
}

impl Endpoints {
    /// The first of them is tried first.
    pub fn new(urls: Vec<String>) -> Self {
        Self {
            urls,
            preferred: AtomicUsize::new(0),
            under_way: Mutex::default(),
            calls: AtomicU64::new(0),
        }
    }

    /// The address at this place.
    pub fn url(&self, at: usize) -> &str {
        &self.urls[at]
    }

    /// The places of all, in the order in which a call tries them: first the one that answered last, or the next
    /// after it that has no slow call.
    pub fn in_order(&self) -> impl Iterator<Item = usize> + use<> {
        let count = self.urls.len();
        let first = self.first();
        (0..count).map(move |n| (first + n) % count)
    }

    fn first(&self) -> usize {
        let preferred = self.preferred.load(Ordering::Relaxed);
        let now = Instant::now();
        let under_way = self.under_way();
        let is_slow = |at: &usize| {
            let mut calls = under_way.iter().filter(|call| call.endpoint == *at);
            calls.any(|call| now.duration_since(call.since) >= SLOW_AFTER)
        };
        let count = self.urls.len().max(1);
        let mut order = (0..count).map(|n| (preferred + n) % count);
        order.find(|at| !is_slow(at)).unwrap_or(preferred % count)
    }

    /// A call to the one at this place begins. It has ended when what this returns is dropped.
    pub fn begin(&self, at: usize) -> EndOfCall<'_> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        self.under_way().push(CallUnderWay {
            call,
            endpoint: at,
            since: Instant::now(),
        });
        EndOfCall {
            endpoints: self,
            call,
        }
    }

    /// The one at this place answered: the next call goes there too.
    pub fn prefer(&self, at: usize) {
        self.preferred.store(at, Ordering::Relaxed);
    }

    /// The one at this place is of no use: the next call goes to the one after it.
    pub fn avoid(&self, at: usize) {
        let next = (at + 1) % self.urls.len().max(1);
        let _ = self
            .preferred
            .compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn under_way(&self) -> MutexGuard<'_, Vec<CallUnderWay>> {
        self.under_way.lock()
    }
}

/// A call that is under way until this is dropped.
#[derive(Debug)]
pub struct EndOfCall<'a> {
    endpoints: &'a Endpoints,
    call: u64,
}

impl Drop for EndOfCall<'_> {
    fn drop(&mut self) {
        self.endpoints
            .under_way()
            .retain(|other| other.call != self.call);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn calls_go_to_the_member_of_etcd_that_answers() {
        let endpoints = Endpoints::new(["a", "b", "c"].map(str::to_owned).into());
        let order = |endpoints: &Endpoints| -> Vec<usize> { endpoints.in_order().collect() };
        assert_eq!(order(&endpoints), [0, 1, 2]);
        // It does not answer for long.
        let slow = endpoints.begin(0);
        assert_eq!(order(&endpoints), [0, 1, 2]);
        tokio::time::advance(SLOW_AFTER).await;
        assert_eq!(order(&endpoints), [1, 2, 0]);
        drop(slow);
        assert_eq!(order(&endpoints), [0, 1, 2]);
        // It has failed.
        endpoints.avoid(0);
        endpoints.avoid(0);
        assert_eq!(order(&endpoints), [1, 2, 0]);
        endpoints.prefer(2);
        assert_eq!(order(&endpoints), [2, 0, 1]);
        // All are slow.
        let _slow = [0, 1, 2].map(|at| endpoints.begin(at));
        tokio::time::advance(SLOW_AFTER).await;
        assert_eq!(order(&endpoints), [2, 0, 1]);
        assert_eq!(Endpoints::new(Vec::new()).in_order().next(), None);
    }
}
