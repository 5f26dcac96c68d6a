//! The guide's section Cameras: movement, presets, snapshots.

use serde_json::{Value, json};

use super::check::{
    DeviceReply, DeviceRequest, Fields, Handled, bad, done, not_allowed, not_found, ok,
};

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

/// The picture of every snapshot: a drawn meeting room.
const JPEG: &[u8] = include_bytes!("snapshot.jpg");

#[derive(Debug)]
pub struct Cameras {
    newer: bool,
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
    pub fn new(newer: bool, zero_based: bool) -> Self {
        Self {
            newer,
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
        })
    }

    fn camera(&self, index: i64, near: bool) -> Value {
        let (name, source) = match index {
            1 => ("Main", "SRC_PEOPLE"),
            2 => ("Aux", "SRC_CONTENT"),
            _ => ("EagleEye Cube USB", "SRC_PEOPLE"),
        };
        json!({
            "cameraIndex": index, "iconName": null, "model": "EAGLEEYE_CUBE_USB", "name": name,
            "sessionID": 0, "sourceType": source, "stateAutoFocus": "off", "stateFreeze": "off",
            "stateMarker": "off", "connected": true, "hasAutoFocus": false, "hasFocus": false,
            "hasFreeze": false, "hasMarker": false, "hasPan": true, "hasTilt": true,
            "hasZoom": true, "nearCamera": near, "ptzcapable": true, "selected": index == 3,
            "trackable": true, "trackingstate": if self.tracking { "on" } else { "off" },
        })
    }

    fn all(&self, near: bool) -> Value {
        (1..=3).map(|index| self.camera(index, near)).collect()
    }

    fn find(&self, index: &str, near: bool) -> Result<Value, DeviceReply> {
        match index.parse() {
            Ok(index @ 1..=3) => Ok(self.camera(index, near)),
            _ => Err(not_found()),
        }
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

    pub fn handle(&mut self, request: &DeviceRequest, path: &[&str], in_call: bool) -> Handled {
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
            (["contentstatus"], "GET") if self.newer => {
                // Newer devices send the word without quotes, which is not JSON.
                Ok(DeviceReply::new(200, "application/json", "CONTENT_IDLE"))
            }
            (["contentstatus"], "GET") => ok(&json!("CONTENT_IDLE")),
            ([side @ ("near" | "far"), "all"], "GET") => ok(&self.all(*side == "near")),
            (["near", "people"], "GET") => ok(&json!([self.camera(1, true), self.camera(3, true)])),
            (["near", "content"], "GET") => ok(&json!([self.camera(2, true)])),
            ([side @ ("near" | "far"), "selectedpeople"], "GET") => {
                ok(&self.camera(3, *side == "near"))
            }
            (["near", "selectedcontent"], "GET") => ok(&self.camera(2, true)),
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
                self.find(index, true)?;
                self.tracking = method == "POST";
                done()
            }
            (
                ["near", "selectedpeople" | "selectedcontent"] | ["far", "selectedpeople"],
                "POST",
            ) => self.act(request, &path.join("/"), None),
            (["near" | "far", "all"] | ["near", "people" | "content"], _) => not_allowed(),
            ([side @ ("near" | "far"), index], "GET") => ok(&self.find(index, *side == "near")?),
            ([side @ ("near" | "far"), index], "POST") => {
                self.find(index, *side == "near")?;
                self.act(request, &path.join("/"), None)
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
        let fields = request.object(&["action", "direction", "message", "withImage"])?;
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
        if fields.has("relative") {
            fields.bool("relative")?;
        }
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
            position.integer(name, -50_000, 50_000)?;
        }
        self.position = Value::Object(position.0);
        done()
    }
}
