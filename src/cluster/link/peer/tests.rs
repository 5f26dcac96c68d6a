use std::sync::mpsc;

use super::*;
use crate::command::{CommandAuthority, DoorKind, Outcome, Reply, Submission, Success, Transfer};

fn link() -> Arc<Link> {
    Link::new(Member {
        name: "b".into(),
        advertise: Arc::new("http://192.0.2.2:8080".parse().unwrap()),
    })
}

fn command(outcomes: &mpsc::Sender<Outcome>) -> PassedCommand {
    let outcomes = outcomes.clone();
    let reply = Reply::new("1".into(), "audio/mute", move |outcome| {
        let _ = outcomes.send(outcome);
    });
    PassedCommand::command(Submission {
        room: "1".into(),
        command: "audio/mute".into(),
        payload: "true".into(),
        expires: None,
        received: Instant::now(),
        authority: CommandAuthority::Ordinary,
        door: DoorKind::Http,
        transfer: Transfer::None,
        reply,
    })
}

fn frame(link: &Link) -> Option<FrameHead> {
    let frame = LinkFrame::decode(link.next_message()?).unwrap();
    Some(frame.head)
}

#[tokio::test]
async fn a_link_that_is_not_connected_takes_no_command() {
    let (outcomes, _outcome) = mpsc::channel();
    let link = link();
    let refused = link.pass(command(&outcomes));
    assert!(matches!(refused, Err(NotTaken::NotConnected(_))));
    link.connected(true);
    assert!(link.pass(command(&outcomes)).is_ok());
    link.ended("why");
    assert_eq!(link.why_not_connected().as_deref(), Some("why"));
    assert!(link.pass(command(&outcomes)).is_err());
}

#[tokio::test]
async fn a_link_that_was_closed_is_not_connected_again() {
    let (outcomes, _outcome) = mpsc::channel();
    let link = link();
    link.close("gone");
    link.connected(true);
    assert!(link.pass(command(&outcomes)).is_err());
}

#[tokio::test]
async fn what_was_sent_differs_from_what_was_not_when_the_link_ends() {
    let (outcomes, _outcome) = mpsc::channel();
    let link = link();
    link.connected(true);
    for _ in 0..3 {
        link.pass(command(&outcomes)).unwrap();
    }
    assert!(matches!(
        frame(&link),
        Some(FrameHead::Command { id: 0, .. })
    ));
    assert!(link.take_back(0).is_some());
    assert!(frame(&link).is_some());
    let ended = link.ended("why");
    assert_eq!((ended.sent.len(), ended.unsent.len()), (1, 1));
    assert_eq!(link.unanswered(), 0);
}

#[tokio::test]
async fn an_answer_is_given_once() {
    let (outcomes, outcome) = mpsc::channel();
    let link = link();
    link.connected(true);
    link.pass(command(&outcomes)).unwrap();
    let answer = || {
        OutcomeHead::new(Outcome {
            room: "1".into(),
            command: "audio/mute".into(),
            request_id: None,
            took: Duration::ZERO,
            result: Ok(Success::new(200, true.into())),
        })
    };
    for _ in 0..2 {
        let (head, body) = answer();
        link.answered(0, head, body).unwrap();
    }
    drop(outcomes);
    assert_eq!(outcome.iter().count(), 1);
}

#[tokio::test]
async fn more_commands_than_the_limit_are_not_taken() {
    let (outcomes, _outcome) = mpsc::channel();
    let link = link();
    link.connected(true);
    for _ in 0..MOST_UNANSWERED {
        link.pass(command(&outcomes)).unwrap();
    }
    let refused = link.pass(command(&outcomes));
    assert!(matches!(refused, Err(NotTaken::Full(_))));
}

#[tokio::test(start_paused = true)]
async fn a_command_without_a_result_is_overdue_in_the_end() {
    let (outcomes, _outcome) = mpsc::channel();
    let link = link();
    link.connected(true);
    link.pass(command(&outcomes)).unwrap();
    assert!(link.overdue(Instant::now()).is_empty());
    tokio::time::advance(RESULT_TIMEOUT).await;
    assert_eq!(link.overdue(Instant::now()).len(), 1);
}

#[tokio::test]
async fn commands_of_other_rooms_overtake_a_large_one_and_those_of_its_room_do_not() {
    let (outcomes, _outcome) = mpsc::channel();
    let link = link();
    link.connected(true);
    let mut large = command(&outcomes);
    large.submission.payload = vec![b' '; 1 << 20].into();
    link.pass(large).unwrap();
    link.pass(command(&outcomes)).unwrap();
    let mut other = command(&outcomes);
    other.submission.room = "2".into();
    link.pass(other).unwrap();
    assert!(matches!(frame(&link), Some(FrameHead::Piece { .. })));
    assert!(matches!(
        frame(&link),
        Some(FrameHead::Command { id: 2, .. })
    ));
    let mut pieces = 1;
    let after = loop {
        match frame(&link) {
            Some(FrameHead::Piece { .. }) => pieces += 1,
            Some(other) => break other,
            None => link.pieces_taken(1),
        }
    };
    assert!(pieces > 64, "{pieces}");
    assert!(matches!(after, FrameHead::Command { id: 1, .. }));
}

#[tokio::test]
async fn what_is_wanted_is_asked_for_again_after_each_connect() {
    let link = link();
    let (one, two): (Arc<str>, Arc<str>) = ("1".into(), "2".into());
    assert_eq!(link.watch(&one, Some(Depth::All)), 0);
    link.watch(&two, Some(Depth::Availability));
    for connects in 0..2 {
        link.connected(true);
        let asked: Vec<_> = std::iter::from_fn(|| frame(&link)).collect();
        let watch = |room: &str, depth| FrameHead::Watch {
            rooms: vec![room.to_owned()],
            depth,
            number: Some(connects),
        };
        let wanted = [watch("2", Depth::Availability), watch("1", Depth::All)];
        assert_eq!(asked, wanted);
        link.ended("why");
    }
    link.connected(true);
    while frame(&link).is_some() {}
    assert_eq!(link.watch(&one, None), 3);
    let unwatched = FrameHead::Unwatch(vec!["1".into()]);
    assert_eq!(frame(&link), Some(unwatched));
}

/// A large command of which no byte has gone is nobody's yet.
#[tokio::test]
async fn large_commands_that_wait_behind_others_were_not_sent() {
    const COMMANDS: usize = 20;
    let (outcomes, _outcome) = mpsc::channel();
    let link = link();
    link.connected(true);
    for room in 0..COMMANDS {
        let mut large = command(&outcomes);
        large.submission.room = room.to_string().into();
        large.submission.payload = vec![b' '; 100 << 10].into();
        link.pass(large).unwrap();
    }
    // As much as may be on its way: the other end takes nothing.
    let mut begun = std::collections::HashSet::new();
    while let Some(head) = frame(&link) {
        let FrameHead::Piece { of, .. } = head else {
            panic!("{head:?}");
        };
        begun.insert(of);
    }
    let mut small = command(&outcomes);
    small.submission.room = "small".into();
    link.pass(small).unwrap();
    assert!(matches!(frame(&link), Some(FrameHead::Command { .. })));
    let ended = link.ended("why");
    assert!(begun.len() > 1 && begun.len() < COMMANDS);
    assert_eq!(ended.sent.len(), begun.len() + 1);
    assert_eq!(ended.unsent.len(), COMMANDS - begun.len());
}
