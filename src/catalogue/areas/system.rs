//! The system: status, device mode and signage, network tests, time, logs, reboot.

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::catalogue::command::{Command, Plan, TopicKind};
use crate::catalogue::entity::{Enabled, Entity};
use crate::catalogue::evidence::MemberKind;
use crate::catalogue::field::{Field, Rule};
use crate::catalogue::operation::{Class, Operation, delete, get, post};
use crate::catalogue::payload::Payload;
use crate::catalogue::quirks::{flag, member, seconds, truth};
use crate::catalogue::references::StateTopic;
use crate::catalogue::state::{Context, Pick, Shape, State};
use crate::catalogue::step::Step;
use crate::catalogue::up_down;
use crate::command::Failure;
use crate::topics;

/// The states of this area.
pub(in crate::catalogue) mod states {
    use crate::catalogue::references::StateTopic;

    pub const H323_GATEKEEPERS: StateTopic = StateTopic::new("system/h323_gatekeepers");
    pub const ENVIRONMENT_APP: StateTopic = StateTopic::new("system/environment_app");
    pub const DEVICE_MODE: StateTopic = StateTopic::new("system/device_mode");
    pub const SIGNAGE: StateTopic = StateTopic::new("system/signage");
    pub const SIP_SERVERS: StateTopic = StateTopic::new("system/sip_servers");
    pub const STATUS: StateTopic = StateTopic::new("system/status");
    /// Model, serial number and firmware.
    pub const INFO: StateTopic = StateTopic::new("system/info");
    /// What the device is doing: `READY`, `ASLEEP`, `IN_CALL`.
    pub const STATE: StateTopic = StateTopic::new("system/state");
    /// Whether a change waits for a reboot.
    pub const REBOOT_NEEDED: StateTopic = StateTopic::new("system/reboot_needed");
    /// The network: state, speed, duplex.
    pub const LAN: StateTopic = StateTopic::new("system/lan");
    pub const TIME_SERVER: StateTopic = StateTopic::new("system/time_server");
    /// When the device started.
    pub const BOOT_TIME: StateTopic = StateTopic::new("system/boot_time");
    /// Whether the device's log is full.
    pub const LOG_FULL: StateTopic = StateTopic::new("system/log_full");
}

const ON: &[Field] = &[Field::gateway("on", Rule::Switch).required()];
const SHOW: &[Field] = &[Field::gateway("on", Rule::NamedSwitch("show", "hide")).required()];
const DESTINATION: &[Field] = &[Field::body("destination", "destination", Rule::Text).required()];
const KEEP: &[Field] = &[
    Field::body("keep_certificates", "keepCertificates", Rule::Switch).required(),
    Field::body("keep_cdr", "keepCdr", Rule::Switch).required(),
    Field::body("keep_directory", "keepDirectory", Rule::Switch).required(),
    Field::body("keep_logs", "keepLogs", Rule::Switch).required(),
];
const TIME: &[Field] = &[
    Field::body(
        "time",
        "time",
        Rule::Integer {
            min: 0,
            max: i64::MAX,
        },
    ),
    Field::body(
        "tz_offset",
        "tzOffset",
        Rule::Integer {
            min: -840,
            max: 840,
        },
    ),
];

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

/// A mode that POST switches on and DELETE switches off.
const fn switched(topic: &'static str, state: &'static [StateTopic], on: bool) -> Command {
    Command::new(topic)
        .fields(Some("on"), ON)
        .when(on)
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
        ..switched("system/environment_app/set", &[states::ENVIRONMENT_APP], on)
    }
}

/// More parts of the system than this have no state each: the guide knows twenty.
const MOST_PARTS: usize = 100;
/// A part with a longer name, in bytes, has no state: the guide's longest has 20 letters.
const LONGEST_PART: usize = 100;

pub(in crate::catalogue) const OPERATIONS: &[Operation] = &[
    get("/rest/system/h323gatekeepers")
        .shape(Shape::List)
        .states(&[
            State::whole(states::H323_GATEKEEPERS).entities(&[registration(
                "gatekeeper_registration",
                "Gatekeeper registration",
            )]),
        ])
        .poll(Class::Slow),
    get("/rest/system/logs").commands(&[Command::new("system/logs/get")
        .file("system/logs", "application/octet-stream", false)
        .slow()]),
    post("/rest/system/apps/environment").commands(&[shown(true)]),
    delete("/rest/system/apps/environment").commands(&[shown(false)]),
    get("/rest/system/apps/environment")
        .shape(Shape::List)
        .states(&[State::with(states::ENVIRONMENT_APP, environment_app)])
        .poll(Class::Normal),
    get("/rest/system/mode/device")
        .shape(Shape::Flag)
        .states(&[State::whole(states::DEVICE_MODE)])
        .poll(Class::Normal),
    post("/rest/system/mode/device").commands(&[switched(
        "system/device_mode/set",
        &[states::DEVICE_MODE],
        true,
    )
    .entities(&[Entity::switch("device_mode", "Device mode").icon("mdi:laptop")])]),
    delete("/rest/system/mode/device").commands(&[switched(
        "system/device_mode/set",
        &[states::DEVICE_MODE],
        false,
    )]),
    get("/rest/system/mode/signage")
        .shape(Shape::Flag)
        .states(&[State::whole(states::SIGNAGE)])
        .poll(Class::Normal),
    post("/rest/system/mode/signage").commands(&[switched(
        "system/signage/set",
        &[states::SIGNAGE],
        true,
    )
    .entities(&[Entity::switch("signage", "Signage").icon("mdi:sign-text")])]),
    delete("/rest/system/mode/signage").commands(&[switched(
        "system/signage/set",
        &[states::SIGNAGE],
        false,
    )]),
    post("/rest/system/network/ping").commands(&[Command::new("system/network/ping")
        .kind(TopicKind::Query)
        .fields(Some("destination"), DESTINATION)
        .slow()]),
    // The guide's only GET with a body.
    get("/rest/system/network/traceroute").commands(&[Command::new("system/network/traceroute")
        .fields(Some("destination"), DESTINATION)
        .slow()]),
    post("/rest/system/reboot").commands(&[
        Command::new("system/reboot")
            .fixed(&[("action", "reboot")])
            .once()
            .entities(&[Entity::button("reboot", "Reboot")
                .class("restart")
                .config()
                .enabled(Enabled::WhenAllowed)]),
        Command::new("system/reboot")
            .flags(&[("restartAll", true)])
            .once()
            .fallback(),
    ]),
    post("/rest/system/resetsettings").commands(&[Command::new("system/reset_settings")
        .fields(None, KEEP)
        .fixed(&[("action", "resetsettings")])
        .once()]),
    get("/rest/system/sipservers")
        .shape(Shape::List)
        .states(&[State::whole(states::SIP_SERVERS)
            .entities(&[registration("sip_registration", "SIP registration")])])
        .poll(Class::Slow),
    get("/rest/system/status")
        .shape(Shape::List)
        .known_by(&[("name", MemberKind::Text), ("stateList", MemberKind::List)])
        .states(&[
            State::whole(states::STATUS),
            State::new(states::STATUS, Pick::Each(statuses)).entities(PARTS),
            State::with(states::LOG_FULL, log_full).entities(&[Entity::binary_sensor(
                "log_full", "Log full",
            )
            .class("problem")
            .diagnostic()
            .when_told()]),
        ])
        .poll(Class::Normal),
    get("/rest/system/time").commands(&[Command::new("system/time/get")]),
    post("/rest/system/time").commands(&[Command::new("system/time/set")
        .fields(None, TIME)
        .plan(Plan::Split(at_gateway_time))]),
    get("/rest/system/time/local").commands(&[Command::new("system/time/local/get")]),
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
    let date = OffsetDateTime::from_unix_timestamp(started).ok()?;
    Some(date.format(&Rfc3339).ok()?.into())
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_part_of_the_system_has_a_state() {
        let list = json!([
            {"langtag": "X", "name": "system.status.ipnetwork", "stateList": ["up"]},
            {"langtag": "Y", "name": "system.status.sipserver", "stateList": ["up", "off"]},
            {"nonsense": 1},
        ]);
        assert_eq!(
            statuses(&list),
            [
                ("ipnetwork".to_owned(), json!("up")),
                ("sipserver".to_owned(), json!(["up", "off"])),
            ]
        );
    }

    #[test]
    fn the_log_is_full_if_its_part_says_so() {
        let part = |name: &str, words: Value| json!({"name": name, "stateList": words});
        let log = |words: Value| {
            let list = json!([
                part("system.status.ipnetwork", json!(["full"])),
                part("system.status.logthreshold", words),
            ]);
            log_full(&list, &CONTEXT)
        };
        assert_eq!(log(json!(["full"])), Some(json!(true)));
        assert_eq!(log(json!("FULL")), Some(json!(true)));
        assert_eq!(log(json!(["off"])), Some(json!(false)));
        let without = json!([part("system.status.ipnetwork", json!(["up"]))]);
        assert_eq!(log_full(&without, &CONTEXT), None);
        assert_eq!(log_full(&json!([{"name": 1}, 2]), &CONTEXT), None);
    }

    #[test]
    fn the_start_is_what_the_room_knows_or_told_from_the_uptime() {
        let system = |uptime: Value| json!({"uptime": uptime});
        let known = Context {
            started: Some(1_700_000_000),
            ..CONTEXT
        };
        let date = Some(json!("2023-11-14T22:13:20Z"));
        assert_eq!(boot_time(&system(json!(5.5)), &known), date);
        let now = Context {
            now: 1_700_000_100,
            ..CONTEXT
        };
        assert_eq!(boot_time(&system(json!(100.9)), &now), date);
        for none in [json!(null), json!("soon"), json!(1e300)] {
            let _ = boot_time(&system(none.clone()), &now);
            assert_eq!(boot_time(&json!({}), &known), None, "{none}");
        }
    }

    const CONTEXT: Context = Context {
        now: 0,
        preset_offset: None,
        preset_names: None,
        started: None,
    };

    #[test]
    fn a_name_that_is_no_topic_has_no_state() {
        let long = "x".repeat(70_000);
        for name in ["", "get", "result", "..", "a/../b", "a\nb", &long] {
            let list = json!([{"name": format!("system.status.{name}"), "stateList": ["up"]}]);
            assert!(statuses(&list).is_empty(), "{name:.20}");
        }
        let many: Vec<_> = (0..1000)
            .map(|n| json!({"name": n.to_string(), "stateList": ["up"]}))
            .collect();
        assert_eq!(statuses(&Value::Array(many)).len(), MOST_PARTS);
    }
}
