//! Requests to one device, within its session.
//!
//! Owns the connection pool, the session and its lock, the limit of two requests at a time and the
//! rules of repeating: a request is sent again only when that is safe. No proxy, no redirects.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, timeout_at};
use url::Url;

use super::keep::Keep;
use super::login::{Session, read_login};
use super::problem::{Problem, ProblemCode};
use super::sessions::Sessions;
use super::tls::{Handshakes, client_config};
use crate::catalogue::{Method, Request, RequestBody};
use crate::config::Certificate;
use crate::metrics::Metrics;

const XSRF: HeaderName = HeaderName::from_static("x-xsrf-token");
/// A device answers a handshake within this, or it is not there.
const CONNECT: Duration = Duration::from_secs(5);
/// Shorter than devices keep an idle connection; polling keeps it in use.
const IDLE: Duration = Duration::from_secs(30);
/// Between two attempts at a request that is safe to repeat.
const PAUSE: Duration = Duration::from_millis(200);
const ATTEMPTS: u32 = 3;
/// Freeing a session takes no longer than this.
const FREE: Duration = Duration::from_secs(2);
/// The waits before a session is given back that the device did not take back at once.
const LATER: &[Duration] = &[
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
];
/// The session's own requests and the probes behind a 403 are small.
const SMALL: usize = 1 << 20;
/// A longer MIME type is none; a broker takes no property of more than 65,535 bytes.
const LONGEST_TYPE: usize = 128;

/// How to reach a device.
#[derive(Debug, Clone)]
pub struct Settings {
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
    pub timings: Timings,
    /// Where requests are counted.
    pub metrics: Arc<Metrics>,
    /// Where the session is kept for a gateway that comes after one that was killed.
    pub keep: Option<Keep>,
}

/// The waits that are no user's business, but which tests shorten.
#[derive(Debug, Clone)]
pub struct Timings {
    /// A request, from its first attempt to its answer.
    pub request: Duration,
    /// The same for dialling, logs and content.
    pub slow_request: Duration,
    /// After a refused password, doubled each time up to an hour: a lock-out shuts out people too.
    pub refused: Duration,
    /// After a lock-out.
    pub locked_out: Duration,
    /// While all sessions are in use.
    pub too_many_sessions: Duration,
    /// The first wait before an unreachable device is tried again; doubled up to 30 s.
    pub unreachable: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(10),
            slow_request: Duration::from_secs(60),
            refused: Duration::from_secs(600),
            locked_out: Duration::from_secs(120),
            too_many_sessions: Duration::from_secs(60),
            unreachable: Duration::from_secs(1),
        }
    }
}

/// What the device answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The MIME type, if it gave one.
    pub content_type: Option<String>,
    /// The body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Failed {
    /// The device cannot be used; nothing was carried out.
    Problem(Problem),
    /// No answer in time.
    TimedOut {
        /// The device may have carried it out.
        begun: bool,
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
    pub begun: BytesMut,
    pub rest: reqwest::Response,
}

/// A body that streams in, with its length.
pub(super) type Streamed = (u64, reqwest::Body);

/// How a request that is carried out ends.
#[derive(Debug)]
pub(super) enum Carried {
    Answered(Answer),
    Large(Box<Large>),
}

/// One device. Clones are handles to the same.
#[derive(Debug, Clone)]
pub struct Device {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: Settings,
    http: reqwest::Client,
    handshakes: Arc<Handshakes>,
    slots: Semaphore,
    sessions: Sessions,
    login: tokio::sync::Mutex<LoginState>,
    /// The device is not used any more: no log-in, and one that is under way is undone.
    closed: AtomicBool,
}

/// What the log-ins so far came to; its lock makes them one at a time.
#[derive(Debug, Default)]
struct LoginState {
    generation: u64,
    refusals: u32,
    /// Not to be tried before this.
    blocked: Option<(Instant, Problem)>,
}

/// One attempt's end.
enum Attempt {
    Answered(Answer),
    Unreachable(Problem),
    Broken,
    Large(Box<Large>),
}

impl Device {
    /// A client that has not connected yet.
    ///
    /// # Errors
    /// TLS settings that cannot be used.
    pub fn new(settings: Settings) -> Result<Self, String> {
        let (tls, handshakes) = client_config(&settings.certificate)?;
        let idle = if settings.keep_alive { 2 } else { 0 };
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .https_only(true)
            .http1_only()
            .tcp_nodelay(true)
            .connect_timeout(CONNECT)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(idle)
            .build()
            .map_err(|error| error.without_url().to_string())?;
        let sessions = Sessions::new(settings.keep.clone());
        let login = LoginState {
            generation: sessions.generation(),
            ..LoginState::default()
        };
        Ok(Self {
            shared: Arc::new(Shared {
                settings,
                http,
                handshakes,
                slots: Semaphore::new(2),
                sessions,
                login: tokio::sync::Mutex::new(login),
                closed: AtomicBool::new(false),
            }),
        })
    }

    /// The waits this device is used with.
    pub fn timings(&self) -> &Timings {
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
                timings.slow_request
            } else {
                timings.request
            }
    }

    /// Logs in, unless the device still takes the session there is, and says who is logged in.
    ///
    /// # Errors
    /// The problem; a refused log-in is remembered and not tried again before its time.
    pub async fn log_in(&self) -> Result<Value, Problem> {
        let session = async {
            let stale = match self.shared.sessions.used(None) {
                Some(session) => self.shared.check(session).await?,
                None => None,
            };
            if stale.is_none() {
                self.shared.give_back_later();
            }
            self.valid_session(stale).await
        };
        match timeout_at(self.deadline(false), session).await {
            Ok(session) => session.map(|session| session.state),
            Err(_) => Err(silent()),
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
    async fn valid_session(&self, stale: Option<u64>) -> Result<Session, Problem> {
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
    ) -> Result<Answer, Failed> {
        let (carried, _slot) = self.carry_out(request, None, limit, deadline).await?;
        match carried {
            Carried::Answered(answer) => Ok(answer),
            Carried::Large(large) => Err(Failed::TooLarge(large.about)),
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
    ) -> Result<(Carried, SemaphorePermit<'_>), Failed> {
        let late = |begun| Failed::TimedOut { begun };
        let device = &*self.shared;
        let once = upload.is_some();
        let mut attempts = 0;
        let mut renewed = false;
        let mut stale = None;
        loop {
            let session = timeout_at(deadline, self.valid_session(stale))
                .await
                .map_err(|_| late(false))?
                .map_err(Failed::Problem)?;
            let Ok(Ok(slot)) = timeout_at(deadline, device.slots.acquire()).await else {
                return Err(late(false));
            };
            if once && !renewed {
                // Whether the session is good must be known before the only attempt.
                renewed = true;
                let meaning = timeout_at(deadline, device.why_forbidden(&session)).await;
                if matches!(meaning, Ok(Forbidden::Stale)) {
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
                    let meaning = timeout_at(deadline, device.why_forbidden(&session)).await;
                    match meaning.map_err(|_| late(true))? {
                        Forbidden::Stale if !renewed => {
                            renewed = true;
                            attempts = 0;
                            stale = Some(session.generation);
                        }
                        Forbidden::Mode(mode) => return Err(Failed::ModeLocked(mode)),
                        _ => return Err(Failed::Forbidden(reason(&answer.body))),
                    }
                }
                Ok(Attempt::Answered(answer)) => return Ok((Carried::Answered(answer), slot)),
                Ok(Attempt::Large(large)) => return Ok((Carried::Large(large), slot)),
                Ok(Attempt::Unreachable(problem)) if last => return Err(Failed::Problem(problem)),
                Ok(Attempt::Broken) if last || !request.repeatable => return Err(Failed::Broken),
                Ok(Attempt::Unreachable(_) | Attempt::Broken) => {
                    drop(slot);
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

impl Shared {
    /// Asks the device whether it takes a session still; if not, gives its generation.
    async fn check(&self, session: Session) -> Result<Option<u64>, Problem> {
        let probe = own(Method::Get, &["rest", "audio"], RequestBody::None);
        let _slot = self.slots.acquire().await;
        match self.attempt(&probe, None, Some(&session), SMALL).await {
            Attempt::Answered(answer) if answer.status == 403 => Ok(Some(session.generation)),
            Attempt::Answered(_) | Attempt::Large(_) => Ok(None),
            Attempt::Unreachable(problem) => Err(problem),
            Attempt::Broken => Err(silent()),
        }
    }

    /// Gives back the session that is used, and all that are owed.
    async fn free_sessions(&self) {
        self.sessions.end();
        self.give_back().await;
    }

    /// What could not be given back before a log-in is not kept until the next one.
    fn give_back_later(self: &Arc<Self>) {
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

    async fn give_back(&self) {
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
    async fn renewed_session(self: &Arc<Self>, stale: Option<u64>) -> Result<Session, Problem> {
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
        // Longer than anybody waits for it: an answer that comes late still is a session to free.
        let deadline = Instant::now() + self.settings.timings.slow_request;
        let exchanged = timeout_at(deadline, self.exchange(&request, None, None, SMALL)).await;
        let (attempt, headers) = exchanged.map_err(|_| silent())?;
        login.generation += 1;
        let generation = login.generation;
        let read = match attempt {
            Attempt::Answered(answer) => {
                read_login(answer.status, &headers, &answer.body, generation)
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
                self.sessions.begin(session.clone());
                if self.closed.load(Ordering::Acquire) {
                    self.free_sessions().await;
                    return Err(let_go());
                }
                self.give_back_later();
                Ok(session)
            }
            Err(problem) => {
                if let Some(session) = Session::given(&headers, generation) {
                    self.sessions.owe(session);
                }
                let timings = &self.settings.timings;
                let wait = match problem.code {
                    ProblemCode::Unauthorized => {
                        login.refusals += 1;
                        let doubled = 2_u32.saturating_pow(login.refusals - 1);
                        let longest = timings.refused.max(Duration::from_secs(3600));
                        timings.refused.saturating_mul(doubled).min(longest)
                    }
                    ProblemCode::LockedOut => timings.locked_out,
                    ProblemCode::TooManySessions => timings.too_many_sessions,
                    _ => Duration::ZERO,
                };
                login.blocked = (!wait.is_zero()).then(|| (Instant::now() + wait, problem.clone()));
                Err(problem)
            }
        }
    }

    /// 403 has several meanings; a read that never changes anything tells which.
    async fn why_forbidden(&self, session: &Session) -> Forbidden {
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

    async fn attempt(
        &self,
        request: &Request,
        upload: Option<Streamed>,
        session: Option<&Session>,
        limit: usize,
    ) -> Attempt {
        let (attempt, headers) = self.exchange(request, upload, session, limit).await;
        self.settings.metrics.requested(match &attempt {
            Attempt::Answered(answer) => Some(answer.status),
            Attempt::Large(large) => Some(large.about.status),
            Attempt::Unreachable(_) | Attempt::Broken => None,
        });
        if let Some(session) = session {
            self.sessions.renew_token(session.generation, &headers);
        }
        attempt
    }

    /// One request and its answer, read to the end so that the connection can be used again.
    async fn exchange(
        &self,
        request: &Request,
        upload: Option<Streamed>,
        session: Option<&Session>,
        limit: usize,
    ) -> (Attempt, HeaderMap) {
        let method = match request.method {
            Method::Get => http::Method::GET,
            Method::Post => http::Method::POST,
            Method::Put => http::Method::PUT,
            Method::Delete => http::Method::DELETE,
        };
        let url = request_url(&self.settings.url, request);
        let mut builder = self.http.request(method, url);
        if let Some(session) = session {
            if let Some(cookie) = session.cookie() {
                builder = builder.header(COOKIE, cookie);
            }
            if let Some(token) = session.token().filter(|_| request.method != Method::Get) {
                builder = builder.header(XSRF, token);
            }
        }
        builder = match &request.body {
            RequestBody::None => builder,
            RequestBody::Json(value) => builder
                .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
                .body(value.to_string()),
            RequestBody::Bytes(content_type, bytes) => {
                let builder = builder.header(CONTENT_TYPE, HeaderValue::from_static(content_type));
                match upload {
                    Some((length, body)) => builder.header(CONTENT_LENGTH, length).body(body),
                    None => builder.body(bytes.clone()),
                }
            }
        };
        let mut response = match builder.send().await {
            Ok(response) => response,
            Err(error) => return (self.broken(error), HeaderMap::new()),
        };
        let headers = std::mem::take(response.headers_mut());
        let length: Option<u64> = headers
            .get(CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse().ok());
        let content_type = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .map(|text| text.split(';').next().unwrap_or(text).trim().to_owned())
            .filter(|text| text.len() <= LONGEST_TYPE);
        let status = response.status().as_u16();
        // A refusal says why in a few words.
        let limit = if response.status().is_success() {
            limit
        } else {
            limit.max(SMALL)
        };
        let known = length.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        let mut body = BytesMut::with_capacity(known.unwrap_or(0).min(limit));
        let mut large = known.is_some_and(|length| length > limit);
        while !large {
            match response.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(_) => return (Attempt::Broken, headers),
            }
            large = body.len() > limit;
        }
        if large && request.method != Method::Get {
            // The status says whether it was carried out, and nobody asked for more.
            let answer = Answer {
                status,
                content_type: None,
                body: Bytes::new(),
            };
            return (Attempt::Answered(answer), headers);
        }
        if large {
            let about = Oversize {
                limit,
                status,
                content_type,
                length,
            };
            let large = Large {
                about,
                begun: body,
                rest: response,
            };
            return (Attempt::Large(Box::new(large)), headers);
        }
        let answer = Answer {
            status,
            content_type,
            body: body.freeze(),
        };
        (Attempt::Answered(answer), headers)
    }

    fn broken(&self, error: reqwest::Error) -> Attempt {
        if !error.is_connect() {
            return Attempt::Broken;
        }
        if let Some(problem) = self.handshakes.take_refusal() {
            return Attempt::Unreachable(problem);
        }
        let error = error.without_url();
        let mut cause: &dyn std::error::Error = &error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        let address = self.settings.url.host_str().unwrap_or_default();
        Attempt::Unreachable(Problem::new(
            ProblemCode::Offline,
            format!("{address} cannot be reached: {cause}"),
        ))
    }
}

/// Where a request to the device at `base` goes. Each segment is encoded by itself, so that no
/// value can reach another path.
pub fn request_url(base: &Url, request: &Request) -> Url {
    let mut url = base.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.clear().extend(&request.path);
    }
    if !request.query.is_empty() {
        url.query_pairs_mut().extend_pairs(&request.query);
    }
    url
}

/// What a 403 turned out to mean.
enum Forbidden {
    Stale,
    Mode(String),
    Unknown,
}

fn let_go() -> Problem {
    Problem::new(ProblemCode::Offline, "the device is not used any more")
}

fn silent() -> Problem {
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

/// The `reason` a refusal gives, if it is a short JSON text and not a page.
pub(super) fn reason(body: &[u8]) -> String {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    match answer["reason"].as_str() {
        Some(reason) => reason.chars().take(200).collect(),
        None => String::new(),
    }
}
