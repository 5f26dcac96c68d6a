//! What a run is made of, from environment variables.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use crate::proxy::MEMBERS;

#[derive(Debug, Clone)]
pub struct Settings {
    pub seed: u64,
    /// How long random acts go on. The fixed ones come first and take as long as they take.
    pub length: Duration,
    /// The rooms of all gateways together.
    pub rooms: usize,
    /// How often each of the fixed acts is made; 0 for a run of half a minute with some of them, which measures no
    /// costs.
    pub thoroughness: u64,
    /// The commands of each second while nothing happens.
    pub rate: u64,
    /// The intervals of `[poll]` in milliseconds: fast, normal, slow.
    pub poll: [u64; 3],
    /// The measured times count in full. Otherwise, in a build without optimization, three times as long is
    /// allowed.
    pub strict: bool,
    /// Where the gateways' and etcd's logs and configurations stay after the run.
    pub keep: Option<PathBuf>,
}

impl Settings {
    /// The rooms of one gateway, if all have as many.
    pub fn share(&self) -> usize {
        self.rooms.div_ceil(MEMBERS)
    }

    /// The rooms of a gateway that runs beside the cluster for comparison, where costs are measured.
    pub fn rooms_beside(&self) -> Range<usize> {
        let share = match self.thoroughness {
            0 => 0,
            _ => self.share(),
        };
        self.rooms..self.rooms + share
    }

    /// A short run, unless `POLY2MQTT_CLUSTER_…` says otherwise.
    pub fn from_environment() -> Self {
        let number = |name: &str| {
            let value = std::env::var(format!("POLY2MQTT_CLUSTER_{name}")).ok()?;
            Some(value.parse::<u64>().expect("a whole number"))
        };
        let seconds = number("SECONDS").unwrap_or(0);
        let thoroughness = match seconds {
            0 => 0,
            1..=600 => 1,
            _ => 5,
        };
        let rooms = number("ROOMS").unwrap_or(if seconds == 0 { 24 } else { 60 });
        // After each act the run waits until every room has read everything again. Nine thousand simulated devices need
        // their part of the machine.
        let poll = match rooms {
            0..30 => [1000, 2000, 4000],
            30..=300 => [1000, 2000, 10_000],
            _ => [10_000, 75_000, 300_000],
        };
        Self {
            seed: number("SEED").unwrap_or(1),
            length: Duration::from_secs(seconds),
            rooms: usize::try_from(rooms).unwrap(),
            thoroughness: number("THOROUGHNESS").unwrap_or(thoroughness),
            rate: number("RATE").unwrap_or(20),
            poll,
            strict: number("STRICT").map_or(!cfg!(debug_assertions), |strict| strict > 0),
            keep: std::env::var_os("POLY2MQTT_CLUSTER_KEEP").map(PathBuf::from),
        }
    }
}
