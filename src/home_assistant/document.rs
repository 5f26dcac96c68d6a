//! The types of a discovery document, as Home Assistant's schemas require it.
//!
//! Fields that are not known are left out: Home Assistant refuses a device with one `null`. It
//! drops unknown keys without a message, so there is a type for each platform.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

/// Everything about one device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Document {
    /// The device that all entities belong to.
    pub device: DeviceInfo,
    /// The program that published the document.
    pub origin: Origin,
    /// The availability of every component that has none of its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub availability: Vec<AvailabilityTopic>,
    /// `all`: every topic must say `online`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability_mode: Option<&'static str>,
    /// The entities and triggers by their keys.
    pub components: BTreeMap<String, Listed>,
}

impl Document {
    /// As JSON.
    pub fn value(&self) -> Value {
        // This fails only for maps whose keys are not text, and it has none.
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// One of a document's components.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Listed {
    /// It has a state, or can be operated.
    Entity(Box<Component>),
    /// It begins automations.
    Trigger(DeviceTrigger),
}

impl From<Component> for Listed {
    fn from(entity: Component) -> Self {
        Self::Entity(Box::new(entity))
    }
}

impl From<DeviceTrigger> for Listed {
    fn from(trigger: DeviceTrigger) -> Self {
        Self::Trigger(trigger)
    }
}

/// What begins automations that name the device. It has neither a state nor a unique id.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeviceTrigger {
    platform: &'static str,
    automation_type: &'static str,
    topic: String,
    subtype: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    qos: u8,
}

impl DeviceTrigger {
    /// Each message of the topic is one. Home Assistant shows the words as `"subtype" kind`.
    pub const fn new(topic: String, subtype: &'static str, kind: &'static str) -> Self {
        Self {
            platform: "device_automation",
            automation_type: "trigger",
            topic,
            subtype,
            kind,
            qos: 1,
        }
    }
}

/// What the page of the device shows.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct DeviceInfo {
    /// Its ids.
    pub identifiers: Vec<String>,
    /// Its name; Home Assistant puts it before every entity's.
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
    /// The area to suggest to the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggested_area: Option<String>,
    /// Its own web page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration_url: Option<String>,
    /// The id of the device through which it is reached: the gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via_device: Option<String>,
}

/// The program that published a document.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Origin {
    name: &'static str,
    sw_version: &'static str,
}

impl Origin {
    /// This program.
    pub const fn gateway() -> Self {
        Self {
            name: env!("CARGO_PKG_NAME"),
            sw_version: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// A topic that says `online` or `offline`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AvailabilityTopic {
    /// The topic.
    pub topic: String,
}

/// One entity.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Component {
    /// Its kind, with the fields that only this kind has.
    #[serde(flatten)]
    pub platform: Platform,
    /// Identifies it for ever; history and settings depend on it.
    pub unique_id: String,
    /// Its name in automations, until the user changes it.
    pub default_entity_id: String,
    /// Its name; Home Assistant puts the device's before it.
    pub name: String,
    /// Its icon, `mdi:…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icon: Option<&'static str>,
    /// One of Home Assistant's device classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_class: Option<&'static str>,
    /// `config` or `diagnostic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity_category: Option<&'static str>,
    /// False if the user has to enable it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled_by_default: Option<bool>,
    /// Instead of the device's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability: Option<Vec<AvailabilityTopic>>,
    /// The topic of its attributes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json_attributes_topic: Option<String>,
    /// The template that makes its attributes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json_attributes_template: Option<&'static str>,
    /// Of its subscriptions and commands; older versions do not inherit it from the device.
    pub qos: u8,
}

/// The kinds of entities, with the fields that only one kind has.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "platform", rename_all = "snake_case")]
pub enum Platform {
    /// It is switched on and off.
    Switch {
        /// The topic that sets it.
        command_topic: String,
        /// The topic with its value.
        state_topic: String,
        /// The template that makes its value from the payload.
        #[serde(skip_serializing_if = "Option::is_none")]
        value_template: Option<&'static str>,
        /// On, in both topics; Home Assistant's default is `ON`.
        payload_on: &'static str,
        /// Off, in both topics.
        payload_off: &'static str,
    },
    /// A number to set.
    Number {
        /// The topic that sets it.
        command_topic: String,
        /// The topic with its value.
        state_topic: String,
        /// The smallest value; Home Assistant's default is 1.
        min: i64,
        /// The largest value.
        max: i64,
        /// `slider` or `box`.
        mode: &'static str,
        /// Its unit.
        #[serde(skip_serializing_if = "Option::is_none")]
        unit_of_measurement: Option<&'static str>,
    },
    /// A field to write in.
    Text {
        /// The topic that the text is sent to.
        command_topic: String,
        /// The template that makes the payload from the text.
        command_template: String,
        /// The topic with its value; without one Home Assistant shows the text that was sent.
        state_topic: String,
        /// The template that makes its value from the payload.
        #[serde(skip_serializing_if = "Option::is_none")]
        value_template: Option<&'static str>,
    },
    /// A list to choose from.
    Select {
        /// The topic that the chosen option is sent to.
        command_topic: String,
        /// The template that makes the payload from the option.
        command_template: String,
        /// The topic that tells what is selected.
        state_topic: String,
        /// The template that makes the selected option from the payload.
        value_template: String,
        /// The options.
        options: Vec<String>,
    },
    /// A button.
    Button {
        /// The topic that a press is sent to.
        command_topic: String,
        /// The payload of a press; Home Assistant's default is `PRESS`.
        payload_press: &'static str,
    },
    /// A picture.
    Image {
        /// The topic with its bytes.
        image_topic: String,
        /// Their MIME type.
        content_type: &'static str,
    },
    /// A value.
    Sensor {
        /// The topic with its value.
        state_topic: String,
        /// The template that makes its value from the payload.
        #[serde(skip_serializing_if = "Option::is_none")]
        value_template: Option<&'static str>,
        /// Every value that it can have, if it is one of a list.
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        options: &'static [&'static str],
        /// Which statistics Home Assistant keeps.
        #[serde(skip_serializing_if = "Option::is_none")]
        state_class: Option<&'static str>,
        /// Its unit.
        #[serde(skip_serializing_if = "Option::is_none")]
        unit_of_measurement: Option<&'static str>,
    },
    /// A value that is true or false.
    BinarySensor {
        /// The topic with its value.
        state_topic: String,
        /// The template that makes its value from the payload.
        #[serde(skip_serializing_if = "Option::is_none")]
        value_template: Option<&'static str>,
        /// True.
        payload_on: &'static str,
        /// False.
        payload_off: &'static str,
    },
    /// An event.
    Event {
        /// The topic of the events.
        state_topic: String,
        /// Every type of event.
        event_types: &'static [&'static str],
        /// The template that makes an empty text from events of other types.
        #[serde(skip_serializing_if = "Option::is_none")]
        value_template: Option<&'static str>,
    },
}
