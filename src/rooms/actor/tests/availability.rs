//! Whether a room is online: what log-ins, polls and commands say of it, and what is kept meanwhile.

use super::*;

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
