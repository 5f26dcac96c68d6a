//! A discovery document as Home Assistant's schemas want it.
//!
//! What is not known is left out: one `null` in the device, and Home Assistant drops all of it.
//! Unknown keys are dropped in silence, so there is a type for each platform.

use std::collections::BTreeMap;

use serde::Serialize;

/// Everything about one device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Document {
    /// The device.
    pub device: Device,
    /// Who says all this.
    pub origin: Origin,
    /// For every component that has none of its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub availability: Vec<Availability>,
    /// `all`: each of them must say that it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability_mode: Option<&'static str>,
    /// The entities by their keys.
    pub components: BTreeMap<String, Component>,
}

/// The device as its page shows it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Device {
    /// Its ids.
    pub identifiers: Vec<String>,
    /// Its name, which stands before every entity's.
    pub name: String,
    /// Who made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manufacturer: Option<&'static str>,
    /// Its model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Its serial number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial_number: Option<String>,
    /// Its firmware.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sw_version: Option<String>,
    /// Where it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggested_area: Option<String>,
    /// Its own web page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration_url: Option<String>,
    /// The device behind which it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via_device: Option<String>,
}

/// Who says all this.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Origin {
    name: &'static str,
    sw_version: &'static str,
}

impl Origin {
    /// This program.
    pub const fn own() -> Self {
        Self {
            name: env!("CARGO_PKG_NAME"),
            sw_version: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// A topic that says `online` or `offline`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Availability {
    /// The topic.
    pub topic: String,
}

/// One entity.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Component {
    /// What kind it is, with what only that kind has.
    #[serde(flatten)]
    pub platform: Platform,
    /// By which Home Assistant knows it for ever.
    pub unique_id: String,
    /// What it is called in automations when it is first seen.
    pub default_entity_id: String,
    /// Its name beside the device's.
    pub name: String,
    /// Its picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icon: Option<&'static str>,
    /// What it is, where Home Assistant knows such things.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_class: Option<&'static str>,
    /// `config` or `diagnostic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity_category: Option<&'static str>,
    /// False: a person has to enable it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled_by_default: Option<bool>,
    /// Instead of the device's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability: Option<Vec<Availability>>,
    /// Where its attributes come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json_attributes_topic: Option<String>,
    /// What makes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json_attributes_template: Option<&'static str>,
    /// Of its subscriptions and commands; older versions do not inherit it from the device.
    pub qos: u8,
}

/// What only one kind of entity has.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "platform", rename_all = "snake_case")]
pub enum Platform {
    /// On or off, and what shows it.
    Switch {
        /// Where it is set.
        command_topic: String,
        /// Where it is shown.
        state_topic: String,
        /// What makes it.
        #[serde(skip_serializing_if = "Option::is_none")]
        value_template: Option<&'static str>,
        /// Both ways: Home Assistant's own would be `ON`.
        payload_on: &'static str,
        /// Both ways.
        payload_off: &'static str,
    },
    /// A figure to set.
    Number {
        /// Where it is set.
        command_topic: String,
        /// Where it is shown.
        state_topic: String,
        /// The least; Home Assistant's own would be 1.
        min: i64,
        /// The greatest.
        max: i64,
        /// How it is set.
        mode: &'static str,
        /// Its unit.
        #[serde(skip_serializing_if = "Option::is_none")]
        unit_of_measurement: Option<&'static str>,
    },
    /// A field to write in.
    Text {
        /// Where what was written goes.
        command_topic: String,
        /// Makes the payload of it.
        command_template: String,
        /// Where it is shown; without one Home Assistant would show what was written.
        state_topic: String,
        /// What makes it.
        #[serde(skip_serializing_if = "Option::is_none")]
        value_template: Option<&'static str>,
    },
    /// A button.
    Button {
        /// Where the press goes.
        command_topic: String,
        /// What is sent; Home Assistant's own would be `PRESS`.
        payload_press: &'static str,
    },
    /// A picture.
    Image {
        /// Where its bytes are.
        image_topic: String,
        /// What they are.
        content_type: &'static str,
    },
    /// A value.
    Sensor {
        /// Where it is.
        state_topic: String,
        /// What makes it.
        #[serde(skip_serializing_if = "Option::is_none")]
        value_template: Option<&'static str>,
        /// All that it can be.
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        options: &'static [&'static str],
        /// What statistics to keep.
        #[serde(skip_serializing_if = "Option::is_none")]
        state_class: Option<&'static str>,
        /// Its unit.
        #[serde(skip_serializing_if = "Option::is_none")]
        unit_of_measurement: Option<&'static str>,
    },
    /// Something that is so or not.
    BinarySensor {
        /// Where it is.
        state_topic: String,
        /// What makes it.
        #[serde(skip_serializing_if = "Option::is_none")]
        value_template: Option<&'static str>,
        /// It is so.
        payload_on: &'static str,
        /// It is not.
        payload_off: &'static str,
    },
    /// What happens.
    Event {
        /// Where it is told.
        state_topic: String,
        /// What can happen.
        event_types: &'static [&'static str],
        /// Leaves nothing of what is not meant.
        #[serde(skip_serializing_if = "Option::is_none")]
        value_template: Option<&'static str>,
    },
}
