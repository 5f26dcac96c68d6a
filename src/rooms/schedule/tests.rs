//! When states are read, over a minute of simulated time.

use super::scheduled_read::UNSUPPORTED_BEFORE_DROPPED;
use super::*;
use crate::rooms::testing::INTERVALS;

/// Without settings, and not shifted against other rooms.
fn schedule(start: Instant) -> Schedule {
    Schedule::new(INTERVALS, PollPhase::default(), false, start)
}

/// What is read in a minute, when every read takes `took`.
fn minute(schedule: &mut Schedule, start: Instant, took: Duration) -> Vec<(Instant, &'static str)> {
    reads_until(schedule, start, start + Duration::from_secs(60), took)
}

fn reads_until(
    schedule: &mut Schedule,
    start: Instant,
    end: Instant,
    took: Duration,
) -> Vec<(Instant, &'static str)> {
    let mut now = start;
    let mut reads = Vec::new();
    while let Some((index, due)) = schedule.next() {
        now = now.max(due);
        if now >= end {
            break;
        }
        schedule.began(index, now);
        schedule.unchanged(index, now);
        let entry = schedule.entry(index).unwrap();
        entry.last_body = Some((Digest::of(b""), Evidence::Poly));
        reads.push((now, entry.operation.path));
        now += took;
    }
    reads
}

fn count(reads: &[(Instant, &str)], path: &str) -> usize {
    reads.iter().filter(|(_, read)| *read == path).count()
}

#[test]
fn classes_are_read_at_their_pace_and_spread() {
    let start = Instant::now();
    let mut schedule = schedule(start);
    let mut first = minute(&mut schedule, start, Duration::from_millis(10));
    assert!(
        (25..=30).contains(&count(&first, "/rest/audio")),
        "{}",
        count(&first, "/rest/audio")
    );
    assert!((3..=4).contains(&count(&first, "/rest/system/status")));
    assert_eq!(count(&first, "/rest/audio/audiometers"), 0);
    assert_eq!(count(&first, "/rest/conferences/{conf_id}/mediastats"), 0);
    let mut later = first.split_off(first.len() / 2);
    later.dedup_by_key(|(at, _)| *at);
    assert!(later.len() > 30, "reads fall together: {}", later.len());
}

#[test]
fn a_call_doubles_the_pace_and_adds_its_own_states() {
    let start = Instant::now();
    let mut schedule = schedule(start);
    schedule.set_in_call(true, start);
    let reads = minute(&mut schedule, start, Duration::from_millis(10));
    assert!(count(&reads, "/rest/conferences") > 50);
    assert!(count(&reads, "/rest/conferences/{conf_id}/mediastats") >= 3);
}

/// The requests a minute that `docs/states.md` names, for a device that has all that is read.
#[test]
fn the_requests_a_minute_are_those_of_the_page() {
    let minutes = 8 * 60;
    let mut table = String::new();
    for (name, gentle, in_call, resting) in [
        ("default", false, false, false),
        ("default, in a call", false, true, false),
        ("default, asleep or in Teams", false, false, true),
        ("gentle", true, false, false),
        ("gentle, in a call", true, true, false),
        ("gentle, asleep or in Teams", true, false, true),
    ] {
        let intervals = PollIntervals {
            gentle,
            ..INTERVALS
        };
        let start = Instant::now();
        let mut schedule = Schedule::new(intervals, PollPhase::default(), false, start);
        schedule.set_in_call(in_call, start);
        schedule.set_resting(resting, start);
        let took = Duration::from_millis(10);
        // The first reads come all at once.
        let steady = start + Duration::from_secs(20 * 60);
        reads_until(&mut schedule, start, steady, took);
        let end = steady + Duration::from_secs(minutes * 60);
        let reads = reads_until(&mut schedule, steady, end, took).len();
        let a_minute = (reads as f64 / minutes as f64).round();
        table += &format!("| {name} | {a_minute} |\n");
    }
    let page = include_str!("../../../docs/states.md");
    assert!(page.contains(&table), "docs/states.md lacks\n{table}");
}

#[test]
fn a_device_that_wakes_is_read_at_the_faster_pace_at_once() {
    let intervals = PollIntervals {
        gentle: true,
        ..INTERVALS
    };
    let start = Instant::now();
    let mut schedule = Schedule::new(intervals, PollPhase::default(), false, start);
    schedule.set_resting(true, start);
    let took = Duration::from_millis(10);
    let later = start + Duration::from_secs(20 * 60);
    reads_until(&mut schedule, start, later, took);
    schedule.set_resting(false, later);
    let reads = minute(&mut schedule, later, took);
    assert!(count(&reads, "/rest/audio") >= 7, "{reads:?}");
    assert!(count(&reads, "/rest/system") >= 1, "{reads:?}");
}

#[test]
fn rooms_that_start_together_do_not_read_together() {
    let start = Instant::now();
    // The first reads come all at once.
    let steady = start + INTERVALS.normal * 2;
    let mut in_tenths = [0_u32; 10];
    for room in 0..200 {
        let phase = PollPhase::of_room(&format!("room-{room}"));
        let mut schedule = Schedule::new(INTERVALS, phase, false, start);
        let took = Duration::from_millis(1);
        reads_until(&mut schedule, start, steady, took);
        for (at, _) in reads_until(&mut schedule, steady, steady + INTERVALS.fast * 10, took) {
            let since = at.duration_since(start).as_millis() * 10 / INTERVALS.fast.as_millis();
            in_tenths[usize::try_from(since % 10).unwrap()] += 1;
        }
    }
    let usual = in_tenths.iter().sum::<u32>() / 10;
    let most = in_tenths.iter().max().unwrap();
    assert!(*most < usual * 3 / 2, "{in_tenths:?}");
}

#[test]
fn late_reads_do_not_pile_up() {
    let start = Instant::now();
    let mut schedule = schedule(start);
    let reads = minute(&mut schedule, start, Duration::from_secs(3));
    assert!(reads.len() <= 20);
}

/// The index of an operation's entry.
fn index(schedule: &Schedule, path: &str) -> usize {
    let mut entries = schedule.entries.iter();
    entries
        .position(|entry| entry.operation.path == path)
        .unwrap()
}

#[test]
fn what_the_device_does_not_have_is_dropped_until_the_next_log_in() {
    let start = Instant::now();
    let mut schedule = schedule(start);
    let audio = index(&schedule, "/rest/audio");
    for _ in 0..UNSUPPORTED_BEFORE_DROPPED {
        assert!(!schedule.entries[audio].is_dropped());
        schedule.unsupported(audio, start);
    }
    let reads = minute(&mut schedule, start, Duration::from_millis(10));
    assert_eq!(count(&reads, "/rest/audio"), 0);
    let later = start + Duration::from_secs(60);
    schedule.restart(later);
    let reads = minute(&mut schedule, later, Duration::from_millis(10));
    assert!(count(&reads, "/rest/audio") > 20);
}

#[test]
fn what_the_device_refuses_is_asked_rarely_and_again_with_another_provider() {
    let step = Duration::from_millis(10);
    for (answered, by_mode, reads_in_a_minute) in [
        (false, true, 0),
        (false, false, 0),
        (true, true, 1),
        (true, false, 30),
    ] {
        let start = Instant::now();
        let mut schedule = schedule(start);
        let audio = index(&schedule, "/rest/audio");
        if answered {
            schedule.answered(audio, b"{}", Evidence::Poly, start);
        }
        for _ in 0..UNSUPPORTED_BEFORE_DROPPED {
            assert!(!schedule.entries[audio].is_dropped());
            assert_eq!(schedule.refused(audio, by_mode, start), !answered);
        }
        let reads = count(&minute(&mut schedule, start, step), "/rest/audio");
        let wanted = reads_in_a_minute - 1..=reads_in_a_minute + 1;
        assert!(
            wanted.contains(&i64::try_from(reads).unwrap()),
            "{answered} {by_mode} {reads}"
        );
        let later = start + Duration::from_secs(60);
        schedule.mode_changed(later);
        let reads = count(&minute(&mut schedule, later, step), "/rest/audio");
        assert!(reads > 20, "{answered} {by_mode} {reads}");
    }
}

#[test]
fn what_the_device_once_had_is_read_on() {
    let start = Instant::now();
    let mut schedule = schedule(start);
    let audio = index(&schedule, "/rest/audio");
    schedule.answered(audio, b"{}", Evidence::Poly, start);
    for _ in 0..2 * UNSUPPORTED_BEFORE_DROPPED {
        schedule.unsupported(audio, start);
    }
    assert!(!schedule.entries[audio].is_dropped());
}

#[test]
fn the_schedule_is_complete_when_everything_was_asked_for() {
    let start = Instant::now();
    let mut schedule = schedule(start);
    while let Some((index, _)) = schedule.next().filter(|(_, due)| *due <= start) {
        assert!(!schedule.complete());
        schedule.began(index, start);
        schedule.read_ended(index);
    }
    assert!(schedule.complete());
    // In a call there is more to ask for.
    schedule.set_in_call(true, start);
    assert!(!schedule.complete());
    schedule.set_in_call(false, start);
    schedule.restart(start);
    assert!(!schedule.complete());
}

#[test]
fn a_command_makes_the_body_of_the_same_state_unknown() {
    let start = Instant::now();
    let mut schedule = schedule(start);
    let audio = index(&schedule, "/rest/audio");
    schedule.answered(audio, b"{}", Evidence::Poly, start);
    let known = |schedule: &Schedule, body: &[u8]| schedule.entries[audio].evidence_of_same(body);
    assert_eq!(known(&schedule, b"{}"), Some(Evidence::Poly));
    assert_eq!(known(&schedule, b"[]"), None);
    let writes = schedule.entries[audio].writes();
    schedule.written(schedule.entries[audio].operation);
    assert_eq!(known(&schedule, b"{}"), None);
    assert_ne!(schedule.entries[audio].writes(), writes);
}

#[test]
fn another_spelling_is_read_only_while_the_first_is_missing() {
    let start = Instant::now();
    let mut schedule = schedule(start);
    let first = index(&schedule, "/rest/devicemanagement/devices");
    let second = index(&schedule, "/rest/current/devicemanagement/devices");
    let wanted = |schedule: &Schedule| schedule.wanted(&schedule.entries[second]);
    assert!(!wanted(&schedule));
    schedule.unsupported(first, start);
    assert!(wanted(&schedule));
    // The first one was only not there yet.
    schedule.answered(first, b"[]", Evidence::Neutral, start);
    assert!(!wanted(&schedule));
    // It was there, and is lost.
    schedule.unsupported(first, start);
    assert!(wanted(&schedule) && schedule.wanted(&schedule.entries[first]));
    schedule.answered(first, b"[]", Evidence::Neutral, start);
    assert!(!wanted(&schedule));
    schedule.restart(start);
    for _ in 0..UNSUPPORTED_BEFORE_DROPPED {
        schedule.unsupported(first, start);
    }
    assert!(wanted(&schedule) && !schedule.wanted(&schedule.entries[first]));
    schedule.restart(start);
    assert!(!wanted(&schedule) && schedule.wanted(&schedule.entries[first]));
}

#[test]
fn what_a_call_leaves_behind_is_read_after_the_log_in_and_after_each_call() {
    let start = Instant::now();
    let mut schedule = schedule(start);
    let log = index(&schedule, "/rest/calllog/entries");
    let in_seconds = |schedule: &Schedule| (schedule.entries[log].due - start).as_secs();
    // A read that fails is repeated.
    for _ in 0..2 {
        schedule.began(log, start);
        schedule.failed(log, start);
        schedule.read_ended(log);
        assert!(schedule.entries[log].due > start + Duration::from_secs(5));
    }
    schedule.answered(log, b"[]", Evidence::Neutral, start);
    for _ in 0..2 {
        schedule.call_ended(start);
        assert_eq!(in_seconds(&schedule), 1);
        // The entry is not there yet, then it is, then nothing more comes.
        schedule.unchanged(log, start);
        assert_eq!(in_seconds(&schedule), 2);
        schedule.failed(log, start);
        assert_eq!(in_seconds(&schedule), 7);
        schedule.answered(log, b"[{}]", Evidence::Poly, start);
        assert_eq!(in_seconds(&schedule), 20);
        schedule.began(log, start);
        schedule.unchanged(log, start);
        assert!(schedule.entries[log].after_call.is_none());
    }
    // When the device is in doubt, the newest that is known of it is asked for.
    schedule.again(log, start);
    assert_eq!(in_seconds(&schedule), 0);
}

/// A call may come and go between two reads of the calls, or while the device does not answer.
#[test]
fn what_a_call_leaves_behind_is_read_at_its_pace_too() {
    let start = Instant::now();
    let mut schedule = schedule(start);
    let log = index(&schedule, "/rest/calllog/entries");
    schedule.began(log, start);
    schedule.answered(log, b"[]", Evidence::Neutral, start);
    for _ in 0..3 {
        let due = schedule.entries[log].due;
        assert!(schedule.wanted(&schedule.entries[log]));
        schedule.began(log, due);
        schedule.unchanged(log, due);
        assert_eq!(schedule.entries[log].due, due + INTERVALS.slow);
    }
}

#[test]
fn what_a_call_leaves_behind_is_not_asked_of_a_device_that_lacks_it() {
    let start = Instant::now();
    let mut schedule = schedule(start);
    let log = index(&schedule, "/rest/calllog/entries");
    for _ in 0..UNSUPPORTED_BEFORE_DROPPED {
        schedule.call_ended(start);
        assert!(schedule.wanted(&schedule.entries[log]));
        schedule.unsupported(log, start);
    }
    schedule.call_ended(start);
    assert!(!schedule.wanted(&schedule.entries[log]));
}

#[test]
fn without_settings_they_are_not_read() {
    let reads = |has_settings| {
        let schedule = Schedule::new(
            INTERVALS,
            PollPhase::default(),
            has_settings,
            Instant::now(),
        );
        let mut entries = schedule.entries.iter();
        entries.any(|entry| entry.operation.read == Some(ReadBody::SettingNames))
    };
    assert!(!reads(false));
}

#[test]
fn an_entry_is_small() {
    assert!(size_of::<ScheduledRead>() <= 64);
}

fn slowed(slowdown: u32, paused_until: Option<Instant>) -> RequestedPace {
    RequestedPace {
        is_throttled: slowdown > 1,
        slowdown,
        paused_until,
    }
}

#[test]
fn a_device_that_asks_for_fewer_requests_is_read_less_until_it_does_not() {
    let start = Instant::now();
    let took = Duration::from_millis(10);
    let mut schedule = schedule(start);
    let mut now = start + Duration::from_secs(300);
    reads_until(&mut schedule, start, now, took);
    let usual = minute(&mut schedule, now, took).len();
    now += Duration::from_secs(60);
    let pause = now + Duration::from_secs(9);
    schedule.set_pace(slowed(2, Some(pause)), now);
    let reads = minute(&mut schedule, now, took);
    assert!(reads.iter().all(|(at, _)| *at >= pause));
    // What the pause left undone does not come all at its end.
    let soon = pause + Duration::from_secs(5);
    let first = reads.iter().filter(|(at, _)| *at < soon).count();
    assert!(first <= 8, "{first}");
    now += Duration::from_secs(60);
    for slowdown in [2, 4] {
        schedule.set_pace(slowed(slowdown, Some(pause)), now);
        let before = now;
        now += Duration::from_secs(300);
        reads_until(&mut schedule, before, now, took);
        let reads = minute(&mut schedule, now, took).len();
        now += Duration::from_secs(60);
        let most = usual / usize::try_from(slowdown).unwrap() + 5;
        assert!(
            reads <= most && reads * 2 > most,
            "{slowdown}: {reads} of {usual}"
        );
    }
    schedule.set_pace(slowed(1, None), now);
    let reads = minute(&mut schedule, now, took).len();
    assert!(reads * 10 > usual * 9, "{reads} of {usual}");
}

#[test]
fn a_gentle_room_is_not_read_even_less() {
    let (start, took) = (Instant::now(), Duration::from_millis(10));
    let intervals = PollIntervals {
        gentle: true,
        ..INTERVALS
    };
    let counts = [1, 2, 4].map(|slowdown| {
        let mut schedule = Schedule::new(intervals, PollPhase::default(), false, start);
        schedule.set_pace(slowed(slowdown, None), start);
        let steady = start + Duration::from_secs(20 * 60);
        reads_until(&mut schedule, start, steady, took);
        let end = steady + Duration::from_secs(20 * 60);
        reads_until(&mut schedule, steady, end, took).len()
    });
    let [own, ..] = counts;
    assert!(
        counts.iter().all(|count| count.abs_diff(own) * 20 < own),
        "{counts:?}"
    );
}

#[test]
fn a_branch_is_missing_if_nothing_of_it_was_there() {
    let now = Instant::now();
    let mut schedule = schedule(now);
    let (call, camera) = (
        "/rest/conferences/{conf_id}",
        "/rest/cameras/near/{camera_id}",
    );
    assert!(!schedule.lacks_branch(call));
    let indexes = |schedule: &mut Schedule, branch: &str| -> Vec<usize> {
        let all = 0..schedule.entries.len();
        all.filter(|index| {
            let path = schedule.entries[*index].operation.path;
            path.starts_with(branch) && schedule.is_read(*index)
        })
        .collect()
    };
    let calls = indexes(&mut schedule, "/rest/conferences");
    assert!(calls.len() > 1);
    for index in calls.clone() {
        schedule.unsupported(index, now);
        schedule.read_ended(index);
    }
    assert!(schedule.lacks_branch(call));
    assert!(!schedule.lacks_branch(camera));
    schedule.is_there(calls[0]);
    assert!(!schedule.lacks_branch(call));
    // The device was logged in to anew.
    schedule.restart(now);
    assert!(!schedule.lacks_branch(call));
}

#[test]
fn apps_are_read_when_a_call_has_begun_and_ended() {
    let start = Instant::now();
    let mut schedule = schedule(start);
    let mut end = start + Duration::from_secs(60);
    reads_until(&mut schedule, start, end, Duration::ZERO);
    for in_call in [true, false] {
        let changed = end;
        schedule.set_in_call(in_call, changed);
        end += AROUND_CALLS_DELAY * 2;
        let reads = reads_until(&mut schedule, changed, end, Duration::ZERO);
        assert_eq!(count(&reads, "/rest/system/apps/state"), 1, "{in_call}");
    }
}
