//! Remembers where at the broker the gateway publishes, so that a start after a change can say what
//! stays at the former place.
//!
//! In the runtime directory, if there is one: the broker cannot tell, because nobody looks at the
//! former topics any more. What cannot be read or written is left out: nothing depends on it.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde_json::{Value, json};

use crate::config::{BrokerUrl, Config};
use crate::telemetry::Telemetry;

/// The file in the runtime directory.
const FILE: &str = "broker-topics.json";
/// More is not what the gateway has written.
const LARGEST_FILE: usize = 64 << 10;

/// Logs what an earlier run has left at other topics of the same broker, and remembers the present
/// ones.
pub fn compare(runtime: &Path, config: &Config, telemetry: &Telemetry) {
    let file = runtime.join(FILE);
    let now = topics(config);
    let before: Value = fs::read(&file)
        .ok()
        .filter(|text| text.len() <= LARGEST_FILE)
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default();
    if before == now {
        return;
    }
    if let Some(options) = options(&before, config) {
        telemetry.topics_left(&options);
    }
    let new = file.with_extension("new");
    let remembered = if now["broker"].is_null() {
        // The gateway's own broker keeps nothing.
        fs::remove_file(&file)
    } else {
        fs::write(&new, now.to_string()).and_then(|()| fs::rename(&new, &file))
    };
    match remembered {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            telemetry.topics_not_remembered(&error);
        }
        _ => {}
    }
}

fn topics(config: &Config) -> Value {
    let (mqtt, home_assistant) = (&config.mqtt, &config.home_assistant);
    let is_outside = !matches!(mqtt.url, BrokerUrl::Embedded(_) | BrokerUrl::Off);
    let discovery = home_assistant.discovery.then_some(&home_assistant.prefix);
    json!({
        "broker": is_outside.then(|| mqtt.url.to_string()),
        "topic_prefix": mqtt.topic_prefix,
        "client_id": mqtt.client_id_below(&mqtt.topic_prefix),
        "discovery_prefix": discovery,
    })
}

/// The options by which `poly2mqtt clear` finds what was published before a reload took over `new` but
/// for what waits for the next start; `None` if there is nothing.
pub(super) fn options_after(old: &Config, new: &Config) -> Option<String> {
    options(&topics(old), new)
}

/// The options by which `poly2mqtt clear` with the present configuration finds what was published
/// before; `None` if there is nothing, or it was at another broker.
fn options(before: &Value, config: &Config) -> Option<String> {
    let now = topics(config);
    let differs = |key: &str| before[key] != now[key];
    if !before["broker"].is_string() || differs("broker") {
        return None;
    }
    let mut options = String::new();
    let mut add = |option: &str, value: &str| options += &format!(" {option} {value:?}");
    let prefix = before["topic_prefix"].as_str().unwrap_or_default();
    if differs("topic_prefix") {
        add("--prefix", prefix);
    }
    // `clear` takes the client id that the present configuration has with the prefix.
    let found_without = config.mqtt.client_id_below(prefix);
    if let Some(client_id) = before["client_id"].as_str()
        && client_id != found_without
    {
        add("--client-id", client_id);
    }
    if let Some(discovery) = before["discovery_prefix"].as_str()
        && !now["discovery_prefix"].is_null()
        && differs("discovery_prefix")
    {
        add("--home-assistant-prefix", discovery);
    }
    let discovery_ended =
        before["discovery_prefix"].is_string() && now["discovery_prefix"].is_null();
    (!options.is_empty() || discovery_ended).then_some(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(change: impl FnOnce(&mut Config)) -> Config {
        let mut config = Config::default();
        config.mqtt.url = BrokerUrl::Tcp {
            host: "broker".into(),
            port: 1883,
        };
        change(&mut config);
        config
    }

    #[test]
    fn the_options_find_what_was_published_before() {
        let before = topics(&config(|config| config.mqtt.client_id = Some("gw".into())));
        let after = |change: fn(&mut Config)| {
            let now = config(|config| {
                config.mqtt.client_id = Some("gw".into());
                change(config);
            });
            options(&before, &now)
        };
        assert_eq!(after(|_| {}), None);
        let prefix = after(|config| config.mqtt.topic_prefix = "av".into());
        assert_eq!(prefix.as_deref(), Some(" --prefix \"\""));
        let client_id = after(|config| config.mqtt.client_id = None);
        assert_eq!(client_id.as_deref(), Some(" --client-id \"gw\""));
        let discovery = after(|config| config.home_assistant.prefix = "ha".into());
        let expected = " --home-assistant-prefix \"homeassistant\"";
        assert_eq!(discovery.as_deref(), Some(expected));
        let without = after(|config| config.home_assistant.discovery = false);
        assert_eq!(without.as_deref(), Some(""));
        // At another broker, or from the gateway's own, there is nothing to be found.
        let broker = after(|config| config.mqtt.url = BrokerUrl::Off);
        assert_eq!(broker, None);
        let now = config(|_| {});
        assert_eq!(options(&Value::Null, &now), None);
        assert_eq!(options(&topics(&Config::default()), &now), None);
    }

    /// Without a client id in the configuration, the gateway's depends on the prefix. What the options
    /// name is what `clear` looks for by itself, if they leave it out.
    #[test]
    fn the_options_name_the_client_id_that_was_used() {
        let at = |prefix: &str, client_id: Option<&str>| {
            config(|config| {
                config.mqtt.topic_prefix = prefix.into();
                config.mqtt.client_id = client_id.map(str::to_owned);
            })
        };
        for (before, now, expected) in [
            (
                ("", None),
                ("", Some("gw")),
                Some(" --client-id \"poly2mqtt\""),
            ),
            (
                ("av", None),
                ("av", Some("gw")),
                Some(" --client-id \"poly2mqtt-av\""),
            ),
            (("", None), ("av", None), Some(" --prefix \"\"")),
            (("av", None), ("", None), Some(" --prefix \"av\"")),
            (
                ("", None),
                ("av", Some("gw")),
                Some(" --prefix \"\" --client-id \"poly2mqtt\""),
            ),
            (
                ("av", Some("gw")),
                ("", None),
                Some(" --prefix \"av\" --client-id \"gw\""),
            ),
            (("", Some("poly2mqtt")), ("", None), None),
            (("", Some("gw")), ("", Some("gw")), None),
        ] {
            let options = options_after(&at(before.0, before.1), &at(now.0, now.1));
            assert_eq!(options.as_deref(), expected, "{before:?} {now:?}");
        }
        // An earlier version has remembered no client id where the configuration had none.
        let mut of_earlier_version = topics(&at("", None));
        of_earlier_version["client_id"] = Value::Null;
        assert_eq!(options(&of_earlier_version, &at("", None)), None);
    }

    #[test]
    fn what_was_remembered_is_compared_at_the_next_start() {
        let runtime = tempfile::tempdir().unwrap();
        let stored = || fs::read(runtime.path().join(FILE)).unwrap();
        let compare = |config: &Config| compare(runtime.path(), config, &Telemetry::default());
        compare(&config(|_| {}));
        let first = stored();
        compare(&config(|config| config.mqtt.topic_prefix = "av".into()));
        assert_ne!(stored(), first);
        fs::write(runtime.path().join(FILE), b"\xff not what was written").unwrap();
        compare(&config(|_| {}));
        assert_eq!(stored(), first);
        compare(&Config::default());
        assert!(!runtime.path().join(FILE).exists());
    }
}
