//! A check of the room: reads, a move of the camera, and a call.
//!
//! Sends what `rooms::readiness` decides. It is interrupted by every command of somebody else, and by the
//! end of the room's task; then the camera is stopped and the call is hung up, and the run has no report.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::Executor;
use crate::catalogue::checked::{
    CALENDAR_STATE, CALL_IN_MEETING, CALL_STATE, DIAL, H323_GATEKEEPERS, HANG_UP_CONNECTION,
    MEETINGS, MICROPHONES_CONNECTED, MOVE_CAMERA, NEAR_CAMERAS, NEAR_SELECTED_PEOPLE, SIP_SERVERS,
    STOP_CAMERA, next_meeting_start,
};
use crate::catalogue::{
    ACTIVATE_PRESET, CALLS, Call, CallConnection, CommandTopic, DEVICES, PRESET_PARAMETER,
    PairedDevice, Params, StateTopic, TimeLimit, connections, truth,
};
use crate::command::{ErrorCode, Failure, Success};
use crate::rooms::readiness::{
    CallStep, Check, Interruption, Report, StateReading, TestCall, calendar, cameras, login,
    microphones, moves, obstacle, panels, registrations,
};

/// How long the camera moves each way: long enough to be a move, too short to lose the picture.
const MOVE_DURATION: Duration = Duration::from_millis(400);
/// The wait after a hang-up before the calls are looked at: the device takes a moment.
const HANG_UP_WAIT: Duration = Duration::from_millis(500);
const MOVE_CHECK: &str = "camera_move";
/// Give up after this many reads in a row without an answer. A single endpoint may hang.
const MOST_UNANSWERED: u32 = 2;

/// Whether the device still answers while it is checked.
#[derive(Debug, Default)]
pub(super) struct Silence {
    /// How many reads in a row were not answered.
    unanswered: u32,
    /// Why the device cannot be asked any more.
    lost: Option<String>,
}

impl Silence {
    fn answered(&mut self) {
        self.unanswered = 0;
    }

    fn failed(&mut self, failure: &Failure, has_problem: bool) {
        if failure.code == ErrorCode::Timeout {
            self.unanswered += 1;
        }
        if has_problem || self.unanswered >= MOST_UNANSWERED {
            self.lost = Some(failure.message.clone());
        }
    }
}

/// How the room is used, as its states say. One read that fails does not undo what the device told before.
#[derive(Debug, Clone, Default)]
pub struct KnownUse {
    /// `call/state`.
    pub call: Option<Value>,
    /// `call/in_meeting`.
    pub in_meeting: Option<Value>,
    /// `calendar/meetings`.
    pub meetings: Option<Value>,
}

/// What a check of the room needs to know.
#[derive(Debug, Clone)]
pub struct CheckOrder {
    /// How the room is used, as far as it is known.
    pub known: KnownUse,
    /// The address of the test call; no call without one.
    pub dial: Option<String>,
    /// The preset that the camera stands at, if that is known.
    pub preset: Option<String>,
    /// The devices that were paired at some time.
    pub paired: Vec<PairedDevice>,
    /// The user that the gateway is logged in as.
    pub user: Option<String>,
    /// Tells when the run is to end, and why.
    pub interrupts: watch::Receiver<Option<Interruption>>,
}

impl CheckOrder {
    fn interrupted(&self) -> Option<Interruption> {
        self.interrupts.borrow().clone()
    }

    fn uninterrupted(&self) -> Result<(), Failure> {
        self.interrupted().map_or(Ok(()), |why| Err(why.failure()))
    }

    /// Waits until the run is interrupted.
    async fn interruption(&mut self) {
        // The other end is gone when the room's task is: this future is then too.
        let _ = self.interrupts.wait_for(Option::is_some).await;
    }

    /// Waits this long, or until the run is interrupted.
    async fn wait(&mut self, time: Duration) {
        tokio::select! {
            () = sleep(time) => {}
            () = self.interruption() => {}
        }
    }
}

/// How a move of the camera ended.
enum CameraMove {
    /// It was started and stopped.
    Done,
    /// The device refused one of the two, or did not answer.
    Failed(Failure),
}

/// What was read, or else what is known. `doubt` gets the reason why the newer is not known: the device does not tell
/// now what it has told before. What it never told says nothing: an endpoint that fails for ever, such as that of a
/// calendar that nobody uses, does not keep the room from being checked.
fn seen_or_known(
    seen: StateReading,
    known: &Option<Value>,
    doubt: &mut Option<String>,
) -> Option<Value> {
    let why = match seen {
        StateReading::Value(value) => return Some(value),
        StateReading::Failed(_) | StateReading::Missing if known.is_none() => return None,
        StateReading::Failed(why) => why,
        StateReading::Missing => "the device does not tell it any more".to_owned(),
    };
    doubt.get_or_insert(why);
    known.clone()
}

impl Executor<'_> {
    /// Checks the room, and answers with the report.
    pub(super) async fn check_room(&mut self) -> Result<Success, Failure> {
        let Some(mut order) = self.environment.check.take() else {
            let message = "the room cannot be checked now";
            return Err(Failure::new(ErrorCode::Unsupported, message));
        };
        // Its readings are its own: of the calls alone it is known at the end how they are.
        self.environment.readings = Arc::default();
        let checks = self.all_checks(&mut order).await;
        self.environment.readings.take();
        if order.dial.is_some() {
            let _ = self.see(CALLS).await;
        }
        let report = Report::new(checks?);
        Ok(Success::new(
            200,
            report.to_json(self.environment.context.now),
        ))
    }

    async fn all_checks(&mut self, order: &mut CheckOrder) -> Result<Vec<Check>, Failure> {
        let doubt = self.find_obstacle(&order.known).await?;
        let mut checks = vec![login(order.user.as_deref(), None)];
        checks.extend(microphones(&self.see(MICROPHONES_CONNECTED).await));
        checks.extend(cameras(&self.see(NEAR_CAMERAS).await));
        let sip = self.see(SIP_SERVERS).await;
        checks.extend(registrations(&sip, &self.see(H323_GATEKEEPERS).await));
        checks.extend(calendar(&self.see(CALENDAR_STATE).await));
        checks.extend(panels(&self.see(DEVICES).await, &order.paired));
        if let Some(problem) = &self.silence.lost {
            return Ok(vec![login(None, Some(problem))]);
        }
        if let Some(why) = doubt {
            let message = format!(
                "it is not known whether the room is in a call or soon in a meeting, so the camera \
                 was not moved and nobody was called: {why}"
            );
            checks.push(Check::failed("call", message));
            return Ok(checks);
        }
        order.uninterrupted()?;
        checks.extend(self.check_camera_move(order).await?);
        if let Some(address) = order.dial.clone() {
            order.uninterrupted()?;
            checks.push(self.check_call(order, &address).await?);
        }
        Ok(checks)
    }

    /// Reads a state now, unless the device does not answer any more.
    async fn see(&mut self, state: StateTopic) -> StateReading {
        match &self.silence.lost {
            Some(problem) => StateReading::Failed(problem.clone()),
            None => self.see_anyway(state).await,
        }
    }

    async fn see_anyway(&mut self, state: StateTopic) -> StateReading {
        self.deadline = self.device.deadline(TimeLimit::Ordinary);
        // Nothing is moved, and nobody called, because of an answer that is not quite a Poly device's.
        let read = self.read_state_for_sure(state).await;
        match &read {
            Ok(_) => self.silence.answered(),
            Err(failure) => self.silence.failed(failure, self.problem.is_some()),
        }
        match read {
            Ok(Value::Null) => StateReading::Missing,
            Ok(value) => StateReading::Value(value),
            Err(failure) if failure.code == ErrorCode::Unsupported => StateReading::Missing,
            Err(failure) => StateReading::Failed(failure.message),
        }
    }

    /// Fails if the room is in use, or soon will be. Gives the reason if that is not known.
    async fn find_obstacle(&mut self, known: &KnownUse) -> Result<Option<String>, Failure> {
        let mut doubt = None;
        let call = self.see(CALL_STATE).await;
        // Every device can say whether it is in a call.
        if let (StateReading::Failed(why), None) = (&call, &known.call) {
            doubt = Some(why.clone());
        }
        let call = seen_or_known(call, &known.call, &mut doubt);
        let meeting = self.see(CALL_IN_MEETING).await;
        let meeting = seen_or_known(meeting, &known.in_meeting, &mut doubt);
        let meetings = self.see(MEETINGS).await;
        let meetings = seen_or_known(meetings, &known.meetings, &mut doubt);
        let now = self.environment.context.now;
        let state = call.as_ref().and_then(Value::as_str);
        let in_meeting = meeting.as_ref().and_then(truth) == Some(true);
        let starts = meetings.and_then(|list| next_meeting_start(&list, now));
        match obstacle(state, in_meeting, starts, now) {
            Some(why) => Err(Failure::new(ErrorCode::Busy, why)),
            None => Ok(doubt),
        }
    }

    /// Moves the camera a little and back, and to its preset if that is known. Every start is followed by
    /// a stop, whatever the device answers.
    async fn check_camera_move(
        &mut self,
        order: &mut CheckOrder,
    ) -> Result<Option<Check>, Failure> {
        match self.see(NEAR_SELECTED_PEOPLE).await {
            // Another check reports a missing camera.
            StateReading::Missing => return Ok(None),
            StateReading::Value(camera) if truth(&camera["connected"]) == Some(false) => {
                return Ok(None);
            }
            StateReading::Value(camera) if !moves(&camera) => {
                return Ok(Some(Check::passed(MOVE_CHECK, "this camera does not move")));
            }
            StateReading::Value(_) => {}
            StateReading::Failed(why) => {
                let message = format!("the camera could not be read: {why}");
                return Ok(Some(Check::failed(MOVE_CHECK, message)));
            }
        }
        for (direction, way) in [("left", "moved"), ("right", "moved back")] {
            if let CameraMove::Failed(failure) = self.move_camera(direction, order).await? {
                return Ok(Some(match failure.code {
                    ErrorCode::Unsupported | ErrorCode::ModeLocked => {
                        let message =
                            format!("the camera cannot be moved now: {}", failure.message);
                        Check::passed(MOVE_CHECK, message)
                    }
                    _ => Check::failed(
                        MOVE_CHECK,
                        format!(
                            "the camera could not be {way}: {}; check the camera, then restart the \
                             device",
                            failure.message
                        ),
                    ),
                }));
            }
        }
        let Some(preset) = order.preset.clone() else {
            let message = "the camera moved and was moved back";
            return Ok(Some(Check::passed(MOVE_CHECK, message)));
        };
        let params = vec![(PRESET_PARAMETER, preset.clone())];
        let recalled = self.command(ACTIVATE_PRESET, params).await;
        Ok(Some(match recalled {
            Ok(_) => Check::passed(
                MOVE_CHECK,
                format!("the camera moved and came back to preset {preset}"),
            ),
            Err(failure) => Check::failed(
                MOVE_CHECK,
                format!(
                    "the camera moved, but did not come back to preset {preset}: {}; recall the \
                     preset by hand",
                    failure.message
                ),
            ),
        }))
    }

    /// One start of the camera, with its stop.
    ///
    /// # Errors
    /// The run was interrupted.
    async fn move_camera(
        &mut self,
        direction: &'static str,
        order: &mut CheckOrder,
    ) -> Result<CameraMove, Failure> {
        order.uninterrupted()?;
        let start = Call::parse(
            MOVE_CAMERA.as_str(),
            &Bytes::from_static(direction.as_bytes()),
            &mut None,
        )?;
        self.deadline = self.device.deadline(TimeLimit::Ordinary);
        self.camera_may_move = true;
        let started = self.request(&start).await;
        if started.is_ok() {
            order.wait(MOVE_DURATION).await;
        }
        if order.interrupted().is_some_and(|why| why.takes_camera()) {
            // A stop now would end somebody's own move, which has its own stop.
            order.uninterrupted()?;
        }
        let stopped = self.command(STOP_CAMERA, Params::new()).await;
        // A start without an answer may still reach the camera behind the stop.
        let is_unsure = started
            .as_ref()
            .is_err_and(|failure| failure.code.is_unsure());
        self.camera_may_move = is_unsure || (started.is_ok() && stopped.is_err());
        order.uninterrupted()?;
        Ok(match started.and(stopped) {
            Ok(_) => CameraMove::Done,
            Err(failure) => CameraMove::Failed(failure),
        })
    }

    /// Calls an address, and hangs up whatever happens.
    async fn check_call(
        &mut self,
        order: &mut CheckOrder,
        address: &str,
    ) -> Result<Check, Failure> {
        match self.see(CALLS).await {
            StateReading::Value(list) if connections(&list).is_empty() => {}
            StateReading::Value(_) => {
                let message = "a call has begun, so nobody was called; run it again after the call";
                return Err(Failure::new(ErrorCode::Busy, message));
            }
            StateReading::Missing => {
                return Ok(Check::passed("call", "this device places no calls"));
            }
            StateReading::Failed(why) => {
                let message = format!("nobody was called: {why}");
                return Ok(Check::failed("call", message));
            }
        }
        let timeout = self.device.timings().slow_request_timeout;
        let mut test = TestCall::new(address, timeout, Instant::now());
        self.dial(&mut test, order).await?;
        loop {
            let calls = self.look_at_calls().await;
            if let Some(why) = order.interrupted() {
                test.interrupt(why);
            }
            let seen = calls.as_deref().map_err(String::as_str);
            match test.next(seen, Instant::now()) {
                CallStep::Look(time) if test.is_waiting() => order.wait(time).await,
                CallStep::Look(time) => sleep(time).await,
                CallStep::HangUp(connections) => {
                    for (conference, connection) in connections {
                        self.hang_up(conference, connection).await;
                    }
                    sleep(HANG_UP_WAIT).await;
                }
                CallStep::End => break,
            }
        }
        test.check().map_err(|why| why.failure())
    }

    /// Dials. An interruption does not wait for the device's answer.
    async fn dial(&mut self, test: &mut TestCall, order: &mut CheckOrder) -> Result<(), Failure> {
        let address = order.dial.clone().unwrap_or_default();
        let call = Call::to(DIAL, Params::new())?.with("address", address);
        order.uninterrupted()?;
        self.deadline = self.device.deadline(TimeLimit::Slow);
        tokio::select! {
            dialled = self.request(&call) => match dialled {
                Ok(success) => test.dialled(&success.body),
                Err(failure) => test.dial_failed(&failure),
            },
            () = order.interruption() => {}
        }
        Ok(())
    }

    /// Does not care whether it worked: the next reading of the calls shows it.
    async fn hang_up(&mut self, conference: String, connection: String) {
        let params = vec![("conf_id", conference), ("conn_id", connection)];
        if let Err(failure) = self.command(HANG_UP_CONNECTION, params).await {
            tracing::debug!(reason = failure.message, "the test call was not hung up");
        }
    }

    /// The calls that are up now. A test call must be hung up also if the device was silent for a while.
    async fn look_at_calls(&mut self) -> Result<Vec<CallConnection>, String> {
        self.environment.readings.take();
        match self.see_anyway(CALLS).await {
            StateReading::Value(list) => Ok(connections(&list)),
            StateReading::Missing => Err("the device does not list its calls".into()),
            StateReading::Failed(why) => Err(why),
        }
    }

    /// Sends a command of the catalogue that takes no payload.
    async fn command(&mut self, topic: CommandTopic, params: Params) -> Result<Success, Failure> {
        let call = Call::to(topic, params)?;
        self.deadline = self.device.deadline(TimeLimit::Ordinary);
        self.request(&call).await
    }
}
