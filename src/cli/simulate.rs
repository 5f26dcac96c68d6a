//! `poly2mqtt simulate`: only simulated devices, for development without hardware.

use std::net::SocketAddr;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use poly2mqtt_simulator::{Firmware, Model, Options, SimulatedDevice};
use tokio_util::sync::CancellationToken;

use super::output::print;
use super::{CliError, signals};
use crate::net::{ListenSetting, bind};

/// How many requests each simulated device remembers for the control port. It may run for days, so
/// the number must be small.
pub const JOURNAL: usize = 100;

#[derive(Debug, clap::Args)]
pub struct Simulate {
    /// How many devices; each listens on the next port.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    rooms: u16,
    /// Where the first device listens.
    #[arg(long, default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Where the control port listens: it plays people in the room and switches faults on.
    #[arg(long, default_value = "127.0.0.1:8442")]
    control: SocketAddr,
    /// Which firmware to simulate.
    #[arg(long, default_value = Firmware::V4_6_2.name(), value_parser = firmwares())]
    firmware: Firmware,
    /// Which model to simulate [default: X30 with 3.12, X52 with 5.0, otherwise X50].
    #[arg(long, value_parser = models())]
    model: Option<Model>,
}

fn firmwares() -> impl TypedValueParser<Value = Firmware> {
    let names = Firmware::ALL.map(Firmware::name);
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Firmware>())
}

fn models() -> impl TypedValueParser<Value = Model> {
    let names = Model::ALL.map(Model::short);
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Model>())
}

impl Simulate {
    pub async fn run(&self) -> Result<(), CliError> {
        if let Some(model) = self.model.filter(|model| !model.runs(self.firmware)) {
            let message = format!("there is no firmware {} for {model}", self.firmware);
            return Err(CliError::Other(message));
        }
        let stop = signals::stop()?;
        let mut devices = Vec::new();
        for number in 0..self.rooms {
            let device = self.start_device(number).await?;
            print(&format!(
                "device {}: {} user admin password 456 certificate {}\n",
                number + 1,
                device.url(),
                device.fingerprint()
            ))?;
            devices.push(device);
        }
        let control = bind(ListenSetting::Option("--control"), self.control);
        let control = control.map_err(CliError::Other)?;
        let at = control.local_addr().unwrap_or(self.control);
        print(&format!("people and faults: curl http://{at}/\n"))?;
        let shutdown = CancellationToken::new();
        let serve = poly2mqtt_simulator::serve_control(control, devices.clone(), shutdown.clone());
        let control = tokio::spawn(serve);
        stop.await;
        shutdown.cancel();
        // Its result says nothing that matters after the end.
        let _ = control.await;
        for device in devices {
            device.stop().await;
        }
        Ok(())
    }

    /// Starts the device with this number, counted from 0.
    async fn start_device(&self, number: u16) -> Result<SimulatedDevice, CliError> {
        let listen = nth_port(self.listen, number).ok_or_else(|| {
            CliError::Other("too many devices: the ports after that of --listen end".into())
        })?;
        let options = Options {
            firmware: self.firmware,
            model: self.model,
            listen,
            name: format!("Simulated room {}", number + 1),
            journal: JOURNAL,
            ..Options::default()
        };
        SimulatedDevice::start(options).await.map_err(|error| {
            CliError::Other(ListenSetting::Option("--listen").cannot_listen(listen, &error))
        })
    }
}

/// The same address with a port that is higher by `n`; port 0 is any free one for all.
pub fn nth_port(first: SocketAddr, n: u16) -> Option<SocketAddr> {
    let port = match first.port() {
        0 => 0,
        port => port.checked_add(n)?,
    };
    Some(SocketAddr::new(first.ip(), port))
}
