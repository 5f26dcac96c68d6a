//! Cameras: moving, presets, positions, tracking and snapshots.
//!
//! Also owns what a move means beyond its request: how long it may run and what ends it.

use std::time::Duration;

use serde_json::Value;

use crate::catalogue::entity::{Enabled, Entity, EntityKind};
use crate::catalogue::payload::{Field, Rule};
use crate::catalogue::state::{Context, Shape, State};
use crate::catalogue::{Call, Class, Command, Operation, Plan, Urgency, delete, get, post};
use crate::command::{ErrorCode, Failure};

/// A camera that nobody stops is stopped after this long.
const LONGEST_MOVE: Duration = Duration::from_secs(10);

const CAMERA: Rule = Rule::Word(&[
    ("left", "LeftCamera"),
    ("right", "RightCamera"),
    ("both", "BothCamera"),
]);
const MOVE: &[Field] = &[
    Field::body(
        "direction",
        "direction",
        Rule::Word(&[
            ("left", "MOVE_LEFT"),
            ("right", "MOVE_RIGHT"),
            ("up", "MOVE_UP"),
            ("down", "MOVE_DOWN"),
            ("zoom_in", "MOVE_ZOOMIN"),
            ("zoom_out", "MOVE_ZOOMOUT"),
            ("focus_near", "MOVE_FOCUSNEAR"),
            ("focus_far", "MOVE_FOCUSFAR"),
        ]),
    )
    .required(),
    Field::body("camera", "message", CAMERA),
    Field::gateway(
        "duration_ms",
        Rule::Integer {
            min: 1,
            max: 10_000,
        },
    ),
];
const STORE: &[Field] = &[
    Field::body("with_image", "withImage", Rule::YesNo),
    Field::body("camera", "message", CAMERA),
];
const COORDINATE: Rule = Rule::Integer {
    min: -50_000,
    max: 50_000,
};
const POSITION: &[Field] = &[
    Field::body("pan", "camPosition.pan", COORDINATE).required(),
    Field::body("tilt", "camPosition.tilt", COORDINATE).required(),
    Field::body("zoom", "camPosition.zoom", COORDINATE).required(),
    Field::body("relative", "relative", Rule::Switch),
];
const TRACKING: &[Field] = &[Field::gateway("tracking", Rule::Switch).required()];

const fn start(topic: &'static str) -> Command {
    Command::new(topic)
        .fields(Some("direction"), MOVE)
        .fixed(&[("action", "moveStart")])
        .plan(Plan::Move)
}

const fn stop(topic: &'static str) -> Command {
    Command::new(topic)
        .fixed(&[("action", "moveStop")])
        .before("move")
}

/// Tracking is switched on by POST and off by DELETE.
const fn tracking(on: bool) -> [Command; 2] {
    [
        Command::new("camera/near/{source_id}/tracking/set")
            .fields(Some("tracking"), TRACKING)
            .when(on)
            .refresh(&["camera/near"]),
        Command::new("camera/tracking/set")
            .fields(Some("tracking"), TRACKING)
            .when(on)
            .entities(if on { TRACKING_SWITCH } else { &[] })
            .plan(Plan::From {
                state: "camera/near/selected_people",
                calls: track_selected,
            })
            .refresh(&["camera/near/selected_people"]),
    ]
}

const TRACKING_SWITCH: &[Entity] = &[Entity::switch("camera_tracking", "Camera tracking")
    .icon("mdi:motion-sensor")
    .of("camera/near/selected_people")
    .value(
        "{{ 'true' if value_json is mapping and \
         value_json.get('trackingstate') | lower == 'on' else 'false' }}",
    )];

const LEFT: &str = r#"{"direction":"left","duration_ms":300}"#;
const RIGHT: &str = r#"{"direction":"right","duration_ms":300}"#;
const UP: &str = r#"{"direction":"up","duration_ms":300}"#;
const DOWN: &str = r#"{"direction":"down","duration_ms":300}"#;
const ZOOM_IN: &str = r#"{"direction":"zoom_in","duration_ms":300}"#;
const ZOOM_OUT: &str = r#"{"direction":"zoom_out","duration_ms":300}"#;

/// A button moves the selected people camera a little.
const fn direction(
    key: &'static str,
    name: &'static str,
    sends: &'static str,
    icon: &'static str,
) -> Entity {
    Entity::button(key, name)
        .icon(icon)
        .of("camera/near/selected_people")
        .sends(sends)
}

/// The five actions that every camera and preset takes, and short forms of them.
macro_rules! actions {
    ($below:literal, $refresh:expr $(, $short:expr)*) => {
        actions!($below, $refresh, store: &[], activate: &[] $(, $short)*)
    };
    ($below:literal, $refresh:expr, store: $store:expr, activate: $activate:expr $(, $short:expr)*) => {
        &[
            start(concat!($below, "/move")),
            stop(concat!($below, "/stop")),
            Command::new(concat!($below, "/store"))
                .fields(None, STORE)
                .fixed(&[("action", "store")])
                .refresh($refresh)
                .entities($store),
            Command::new(concat!($below, "/clear"))
                .fixed(&[("action", "clear")])
                .refresh($refresh),
            Command::new(concat!($below, "/activate"))
                .fixed(&[("action", "activate")])
                .refresh($refresh)
                .entities($activate),
            $($short,)*
        ]
    };
}

pub(in crate::catalogue) const OPERATIONS: &[Operation] = &[
    get("15", "/rest/cameras/sourceselectable")
        .shape(Shape::Result)
        .states(&[State::whole("camera/source_selectable")])
        .poll(Class::Slow),
    get("16", "/rest/cameras/contentstatus")
        .shape(Shape::Result)
        .states(&[State::whole("camera/content_status")])
        .poll(Class::Normal),
    get("17", "/rest/cameras/near/all")
        .shape(Shape::List)
        .states(&[State::whole("camera/near")])
        .poll(Class::Normal),
    get("18", "/rest/cameras/near/people").commands(&[Command::new("camera/near/people/get")]),
    get("19", "/rest/cameras/near/content").commands(&[Command::new("camera/near/content/get")]),
    get("20", "/rest/cameras/near/{source_id}")
        .commands(&[Command::new("camera/near/{source_id}/get")]),
    post("21", "/rest/cameras/near/{source_id}")
        .commands(actions!("camera/near/{source_id}", &["camera/near"])),
    get("22", "/rest/cameras/near/selectedpeople")
        .states(&[State::whole("camera/near/selected_people")])
        .poll(Class::Normal),
    post("23", "/rest/cameras/near/selectedpeople").commands(actions!(
        "camera/near/selected_people",
        &["camera/near/selected_people"],
        start("camera/move").entities(&[
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
        stop("camera/stop")
    )),
    get("24", "/rest/cameras/near/selectedcontent")
        .states(&[State::whole("camera/near/selected_content")])
        .poll(Class::Normal),
    post("25", "/rest/cameras/near/selectedcontent").commands(actions!(
        "camera/near/selected_content",
        &["camera/near/selected_content"]
    )),
    get("26", "/rest/cameras/near/presets/all")
        .shape(Shape::List)
        .states(&[State::with("camera/presets", presets)])
        .poll(Class::Slow),
    get("27", "/rest/cameras/near/presets/{index}")
        .commands(&[Command::new("camera/preset/{index}/get")]),
    post("28", "/rest/cameras/near/presets/{index}").commands(actions!(
        "camera/preset/{index}",
        &["camera/presets"],
        store: &[Entity::button("preset_{index}_store", "Store preset {index}")
            .icon("mdi:content-save")
            .config()
            .enabled(Enabled::Never)],
        activate: &[Entity::button("preset_{index}", "Preset {index}")
            .icon("mdi:camera-control")
            .enabled(Enabled::WhenStored)]
    )),
    post("29", "/rest/cameras/near/position/{source_id}").commands(&[
        Command::new("camera/position/set")
            .fields(None, POSITION)
            .bind(&[("source_id", "SELECTED_PEOPLE")])
            .once(),
        Command::new("camera/position/{source_id}/set")
            .fields(None, POSITION)
            .once(),
    ]),
    get("30", "/rest/cameras/far/all")
        .shape(Shape::List)
        .states(&[State::whole("camera/far")])
        .poll(Class::Slow)
        .or_none(),
    get("31", "/rest/cameras/far/selectedpeople")
        .states(&[State::whole("camera/far/selected_people")])
        .poll(Class::Slow)
        .or_none(),
    post("32", "/rest/cameras/far/selectedpeople").commands(actions!(
        "camera/far/selected_people",
        &["camera/far/selected_people"]
    )),
    get("33", "/rest/cameras/far/{source_id}")
        .commands(&[Command::new("camera/far/{source_id}/get")]),
    post("34", "/rest/cameras/far/{source_id}")
        .commands(actions!("camera/far/{source_id}", &["camera/far"])),
    get("35", "/rest/cameras/snapshot/{snapshot_id}").commands(&[
        Command::new("camera/snapshot/near/get")
            .bind(&[("snapshot_id", "near_image_1.jpg")])
            .binary("camera/snapshot/near", "image/jpeg", true)
            .entities(&[
                Entity::new(EntityKind::Image, "snapshot", "Snapshot"),
                Entity::button("snapshot_take", "Take snapshot").icon("mdi:camera"),
            ]),
        Command::new("camera/snapshot/far/get")
            .bind(&[("snapshot_id", "far_image_1.jpg")])
            .binary("camera/snapshot/far", "image/jpeg", true),
        Command::new("camera/snapshot/content/get")
            .bind(&[("snapshot_id", "content_image_1.jpg")])
            .binary("camera/snapshot/content", "image/jpeg", true),
    ]),
    post("x5", "/rest/cameras/near/{source_id}/control/tracking").commands(&tracking(true)),
    delete("x5", "/rest/cameras/near/{source_id}/control/tracking").commands(&tracking(false)),
];

fn track_selected(call: Call, camera: &Value) -> Result<Vec<Call>, Failure> {
    let index = camera.get("cameraIndex").and_then(Value::as_i64);
    let index = index.ok_or_else(|| {
        Failure::new(
            ErrorCode::NotFound,
            "no people camera is selected, so there is none to track with",
        )
    })?;
    let params = vec![("source_id", index.to_string())];
    let mut track = Call::to("camera/near/{source_id}/tracking/set", params)?;
    track.values = call.values;
    Ok(vec![track])
}

/// What has to be added to a preset's number, as `presets/all` shows it: some firmware counts the
/// presets that people call 1 to 10 from zero. An empty list tells nothing.
pub fn learned_preset_offset(presets: &Value) -> Option<i8> {
    let presets = presets.as_array().filter(|presets| !presets.is_empty())?;
    let zero = |preset: &Value| preset.get("index").and_then(Value::as_i64) == Some(0);
    Some(-i8::from(presets.iter().any(zero)))
}

/// The presets with the numbers people use.
fn presets(list: &Value, context: &Context) -> Option<Value> {
    let offset = context
        .preset_offset
        .or_else(|| learned_preset_offset(list))
        .unwrap_or(0);
    let mut list = list.clone();
    for preset in list.as_array_mut()? {
        if let Some(index) = preset.get_mut("index")
            && let Some(number) = index.as_i64()
        {
            *index = number.saturating_sub(offset.into()).into();
        }
    }
    Some(list)
}

/// What a move starts: which camera runs, for how long at most, and what stops it.
#[derive(Debug, Clone)]
pub struct Motion {
    /// The camera, as the path that both requests share.
    pub camera: String,
    /// After how long the stop must follow.
    pub duration: Duration,
    /// The stop.
    pub stop: Call,
}

impl Motion {
    /// The motion that a move starts.
    ///
    /// # Errors
    /// The catalogue has no stop beside the move: the entry is wrong.
    pub fn of(call: &Call) -> Result<Self, Failure> {
        let duration = call.values.get("duration_ms").and_then(Value::as_u64);
        Ok(Self {
            camera: Self::camera(call),
            duration: duration.map_or(LONGEST_MOVE, Duration::from_millis),
            stop: Call::to(
                &call.route.topic.replace("/move", "/stop"),
                call.params.clone(),
            )?,
        })
    }

    /// The camera that a call stops, if it is a stop.
    pub fn ended_by(call: &Call) -> Option<String> {
        let stop = call.route.command().urgency == Urgency::Before("move");
        stop.then(|| Self::camera(call))
    }

    /// The camera that a move or stop is about.
    pub fn camera(call: &Call) -> String {
        let mut camera = call.variant().operation.path.to_owned();
        for (_, value) in &call.params {
            camera.push(' ');
            camera.push_str(value);
        }
        camera
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn presets_are_numbered_as_people_do() {
        let context = |preset_offset| Context {
            now: 0,
            preset_offset,
        };
        let zero = json!([{"index": 0}, {"index": 1}]);
        let one = json!([{"index": 1}, {"index": 2}]);
        assert_eq!(presets(&zero, &context(None)), Some(one.clone()));
        assert_eq!(presets(&one, &context(None)), Some(one.clone()));
        assert_eq!(presets(&one, &context(Some(-1))).unwrap()[0]["index"], 2);
        let last = json!([{"index": i64::MAX}]);
        assert_eq!(presets(&last, &context(Some(-1))), Some(last.clone()));
    }

    #[test]
    fn a_move_knows_its_stop() {
        let call = Call::to("camera/preset/{index}/move", vec![("index", "3".into())]).unwrap();
        let motion = Motion::of(&call.with("duration_ms", 300)).unwrap();
        assert_eq!(motion.duration, Duration::from_millis(300));
        assert_eq!(motion.stop.route.topic, "camera/preset/{index}/stop");
        assert_eq!(Motion::camera(&motion.stop), motion.camera);
    }
}
