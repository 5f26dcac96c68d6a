//! The embedded broker with the whole gateway: what clients publish where only the gateway may does
//! not arrive, is not kept and is not published for them.

use std::collections::BTreeMap;

use poly2mqtt::app::App;
use poly2mqtt::config::{BrokerUrl, MqttUser, RoomId, Secret};
use poly2mqtt_simulator::{Options, SimulatedDevice};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, LastWill, PublishProperties};
use rumqttc::v5::{AsyncClient, ConnectionError, MqttOptions};
use serde_json::Value;

use poly2mqtt_test_support::client::Client;
use poly2mqtt_test_support::gateway::{config, room, timings};
use poly2mqtt_test_support::raw_mqtt::{Connect, RawClient, Version};

struct Site {
    app: App,
    device: SimulatedDevice,
}

/// Who publishes: nobody in particular at an open broker, or one of its users.
type Name = Option<&'static str>;

impl Site {
    /// Rooms 1 and 2 with the same device.
    async fn start(with_users: bool) -> Self {
        let device = SimulatedDevice::start(Options::default()).await.unwrap();
        let id = |id: &str| RoomId::new(id).unwrap();
        let rooms = ["1", "2"].map(|room_id| (id(room_id), room(&device)));
        let url = BrokerUrl::Embedded(([127, 0, 0, 1], 0).into());
        let mut config = config(url, BTreeMap::from(rooms));
        let user = |name: &str, rooms: Option<Vec<RoomId>>| MqttUser {
            name: name.into(),
            password: Secret::new(password(name)),
            rooms,
            control: true,
        };
        if with_users {
            config.mqtt.users = vec![user("all", None), user("panel", Some(vec![id("1")]))];
        }
        let app = App::start(config, timings()).await.unwrap();
        app.connected().await;
        Self { app, device }
    }

    fn port(&self) -> u16 {
        self.app.broker_addr().unwrap().port()
    }

    async fn client(&self, name: Name, filter: &str) -> Client {
        Client::connect_with(self.port(), |options| log_in(options, name), filter).await
    }

    async fn stop(self) {
        self.app.stop().await;
        self.device.stop().await;
    }
}

fn password(name: &str) -> String {
    format!("the password of {name}")
}

fn log_in(options: &mut MqttOptions, name: Name) {
    if let Some(name) = name {
        options.set_credentials(name, password(name));
    }
}

/// An open broker and one with users, with those who try.
const TRIALS: [(bool, Name); 3] = [(false, None), (true, Some("all")), (true, Some("panel"))];

/// Only the gateway publishes here, whether or not there is a value at the moment.
const GATEWAYS: [&str; 10] = [
    "room/1/audio/volume",
    "room/1/system/status/unheard_of",
    "room/1/camera/snapshot/far",
    "room/1/availability",
    "room/1/event/incoming_call",
    "room/1/audio/mute/result",
    "room/3/audio/volume",
    "gateway/availability",
    "gateway/unheard_of",
    "homeassistant/device/poly2mqtt_1/config",
];

const FORGED: &str = "forged";

#[tokio::test]
async fn nothing_forged_arrives_or_stays() {
    for (with_users, name) in TRIALS {
        let site = Site::start(with_users).await;
        let everyone = name.map(|_| "all");
        let witness = site.client(everyone, "#").await;
        let system = site.client(everyone, "$SYS/#").await;
        witness.expect("room/2/availability", "online").await;
        let client = site.client(name, "room/1/audio/#").await;
        for topic in GATEWAYS.into_iter().chain(["$SYS/broker/uptime"]) {
            for retain in [false, true] {
                let properties = PublishProperties::default();
                client.publish_with(topic, FORGED, retain, properties).await;
            }
        }
        client.publish("lights/1", "on").await;
        witness.expect("lights/1", "on").await;
        // What is kept would be told to a client that comes later.
        let late = site.client(everyone, "#").await;
        late.message("room/1/availability").await;
        client.publish("lights/1", "off").await;
        for other in [&witness, &late] {
            other.expect("lights/1", "off").await;
            let forged = other.all().into_iter().find(|(_, text)| text == FORGED);
            assert_eq!(forged, None, "{name:?}");
        }
        assert_eq!(system.all(), [], "{name:?}");
        site.stop().await;
    }
}

#[tokio::test]
async fn what_is_not_carried_out_is_answered_and_nobody_else_gets_it() {
    for (with_users, name) in TRIALS {
        let site = Site::start(with_users).await;
        let witness = site.client(name.map(|_| "all"), "#").await;
        witness.expect("room/1/availability", "online").await;
        let client = site.client(name, "room/1/#").await;
        for (topic, retain, code) in [
            ("room/1/audio/volume/set", true, "ignored_retained"),
            ("room/1/make/coffee", false, "unknown_command"),
            ("room/1/make/tea", true, "ignored_retained"),
        ] {
            let properties = PublishProperties::default();
            client.publish_with(topic, "7", retain, properties).await;
            let result = client.message(&format!("{topic}/result")).await;
            let result: Value = serde_json::from_slice(&result.payload).unwrap();
            assert_eq!(result["error"]["code"], code, "{name:?} {topic}");
            witness.message(&format!("{topic}/result")).await;
            assert!(witness.messages(topic).is_empty(), "{name:?} {topic}");
        }
        let late = site.client(name.map(|_| "all"), "#").await;
        late.message("room/1/availability").await;
        assert!(late.messages("room/1/audio/volume/set").is_empty());
        // A command that can be carried out is seen by others, as ever.
        client.command("room/1/audio/volume/set", "7").await;
        witness.message("room/1/audio/volume/set").await;
        site.stop().await;
    }
}

/// Connects with a will; `None` if the broker accepts it.
async fn connect_with_will(site: &Site, name: Name, will: LastWill) -> Option<ConnectReturnCode> {
    let mut options = MqttOptions::new("leaves", "127.0.0.1", site.port());
    log_in(&mut options, name);
    options.set_last_will(will);
    let (_client, mut events) = AsyncClient::new(options, 4);
    match events.poll().await {
        Ok(_) => None,
        Err(ConnectionError::ConnectionRefused(code)) => Some(code),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_will_is_no_command_and_no_state() {
    for (with_users, name) in TRIALS {
        let site = Site::start(with_users).await;
        let witness = site.client(name.map(|_| "all"), "#").await;
        let commands = ["room/1/audio/mute", "room/1/make/coffee"];
        for topic in GATEWAYS.into_iter().chain(commands) {
            let will = LastWill::new(topic, FORGED, QoS::AtLeastOnce, true, None);
            let refused = connect_with_will(&site, name, will).await;
            let expected = Some(ConnectReturnCode::NotAuthorized);
            assert_eq!(refused, expected, "{name:?} {topic}");
        }
        let will = LastWill::new("lights/1", "gone", QoS::AtLeastOnce, false, None);
        assert_eq!(connect_with_will(&site, name, will).await, None);
        witness.expect("lights/1", "gone").await;
        assert!(witness.all().iter().all(|(_, text)| text != FORGED));
        site.stop().await;
    }
}

#[tokio::test]
async fn the_gateway_publishes_no_result_where_the_client_could_not() {
    for (with_users, name) in TRIALS {
        let site = Site::start(with_users).await;
        let witness = site.client(name.map(|_| "all"), "#").await;
        witness.expect("room/1/availability", "online").await;
        let client = site.client(name, "room/1/#").await;
        let others = ["response/other/1"].into_iter().filter(|_| with_users);
        let elsewhere = [
            "room/2/audio/volume/set/result",
            "homeassistant/sensor/x/config",
            "homeassistant/status",
        ];
        for response in GATEWAYS.into_iter().chain(elsewhere).chain(others) {
            if response == "room/1/audio/mute/result" {
                continue;
            }
            let properties = PublishProperties {
                response_topic: Some(response.into()),
                correlation_data: Some(FORGED.into()),
                ..PublishProperties::default()
            };
            client
                .publish_with("room/1/audio/volume/get", "", false, properties)
                .await;
        }
        client.command("room/1/audio/mute", "").await;
        witness.message("room/1/audio/mute/result").await;
        for publish in witness.everything() {
            let topic = String::from_utf8_lossy(&publish.topic).into_owned();
            let properties = publish.properties.unwrap_or_default();
            let forged = properties.correlation_data.as_deref() == Some(FORGED.as_bytes());
            let own = topic.starts_with("room/1/audio/volume/get");
            assert!(!forged || own, "{name:?} {topic}");
        }
        site.stop().await;
    }
}

/// The broker puts what is retained in the place of messages that it sends itself, below `$replay/`.
#[tokio::test]
async fn nobody_gets_what_is_retained_for_the_subscription_of_another() {
    let site = Site::start(true).await;
    let witness = site.client(Some("all"), "#").await;
    witness.expect("room/2/availability", "online").await;
    for version in [Version::V311, Version::V5] {
        let connect = Connect {
            login: Some(("panel".into(), password("panel"))),
            ..Connect::new(version, "curious")
        };
        let (mut panel, _) = RawClient::log_in(site.port(), &connect).await;
        let refused = if version == Version::V5 { 0x87 } else { 0x80 };
        for filter in [
            "$replay/#",
            "$replay/+",
            "$replay/+/#",
            "$share/group/$replay/#",
        ] {
            assert_eq!(panel.subscribe(filter, 1).await, [refused], "{filter}");
        }
        let late = site.client(Some("all"), "room/2/#").await;
        late.expect("room/2/availability", "online").await;
        panel.ping().await;
        panel.disconnect().await;
    }
    site.stop().await;
}
