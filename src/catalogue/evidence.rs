//! Whether an answer is one that a Poly device gives.
//!
//! Pure. An entry names members by which its answer is recognised; the room judges from that whether
//! it talks to a Poly device at all.

use serde_json::Value;

use super::operation::Operation;
use super::quirks::{text, truth, whole};

/// What an answer says about who gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// A Poly device: it has the members of this operation's answer, of the right kinds.
    Poly,
    /// A Poly device says this, and so may anything else: `[]`, `true`, "there is none".
    Neutral,
    /// Not what a Poly device says here: a page, an error, null, other members.
    NotPoly,
    /// Nothing: it asks for fewer requests, in place of an answer.
    Postponed,
}

/// What a member of an answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberKind {
    /// `true` or `false`, or what firmware may send instead.
    Flag,
    /// A number, also as a text.
    Number,
    /// A text, or an id that is a number.
    Text,
    /// An array.
    List,
}

impl MemberKind {
    fn is(self, value: &Value) -> bool {
        match self {
            Self::Flag => is_flag(value),
            Self::Number => is_number(value),
            Self::Text => text(value).is_some(),
            Self::List => value.is_array(),
        }
    }
}

/// Whether a value is `true` or `false`, or 1, 0 or a word, which firmware may send instead.
pub(super) fn is_flag(value: &Value) -> bool {
    match value {
        Value::Number(_) => matches!(whole(value), Some(0 | 1)),
        _ => truth(value).is_some(),
    }
}

/// Whether a value is a number, or a text that is one.
pub(super) fn is_number(value: &Value) -> bool {
    value.is_number() || whole(value).is_some()
}

/// An answer with the members of one object, or of each object of a list.
fn objects(answer: &Value) -> &[Value] {
    match answer {
        Value::Array(items) => items,
        one => std::slice::from_ref(one),
    }
}

impl Operation {
    /// Whether a body can be an answer to this operation: it has the shape, and one of the members
    /// by which the answer is recognised. Null can, unless the entry says otherwise: there is nothing at
    /// the moment.
    pub fn fits(&self, answer: &Value) -> bool {
        let named = |item: &Value| {
            let has = |(name, _): &(&str, MemberKind)| item.get(name).is_some();
            let also = |name: &&str| item.get(*name).is_some();
            self.known_by.iter().any(has) || self.one_of.iter().any(also)
        };
        let items = objects(answer);
        let names_none = self.known_by.is_empty() && self.one_of.is_empty();
        let may_lack_members = names_none || answer.is_null() || items.is_empty();
        let is_none = self.never_null && answer.is_null();
        !is_none && self.shape.fits(answer) && (may_lack_members || items.iter().any(named))
    }

    /// What a body that fits says about who sent it.
    pub fn evidence(&self, answer: &Value) -> Evidence {
        if answer.is_null() || answer.get("result").is_some_and(Value::is_null) {
            return Evidence::NotPoly;
        }
        let items = objects(answer);
        if self.known_by.is_empty() || items.is_empty() {
            return Evidence::Neutral;
        }
        let whole = |item: &Value| {
            let has = |(name, kind): &(&str, MemberKind)| {
                item.get(name).is_some_and(|value| kind.is(value))
            };
            self.known_by.iter().all(has)
        };
        if items.iter().any(whole) {
            Evidence::Poly
        } else {
            Evidence::NotPoly
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::catalogue::{Shape, operations};

    fn operation(path: &str) -> &'static Operation {
        operations().find(|known| known.path == path).unwrap()
    }

    #[test]
    fn an_answer_is_recognised_by_its_members_and_their_kinds() {
        use Evidence::{Neutral, NotPoly, Poly};
        for (path, answer, wanted) in [
            ("/rest/audio", json!({"volume": 5, "muted": false}), Poly),
            ("/rest/audio", json!({"volume": 5.0, "muted": 1}), Poly),
            (
                "/rest/audio",
                json!({"volume": "loud", "muted": false}),
                NotPoly,
            ),
            ("/rest/audio", json!({"volume": 5}), NotPoly),
            ("/rest/audio", Value::Null, NotPoly),
            ("/rest/conferences", json!([]), Neutral),
            ("/rest/conferences", Value::Null, NotPoly),
            (
                "/rest/conferences",
                json!([{"id": "0", "connections": []}]),
                Poly,
            ),
            (
                "/rest/conferences",
                json!({"id": "0", "connections": []}),
                Poly,
            ),
            ("/rest/conferences", json!([{"id": 0}]), NotPoly),
            ("/rest/video/local/mute", json!(true), Neutral),
            ("/rest/video/local/mute", json!({"result": null}), NotPoly),
            ("/rest/calendar", json!({"status": "UP"}), Neutral),
        ] {
            let operation = operation(path);
            assert!(operation.fits(&answer), "{path} {answer}");
            assert_eq!(operation.evidence(&answer), wanted, "{path} {answer}");
        }
    }

    #[test]
    fn what_cannot_be_an_answer_does_not_fit() {
        for (path, answer) in [
            ("/rest/audio", json!([])),
            ("/rest/audio", json!({})),
            ("/rest/audio", json!(true)),
            ("/rest/audio", json!("hello")),
            ("/rest/audio", json!({"status": "ok"})),
            ("/rest/conferences", json!(["a"])),
            ("/rest/conferences", json!("hello")),
            ("/rest/conferences", json!({"error": "no such path"})),
            ("/rest/video/local/mute", json!("hello")),
            ("/rest/video/local/mute", json!({"success": true})),
            ("/rest/video/local/mute", json!([])),
            ("/rest/cameras/contentstatus", json!("Please log in")),
            ("/rest/cameras/contentstatus", json!("")),
            ("/rest/calendar/meetings", json!({"meetings": []})),
            ("/rest/calendar/meetings", json!({})),
            ("/rest/system/sipservers", json!({"error": "x"})),
            ("/rest/cameras/near/selectedpeople", json!({"status": "ok"})),
            ("/rest/mediastats", json!("OK")),
            ("/rest/collaboration", json!({"error": "x"})),
            ("/rest/cameras/contentstatus", json!(5)),
            ("/rest/calendar", json!("hello")),
            ("/rest/calllog/entries", Value::Null),
            ("/rest/calllog/entries", json!({"error": "no such path"})),
        ] {
            assert!(!operation(path).fits(&answer), "{path} {answer}");
        }
    }

    /// An answer of another kind must not become a state.
    #[test]
    fn each_read_of_objects_names_some_of_their_members() {
        let objects = [Shape::AsIs, Shape::Object, Shape::List];
        let polled = operations().filter(|known| known.poll.is_some());
        let polled = polled.filter(|known| objects.contains(&known.shape));
        let polled: Vec<_> = polled.collect();
        assert!(polled.len() > 10);
        for known in polled {
            let named = !known.known_by.is_empty() || !known.one_of.is_empty();
            assert!(named, "{}", known.path);
        }
    }

    /// Each class of reads has an answer by which a Poly device is recognised, so that it is soon.
    #[test]
    fn a_device_is_recognised_by_several_answers() {
        let known = |class| {
            let of_class = |known: &&Operation| known.poll.is_some_and(|(of, _)| of == class);
            let mut known = operations().filter(of_class);
            known.any(|known| !known.known_by.is_empty())
        };
        use crate::catalogue::Class;
        assert!(
            [Class::Fast, Class::Normal, Class::Slow]
                .into_iter()
                .all(known)
        );
    }
}
