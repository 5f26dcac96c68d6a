//! The mark of a gateway on its retained messages: an MQTT 5 user property with the gateway's id.
//!
//! Pure. A gateway clears only what has its own mark: at one broker there may be others. Owns the
//! names of the properties.

use rumqttc::v5::mqttbytes::v5::{Publish, PublishProperties};

use super::settings::MqttSettings;
use crate::gateway_id::{GatewayId, MessageOwner};

/// The user property that holds the gateway's id.
const GATEWAY: &str = "gateway";
/// The user property of `gateway/availability` by which a gateway says that it is about to stop.
const STOPS: &str = "stops";

/// The mark of a message that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark<'a> {
    /// The id of the gateway that has published it; `None` without a mark.
    pub id: Option<&'a str>,
    /// The gateway is about to stop.
    pub stops: bool,
}

impl<'a> Mark<'a> {
    /// Of this message.
    pub fn of(publish: &'a Publish) -> Self {
        let user = publish.properties.as_ref().map(user_properties);
        let user = user.unwrap_or_default();
        let value = |wanted: &str| {
            let found = user.iter().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.as_str())
        };
        Self {
            id: value(GATEWAY),
            stops: value(STOPS).is_some(),
        }
    }

    /// Whether a gateway has published it. Gateways mark only what they retain. Other programs may have
    /// a user property of the same name.
    pub fn is_of_gateway(&self) -> bool {
        self.id.is_some_and(GatewayId::is_one)
    }

    /// Whose message it is.
    pub fn owner(&self, settings: &MqttSettings) -> MessageOwner {
        match self.id.filter(|_| self.is_of_gateway()) {
            None => MessageOwner::Unknown,
            Some(id) if id == settings.gateway_id.as_str() => MessageOwner::ThisGateway,
            Some(_) => MessageOwner::AnotherGateway,
        }
    }

    /// The user properties of this gateway's retained messages.
    pub fn own(settings: &MqttSettings) -> Vec<(String, String)> {
        let mark = (GATEWAY.to_owned(), settings.gateway_id.to_string());
        Vec::from_iter(settings.marks_messages.then_some(mark))
    }

    /// The user property that says that this gateway is about to stop.
    pub fn stop() -> (String, String) {
        (STOPS.to_owned(), "true".to_owned())
    }
}

fn user_properties(properties: &PublishProperties) -> &[(String, String)] {
    &properties.user_properties
}

#[cfg(test)]
mod tests {
    use super::super::settings::tests::settings;
    use super::*;

    fn marked(user_properties: Vec<(String, String)>) -> Publish {
        Publish {
            properties: Some(PublishProperties {
                user_properties,
                ..PublishProperties::default()
            }),
            ..Publish::default()
        }
    }

    #[test]
    fn a_mark_tells_whose_a_message_is() {
        let settings = settings();
        let other = MqttSettings {
            gateway_id: crate::gateway_id::GatewayId::of_client("other"),
            ..settings.clone()
        };
        let own = marked(Mark::own(&settings));
        assert_eq!(Mark::of(&own).owner(&settings), MessageOwner::ThisGateway);
        assert_eq!(Mark::of(&own).owner(&other), MessageOwner::AnotherGateway);
        let something = marked(vec![("status".into(), "ok".into())]);
        let same_name = marked(vec![("gateway".into(), "line-3".into())]);
        for unmarked in [Publish::default(), marked(Vec::new()), something, same_name] {
            assert_eq!(Mark::of(&unmarked).owner(&settings), MessageOwner::Unknown);
        }
        for (value, is_of_gateway) in [
            (settings.gateway_id.as_str(), true),
            ("0123456789ab", true),
            ("0123456789abc", false),
            ("line-3-press", false),
            ("", false),
        ] {
            let message = marked(vec![("gateway".into(), value.into())]);
            assert_eq!(Mark::of(&message).is_of_gateway(), is_of_gateway, "{value}");
        }
        let stops = marked([Mark::own(&settings), vec![Mark::stop()]].concat());
        assert!(Mark::of(&stops).stops && !Mark::of(&own).stops);
        let unmarked = MqttSettings {
            marks_messages: false,
            ..settings
        };
        assert!(Mark::own(&unmarked).is_empty());
    }
}
