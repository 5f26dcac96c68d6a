//! The members of a JSON frame: exactly one verb, and besides it `id` and `payload`.
//!
//! Pure. Programs send their whole message object, with what MQTT or their own flows need. The error
//! names each member that must go.

use crate::visible::visible_start;

/// The members that say what a frame asks for; a frame has exactly one.
const VERBS: &[&str] = &["topic", "subscribe", "unsubscribe", "ping"];

/// Members that are named in an error.
const NAMED_MEMBERS: usize = 8;
/// The longest name that is written out, in characters: `messageExpiryInterval` has 21.
const LONGEST_NAME: usize = 24;

/// What other programs call a payload.
const PAYLOAD_NAMES: &[&str] = &[
    "message", "msg", "value", "data", "body", "content", "state",
];
/// What other programs call an id.
const ID_NAMES: &[&str] = &[
    "request_id",
    "requestid",
    "messageid",
    "message_id",
    "mid",
    "correlationdata",
    "correlation_id",
];
/// Members whose value says what a message asks for, in other protocols.
const KIND_NAMES: &[&str] = &["type", "action", "cmd", "command", "op", "method", "event"];

/// The verb among these members; `id` and `payload` are not among them.
///
/// # Errors
/// There is no verb, or not only one.
pub fn verb<'a>(members: &[&'a str], has_payload: bool) -> Result<&'a str, String> {
    let is_verb = |member: &&&str| VERBS.contains(*member);
    let verbs: Vec<&str> = members.iter().filter(is_verb).copied().collect();
    let others = members.iter().filter(|member| !is_verb(member));
    let mut others: Vec<&str> = others.copied().collect();
    others.sort_unstable();
    let all_verbs = VERBS.join(", ");
    match (&verbs[..], &others[..]) {
        ([], []) => Err(format!(
            "the frame has no verb; it takes one of {all_verbs}"
        )),
        ([], others) => Err(format!(
            "{} {} verb; a frame takes one of {all_verbs}{}",
            listed(others, "nor"),
            if others.len() == 1 {
                "is not a"
            } else {
                "is a"
            },
            case_hint(others)
        )),
        ([verb], []) => Ok(*verb),
        ([verb], others) => {
            let takes = match *verb {
                "topic" => "id and payload",
                _ => "id",
            };
            Err(format!(
                "drop {} from the frame: besides {verb} it takes only {takes}{}",
                listed(others, "and"),
                hint(others, has_payload)
            ))
        }
        ([one, other, ..], _) => Err(format!(
            "the frame has both \"{one}\" and \"{other}\"; it takes one verb"
        )),
    }
}

/// Names in quotes, the last one after `word`.
fn listed(names: &[&str], word: &str) -> String {
    let quoted = |name: &&str| format!("\"{}\"", visible_start(name, LONGEST_NAME));
    let mut named: Vec<String> = names.iter().take(NAMED_MEMBERS).map(quoted).collect();
    if names.len() > NAMED_MEMBERS {
        named.push(format!("{} more", names.len() - NAMED_MEMBERS));
    }
    match &named[..] {
        [one] => one.clone(),
        [first @ .., last] => {
            let start = if word == "nor" { "neither " } else { "" };
            format!("{start}{} {word} {last}", first.join(", "))
        }
        [] => String::new(),
    }
}

/// Says so if a member is right but for its case: C# writes `Topic`.
fn case_hint(members: &[&str]) -> &'static str {
    let known = |member: &&str| {
        let lower = member.to_ascii_lowercase();
        VERBS.contains(&&*lower) || matches!(&*lower, "payload" | "id")
    };
    if members.iter().any(known) {
        "; all members are in lower case"
    } else {
        ""
    }
}

/// What the client probably meant by these members.
fn hint(members: &[&str], has_payload: bool) -> &'static str {
    let has = |names: &[&str]| {
        let is_one = |member: &&str| names.contains(&&*member.to_ascii_lowercase());
        members.iter().any(is_one)
    };
    if !case_hint(members).is_empty() {
        case_hint(members)
    } else if !has_payload && has(PAYLOAD_NAMES) {
        "; the value of a command is its payload"
    } else if has(ID_NAMES) {
        "; an id comes back in the answer"
    } else if has(KIND_NAMES) {
        "; to subscribe, send {\"subscribe\":[\"room/1/#\"]}"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(members: &[&str], has_payload: bool) -> String {
        verb(members, has_payload).unwrap_err()
    }

    #[test]
    fn what_other_programs_add_is_named() {
        for (members, wanted) in [
            // Node-RED's message, Home Assistant's `mqtt.publish`, MQTT.js, and others.
            (
                &["_msgid", "qos", "retain", "topic"][..],
                "\"_msgid\", \"qos\" and \"retain\"",
            ),
            (
                &["evaluate_payload", "qos", "topic"],
                "\"evaluate_payload\" and \"qos\"",
            ),
            (
                &["cmd", "dup", "length", "topic"],
                "\"cmd\", \"dup\" and \"length\"",
            ),
            (&["größe", "topic"], "drop \"größe\" from"),
            (&["a\u{feff}\0", "topic"], "\"a\\u{feff}\\0\""),
            (
                &["12345678901234567890123\0z", "topic"],
                "\"12345678901234567890123\\0…\"",
            ),
            (&["responseTopic", "topic"], "drop \"responseTopic\" from"),
            (&["qos", "subscribe"], "besides subscribe it takes only id"),
            (
                &["timestamp", "topic"],
                "besides topic it takes only id and payload",
            ),
        ] {
            let message = error(members, true);
            assert!(message.contains(wanted), "{members:?}: {message}");
        }
    }

    #[test]
    fn what_was_probably_meant_is_said() {
        for (members, has_payload, wanted) in [
            (
                &["topic", "value"][..],
                false,
                "the value of a command is its payload",
            ),
            (&["message", "topic"], false, "is its payload"),
            (&["request_id", "topic"], true, "an id comes back"),
            (&["Payload", "topic"], false, "in lower case"),
            (&["Payload", "Topic"], false, "in lower case"),
            (&["topic", "type"], false, "{\"subscribe\":[\"room/1/#\"]}"),
            (&["action"], false, "\"action\" is not a verb"),
            (&["a", "b"], false, "neither \"a\" nor \"b\" is a verb"),
        ] {
            let message = error(members, has_payload);
            assert!(message.contains(wanted), "{members:?}: {message}");
        }
        assert!(!error(&["message", "topic"], true).contains("is its payload"));
    }

    #[test]
    fn the_message_is_short_whatever_the_members_are() {
        let long = "\u{1f3a5}\0".repeat(100);
        let members: Vec<&str> = std::iter::repeat_n(&*long, 100).chain(["topic"]).collect();
        let message = error(&members, false);
        assert!(
            message.chars().count() < 600 && message.contains("and 92 more"),
            "{message}"
        );
        assert!(!message.contains('\0'), "{message:?}");
    }
}
