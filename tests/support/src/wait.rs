//! Waiting with a deadline. A test that waits in vain fails and says what it waited for.

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::watchdog;

/// How long tests wait for something. Enough for a machine that has ten times as much to do as it can; only
/// failing tests wait this long.
pub const SOON: Duration = Duration::from_secs(60);

/// How often a test looks where nothing tells it of a change. A test that looks without a pause takes
/// the processor from what it waits for.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// Waits for a future that is ready soon.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    watchdog::awaits(what);
    match timeout(SOON, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain: {what}"),
    }
}

/// Looks again and again until this holds. Where it never does, the panic says `what`.
pub async fn until(what: impl Fn() -> String, holds: impl AsyncFn() -> bool) {
    watchdog::awaits(&what());
    let wait = async {
        while !holds().await {
            sleep(LOOK_INTERVAL).await;
        }
    };
    if timeout(SOON, wait).await.is_err() {
        panic!("waited in vain: {}", what());
    }
}

/// Looks again and again until there is a value, in a test without a runtime.
pub fn until_some<T>(what: impl Fn() -> String, mut look: impl FnMut() -> Option<T>) -> T {
    watchdog::awaits(&what());
    let deadline = Instant::now() + SOON;
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain: {}", what());
        std::thread::sleep(LOOK_INTERVAL);
    }
}
