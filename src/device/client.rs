//! Requests to one device, within its session.
//!
//! Owns the limit of two requests at a time and the rules of repeating: a request is sent again
//! only when that is safe. No proxy, no redirects. What goes over the wire is `exchange`'s, logging
//! in and out is `renewal`'s.

mod exchange;
mod renewal;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use secrecy::SecretString;
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, timeout_at};
use url::Url;

use super::connections::{Connections, Response, Streamed};
use super::login::Session;
use super::problem::Problem;
use super::session_store::SessionStore;
use super::sessions::Sessions;
use super::tls::{Handshakes, client_config};
use crate::catalogue::Request;
use crate::config::Certificate;
use crate::telemetry::Telemetry;
use exchange::Attempt;
use renewal::{FREE, Forbidden, LoginState, silent};

pub use renewal::LoginLimiter;

/// Between two attempts at a request that is safe to repeat.
const PAUSE: Duration = Duration::from_millis(200);
const ATTEMPTS: u32 = 3;

/// How to reach a device.
#[derive(Debug, Clone)]
pub struct DeviceSettings {
    /// `https://host[:port]`.
    pub url: Url,
    /// Who logs in.
    pub user: String,
    /// With which password.
    pub password: SecretString,
    /// Which certificate is trusted.
    pub certificate: Certificate,
    /// Keep connections open between requests.
    pub keep_alive: bool,
    /// The waits after refusals.
    pub timings: DeviceTimings,
    /// Where requests are counted.
    pub telemetry: Arc<Telemetry>,
    /// How many devices are logged in to at once.
    pub login_limiter: LoginLimiter,
    /// Where the session is kept for a gateway that comes after one that was killed.
    pub session_store: Option<SessionStore>,
}

/// The waits that are no user's business, but which tests shorten.
#[derive(Debug, Clone)]
pub struct DeviceTimings {
    /// A request, from its first attempt to its answer.
    pub request_timeout: Duration,
    /// The same for dialling, logs and content.
    pub slow_request_timeout: Duration,
    /// After a refused password, doubled each time up to an hour: a lock-out shuts out people too.
    pub retry_after_refused_login: Duration,
    /// After a lock-out.
    pub retry_after_lockout: Duration,
    /// While all sessions are in use.
    pub retry_after_too_many_sessions: Duration,
    /// The first wait before an unreachable device is tried again; doubled up to 30 s.
    pub first_reconnect_delay: Duration,
}

impl Default for DeviceTimings {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(10),
            slow_request_timeout: Duration::from_secs(60),
            retry_after_refused_login: Duration::from_secs(600),
            retry_after_lockout: Duration::from_secs(120),
            retry_after_too_many_sessions: Duration::from_secs(60),
            first_reconnect_delay: Duration::from_secs(1),
        }
    }
}

/// What the device answered.
#[derive(Debug, Clone)]
pub struct DeviceResponse {
    /// The HTTP status.
    pub status: u16,
    /// The MIME type, if it gave one.
    pub content_type: Option<String>,
    /// The body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq)]
pub enum RequestError {
    /// The device cannot be used; nothing was carried out.
    Problem(Problem),
    /// No answer in time.
    TimedOut {
        /// The device may have carried it out.
        sent: bool,
    },
    /// The connection broke after the request was sent.
    Broken,
    /// The answer is larger than was asked for.
    TooLarge(Oversize),
    /// The device refuses this to a good session.
    Forbidden(String),
    /// The device runs in a mode (given) that refuses this.
    ModeLocked(String),
}

/// What is known of an answer that is too large to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oversize {
    /// So many bytes would have been taken.
    pub limit: usize,
    /// The HTTP status.
    pub status: u16,
    /// The MIME type, if it gave one.
    pub content_type: Option<String>,
    /// How many bytes there are, where the device says so.
    pub length: Option<u64>,
}

/// An answer that is larger than was asked for, still to be read.
#[derive(Debug)]
pub(super) struct Large {
    pub about: Oversize,
    /// What was read of it to find that out.
    pub begun: Bytes,
    pub rest: Response,
}

/// How a request that is carried out ends.
#[derive(Debug)]
pub(super) enum Carried {
    Answered(DeviceResponse),
    Large(Box<Large>),
}

/// One device. Clones are handles to the same.
#[derive(Debug, Clone)]
pub struct Device {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: DeviceSettings,
    connections: Arc<Connections>,
    handshakes: Arc<Handshakes>,
    slots: Semaphore,
    sessions: Sessions,
    login: tokio::sync::Mutex<LoginState>,
    /// A log-in waits for its turn.
    in_line: AtomicBool,
    /// The device is not used any more: no log-in, and one that is under way is undone.
    closed: AtomicBool,
}

impl Device {
    /// A client that has not connected yet.
    ///
    /// # Errors
    /// TLS settings that cannot be used.
    pub fn new(settings: DeviceSettings) -> Result<Self, String> {
        let (tls, handshakes) = client_config(&settings.certificate)?;
        let idle = if settings.keep_alive { 2 } else { 0 };
        let connections = Connections::new(&settings.url, tls, idle)?;
        let sessions = Sessions::new(settings.session_store.clone());
        let login = LoginState::after(sessions.generation());
        Ok(Self {
            shared: Arc::new(Shared {
                settings,
                connections,
                handshakes,
                slots: Semaphore::new(2),
                sessions,
                login: tokio::sync::Mutex::new(login),
                in_line: AtomicBool::new(false),
                closed: AtomicBool::new(false),
            }),
        })
    }

    /// The waits this device is used with.
    pub fn timings(&self) -> &DeviceTimings {
        &self.shared.settings.timings
    }

    /// The fingerprint of the certificate that the device showed last.
    pub fn fingerprint(&self) -> Option<String> {
        self.shared.handshakes.fingerprint()
    }

    /// Until when a request may take.
    pub fn deadline(&self, slow: bool) -> Instant {
        let timings = self.timings();
        Instant::now()
            + if slow {
                timings.slow_request_timeout
            } else {
                timings.request_timeout
            }
    }

    /// Logs in, unless the device still takes the session there is, and says who is logged in.
    ///
    /// # Errors
    /// The problem; a refused log-in is remembered and not tried again before its time.
    pub async fn log_in(&self) -> Result<Value, Problem> {
        let session = async {
            let stale = match self.shared.sessions.used(None) {
                Some(session) => self.shared.check(&session).await?,
                None => None,
            };
            if stale.is_none() {
                self.shared.give_back_later();
            }
            self.valid_session(stale).await
        };
        let mut session = pin!(session);
        loop {
            match timeout_at(self.deadline(false), &mut session).await {
                Ok(session) => return session.map(|session| session.state.clone()),
                // The wait for a turn says nothing of the device.
                Err(_) if self.shared.in_line.load(Ordering::Acquire) => {}
                Err(_) => return Err(silent()),
            }
        }
    }

    /// Frees the session at the device. What the device says to that does not matter.
    pub async fn log_out(&self) {
        let freed = async {
            // A log-in that is under way brings a session that is to be freed too.
            let _login = self.shared.login.lock().await;
            let _slot = self.shared.slots.acquire().await;
            self.shared.free_sessions().await;
        };
        let _ = timeout_at(Instant::now() + FREE, freed).await;
    }

    /// The device is not used any more: frees the session, and takes no new one.
    pub async fn close(&self) {
        self.shared.closed.store(true, Ordering::Release);
        self.log_out().await;
    }

    /// A session other than the stale one of that generation.
    ///
    /// The log-in is a task of its own: a caller that cannot wait any longer must not break it off,
    /// since the device would hold a session that nobody knows.
    async fn valid_session(&self, stale: Option<u64>) -> Result<Arc<Session>, Problem> {
        if let Some(session) = self.shared.sessions.used(stale) {
            return Ok(session);
        }
        let shared = self.shared.clone();
        match tokio::spawn(async move { shared.renewed_session(stale).await }).await {
            Ok(session) => session,
            Err(_) => Err(silent()),
        }
    }

    /// Carries a request out: logs in where needed, repeats where that is safe.
    ///
    /// # Errors
    /// Why there is no answer; any HTTP status the device gives is an answer.
    pub async fn send(
        &self,
        request: &Request,
        limit: usize,
        deadline: Instant,
    ) -> Result<DeviceResponse, RequestError> {
        let (carried, _slot) = self.carry_out(request, None, limit, deadline).await?;
        match carried {
            Carried::Answered(answer) => Ok(answer),
            Carried::Large(large) => Err(RequestError::TooLarge(large.about)),
        }
    }

    /// The same, with the slot of the request, which is free when it is dropped. What streams in
    /// can be sent but once.
    pub(super) async fn carry_out(
        &self,
        request: &Request,
        mut upload: Option<Streamed>,
        limit: usize,
        deadline: Instant,
    ) -> Result<(Carried, SemaphorePermit<'_>), RequestError> {
        let late = |sent| RequestError::TimedOut { sent };
        let device = &*self.shared;
        let once = upload.is_some();
        let mut attempts = 0;
        let mut renewed = false;
        let mut stale = None;
        loop {
            let session = timeout_at(deadline, self.valid_session(stale))
                .await
                .map_err(|_| late(false))?
                .map_err(RequestError::Problem)?;
            let Ok(Ok(slot)) = timeout_at(deadline, device.slots.acquire()).await else {
                return Err(late(false));
            };
            if once && !renewed {
                // Whether the session is good must be known before the only attempt.
                renewed = true;
                let classify = timeout_at(deadline, device.why_forbidden(&session)).await;
                if matches!(classify, Ok(Forbidden::Stale)) {
                    stale = Some(session.generation);
                    continue;
                }
            }
            attempts += 1;
            let last = once || attempts >= ATTEMPTS || Instant::now() + PAUSE >= deadline;
            let attempt = device.attempt(request, upload.take(), Some(&session), limit);
            match timeout_at(deadline, attempt).await {
                Err(_) => return Err(late(true)),
                Ok(Attempt::Answered(answer)) if answer.status == 403 => {
                    let classify = timeout_at(deadline, device.why_forbidden(&session)).await;
                    match classify.map_err(|_| late(true))? {
                        Forbidden::Stale if !renewed => {
                            renewed = true;
                            attempts = 0;
                            stale = Some(session.generation);
                        }
                        Forbidden::Mode(mode) => return Err(RequestError::ModeLocked(mode)),
                        _ => return Err(RequestError::Forbidden(reason(&answer.body))),
                    }
                }
                Ok(Attempt::Answered(answer)) => return Ok((Carried::Answered(answer), slot)),
                Ok(Attempt::Large(large)) => return Ok((Carried::Large(large), slot)),
                Ok(Attempt::Unreachable(problem)) if last => {
                    return Err(RequestError::Problem(problem));
                }
                Ok(Attempt::Broken) if last || !request.repeatable => {
                    return Err(RequestError::Broken);
                }
                Ok(Attempt::Unreachable(_) | Attempt::Broken) => {
                    drop(slot);
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

/// The `reason` a refusal gives, if it is a short JSON text and not a page.
pub(super) fn reason(body: &[u8]) -> String {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    match answer["reason"].as_str() {
        Some(reason) => reason.chars().take(200).collect(),
        None => String::new(),
    }
}
