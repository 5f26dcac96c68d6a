//! Audio: volume, mute, microphones, DTMF and test tones.

use serde_json::Value;

use crate::catalogue::entity::{Entity, EntityKind};
use crate::catalogue::payload::{Field, Rule};
use crate::catalogue::state::{Context, Shape, State};
use crate::catalogue::{Call, Class, Command, Operation, Plan, When, get, post};
use crate::command::{ErrorCode, Failure};

const KEYS: &[Field] = &[Field::body("keys", "dtmfChar", Rule::Keys).required()];
const SPEAKER: &[Field] = &[Field::body(
    "speaker",
    "speaker",
    Rule::Word(&[
        ("left", "SPEAKER_LEFT"),
        ("right", "SPEAKER_RIGHT"),
        ("both", "SPEAKER_BOTH"),
    ]),
)
.required()];
const MUTED: &[Field] = &[Field::body("muted", "muted", Rule::Switch).required()];
const VOLUME: &[Field] =
    &[Field::body("volume", "volume", Rule::Integer { min: 0, max: 100 }).required()];
const STEP: &[Field] = &[Field::gateway("step", Rule::Integer { min: 1, max: 100 })];

/// The actions of `audio` and of `audio/acoustic_fence`, which are alike.
macro_rules! actions {
    ($below:literal) => {
        &[
            Command::new(concat!($below, "/dtmf/play"))
                .fields(Some("keys"), KEYS)
                .fixed(&[("action", "playDTMF")])
                .plan(Plan::Split(one_by_one))
                .once(),
            Command::new(concat!($below, "/test_tone/play"))
                .fields(Some("speaker"), SPEAKER)
                .fixed(&[("action", "playTestTone")]),
            Command::new(concat!($below, "/test_tone/stop"))
                .fixed(&[("action", "stopPlayingTestTone")]),
            Command::new(concat!($below, "/start")).fixed(&[("action", "start")]),
            Command::new(concat!($below, "/itp_segment_detection"))
                .fixed(&[("action", "itpSegmentDetection")]),
        ]
    };
}

pub(in crate::catalogue) const OPERATIONS: &[Operation] = &[
    get("1", "/rest/audio")
        .states(&[
            State::whole("audio"),
            State::field("audio/muted", &["muted"]),
            State::field("audio/mute_locked", &["muteLocked"]),
            State::field("audio/volume", &["volume"]),
            State::field("audio/microphones_connected", &["numOfMicsConnected"]),
        ])
        .poll(Class::Fast),
    post("2", "/rest/audio").commands(actions!("audio")),
    post("3", "/rest/audio/acousticfence").commands(actions!("audio/acoustic_fence")),
    get("4", "/rest/audio/audiometers")
        .shape(Shape::List)
        .states(&[State::whole("audio/meters")])
        .poll_when(Class::Fast, When::Meters),
    get("5", "/rest/audio/microphones")
        .shape(Shape::List)
        .states(&[State::with("audio/microphones", microphones)])
        .poll(Class::Normal),
    get("6", "/rest/audio/muted")
        .shape(Shape::Result)
        .states(&[State::whole("audio/muted")]),
    post("7", "/rest/audio/muted").commands(&[
        Command::new("audio/muted/set")
            .value(MUTED)
            .toggles("audio/muted")
            .refresh(&["audio"])
            .sets("audio/muted")
            .entities(&[
                Entity::switch("microphone_mute", "Microphone mute").icon("mdi:microphone-off")
            ]),
        Command::new("audio/mute")
            .plan(Plan::Split(mute))
            .refresh(&["audio"])
            .sets("audio/muted"),
        Command::new("audio/unmute")
            .plan(Plan::Split(unmute))
            .refresh(&["audio"])
            .sets("audio/muted"),
    ]),
    get("8", "/rest/audio/volume")
        .shape(Shape::Result)
        .states(&[State::whole("audio/volume")]),
    post("9", "/rest/audio/volume").commands(&[
        Command::new("audio/volume/set")
            .value(VOLUME)
            .refresh(&["audio"])
            .sets("audio/volume")
            .entities(&[Entity::new(EntityKind::Number, "volume", "Volume")
                .icon("mdi:volume-high")
                .unit("%")]),
        Command::new("audio/volume/up")
            .fields(Some("step"), STEP)
            .plan(Plan::From {
                state: "audio/volume",
                calls: louder,
            })
            .refresh(&["audio"])
            .once(),
        Command::new("audio/volume/down")
            .fields(Some("step"), STEP)
            .plan(Plan::From {
                state: "audio/volume",
                calls: quieter,
            })
            .refresh(&["audio"])
            .once(),
    ]),
];

/// The guide takes one key a request.
fn one_by_one(call: Call, _: &Context) -> Result<Vec<Call>, Failure> {
    let keys = call.values.get("keys").and_then(Value::as_str);
    let keys = keys.unwrap_or_default().to_owned();
    Ok(keys
        .chars()
        .map(|key| call.clone().with("keys", key.to_string()))
        .collect())
}

fn mute(_: Call, _: &Context) -> Result<Vec<Call>, Failure> {
    Ok(vec![
        Call::to("audio/muted/set", Vec::new())?.with("muted", true),
    ])
}

fn unmute(_: Call, _: &Context) -> Result<Vec<Call>, Failure> {
    Ok(vec![
        Call::to("audio/muted/set", Vec::new())?.with("muted", false),
    ])
}

fn louder(call: Call, volume: &Value) -> Result<Vec<Call>, Failure> {
    step(&call, volume, 1)
}

fn quieter(call: Call, volume: &Value) -> Result<Vec<Call>, Failure> {
    step(&call, volume, -1)
}

/// The device has no relative volume: the step is taken from what it says now.
fn step(call: &Call, volume: &Value, sign: i64) -> Result<Vec<Call>, Failure> {
    let volume = volume.as_i64().ok_or_else(|| {
        Failure::new(
            ErrorCode::DeviceError,
            "the device did not say its volume, so there is nothing to step from",
        )
    })?;
    let step = call.values.get("step").and_then(Value::as_i64).unwrap_or(5);
    let volume = (volume + sign * step).clamp(0, 100);
    Ok(vec![
        Call::to("audio/volume/set", Vec::new())?.with("volume", volume),
    ])
}

/// Real devices send `mute` as 0 or 1 where the guide has a boolean.
fn microphones(list: &Value, _: &Context) -> Option<Value> {
    let mut list = list.clone();
    for microphone in list.as_array_mut()? {
        if let Some(mute) = microphone.get_mut("mute")
            && let Some(number) = mute.as_i64()
        {
            *mute = (number != 0).into();
        }
    }
    Some(list)
}
