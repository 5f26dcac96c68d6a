//! Runs a room's task, and starts it again should it fail by a fault of the gateway's own.
//!
//! A task that ended without a word would leave a room that says `online`, takes commands and answers none.
//! Owns what such a room says meanwhile, and how long it waits.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, timeout};

use super::actor::{Actor, run_actor};
use super::availability::{WentOffline, utc_now};
use super::camera_stops::CameraStops;
use super::publisher::RoomPublisher;
use super::queue::Queue;
use super::settings::RoomSettings;
use super::stop_signal::StopSignal;
use crate::command::Failure;
use crate::device::{Device, Problem, ProblemCode};

/// The wait before the first new start; doubled by each further one.
const FIRST_RESTART_DELAY: Duration = Duration::from_secs(1);
/// A task that fails at once each time logs in at the device, and writes to the log, no more often than this.
const LONGEST_RESTART_DELAY: Duration = Duration::from_secs(300);
/// A task that has run this long begins with the first wait again.
const GOOD_RUN: Duration = Duration::from_secs(3600);

/// What a room's task is made of, each time it starts.
pub struct Supervisor {
    /// How it is configured.
    pub settings: RoomSettings,
    /// Its device, with the session.
    pub device: Device,
    /// The commands that wait.
    pub queue: Arc<Queue>,
    /// Where results and states go.
    pub publisher: Arc<RoomPublisher>,
    /// Asks it to stop.
    pub stop: StopSignal,
}

/// Runs a room until it is asked to stop. Begins with the camera stops that an earlier task of the
/// room left, and returns those that are still to be sent.
///
/// `supervisor` is on the heap, since a future holds its arguments besides what they are moved to, as long as it runs.
pub async fn run(supervisor: Box<Supervisor>, mut stops: CameraStops) -> CameraStops {
    let mut delay = FIRST_RESTART_DELAY;
    loop {
        let began = Instant::now();
        let mut actor = None;
        // On the heap, or the layers around it would hold it more than once.
        let running = Box::pin(async {
            let actor = actor.insert(supervisor.actor(std::mem::take(&mut stops)));
            run_actor(actor, &supervisor.stop).await;
        });
        let ended = AssertUnwindSafe(running).catch_unwind().await;
        if let Some(actor) = &mut actor {
            stops = actor.take_stops();
        }
        if ended.is_ok() {
            return stops;
        }
        // What it had begun is answered when it is dropped.
        drop(actor);
        if began.elapsed() >= GOOD_RUN {
            delay = FIRST_RESTART_DELAY;
        }
        supervisor.failed();
        if timeout(delay, supervisor.stop.asked()).await.is_ok() {
            Box::pin(supervisor.end()).await;
            return stops;
        }
        delay = (delay * 2).min(LONGEST_RESTART_DELAY);
    }
}

impl Supervisor {
    fn actor(&self, stops: CameraStops) -> Box<Actor> {
        Box::new(Actor::new(
            self.settings.clone(),
            self.device.clone(),
            self.queue.clone(),
            self.publisher.clone(),
            stops,
        ))
    }

    /// Answers what waits, and says why the room cannot be used.
    fn failed(&self) {
        let problem = Problem {
            code: ProblemCode::Offline,
            message: "a fault in the gateway ended the task of this room; it starts again by itself, and the \
                      gateway's log has the details"
                .into(),
        };
        self.queue.close(Failure::new(
            problem.code.error_code(),
            problem.message.clone(),
        ));
        let offline = WentOffline {
            since: utc_now(),
            is_new: true,
        };
        self.publisher.offline(&problem, &offline);
        let telemetry = &self.settings.device.telemetry;
        telemetry.room_failed(&self.settings.id);
    }

    /// Ends the use of the device, as the task would have done.
    async fn end(&self) {
        self.queue.stop();
        match self.stop.hands_over() {
            true => self.device.hand_over(),
            false => self.device.close().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use bytes::Bytes;
    use poly2mqtt_simulator::{Options, SimulatedDevice};

    use super::*;
    use crate::catalogue::Call;
    use crate::command::{ErrorCode, Reply, Transfer};
    use crate::config::Certificate;
    use crate::rooms::queue::Ticket;
    use crate::rooms::testing::{device_settings, room_settings};
    use crate::state::StateStore;

    const SOON: Duration = Duration::from_secs(10);

    /// Intervals that the configuration does not take: the sums of the schedule overflow.
    async fn that_fails() -> (Supervisor, Arc<StateStore>, SimulatedDevice) {
        let simulated = SimulatedDevice::start(Options::default()).await.unwrap();
        let certificate = Certificate::parse(&simulated.fingerprint()).unwrap();
        let mut settings = room_settings();
        settings.device = device_settings(&simulated.url(), certificate);
        settings.intervals.fast = Duration::MAX;
        settings.intervals.normal = Duration::MAX;
        settings.intervals.slow = Duration::MAX;
        let store = StateStore::new();
        let telemetry = settings.device.telemetry.clone();
        let publisher = RoomPublisher::new(store.clone(), telemetry, settings.id.clone());
        let publisher = Arc::new(publisher);
        let supervisor = Supervisor {
            device: Device::new(settings.device.clone()).unwrap(),
            queue: Arc::new(Queue::new(publisher.clone())),
            publisher,
            stop: StopSignal::default(),
            settings,
        };
        (supervisor, store, simulated)
    }

    fn submit(supervisor: &Supervisor) -> mpsc::Receiver<ErrorCode> {
        let (sender, answers) = mpsc::channel();
        let reply = Reply::new("1".into(), "audio/volume/set", move |outcome| {
            sender.send(outcome.result.unwrap_err().code).unwrap();
        });
        supervisor.queue.push(Ticket {
            call: Call::parse("audio/volume/set", &Bytes::from("5"), &mut None).unwrap(),
            reply,
            expires: Instant::now() + SOON,
            transfer: Transfer::None,
        });
        answers
    }

    async fn until(what: impl Fn() -> bool) {
        let met = async {
            while !what() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(SOON, met).await.expect("it happens");
    }

    #[tokio::test]
    async fn a_room_whose_task_fails_says_so_answers_commands_and_starts_again() {
        let (supervisor, store, simulated) = that_fails().await;
        let queue = supervisor.queue.clone();
        let (stop, publisher) = (supervisor.stop.clone(), supervisor.publisher.clone());
        let second = Supervisor {
            settings: supervisor.settings.clone(),
            device: supervisor.device.clone(),
            queue: queue.clone(),
            publisher,
            stop: stop.clone(),
        };
        let answers = submit(&second);
        let task = tokio::spawn(run(Box::new(supervisor), CameraStops::default()));
        let text = |topic: &str| {
            let value = store.get(topic)?;
            Some(String::from_utf8(value.payload.to_vec()).unwrap())
        };
        let is_told =
            || text("room/1/problem").is_some_and(|text| text.contains("a fault in the gateway"));
        until(is_told).await;
        assert_eq!(text("room/1/availability").as_deref(), Some("offline"));
        // Whether it waited or had begun.
        let code = answers.recv_timeout(SOON).unwrap();
        let codes = [ErrorCode::Offline, ErrorCode::OutcomeUnknown];
        assert!(codes.contains(&code), "{code:?}");
        let code = submit(&second).recv_timeout(SOON).unwrap();
        assert_eq!(code, ErrorCode::Offline);
        // It tries again, and the session is given back in the end.
        let reads = || {
            let journal = simulated.journal();
            journal.iter().filter(|entry| entry.method == "GET").count()
        };
        let before = reads();
        until(|| reads() > before).await;
        stop.stop(Instant::now());
        timeout(SOON, task).await.unwrap().unwrap();
        let deleted = simulated
            .journal()
            .into_iter()
            .rev()
            .find(|entry| entry.path == "/rest/session");
        assert_eq!(deleted.map(|entry| entry.method).as_deref(), Some("DELETE"));
    }
}
