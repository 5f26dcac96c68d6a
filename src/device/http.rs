//! HTTPS to one device, by reqwest.
//!
//! Owns the client's settings and the URL and headers of a request, and sends it. Knows no sessions
//! and repeats nothing: only the layers above know which requests are safe to repeat.

mod broken;
mod fenced;
mod response;
mod retry_after;
mod surplus;
mod upload;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HeaderName, HeaderValue};
use reqwest::{Body, Method};
use rustls::ClientConfig;
use rustls::client::Resumption;
use serde_json::Value;
use tokio::sync::oneshot;
use url::Url;

use super::MOST_REQUESTS_AT_ONCE;
use super::fence::{DeviceFence, FenceClosed};
use crate::catalogue::{self, Request, RequestBody};
use crate::net::http_client;
use response::LARGEST_RESPONSE_HEAD;
use surplus::{LARGEST_SURPLUS, MeterOfConnections, SurplusMeter, is_surplus};
use upload::exact_length;

pub use response::HttpResponse;
pub use surplus::METERED_PROVIDER;
pub use upload::UploadBody;

/// A device on the local network accepts a connection and completes the TLS handshake well within
/// this, or it is not there.
pub(super) const DEVICE_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an unused connection stays open. Devices close theirs later than that; polling keeps
/// at least one in use.
const IDLE_CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a device may leave data unacknowledged or unread before the connection is closed.
/// Without it, a device that refuses an upload early and reads no further would hold the connection
/// and the uploader for ever.
pub(super) const UNREAD_DATA_TIMEOUT: Duration = Duration::from_secs(3);

/// The most headers of a response, which is the library's own limit. A device sends about 15.
const MOST_RESPONSE_HEADERS: usize = 100;

const JSON: &str = "application/json";
const XSRF_TOKEN: HeaderName = HeaderName::from_static("x-xsrf-token");

/// Why an exchange has no response. Never shows the URL, which may hold what a user typed.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// There is no connection: nothing was sent.
    #[error("no connection")]
    NotConnected(#[source] reqwest::Error),
    /// The connection broke after that, or what came is not HTTP.
    #[error("the connection broke")]
    Broken(#[source] reqwest::Error),
    /// This gateway may not use the device any more; a part may have been sent.
    #[error("{0}")]
    Fenced(#[from] FenceClosed),
    /// The head of the response is too large.
    #[error(
        "the response's headers are larger than {} KiB or more than {MOST_RESPONSE_HEADERS}",
        LARGEST_RESPONSE_HEAD >> 10
    )]
    HeadTooLarge,
    /// The device sends interim answers, TLS messages or the like in bulk.
    #[error("the device sends more than {} MiB that is no answer", LARGEST_SURPLUS >> 20)]
    TooMuchSurplus,
    /// The response ends with an informational status, such as 101.
    #[error("the device switched to another protocol")]
    SwitchedProtocols,
}

impl HttpError {
    /// Another attempt would bring the same: the device sent too much, or this gateway may not use it.
    pub fn is_deliberate(&self) -> bool {
        matches!(
            self,
            Self::TooMuchSurplus | Self::HeadTooLarge | Self::Fenced(_)
        )
    }
}

impl From<reqwest::Error> for HttpError {
    fn from(error: reqwest::Error) -> Self {
        let error = error.without_url();
        if error.is_connect() {
            Self::NotConnected(error)
        } else if is_surplus(&error) {
            Self::TooMuchSurplus
        } else if is_head_too_large(&error) {
            Self::HeadTooLarge
        } else {
            Self::Broken(error)
        }
    }
}

fn is_head_too_large(error: &reqwest::Error) -> bool {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    let mut hyper = causes.filter_map(|cause| cause.downcast_ref::<hyper::Error>());
    hyper.any(hyper::Error::is_parse_too_large)
}

/// A request that can be sent any number of times.
#[derive(Debug)]
pub struct HttpRequest {
    method: Method,
    url: Url,
    content_type: Option<&'static str>,
    body: Bytes,
}

impl HttpRequest {
    /// A GET, which changes nothing at the device.
    pub fn is_read(&self) -> bool {
        self.method == Method::GET
    }
}

/// The headers that carry a session.
#[derive(Debug, Clone)]
pub struct SessionHeaders {
    /// `Cookie`.
    pub cookie: HeaderValue,
    /// `X-XSRF-Token`, if the firmware gave a token. It is sent with everything but reads.
    pub token: Option<HeaderValue>,
}

/// Sends requests to one device.
#[derive(Debug)]
pub struct HttpClient {
    client: reqwest::Client,
    device: Url,
    surplus: SurplusMeter,
    fence: DeviceFence,
}

impl HttpClient {
    /// A client that has not connected yet, to the device at `https://host[:port]`.
    ///
    /// # Errors
    /// Settings that the library refuses.
    pub fn new(
        device: Url,
        mut tls: ClientConfig,
        keep_alive: bool,
        fence: DeviceFence,
    ) -> Result<Self, reqwest::Error> {
        let idle_connections = if keep_alive { MOST_REQUESTS_AT_ONCE } else { 0 };
        if keep_alive {
            // Connections stay open, so a room reconnects rarely, and mostly to a device that has
            // restarted and forgotten its tickets. Keeping them would take 3 KiB a room.
            tls.resumption = Resumption::disabled();
        }
        let surplus = SurplusMeter::default();
        tls.key_log = Arc::new(MeterOfConnections {
            meter: surplus.clone(),
            fence: fence.clone(),
        });
        let client = http_client(tls, DEVICE_CONNECT_TIMEOUT)
            .https_only(true)
            .http1_max_headers(MOST_RESPONSE_HEADERS)
            .tcp_user_timeout(UNREAD_DATA_TIMEOUT)
            .pool_max_idle_per_host(idle_connections)
            .pool_idle_timeout(IDLE_CONNECTION_TIMEOUT)
            .build()?;
        Ok(Self {
            client,
            device,
            surplus,
            fence,
        })
    }

    /// The device's host, as in its URL.
    pub fn host(&self) -> &str {
        self.device.host_str().unwrap_or_default()
    }

    /// The device's port.
    pub fn port(&self) -> u16 {
        self.device.port_or_known_default().unwrap_or(443)
    }

    /// The request as it is sent; none if its URL would lead to another path (a URL drops `.` and
    /// `..`).
    pub fn prepare(&self, request: &Request) -> Option<HttpRequest> {
        let target = request.target();
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (&*target, None),
        };
        let mut url = self.device.clone();
        url.set_path(path);
        url.set_query(query);
        // The target is encoded already. A URL that differs has dropped a part of it.
        if url.path() != path {
            return None;
        }
        let (content_type, body) = match &request.body {
            RequestBody::None => (None, Bytes::new()),
            RequestBody::Json(value) => (Some(JSON), value.to_string().into()),
            RequestBody::Bytes(content_type, bytes) => (Some(*content_type), bytes.clone()),
        };
        Some(HttpRequest {
            method: method(request.method),
            url,
            content_type,
            body,
        })
    }

    /// A request of the client's own, to a path that is a plain text of the source.
    pub fn fixed(&self, method: Method, path: &'static str, json: Option<&Value>) -> HttpRequest {
        let mut url = self.device.clone();
        url.set_path(path);
        HttpRequest {
            method,
            url,
            content_type: json.map(|_| JSON),
            body: json.map(|json| json.to_string().into()).unwrap_or_default(),
        }
    }

    /// Sends a request, with `upload` in place of its body if there is one, and waits for the head
    /// of the response. The response may come before the upload has ended.
    ///
    /// # Errors
    /// Why there is no response.
    pub async fn send(
        &self,
        request: &HttpRequest,
        session: Option<&SessionHeaders>,
        upload: Option<UploadBody>,
    ) -> Result<HttpResponse, HttpError> {
        let mut outgoing = reqwest::Request::new(request.method.clone(), request.url.clone());
        let is_read = request.is_read();
        let headers = outgoing.headers_mut();
        if let Some(session) = session {
            headers.insert(COOKIE, session.cookie.clone());
            if let Some(token) = session.token.clone().filter(|_| !is_read) {
                headers.insert(XSRF_TOKEN, token);
            }
        }
        if let Some(content_type) = request.content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        let mut upload_guard = None;
        if let Some(upload) = upload {
            // Dropped with the response: by then the upload is of no use any more.
            let (guard, exchange_ended) = oneshot::channel::<()>();
            upload_guard = Some(guard);
            headers.insert(CONTENT_LENGTH, upload.length.into());
            let chunks = exact_length(upload).take_until(exchange_ended);
            *outgoing.body_mut() = Some(Body::wrap_stream(chunks));
        } else if !is_read || !request.body.is_empty() {
            headers.insert(CONTENT_LENGTH, request.body.len().into());
            *outgoing.body_mut() = Some(request.body.clone().into());
        }
        self.surplus.begin_exchange();
        let response = self.fence.guard(self.client.execute(outgoing)).await??;
        HttpResponse::new(response, self.surplus.clone(), upload_guard)
    }
}

fn method(method: catalogue::Method) -> Method {
    match method {
        catalogue::Method::Get => Method::GET,
        catalogue::Method::Post => Method::POST,
        catalogue::Method::Put => Method::PUT,
        catalogue::Method::Delete => Method::DELETE,
    }
}

#[cfg(test)]
mod tests;
