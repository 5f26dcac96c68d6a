//! Requests to one device, within its session.
//!
//! Owns the rules of repeating: a request is sent again only when that is safe. `endpoint` sends,
//! `authenticator` logs in and out.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};

use super::authenticator::Authenticator;
use super::endpoint::{AttemptOutcome, Endpoint, LargeResponse, RequestSlot};
use super::http::UploadBody;
use super::probe::{Forbidden, why_forbidden};
use super::problem::Problem;
use super::response::{DeviceResponse, RequestError};
use super::session::Session;
use super::sessions::Sessions;
use super::settings::DeviceSettings;
use super::timings::DeviceTimings;
use crate::catalogue::{Request, TimeLimit, read_body, refusal_reason};

/// The wait before a request is sent again: long enough for a device's web server to take new
/// connections after it closed one.
const RETRY_DELAY: Duration = Duration::from_millis(200);
/// A log-in that waits for those of other devices for longer does not tell by its absence that its device is silent.
const SHORT_OWN_WAIT: Duration = Duration::from_millis(100);
/// How often a request is sent that is safe to repeat.
const MOST_ATTEMPTS: u32 = 3;

/// One device. Clones are handles to the same.
#[derive(Debug, Clone)]
pub struct Device {
    pub(super) endpoint: Arc<Endpoint>,
    authenticator: Arc<Authenticator>,
    timings: Arc<DeviceTimings>,
    is_urgent: bool,
    gives_way: bool,
}

/// A response, read to its end or too large for that.
#[derive(Debug)]
pub(super) enum Received {
    Whole(DeviceResponse),
    Large(Box<LargeResponse>),
}

impl Device {
    /// A client that has not connected yet.
    ///
    /// # Errors
    /// TLS settings that cannot be used.
    pub fn new(settings: DeviceSettings) -> Result<Self, String> {
        let sessions = Arc::new(Sessions::new(settings.session_store.clone()));
        let endpoint = Arc::new(Endpoint::new(&settings, sessions.clone())?);
        let authenticator = Authenticator::new(&settings, endpoint.clone(), sessions);
        Ok(Self {
            endpoint,
            authenticator: Arc::new(authenticator),
            timings: settings.timings,
            is_urgent: false,
            gives_way: false,
        })
    }

    /// A handle for what cannot wait long, such as the stop of a camera: a file gives way to its requests.
    pub fn urgent(&self) -> Self {
        Self {
            is_urgent: true,
            ..self.clone()
        }
    }

    /// A handle for files, which hold one of the device's two requests for long: they give way to urgent requests.
    pub fn giving_way(&self) -> Self {
        Self {
            gives_way: true,
            ..self.clone()
        }
    }

    /// Waits for what holds a slot, unless it has to give that up. `sent`: the request is on its way.
    pub(super) async fn unless_wanted<T>(
        &self,
        sent: bool,
        holding: impl Future<Output = T>,
    ) -> Result<T, RequestError> {
        if !self.gives_way {
            return Ok(holding.await);
        }
        tokio::select! {
            biased;
            done = holding => Ok(done),
            () = self.endpoint.wanted() => Err(RequestError::GaveWay { sent }),
        }
    }

    /// The time limits and waits this device is used with.
    pub fn timings(&self) -> &Arc<DeviceTimings> {
        &self.timings
    }

    /// The fingerprint of the certificate that the device showed last.
    pub fn fingerprint(&self) -> Option<String> {
        self.endpoint.fingerprint()
    }

    /// When a request that begins now must have its response.
    pub fn deadline(&self, limit: TimeLimit) -> Instant {
        let timeout = match limit {
            TimeLimit::Ordinary => self.timings.request_timeout,
            TimeLimit::Slow => self.timings.slow_request_timeout,
            TimeLimit::Minutes => self.timings.minutes_request_timeout,
        };
        Instant::now() + timeout
    }

    /// Logs in, unless the device still takes the current session, and says who is logged in.
    ///
    /// # Errors
    /// The problem; a refused log-in is remembered and not tried again before its time.
    pub async fn log_in(&self) -> Result<Value, Problem> {
        self.in_its_time(self.authenticator.verified_session())
            .await
    }

    /// Logs out and in again, also where the device has no log-out and still takes the session of before.
    ///
    /// # Errors
    /// The problem.
    pub async fn renew_session(&self) -> Result<Value, Problem> {
        let before = self.authenticator.generation();
        self.log_out().await;
        self.in_its_time(self.authenticator.session(before)).await
    }

    /// Who is logged in by this log-in, which has the time of a request: what it waits for other devices does not
    /// count.
    async fn in_its_time(
        &self,
        log_in: impl Future<Output = Result<Arc<Session>, Problem>>,
    ) -> Result<Value, Problem> {
        let own_waits = self.authenticator.own_waits();
        tokio::select! {
            biased;
            session = log_in => session.map(|session| session.state.clone()),
            () = own_waits.passed_without(self.timings.request_timeout) => Err(Problem::no_answer()),
        }
    }

    /// The number of the current session; each log-in has a higher one.
    pub fn session_generation(&self) -> Option<u64> {
        self.authenticator.generation()
    }

    /// When a log-in may be tried again, if it is too early now.
    pub fn log_in_blocked_until(&self) -> Option<Instant> {
        self.authenticator.blocked_until()
    }

    /// Whether another gateway may have the device, so that nothing can be asked now.
    pub fn is_fenced_off(&self) -> bool {
        self.endpoint.is_fenced_off()
    }

    /// A command waits until it is logged in to, so this device goes before those for which none waits.
    pub fn hurry(&self) {
        self.authenticator.hurry();
    }

    /// Releases the session at the device. The device's answer is ignored.
    pub async fn log_out(&self) {
        self.authenticator.log_out().await;
    }

    /// Ends the use of the device: releases the session, and begins no log-in any more.
    pub async fn close(&self) {
        self.authenticator.close();
        self.log_out().await;
    }

    /// Whether the device holds a session that it cannot release, since it has no log-out.
    pub fn leaves_session(&self) -> bool {
        self.authenticator.leaves_session()
    }

    /// Ends the use of the device by this gateway, and leaves the session to the one that uses it next.
    pub fn hand_over(&self) {
        self.authenticator.close();
        self.authenticator.store_sessions();
    }

    /// Carries a request out: logs in where that is needed, repeats where that is safe, and holds
    /// the whole response in memory, which may have `limit` bytes.
    ///
    /// # Errors
    /// Why there is no response; any HTTP status the device gives is a response.
    pub async fn send(
        &self,
        request: &Request,
        limit: usize,
        deadline: Instant,
    ) -> Result<DeviceResponse, RequestError> {
        let (received, _slot) = self.carry_out(request, None, limit, deadline).await?;
        received.whole()
    }

    async fn slot(&self) -> RequestSlot<'_> {
        match self.is_urgent {
            true => self.endpoint.urgent_slot().await,
            false => self.endpoint.slot().await,
        }
    }

    /// Carries a request out; also gives its slot, to be held while the response is read. An upload
    /// can be sent only once.
    pub(super) async fn carry_out(
        &self,
        request: &Request,
        mut upload: Option<UploadBody>,
        limit: usize,
        deadline: Instant,
    ) -> Result<(Received, RequestSlot<'_>), RequestError> {
        let late = |sent| RequestError::TimedOut { sent };
        let prepared = self.endpoint.prepare(request);
        let prepared = prepared.ok_or(RequestError::UnsafePath)?;
        let only_once = upload.is_some();
        let mut attempts = 0;
        let mut session_renewed = false;
        let mut stale = None;
        loop {
            let own_waits = self.authenticator.own_waits();
            let waited_before = own_waits.total();
            let session = timeout_at(deadline, self.authenticator.session(stale)).await;
            let session = session.map_err(|_| {
                match own_waits.total().saturating_sub(waited_before) > SHORT_OWN_WAIT {
                    true => RequestError::NoTurn,
                    false => late(false),
                }
            })??;
            let slot = timeout_at(deadline, self.slot())
                .await
                .map_err(|_| RequestError::NoTurn)?;
            if only_once && !session_renewed {
                // Whether the session is valid must be known before the only attempt.
                session_renewed = true;
                let why = Box::pin(why_forbidden(&self.endpoint, &slot, &session));
                let why = self.unless_wanted(false, timeout_at(deadline, why));
                if let Ok(Forbidden::StaleSession) = why.await? {
                    stale = Some(session.generation);
                    continue;
                }
            }
            attempts += 1;
            let is_last =
                only_once || attempts >= MOST_ATTEMPTS || Instant::now() + RETRY_DELAY >= deadline;
            let began = Instant::now();
            let attempt = self
                .endpoint
                .attempt(&slot, &prepared, &session, upload.take(), limit);
            let attempt = self.unless_wanted(true, timeout_at(deadline, attempt));
            match attempt.await?.map_err(|_| late(true))? {
                AttemptOutcome::Answered(response) if response.status == 403 => {
                    let why = Box::pin(why_forbidden(&self.endpoint, &slot, &session));
                    let why = timeout_at(deadline, why).await;
                    match why.map_err(|_| late(true))? {
                        Forbidden::StaleSession if !session_renewed => {
                            session_renewed = true;
                            attempts = 0;
                            stale = Some(session.generation);
                        }
                        // A device that has begun to want a token refuses each change of a session that is older
                        // than that, before it looks at it. The next log-in brings one.
                        Forbidden::Request
                            if !request.is_read
                                && self.authenticator.may_ask_for_token(&session) =>
                        {
                            // A log-in needs one of the device's two requests.
                            drop(slot);
                            let asked = self.authenticator.session_with_token(&session);
                            match timeout_at(deadline, asked).await {
                                Ok(Some(_)) if only_once => return Err(RequestError::TokenCame),
                                Ok(Some(_)) => attempts = 0,
                                Ok(None) | Err(_) => {
                                    return Err(RequestError::Forbidden(reason(&response.body)));
                                }
                            }
                        }
                        Forbidden::Mode(mode) => return Err(RequestError::ModeLocked(mode)),
                        _ => return Err(RequestError::Forbidden(reason(&response.body))),
                    }
                }
                AttemptOutcome::Answered(response) => return Ok((Received::Whole(response), slot)),
                AttemptOutcome::Large(large) => return Ok((Received::Large(large), slot)),
                // The next attempt takes as long: if it could not end in time, nobody could say any more that
                // nothing was sent.
                AttemptOutcome::Unreachable(problem)
                    if is_last || Instant::now() + RETRY_DELAY + began.elapsed() >= deadline =>
                {
                    return Err(problem.into());
                }
                AttemptOutcome::Broken(error)
                    if is_last || !request.repeatable || error.is_deliberate() =>
                {
                    return Err(RequestError::Broken(error));
                }
                AttemptOutcome::Unreachable(_) | AttemptOutcome::Broken(_) => {
                    drop(slot);
                    sleep(RETRY_DELAY).await;
                }
            }
        }
    }
}

impl Received {
    /// The response, unless it is too large.
    pub fn whole(self) -> Result<DeviceResponse, RequestError> {
        match self {
            Self::Whole(response) => Ok(response),
            Self::Large(large) => Err(RequestError::TooLarge(large.size)),
        }
    }
}

/// The `reason` of a refusal. It is empty if the body is not JSON, such as a page.
fn reason(body: &[u8]) -> String {
    let refusal = read_body(body).unwrap_or_default();
    refusal_reason(&refusal).unwrap_or_default()
}

#[cfg(test)]
mod tests;
