//! Logging in and out: one valid session for all requests to the device.
//!
//! Owns when a log-in is needed, that only one runs at a time, the release of sessions that the
//! device still holds. Repeats no request.

mod login_request;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use http::Method;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::admission::{LONGEST_START_PERMIT, LoginPriority, QueueTime};
use super::endpoint::{AttemptOutcome, Endpoint, RequestSlot, SMALL_RESPONSE};
use super::login_backoff::{Credential, LoginBackoff};
use super::login_memory::DeviceLogins;
use super::login_reply::Release;
use super::probe::is_valid;
use super::problem::{Problem, ProblemCode};
use super::session::Session;
use super::session_holders::holders;
use super::sessions::Sessions;
use super::settings::{DeviceSettings, SharedLimits};
use super::timings::DeviceTimings;
use crate::clock::unix_seconds;

/// How long the release of sessions may hold up what waits for it.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a log-out takes at most, with what goes before and after it.
pub const LONGEST_LOG_OUT: Duration = RELEASE_TIMEOUT.saturating_add(Duration::from_millis(100));
/// How long the question who holds the device's sessions may hold up the problem that they are all in use.
const HOLDERS_TIMEOUT: Duration = Duration::from_secs(2);
/// The waits before sessions are released that could not be released before the log-in. They must
/// not count against the device's maximum until the next log-in, which may be days away.
const RELEASE_RETRY_DELAYS: &[Duration] = &[
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
];

/// Keeps the session of one device.
#[derive(Debug)]
pub(super) struct Authenticator {
    endpoint: Arc<Endpoint>,
    sessions: Arc<Sessions>,
    user: String,
    password: SecretString,
    timings: Arc<DeviceTimings>,
    limits: SharedLimits,
    priority: LoginPriority,
    /// Held during a log-in: the number of the last one.
    login: Mutex<u64>,
    /// When a log-in may be tried again.
    backoff: DeviceLogins,
    credential: Credential,
    /// The waits for other devices.
    queue_time: QueueTime,
    /// The newest session that was made because a change was refused and the session had no token.
    token_asked: AtomicU64,
    /// A log-in is on its way, or what it brings is not settled yet: it makes a session that must be known.
    is_login_sent: AtomicBool,
    /// The device is not used any more: no log-in is begun, and one that is under way is undone.
    closed: CancellationToken,
}

/// What a log-in is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// There is no session, or the device refuses the one of this generation.
    Session { stale: Option<u64> },
    /// The session of this generation is valid, and has no token.
    Token { without: u64 },
    /// Another session is wanted than the one of this generation, which the device may still take.
    Renewal { before: Option<u64> },
}

impl Need {
    /// The session to be replaced.
    fn replaced(self) -> Option<u64> {
        match self {
            Self::Session { stale } => stale,
            Self::Renewal { before } => before,
            Self::Token { without } => Some(without),
        }
    }
}

impl Authenticator {
    pub fn new(
        settings: &DeviceSettings,
        endpoint: Arc<Endpoint>,
        sessions: Arc<Sessions>,
    ) -> Self {
        // Counts on from the session that an earlier run stored.
        let generation = sessions.generation();
        let now = Instant::now();
        let backoff = settings.limits.log_in_memory.of(&settings.url, now);
        let credential = Credential::of(&settings.user, settings.password.expose_secret());
        {
            let mut backoff = backoff.lock();
            if let Some(stored) = sessions.log_ins() {
                backoff.restore(
                    credential,
                    &stored,
                    &settings.timings,
                    now,
                    unix_seconds().unsigned_abs(),
                );
            }
            backoff.room_starts(credential, &settings.timings, now);
        }
        Self {
            endpoint,
            sessions,
            user: settings.user.clone(),
            password: settings.password.clone(),
            timings: settings.timings.clone(),
            limits: settings.limits.clone(),
            priority: LoginPriority::default(),
            login: Mutex::new(generation),
            backoff,
            credential,
            queue_time: QueueTime::default(),
            token_asked: AtomicU64::new(0),
            is_login_sent: AtomicBool::new(false),
            closed: CancellationToken::new(),
        }
    }

    /// The generation of the current session.
    pub fn generation(&self) -> Option<u64> {
        let session = self.sessions.current(None)?;
        Some(session.generation)
    }

    /// How long log-ins have waited for those to other devices, which says nothing of this device.
    pub fn queue_time(&self) -> &QueueTime {
        &self.queue_time
    }

    /// Whether a refused change may be for want of a token, which a log-in would bring. A session that was made for
    /// that is not replaced again: firmware without tokens must not be logged in to for each refusal.
    pub fn may_ask_for_token(&self, session: &Session) -> bool {
        !session.has_token() && self.token_asked.load(Ordering::Acquire) != session.generation
    }

    /// A session with a token in place of this one, which is valid and stays in use if the log-in fails. None if the
    /// device gives none.
    pub async fn session_with_token(self: &Arc<Self>, without: &Session) -> Option<Arc<Session>> {
        let without = without.generation;
        let session = self.session_for(Need::Token { without }).await.ok()?;
        session.has_token().then_some(session)
    }

    /// When a log-in may be tried again, if it is too early now.
    pub fn blocked_until(&self) -> Option<Instant> {
        self.backoff
            .lock()
            .blocked_until(self.credential, Instant::now())
    }

    /// Notes how a log-in ended, also for the gateway that uses the device next.
    fn note_log_in(&self, note: impl FnOnce(&mut LoginBackoff, Instant)) {
        let now = Instant::now();
        let stored = {
            let mut backoff = self.backoff.lock();
            note(&mut backoff, now);
            backoff.to_json(self.credential, now, unix_seconds().unsigned_abs())
        };
        self.sessions.keep_log_ins(stored);
    }

    /// A command waits for the session, so this device goes before others.
    pub fn raise_priority(&self) {
        self.priority.raise();
    }

    fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// Begins no log-in from now on.
    pub fn close(&self) {
        self.closed.cancel();
    }

    /// The session that the device still takes, by asking it, or a new one.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn verified_session(self: &Arc<Self>) -> Result<Arc<Session>, Problem> {
        let session = self.verified_or_new().await;
        // Where there is none, commands that wait begin it anew with the next log-in.
        self.priority.reset();
        session
    }

    async fn verified_or_new(self: &Arc<Self>) -> Result<Arc<Session>, Problem> {
        let mut stale = None;
        if let Some(session) = self.sessions.current(None) {
            let _connecting = self.limits.logins.begin();
            // So that there is time for a second question, and for a log-in after that.
            let patience = self.timings.request_timeout / 3;
            let check = is_valid(&self.endpoint, &session, patience);
            let permit = self.limits.start.permit(self.priority.raised());
            let permit = self.queue_time.track(permit).await;
            if permit.run_for(LONGEST_START_PERMIT, check).await? {
                self.backoff.lock().session_taken(self.credential)
            } else {
                stale = Some(session.generation)
            }
        }
        if stale.is_none() {
            self.release_in_background();
        }
        self.session(stale).await
    }

    /// The current session, or a new one if the current one is of the stale generation.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn session(self: &Arc<Self>, stale: Option<u64>) -> Result<Arc<Session>, Problem> {
        self.session_for(Need::Session { stale }).await
    }

    /// Another session than the one of this generation. Where there is none, a session that the device could not
    /// release stays in use.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn renewed_session(
        self: &Arc<Self>,
        before: Option<u64>,
    ) -> Result<Arc<Session>, Problem> {
        self.session_for(Need::Renewal { before }).await
    }

    /// Whether a log-in has been sent and may still bring a session.
    pub fn is_login_sent(&self) -> bool {
        self.is_login_sent.load(Ordering::Acquire)
    }

    async fn session_for(self: &Arc<Self>, need: Need) -> Result<Arc<Session>, Problem> {
        if let Some(session) = self.sessions.current(need.replaced()) {
            return Ok(session);
        }
        // A task of its own: a caller that stops waiting must not break the log-in off, or the
        // device would hold a session that the gateway does not know.
        let this = self.clone();
        let log_in = async move { this.log_in(need).await };
        match tokio::spawn(log_in.in_current_span()).await {
            Ok(session) => session,
            Err(_) => Err(Problem::no_answer()),
        }
    }

    /// Logs in, unless another caller just did; one log-in at a time. The session before stays in use until there is a
    /// new one: a device that refuses everybody for a moment may take it again.
    async fn log_in(self: &Arc<Self>, need: Need) -> Result<Arc<Session>, Problem> {
        let mut login = self.login.lock().await;
        if let Some(session) = self.sessions.current(need.replaced()) {
            return Ok(session);
        }
        if self.is_closed() {
            return Err(closed());
        }
        // Before the wait after a failed log-in: this is none.
        if let Need::Session { stale } = need {
            self.release_all().await;
            if let Some(session) = self.unreleasable(stale).await {
                return Ok(session);
            }
        }
        let session = self.new_session(need, &mut login).await;
        self.is_login_sent.store(false, Ordering::Release);
        if session.is_err() && matches!(need, Need::Renewal { .. }) {
            // The device was only asked for another one: what it still takes is used on.
            self.release_all().await;
            self.unreleasable(None).await;
        }
        session
    }

    async fn release_all(&self) {
        let slot = self.endpoint.slot().await;
        let _ = timeout(RELEASE_TIMEOUT, self.release(&slot)).await;
    }

    /// Logs in.
    async fn new_session(
        self: &Arc<Self>,
        need: Need,
        login: &mut u64,
    ) -> Result<Arc<Session>, Problem> {
        if let Some(problem) = self.backoff.lock().blocked(self.credential, Instant::now()) {
            return Err(problem.clone());
        }
        if !matches!(need, Need::Session { .. }) {
            self.release_all().await;
        }
        let slot = self.endpoint.slot().await;
        *login += 1;
        let mut answer = self.request_login(&slot, *login).await?;
        let is_full = |problem: &Problem| problem.code == ProblemCode::TooManySessions;
        // The device may still hold the session that it refuses, and counts it until it is released.
        if matches!(need, Need::Session { .. })
            && answer.reply.as_ref().is_err_and(is_full)
            && self.sessions.retire()
        {
            let _ = timeout(RELEASE_TIMEOUT, self.release(&slot)).await;
            *login += 1;
            answer = self.request_login(&slot, *login).await?;
        }
        let generation = *login;
        match answer.reply {
            Ok(session) => {
                self.note_log_in(|backoff, _| backoff.succeeded(self.credential));
                if let Need::Token { .. } = need {
                    self.token_asked.store(generation, Ordering::Release);
                }
                let session = Arc::new(session);
                self.sessions.set_current(session.clone());
                if self.is_closed() {
                    self.sessions.retire();
                    self.release(&slot).await;
                    self.release_in_background();
                    return Err(closed());
                }
                let _ = timeout(RELEASE_TIMEOUT, self.release(&slot)).await;
                self.release_in_background();
                Ok(session)
            }
            Err(problem) => {
                let problem = self.with_holders(problem, &slot).await;
                if let Some(session) = Session::from_cookies(&answer.cookies, generation) {
                    self.sessions.add_unreleased(session.at(answer.path).into());
                }
                self.note_log_in(|backoff, now| {
                    backoff.failed(self.credential, &problem, &self.timings, now)
                });
                if self.is_closed() {
                    self.release_in_background();
                }
                Err(problem)
            }
        }
    }

    /// A session that could not be released, if the device still takes it. It is used on: a device without a log-out
    /// holds each session for days, and would have none left after a few log-ins.
    async fn unreleasable(&self, stale: Option<u64>) -> Option<Arc<Session>> {
        let session = self.sessions.unreleasable(stale)?;
        let patience = self.timings.request_timeout / 3;
        let is_taken = is_valid(&self.endpoint, &session, patience).await.ok()?;
        self.sessions.use_again(session.clone(), is_taken);
        if is_taken {
            self.backoff.lock().session_taken(self.credential);
        }
        is_taken.then_some(session)
    }

    /// Whether the device holds a session that it cannot release.
    pub fn leaves_session(&self) -> bool {
        self.sessions.unreleasable(None).is_some()
    }

    /// The problem that all sessions are in use, with their holders as far as the device tells them.
    async fn with_holders(&self, problem: Problem, slot: &RequestSlot<'_>) -> Problem {
        if problem.code != ProblemCode::TooManySessions {
            return problem;
        }
        let holders = holders(&self.endpoint, slot, &self.sessions);
        match timeout(HOLDERS_TIMEOUT, holders).await {
            Ok(Some(holders)) => Problem::too_many_sessions(Some(&holders)),
            Ok(None) | Err(_) => problem,
        }
    }

    /// Releases the current session, and all that the device still holds.
    pub async fn log_out(&self) {
        let released = async {
            // A log-in that is under way brings a session that must be released too.
            let _login = self.login.lock().await;
            let slot = self.endpoint.slot().await;
            self.sessions.retire();
            self.release(&slot).await;
        };
        let _ = timeout(RELEASE_TIMEOUT, released).await;
        self.sessions.store_held();
    }

    /// Stores what is not stored yet: another gateway uses the device next.
    pub fn store_sessions(&self) {
        self.sessions.store_held();
    }

    /// Tries again to release the sessions that the device still holds.
    fn release_in_background(self: &Arc<Self>) {
        let this = Arc::downgrade(self);
        // Of a device that is not used any more nobody else holds what is left to be released.
        let last = self.is_closed().then(|| self.clone());
        let retries = async move {
            let _last = last;
            for delay in RELEASE_RETRY_DELAYS {
                let unreleased = |this: Arc<Self>| !this.sessions.unreleased().is_empty();
                if !this.upgrade().is_some_and(unreleased) {
                    return;
                }
                sleep(*delay).await;
                let Some(this) = this.upgrade() else {
                    return;
                };
                let slot = this.endpoint.slot().await;
                let _ = timeout(RELEASE_TIMEOUT, this.release(&slot)).await;
            }
        };
        tokio::spawn(retries.in_current_span());
    }

    /// Tells the device to let go of each session that it still holds.
    async fn release(&self, slot: &RequestSlot<'_>) {
        for session in self.sessions.unreleased() {
            let request = self.endpoint.fixed(Method::DELETE, session.path, None);
            let attempt = self
                .endpoint
                .attempt(slot, &request, &session, None, SMALL_RESPONSE)
                .await;
            let release = match attempt {
                AttemptOutcome::Answered(response) => Release::of(response.status, &response.body),
                AttemptOutcome::Unreachable(_) => return,
                AttemptOutcome::Broken(_) | AttemptOutcome::Large(_) => Release::Unconfirmed,
            };
            self.sessions.release_tried(session.generation, release);
        }
    }
}

fn closed() -> Problem {
    Problem::new(ProblemCode::Offline, "the device is not used any more")
}
