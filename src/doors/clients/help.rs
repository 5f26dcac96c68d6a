//! The answer to `help`: what a person at a terminal can send.
//!
//! Pure.

use crate::listed::listed;
use crate::topics::RoomTopics;

/// Rooms that are named; an installation may have hundreds.
const NAMED_ROOMS: usize = 20;

/// The lines, each with `help` before it: a controller that reads states must not take one for a state.
pub fn lines(rooms: &[&str]) -> Vec<String> {
    let room = rooms.first().copied().unwrap_or("1");
    let topics = RoomTopics::new(room);
    let everything = topics.all();
    let named = match rooms {
        [] => "there is none that you may see".to_owned(),
        rooms => listed(rooms, NAMED_ROOMS),
    };
    let examples = [
        (
            topics.below("audio/volume/set") + " 40",
            "a command; its result follows",
        ),
        (
            topics.below("audio/volume/get"),
            "reads a state from the device",
        ),
        (
            format!("subscribe {everything}"),
            "all states, then every change",
        ),
        (format!("unsubscribe {everything}"), "ends that"),
        ("ping".into(), "is answered with pong"),
        ("token TOKEN".into(), "comes first, where tokens are needed"),
    ];
    let examples = examples.map(|(line, says)| format!("help {line:<34} {says}"));
    let mut lines = vec![format!("help rooms: {named}")];
    lines.extend(examples);
    lines.push("help all topics: poly2mqtt topics, or docs/topics.md".into());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_are_named_up_to_a_number() {
        assert!(lines(&[])[0].contains("none that you may see"));
        let of_two = lines(&["huddle-1", "2"]);
        assert_eq!(of_two[0], "help rooms: huddle-1, 2");
        assert!(of_two[1].starts_with("help room/huddle-1/audio/volume/set 40 "));
        let many = lines(&["1"; NAMED_ROOMS + 5]);
        assert!(many[0].ends_with("1, 1 and 5 more"), "{}", many[0]);
        assert!(of_two.iter().all(|line| line.starts_with("help ")));
    }
}
