//! One request to the device and its response.
//!
//! Owns the limit of two requests at a time, the reading of a response up to the caller's limit,
//! and the words for an unreachable device. Does not log in and repeats nothing.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use super::MOST_REQUESTS_AT_ONCE;
use super::fence::DeviceFence;
use super::http::{
    DEVICE_CONNECT_TIMEOUT, HttpClient, HttpError, HttpRequest, HttpResponse, METERED_PROVIDER,
    UploadBody,
};
use super::problem::{Problem, ProblemCode};
use super::response::{DeviceResponse, Oversize, asks_for_fewer_requests};
use super::session::Session;
use super::sessions::Sessions;
use super::settings::DeviceSettings;
use super::throttle::{RequestedPace, Throttle};
use super::timings::DeviceTimings;
use super::tls::{client_config, handshake_problem, late_problem};
use crate::catalogue::Request;
use crate::net::{Handshakes, dial};
use crate::os_error;
use crate::telemetry::Telemetry;

/// The limit in bytes for responses to the client's own requests (log-in, log-out, probes), and for
/// refusals, which give their reason in a few words.
pub(super) const SMALL_RESPONSE: usize = 1 << 20;

/// How long a device that did not finish its TLS handshake in time may take to accept a connection
/// without TLS. One on the local network takes milliseconds.
const SECOND_LOOK_TIMEOUT: Duration = Duration::from_secs(1);

/// How long an urgent request waits for its turn before a file gives way to it. Ordinary requests take
/// milliseconds; a person who stops a camera sees each second.
const URGENT_PATIENCE: Duration = Duration::from_secs(1);

/// How an attempt at a request ended.
#[derive(Debug)]
pub(super) enum AttemptOutcome {
    /// The device responded, with any status.
    Answered(DeviceResponse),
    /// The device responded, and the response is larger than the caller's limit.
    Large(Box<LargeResponse>),
    /// There is no connection: nothing was sent.
    Unreachable(Problem),
    /// The connection broke after the request was sent, wholly or in part.
    Broken(HttpError),
}

/// A response that is larger than the caller's limit, still to be read.
#[derive(Debug)]
pub(super) struct LargeResponse {
    pub size: Oversize,
    /// What was read before the limit was reached.
    pub start: Bytes,
    /// The rest.
    pub rest: HttpResponse,
}

/// The right to have a request under way, until it is dropped.
#[derive(Debug)]
pub(super) struct RequestSlot<'a> {
    /// None only for a closed semaphore, and the device's is never closed.
    _permit: Option<SemaphorePermit<'a>>,
}

/// The device's HTTPS interface.
#[derive(Debug)]
pub(super) struct Endpoint {
    http: HttpClient,
    handshakes: Arc<Handshakes>,
    slots: Semaphore,
    /// Tells that an urgent request waits for a slot that a file may have.
    preempted: Notify,
    sessions: Arc<Sessions>,
    telemetry: Arc<Telemetry>,
    fence: DeviceFence,
    throttle: Mutex<Throttle>,
    timings: Arc<DeviceTimings>,
}

impl Endpoint {
    /// One that has not connected yet; tokens that responses renew are put into `sessions`.
    ///
    /// # Errors
    /// TLS settings that cannot be used.
    pub fn new(settings: &DeviceSettings, sessions: Arc<Sessions>) -> Result<Self, String> {
        let (tls, handshakes) = client_config(&settings.certificate, METERED_PROVIDER.clone())?;
        let http = HttpClient::new(
            settings.url.clone(),
            tls,
            settings.keep_alive,
            settings.fence.clone(),
        );
        Ok(Self {
            http: http.map_err(|error| os_error::cause_words(&error))?,
            handshakes,
            slots: Semaphore::new(MOST_REQUESTS_AT_ONCE),
            preempted: Notify::new(),
            sessions,
            telemetry: settings.telemetry.clone(),
            fence: settings.fence.clone(),
            throttle: Mutex::default(),
            timings: settings.timings.clone(),
        })
    }

    /// Whether another gateway may have the device.
    pub fn is_fenced_off(&self) -> bool {
        self.fence.check().is_err()
    }

    /// The fingerprint of the certificate that the device showed last.
    pub fn fingerprint(&self) -> Option<String> {
        let fingerprint = self.handshakes.fingerprint();
        fingerprint.map(|fingerprint| fingerprint.to_string())
    }

    /// How the device is to be read now, as far as it asks for fewer requests.
    pub fn requested_pace(&self) -> RequestedPace {
        self.throttle.lock().pace()
    }

    fn note_throttle(&self, response: &HttpResponse) {
        let (wait, now) = (response.retry_after(), Instant::now());
        let mut throttle = self.throttle.lock();
        if asks_for_fewer_requests(response.status(), wait) {
            throttle.asked(wait, now)
        } else {
            throttle.answered(self.timings.quiet_before_faster_reads, now)
        }
    }

    /// Waits until a request may be sent.
    pub async fn slot(&self) -> RequestSlot<'_> {
        RequestSlot {
            _permit: self.slots.acquire().await.ok(),
        }
    }

    /// The same for a request that cannot wait long: after a moment a file gives its slot up.
    pub async fn urgent_slot(&self) -> RequestSlot<'_> {
        let mut slot = pin!(self.slot());
        loop {
            match timeout(URGENT_PATIENCE, &mut slot).await {
                Ok(slot) => return slot,
                // Again each time: a file that waited before may have got the slot meanwhile.
                Err(_) => self.preempted.notify_waiters(),
            }
        }
    }

    /// Waits until an urgent request needs the slot that a file has. Files that still wait for one do not listen.
    pub async fn preempted(&self) {
        self.preempted.notified().await;
    }

    /// The request as it is sent; none if its URL would lead to another path.
    pub fn prepare(&self, request: &Request) -> Option<HttpRequest> {
        self.http.prepare(request)
    }

    /// A request of the client's own.
    pub fn fixed(&self, method: Method, path: &'static str, json: Option<&Value>) -> HttpRequest {
        self.http.fixed(method, path, json)
    }

    /// Checks that the device's address accepts connections: connects without TLS, and disconnects.
    ///
    /// # Errors
    /// The device is offline.
    pub async fn reach(&self) -> Result<(), Problem> {
        self.fence.check()?;
        let dialled = dial(self.http.host(), self.http.port());
        match timeout(DEVICE_CONNECT_TIMEOUT, dialled).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                // One that closes the connection at once may do so before it is used.
                let closed = handshake_problem(&self.address(), &error, &self.handshakes);
                Err(closed.unwrap_or_else(|| self.unreachable(&os_error::words(&error))))
            }
            Err(_) => Err(self.unreachable("operation timed out")),
        }
    }

    /// Sends a request of a session and reads its response.
    pub async fn attempt(
        &self,
        slot: &RequestSlot<'_>,
        request: &HttpRequest,
        session: &Session,
        upload: Option<UploadBody>,
        limit: usize,
    ) -> AttemptOutcome {
        let (attempt, cookies) = self
            .exchange(slot, request, Some(session), upload, limit)
            .await;
        self.telemetry.device_request(match &attempt {
            AttemptOutcome::Answered(response) => Some(response.status),
            AttemptOutcome::Large(large) => Some(large.size.status),
            AttemptOutcome::Unreachable(_) | AttemptOutcome::Broken(_) => None,
        });
        self.sessions.renew_token(session.generation, &cookies);
        attempt
    }

    /// Sends a request and reads its response; also gives the cookies that the response sets.
    ///
    /// A response within the limit is read to its end, so that the connection can be used again.
    pub async fn exchange(
        &self,
        _slot: &RequestSlot<'_>,
        request: &HttpRequest,
        session: Option<&Session>,
        upload: Option<UploadBody>,
        limit: usize,
    ) -> (AttemptOutcome, Vec<String>) {
        if let Err(closed) = self.fence.check() {
            return (AttemptOutcome::Unreachable(closed.into()), Vec::new());
        }
        let headers = session.map(Session::headers);
        match self.http.send(request, headers, upload).await {
            Ok(response) => {
                self.handshakes.answered();
                self.note_throttle(&response);
                let cookies = response.cookies();
                let read = read(response, limit, request.is_read()).await;
                (read.unwrap_or_else(|error| self.broken(error)), cookies)
            }
            Err(HttpError::NotConnected(error)) => {
                let problem = self.no_connection(&error).await;
                (AttemptOutcome::Unreachable(problem), Vec::new())
            }
            Err(error) => (self.broken(error), Vec::new()),
        }
    }

    /// Why there is no connection.
    async fn no_connection(&self, error: &reqwest::Error) -> Problem {
        if error.is_timeout() && self.accepts_connections().await {
            return Problem::new(
                ProblemCode::Offline,
                format!(
                    "{} accepts connections, but does not begin TLS within {} s; is that the device's HTTPS \
                     port?",
                    self.address(),
                    DEVICE_CONNECT_TIMEOUT.as_secs()
                ),
            );
        }
        if let Some(refusal) = self.handshakes.take_refusal().await {
            return refusal.into();
        }
        let problem = handshake_problem(&self.address(), error, &self.handshakes);
        problem.unwrap_or_else(|| self.unreachable(&os_error::cause_words(error)))
    }

    /// The library does not say whether the network or TLS took too long.
    async fn accepts_connections(&self) -> bool {
        let dialled = dial(self.http.host(), self.http.port());
        matches!(timeout(SECOND_LOOK_TIMEOUT, dialled).await, Ok(Ok(_)))
    }

    /// Why a log-in broke off after it was sent.
    pub fn login_broke(&self, error: &HttpError) -> Problem {
        let late = late_problem(&self.address(), error, &self.handshakes);
        late.or_else(|| error.problem())
            .unwrap_or_else(Self::broken_login)
    }

    /// A log-in broke off, and nothing says why.
    pub fn broken_login() -> Problem {
        Problem::new(
            ProblemCode::Offline,
            "the connection broke during the log-in",
        )
    }

    /// `host:port`, for messages.
    fn address(&self) -> String {
        format!("{}:{}", self.http.host(), self.http.port())
    }

    /// Notes why a connection broke: commands and polls only report that it did.
    pub fn note_broken(&self, error: &HttpError) {
        self.telemetry
            .device_connection_broke(&os_error::cause_words(error));
    }

    fn broken(&self, error: HttpError) -> AttemptOutcome {
        self.note_broken(&error);
        AttemptOutcome::Broken(error)
    }

    fn unreachable(&self, cause: &str) -> Problem {
        Problem::new(
            ProblemCode::Offline,
            format!("{} cannot be reached: {cause}", self.http.host()),
        )
    }
}

async fn read(
    mut response: HttpResponse,
    limit: usize,
    is_read: bool,
) -> Result<AttemptOutcome, HttpError> {
    let status = response.status();
    let content_type = response.content_type();
    let retry_after = response.retry_after();
    let length = response.length();
    let limit = match status {
        200..=299 => limit,
        _ => limit.max(SMALL_RESPONSE),
    };
    let known = length.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    let mut too_large = known.is_some_and(|length| length > limit);
    // A copy: the parts hold a larger buffer than their bytes, and the body may be kept for long.
    let mut body = Vec::new();
    if !too_large {
        body.reserve_exact(known.unwrap_or_default().min(SMALL_RESPONSE));
    }
    while !too_large && let Some(part) = response.chunk().await? {
        body.extend_from_slice(&part);
        too_large = body.len() > limit;
    }
    body.shrink_to_fit();
    if !too_large {
        return Ok(AttemptOutcome::Answered(DeviceResponse {
            status,
            content_type,
            retry_after,
            body: body.into(),
        }));
    }
    if !is_read && !(200..=299).contains(&status) {
        // A refusal. The status says so, and the body is not needed.
        return Ok(AttemptOutcome::Answered(DeviceResponse {
            status,
            content_type: None,
            retry_after,
            body: Bytes::new(),
        }));
    }
    let size = Oversize {
        limit,
        status,
        content_type,
        length,
    };
    Ok(AttemptOutcome::Large(Box::new(LargeResponse {
        size,
        start: body.into(),
        rest: response,
    })))
}
