//! Starts and ends the checks of the room.
//!
//! At most one runs at a time. It runs beside the commands, and every command that changes something ends
//! it. The camera that it moves has its stop among the room's camera stops, whatever becomes of the run.

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::Instrument;

use super::{Actor, CameraEffect, CheckOrder, Done, Interruption};
use crate::catalogue::checked::{
    CALL_IN_MEETING, CALL_STATE, MEETINGS, MOVE_CAMERA, READINESS_RUN,
};
use crate::catalogue::{Call, Motion, Params, SESSION, TimeLimit, TopicKind};
use crate::command::{ErrorCode, Failure, Reply, Success, Transfer};
use crate::rooms::executor::{Executed, KnownUse, execute};
use crate::rooms::readiness::{Report, failure_event, login};
use crate::telemetry::command_span;

/// A check of the room that runs.
pub(super) struct RunningCheck {
    /// Who waits for its result; nobody if it is the daily one.
    reply: Option<Reply>,
    pub(super) interrupts: watch::Sender<Option<Interruption>>,
    /// The motion of the camera that it starts, with its stop.
    motion: Motion,
    /// When the camera is stopped, unless the run has done so.
    stop_due: Instant,
    /// A command has started or stopped the camera since.
    camera_is_taken: bool,
}

impl Actor {
    /// Starts the check that is asked for, or due. Without a device that has answered or failed so far,
    /// it waits.
    pub(super) fn start_checks(&mut self) {
        let is_known = self.availability.is_online() || self.publisher.problem().is_some();
        while (is_known || self.check.is_some())
            && let Some(ticket) = self.queue.take_check()
        {
            self.start_check(Some(ticket.reply));
        }
        if self.check.is_none()
            && is_known
            && let Some(daily) = &mut self.daily
            && daily.is_due((self.clock)())
        {
            self.start_check(None);
        }
    }

    /// When to look whether the daily check is due.
    pub(super) fn next_daily_check(&self) -> Option<Instant> {
        let daily = self.daily.as_ref().filter(|_| self.check.is_none())?;
        Some(Instant::now() + daily.next_look((self.clock)()))
    }

    fn start_check(&mut self, reply: Option<Reply>) {
        if self.check.is_some() {
            let message = "the room is being checked already; wait for its result";
            return self.end_check(reply, Err(Failure::new(ErrorCode::Busy, message)));
        }
        if !self.availability.is_online() {
            let problem = self.publisher.problem().unwrap_or_default();
            let report = Report::new(vec![login(None, Some(&problem))]);
            return self.end_check(reply, Ok(Success::new(200, report.to_json((self.clock)()))));
        }
        if !self.stops.is_empty() {
            let message = "a camera is being moved, so the room is not checked; run it again later";
            return self.end_check(reply, Err(Failure::new(ErrorCode::Busy, message)));
        }
        let call = Call::to(READINESS_RUN, Params::new());
        let (call, motion) = match call.and_then(|call| Ok((call, checked_motion()?))) {
            Ok(made) => made,
            Err(failure) => return self.end_check(reply, Err(failure)),
        };
        let (interrupts, interrupted) = watch::channel(None);
        let session = self.publisher.stored(SESSION).unwrap_or_default();
        let mut environment = self.environment(&call);
        environment.check = Some(CheckOrder {
            known: KnownUse {
                call: self.publisher.stored(CALL_STATE),
                in_meeting: self.publisher.stored(CALL_IN_MEETING),
                meetings: self.publisher.stored(MEETINGS),
            },
            dial: self.readiness_dial.clone(),
            preset: self.preset.clone(),
            paired: self.knowledge.known_devices(),
            user: session["userId"].as_str().map(str::to_owned),
            interrupts: interrupted,
        });
        let stop_due = self.device.deadline(TimeLimit::Minutes);
        self.stops.schedule(&motion, stop_due);
        self.check = Some(Box::new(RunningCheck {
            reply,
            interrupts,
            motion,
            stop_due,
            camera_is_taken: false,
        }));
        let device = self.device.clone();
        let executing = async move {
            let executed = execute(&device, call, environment, Transfer::None).await;
            Done::Checked(Box::new(executed))
        };
        let span = command_span(READINESS_RUN.as_str());
        self.run_beside(executing.instrument(span));
    }

    /// Ends the run, if one is under way.
    pub(super) fn interrupt_check(&mut self, why: Interruption) {
        let Some(check) = &mut self.check else { return };
        check.camera_is_taken |= why.takes_camera();
        check.interrupts.send_modify(|interruption| {
            // Whoever has taken the camera keeps it, unless the room's task ends.
            let keeps = interruption
                .as_ref()
                .is_some_and(Interruption::takes_camera);
            if !keeps || why == Interruption::Stopping {
                *interruption = Some(why);
            }
        });
    }

    /// A command of somebody starts. Queries disturb nothing.
    pub(super) fn command_interrupts_check(&mut self, call: &Call, effect: &CameraEffect) {
        if self.check.is_some() && call.route.kind() == TopicKind::Command {
            let takes_camera = matches!(effect, CameraEffect::Starts(_) | CameraEffect::Stops(_));
            self.interrupt_check(Interruption::Command {
                topic: call.route.topic.clone(),
                takes_camera,
            });
        }
    }

    /// The run has ended.
    pub(super) fn checked(&mut self, executed: Executed) {
        let Some(check) = self.check.take() else {
            return;
        };
        let now = Instant::now();
        if check.camera_is_taken {
            // The stop of whoever took it has replaced the one of the run, or removed it.
            self.stops.reschedule(check.stop_due, now);
        } else if executed.camera_may_move {
            self.stops.schedule_repeated(&check.motion, now);
        } else {
            let sent = self.stops.sent(check.motion.camera);
            self.stops.stopped(&sent, now);
        }
        self.take_read_back(executed.readings, executed.spelled);
        self.end_check(check.reply, executed.result);
        self.note_device_trouble(executed.problem, executed.unanswered);
    }

    /// Publishes the report, and gives the result to whoever waits for it.
    fn end_check(&mut self, reply: Option<Reply>, result: Result<Success, Failure>) {
        match &result {
            Ok(success) => {
                self.publisher.report(&success.body);
                self.tell_report(&success.body);
            }
            Err(failure) if reply.is_none() => {
                self.telemetry()
                    .daily_check_postponed(&self.room, &failure.message);
            }
            Err(_) => {}
        }
        let Some(reply) = reply else {
            if let Some(daily) = &mut self.daily {
                let now = (self.clock)();
                match result {
                    Ok(_) => daily.done(now),
                    Err(_) => daily.postpone(now),
                }
            }
            return;
        };
        self.publisher.answer(reply, result);
    }

    fn tell_report(&self, report: &Value) {
        let Some(event) = failure_event(report) else {
            return self.telemetry().room_ready(&self.room);
        };
        let failed = event["failed"].as_array().into_iter().flatten();
        let messages: Vec<_> = failed
            .filter_map(|check| check["message"].as_str())
            .collect();
        self.telemetry().room_not_ready(&self.room, &messages);
    }
}

/// The motion of the camera that a run starts, with its stop.
fn checked_motion() -> Result<Motion, Failure> {
    Motion::of(&Call::to(MOVE_CAMERA, Params::new())?)
}
