//! Who may connect to the embedded broker: names and passwords. What they may do is in `rights`.

use std::collections::HashMap;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::rights::{BrokerRights, GATEWAY_USER};
use crate::secret::SecretDigest;

/// As whom a client logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// The gateway itself.
    Gateway,
    /// A configured user.
    User(Arc<str>),
    /// Anyone: no users are configured.
    Anyone,
}

/// The passwords of all users.
#[derive(Debug)]
pub struct BrokerPasswords {
    gateway: SecretDigest,
    users: HashMap<Arc<str>, SecretDigest>,
}

impl BrokerPasswords {
    pub fn new(gateway_password: &SecretString, rights: &BrokerRights) -> Self {
        let digest =
            |password: &SecretString| SecretDigest::of(password.expose_secret().as_bytes());
        let users = rights
            .users()
            .map(|user| (user.name.as_str().into(), digest(&user.password)));
        Self {
            gateway: digest(gateway_password),
            users: users.collect(),
        }
    }

    /// As whom a name and a password log in; `None` if they are wrong.
    pub fn login(&self, name: Option<&str>, password: Option<&[u8]>) -> Option<Login> {
        if self.users.is_empty() && name != Some(GATEWAY_USER) {
            return Some(Login::Anyone);
        }
        let (name, given) = (name?, SecretDigest::of(password?));
        if name == GATEWAY_USER {
            return (self.gateway == given).then_some(Login::Gateway);
        }
        let (name, known) = self.users.get_key_value(name)?;
        (*known == given).then(|| Login::User(name.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::BrokerUser;
    use crate::topics::{DiscoveryTopics, Prefix};

    fn passwords(users: Vec<BrokerUser>) -> BrokerPasswords {
        let rights = BrokerRights::new(users, Prefix::default(), DiscoveryTopics::default());
        BrokerPasswords::new(&SecretString::from("inside"), &rights)
    }

    fn user(name: &str) -> BrokerUser {
        BrokerUser {
            name: name.into(),
            password: format!("{name}-secret").into(),
            rooms: None,
            control: true,
        }
    }

    #[test]
    fn a_password_is_needed_where_there_are_users() {
        let closed = passwords(vec![user("panel"), user("screen")]);
        let login =
            |name: &str, password: &str| closed.login(Some(name), Some(password.as_bytes()));
        assert_eq!(
            login("panel", "panel-secret"),
            Some(Login::User("panel".into()))
        );
        assert_eq!(login(GATEWAY_USER, "inside"), Some(Login::Gateway));
        for (name, password) in [
            ("panel", "screen-secret"),
            ("panel", ""),
            ("nobody", "panel-secret"),
            (GATEWAY_USER, "panel-secret"),
        ] {
            assert_eq!(login(name, password), None, "{name} {password}");
        }
        assert_eq!(closed.login(None, None), None);
        assert_eq!(closed.login(Some("panel"), None), None);
        let open = passwords(Vec::new());
        assert_eq!(open.login(None, None), Some(Login::Anyone));
        assert_eq!(open.login(Some("panel"), Some(b"x")), Some(Login::Anyone));
        assert_eq!(open.login(Some(GATEWAY_USER), Some(b"x")), None);
    }
}
