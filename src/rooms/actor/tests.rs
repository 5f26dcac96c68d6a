//! The decisions of a room's task. Its futures are started and never run: the tests bring what they
//! would have brought.

use std::cell::Cell;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::catalogue::{Evidence, Method, operations};
use crate::command::{ErrorCode, Failure, Outcome, Success};
use crate::config::TimeOfDay;
use crate::device::ProblemCode;
use crate::rooms::missing::Missing;
use crate::rooms::mode_lock::ModeLock;
use crate::rooms::reading::{ReadOutcome, Reading};
use crate::rooms::testing::room_settings;
use crate::state::StateStore;

const MOVE: &str = r#"{"direction":"left","duration_ms":300}"#;

struct Fixture {
    actor: Actor,
    store: Arc<StateStore>,
    outcomes: Arc<Mutex<Vec<Outcome>>>,
}

impl Fixture {
    /// A room whose first log-in is under way.
    fn connecting() -> Self {
        let settings = room_settings();
        let store = StateStore::new();
        let publisher = RoomPublisher::new(
            store.clone(),
            settings.device.telemetry.clone(),
            settings.id.clone(),
        );
        publisher.unavailable();
        let publisher = Arc::new(publisher);
        let queue = Arc::new(Queue::new(publisher.clone()));
        let device = Device::new(settings.device.clone()).unwrap();
        let stops = CameraStops::default();
        Self {
            actor: Actor::new(settings, device, queue, publisher, stops),
            store,
            outcomes: Arc::default(),
        }
    }

    /// A room whose device is logged in to and understood, with nothing started.
    fn online() -> Self {
        let mut room = Self::connecting();
        room.actor.finish(Done::LoggedIn(Ok(json!({}))));
        room.answer_poll(200, r#"{"volume":62,"muted":false}"#);
        room
    }

    /// Begins the next poll, and answers it.
    fn answer_poll(&mut self, status: u16, body: &'static str) {
        let now = Instant::now().max(self.actor.poller.next_due().unwrap());
        let (poll, _) = self.actor.poller.begin(None, now).unwrap();
        let response = Ok(DeviceResponse {
            status,
            content_type: None,
            body: body.into(),
        });
        self.actor.finish(Done::Polled { poll, response });
    }

    /// Begins the next poll, and answers it as a Poly device does; that of the volume with this status, or for
    /// 204 with null. True
    /// if it was that.
    fn answer_poll_of_audio(&mut self, status: u16) -> bool {
        let now = Instant::now().max(self.actor.poller.next_due().unwrap());
        let (poll, request) = self.actor.poller.begin(None, now).unwrap();
        let is_audio = request.path.join("/").ends_with("rest/audio");
        let (status, body) = match (is_audio, status) {
            (true, 200) => (200, r#"{"volume":62,"muted":false}"#),
            (true, 204) => (200, "null"),
            (true, _) => (status, ""),
            (false, _) => (200, r#"[{"id":"PENDING","connections":[]}]"#),
        };
        let response = Ok(DeviceResponse {
            status,
            content_type: None,
            body: body.into(),
        });
        self.actor.finish(Done::Polled { poll, response });
        is_audio
    }

    fn reply(&self, command: &str) -> Reply {
        let outcomes = self.outcomes.clone();
        Reply::new("1".into(), command, move |outcome| {
            outcomes.lock().unwrap().push(outcome);
        })
    }

    fn submit(&self, command: &str, payload: &'static str) {
        self.actor.queue.push(Ticket {
            call: Call::parse(command, &Bytes::from(payload), &mut None).unwrap(),
            reply: self.reply(command),
            expires: Instant::now() + Duration::from_secs(5),
            transfer: Transfer::None,
        });
    }

    /// Ends a command that was started in order.
    fn end(&mut self, command: &str, payload: &'static str, result: Result<Success, Failure>) {
        let call = Call::parse(command, &Bytes::from(payload), &mut None).unwrap();
        let code = result.as_ref().err().map(|failure| failure.code);
        let executed = Executed {
            result,
            readings: Vec::new(),
            problem: None,
            unanswered: code == Some(ErrorCode::Timeout),
            spelled: None,
            camera_may_move: false,
            missing: Missing::default(),
            mode_lock: ModeLock::default(),
        };
        self.actor.finish(Done::Commanded {
            lane: Lane::InOrder,
            reply: self.reply(command),
            effect: Box::new(CameraEffect::of(&call, &self.actor.stops)),
            executed: Box::new(executed),
        });
    }

    /// Ends the check of the room that runs.
    fn end_check(&mut self, result: Result<Success, Failure>) {
        assert!(self.actor.check.is_some());
        self.actor.finish(Done::Checked(Box::new(Executed {
            result,
            readings: Vec::new(),
            problem: None,
            unanswered: false,
            spelled: None,
            missing: Missing::default(),
            mode_lock: ModeLock::default(),
            camera_may_move: false,
        })));
    }

    /// Lets time pass until a daily check starts.
    async fn daily_check(&mut self) {
        while self.actor.check.is_none() {
            let look = self.actor.next_daily_check().unwrap() - Instant::now();
            tokio::time::advance(look).await;
            CLOCK.set(CLOCK.get() + i64::try_from(look.as_secs()).unwrap());
            self.start_work();
        }
    }

    /// Starts what may start; how many futures that makes.
    fn start_work(&mut self) -> usize {
        let before = self.actor.running.len();
        self.actor.start_work(Work::All);
        self.actor.running.len() - before
    }

    fn availability(&self) -> String {
        let value = self.store.get("room/1/availability").unwrap();
        String::from_utf8(value.payload.to_vec()).unwrap()
    }

    fn codes(&self) -> Vec<Option<ErrorCode>> {
        let outcomes = self.outcomes.lock().unwrap();
        let code = |outcome: &Outcome| outcome.result.as_ref().err().map(|error| error.code);
        outcomes.iter().map(code).collect()
    }
}

thread_local! {
    /// The clock of the daily check.
    static CLOCK: Cell<i64> = const { Cell::new(0) };
}

/// 2026-03-29 00:00 UTC.
const MIDNIGHT: i64 = 1_774_742_400;

fn problem() -> Problem {
    Problem {
        code: ProblemCode::Offline,
        message: "why".into(),
    }
}

fn timeout() -> Result<Success, Failure> {
    Err(Failure::new(ErrorCode::Timeout, "why"))
}

fn success() -> Result<Success, Failure> {
    Ok(Success::new(200, Value::Null))
}

#[tokio::test(start_paused = true)]
async fn commands_wait_for_the_log_in() {
    let mut room = Fixture::connecting();
    room.submit("audio/mute", "");
    assert_eq!(room.start_work(), 0);
    assert!(room.codes().is_empty());
    room.actor.finish(Done::LoggedIn(Ok(json!({}))));
    // The command, and the first poll beside it.
    assert_eq!(room.start_work(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_room_is_online_when_a_read_brings_what_a_poly_device_says() {
    let mut room = Fixture::connecting();
    room.actor.finish(Done::LoggedIn(Ok(json!({}))));
    room.answer_poll(503, "");
    assert_eq!(room.availability(), "offline");
    // What says little of the device waits until it is understood.
    room.answer_poll(200, "[]");
    assert_eq!(room.store.get("room/1/calls"), None);
    while room.availability() == "offline" {
        room.answer_poll(200, r#"[{"name":"a","stateList":["up"]}]"#);
    }
    assert!(room.store.get("room/1/calls").is_some());
    assert!(room.store.get("room/1/system/status/a").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_room_that_is_never_understood_is_offline_once_everything_was_read() {
    let mut room = Fixture::connecting();
    let mut waits = Vec::new();
    for _ in 0..3 {
        room.actor.availability.connecting();
        room.actor.finish(Done::LoggedIn(Ok(json!({}))));
        while room.actor.availability.is_logged_in() {
            room.answer_poll(200, "<html>");
        }
        let problem = room.store.get("room/1/problem").unwrap();
        let problem: Value = serde_json::from_slice(&problem.payload).unwrap();
        assert_eq!(problem["code"], "not_understood", "{problem}");
        let message = problem["message"].as_str().unwrap();
        assert!(message.contains("a page, not JSON"), "{message}");
        let retry = room.actor.availability.retry_at().unwrap();
        waits.push(retry - Instant::now());
    }
    // It is tried less and less often, although each log-in succeeds.
    assert!(waits.is_sorted(), "{waits:?}");
    assert_eq!(room.availability(), "offline");
}

#[tokio::test(start_paused = true)]
async fn what_looks_gone_is_kept_until_the_device_is_understood() {
    let mut room = Fixture::online();
    assert!(room.store.get("room/1/audio/volume").is_some());
    // All of it is missing at once: the states stay.
    while room.actor.availability.is_online() {
        room.answer_poll(404, "");
    }
    assert!(room.store.get("room/1/audio/volume").is_some());
    // One endpoint is missing, and the others answer: its states go when it has said so three times.
    for status in [204, 404, 405, 501] {
        let mut room = Fixture::online();
        let mut said = 0;
        while room.store.get("room/1/audio/volume").is_some() {
            said += u32::from(room.answer_poll_of_audio(status));
            assert!(said <= 3, "{status}");
        }
        assert_eq!(said, 3, "{status}");
        assert_eq!(room.availability(), "online");
    }
}

/// A device that starts lacks everything for a moment after the log-in, and then less and less.
#[tokio::test(start_paused = true)]
async fn what_a_device_that_starts_lacks_for_a_moment_is_kept() {
    for status in [204, 403, 404, 405, 501] {
        for after in 1..=2 {
            let mut room = Fixture::online();
            room.actor.finish(Done::LoggedIn(Err(problem())));
            room.actor.finish(Done::LoggedIn(Ok(json!({}))));
            let mut said = 0;
            while said < after {
                said += u32::from(room.answer_poll_of_audio(status));
            }
            while room.answer_poll_of_audio(200) {}
            for _ in 0..100 {
                room.answer_poll_of_audio(200);
                assert!(room.store.get("room/1/audio/volume").is_some(), "{status}");
            }
            assert_eq!(room.availability(), "online");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_room_that_cannot_log_in_answers_at_once_and_tries_again() {
    let mut room = Fixture::connecting();
    room.submit("audio/mute", "");
    room.actor.finish(Done::LoggedIn(Err(problem())));
    room.submit("audio/mute", "");
    assert_eq!(room.codes(), [Some(ErrorCode::Offline); 2]);
    assert_eq!(room.availability(), "offline");
    assert_eq!(room.start_work(), 0);
    let retry = room.actor.next_wake(Work::All).unwrap();
    assert!(retry > Instant::now());
    tokio::time::advance(retry - Instant::now()).await;
    assert_eq!(room.start_work(), 1);
    assert_eq!(room.actor.next_wake(Work::All), None);
}

#[tokio::test(start_paused = true)]
async fn two_commands_leave_no_request_for_a_poll() {
    let mut room = Fixture::online();
    room.submit("audio/mute", "");
    room.submit("system/logs/get", "");
    assert_eq!(room.start_work(), 2);
    assert!(!room.actor.underway.may_poll());
    // Polls are due, but there is nothing to wake up for.
    assert_eq!(room.actor.next_wake(Work::All), None);
    room.end("audio/mute", "", success());
    assert_eq!(
        room.actor.next_wake(Work::All),
        room.actor.poller.next_due()
    );
    assert_eq!(room.start_work(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_states_a_command_read_are_published_before_its_result() {
    let mut room = Fixture::online();
    let store = room.store.clone();
    let (seen, sees) = std::sync::mpsc::channel();
    let reply = Reply::new("1".into(), "audio/volume/set", move |_| {
        let value = store.get("room/1/audio/volume").map(|value| value.payload);
        seen.send(value).unwrap();
    });
    let audio = |operation: &&crate::catalogue::Operation| {
        operation.method == Method::Get && operation.path == "/rest/audio"
    };
    let reading = Reading {
        operation: operations().find(audio).unwrap(),
        outcome: ReadOutcome::Value(json!({"volume": 5})),
        evidence: Evidence::Poly,
    };
    room.actor.finish(Done::Commanded {
        lane: Lane::InOrder,
        reply,
        effect: Box::new(CameraEffect::None),
        executed: Box::new(Executed {
            result: success(),
            readings: vec![reading],
            problem: None,
            unanswered: false,
            spelled: None,
            camera_may_move: false,
            missing: Missing::default(),
            mode_lock: ModeLock::default(),
        }),
    });
    assert_eq!(sees.recv().unwrap(), Some(Bytes::from("5")));
}

#[tokio::test(start_paused = true)]
async fn a_camera_that_was_started_is_stopped_in_time() {
    let mut room = Fixture::online();
    room.submit("camera/move", MOVE);
    room.start_work();
    // Before the start is answered, the stop waits for the time that the answer may take.
    let request_timeout = room.actor.device.timings().request_timeout;
    let due = room.actor.stops.next_due().unwrap();
    assert_eq!(
        due - Instant::now(),
        request_timeout + Duration::from_millis(300)
    );
    room.end("camera/move", MOVE, success());
    let due = room.actor.stops.next_due().unwrap();
    assert_eq!(due - Instant::now(), Duration::from_millis(300));
    tokio::time::advance(due - Instant::now()).await;
    room.start_work();
    assert!(!room.actor.underway.may_stop_camera());
}

#[tokio::test(start_paused = true)]
async fn a_camera_is_stopped_at_once_when_nobody_knows_whether_it_started() {
    let mut room = Fixture::online();
    let unknown = Failure::new(ErrorCode::OutcomeUnknown, "why");
    room.end("camera/move", MOVE, Err(unknown));
    assert_eq!(room.actor.stops.next_due(), Some(Instant::now()));
    let camera = Motion::camera(&room.actor.stops.any().unwrap());
    let sent = room.actor.stops.sent(camera);
    room.actor.stops.stopped(&sent, Instant::now());
    // The start may still come.
    assert!(!room.actor.stops.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_was_under_way_leaves_the_stop_of_a_later_start() {
    let stop = Call::parse("camera/stop", &Bytes::new(), &mut None).unwrap();
    let mut room = Fixture::online();
    room.end("camera/move", MOVE, success());
    let before = CameraEffect::of(&stop, &room.actor.stops);
    // Somebody starts the camera again before the answer to the stop comes.
    room.end("camera/move", MOVE, success());
    room.actor.schedule_stop(before, None);
    assert!(!room.actor.stops.is_empty());
    let after = CameraEffect::of(&stop, &room.actor.stops);
    room.actor.schedule_stop(after, None);
    assert!(room.actor.stops.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_room_that_stops_only_stops_its_cameras() {
    let mut room = Fixture::online();
    room.end("camera/move", MOVE, success());
    room.submit("audio/mute", "");
    room.actor.start_work(Work::CameraStops);
    // The stop is not due yet, and is sent all the same; no command, no poll.
    assert_eq!(room.actor.running.len(), 1);
    assert!(!room.actor.underway.may_stop_camera());
    assert_eq!(room.actor.next_wake(Work::CameraStops), None);
}

#[tokio::test(start_paused = true)]
async fn commands_say_too_that_the_device_does_not_answer() {
    let mut room = Fixture::online();
    for wanted in ["online", "offline"] {
        room.end("audio/mute", "", timeout());
        assert_eq!(room.availability(), wanted);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answered_poll_forgets_an_unanswered_request() {
    let mut room = Fixture::online();
    for _ in 0..3 {
        room.end("audio/mute", "", timeout());
        room.answer_poll(500, "");
    }
    assert_eq!(room.availability(), "online");
}

#[tokio::test(start_paused = true)]
async fn the_daily_check_runs_once_a_day_and_is_tried_again_while_the_room_is_in_use() {
    let mut room = Fixture::online();
    CLOCK.set(MIDNIGHT);
    room.actor.clock = || CLOCK.get();
    let at = TimeOfDay {
        hour: 6,
        minute: 30,
    };
    room.actor.daily = Some(Box::new(Daily::new(at, "1", |_| 0, MIDNIGHT)));
    room.start_work();
    assert!(room.actor.check.is_none());
    room.daily_check().await;
    let first = CLOCK.get();
    let due = MIDNIGHT + (6 * 60 + 30) * 60;
    assert!((due..due + 600).contains(&first), "{}", first - due);
    // Nothing else starts meanwhile.
    assert_eq!(room.actor.next_daily_check(), None);
    room.end_check(Err(Failure::new(ErrorCode::Busy, "in a call")));
    room.daily_check().await;
    assert_eq!(CLOCK.get() - first, 600);
    assert_eq!(room.store.get("room/1/readiness"), None);
    let report = json!({"ok": true, "at": null, "checks": []});
    room.end_check(Ok(Success::new(200, report)));
    assert!(room.store.get("room/1/readiness").is_some());
    room.daily_check().await;
    assert_eq!(CLOCK.get() - first, 24 * 60 * 60);
    // Nobody waits for a result.
    assert!(room.codes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_check_is_ended_by_commands_and_has_its_stop() {
    let mut room = Fixture::online();
    room.submit("readiness/run", "");
    room.start_work();
    let check = room.actor.check.as_ref().unwrap();
    let interrupts = check.interrupts.subscribe();
    // Whatever becomes of the run, the camera is stopped.
    assert!(!room.actor.stops.is_empty());
    room.submit("audio/volume/get", "");
    room.start_work();
    assert_eq!(*interrupts.borrow(), None);
    room.end("audio/volume/get", "", success());
    room.submit("camera/move", MOVE);
    room.start_work();
    room.end("camera/move", MOVE, success());
    room.submit("audio/mute", "");
    room.start_work();
    // The camera is somebody's now, also after another command.
    let interruption = interrupts.borrow().clone().unwrap();
    assert!(interruption.takes_camera(), "{interruption:?}");
    let due = room.actor.stops.next_due().unwrap();
    room.end_check(Err(interruption.failure()));
    assert_eq!(room.actor.stops.next_due(), Some(due));
    assert_eq!(room.codes().last(), Some(&Some(ErrorCode::Busy)));
}

#[tokio::test(start_paused = true)]
async fn a_room_that_is_offline_has_a_report_that_says_why() {
    let mut room = Fixture::connecting();
    // Nothing is known yet: it waits, and expires like a command.
    room.submit("readiness/run", "");
    room.start_work();
    assert!(room.codes().is_empty());
    room.actor.finish(Done::LoggedIn(Err(problem())));
    room.start_work();
    assert_eq!(room.codes(), [None]);
    let report = room.store.get("room/1/readiness").unwrap();
    let report: Value = serde_json::from_slice(&report.payload).unwrap();
    let login = json!([{"name": "login", "ok": false, "message": "why"}]);
    assert_eq!((&report["ok"], &report["checks"]), (&json!(false), &login));
    room.actor.queue.stop();
    room.submit("readiness/run", "");
    room.start_work();
    assert_eq!(room.codes(), [None, Some(ErrorCode::Offline)]);
}

/// Each room has one for months.
#[test]
fn the_future_of_a_rooms_task_holds_little() {
    let settings = room_settings();
    let telemetry = settings.device.telemetry.clone();
    let publisher = RoomPublisher::new(StateStore::new(), telemetry, settings.id.clone());
    let publisher = Arc::new(publisher);
    let queue = Arc::new(Queue::new(publisher.clone()));
    let device = Device::new(settings.device.clone()).unwrap();
    let stops = CameraStops::default();
    let task = run(
        settings,
        device,
        queue,
        publisher,
        StopSignal::default(),
        stops,
    );
    assert!(size_of_val(&task) <= 512, "{}", size_of_val(&task));
}
