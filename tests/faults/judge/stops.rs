//! Checks that every camera that was started is stopped, whatever happened to the client.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::{Judge, LIFE};
use crate::commands::camera_path;
use crate::evidence::{CameraRequest, Evidence, Run};
use crate::ledger::Sent;
use crate::report::Check;
use crate::timeline::Cause;

/// Without a fault a stop is at most this late.
const LATE: Duration = Duration::from_millis(1500);
/// After a fault a room needs this long until it can stop a camera.
const RECOVERS: Duration = Duration::from_secs(7);
/// A move without a limit ends after this time.
const LONGEST_MOVE: Duration = Duration::from_secs(10);

/// The starts and stops of the same camera before and after a run began.
fn near<'a>(evidence: &'a Evidence, run: &'a Run) -> impl Iterator<Item = &'a CameraRequest> {
    let (from, to) = (run.started - RECOVERS, run.started + 3 * LONGEST_MOVE);
    evidence.camera_requests.iter().filter(move |request| {
        request.path == run.path && request.answered >= from && request.came <= to
    })
}

impl Judge<'_> {
    pub(super) fn stops(&self) {
        for (room, evidence) in self.rooms {
            for run in &evidence.runs {
                self.run(*room, evidence, run);
            }
        }
    }

    /// Checks that a started camera is stopped in time, unless the gateway was killed.
    fn run(&self, number: usize, evidence: &Evidence, run: &Run) {
        let (world, timeline) = (self.world, &self.world.timeline);
        self.count(Check::Stops, "moves");
        let due = run.started + self.longest(number, run);
        let end = run.stopped.unwrap_or_else(Instant::now);
        if timeline.any(&[Cause::Kill], run.started - RECOVERS, end) {
            self.count(Check::Stops, "given up with a kill");
            return;
        }
        // If the path fails while the gateway is asked to stop, it cannot stop the camera.
        let hindered = [Cause::Room(number), Cause::Late(number)];
        if timeline.both(Cause::Stop, &hindered, RECOVERS, run.started, end) {
            self.count(Check::Stops, "given up with a stop");
            return;
        }
        // A move that lasts until the next one begins ends with it.
        let next = evidence
            .runs
            .iter()
            .any(|next| next.path == run.path && next.started > run.started && next.started < end);
        if next {
            self.count(Check::Stops, "moved on");
            return;
        }
        let late = end.saturating_duration_since(due);
        let causes = [Cause::Room(number), Cause::Late(number), Cause::Stop];
        let calm = timeline.calm(&causes, RECOVERS, due, end);
        if !timeline.any(&causes, run.started - RECOVERS, end) {
            let late = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
            world
                .report
                .most(Check::Stops, "latest undisturbed, ms", late);
        }
        if calm > LATE || run.stopped.is_none() {
            let mut message = format!(
                "room {}: {} moved, was due to stop at {} and {}",
                world.rooms[number].target.id,
                run.path,
                timeline.seconds(due),
                match run.stopped {
                    Some(at) => format!("stopped at {}", timeline.seconds(at)),
                    None => "did not".into(),
                }
            );
            for request in near(evidence, run) {
                let (came, answered) = (request.came, request.answered);
                let (came, answered) = (timeline.seconds(came), timeline.seconds(answered));
                let _ = write!(message, "\n    {came} to {answered}: {}", request.line);
            }
            world
                .report
                .violation(timeline, Check::Stops, Some(number), &message, run.started);
        }
    }

    /// How long the commands that may have started this camera allow it to run.
    fn longest(&self, number: usize, run: &Run) -> Duration {
        let id = self.world.rooms[number].target.id;
        let moves = self.sent.iter().filter(|sent| {
            let path = camera_path(&sent.command.topic);
            sent.command.room == id
                && sent.at <= run.started
                && sent.at + LIFE > run.started
                && path.is_some_and(|(path, word)| word == "move" && run.path.starts_with(path))
        });
        let lasts = |sent: &Sent| {
            let payload: Value = serde_json::from_slice(&sent.command.payload).unwrap_or_default();
            let milliseconds = payload["duration_ms"].as_u64();
            milliseconds.map_or(LONGEST_MOVE, Duration::from_millis)
        };
        moves.map(lasts).max().unwrap_or(LONGEST_MOVE)
    }
}
