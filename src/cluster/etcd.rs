//! The registry in etcd, over its JSON interface (etcd 3.4 and later).
//!
//! Owns the connections, the order in which etcd's members are tried, and the log-in. One call is one attempt: what has
//! perhaps happened is never sent twice, since only the caller knows what that would mean. Shows no password
//! and no token.

mod endpoints;
mod refusal;
mod status;
mod wire;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::redirect::Policy;
use rustls::crypto::ring;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::registry::{Registry, RegistryError, Transaction, TransactionReply};
use crate::config::Secret;
use crate::net::{Authorities, Handshakes, ServerWords, Trust, client_config, handshake_failure};
use crate::os_error::cause_words;
use endpoints::Endpoints;
use refusal::{Refusal, message_of, refusal};

pub use status::EtcdStatus;

/// How long a call may take: etcd answers in milliseconds, and a heartbeat of more than two seconds is of no use.
const CALL_TIMEOUT: Duration = Duration::from_millis(1200);
/// How long a member of etcd may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// A log-in costs etcd a slow hash.
const LOGIN_TIMEOUT: Duration = Duration::from_millis(1000);

static ETCD_WORDS: ServerWords = ServerWords {
    server: "etcd",
    pin_key: "cluster.ca_file",
    authorities_key: "cluster.ca_file",
    port_hint: "etcd's port for clients is 2379",
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
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .http1_only()
            .no_proxy()
            .redirect(Policy::none())
            .referer(false)
            .retry(reqwest::retry::never().max_retries_per_request(0))
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_TIMEOUT)
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
        })
    }

    async fn call(&self, transaction: &Transaction) -> Result<TransactionReply, RegistryError> {
        let deadline = Instant::now() + CALL_TIMEOUT;
        let body = to_json(&wire::transaction(transaction));
        let token = self.token();
        match self
            .attempt(transaction, &body, token.clone(), deadline)
            .await
        {
            Err(Refusal::Token) => {
                self.log_in(token.as_ref(), deadline).await?;
                let again = self
                    .attempt(transaction, &body, self.token(), deadline)
                    .await;
                again.map_err(|refusal| match refusal {
                    Refusal::Token => {
                        RegistryError::Refused("etcd takes no token that it has just given".into())
                    }
                    Refusal::Final(error) => error,
                })
            }
            Err(Refusal::Final(error)) => Err(error),
            Ok(reply) => Ok(reply),
        }
    }

    /// Sends a transaction to the members of etcd, one after the other as long as none was reached.
    async fn attempt(
        &self,
        transaction: &Transaction,
        body: &Bytes,
        token: Option<HeaderValue>,
        deadline: Instant,
    ) -> Result<TransactionReply, Refusal> {
        let (status, answer) = self
            .post("/v3/kv/txn", body, token, deadline)
            .await
            .map_err(Refusal::Final)?;
        if status != StatusCode::OK {
            return Err(refusal(status, &answer));
        }
        let Some((reply, cluster)) = wire::reply(transaction, &answer) else {
            return Err(Refusal::Final(RegistryError::InDoubt(
                "what answers is not etcd 3.4 or later".into(),
            )));
        };
        let known = self
            .cluster
            .compare_exchange(0, cluster, Ordering::AcqRel, Ordering::Acquire);
        match known {
            Err(other) if other != cluster => Err(Refusal::Final(RegistryError::Refused(
                "the addresses in cluster.etcd belong to two clusters of etcd".into(),
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
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                let error = error.without_url();
                let why = match self.handshakes.take_refusal().await {
                    Some(refusal) => refusal.message,
                    None => handshake_failure(&error, &self.handshakes, &ETCD_WORDS)
                        .unwrap_or_else(|| cause_words(&error)),
                };
                let message = format!("etcd at {endpoint}: {why}");
                return Err(match error.is_connect() {
                    true => RegistryError::Unreachable(message),
                    false => RegistryError::InDoubt(message),
                });
            }
        };
        let status = response.status();
        let answer = response.bytes().await.map_err(|error| {
            let why = cause_words(&error.without_url());
            RegistryError::InDoubt(format!("etcd at {endpoint}: {why}"))
        })?;
        Ok((status, answer))
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
        let body = to_json(&json!({"name": user, "password": password.expose()}));
        let deadline = Instant::now() + LOGIN_TIMEOUT;
        let posted = self
            .post("/v3/auth/authenticate", &body, None, deadline)
            .await;
        // The transaction itself was refused: nothing of it is in doubt.
        let (status, answer) =
            posted.map_err(|error| RegistryError::Unreachable(error.to_string()))?;
        if status == StatusCode::BAD_REQUEST {
            return Err(RegistryError::Refused(
                "etcd refuses the user and password (cluster.username, cluster.password_file)"
                    .into(),
            ));
        }
        let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
        let token = answer.get("token").and_then(Value::as_str);
        let token = token.and_then(|token| HeaderValue::from_str(token).ok());
        let Some(mut token) = token else {
            return Err(RegistryError::Unreachable(format!(
                "the log-in at etcd failed: {}",
                message_of(&answer)
            )));
        };
        token.set_sensitive(true);
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
        Ok(())
    }

    fn token(&self) -> Option<HeaderValue> {
        self.token
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Registry for Etcd {
    async fn compare_and_swap(
        &self,
        transaction: &Transaction,
    ) -> Result<TransactionReply, RegistryError> {
        self.call(transaction).await
    }
}

/// A [`Value`] has only strings as keys, so it always serialises.
fn to_json(value: &Value) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}
