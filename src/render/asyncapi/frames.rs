//! The WebSocket at `/ws`: the frames that carry the topics.

use serde_json::{Map, Value, json};

use super::part;
use super::schema::bytes;

/// The frames that clients send.
const RECEIVED: &[&str] = &[
    "command_frame",
    "subscribe_frame",
    "unsubscribe_frame",
    "ping_frame",
    "line",
];
/// The frames that the gateway sends.
const SENT: &[&str] = &[
    "answer_frame",
    "done_frame",
    "state_frame",
    "file_frame",
    "line",
];

/// The channel.
pub fn channel() -> Value {
    let all = SENT.iter().chain(RECEIVED);
    let messages: Map<String, Value> = all
        .map(|name| ((*name).to_owned(), part("messages", name)))
        .collect();
    json!({
        "address": "/ws",
        "title": "WebSocket",
        "description": "Text frames, either JSON or plain lines. A file is sent as the result, \
                        then one binary frame. A slow reader gets only the newest value of \
                        each state.",
        "servers": [{"$ref": "#/servers/websocket"}],
        "messages": messages,
        "bindings": {"ws": {
            "method": "GET",
            "query": {"type": "object", "properties": {
                "subscribe": {"type": "string", "description": "A filter, subscribed from the start."},
                "format": {"enum": ["plain"], "description": "Answers and states as plain lines."},
                "token": {"type": "string", "description": "For clients that cannot set headers."},
            }},
            "bindingVersion": "0.1.0",
        }},
    })
}

/// Its operations: one for each direction.
pub fn operations() -> [(&'static str, Value); 2] {
    let channel = json!({"$ref": "#/channels/websocket"});
    let of = |names: &[&str]| -> Vec<Value> {
        let names = names.iter();
        names
            .map(|name| json!({"$ref": format!("#/channels/websocket/messages/{name}")}))
            .collect()
    };
    let tags = json!([{"name": "websocket"}]);
    [
        (
            "websocket.receive",
            json!({
                "action": "receive",
                "channel": channel,
                "summary": "Commands, queries and subscriptions over the WebSocket.",
                "tags": tags,
                "messages": of(RECEIVED),
                "reply": {"channel": channel, "messages": of(&["answer_frame", "done_frame", "line"])},
            }),
        ),
        (
            "websocket.send",
            json!({
                "action": "send",
                "channel": channel,
                "summary": "Results, and the states and events that are subscribed to.",
                "tags": tags,
                "messages": of(SENT),
            }),
        ),
    ]
}

/// The frames.
pub fn messages() -> [(&'static str, Value); 9] {
    let id = json!({"description": "Any JSON value; it comes back in the answer."});
    let topic =
        json!({"type": "string", "description": "A topic of the channels below room/{room}."});
    let filters = json!({"type": "array", "minItems": 1, "items": {"type": "string"}});
    let frame = |title: &str, properties: Value, required: Value, example: Value| {
        json!({
            "title": title,
            "payload": {
                "type": "object",
                "properties": properties,
                "required": required,
                "additionalProperties": false,
            },
            "examples": [{"payload": example}],
        })
    };
    [
        (
            "command_frame",
            frame(
                "A command or query",
                json!({
                    "id": id,
                    "topic": topic,
                    "payload": {"description": "What the topic's channel takes, as JSON."},
                }),
                json!(["topic"]),
                json!({"id": 7, "topic": "room/1/audio/volume/set", "payload": 40}),
            ),
        ),
        (
            "subscribe_frame",
            frame(
                "Subscribes to topics by MQTT filters",
                json!({"id": id, "subscribe": filters}),
                json!(["subscribe"]),
                json!({"id": 8, "subscribe": ["room/1/#"]}),
            ),
        ),
        (
            "unsubscribe_frame",
            frame(
                "Ends subscriptions",
                json!({"id": id, "unsubscribe": filters}),
                json!(["unsubscribe"]),
                json!({"id": 9, "unsubscribe": ["room/1/#"]}),
            ),
        ),
        (
            "ping_frame",
            frame(
                "Asks whether the gateway still answers",
                json!({"id": id, "ping": {"const": true}}),
                json!(["ping"]),
                json!({"id": 10, "ping": true}),
            ),
        ),
        (
            "answer_frame",
            frame(
                "The result of a command or query",
                json!({
                    "id": id,
                    "topic": {"type": "string", "pattern": "/result$"},
                    "payload": {"$ref": "#/components/schemas/result"},
                }),
                json!(["topic", "payload"]),
                json!({"id": 7, "topic": "room/1/audio/volume/set/result", "payload": {
                    "ok": true,
                    "room": "1",
                    "command": "audio/volume/set",
                    "status": 200,
                    "took_ms": 18,
                    "body": null,
                }}),
            ),
        ),
        (
            "done_frame",
            json!({
                "title": "The answer to subscribe, unsubscribe, ping and help",
                "payload": {"type": "object", "properties": {
                    "id": id,
                    "subscribed": filters,
                    "unsubscribed": filters,
                    "pong": {"const": true},
                    "text": {
                        "type": "array",
                        "items": {"type": "string"},
                        "description": "The answer to the line help, for people.",
                    },
                    "error": {"$ref": "#/components/schemas/error"},
                }, "additionalProperties": false},
                "examples": [{"payload": {"id": 8, "subscribed": ["room/1/#"]}}],
            }),
        ),
        (
            "state_frame",
            frame(
                "A state (with retain) or an event (without)",
                json!({
                    "topic": topic,
                    "payload": {"description": "What the topic's channel says, as JSON."},
                    "retain": {"type": "boolean"},
                }),
                json!(["topic", "payload"]),
                json!({"topic": "room/1/audio/volume", "payload": 40, "retain": true}),
            ),
        ),
        (
            "file_frame",
            json!({
                "title": "The bytes of a binary answer, after its result",
                "contentType": "application/octet-stream",
                "payload": bytes("application/octet-stream"),
            }),
        ),
        (
            "line",
            json!({
                "title": "A plain line",
                "contentType": "text/plain",
                "payload": {
                    "type": "string",
                    "description": "A topic, then a space and the payload if there is one.",
                },
                "examples": [{"payload": "room/1/audio/volume/set 40"}],
            }),
        ),
    ]
}
