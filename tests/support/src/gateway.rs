//! The whole gateway with simulated devices and a broker, as a user would run it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use poly2mqtt::app::App;
use poly2mqtt::catalogue::{CATALOGUE, PresetNames};
use poly2mqtt::config::{
    BrokerUrl, Certificate, Config, HomeAssistantConfig, HttpConfig, MqttConfig, PollConfig,
    RoomConfig, RoomId, Secret, TcpConfig,
};
use poly2mqtt::device::DeviceTimings;
use poly2mqtt_simulator::{FaultKind, Options, SimulatedDevice};
use serde_json::{Value, json};
use url::Url;

use super::client::Client;
use super::{BrokerKind, Mosquitto, soon, watchdog};

pub struct Gateway {
    pub device: SimulatedDevice,
    pub service: App,
    pub client: Client,
    pub config: Config,
    pub port: u16,
    /// Held so that it ends with the gateway.
    _mosquitto: Option<Mosquitto>,
}

/// The gateway's delays and time-outs, shortened for tests.
pub fn timings() -> DeviceTimings {
    DeviceTimings {
        request_timeout: Duration::from_secs(3),
        slow_request_timeout: Duration::from_secs(6),
        minutes_request_timeout: Duration::from_secs(12),
        retry_after_refused_login: Duration::from_millis(1500),
        retry_after_doubtful_refusal: Duration::from_millis(700),
        retry_after_lockout: Duration::from_millis(1500),
        retry_after_too_many_sessions: Duration::from_millis(500),
        first_reconnect_delay: Duration::from_millis(100),
        loss_before_offline: Duration::from_secs(15),
        trust_after_loss: Duration::from_secs(60),
        quiet_before_faster_reads: Duration::from_secs(2),
    }
}

pub fn room(device: &SimulatedDevice) -> RoomConfig {
    RoomConfig {
        name: None,
        url: Url::parse(&device.url()).unwrap(),
        user: "admin".into(),
        password: Secret::new("456"),
        certificate: Certificate::parse(&device.fingerprint()).unwrap(),
        allow: CATALOGUE
            .guarded()
            .map(str::to_owned)
            .collect::<BTreeSet<_>>()
            .into(),
        settings: Vec::new(),
        poll: PollConfig {
            fast: Duration::from_millis(400),
            normal: Duration::from_millis(800),
            slow: Duration::from_millis(1600),
            meters: true,
            gentle: false,
        },
        preset_offset: None,
        presets: PresetNames::default(),
        keep_alive: true,
        readiness: None,
        readiness_dial: None,
        max_command_age: Duration::from_secs(5),
    }
}

/// Polls so quickly that a test is short.
pub fn poll_quickly(room: &mut RoomConfig) {
    room.poll.fast = Duration::from_millis(100);
    room.poll.normal = Duration::from_millis(200);
    room.poll.slow = Duration::from_millis(400);
}

/// Every kind of answer that cannot be read.
pub fn spoilt() -> [FaultKind; 4] {
    [
        FaultKind::Garbage,
        FaultKind::Null,
        FaultKind::Truncated,
        FaultKind::Huge(12 << 20),
    ]
}

/// A configured room, to change it.
pub fn configured<'a>(config: &'a mut Config, id: &str) -> &'a mut RoomConfig {
    Arc::make_mut(config.rooms.get_mut(id).unwrap())
}

/// A configuration for a test. HTTP takes any free port, since many gateways run at the same time.
pub fn config(url: BrokerUrl, rooms: BTreeMap<RoomId, RoomConfig>) -> Config {
    Config {
        mqtt: MqttConfig {
            url,
            ..MqttConfig::default()
        },
        http: HttpConfig {
            listen: Some(([127, 0, 0, 1], 0).into()),
            ..HttpConfig::default()
        },
        tcp: TcpConfig::default(),
        home_assistant: HomeAssistantConfig::default(),
        cluster: None,
        rooms: rooms
            .into_iter()
            .map(|(id, room)| (id, room.into()))
            .collect(),
    }
}

impl Gateway {
    pub async fn start(kind: BrokerKind, options: Options) -> Self {
        Self::start_with(kind, options, |_| {}).await
    }

    /// The same with the embedded broker, and waits until the room is online.
    pub async fn start_online(options: Options) -> Self {
        Self::start_online_with(options, |_| {}).await
    }

    /// The same with a room that is changed by `change`.
    pub async fn start_online_with(options: Options, change: impl FnOnce(&mut RoomConfig)) -> Self {
        let it = Self::start_with(BrokerKind::Embedded, options, change).await;
        it.online().await;
        it
    }

    /// Starts a device and a gateway with one room, changed by `change`.
    pub async fn start_with(
        kind: BrokerKind,
        options: Options,
        change: impl FnOnce(&mut RoomConfig),
    ) -> Self {
        watchdog::watch();
        let device = SimulatedDevice::start(options).await.unwrap();
        let mut room = room(&device);
        change(&mut room);
        let mosquitto = (kind == BrokerKind::Mosquitto).then(|| Mosquitto::start(0, ""));
        let url = match &mosquitto {
            None => BrokerUrl::Embedded(([127, 0, 0, 1], 0).into()),
            Some(mosquitto) => BrokerUrl::Tcp {
                host: "127.0.0.1".into(),
                port: mosquitto.port,
            },
        };
        let rooms = BTreeMap::from([(RoomId::new("1").unwrap(), room)]);
        let config = config(url, rooms);
        let service = App::start(config.clone(), timings()).await.unwrap();
        let port = match (&mosquitto, service.broker_addr()) {
            (Some(mosquitto), _) => mosquitto.port,
            (None, addr) => addr.unwrap().port(),
        };
        soon("the connection to the broker", service.connected()).await;
        let client = Client::connect(port).await;
        Self {
            device,
            service,
            client,
            config,
            port,
            _mosquitto: mosquitto,
        }
    }

    /// Starts a device and a gateway that polls it quickly, and waits until the room is online.
    pub async fn start_quick(options: Options) -> Self {
        Self::start_online_with(options, poll_quickly).await
    }

    pub async fn online(&self) {
        self.client.expect("room/1/availability", "online").await;
    }

    /// Checks that the room has not been offline since it was online.
    pub fn never_offline(&self) {
        self.client.never_offline("1");
    }

    /// Moves the camera to the left for this time and gives the result.
    pub async fn moves_left(&self, milliseconds: u64) -> Value {
        let payload = json!({"direction": "left", "duration_ms": milliseconds});
        let topic = "room/1/camera/move";
        self.client.command(topic, payload.to_string()).await
    }

    /// Waits until no camera moves.
    pub async fn camera_stops(&self, within: Duration) {
        let stopped = |device: &SimulatedDevice| device.state()["cameras"]["moving"].is_null();
        let stopped = self.device.wait_for(within, stopped).await;
        assert!(stopped, "{}", self.device.state()["cameras"]["moves"]);
    }

    /// Waits until the room's problem has this code.
    pub async fn problem(&self, code: &str) {
        let needle = format!("\"code\":\"{code}\"");
        self.client
            .until(&format!("problem {code}"), |client| {
                client
                    .last("room/1/problem")
                    .is_some_and(|problem| problem.contains(&needle))
            })
            .await;
    }

    pub async fn stop(self) {
        soon("the end of the gateway", self.service.stop()).await;
        soon("the end of the device", self.device.stop()).await;
    }
}
