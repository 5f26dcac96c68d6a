//! A client's place in the broker: its connection, session and subscriptions.
//!
//! MQTT gives a place to whoever names its client id. Here a place belongs to a user: the same id
//! of another user is another place, so nobody puts another user's client out or finds its session.
//! The library knows a place by a name that nobody can guess.

use mqtt5::validation::is_path_safe_client_id;
use ring::hmac;
use ring::rand::SystemRandom;

use super::authentication::Login;

/// The bytes of a name's secret part: enough that no two ids ever have the same.
const NAME_BYTES: usize = 16;
/// A client id that is not longer than this, in characters that the library takes, is part of the
/// name, for the library's log lines.
const READABLE_LENGTH: usize = 64;

/// Names places.
#[derive(Debug)]
pub struct Places {
    /// Another one at each start.
    key: hmac::Key,
}

impl Places {
    /// # Errors
    /// The system gives no random numbers.
    pub fn new() -> Result<Self, String> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| "the system gives no random numbers")?;
        Ok(Self { key })
    }

    /// The place of this client id of this user.
    pub fn name(&self, login: &Login, client_id: &str) -> String {
        let (kind, user) = match login {
            Login::Gateway => (0, ""),
            Login::User(name) => (1, &**name),
            Login::Anyone => (2, ""),
        };
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&[kind]);
        context.update(&(user.len() as u64).to_be_bytes());
        context.update(user.as_bytes());
        context.update(client_id.as_bytes());
        let tag = context.sign();
        let secret: String = tag.as_ref()[..NAME_BYTES]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        if client_id.len() <= READABLE_LENGTH && is_path_safe_client_id(client_id) {
            format!("{secret}-{client_id}")
        } else {
            secret
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_id_is_another_place_for_each_user() {
        let places = Places::new().unwrap();
        let user = |name: &str| Login::User(name.into());
        let logins = [user("a"), user("ab"), Login::Anyone, Login::Gateway];
        let mut names = Vec::new();
        for login in &logins {
            for id in ["poly2mqtt", "b", "", "x/y", "../x", &"long".repeat(100)] {
                let name = places.name(login, id);
                assert_eq!(name, places.name(login, id));
                assert!(is_path_safe_client_id(&name), "{name}");
                assert!(!names.contains(&name));
                names.push(name);
            }
        }
        let other_start = Places::new().unwrap();
        assert!(!names.contains(&other_start.name(&Login::Gateway, "poly2mqtt")));
    }
}
