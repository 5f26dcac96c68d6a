//! The AsyncAPI document: every topic and message, over MQTT and over the WebSocket, for tools.
//!
//! Owns how entries of the catalogue become channels, operations and messages. Pure: it has no
//! list of topics, so it cannot disagree with the gateway.

mod frames;
mod message;
mod schema;

use serde_json::{Map, Value, json};

use super::table::about_file;
use super::{files, read, requests, states};
use crate::catalogue::{
    CATALOGUE, GATEWAY_TOPICS, Payload, Route, TopicKind, about_parameter, parameters,
};
use crate::topics::{GATEWAY_AVAILABILITY, RoomTopics, Topic};
use schema::Schemas;

/// The topics of any room.
const PATTERN: RoomTopics<'_> = RoomTopics::PATTERN;

const ABOUT: &str = "\
Rooms with Poly VideoOS devices (G7500, G62, Studio X30 to X72) as topics. States are retained: a \
scalar as plain text, anything else as JSON. Clients publish commands and queries, not retained. \
Each gets exactly one result at its topic with `/result` appended, or at the Response Topic of \
MQTT 5. Schemas describe a payload as JSON, or as a string if it is not JSON: `40` is a number, \
`left` a string. In a topic level `/`, `+`, `#` and `%` are percent-encoded. If a prefix is \
configured, it comes before every topic.";

/// The document, AsyncAPI 3.0.
pub fn document() -> Value {
    let mut parts = Parts::default();
    for known in GATEWAY_TOPICS {
        let id = match known.topic {
            Topic::Room { below, .. } => id(&below.to_string()),
            Topic::Gateway(_) | Topic::Member { .. } => id(&known.topic.to_string()),
        };
        parts.message(&id, message::of_gateway_topic(known.topic));
        let address = known.topic.to_string();
        parts.sends(&id, &address, &id, known.is_state, known.about);
    }
    for (topic, operation, state) in states() {
        let (method, path) = (operation.method.as_str(), operation.path);
        let source = if operation.is_gateways_own() {
            format!("From the gateway itself, {}.", read(operation))
        } else {
            format!("From `{method} {path}`; read: {}.", read(operation))
        };
        let about = state.topic.about();
        let id = id(&topic);
        let shared = message::kind_of_state(operation, state);
        let own = message::of_known_kind(operation, state);
        let message: &str = if own.is_some() { &id } else { shared };
        if let Some(own) = own {
            parts.message(&id, own);
        }
        parts.sends(&id, &PATTERN.below(&topic), message, true, about);
        parts.operations[&id]["description"] = source.into();
    }
    for file in files() {
        let (topic, content_type) = (file.topic, file.content_type);
        let name = format!("file.{}", content_type.replace('/', "."));
        parts.message(&name, message::file(content_type));
        let about = about_file(file);
        parts.sends(
            &id(topic),
            &PATTERN.below(topic),
            &name,
            file.is_state,
            &about,
        );
    }
    for route in CATALOGUE.routes() {
        parts.receives(route);
    }
    parts.into_document()
}

/// A channel's id: the topic's levels with dots between them.
fn id(topic: &str) -> String {
    topic.replace('/', ".").replace(['{', '}'], "")
}

/// A reference to a component.
fn part(kind: &str, name: &str) -> Value {
    json!({"$ref": format!("#/components/{kind}/{name}")})
}

/// The parts of the document, collected before it is written.
#[derive(Debug, Default)]
struct Parts {
    channels: Map<String, Value>,
    operations: Map<String, Value>,
    messages: Map<String, Value>,
    parameters: Map<String, Value>,
    schemas: Schemas,
}

impl Parts {
    fn message(&mut self, name: &str, message: Value) {
        self.messages.insert(name.into(), message);
    }

    fn channel(&mut self, id: &str, address: &str, message: &str, about: &str) {
        let mut channel = json!({
            "address": address,
            "description": about,
            "servers": [{"$ref": "#/servers/mqtt"}],
            "messages": {message: part("messages", message)},
        });
        let names: Vec<&str> = parameters(address).collect();
        for name in &names {
            let about = match *name {
                "room" => "The id of the room in the configuration.",
                "gateway" => "The name of one of several gateways that share their rooms.",
                name => about_parameter(name),
            };
            self.parameters
                .insert((*name).into(), json!({"description": about}));
            channel["parameters"][name] = part("parameters", name);
        }
        self.channels.insert(id.into(), channel);
    }

    /// A topic that the gateway publishes.
    fn sends(&mut self, id: &str, address: &str, message: &str, retained: bool, about: &str) {
        self.channel(id, address, message, about);
        let way = if retained { "retained" } else { "passing" };
        let operation = json!({
            "action": "send",
            "channel": {"$ref": format!("#/channels/{id}")},
            "summary": about,
            "tags": [{"name": way}],
            "traits": [part("operationTraits", way)],
        });
        self.operations.insert(id.into(), operation);
    }

    /// A topic that clients publish to, and its result.
    fn receives(&mut self, route: &Route) {
        let id = id(&route.topic);
        let message = self.payload(route, &id);
        self.channel(&id, &PATTERN.below(&route.topic), &message, &route.about);
        let mut tags = vec![json!({"name": route.kind().as_str()})];
        if route.guarded() {
            tags.push(json!({"name": "guarded"}));
        }
        let operation = json!({
            "action": "receive",
            "channel": {"$ref": format!("#/channels/{id}")},
            "summary": route.about,
            "description": work_of(route),
            "tags": tags,
            "traits": [part("operationTraits", "passing")],
            "reply": part("replies", "result"),
        });
        self.operations.insert(id.clone(), operation);

        let result = format!("{id}.result");
        let address = PATTERN.result(&route.topic);
        let about = format!(
            "The result of {}, unless a Response Topic was given.",
            route.topic
        );
        self.channel(&result, &address, "result", &about);
        let operation = json!({
            "action": "send",
            "channel": {"$ref": format!("#/channels/{result}")},
            "summary": about,
            "tags": [{"name": "result"}],
            "traits": [part("operationTraits", "passing")],
        });
        self.operations.insert(result, operation);
    }

    /// The message of what a topic takes, under the id of the first topic that takes the same.
    fn payload(&mut self, route: &Route, id: &str) -> String {
        let command = route.command();
        let payload = self
            .schemas
            .payload(command.payload, command.switch_words());
        let message = message::command(command.payload, payload);
        let alike = self.messages.iter().find(|(_, known)| **known == message);
        let name = match command.payload {
            Payload::None => "empty",
            _ => alike.map_or(id, |(name, _)| name),
        }
        .to_owned();
        self.messages.insert(name.clone(), message);
        name
    }

    fn into_document(mut self) -> Value {
        let response = json!({
            "address": null,
            "title": "Response Topic",
            "description": "The topic that a command's Response Topic names. Not allowed: wildcards, \
                            a leading $, and the gateway's topics other than the room's results.",
            "servers": [{"$ref": "#/servers/mqtt"}],
            "messages": {"result": part("messages", "result")},
        });
        self.channels.insert("response".into(), response);
        self.channels.insert("websocket".into(), frames::channel());
        let shared = message::shared();
        for (name, message) in shared.into_iter().chain(frames::messages()) {
            self.message(name, message);
        }
        for (name, operation) in frames::operations() {
            self.operations.insert(name.into(), operation);
        }
        let mut schemas = self.schemas.into_map();
        schemas.extend(message::schemas().map(|(name, schema)| (name.to_owned(), schema)));
        json!({
            "asyncapi": "3.0.0",
            "id": "urn:poly2mqtt",
            "info": {
                "title": "poly2mqtt",
                "version": env!("CARGO_PKG_VERSION"),
                "description": ABOUT,
                "license": {
                    "name": "Apache-2.0",
                    "url": "https://www.apache.org/licenses/LICENSE-2.0",
                },
            },
            "defaultContentType": "application/json",
            "servers": servers(),
            "channels": self.channels,
            "operations": self.operations,
            "components": {
                "schemas": schemas,
                "messages": self.messages,
                "messageTraits": message::traits(),
                "parameters": self.parameters,
                "operationTraits": {
                    "retained": {"bindings": mqtt(json!({"qos": 1, "retain": true}))},
                    "passing": {"bindings": mqtt(json!({"qos": 1, "retain": false}))},
                },
                "replies": {"result": {
                    "address": {
                        "location": "$message.header#/response_topic",
                        "description": "Without a Response Topic: the command's topic with /result appended.",
                    },
                    "channel": {"$ref": "#/channels/response"},
                }},
                "securitySchemes": {
                    "user": {"type": "userPassword"},
                    "bearer": {"type": "http", "scheme": "bearer"},
                    "basic": {"type": "http", "scheme": "basic"},
                    "token": {"type": "httpApiKey", "name": "token", "in": "query"},
                },
            },
        })
    }
}

/// The requests that a command or query makes, what it reads back, and who may send it.
fn work_of(route: &Route) -> String {
    let mut about = match route.kind() {
        TopicKind::Query => format!("Asks: {}.", requests(route)),
        TopicKind::Command => format!("Sends: {}.", requests(route)),
    };
    let refresh = route.command().refresh;
    if !refresh.is_empty() {
        let names: Vec<_> = refresh.iter().map(|state| state.as_str()).collect();
        about.push_str(&format!(" Reads back {}.", names.join(", ")));
    }
    if route.guarded() {
        about.push_str(" Guarded: needs the room's allow, or an administrator's token.");
    }
    about
}

fn servers() -> Value {
    let will = json!({
        "topic": GATEWAY_AVAILABILITY,
        "qos": 1,
        "message": "offline",
        "retain": true,
    });
    json!({
        "mqtt": {
            "host": "localhost:1883",
            "protocol": "mqtt",
            "protocolVersion": "5.0",
            "description": "The broker: yours, or the one in the gateway. Clients may use any \
                            version of MQTT.",
            "security": [part("securitySchemes", "user")],
            "bindings": mqtt(json!({"lastWill": will})),
        },
        "websocket": {
            "host": "localhost:8080",
            "protocol": "ws",
            "description": "The gateway itself, for clients without a broker: the same topics and \
                            payloads in frames. If tokens are configured, clients need one.",
            "security": [
                part("securitySchemes", "bearer"),
                part("securitySchemes", "basic"),
                part("securitySchemes", "token"),
            ],
        },
    })
}

/// An MQTT binding.
fn mqtt(mut binding: Value) -> Value {
    binding["bindingVersion"] = "0.2.0".into();
    json!({"mqtt": binding})
}
