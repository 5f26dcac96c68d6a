//! Audio: volume, mute, microphones, DTMF and test tones.

use serde_json::Value;

use crate::catalogue::command::{Command, Plan};
use crate::catalogue::entity::Entity;
use crate::catalogue::evidence::MemberKind;
use crate::catalogue::field::{Field, Rule};
use crate::catalogue::operation::{Class, Operation, When, get, post};
use crate::catalogue::quirks::{flag, numeric_mute, plain_number, whole};
use crate::catalogue::state::{Context, Shape, State};
use crate::catalogue::step::Step;
use crate::command::{ErrorCode, Failure};

/// The states of this area.
pub(in crate::catalogue) mod states {
    use crate::catalogue::references::{StateTopic, ValueKind};

    pub const AUDIO: StateTopic = StateTopic::new(
        "audio",
        "The sound of the room as one object: volume, mute, the lock of the mute, and how many \
         microphones there are.",
    );
    pub const MUTED: StateTopic = StateTopic::new(
        "audio/muted",
        "Whether the room's microphones are muted, so that the others in a call do not hear the \
         room.",
    )
    .of(ValueKind::Flag);
    pub const MUTE_LOCKED: StateTopic = StateTopic::new(
        "audio/mute_locked",
        "Whether the microphones' mute is locked, so that it cannot be changed from the room.",
    )
    .of(ValueKind::Flag);
    pub const VOLUME: StateTopic = StateTopic::new(
        "audio/volume",
        "How loud the room's loudspeakers are, from 0 (silent) to 100 (loudest).",
    )
    .of(ValueKind::Count(Some(100)));
    pub const MICROPHONES_CONNECTED: StateTopic = StateTopic::new(
        "audio/microphones_connected",
        "How many microphones are connected to the device.",
    )
    .of(ValueKind::Count(None));
    pub const METERS: StateTopic = StateTopic::new(
        "audio/meters",
        "How loud it is at every audio input and output, as a list with `portName`, \
         `portDirection` and one level for each channel, on the device's own scale.",
    );
    pub const MICROPHONES: StateTopic = StateTopic::new(
        "audio/microphones",
        "Every microphone of the room, as a list with its `number` (counted from 0), type, \
         firmware, `state` and whether it is muted.",
    );
}

/// The commands of this area that plans refer to.
pub(in crate::catalogue) mod commands {
    use crate::catalogue::references::CommandTopic;

    pub const SET_MUTED: CommandTopic = CommandTopic::new("audio/muted/set");
    pub const SET_VOLUME: CommandTopic = CommandTopic::new("audio/volume/set");
    pub const VOLUME_UP: CommandTopic = CommandTopic::new("audio/volume/up");
    pub const VOLUME_DOWN: CommandTopic = CommandTopic::new("audio/volume/down");
}

const KEYS: &[Field] = &[Field::body(
    "keys",
    "dtmfChar",
    "The keys to play, one after the other, as on a telephone.",
    Rule::Keys,
)
.required()];
const SPEAKER: &[Field] = &[Field::body(
    "speaker",
    "speaker",
    "Which loudspeaker plays the tone.",
    Rule::Word(&[
        ("left", "SPEAKER_LEFT"),
        ("right", "SPEAKER_RIGHT"),
        ("both", "SPEAKER_BOTH"),
    ]),
)
.required()];
const MUTED: &[Field] = &[Field::body(
    "muted",
    "muted",
    "Whether the microphones are muted.",
    Rule::Switch,
)
.required()];
const VOLUME: &[Field] = &[Field::body(
    "volume",
    "volume",
    "How loud the loudspeakers are: 0 is silent, 100 is loudest.",
    Rule::Integer { min: 0, max: 100 },
)
.required()
.steps(commands::VOLUME_UP, commands::VOLUME_DOWN)];
/// How far volume up and down go without a step: twenty presses for the whole range.
const DEFAULT_STEP: i64 = 5;
const STEP: &[Field] = &[Field::gateway(
    "step",
    "By how much the volume changes, on its scale of 0 to 100; 5 if left out.",
    Rule::Integer { min: 1, max: 100 },
)];

/// The actions of `audio` and of `audio/acoustic_fence`, which are alike. The guide does not explain all of
/// them.
macro_rules! actions {
    ($below:literal, $through:literal) => {
        &[
            Command::new(
                concat!($below, "/dtmf/play"),
                concat!("Plays touch tones into the call", $through, "."),
            )
                .fields(Some("keys"), KEYS)
                .body_constants(&[("action", "playDTMF")])
                .plan(Plan::Split(one_by_one))
                .not_idempotent(),
            Command::new(
                concat!($below, "/test_tone/play"),
                concat!("Plays a test tone in the room", $through, " until it is stopped."),
            )
            .fields(Some("speaker"), SPEAKER)
            .body_constants(&[("action", "playTestTone")]),
            Command::new(
                concat!($below, "/test_tone/stop"),
                concat!("Stops the tone that plays in the room", $through, "."),
            )
            .body_constants(&[("action", "stopPlayingTestTone")]),
            Command::new(
                concat!($below, "/start"),
                concat!(
                    "Sends the audio action `start`",
                    $through,
                    "; the REST guide names it without saying what it does."
                ),
            )
            .body_constants(&[("action", "start")]),
            Command::new(
                concat!($below, "/itp_segment_detection"),
                concat!(
                    "Starts the detection of ITP segments (rooms with several systems side by side)",
                    $through,
                    "; the REST guide only names it."
                ),
            )
            .body_constants(&[("action", "itpSegmentDetection")]),
        ]
    };
}

pub(in crate::catalogue) const OPERATIONS: &[Operation] = &[
    get("/rest/audio")
        .shape(Shape::Object)
        .known_by(&[("volume", MemberKind::Number), ("muted", MemberKind::Flag)])
        .states(&[
            State::whole(states::AUDIO),
            State::with(states::MUTED, |audio, _| truth_of(audio, "muted")),
            State::with(states::MUTE_LOCKED, |audio, _| {
                truth_of(audio, "muteLocked")
            }),
            State::with(states::VOLUME, |audio, _| number(audio, "volume")),
            State::with(states::MICROPHONES_CONNECTED, |audio, _| {
                number(audio, "numOfMicsConnected")
            }),
        ])
        .poll(Class::Fast),
    post("/rest/audio").commands(actions!("audio", "")),
    post("/rest/audio/playdtmf").commands(&[Command::fallback("audio/dtmf/play")
        .fields(Some("keys"), KEYS)
        .plan(Plan::Split(one_by_one))
        .not_idempotent()]),
    post("/rest/audio/acousticfence").commands(actions!(
        "audio/acoustic_fence",
        " by way of the acoustic fence"
    )),
    get("/rest/audio/audiometers")
        .shape(Shape::List)
        .known_by(&[("portName", MemberKind::Text)])
        .states(&[State::whole(states::METERS)])
        .poll_when(Class::Fast, When::Meters),
    get("/rest/audio/microphones")
        .shape(Shape::List)
        .known_by(&[
            ("number", MemberKind::Number),
            ("typeInString", MemberKind::Text),
        ])
        .states(&[State::with(states::MICROPHONES, |list, _| {
            numeric_mute(list)
        })])
        .poll(Class::Normal),
    get("/rest/audio/muted")
        .shape(Shape::Flag)
        .states(&[State::whole(states::MUTED)]),
    post("/rest/audio/muted").commands(&[
        Command::new(
            commands::SET_MUTED.as_str(),
            "Mutes the room's microphones (true) or lets the others in a call hear the room again \
             (false).",
        )
        .value(MUTED)
        .toggles(states::MUTED)
        .refresh(&[states::AUDIO])
        .sets(states::MUTED)
        .entities(&[
            Entity::switch("microphone_mute", "Microphone mute").icon("mdi:microphone-off")
        ]),
        Command::new("audio/mute", "Mutes the room's microphones.")
            .plan(Plan::Split(mute))
            .refresh(&[states::AUDIO])
            .sets(states::MUTED),
        Command::new(
            "audio/unmute",
            "Lets the others in a call hear the room again.",
        )
        .plan(Plan::Split(unmute))
        .refresh(&[states::AUDIO])
        .sets(states::MUTED),
    ]),
    get("/rest/audio/volume")
        .shape(Shape::Number)
        .states(&[State::with(states::VOLUME, |volume, _| {
            Some(plain_number(volume))
        })]),
    post("/rest/audio/volume").commands(&[
        Command::new(
            commands::SET_VOLUME.as_str(),
            "Sets how loud the room's loudspeakers are.",
        )
        .value(VOLUME)
        .refresh(&[states::AUDIO])
        .sets(states::VOLUME)
        .entities(&[Entity::number("volume", "Volume")
            .icon("mdi:volume-high")
            .unit("%")]),
        Command::new(
            commands::VOLUME_UP.as_str(),
            "Makes the loudspeakers louder by a step, up to 100.",
        )
        .fields(Some("step"), STEP)
        .plan(Plan::From {
            state: states::VOLUME,
            steps: louder,
        })
        .refresh(&[states::AUDIO])
        .not_idempotent(),
        Command::new(
            commands::VOLUME_DOWN.as_str(),
            "Makes the loudspeakers quieter by a step, down to 0.",
        )
        .fields(Some("step"), STEP)
        .plan(Plan::From {
            state: states::VOLUME,
            steps: quieter,
        })
        .refresh(&[states::AUDIO])
        .not_idempotent(),
    ]),
];

/// A member that is a whole number, in its usual spelling.
fn truth_of(audio: &Value, name: &str) -> Option<Value> {
    audio.get(name).cloned().map(flag)
}

fn number(audio: &Value, name: &str) -> Option<Value> {
    audio.get(name).map(plain_number)
}

/// The guide allows one key in a request.
fn one_by_one(own: Step, _: &Context) -> Result<Vec<Step>, Failure> {
    let keys = own.values.get("keys").and_then(Value::as_str);
    let keys = keys.unwrap_or_default().chars();
    Ok(keys
        .map(|key| own.clone().with("keys", key.to_string()))
        .collect())
}

fn mute(_: Step, _: &Context) -> Result<Vec<Step>, Failure> {
    Ok(vec![Step::to(commands::SET_MUTED).with("muted", true)])
}

fn unmute(_: Step, _: &Context) -> Result<Vec<Step>, Failure> {
    Ok(vec![Step::to(commands::SET_MUTED).with("muted", false)])
}

fn louder(own: Step, volume: &Value) -> Result<Vec<Step>, Failure> {
    change_volume(&own, volume, 1)
}

fn quieter(own: Step, volume: &Value) -> Result<Vec<Step>, Failure> {
    change_volume(&own, volume, -1)
}

/// The device has no relative volume: the new one is computed from what the device says now.
fn change_volume(own: &Step, volume: &Value, sign: i64) -> Result<Vec<Step>, Failure> {
    let volume = whole(volume).ok_or_else(|| {
        Failure::new(
            ErrorCode::DeviceError,
            "the device did not say its volume, so there is nothing to step from",
        )
    })?;
    let step = own.values.get("step").and_then(Value::as_i64);
    // What a device says can be any number.
    let volume = volume.clamp(0, 100) + sign * step.unwrap_or(DEFAULT_STEP);
    let volume = volume.clamp(0, 100);
    Ok(vec![Step::to(commands::SET_VOLUME).with("volume", volume)])
}
