//! The gateway's own broker, for those who have none.
//!
//! Owns who may connect and what they may publish: commands for their rooms, never the gateway's
//! states. Keeps nothing on disk; the gateway publishes everything again at its start.

use std::future::{Future, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use mqtt5::broker::auth::{AuthProvider, AuthResult};
use mqtt5::broker::config::{BrokerConfig, StorageConfig};
use mqtt5::broker::{BrokerShutdownHandle, MqttBroker};
use mqtt5::packet::connect::ConnectPacket;
use mqtt5::protocol::v5::reason_codes::ReasonCode;
use ring::rand::SecureRandom;
use secrecy::{ExposeSecret, SecretString};
use tokio::task::JoinHandle;

use super::message::{Meaning, is_own, meaning, unprefixed};
use crate::hub::Hub;

/// Room for topic and properties besides the payload.
const SLACK: usize = 64 << 10;
/// The gateway's own user; a colon cannot stand in a configured name.
const GATEWAY: &str = "gateway:";

/// How the broker is run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it listens; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Who may connect; anyone, if there is nobody here.
    pub users: Vec<User>,
    /// Stands before every topic.
    pub prefix: String,
    /// The largest payload.
    pub max_payload: usize,
}

/// A user of the broker.
#[derive(Debug, Clone)]
pub struct User {
    /// The name.
    pub name: String,
    /// The password.
    pub password: SecretString,
    /// The rooms seen; all, if there are none here.
    pub rooms: Option<Vec<Arc<str>>>,
    /// May send commands, not only read.
    pub control: bool,
}

/// A running broker.
pub struct Broker {
    addr: SocketAddr,
    password: SecretString,
    handle: BrokerShutdownHandle,
    task: JoinHandle<()>,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker")
            .field("addr", &self.addr)
            .finish_non_exhaustive()
    }
}

impl Broker {
    /// Binds and starts.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn start(settings: Settings, hub: Arc<Hub>) -> Result<Self, String> {
        let listen = settings.listen;
        // The library's own words for this are five lines of advice.
        std::net::TcpListener::bind(listen)
            .map_err(|error| format!("the embedded broker cannot listen on {listen}: {error}"))?;
        let password = random_password()?;
        let config = BrokerConfig::new()
            .with_bind_addresses(vec![listen])
            .with_max_packet_size(settings.max_payload + SLACK)
            .with_session_expiry(Duration::from_secs(3600))
            .with_storage(StorageConfig::new().with_persistence(false))
            .with_sys_topics_enabled(false);
        let gate = Gate {
            password: password.clone(),
            settings,
            hub,
        };
        let mut broker = MqttBroker::with_config(config)
            .await
            .map_err(|error| format!("the embedded broker cannot listen on {listen}: {error}"))?
            .with_auth_provider(Arc::new(gate));
        let addr = broker.local_addr().unwrap_or(listen);
        let handle = broker.shutdown_handle();
        let task = tokio::spawn(async move {
            if let Err(error) = broker.run().await {
                tracing::error!(%error, "the embedded broker ended");
            }
        });
        Ok(Self {
            addr,
            password,
            handle,
            task,
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// User and password of the gateway itself, made anew at each start.
    pub fn gateway_login(&self) -> (String, SecretString) {
        (GATEWAY.to_owned(), self.password.clone())
    }

    /// Ends every connection and stops.
    pub async fn stop(self) {
        self.handle.shutdown();
        let abort = self.task.abort_handle();
        if tokio::time::timeout(Duration::from_secs(1), self.task)
            .await
            .is_err()
        {
            abort.abort();
        }
    }
}

fn random_password() -> Result<SecretString, String> {
    let mut bytes = [0_u8; 32];
    ring::rand::SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| "the system gives no random numbers")?;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(text.into())
}

/// Who may do what.
struct Gate {
    password: SecretString,
    settings: Settings,
    hub: Arc<Hub>,
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl Gate {
    fn admits(&self, connect: &ConnectPacket) -> AuthResult {
        let (name, password) = (connect.username.as_deref(), connect.password.as_deref());
        let known = match name {
            Some(GATEWAY) => Some(&self.password),
            None if self.settings.users.is_empty() => return AuthResult::success(),
            Some(_) if self.settings.users.is_empty() => return AuthResult::success(),
            Some(name) => self.user(name).map(|user| &user.password),
            None => None,
        };
        // Digests of equal length are compared, so that time tells nothing of the password.
        let digest = |bytes: &[u8]| ring::digest::digest(&ring::digest::SHA256, bytes);
        let right = known.zip(password).is_some_and(|(known, given)| {
            let known = digest(known.expose_secret().as_bytes());
            known.as_ref() == digest(given).as_ref()
        });
        match name {
            Some(name) if right => AuthResult::success_with_user(name),
            _ => AuthResult::fail(ReasonCode::BadUsernameOrPassword),
        }
    }

    fn user(&self, name: &str) -> Option<&User> {
        self.settings.users.iter().find(|user| user.name == name)
    }

    fn sees(&self, user: &User, room: &str) -> bool {
        let known = |rooms: &Vec<Arc<str>>| rooms.iter().any(|known| **known == *room);
        user.rooms.as_ref().is_none_or(known)
    }

    /// The gateway publishes everything; others commands, and what is no topic of the gateway's.
    fn may_publish(&self, name: Option<&str>, topic: &str) -> bool {
        if name == Some(GATEWAY) {
            return true;
        }
        let own = unprefixed(&self.settings.prefix, topic).unwrap_or_default();
        let user = name.and_then(|name| self.user(name));
        if !is_own(own) {
            return user.is_none_or(|user| user.control);
        }
        match meaning(&self.settings.prefix, topic) {
            Meaning::Ignored => false,
            Meaning::Command { .. } if self.hub.get(own).is_some() => false,
            Meaning::Command { room, .. } => match user {
                Some(user) => user.control && self.sees(user, &room),
                None => self.settings.users.is_empty(),
            },
        }
    }

    /// Those who see only some rooms must name them; the rest of the topics is free.
    fn may_subscribe(&self, name: Option<&str>, filter: &str) -> bool {
        let Some(user) = name.and_then(|name| self.user(name)) else {
            return true;
        };
        if user.rooms.is_none() {
            return true;
        }
        let own = unprefixed(&self.settings.prefix, filter);
        let mut levels = own.unwrap_or(filter).split('/');
        match (levels.next(), levels.next()) {
            (Some("room"), Some(room)) => self.sees(user, room),
            (Some("room" | "+" | "#" | "$share"), _) => false,
            _ => own.is_some() || !filter.starts_with(['+', '#']),
        }
    }
}

impl AuthProvider for Gate {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        _: SocketAddr,
    ) -> Answer<'a, mqtt5::Result<AuthResult>> {
        Box::pin(ready(Ok(self.admits(connect))))
    }

    fn authorize_publish<'a>(
        &'a self,
        _: &str,
        user: Option<&'a str>,
        topic: &'a str,
    ) -> Answer<'a, bool> {
        Box::pin(ready(self.may_publish(user, topic)))
    }

    fn authorize_subscribe<'a>(
        &'a self,
        _: &str,
        user: Option<&'a str>,
        filter: &'a str,
    ) -> Answer<'a, bool> {
        Box::pin(ready(self.may_subscribe(user, filter)))
    }
}
