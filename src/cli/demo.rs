//! `poly2mqtt demo`: the whole gateway on one machine, with simulated devices.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::simulate::JOURNAL;
use super::{CliError, rooms, signals};
use crate::app::App;
use crate::config::{
    BrokerUrl, Certificate, Config, HomeAssistantConfig, HttpConfig, MqttConfig, PollConfig,
    RoomConfig, RoomId, Secret, TcpConfig,
};
use crate::device::DeviceTimings;
use poly2mqtt_simulator::SimulatedDevice;

/// Where the control port listens, as for `simulate`; on any free port if this one is taken.
const CONTROL: &str = "127.0.0.1:8442";

#[derive(Debug, clap::Args)]
pub struct Demo {
    /// How many rooms.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=200))]
    rooms: u16,
    /// Where the broker listens.
    #[arg(long, default_value = "127.0.0.1:1883")]
    listen: SocketAddr,
    /// Where HTTP and WebSocket listen.
    #[arg(long, default_value = "127.0.0.1:8080")]
    http: SocketAddr,
    /// Where plain lines over TCP listen; by default nowhere.
    #[arg(long, value_name = "ADDR")]
    tcp: Option<SocketAddr>,
}

impl Demo {
    pub async fn run(&self) -> Result<(), CliError> {
        let stop = signals::stop()?;
        let devices = self.start_devices().await?;
        let listener = bind_control()
            .await
            .map_err(|error| CliError::Other(format!("no control port: {error}")))?;
        let control = listener
            .local_addr()
            .map_err(|error| CliError::Other(error.to_string()))?;
        let shutdown = CancellationToken::new();
        let serve = poly2mqtt_simulator::serve_control(listener, devices.clone(), shutdown.clone());
        let control_task = tokio::spawn(serve);
        let app = App::start(self.config(&devices)?, DeviceTimings::default())
            .await
            .map_err(CliError::Other)?;
        app.connected().await;
        self.print_hints(control, &app);
        stop.await;
        app.stop().await;
        shutdown.cancel();
        // Its result says nothing that matters after the end.
        let _ = control_task.await;
        for device in devices {
            device.stop().await;
        }
        Ok(())
    }

    async fn start_devices(&self) -> Result<Vec<SimulatedDevice>, CliError> {
        let mut devices = Vec::new();
        for number in 1..=self.rooms {
            let options = poly2mqtt_simulator::Options {
                name: format!("Demo room {number}"),
                journal: JOURNAL,
                ..poly2mqtt_simulator::Options::default()
            };
            let device = SimulatedDevice::start(options)
                .await
                .map_err(|error| CliError::Other(format!("no simulated device: {error}")))?;
            devices.push(device);
        }
        Ok(devices)
    }

    /// Prints commands to try.
    fn print_hints(&self, control: SocketAddr, app: &App) {
        let port = match self.listen.port() {
            1883 => String::new(),
            other => format!("-p {other} "),
        };
        let http = app.http_addr().unwrap_or(self.http);
        let program = std::env::args().next();
        let program = program.as_deref().unwrap_or("poly2mqtt");
        println!(
            "poly2mqtt runs with {} (simulated) and its own broker at {}. Ctrl-C ends it. Try:",
            rooms(self.rooms.into()),
            self.listen
        );
        let tries = [
            (
                format!("mosquitto_sub {port}-v -t 'room/#' -t 'gateway/#'"),
                "everything that happens",
            ),
            (
                format!("mosquitto_pub {port}-t room/1/camera/preset/3/activate -n"),
                "recall a camera preset",
            ),
            (
                format!("mosquitto_pub {port}-t room/1/audio/volume/set -m 40"),
                "set the volume",
            ),
            (
                format!("mosquitto_pub {port}-t room/1/audio/muted/set -m toggle"),
                "toggle mute",
            ),
            (
                format!("mosquitto_pub {port}-t room/1/call/dial -m alice@example.com"),
                "call somebody; call/hangup ends it",
            ),
            (format!("http://{http}/"), "the dashboard, in a browser"),
            (
                format!("websocat 'ws://{http}/ws?subscribe=room/1/%23'"),
                "everything about room 1, without MQTT",
            ),
            (
                format!("curl -X POST 'http://{control}/1/ring?from=bob@example.com'"),
                "somebody calls room 1",
            ),
            (format!("{program} topics"), "every topic"),
        ];
        let lines = app.tcp_addr().map(|at| {
            let (ip, port) = (at.ip(), at.port());
            let command = format!("echo room/1/audio/volume/set 40 | nc -w 1 {ip} {port}");
            (command, "set the volume over plain TCP")
        });
        for (command, about) in tries.into_iter().chain(lines) {
            println!("  {command:<66} # {about}");
        }
    }

    fn config(&self, devices: &[SimulatedDevice]) -> Result<Config, CliError> {
        let unusable = || CliError::Other("a simulated device has no usable address".into());
        let mut rooms = BTreeMap::new();
        for (number, device) in (1..).zip(devices) {
            let pinned = device.fingerprint();
            let room = RoomConfig {
                name: Some(format!("Demo room {number}")),
                url: Url::parse(&device.url()).map_err(|_| unusable())?,
                user: "admin".into(),
                password: Secret::new("456"),
                certificate: Certificate::parse(&pinned).ok_or_else(unusable)?,
                // A simulated device cannot be broken for good.
                allow: ["system/reboot", "directory/import"]
                    .map(str::to_owned)
                    .into(),
                poll: PollConfig::default(),
                preset_offset: None,
                keep_alive: true,
                max_command_age: Duration::from_secs(5),
            };
            rooms.insert(RoomId::new(&number.to_string()).ok_or_else(unusable)?, room);
        }
        let mqtt = MqttConfig {
            url: BrokerUrl::Embedded(self.listen),
            open: !self.listen.ip().is_loopback(),
            ..MqttConfig::default()
        };
        let http = HttpConfig {
            listen: Some(self.http),
            open: [Some(self.http), self.tcp]
                .iter()
                .flatten()
                .any(|at| !at.ip().is_loopback()),
            ..HttpConfig::default()
        };
        let tcp = TcpConfig {
            listen: self.tcp,
            ..TcpConfig::default()
        };
        Ok(Config {
            mqtt,
            http,
            tcp,
            home_assistant: HomeAssistantConfig::default(),
            rooms,
        })
    }
}

async fn bind_control() -> std::io::Result<TcpListener> {
    match TcpListener::bind(CONTROL).await {
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            TcpListener::bind("127.0.0.1:0").await
        }
        bound => bound,
    }
}
