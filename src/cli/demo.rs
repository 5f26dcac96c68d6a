//! `poly2mqtt demo`: the whole gateway on one machine, with simulated devices.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{Demo, Failed, JOURNAL, asked_to_stop, rooms};
use crate::app::App;
use crate::config::{
    BrokerUrl, Certificate, Config, HomeAssistantConfig, HttpConfig, MqttConfig, PollConfig,
    RoomConfig, RoomId, Secret, TcpConfig,
};
use crate::device::DeviceTimings;
use poly2mqtt_simulator::Device;

/// Where the control port is, as in `simulate`; any free port if that is taken.
const CONTROL: &str = "127.0.0.1:8442";

pub async fn run(demo: &Demo) -> Result<(), Failed> {
    let stop = asked_to_stop()?;
    let mut devices = Vec::new();
    for number in 1..=demo.rooms {
        let options = poly2mqtt_simulator::Options {
            name: format!("Demo room {number}"),
            journal: JOURNAL,
            ..poly2mqtt_simulator::Options::default()
        };
        let device = Device::start(options)
            .await
            .map_err(|error| Failed::Other(format!("no simulated device: {error}")))?;
        devices.push(device);
    }
    let shutdown = CancellationToken::new();
    let listener = match TcpListener::bind(CONTROL).await {
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            TcpListener::bind("127.0.0.1:0").await
        }
        bound => bound,
    };
    let listener = listener.map_err(|error| Failed::Other(format!("no control port: {error}")))?;
    let control = listener
        .local_addr()
        .map_err(|error| Failed::Other(error.to_string()))?;
    let controlled =
        poly2mqtt_simulator::serve_control(listener, devices.clone(), shutdown.clone());
    let controlled = tokio::spawn(controlled);
    let service = App::start(config(demo, &devices)?, DeviceTimings::default())
        .await
        .map_err(Failed::Other)?;
    service.connected().await;
    introduce(demo, &control.to_string(), &service);
    stop.await;
    service.stop().await;
    shutdown.cancel();
    // The control port has nothing left to say.
    let _ = controlled.await;
    for device in devices {
        device.stop().await;
    }
    Ok(())
}

fn introduce(demo: &Demo, control: &str, service: &App) {
    let at = match demo.listen.port() {
        1883 => String::new(),
        port => format!("-p {port} "),
    };
    let http = service.http_addr().unwrap_or(demo.http);
    let program = std::env::args().next();
    let program = program.as_deref().unwrap_or("poly2mqtt");
    println!(
        "poly2mqtt runs with {} (simulated) and its own broker at {}. Ctrl-C ends it. Try:",
        rooms(demo.rooms.into()),
        demo.listen
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
            "mute, and the other way round",
        ),
        (
            format!("mosquitto_pub {at}-t room/1/call/dial -m alice@example.com"),
            "call somebody; call/hangup ends it",
        ),
        (format!("http://{http}/"), "the same and more in a browser"),
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
    let lines = service.tcp_addr().map(|at| {
        let (ip, port) = (at.ip(), at.port());
        let command = format!("echo room/1/audio/volume/set 40 | nc -w 1 {ip} {port}");
        (command, "the same in plain lines")
    });
    for (command, about) in tries.into_iter().chain(lines) {
        println!("  {command:<66} # {about}");
    }
}

fn config(demo: &Demo, devices: &[Device]) -> Result<Config, Failed> {
    let wrong = || Failed::Other("a simulated device has no usable address".into());
    let mut rooms = BTreeMap::new();
    for (number, device) in (1..).zip(devices) {
        let pinned = device.fingerprint();
        let room = RoomConfig {
            name: Some(format!("Demo room {number}")),
            url: Url::parse(&device.url()).map_err(|_| wrong())?,
            user: "admin".into(),
            password: Secret::new("456"),
            certificate: Certificate::parse(&pinned).ok_or_else(wrong)?,
            // Nothing here can be broken for good.
            allow: ["system/reboot", "directory/import"]
                .map(str::to_owned)
                .into(),
            poll: PollConfig::default(),
            preset_offset: None,
            keep_alive: true,
            max_command_age: Duration::from_secs(5),
        };
        rooms.insert(RoomId::new(&number.to_string()).ok_or_else(wrong)?, room);
    }
    let mqtt = MqttConfig {
        url: BrokerUrl::Embedded(demo.listen),
        open: !demo.listen.ip().is_loopback(),
        ..MqttConfig::default()
    };
    let http = HttpConfig {
        listen: Some(demo.http),
        open: [Some(demo.http), demo.tcp]
            .iter()
            .flatten()
            .any(|at| !at.ip().is_loopback()),
        ..HttpConfig::default()
    };
    let tcp = TcpConfig {
        listen: demo.tcp,
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
