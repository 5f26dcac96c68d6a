//! A checked command: its route, its topic's parameters and its payload's values.
//!
//! Pure. Reads a command from topic and payload, follows its plan, and places its values in path,
//! query and body of a request. Sends nothing: the device client does.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::command::{Command, Plan};
use super::device_config::secret_values;
use super::field::{Field, Rule, SentIn, TOGGLE};
use super::pattern::{PRESET, parameters};
use super::payload::Payload;
use super::preset_names::PresetNames;
use super::references::CommandTopic;
use super::request::{Request, RequestBody, path, read_query};
use super::route::{Route, Variant};
use super::router::CATALOGUE;
use super::state::Context;
use super::step::{Params, Step};
use crate::command::{ErrorCode, Failure};
use crate::json::JsonText;

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
    /// Reads a command's topic and payload. The request id is handed over even when the rest fails.
    ///
    /// # Errors
    /// `unknown_command` or `invalid_payload`, saying what is allowed.
    pub fn parse(
        command: &str,
        payload: &Bytes,
        request_id: &mut Option<JsonText>,
    ) -> Result<Self, Failure> {
        let found = CATALOGUE.route(command);
        let rule = match &found {
            Ok((route, _)) => route.command(),
            Err(_) => &Command::new("", ""),
        };
        let name = found.as_ref().map_or(command, |(route, _)| &route.topic);
        let read = rule.payload.read(name, payload, rule.switch_words());
        *request_id = read.request_id;
        let (route, params) = found?;
        let values = read
            .values
            .map_err(|message| Failure::new(ErrorCode::InvalidPayload, message))?;
        let bytes = match rule.payload {
            Payload::Bytes { .. } => payload.clone(),
            _ => Bytes::new(),
        };
        Ok(Self {
            route,
            params,
            values,
            bytes,
        })
    }

    /// The request id in the payload of a command that is refused before it is looked at. The command
    /// need not exist.
    pub fn request_id(command: &str, payload: &Bytes) -> Option<JsonText> {
        let mut request_id = None;
        let _ = Self::parse(command, payload, &mut request_id);
        request_id
    }

    /// Whether a command that may have been carried out can be carried out again: the second time changes
    /// nothing, or it fails before a request is sent. What is found from the state at the time is another command
    /// the second time.
    pub fn is_safe_to_repeat(command: &str, payload: &Bytes) -> bool {
        let Ok(call) = Self::parse(command, payload, &mut None) else {
            return true;
        };
        let mut variants = call.spellings();
        let is_plain = |variant: &Variant| {
            let command = &variant.command;
            let plan = matches!(
                command.plan,
                Plan::Direct | Plan::Split(_) | Plan::Read(_) | Plan::Stored(_) | Plan::Search
            );
            command.idempotent && plan
        };
        call.toggled().is_none() && variants.all(is_plain)
    }

    /// The call of a command whose payload, a file, streams in.
    ///
    /// # Errors
    /// `unknown_command`, or `invalid_payload` where the command takes no file.
    pub fn upload(command: &str) -> Result<Self, Failure> {
        let (route, params) = CATALOGUE.route(command)?;
        if !matches!(route.command().payload, Payload::Bytes { .. }) {
            let message = format!("{} takes no file", route.topic);
            return Err(Failure::new(ErrorCode::InvalidPayload, message));
        }
        Ok(Self::of(route, params))
    }

    /// A call of a route, without a payload.
    pub fn of(route: &'static Route, params: Params) -> Self {
        Self {
            route,
            params,
            values: Map::new(),
            bytes: Bytes::new(),
        }
    }

    /// A call that the gateway itself makes, not a client.
    ///
    /// # Errors
    /// No entry has that topic, or its parameters are others: whoever refers to it is wrong.
    pub(crate) fn to(command: CommandTopic, params: Params) -> Result<Self, Failure> {
        let wrong =
            |what: &str| Failure::new(ErrorCode::UnknownCommand, format!("{command} {what}"));
        let route = CATALOGUE
            .pattern(command.as_str())
            .ok_or_else(|| wrong("is not a command"))?;
        let given = params.iter().map(|(name, _)| *name);
        if !parameters(command.as_str()).eq(given) {
            return Err(wrong("has other parameters"));
        }
        Ok(Self::of(route, params))
    }

    /// Whether it calls this command.
    pub(crate) fn is(&self, command: CommandTopic) -> bool {
        self.route.topic == command.as_str()
    }

    /// The same call with one value changed.
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        debug_assert!(
            self.route.command().payload.has(field),
            "{} has no field {field}",
            self.route.topic
        );
        self.values.insert(field.into(), value.into());
        self
    }

    /// The same call with a preset's number where its topic has a name.
    ///
    /// # Errors
    /// `invalid_payload`: no preset has that number or name.
    pub fn with_preset_number(mut self, names: &PresetNames) -> Result<Self, Failure> {
        for (_, given) in self.params.iter_mut().filter(|(name, _)| *name == PRESET) {
            let number = names.resolve(given);
            let number = number.map_err(|why| Failure::new(ErrorCode::InvalidPayload, why))?;
            *given = number.to_string();
        }
        Ok(self)
    }

    /// A parameter of the topic.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The texts of its payload that no message may repeat.
    pub fn secrets(&self) -> Vec<String> {
        let Payload::Fields { fields, .. } = self.route.command().payload else {
            return Vec::new();
        };
        let given = |field: &Field| Some((field.rule, self.values.get(field.name)?));
        let mut found = Vec::new();
        for (rule, value) in fields.iter().filter_map(given) {
            match rule {
                Rule::Secret => found.extend(value.as_str().map(str::to_owned)),
                Rule::Setting(rule) if rule.is_secret() => found.extend(secret_values(value)),
                _ => {}
            }
        }
        found.retain(|text| !text.is_empty());
        found
    }

    /// The field that says `toggle`, if one does.
    pub fn toggled(&self) -> Option<&str> {
        self.values
            .iter()
            .find(|(_, value)| value.as_str() == Some(TOGGLE))
            .map(|(field, _)| field.as_str())
    }

    /// Its operation. If two operations share the topic, the value of the switch selects one.
    pub fn variant(&self) -> &'static Variant {
        let first = self.spellings().next();
        first.unwrap_or(&self.route.variants[0])
    }

    /// Its operation, then those that are sent only where the device lacks the ones before.
    pub fn spellings(&self) -> impl Iterator<Item = &'static Variant> + use<> {
        let on = self.values.values().find_map(Value::as_bool);
        let fits =
            move |command: &Command| command.selected_by.is_none() || command.selected_by == on;
        let variants = self.route.variants.iter();
        variants.filter(move |variant| fits(&variant.command))
    }

    /// The calls of its plan, in order; the call itself if the plan has no steps.
    /// `state` is the value of the state that [`Plan::From`] reads first.
    ///
    /// # Errors
    /// The plan says what is wrong with the payload or the state.
    pub fn planned(&self, context: &Context, state: &Value) -> Result<Vec<Self>, Failure> {
        let own = Step {
            command: None,
            params: self.params.clone(),
            values: self.values.clone(),
        };
        let steps = match self.route.command().plan {
            Plan::Split(split) => split(own, context)?,
            Plan::From { steps, .. } => steps(own, state)?,
            _ => return Ok(vec![self.clone()]),
        };
        let follow = |step: Step| {
            let call = match step.command {
                Some(command) => Self::to(command, step.params)?,
                None => Self::of(self.route, step.params),
            };
            let values = step.values.into_iter();
            Ok(values.fold(call, |call, (field, value)| call.with(&field, value)))
        };
        steps.into_iter().map(follow).collect()
    }

    /// The request that carries it out; `preset_offset` is added to a preset's number.
    ///
    /// # Errors
    /// A parameter is missing or not a preset's number.
    pub fn request(&self, preset_offset: i8) -> Result<Request, Failure> {
        self.request_spelled(self.variant(), preset_offset)
    }

    /// Like [`Call::request`], in one of its spellings.
    ///
    /// # Errors
    /// As there.
    pub fn request_spelled(
        &self,
        variant: &'static Variant,
        preset_offset: i8,
    ) -> Result<Request, Failure> {
        let Variant { operation, command } = variant;
        let mut params = self.params.clone();
        let bound = command.path_constants.iter();
        params.extend(bound.map(|(name, value)| (*name, (*value).to_owned())));
        Ok(Request {
            method: operation.method,
            path: path(operation, &params, preset_offset)?,
            query: match self.query(command.payload) {
                given if given.is_empty() => read_query(operation),
                given => given,
            },
            body: self.body(command),
            repeatable: command.idempotent,
            is_read: operation.method == super::operation::Method::Get,
        })
    }

    fn query(&self, payload: Payload) -> Vec<(&'static str, String)> {
        let Payload::Fields { fields, .. } = payload else {
            return Vec::new();
        };
        let text = |field: &Field| match (field.sent_in, self.values.get(field.name)?) {
            (SentIn::Query, Value::String(text)) => Some(text.clone()),
            (SentIn::Query, other) => Some(other.to_string()),
            (SentIn::QueryTrueFalse, value) => {
                Some(if value.as_bool()? { "True" } else { "False" }.into())
            }
            (SentIn::Body | SentIn::Gateway, _) => None,
        };
        let queried = fields.iter();
        queried
            .filter_map(|field| Some((field.wire, text(field)?)))
            .collect()
    }

    fn body(&self, command: &Command) -> RequestBody {
        let mut body = Map::new();
        for (param, name) in command.params_in_body {
            body.insert((*name).into(), self.param(param).into());
        }
        for (name, value) in command.body_constants {
            body.insert((*name).into(), (*value).into());
        }
        for (name, value) in command.body_flags {
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
                for field in fields.iter().filter(|field| field.sent_in == SentIn::Body) {
                    if let Some(value) = self.values.get(field.name) {
                        insert_nested(&mut body, field.wire, value.clone());
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

/// Puts a value at a dotted name: `camPosition.pan` is the field `pan` of the object `camPosition`.
fn insert_nested(body: &mut Map<String, Value>, name: &str, value: Value) {
    match name.split_once('.') {
        None => {
            body.insert(name.into(), value);
        }
        Some((outer, inner)) => {
            let nested = body
                .entry(outer)
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(nested) = nested {
                insert_nested(nested, inner, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use url::Url;

    use super::super::Search;
    use super::*;

    const CONTEXT: Context = Context {
        now: 0,
        preset_offset: None,
        preset_names: None,
        started: None,
    };

    fn call(command: &str) -> Call {
        Call::of(CATALOGUE.pattern(command).unwrap(), Params::new())
    }

    /// The requests with every id that a device gives and that ends up in a path.
    fn requests(id: &str) -> Vec<Result<Request, Failure>> {
        let calls = json!([{"id": id, "connections": [{"id": "1"}]}]);
        let meeting = json!({"id": id});
        let mut made = Vec::new();
        for (command, state) in [
            ("call/hangup", &calls),
            ("calendar/current/dial", &meeting),
            ("calendar/next/dial", &meeting),
        ] {
            let calls = call(command).planned(&CONTEXT, state).unwrap();
            made.extend(calls.iter().map(|call| call.request(0)));
        }
        let search = Search::begin(&call("directory/search"), &json!({"id": id})).unwrap();
        made.push(search.page().unwrap().unwrap().request(0));
        made.push(search.delete().unwrap().request(0));
        made
    }

    #[test]
    fn only_what_changes_nothing_the_second_time_is_safe_to_repeat() {
        for (command, payload, is_safe) in [
            ("audio/volume/set", "40", true),
            ("audio/mute", "", true),
            ("audio/volume/get", "", true),
            // Answered without a request.
            ("audio/volume/set", "loud", true),
            ("no/such/command", "", true),
            ("audio/volume/up", "", false),
            ("audio/muted/set", "toggle", false),
            ("call/dial", "1234", false),
            ("calendar/next/dial", "", false),
            ("camera/move", "left", false),
            ("system/reboot", "", false),
        ] {
            let safe = Call::is_safe_to_repeat(command, &Bytes::from(payload));
            assert_eq!(safe, is_safe, "{command} {payload}");
        }
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
