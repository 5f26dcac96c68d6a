//! A limit of requests, as a proxy or a firewall before a device may have.

use std::time::Duration;

use tokio::time::Instant;

/// So many requests in each window of time.
#[derive(Debug)]
pub struct Limit {
    most: u32,
    window: Duration,
    began: Option<Instant>,
    count: u32,
}

impl Limit {
    pub fn new(most: u32, window: Duration) -> Self {
        Self {
            most,
            window,
            began: None,
            count: 0,
        }
    }

    /// Counts a request. For one too many: until the window ends, in whole seconds.
    pub fn count(&mut self, now: Instant) -> Option<u64> {
        let is_over = |began| now >= began + self.window;
        if self.began.is_none_or(is_over) {
            (self.began, self.count) = (Some(now), 0);
        }
        if self.count < self.most {
            self.count += 1;
            return None;
        }
        let left = self.began? + self.window - now;
        Some(left.as_secs() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_window_has_its_requests() {
        let (mut limit, start) = (Limit::new(2, Duration::from_secs(10)), Instant::now());
        for window in 0..3 {
            let now = start + Duration::from_secs(window * 10);
            assert_eq!((limit.count(now), limit.count(now)), (None, None));
            assert_eq!(limit.count(now), Some(11));
            assert_eq!(limit.count(now + Duration::from_millis(9500)), Some(1));
        }
    }
}
