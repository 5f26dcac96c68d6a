use std::time::Duration;

use super::*;
use crate::command::ErrorCode;
use crate::device::ProblemCode;

const AUDIO: usize = 0;
const STATUS: usize = 1;

fn new() -> Understanding {
    Understanding::new(Arc::default())
}

fn fail(understanding: &mut Understanding, index: usize) {
    let seen = Some(UnusableAnswer::status(503));
    understanding.answered(Some(index), Evidence::NotPoly, seen, Instant::now());
}

fn poly(understanding: &mut Understanding, index: usize) {
    understanding.answered(Some(index), Evidence::Poly, None, Instant::now());
}

#[test]
fn a_device_is_understood_by_the_first_answer_of_its_kind() {
    let mut device = new();
    device.answered(Some(AUDIO), Evidence::Neutral, None, Instant::now());
    assert!(!device.is_understood());
    poly(&mut device, STATUS);
    assert!(device.is_understood());
    fail(&mut device, AUDIO);
    assert!(!device.is_understood());
    poly(&mut device, STATUS);
    assert!(device.is_understood());
    device.restart();
    assert!(!device.is_understood());
}

#[test]
fn a_device_that_was_never_understood_is_tried_until_all_was_read() {
    let mut device = new();
    fail(&mut device, AUDIO);
    assert_eq!(device.problem(false, false, Instant::now()), None);
    let problem = device.problem(false, true, Instant::now()).unwrap();
    assert_eq!(problem.code, ProblemCode::NotUnderstood);
    assert!(
        problem.message.contains("the device answered 503"),
        "{problem}"
    );
    poly(&mut device, STATUS);
    assert_eq!(device.problem(false, true, Instant::now()), None);
}

#[test]
fn a_device_that_refuses_the_user_is_not_asked_for_everything() {
    let mut device = new();
    for index in 0..3 {
        assert_eq!(device.problem(false, false, Instant::now()), None);
        let seen = Some(UnusableAnswer::status(403));
        device.answered(Some(index), Evidence::NotPoly, seen, Instant::now());
    }
    let problem = device
        .problem(false, false, Instant::now())
        .unwrap()
        .message;
    assert!(problem.contains("the role of administrator"), "{problem}");
}

#[test]
fn three_failed_reads_of_an_endpoint_are_enough_once_no_other_is_recognised() {
    let mut device = new();
    poly(&mut device, STATUS);
    for _ in 0..2 {
        fail(&mut device, AUDIO);
        assert_eq!(device.to_be_read_again(), None);
    }
    fail(&mut device, AUDIO);
    // The other endpoint may still be recognised: it is read before the device counts as offline.
    assert_eq!(device.problem(true, true, Instant::now()), None);
    assert_eq!(device.to_be_read_again(), Some(STATUS));
    fail(&mut device, STATUS);
    assert_eq!(device.to_be_read_again(), None);
    assert!(device.problem(true, true, Instant::now()).is_some());
}

#[test]
fn an_endpoint_that_fails_while_another_works_is_no_problem() {
    let mut device = new();
    for _ in 0..50 {
        poly(&mut device, STATUS);
        fail(&mut device, AUDIO);
        assert_eq!(device.problem(true, true, Instant::now()), None);
    }
    // An endpoint whose read is not answered is not recognised any more.
    for _ in 0..3 {
        fail(&mut device, AUDIO);
    }
    assert_eq!(device.problem(true, true, Instant::now()), None);
    device.unanswered(STATUS, Instant::now());
    assert!(device.problem(true, true, Instant::now()).is_some());
}

const ALL: usize = 8;

/// Reads everything; so many are good.
fn read(device: &mut Understanding, good: usize) {
    for index in 0..ALL {
        if index < good {
            poly(device, index)
        } else {
            fail(device, index)
        }
    }
}

/// The first problem of a device of which so many work, and after how many seconds.
async fn lost(device: &mut Understanding, good: usize, seconds_between: u64) -> (u64, Problem) {
    let begin = Instant::now();
    loop {
        read(device, good);
        if let Some(problem) = device.problem(true, true, Instant::now()) {
            return (begin.elapsed().as_secs(), problem);
        }
        assert!(begin.elapsed().as_secs() < 1000);
        tokio::time::advance(Duration::from_secs(seconds_between)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_endpoint_that_works_among_many_that_fail_is_not_enough() {
    // However often they are read.
    for (interval, seconds) in [(1, 121), (15, 135), (60, 180)] {
        let mut device = new();
        read(&mut device, ALL);
        // More than one in four is recognised.
        for _ in 0..10 {
            read(&mut device, 3);
            assert_eq!(device.problem(true, true, Instant::now()), None);
            tokio::time::advance(Duration::from_secs(interval)).await;
        }
        read(&mut device, ALL);
        let (after, problem) = lost(&mut device, 1, interval).await;
        assert_eq!(after, seconds);
        assert_eq!(problem.code, ProblemCode::NotUnderstood);
        assert!(problem.message.starts_with("most of"), "{problem}");
        // The one endpoint alone does not bring the room back, whatever is read first after the log-in.
        device.restart();
        for _ in 0..10 {
            read(&mut device, 1);
            poly(&mut device, 0);
            assert!(!device.is_understood());
            assert_eq!(device.problem(false, true, Instant::now()), None);
        }
        read(&mut device, 3);
        poly(&mut device, 0);
        assert!(device.is_understood());
        assert_eq!(device.problem(true, true, Instant::now()), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_is_trusted_again_with_what_works() {
    let mut device = new();
    read(&mut device, ALL);
    lost(&mut device, 1, 1).await;
    device.restart();
    read(&mut device, 1);
    let give_up = |device: &mut Understanding| device.give_up(true, Instant::now());
    assert!(give_up(&mut device).is_empty());
    tokio::time::advance(Duration::from_secs(600)).await;
    assert!(
        device.give_up(false, Instant::now()).is_empty(),
        "not all was read"
    );
    assert_eq!(give_up(&mut device), (1..ALL).collect::<Vec<_>>());
    poly(&mut device, 0);
    assert!(device.is_understood());
    // What fails on is not missed any more.
    for _ in 0..500 {
        read(&mut device, 1);
        assert_eq!(device.problem(true, true, Instant::now()), None);
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert!(give_up(&mut device).is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_whose_states_were_taken_away_is_not_missed() {
    let mut device = new();
    read(&mut device, ALL);
    for _ in 0..500 {
        // They answer null.
        for index in 1..ALL {
            device.answered(Some(index), Evidence::NotPoly, None, Instant::now());
            device.has_nothing(index, Instant::now());
        }
        fail(&mut device, 0);
        poly(&mut device, 0);
        assert_eq!(device.problem(true, true, Instant::now()), None);
        tokio::time::advance(Duration::from_secs(1)).await;
    }
}

#[test]
fn a_read_that_was_not_answered_long_ago_is_not_told() {
    let mut device = new();
    poly(&mut device, STATUS);
    device.unanswered(AUDIO, Instant::now());
    poly(&mut device, AUDIO);
    for _ in 0..3 {
        fail(&mut device, AUDIO);
    }
    fail(&mut device, STATUS);
    let told = device.problem(true, true, Instant::now()).unwrap().message;
    assert!(!told.contains("did not answer"), "{told}");
}

#[test]
fn endpoints_that_the_device_lacks_or_never_had_do_not_count_as_failing() {
    let mut device = new();
    for index in 0..8 {
        poly(&mut device, index);
    }
    for _ in 0..10 {
        for index in 1..20 {
            let seen = Some(UnusableAnswer::status(404));
            device.answered(Some(index), Evidence::NotPoly, seen, Instant::now());
        }
        for index in 20..30 {
            fail(&mut device, index);
        }
        poly(&mut device, 0);
        assert!(device.is_understood());
    }
    assert_eq!(device.problem(true, true, Instant::now()), None);
}

#[test]
fn a_problem_names_each_kind_of_answer_once_and_is_short() {
    let mut device = new();
    for n in 0..100 {
        let text = format!("kind {} {}", n % 5, "x".repeat(500));
        let seen = UnusableAnswer::from(Failure::new(ErrorCode::DeviceError, text));
        device.answered(Some(n), Evidence::NotPoly, Some(seen), Instant::now());
    }
    let problem = device.problem(false, true, Instant::now()).unwrap().message;
    assert_eq!(problem.matches("kind 0").count(), 1, "{problem}");
    assert!(problem.contains("kind 2") && !problem.contains("kind 3"));
    assert!(problem.len() < 1000, "{}", problem.len());
}

#[test]
fn a_device_that_is_not_understood_after_one_log_in_is_useless_again_after_the_next() {
    let mut device = new();
    fail(&mut device, AUDIO);
    assert!(!device.is_useless_again());
    for _ in 0..2 {
        device.restart();
        assert!(device.is_useless_again());
        fail(&mut device, AUDIO);
    }
    poly(&mut device, STATUS);
    assert!(!device.is_useless_again());
    device.restart();
    assert!(!device.is_useless_again());
}

#[test]
fn a_device_that_asks_for_fewer_requests_is_understood_unless_it_answers_nothing_else() {
    let (mut device, start) = (new(), Instant::now());
    let wait = DeviceTimings::default().loss_before_offline;
    let postpone = |device: &mut Understanding, index, now| {
        let seen = Some(UnusableAnswer::status(429));
        device.answered(Some(index), Evidence::Postponed, seen, now);
    };
    poly(&mut device, AUDIO);
    for index in 0..40 {
        postpone(&mut device, index, start);
    }
    assert!(device.is_understood());
    assert_eq!(device.problem(true, true, start), None);
    let almost = start + wait.checked_sub(Duration::from_secs(1)).unwrap();
    assert_eq!(device.problem(true, true, almost), None);
    // One answer is enough.
    device.answered(Some(AUDIO), Evidence::Poly, None, almost);
    postpone(&mut device, STATUS, almost);
    assert_eq!(device.problem(true, true, start + wait), None);
    let problem = device.problem(true, true, almost + wait).unwrap();
    assert!(problem.message.contains("answered 429"), "{problem}");
    assert!(problem.message.contains("poll = \"gentle\""), "{problem}");
    // Also right after the next log-in.
    device.restart();
    postpone(&mut device, AUDIO, almost + wait);
    assert!(device.problem(false, false, almost + wait).is_some());
    poly(&mut device, AUDIO);
    assert_eq!(device.problem(true, false, almost + wait), None);
}
