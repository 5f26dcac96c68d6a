//! The decisions of a room's task. Its futures are started and never run: the tests bring what they
//! would have brought. Here are what the tests share, and the order of commands and polls.

mod availability;
mod cameras;
mod checks;

use std::cell::Cell;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::json;

use super::*;
use crate::catalogue::{Evidence, Method, operations};
use crate::command::{ErrorCode, Failure, Outcome, Success};
use crate::device::ProblemCode;
use crate::rooms::mode_lock::ModeLock;
use crate::rooms::reading::{ReadOutcome, Reading};
use crate::rooms::supervisor::{self, Supervisor};
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
            actor: Actor::new(settings, device, queue, publisher, stops, Arc::default()),
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
            retry_after: None,
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
            retry_after: None,
            body: body.into(),
        });
        self.actor.finish(Done::Polled { poll, response });
        is_audio
    }

    fn reply(&self, command: &str) -> Reply {
        let outcomes = self.outcomes.clone();
        Reply::new("1".into(), command, move |outcome| {
            outcomes.lock().push(outcome);
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
        let outcomes = self.outcomes.lock();
        let code = |outcome: &Outcome| outcome.result.as_ref().err().map(|error| error.code);
        outcomes.iter().map(code).collect()
    }
}

thread_local! {
    /// The clock of the daily check.
    static CLOCK: Cell<i64> = const { Cell::new(0) };
}

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
async fn two_commands_leave_no_request_for_a_poll() {
    let mut room = Fixture::online();
    room.submit("audio/mute", "");
    room.submit("system/logs/get", "");
    assert_eq!(room.start_work(), 2);
    assert!(!room.actor.in_flight.may_poll());
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
            mode_lock: ModeLock::default(),
        }),
    });
    assert_eq!(sees.recv().unwrap(), Some(Bytes::from("5")));
}

/// Each room has one for months.
#[test]
fn the_future_of_a_rooms_task_holds_little() {
    let settings = room_settings();
    let telemetry = settings.device.telemetry.clone();
    let publisher = RoomPublisher::new(StateStore::new(), telemetry, settings.id.clone());
    let publisher = Arc::new(publisher);
    let supervisor = Supervisor {
        queue: Arc::new(Queue::new(publisher.clone())),
        device: Device::new(settings.device.clone()).unwrap(),
        stop: StopSignal::default(),
        left_stops: Arc::default(),
        publisher,
        settings,
    };
    let task = supervisor::run(Box::new(supervisor));
    assert!(size_of_val(&task) <= 384, "{}", size_of_val(&task));
    let mut room = Fixture::connecting();
    let stop = StopSignal::default();
    let run = run_actor(&mut room.actor, &stop);
    assert!(size_of_val(&run) <= 640, "{}", size_of_val(&run));
}
