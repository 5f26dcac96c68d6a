//! The guide's section Cameras: movement, presets, snapshots.

use serde_json::{Value, json};

use super::check::{DeviceReply, DeviceRequest, Fields, Handled, bad, done, not_found, ok};
use super::condition::Condition;
use super::model::{Model, Source};
use super::profile::{Feature, Profile};
use super::routes::{Route, delete, get, post};
use super::world::World;

const DIRECTIONS: &[&str] = &[
    "MOVE_LEFT",
    "MOVE_RIGHT",
    "MOVE_UP",
    "MOVE_DOWN",
    "MOVE_ZOOMIN",
    "MOVE_ZOOMOUT",
    "MOVE_FOCUSNEAR",
    "MOVE_FOCUSFAR",
];

/// The largest coordinate of a camera's position, and with a minus sign the smallest.
const LARGEST_POSITION: i64 = 50_000;

/// The fields of a command to a camera or a preset.
const KNOWN: [&str; 4] = ["action", "direction", "message", "withImage"];

/// The picture of every snapshot: a drawn meeting room.
const JPEG: &[u8] = include_bytes!("snapshot.jpg");

pub const ROUTES: &[Route] = &[
    get("cameras/sourceselectable", |_, _| ok(&json!(true))),
    get("cameras/contentstatus", |world, _| {
        if world.profile.has(Feature::BareWords) {
            // Newer devices send the word without quotes, which is not JSON.
            Ok(DeviceReply::new(200, "application/json", "CONTENT_IDLE"))
        } else {
            ok(&json!("CONTENT_IDLE"))
        }
    }),
    get("cameras/near/all", |world, _| {
        ok(&near(world).list(|_| true))
    }),
    get("cameras/near/people", |world, _| {
        ok(&near(world).list(|source| !source.content))
    }),
    get("cameras/near/content", |world, _| {
        ok(&near(world).list(|source| source.content))
    }),
    get("cameras/near/selectedpeople", |world, _| {
        near(world).selected(world.cameras.people)
    }),
    post("cameras/near/selectedpeople", |world, request| {
        world.cameras.act(request, "near/selectedpeople", None)
    }),
    get("cameras/near/selectedcontent", |world, _| {
        near(world).selected(world.cameras.content)
    }),
    post("cameras/near/selectedcontent", |world, request| {
        world.cameras.act(request, "near/selectedcontent", None)
    }),
    get("cameras/near/<source>", |world, request| {
        near(world).one(request.segment("source"))
    }),
    post("cameras/near/<source>", |world, request| {
        world.cameras.act_near(request, request.segment("source"))
    }),
    get("cameras/near/presets/all", |world, _| {
        ok(&world.cameras.presets())
    }),
    get("cameras/near/presets/<preset>", |world, request| {
        let cameras = &world.cameras;
        ok(&cameras.preset(cameras.place(request.segment("preset"))?))
    }),
    post("cameras/near/presets/<preset>", |world, request| {
        let preset = request.segment("preset");
        let place = world.cameras.place(preset)?;
        let on = format!("near/presets/{preset}");
        world.cameras.act(request, &on, Some(place))
    }),
    post(
        "cameras/near/position/<source>",
        |world, request| match request.segment("source") {
            "SELECTED_PEOPLE" => world.cameras.move_to(request),
            _ => Err(not_found()),
        },
    ),
    post(
        "cameras/near/<source>/control/tracking",
        |world, request| world.cameras.track(request.segment("source"), true),
    )
    .without_input(),
    delete(
        "cameras/near/<source>/control/tracking",
        |world, request| world.cameras.track(request.segment("source"), false),
    ),
    get(
        "cameras/far/all",
        |world, _| ok(&far(world)?.list(|_| true)),
    ),
    get("cameras/far/selectedpeople", |world, _| {
        far(world)?.selected(world.cameras.people)
    }),
    post("cameras/far/selectedpeople", |world, request| {
        far(world)?;
        world.cameras.act(request, "far/selectedpeople", None)
    }),
    get("cameras/far/<source>", |world, request| {
        far(world)?.one(request.segment("source"))
    }),
    post("cameras/far/<source>", |world, request| {
        far(world)?;
        let source = request.segment("source");
        world.cameras.source(source)?;
        world.cameras.act(request, &format!("far/{source}"), None)
    }),
    get("cameras/snapshot/<picture>", |_, request| {
        match request.segment("picture") {
            "near_image_1.jpg" | "far_image_1.jpg" | "content_image_1.jpg" => {
                Ok(DeviceReply::new(200, "image/jpeg", JPEG))
            }
            _ => Err(bad("no such snapshot")),
        }
    }),
];

#[derive(Debug)]
pub struct Cameras {
    profile: Profile,
    sources: Vec<Source>,
    /// The source that is selected for people, and the one for content.
    people: i64,
    content: i64,
    /// The number of the first preset.
    first: i64,
    stored: Vec<bool>,
    active: Option<i64>,
    /// The camera that is moving, and its direction.
    moving: Option<(String, String)>,
    /// Every start and stop, in order.
    moves: Vec<String>,
    position: Value,
    tracking: bool,
}

impl Cameras {
    pub fn new(profile: Profile, model: Model, zero_based: bool) -> Self {
        let sources = model.sources();
        // The last camera that is connected is the one in use.
        let people = sources.iter().rfind(|source| source.camera());
        let content = sources.iter().find(|source| source.content);
        Self {
            profile,
            people: people.map_or(1, |source| source.index),
            content: content.map_or(2, |source| source.index),
            sources,
            first: i64::from(!zero_based),
            stored: (0..10).map(|n| n < 3).collect(),
            active: None,
            moving: None,
            moves: Vec::new(),
            position: json!({"pan": 0, "tilt": 0, "zoom": 0}),
            tracking: false,
        }
    }

    pub fn describe(&self) -> Value {
        json!({
            "active_preset": self.active,
            "stored": self.stored,
            "moving": self.moving,
            "moves": self.moves,
            "position": self.position,
            "tracking": self.tracking,
            "people": self.people,
            "content": self.content,
        })
    }

    fn source(&self, index: &str) -> Result<Source, DeviceReply> {
        let index: i64 = index.parse().map_err(|_| not_found())?;
        let found = self.sources.iter().find(|source| source.index == index);
        found.copied().ok_or_else(not_found)
    }

    fn place(&self, index: &str) -> Result<usize, DeviceReply> {
        let place = index.parse::<i64>().map_err(|_| not_found())? - self.first;
        usize::try_from(place)
            .ok()
            .filter(|place| *place < self.stored.len())
            .ok_or_else(not_found)
    }

    fn preset(&self, place: usize) -> Value {
        let index = i64::try_from(place).unwrap_or(0) + self.first;
        json!({
            "imageLocation": format!("/presets/{index}.jpg"), "index": index, "sessionId": 0,
            "near": true, "stored": self.stored[place],
        })
    }

    fn presets(&self) -> Value {
        let places = 0..self.stored.len();
        places.map(|place| self.preset(place)).collect()
    }

    fn track(&mut self, index: &str, on: bool) -> Handled {
        self.source(index)?;
        self.tracking = on;
        done()
    }

    fn act_near(&mut self, request: &DeviceRequest, index: &str) -> Handled {
        let source = self.source(index)?;
        let active = self.active;
        let reply = self.act(request, &format!("near/{index}"), None)?;
        // A source that is activated is the one in use. It is no preset.
        if request.object(&KNOWN)?.text("action")? == "activate" {
            self.active = active;
            if source.content {
                self.content = source.index
            } else {
                self.people = source.index
            }
        }
        Ok(reply)
    }

    /// Reads the field `action` of cameras and presets.
    fn act(&mut self, request: &DeviceRequest, on: &str, preset: Option<usize>) -> Handled {
        let fields = request.object(&KNOWN)?;
        let action = fields.text("action")?;
        fields.word("message", &["LeftCamera", "RightCamera", "BothCamera"])?;
        fields.word("withImage", &["Yes", "No"])?;
        let direction = fields.word("direction", DIRECTIONS)?;
        if direction.is_some() != (action == "moveStart") {
            return Err(bad("direction belongs to moveStart, and only to it"));
        }
        if fields.has("withImage") && action != "store" {
            return Err(bad("withImage belongs to store"));
        }
        match (action.as_str(), direction) {
            ("moveStart", Some(direction)) => {
                self.moves.push(format!("{on} {direction}"));
                self.moving = Some((on.to_owned(), direction));
            }
            ("moveStop", _) => {
                self.moves.push(format!("{on} stop"));
                self.moving = None;
            }
            ("store" | "clear", _) => {
                if let Some(place) = preset {
                    self.stored[place] = action == "store";
                }
            }
            ("activate", _) => {
                self.active = preset
                    .and_then(|place| i64::try_from(place).ok())
                    .map(|place| place + self.first);
            }
            _ => return Err(bad("action is none of its words")),
        }
        done()
    }

    fn move_to(&mut self, request: &DeviceRequest) -> Handled {
        let fields = request.object(&["camPosition", "relative"])?;
        // The guide: true sets the coordinates, false is an offset from the current position.
        let is_offset = fields.has("relative") && !fields.bool("relative")?;
        let missing = || DeviceReply::reason(415, "camPosition is missing");
        let position = fields.0.get("camPosition").and_then(Value::as_object);
        let position = Fields(position.ok_or_else(missing)?.clone());
        let known = ["pan", "tilt", "zoom"];
        if position
            .0
            .keys()
            .any(|name| !known.contains(&name.as_str()))
        {
            return Err(bad("unknown field in camPosition"));
        }
        for name in known {
            let asked = position.integer(name, -LARGEST_POSITION, LARGEST_POSITION)?;
            let from = if is_offset {
                self.position[name].as_i64().unwrap_or(0)
            } else {
                0
            };
            let reached = (from + asked).clamp(-LARGEST_POSITION, LARGEST_POSITION);
            self.position[name] = reached.into();
        }
        done()
    }
}

/// The room's own cameras, or those of the other side, as answers describe them.
struct Side<'a> {
    cameras: &'a Cameras,
    near: bool,
    disconnected: bool,
}

fn near(world: &World) -> Side<'_> {
    Side {
        cameras: &world.cameras,
        near: true,
        disconnected: world.conditions.has(Condition::NoCameras),
    }
}

/// Far cameras exist only in a call.
fn far(world: &World) -> Result<Side<'_>, DeviceReply> {
    let far = Side {
        near: false,
        ..near(world)
    };
    world.calls.up().then_some(far).ok_or_else(not_found)
}

impl Side<'_> {
    fn list(&self, listed: impl Fn(&Source) -> bool) -> Value {
        let mine = self.cameras.sources.iter().filter(|source| listed(source));
        mine.map(|source| self.describe(source)).collect()
    }

    fn selected(&self, index: i64) -> Handled {
        self.one(&index.to_string())
    }

    fn one(&self, index: &str) -> Handled {
        ok(&self.describe(&self.cameras.source(index)?))
    }

    fn describe(&self, source: &Source) -> Value {
        let cameras = self.cameras;
        let camera = source.camera() && !self.disconnected;
        let connected = source.connected && (source.content || !self.disconnected);
        let kind = if source.content {
            "SRC_CONTENT"
        } else {
            "SRC_PEOPLE"
        };
        let is_selected = source.index == cameras.people;
        let mut described = json!({
            "cameraIndex": source.index, "iconName": null, "model": source.model,
            "name": source.name, "sessionID": 0, "sourceType": kind, "stateAutoFocus": "off",
            "stateFreeze": "off", "stateMarker": "off", "connected": connected,
            "hasAutoFocus": false, "hasFocus": camera, "hasFreeze": false, "hasMarker": false,
            "hasPan": camera, "hasTilt": camera, "hasZoom": camera, "nearCamera": self.near,
            "ptzcapable": camera, "selected": is_selected, "trackable": camera,
        });
        if cameras.profile.has(Feature::TrackingState) {
            let tracks = cameras.tracking && is_selected;
            described["trackingstate"] = json!(if tracks { "on" } else { "off" });
        }
        described
    }
}
