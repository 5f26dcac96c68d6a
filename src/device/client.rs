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
use super::throttle::RequestedPace;
use super::timings::DeviceTimings;
use crate::catalogue::{Request, TimeLimit, read_body, refusal_reason};

/// The wait before a request is sent again: long enough for a device's web server to take new
/// connections after it closed one.
const RETRY_DELAY: Duration = Duration::from_millis(200);
/// If a log-in queued behind those of other devices for longer than this, its missing answer says nothing about its
/// device.
const SHORT_QUEUE_TIME: Duration = Duration::from_millis(100);
/// How often a request is sent that is safe to repeat.
const MOST_ATTEMPTS: u32 = 3;

/// One device. Clones are handles to the same.
#[derive(Debug, Clone)]
pub struct Device {
    pub(super) endpoint: Arc<Endpoint>,
    authenticator: Arc<Authenticator>,
    timings: Arc<DeviceTimings>,
    priority: RequestPriority,
}

/// Which requests to a device come first while others wait for one of its slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestPriority {
    /// Cannot wait long, such as the stop of a camera: files are preempted for it.
    Urgent,
    /// In the order of arrival.
    Normal,
    /// A file, which holds one of the device's two slots for long: preempted by urgent requests.
    Background,
}

/// What a 403 asks for, before the request is sent again.
enum Renewal {
    /// Another session: the device does not take this one any more.
    Session,
    /// Nothing more: the session has a token now.
    Token,
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
            priority: RequestPriority::Normal,
        })
    }

    /// A handle whose requests have this priority.
    pub fn with(&self, priority: RequestPriority) -> Self {
        Self {
            priority,
            ..self.clone()
        }
    }

    /// Waits for what holds a slot, unless it is preempted. `sent`: the request is on its way.
    pub(super) async fn until_preempted<T>(
        &self,
        sent: bool,
        holding: impl Future<Output = T>,
    ) -> Result<T, RequestError> {
        if self.priority != RequestPriority::Background {
            return Ok(holding.await);
        }
        tokio::select! {
            biased;
            done = holding => Ok(done),
            () = self.endpoint.preempted() => Err(RequestError::Preempted { sent }),
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
        let renewed = self.authenticator.renewed_session(before);
        self.in_its_time(renewed).await
    }

    /// Who is logged in by this log-in, which has the time of a request: what it waits for other devices does not
    /// count.
    async fn in_its_time(
        &self,
        log_in: impl Future<Output = Result<Arc<Session>, Problem>>,
    ) -> Result<Value, Problem> {
        let queue_time = self.authenticator.queue_time();
        tokio::select! {
            biased;
            session = log_in => session.map(|session| session.state.clone()),
            () = queue_time.timeout_without_queueing(self.timings.request_timeout) => {
                Err(Problem::no_answer())
            }
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

    /// How the device is to be read now: less, while it asks for fewer requests.
    pub fn requested_pace(&self) -> RequestedPace {
        self.endpoint.requested_pace()
    }

    /// Whether another gateway may have the device, so that nothing can be asked now.
    pub fn is_fenced_off(&self) -> bool {
        self.endpoint.is_fenced_off()
    }

    /// A command waits until it is logged in to, so this device goes before those for which none waits.
    pub fn raise_login_priority(&self) {
        self.authenticator.raise_priority();
    }

    /// Releases the session at the device. The device's answer is ignored.
    pub async fn log_out(&self) {
        self.authenticator.log_out().await;
    }

    /// Whether a log-in has been sent that may still bring a session. It cannot be taken back, so its end is awaited.
    pub fn is_login_sent(&self) -> bool {
        self.authenticator.is_login_sent()
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
        match self.priority {
            RequestPriority::Urgent => self.endpoint.urgent_slot().await,
            RequestPriority::Normal | RequestPriority::Background => self.endpoint.slot().await,
        }
    }

    /// A session for a request, of another generation than the stale one.
    async fn session(
        &self,
        stale: Option<u64>,
        deadline: Instant,
    ) -> Result<Arc<Session>, RequestError> {
        let queue_time = self.authenticator.queue_time();
        let queued_before = queue_time.total();
        let session = timeout_at(deadline, self.authenticator.session(stale)).await;
        let session = session.map_err(|_| {
            if queue_time.total().saturating_sub(queued_before) > SHORT_QUEUE_TIME {
                RequestError::NoTurn
            } else {
                RequestError::TimedOut { sent: false }
            }
        });
        Ok(session??)
    }

    /// Finds out what a 403 means, and logs in for a token if that helps. Takes the slot, since a log-in needs one of
    /// the device's two.
    ///
    /// # Errors
    /// The device means this request, or does not say in time.
    async fn after_403(
        &self,
        slot: RequestSlot<'_>,
        session: &Session,
        request: &Request,
        refusal: &DeviceResponse,
        deadline: Instant,
    ) -> Result<Renewal, RequestError> {
        let why = timeout_at(deadline, why_forbidden(&self.endpoint, &slot, session)).await;
        match why.map_err(|_| RequestError::TimedOut { sent: true })? {
            Forbidden::StaleSession => Ok(Renewal::Session),
            Forbidden::Mode(mode) => Err(RequestError::ModeLocked(mode)),
            // A device that has begun to want a token refuses each change of a session that is older than that, before
            // it looks at it. The next log-in brings one.
            Forbidden::Request
                if !request.is_read && self.authenticator.may_ask_for_token(session) =>
            {
                drop(slot);
                let asked = self.authenticator.session_with_token(session);
                match timeout_at(deadline, asked).await {
                    Ok(Some(_)) => Ok(Renewal::Token),
                    Ok(None) | Err(_) => Err(forbidden(refusal)),
                }
            }
            Forbidden::Request => Err(forbidden(refusal)),
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
        let prepared = self.endpoint.prepare(request);
        let prepared = prepared.ok_or(RequestError::UnsafePath)?;
        let only_once = upload.is_some();
        let mut attempts = 0;
        let mut session_renewed = false;
        let mut stale = None;
        loop {
            let session = self.session(stale, deadline).await?;
            let slot = timeout_at(deadline, self.slot())
                .await
                .map_err(|_| RequestError::NoTurn)?;
            if only_once && !session_renewed {
                // Whether the session is valid must be known before the only attempt.
                session_renewed = true;
                let why = Box::pin(why_forbidden(&self.endpoint, &slot, &session));
                let why = self.until_preempted(false, timeout_at(deadline, why));
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
            let attempt = self.until_preempted(true, timeout_at(deadline, attempt));
            let late = |_| RequestError::TimedOut { sent: true };
            match attempt.await?.map_err(late)? {
                AttemptOutcome::Answered(response) if response.status == 403 => {
                    // On the heap: few requests need it, and it would make the futures of all larger.
                    let renewal = self.after_403(slot, &session, request, &response, deadline);
                    match Box::pin(renewal).await? {
                        Renewal::Session if session_renewed => return Err(forbidden(&response)),
                        Renewal::Session => {
                            session_renewed = true;
                            attempts = 0;
                            stale = Some(session.generation);
                        }
                        Renewal::Token if only_once => return Err(RequestError::TokenCame),
                        Renewal::Token => attempts = 0,
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

fn forbidden(refusal: &DeviceResponse) -> RequestError {
    RequestError::Forbidden(reason(&refusal.body))
}

/// The `reason` of a refusal. It is empty if the body is not JSON, such as a page.
fn reason(body: &[u8]) -> String {
    let refusal = read_body(body).unwrap_or_default();
    refusal_reason(&refusal).unwrap_or_default()
}

#[cfg(test)]
mod tests;
