//! Every command and query that a page names exists, wherever on the page it stands.
use bytes::Bytes;
use poly2mqtt::catalogue::Call;
use poly2mqtt::command::ErrorCode;

use super::{pages, shell};

/// The last levels of topics that are commands or queries and nothing else.
const ENDS: [&str; 7] = [
    "/set",
    "/get",
    "/activate",
    "/dial",
    "/import",
    "/export",
    "/run",
];

/// The words of a text that may be topics below `room/<room>/`, or the same with these levels before them.
fn topics(text: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "/_-<>{}+#%$.:…*".contains(c);
    let words = text.split(move |c: char| !is_part(c));
    words.filter_map(|word| {
        let topic = match word.split_once("room/") {
            Some((before, after)) if before.is_empty() || before.ends_with('/') => {
                after.split_once('/')?.1
            }
            _ => word,
        };
        let is_topic = ENDS.iter().any(|end| topic.ends_with(end))
            && topic.starts_with(|c: char| c.is_ascii_lowercase())
            // What stands for something else, as in `<area>/set`; and what is no topic: `a.b/set`.
            && !topic.contains(['<', '{', '+', '#', '%', '$', '.', ':', '…', '*']);
        is_topic.then_some(topic)
    })
}

/// What is no topic of the catalogue: the operation that docs/adding-an-operation.md adds, and the second half of a
/// topic with a space in it.
const OTHERS: [&str; 2] = ["video/brightness/", "table/activate"];

/// Whether the catalogue has this command.
fn exists(topic: &str) -> bool {
    match Call::parse(topic, &Bytes::new(), &mut None) {
        Ok(_) => true,
        Err(failure) => failure.code != ErrorCode::UnknownCommand,
    }
}

#[test]
fn every_command_on_a_page_exists() {
    let mut count = 0;
    let mut unknown = Vec::new();
    for (path, text) in pages().into_iter().chain(shell()) {
        for topic in topics(&text) {
            count += 1;
            let is_other = OTHERS.iter().any(|other| topic.starts_with(other));
            if !is_other && !exists(topic) {
                unknown.push(format!("{}: {topic}", path.display()));
            }
        }
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
    assert!(count > 300, "{count}");
}

#[test]
fn topics_are_found_wherever_they_stand() {
    let text = "`room.command(\"audio/muted/set\", true)`, `/room/1/camera/x/activate`, `<area>/set` and \
                `room/<room>/call/dial`; `{\"topic\":\"room/{room}/a_b/get\"}` but not /usr/bin/set.";
    let found: Vec<&str> = topics(text).collect();
    assert_eq!(
        found,
        [
            "audio/muted/set",
            "camera/x/activate",
            "call/dial",
            "a_b/get"
        ]
    );
    assert!(exists("audio/muted/set") && !exists("camera/x/activate"));
}
