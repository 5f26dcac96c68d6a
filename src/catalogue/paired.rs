//! What is paired with a codec, read from its list of devices: touch panels, cameras, remote controls.
//!
//! Pure. The room makes events of the differences between two lists. Network addresses are left out:
//! they say where things are, not what is paired.

use serde_json::{Map, Value};

use super::quirks::text;
use crate::topics;

/// More devices than this are not followed: a codec pairs with about ten.
pub const MOST_PAIRED: usize = 50;
/// A device with a longer id, in bytes, is not followed: serial numbers have some fifteen characters.
const LONGEST_ID: usize = 64;

/// The members of an entry that are shown.
const SHOWN: &[&str] = &[
    "deviceCategory",
    "deviceType",
    "deviceState",
    "productName",
    "systemName",
    "serialNumber",
    "softwareVersion",
    "uid",
];

/// A paired device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairedDevice {
    /// Its serial number; where it has none, the id that the codec gave it.
    pub id: String,
    /// The device's word: `TOUCHCONTROL`, `CAMERA`.
    pub kind: String,
    /// The name that people gave it, or its product's.
    pub name: String,
    /// The device's word: `CONNECTED`, `PAIRED`.
    pub state: String,
}

impl PairedDevice {
    fn read(entry: &Value) -> Option<Self> {
        let member = |name: &str| {
            let text = entry.get(name).and_then(text).unwrap_or_default();
            text.trim().to_owned()
        };
        let either = |first: &str, second: &str| match member(first) {
            text if text.is_empty() => member(second),
            text => text,
        };
        let device = Self {
            id: either("serialNumber", "uid"),
            kind: member("deviceType"),
            name: either("systemName", "productName"),
            state: member("deviceState"),
        };
        let can_be_level = topics::is_harmless(&device.id)
            && !matches!(&*device.id, "get" | "set" | "result")
            && device.id.len() <= LONGEST_ID;
        let is_codec = device.kind == "CODEC" || member("deviceCategory") == "SYSTEM";
        (can_be_level && !is_codec).then_some(device)
    }

    /// Whether it is a touch panel.
    pub fn is_panel(&self) -> bool {
        self.kind.contains("TOUCH")
    }

    /// Whether it is there. A touch panel that is there says `CONNECTED`; what has no connection of its
    /// own, such as a remote control, says `PAIRED`.
    pub fn is_connected(&self) -> bool {
        match self.state.as_str() {
            "CONNECTED" => true,
            "PAIRED" => !self.is_panel(),
            _ => false,
        }
    }

    /// Its members for a state or an event.
    pub fn describe(&self) -> Map<String, Value> {
        let mut members = Map::new();
        for (name, value) in [
            ("id", &self.id),
            ("type", &self.kind),
            ("name", &self.name),
            ("state", &self.state),
        ] {
            members.insert(name.into(), value.as_str().into());
        }
        members.insert("connected".into(), self.is_connected().into());
        members
    }
}

/// The devices of a list, but not the codec itself. Of those with the same id, such as remote controls,
/// the first that is connected stands for all.
pub fn paired_devices(list: &Value) -> Vec<PairedDevice> {
    let mut devices: Vec<PairedDevice> = Vec::new();
    for device in list.as_array().into_iter().flatten() {
        let Some(device) = PairedDevice::read(device) else {
            continue;
        };
        match devices.iter().position(|known| known.id == device.id) {
            Some(index) if devices[index].is_connected() => {}
            Some(index) => devices[index] = device,
            None if devices.len() < MOST_PAIRED => devices.push(device),
            None => {}
        }
    }
    devices
}

/// The list without addresses, in an order that does not depend on the device's.
pub(super) fn without_addresses(list: &Value) -> Option<Value> {
    let shown = |device: &Value| -> Value {
        let member = |name: &&str| Some(((*name).to_owned(), device.get(*name)?.clone()));
        Value::Object(SHOWN.iter().filter_map(member).collect())
    };
    let mut devices: Vec<_> = list.as_array()?.iter().map(shown).collect();
    devices
        .sort_by_cached_key(|device| ["uid", "serialNumber"].map(|name| device[name].to_string()));
    Some(devices.into())
}

/// One state for each touch panel: the last level of its topic, and its value.
pub(super) fn panels(list: &Value) -> Vec<(String, Value)> {
    let devices = paired_devices(list).into_iter();
    devices
        .filter(PairedDevice::is_panel)
        .map(|panel| {
            (
                topics::encode_level(&panel.id),
                Value::Object(panel.describe()),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(kind: &str, state: &str, serial: &str, uid: &str) -> Value {
        json!({
            "deviceCategory": "MODULE", "deviceType": kind, "deviceState": state, "ip": "192.0.2.1",
            "macAddress": "00e0db000002", "productName": "Poly TC8", "systemName": "",
            "serialNumber": serial, "uid": uid,
        })
    }

    #[test]
    fn what_is_paired_is_told_without_addresses_and_in_one_order() {
        let one = entry("TOUCHCONTROL", "CONNECTED", "8L1", "2");
        let two = entry("CAMERA", "PAIRED", "", "1");
        let list = without_addresses(&json!([one, two])).unwrap();
        assert_eq!(Some(list.clone()), without_addresses(&json!([two, one])));
        let text = list.to_string();
        assert!(
            !text.contains("192.0.2") && !text.contains("00e0db"),
            "{text}"
        );
        assert_eq!(list[1]["deviceType"], "TOUCHCONTROL");
    }

    #[test]
    fn each_touch_panel_has_a_state() {
        let list = json!([
            {"deviceCategory": "SYSTEM", "deviceType": "CODEC", "deviceState": "CONNECTED", "uid": "x"},
            entry("TOUCHCONTROL", "CONNECTED", "8L/1", "7"),
            entry("TOUCHCONTROL", "DISCONNECTED", "", "8"),
            entry("TOUCHCONTROL", "PAIRED", "8L3", "9"),
            entry("CAMERA", "PAIRED", "", "local-camera"),
            entry("TOUCHCONTROL", "CONNECTED", "", ""),
            entry("TOUCHCONTROL", "CONNECTED", "result", ""),
            entry("TOUCHCONTROL", "CONNECTED", &"x".repeat(1000), ""),
        ]);
        let panels: Vec<_> = panels(&list)
            .into_iter()
            .map(|(level, panel)| (level, panel["connected"].clone()))
            .collect();
        let panel = |level: &str, connected: bool| (level.to_owned(), json!(connected));
        assert_eq!(
            panels,
            [
                panel("8L%2F1", true),
                panel("8", false),
                panel("8L3", false)
            ]
        );
    }

    #[test]
    fn devices_that_share_an_id_are_one_and_there_are_not_too_many() {
        let remote = |state| entry("UNKNOWN", state, "", "local-remote");
        let list = json!([remote("UNPAIRED"), remote("PAIRED"), remote("UNPAIRED")]);
        let devices = paired_devices(&list);
        assert_eq!(devices.len(), 1);
        assert!(devices[0].is_connected());
        let many = (0..500).map(|n| entry("CAMERA", "PAIRED", &n.to_string(), ""));
        assert_eq!(paired_devices(&many.collect()).len(), MOST_PAIRED);
        assert!(paired_devices(&json!({"a": [1]})).is_empty());
    }
}
