//! The states of cameras, presets and inputs, and what they tell.

use crate::catalogue::references::{StateTopic, ValueKind};

pub const SOURCE_SELECTABLE: StateTopic = StateTopic::new(
    "camera/source_selectable",
    "Whether the camera or input of the room can be chosen at the moment.",
)
.of(ValueKind::Flag);
pub const CONTENT_STATUS: StateTopic = StateTopic::new(
    "camera/content_status",
    "Whether the room shows content, as the device's word; `CONTENT_IDLE` means that nothing is \
     shown.",
);
pub const NEAR: StateTopic = StateTopic::new(
    "camera/near",
    "Every camera and input of the room, as a list: `cameraIndex` is its number, `connected` says \
     whether it is plugged in, `selected` whether it is in use.",
);
/// The connected cameras and inputs by name, as people see them.
pub const CONNECTED_SOURCES: StateTopic = StateTopic::new(
    "camera/near/connected",
    "The cameras (`people`) and the content inputs (`content`) that are plugged in, each with its \
     `index` and the `name` by which it can be selected.",
);
pub const NEAR_SELECTED_PEOPLE: StateTopic = StateTopic::new(
    "camera/near/selected_people",
    "The camera that shows the people in the room, as an object of `camera/near`.",
);
pub const NEAR_SELECTED_CONTENT: StateTopic = StateTopic::new(
    "camera/near/selected_content",
    "The input that content is taken from, as an object of `camera/near`.",
);
/// The stored presets of the near camera, from which the room learns how the device counts.
pub const PRESETS: StateTopic = StateTopic::new(
    "camera/presets",
    "The presets of the room's camera, as a list: `index` is the number, `name` the one that the \
     configuration gives it, and `stored` is false for an empty preset.",
);
/// The names that people give to presets, whatever the device lists.
pub const PRESET_NAMES: StateTopic = StateTopic::new(
    "camera/presets/names",
    "The names that the configuration gives to presets, as an object from number to name; there is \
     no such topic without names.",
);
pub const FAR: StateTopic = StateTopic::new(
    "camera/far",
    "The cameras at the other end of the call that this room may move, as a list; `none` while \
     there are none.",
);
pub const FAR_SELECTED_PEOPLE: StateTopic = StateTopic::new(
    "camera/far/selected_people",
    "The camera at the other end of the call that shows its people, as an object of `camera/far`; \
     `none` while there is none.",
);
