//! The events of paired devices, from one reading of the list to the next.
//!
//! Pure: a device is lost once, and back once. A reading that fails is none, so nothing is lost while the
//! codec itself cannot be read.

use serde_json::Value;

use super::calls::Event;
use crate::catalogue::{MOST_PAIRED, PairedDevice, RoomEvent};

/// A device that was there at some time.
#[derive(Debug)]
struct KnownDevice {
    device: PairedDevice,
    /// Whether it was there when the list was read last.
    was_there: bool,
}

/// The paired devices of a room.
#[derive(Debug, Default)]
pub struct PairedDevices {
    /// In the order of ids. Mostly one or two: a map would take a kilobyte more in each room.
    known: Vec<KnownDevice>,
}

impl PairedDevices {
    /// Every device that was there at some time, also if it is not paired any more.
    pub fn known(&self) -> Vec<PairedDevice> {
        let known = self.known.iter();
        known.map(|known| known.device.clone()).collect()
    }

    /// Takes a reading and returns its events. The first reading has none, and neither has a device that
    /// was never seen before.
    pub fn update(&mut self, now: Vec<PairedDevice>) -> Vec<Event> {
        let mut events = Vec::new();
        for KnownDevice { device, was_there } in &mut self.known {
            let newest = now.iter().find(|newest| newest.id == device.id);
            if let Some(newest) = newest {
                device.clone_from(newest);
            } else {
                // It is not paired any more.
                device.state = "ABSENT".into();
            }
            let is_there = newest.is_some_and(PairedDevice::is_connected);
            let event = match (*was_there, is_there) {
                (true, false) => RoomEvent::DeviceLost,
                (false, true) => RoomEvent::DeviceBack,
                _ => continue,
            };
            *was_there = is_there;
            events.push((event, Value::Object(device.describe())));
        }
        for device in now {
            add(&mut self.known, device);
        }
        self.known.shrink_to_fit();
        events
    }
}

/// Adds a device, unless it is known. If there are too many to remember, one that is not there is
/// forgotten for it.
fn add(known: &mut Vec<KnownDevice>, device: PairedDevice) {
    let position =
        |known: &[KnownDevice]| known.binary_search_by(|it| it.device.id.cmp(&device.id));
    if position(known).is_ok() {
        return;
    }
    if known.len() >= MOST_PAIRED {
        let gone = known.iter().position(|known| !known.was_there);
        known.remove(gone.unwrap_or_default());
    }
    let (Ok(index) | Err(index)) = position(known);
    let was_there = device.is_connected();
    known.insert(index, KnownDevice { device, was_there });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(id: &str, state: &str) -> PairedDevice {
        PairedDevice {
            id: id.into(),
            kind: "TOUCHCONTROL".into(),
            name: "Poly TC8".into(),
            state: state.into(),
        }
    }

    fn update(devices: &mut PairedDevices, now: &[(&str, &str)]) -> Vec<String> {
        let now = now.iter().map(|(id, state)| device(id, state)).collect();
        let events = devices.update(now).into_iter();
        let text = |(event, details): Event| {
            format!("{} {} {}", event.as_str(), details["id"], details["state"])
        };
        events.map(|event| text(event).replace('"', "")).collect()
    }

    #[test]
    fn a_device_is_lost_once_and_back_once() {
        let mut devices = PairedDevices::default();
        let mut update = |now: &[(&str, &str)]| update(&mut devices, now);
        let both = [("1", "CONNECTED"), ("2", "CONNECTED")];
        assert!(update(&both).is_empty());
        assert!(update(&both).is_empty());
        let one = [("1", "DISCONNECTED"), ("2", "CONNECTED")];
        assert_eq!(update(&one), ["device_lost 1 DISCONNECTED"]);
        assert!(update(&one).is_empty());
        assert_eq!(update(&both), ["device_back 1 CONNECTED"]);
        assert!(update(&both).is_empty());
        // Not listed any more is lost too.
        assert_eq!(update(&both[..1]), ["device_lost 2 ABSENT"]);
        assert_eq!(update(&[]), ["device_lost 1 ABSENT"]);
        assert!(update(&[]).is_empty());
        assert_eq!(update(&both).len(), 2);
    }

    #[test]
    fn the_first_reading_and_a_new_device_are_no_events() {
        let mut devices = PairedDevices::default();
        let mut update = |now: &[(&str, &str)]| update(&mut devices, now);
        assert!(update(&[("1", "DISCONNECTED")]).is_empty());
        assert!(update(&[("1", "DISCONNECTED"), ("2", "CONNECTED")]).is_empty());
        let back = [("1", "CONNECTED"), ("2", "CONNECTED")];
        assert_eq!(update(&back), ["device_back 1 CONNECTED"]);
    }

    #[test]
    fn a_device_that_gives_ever_new_ids_fills_no_memory() {
        let mut devices = PairedDevices::default();
        for n in 0..1000 {
            devices.update(vec![device(&n.to_string(), "CONNECTED")]);
        }
        assert_eq!(devices.known.len(), MOST_PAIRED);
    }
}
