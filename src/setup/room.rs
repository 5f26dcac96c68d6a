//! The address and the id of a new room.

use url::{Host, Url};

use crate::config::{Certificate, Config, Fingerprint, RoomId, device_url};
use crate::device::DeviceIdentity;

/// The longest id that is suggested.
const LONGEST_ID: usize = 32;

/// The address of a device, as a person typed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceAddress {
    /// As the gateway uses it.
    pub url: Url,
    /// As it is written into the configuration.
    pub text: String,
}

impl DeviceAddress {
    /// Reads `https://HOST[:PORT]`, or `HOST[:PORT]` alone.
    ///
    /// # Errors
    /// What would be an address.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let url = if text.contains("://") {
            device_url(text)
        } else {
            device_url(&format!("https://{text}"))
        }
        .map_err(|takes| format!("the device's address {takes}"))?;
        let text = url.as_str().trim_end_matches('/').to_owned();
        Ok(Self { url, text })
    }

    /// The room that already has this device, by its address or its pinned certificate.
    pub fn known_as<'a>(
        &self,
        config: &'a Config,
        shown: Option<Fingerprint>,
    ) -> Option<&'a RoomId> {
        let rooms = config.rooms.iter();
        let is_it = |room: &crate::config::RoomConfig| {
            let pinned = shown.is_some_and(|shown| room.certificate == Certificate::Pinned(shown));
            room.url == self.url || pinned
        };
        let mut same = rooms.filter(|(_, room)| is_it(room));
        same.next().map(|(id, _)| id)
    }
}

/// An id that no room has yet: made from the device's name, or from its address.
pub fn suggested_id(config: &Config, identity: &DeviceIdentity, url: &Url) -> RoomId {
    let name = identity.name.as_deref().map(id_like).unwrap_or_default();
    let base = if name.is_empty() {
        id_of_host(url)
    } else {
        name
    };
    let mut number = 1;
    loop {
        let text = match number {
            1 => base.clone(),
            number => format!("{base}-{number}"),
        };
        let free = RoomId::new(&text).filter(|id| !is_taken(config, id));
        if let Some(id) = free {
            return id;
        }
        number += 1;
    }
}

/// `_` and `-` are the same in the name of a variable, and case is none in Home Assistant.
fn is_taken(config: &Config, id: &RoomId) -> bool {
    let plain = |id: &RoomId| id.to_string().to_ascii_lowercase().replace('_', "-");
    config.rooms.keys().any(|other| plain(other) == plain(id))
}

/// `room-192-0-2-10`, or the first label of a name.
pub(super) fn id_of_host(url: &Url) -> String {
    let host = match url.host() {
        Some(Host::Domain(name)) => id_like(name.split('.').next().unwrap_or_default()),
        Some(host) => format!("room-{}", id_like(&host.to_string())),
        None => String::new(),
    };
    if host.is_empty() {
        "room".to_owned()
    } else {
        host
    }
}

/// A text in lower case, with one `-` for everything that an id does not take.
fn id_like(text: &str) -> String {
    let mut id = String::new();
    for character in text.chars() {
        if character.is_ascii_alphanumeric() {
            id.push(character.to_ascii_lowercase());
        } else if !id.ends_with('-') && !id.is_empty() {
            id.push('-');
        }
    }
    id.truncate(LONGEST_ID);
    id.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_url_or_a_host() {
        for (text, wanted) in [
            ("192.0.2.10", "https://192.0.2.10"),
            (" 192.0.2.10:8443 ", "https://192.0.2.10:8443"),
            ("https://192.0.2.10/", "https://192.0.2.10"),
            ("HTTPS://Codec.example.com:443", "https://codec.example.com"),
            ("[2001:db8::1]", "https://[2001:db8::1]"),
        ] {
            assert_eq!(DeviceAddress::parse(text).unwrap().text, wanted, "{text}");
        }
        for wrong in [
            "",
            "http://192.0.2.10",
            "https://a/b",
            "https://u:p@a",
            "0.0.0.0",
            "010.1.1.1",
            "a b",
        ] {
            assert!(DeviceAddress::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_id_comes_from_the_name_or_the_address() {
        for (name, address, wanted) in [
            (Some("Board Room  (2nd)"), "192.0.2.1", "board-room-2nd"),
            (Some("会议室"), "192.0.2.1", "room-192-0-2-1"),
            (None, "codec7.example.com", "codec7"),
            (None, "[2001:db8::1]", "room-2001-db8-1"),
            (Some("--"), "localhost", "localhost"),
        ] {
            let identity = DeviceIdentity {
                name: name.map(str::to_owned),
                ..DeviceIdentity::default()
            };
            let url = DeviceAddress::parse(address).unwrap().url;
            let id = suggested_id(&Config::default(), &identity, &url);
            assert_eq!(id.to_string(), wanted);
        }
    }

    #[test]
    fn an_id_that_is_taken_gets_a_number() {
        let text =
            "[rooms.Board_Room]\nurl='https://192.0.2.1'\npassword='x'\ncertificate='system'\n";
        let config = crate::config::read("f".into(), text, []).unwrap().config;
        let identity = DeviceIdentity {
            name: Some("Board Room".into()),
            ..DeviceIdentity::default()
        };
        let address = DeviceAddress::parse("192.0.2.1").unwrap();
        assert_eq!(
            suggested_id(&config, &identity, &address.url).to_string(),
            "board-room-2"
        );
        assert_eq!(
            address.known_as(&config, None).unwrap().to_string(),
            "Board_Room"
        );
        let other = DeviceAddress::parse("192.0.2.2").unwrap();
        assert!(
            other
                .known_as(&config, Some(Fingerprint([1; 32])))
                .is_none()
        );
    }
}
