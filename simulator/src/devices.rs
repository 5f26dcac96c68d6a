//! `devicemanagement/devices`: the device itself and what is paired with it. Not in the guide.

use serde_json::{Value, json};

use super::check::{bad, ok};
use super::condition::{Condition, Conditions};
use super::nameplate::Nameplate;
use super::routes::{Route, post};

/// A POST that changes nothing.
pub const ROUTES: &[Route] = &[
    post("devicemanagement/devices", |world, request| {
        let fields = request.object(&["deviceState"])?;
        fields.text("deviceState")?;
        fields.word("deviceState", &["PAIRED"])?;
        ok(&list(&world.nameplate, &world.conditions))
    }),
    post("current/devicemanagement/devices", |world, request| {
        request.no_query()?;
        match request.json()? {
            Value::Null => ok(&list(&world.nameplate, &world.conditions)),
            _ => Err(bad("the body is not null")),
        }
    }),
];

/// An entry. What a device does not know of an entry is an empty text.
#[derive(Default)]
struct Device<'a> {
    connection: &'a str,
    category: &'a str,
    state: &'a str,
    kind: &'a str,
    ip: &'a str,
    mac: &'a str,
    interface: &'a str,
    product: &'a str,
    serial: &'a str,
    version: &'a str,
    name: &'a str,
    uid: &'a str,
}

impl Device<'_> {
    fn describe(&self) -> Value {
        json!({
            "connectionType": self.connection, "deviceCategory": self.category,
            "deviceState": self.state, "deviceType": self.kind, "ip": self.ip,
            "macAddress": self.mac, "networkInterface": self.interface,
            "productName": self.product, "serialNumber": self.serial,
            "softwareVersion": self.version, "systemName": self.name, "uid": self.uid,
        })
    }
}

fn list(nameplate: &Nameplate, now: &Conditions) -> Value {
    let (version, _) = nameplate.profile.firmware.version();
    let mut devices = vec![Device {
        connection: "Unknown",
        category: "SYSTEM",
        state: "CONNECTED",
        kind: "CODEC",
        ip: "127.0.0.1",
        mac: "00:e0:db:00:00:01",
        product: nameplate.model.name(),
        version,
        name: &nameplate.name,
        uid: "local-system",
        ..Device::default()
    }];
    let lost = now.has(Condition::PanelLost);
    if !now.has(Condition::PanelUnpaired) {
        devices.push(Device {
            connection: "Corp",
            category: "MODULE",
            state: if lost { "DISCONNECTED" } else { "CONNECTED" },
            kind: "TOUCHCONTROL",
            ip: "192.0.2.243",
            mac: "00e0db000002",
            interface: "eth0",
            product: "Poly TC8",
            serial: "8L000000000002",
            version: "3.12.0-210716",
            name: "Poly TC8",
            uid: "1000000001",
        });
    }
    let local = Device {
        state: "PAIRED",
        ..Device::default()
    };
    devices.push(Device {
        connection: "HDCI",
        category: "CAMERA",
        kind: "CAMERA",
        uid: "local-camera",
        ..local
    });
    devices.push(Device {
        connection: "Unknown",
        category: "REMOTE",
        state: "PAIRED",
        kind: "UNKNOWN",
        mac: "AA:BB:CC:DD:EE:FF",
        uid: "local-remote",
        ..Device::default()
    });
    devices.iter().map(Device::describe).collect()
}
