//! The order of waiting commands, and which of them are answered without being carried out.

use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::catalogue::{CATALOGUE, Call, Command, Params, Route, TimeLimit, Variant};
use crate::command::{Reply, Transfer};
use crate::state::StateStore;

struct Fixture {
    queue: Queue,
    answers: mpsc::Receiver<(String, ErrorCode)>,
    tx: mpsc::Sender<(String, ErrorCode)>,
}

const ALL: FreeLanes = FreeLanes {
    in_order: Ok(()),
    alongside: true,
    files: true,
    minutes: true,
    ending: [None; 2],
};

impl Fixture {
    fn new() -> Self {
        let (tx, answers) = mpsc::channel();
        let publisher = RoomPublisher::new(StateStore::new(), Arc::default(), "1".into());
        Self {
            queue: Queue::new(Arc::new(publisher)),
            answers,
            tx,
        }
    }

    fn push(&self, command: &str, payload: &'static str) {
        let call = Call::parse(command, &Bytes::from(payload), &mut None).unwrap();
        self.push_call(command, call);
    }

    fn push_call(&self, command: &str, call: Call) {
        let tx = self.tx.clone();
        let reply = Reply::new("1".into(), command, move |outcome| {
            if let Err(failure) = outcome.result {
                let _ = tx.send((outcome.command, failure.code));
            }
        });
        self.queue.push(Ticket {
            call,
            reply,
            expires: Instant::now() + Duration::from_secs(5),
            transfer: Transfer::None,
        });
    }

    fn take(&self, free: FreeLanes) -> Option<(Lane, String)> {
        let (lane, ticket) = self.queue.take(free)?;
        Some((lane, ticket.reply.command().to_owned()))
    }
}

#[test]
fn waiting_sets_of_one_state_collapse_into_the_newest() {
    let queue = Fixture::new();
    queue.push("audio/volume/set", "1");
    queue.push("video/mute", "");
    queue.push("audio/volume/up", "");
    queue.push("audio/volume/set", "2");
    let superseded = ("audio/volume/set".to_owned(), ErrorCode::Superseded);
    assert_eq!(queue.answers.try_recv(), Ok(superseded));
    assert!(queue.answers.try_recv().is_err());
    assert_eq!(queue.take(ALL).unwrap().1, "video/mute");
    assert_eq!(queue.take(ALL).unwrap().1, "audio/volume/up");
    assert_eq!(queue.take(ALL).unwrap().1, "audio/volume/set");
}

#[test]
fn two_toggles_are_two() {
    let queue = Fixture::new();
    queue.push("audio/muted/set", "toggle");
    queue.push("audio/muted/set", "toggle");
    assert!(queue.answers.try_recv().is_err());
}

#[test]
fn a_stop_goes_first_and_ends_the_moves_that_wait() {
    let queue = Fixture::new();
    queue.push("audio/mute", "");
    queue.push("camera/move", "left");
    queue.push("camera/preset/3/move", "left");
    queue.push("camera/stop", "");
    let superseded = ("camera/move".to_owned(), ErrorCode::Superseded);
    assert_eq!(queue.answers.try_recv(), Ok(superseded));
    assert_eq!(queue.take(ALL).unwrap().1, "camera/stop");
    assert_eq!(queue.take(ALL).unwrap().1, "audio/mute");
}

#[test]
fn what_begins_waits_for_the_end_of_what_was_before() {
    let ending = |area: &'static str| FreeLanes {
        ending: [Some(area), None],
        ..ALL
    };
    for (begin, payload, area, end) in [
        ("call/dial", "a@b", "call", "call/hangup"),
        ("calendar/current/dial", "", "call", "call/hangup"),
        ("camera/move", "left", "camera", "camera/stop"),
    ] {
        let queue = Fixture::new();
        queue.push(begin, payload);
        queue.push("audio/mute", "");
        // The order is kept, and a second end need not wait.
        assert_eq!(queue.take(ending(area)), None, "{begin}");
        let other = if area == "call" { "camera" } else { "call" };
        assert_eq!(queue.take(ending(other)).unwrap().1, begin);
        queue.push(end, "");
        assert_eq!(queue.take(ending(area)).unwrap().1, end);
    }
}

#[test]
fn a_hang_up_ends_whatever_dials_and_does_not_overtake_it() {
    let dials = [
        ("call/dial", "a@b"),
        ("call/0/add", "a@b"),
        ("call/blast", r#"["a@b"]"#),
        ("calendar/current/dial", ""),
        ("calendar/next/dial", ""),
        ("calendar/meeting/m/dial", ""),
        ("directory/local/entry/e1/dial", ""),
        ("directory/global/entry/e1/dial", ""),
    ];
    for (command, payload) in dials {
        let queue = Fixture::new();
        queue.push(command, payload);
        let (lane, ticket) = queue.queue.take(ALL).unwrap();
        assert_eq!((lane, ticket.area()), (Lane::InOrder, "call"), "{command}");
    }
    let queue = Fixture::new();
    for (command, payload) in dials {
        queue.push(command, payload);
    }
    queue.push("directory/search", "a");
    queue.push("call/hangup", "");
    let superseded: Vec<_> = queue.answers.try_iter().collect();
    let wanted = dials.map(|(command, _)| (command.to_owned(), ErrorCode::Superseded));
    assert_eq!(superseded, wanted);
    assert_eq!(queue.take(ALL).unwrap().1, "call/hangup");
    assert_eq!(queue.take(ALL).unwrap().1, "directory/search");
}

#[test]
fn hanging_up_one_party_goes_first_and_leaves_what_waits_to_be_dialled() {
    for party in [
        "call/0/connection/3/hangup",
        "call/0/terminal/3/hangup",
        "call/connection/3/hangup",
    ] {
        let queue = Fixture::new();
        queue.push("audio/mute", "");
        queue.push("call/dial", "a@b");
        queue.push(party, "");
        assert!(queue.answers.try_recv().is_err(), "{party}");
        for wanted in [party, "audio/mute", "call/dial"] {
            assert_eq!(queue.take(ALL).unwrap().1, wanted);
        }
    }
}

#[test]
fn a_stop_does_not_overtake_the_move_that_runs() {
    let queue = Fixture::new();
    queue.push("camera/stop", "");
    let moving = FreeLanes {
        in_order: Err("camera"),
        ..ALL
    };
    assert_eq!(queue.take(moving), None);
    let dialling = FreeLanes {
        in_order: Err("call"),
        ..ALL
    };
    assert_eq!(
        queue.take(dialling),
        Some((Lane::Alongside, "camera/stop".into()))
    );
}

#[test]
fn a_file_runs_beside_the_others_and_one_at_a_time() {
    for (file, payload) in [("system/logs/get", ""), ("directory/import", "<a/>")] {
        let queue = Fixture::new();
        queue.push(file, payload);
        queue.push("audio/mute", "");
        queue.push("system/logs/get", "");
        queue.push("call/hangup", "");
        assert_eq!(queue.take(ALL).unwrap().1, "call/hangup");
        assert_eq!(queue.take(ALL), Some((Lane::Files, file.into())));
        let rest = FreeLanes {
            files: false,
            ..ALL
        };
        assert_eq!(queue.take(rest), Some((Lane::InOrder, "audio/mute".into())));
        // Not even on a lane that is free: then it would have both of the device's requests.
        assert_eq!(queue.take(rest), None);
        queue
            .queue
            .expire(Instant::now() + Duration::from_secs(6), true);
        let expired = ("system/logs/get".to_owned(), ErrorCode::Expired);
        assert!(queue.answers.try_iter().any(|answer| answer == expired));
    }
}

#[test]
fn a_long_query_runs_alongside_the_others() {
    let queue = Fixture::new();
    queue.push("directory/search", "a");
    queue.push("audio/mute", "");
    assert_eq!(
        queue.take(ALL),
        Some((Lane::Alongside, "directory/search".into()))
    );
    let rest = FreeLanes {
        alongside: false,
        ..ALL
    };
    assert_eq!(queue.take(rest), Some((Lane::InOrder, "audio/mute".into())));
}

/// A command like another, but one that takes minutes.
fn that_takes_minutes(command: &str) -> &'static Route {
    let like = CATALOGUE.pattern(command).unwrap();
    let variant = Variant {
        operation: like.variants[0].operation,
        command: Command {
            time_limit: TimeLimit::Minutes,
            ..*like.command()
        },
    };
    Box::leak(Box::new(Route {
        topic: command.to_owned(),
        about: String::new(),
        variants: vec![variant],
    }))
}

#[test]
fn nothing_waits_for_a_command_that_takes_minutes() {
    let queue = Fixture::new();
    let command = "system/device_mode/set";
    let minutes = || Call::of(that_takes_minutes(command), Params::new());
    queue.push_call(command, minutes());
    queue.push("audio/mute", "");
    let alone = Some((Lane::Minutes, command.to_owned()));
    assert_eq!(queue.take(ALL), alone);
    let rest = FreeLanes {
        minutes: false,
        ..ALL
    };
    assert_eq!(queue.take(rest), Some((Lane::InOrder, "audio/mute".into())));
    // While its lane is taken it waits, and those behind it do not.
    queue.push_call(command, minutes());
    queue.push("audio/unmute", "");
    assert_eq!(
        queue.take(rest),
        Some((Lane::InOrder, "audio/unmute".into()))
    );
    assert_eq!(queue.take(rest), None);
    assert_eq!(queue.take(ALL), alone);
}

#[test]
fn the_sixty_fifth_is_busy() {
    let queue = Fixture::new();
    for _ in 0..=ROOM_QUEUE_CAPACITY {
        queue.push("audio/start", "");
    }
    let busy = ("audio/start".to_owned(), ErrorCode::Busy);
    assert_eq!(queue.answers.try_recv(), Ok(busy));
    queue
        .queue
        .expire(Instant::now() + Duration::from_secs(6), false);
    assert_eq!(queue.answers.try_iter().count(), ROOM_QUEUE_CAPACITY);
    assert!(queue.queue.take(ALL).is_none());
}

#[test]
fn a_full_queue_still_takes_what_ends_a_call_or_a_move() {
    let queue = Fixture::new();
    for _ in 0..ROOM_QUEUE_CAPACITY {
        queue.push("audio/start", "");
    }
    for _ in 0..URGENT_CAPACITY {
        queue.push("call/hangup", "");
    }
    assert!(queue.answers.try_recv().is_err());
    queue.push("camera/stop", "");
    let busy = ("camera/stop".to_owned(), ErrorCode::Busy);
    assert_eq!(queue.answers.try_recv(), Ok(busy));
    assert_eq!(queue.queue.take(ALL).unwrap().1.area(), "call");
    queue.answers.try_iter().count();
    queue.push("camera/stop", "");
    assert!(queue.answers.try_recv().is_err());
    queue.push("audio/start", "");
    let busy = ("audio/start".to_owned(), ErrorCode::Busy);
    assert_eq!(queue.answers.try_recv(), Ok(busy));
}

#[test]
fn a_full_queue_takes_a_command_that_supersedes_one() {
    let queue = Fixture::new();
    queue.push("audio/volume/set", "1");
    for _ in 1..ROOM_QUEUE_CAPACITY {
        queue.push("audio/start", "");
    }
    queue.push("audio/volume/set", "2");
    let superseded = ("audio/volume/set".to_owned(), ErrorCode::Superseded);
    assert_eq!(queue.answers.try_recv(), Ok(superseded));
    assert!(queue.answers.try_recv().is_err());
    assert_eq!(queue.queue.len(), ROOM_QUEUE_CAPACITY);
}

#[test]
fn a_closed_queue_answers_what_waits_and_what_comes() {
    let queue = Fixture::new();
    queue.push("audio/mute", "");
    queue.queue.close(stopping_failure());
    queue.push("video/mute", "");
    for command in ["audio/mute", "video/mute"] {
        let offline = (command.to_owned(), ErrorCode::Offline);
        assert_eq!(queue.answers.try_recv(), Ok(offline));
    }
    queue.queue.open();
    queue.push("audio/mute", "");
    assert_eq!(queue.take(ALL).unwrap().1, "audio/mute");
}

#[test]
fn an_ordered_command_that_waits_is_not_passed_by_a_later_one() {
    let queue = Fixture::new();
    queue.push("audio/mute", "");
    queue.push("directory/search", "a");
    let busy = FreeLanes {
        in_order: Err("video"),
        alongside: false,
        ..ALL
    };
    assert_eq!(queue.take(busy), None);
    let alongside = FreeLanes {
        alongside: true,
        ..busy
    };
    let search = (Lane::Alongside, "directory/search".to_owned());
    assert_eq!(queue.take(alongside), Some(search));
    assert_eq!(queue.take(ALL).unwrap().1, "audio/mute");
}

#[test]
fn commands_expire_in_their_own_time() {
    let queue = Fixture::new();
    assert_eq!(queue.queue.next_expiry(), None);
    queue.push("audio/mute", "");
    let expiry = queue.queue.next_expiry().unwrap();
    queue.queue.expire(expiry - Duration::from_millis(1), false);
    assert!(queue.answers.try_recv().is_err());
    queue.queue.expire(expiry, false);
    let expired = ("audio/mute".to_owned(), ErrorCode::Expired);
    assert_eq!(queue.answers.try_recv(), Ok(expired));
}

#[test]
fn what_takes_minutes_begins_in_its_turn() {
    let queue = Fixture::new();
    queue.push("audio/mute", "");
    queue.push("system/provider/set", "Teams");
    queue.push("audio/volume/up", "");
    assert_eq!(queue.take(ALL), Some((Lane::InOrder, "audio/mute".into())));
    let muting = FreeLanes {
        in_order: Err("audio"),
        ..ALL
    };
    assert_eq!(queue.take(muting), None);
    let switch = (Lane::Minutes, "system/provider/set".to_owned());
    assert_eq!(queue.take(ALL), Some(switch));
    let up = (Lane::InOrder, "audio/volume/up".to_owned());
    assert_eq!(queue.take(ALL), Some(up));
}

#[test]
fn a_file_blames_another_file_only_where_there_is_one() {
    for (ticket, words) in [
        ((true, true), "another one took too long"),
        ((false, true), "too old when its turn came"),
        ((true, false), "too old when its turn came"),
    ] {
        let (file_is_in_flight, is_file) = ticket;
        let told = expired_failure(file_is_in_flight && is_file).message;
        assert!(told.contains(words), "{told}");
    }
}
