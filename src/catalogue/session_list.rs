//! Who holds a device's sessions, from the device's list of them.
//!
//! Pure. The ids in the list are secrets: whoever has one is logged in. Only the members that are named here
//! leave this module, and only if they are words, numbers and flags.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::call::Call;
use super::quirks::{text, truth};
use crate::command::{ErrorCode, Failure};
use crate::visible::visible_start;

/// The members that are texts: who, with which role, from where, with which program.
const TEXTS: [&str; 4] = ["userId", "role", "location", "clientType"];
/// The members that are true or false.
const FLAGS: [&str; 2] = ["isConnected", "isStale"];
/// Longer texts are cut, in characters: an IPv6 address has 39.
const LONGEST_TEXT: usize = 45;
/// More holders than this are only counted in a message, so that a person can read it.
const MOST_HOLDERS_NAMED: usize = 5;

/// The sessions of an answer; none if it is not a list of sessions.
fn sessions(answer: &Value) -> Option<&[Value]> {
    let list = answer.get("sessionList").unwrap_or(answer).as_array()?;
    list.iter().all(Value::is_object).then_some(list.as_slice())
}

fn word(session: &Value, name: &str) -> Option<String> {
    let word = session.get(name).and_then(text)?.trim();
    (!word.is_empty()).then(|| visible_start(word, LONGEST_TEXT))
}

/// The list without ids, as the device spells its members; none if it is not a list of sessions.
fn without_ids(answer: &Value) -> Option<Value> {
    let shown = |session: &Value| {
        let mut shown = Map::new();
        for name in TEXTS {
            shown.insert(name.into(), word(session, name).into());
        }
        for name in FLAGS {
            shown.insert(name.into(), session.get(name).and_then(truth).into());
        }
        Value::Object(shown)
    };
    Some(sessions(answer)?.iter().map(shown).collect())
}

/// The result of `session/list/get`.
///
/// # Errors
/// `device_error` if the answer is not a list of sessions.
pub(super) fn sessions_listed(_: &Call, answer: &Value) -> Result<Value, Failure> {
    without_ids(answer).ok_or_else(|| {
        let message = "the device's answer is not a list of sessions";
        Failure::new(ErrorCode::DeviceError, message)
    })
}

/// Who holds the sessions, for a message: `admin from 10.0.0.5 (WEB) ×12, …`, most sessions first. None
/// if the answer is not a list of sessions, or an empty one.
pub fn session_holders(answer: &Value) -> Option<String> {
    let mut holders: BTreeMap<String, usize> = BTreeMap::new();
    for session in sessions(answer)? {
        let [user, _, location, client] = TEXTS.map(|name| word(session, name));
        let mut holder = user.unwrap_or_else(|| "somebody".into());
        if let Some(location) = location {
            holder.push_str(&format!(" from {location}"));
        }
        if let Some(client) = client {
            holder.push_str(&format!(" ({client})"));
        }
        *holders.entry(holder).or_default() += 1;
    }
    let mut holders: Vec<_> = holders.into_iter().collect();
    holders.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let rest = holders.split_off(holders.len().min(MOST_HOLDERS_NAMED));
    let named = holders.into_iter().map(|(holder, count)| match count {
        1 => holder,
        count => format!("{holder} ×{count}"),
    });
    let named = named.collect::<Vec<_>>().join(", ");
    let more: usize = rest.iter().map(|(_, count)| count).sum();
    match (named.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(named),
        (false, more) => Some(format!("{named} and {more} more")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn session(user: &str, location: &str, client: &str) -> Value {
        json!({
            "clientType": client, "creationTime": -1_299_656, "isAuthenticated": true,
            "isConnected": false, "isNew": true, "isStale": 0, "location": location,
            "role": "ADMIN", "sessionId": "PS+secret", "userId": user,
        })
    }

    #[test]
    fn no_id_is_shown_whatever_the_device_sends() {
        let odd = json!({
            "sessionId": "PS+secret", "id": "PS+secret", "session": {"sessionId": "PS+secret"},
            "userId": {"sessionId": "PS+secret"}, "location": ["PS+secret"], "role": null,
            "PS+secret": true, "isStale": "PS+secret",
        });
        let list = json!({"sessionList": [session("admin", "192.0.2.206", "WEB"), odd]});
        let shown = without_ids(&list).unwrap();
        assert!(!shown.to_string().contains("secret"), "{shown}");
        let holders = session_holders(&list).unwrap();
        assert_eq!(holders, "admin from 192.0.2.206 (WEB), somebody");
        let first = json!({
            "userId": "admin", "role": "ADMIN", "location": "192.0.2.206", "clientType": "WEB",
            "isConnected": false, "isStale": false,
        });
        assert_eq!(shown[0], first);
    }

    #[test]
    fn a_list_may_come_without_its_wrapping() {
        let list = json!([session("admin", "a", "SSH")]);
        assert_eq!(without_ids(&list).unwrap().as_array().unwrap().len(), 1);
        assert_eq!(without_ids(&json!({"sessionList": []})), Some(json!([])));
        for other in [
            json!(null),
            json!({}),
            json!("PS+secret"),
            json!({"sessionList": null}),
            json!({"sessionList": ["PS+secret"]}),
            json!({"sessionList": {"sessionId": "PS+secret"}}),
        ] {
            assert_eq!(without_ids(&other), None, "{other}");
            assert_eq!(session_holders(&other), None, "{other}");
        }
        assert_eq!(session_holders(&json!([])), None);
    }

    #[test]
    fn holders_are_counted_and_the_message_is_short() {
        let mut list = vec![session("admin", "10.0.0.5", "WEB"); 12];
        list.push(session("controller", "10.0.0.9", "SSH"));
        let list = json!({ "sessionList": list });
        let told = session_holders(&list).unwrap();
        assert_eq!(
            told,
            "admin from 10.0.0.5 (WEB) ×12, controller from 10.0.0.9 (SSH)"
        );
        let many =
            (0..1000).map(|n| session(&format!("{n}{}", "\u{202e}x".repeat(500)), "a", "WEB"));
        let told = session_holders(&many.collect()).unwrap();
        assert!(told.ends_with(" and 995 more"), "{told}");
        assert!(told.len() < 500 && !told.contains('\u{202e}'), "{told}");
    }
}
