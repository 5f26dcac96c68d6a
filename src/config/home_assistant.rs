//! `[home_assistant]`: devices and entities by Home Assistant's MQTT discovery.

use super::forms;
use super::key::{Key, KeyType, Reload, Section, Values, plain};
use super::reader::Reader;
use super::values::check_levels;
use crate::topics::is_gateway_topic;

/// `[home_assistant]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HomeAssistantConfig {
    /// `discovery`.
    pub discovery: bool,
    /// `prefix`, without slashes at its ends.
    pub prefix: String,
    /// `status_topic`.
    pub status_topic: String,
}

impl Default for HomeAssistantConfig {
    fn default() -> Self {
        Self {
            discovery: true,
            prefix: "homeassistant".into(),
            status_topic: "homeassistant/status".into(),
        }
    }
}

impl Section for HomeAssistantConfig {
    const KEYS: &'static [Key] = &[
        Key::new(
            "discovery",
            KeyType::Bool,
            Reload::NextStart,
            "Publish the documents that Home Assistant makes devices and entities from",
        )
        .default("true")
        .in_info(),
        Key::new(
            "prefix",
            KeyType::Text,
            Reload::NextStart,
            "Discovery prefix, as in Home Assistant's MQTT settings",
        )
        .form(forms::topic_levels)
        .default("homeassistant")
        .in_info(),
        Key::new(
            "status_topic",
            KeyType::Text,
            Reload::NextStart,
            "Topic on which Home Assistant publishes `online` when it starts",
        )
        .form(forms::topic_levels)
        .without("`<prefix>/status`")
        .example("homeassistant/status")
        .in_info(),
    ];

    fn values(&self) -> Values {
        Values::from([
            ("discovery", plain(self.discovery)),
            ("prefix", plain(self.prefix.as_str())),
            ("status_topic", plain(self.status_topic.as_str())),
        ])
    }
}

impl HomeAssistantConfig {
    /// Reads the section.
    pub(super) fn read(mut reader: Reader<'_>) -> Self {
        let base = Self::default();
        let discovery = reader.bool("discovery").unwrap_or(base.discovery);
        let prefix = reader.text("prefix").unwrap_or(base.prefix);
        let status = reader.text("status_topic");
        let has_status = status.is_some();
        let status_topic = status.unwrap_or_else(|| format!("{prefix}/status"));
        // One that is made from the prefix is as right or wrong as that.
        let given = [
            Some(("prefix", &prefix)),
            has_status.then_some(("status_topic", &status_topic)),
        ];
        for (key, levels) in given.into_iter().flatten() {
            check_levels(&reader, key, levels);
            // With a slash at its end the first level alone is found too.
            if is_gateway_topic(&format!("{levels}/")) {
                reader.error(
                    key,
                    "takes no topics below room/ or gateway/, which are the gateway's",
                );
            }
        }
        reader.finish();
        Self {
            discovery,
            prefix,
            status_topic,
        }
    }

    /// Takes back what takes effect at the next start.
    pub(super) fn keep_until_restart(&mut self, running: &Self) {
        self.clone_from(running);
    }
}
