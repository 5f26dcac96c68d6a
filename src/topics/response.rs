//! Where a client may have a result published: MQTT 5 Response Topics (section 3.3.2.3.5).
//!
//! Pure. The gateway may write where its clients may not, so this keeps it from doing so for one of
//! them.

use super::{Below, DiscoveryTopics, LONGEST_TOPIC, Prefix, Topic, is_gateway_topic};
use crate::visible::quoted_start;

/// Checks a response topic: a result must never land on a state or command of the gateway, among the
/// results of another room than the command's, or where Home Assistant takes it for a device.
///
/// # Errors
/// Why the topic is refused.
pub fn check_response(
    prefix: &Prefix,
    discovery: &DiscoveryTopics,
    room: &str,
    response: &str,
) -> Result<(), String> {
    let refused = if response.is_empty() {
        "is empty"
    } else if response.len() > LONGEST_TOPIC {
        "is too long"
    } else if response.contains(['+', '#']) {
        "holds a wildcard"
    } else if response.contains(char::is_control) {
        "holds a control character"
    } else if response.starts_with('$') {
        "starts with $"
    } else if discovery.contains(response) {
        "is one of Home Assistant's topics"
    } else {
        match prefix.strip(response) {
            Some(topic) if is_gateway_topic(topic) && !is_result_of(topic, room) => {
                "is one of the gateway's own topics"
            }
            _ => return Ok(()),
        }
    };
    let start = quoted_start(response);
    Err(format!("the response topic \"{start}\" {refused}"))
}

fn is_result_of(topic: &str, wanted: &str) -> bool {
    let parsed = Topic::parse(topic);
    matches!(parsed, Some(Topic::Room { room, below: Below::Result(_) }) if room == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_topics_that_could_do_harm_are_refused() {
        let none = Prefix::default();
        let discovery = DiscoveryTopics {
            prefix: "ha/av".into(),
            status: "ha/born".into(),
            room_devices: None,
        };
        let check = |prefix, response| check_response(prefix, &discovery, "1", response);
        for bad in [
            "",
            "a/+",
            "a/#",
            "$SYS/x",
            "room/1/audio/volume",
            "gateway/info",
            "room/1",
            "room/1/event/x/result",
            "room/2/audio/volume/set/result",
            "client\n7",
            "ha/av/device/poly2mqtt_1/config",
            "ha/av/switch/x/config",
            "ha/born",
        ] {
            assert!(check(&none, bad).is_err(), "{bad}");
        }
        for good in [
            "client/7/reply",
            "room/1/audio/volume/set/result",
            "ha/avenue/x",
            "ha/av",
        ] {
            assert!(check(&none, good).is_ok(), "{good}");
        }
        let prefix = Prefix::new("av");
        assert!(check(&prefix, "av/room/1/x").is_err());
        assert!(check(&prefix, "room/1/x").is_ok());
    }
}
