//! A token and a broker user of one room are told nothing of another: every door and every endpoint
//! is asked, and all answers are searched for the other room's marks.

use std::collections::BTreeMap;

use poly2mqtt::app::{App, AppOptions};
use poly2mqtt::config::{AccessLevel, BrokerUrl, Certificate, Config, MqttUser, RoomId, Secret};
use poly2mqtt::doors::http::paths;
use poly2mqtt::state::StateValue;
use poly2mqtt_simulator::{Options, SimulatedDevice};
use reqwest::Method;
use rumqttc::v5::MqttOptions;
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use serde_json::{Value, json};

use poly2mqtt_test_support::client::{Client, text as text_of};
use poly2mqtt_test_support::door::{Lines, Socket, http, token};
use poly2mqtt_test_support::gateway::{config, room, timings};

/// The other room's id. The asking client knows it, so an answer may repeat it to one who asks for
/// this room; nowhere else may it stand.
const ID: &str = "hidden-room";

/// What only the other room and those who use it have.
const MARKS: [&str; 9] = [
    "Hidden Hall",
    "hidden-admin",
    "Hidden Codec",
    "hidden-caller@example.com",
    "HIDDEN-SERIAL",
    "aa:bb:cc:dd:ee:ff",
    "hidden-token",
    "hidden-operator",
    "response/hidden",
];

struct Site {
    app: App,
    config: Config,
    own: SimulatedDevice,
    hidden: SimulatedDevice,
}

impl Site {
    /// The gateway with every door, with room 1 and the other room.
    async fn start() -> Self {
        let own = SimulatedDevice::start(Options::default()).await.unwrap();
        let hidden = Options {
            user: "hidden-admin".into(),
            name: "Hidden Codec".into(),
            ..Options::default()
        };
        let hidden = SimulatedDevice::start(hidden).await.unwrap();
        let mut hidden_room = room(&hidden);
        hidden_room.name = Some("Hidden Hall".into());
        hidden_room.user = "hidden-admin".into();
        let id = |id: &str| RoomId::new(id).unwrap();
        let rooms = BTreeMap::from([(id("1"), room(&own)), (id(ID), hidden_room)]);
        let url = BrokerUrl::Embedded(([127, 0, 0, 1], 0).into());
        let mut config: Config = config(url, rooms);
        config.tcp.listen = config.http.listen;
        config.http.tokens = vec![
            token("one-room", AccessLevel::Admin, Some(&["1"])),
            token("hidden-token", AccessLevel::Admin, None),
        ];
        let user = |name: &str, rooms: Option<Vec<RoomId>>| MqttUser {
            name: name.into(),
            password: Secret::new(format!("{name}'s password")),
            rooms,
            control: true,
        };
        config.mqtt.users = vec![
            user("panel", Some(vec![id("1")])),
            user("hidden-operator", None),
        ];
        let options = AppOptions {
            timings: timings(),
            ..AppOptions::default()
        };
        let app = App::start_with(config.clone(), options).await.unwrap();
        let site = Self {
            app,
            config,
            own,
            hidden,
        };
        let operator = site.broker_client("hidden-operator", "room/#").await;
        for room in ["1", ID] {
            let topic = format!("room/{room}/availability");
            operator.expect(&topic, "online").await;
        }
        site.something_happens();
        site
    }

    async fn broker_client(&self, user: &'static str, filter: &str) -> Client {
        let port = self.app.broker_addr().unwrap().port();
        let login = |options: &mut MqttOptions| {
            options.set_credentials(user, format!("{user}'s password"));
        };
        Client::connect_with(port, login, filter).await
    }

    /// The other room's states change, and it has events.
    fn something_happens(&self) {
        let store = self.app.store();
        let about = r#"{"serialNumber":"HIDDEN-SERIAL","macAddress":"aa:bb:cc:dd:ee:ff"}"#;
        store.set(&format!("room/{ID}/system/marks"), StateValue::text(about));
        store.clear(&format!("room/{ID}/system/marks/gone"));
        store.event(
            &format!("room/{ID}/event/incoming_call"),
            r#"{"from":"hidden-caller@example.com"}"#.into(),
        );
    }

    /// Where the other room's device listens.
    fn address(&self) -> String {
        self.hidden.url().trim_start_matches("https://").to_owned()
    }

    /// Nothing of the other room is in an answer. `asked`: the question names the room's id.
    fn tells_nothing(&self, question: &str, answer: &str) {
        let address = self.address();
        let id = Some(ID).filter(|id| !question.contains(id));
        for mark in MARKS.into_iter().chain([address.as_str()]).chain(id) {
            assert!(!answer.contains(mark), "{question}: {mark} is in {answer}");
        }
    }

    async fn stop(self) {
        self.app.stop().await;
        self.own.stop().await;
        self.hidden.stop().await;
    }
}

/// The requests to make of a path; a new path must be added here.
fn requests(path: &str) -> Vec<String> {
    let topics = |room: &str| {
        [
            "audio/volume",
            "audio/volume/get",
            "audio/volume/set",
            "audio/mute",
            "system/info",
            "system/marks",
            "system/logs/get",
            "directory/import",
            "camera/snapshot/near/get",
            "availability",
            "problem",
            "event/incoming_call",
            "nonsense",
        ]
        .map(|topic| format!("/room/{room}/{topic}"))
    };
    let rooms = ["1", ID, "unknown", "%2E%2E", ""];
    match path {
        "/" | "/ws" | "/healthz" | "/readyz" | "/metrics" | "/asyncapi.json" | "/room" => {
            vec![path.to_owned()]
        }
        "/manifest.webmanifest" => vec![
            path.to_owned(),
            format!("{path}?room=1"),
            format!("{path}?room={ID}"),
        ],
        "/icon/{name}" => ["192.png", "unknown", ""]
            .map(|name| format!("/icon/{name}"))
            .to_vec(),
        "/gateway/log" => [
            String::new(),
            "?level=info&limit=2000".to_owned(),
            "?room=1".to_owned(),
            format!("?room={ID}"),
            "?text=hidden".to_owned(),
        ]
        .map(|query| format!("{path}{query}"))
        .to_vec(),
        "/room/{room}/commands" => rooms.map(|room| format!("/room/{room}/commands")).to_vec(),
        "/room/{room}" => rooms.map(|room| format!("/room/{room}")).to_vec(),
        "/room/{room}/{*topic}" => rooms.iter().flat_map(|room| topics(room)).collect(),
        "/gateway/{*topic}" => [
            "info",
            "health",
            "availability",
            "cluster",
            "other/info",
            "%69nfo",
            "",
        ]
        .map(|topic| format!("/gateway/{topic}"))
        .to_vec(),
        "/autobahn-echo" => Vec::new(),
        unknown => panic!("{unknown} is new: say here how it is asked"),
    }
}

#[tokio::test]
async fn no_endpoint_tells_a_token_of_one_room_anything_of_another() {
    let site = Site::start().await;
    let base = format!("http://{}", site.app.http_addr().unwrap());
    let client = http();
    let no_path = ["/nothing", "/room/", "/gateway", "/%00", "/favicon.ico"];
    let questions = paths().flat_map(requests);
    for path in questions.chain(no_path.map(str::to_owned)) {
        let methods = [
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::DELETE,
            Method::OPTIONS,
        ];
        for method in methods {
            for token in [Some("one-room"), Some("wrong token"), None] {
                if token != Some("one-room") && method != Method::GET {
                    continue;
                }
                // A wrong token is slowed down, so it is shown at a few places.
                if token == Some("wrong token") && !path.starts_with("/gateway/info") {
                    continue;
                }
                let mut request = client.request(method.clone(), format!("{base}{path}"));
                if let Some(token) = token {
                    request = request.bearer_auth(token);
                }
                let response = request.send().await.unwrap();
                let question = format!("{method} {path} {token:?}");
                let head = format!("{} {:?}", response.status(), response.headers());
                site.tells_nothing(&question, &head);
                let body = response.bytes().await.unwrap();
                site.tells_nothing(&question, &String::from_utf8_lossy(&body));
            }
        }
    }
    // It is told of its own room, and the marks are there for the others to see.
    let get = async |path: &str, token: &str| {
        let request = client.get(format!("{base}{path}")).bearer_auth(token);
        request.send().await.unwrap().text().await.unwrap()
    };
    let info: serde_json::Value =
        serde_json::from_str(&get("/gateway/info", "one-room").await).unwrap();
    assert_eq!(info["rooms"], serde_json::json!({"1": null}));
    assert_eq!(info["configuration"]["rooms"]["1"]["user"], "admin");
    assert!(info["version"].is_string() && info["started"].is_string());
    let own = get("/metrics", "one-room").await;
    assert!(!own.contains("poly2mqtt_polls_total"), "{own}");
    let json = async |path: &str, token: &str| -> serde_json::Value {
        serde_json::from_str(&get(path, token).await).unwrap()
    };
    let ready = json("/readyz", "one-room").await;
    assert_eq!(
        (&ready["rooms"], &ready["rooms_online"]),
        (&1.into(), &1.into())
    );
    assert_eq!(json("/readyz", "hidden-token").await["rooms"], 2);
    let stranger = client.get(format!("{base}/readyz")).send().await.unwrap();
    assert_eq!(stranger.status(), 200);
    let stranger: serde_json::Value =
        serde_json::from_str(&stranger.text().await.unwrap()).unwrap();
    assert_eq!(
        stranger,
        serde_json::json!({"ready": true, "broker": "connected"})
    );
    let own = json("/gateway/health", "one-room").await;
    let whole = json("/gateway/health", "hidden-token").await;
    for counts_rooms in ["rooms", "rooms_online", "topics", "commands"] {
        assert!(own.get(counts_rooms).is_none(), "{own}");
        assert!(whole[counts_rooms].is_u64(), "{whole}");
    }
    assert!(own["uptime_s"].is_u64() && own["mqtt"].is_object(), "{own}");
    let whole = get("/gateway/info", "hidden-token").await;
    for mark in [
        ID,
        "Hidden Hall",
        "hidden-admin",
        "hidden-token",
        &site.address(),
    ] {
        assert!(whole.contains(mark), "{mark} is not in {whole}");
    }
    assert!(get("/metrics", "hidden-token").await.contains(ID));
    assert!(
        get(&format!("/room/{ID}"), "hidden-token")
            .await
            .contains("HIDDEN-SERIAL")
    );
    site.stop().await;
}

/// A reload brings a room whose authority's file is missing, and a token for it alone.
#[tokio::test]
async fn a_room_that_cannot_start_does_not_name_the_others() {
    let mut site = Site::start().await;
    let mut config = site.config.clone();
    let mut broken = room(&site.own);
    broken.certificate = Certificate::CaFile("missing.pem".into());
    config
        .rooms
        .insert(RoomId::new("broken").unwrap(), broken.into());
    let only_broken = token("one-broken", AccessLevel::Admin, Some(&["broken"]));
    config.http.tokens.push(only_broken);
    let failed = site.app.reload(config).await.unwrap_err();
    assert!(failed[0].contains("missing.pem"), "{failed:?}");
    let url = format!("http://{}/room/broken", site.app.http_addr().unwrap());
    let post = http().post(format!("{url}/audio/mute"));
    let answer = post.bearer_auth("one-broken").send().await.unwrap();
    assert_eq!(answer.status(), 503);
    let text = answer.text().await.unwrap();
    assert!(text.contains("could not be started"), "{text}");
    site.tells_nothing("POST /room/broken/audio/mute", &text);
    site.stop().await;
}

/// Filters that reach another room, and the gateway's topics. The last five can only match at a broker.
const FILTERS: [&str; 23] = [
    "#",
    "+",
    "+/#",
    "+/+/#",
    "+/+/+/+",
    "room/#",
    "room/+/#",
    "room/+/availability",
    "room/+/event/+",
    "room/hidden-room/#",
    "room/hidden-room/availability",
    "+/hidden-room/#",
    "gateway/#",
    "gateway/+",
    "gateway/info",
    "gateway/health",
    "gateway/availability",
    "gateway/log",
    "homeassistant/#",
    "homeassistant/device/+/config",
    "homeassistant/device/poly2mqtt_hidden-room/config",
    "response/#",
    "client/#",
];

/// Commands of the other room, and of none.
const COMMANDS: [&str; 5] = [
    "room/hidden-room/audio/mute",
    "room/hidden-room/audio/volume/get",
    "room/unknown/audio/mute",
    "room/1/audio/volume/get",
    "room/1/nonsense",
];

#[tokio::test]
async fn no_frame_tells_a_token_of_one_room_anything_of_another() {
    let site = Site::start().await;
    let addr = site.app.http_addr().unwrap();
    for filter in &FILTERS[..FILTERS.len() - 5] {
        let query: String = url::form_urlencoded::byte_serialize(filter.as_bytes()).collect();
        let path = format!("ws://{addr}/ws?token=one-room&subscribe={query}");
        let mut json = Socket::connect(&path).await;
        let mut plain = Socket::connect(&format!("{path}&format=plain")).await;
        site.something_happens();
        for (number, command) in COMMANDS.iter().enumerate() {
            let answer = json
                .frames_until(number as u64, &format!("\"topic\":\"{command}\""))
                .await;
            for frame in answer {
                site.tells_nothing(&format!("{filter} {command}"), &frame);
            }
            plain.send(command).await;
        }
        plain.send("ping").await;
        let question = format!("{filter} {COMMANDS:?}");
        let mut results = 0;
        while results < COMMANDS.len() {
            let line = plain.text().await;
            site.tells_nothing(&question, &line);
            results += usize::from(line.contains("/result "));
        }
    }
    for filter in ["#", "room/hidden-room/#", "gateway/info"] {
        let mut lines = Lines::connect(site.app.tcp_addr().unwrap()).await;
        lines
            .send(&format!("token one-room\nsubscribe {filter}\n"))
            .await;
        site.something_happens();
        for command in COMMANDS {
            lines.send(&format!("{command}\n")).await;
        }
        let question = format!("{filter} {COMMANDS:?}");
        let mut results = 0;
        while results < COMMANDS.len() {
            let line = lines.line().await.unwrap();
            site.tells_nothing(&question, &line);
            results += usize::from(line.contains("/result "));
        }
    }
    // A wrong token is told nothing either.
    let mut wrong = Socket::connect(&format!("ws://{addr}/ws?token=wrong&subscribe=%23")).await;
    let (_, reason) = wrong.closed().await;
    site.tells_nothing("a wrong token", &reason);
    site.stop().await;
}

#[tokio::test]
async fn no_message_tells_a_user_of_one_room_anything_of_another() {
    let site = Site::start().await;
    let panel = site.broker_client("panel", "room/1/#").await;
    for filter in FILTERS {
        panel.subscribe(filter).await;
        panel.subscribe(&format!("$share/group/{filter}")).await;
    }
    let operator = site.broker_client("hidden-operator", "#").await;
    let document = format!("homeassistant/device/poly2mqtt_{ID}/config");
    operator.message(&document).await;
    let respond = |response: &str| PublishProperties {
        response_topic: Some(response.into()),
        ..PublishProperties::default()
    };
    let topic = format!("room/{ID}/audio/volume/get");
    let own = "response/hidden-operator/7";
    for response in [own, "client/7"] {
        operator
            .publish_with(&topic, "", false, respond(response))
            .await;
    }
    operator.message(own).await;
    operator.command("room/1/audio/volume/get", "").await;
    for command in COMMANDS {
        panel.publish(command, "").await;
    }
    site.something_happens();
    // The gateway publishes in order, and so does the broker: after this one, all have arrived.
    site.app.store().set("room/1/last", StateValue::text("1"));
    panel.expect("room/1/last", "1").await;
    for publish in panel.everything() {
        let topic = String::from_utf8_lossy(&publish.topic).into_owned();
        let payload = String::from_utf8_lossy(&publish.payload).into_owned();
        let all = format!("{topic} {payload} {:?}", publish.properties);
        site.tells_nothing(&topic, &all);
        assert!(!topic.contains(ID), "{topic}");
    }
    assert!(panel.last("gateway/availability").is_some());
    assert!(panel.last("gateway/health").is_none());
    assert!(panel.last("gateway/info").is_none());
    // The marks are there for others to see.
    let seen: String = operator.all().into_iter().map(|(t, p)| t + &p).collect();
    for mark in ["Hidden Hall", "hidden-admin", "HIDDEN-SERIAL", ID] {
        assert!(seen.contains(mark), "{mark}");
    }
    site.stop().await;
}

/// A warning of the log goes to those who see its room: over WebSocket and lines by token, at the broker to users
/// of all rooms.
#[tokio::test]
async fn a_warning_is_told_to_those_who_see_its_room() {
    let site = Site::start().await;
    let addr = site.app.http_addr().unwrap();
    let ws = |token: &str| format!("ws://{addr}/ws?token={token}&subscribe=gateway/log");
    let mut whole = Socket::connect(&ws("hidden-token")).await;
    let mut own = Socket::connect(&ws("one-room")).await;
    let mut lines = Lines::connect(site.app.tcp_addr().unwrap()).await;
    lines
        .send("token one-room\nsubscribe gateway/log\nping\n")
        .await;
    while !lines.line().await.unwrap().contains("pong") {}
    let panel = site.broker_client("panel", "room/1/#").await;
    panel.subscribe("gateway/log").await;
    panel.subscribe("gateway/+").await;
    let operator = site.broker_client("hidden-operator", "gateway/log").await;

    site.hidden.stop().await;
    let told: Value = serde_json::from_str(&whole.text().await).unwrap();
    assert_eq!(told["topic"], "gateway/log");
    let entry = &told["payload"];
    assert_eq!(
        (&entry["room"], &entry["level"]),
        (&json!(ID), &json!("warn"))
    );
    assert!(
        entry["text"].as_str().unwrap().starts_with("offline: "),
        "{entry}"
    );
    assert!(entry["at"].as_str().unwrap().ends_with('Z'), "{entry}");
    let published = operator.message("gateway/log").await;
    assert!(text_of(&published).contains(ID));

    site.own.stop().await;
    for told in [own.text().await, lines.line().await.unwrap()] {
        assert!(
            told.contains("gateway/log") && told.contains("\"room\":\"1\""),
            "{told}"
        );
        assert!(!told.contains(ID), "{told}");
    }
    panel.expect("room/1/availability", "offline").await;
    assert!(panel.last("gateway/log").is_none());
    // It is not kept anywhere.
    assert!(site.app.store().get("gateway/log").is_none());
    site.app.stop().await;
}
