//! Ends a test program in which a test hangs, and says which one and what it waited for last.
//!
//! Each wait in tests should have a deadline of its own (`wait`). This is for those that have none: the
//! test harness itself waits without end.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::io::Write;
use std::process::Command;
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How long a test may take: longer than any does on a busy machine, also those that start Home Assistant.
const TEST_LIMIT: Duration = Duration::from_secs(600);

/// The variable that sets another limit, in seconds.
pub const LIMIT_VARIABLE: &str = "POLY2MQTT_TEST_LIMIT";

/// How often the watchdog looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

static TESTS: Mutex<Vec<Weak<RunningTest>>> = Mutex::new(Vec::new());

/// The processes that tests have started and that would outlive this one.
static PROCESSES: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

thread_local! {
    /// The test of this thread. It is dropped with the thread, and so when the test ends.
    static TEST: OnceCell<Option<Arc<RunningTest>>> = const { OnceCell::new() };
}

struct RunningTest {
    name: String,
    began: Instant,
    awaits: Mutex<String>,
}

fn limit() -> Option<Duration> {
    let seconds = std::env::var(LIMIT_VARIABLE).ok()?;
    Some(Duration::from_secs(
        seconds.parse().expect("a number of seconds"),
    ))
}

/// Whether a limit was set for this process.
pub fn limit_is_set() -> bool {
    limit().is_some()
}

/// Watches the test that runs on this thread from now on.
pub fn watch() {
    of_this_thread(|_| {});
}

/// The test of this thread waits for this now.
pub fn awaits(what: &str) {
    of_this_thread(|test| what.clone_into(&mut lock(&test.awaits)));
}

/// This process is killed where a test hangs.
pub fn started(process: u32) {
    lock(&PROCESSES).insert(process);
}

/// This process has ended.
pub fn ended(process: u32) {
    lock(&PROCESSES).remove(&process);
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn of_this_thread(with: impl FnOnce(&RunningTest)) {
    // Fails while the thread ends.
    let _ = TEST.try_with(|test| {
        if let Some(test) = test.get_or_init(register) {
            with(test);
        }
    });
}

/// The test harness runs each test of a module in a thread with the test's name. Other threads are not
/// watched: those of a runtime, and the main thread, which benches have.
fn register() -> Option<Arc<RunningTest>> {
    static WATCHDOG: Once = Once::new();
    let name = std::thread::current().name()?.to_owned();
    if !name.contains("::") {
        return None;
    }
    let test = Arc::new(RunningTest {
        name,
        began: Instant::now(),
        awaits: Mutex::default(),
    });
    lock(&TESTS).push(Arc::downgrade(&test));
    WATCHDOG.call_once(|| drop(std::thread::spawn(look)));
    Some(test)
}

fn look() {
    let limit = limit().unwrap_or(TEST_LIMIT);
    loop {
        std::thread::sleep(LOOK_INTERVAL);
        let hangs = {
            let mut tests = lock(&TESTS);
            tests.retain(|test| test.strong_count() > 0);
            let mut running = tests.iter().filter_map(Weak::upgrade);
            running.find(|test| test.began.elapsed() > limit)
        };
        if let Some(test) = hangs {
            end(&test);
        }
    }
}

fn end(test: &RunningTest) -> ! {
    let (name, awaits) = (&test.name, lock(&test.awaits));
    // Not eprintln, whose output is shown only where the test itself ends.
    let _ = writeln!(
        std::io::stderr(),
        "\n{name} has not ended for {} s. It waited last for: {awaits}",
        test.began.elapsed().as_secs()
    );
    for process in &*lock(&PROCESSES) {
        let _ = Command::new("kill")
            .args(["-KILL", &process.to_string()])
            .status();
    }
    std::process::exit(101);
}
