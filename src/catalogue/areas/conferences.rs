//! Conferences: dialling, answering, hanging up, what the list of them says about the call, and the log of
//! calls that have ended.

mod fields;
pub(in crate::catalogue) mod states;
#[cfg(test)]
mod tests;

use serde_json::{Value, json};

use crate::catalogue::call_log::last_call;
use crate::catalogue::command::{Command, Ended, Plan};
use crate::catalogue::connections::{CallPhase, connections, count, id};
use crate::catalogue::entity::Entity;
use crate::catalogue::evidence::MemberKind;
use crate::catalogue::operation::{Class, Operation, When, delete, get, post};
use crate::catalogue::quirks::is_pending;
use crate::catalogue::references::CommandTopic;
use crate::catalogue::state::{Context, Shape, State};
use crate::catalogue::step::Step;
use crate::command::{ErrorCode, Failure};
use fields::{BLAST, DIAL, FILTER, LIMIT};

/// The commands of this area that plans and rooms refer to.
pub(in crate::catalogue) mod commands {
    use crate::catalogue::references::CommandTopic;

    pub const DIAL: CommandTopic = CommandTopic::new("call/dial");
    pub const ANSWER_CONNECTION: CommandTopic =
        CommandTopic::new("call/connection/{conn_id}/answer");
    pub const REJECT_CONNECTION: CommandTopic =
        CommandTopic::new("call/connection/{conn_id}/reject");
    pub const HANG_UP_CONFERENCE: CommandTopic = CommandTopic::new("call/{conf_id}/hangup");
    pub const HANG_UP_CONNECTION: CommandTopic =
        CommandTopic::new("call/{conf_id}/connection/{conn_id}/hangup");
}

/// How many entries of the call log a query gets that does not say: a page for a person.
const DEFAULT_HISTORY: i64 = 10;

/// The address at the other end, or nothing. The text field for dialling shows what the device
/// says, never what was typed.
const FIRST_ADDRESS: &str = "{% set list = value_json if value_json is list else [] %}\
     {{ (list | selectattr('connections', 'defined') | map(attribute='connections') | sum(start=[]) \
     | selectattr('address', 'defined') | map(attribute='address') | select('string') | list + ['']) \
     [0][:255] }}";

const fn call_action(
    topic: &'static str,
    about: &'static str,
    action: &'static [(&'static str, &'static str)],
) -> Command {
    Command::new(topic, about)
        .body_constants(action)
        .params_in_body(&[("conn_id", "id")])
        .refresh(&[states::CALLS])
        .not_idempotent()
}

pub(in crate::catalogue) const OPERATIONS: &[Operation] = &[
    get("/rest/conferences")
        .shape(Shape::List)
        .known_by(&[("id", MemberKind::Text), ("connections", MemberKind::List)])
        .states(&[
            State::whole(states::CALLS),
            State::with(states::CALL_STATE, |list, _| {
                Some(CallPhase::of(&connections(list), list).as_str().into())
            })
            .entities(&[
                Entity::sensor("call_state", "Call state")
                    .icon("mdi:phone")
                    .value("{{ value or 'unknown' }}")
                    .words(CallPhase::WORDS),
                Entity::binary_sensor("in_call", "In call")
                    .icon("mdi:phone-in-talk")
                    .value(
                        "{{ 'true' if value in ('connected', 'held') else \
                         'None' if value in ('', 'unknown') else 'false' }}",
                    ),
            ]),
            State::with(states::CALL_COUNT, |list, _| Some(count(list).into())),
        ])
        .poll(Class::Fast),
    post("/rest/conferences").commands(&[Command::new(
        commands::DIAL.as_str(),
        "Calls an address; during a call it adds the party to it.",
    )
    .fields(Some("address"), DIAL)
    .refresh(&[states::CALLS])
    .dials()
    .entities(&[Entity::text("dial", "Dial")
        .icon("mdi:phone-dial")
        .of(states::CALLS)
        .value(FIRST_ADDRESS)])]),
    post("/rest/conferences/blast").commands(&[Command::new(
        "call/blast",
        "Calls several addresses at once and puts them into one conference.",
    )
    .fields(Some("addresses"), BLAST)
    .plan(Plan::Split(blast))
    .refresh(&[states::CALLS])
    .dials()]),
    get("/rest/conferences/capabilities")
        .shape(Shape::Object)
        .known_by(&[
            ("canMakeAudioCall", MemberKind::Flag),
            ("canMakeVideoCall", MemberKind::Flag),
        ])
        .states(&[State::whole(states::CALL_CAPABILITIES)])
        .poll(Class::Slow),
    get("/rest/conferences/{conf_id}").commands(&[Command::new(
        "call/{conf_id}/get",
        "Answers with one conference, as an object of `calls`.",
    )]),
    delete("/rest/conferences/{conf_id}").commands(&[
        Command::new(
            commands::HANG_UP_CONFERENCE.as_str(),
            "Ends one conference for this room.",
        )
        .refresh(&[states::CALLS])
        .ends(Ended::Dial),
        Command::new(
            "call/hangup",
            "Ends every call of the room, and refuses one that rings. It goes before all waiting \
             commands.",
        )
        .plan(Plan::From {
            state: states::CALLS,
            steps: hang_up_all,
        })
        .refresh(&[states::CALLS])
        .ends(Ended::Dial)
        .entities(&[Entity::button("hang_up", "Hang up").icon("mdi:phone-hangup")]),
    ]),
    get("/rest/conferences/{conf_id}/connections").commands(&[Command::new(
        "call/{conf_id}/connections/get",
        "Answers with the connections of a conference as a list, one for each other party: \
         address, state, rate, duration.",
    )
    .fields(Some("filter"), FILTER)]),
    post("/rest/conferences/{conf_id}/connections").commands(&[Command::new(
        "call/{conf_id}/add",
        "Calls an address and adds it to a conference that is up.",
    )
    .fields(Some("address"), DIAL)
    .refresh(&[states::CALLS])
    .dials()]),
    get("/rest/conferences/{conf_id}/connections/{conn_id}").commands(&[Command::new(
        "call/{conf_id}/connection/{conn_id}/get",
        "Answers with one connection of a conference: address, state, rate in kbit/s, duration in \
         seconds.",
    )]),
    delete("/rest/conferences/{conf_id}/connections/{conn_id}").commands(&[Command::new(
        commands::HANG_UP_CONNECTION.as_str(),
        "Hangs up one party of a conference; the others stay.",
    )
    .refresh(&[states::CALLS])
    .first()]),
    get("/rest/conferences/{conf_id}/terminals").commands(&[Command::new(
        "call/{conf_id}/terminals/get",
        "Answers with the terminals (the devices that take part) of a conference, as a list with \
         name, address and mute.",
    )]),
    get("/rest/conferences/{conf_id}/terminals/{term_id}").commands(&[Command::new(
        "call/{conf_id}/terminal/{term_id}/get",
        "Answers with one terminal of a conference: name, address, whether it is muted.",
    )]),
    delete("/rest/conferences/{conf_id}/terminals/{term_id}").commands(&[Command::new(
        "call/{conf_id}/terminal/{term_id}/hangup",
        "Disconnects one terminal from a conference; the others stay.",
    )
    .refresh(&[states::CALLS])
    .first()]),
    get("/rest/conferences/{conf_id}/mediastats")
        .shape(Shape::List)
        .one_of(&["mediaStream", "mediaType", "connectionID"])
        .states(&[State::whole(states::CALL_MEDIA_STATS)])
        .poll_when(Class::Normal, When::InCall)
        .or_none()
        .commands(&[Command::new(
            "call/{conf_id}/media_stats/get",
            "Answers with the quality of each audio and video stream of a conference, as a list \
             like `call/media_stats`.",
        )]),
    get("/rest/conferences/{conf_id}/connections/{conn_id}/mediastat").commands(&[Command::new(
        "call/{conf_id}/connection/{conn_id}/media_stats/get",
        "Answers with the quality of each audio and video stream of one connection, as a list like \
         `call/media_stats`.",
    )]),
    get("/rest/conferences/{conf_id}/mediastats/terminals/{term_id}").commands(&[Command::new(
        "call/{conf_id}/terminal/{term_id}/media_stats/get",
        "Answers with the quality of each audio and video stream of one terminal, as a list like \
         `call/media_stats`.",
    )]),
    get("/rest/conferences/{conf_id}/termmediastats").commands(&[Command::new(
        "call/{conf_id}/terminal_quality/get",
        "Answers with how good the connection of each terminal is, as a list with `id` and \
         `quality` (100 is best).",
    )]),
    post("/rest/conferences/callaction").commands(&[
        call_action(
            commands::ANSWER_CONNECTION.as_str(),
            "Answers one call that rings.",
            &[("callActionType", "ANSWER")],
        ),
        call_action(
            commands::REJECT_CONNECTION.as_str(),
            "Refuses one call that rings.",
            &[("callActionType", "IGNORE")],
        ),
        call_action(
            "call/connection/{conn_id}/hangup",
            "Hangs up one party, whatever conference it is in.",
            &[("callActionType", "HANGUP")],
        )
        .first(),
        Command::new(
            "call/answer",
            "Answers the call that rings; without one the result is `not_found`.",
        )
        .plan(Plan::From {
            state: states::CALLS,
            steps: answer,
        })
        .refresh(&[states::CALLS])
        .not_idempotent()
        .entities(&[Entity::button("answer", "Answer").icon("mdi:phone-check")]),
        Command::new(
            "call/reject",
            "Refuses the call that rings; without one the result is `not_found`.",
        )
        .plan(Plan::From {
            state: states::CALLS,
            steps: reject,
        })
        .refresh(&[states::CALLS])
        .not_idempotent()
        .entities(&[Entity::button("reject", "Reject").icon("mdi:phone-remove")]),
    ]),
    // Not in the guide. Some entries: the newest may not be the first.
    get("/rest/calllog/entries")
        .reads_with_query(&[("limit", "5")])
        .never_null()
        .shape(Shape::List)
        .known_by(&[
            ("address", MemberKind::Text),
            ("type", MemberKind::Text),
            ("startTime", MemberKind::Number),
        ])
        .states(&[State::with(states::CALL_LAST, |log, context| {
            Some(last_call(log, context.now))
        })
        .entities(&[Entity::sensor("last_call", "Last call")
            .icon("mdi:phone-log")
            .value(
                "{{ (value_json.get('name') or value_json.get('address') or 'Unknown')[:255] \
                 if value_json is mapping else 'None' }}",
            )
            .attributes("{{ (value_json if value_json is mapping else {}) | tojson }}")])])
        .poll_when(Class::Slow, When::AfterCall)
        .commands(&[Command::new(
            "call/history/get",
            "Answers with the newest entries of the device's call log, as a list: address, name, \
             `type`, `startTime` and `endTime`, `duration`.",
        )
        .fields(Some("limit"), LIMIT)
        .plan(Plan::Split(limited))]),
];

/// A query without a limit gets some entries, not the whole log.
fn limited(own: Step, _: &Context) -> Result<Vec<Step>, Failure> {
    if own.values.contains_key("limit") {
        return Ok(vec![own]);
    }
    Ok(vec![own.with("limit", DEFAULT_HISTORY)])
}

/// A list of addresses becomes the guide's `endPointList`, with one participant for each address.
fn blast(mut own: Step, _: &Context) -> Result<Vec<Step>, Failure> {
    let wrong = |message: &str| Err(Failure::new(ErrorCode::InvalidPayload, message));
    match (
        own.values.shift_remove("addresses"),
        own.values.contains_key("end_point_list"),
    ) {
        (Some(_), true) => wrong("addresses and endPointList cannot both be given"),
        (None, false) => wrong("addresses is missing; addresses takes a list of texts"),
        (None, true) => Ok(vec![own]),
        (Some(addresses), false) => {
            let each = addresses.as_array().into_iter().flatten();
            let list: Vec<Value> = each
                .map(|address| json!({"addresses": [{"address": address}]}))
                .collect();
            Ok(vec![own.with("end_point_list", list)])
        }
    }
}

fn hang_up_all(_: Step, list: &Value) -> Result<Vec<Step>, Failure> {
    let mut steps = Vec::new();
    for conference in list.as_array().into_iter().flatten() {
        match id(conference) {
            Some(id) if is_pending(id) => {
                for connection in connections(&json!([conference])) {
                    let reject = Step::to(commands::REJECT_CONNECTION);
                    steps.push(reject.param("conn_id", connection.id));
                }
            }
            Some(id) => {
                steps.push(Step::to(commands::HANG_UP_CONFERENCE).param("conf_id", id));
            }
            None => {}
        }
    }
    Ok(steps)
}

fn answer(_: Step, list: &Value) -> Result<Vec<Step>, Failure> {
    to_ringing(list, commands::ANSWER_CONNECTION)
}

fn reject(_: Step, list: &Value) -> Result<Vec<Step>, Failure> {
    to_ringing(list, commands::REJECT_CONNECTION)
}

/// The command to the first connection that rings.
fn to_ringing(list: &Value, command: CommandTopic) -> Result<Vec<Step>, Failure> {
    let ringing = connections(list)
        .into_iter()
        .find(|connection| connection.phase == CallPhase::Ringing)
        .ok_or_else(|| Failure::new(ErrorCode::NotFound, "no call is ringing"))?;
    Ok(vec![Step::to(command).param("conn_id", ringing.id)])
}
