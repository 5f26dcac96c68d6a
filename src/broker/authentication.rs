//! Answers the embedded broker's questions about its clients: passwords here, rights from
//! [`BrokerRights`].

use std::collections::HashMap;
use std::future::{Future, ready};
use std::net::SocketAddr;
use std::pin::Pin;

use mqtt5::broker::auth::{AuthProvider, AuthResult};
use mqtt5::packet::connect::ConnectPacket;
use mqtt5::protocol::v5::reason_codes::ReasonCode;
use secrecy::{ExposeSecret, SecretString};

use super::rights::{BrokerRights, GATEWAY_USER, PublishAttempt};
use crate::secret::SecretDigest;

/// Answers the broker's questions.
pub struct BrokerAuthentication {
    /// The digests of passwords by user, the gateway's own among them.
    passwords: HashMap<String, SecretDigest>,
    rights: BrokerRights,
}

impl BrokerAuthentication {
    pub fn new(gateway_password: &SecretString, rights: BrokerRights) -> Self {
        let digest =
            |password: &SecretString| SecretDigest::of(password.expose_secret().as_bytes());
        let configured = rights
            .users()
            .map(|user| (user.name.clone(), digest(&user.password)));
        let gateway = (GATEWAY_USER.to_owned(), digest(gateway_password));
        Self {
            passwords: configured.chain([gateway]).collect(),
            rights,
        }
    }

    fn admit(&self, connect: &ConnectPacket) -> AuthResult {
        let name = connect.username.as_deref();
        if self.rights.is_open() && name != Some(GATEWAY_USER) {
            return AuthResult::success();
        }
        let known = name.and_then(|name| self.passwords.get(name));
        let given = connect.password.as_deref().map(SecretDigest::of);
        match name {
            Some(name) if known.is_some() && known == given.as_ref() => {
                AuthResult::success_with_user(name)
            }
            _ => AuthResult::fail(ReasonCode::BadUsernameOrPassword),
        }
    }
}

/// The return type of the library's trait.
type AuthFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl AuthProvider for BrokerAuthentication {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        _: SocketAddr,
    ) -> AuthFuture<'a, mqtt5::Result<AuthResult>> {
        Box::pin(ready(Ok(self.admit(connect))))
    }

    fn authorize_publish<'a>(
        &'a self,
        _: &str,
        user: Option<&'a str>,
        topic: &'a str,
    ) -> AuthFuture<'a, bool> {
        // The library tells the topic alone.
        let attempt = PublishAttempt::plain(topic);
        Box::pin(ready(self.rights.publish(user, &attempt).is_ok()))
    }

    fn authorize_subscribe<'a>(
        &'a self,
        _: &str,
        user: Option<&'a str>,
        filter: &'a str,
    ) -> AuthFuture<'a, bool> {
        Box::pin(ready(self.rights.subscribe(user, filter).is_ok()))
    }
}
