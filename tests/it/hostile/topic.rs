//! Topics: what is a command, what it is routed to, and where its request goes.

use bytes::Bytes;
use poly2mqtt::catalogue::{CATALOGUE, Call};
use poly2mqtt::command::ErrorCode;
use poly2mqtt::topics::{DiscoveryTopics, Prefix, check_response, decode_level, encode_level};

use super::url;

/// The first byte says of which route the rest is the parameters, or that it is a whole topic.
pub fn run(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(rest);
    levels(&text);
    responses(&text);
    let routes = CATALOGUE.routes();
    let Some(route) = routes.get(usize::from(*first)) else {
        if let Some((room, command)) = Prefix::default().command(&text) {
            assert!(!room.contains('/') && !command.ends_with("/result"));
            parse(command);
        }
        return;
    };
    let mut values = text.split('\t');
    let filled: Vec<&str> = route
        .topic
        .split('/')
        .map(|level| {
            if level.starts_with('{') {
                values.next().unwrap_or("3")
            } else {
                level
            }
        })
        .collect();
    parse(&filled.join("/"));
}

fn parse(command: &str) {
    let payload = Bytes::from_static(b"1");
    let call = match Call::parse(command, &payload, &mut None) {
        Ok(call) => call,
        Err(failure) => {
            let known = [ErrorCode::UnknownCommand, ErrorCode::InvalidPayload];
            assert!(known.contains(&failure.code), "{failure:?}");
            return;
        }
    };
    for offset in [-1, 0] {
        if let Ok(request) = call.request(offset) {
            url::check(call.variant().operation, &request);
        }
    }
}

fn levels(text: &str) {
    let level = encode_level(text);
    assert!(!level.contains(['/', '+', '#', '\0', '\n', '\r']));
    if let Ok(value) = decode_level(&level) {
        assert_eq!(value, text);
    }
}

fn responses(text: &str) {
    for prefix in ["", "av"] {
        let parsed = Prefix::new(prefix);
        let Ok(()) = check_response(&parsed, &DiscoveryTopics::default(), "1", text) else {
            continue;
        };
        assert!(!text.is_empty() && text.len() <= 65_535);
        assert!(!text.contains(['+', '#']) && !text.contains(char::is_control));
        assert!(!text.starts_with("homeassistant/"));
        let own = match prefix {
            "" => Some(text),
            _ => text.strip_prefix("av/"),
        };
        let own = own.unwrap_or_default();
        assert!(!own.starts_with("gateway/"));
        if own.starts_with("room/") {
            assert!(own.starts_with("room/1/") && own.ends_with("/result"));
            assert_eq!(parsed.command(text), None);
        }
    }
}
