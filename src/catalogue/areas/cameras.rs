//! Cameras: moving, presets, positions, tracking and snapshots.

mod fields;
pub(in crate::catalogue) mod states;
mod words;

use serde_json::Value;

use crate::catalogue::call::Call;
use crate::catalogue::command::{Command, Ended, Plan};
use crate::catalogue::entity::{Enabled, Entity, EntityOptions, SelectOption};
use crate::catalogue::evidence::MemberKind;
use crate::catalogue::file::FileSpec;
use crate::catalogue::operation::{Class, Operation, delete, get, post};
use crate::catalogue::pattern::PRESET;
use crate::catalogue::quirks::{preset_numbers, whole};
use crate::catalogue::references::StateTopic;
use crate::catalogue::sources::{SourceUse, connected, content_options, index_of, people_options};
use crate::catalogue::state::{Context, Shape, State};
use crate::catalogue::step::Step;
use crate::command::{ErrorCode, Failure};
use crate::json::whole_number;
use fields::{MOVE, POSITION, SOURCE, STORE, TRACKING};

/// The commands of this area that plans and rooms refer to.
pub(in crate::catalogue) mod commands {
    use crate::catalogue::references::CommandTopic;

    pub const SET_TRACKING: CommandTopic =
        CommandTopic::new("camera/near/{source_id}/tracking/set");
    pub const ACTIVATE_SOURCE: CommandTopic = CommandTopic::new("camera/near/{source_id}/activate");
    pub const ACTIVATE_PRESET: CommandTopic = CommandTopic::new("camera/preset/{index}/activate");
    pub const MOVE: CommandTopic = CommandTopic::new("camera/move");
    pub const STOP: CommandTopic = CommandTopic::new("camera/stop");
    pub const SET_POSITION: CommandTopic = CommandTopic::new("camera/position/set");
    pub const SET_POSITION_OF_SOURCE: CommandTopic =
        CommandTopic::new("camera/position/{source_id}/set");
}

/// Selects a source by its name or index.
const fn select(
    topic: &'static str,
    about: &'static str,
    selected: StateTopic,
    refresh: &'static [StateTopic],
    steps: fn(Step, &Value) -> Result<Vec<Step>, Failure>,
    entities: &'static [Entity],
) -> Command {
    Command::new(topic, about)
        .fields(Some("source"), SOURCE)
        .plan(Plan::From {
            state: states::NEAR,
            steps,
        })
        .refresh(refresh)
        .sets(selected)
        .entities(entities)
}

/// A select of the connected sources for one use.
const fn choice(
    key: &'static str,
    name: &'static str,
    icon: &'static str,
    read: fn(&Value) -> Vec<SelectOption>,
    selected: StateTopic,
) -> Entity {
    Entity::select(
        key,
        name,
        EntityOptions {
            state: states::CONNECTED_SOURCES,
            read,
        },
    )
    .icon(icon)
    .of(selected)
    .needs(&[states::CONNECTED_SOURCES])
    .value("(value_json.get('cameraIndex') | int(-1) | string) if value_json is mapping else ''")
}

const PEOPLE_SOURCE: &[Entity] = &[choice(
    "people_source",
    "Camera",
    "mdi:cctv",
    people_options,
    states::NEAR_SELECTED_PEOPLE,
)];
const CONTENT_SOURCE: &[Entity] = &[choice(
    "content_source",
    "Content input",
    "mdi:import",
    content_options,
    states::NEAR_SELECTED_CONTENT,
)];

const fn start(topic: &'static str, about: &'static str) -> Command {
    Command::new(topic, about)
        .fields(Some("direction"), MOVE)
        .body_constants(&[("action", "moveStart")])
        .plan(Plan::Move)
}

const fn stop(topic: &'static str, about: &'static str) -> Command {
    Command::new(topic, about)
        .body_constants(&[("action", "moveStop")])
        .ends(Ended::Move)
}

/// Tracking is switched on by POST and off by DELETE.
const fn tracking(on: bool) -> [Command; 2] {
    [
        Command::new(
            commands::SET_TRACKING.as_str(),
            "Lets one camera of the room follow the people in it, or stops it from doing so.",
        )
        .fields(Some("tracking"), TRACKING)
        .selected_by(on)
        .refresh(&[states::NEAR]),
        Command::new(
            "camera/tracking/set",
            "Lets the camera in use follow the people in the room, or stops it from doing so.",
        )
        .fields(Some("tracking"), TRACKING)
        .selected_by(on)
        .entities(if on { TRACKING_SWITCH } else { &[] })
        .plan(Plan::From {
            state: states::NEAR_SELECTED_PEOPLE,
            steps: track_selected,
        })
        .refresh(&[states::NEAR_SELECTED_PEOPLE]),
    ]
}

const TRACKING_SWITCH: &[Entity] = &[Entity::switch("camera_tracking", "Camera tracking")
    .icon("mdi:motion-sensor")
    .of(states::NEAR_SELECTED_PEOPLE)
    .value(
        // Firmware that does not tell it must not be shown as off.
        "{{ 'None' if value_json is not mapping or value_json.get('trackingstate') is none else \
         'true' if value_json.get('trackingstate') | lower in ('on', 'true') else 'false' }}",
    )];

const LEFT: &str = r#"{"direction":"left","duration_ms":300}"#;
const RIGHT: &str = r#"{"direction":"right","duration_ms":300}"#;
const UP: &str = r#"{"direction":"up","duration_ms":300}"#;
const DOWN: &str = r#"{"direction":"down","duration_ms":300}"#;
const ZOOM_IN: &str = r#"{"direction":"zoom_in","duration_ms":300}"#;
const ZOOM_OUT: &str = r#"{"direction":"zoom_out","duration_ms":300}"#;

/// A button that moves the selected people camera for 300 ms.
const fn direction(
    key: &'static str,
    name: &'static str,
    sends: &'static str,
    icon: &'static str,
) -> Entity {
    Entity::button(key, name)
        .icon(icon)
        .of(states::NEAR_SELECTED_PEOPLE)
        .sends(sends)
}

/// The five actions that every camera and preset takes, and short forms of them.
macro_rules! actions {
    ($below:literal, $words:expr, $refresh:expr $(, $short:expr)*) => {
        actions!($below, $words, $refresh, store: &[], activate: &[] $(, $short)*)
    };
    (
        $below:literal, $words:expr, $refresh:expr,
        store: $store:expr, activate: $activate:expr $(, $short:expr)*
    ) => {
        &[
            start(concat!($below, "/move"), $words.start),
            stop(concat!($below, "/stop"), $words.stop),
            Command::new(concat!($below, "/store"), $words.store)
                .fields(None, STORE)
                .body_constants(&[("action", "store")])
                .refresh($refresh)
                .entities($store),
            Command::new(concat!($below, "/clear"), $words.clear)
                .body_constants(&[("action", "clear")])
                .refresh($refresh),
            Command::new(concat!($below, "/activate"), $words.activate)
                .body_constants(&[("action", "activate")])
                .refresh($refresh)
                .entities($activate),
            $($short,)*
        ]
    };
}

/// Members of a camera.
const CAMERA_MEMBERS: &[&str] = &["cameraIndex", "sourceType", "nearCamera"];

pub(in crate::catalogue) const OPERATIONS: &[Operation] = &[
    get("/rest/cameras/sourceselectable")
        .shape(Shape::Flag)
        .states(&[State::whole(states::SOURCE_SELECTABLE)])
        .poll(Class::Slow),
    get("/rest/cameras/contentstatus")
        .shape(Shape::Word)
        .states(&[State::whole(states::CONTENT_STATUS)])
        .poll(Class::Normal),
    get("/rest/cameras/near/all")
        .shape(Shape::List)
        .known_by(&[
            ("cameraIndex", MemberKind::Number),
            ("sourceType", MemberKind::Text),
        ])
        .states(&[
            State::whole(states::NEAR),
            State::with(states::CONNECTED_SOURCES, |list, _| connected(list)),
        ])
        .poll(Class::Normal),
    get("/rest/cameras/near/people").commands(&[Command::new(
        "camera/near/people/get",
        "Answers with the cameras of the room that show people, as a list like `camera/near`.",
    )]),
    get("/rest/cameras/near/content").commands(&[Command::new(
        "camera/near/content/get",
        "Answers with the inputs of the room that show content, as a list like `camera/near`.",
    )]),
    get("/rest/cameras/near/{source_id}").commands(&[Command::new(
        "camera/near/{source_id}/get",
        "Answers with one camera or input of the room, as an object of `camera/near`.",
    )]),
    post("/rest/cameras/near/{source_id}").commands(actions!(
        "camera/near/{source_id}",
        words::NEAR,
        &[states::NEAR],
        select(
            "camera/near/selected_people/set",
            "Selects the camera that shows the people in the room.",
            states::NEAR_SELECTED_PEOPLE,
            &[states::NEAR_SELECTED_PEOPLE, states::NEAR],
            select_people,
            PEOPLE_SOURCE
        ),
        select(
            "camera/near/selected_content/set",
            "Selects the input that content is taken from.",
            states::NEAR_SELECTED_CONTENT,
            &[states::NEAR_SELECTED_CONTENT, states::NEAR],
            select_content,
            CONTENT_SOURCE
        )
    )),
    get("/rest/cameras/near/selectedpeople")
        .shape(Shape::Object)
        .one_of(CAMERA_MEMBERS)
        .states(&[State::whole(states::NEAR_SELECTED_PEOPLE)])
        .poll(Class::Normal),
    post("/rest/cameras/near/selectedpeople").commands(actions!(
        "camera/near/selected_people",
        words::NEAR_PEOPLE,
        &[states::NEAR_SELECTED_PEOPLE],
        start(
            commands::MOVE.as_str(),
            "Starts to move, zoom or focus the camera in use; it stops after `duration_ms`, at \
                 `camera/stop`, or after 10 seconds."
        )
        .entities(&[
            direction("camera_left", "Camera left", LEFT, "mdi:arrow-left-bold"),
            direction(
                "camera_right",
                "Camera right",
                RIGHT,
                "mdi:arrow-right-bold"
            ),
            direction("camera_up", "Camera up", UP, "mdi:arrow-up-bold"),
            direction("camera_down", "Camera down", DOWN, "mdi:arrow-down-bold"),
            direction(
                "camera_zoom_in",
                "Camera zoom in",
                ZOOM_IN,
                "mdi:magnify-plus"
            ),
            direction(
                "camera_zoom_out",
                "Camera zoom out",
                ZOOM_OUT,
                "mdi:magnify-minus"
            ),
        ]),
        stop(
            commands::STOP.as_str(),
            "Stops the camera in use at once, before all waiting commands."
        )
    )),
    get("/rest/cameras/near/selectedcontent")
        .shape(Shape::Object)
        .one_of(CAMERA_MEMBERS)
        .states(&[State::whole(states::NEAR_SELECTED_CONTENT)])
        .poll(Class::Normal),
    post("/rest/cameras/near/selectedcontent").commands(actions!(
        "camera/near/selected_content",
        words::NEAR_CONTENT,
        &[states::NEAR_SELECTED_CONTENT]
    )),
    get("/rest/cameras/near/presets/all")
        .shape(Shape::List)
        .known_by(&[("index", MemberKind::Number), ("stored", MemberKind::Flag)])
        .states(&[
            State::with(states::PRESETS, presets),
            State::with(states::PRESET_NAMES, |_, context| {
                context.preset_names.as_ref()?.to_json()
            }),
        ])
        .poll(Class::Slow),
    get("/rest/cameras/near/presets/{index}").commands(&[Command::new(
        "camera/preset/{index}/get",
        "Answers with one preset of the room's camera, and whether it is `stored`.",
    )
    .map_answer(by_given_number)]),
    post("/rest/cameras/near/presets/{index}").commands(actions!(
        "camera/preset/{index}",
        words::PRESET,
        &[states::PRESETS],
        store: &[Entity::button("preset_{index}_store", "Store preset {index}")
            .icon("mdi:content-save")
            .config()
            .enabled(Enabled::Never)],
        activate: &[Entity::button("preset_{index}", "Preset {index}")
            .icon("mdi:camera-control")
            .enabled(Enabled::WhileStored)]
    )),
    post("/rest/cameras/near/position/{source_id}").commands(&[
        Command::new(
            commands::SET_POSITION.as_str(),
            "Moves the camera in use to a position, or by a distance.",
        )
        .fields(None, POSITION)
        .path_constants(&[("source_id", "SELECTED_PEOPLE")])
        .not_idempotent(),
        Command::new(
            commands::SET_POSITION_OF_SOURCE.as_str(),
            "Moves one camera of the room to a position, or by a distance; the guide knows only \
             `SELECTED_PEOPLE` here.",
        )
        .fields(None, POSITION)
        .not_idempotent(),
    ]),
    get("/rest/cameras/far/all")
        .shape(Shape::List)
        .one_of(CAMERA_MEMBERS)
        .states(&[State::whole(states::FAR)])
        .poll(Class::Slow)
        .or_none(),
    get("/rest/cameras/far/selectedpeople")
        .shape(Shape::Object)
        .one_of(CAMERA_MEMBERS)
        .states(&[State::whole(states::FAR_SELECTED_PEOPLE)])
        .poll(Class::Slow)
        .or_none(),
    post("/rest/cameras/far/selectedpeople").commands(actions!(
        "camera/far/selected_people",
        words::FAR_PEOPLE,
        &[states::FAR_SELECTED_PEOPLE]
    )),
    get("/rest/cameras/far/{source_id}").commands(&[Command::new(
        "camera/far/{source_id}/get",
        "Answers with one camera at the other end of the call, as an object of `camera/far`.",
    )]),
    post("/rest/cameras/far/{source_id}").commands(actions!(
        "camera/far/{source_id}",
        words::FAR,
        &[states::FAR]
    )),
    get("/rest/cameras/snapshot/{snapshot_id}").commands(&[
        Command::new(
            "camera/snapshot/near/get",
            "Answers with a still picture of the room's camera as a JPEG file, which stays \
             retained at `camera/snapshot/near`.",
        )
        .path_constants(&[("snapshot_id", "near_image_1.jpg")])
        .file(FileSpec::picture("camera/snapshot/near"))
        .entities(&[
            Entity::image("snapshot", "Snapshot"),
            Entity::button("snapshot_take", "Take snapshot").icon("mdi:camera"),
        ]),
        Command::new(
            "camera/snapshot/far/get",
            "Answers with a still picture of the call's other end as a JPEG file, which stays \
             retained at `camera/snapshot/far`.",
        )
        .path_constants(&[("snapshot_id", "far_image_1.jpg")])
        .file(FileSpec::picture("camera/snapshot/far")),
        Command::new(
            "camera/snapshot/content/get",
            "Answers with a still picture of the content that is shown as a JPEG file, which stays \
             retained at `camera/snapshot/content`.",
        )
        .path_constants(&[("snapshot_id", "content_image_1.jpg")])
        .file(FileSpec::picture("camera/snapshot/content")),
    ]),
    post("/rest/cameras/near/{source_id}/control/tracking").commands(&tracking(true)),
    delete("/rest/cameras/near/{source_id}/control/tracking").commands(&tracking(false)),
];

/// The list with the numbers and names that people use.
fn presets(list: &Value, context: &Context) -> Option<Value> {
    let mut presets = preset_numbers(list, context.preset_offset)?;
    if let Some(names) = &context.preset_names {
        names.add_to(&mut presets);
    }
    Some(presets)
}

/// A preset with the number by which it was asked for: the device may count from zero.
fn by_given_number(call: &Call, preset: &Value) -> Result<Value, Failure> {
    let mut preset = preset.clone();
    let given = call.param(PRESET).and_then(whole_number);
    if let (Some(index), Some(given)) = (preset.get_mut("index"), given) {
        *index = given.into();
    }
    Ok(preset)
}

fn select_people(own: Step, list: &Value) -> Result<Vec<Step>, Failure> {
    activate(&own, list, SourceUse::People)
}

fn select_content(own: Step, list: &Value) -> Result<Vec<Step>, Failure> {
    activate(&own, list, SourceUse::Content)
}

/// A source that is activated is the one in use.
fn activate(own: &Step, list: &Value, used_for: SourceUse) -> Result<Vec<Step>, Failure> {
    let wanted = own.values.get("source").and_then(Value::as_str);
    let index = index_of(list, wanted.unwrap_or_default(), used_for)?;
    let activate = Step::to(commands::ACTIVATE_SOURCE);
    Ok(vec![activate.param("source_id", index.to_string())])
}

fn track_selected(own: Step, camera: &Value) -> Result<Vec<Step>, Failure> {
    let index = camera.get("cameraIndex").and_then(whole);
    let index = index.ok_or_else(|| {
        Failure::new(
            ErrorCode::NotFound,
            "no people camera is selected, so there is none to track with",
        )
    })?;
    let mut track = Step::to(commands::SET_TRACKING).param("source_id", index.to_string());
    track.values = own.values;
    Ok(vec![track])
}
