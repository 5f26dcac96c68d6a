//! What the properties of a message take in memory, and how much of them a client may send.
//!
//! The library copies them for each client that gets the message, and keeps them with a retained
//! message. A user property without any text takes memory as well, so each counts for more than
//! its bytes.

use mqtt5::broker::storage::RetainedMessage;
use mqtt5::protocol::v5::reason_codes::ReasonCode;
use mqtt5::types::WillProperties;

use super::answers::Denial;
use super::limits::{PROPERTY_BYTES, USER_PROPERTIES};

/// The memory of a user property besides its text: two strings, each allocated.
const USER_PROPERTY_OVERHEAD: usize = 64;

const TOO_MANY: Denial = Denial::limit(
    "properties",
    ReasonCode::QuotaExceeded,
    "the properties of a message may have 2 KiB, and 16 of them may be user properties",
);

/// How large the properties of a message are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PropertySize {
    /// The bytes of all properties, about.
    pub bytes: usize,
    /// How many user properties there are.
    pub user_properties: usize,
}

impl PropertySize {
    /// The largest that a client may send.
    pub const LARGEST: Self = Self {
        bytes: PROPERTY_BYTES,
        user_properties: USER_PROPERTIES,
    };

    /// Whether a client may send so much.
    ///
    /// # Errors
    /// It is too much.
    pub fn check(self) -> Result<(), Denial> {
        let Self {
            bytes,
            user_properties,
        } = Self::LARGEST;
        if self.bytes > bytes || self.user_properties > user_properties {
            return Err(TOO_MANY);
        }
        Ok(())
    }

    /// The bytes of memory that they take, about.
    pub fn in_memory(self) -> usize {
        self.bytes + self.user_properties * USER_PROPERTY_OVERHEAD
    }

    pub fn of_retained(message: &RetainedMessage) -> Self {
        Self::new(
            &message.user_properties,
            [
                message.content_type.as_ref().map(String::len),
                message.response_topic.as_ref().map(String::len),
                message.correlation_data.as_ref().map(Vec::len),
            ],
        )
    }

    pub fn of_will(properties: &WillProperties) -> Self {
        Self::new(
            &properties.user_properties,
            [
                properties.content_type.as_ref().map(String::len),
                properties.response_topic.as_ref().map(String::len),
                properties.correlation_data.as_ref().map(|data| data.len()),
            ],
        )
    }

    fn new(user_properties: &[(String, String)], others: [Option<usize>; 3]) -> Self {
        let users: usize = user_properties
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        Self {
            bytes: users + others.into_iter().flatten().sum::<usize>(),
            user_properties: user_properties.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_user_properties_are_limited() {
        let largest = PropertySize::LARGEST;
        largest.check().unwrap();
        let bytes = largest.bytes + 1;
        assert_eq!(PropertySize { bytes, ..largest }.check(), Err(TOO_MANY));
        let user_properties = largest.user_properties + 1;
        let many = PropertySize {
            user_properties,
            bytes: 0,
        };
        assert_eq!(many.check(), Err(TOO_MANY));
        assert!(many.in_memory() > 1_000, "empty ones take memory as well");
    }

    #[test]
    fn all_that_a_will_carries_counts() {
        let will = WillProperties {
            user_properties: vec![("ab".into(), "cd".into()), (String::new(), String::new())],
            content_type: Some("text".into()),
            response_topic: Some("r".into()),
            correlation_data: Some(vec![0; 5]),
            ..WillProperties::default()
        };
        let expected = PropertySize {
            bytes: 4 + 4 + 1 + 5,
            user_properties: 2,
        };
        assert_eq!(PropertySize::of_will(&will), expected);
    }
}
