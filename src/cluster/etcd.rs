//! The registry in etcd, over its JSON interface (etcd 3.4 and later).
//!
//! Owns the connections, the order in which etcd's members are tried, and the log-in. One call is one attempt: what has
//! perhaps happened is never sent twice, since only the caller knows what that would mean. Shows no password
//! and no token.

mod answer;
mod endpoints;
mod refusal;
mod status;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use parking_lot::Mutex;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use rustls::crypto::ring;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::registry::{Registry, RegistryError, Transaction, TransactionReply};
use crate::config::Secret;
use crate::net::{Authorities, Handshakes, ServerWords, Trust, client_config, http_client};
use crate::os_error::cause_words;
use answer::{cannot_send, read_answer};
use endpoints::Endpoints;
use refusal::{EtcdRefusal, NOT_ETCD, login_refusal, refusal};

pub use status::EtcdStatus;

/// What is wrong where the configured addresses lead to members of several clusters.
pub const TWO_CLUSTERS: &str = "the addresses in cluster.etcd belong to two clusters of etcd";

/// How long a call may take: etcd answers in milliseconds, is without a leader for 1.3 s at the advised settings, and a
/// heartbeat of more than two seconds is of no use.
const CALL_TIMEOUT: Duration = Duration::from_millis(1200);
/// How long a member of etcd may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// A log-in costs etcd a slow hash.
const LOGIN_TIMEOUT: Duration = Duration::from_millis(1000);

static ETCD_WORDS: ServerWords = ServerWords {
    server: "etcd",
    address_key: "cluster.etcd",
    pin_key: None,
    authorities_key: "cluster.ca_file",
    port_hint: "etcd's port for clients is 2379, and without a certificate it is http://",
    client_certificate_hint: "the gateway has none: give etcd no --client-cert-auth, and users with passwords",
    tls_hint: "let etcd offer",
    alpn_hint: "the gateway speaks HTTP/1.1",
};

/// How etcd is reached.
#[derive(Debug, Clone)]
pub struct EtcdSettings {
    /// Its members: `https://host:port`, without a path.
    pub endpoints: Vec<String>,
    /// User and password.
    pub login: Option<(String, Secret)>,
    /// A file with the authorities that are trusted; without it, those of the operating system.
    pub authorities: Option<PathBuf>,
}

/// A client of one etcd cluster.
#[derive(Debug)]
pub struct Etcd {
    client: reqwest::Client,
    handshakes: Arc<Handshakes>,
    endpoints: Endpoints,
    login: Option<(String, Secret)>,
    token: Mutex<Option<HeaderValue>>,
    /// Held during a log-in, so that there is one at a time.
    logging_in: tokio::sync::Mutex<()>,
    /// The id of the cluster that answered first; 0 before.
    cluster: AtomicU64,
    /// A user is configured, and etcd asks nobody for a password.
    is_open_to_all: AtomicBool,
}

impl Etcd {
    /// A client that has not connected yet.
    ///
    /// # Errors
    /// A file that cannot be used, or settings that the library refuses.
    pub fn new(settings: EtcdSettings) -> Result<Self, String> {
        let authorities = match &settings.authorities {
            Some(file) => {
                Authorities::of_file(file).map_err(|error| format!("cluster.ca_file: {error}"))?
            }
            None => Authorities::of_this_machine(),
        };
        let provider = Arc::new(ring::default_provider());
        let (tls, handshakes) =
            client_config(Trust::Authorities(authorities), &ETCD_WORDS, None, provider)?;
        let client = http_client(tls, CONNECT_TIMEOUT)
            .build()
            .map_err(|error| cause_words(&error))?;
        Ok(Self {
            client,
            handshakes,
            endpoints: Endpoints::new(settings.endpoints),
            login: settings.login,
            token: Mutex::default(),
            logging_in: tokio::sync::Mutex::default(),
            cluster: AtomicU64::new(0),
            is_open_to_all: AtomicBool::new(false),
        })
    }

    async fn call(&self, transaction: &Transaction) -> Result<TransactionReply, RegistryError> {
        let deadline = Instant::now() + CALL_TIMEOUT;
        let body = wire::transaction(transaction).to_string().into();
        let token = self.token();
        match self
            .attempt(transaction, &body, token.clone(), deadline)
            .await
        {
            Err(EtcdRefusal::Token) => {
                self.is_open_to_all.store(false, Ordering::Relaxed);
                self.log_in(token.as_ref(), deadline).await?;
                let again = self
                    .attempt(transaction, &body, self.token(), deadline)
                    .await;
                again.map_err(|refusal| match refusal {
                    EtcdRefusal::Token => takes_no_token(),
                    EtcdRefusal::Rights => self.lacks_rights(),
                    EtcdRefusal::Final(error) => error,
                })
            }
            Err(EtcdRefusal::Rights) => Err(self.lacks_rights()),
            Err(EtcdRefusal::Final(error)) => Err(error),
            Ok(reply) => {
                let was_asked_for_no_token = self.login.is_some() && token.is_none();
                self.is_open_to_all
                    .store(was_asked_for_no_token, Ordering::Relaxed);
                Ok(reply)
            }
        }
    }

    fn lacks_rights(&self) -> RegistryError {
        let user = self.login.as_ref().map(|(user, _)| user.as_str());
        RegistryError::Refused(format!(
            "etcd does not let the user {:?} read and write below cluster.prefix; grant that to one of its roles \
             (etcdctl role grant-permission ROLE readwrite --prefix=true PREFIX/)",
            user.unwrap_or_default()
        ))
    }

    /// A user is configured, and the last request was carried out without it: whoever reaches etcd may decide who has
    /// which room.
    fn is_open_to_all(&self) -> bool {
        self.is_open_to_all.load(Ordering::Relaxed)
    }

    /// Sends a transaction to the members of etcd, one after the other as long as none was reached.
    async fn attempt(
        &self,
        transaction: &Transaction,
        body: &Bytes,
        token: Option<HeaderValue>,
        deadline: Instant,
    ) -> Result<TransactionReply, EtcdRefusal> {
        let (status, answer) = self
            .post("/v3/kv/txn", body, token, deadline)
            .await
            .map_err(EtcdRefusal::Final)?;
        let (reply, cluster) = reply_in(transaction, status, &answer)?;
        let known = self
            .cluster
            .compare_exchange(0, cluster, Ordering::AcqRel, Ordering::Acquire);
        match known {
            Err(other) if other != cluster => Err(EtcdRefusal::Final(RegistryError::Refused(
                TWO_CLUSTERS.into(),
            ))),
            _ => Ok(reply),
        }
    }

    async fn post(
        &self,
        path: &str,
        body: &Bytes,
        token: Option<HeaderValue>,
        deadline: Instant,
    ) -> Result<(StatusCode, Bytes), RegistryError> {
        let mut error = RegistryError::Unreachable("cluster.etcd names no address".into());
        for at in self.endpoints.in_order() {
            let endpoint = self.endpoints.url(at);
            // Also when this future is dropped.
            let _ended = self.endpoints.begin(at);
            let posted = self.post_to(endpoint, path, body, token.clone());
            match timeout_at(deadline, posted).await {
                Ok(Ok(answer)) => {
                    // One that has no leader, or runs out of time, is of no use.
                    if answer.0.is_server_error() {
                        self.endpoints.avoid(at);
                    } else {
                        self.endpoints.prefer(at);
                    }
                    return Ok(answer);
                }
                Ok(Err(failed @ RegistryError::Unreachable(_))) => {
                    self.endpoints.avoid(at);
                    error = failed;
                }
                Ok(Err(failed)) => {
                    self.endpoints.avoid(at);
                    return Err(failed);
                }
                Err(_) => {
                    self.endpoints.avoid(at);
                    return Err(RegistryError::InDoubt(format!(
                        "etcd at {endpoint} does not answer within {} ms",
                        CALL_TIMEOUT.as_millis()
                    )));
                }
            }
        }
        Err(error)
    }

    async fn post_to(
        &self,
        endpoint: &str,
        path: &str,
        body: &Bytes,
        token: Option<HeaderValue>,
    ) -> Result<(StatusCode, Bytes), RegistryError> {
        let request = self
            .client
            .post(format!("{endpoint}{path}"))
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(body.clone());
        let request = match token {
            Some(token) => request.header(AUTHORIZATION, token),
            None => request,
        };
        match request.send().await {
            Ok(response) => {
                self.handshakes.answered();
                read_answer(endpoint, response).await
            }
            Err(error) => {
                let is_new = self.cluster.load(Ordering::Relaxed) == 0;
                Err(cannot_send(endpoint, error, &self.handshakes, is_new).await)
            }
        }
    }

    /// Gets a token, unless another call has got one since `refused` was tried.
    async fn log_in(
        &self,
        refused: Option<&HeaderValue>,
        deadline: Instant,
    ) -> Result<(), RegistryError> {
        let Some((user, password)) = &self.login else {
            return Err(RegistryError::Refused(
                "etcd wants a user; give cluster.username and cluster.password_file".into(),
            ));
        };
        let waiting = timeout_at(deadline, self.logging_in.lock()).await;
        let Ok(_turn) = waiting else {
            return Err(RegistryError::Unreachable(
                "the log-in at etcd takes too long".into(),
            ));
        };
        if self.token().as_ref() != refused {
            return Ok(());
        }
        let login = json!({"name": user, "password": password.expose()});
        let body = login.to_string().into();
        let deadline = Instant::now() + LOGIN_TIMEOUT;
        let posted = self
            .post("/v3/auth/authenticate", &body, None, deadline)
            .await;
        // The transaction itself was refused: nothing of it is in doubt.
        let (status, answer) =
            posted.map_err(|error| RegistryError::Unreachable(error.to_string()))?;
        let token = token_in(status, &answer)?;
        *self.token.lock() = Some(token);
        Ok(())
    }

    fn token(&self) -> Option<HeaderValue> {
        self.token.lock().clone()
    }
}

impl Registry for Etcd {
    async fn compare_and_swap(
        &self,
        transaction: &Transaction,
    ) -> Result<TransactionReply, RegistryError> {
        self.call(transaction).await
    }

    fn caveat(&self) -> Option<&'static str> {
        self.is_open_to_all().then_some(
            "etcd asks for no password though cluster.username is set: whoever reaches it may decide who has which \
             room; switch that on with etcdctl auth enable",
        )
    }
}

fn takes_no_token() -> RegistryError {
    RegistryError::Refused("etcd takes no token that it has just given".into())
}

/// The reply in etcd's answer to a transaction, and the id of the cluster that gave it.
fn reply_in(
    transaction: &Transaction,
    status: StatusCode,
    answer: &[u8],
) -> Result<(TransactionReply, u64), EtcdRefusal> {
    if status != StatusCode::OK {
        return Err(refusal(status, answer));
    }
    wire::reply(transaction, answer)
        .ok_or_else(|| EtcdRefusal::Final(RegistryError::InDoubt(NOT_ETCD.into())))
}

/// The token in etcd's answer to a log-in.
fn token_in(status: StatusCode, answer: &[u8]) -> Result<HeaderValue, RegistryError> {
    let read: Value = serde_json::from_slice(answer).unwrap_or_default();
    let token = read.get("token").and_then(Value::as_str);
    let token = token.and_then(|token| HeaderValue::from_str(token).ok());
    let mut token = token.ok_or_else(|| login_refusal(status, &read))?;
    token.set_sensitive(true);
    Ok(token)
}

/// Takes bytes as if etcd had answered a request with them, without a connection, after a log-in that did not help.
/// For the fuzz target `etcd_answer`.
impl Etcd {
    /// As the answer to a transaction.
    ///
    /// # Errors
    /// As for a connection: etcd refuses, or the bytes are no answer to it.
    pub fn take_reply(
        &self,
        transaction: &Transaction,
        status: StatusCode,
        answer: &[u8],
    ) -> Result<TransactionReply, RegistryError> {
        match reply_in(transaction, status, answer) {
            Ok((reply, _)) => Ok(reply),
            Err(EtcdRefusal::Token) => Err(takes_no_token()),
            Err(EtcdRefusal::Rights) => Err(self.lacks_rights()),
            Err(EtcdRefusal::Final(error)) => Err(error),
        }
    }

    /// As the answer to a log-in.
    ///
    /// # Errors
    /// As for a connection: there is no token in it.
    pub fn take_token(
        &self,
        status: StatusCode,
        answer: &[u8],
    ) -> Result<HeaderValue, RegistryError> {
        token_in(status, answer)
    }

    /// As the answer to the question how it is.
    ///
    /// # Errors
    /// As for a connection: etcd refuses, or the bytes are no answer to it.
    pub fn take_status(
        &self,
        status: StatusCode,
        answer: &[u8],
    ) -> Result<EtcdStatus, RegistryError> {
        status::status_in(status, answer, Duration::ZERO).map_err(status::refused)
    }
}
