//! Cases of one test that wait most of the time. They run at the same time, so the test takes as long as its
//! longest case.

use std::panic::resume_unwind;
use std::thread::{Builder, current, scope};

use tokio::runtime;

/// Runs a test for each case at the same time. Each case has a thread and a runtime of its own, and so a log of its
/// own (`thread_log`). Fails if one fails, when all have ended.
pub fn at_the_same_time<C, F>(cases: impl IntoIterator<Item = C>, test: impl Fn(C) -> F + Sync)
where
    C: Send,
    F: Future<Output = ()>,
{
    // The watchdog knows tests by the names of their threads.
    let name = current().name().unwrap_or("a case").to_owned();
    let test = &test;
    scope(|scope| {
        let start = |case| {
            let run = move || {
                let mut builder = runtime::Builder::new_current_thread();
                builder.enable_all().build().unwrap().block_on(test(case));
            };
            Builder::new()
                .name(name.clone())
                .spawn_scoped(scope, run)
                .unwrap()
        };
        let running: Vec<_> = cases.into_iter().map(start).collect();
        for case in running {
            if let Err(panic) = case.join() {
                resume_unwind(panic);
            }
        }
    });
}
