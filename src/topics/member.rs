//! The topics of one of several gateways that share their rooms: `gateway/<name>/…`.
//!
//! Pure text.

use super::{AVAILABILITY, Topic};

/// What one of several gateways is, below its name.
const INFO: &str = "info";

/// The topics of one of several gateways.
#[derive(Debug, Clone, Copy)]
pub struct MemberTopics<'a>(&'a str);

impl MemberTopics<'static> {
    /// Of any gateway, as an MQTT filter: `gateway/+/…`.
    pub const ANY: Self = Self("+");
}

impl<'a> MemberTopics<'a> {
    /// Of the gateway with this name.
    pub fn new(name: &'a str) -> Self {
        Self(name)
    }

    /// What a gateway has at `gateway/<name>/<topic>`.
    pub fn below(self, below: &str) -> String {
        let name = self.0;
        Topic::Member { name, below }.to_string()
    }

    /// Whether it runs.
    pub fn availability(self) -> String {
        self.below(AVAILABILITY)
    }

    /// Version, rooms and configuration.
    pub fn info(self) -> String {
        self.below(INFO)
    }

    /// All of them, as an MQTT filter.
    pub fn all(self) -> String {
        self.below("+")
    }

    /// Where this gateway has a topic that a gateway alone has at `gateway/…`; `None` for topics of rooms and
    /// of others.
    pub fn of(self, topic: &str) -> Option<String> {
        match Topic::parse(topic)? {
            Topic::Gateway(below) => Some(self.below(below)),
            Topic::Room { .. } | Topic::Member { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topics::GATEWAY_INFO;

    #[test]
    fn a_gateway_has_its_own_topics_below_its_name() {
        let own = MemberTopics::new("gw-1");
        assert_eq!(own.info(), "gateway/gw-1/info");
        assert_eq!(own.of(GATEWAY_INFO), Some(own.info()));
        for other in [
            "room/1/availability",
            "gateway/gw-2/info",
            "gateway/info/",
            "gateway//info",
            "gateway",
            "x",
        ] {
            assert_eq!(own.of(other), None, "{other}");
        }
        assert_eq!(MemberTopics::ANY.availability(), "gateway/+/availability");
        let parsed = Topic::Member {
            name: "gw-1",
            below: "availability",
        };
        assert_eq!(Topic::parse(&own.availability()), Some(parsed));
    }
}
