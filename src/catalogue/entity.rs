//! What Home Assistant shows of a state or command, as the entry of it says.
//!
//! Pure data. `home_assistant` makes topics, ids and the discovery document of it.

use super::references::StateTopic;

/// An entity that an entry has. The templates are Home Assistant's.
#[derive(Debug, Clone, Copy)]
pub struct Entity {
    /// What kind of entity it is.
    pub kind: EntityKind,
    /// Its part of the entity's ids. Never changed: Home Assistant would take it for another one.
    pub key: &'static str,
    /// Its name beside the device's.
    pub name: &'static str,
    /// Its picture: `mdi:…`.
    pub icon: Option<&'static str>,
    /// Home Assistant's device class, where one fits.
    pub device_class: Option<&'static str>,
    /// Where it stands on the device's page.
    pub category: Option<Category>,
    /// Whether it is there without a person's doing.
    pub enabled: Enabled,
    /// The state that it shows, where that is not the one its command sets; a device without it
    /// does not have the entity.
    pub of: Option<StateTopic>,
    /// Makes what is shown of the state's payload, unless that is it: `true` or `false` for what
    /// is on or off.
    pub value: Option<&'static str>,
    /// Makes the attributes of the state's payload.
    pub attributes: Option<&'static str>,
    /// Every word that a sensor can show, none for any text; every type that an event has.
    pub words: &'static [&'static str],
    /// The unit of a figure.
    pub unit: Option<&'static str>,
    /// Home Assistant's class of a figure.
    pub state_class: Option<&'static str>,
    /// What a button sends.
    pub sends: &'static str,
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
    /// A command that is sent with a fixed payload.
    Button,
    /// The picture that a query brings.
    Image,
    /// A state.
    Sensor,
    /// A state that is true or false.
    BinarySensor,
    /// Something that happens.
    Event,
}

/// Where an entity stands on its device's page; without one among the controls and sensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category {
    /// Settings.
    Config,
    /// What is of interest when something is wrong.
    Diagnostic,
}

/// Whether an entity is there without a person's doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enabled {
    /// Yes.
    Always,
    /// No: most people would not miss it.
    Never,
    /// Where the preset of its number is stored.
    WhenStored,
    /// Where the room allows its guarded command.
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
            value: None,
            attributes: None,
            words: &[],
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
