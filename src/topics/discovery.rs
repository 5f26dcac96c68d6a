//! Home Assistant's topics at a broker, as far as everyone must keep clear of them.
//!
//! Pure. What is published there is `home_assistant`'s.

/// Where Home Assistant looks for devices, and where it says that it has started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiscoveryTopics {
    /// What the topics of discovery begin with, without a slash at either end.
    pub prefix: String,
    /// Home Assistant's birth and will message.
    pub status: String,
}

impl Default for DiscoveryTopics {
    fn default() -> Self {
        Self {
            prefix: "homeassistant".into(),
            status: "homeassistant/status".into(),
        }
    }
}

impl DiscoveryTopics {
    /// Whether a topic of the broker is one of them.
    pub fn contains(&self, topic: &str) -> bool {
        let below = topic.strip_prefix(&self.prefix);
        topic == self.status || below.is_some_and(|below| below.starts_with('/'))
    }
}
