//! A client's place in the broker: its connection, session and subscriptions. Also the groups of
//! shared subscriptions.
//!
//! MQTT gives a place to whoever names its client id, and a share of a group's messages to whoever
//! names the group. Here both belong to a user: the same id of another user is another place, and the
//! same group of another user is another group. So nobody puts another user's client out, finds its
//! session or takes its messages away. The library knows places and groups by names that nobody can
//! guess.

use std::borrow::Cow;

use data_encoding::HEXLOWER;
use mqtt5::validation::is_path_safe_client_id;
use ring::hmac;

use super::authentication::Login;
use crate::secret::random_bytes;
use crate::topics::{SHARE, split_shared};

/// The bytes of a name's secret part: enough that no two ids ever have the same.
const NAME_BYTES: usize = 16;
/// A client id that is not longer than this, in characters that the library takes, is part of the
/// name, for the library's log lines.
const READABLE_LENGTH: usize = 64;
/// What the names of groups are made with, so that no group has the name of a place.
const GROUP: u8 = 3;

/// Names places.
#[derive(Debug)]
pub struct PlaceNames {
    /// Another one at each start.
    key: hmac::Key,
}

impl PlaceNames {
    /// # Errors
    /// The system gives no random numbers.
    pub fn new() -> Result<Self, String> {
        let key: [u8; 32] = random_bytes().map_err(|error| error.to_string())?;
        Ok(Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
        })
    }

    /// The place of this client id of this user.
    pub fn name(&self, login: &Login, client_id: &str) -> String {
        let (kind, user) = match login {
            Login::Gateway => (0, ""),
            Login::User(name) => (1, &**name),
            Login::Anyone => (2, ""),
        };
        let secret = self.secret(kind, user, client_id);
        if client_id.len() <= READABLE_LENGTH && is_path_safe_client_id(client_id) {
            format!("{secret}-{client_id}")
        } else {
            secret
        }
    }

    /// A filter of this user as the library sees it: a shared subscription has the user's own group.
    /// Where clients connect without a user, all share the groups.
    pub fn filter<'a>(&self, login: &Login, filter: &'a str) -> Cow<'a, str> {
        let Login::User(user) = login else {
            return filter.into();
        };
        let Some((group, inner)) = split_shared(filter) else {
            return filter.into();
        };
        format!("{SHARE}{}/{inner}", self.secret(GROUP, user, group)).into()
    }

    fn secret(&self, kind: u8, user: &str, name: &str) -> String {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&[kind]);
        context.update(&(user.len() as u64).to_be_bytes());
        context.update(user.as_bytes());
        context.update(name.as_bytes());
        let tag = context.sign();
        HEXLOWER.encode(&tag.as_ref()[..NAME_BYTES])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_id_is_another_place_for_each_user() {
        let places = PlaceNames::new().unwrap();
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
        let other_start = PlaceNames::new().unwrap();
        assert!(!names.contains(&other_start.name(&Login::Gateway, "poly2mqtt")));
    }

    #[test]
    fn a_group_is_another_one_for_each_user() {
        let places = PlaceNames::new().unwrap();
        let user = |name: &str| Login::User(name.into());
        let shared = "$share/group/room/+/x";
        let of_a = places.filter(&user("a"), shared);
        assert_eq!(of_a, places.filter(&user("a"), shared));
        assert!(of_a.starts_with("$share/") && of_a.ends_with("/room/+/x"));
        assert!(!of_a.contains("group"), "{of_a}");
        for (name, filter) in [("b", shared), ("a", "$share/groups/room/+/x")] {
            assert_ne!(of_a, places.filter(&user(name), filter), "{name} {filter}");
        }
        for filter in ["room/+/x", "$share", "$share/", "$share/group", "$SYS/a/b"] {
            assert_eq!(places.filter(&user("a"), filter), filter);
        }
        assert_eq!(places.filter(&Login::Anyone, shared), shared);
    }
}
