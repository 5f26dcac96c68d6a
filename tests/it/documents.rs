//! What is made from the catalogue: the AsyncAPI document, the topics' page, the access list.
//!
//! The committed files are what the program prints, every topic of the guide is in them, the
//! schemas mean what the gateway means, and the access list does in a real Mosquitto what it says.
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use poly2mqtt::app::App;
use poly2mqtt::catalogue::{CATALOGUE, Call, GATEWAY_TOPICS};
use poly2mqtt::command::{ErrorCode, Failure, Outcome, Success};
use poly2mqtt::config::{BrokerUrl, RoomId, generate};
use poly2mqtt::render::asyncapi;
use poly2mqtt::render::{commands_page, files, mosquitto_acl, states, topic_page};
use poly2mqtt_simulator::{Options, SimulatedDevice};
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use serde_json::{Value, json};

use poly2mqtt_test_support::client::{Client, text};
use poly2mqtt_test_support::gateway::{config, room, timings};
use poly2mqtt_test_support::{Mosquitto, mosquitto};

const WALK: &str = include_str!("../guide/walk.tsv");
const STATES: &str = include_str!("../guide/states.tsv");

/// The rows of a table, without comments and instructions.
fn rows(table: &str) -> impl Iterator<Item = Vec<&str>> {
    assert!(table.lines().count() > 10, "{table}");
    table
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with(['#', '!']))
        .map(|line| line.split('\t').collect())
}

fn up_to_date(file: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == wanted,
        "{file} is out of date; run tools/regen.sh (or: just regen)"
    );
}

#[test]
fn the_asyncapi_document_is_up_to_date() {
    let wanted = format!("{:#}\n", asyncapi::document());
    up_to_date("docs/asyncapi.json", &wanted);
}

#[test]
fn the_topics_page_is_up_to_date() {
    up_to_date("docs/topics.md", &topic_page());
}

#[test]
fn the_access_list_is_up_to_date() {
    up_to_date("examples/mosquitto.acl", &mosquitto_acl());
}

#[test]
fn the_schema_of_the_configuration_is_up_to_date() {
    up_to_date(
        "config/poly2mqtt.schema.json",
        &format!("{:#}\n", generate::schema()),
    );
}

#[test]
fn the_example_of_the_configuration_is_up_to_date() {
    up_to_date("config/poly2mqtt.toml", &generate::example());
}

#[test]
fn the_table_of_error_codes_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/commands.md");
    let page = std::fs::read_to_string(path).unwrap();
    up_to_date("docs/commands.md", &commands_page(&page).unwrap());
}

#[test]
fn the_tables_of_the_configuration_are_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let page = std::fs::read_to_string(path).unwrap();
    up_to_date("docs/configuration.md", &generate::page(&page).unwrap());
}

/// Whether a topic is one of a pattern with `{parameters}` or `+`.
fn fits(pattern: &str, topic: &str) -> bool {
    let (pattern, topic) = (pattern.split('/'), topic.split('/'));
    pattern.clone().count() == topic.clone().count()
        && pattern
            .zip(topic)
            .all(|(p, level)| p == "+" || p.starts_with('{') || p == level)
}

/// The channel of a topic below a room; a literal level wins over a parameter.
fn channel<'a>(document: &'a Value, topic: &str) -> &'a Value {
    let topic = format!("room/1/{topic}");
    let address = |channel: &Value| channel["address"].as_str().unwrap_or_default().to_owned();
    let parameters = |channel: &&Value| -> Vec<bool> {
        let address = address(channel);
        address.split('/').map(|p| p.starts_with('{')).collect()
    };
    let channels = document["channels"].as_object().unwrap().values();
    let found = channels.filter(|channel| fits(&address(channel), &topic));
    found
        .min_by_key(parameters)
        .unwrap_or_else(|| panic!("no channel for {topic}"))
}

/// Checks payloads of a topic against the document.
struct Schemas {
    document: Value,
    known: BTreeMap<String, jsonschema::Validator>,
}

impl Schemas {
    fn new() -> Self {
        Self {
            document: asyncapi::document(),
            known: BTreeMap::new(),
        }
    }

    /// Whether a schema of the document takes a value.
    fn take(&mut self, reference: &str, value: &Value) -> bool {
        let components = &self.document["components"];
        let validator = self.known.entry(reference.to_owned()).or_insert_with(|| {
            let schema = json!({"components": components, "allOf": [{"$ref": reference}]});
            jsonschema::draft7::new(&schema).unwrap()
        });
        validator.is_valid(value)
    }

    /// Whether the topic's message takes a payload, read as the document says.
    fn accept(&mut self, topic: &str, payload: &str) -> bool {
        let messages = &channel(&self.document, topic)["messages"];
        let message = messages.as_object().unwrap().values().next().unwrap();
        let reference = format!("{}/payload", message["$ref"].as_str().unwrap());
        let value = serde_json::from_str(payload).unwrap_or_else(|_| payload.into());
        self.take(&reference, &value)
    }
}

/// Who generates a client knows the type, the range and the words of a state where the guide fixes them.
#[test]
fn states_have_the_type_that_is_known_of_them() {
    let mut schemas = Schemas::new();
    for (topic, fits, other) in [
        ("audio/volume", "62", "101"),
        ("audio/muted", "true", "loud"),
        ("audio/microphones_connected", "2", "-1"),
        ("call/state", "ringing", "asleep"),
        ("call/remote_video_muted", "none", "7"),
        ("call/in_meeting", "false", "0.5"),
        ("calls", "[]", "none"),
        ("camera/far", "none", "true"),
    ] {
        assert!(schemas.accept(topic, fits), "{topic} {fits}");
        assert!(!schemas.accept(topic, other), "{topic} {other}");
    }
}

/// Whether the gateway itself takes a payload.
fn gateway_accepts(topic: &str, payload: &str) -> bool {
    Call::parse(topic, &Bytes::from(payload.to_owned()), &mut None).is_ok()
}

#[test]
fn every_topic_of_the_guide_is_there() {
    let document = asyncapi::document();
    let page = topic_page();
    for row in rows(WALK) {
        let topic = row[0];
        let channel = channel(&document, topic);
        let results = self::channel(&document, &format!("{topic}/result"));
        assert_eq!(results["messages"].as_object().unwrap().len(), 1, "{topic}");
        let pattern = channel["address"].as_str().unwrap();
        let pattern = pattern.strip_prefix("room/{room}/").unwrap();
        assert!(page.contains(&format!("| `{pattern}`")), "{pattern}");
    }
    for row in rows(STATES) {
        let pattern = channel(&document, row[0])["address"].as_str().unwrap();
        let pattern = pattern.strip_prefix("room/{room}/").unwrap();
        let own = format!("| `room/<room>/{pattern}`");
        let shown = page.contains(&format!("| `{pattern}`")) || page.contains(&own);
        assert!(shown, "{pattern}");
    }
}

/// The official schema of AsyncAPI 3.0.0, which is not part of the repository (400 KB, Apache-2.0). The test is
/// skipped unless it is told where the file is:
///
/// ```sh
/// npm install --prefix /tmp/asyncapi @asyncapi/specs
/// POLY2MQTT_TEST_ASYNCAPI='/tmp/asyncapi/node_modules/@asyncapi/specs/schemas/3.0.0-without-$id.json' \
///     cargo test --test it documents
/// ```
#[test]
fn the_asyncapi_document_fits_the_official_schema() {
    let Some(file) = std::env::var_os("POLY2MQTT_TEST_ASYNCAPI") else {
        return;
    };
    let schema = std::fs::read_to_string(file).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let schema = jsonschema::draft7::new(&schema).unwrap();
    let mut document = asyncapi::document();
    let wrong = |document: &Value| -> Vec<String> {
        let errors = schema.iter_errors(document).take(10);
        errors
            .map(|error| format!("{}: {error:.200}", error.instance_path()))
            .collect()
    };
    assert_eq!(wrong(&document), [""; 0]);
    // The schema does look at the operations.
    document["operations"]["audio.volume"]["action"] = json!("publish");
    assert_ne!(wrong(&document), [""; 0]);
}

/// Integrators read these sentences instead of the guide: a topic in one must be there to use.
#[test]
fn every_topic_that_a_sentence_names_exists() {
    let mut known: Vec<String> = states().map(|(topic, ..)| topic).collect();
    known.extend(files().map(|file| file.topic.to_owned()));
    known.extend(CATALOGUE.routes().iter().map(|route| route.topic.clone()));
    let page = topic_page();
    let mut named = 0;
    let mut unknown = Vec::new();
    for line in page.lines().filter(|line| line.starts_with('|')) {
        // The first column is the topic itself, and the last ones are the device's requests.
        let sentence = line.split(" | ").nth(1).unwrap_or_default();
        for name in sentence.split('`').skip(1).step_by(2) {
            let is_topic = name.contains('/') && !name.starts_with('<');
            named += usize::from(is_topic);
            // Of a family of topics the part before its parameter is enough.
            let family = format!("{name}/{{");
            let is_known = |topic: &String| topic == name || topic.starts_with(&family);
            if is_topic && !known.iter().any(is_known) {
                unknown.push(format!("{name}: {sentence}"));
            }
        }
    }
    assert!(named > 50, "{named}");
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
    // A file's topic says by which query it is filled, and whether it stays.
    assert!(page.contains("| `directory/export/file` | The file that `directory/export` answered last, as its bytes; not retained. |"));
    assert!(page.contains("| `camera/snapshot/far` | The file that `camera/snapshot/far/get` answered last, as its bytes; retained. |"));
}

/// Ids are made from topics, so two topics could come to share one.
#[test]
fn every_topic_has_a_channel_and_every_reference_a_target() {
    let document = asyncapi::document();
    let topics =
        GATEWAY_TOPICS.len() + states().count() + files().count() + 2 * CATALOGUE.routes().len();
    // And the Response Topic, and the WebSocket.
    assert_eq!(document["channels"].as_object().unwrap().len(), topics + 2);
    fn check(document: &Value, value: &Value) {
        if let Some(reference) = value["$ref"].as_str() {
            let target = document.pointer(reference.trim_start_matches('#'));
            assert!(target.is_some(), "{reference}");
        }
        let object = value.as_object().into_iter().flat_map(|map| map.values());
        for inner in object.chain(value.as_array().into_iter().flatten()) {
            check(document, inner);
        }
    }
    check(&document, &document);
}

#[test]
fn schemas_take_what_the_gateway_takes() {
    let mut schemas = Schemas::new();
    for row in rows(WALK) {
        let (topic, payload) = (row[0], row[1]);
        assert!(gateway_accepts(topic, payload), "{topic} {payload}");
        assert!(schemas.accept(topic, payload), "{topic} {payload}");
    }
}

#[test]
fn schemas_refuse_what_the_gateway_refuses() {
    let mut schemas = Schemas::new();
    for (topic, payload) in [
        ("audio/volume/set", ""),
        ("audio/volume/set", "101"),
        ("audio/volume/set", "loud"),
        ("audio/volume/set", "{\"volume\":-1}"),
        ("audio/volume/set", "{\"request_id\":1}"),
        ("audio/mute", "PRESS"),
        ("audio/mute", "{\"volume\":1}"),
        ("audio/dtmf/play", "5a"),
        ("audio/test_tone/play", "middle"),
        ("video/muted/set", "maybe"),
        ("camera/move", "sideways"),
        ("camera/move", "{\"direction\":\"left\",\"duration_ms\":0}"),
        ("camera/position/set", "{\"pan\":1,\"tilt\":2}"),
        (
            "camera/position/set",
            "{\"pan\":1,\"tilt\":2,\"zoom\":50001}",
        ),
        // Only a command whose state is known can be toggled.
        ("collaboration/content/saving/set", "toggle"),
        ("call/dial", "{}"),
        ("call/dial", "{\"address\":true}"),
        ("call/dial", "{\"address\":5551234.5}"),
        ("call/blast", "{\"addresses\":[1.5]}"),
        ("call/dial", "{\"address\":\"a\",\"adress\":\"b\"}"),
        (
            "call/dial",
            "{\"address\":\"a\",\"dial_type\":\"carrier_pigeon\"}",
        ),
        ("call/blast", "{\"addresses\":[]}"),
        ("directory/local/entry/e4/update", "{\"devices\":\"none\"}"),
        ("directory/import", ""),
        ("system/environment_app/set", "peek"),
        ("system/reset_settings", "{\"keep_cdr\":true}"),
    ] {
        assert!(!gateway_accepts(topic, payload), "{topic} {payload}");
        assert!(!schemas.accept(topic, payload), "{topic} {payload}");
    }
}

#[test]
fn results_are_as_their_schema_says() {
    let mut schemas = Schemas::new();
    let failures = ErrorCode::ALL.map(|code| Err(Failure::new(code, "why")));
    let worked = [Ok(Success::new(200, Value::Null))];
    for result in worked.into_iter().chain(failures) {
        let outcome = Outcome {
            room: "1".into(),
            command: "audio/mute".into(),
            request_id: Some(json!(7).into()),
            took: Duration::from_millis(18),
            result,
        };
        let value = serde_json::from_slice(&outcome.to_json()).unwrap();
        assert!(
            schemas.take("#/components/schemas/result", &value),
            "{value}"
        );
    }
    let nonsense = json!({"ok": true, "error": {"code": "moon_phase", "message": ""}});
    assert!(!schemas.take("#/components/schemas/result", &nonsense));
}

/// The filters that a user of the access list may write.
fn writable(user: &str) -> Vec<String> {
    let acl = mosquitto_acl();
    let begin = acl.split_once(&format!("user {user}\n")).unwrap().1;
    let own = begin.split("\nuser ").next().unwrap();
    let filters = own
        .lines()
        .filter_map(|line| line.strip_prefix("topic write "));
    filters.map(str::to_owned).collect()
}

#[test]
fn the_access_list_lets_nobody_forge_a_state() {
    assert!(writable("panel").is_empty());
    let filters = writable("controller");
    let own = GATEWAY_TOPICS.iter().map(|own| own.topic.to_string());
    let states = states().map(|(topic, ..)| format!("room/1/{topic}"));
    let files = files().map(|file| format!("room/1/{}", file.topic));
    let guarded: Vec<&str> = CATALOGUE.guarded().collect();
    let guarded_topics = guarded.iter().map(|topic| format!("room/1/{topic}"));
    let routes = CATALOGUE.routes().iter();
    let results = routes.map(|route| format!("room/1/{}/result", route.topic));
    for topic in own
        .chain(states)
        .chain(files)
        .chain(guarded_topics)
        .chain(results)
    {
        let open = filters.iter().find(|filter| fits(filter, &topic));
        assert_eq!(open, None, "{topic}");
    }
    for row in rows(WALK).filter(|row| !guarded.contains(&row[0])) {
        let topic = format!("room/1/{}", row[0]);
        assert!(filters.iter().any(|filter| fits(filter, &topic)), "{topic}");
    }
}

async fn user(mosquitto: &Mosquitto, name: &str) -> Client {
    let with = |options: &mut rumqttc::v5::MqttOptions| {
        options.set_credentials(name, "");
    };
    Client::connect_with(mosquitto.port, with, "#").await
}

#[tokio::test]
async fn the_access_list_works_in_mosquitto() {
    if mosquitto().is_none() {
        return;
    }
    // The broker takes any user at its word here: what is tested is what each may do.
    let acl = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/mosquitto.acl");
    let more = format!("user root\nacl_file {}", acl.display());
    let broker = Mosquitto::start(0, &more);
    let device = SimulatedDevice::start(Options::default()).await.unwrap();
    let url = BrokerUrl::Tcp {
        host: "127.0.0.1".into(),
        port: broker.port,
    };
    let rooms = BTreeMap::from([(RoomId::new("1").unwrap(), room(&device))]);
    let mut config = config(url, rooms);
    config.mqtt.username = Some("gateway".into());
    let service = App::start(config, timings()).await.unwrap();
    service.connected().await;
    let controller = user(&broker, "controller").await;
    let panel = user(&broker, "panel").await;
    let stranger = user(&broker, "stranger").await;
    controller.expect("room/1/availability", "online").await;
    panel.expect("gateway/availability", "online").await;

    // The controller's commands are carried out, and it is answered where it asks to be.
    let result = controller.command("room/1/audio/volume/set", "40").await;
    assert_eq!(result["ok"], true, "{result}");
    let response = PublishProperties {
        response_topic: Some("response/controller/1".into()),
        ..PublishProperties::default()
    };
    controller
        .publish_with("room/1/audio/volume/get", "", false, response)
        .await;
    let answer = text(&controller.message("response/controller/1").await);
    assert!(answer.contains("\"body\":40"), "{answer}");

    // It forges nothing and does nothing that is guarded; the panel does nothing at all.
    controller.publish("room/1/audio/volume", "99").await;
    controller
        .publish("room/1/audio/volume/set/result", "{}")
        .await;
    controller.publish("room/1/system/reboot", "").await;
    panel.publish("room/1/audio/volume/set", "98").await;
    let dial = "{\"address\":\"a@b\",\"password\":\"canary\"}";
    let result = controller.command("room/1/call/dial", dial).await;
    assert_eq!(result["ok"], true, "{result}");

    // The panel sees states and results, but no password and no one's private answer.
    panel.expect("room/1/call/count", "1").await;
    panel.message("room/1/call/dial/result").await;
    let volumes = panel.messages("room/1/audio/volume");
    assert_eq!(volumes.last().map(text).as_deref(), Some("40"));
    for (topic, payload) in panel.all() {
        assert!(!payload.contains("canary"), "{topic} {payload}");
        assert!(!topic.starts_with("response/"), "{topic}");
        assert_ne!(topic, "room/1/system/reboot");
        assert!(!["98", "99", "{}"].contains(&payload.as_str()), "{topic}");
    }
    assert!(stranger.all().is_empty(), "{:?}", stranger.all());
    service.stop().await;
    device.stop().await;
}
