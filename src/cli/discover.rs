//! `poly2mqtt discover NETWORK`: looks for Poly devices in a network that it is given.

use serde_json::Value;

use super::CliError;
use super::output::print;
use super::progress::Progress;
use crate::config::IpNetwork;
use crate::setup::{FoundDevice, addresses_of, discover};

/// The port of HTTPS.
const DEVICE_PORT: u16 = 443;

/// The options of `discover`.
#[derive(Debug, clap::Args)]
pub struct Discover {
    /// The network, with at most 4096 addresses: 192.0.2.0/24. Each gets one connection, at most 32 at a time
    /// and 50 a second, with one read that needs no log-in.
    #[arg(value_parser = network)]
    network: IpNetwork,
    /// The port of the devices.
    #[arg(long, default_value_t = DEVICE_PORT, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Print one JSON list at the end instead of lines.
    #[arg(long)]
    json: bool,
}

fn network(text: &str) -> Result<IpNetwork, String> {
    let wrong = |()| "takes an address or a network, such as 192.0.2.0/24".to_owned();
    text.parse().map_err(wrong)
}

impl Discover {
    pub async fn run(&self) -> Result<(), CliError> {
        let addresses = addresses_of(&self.network).map_err(CliError::Other)?;
        let count = addresses.len();
        let progress = Progress::of_total(count);
        let mut found = Vec::new();
        let mut printed = Ok(());
        let search = discover(addresses, self.port, |device| {
            progress.one_done();
            if let Some(device) = device {
                progress.clear();
                if printed.is_ok() && !self.json {
                    printed = print(&device.line());
                }
                found.push(device);
            }
            progress.show();
        });
        progress.shown_during(search).await;
        progress.clear();
        printed?;
        if self.json {
            let list: Value = found.iter().map(FoundDevice::json).collect();
            print(&format!("{list}\n"))
        } else {
            eprintln!("{}", self.summary(count, found.len()));
            Ok(())
        }
    }

    fn summary(&self, addresses: usize, found: usize) -> String {
        let Self { network, port, .. } = self;
        let addresses = match addresses {
            1 => "1 address".to_owned(),
            more => format!("{more} addresses"),
        };
        match found {
            0 => {
                format!("no Poly device answers in {network} ({addresses}, port {port})")
            }
            found => format!(
                "{found} found in {network} ({addresses}); to make one a room: poly2mqtt add URL \
                 --id ID"
            ),
        }
    }
}
