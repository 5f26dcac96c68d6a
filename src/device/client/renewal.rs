//! The session: whether the device still takes it, logging in anew, giving it back.
//!
//! Owns the waits after refusals, so that nobody is locked out, how many devices are logged in to
//! at once, and what a 403 means.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::Shared;
use super::exchange::{Attempt, SMALL};
use crate::catalogue::{Method, Request, RequestBody};
use crate::device::login::{Session, read_login_reply};
use crate::device::problem::{Problem, ProblemCode};

/// Freeing a session takes no longer than this.
pub(super) const FREE: Duration = Duration::from_secs(2);
/// The waits before a session is given back that the device did not take back at once.
const LATER: &[Duration] = &[
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
];

/// How many log-ins may run at once. Clones share the limit.
#[derive(Debug, Clone)]
pub struct LoginLimiter(Arc<Semaphore>);

impl Default for LoginLimiter {
    /// So few that a start with many rooms is no storm.
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(20)))
    }
}

/// What the log-ins so far came to; its lock makes them one at a time.
#[derive(Debug, Default)]
pub(super) struct LoginState {
    generation: u64,
    refusals: u32,
    /// Not to be tried before this.
    blocked: Option<(Instant, Problem)>,
}

impl LoginState {
    /// Its log-ins count on from a session that an earlier run kept.
    pub(super) fn after(generation: u64) -> Self {
        Self {
            generation,
            ..Self::default()
        }
    }
}

impl Shared {
    /// Asks the device whether it takes a session still; if not, gives its generation.
    pub(super) async fn check(&self, session: &Session) -> Result<Option<u64>, Problem> {
        let probe = own(Method::Get, &["rest", "audio"], RequestBody::None);
        let _slot = self.slots.acquire().await;
        match self.attempt(&probe, None, Some(session), SMALL).await {
            Attempt::Answered(answer) if answer.status == 403 => Ok(Some(session.generation)),
            Attempt::Answered(_) | Attempt::Large(_) => Ok(None),
            Attempt::Unreachable(problem) => Err(problem),
            Attempt::Broken => Err(silent()),
        }
    }

    /// Gives back the session that is used, and all that are owed.
    pub(super) async fn free_sessions(&self) {
        self.sessions.end();
        self.give_back().await;
    }

    /// What could not be given back before a log-in is not kept until the next one.
    pub(super) fn give_back_later(self: &Arc<Self>) {
        let shared = Arc::downgrade(self);
        tokio::spawn(async move {
            for pause in LATER {
                if shared
                    .upgrade()
                    .is_none_or(|it| it.sessions.owed().is_empty())
                {
                    return;
                }
                sleep(*pause).await;
                let Some(shared) = shared.upgrade() else {
                    return;
                };
                let _slot = shared.slots.acquire().await;
                let _ = timeout_at(Instant::now() + FREE, shared.give_back()).await;
            }
        });
    }

    pub(super) async fn give_back(&self) {
        for session in self.sessions.owed() {
            let request = own(Method::Delete, &["rest", "session"], RequestBody::None);
            let gone = match self.attempt(&request, None, Some(&session), SMALL).await {
                // 400: the device knows of no such session any more.
                Attempt::Answered(answer) => matches!(answer.status, 200..=299 | 400),
                Attempt::Unreachable(_) => return,
                Attempt::Broken | Attempt::Large(_) => false,
            };
            self.sessions.given_back(session.generation, gone);
        }
    }

    /// Logs in, unless somebody else just did; one log-in at a time.
    pub(super) async fn renewed_session(
        self: &Arc<Self>,
        stale: Option<u64>,
    ) -> Result<Arc<Session>, Problem> {
        let mut login = self.login.lock().await;
        if let Some(session) = self.sessions.used(stale) {
            return Ok(session);
        }
        if self.closed.load(Ordering::Acquire) {
            return Err(let_go());
        }
        if let Some((until, problem)) = &login.blocked
            && *until > Instant::now()
        {
            return Err(problem.clone());
        }
        let _slot = self.slots.acquire().await;
        // A session that was refused may live all the same, and counts until it is given back.
        let _ = timeout_at(Instant::now() + FREE, self.free_sessions()).await;
        let credentials = json!({
            "user": self.settings.user,
            "password": self.settings.password.expose_secret(),
        });
        let request = own(
            Method::Post,
            &["rest", "session"],
            RequestBody::Json(credentials),
        );
        self.reach().await?;
        self.in_line.store(true, Ordering::Release);
        let turn = self.settings.login_limiter.0.acquire().await;
        self.in_line.store(false, Ordering::Release);
        if self.closed.load(Ordering::Acquire) {
            return Err(let_go());
        }
        // Longer than anybody waits for it: an answer that comes late still is a session to free.
        let deadline = Instant::now() + self.settings.timings.slow_request_timeout;
        let mut exchange = pin!(timeout_at(
            deadline,
            self.exchange(&request, None, None, SMALL)
        ));
        let exchanged = timeout(self.settings.timings.request_timeout, &mut exchange).await;
        // Devices that hang keep nobody else from logging in.
        drop(turn);
        let exchanged = match exchanged {
            Ok(exchanged) => exchanged,
            Err(_) => exchange.await,
        };
        let (attempt, cookies) = exchanged.map_err(|_| silent())?;
        login.generation += 1;
        let generation = login.generation;
        let read = match attempt {
            Attempt::Answered(answer) => {
                read_login_reply(answer.status, &cookies, &answer.body, generation)
            }
            Attempt::Unreachable(problem) => Err(problem),
            Attempt::Broken | Attempt::Large(_) => Err(Problem::new(
                ProblemCode::Offline,
                "the connection broke during the log-in",
            )),
        };
        match read {
            Ok(session) => {
                login.refusals = 0;
                login.blocked = None;
                let session = Arc::new(session);
                self.sessions.begin(session.clone());
                if self.closed.load(Ordering::Acquire) {
                    self.free_sessions().await;
                    return Err(let_go());
                }
                self.give_back_later();
                Ok(session)
            }
            Err(problem) => {
                if let Some(session) = Session::given(&cookies, generation) {
                    self.sessions.owe(session.into());
                }
                let timings = &self.settings.timings;
                let wait = match problem.code {
                    ProblemCode::Unauthorized => {
                        login.refusals += 1;
                        let doubled = 2_u32.saturating_pow(login.refusals - 1);
                        let longest = timings
                            .retry_after_refused_login
                            .max(Duration::from_secs(3600));
                        timings
                            .retry_after_refused_login
                            .saturating_mul(doubled)
                            .min(longest)
                    }
                    ProblemCode::LockedOut => timings.retry_after_lockout,
                    ProblemCode::TooManySessions => timings.retry_after_too_many_sessions,
                    _ => Duration::ZERO,
                };
                login.blocked = (!wait.is_zero()).then(|| (Instant::now() + wait, problem.clone()));
                Err(problem)
            }
        }
    }

    /// Whether anybody is there at all, before a log-in takes its turn: devices that are switched
    /// off would hold the login_limiter of those that are not until their connections time out.
    async fn reach(&self) -> Result<(), Problem> {
        let reached = self.connections.reach().await;
        reached.map_err(|cause| self.unreachable(&*cause))
    }

    /// 403 has several meanings; a read that never changes anything tells which.
    pub(super) async fn why_forbidden(&self, session: &Session) -> Forbidden {
        for path in [&["rest", "system", "mode"][..], &["rest", "audio"]] {
            let probe = own(Method::Get, path, RequestBody::None);
            let probed = self.attempt(&probe, None, Some(session), SMALL).await;
            let Attempt::Answered(answer) = probed else {
                return Forbidden::Unknown;
            };
            match answer.status {
                403 => return Forbidden::Stale,
                200 => {
                    let mode: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                    return match mode["activePersona"].as_str() {
                        Some(mode) if !mode.eq_ignore_ascii_case("poly") => {
                            Forbidden::Mode(mode.chars().take(64).collect())
                        }
                        _ => Forbidden::Unknown,
                    };
                }
                _ => {}
            }
        }
        Forbidden::Unknown
    }
}

/// What a 403 turned out to mean.
pub(super) enum Forbidden {
    Stale,
    Mode(String),
    Unknown,
}

fn let_go() -> Problem {
    Problem::new(ProblemCode::Offline, "the device is not used any more")
}

pub(super) fn silent() -> Problem {
    Problem::new(ProblemCode::Offline, "the device does not answer in time")
}

/// A request of the client's own.
fn own(method: Method, path: &[&str], body: RequestBody) -> Request {
    Request {
        method,
        path: path.iter().map(|segment| (*segment).to_owned()).collect(),
        query: Vec::new(),
        body,
        repeatable: false,
        slow: false,
    }
}
