//! Whether this process ran all the time, and since when what it reads now may have waited.
//!
//! A process can stand still: it is stopped (SIGSTOP, a paused container, the freezer of a backup), its machine sleeps,
//! or it gets no processor. Meanwhile the system goes on taking what clients, brokers and other gateways send. What is
//! read afterwards looks new and is not, so its age counts from when the standstill began.
//!
//! A thread shows every moment that the process runs; a longer time without that is a standstill. It is no task: one
//! that has to wait for another is no standstill. This belongs to the process, not to a gateway. [`Standstills`] is
//! pure: it gets the time.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use crate::boot_instant::BootInstant;
use crate::telemetry::Telemetry;

/// How often the process shows that it runs. A standstill is known to begin this exactly, and four times a second
/// cost nothing.
const BEAT_INTERVAL: Duration = Duration::from_millis(250);
/// A longer time without a beat is a standstill. On a busy machine a thread waits for some hundred milliseconds.
const SHORTEST_STANDSTILL: Duration = Duration::from_secs(1);
/// What is read so long after a standstill may have waited for its end: a door reads in turns, what a client has sent
/// to the embedded broker is passed on, and what waited at another broker comes after a new connection. After a
/// standstill that was shorter, it is only as long as that.
const LONGEST_CATCH_UP: Duration = Duration::from_secs(2);
/// A shorter standstill has no line in the log: it makes no command too old, as `max_command_age` usually is.
const SHORTEST_TOLD_STANDSTILL: Duration = Duration::from_secs(5);
/// No message gets older. Some systems know no moment before their start.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// None while nobody watches: then nothing is known.
static PROCESS: Mutex<Option<Process>> = Mutex::new(None);

/// This process, as those see it who watch it.
struct Process {
    /// How many do.
    watchers: usize,
    standstills: Standstills,
}

/// A moment by two clocks: only the first runs while the machine sleeps.
#[derive(Debug, Clone, Copy)]
struct Moment {
    boot: BootInstant,
    instant: Instant,
}

impl Moment {
    fn now() -> Self {
        Self {
            boot: BootInstant::now(),
            instant: Instant::now(),
        }
    }
}

/// When the process ran last, and when it stood still last.
#[derive(Debug)]
struct Standstills {
    last_beat: Moment,
    last: Option<Standstill>,
}

#[derive(Debug, Clone, Copy)]
struct Standstill {
    time: Duration,
    ended: BootInstant,
    /// When it began, as the age of commands is counted. All that may have waited gets this one, so it stays in order.
    began: Instant,
    is_told: bool,
}

impl Standstills {
    /// Of a process that runs.
    fn new(now: Moment) -> Self {
        Self {
            last_beat: now,
            last: None,
        }
    }

    /// The process runs.
    fn beat(&mut self, now: Moment) {
        let last = std::mem::replace(&mut self.last_beat, now);
        let time = now.boot.since(last.boot);
        if time < SHORTEST_STANDSTILL {
            return;
        }
        let awake = now.instant.saturating_duration_since(last.instant);
        let slept = time.saturating_sub(awake) >= SHORTEST_STANDSTILL;
        let began = if slept {
            now.instant.checked_sub(time.min(LONGEST_WAIT))
        } else {
            None
        };
        self.last = Some(Standstill {
            time,
            ended: now.boot,
            began: began.unwrap_or(last.instant),
            is_told: false,
        });
    }

    /// When what is read now was received. Whoever reads may be awake before the thread that shows it, and shows by
    /// that that the process runs.
    fn received(&mut self, now: Moment) -> Instant {
        self.beat(now);
        let may_have_waited = |it: &Standstill| {
            let catch_up = it.time.min(LONGEST_CATCH_UP);
            now.boot.since(it.ended) < catch_up
        };
        let last = self.last.filter(may_have_waited);
        last.map_or(now.instant, |it| it.began)
    }

    /// How long the last standstill was, if the log is to be told of it.
    fn take_untold(&mut self) -> Option<Duration> {
        let last = self.last.as_mut()?;
        let is_told = std::mem::replace(&mut last.is_told, true);
        (!is_told && last.time >= SHORTEST_TOLD_STANDSTILL).then_some(last.time)
    }
}

fn process() -> MutexGuard<'static, Option<Process>> {
    PROCESS.lock()
}

/// Whoever watches the process, until it is dropped.
struct Watcher;

impl Watcher {
    fn start() -> Self {
        let mut process = process();
        let process = process.get_or_insert_with(|| Process {
            watchers: 0,
            standstills: Standstills::new(Moment::now()),
        });
        process.watchers += 1;
        Self
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut process = process();
        if let Some(it) = &mut *process {
            it.watchers -= 1;
            if it.watchers == 0 {
                *process = None;
            }
        }
    }
}

/// When what is read now was received: now, or when the process began to stand still.
pub fn received_now() -> Instant {
    match &mut *process() {
        Some(process) => process.standstills.received(Moment::now()),
        None => Instant::now(),
    }
}

/// Watches the process until it is dropped.
#[derive(Debug)]
pub struct StandstillWatch {
    /// Its end is the thread's.
    _ends: Sender<()>,
}

impl StandstillWatch {
    /// Starts the thread that shows that the process runs, and tells when it stood still.
    ///
    /// # Errors
    /// The system starts no more threads.
    pub fn start(telemetry: Arc<Telemetry>) -> io::Result<Self> {
        let (ends, end) = channel();
        let thread = std::thread::Builder::new().name("standstill".into());
        thread.spawn(move || watch(&telemetry, &end))?;
        Ok(Self { _ends: ends })
    }
}

fn watch(telemetry: &Telemetry, end: &Receiver<()>) {
    let _watcher = Watcher::start();
    while end.recv_timeout(BEAT_INTERVAL) == Err(RecvTimeoutError::Timeout) {
        let untold = process().as_mut().and_then(|process| {
            process.standstills.beat(Moment::now());
            process.standstills.take_untold()
        });
        if let Some(time) = untold {
            telemetry.stood_still(time);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process that started at the clocks' zero.
    struct Fixture {
        standstills: Standstills,
        start: Moment,
        /// How long the machine has slept.
        slept: Duration,
    }

    impl Fixture {
        fn new() -> Self {
            let start = Moment::now();
            Self {
                standstills: Standstills::new(start),
                start,
                slept: Duration::ZERO,
            }
        }

        fn at(&self, ms: u64) -> Moment {
            let time = Duration::from_millis(ms);
            Moment {
                boot: self.start.boot + time,
                instant: self.start.instant + (time - self.slept),
            }
        }

        /// Runs without a standstill.
        fn run(&mut self, from: u64, until: u64) {
            for ms in (from..=until).step_by(250) {
                self.beat(ms);
            }
        }

        fn beat(&mut self, ms: u64) {
            self.standstills.beat(self.at(ms));
        }

        /// How old a command is that is read now.
        fn age(&mut self, ms: u64) -> u128 {
            let now = self.at(ms);
            let received = self.standstills.received(now);
            (now.instant.duration_since(received)).as_millis()
        }

        fn told(&mut self) -> Option<u128> {
            self.standstills.take_untold().map(|time| time.as_millis())
        }
    }

    #[test]
    fn what_a_running_process_reads_is_new() {
        let mut it = Fixture::new();
        it.run(0, 10_000);
        for ms in [10_000, 10_250, 11_249, 12_000] {
            assert_eq!(it.age(ms), 0);
        }
        assert_eq!(it.told(), None);
    }

    #[test]
    fn what_is_read_after_a_standstill_has_waited_since_it_began() {
        for reader_is_first in [true, false] {
            let mut it = Fixture::new();
            it.run(0, 1000);
            if reader_is_first {
                assert_eq!(it.age(71_000), 70_000)
            } else {
                it.beat(71_000)
            }
            assert_eq!(it.told(), Some(70_000));
            assert_eq!(it.told(), None, "once");
            it.run(71_010, 72_900);
            assert_eq!(it.age(72_999), 71_999);
            assert_eq!(it.age(73_000), 0);
        }
    }

    #[test]
    fn the_time_after_a_short_standstill_is_short() {
        let mut it = Fixture::new();
        it.beat(1200);
        it.run(1450, 2200);
        assert_eq!(it.age(2399), 2399);
        assert_eq!(it.age(2400), 0);
        assert_eq!(it.told(), None);
    }

    #[test]
    fn each_standstill_counts_from_its_own_begin() {
        let mut it = Fixture::new();
        it.beat(10_000);
        it.beat(10_250);
        it.beat(13_250);
        assert_eq!(it.age(13_300), 3050);
    }

    #[test]
    fn the_time_that_the_machine_slept_counts() {
        let mut it = Fixture::new();
        it.run(0, 1000);
        it.slept = Duration::from_secs(60);
        assert_eq!(it.age(71_000), 70_000);
        assert_eq!(it.told(), Some(70_000));
    }

    #[test]
    fn what_was_read_before_stays_before_what_waited() {
        let mut it = Fixture::new();
        it.run(0, 1000);
        let received = |it: &mut Fixture, ms| {
            let now = it.at(ms);
            it.standstills.received(now)
        };
        let times = [1100, 1200, 5000, 5000, 5001, 6999, 7500];
        let times = times.map(|ms| received(&mut it, ms));
        assert!(times.is_sorted(), "{times:?}");
        assert_eq!(times[1], times[2]);
    }
}
