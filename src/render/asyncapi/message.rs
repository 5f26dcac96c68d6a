//! The messages: states, what commands take, results, files and what the gateway says itself.

use serde_json::{Value, json};

use super::schema::bytes;
use super::{mqtt, part};
use crate::catalogue::{Operation, Payload, Pick, RoomEvent, Shape, State, ValueKind};
use crate::command::ErrorCode;
use crate::device::ProblemCode;
use crate::topics::{Below, OFFLINE, ONLINE, Topic};

/// The messages that many channels carry.
pub fn shared() -> [(&'static str, Value); 4] {
    let none = json!({"const": "none", "description": "There is none at the moment."});
    let value = json!({"description": "What the device says: a scalar as plain text, anything else as JSON."});
    let state = |title: &str, payload: Value| json!({"title": title, "payload": payload});
    [
        ("state", state("A value", value)),
        ("list", state("A list", json!({"type": "array"}))),
        (
            "list_or_none",
            state(
                "A list, or none",
                json!({"anyOf": [{"type": "array"}, none]}),
            ),
        ),
        (
            "result",
            json!({
                "title": "The one result of a command or query",
                "payload": part("schemas", "result"),
                "traits": [part("messageTraits", "result")],
            }),
        ),
    ]
}

/// The message of a state of which the catalogue knows more than that it is a value or a list. `None`: the
/// message is a shared one, [`kind_of_state`].
pub fn of_known_kind(operation: &Operation, state: &State) -> Option<Value> {
    let schema = match state.topic.kind() {
        ValueKind::Open => return None,
        ValueKind::Flag => json!({"type": "boolean"}),
        ValueKind::Count(None) => json!({"type": "integer", "minimum": 0}),
        ValueKind::Count(Some(max)) => json!({"type": "integer", "minimum": 0, "maximum": max}),
        ValueKind::Words(words) => json!({"enum": words}),
    };
    let payload = if operation.absent {
        json!({"anyOf": [schema, {"const": "none"}]})
    } else {
        schema
    };
    Some(json!({"title": state.topic.as_str(), "summary": state.topic.about(), "payload": payload}))
}

/// The message that a state's topic carries. The device decides what its JSON holds; only lists are
/// certain.
pub fn kind_of_state(operation: &Operation, state: &State) -> &'static str {
    match (operation.shape, state.pick, operation.absent) {
        (Shape::List, Pick::Whole, false) => "list",
        (Shape::List, Pick::Whole, true) => "list_or_none",
        _ => "state",
    }
}

/// The message of the payload that a command takes.
pub fn command(payload: Payload, schema: Value) -> Value {
    let mut message = json!({
        "payload": schema,
        "traits": [part("messageTraits", "command")],
    });
    if let Payload::Bytes { content_type } = payload {
        message["contentType"] = content_type.into();
    }
    message
}

/// The message of a binary answer: raw bytes with their content type.
pub fn file(content_type: &str) -> Value {
    json!({"title": "A file", "contentType": content_type, "payload": bytes(content_type)})
}

/// The message of a topic whose value comes from the gateway itself.
pub fn of_gateway_topic(topic: Topic<'_>) -> Value {
    let below = match topic {
        Topic::Room { below, .. } => below,
        Topic::Gateway(below) | Topic::Member { below, .. } => match below {
            "log" => return json!({"payload": log_entry()}),
            "cluster" => return json!({"payload": cluster()}),
            "availability" => Below::Availability,
            other => Below::Other(other),
        },
    };
    let payload = match below {
        Below::Availability => json!({"enum": [ONLINE, OFFLINE]}),
        Below::Problem => json!({
            "type": "object",
            "required": ["code"],
            "properties": {
                "code": {"anyOf": [{"const": ProblemCode::NONE}, {"enum": ProblemCode::ALL}]},
                "message": {"type": "string"},
                "since": {"type": "string", "format": "date-time"},
            },
        }),
        Below::Event(name) => {
            RoomEvent::of(name).map_or_else(|| json!({"type": "object"}), room_event)
        }
        _ => json!({"type": "object"}),
    };
    json!({"payload": payload})
}

/// What a room's event says, with its name for clients that see only the payload.
fn room_event(event: RoomEvent) -> Value {
    let event_type = json!({"const": event.as_str()});
    match event {
        RoomEvent::IncomingCall | RoomEvent::CallConnected | RoomEvent::CallEnded => json!({
            "type": "object",
            "required": ["event_type", "conference", "connection", "incoming"],
            "properties": {
                "event_type": event_type,
                "conference": {"type": "string"},
                "connection": {"type": "string"},
                "address": {"type": ["string", "null"]},
                "incoming": {"type": "boolean"},
                "answered": {"type": "boolean"},
            },
        }),
        RoomEvent::DeviceLost | RoomEvent::DeviceBack => json!({
            "type": "object",
            "required": ["event_type", "id", "name", "type", "state", "connected"],
            "properties": {
                "event_type": event_type,
                "id": {"type": "string"},
                "name": {"type": "string"},
                "type": {"type": "string"},
                "state": {"type": "string"},
                "connected": {"type": "boolean"},
            },
        }),
        RoomEvent::CommandFailed => json!({
            "type": "object",
            "required": ["event_type", "command", "code", "message"],
            "properties": {
                "event_type": event_type,
                "command": {"type": "string"},
                "code": part("schemas", "error_code"),
                "message": {"type": "string"},
            },
        }),
        RoomEvent::ReadinessFailed => json!({"type": "object"}),
    }
}

/// A warning or an error.
fn log_entry() -> Value {
    json!({
        "type": "object",
        "required": ["at", "level", "kind", "room", "text"],
        "properties": {
            "id": {"type": "integer"},
            "at": {"type": "string", "format": "date-time"},
            "level": {"enum": ["warn", "error"]},
            "kind": {"enum": ["line", "offline"]},
            "room": {"type": ["string", "null"]},
            "text": {"type": "string"},
        },
    })
}

/// The gateways that share their rooms.
fn cluster() -> Value {
    let count = json!({"type": "integer", "minimum": 0});
    json!({
        "type": "object",
        "required": ["from", "state", "members", "shards", "unowned", "placement", "problem"],
        "properties": {
            "from": {"type": "string", "description": "The gateway that says so."},
            "state": {
                "enum": ["ok", "joining", "leaving", "no_cluster", "ended"],
                "description": "How that gateway stands to the cluster.",
            },
            "members": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name", "state", "shards", "version", "since"],
                    "properties": {
                        "name": {"type": "string"},
                        "state": {"enum": ["ok", "leaving"]},
                        "shards": count,
                        "rooms": count,
                        "version": {"type": "string"},
                        "since": {"type": ["string", "null"], "format": "date-time"},
                        "weight": count,
                        "advertise": {"type": "string"},
                        "configuration": {
                            "type": "string",
                            "description": "The same where the configuration of the rooms is the same.",
                        },
                    },
                },
            },
            "shards": count,
            "rooms": count,
            "unowned": {
                "type": "integer", "minimum": 0,
                "description": "How many shards no gateway has.",
            },
            "unowned_rooms": count,
            "differing": {
                "type": "array",
                "items": {"type": "string"},
                "description": "The gateways whose configuration of the rooms differs from that of this one.",
            },
            "differing_rooms": {
                "type": "array",
                "items": {"type": "string"},
                "description": "The rooms that are not configured alike at all gateways, up to 1,000 of each gateway.",
            },
            "device_conflicts": {
                "type": "array",
                "items": {"type": "string"},
                "description": "The rooms whose device another gateway has under another name, up to 100.",
            },
            "placement": {
                "type": "string",
                "description": "Changes whenever a room changes its gateway.",
            },
            "problem": {
                "anyOf": [
                    {"type": "null"},
                    {
                        "type": "object",
                        "required": ["code"],
                        "properties": {
                            "code": {"enum": ["no_cluster", "joining", "leaving", "ended", "no_owner", "differing"]},
                            "message": {"type": "string"},
                        },
                    },
                ],
            },
        },
    })
}

/// What all messages of one kind share.
pub fn traits() -> Value {
    let correlation = json!({"location": "$message.header#/correlation_data"});
    let text = json!({"type": "string"});
    json!({
        "command": {
            "headers": {"type": "object", "properties": {
                "response_topic": {
                    "type": "string",
                    "description": "The MQTT 5 property Response Topic: where the result goes.",
                },
                "correlation_data": {
                    "type": "string",
                    "description": "The MQTT 5 property Correlation Data; it comes back with the result.",
                },
            }},
            "correlationId": correlation,
            "bindings": mqtt(json!({"responseTopic": text, "correlationData": text})),
        },
        "result": {
            "contentType": "application/json",
            "headers": {"type": "object", "properties": {
                "correlation_data": {
                    "type": "string",
                    "description": "The command's Correlation Data.",
                },
                "status": {"enum": ["ok", "error"], "description": "A user property."},
                "code": part("schemas", "error_code"),
            }},
            "correlationId": correlation,
            "bindings": mqtt(json!({"correlationData": text})),
        },
    })
}

/// The JSON schema of a result's members.
pub fn schemas() -> [(&'static str, Value); 5] {
    let codes: Vec<&str> = ErrorCode::ALL.map(ErrorCode::as_str).into();
    let about = json!({
        "room": {"type": "string"},
        "command": {"type": "string", "description": "The topic below the room, as it was sent."},
        "status": {"type": "integer", "description": "The device's HTTP status."},
        "took_ms": {"type": "integer", "minimum": 0},
        "request_id": {"description": "The request_id of the payload."},
    });
    let with = |more: Value| {
        let mut properties = about.clone();
        if let (Some(all), Value::Object(more)) = (properties.as_object_mut(), more) {
            all.extend(more);
        }
        properties
    };
    let success = json!({
        "type": "object",
        "required": ["ok", "room", "command", "status", "took_ms", "body"],
        "properties": with(json!({
            "ok": {"const": true},
            "body": {
                "description": "The device's JSON answer, or null. For a file: its bytes, \
                                content_type and topic.",
            },
            "warning": {
                "type": "string",
                "description": "A state that the command changes could not be read back, and why.",
            },
        })),
    });
    let failure = json!({
        "type": "object",
        "required": ["ok", "room", "command", "took_ms", "error"],
        "properties": with(json!({
            "ok": {"const": false},
            "error": part("schemas", "error"),
        })),
    });
    let error = json!({
        "type": "object",
        "required": ["code", "message"],
        "properties": {
            "code": part("schemas", "error_code"),
            "message": {"type": "string", "description": "What went wrong, in plain text."},
        },
    });
    [
        (
            "result",
            json!({"oneOf": [part("schemas", "success"), part("schemas", "failure")]}),
        ),
        ("success", success),
        ("failure", failure),
        ("error", error),
        ("error_code", json!({"type": "string", "enum": codes})),
    ]
}
