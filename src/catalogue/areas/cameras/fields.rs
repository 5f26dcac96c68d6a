//! What commands to cameras take.

use crate::catalogue::field::{Field, Rule};

const CAMERA: Rule = Rule::Word(&[
    ("left", "LeftCamera"),
    ("right", "RightCamera"),
    ("both", "BothCamera"),
]);
pub const MOVE: &[Field] = &[
    Field::body(
        "direction",
        "direction",
        "Which way the camera moves, zooms or focuses.",
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
    Field::body(
        "camera",
        "message",
        "Which camera of a pair is meant, on devices that have two.",
        CAMERA,
    ),
    Field::gateway(
        "duration_ms",
        "How long the camera moves, in milliseconds; without it until it is stopped, at most 10 \
         seconds.",
        Rule::Integer {
            min: 1,
            max: 10_000,
        },
    ),
];
pub const STORE: &[Field] = &[
    Field::body(
        "with_image",
        "withImage",
        "Whether the device keeps a picture of the view with what it stores.",
        Rule::YesNo,
    ),
    Field::body(
        "camera",
        "message",
        "Which camera of a pair is meant, on devices that have two.",
        CAMERA,
    ),
];
const COORDINATE: Rule = Rule::Integer {
    min: -50_000,
    max: 50_000,
};
pub const POSITION: &[Field] = &[
    Field::body(
        "pan",
        "camPosition.pan",
        "How far the camera is turned to the side, in the device's own steps.",
        COORDINATE,
    )
    .required(),
    Field::body(
        "tilt",
        "camPosition.tilt",
        "How far the camera is turned up or down, in the device's own steps.",
        COORDINATE,
    )
    .required(),
    Field::body(
        "zoom",
        "camPosition.zoom",
        "How far the camera is zoomed in, in the device's own steps.",
        COORDINATE,
    )
    .required(),
    Field::body(
        "relative",
        "relative",
        "Whether the numbers are a position or a distance; the guide says that true is a position \
         and false a distance, so try it out.",
        Rule::Switch,
    ),
];
pub const TRACKING: &[Field] = &[Field::gateway(
    "tracking",
    "Whether the camera follows people.",
    Rule::Switch,
)
.required()];

pub const SOURCE: &[Field] = &[Field::gateway(
    "source",
    "The name or the number of the camera or input, as `camera/near/connected` lists it.",
    Rule::Text,
)
.required()];
