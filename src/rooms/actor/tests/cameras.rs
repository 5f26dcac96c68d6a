//! A camera that was started is stopped, whatever becomes of its commands.

use super::*;

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
    assert!(!room.actor.in_flight.may_stop_camera());
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
    assert!(!room.actor.in_flight.may_stop_camera());
    assert_eq!(room.actor.next_wake(Work::CameraStops), None);
}
