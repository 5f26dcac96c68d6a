//! The system: status, device mode and signage, network tests, time, logs, reboot.

mod fields;
pub(in crate::catalogue) mod states;
#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::catalogue::call::Call;
use crate::catalogue::command::{Command, Plan, TopicKind};
use crate::catalogue::entity::{Enabled, Entity};
use crate::catalogue::evidence::MemberKind;
use crate::catalogue::file::FileSpec;
use crate::catalogue::operation::{Class, Operation, delete, get, post};
use crate::catalogue::payload::Payload;
use crate::catalogue::quirks::{flag, member, seconds, truth};
use crate::catalogue::references::StateTopic;
use crate::catalogue::state::{Context, Pick, Shape, State};
use crate::catalogue::step::Step;
use crate::catalogue::up_down;
use crate::clock::rfc3339_of_unix;
use crate::command::{ErrorCode, Failure};
use crate::topics;
use fields::{DESTINATION, KEEP, ON, SHOW, TIME};

/// Whether all servers know the device; the attributes name the servers.
const fn registration(key: &'static str, name: &'static str) -> Entity {
    Entity::binary_sensor(key, name)
        .class("connectivity")
        .value(up_down::ALL_REGISTERED)
        .attributes("{{ {'servers': value_json if value_json is list else []} | tojson }}")
        .diagnostic()
}

/// One part of the system, of those that `parts` selects.
const fn part(parts: fn(&str) -> bool) -> Entity {
    Entity::binary_sensor("status_{name}", "System: {name}")
        .parts(parts)
        .attributes(up_down::WORDS)
        .diagnostic()
}

const PARTS: &[Entity] = &[
    part(is_connection)
        .class("connectivity")
        .value(up_down::CONNECTED),
    part(is_feature)
        .icon("mdi:list-status")
        .value(up_down::CONNECTED),
    part(is_equipment).class("problem").value(up_down::AMISS),
];

/// A server, the network, or what is paired.
fn is_connection(part: &str) -> bool {
    let connections = [
        "calendar",
        "gatekeeper",
        "globaldirectory",
        "ipnetwork",
        "provisioning",
        "remotecontrol",
        "sipserver",
    ];
    connections.contains(&part)
}

/// What a person switches on or off.
fn is_feature(part: &str) -> bool {
    part.starts_with("autoanswer")
}

/// Cameras, microphones, and what nobody knows. The log has [`states::LOG_FULL`].
fn is_equipment(part: &str) -> bool {
    !is_connection(part) && !is_feature(part) && !part.ends_with(LOG)
}

/// How the name of the log's part ends.
const LOG: &str = "logthreshold";

const SET_DEVICE_MODE: &str = "Starts Device Mode, in which a computer uses the device as camera, \
                               microphone and loudspeaker, or ends it.";
const SET_SIGNAGE: &str = "Shows digital signage on the screen, or ends it.";

/// A mode that POST switches on and DELETE switches off.
const fn switched(
    topic: &'static str,
    about: &'static str,
    state: &'static [StateTopic],
    on: bool,
) -> Command {
    Command::new(topic, about)
        .fields(Some("on"), ON)
        .selected_by(on)
        .toggles(state[0])
        .refresh(state)
        .sets(state[0])
}

const fn shown(on: bool) -> Command {
    Command {
        payload: Payload::Fields {
            bare: Some("on"),
            fields: SHOW,
            whole: false,
        },
        ..switched(
            "system/environment_app/set",
            "Shows the app for the room's environment on the paired touch panel, or hides it.",
            &[states::ENVIRONMENT_APP],
            on,
        )
    }
    .map_answer(app_answered)
}

/// The guide's word for failure is here `{"result": false}`.
fn app_answered(_: &Call, answer: &Value) -> Result<Value, Failure> {
    match answer.get("result").and_then(truth) {
        Some(false) => Err(Failure::new(
            ErrorCode::DeviceError,
            "the device did not carry it out: its result is false",
        )),
        _ => Ok(answer.clone()),
    }
}

/// More parts of the system than this have no state each: the guide knows twenty.
const MOST_PARTS: usize = 100;
/// A part with a longer name, in bytes, has no state: the guide's longest has 20 letters.
const LONGEST_PART: usize = 100;

/// Members of a server that the device registers with.
const SERVER_MEMBERS: &[&str] = &["address", "state"];

pub(in crate::catalogue) const OPERATIONS: &[Operation] = &[
    get("/rest/system/h323gatekeepers")
        .shape(Shape::List)
        .one_of(SERVER_MEMBERS)
        .states(&[
            State::whole(states::H323_GATEKEEPERS).entities(&[registration(
                "gatekeeper_registration",
                "Gatekeeper registration",
            )]),
        ])
        .poll(Class::Slow),
    get("/rest/system/logs").commands(&[Command::new(
        "system/logs/get",
        "Answers with the device's logs as one file (tar).",
    )
    .file(FileSpec::new("system/logs", "application/octet-stream"))
    .slow()]),
    post("/rest/system/apps/environment").commands(&[shown(true)]),
    delete("/rest/system/apps/environment").commands(&[shown(false)]),
    get("/rest/system/apps/environment")
        .shape(Shape::List)
        .one_of(&["environmentControlAppActive", "macAddress"])
        .states(&[State::with(states::ENVIRONMENT_APP, environment_app)])
        .poll(Class::Normal),
    get("/rest/system/mode/device")
        .shape(Shape::Flag)
        .states(&[State::whole(states::DEVICE_MODE)])
        .poll(Class::Normal),
    post("/rest/system/mode/device").commands(&[switched(
        "system/device_mode/set",
        SET_DEVICE_MODE,
        &[states::DEVICE_MODE],
        true,
    )
    .entities(&[Entity::switch("device_mode", "Device mode").icon("mdi:laptop")])]),
    delete("/rest/system/mode/device").commands(&[switched(
        "system/device_mode/set",
        SET_DEVICE_MODE,
        &[states::DEVICE_MODE],
        false,
    )]),
    get("/rest/system/mode/signage")
        .shape(Shape::Flag)
        .states(&[State::whole(states::SIGNAGE)])
        .poll(Class::Normal),
    post("/rest/system/mode/signage").commands(&[switched(
        "system/signage/set",
        SET_SIGNAGE,
        &[states::SIGNAGE],
        true,
    )
    .entities(&[Entity::switch("signage", "Signage").icon("mdi:sign-text")])]),
    delete("/rest/system/mode/signage").commands(&[switched(
        "system/signage/set",
        SET_SIGNAGE,
        &[states::SIGNAGE],
        false,
    )]),
    post("/rest/system/network/ping").commands(&[Command::new(
        "system/network/ping",
        "Lets the device ping a host, and answers with whether it was reached, by ICMP, H.323 and \
         SIP, and the time that it took.",
    )
    .kind(TopicKind::Query)
    .fields(Some("destination"), DESTINATION)
    .slow()]),
    // The guide's only GET with a body.
    get("/rest/system/network/traceroute").commands(&[Command::new(
        "system/network/traceroute",
        "Lets the device trace the way to a host, and answers with the hops.",
    )
    .fields(Some("destination"), DESTINATION)
    .slow()]),
    post("/rest/system/reboot").commands(&[
        Command::new(
            "system/reboot",
            "Restarts the device, which takes about three minutes and ends its calls.",
        )
        .guarded()
        .body_constants(&[("action", "reboot")])
        .not_idempotent()
        .entities(&[Entity::button("reboot", "Reboot")
            .class("restart")
            .config()
            .enabled(Enabled::WhenAllowed)]),
        Command::fallback("system/reboot")
            .body_flags(&[("restartAll", true)])
            .not_idempotent(),
    ]),
    post("/rest/system/resetsettings").commands(&[Command::new(
        "system/reset_settings",
        "Sets the device back to its factory settings, except for what is to be kept.",
    )
    .guarded()
    .fields(None, KEEP)
    .body_constants(&[("action", "resetsettings")])
    .not_idempotent()]),
    get("/rest/system/sipservers")
        .shape(Shape::List)
        .one_of(SERVER_MEMBERS)
        .states(&[State::whole(states::SIP_SERVERS)
            .entities(&[registration("sip_registration", "SIP registration")])])
        .poll(Class::Slow),
    get("/rest/system/status")
        .shape(Shape::List)
        .known_by(&[("name", MemberKind::Text), ("stateList", MemberKind::List)])
        .states(&[
            State::whole(states::STATUS),
            State::new(states::STATUS_PART, Pick::Each(statuses)).entities(PARTS),
            State::with(states::LOG_FULL, log_full).entities(&[Entity::binary_sensor(
                "log_full", "Log full",
            )
            .class("problem")
            .diagnostic()
            .when_told()]),
        ])
        .poll(Class::Normal),
    get("/rest/system/time").commands(&[Command::new(
        "system/time/get",
        "Answers with the device's time in milliseconds since 1970 (UTC), and its time zone's \
         offset in minutes.",
    )]),
    post("/rest/system/time").commands(&[Command::new(
        "system/time/set",
        "Sets the device's clock; without a time, to the time of the gateway.",
    )
    .guarded()
    .fields(None, TIME)
    .plan(Plan::Split(at_gateway_time))]),
    get("/rest/system/time/local").commands(&[Command::new(
        "system/time/local/get",
        "Answers with the device's local time as text, such as `2026-01-31T15:00:59.000-0700`.",
    )]),
    get("/rest/system")
        .shape(Shape::Object)
        .known_by(&[
            ("model", MemberKind::Text),
            ("softwareVersion", MemberKind::Text),
        ])
        .states(&[
            State::with(states::INFO, lasting),
            State::field(states::STATE, &["state"]),
            State::with(states::REBOOT_NEEDED, |system, _| {
                system.get("rebootNeeded").cloned().map(flag)
            })
            .entities(&[Entity::binary_sensor("reboot_needed", "Reboot needed")
                .class("problem")
                .icon("mdi:restart-alert")
                .diagnostic()
                .when_told()]),
            State::field(states::LAN, &["lanStatus"]).entities(&[Entity::sensor("lan", "LAN")
                .icon("mdi:lan")
                .unit("Mbit/s")
                .value("{{ value_json.get('speedMbps') if value_json is mapping }}")
                .attributes("{{ (value_json if value_json is mapping else {}) | tojson }}")
                .diagnostic()
                .when_told()]),
            State::field(states::TIME_SERVER, &["timeServerState"]).entities(&[
                Entity::binary_sensor("time_server", "Time server")
                    .class("connectivity")
                    .value(up_down::CONNECTED)
                    .attributes(up_down::WORDS)
                    .diagnostic()
                    .when_told(),
            ]),
            State::with(states::BOOT_TIME, boot_time).entities(&[Entity::sensor(
                "boot_time",
                "Started",
            )
            .class("timestamp")
            // The topic is emptied when firmware does not tell it any more.
            .value("{{ value or 'None' }}")
            .diagnostic()
            .when_told()]),
        ])
        .poll(Class::Normal),
];

/// A command without a time sets the gateway host's time.
fn at_gateway_time(own: Step, context: &Context) -> Result<Vec<Step>, Failure> {
    if own.values.contains_key("time") {
        return Ok(vec![own]);
    }
    Ok(vec![own.with("time", context.now * 1000)])
}

/// Whether one of the objects has this flag set.
pub(super) fn any(list: &Value, name: &str) -> Option<Value> {
    let yes = |entry: &Value| entry.get(name).and_then(truth) == Some(true);
    Some(list.as_array()?.iter().any(yes).into())
}

fn environment_app(apps: &Value, _: &Context) -> Option<Value> {
    any(apps, "environmentControlAppActive")
}

/// The model, serial number and so on, without the members that change all the time.
fn lasting(system: &Value, _: &Context) -> Option<Value> {
    let mut system = system.as_object()?.clone();
    for changing in ["uptime", "systemTime", "state"] {
        system.shift_remove(changing);
    }
    Some(Value::Object(system))
}

/// The seconds since the device started, if it tells them.
pub fn uptime(system: &Value) -> Option<i64> {
    system.get("uptime").and_then(seconds)
}

/// When the device started, as a date in UTC. The room knows it; the first time it is told from the uptime.
fn boot_time(system: &Value, context: &Context) -> Option<Value> {
    let uptime = uptime(system)?;
    let started = context
        .started
        .unwrap_or(context.now.saturating_sub(uptime));
    boot_date(started).map(Into::into)
}

/// The time of a start, in seconds since 1970, as the state shows it.
pub fn boot_date(started: i64) -> Option<String> {
    rfc3339_of_unix(started)
}

/// Whether the log is full, if the device lists its log among its parts.
fn log_full(list: &Value, _: &Context) -> Option<Value> {
    let is_log = |part: &&Value| {
        part["name"]
            .as_str()
            .is_some_and(|name| name.ends_with(LOG))
    };
    let log = list.as_array()?.iter().find(is_log)?;
    let words = match member(log, &["stateList"])? {
        Value::Array(words) => words.as_slice(),
        word => std::slice::from_ref(word),
    };
    let is_full = |word: &Value| {
        word.as_str()
            .is_some_and(|word| word.eq_ignore_ascii_case("full"))
    };
    Some(words.iter().any(is_full).into())
}

/// One state for each part of the system: its word, or the list of its words if there are several.
fn statuses(list: &Value) -> Vec<(String, Value)> {
    let status = |entry: &Value| {
        let name = entry.get("name")?.as_str()?;
        let name = name.strip_prefix("system.status.").unwrap_or(name);
        let value = match member(entry, &["stateList"])? {
            Value::Array(words) if words.len() == 1 => words[0].clone(),
            words => words.clone(),
        };
        is_part(name).then(|| (topics::encode_level(name), value))
    };
    let parts = list.as_array().into_iter().flatten().filter_map(status);
    parts.take(MOST_PARTS).collect()
}

/// Whether the name that a device gives to a part of the system can be a topic level. The last
/// levels of commands and results cannot.
fn is_part(name: &str) -> bool {
    let word = matches!(name, "get" | "set" | "result");
    name.len() <= LONGEST_PART && topics::is_harmless(name) && !word
}
