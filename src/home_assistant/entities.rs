//! Makes a component of a document from an entity of the catalogue.

use serde_json::{Map, Value};

use super::document::{AvailabilityTopic, Component, Platform};
use super::{Namespace, id_text};
use crate::catalogue::{
    AnswerKind, Category, Command, Entity, EntityKind, Field, FileSpec, Payload, Rule,
    SelectOption, State, StateTopic, operations,
};

/// An entity with the state or command that has it.
#[derive(Debug, Clone, Copy)]
pub struct CatalogueEntity {
    /// Its description.
    pub entity: &'static Entity,
    source: Source,
}

/// The state or command of an entity.
#[derive(Debug, Clone, Copy)]
enum Source {
    State(&'static State),
    Command(&'static Command),
}

/// Every entity of the catalogue.
pub fn catalogue_entities() -> impl Iterator<Item = CatalogueEntity> {
    // Another spelling has the states of the first.
    let first = operations().filter(|operation| operation.fallback_for.is_none());
    first.flat_map(|operation| {
        let of_states = operation.states.iter().flat_map(|state| {
            state.entities.iter().map(|entity| CatalogueEntity {
                entity,
                source: Source::State(state),
            })
        });
        let of_commands = operation.commands.iter().flat_map(|command| {
            command.entities.iter().map(move |entity| CatalogueEntity {
                entity,
                source: Source::Command(command),
            })
        });
        of_states.chain(of_commands)
    })
}

impl CatalogueEntity {
    /// The state that it shows. For a button: the state that tells whether the device can do it.
    pub fn state(&self) -> Option<StateTopic> {
        match self.source {
            Source::State(state) => Some(state.topic),
            Source::Command(command) => {
                let touched = command.sets.or(command.refresh.first().copied());
                self.entity.of.or(touched)
            }
        }
    }

    /// The state's or command's topic below the room, with its parameter.
    pub fn pattern(&self) -> String {
        match self.source {
            Source::State(state) => state.pattern(),
            Source::Command(command) => command.topic.to_owned(),
        }
    }

    fn payload(&self) -> Option<Payload> {
        match self.source {
            Source::State(_) => None,
            Source::Command(command) => Some(command.payload),
        }
    }

    /// The picture that the query returns.
    fn picture(&self) -> Option<FileSpec> {
        match self.source {
            Source::Command(Command {
                answer: AnswerKind::File(picture),
                ..
            }) => Some(*picture),
            _ => None,
        }
    }

    /// Its key and component. `param` fills in the parameter of name, key and topics; `options` are those
    /// of a select.
    pub fn component(
        &self,
        scope: &Scope<'_>,
        param: Option<&Param>,
        options: &[SelectOption],
    ) -> (String, Component) {
        let own = match param {
            Some(param) => self.pattern().replace(param.pattern, &param.topic),
            None => self.pattern(),
        };
        let own = scope.topic(&own);
        let shown = self.state().map(|state| scope.topic(state.as_str()));
        let platform = self.platform(scope, own, shown, options);
        scope.component(self.entity, platform, param)
    }

    fn platform(
        &self,
        scope: &Scope<'_>,
        own: String,
        shown: Option<String>,
        options: &[SelectOption],
    ) -> Platform {
        let value_template = self.entity.value;
        let state_topic = shown.unwrap_or_default();
        let payload = self.payload();
        match self.entity.kind {
            EntityKind::Switch => Platform::Switch {
                command_topic: own,
                state_topic,
                value_template,
                payload_on: "true",
                payload_off: "false",
            },
            EntityKind::Number => {
                let (min, max) = bounds(payload);
                Platform::Number {
                    command_topic: own,
                    state_topic,
                    min,
                    max,
                    mode: "slider",
                    unit_of_measurement: self.entity.unit,
                }
            }
            EntityKind::Text => Platform::Text {
                command_topic: own,
                command_template: command_template(payload),
                state_topic,
                value_template,
            },
            EntityKind::Select => Platform::Select {
                command_topic: own,
                command_template: command_template(payload),
                state_topic,
                value_template: option_template(value_template.unwrap_or("value"), options),
                options: options.iter().map(|option| option.name.clone()).collect(),
            },
            EntityKind::Button => Platform::Button {
                command_topic: own,
                payload_press: self.entity.sends,
            },
            EntityKind::Image => {
                let picture = self.picture();
                Platform::Image {
                    image_topic: scope.topic(picture.map_or("", |picture| picture.topic)),
                    content_type: picture.map_or("", |picture| picture.content_type),
                }
            }
            EntityKind::Sensor | EntityKind::BinarySensor | EntityKind::Event => {
                read_only(self.entity, own)
            }
        }
    }
}

/// An entity that cannot be set: a sensor or an event.
pub fn read_only(entity: &'static Entity, state_topic: String) -> Platform {
    let value_template = entity.value;
    match entity.kind {
        EntityKind::BinarySensor => Platform::BinarySensor {
            state_topic,
            value_template,
            payload_on: "true",
            payload_off: "false",
        },
        EntityKind::Event => Platform::Event {
            state_topic,
            event_types: entity.words,
            value_template,
        },
        _ => Platform::Sensor {
            state_topic,
            value_template,
            options: entity.words,
            state_class: entity.state_class,
            unit_of_measurement: entity.unit,
        },
    }
}

/// The field that is set by a payload without an object.
fn plain_field(payload: Option<Payload>) -> Option<&'static Field> {
    match payload {
        Some(Payload::Fields {
            bare: Some(bare),
            fields,
            ..
        }) => fields.iter().find(|field| field.name == bare),
        _ => None,
    }
}

fn bounds(payload: Option<Payload>) -> (i64, i64) {
    match plain_field(payload).map(|field| field.rule) {
        Some(Rule::Integer { min, max }) => (min, max),
        _ => (0, 100),
    }
}

/// Makes a JSON object, so that a text which looks like JSON is still taken as text.
fn command_template(payload: Option<Payload>) -> String {
    let field = plain_field(payload).map_or("value", |field| field.name);
    format!("{{{{ {{'{field}': value}} | tojson }}}}")
}

/// Makes the name of the selected option; `None` is Home Assistant's word for none of them. `key`: the
/// expression that makes one of its keys.
fn option_template(key: &str, options: &[SelectOption]) -> String {
    let names = options.iter().flat_map(|option| {
        let keys = option.keys.iter();
        keys.map(|key| (key.clone(), Value::from(option.name.as_str())))
    });
    let names: Map<String, Value> = names.collect();
    // A JSON object of texts is a literal of templates too.
    let names = Value::Object(names);
    format!("{{% set names = {names} %}}{{{{ names.get({key}, 'None') }}}}")
}

/// What to put in the place of a parameter.
#[derive(Debug, Clone)]
pub struct Param {
    /// `{index}`.
    pub pattern: &'static str,
    /// In topics.
    pub topic: String,
    /// In keys and unique ids.
    pub key: String,
    /// In names.
    pub name: String,
    /// In what automations call the entity: like the name, but not what a person configured.
    pub id: String,
}

/// The names around a device's entities.
#[derive(Debug)]
pub struct Scope<'a> {
    /// How topics are named.
    pub namespace: &'a Namespace,
    /// The device's id.
    pub device: String,
    /// What the entities' ids begin with: `boardroom` in `switch.boardroom_microphone_mute`.
    pub entity_prefix: String,
    /// What the device's topics begin with: `room/1/`.
    pub below: String,
}

impl Scope<'_> {
    /// A topic as the broker knows it.
    pub fn topic(&self, below: &str) -> String {
        self.namespace.topic(&format!("{}{below}", self.below))
    }

    /// The availability that this topic tells.
    pub fn availability(&self, topic: &str) -> AvailabilityTopic {
        AvailabilityTopic {
            topic: self.namespace.topic(topic),
        }
    }

    /// The key and the component, with what all kinds have.
    pub fn component(
        &self,
        entity: &'static Entity,
        platform: Platform,
        param: Option<&Param>,
    ) -> (String, Component) {
        let fill = |text: &str, with: fn(&Param) -> &str| match param {
            Some(param) => text.replace(param.pattern, with(param)),
            None => text.to_owned(),
        };
        let key = id_text(&fill(entity.key, |param| &param.key), '_');
        let attributed = entity.attributes.and(match &platform {
            Platform::Sensor { state_topic, .. } | Platform::BinarySensor { state_topic, .. } => {
                Some(state_topic.clone())
            }
            _ => None,
        });
        let enumerated = entity.kind == EntityKind::Sensor && !entity.words.is_empty();
        let called = words_in_id(&fill(entity.name, |param| &param.id));
        let component = Component {
            unique_id: format!("{}_{key}", self.device),
            default_entity_id: format!("{}.{}_{called}", domain(entity.kind), self.entity_prefix),
            name: fill(entity.name, |param| &param.name),
            icon: entity.icon,
            device_class: entity.device_class.or(enumerated.then_some("enum")),
            entity_category: entity.category.map(|category| match category {
                Category::Config => "config",
                Category::Diagnostic => "diagnostic",
            }),
            enabled_by_default: None,
            availability: None,
            json_attributes_topic: attributed,
            json_attributes_template: entity.attributes,
            qos: 1,
            platform,
        };
        (key, component)
    }
}

/// The words of a name as a part of an id: `System: IP network` is `system_ip_network`.
fn words_in_id(name: &str) -> String {
    let text = id_text(name, '_');
    let words: Vec<&str> = text.split('_').filter(|word| !word.is_empty()).collect();
    words.join("_")
}

fn domain(kind: EntityKind) -> &'static str {
    match kind {
        EntityKind::Switch => "switch",
        EntityKind::Number => "number",
        EntityKind::Text => "text",
        EntityKind::Select => "select",
        EntityKind::Button => "button",
        EntityKind::Image => "image",
        EntityKind::Sensor => "sensor",
        EntityKind::BinarySensor => "binary_sensor",
        EntityKind::Event => "event",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{CATALOGUE, SwitchWords};

    /// An entry's entity must be one that its topic can serve.
    #[test]
    fn every_description_fits_its_entry() {
        assert!(catalogue_entities().count() > 20);
        for it in catalogue_entities() {
            let (key, kind) = (it.entity.key, it.entity.kind);
            if let Some(state) = it.state() {
                assert!(
                    CATALOGUE.reader(state).is_some(),
                    "{key}: nothing feeds {state}"
                );
            }
            let takes = |payload: &str| {
                let rule = it.payload().unwrap();
                let read = rule.read(key, payload.as_bytes(), SwitchWords::OnOff);
                assert!(read.values.is_ok(), "{key} {payload}: {:?}", read.values);
            };
            match kind {
                EntityKind::Switch => {
                    takes("true");
                    takes("false");
                    assert!(it.state().is_some(), "{key}");
                }
                EntityKind::Number => {
                    let (min, max) = bounds(it.payload());
                    takes(&min.to_string());
                    takes(&max.to_string());
                    assert!(it.state().is_some(), "{key}");
                }
                EntityKind::Select => {
                    let template = command_template(it.payload());
                    let field = template.split('\'').nth(1).unwrap();
                    takes(&format!("{{\"{field}\":\"x\"}}"));
                    let options = it.entity.options.unwrap();
                    assert!(CATALOGUE.reader(options.state).is_some(), "{key}");
                    assert!(it.state().is_some() && it.entity.value.is_some(), "{key}");
                }
                EntityKind::Text => {
                    let template = command_template(it.payload());
                    let field = template.split('\'').nth(1).unwrap();
                    takes(&format!("{{\"{field}\":\"x\"}}"));
                    assert!(it.state().is_some(), "{key}");
                }
                EntityKind::Button => takes(it.entity.sends),
                EntityKind::Image => assert!(it.picture().is_some(), "{key}"),
                EntityKind::Sensor | EntityKind::BinarySensor | EntityKind::Event => {
                    assert!(it.payload().is_none(), "{key}");
                }
            }
        }
    }
}
