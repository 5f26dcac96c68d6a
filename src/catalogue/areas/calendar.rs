//! The calendar: its server's status, the meetings, and dialling one.

use serde_json::Value;

use crate::catalogue::areas::conferences;
use crate::catalogue::call::Call;
use crate::catalogue::command::{Command, Plan, TopicKind};
use crate::catalogue::entity::Entity;
use crate::catalogue::field::{Field, Rule};
use crate::catalogue::operation::{Class, Operation, get, post};
use crate::catalogue::quirks::{CALENDAR_STATUS, epoch_seconds, error_word, seconds, text, truth};
use crate::catalogue::state::{Context, Shape, State};
use crate::catalogue::step::Step;
use crate::catalogue::up_down;
use crate::command::{ErrorCode, Failure};
use crate::visible::quoted_start;

/// The states of this area.
pub(in crate::catalogue) mod states {
    use crate::catalogue::references::StateTopic;

    pub const STATUS: StateTopic = StateTopic::new(
        "calendar/status",
        "Whether the calendar works: `ONLINE`, `CONNECTING`, `OFFLINE`, `DISABLED` (none is set \
         up), `ERR_AUTHENTICATION` or `ERR_UNKNOWN`.",
    );
    pub const MEETINGS: StateTopic = StateTopic::new(
        "calendar/meetings",
        "The room's meetings of the next 24 hours, as a list; `startTime` is in seconds since 1970 \
         (UTC), `duration` in seconds.",
    );
    pub const CURRENT: StateTopic = StateTopic::new(
        "calendar/current",
        "The meeting that takes place now, as an object of `calendar/meetings`; empty while there \
         is none.",
    );
    pub const NEXT: StateTopic = StateTopic::new(
        "calendar/next",
        "The next meeting that has not begun, as an object of `calendar/meetings`; empty if there \
         is none in the next 24 hours.",
    );
}

/// The commands of this area that plans refer to.
pub(in crate::catalogue) mod commands {
    use crate::catalogue::references::CommandTopic;

    pub const DIAL_MEETING: CommandTopic = CommandTopic::new("calendar/meeting/{meeting_id}/dial");
}

const RANGE: &[Field] = &[
    Field::query(
        "number",
        "number",
        "At most how many meetings are answered, from now on; it cannot be combined with `start` \
         and `end`.",
        Rule::Integer { min: 1, max: 1000 },
    ),
    Field::query(
        "start",
        "start",
        "From when on, in seconds since 1970 (UTC); without it from now on.",
        AT,
    ),
    Field::query(
        "end",
        "end",
        "Until when, in seconds since 1970 (UTC); without it until 24 hours after `start`.",
        AT,
    ),
];
/// In seconds.
const DAY: i64 = 24 * 60 * 60;
const AT: Rule = Rule::Integer {
    min: 0,
    max: i64::MAX,
};
const DISCOVER: &[Field] = &[
    Field::body(
        "domain",
        "domain",
        "How the server is looked for: by the e-mail address that is given, or by the device's own \
         SIP user name.",
        Rule::Word(&[("sip", "sip"), ("email", "email")]),
    )
    .required(),
    Field::body(
        "email",
        "email",
        "The e-mail address of the account whose calendar is shown.",
        Rule::AnyText,
    ),
    Field::body(
        "username",
        "username",
        "The user name of the calendar's account.",
        Rule::AnyText,
    ),
    Field::body(
        "password",
        "password",
        "The password of the calendar's account.",
        Rule::Secret,
    ),
    Field::body(
        "userdomain",
        "userdomain",
        "The (Windows) domain of the calendar's account.",
        Rule::AnyText,
    ),
];

/// A meeting, shown by its subject. Without a meeting the topic is empty and the sensor unknown.
const fn meeting(key: &'static str, name: &'static str) -> Entity {
    Entity::sensor(key, name)
        .icon("mdi:calendar-clock")
        .value(
            "{{ (value_json.get('subject') or 'No subject')[:255] if value_json is mapping else \
             'None' }}",
        )
        .attributes(
            "{% if value_json is mapping %}\
             {% set start = value_json.get('startTime') | float(0) %}\
             {% set start = start / 1000 if start > 100000000000 else start %}\
             {{ {'start': (start | as_datetime).isoformat(), \
             'end': ((start + value_json.get('duration') | float(0)) | as_datetime).isoformat(), \
             'organizer': value_json.get('organizer'), 'location': value_json.get('location'), \
             'can_join': value_json.get('canDial')} | tojson }}\
             {% else %}{}{% endif %}",
        )
}

pub(in crate::catalogue) const OPERATIONS: &[Operation] = &[
    get("/rest/calendar")
        .shape(Shape::Object)
        .one_of(CALENDAR_STATUS)
        .states(&[State::field(states::STATUS, CALENDAR_STATUS).entities(&[
            Entity::binary_sensor("calendar_status", "Calendar")
                .class("connectivity")
                .value(up_down::CONNECTED)
                .attributes(up_down::WORDS)
                .diagnostic(),
        ])])
        .poll(Class::Slow),
    get("/rest/calendar/meetings")
        .shape(Shape::List)
        .one_of(&["id", "startTime"])
        .states(&[
            State::whole(states::MEETINGS),
            State::at_time(states::CURRENT, |meetings, context| {
                current(meetings, context.now).cloned()
            })
            .entities(&[meeting("current_meeting", "Current meeting")]),
            State::at_time(states::NEXT, |meetings, context| {
                next(meetings, context.now).cloned()
            })
            .entities(&[meeting("next_meeting", "Next meeting")]),
        ])
        .poll(Class::Normal)
        .commands(&[Command::new(
            "calendar/meetings/get",
            "Answers with the room's meetings as a list: those of the next 24 hours, of a time \
             from `start` to `end`, or the next `number` meetings.",
        )
        .fields(None, RANGE)
        .plan(Plan::Split(number_or_range))]),
    get("/rest/calendar/meetings/{meeting_id}").commands(&[Command::new(
        "calendar/meeting/{meeting_id}/get",
        "Answers with one meeting: subject, organizer, location, start, duration, and the \
         addresses to dial.",
    )]),
    post("/rest/calendar/meetings/{meeting_id}").commands(&[
        Command::new(
            commands::DIAL_MEETING.as_str(),
            "Joins a meeting of the calendar by calling its address.",
        )
        .refresh(&[conferences::states::CALLS])
        .dials(),
        Command::new(
            "calendar/current/dial",
            "Joins the meeting that takes place now; without one the result is `not_found`.",
        )
        .plan(Plan::From {
            state: states::CURRENT,
            steps: dial,
        })
        .refresh(&[conferences::states::CALLS])
        .dials()
        .entities(&[
            Entity::button("current_meeting_join", "Join current meeting")
                .icon("mdi:calendar-arrow-right")
                .of(states::CURRENT)
                .needs(&[conferences::states::CALLS]),
        ]),
        Command::new(
            "calendar/next/dial",
            "Joins the next meeting, before it begins; without one the result is `not_found`.",
        )
        .plan(Plan::From {
            state: states::NEXT,
            steps: dial,
        })
        .refresh(&[conferences::states::CALLS])
        .dials()
        .entities(&[Entity::button("next_meeting_join", "Join next meeting")
            .icon("mdi:calendar-arrow-right")
            .of(states::NEXT)
            .needs(&[conferences::states::CALLS])]),
    ]),
    post("/rest/calendar/discover").commands(&[Command::new(
        "calendar/discover",
        "Looks for the calendar server of an account, and answers with its address as `serverUrl`; \
         nothing is set up by it.",
    )
    .kind(TopicKind::Query)
    .fields(None, DISCOVER)
    .map_answer(discovered)]),
];

/// The guide's word for failure is here an `error` other than `NOERROR`.
fn discovered(_: &Call, answer: &Value) -> Result<Value, Failure> {
    match error_word(answer) {
        None => Ok(answer.clone()),
        Some(error) => {
            let message = format!(
                "the device found no calendar server: {}",
                quoted_start(&error)
            );
            Err(Failure::new(ErrorCode::DeviceError, message))
        }
    }
}

/// The guide: `number` "can't be combined with start and end".
/// A range of which one end is given gets the other one as the guide has it: from now on, for 24 hours.
fn number_or_range(mut own: Step, context: &Context) -> Result<Vec<Step>, Failure> {
    let wrong = |why: &str| Err(Failure::new(ErrorCode::InvalidPayload, why));
    let at = |name: &str| own.values.get(name).and_then(Value::as_i64);
    let (start, end) = match (at("start"), at("end")) {
        (None, None) => return Ok(vec![own]),
        _ if own.values.contains_key("number") => {
            return wrong("number cannot be combined with start and end");
        }
        (Some(start), None) => (start, start.saturating_add(DAY)),
        (start, Some(end)) => (start.unwrap_or(context.now), end),
    };
    if end <= start {
        return wrong("end takes a time after start, or after now where start is missing");
    }
    own.values.insert("start".into(), start.into());
    own.values.insert("end".into(), end.into());
    Ok(vec![own])
}

fn dial(_: Step, meeting: &Value) -> Result<Vec<Step>, Failure> {
    let Some(id) = meeting.get("id").and_then(text) else {
        return Err(Failure::new(
            ErrorCode::NotFound,
            "the calendar has no such meeting",
        ));
    };
    Ok(vec![
        Step::to(commands::DIAL_MEETING).param("meeting_id", id),
    ])
}

/// When the next meeting of a list begins, in seconds since 1970.
pub fn next_meeting_start(meetings: &Value, now: i64) -> Option<i64> {
    meeting_start(next(meetings, now)?)
}

/// When a meeting begins, in seconds since 1970.
fn meeting_start(meeting: &Value) -> Option<i64> {
    epoch_seconds(meeting.get("startTime")?)
}

fn held(meetings: &Value) -> impl Iterator<Item = &Value> {
    let cancelled = |meeting: &&Value| meeting.get("canceled").and_then(truth) != Some(true);
    meetings.as_array().into_iter().flatten().filter(cancelled)
}

/// The meeting that runs now; if several do, the one that began last.
fn current(meetings: &Value, now: i64) -> Option<&Value> {
    held(meetings)
        .filter(|meeting| {
            let duration = meeting.get("duration").and_then(seconds).unwrap_or(0);
            meeting_start(meeting)
                .is_some_and(|start| start <= now && now < start.saturating_add(duration))
        })
        .max_by_key(|meeting| meeting_start(meeting))
}

/// The meeting that begins next.
fn next(meetings: &Value, now: i64) -> Option<&Value> {
    held(meetings)
        .filter(|meeting| meeting_start(meeting).is_some_and(|start| start > now))
        .min_by_key(|meeting| meeting_start(meeting))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_may_have_a_fraction() {
        for (start, duration) in [
            ("900.0", "1800.0"),
            ("9e2", "1.8e3"),
            ("\"900\"", "1800.75"),
        ] {
            let meetings = format!("[{{\"startTime\":{start},\"duration\":{duration}}}]");
            let meetings = serde_json::from_str(&meetings).unwrap();
            for (now, runs) in [(899, false), (900, true), (2699, true), (2700, false)] {
                assert_eq!(current(&meetings, now).is_some(), runs, "{meetings} {now}");
            }
            assert!(next(&meetings, 800).is_some());
        }
    }

    #[test]
    fn current_and_next_are_found_among_overlapping_and_cancelled_meetings() {
        let meeting = |id: &str, start: i64, duration: i64, canceled: bool| json!({"id": id, "startTime": start, "duration": duration, "canceled": canceled});
        let meetings = json!([
            meeting("long", 0, 9000, false),
            meeting("now", 900, 600, false),
            meeting("off", 1000, 600, true),
            meeting("later", 3000, 60, false),
            meeting("next", 2000, 60, false),
        ]);
        assert_eq!(current(&meetings, 1000).unwrap()["id"], "now");
        assert_eq!(next(&meetings, 1000).unwrap()["id"], "next");
        assert_eq!(current(&meetings, 99_999), None);
        let endless = json!([meeting("endless", 1, i64::MAX, false)]);
        assert_eq!(current(&endless, 1000).unwrap()["id"], "endless");
        assert_eq!(
            current(
                &json!([meeting("ms", 1_700_000_000_000, 60, false)]),
                1_700_000_000
            )
            .unwrap()["id"],
            "ms"
        );
    }
}
