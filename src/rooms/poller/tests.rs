//! What the responses of reads mean.

use std::time::Duration;

use super::*;
use crate::catalogue::Operation;
use crate::device::{HttpError, ProblemCode};
use crate::rooms::testing::{INTERVALS, operation_and_response};

fn poller(now: Instant) -> Poller {
    Poller::new(
        INTERVALS,
        PollPhase::default(),
        Arc::default(),
        Arc::default(),
        Arc::default(),
        now,
    )
}

fn response(status: u16, body: &'static str) -> Result<DeviceResponse, RequestError> {
    Ok(DeviceResponse {
        status,
        content_type: None,
        retry_after: None,
        body: body.into(),
    })
}

/// Begins reads, each answered with 500, until the one of a path.
fn begin(poller: &mut Poller, path: &str, mut now: Instant) -> (Poll, &'static Operation) {
    loop {
        now = now.max(poller.next_due().unwrap());
        let (poll, _) = poller.begin(None, now).unwrap();
        let operation = poller.schedule.entry(poll.index).unwrap().operation;
        if operation.path == path {
            return (poll, operation);
        }
        poller.finish(poll, response(500, ""), now);
    }
}

/// A reading of `/rest/audio` that a command made.
fn read_back(operation: &'static Operation) -> Reading {
    let (_, response) = operation_and_response(operation.path, 200, AUDIO);
    Reading::of(operation, &response)
}

const AUDIO: &str = r#"{"volume":5,"muted":false}"#;
const SYSTEM: &str = r#"{"model":"x","softwareVersion":"1"}"#;

#[test]
fn the_same_body_is_published_once() {
    let now = Instant::now();
    let mut poller = poller(now);
    for first in [true, false] {
        let (poll, _) = begin(&mut poller, "/rest/audio", now);
        let outcome = poller.finish(poll, response(200, r#"{"volume":5}"#), now);
        match outcome {
            Polled::Read(_) => assert!(first),
            Polled::Unchanged => assert!(!first),
            other => unreachable!("{other:?}"),
        }
    }
}

#[test]
fn a_poll_that_a_command_overtook_is_not_published_and_repeated() {
    let now = Instant::now();
    let mut poller = poller(now);
    let (poll, operation) = begin(&mut poller, "/rest/audio", now);
    poller.written(&read_back(operation), Instant::now());
    let outcome = poller.finish(poll, response(200, r#"{"volume":5}"#), now);
    assert!(matches!(outcome, Polled::Unchanged), "{outcome:?}");
    let (again, _) = begin(&mut poller, "/rest/audio", now);
    let outcome = poller.finish(again, response(200, r#"{"volume":5}"#), now);
    assert!(matches!(outcome, Polled::Read(_)), "{outcome:?}");
}

/// Such as a download beside a call that is being dialled.
#[test]
fn a_read_that_has_no_turn_says_nothing_of_the_device() {
    let now = Instant::now();
    let mut poller = poller(now);
    for _ in 0..10 {
        let (poll, _) = poller.begin(None, now).unwrap();
        let outcome = poller.finish(poll, Err(RequestError::NoTurn), now);
        assert!(matches!(outcome, Polled::Failed), "{outcome:?}");
    }
    assert_eq!(poller.not_understood(false, Instant::now()), None);
}

#[test]
fn what_a_command_can_read_is_read_again() {
    let path = "/rest/audio/microphones";
    let (operation, answer) = operation_and_response(path, 200, "[]");
    let mut now = Instant::now();
    let mut poller = poller(now);
    let index = poller.schedule.index_of(operation).unwrap();
    while poller.schedule.is_read(index) {
        now = now.max(poller.next_due().unwrap());
        let (poll, _) = poller.begin(None, now).unwrap();
        let (status, body) = if poll.index == index {
            (404, "")
        } else {
            (200, AUDIO)
        };
        poller.finish(poll, response(status, body), now);
    }
    poller.written(&Reading::of(operation, &answer), Instant::now());
    assert!(poller.schedule.is_read(index));
    // It has been answered since the log-in, so it stays however often it is missing.
    for _ in 0..10 {
        let (poll, _) = begin(&mut poller, path, now);
        poller.finish(poll, response(404, ""), now);
    }
    assert!(poller.schedule.is_read(index));
}

#[test]
fn errors_are_told_apart() {
    let now = Instant::now();
    let mut poller = poller(now);
    let mut finish = |error| {
        let (poll, _) = begin(&mut poller, "/rest/audio", now);
        poller.finish(poll, Err(error), now)
    };
    let timed_out = finish(RequestError::TimedOut { sent: true });
    assert!(matches!(timed_out, Polled::Unanswered(None)));
    assert!(matches!(
        finish(RequestError::Broken(HttpError::SwitchedProtocols)),
        Polled::Unanswered(Some(_))
    ));
    let problem = Problem {
        code: ProblemCode::Unauthorized,
        message: String::new(),
    };
    let outcome = finish(RequestError::Problem(problem.clone()));
    assert!(matches!(outcome, Polled::Problem(told) if told == problem));
}

/// What the device refuses from the log-in on is like what it does not have; of what it has answered the
/// states stay.
#[test]
fn a_refused_read_is_like_a_missing_one_until_it_was_answered() {
    for error in [
        || RequestError::Forbidden(String::new()),
        || RequestError::ModeLocked("Teams".into()),
    ] {
        let now = Instant::now();
        let mut poller = poller(now);
        let (poll, _) = begin(&mut poller, "/rest/audio", now);
        let refused = poller.finish(poll, Err(error()), now);
        let Polled::Read(reading) = refused else {
            unreachable!("{refused:?}")
        };
        assert_eq!(reading.outcome, ReadOutcome::Unsupported(FORBIDDEN));
        let (poll, _) = begin(&mut poller, "/rest/audio", now);
        poller.finish(poll, response(200, AUDIO), now);
        let (poll, _) = begin(&mut poller, "/rest/audio", now);
        let refused = poller.finish(poll, Err(error()), now);
        assert!(matches!(refused, Polled::Failed), "{refused:?}");
    }
}

#[test]
fn a_read_back_shows_too_that_the_device_is_understood() {
    let now = Instant::now();
    let mut poller = poller(now);
    let (_, operation) = begin(&mut poller, "/rest/audio", now);
    assert!(!poller.is_understood());
    poller.written(&read_back(operation), Instant::now());
    assert!(poller.is_understood());
}

#[test]
fn failed_reads_are_followed_by_one_that_may_be_recognised() {
    let now = Instant::now();
    let mut poller = poller(now);
    // Two endpoints are understood, and then nothing is.
    while let Some((poll, _)) = poller.begin(None, now) {
        let operation = poller.schedule.entry(poll.index).unwrap().operation;
        let body = match operation.path {
            "/rest/audio" => AUDIO,
            "/rest/system" => SYSTEM,
            _ => "[]",
        };
        poller.finish(poll, response(200, body), now);
    }
    let start = poller.next_due().unwrap();
    let (poll, _) = begin(&mut poller, "/rest/audio", start);
    poller.finish(poll, response(200, AUDIO), start);
    assert!(poller.is_understood());
    let (mut at, mut reads) = (start, Vec::new());
    while poller.not_understood(true, Instant::now()).is_none() {
        at = at.max(poller.next_due().unwrap());
        let (poll, _) = poller.begin(None, at).unwrap();
        reads.push(poller.schedule.entry(poll.index).unwrap().operation.path);
        poller.finish(poll, response(503, ""), at);
    }
    let count = |path: &str| reads.iter().filter(|read| **read == path).count();
    // Some endpoint three times; the one that could still bring something was asked again at once.
    let most = reads.iter().map(|read| count(read)).max();
    assert_eq!((most, count("/rest/system")), (Some(3), 1), "{reads:?}");
    // Three rounds of the fastest reads, each up to twice its interval after the other.
    assert!(at < start + 4 * INTERVALS.fast, "{:?}", at - start);
}

/// Reads what is due in the next 70 s. `answer`: the response to a read of a path. Returns whether the
/// device was understood all the time, and when the reads ended.
fn read_on(
    poller: &mut Poller,
    start: Instant,
    mut answer: impl FnMut(&str) -> Result<DeviceResponse, RequestError>,
) -> (bool, Instant) {
    let (mut now, mut understood) = (start, true);
    while now < start + Duration::from_secs(70) {
        now = now.max(poller.next_due().unwrap());
        let (poll, _) = poller.begin(None, now).unwrap();
        let path = poller.schedule.entry(poll.index).unwrap().operation.path;
        poller.finish(poll, answer(path), now);
        understood &= poller.not_understood(true, Instant::now()).is_none();
        now += Duration::from_millis(10);
    }
    (understood, now)
}

/// Each endpoint fails once, never at the same time as another, and all other answers are the same as
/// before.
#[test]
fn an_answer_that_repeats_one_from_before_a_failure_is_as_good_as_that() {
    type Bad = fn() -> Result<DeviceResponse, RequestError>;
    let good = |path: &str| {
        let body = match path {
            "/rest/audio" => AUDIO,
            "/rest/system" => SYSTEM,
            _ => "[]",
        };
        response(200, body)
    };
    let kinds: [Bad; 7] = [
        || response(503, ""),
        || response(401, ""),
        || response(302, ""),
        || response(200, "<html>"),
        || response(200, r#"{"volume":"#),
        || Err(RequestError::Forbidden(String::new())),
        || Err(RequestError::TimedOut { sent: true }),
    ];
    for (number, bad) in kinds.into_iter().enumerate() {
        let start = Instant::now();
        let mut poller = poller(start);
        let (_, mut now) = read_on(&mut poller, start, good);
        for path in ["/rest/audio", "/rest/system", "/rest/audio"] {
            let mut failed = false;
            let (understood, end) = read_on(&mut poller, now, |read| {
                if read != path || failed {
                    return good(read);
                }
                failed = true;
                bad()
            });
            assert!(understood, "kind {number}, {path}");
            now = end;
        }
        // What says nothing of a Poly device is not made better by its repetition.
        let (understood, _) = read_on(&mut poller, now, |_| response(200, "null"));
        assert!(!understood, "kind {number}");
    }
}

/// A read that stood in for another was answered as by a Poly device, and is not needed any more.
#[test]
fn what_is_not_read_any_more_does_not_hold_a_device_online() {
    let modes = ["/rest/system/mode", "/rest/current/system/mode"];
    let good = |path: &str| match path {
        "/rest/audio" => response(200, AUDIO),
        "/rest/system" => response(200, SYSTEM),
        path if modes.contains(&path) => response(200, r#"{"activePersona":"Poly"}"#),
        _ => response(200, "[]"),
    };
    let start = Instant::now();
    let mut poller = poller(start);
    // At first the device has the second spelling only.
    let mut has_second = false;
    let (_, now) = read_on(&mut poller, start, |path| {
        if path == modes[0] && !has_second {
            return response(404, "");
        }
        has_second |= path == modes[1];
        good(path)
    });
    assert!(has_second);
    let (_, now) = read_on(&mut poller, now, good);
    let (understood, _) = read_on(&mut poller, now, |_| response(503, ""));
    assert!(!understood);
}

#[test]
fn nothing_begins_before_it_is_due() {
    let now = Instant::now();
    let mut poller = poller(now);
    while let Some((poll, _)) = poller.begin(None, now) {
        poller.finish(poll, response(200, "{}"), now);
    }
    assert_eq!(poller.completed(), Some(true));
    assert_eq!(poller.completed(), None);
    assert!(poller.next_due().unwrap() > now);
    poller.restart(now);
    assert_eq!(poller.completed(), None);
    assert!(poller.begin(None, now).is_some());
}
