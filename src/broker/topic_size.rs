//! How long a topic or filter may be.

use mqtt5::protocol::v5::reason_codes::ReasonCode;

use super::answers::Denial;
use super::limits::{TOPIC_LENGTH, TOPIC_LEVELS};

pub const TOPIC_TOO_LONG: Denial = Denial::limit(
    "topic",
    ReasonCode::TopicNameInvalid,
    "a topic may have 1024 bytes and 16 levels",
);
pub const FILTER_TOO_LONG: Denial = Denial::limit(
    "topic",
    ReasonCode::TopicFilterInvalid,
    "a filter may have 1024 bytes and 16 levels",
);

/// Whether a topic or filter is not too long.
pub fn is_moderate(topic: &str) -> bool {
    topic.len() <= TOPIC_LENGTH && topic.split('/').count() <= TOPIC_LEVELS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_and_levels_are_limited() {
        assert!(is_moderate(&"x".repeat(TOPIC_LENGTH)));
        assert!(!is_moderate(&"x".repeat(TOPIC_LENGTH + 1)));
        assert!(is_moderate(&"/".repeat(TOPIC_LEVELS - 1)));
        assert!(!is_moderate(&"/".repeat(TOPIC_LEVELS)));
    }
}
