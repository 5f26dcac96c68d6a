//! A room's device: logs in, and says what it is, what it lacks, and whether its clock is right.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::report::{Trial, TrialSubject};
use crate::config::{Certificate, RoomConfig, RoomId};
use crate::device::{Device, DeviceIdentity, DeviceTimings, SharedLimits};
use crate::listed::listed;
use crate::rooms::{LackingRead, device_settings, lacking_reads};

/// At most this many states are named that a device does not bring.
const STATES_NAMED: usize = 8;

/// Logs in to one device and says what it is.
pub async fn try_device(id: &RoomId, room: &RoomConfig, limits: &SharedLimits) -> Trial {
    let started = Instant::now();
    let settings = device_settings(room, &DeviceTimings::default(), &Arc::default(), limits);
    let found = match Device::new(settings) {
        Ok(device) => log_in(&device, room, started).await,
        Err(report) => Found {
            report,
            ..Found::default()
        },
    };
    Trial {
        subject: TrialSubject::Room(id.clone()),
        address: room.url.to_string(),
        usable: found.usable,
        report: found.report,
        took: started.elapsed(),
        facts: found.facts,
        clock_ahead: found.clock_ahead,
    }
}

/// What is known of a device.
#[derive(Default)]
struct Found {
    usable: bool,
    report: String,
    facts: Map<String, Value>,
    clock_ahead: Option<i64>,
}

/// Whether the device can be used, and what it is or why not.
async fn log_in(device: &Device, room: &RoomConfig, started: Instant) -> Found {
    let logged_in = device.log_in().await;
    let log_in_took = started.elapsed();
    let fingerprint = device.fingerprint();
    let mut found = match logged_in {
        // The problem names the fingerprint itself.
        Err(problem) => Found {
            report: problem.to_string(),
            facts: [("problem".to_owned(), json!(problem.code))]
                .into_iter()
                .collect(),
            ..Found::default()
        },
        Ok(_) => usable(device, room, log_in_took).await,
    };
    if let Some(fingerprint) = fingerprint {
        found.facts.insert("fingerprint".into(), fingerprint.into());
    }
    device.close().await;
    if device.leaves_session() {
        let told = "; it has no log-out, so this check has left a session there";
        found.report.push_str(told);
    }
    found
}

/// What a device is that has let the gateway in.
async fn usable(device: &Device, room: &RoomConfig, log_in_took: Duration) -> Found {
    let asked = OffsetDateTime::now_utc();
    let system = device.system().await;
    let answered = OffsetDateTime::now_utc();
    let identity = DeviceIdentity::of(&system);
    let between = asked.unix_timestamp() + (answered - asked).whole_seconds() / 2;
    let clock_ahead = system["systemTime"].as_i64();
    let clock_ahead = clock_ahead.map(|time| (time / 1000).saturating_sub(between));
    let lacking = lacking_reads(device, &room.settings).await;

    let fingerprint = device.fingerprint().unwrap_or_default();
    let certificate = match room.certificate {
        Certificate::Insecure => {
            format!("{identity}; to pin it, set certificate = \"{fingerprint}\"")
        }
        _ => format!("{identity}, certificate {fingerprint}"),
    };
    let log_in = format!("logged in within {} ms", log_in_took.as_millis());
    let remarks = [told_lacking(&lacking), told_failing(&lacking)];
    let remarks = remarks.into_iter().flatten();
    let parts: Vec<String> = [certificate, log_in].into_iter().chain(remarks).collect();
    let lacks = lacking
        .iter()
        .map(|read| json!({"path": read.path, "states": read.states, "why": read.why}));
    let facts = [
        ("model", identity.model().into()),
        ("firmware", identity.firmware().into()),
        (
            "log_in_ms",
            u64::try_from(log_in_took.as_millis())
                .unwrap_or(u64::MAX)
                .into(),
        ),
        ("clock_ahead_s", clock_ahead.into()),
        ("lacks", lacks.collect()),
    ];
    Found {
        usable: true,
        report: parts.join("; "),
        facts: facts
            .map(|(name, fact): (&str, Value)| (name.to_owned(), fact))
            .into_iter()
            .collect(),
        clock_ahead,
    }
}

/// The states of reads that the device does not have.
fn told_lacking(reads: &[LackingRead]) -> Option<String> {
    let lacking = reads.iter().filter(|read| read.why.is_none());
    named(lacking.flat_map(|read| &read.states)).map(|states| format!("it lacks {states}"))
}

/// The states of reads that the device has and does not answer now, with the first reason.
fn told_failing(reads: &[LackingRead]) -> Option<String> {
    let failing = || reads.iter().filter(|read| read.why.is_some());
    let states = named(failing().flat_map(|read| &read.states))?;
    let why = failing().find_map(|read| read.why.as_deref())?;
    Some(format!("it does not tell {states} now: {why}"))
}

/// The first names, and how many more there are; none of none.
fn named<'a>(names: impl Iterator<Item = &'a String>) -> Option<String> {
    let names: Vec<&String> = names.collect();
    (!names.is_empty()).then(|| listed(&names, STATES_NAMED))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(states: &[&str], why: Option<&str>) -> LackingRead {
        LackingRead {
            path: "/rest/x",
            states: states.iter().map(|state| (*state).to_owned()).collect(),
            why: why.map(str::to_owned),
        }
    }

    #[test]
    fn what_is_lacking_and_what_fails_are_told_apart() {
        let reads = [
            read(&["system/mode"], None),
            read(&["audio/volume", "audio/muted"], Some("answered 500")),
            read(&["calls"], None),
        ];
        let lacking = told_lacking(&reads).unwrap();
        assert_eq!(lacking, "it lacks system/mode, calls");
        let failing = told_failing(&reads).unwrap();
        assert_eq!(
            failing,
            "it does not tell audio/volume, audio/muted now: answered 500"
        );
        assert_eq!(told_lacking(&[]).or(told_failing(&[])), None);
        let many = [read(
            &["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"],
            None,
        )];
        assert!(told_lacking(&many).unwrap().ends_with("h and 2 more"));
    }
}
