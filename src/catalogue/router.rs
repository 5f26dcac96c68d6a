//! From a topic to the entry it means.
//!
//! Owns the table that is made from all entries at the first use, and the matching: a literal
//! level wins over a parameter. Pure.

use std::collections::HashMap;
use std::sync::LazyLock;

use bytes::Bytes;

use super::call::Params;
use super::payload::Payload;
use super::state::State;
use super::{Call, Command, GUARDED, Kind, Method, Operation, Plan, operations};
use crate::command::{ErrorCode, Failure};
use crate::topics;

/// The catalogue of this program.
pub static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(Catalogue::build);

/// An operation together with the command that carries it out.
#[derive(Debug)]
pub struct Variant {
    /// The REST operation.
    pub operation: &'static Operation,
    /// The entry of the topic.
    pub command: Command,
}

/// No command's topic is as long, its parameters left out.
const LONGEST_MEANT: usize = 128;

/// A topic pattern with what it means.
#[derive(Debug)]
pub struct Route {
    /// The pattern below the room: `camera/preset/{index}/activate`.
    pub topic: String,
    /// One operation, or two that a switch chooses between.
    pub variants: Vec<Variant>,
}

impl Route {
    /// The command of its first variant, which two variants have alike but for the switch.
    pub fn command(&self) -> &Command {
        &self.variants[0].command
    }

    /// Whether it asks or changes.
    pub fn kind(&self) -> Kind {
        let by_method = match self.variants[0].operation.method {
            Method::Get => Kind::Query,
            _ => Kind::Command,
        };
        self.command().kind.unwrap_or(by_method)
    }

    /// It needs the room's `allow`, or an administrator.
    pub fn guarded(&self) -> bool {
        GUARDED.contains(&self.topic.as_str())
    }
}

/// All topics of all operations.
#[derive(Debug)]
pub struct Catalogue {
    routes: Vec<Route>,
    /// Where in `routes` each pattern is.
    places: HashMap<String, usize>,
    readers: HashMap<&'static str, (&'static Operation, &'static State)>,
}

/// The names of the `{parameters}` in a path or pattern.
pub fn parameters(pattern: &str) -> impl Iterator<Item = &str> {
    pattern
        .split('/')
        .filter_map(|level| level.strip_prefix('{')?.strip_suffix('}'))
}

/// What a parameter stands for, for people.
pub fn about_parameter(name: &str) -> &'static str {
    match name {
        "conf_id" => "a conference's id, as `calls` lists it",
        "conn_id" => "a connection's id, as `calls` lists it within its conference",
        "term_id" => "a terminal's id, as `call/{conf_id}/terminals/get` answers",
        "index" => "a preset's number, 1 to 10",
        "source_id" => {
            "a camera's number, as `camera/near` or `camera/far` lists it; a position also takes \
             `SELECTED_PEOPLE`"
        }
        "meeting_id" => "a meeting's id, as `calendar/meetings` lists it",
        "entry_id" => "a directory entry's id, as a search answers",
        "query_id" => "a directory query's id, as `directory/query/create` answers",
        "server_id" => "a directory server's id, the `serverId` of its entries",
        "name" => "a part of the system, as `system/status` lists it after `system.status.`",
        _ => "a value that the device knows",
    }
}

impl Catalogue {
    fn build() -> Self {
        let mut catalogue = Self {
            routes: Vec::new(),
            places: HashMap::new(),
            readers: HashMap::new(),
        };
        for operation in operations() {
            for command in operation.commands {
                catalogue.add(command.topic.into(), operation, *command);
            }
        }
        for operation in operations() {
            for state in operation.states {
                let topic = format!("{}/get", state.pattern());
                if catalogue.pattern(&topic).is_none() {
                    let plan = match operation.method {
                        Method::Get => Plan::State(state.topic),
                        _ => Plan::Held(state.topic),
                    };
                    let command = Command::new("").kind(Kind::Query).plan(plan);
                    catalogue.add(topic, operation, command);
                }
                if operation.method == Method::Get {
                    let reader = catalogue.readers.entry(state.topic);
                    let reader = reader.or_insert((operation, state));
                    if operation.states.len() < reader.0.states.len() {
                        *reader = (operation, state);
                    }
                }
            }
        }
        catalogue
    }

    fn add(&mut self, topic: String, operation: &'static Operation, command: Command) {
        let variant = Variant { operation, command };
        match self.places.get(&topic) {
            Some(place) => self.routes[*place].variants.push(variant),
            None => {
                self.places.insert(topic.clone(), self.routes.len());
                self.routes.push(Route {
                    topic,
                    variants: vec![variant],
                });
            }
        }
    }

    /// All topics that take commands and queries.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The route of exactly this pattern.
    pub fn pattern(&self, pattern: &str) -> Option<&Route> {
        self.places.get(pattern).map(|place| &self.routes[*place])
    }

    /// The operation that reads a state with the least work: one that feeds nothing else comes
    /// first.
    pub fn reader(&self, state: &str) -> Option<(&'static Operation, &'static State)> {
        self.readers.get(state).copied()
    }

    /// Whether a topic below the room is a state that is read from the device.
    pub fn is_state(&self, topic: &str) -> bool {
        let levels: Vec<&str> = topic.split('/').collect();
        let mut states = operations().flat_map(|operation| operation.states);
        states.any(|state| matches(&state.pattern(), &levels))
    }

    /// Finds the route of a topic below the room, levels still encoded, and its parameters.
    ///
    /// # Errors
    /// `unknown_command` with what might have been meant, `invalid_payload` for a level that
    /// decodes to something forbidden.
    pub fn route(&'static self, command: &str) -> Result<(&'static Route, Params), Failure> {
        // No route has more literals than the one that is all literals.
        if let Some(route) = self.pattern(command).filter(|_| !command.contains('{')) {
            return Ok((route, Params::new()));
        }
        let levels: Vec<&str> = command.split('/').collect();
        let route = self
            .routes
            .iter()
            .filter(|route| matches(&route.topic, &levels))
            .min_by_key(|route| literals_last(&route.topic))
            .ok_or_else(|| Failure::new(ErrorCode::UnknownCommand, self.hint(command)))?;
        let mut params = Vec::new();
        for (pattern, level) in route.topic.split('/').zip(&levels) {
            if let Some(name) = parameters(pattern).next() {
                let value = topics::decode_level(level)
                    .and_then(|value| check(name, value))
                    .map_err(|message| Failure::new(ErrorCode::InvalidPayload, message))?;
                params.push((name, value));
            }
        }
        Ok((route, params))
    }

    /// What a topic that means nothing might have meant. Comparing takes time by its
    /// length, which is the sender's to choose.
    fn hint(&self, command: &str) -> String {
        for verb in ["set", "get"] {
            let below = format!("{command}/{verb}");
            let levels: Vec<&str> = below.split('/').collect();
            if self
                .routes
                .iter()
                .any(|route| matches(&route.topic, &levels))
            {
                return format!("{command} is not a command; publish to {below}");
            }
        }
        if command.len() > LONGEST_MEANT {
            return format!("{command:.64}… is not a command; \"poly2mqtt topics\" lists them all");
        }
        // Texts are at least as far apart as their lengths are.
        let length = command.chars().count();
        let far = 4.max(length / 4);
        let near = self
            .routes
            .iter()
            .filter(|route| route.topic.len().abs_diff(length) <= far)
            .map(|route| (strsim::osa_distance(&route.topic, command), &route.topic))
            .min()
            .filter(|(distance, _)| *distance <= far);
        match near {
            Some((_, near)) => {
                format!("{command} is not a command; did you mean {near}?")
            }
            None => format!("{command} is not a command; \"poly2mqtt topics\" lists them all"),
        }
    }
}

/// Which levels are parameters, as a key that sorts literals first.
fn literals_last(pattern: &str) -> Vec<bool> {
    pattern
        .split('/')
        .map(|level| level.starts_with('{'))
        .collect()
}

fn matches(pattern: &str, levels: &[&str]) -> bool {
    let mut pattern = pattern.split('/');
    let fits = levels.iter().all(|level| {
        pattern
            .next()
            .is_some_and(|part| part.starts_with('{') || part == *level)
    });
    fits && pattern.next().is_none()
}

/// What a parameter may be, beyond one level of text.
fn check(name: &'static str, value: String) -> Result<String, String> {
    match name {
        "index" => match value.parse::<u8>() {
            Ok(index @ 1..=10) => Ok(index.to_string()),
            _ => Err(format!(
                "a preset is a number from 1 to 10, not \"{value}\""
            )),
        },
        _ => Ok(value),
    }
}

impl Call {
    /// Reads a command's topic and payload. The request id is handed over even when the rest fails.
    ///
    /// # Errors
    /// `unknown_command` or `invalid_payload`, saying what is allowed.
    pub fn parse(
        command: &str,
        payload: &Bytes,
        request_id: &mut Option<serde_json::Value>,
    ) -> Result<Self, Failure> {
        let found = CATALOGUE.route(command);
        let rule = match &found {
            Ok((route, _)) => route.command(),
            Err(_) => &Command::new(""),
        };
        let name = found.as_ref().map_or(command, |(route, _)| &route.topic);
        let read = rule.payload.read(name, payload, rule.toggles.is_some());
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
        Ok(Self {
            route,
            params,
            values: serde_json::Map::new(),
            bytes: Bytes::new(),
        })
    }
}
