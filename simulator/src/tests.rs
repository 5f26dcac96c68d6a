//! The room without a network: requests as values, in each firmware.

mod beyond;
mod conditions;
mod methods;
mod models;
mod profiles;
mod recorded;
mod sessions;

use bytes::Bytes;
use serde_json::{Value, json};

use super::check::{DeviceReply, DeviceRequest};
use super::session::Credentials;
use super::world::World;
use super::{Condition, Firmware, Options};

/// A room with a client that is logged in.
struct Room {
    world: World,
    credentials: Credentials,
}

impl Room {
    fn new(firmware: Firmware) -> Self {
        Self::with(Options {
            firmware,
            ..Options::default()
        })
    }

    fn with(options: Options) -> Self {
        let mut room = Self {
            world: World::new(&options),
            credentials: Credentials::default(),
        };
        let reply = room.log_in();
        assert_eq!(reply.status, 200);
        room.credentials.session = reply.session();
        let tokens = reply.cookies.iter();
        let mut tokens = tokens.filter_map(|cookie| cookie.strip_prefix("XSRF-TOKEN="));
        room.credentials.token = tokens
            .next()
            .map(|token| token.split(';').next().unwrap().to_owned());
        room
    }

    /// Logs in once more. The session that it gives is not used.
    fn log_in(&mut self) -> DeviceReply {
        let body = json!({"user": "admin", "password": "456"});
        let used = std::mem::take(&mut self.credentials);
        let reply = self.ask("POST", "session", &body);
        self.credentials = used;
        reply
    }

    /// Sends a request; the body `Value::Null` is none.
    fn ask(&mut self, method: &str, path: &str, body: &Value) -> DeviceReply {
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        self.send(method, path, body)
    }

    fn send(&mut self, method: &str, path: &str, body: String) -> DeviceReply {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let content_type = (!body.is_empty()).then(|| "application/json".to_owned());
        let path = format!("/rest/{path}");
        let body = Bytes::from(body);
        let request = DeviceRequest::new(method, &path, query, content_type, body).unwrap();
        let answered = self.world.answer(&request, &self.credentials);
        answered.unwrap_or_else(|refusal| refusal)
    }

    fn status(&mut self, method: &str, path: &str, body: &Value) -> u16 {
        self.ask(method, path, body).status
    }

    /// The JSON of an answer that must be 200.
    fn get(&mut self, path: &str) -> Value {
        let reply = self.ask("GET", path, &Value::Null);
        assert_eq!(reply.status, 200, "{path}");
        serde_json::from_slice(&reply.body).unwrap()
    }

    fn post(&mut self, path: &str, body: &Value) -> Value {
        let reply = self.ask("POST", path, body);
        assert_eq!(reply.status, 200, "{path} {body}");
        serde_json::from_slice(&reply.body).unwrap()
    }

    fn set(&mut self, condition: Condition) {
        self.world.conditions.set(condition, true);
    }
}
