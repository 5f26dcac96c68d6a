//! A checked command, and the HTTP request that it makes.
//!
//! Pure. Owns the placing of values in path, query and body; a value from a topic or a device is
//! always one encoded path segment.

use bytes::Bytes;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::payload::{Payload, Place, TOGGLE};
use super::router::{CATALOGUE, Route, Variant, parameters};
use super::{Command, Method, Operation};
use crate::command::{ErrorCode, Failure};
use crate::topics;

/// What may not stand as it is in one segment of a path.
const SEGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'/')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'\\')
    .add(b'`')
    .add(b'{')
    .add(b'}');

/// A topic's parameters by name, decoded.
pub type Params = Vec<(&'static str, String)>;

/// A request as the device client sends it.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path's segments, not yet encoded.
    pub path: Vec<String>,
    /// The query's pairs, not yet encoded.
    pub query: Vec<(&'static str, String)>,
    /// The body.
    pub body: RequestBody,
    /// Repeating it is safe.
    pub repeatable: bool,
    /// It may take up to a minute.
    pub slow: bool,
}

/// What is sent with a request.
#[derive(Debug, Clone, PartialEq)]
pub enum RequestBody {
    /// Nothing, and no content type.
    None,
    /// JSON.
    Json(Value),
    /// Bytes of this MIME type.
    Bytes(&'static str, Bytes),
}

impl Request {
    /// A read of an operation without parameters of its own.
    pub fn read(operation: &Operation, params: &Params) -> Result<Self, Failure> {
        Ok(Self {
            method: operation.method,
            path: path(operation, params, 0)?,
            query: Vec::new(),
            body: RequestBody::None,
            repeatable: true,
            slow: false,
        })
    }

    /// What the request line asks for: path and query. Each segment is encoded by itself, so that
    /// no value can reach another path.
    pub fn target(&self) -> String {
        let mut target = String::with_capacity(64);
        for segment in &self.path {
            target.push('/');
            target.extend(utf8_percent_encode(segment, SEGMENT));
        }
        if !self.query.is_empty() {
            target.push('?');
            let from = target.len();
            let mut query = form_urlencoded::Serializer::for_suffix(target, from);
            target = query.extend_pairs(&self.query).finish();
        }
        target
    }
}

/// A command whose topic and payload have been checked.
#[derive(Debug, Clone)]
pub struct Call {
    /// The topic's pattern and the operations behind it.
    pub route: &'static Route,
    /// The topic's parameters, decoded.
    pub params: Params,
    /// The payload's values by field name, as the device wants them.
    pub values: Map<String, Value>,
    /// The payload as it came, for operations that send it on.
    pub bytes: Bytes,
}

impl Call {
    /// A call of the catalogue's own making, for `pattern` with these parameters.
    ///
    /// # Errors
    /// No topic has that pattern: the entry that asks for it is wrong.
    pub fn to(pattern: &str, params: Params) -> Result<Self, Failure> {
        let route = CATALOGUE.pattern(pattern).ok_or_else(|| {
            Failure::new(
                ErrorCode::UnknownCommand,
                format!("no command is called {pattern}"),
            )
        })?;
        Ok(Self {
            route,
            params,
            values: Map::new(),
            bytes: Bytes::new(),
        })
    }

    /// The same call with one value changed.
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.values.insert(field.into(), value.into());
        self
    }

    /// A parameter of the topic.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The field that says `toggle`, if one does.
    pub fn toggled(&self) -> Option<&str> {
        self.values
            .iter()
            .find(|(_, value)| value.as_str() == Some(TOGGLE))
            .map(|(field, _)| field.as_str())
    }

    /// The operation that is meant: of two that share a topic, the switch decides.
    pub fn variant(&self) -> &'static Variant {
        let on = self.values.values().find_map(Value::as_bool);
        self.route
            .variants
            .iter()
            .find(|variant| variant.command.when.is_none() || variant.command.when == on)
            .unwrap_or(&self.route.variants[0])
    }

    /// The request that carries it out; `preset_offset` is added to a preset's number.
    ///
    /// # Errors
    /// A parameter is missing or not a preset's number.
    pub fn request(&self, preset_offset: i8) -> Result<Request, Failure> {
        let Variant { operation, command } = self.variant();
        let mut params = self.params.clone();
        let bound = command.bind.iter();
        params.extend(bound.map(|(name, value)| (*name, (*value).to_owned())));
        Ok(Request {
            method: operation.method,
            path: path(operation, &params, preset_offset)?,
            query: self.query(command.payload),
            body: self.body(command),
            repeatable: command.repeatable,
            slow: command.slow,
        })
    }

    fn query(&self, payload: Payload) -> Vec<(&'static str, String)> {
        let Payload::Fields { fields, .. } = payload else {
            return Vec::new();
        };
        let queried = fields.iter().filter(|field| field.place == Place::Query);
        queried
            .filter_map(|field| {
                let text = match self.values.get(field.name)? {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                Some((field.wire, text))
            })
            .collect()
    }

    fn body(&self, command: &Command) -> RequestBody {
        let mut body = Map::new();
        for (param, name) in command.carry {
            body.insert((*name).into(), self.param(param).into());
        }
        for (name, value) in command.fixed {
            body.insert((*name).into(), (*value).into());
        }
        match command.payload {
            Payload::Bytes { content_type } => {
                return RequestBody::Bytes(content_type, self.bytes.clone());
            }
            Payload::Fields {
                fields,
                whole,
                bare,
            } => {
                if let (true, Some(bare)) = (whole, bare) {
                    let value = self.values.get(bare).cloned();
                    return RequestBody::Json(value.unwrap_or_default());
                }
                for field in fields.iter().filter(|field| field.place == Place::Body) {
                    if let Some(value) = self.values.get(field.name) {
                        place(&mut body, field.wire, value.clone());
                    }
                }
            }
            Payload::None => {}
        }
        if body.is_empty() {
            RequestBody::None
        } else {
            RequestBody::Json(Value::Object(body))
        }
    }
}

/// Puts a value at a dotted name.
fn place(body: &mut Map<String, Value>, name: &str, value: Value) {
    match name.split_once('.') {
        None => {
            body.insert(name.into(), value);
        }
        Some((outer, inner)) => {
            let nested = body
                .entry(outer)
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(nested) = nested {
                place(nested, inner, value);
            }
        }
    }
}

/// The path's segments with the parameters in their places.
fn path(operation: &Operation, params: &Params, preset_offset: i8) -> Result<Vec<String>, Failure> {
    let segments = operation.path.split('/').filter(|part| !part.is_empty());
    segments
        .map(|segment| {
            let Some(name) = parameters(segment).next() else {
                return Ok(segment.to_owned());
            };
            let value = params.iter().find(|(known, _)| *known == name);
            let (_, value) = value.ok_or_else(|| {
                Failure::new(
                    ErrorCode::NotFound,
                    match name {
                        "conf_id" => "no call is up".into(),
                        _ => format!("{name} is not given"),
                    },
                )
            })?;
            match name {
                "index" => {
                    let number: i64 = value.parse().map_err(|_| {
                        Failure::new(ErrorCode::InvalidPayload, "a preset is a number")
                    })?;
                    Ok((number + i64::from(preset_offset)).to_string())
                }
                // An id may be the device's own, and a device is not trusted either.
                _ if topics::is_harmless(value) => Ok(value.clone()),
                _ => Err(Failure::new(
                    ErrorCode::DeviceError,
                    format!("the device gave a {name} that cannot be one"),
                )),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use url::Url;

    use super::super::{Plan, Search};
    use super::*;

    /// Every id that a device gives and that ends up in a path.
    fn requests(id: &str) -> Vec<Result<Request, Failure>> {
        let calls = json!([{"id": id, "connections": [{"id": "1"}]}]);
        let meeting = json!({"id": id});
        let mut made = Vec::new();
        for (command, state) in [
            ("call/hangup", &calls),
            ("calendar/current/dial", &meeting),
            ("calendar/next/dial", &meeting),
        ] {
            let call = Call::to(command, Params::new()).unwrap();
            let Plan::From { calls, .. } = call.route.command().plan else {
                panic!("{command} is planned in another way");
            };
            let calls = calls(call, state).unwrap();
            made.extend(calls.iter().map(|call| call.request(0)));
        }
        let search = Call::to("directory/search", Params::new()).unwrap();
        let search = Search::begin(&search, &json!({"id": id})).unwrap();
        made.push(search.page().unwrap().unwrap().request(0));
        made.push(search.delete().unwrap().request(0));
        made
    }

    #[test]
    fn an_id_of_the_devices_cannot_step_out_of_its_path() {
        // The URL library leaves out line ends and tabs before it looks for steps.
        for id in [
            "..",
            ".",
            "a/../../system",
            ".\t.",
            ".\n",
            "a\r\nX-Y: z",
            "\\..\\",
        ] {
            for request in requests(id) {
                assert_eq!(request.unwrap_err().code, ErrorCode::DeviceError, "{id:?}");
            }
        }
        let base = Url::parse("https://device").unwrap();
        for request in requests("AAMk/1+==?#%2e%2e") {
            let request = request.unwrap();
            let url = base.join(&request.target()).unwrap();
            let segments = url.path_segments().unwrap().count();
            assert_eq!(segments, request.path.len(), "{url}");
            assert!(
                url.query().is_none_or(|query| !query.contains("2e")),
                "{url}"
            );
        }
    }
}
