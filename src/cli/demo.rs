//! `poly2mqtt demo`: the whole gateway on one machine, with simulated devices.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use url::Url;

use super::output::print;
use super::simulate::{JOURNAL, nth_port};
use super::{CliError, signals};
use crate::app::{App, AppOptions, ListenSettings};
use crate::catalogue::PresetNames;
use crate::config::{
    BrokerUrl, Certificate, Config, HomeAssistantConfig, HttpConfig, MqttConfig, PollConfig,
    RoomConfig, RoomId, Secret, TcpConfig,
};
use crate::listed::counted;
use crate::net::{ListenSetting, bind, port_holder, try_bind};
use crate::telemetry::LogRing;
use poly2mqtt_simulator::SimulatedDevice;

/// The port of MQTT, where people look for a broker.
pub(super) const BROKER_PORT: u16 = 1883;
/// The gateway's own port for HTTP.
pub(super) const HTTP_PORT: u16 = 8080;
/// The control port of `simulate`.
const CONTROL_PORT: u16 = 8442;
/// How many ports are tried after one that is in use.
const MOST_PORTS_TRIED: u16 = 20;

#[derive(Debug, clap::Args)]
pub struct Demo {
    /// How many rooms.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=200))]
    rooms: u16,
    /// Where the broker listens [default: 127.0.0.1:1883, or the next port that is free].
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Where HTTP and WebSocket listen [default: 127.0.0.1:8080, or the next port that is free].
    #[arg(long, value_name = "ADDR")]
    http: Option<SocketAddr>,
    /// Where plain lines over TCP listen; by default nowhere.
    #[arg(long, value_name = "ADDR")]
    tcp: Option<SocketAddr>,
    /// Where the control port of the simulated devices listens [default: 127.0.0.1:8442, or the next port
    /// that is free].
    #[arg(long, value_name = "ADDR")]
    control: Option<SocketAddr>,
    /// Where the first simulated device listens; each listens on the next port. By default they take any
    /// ports that are free.
    #[arg(long, value_name = "ADDR")]
    devices: Option<SocketAddr>,
}

/// The addresses that the demo listens on.
#[derive(Debug, Clone, Copy)]
struct Addresses {
    broker: SocketAddr,
    http: SocketAddr,
    control: SocketAddr,
}

impl Demo {
    /// `log`: the newest lines of the log, which HTTP shows.
    pub async fn run(&self, log: Arc<LogRing>) -> Result<(), CliError> {
        let stop = signals::stop()?;
        let addresses = self.addresses();
        let devices = self.start_devices().await?;
        let listener = bind(ListenSetting::Option("--control"), addresses.control);
        let listener = listener.map_err(CliError::Other)?;
        let control = listener.local_addr().unwrap_or(addresses.control);
        let shutdown = CancellationToken::new();
        let serve = poly2mqtt_simulator::serve_control(listener, devices.clone(), shutdown.clone());
        let control_task = tokio::spawn(serve);
        let options = AppOptions {
            listen: ListenSettings {
                broker: ListenSetting::Option("--listen"),
                http: ListenSetting::Option("--http"),
                tcp: ListenSetting::Option("--tcp"),
            },
            log,
            ..AppOptions::default()
        };
        let app = App::start_with(self.config(&addresses, &devices)?, options)
            .await
            .map_err(CliError::Other)?;
        app.connected().await;
        let printed = self.print_hints(&addresses, control, &app);
        if printed.is_ok() {
            stop.await;
        }
        app.stop().await;
        shutdown.cancel();
        // Its result says nothing that matters after the end.
        let _ = control_task.await;
        for device in devices {
            device.stop().await;
        }
        printed
    }

    /// Where to listen. Where nothing was asked for, a usual port that is in use is left to who has it.
    fn addresses(&self) -> Addresses {
        Addresses {
            broker: choose("--listen", self.listen, BROKER_PORT),
            http: choose("--http", self.http, HTTP_PORT),
            control: choose("--control", self.control, CONTROL_PORT),
        }
    }

    async fn start_devices(&self) -> Result<Vec<SimulatedDevice>, CliError> {
        let mut devices = Vec::new();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        for number in 1..=self.rooms {
            let listen = self
                .devices
                .map_or(Some(any), |first| nth_port(first, number - 1));
            let listen = listen.ok_or_else(|| {
                CliError::Other("too many rooms: the ports after that of --devices end".into())
            })?;
            let options = poly2mqtt_simulator::Options {
                name: format!("Demo room {number}"),
                listen,
                journal: JOURNAL,
                ..poly2mqtt_simulator::Options::default()
            };
            let device = SimulatedDevice::start(options).await.map_err(|error| {
                let setting = ListenSetting::Option("--devices");
                CliError::Other(setting.cannot_listen(listen, &error))
            })?;
            devices.push(device);
        }
        Ok(devices)
    }

    /// Prints commands to try.
    fn print_hints(
        &self,
        addresses: &Addresses,
        control: SocketAddr,
        app: &App,
    ) -> Result<(), CliError> {
        let broker = app.broker_addr().unwrap_or(addresses.broker);
        let at = client_options(broker);
        let http = reachable(app.http_addr().unwrap_or(addresses.http));
        let control = reachable(control);
        let program = std::env::args().next();
        let program = program.as_deref().unwrap_or("poly2mqtt");
        let mut hints = format!(
            "poly2mqtt runs with {} (simulated) and its own broker at {broker}. Ctrl-C ends it. Try:\n",
            counted(self.rooms.into(), "room")
        );
        let tries = [
            (
                format!("mosquitto_sub {at}-v -t 'room/#' -t 'gateway/#'"),
                "everything that happens",
            ),
            (
                format!("mosquitto_pub {at}-t room/1/camera/preset/3/activate -n"),
                "recall a camera preset",
            ),
            (
                format!("mosquitto_pub {at}-t room/1/audio/volume/set -m 40"),
                "set the volume",
            ),
            (
                format!("mosquitto_pub {at}-t room/1/audio/muted/set -m toggle"),
                "toggle mute",
            ),
            (
                format!("mosquitto_pub {at}-t room/1/call/dial -m alice@example.com"),
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
        let lines = app.tcp_addr().map(reachable).map(|at| {
            let (ip, port) = (at.ip(), at.port());
            let command = format!("echo room/1/audio/volume/set 40 | nc -w 1 {ip} {port}");
            (command, "set the volume over plain TCP")
        });
        for (command, about) in tries.into_iter().chain(lines) {
            hints.push_str(&format!("  {command:<66} # {about}\n"));
        }
        print(&hints)
    }

    fn config(
        &self,
        addresses: &Addresses,
        devices: &[SimulatedDevice],
    ) -> Result<Config, CliError> {
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
                allow: Arc::new(
                    ["system/reboot", "directory/import"]
                        .map(str::to_owned)
                        .into(),
                ),
                settings: Vec::new(),
                poll: PollConfig::default(),
                preset_offset: None,
                presets: PresetNames::default(),
                keep_alive: true,
                readiness: None,
                readiness_dial: None,
                max_command_age: Duration::from_secs(5),
            };
            let id = RoomId::new(&number.to_string()).ok_or_else(unusable)?;
            rooms.insert(id, Arc::new(room));
        }
        let mqtt = MqttConfig {
            url: BrokerUrl::Embedded(addresses.broker),
            open: !addresses.broker.ip().is_loopback(),
            ..MqttConfig::default()
        };
        let http = HttpConfig {
            listen: Some(addresses.http),
            open: [Some(addresses.http), self.tcp]
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
            cluster: None,
            rooms: rooms.into_iter().collect(),
        })
    }
}

/// Where a program on this machine reaches a listener.
fn reachable(at: SocketAddr) -> SocketAddr {
    if at.ip().is_unspecified() {
        // One at `[::]` is reached over IPv4 too.
        SocketAddr::from(([127, 0, 0, 1], at.port()))
    } else {
        at
    }
}

/// The options that Mosquitto's clients need to reach a broker at this address.
fn client_options(broker: SocketAddr) -> String {
    let at = reachable(broker);
    let mut options = String::new();
    // Without it they take `localhost`, which is this address.
    if at.ip() != Ipv4Addr::LOCALHOST {
        options.push_str(&format!("-h {} ", at.ip()));
    }
    if at.port() != BROKER_PORT {
        options.push_str(&format!("-p {} ", at.port()));
    }
    options
}

/// The address that was asked for, or the first free port from the usual one on. The log says where that is
/// another one.
pub(super) fn choose(option: &str, asked: Option<SocketAddr>, usual: u16) -> SocketAddr {
    if let Some(asked) = asked {
        return asked;
    }
    let first = SocketAddr::from(([127, 0, 0, 1], usual));
    let mut candidates = (0..MOST_PORTS_TRIED).filter_map(|n| nth_port(first, n));
    // If there is none, the start says what is wrong with the usual one.
    let free = candidates.find(|at| try_bind(*at).is_ok());
    let chosen = free.unwrap_or(first);
    if chosen != first {
        let by = port_holder(first).map_or(String::new(), |holder| format!(" by {holder}"));
        tracing::warn!(
            "port {usual} is in use{by}; {} is taken instead, {option} chooses another",
            chosen.port()
        );
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_command_reaches_the_broker() {
        for (broker, wanted) in [
            ("127.0.0.1:1883", ""),
            ("127.0.0.1:1884", "-p 1884 "),
            ("0.0.0.0:1883", ""),
            ("[::]:1884", "-p 1884 "),
            ("[::1]:1883", "-h ::1 "),
            ("192.0.2.7:21700", "-h 192.0.2.7 -p 21700 "),
        ] {
            assert_eq!(client_options(broker.parse().unwrap()), wanted, "{broker}");
        }
    }

    #[tokio::test]
    async fn a_usual_port_that_is_in_use_is_left_to_who_has_it() {
        let taken = try_bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let taken = (taken.local_addr().unwrap(), taken);
        let chosen = choose("--http", None, taken.0.port());
        assert!(chosen.port() > taken.0.port(), "{chosen}");
        assert!(
            chosen.port() < taken.0.port() + MOST_PORTS_TRIED,
            "{chosen}"
        );
        assert!(try_bind(chosen).is_ok());
        // What was asked for is not changed.
        let asked = choose("--http", Some(taken.0), taken.0.port());
        assert_eq!(asked, taken.0);
    }
}
