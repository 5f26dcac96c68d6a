//! `poly2mqtt check`: the configuration and the files that it names, as `run` loads them; with `--connect`
//! also the ports, the broker, etcd and every device.
//!
//! With `--health` it only asks the gateway that runs.
//!
//! Owns the order of what is tried and the exit status: 0 if everything can be used, 2 if the configuration is
//! wrong, 1 if something that was tried cannot be used. What is tried has a file each.

mod broker;
mod clock;
mod device;
mod etcd;
mod health;
mod ports;
mod report;

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::{FutureExt, LocalBoxFuture};
use futures_util::stream::FuturesOrdered;
use serde_json::Map;
use time::OffsetDateTime;
use tracing_subscriber::filter::LevelFilter;

use super::CliError;
use super::config_file::ConfigFile;
use super::output::print;
use super::progress::Progress;
use crate::app::Certificates;
use crate::clock::rfc3339;
use crate::config::{Config, RoomId};
use crate::device::SharedLimits;
use crate::listed::counted;
use clock::MachineClock;
use health::Health;
use report::{CheckReport, Trial, TrialSubject};

/// The options of `check`.
#[derive(Debug, clap::Args)]
pub struct CheckCommand {
    #[command(flatten)]
    file: ConfigFile,
    /// Also try the ports, the broker and every device, and print what they are. Exit status: 0 if all can
    /// be used, 1 if not, 2 if the configuration is wrong.
    #[arg(long)]
    connect: bool,
    /// Print one JSON document at the end instead of lines.
    #[arg(long)]
    json: bool,
    /// Only ask the gateway that runs with this configuration how it is, and print a line. Exit status: 0 if it
    /// is alive (or ready, with `--health ready`), otherwise 1.
    #[arg(
        long,
        value_name = "WANTED",
        num_args = 0..=1,
        default_missing_value = "alive",
        conflicts_with_all = ["connect", "json"]
    )]
    health: Option<Health>,
}

impl CheckCommand {
    /// What goes to the log. A health check runs every few seconds: the gateway itself has logged the warnings.
    pub fn log_level(&self) -> LevelFilter {
        match self.health {
            Some(_) => LevelFilter::ERROR,
            None => LevelFilter::WARN,
        }
    }

    pub async fn run(&self) -> Result<(), CliError> {
        if let Some(wanted) = self.health {
            return self.ask(wanted).await;
        }
        let started = Instant::now();
        let mut found = CheckReport::default();
        let outcome = self.check(&mut found).await;
        found.took = started.elapsed();
        if self.json {
            print(&format!("{}\n", found.document(&outcome)))?;
        }
        outcome
    }

    /// Asks the running gateway. Status 1 also for a wrong configuration: 2 is reserved in health checks of
    /// containers, and the gateway may run on with the configuration that it has.
    async fn ask(&self, wanted: Health) -> Result<(), CliError> {
        let loaded = self.file.load().map_err(|errors| {
            let errors = errors.0.iter().map(ToString::to_string);
            CliError::Other(errors.collect::<Vec<_>>().join("; "))
        })?;
        let line = health::ask(&loaded.config.http, wanted).await;
        print(&format!("{}\n", line.map_err(CliError::Other)?))
    }

    async fn check(&self, found: &mut CheckReport) -> Result<(), CliError> {
        let loaded = self.file.load()?;
        let config = loaded.config;
        found.warnings = loaded.warnings;
        let certificates = Certificates::load(&config).map_err(CliError::Files)?;
        for warning in &certificates.warnings {
            tracing::warn!(target: "poly2mqtt::config", "{warning}");
        }
        found.warnings.extend(certificates.warnings);
        if !self.json {
            let good = counted(config.rooms.len(), "room");
            print(&format!("the configuration is good: {good}\n"))?;
        }
        if self.connect {
            self.try_all(&config, &loaded.room_order, found).await?;
        }
        match found.unusable() {
            Some(unusable) => Err(CliError::Other(format!("{unusable} cannot be used"))),
            None => Ok(()),
        }
    }

    /// Tries everything at once, and prints it in the order of the configuration.
    ///
    /// # Errors
    /// Something cannot be printed.
    async fn try_all(
        &self,
        config: &Config,
        room_order: &[RoomId],
        found: &mut CheckReport,
    ) -> Result<(), CliError> {
        let limits = SharedLimits::default();
        let progress = Progress::default();
        let mut trials: FuturesOrdered<LocalBoxFuture<'_, Trial>> = FuturesOrdered::new();
        for port in ports::try_ports(config).await {
            trials.push_back(std::future::ready(port).boxed_local());
        }
        if let Some(broker) = broker::try_broker(config) {
            trials.push_back(progress.of(broker).boxed_local());
        }
        for member in etcd::try_etcd(config) {
            trials.push_back(progress.of(member).boxed_local());
        }
        let in_order = room_order.iter();
        for (id, room) in in_order.filter_map(|id| config.rooms.get_key_value(id)) {
            let device = device::try_device(id, room, &limits);
            trials.push_back(progress.of(device).boxed_local());
        }
        // All devices are logged out of, even where nothing can be printed any more.
        let mut printed = Ok(());
        let mut print_from = |next: &mut usize, trials: &[Trial], is_known: bool| {
            // Whether a device's clock is off is said when all clocks are known: this machine's may be.
            let is_ready =
                |trial: &&Trial| is_known || !trial.clock_ahead.is_some_and(clock::is_off);
            for trial in trials.iter().skip(*next).take_while(is_ready) {
                *next += 1;
                if printed.is_ok() && !self.json {
                    printed = print(&trial.line());
                }
            }
        };
        let mut next = 0;
        while let Some(trial) = progress.shown_during(trials.next()).await {
            progress.clear();
            found.trials.push(trial);
            print_from(&mut next, &found.trials, false);
            progress.show();
        }
        progress.clear();
        judge_clocks(OffsetDateTime::now_utc(), &mut found.trials);
        print_from(&mut next, &found.trials, true);
        printed
    }
}

/// Adds what is to be said of the devices' clocks, and of this machine's, which says `now`, unless nothing speaks
/// against it.
fn judge_clocks(now: OffsetDateTime, trials: &mut Vec<Trial>) {
    let ahead: Vec<i64> = trials
        .iter()
        .filter_map(|trial| trial.clock_ahead)
        .collect();
    let machine = clock::of_machine(now.unix_timestamp(), &ahead);
    for trial in &mut *trials {
        let remark = trial
            .clock_ahead
            .and_then(|ahead| clock::of_device(&machine, ahead));
        if let Some(remark) = remark {
            trial.report += &format!("; {remark}");
        }
    }
    let (usable, report) = match machine {
        MachineClock::Plausible => return,
        MachineClock::Doubtful { told, .. } => (true, told),
        MachineClock::Wrong(told) => (false, told),
    };
    trials.push(Trial {
        subject: TrialSubject::Key("clock"),
        address: rfc3339(now),
        usable,
        report,
        took: Duration::ZERO,
        facts: Map::new(),
        clock_ahead: None,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_most_devices_say_of_this_machines_clock_is_said_once() {
        let now = OffsetDateTime::from_unix_timestamp(1_796_000_000).unwrap();
        let told = |ahead: &[i64]| {
            let trial = |ahead: &i64| Trial {
                subject: TrialSubject::Key("room"),
                address: String::new(),
                usable: true,
                report: "StudioX50".into(),
                took: Duration::ZERO,
                facts: Map::new(),
                clock_ahead: Some(*ahead),
            };
            let mut trials: Vec<Trial> = ahead.iter().map(trial).collect();
            judge_clocks(now, &mut trials);
            trials
                .into_iter()
                .map(|trial| trial.report)
                .collect::<Vec<_>>()
        };
        let reports = told(&[7200, 7201, 7199, 0]);
        assert_eq!(reports.len(), 5, "{reports:?}");
        assert!(reports[..4].iter().all(|report| report == "StudioX50"));
        assert!(reports[4].contains("3 devices of 4 are ahead of this machine's"));
        let reports = told(&[0, 7200, 0]);
        assert_eq!(reports.len(), 3, "{reports:?}");
        assert!(reports[1].starts_with("StudioX50; its clock is 2 h 0 min ahead"));
    }
}
