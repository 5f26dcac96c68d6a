//! Conferences: dialling, answering, hanging up, and what the list of them says about the call.

use serde_json::{Map, Value, json};

use crate::catalogue::entity::{Entity, EntityKind};
use crate::catalogue::payload::{Field, Rule};
use crate::catalogue::state::{Context, Shape, State};
use crate::catalogue::{Call, Class, Command, Operation, Plan, When, delete, get, post};
use crate::command::{ErrorCode, Failure};

/// The conference id under which an unanswered incoming call is listed.
const PENDING: &str = "PENDING";

const DIAL_TYPE: Rule = Rule::Word(&[
    ("loopback", "LOOPBACK"),
    ("auto", "AUTO"),
    ("video", "VIDEO"),
    ("voice", "VOICE"),
    ("h320", "H320"),
    ("h323", "H323"),
    ("sip", "SIP"),
    ("gateway", "GATEWAY"),
    ("pots", "POTS"),
    ("isdn_voice", "ISDN_VOICE"),
    ("sip_speakerphone", "SIP_SPEAKERPHONE"),
    ("pots_speakerphone", "POTS_SPEAKERPHONE"),
    ("voice_h323", "VOICE_H323"),
    ("voice_sip", "VOICE_SIP"),
    ("voice_gateway", "VOICE_GATEWAY"),
]);
const DIAL: &[Field] = &[
    Field::body("address", "address", Rule::Text).required(),
    Field::body(
        "rate",
        "rate",
        Rule::Integer {
            min: 0,
            max: 100_000,
        },
    ),
    Field::body("dial_type", "dialType", DIAL_TYPE),
    Field::body("password", "password", Rule::Secret),
];
const BLAST: &[Field] = &[
    Field::gateway("addresses", Rule::Texts),
    Field::body("end_point_list", "endPointList", Rule::List),
    Field::body("password", "password", Rule::Secret),
];
const FILTER: &[Field] = &[Field::query(
    "filter",
    "filter",
    Rule::Word(&[
        ("all", "ALL"),
        ("active", "ACTIVE"),
        ("answerable", "ANSWERABLE"),
        ("incoming", "INCOMING"),
        ("pending", "PENDING"),
    ]),
)];

/// Who is at the other end, or nothing: the field to dial with shows what the device says, never
/// what was typed.
const FIRST_ADDRESS: &str = "{% set list = value_json if value_json is list else [] %}\
     {{ (list | selectattr('connections', 'defined') | map(attribute='connections') | sum(start=[]) \
     | selectattr('address', 'defined') | map(attribute='address') | select('string') | list + ['']) \
     [0][:255] }}";

const fn call_action(
    topic: &'static str,
    action: &'static [(&'static str, &'static str)],
) -> Command {
    Command::new(topic)
        .fixed(action)
        .carry(&[("conn_id", "id")])
        .refresh(&["calls"])
        .once()
}

pub(in crate::catalogue) const OPERATIONS: &[Operation] = &[
    get("42", "/rest/conferences")
        .shape(Shape::List)
        .states(&[
            State::whole("calls"),
            State::with("call/state", |list, _| {
                Some(Phase::of(&connections(list), list).as_str().into())
            })
            .entities(&[
                Entity::sensor("call_state", "Call state")
                    .icon("mdi:phone")
                    .value("{{ value or 'unknown' }}")
                    .words(Phase::WORDS),
                Entity::binary_sensor("in_call", "In call")
                    .icon("mdi:phone-in-talk")
                    .value("{{ 'true' if value in ('connected', 'held') else 'false' }}"),
            ]),
            State::with("call/count", |list, _| Some(count(list).into())),
        ])
        .poll(Class::Fast),
    post("43", "/rest/conferences").commands(&[Command::new("call/dial")
        .fields(Some("address"), DIAL)
        .refresh(&["calls"])
        .once()
        .slow()
        .entities(&[Entity::new(EntityKind::Text, "dial", "Dial")
            .icon("mdi:phone-dial")
            .of("calls")
            .value(FIRST_ADDRESS)])]),
    post("44", "/rest/conferences/blast").commands(&[Command::new("call/blast")
        .fields(Some("addresses"), BLAST)
        .plan(Plan::Split(blast))
        .refresh(&["calls"])
        .once()
        .slow()]),
    get("45", "/rest/conferences/capabilities")
        .states(&[State::whole("call/capabilities")])
        .poll(Class::Slow),
    get("46", "/rest/conferences/{conf_id}").commands(&[Command::new("call/{conf_id}/get")]),
    delete("47", "/rest/conferences/{conf_id}").commands(&[
        Command::new("call/{conf_id}/hangup")
            .refresh(&["calls"])
            .before("dial"),
        Command::new("call/hangup")
            .plan(Plan::From {
                state: "calls",
                calls: hang_up_all,
            })
            .refresh(&["calls"])
            .before("dial")
            .entities(&[Entity::button("hang_up", "Hang up").icon("mdi:phone-hangup")]),
    ]),
    get("48", "/rest/conferences/{conf_id}/connections")
        .commands(&[Command::new("call/{conf_id}/connections/get").fields(Some("filter"), FILTER)]),
    post("49", "/rest/conferences/{conf_id}/connections").commands(&[Command::new(
        "call/{conf_id}/add",
    )
    .fields(Some("address"), DIAL)
    .refresh(&["calls"])
    .once()
    .slow()]),
    get("50", "/rest/conferences/{conf_id}/connections/{conn_id}")
        .commands(&[Command::new("call/{conf_id}/connection/{conn_id}/get")]),
    delete("51", "/rest/conferences/{conf_id}/connections/{conn_id}").commands(&[Command::new(
        "call/{conf_id}/connection/{conn_id}/hangup",
    )
    .refresh(&["calls"])
    .before("dial")]),
    get("52", "/rest/conferences/{conf_id}/terminals")
        .commands(&[Command::new("call/{conf_id}/terminals/get")]),
    get("53", "/rest/conferences/{conf_id}/terminals/{term_id}")
        .commands(&[Command::new("call/{conf_id}/terminal/{term_id}/get")]),
    delete("54", "/rest/conferences/{conf_id}/terminals/{term_id}").commands(&[Command::new(
        "call/{conf_id}/terminal/{term_id}/hangup",
    )
    .refresh(&["calls"])
    .before("dial")]),
    get("55", "/rest/conferences/{conf_id}/mediastats")
        .shape(Shape::List)
        .states(&[State::whole("call/media_stats")])
        .poll_when(Class::Normal, When::InCall)
        .or_none()
        .commands(&[Command::new("call/{conf_id}/media_stats/get")]),
    get(
        "56",
        "/rest/conferences/{conf_id}/connections/{conn_id}/mediastat",
    )
    .commands(&[Command::new(
        "call/{conf_id}/connection/{conn_id}/media_stats/get",
    )]),
    get(
        "57",
        "/rest/conferences/{conf_id}/mediastats/terminals/{term_id}",
    )
    .commands(&[Command::new(
        "call/{conf_id}/terminal/{term_id}/media_stats/get",
    )]),
    get("58", "/rest/conferences/{conf_id}/termmediastats")
        .commands(&[Command::new("call/{conf_id}/terminal_quality/get")]),
    post("x4", "/rest/conferences/callaction").commands(&[
        call_action(
            "call/connection/{conn_id}/answer",
            &[("callActionType", "ANSWER")],
        ),
        call_action(
            "call/connection/{conn_id}/reject",
            &[("callActionType", "IGNORE")],
        ),
        call_action(
            "call/connection/{conn_id}/hangup",
            &[("callActionType", "HANGUP")],
        )
        .before("dial"),
        Command::new("call/answer")
            .plan(Plan::From {
                state: "calls",
                calls: answer,
            })
            .refresh(&["calls"])
            .once()
            .entities(&[Entity::button("answer", "Answer").icon("mdi:phone-check")]),
        Command::new("call/reject")
            .plan(Plan::From {
                state: "calls",
                calls: reject,
            })
            .refresh(&["calls"])
            .once()
            .entities(&[Entity::button("reject", "Reject").icon("mdi:phone-remove")]),
    ]),
];

/// A list of addresses as the guide's `endPointList`: each a participant of its own.
fn blast(mut call: Call, _: &Context) -> Result<Vec<Call>, Failure> {
    let wrong = |message: &str| Err(Failure::new(ErrorCode::InvalidPayload, message));
    match (
        call.values.shift_remove("addresses"),
        call.values.contains_key("end_point_list"),
    ) {
        (Some(_), true) => wrong("addresses and endPointList cannot both be given"),
        (None, false) => wrong("addresses is missing; addresses takes a list of texts"),
        (None, true) => Ok(vec![call]),
        (Some(addresses), false) => {
            let each = addresses.as_array().into_iter().flatten();
            let list: Vec<Value> = each
                .map(|address| json!({"addresses": [{"address": address}]}))
                .collect();
            Ok(vec![call.with("end_point_list", list)])
        }
    }
}

fn hang_up_all(_: Call, list: &Value) -> Result<Vec<Call>, Failure> {
    let mut calls = Vec::new();
    for conference in list.as_array().into_iter().flatten() {
        match id(conference) {
            Some(PENDING) => {
                for connection in connections(&json!([conference])) {
                    let params = vec![("conn_id", connection.id)];
                    calls.push(Call::to("call/connection/{conn_id}/reject", params)?);
                }
            }
            Some(id) => {
                let params = vec![("conf_id", id.to_owned())];
                calls.push(Call::to("call/{conf_id}/hangup", params)?);
            }
            None => {}
        }
    }
    Ok(calls)
}

fn answer(_: Call, list: &Value) -> Result<Vec<Call>, Failure> {
    ringing(list, "call/connection/{conn_id}/answer")
}

fn reject(_: Call, list: &Value) -> Result<Vec<Call>, Failure> {
    ringing(list, "call/connection/{conn_id}/reject")
}

fn ringing(list: &Value, topic: &str) -> Result<Vec<Call>, Failure> {
    let ringing = connections(list)
        .into_iter()
        .find(|connection| connection.phase == Phase::Ringing)
        .ok_or_else(|| Failure::new(ErrorCode::NotFound, "no call is ringing"))?;
    Ok(vec![Call::to(topic, vec![("conn_id", ringing.id)])?])
}

/// How far a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// There is none, or it has ended.
    Idle,
    /// It goes out and is not answered yet.
    Dialing,
    /// It comes in and is not answered yet.
    Ringing,
    /// It is up.
    Connected,
    /// It is up and on hold.
    Held,
}

impl Phase {
    /// Every word of `call/state`, and one for what is not known.
    pub const WORDS: &[&str] = &[
        Self::Idle.as_str(),
        Self::Dialing.as_str(),
        Self::Ringing.as_str(),
        Self::Connected.as_str(),
        Self::Held.as_str(),
        "unknown",
    ];

    /// The word in `call/state`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Dialing => "dialing",
            Self::Ringing => "ringing",
            Self::Connected => "connected",
            Self::Held => "held",
        }
    }

    /// What all connections together amount to.
    fn of(connections: &[Connection], list: &Value) -> Self {
        let any = |phase| {
            connections
                .iter()
                .any(|connection| connection.phase == phase)
        };
        let held = list.as_array().into_iter().flatten().any(|conference| {
            conference.get("isHolding") == Some(&Value::Bool(true))
                || conference
                    .get("holdState")
                    .and_then(Value::as_str)
                    .is_some_and(|state| !state.is_empty() && state != "NOTHELD")
        });
        if any(Self::Connected) {
            if held { Self::Held } else { Self::Connected }
        } else if any(Self::Ringing) {
            Self::Ringing
        } else if any(Self::Dialing) {
            Self::Dialing
        } else {
            Self::Idle
        }
    }
}

/// One connection of a conference.
#[derive(Debug, Clone, PartialEq)]
pub struct Connection {
    /// Its id.
    pub id: String,
    /// The conference it belongs to.
    pub conference: String,
    /// Who is at the other end.
    pub address: Option<String>,
    /// It was the other end that called.
    pub incoming: bool,
    /// How far it is.
    pub phase: Phase,
}

impl Connection {
    /// What events say of it.
    pub fn describe(&self) -> Map<String, Value> {
        let mut about = Map::new();
        about.insert("conference".into(), self.conference.clone().into());
        about.insert("connection".into(), self.id.clone().into());
        about.insert("address".into(), self.address.clone().into());
        about.insert("incoming".into(), self.incoming.into());
        about
    }
}

fn id(value: &Value) -> Option<&str> {
    value.get("id").and_then(Value::as_str)
}

fn flag(value: &Value, name: &str) -> bool {
    value.get(name) == Some(&Value::Bool(true))
}

/// The connections of a list of conferences, without those that have ended.
pub fn connections(list: &Value) -> Vec<Connection> {
    let mut found = Vec::new();
    for conference in list.as_array().into_iter().flatten() {
        let Some(conference_id) = id(conference) else {
            continue;
        };
        let entries = conference.get("connections").and_then(Value::as_array);
        for entry in entries.into_iter().flatten() {
            let Some(id) = id(entry) else { continue };
            let state = entry.get("state").and_then(Value::as_str).unwrap_or("");
            let incoming = flag(entry, "incoming");
            let up =
                flag(conference, "isActive") || entry.get("percentConnected") == Some(&100.into());
            let phase = match state.to_ascii_uppercase().as_str() {
                "INACTIVE" | "DISCONNECTED" | "DISCONNECTING" => continue,
                "CONNECTED" | "ACTIVE" | "HELD" => Phase::Connected,
                _ if conference_id == PENDING => Phase::Ringing,
                _ if flag(entry, "answerable") => Phase::Ringing,
                "" if up => Phase::Connected,
                _ if incoming => Phase::Ringing,
                _ => Phase::Dialing,
            };
            found.push(Connection {
                id: id.to_owned(),
                conference: conference_id.to_owned(),
                address: entry
                    .get("address")
                    .and_then(Value::as_str)
                    .map(str::to_owned),
                incoming: incoming || conference_id == PENDING,
                phase,
            });
        }
    }
    found
}

/// The connections that are more than ringing.
fn count(list: &Value) -> usize {
    connections(list)
        .iter()
        .filter(|connection| connection.phase != Phase::Ringing)
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(conference: &str, state: &str, incoming: bool) -> Value {
        json!([{
            "id": conference,
            "isHolding": false,
            "holdState": "NOTHELD",
            "connections": [{"id": "3", "state": state, "incoming": incoming, "address": "a@b"}],
        }])
    }

    fn phase(list: &Value) -> &'static str {
        Phase::of(&connections(list), list).as_str()
    }

    #[test]
    fn the_call_state_follows_the_connections() {
        assert_eq!(phase(&json!([])), "idle");
        assert_eq!(phase(&list("PENDING", "RINGING", true)), "ringing");
        assert_eq!(phase(&list("0", "CONNECTING", false)), "dialing");
        assert_eq!(phase(&list("0", "CONNECTED", false)), "connected");
        assert_eq!(phase(&list("0", "DISCONNECTED", false)), "idle");
        let mut held = list("0", "CONNECTED", true);
        held[0]["holdState"] = "HELD".into();
        assert_eq!(phase(&held), "held");
    }

    #[test]
    fn a_ringing_call_is_not_counted_but_can_be_answered() {
        let list = list("PENDING", "RINGING", true);
        assert_eq!(count(&list), 0);
        let calls = ringing(&list, "call/connection/{conn_id}/answer").unwrap();
        assert_eq!(calls[0].param("conn_id"), Some("3"));
        assert!(ringing(&json!([]), "call/connection/{conn_id}/answer").is_err());
    }

    #[test]
    fn hanging_up_everything_names_every_conference() {
        let list = json!([{"id": "0"}, {"id": "1"}]);
        let calls = hang_up_all(Call::to("call/hangup", vec![]).unwrap(), &list).unwrap();
        assert_eq!(calls.len(), 2);
        assert_eq!(calls[1].param("conf_id"), Some("1"));
    }
}
