//! The checks: compares what was sent and answered with what the devices did.

mod stops;
mod turns;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::commands::{MarkKind, Proof};
use crate::evidence::{Rooms, Seen};
use crate::ledger::{Reached, Sent};
use crate::report::Check;
use crate::timeline::Cause;
use crate::world::World;

/// A command gets its result within this time or not at all.
pub const LIFE: Duration = Duration::from_secs(25);
/// The default of `max_command_age`.
const MAX_AGE: Duration = Duration::from_secs(5);
/// The effects of a fault may show this long before or after it.
const MARGIN: Duration = Duration::from_millis(600);

const NOT_CARRIED_OUT: &[&str] = &[
    "busy",
    "expired",
    "ignored_retained",
    "invalid_payload",
    "locked_out",
    "superseded",
    "unauthorized",
    "unknown_command",
    "unknown_room",
];

pub struct Judge<'a> {
    pub world: &'a World,
    pub sent: &'a [Sent],
    pub rooms: &'a Rooms,
}

impl Judge<'_> {
    pub fn everything(&self) {
        for sent in self.sent {
            self.results(sent);
            self.proof(sent);
        }
        self.order();
        self.keys_and_toggles();
        self.stops();
    }

    fn count(&self, check: Check, what: &'static str) {
        self.world.report.count(check, what, 1);
    }

    fn violation(&self, check: Check, message: &str, sent: &Sent, seen: &[Seen]) {
        let timeline = &self.world.timeline;
        let command = &sent.command;
        let payload = String::from_utf8_lossy(&command.payload);
        let mut text = format!(
            "{message}\n    client {} sent {}/{} {:.120} ({}{}), reached: {:?}",
            sent.client,
            command.room,
            command.topic,
            payload,
            if command.acknowledged {
                "QoS 1"
            } else {
                "QoS 0"
            },
            if command.retained { ", retained" } else { "" },
            sent.reached,
        );
        for got in &sent.results {
            text += &format!(
                "\n    {} result {:.300}",
                timeline.seconds(got.at),
                got.result
            );
        }
        for seen in seen {
            text += &format!("\n    {} device: {}", timeline.seconds(seen.at), seen.line);
        }
        self.world
            .report
            .violation(timeline, check, self.room(sent), &text, sent.at);
    }

    fn room(&self, sent: &Sent) -> Option<usize> {
        let rooms = &self.world.rooms;
        rooms
            .iter()
            .position(|room| room.target.id == sent.command.room)
    }

    fn seen(&self, sent: &Sent, shown: &str) -> &[Seen] {
        let room = self.room(sent).and_then(|room| self.rooms.get(&room));
        room.and_then(|room| room.marks.get(shown))
            .map_or(&[], Vec::as_slice)
    }

    fn results(&self, sent: &Sent) {
        self.count(Check::Results, "sent");
        let reached = !matches!(sent.reached, Reached::No | Reached::Maybe);
        if reached {
            self.count(Check::Results, "reached");
        }
        let [first, more @ ..] = sent.results.as_slice() else {
            if owed(self.world, sent) {
                self.violation(Check::Results, "no result", sent, &[]);
            } else if reached {
                self.count(Check::Results, "lost with what died");
            }
            return;
        };
        self.count(Check::Results, "answered");
        self.world.report.code(sent.code().unwrap_or("nonsense"));
        let id = &first.result["request_id"];
        if !id.is_null() && *id != crate::commands::mark(sent.command.id) {
            self.violation(Check::Results, "another command's request_id", sent, &[]);
        }
        for again in more {
            let broken = self.world.timeline.any(
                &[
                    Cause::Broker,
                    Cause::Kill,
                    Cause::Stop,
                    Cause::Link,
                    Cause::Absent,
                ],
                first.at - MARGIN,
                again.at + MARGIN,
            );
            // Every gateway that connects answers a retained command.
            let retained = sent.command.retained && sent.code() == Some("ignored_retained");
            let broken = broken && sent.reached != Reached::Held;
            if broken && (first.result == again.result || retained) {
                self.count(Check::Results, "delivered again after a lost connection");
            } else {
                self.violation(Check::Results, "two results", sent, &[]);
            }
        }
    }

    /// Whether the room's device or the path to it failed while the command was under way, or the
    /// gateway was stopped.
    fn touched(&self, sent: &Sent, seen: &[Seen]) -> bool {
        let Some(got) = sent.results.first() else {
            return true;
        };
        let faults = [Cause::Room as fn(usize) -> Cause, Cause::Late];
        let room = self.room(sent);
        let mut causes = vec![Cause::Kill, Cause::Stop];
        causes.extend(faults.iter().filter_map(|fault| room.map(fault)));
        seen.iter().any(|seen| seen.faulty)
            || self
                .world
                .timeline
                .any(&causes, sent.at - MARGIN, got.at + MARGIN)
    }

    fn proof(&self, sent: &Sent) {
        let code = sent.code();
        if code == Some("outcome_unknown") {
            self.count(Check::Truth, "unknown");
        }
        let Proof::Mark(shown, kind) = &sent.command.proof else {
            if code == Some("outcome_unknown") && !self.touched(sent, &[]) {
                self.violation(Check::Truth, "unknown, but no fault was near", sent, &[]);
            }
            return;
        };
        let seen = self.seen(sent, shown);
        let carried = seen.iter().filter(|seen| seen.carried()).count();
        let judged = seen.iter().filter(|seen| seen.judged()).count();
        if matches!(kind, MarkKind::Once | MarkKind::Search) {
            self.count(Check::Once, "sent once");
            self.world
                .report
                .count(Check::Once, "carried out", carried as u64);
            if carried > 1 || (*kind == MarkKind::Once && judged > 1) {
                self.violation(Check::Once, "carried out twice", sent, seen);
            }
        }
        self.age(sent, seen);
        if *kind == MarkKind::Wrong {
            self.count(Check::Truth, "wrong");
            if !seen.is_empty() || code == Some("ok") {
                self.violation(Check::Truth, "what is wrong was carried out", sent, seen);
            }
            return;
        }
        let Some(code) = code else { return };
        match code {
            "ok" => {
                self.count(Check::Truth, "ok");
                if carried == 0 {
                    self.violation(Check::Truth, "ok, but not carried out", sent, seen);
                }
            }
            "outcome_unknown" => {
                if !self.touched(sent, seen) {
                    self.violation(Check::Truth, "unknown, but no fault was near", sent, seen);
                }
            }
            code => {
                self.count(Check::Truth, "errors");
                // The answer to a command that cannot be read is an error that says so.
                let spoilt = code == "device_error" && seen.iter().any(|seen| seen.spoilt);
                let definite = match kind {
                    _ if spoilt => false,
                    MarkKind::Once => true,
                    // What it created to get its answer is gone again.
                    MarkKind::Search => false,
                    _ => NOT_CARRIED_OUT.contains(&code),
                };
                if definite && carried > 0 {
                    self.violation(Check::Truth, "an error, but carried out", sent, seen);
                }
            }
        }
    }

    /// Checks that a command that waited too long does not reach the device. A device that answers late
    /// is no excuse; other faults are.
    fn age(&self, sent: &Sent, seen: &[Seen]) {
        let (Some(first), Some(room)) = (seen.first(), self.room(sent)) else {
            return;
        };
        let wanted = sent.command.expiry.map(u64::from).map(Duration::from_secs);
        let wanted = wanted.map_or(MAX_AGE, |wanted| wanted.min(MAX_AGE));
        let excuses = [
            Cause::Room(room),
            Cause::Absent,
            Cause::Link,
            Cause::Stop,
            Cause::Kill,
            Cause::Broker,
        ];
        if self
            .world
            .timeline
            .any(&excuses, sent.at - MARGIN, first.came)
        {
            return;
        }
        self.count(Check::Truth, "young enough");
        if first.came > sent.at + wanted + MARGIN {
            self.violation(Check::Truth, "carried out too late", sent, seen);
        }
    }

    /// Checks that commands were carried out in the order in which they were sent.
    fn order(&self) {
        let mut last: BTreeMap<(usize, &str), (Instant, &Sent)> = BTreeMap::new();
        for sent in self.sent {
            let Proof::Mark(shown, MarkKind::Once | MarkKind::Again) = &sent.command.proof else {
                continue;
            };
            if !sent.command.acknowledged || sent.code() != Some("ok") {
                continue;
            }
            let mut seen = self.seen(sent, shown).iter().filter(|seen| seen.carried());
            let Some(seen) = seen.next() else { continue };
            let of = (sent.client, sent.command.room.as_str());
            if let Some((before, earlier)) = last.insert(of, (seen.at, sent)) {
                self.count(Check::Order, "pairs");
                if before > seen.at {
                    let message = format!("carried out before {:?}", earlier.command);
                    self.violation(Check::Order, &message, sent, &[]);
                }
            }
        }
    }
}

/// Whether a command must have a result: no fault that could lose it happened while it was under way.
pub fn owed(world: &World, sent: &Sent) -> bool {
    let end = sent.results.first().map_or(sent.at + LIFE, |got| got.at);
    let happened = |causes: &[Cause]| world.timeline.any(causes, sent.at - MARGIN, end);
    let lost = happened(&[Cause::Broker, Cause::Kill]);
    let away = || happened(&[Cause::Absent, Cause::Stop, Cause::Link]);
    match sent.reached {
        Reached::No | Reached::Maybe => false,
        Reached::Held => true,
        Reached::Unacknowledged => !lost && !away(),
        // A message may expire at the broker while the gateway is away.
        Reached::Yes if sent.command.expiry.is_some() => !lost && !away(),
        Reached::Yes => !lost,
    }
}
