use super::*;

const A: Credential = Credential(1);
const B: Credential = Credential(2);

fn wait(backoff: &LoginBackoff, now: Instant) -> Duration {
    backoff.blocked_until(A, now).unwrap() - now
}

#[test]
fn the_wait_after_a_refused_password_doubles_up_to_an_hour() {
    let (timings, now) = (DeviceTimings::default(), Instant::now());
    let refused = Problem::new(ProblemCode::Unauthorized, "refused");
    let mut backoff = LoginBackoff::default();
    assert!(backoff.blocked(A, now).is_none());
    for minutes in [10, 20, 40, 60, 60] {
        backoff.failed(A, &refused, &timings, now);
        assert_eq!(wait(&backoff, now), Duration::from_secs(60 * minutes));
    }
    assert_eq!(backoff.blocked(A, now), Some(&refused));
    assert!(backoff.blocked(A, now + LONGEST_LOGIN_WAIT).is_none());
    // The password was right: it may not be the password that is wrong.
    backoff.succeeded(A);
    backoff.failed(A, &refused, &timings, now);
    assert_eq!(wait(&backoff, now), timings.retry_after_doubtful_refusal);
    for minutes in [10, 20] {
        backoff.failed(A, &refused, &timings, now);
        assert_eq!(wait(&backoff, now), Duration::from_secs(60 * minutes));
    }
}

#[test]
fn a_first_wait_of_more_than_an_hour_is_kept() {
    let now = Instant::now();
    let timings = DeviceTimings {
        retry_after_refused_login: Duration::from_secs(7200),
        ..DeviceTimings::default()
    };
    let mut backoff = LoginBackoff::default();
    let refused = Problem::new(ProblemCode::Unauthorized, "refused");
    for _ in 0..40 {
        backoff.failed(A, &refused, &timings, now);
        assert_eq!(wait(&backoff, now), Duration::from_secs(7200));
    }
}

#[test]
fn each_reason_has_its_wait_and_an_unreachable_device_has_none() {
    let (timings, now) = (DeviceTimings::default(), Instant::now());
    let mut backoff = LoginBackoff::default();
    for (code, seconds) in [
        (ProblemCode::LockedOut, 120),
        (ProblemCode::TooManySessions, 60),
    ] {
        backoff.failed(A, &Problem::new(code, ""), &timings, now);
        assert_eq!(wait(&backoff, now), Duration::from_secs(seconds));
    }
    backoff.failed(A, &Problem::new(ProblemCode::Offline, ""), &timings, now);
    assert!(backoff.blocked(A, now).is_none());
}

const MINUTE: Duration = Duration::from_secs(60);

fn refused() -> Problem {
    Problem::new(ProblemCode::Unauthorized, "refused")
}

#[test]
fn a_room_that_starts_again_and_again_is_refused_four_times_an_hour() {
    let (timings, begin) = (DeviceTimings::default(), Instant::now());
    let mut backoff = LoginBackoff::default();
    let mut tries = Vec::new();
    for minute in 0..180 {
        let now = begin + minute * MINUTE;
        backoff.room_starts(A, &timings, now);
        if backoff.blocked(A, now).is_none() {
            tries.push(minute);
            backoff.failed(A, &refused(), &timings, now);
        }
    }
    assert_eq!(tries, [0, 1, 2, 3, 60, 61, 62, 63, 120, 121, 122, 123]);
    backoff.room_starts(A, &timings, begin + 150 * MINUTE);
    let told = &backoff.blocked(A, begin + 150 * MINUTE).unwrap().message;
    assert!(told.contains("refused 4 log-ins"), "{told}");
}

#[test]
fn what_a_device_refused_outlives_a_restart() {
    let (timings, now, unix) = (DeviceTimings::default(), Instant::now(), 1_800_000_000);
    let mut backoff = LoginBackoff::default();
    assert_eq!(backoff.to_json(A, now, unix), None);
    for _ in 1..MOST_REFUSALS {
        backoff.failed(A, &refused(), &timings, now);
    }
    let stored = backoff.to_json(A, now, unix).unwrap();
    let restarted = |seconds: u64| {
        let mut backoff = LoginBackoff::default();
        let now = now + Duration::from_secs(seconds);
        backoff.restore(A, &stored, &timings, now, unix + seconds);
        backoff.room_starts(A, &timings, now);
        assert!(backoff.blocked(A, now).is_none(), "there is one more");
        backoff.failed(A, &refused(), &timings, now);
        backoff.blocked_until(A, now).map(|until| until - now)
    };
    assert_eq!(restarted(60), Some(60 * MINUTE));
    // It is forgotten when it does not count any more.
    assert_eq!(restarted(3600), Some(10 * MINUTE));
    backoff.succeeded(A);
    assert_eq!(backoff.to_json(A, now, unix), None);
}

#[test]
fn a_lock_out_outlives_restarts_and_new_passwords() {
    let (timings, now, unix) = (DeviceTimings::default(), Instant::now(), 1_800_000_000);
    let locked = Problem::new(ProblemCode::LockedOut, "locked");
    let mut backoff = LoginBackoff::default();
    backoff.failed(A, &locked, &timings, now);
    let stored = backoff.to_json(A, now, unix).unwrap();
    for unix in [unix, unix + 5] {
        let mut restarted = LoginBackoff::default();
        restarted.restore(A, &stored, &timings, now, unix);
        restarted.room_starts(A, &timings, now);
        assert_eq!(restarted.blocked(A, now), Some(&locked));
    }
    let mut restarted = LoginBackoff::default();
    restarted.restore(A, &stored, &timings, now, unix + 120);
    assert_eq!(restarted.blocked(A, now), None);
}

#[test]
fn what_is_stored_may_be_anything() {
    let (timings, now) = (DeviceTimings::default(), Instant::now());
    for stored in [
        json!(null),
        json!({"refused": [u64::MAX, -1, "x"], "locked_out": {"until": u64::MAX}}),
        json!({"refused": vec![5; 1000], "locked_out": 7}),
        json!({"refused": vec![5; 1000], "ids": [1, "2", 3], "tags": [999, -1, null, 7]}),
    ] {
        let mut backoff = LoginBackoff::default();
        backoff.restore(A, &stored, &timings, now, 5);
        assert!(backoff.refused.len() <= MOST_REFUSALS_OF_ALL);
        let longest = now + timings.retry_after_lockout;
        let locked_out = backoff.blocked.as_ref();
        assert!(locked_out.is_none_or(|(until, _)| *until <= longest));
        backoff.room_starts(A, &timings, now);
    }
}

#[test]
fn a_session_that_the_device_still_takes_makes_a_refusal_doubtful_once() {
    let (timings, now) = (DeviceTimings::default(), Instant::now());
    let mut backoff = LoginBackoff::default();
    backoff.session_taken(A);
    backoff.failed(A, &refused(), &timings, now);
    assert_eq!(wait(&backoff, now), timings.retry_after_doubtful_refusal);
    backoff.session_taken(A);
    backoff.failed(A, &refused(), &timings, now);
    assert_eq!(wait(&backoff, now), timings.retry_after_refused_login);
}

#[test]
fn a_wrong_password_says_nothing_of_the_right_one_of_another_room() {
    let (timings, begin) = (DeviceTimings::default(), Instant::now());
    let mut backoff = LoginBackoff::default();
    let mut tries = 0;
    for minute in 0..60 {
        let now = begin + minute * MINUTE;
        for who in [A, B] {
            backoff.room_starts(who, &timings, now);
        }
        assert!(backoff.blocked(B, now).is_none(), "{minute}");
        backoff.succeeded(B);
        if backoff.blocked(A, now).is_none() {
            tries += 1;
            backoff.failed(A, &refused(), &timings, now);
        }
    }
    // The success of the other room does not make the wrong password right.
    assert_eq!(tries, MOST_REFUSALS);
    assert_eq!(backoff.to_json(B, begin, 5), None);
    // What the device does to everybody holds for both.
    let locked = Problem::new(ProblemCode::LockedOut, "locked");
    let later = begin + 61 * MINUTE;
    backoff.failed(A, &locked, &timings, later);
    assert_eq!(backoff.blocked(B, later), Some(&locked));
}

#[test]
fn passwords_that_are_all_new_are_held_back_before_the_device_locks_out() {
    let (timings, now) = (DeviceTimings::default(), Instant::now());
    let mut backoff = LoginBackoff::default();
    let mut tries = 0;
    for who in (0..100).map(Credential) {
        backoff.room_starts(who, &timings, now);
        if backoff.blocked(who, now).is_none() {
            tries += 1;
            backoff.failed(who, &refused(), &timings, now);
        }
    }
    assert_eq!(tries, MOST_REFUSALS_OF_ALL);
    assert!(backoff.known.len() <= MOST_KNOWN);
}

#[test]
fn a_reload_counts_no_refusal_twice() {
    let (timings, now, unix) = (DeviceTimings::default(), Instant::now(), 1_800_000_000);
    let mut backoff = LoginBackoff::default();
    backoff.failed(A, &refused(), &timings, now);
    let stored = backoff.to_json(A, now, unix).unwrap();
    let later = now + Duration::from_millis(90_700);
    backoff.restore(B, &stored, &timings, later, unix + 90);
    assert_eq!(backoff.refused.len(), 1);
}

#[test]
fn rooms_that_are_refused_in_the_same_moment_keep_their_refusals_over_restarts() {
    let (timings, begin, unix) = (DeviceTimings::default(), Instant::now(), 1_800_000_000);
    let rooms = [A, B, Credential(3)];
    let mut stored = rooms.map(|_| None);
    let mut tries = rooms.map(|_| 0);
    for start in 0..20 {
        let (now, unix) = (begin + Duration::from_secs(3 * start), unix + 3 * start);
        let mut backoff = LoginBackoff::default();
        for (who, stored) in rooms.into_iter().zip(&stored) {
            if let Some(stored) = stored {
                backoff.restore(who, stored, &timings, now, unix);
            }
            backoff.room_starts(who, &timings, now);
        }
        for (n, who) in rooms.into_iter().enumerate() {
            if backoff.blocked(who, now).is_none() {
                tries[n] += 1;
                backoff.failed(who, &refused(), &timings, now);
                stored[n] = backoff.to_json(who, now, unix);
            }
        }
    }
    assert!(
        tries.iter().all(|tries| *tries <= MOST_REFUSALS),
        "{tries:?}"
    );
    assert!(
        tries.iter().sum::<usize>() <= MOST_REFUSALS_OF_ALL,
        "{tries:?}"
    );
}

/// Whoever corrects a password restarts the gateway where that is simpler than a reload.
#[test]
fn a_restart_with_another_password_tries_it_until_the_device_has_refused_too_many() {
    let (timings, begin, unix) = (DeviceTimings::default(), Instant::now(), 1_800_000_000);
    let mut stored = None;
    let mut tries = 0;
    for start in 0..20 {
        let (now, unix) = (begin + Duration::from_secs(start), unix + start);
        let mut backoff = LoginBackoff::default();
        // Each password is tried twice.
        let who = Credential(start / 2);
        if let Some(stored) = &stored {
            backoff.restore(who, stored, &timings, now, unix);
        }
        backoff.room_starts(who, &timings, now);
        if backoff.blocked(who, now).is_none() {
            tries += 1;
            backoff.failed(who, &refused(), &timings, now);
            stored = backoff.to_json(who, now, unix);
        }
    }
    assert_eq!(tries, MOST_REFUSALS_OF_ALL);
}
