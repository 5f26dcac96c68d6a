//! The firmware 3.12 answers in the shapes that were recorded from real devices: keys and types.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::*;

const RECORDINGS: [&str; 2] = [
    include_str!("../../../tests/recorded/studio-x30-3.10.0.json"),
    include_str!("../../../tests/recorded/studio-x30-3.12.0.json"),
];

/// By the path inside an answer, the types that stand there. The elements of a list share one path.
type Shape = BTreeMap<String, BTreeSet<&'static str>>;

fn add(shape: &mut Shape, at: &str, value: &Value) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    };
    shape.entry(at.to_owned()).or_default().insert(kind);
    match value {
        Value::Array(list) => list
            .iter()
            .for_each(|one| add(shape, &format!("{at}[]"), one)),
        Value::Object(fields) => {
            for (name, field) in fields {
                add(shape, &format!("{at}.{name}"), field);
            }
        }
        _ => {}
    }
}

/// A body as JSON. A bare word is a text.
fn value(body: &[u8]) -> Value {
    let text = || Value::String(String::from_utf8(body.to_vec()).unwrap());
    serde_json::from_slice(body).unwrap_or_else(|_| text())
}

/// What was recorded, by method and path, with all moments and both devices in one.
fn recorded() -> BTreeMap<String, Shape> {
    let mut shapes = BTreeMap::<String, Shape>::new();
    for recording in RECORDINGS {
        let file: Value = serde_json::from_str(recording).unwrap();
        for (request, answer) in file["answers"].as_object().unwrap() {
            let request = request
                .replace(" (in a call)", "")
                .replace(" (somebody rings)", "");
            let body = value(answer["body"].as_str().unwrap().as_bytes());
            add(shapes.entry(request).or_default(), "", &body);
        }
    }
    shapes
}

/// The request bodies that the recordings do not hold.
fn body_of(request: &str) -> String {
    match request {
        "POST /rest/config" => {
            json!({"names": ["comm.nics.sipnic.sipusername", "comm.nics.h323nic.h323name"]})
                .to_string()
        }
        "POST /rest/config (write)" => {
            let vars = [json!({"name": "management.provisioning.enabled", "value": "True"})];
            json!({"vars": vars}).to_string()
        }
        "POST /rest/current/devicemanagement/devices" => "null".into(),
        "POST /rest/security/password/ADMIN" => {
            json!({"oldPassword": "456", "newPassword": "456"}).to_string()
        }
        _ => String::new(),
    }
}

fn answered(room: &mut Room, request: &str) -> Shape {
    let mut shape = Shape::new();
    let (method, path) = request.split_once(" /rest/").unwrap();
    let path = path.trim_end_matches(" (write)");
    let reply = if path == "session" {
        room.log_in()
    } else {
        room.send(method, path, body_of(request))
    };
    assert_eq!(reply.status, 200, "{request}");
    assert_eq!(reply.content_type, "application/json", "{request}");
    add(&mut shape, "", &value(&reply.body));
    shape
}

#[test]
fn firmware_3_12_answers_in_the_recorded_shapes() {
    let mut room = Room::with(Options {
        firmware: Firmware::V3_12,
        call_setup: Duration::ZERO,
        ..Options::default()
    });
    let mut seen = 0;
    for (request, wanted) in recorded() {
        if request == "POST /rest/devicemanagement/devices" {
            // Recorded with 3.10 only: 3.12 has the path with `current` before it.
            continue;
        }
        let mut shape = answered(&mut room, &request);
        if request == "GET /rest/conferences" {
            room.world.calls.ring("bob@example.com");
            for (at, kinds) in answered(&mut room, &request) {
                shape.entry(at).or_default().extend(kinds);
            }
            room.world.calls.answer_any();
            for (at, kinds) in answered(&mut room, &request) {
                shape.entry(at).or_default().extend(kinds);
            }
        }
        let differ: Vec<_> = wanted
            .keys()
            .chain(shape.keys())
            .filter(|at| wanted.get(*at) != shape.get(*at))
            .map(|at| (at, wanted.get(at), shape.get(at)))
            .collect();
        assert!(
            differ.is_empty(),
            "{request}, recorded and simulated: {differ:#?}"
        );
        seen += 1;
    }
    assert_eq!(seen, 24);
}

#[test]
fn the_cameras_of_an_x30_are_as_recorded() {
    let file: Value = serde_json::from_str(RECORDINGS[0]).unwrap();
    let body = file["answers"]["GET /rest/cameras/near/all"]["body"]
        .as_str()
        .unwrap();
    let mut room = Room::new(Firmware::V3_12);
    assert_eq!(room.get("cameras/near/all"), value(body.as_bytes()));
}

#[test]
fn the_parts_of_the_system_are_as_recorded() {
    let file: Value = serde_json::from_str(RECORDINGS[1]).unwrap();
    let body = file["answers"]["GET /rest/system/status"]["body"]
        .as_str()
        .unwrap();
    let names = |list: &Value| -> Vec<(Value, Value)> {
        let parts = list.as_array().unwrap().iter();
        parts
            .map(|part| (part["name"].clone(), part["langtag"].clone()))
            .collect()
    };
    let mut room = Room::new(Firmware::V3_12);
    assert_eq!(
        names(&room.get("system/status")),
        names(&value(body.as_bytes()))
    );
}
