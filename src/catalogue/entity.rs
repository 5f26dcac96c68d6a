//! The Home Assistant entity of a state or command, as its catalogue entry defines it.
//!
//! Pure data. `home_assistant` makes topics, ids and the discovery document from it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::references::StateTopic;

/// An entity of a catalogue entry. The templates are Home Assistant's.
#[derive(Debug, Clone, Copy)]
pub struct Entity {
    /// Its kind.
    pub kind: EntityKind,
    /// Its part of the entity's unique id. It must never change, or Home Assistant sees a new entity.
    pub key: &'static str,
    /// Its name, which Home Assistant shows after the device's name. What automations call the entity is
    /// made from it.
    pub name: &'static str,
    /// Its icon: `mdi:…`.
    pub icon: Option<&'static str>,
    /// Home Assistant's device class, where one fits.
    pub device_class: Option<&'static str>,
    /// The part of the device's page that shows it.
    pub category: Option<Category>,
    /// Whether Home Assistant enables it by default.
    pub enabled: Enabled,
    /// The state that it shows, if that is not the one its command sets. A device without that
    /// state does not have the entity.
    pub of: Option<StateTopic>,
    /// The states that a device must have besides, for a command that needs more than what it shows.
    pub needs: &'static [StateTopic],
    /// It is there only while its state is; otherwise also while the same read brings another state.
    pub when_told: bool,
    /// For an entity of each part of the system: whether it is for this one, by the last level of its topic.
    pub parts: Option<fn(&str) -> bool>,
    /// A template that makes the shown value of the state's payload (`true` or `false` for what is
    /// on or off); without one the payload is shown.
    pub value: Option<&'static str>,
    /// A template that makes the attributes of the state's payload.
    pub attributes: Option<&'static str>,
    /// For a sensor all words that it can show (empty: any text), for an event all its types.
    pub words: &'static [&'static str],
    /// Where the options of a select come from.
    pub options: Option<EntityOptions>,
    /// The unit of a number.
    pub unit: Option<&'static str>,
    /// Home Assistant's state class of a number.
    pub state_class: Option<&'static str>,
    /// The payload of a button.
    pub sends: &'static str,
}

/// The options of a select, which a state lists. The entity's `value` is an expression of Home Assistant's
/// templates that makes one of the selected option's keys of the payload of the state that it shows.
#[derive(Debug, Clone, Copy)]
pub struct EntityOptions {
    /// The state.
    pub state: StateTopic,
    /// The options in its value.
    pub read: fn(&Value) -> Vec<SelectOption>,
}

/// One option of a select.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SelectOption {
    /// By what the device says that it is selected.
    pub keys: Vec<String>,
    /// What people see, and the command takes.
    pub name: String,
}

/// The kinds of entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntityKind {
    /// A command that takes true and false.
    Switch,
    /// A command that takes a whole number; its bounds are the payload's.
    Number,
    /// A command that takes a text.
    Text,
    /// A command that takes one of several texts, which a state lists.
    Select,
    /// A command that is sent with a fixed payload.
    Button,
    /// The picture that a query returns.
    Image,
    /// A state.
    Sensor,
    /// A state that is true or false.
    BinarySensor,
    /// An event.
    Event,
}

/// The part of the device's page that shows an entity. Without a category it is among the controls
/// and sensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category {
    /// Settings.
    Config,
    /// Diagnostics.
    Diagnostic,
}

/// Whether an entity is enabled by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enabled {
    /// Yes.
    Always,
    /// No: few people need it.
    Never,
    /// Yes, and it is there only while the preset with its number is stored.
    WhileStored,
    /// If the room allows its guarded command.
    WhenAllowed,
}

impl Entity {
    pub(crate) const fn new(kind: EntityKind, key: &'static str, name: &'static str) -> Self {
        Self {
            kind,
            key,
            name,
            icon: None,
            device_class: None,
            category: None,
            enabled: Enabled::Always,
            of: None,
            needs: &[],
            when_told: false,
            parts: None,
            value: None,
            attributes: None,
            words: &[],
            options: None,
            unit: None,
            state_class: None,
            sends: "",
        }
    }

    pub(crate) const fn switch(key: &'static str, name: &'static str) -> Self {
        Self::new(EntityKind::Switch, key, name)
    }

    pub(crate) const fn number(key: &'static str, name: &'static str) -> Self {
        Self::new(EntityKind::Number, key, name)
    }

    pub(crate) const fn text(key: &'static str, name: &'static str) -> Self {
        Self::new(EntityKind::Text, key, name)
    }

    pub(crate) const fn select(
        key: &'static str,
        name: &'static str,
        options: EntityOptions,
    ) -> Self {
        Self {
            options: Some(options),
            ..Self::new(EntityKind::Select, key, name)
        }
    }

    pub(crate) const fn image(key: &'static str, name: &'static str) -> Self {
        Self::new(EntityKind::Image, key, name)
    }

    pub(crate) const fn button(key: &'static str, name: &'static str) -> Self {
        Self::new(EntityKind::Button, key, name)
    }

    pub(crate) const fn sensor(key: &'static str, name: &'static str) -> Self {
        Self::new(EntityKind::Sensor, key, name)
    }

    pub(crate) const fn binary_sensor(key: &'static str, name: &'static str) -> Self {
        Self::new(EntityKind::BinarySensor, key, name)
    }

    pub(crate) const fn icon(self, icon: &'static str) -> Self {
        Self {
            icon: Some(icon),
            ..self
        }
    }

    pub(crate) const fn class(self, class: &'static str) -> Self {
        Self {
            device_class: Some(class),
            ..self
        }
    }

    pub(crate) const fn config(self) -> Self {
        Self {
            category: Some(Category::Config),
            ..self
        }
    }

    pub(crate) const fn diagnostic(self) -> Self {
        Self {
            category: Some(Category::Diagnostic),
            ..self
        }
    }

    pub(crate) const fn enabled(self, enabled: Enabled) -> Self {
        Self { enabled, ..self }
    }

    pub(crate) const fn of(self, state: StateTopic) -> Self {
        Self {
            of: Some(state),
            ..self
        }
    }

    /// A device without one of these states cannot do it.
    pub(crate) const fn needs(self, states: &'static [StateTopic]) -> Self {
        Self {
            needs: states,
            ..self
        }
    }

    /// For what some devices do not tell, though they tell the rest of the same answer.
    pub(crate) const fn when_told(self) -> Self {
        Self {
            when_told: true,
            ..self
        }
    }

    /// It is for the parts of the system that this selects.
    pub(crate) const fn parts(self, parts: fn(&str) -> bool) -> Self {
        Self {
            parts: Some(parts),
            ..self
        }
    }

    pub(crate) const fn value(self, template: &'static str) -> Self {
        Self {
            value: Some(template),
            ..self
        }
    }

    pub(crate) const fn attributes(self, template: &'static str) -> Self {
        Self {
            attributes: Some(template),
            ..self
        }
    }

    pub(crate) const fn words(self, words: &'static [&'static str]) -> Self {
        Self { words, ..self }
    }

    pub(crate) const fn unit(self, unit: &'static str) -> Self {
        Self {
            unit: Some(unit),
            ..self
        }
    }

    pub(crate) const fn counts(self) -> Self {
        Self {
            state_class: Some("total_increasing"),
            ..self
        }
    }

    pub(crate) const fn measures(self) -> Self {
        Self {
            state_class: Some("measurement"),
            ..self
        }
    }

    pub(crate) const fn sends(self, payload: &'static str) -> Self {
        Self {
            sends: payload,
            ..self
        }
    }
}
