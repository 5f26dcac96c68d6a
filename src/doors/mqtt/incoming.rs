//! A publish that came from the broker, taken apart once: its topic, and whose message it is.
//!
//! Pure. What it means is decided by `receive` and `subscriber`.

use rumqttc::v5::mqttbytes::v5::Publish;

use super::mark::Mark;
use super::settings::MqttSettings;
use crate::gateway_id::MessageOwner;
use crate::topics::{Topic, is_gateway_topic};

/// A publish at a topic where gateways publish.
#[derive(Debug, Clone, Copy)]
pub struct IncomingPublish<'a> {
    /// The topic as the broker knows it.
    pub full_topic: &'a str,
    /// The topic without the prefix.
    pub topic: &'a str,
    /// `None` for what is below `room/` or `gateway/` and no topic of a gateway, such as `room/1`.
    pub parsed: Option<Topic<'a>>,
    /// Empty to clear the topic.
    pub payload: &'a [u8],
    /// The mark of the gateway that has published it.
    pub mark: Mark<'a>,
    /// Whose message it is, by its mark.
    pub owner: MessageOwner,
    /// The broker had retained it. Brokers may leave the flag out, and may set it on what is live.
    pub has_retain_flag: bool,
}

impl<'a> IncomingPublish<'a> {
    /// # Errors
    /// The topic, if it is another program's; `None` if it is not even text.
    pub fn parse(publish: &'a Publish, settings: &MqttSettings) -> Result<Self, Option<&'a str>> {
        let full_topic = std::str::from_utf8(&publish.topic).map_err(|_| None)?;
        let topic = settings.prefix.strip(full_topic);
        let topic = topic.filter(|topic| is_gateway_topic(topic));
        let topic = topic.ok_or(Some(full_topic))?;
        let mark = Mark::of(publish);
        Ok(Self {
            full_topic,
            topic,
            parsed: Topic::parse(topic),
            payload: &publish.payload,
            mark,
            owner: mark.owner(settings),
            has_retain_flag: publish.retain,
        })
    }

    /// Whether the broker retains it. With the flag or without: what a gateway has marked is retained.
    pub fn is_retained(&self) -> bool {
        self.has_retain_flag || self.mark.is_of_gateway()
    }

    /// The room that it is about.
    pub fn room(&self) -> Option<&'a str> {
        self.parsed?.room()
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A message at this topic, which needs no prefix. `id` is that of its mark.
    pub fn incoming<'a>(
        topic: &'a str,
        payload: &'a [u8],
        owner: MessageOwner,
        id: Option<&'a str>,
    ) -> IncomingPublish<'a> {
        IncomingPublish {
            full_topic: topic,
            topic,
            parsed: Topic::parse(topic),
            payload,
            mark: Mark { id, stops: false },
            owner,
            has_retain_flag: true,
        }
    }
}
