//! How a room's sessions are sealed before they leave this gateway.
//!
//! Owns the form of a sealed text, its key, and what it is bound to. Whoever reads the store can use no session, and
//! can try out no passwords of devices: the key needs the cluster's token too.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use ring::{hkdf, hmac};

use crate::config::{RoomConfig, Secret};
use crate::secret::random_bytes;

/// What a sealed text begins with: the version of its form.
const VERSION: &str = "1.";
/// Random bytes in each text, so that each has a key of its own.
const SALT_LENGTH: usize = 32;
const KEY_LENGTH: usize = 32;
/// Tells these keys from others that may be derived from the same secrets.
const PURPOSE: &[u8] = b"poly2mqtt sessions 1";

/// Seals and opens the sessions of one room at one device. Debug shows nothing.
#[derive(Clone)]
pub struct Seal {
    /// From the cluster's token and the device's password.
    secret: [u8; SHA256_OUTPUT_LEN],
    /// Of the cluster, the room, the device's address and the user: a text of another one cannot be opened, so no
    /// session is ever sent to another device.
    place: [u8; SHA256_OUTPUT_LEN],
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seal").finish_non_exhaustive()
    }
}

/// How many bytes the key and its nonce have together.
struct KeyAndNonce;

impl hkdf::KeyType for KeyAndNonce {
    fn len(&self) -> usize {
        KEY_LENGTH + NONCE_LEN
    }
}

impl Seal {
    /// The seal of a room in the cluster whose keys begin with `prefix`.
    pub fn new(token: &Secret, prefix: &str, room: &str, config: &RoomConfig) -> Self {
        let token = hmac::Key::new(hmac::HMAC_SHA256, token.expose().as_bytes());
        let secret = hmac::sign(&token, config.password.expose().as_bytes());
        let mut place = Context::new(&SHA256);
        for part in [prefix, room, config.url.as_str(), &config.user] {
            place.update(&(part.len() as u64).to_be_bytes());
            place.update(part.as_bytes());
        }
        Self {
            secret: array(secret.as_ref()),
            place: array(place.finish().as_ref()),
        }
    }

    /// Seals a text; none if the machine gives no random numbers.
    pub fn seal(&self, text: &[u8]) -> Option<String> {
        let salt: [u8; SALT_LENGTH] = random_bytes().ok()?;
        let (key, nonce) = self.key(&salt)?;
        let mut sealed = text.to_vec();
        key.seal_in_place_append_tag(nonce, Aad::from(self.place), &mut sealed)
            .ok()?;
        let encoded = STANDARD_NO_PAD.encode([&salt[..], &sealed].concat());
        Some(format!("{VERSION}{encoded}"))
    }

    /// The text; none if another password, token, room, device or version sealed it, or if it was changed.
    pub fn open(&self, sealed: &str) -> Option<Vec<u8>> {
        let bytes = STANDARD_NO_PAD.decode(sealed.strip_prefix(VERSION)?).ok()?;
        let (salt, sealed) = bytes.split_at_checked(SALT_LENGTH)?;
        let (key, nonce) = self.key(salt)?;
        let mut text = sealed.to_vec();
        let length = key
            .open_in_place(nonce, Aad::from(self.place), &mut text)
            .ok()?
            .len();
        text.truncate(length);
        Some(text)
    }

    /// The key for one salt, and the nonce: since no two texts have the same key, it may come from the same source.
    fn key(&self, salt: &[u8]) -> Option<(LessSafeKey, Nonce)> {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, salt);
        let mut bytes = [0; KEY_LENGTH + NONCE_LEN];
        let derived = salt.extract(&self.secret);
        derived
            .expand(&[PURPOSE], KeyAndNonce)
            .and_then(|derived| derived.fill(&mut bytes))
            .ok()?;
        let (key, nonce) = bytes.split_at(KEY_LENGTH);
        let key = UnboundKey::new(&CHACHA20_POLY1305, key).ok()?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        Some((LessSafeKey::new(key), nonce))
    }
}

fn array(digest: &[u8]) -> [u8; SHA256_OUTPUT_LEN] {
    let mut array = [0; SHA256_OUTPUT_LEN];
    array.copy_from_slice(digest);
    array
}

#[cfg(test)]
pub mod tests {
    use url::Url;

    use super::*;
    use crate::config;

    const TOKEN: &str = "a long random text";
    const TEXT: &[u8] = br#"[{"id":"PO+1/Y4","token":"xsrf-1","state":{"role":"ADMIN"}}]"#;

    /// A configured room.
    pub fn room_config(url: &str, user: &str, password: &str) -> RoomConfig {
        let text = format!(
            "[mqtt]\nurl = \"mqtt://127.0.0.1\"\n[rooms.1]\nurl = \"https://192.0.2.1\"\n\
             password = \"{password}\"\ncertificate = \"insecure\"\nuser = \"{user}\"\n"
        );
        let mut config = config::read("test".into(), &text, []).unwrap().config;
        let mut room = (*config.rooms.pop_first().unwrap().1).clone();
        room.url = Url::parse(url).unwrap();
        room
    }

    fn seal(token: &str, prefix: &str, room: &str, url: &str, user: &str, password: &str) -> Seal {
        let config = room_config(url, user, password);
        Seal::new(&Secret::new(token), prefix, room, &config)
    }

    fn usual() -> Seal {
        seal(TOKEN, "/p", "1", "https://192.0.2.1", "admin", "secret")
    }

    #[test]
    fn a_text_comes_back_and_each_seal_is_another() {
        let seal = usual();
        let (one, other) = (seal.seal(TEXT).unwrap(), seal.seal(TEXT).unwrap());
        assert_ne!(one, other);
        for sealed in [&one, &other] {
            assert_eq!(usual().open(sealed).unwrap(), TEXT);
        }
        assert_eq!(usual().open(&seal.seal(b"").unwrap()).unwrap(), b"");
        // Small enough for many in one transaction.
        assert!(one.len() < TEXT.len() * 4 / 3 + 80, "{}", one.len());
        assert_eq!(format!("{seal:?}"), "Seal { .. }");
    }

    #[test]
    fn what_was_sealed_for_anything_else_cannot_be_opened() {
        let sealed = usual().seal(TEXT).unwrap();
        let device = "https://192.0.2.1";
        for (what, other) in [
            (
                "password",
                seal(TOKEN, "/p", "1", device, "admin", "Secret"),
            ),
            (
                "token",
                seal("another random text", "/p", "1", device, "admin", "secret"),
            ),
            ("cluster", seal(TOKEN, "/q", "1", device, "admin", "secret")),
            ("room", seal(TOKEN, "/p", "2", device, "admin", "secret")),
            (
                "device",
                seal(TOKEN, "/p", "1", "https://192.0.2.2", "admin", "secret"),
            ),
            (
                "port",
                seal(
                    TOKEN,
                    "/p",
                    "1",
                    "https://192.0.2.1:8443",
                    "admin",
                    "secret",
                ),
            ),
            ("user", seal(TOKEN, "/p", "1", device, "root", "secret")),
            // The same letters, shared out otherwise.
            (
                "prefix and room",
                seal(TOKEN, "/p1", "", device, "admin", "secret"),
            ),
        ] {
            assert_eq!(other.open(&sealed), None, "{what}");
            let back = usual().open(&other.seal(TEXT).unwrap());
            assert_eq!(back, None, "{what}");
        }
    }

    #[test]
    fn a_text_that_was_changed_anywhere_cannot_be_opened() {
        let seal = usual();
        let sealed = seal.seal(TEXT).unwrap();
        let bytes = STANDARD_NO_PAD
            .decode(sealed.strip_prefix(VERSION).unwrap())
            .unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let changed = format!("{VERSION}{}", STANDARD_NO_PAD.encode(changed));
            assert_eq!(seal.open(&changed), None, "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert_eq!(seal.open(&sealed[..length]), None, "{length} bytes");
        }
        let encoded = sealed.strip_prefix(VERSION).unwrap();
        for other in [
            format!("0.{encoded}"),
            format!("2.{encoded}"),
            encoded.to_owned(),
            format!("{sealed}A"),
            format!("{sealed}\n"),
            String::from_utf8_lossy(TEXT).into_owned(),
            "1.".into(),
            "1.\u{0}é".into(),
        ] {
            assert_eq!(seal.open(&other), None, "{other}");
        }
    }

    #[test]
    fn nothing_of_the_text_or_the_secrets_is_in_what_is_sealed() {
        let sealed = usual().seal(TEXT).unwrap();
        let bytes = STANDARD_NO_PAD
            .decode(sealed.strip_prefix(VERSION).unwrap())
            .unwrap();
        for secret in ["PO+1/Y4", "xsrf-1", "ADMIN", TOKEN, "secret"] {
            let encoded = STANDARD_NO_PAD.encode(secret);
            assert!(!sealed.contains(secret) && !sealed.contains(&encoded));
            let mut windows = bytes.windows(secret.len());
            assert!(!windows.any(|window| window == secret.as_bytes()));
        }
    }
}
