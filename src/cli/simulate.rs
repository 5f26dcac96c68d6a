//! `poly2mqtt simulate`: devices alone, to develop against without hardware.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Failed, Firmware, JOURNAL, Simulate, asked_to_stop};
use poly2mqtt_simulator::Device;

pub async fn run(simulate: &Simulate) -> Result<(), Failed> {
    let stop = asked_to_stop()?;
    let firmware = match simulate.firmware {
        Firmware::V4_0 => poly2mqtt_simulator::Firmware::V4_0,
        Firmware::V4_6_2 => poly2mqtt_simulator::Firmware::V4_6_2,
    };
    let mut devices = Vec::new();
    for number in 0..simulate.rooms {
        let port = match simulate.listen.port() {
            0 => 0,
            first => first.checked_add(number).ok_or_else(|| {
                Failed::Other("there are not so many ports after that of --listen".into())
            })?,
        };
        let listen = SocketAddr::new(simulate.listen.ip(), port);
        let options = poly2mqtt_simulator::Options {
            firmware,
            listen,
            name: format!("Simulated room {}", number + 1),
            journal: JOURNAL,
            ..poly2mqtt_simulator::Options::default()
        };
        let device = Device::start(options)
            .await
            .map_err(|error| Failed::Other(format!("cannot listen on {listen}: {error}")))?;
        println!(
            "device {}: {} user admin password 456 certificate {}",
            number + 1,
            device.url(),
            device.fingerprint()
        );
        devices.push(device);
    }
    let control = TcpListener::bind(simulate.control).await.map_err(|error| {
        Failed::Other(format!("cannot listen on {}: {error}", simulate.control))
    })?;
    println!("people and faults: curl http://{}/", simulate.control);
    let shutdown = CancellationToken::new();
    let controlled = poly2mqtt_simulator::serve_control(control, devices.clone(), shutdown.clone());
    let controlled = tokio::spawn(controlled);
    stop.await;
    shutdown.cancel();
    // The control port has nothing left to say.
    let _ = controlled.await;
    for device in devices {
        device.stop().await;
    }
    Ok(())
}
