//! From a topic to the entry it means.
//!
//! Owns the table that is made from all entries at the first use, and the matching of topics below
//! the room: a literal level wins over a parameter. Pure.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::areas::operations;
use super::command::{AnswerKind, Command, Plan, TopicKind};
use super::file::FileSpec;
use super::operation::Operation;
use super::pattern::{matches, parameters};
use super::references::StateTopic;
use super::route::{Route, Variant};
use super::state::State;
use super::step::Params;
use crate::command::{ErrorCode, Failure};
use crate::nearest::nearest;
use crate::topics;
use crate::visible::quoted_start;

/// The catalogue of this program.
pub static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(Catalogue::build);

/// A longer topic is not compared with the commands: none is as long, and the time to compare
/// grows with the length, which the sender chooses.
const LONGEST_COMPARED: usize = 128;

/// All topics of all operations.
#[derive(Debug)]
pub struct Catalogue {
    routes: Vec<Route>,
    /// The index in `routes` of each pattern.
    by_pattern: HashMap<String, usize>,
    /// The operation that reads each state with the least work.
    readers: HashMap<StateTopic, (&'static Operation, &'static State)>,
    /// The other spelling of each read that has one, by the path of the first.
    fallbacks: HashMap<&'static str, &'static Operation>,
}

impl Catalogue {
    fn build() -> Self {
        let mut catalogue = Self {
            routes: Vec::new(),
            by_pattern: HashMap::new(),
            readers: HashMap::new(),
            fallbacks: HashMap::new(),
        };
        for operation in operations() {
            for command in operation.commands {
                catalogue.add(command.topic.into(), command.about, operation, *command);
            }
        }
        for operation in operations() {
            if let Some(path) = operation.fallback_for {
                catalogue.fallbacks.insert(path, operation);
                continue;
            }
            for state in operation.states {
                let topic = format!("{}/get", state.pattern());
                if catalogue.pattern(&topic).is_none() {
                    let shown = state.pattern();
                    let (plan, about) = if operation.reads() {
                        (
                            Plan::Read(state.topic),
                            format!(
                                "Reads `{shown}` from the device now, publishes it, and answers with it."
                            ),
                        )
                    } else {
                        (
                            Plan::Stored(state.topic),
                            format!("Answers with `{shown}` as it was last published."),
                        )
                    };
                    let command = Command::new("", "").kind(TopicKind::Query).plan(plan);
                    catalogue.add(topic, &about, operation, command);
                }
                if operation.reads() {
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

    fn add(&mut self, topic: String, about: &str, operation: &'static Operation, command: Command) {
        let variant = Variant { operation, command };
        match self.by_pattern.get(&topic) {
            Some(index) => self.routes[*index].variants.push(variant),
            None => {
                self.by_pattern.insert(topic.clone(), self.routes.len());
                self.routes.push(Route {
                    topic,
                    about: about.to_owned(),
                    variants: vec![variant],
                });
            }
        }
    }

    /// All topics that take commands and queries.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The commands that need the room's `allow`, or an administrator.
    pub fn guarded(&self) -> impl Iterator<Item = &str> {
        let guarded = self.routes.iter().filter(|route| route.guarded());
        guarded.map(|route| route.topic.as_str())
    }

    /// The route of exactly this pattern.
    pub fn pattern(&self, pattern: &str) -> Option<&Route> {
        self.by_pattern
            .get(pattern)
            .map(|index| &self.routes[*index])
    }

    /// The operation that reads a state with the least work: one that feeds nothing else comes
    /// first.
    pub fn reader(&self, state: StateTopic) -> Option<(&'static Operation, &'static State)> {
        self.readers.get(&state).copied()
    }

    /// The operation that reads the same states where the device lacks this one.
    pub fn fallback_of(&self, operation: &Operation) -> Option<&'static Operation> {
        self.fallbacks
            .get(operation.path)
            .copied()
            .filter(|_| operation.reads())
    }

    /// Whether a topic below the room is a state of the catalogue.
    pub fn is_state(&self, topic: &str) -> bool {
        let levels: Vec<&str> = topic.split('/').collect();
        let mut states = operations().flat_map(|operation| operation.states);
        states.any(|state| matches(&state.pattern(), &levels))
    }

    /// Whether a topic below the room is a command or query. Its parameters are not looked at.
    pub fn is_command(&self, topic: &str) -> bool {
        let levels: Vec<&str> = topic.split('/').collect();
        let mut routes = self.routes.iter();
        self.pattern(topic).is_some() || routes.any(|route| matches(&route.topic, &levels))
    }

    /// Whether the gateway publishes at a topic below the room: a state, or a file that a device
    /// answered with. Ask [`Catalogue::is_command`] first: `system/status/get` is a query.
    pub fn is_published(&self, topic: &str) -> bool {
        self.files().any(|file| file.topic == topic) || self.is_state(topic)
    }

    /// Whether the gateway keeps a file at a topic below the room, as a state.
    pub fn is_kept_file(&self, topic: &str) -> bool {
        self.files()
            .any(|file| file.is_state && file.topic == topic)
    }

    /// The files that devices answer with.
    fn files(&self) -> impl Iterator<Item = FileSpec> {
        let variants = self.routes.iter().flat_map(|route| &route.variants);
        variants.filter_map(|variant| match variant.command.answer {
            AnswerKind::File(file) => Some(file),
            AnswerKind::Json => None,
        })
    }

    /// Whether a command that was sent at a topic below the room changes nothing at the device.
    pub fn only_reads(&self, command: &str) -> bool {
        self.find(command).is_some_and(Route::only_reads)
    }

    /// The route of a topic below the room.
    fn find(&self, command: &str) -> Option<&Route> {
        // A pattern without parameters wins over every other.
        if let Some(route) = self.pattern(command).filter(|_| !command.contains('{')) {
            return Some(route);
        }
        let levels: Vec<&str> = command.split('/').collect();
        let routes = self.routes.iter();
        let routes = routes.filter(|route| matches(&route.topic, &levels));
        routes.min_by_key(|route| literals_last(&route.topic))
    }

    /// Finds the route of a topic below the room, levels still encoded, and its parameters as they
    /// were sent: what a preset is called is the room's.
    ///
    /// # Errors
    /// `unknown_command` with the nearest known topic, `invalid_payload` for a level that
    /// decodes to something forbidden.
    pub fn route(&'static self, command: &str) -> Result<(&'static Route, Params), Failure> {
        let route = self
            .find(command)
            .ok_or_else(|| Failure::new(ErrorCode::UnknownCommand, self.hint(command)))?;
        let mut params = Vec::new();
        for (pattern, level) in route.topic.split('/').zip(command.split('/')) {
            if let Some(name) = parameters(pattern).next() {
                let value = topics::decode_level(level)
                    .map_err(|message| Failure::new(ErrorCode::InvalidPayload, message))?;
                params.push((name, value));
            }
        }
        Ok((route, params))
    }

    /// The message about an unknown topic, with the nearest known one.
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
        if command.len() > LONGEST_COMPARED {
            let start = quoted_start(command);
            return format!("{start} is not a command; \"poly2mqtt topics\" lists them all");
        }
        let filled: Vec<String> = self
            .routes
            .iter()
            .map(|route| filled(&route.topic, command))
            .collect();
        match nearest(command, filled.iter().map(String::as_str)) {
            Some(near) => format!("{command} is not a command; did you mean {near}?"),
            None => format!("{command} is not a command; \"poly2mqtt topics\" lists them all"),
        }
    }
}

/// A pattern with the levels of `command` in place of its parameters, if it has as many levels.
fn filled(pattern: &str, command: &str) -> String {
    let (parts, levels) = (pattern.split('/'), command.split('/'));
    if parts.clone().count() != levels.clone().count() {
        return pattern.to_owned();
    }
    let level = |(part, level)| match parameters(part).next() {
        Some(_) => level,
        None => part,
    };
    let levels: Vec<&str> = parts.zip(levels).map(level).collect();
    levels.join("/")
}

/// Which levels are parameters, as a key that sorts literals first.
fn literals_last(pattern: &str) -> Vec<bool> {
    pattern
        .split('/')
        .map(|level| level.starts_with('{'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_topic_is_told_the_one_that_was_meant() {
        for (given, meant) in [
            ("audio/volum/set", "did you mean audio/volume/set?"),
            ("audio/volume", "publish to audio/volume/set"),
            ("audio/vol", "did you mean audio/volume/"),
            ("AUDIO/MUTE", "did you mean audio/mute?"),
            (
                "camera/preset/3/actvate",
                "did you mean camera/preset/3/activate?",
            ),
            (
                "call/conection/7/answer",
                "did you mean call/connection/7/answer?",
            ),
            ("lights/on", "\"poly2mqtt topics\" lists them all"),
        ] {
            let message = CATALOGUE.route(given).unwrap_err().message;
            assert!(message.contains(meant), "{message}");
        }
    }

    /// So that rights can tell them apart by the topic alone.
    #[test]
    fn what_the_gateway_publishes_is_no_command() {
        let states = operations().flat_map(|operation| operation.states);
        let states = states.map(|state| state.pattern().replace("{name}", "x"));
        let variants = CATALOGUE.routes.iter().flat_map(|route| &route.variants);
        let files = variants.filter_map(|variant| match variant.command.answer {
            AnswerKind::File(file) => Some(file.topic.to_owned()),
            AnswerKind::Json => None,
        });
        let published: Vec<String> = states.chain(files).collect();
        assert!(published.len() > 50, "{published:?}");
        for topic in published {
            assert!(CATALOGUE.is_published(&topic), "{topic}");
            assert!(!CATALOGUE.is_command(&topic), "{topic}");
        }
        for route in CATALOGUE.routes() {
            assert!(CATALOGUE.is_command(&route.topic), "{}", route.topic);
        }
    }
}
