//! The check of a room: once a day, by a command, and what ends it.

use super::*;
use crate::config::TimeOfDay;

/// 2026-03-29 00:00 UTC.
const MIDNIGHT: i64 = 1_774_742_400;

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
