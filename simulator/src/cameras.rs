//! The guide's section Cameras: movement, presets, snapshots.

use serde_json::{Value, json};

use super::check::{
    DeviceReply, DeviceRequest, Fields, Handled, bad, done, not_allowed, not_found, ok,
};
use super::condition::{Condition, Conditions};
use super::model::{Model, Source};
use super::profile::{Feature, Profile};

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
    disconnected: bool,
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
            disconnected: false,
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

    fn describe_source(&self, source: &Source, near: bool) -> Value {
        let camera = source.camera() && !self.disconnected;
        let connected = source.connected && (source.content || !self.disconnected);
        let kind = if source.content {
            "SRC_CONTENT"
        } else {
            "SRC_PEOPLE"
        };
        let mut described = json!({
            "cameraIndex": source.index, "iconName": null, "model": source.model,
            "name": source.name, "sessionID": 0, "sourceType": kind, "stateAutoFocus": "off",
            "stateFreeze": "off", "stateMarker": "off", "connected": connected,
            "hasAutoFocus": false, "hasFocus": camera, "hasFreeze": false, "hasMarker": false,
            "hasPan": camera, "hasTilt": camera, "hasZoom": camera, "nearCamera": near,
            "ptzcapable": camera, "selected": source.index == self.people, "trackable": camera,
        });
        if self.profile.has(Feature::TrackingState) {
            let tracks = self.tracking && source.index == self.people;
            described["trackingstate"] = json!(if tracks { "on" } else { "off" });
        }
        described
    }

    fn list(&self, near: bool, listed: impl Fn(&Source) -> bool) -> Value {
        let mine = self.sources.iter().filter(|source| listed(source));
        mine.map(|source| self.describe_source(source, near))
            .collect()
    }

    fn source(&self, index: &str) -> Result<Source, DeviceReply> {
        let index: i64 = index.parse().map_err(|_| not_found())?;
        let found = self.sources.iter().find(|source| source.index == index);
        found.copied().ok_or_else(not_found)
    }

    fn find(&self, index: &str, near: bool) -> Handled {
        ok(&self.describe_source(&self.source(index)?, near))
    }

    fn selected(&self, index: i64, near: bool) -> Handled {
        self.find(&index.to_string(), near)
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

    pub fn handle(
        &mut self,
        request: &DeviceRequest,
        path: &[&str],
        in_call: bool,
        now: &Conditions,
    ) -> Handled {
        self.disconnected = now.has(Condition::NoCameras);
        let method = request.method.as_str();
        if method == "GET" || method == "DELETE" {
            request.plain()?;
        }
        if path.first() == Some(&"far") && !in_call && path.len() == 2 {
            // Far cameras exist only in a call.
            return match method {
                "GET" | "POST" => Err(not_found()),
                _ => not_allowed(),
            };
        }
        match (path, method) {
            (["sourceselectable"], "GET") => ok(&json!(true)),
            (["contentstatus"], "GET") if self.profile.has(Feature::BareWords) => {
                // Newer devices send the word without quotes, which is not JSON.
                Ok(DeviceReply::new(200, "application/json", "CONTENT_IDLE"))
            }
            (["contentstatus"], "GET") => ok(&json!("CONTENT_IDLE")),
            ([side @ ("near" | "far"), "all"], "GET") => ok(&self.list(*side == "near", |_| true)),
            (["near", "people"], "GET") => ok(&self.list(true, |source| !source.content)),
            (["near", "content"], "GET") => ok(&self.list(true, |source| source.content)),
            ([side @ ("near" | "far"), "selectedpeople"], "GET") => {
                self.selected(self.people, *side == "near")
            }
            (["near", "selectedcontent"], "GET") => self.selected(self.content, true),
            (["near", "presets", "all"], "GET") => ok(&(0..self.stored.len())
                .map(|place| self.preset(place))
                .collect()),
            (["near", "presets", index], "GET") => ok(&self.preset(self.place(index)?)),
            (["near", "presets", index], "POST") => {
                let place = self.place(index)?;
                self.act(request, &path.join("/"), Some(place))
            }
            (["near", "position", "SELECTED_PEOPLE"], "POST") => self.move_to(request),
            (["near", "position", _], "POST") => Err(not_found()),
            (["near", index, "control", "tracking"], "POST" | "DELETE") => {
                request.plain()?;
                self.source(index)?;
                self.tracking = method == "POST";
                done()
            }
            (
                ["near", "selectedpeople" | "selectedcontent"] | ["far", "selectedpeople"],
                "POST",
            ) => self.act(request, &path.join("/"), None),
            (["near" | "far", "all"] | ["near", "people" | "content"], _) => not_allowed(),
            ([side @ ("near" | "far"), index], "GET") => self.find(index, *side == "near"),
            (["far", index], "POST") => {
                self.source(index)?;
                self.act(request, &path.join("/"), None)
            }
            (["near", index], "POST") => {
                let source = self.source(index)?;
                let active = self.active;
                let reply = self.act(request, &path.join("/"), None)?;
                // A source that is activated is the one in use. It is no preset.
                if request.object(&KNOWN)?.text("action")? == "activate" {
                    self.active = active;
                    let selected = if source.content {
                        &mut self.content
                    } else {
                        &mut self.people
                    };
                    *selected = source.index;
                }
                Ok(reply)
            }
            (
                [
                    "snapshot",
                    "near_image_1.jpg" | "far_image_1.jpg" | "content_image_1.jpg",
                ],
                "GET",
            ) => Ok(DeviceReply::new(200, "image/jpeg", JPEG)),
            (["snapshot", _], "GET") => Err(bad("no such snapshot")),
            (
                ["sourceselectable" | "contentstatus"]
                | ["near" | "far" | "snapshot", _]
                | ["near", "presets" | "position", _]
                | ["near", _, "control", "tracking"],
                _,
            ) => not_allowed(),
            _ => Err(not_found()),
        }
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
            let from = match is_offset {
                true => self.position[name].as_i64().unwrap_or(0),
                false => 0,
            };
            let reached = (from + asked).clamp(-LARGEST_POSITION, LARGEST_POSITION);
            self.position[name] = reached.into();
        }
        done()
    }
}
