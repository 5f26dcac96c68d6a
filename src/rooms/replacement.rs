//! Which rooms of a new configuration start when: each as soon as the room has ended that it replaces, and any other
//! that used its device. No room waits for those of other devices.
//!
//! Pure. Starts and stops nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use url::Url;

/// The rooms that are to start.
#[derive(Debug, Default)]
pub(super) struct Successors {
    /// How many rooms have to end before this one may start. Rooms that wait for none are not listed.
    waiting: BTreeMap<Arc<str>, usize>,
    /// The rooms that wait for this one to end.
    after: BTreeMap<Arc<str>, Vec<Arc<str>>>,
    ready: Vec<Arc<str>>,
}

/// A room by its id, and its device.
pub(super) type RoomDevice<'a> = (Arc<str>, &'a Url);

impl Successors {
    /// `starting` are to start, `ending` to end.
    pub fn new<'a>(
        starting: impl IntoIterator<Item = RoomDevice<'a>>,
        ending: &[RoomDevice<'_>],
    ) -> Self {
        let mut by_device = BTreeMap::<_, Vec<&Arc<str>>>::new();
        for (room, url) in ending {
            by_device
                .entry(DeviceAddress::of(url))
                .or_default()
                .push(room);
        }
        let mut successors = Self::default();
        let ids: BTreeMap<&Arc<str>, ()> = ending.iter().map(|(room, _)| (room, ())).collect();
        for (room, url) in starting {
            let of_device = by_device.get(&DeviceAddress::of(url)).into_iter().flatten();
            let others = of_device.copied().filter(|ending| **ending != room);
            let own = ids.get_key_value(&room).map(|(ending, ())| *ending);
            let mut count = 0;
            for ending in others.chain(own) {
                let after = successors.after.entry(ending.clone()).or_default();
                after.push(room.clone());
                count += 1;
            }
            match count {
                0 => successors.ready.push(room),
                _ => drop(successors.waiting.insert(room, count)),
            }
        }
        successors
    }

    /// This room has ended.
    pub fn ended(&mut self, room: &str) {
        for next in self.after.remove(room).unwrap_or_default() {
            let Some(count) = self.waiting.get_mut(&next) else {
                continue;
            };
            *count -= 1;
            if *count == 0 {
                self.waiting.remove(&next);
                self.ready.push(next);
            }
        }
    }

    /// Takes those that may start now.
    pub fn take_ready(&mut self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.ready)
    }
}

/// Where a device is. Two rooms with the same must not use it at the same time: a device has few sessions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DeviceAddress(Option<String>, Option<u16>);

impl DeviceAddress {
    pub fn of(url: &Url) -> Self {
        Self(url.host_str().map(Into::into), url.port_or_known_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_starts_when_its_own_and_its_devices_predecessor_have_ended() {
        let urls = ["https://a", "https://a:443/", "https://b", "https://c"];
        let [a, also_a, b, c] = urls.map(|url| Url::parse(url).unwrap());
        let room = Arc::<str>::from;
        // "moved" goes to the device of "renamed", which has another id now; "goes" has no successor.
        let ending = [
            (room("stays"), &c),
            (room("renamed"), &a),
            (room("moved"), &b),
            (room("goes"), &b),
        ];
        let starting = [
            (room("stays"), &c),
            (room("new"), &also_a),
            (room("moved"), &a),
            (room("elsewhere"), &Url::parse("https://d").unwrap()),
        ]
        .map(|(room, url)| (room, url.clone()));
        let starting = starting.iter().map(|(room, url)| (room.clone(), url));
        let mut successors = Successors::new(starting, &ending);
        let mut after = |ended: &str| {
            successors.ended(ended);
            let ready = successors.take_ready();
            ready.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(after("nothing"), ["elsewhere"]);
        assert_eq!(after("stays"), ["stays"]);
        assert!(after("goes").is_empty());
        assert_eq!(after("renamed"), ["new"]);
        assert_eq!(after("moved"), ["moved"]);
        assert!(successors.waiting.is_empty() && successors.after.is_empty());
    }
}
