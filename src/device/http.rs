//! HTTPS to one device, by hyper's client.
//!
//! Owns the client's settings and the URL and headers of a request, and sends it. Knows no sessions
//! and repeats nothing: only the layers above know which requests are safe to repeat.

mod connection;
mod response;
mod upload;

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HeaderName, HeaderValue};
use http::{Method, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use percent_encoding::percent_decode_str;
use rustls::ClientConfig;
use rustls::client::Resumption;
use serde_json::Value;
use tokio::sync::oneshot;
use url::Url;

use super::MOST_REQUESTS_AT_ONCE;
use crate::catalogue::{self, Request, RequestBody};
use connection::{DeviceConnector, LARGEST_SURPLUS, SurplusError};
use upload::exact_length;

pub(super) use connection::DEVICE_CONNECT_TIMEOUT;
#[cfg(test)]
pub(super) use connection::UNREAD_DATA_TIMEOUT;
pub use response::HttpResponse;
pub use upload::UploadBody;

/// How long an unused connection stays open. Devices close theirs later than that; polling keeps
/// at least one in use.
const IDLE_CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest head of a response, and the largest buffer for one. A device needs 1 KB.
const LARGEST_RESPONSE_HEAD: usize = 64 << 10;
/// The most headers of a response. A device sends about 15.
const MOST_RESPONSE_HEADERS: usize = 100;

const JSON: &str = "application/json";
const XSRF_TOKEN: HeaderName = HeaderName::from_static("x-xsrf-token");

/// Why an exchange has no response. Never shows the URL, which may hold what a user typed.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// There is no connection: nothing was sent.
    #[error("no connection")]
    NotConnected(#[source] legacy::Error),
    /// The connection broke after that, or what came is not HTTP.
    #[error("the connection broke")]
    Broken(#[source] Box<dyn Error + Send + Sync>),
    /// The head of the response is too large.
    #[error(
        "the response's headers are larger than {} KiB or more than {MOST_RESPONSE_HEADERS}",
        LARGEST_RESPONSE_HEAD >> 10
    )]
    HeadTooLarge,
    /// The device sends interim answers, TLS messages or the like in bulk.
    #[error("the device sends more than {} KiB that is no answer", LARGEST_SURPLUS >> 10)]
    TooMuchSurplus,
    /// The response ends with an informational status, such as 101.
    #[error("the device switched to another protocol")]
    SwitchedProtocols,
}

impl HttpError {
    /// Why an exchange failed that had begun.
    fn broken(error: impl Error + Send + Sync + 'static) -> Self {
        let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
        while let Some(deeper) = cause {
            if let Some(io) = deeper.downcast_ref::<std::io::Error>()
                && io.get_ref().is_some_and(|inner| inner.is::<SurplusError>())
            {
                return Self::TooMuchSurplus;
            }
            if let Some(hyper) = deeper.downcast_ref::<hyper::Error>()
                && hyper.is_parse_too_large()
            {
                return Self::HeadTooLarge;
            }
            cause = deeper.source();
        }
        Self::Broken(error.into())
    }
}

impl From<legacy::Error> for HttpError {
    fn from(error: legacy::Error) -> Self {
        if error.is_connect() {
            Self::NotConnected(error)
        } else {
            Self::broken(error)
        }
    }
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

/// The body of a request.
type OutgoingBody = UnsyncBoxBody<Bytes, std::io::Error>;

/// Sends requests to one device.
#[derive(Debug)]
pub struct HttpClient {
    client: legacy::Client<DeviceConnector, OutgoingBody>,
    device: Url,
}

impl HttpClient {
    /// A client that has not connected yet, to the device at `https://host[:port]`.
    pub fn new(device: Url, mut tls: ClientConfig, keep_alive: bool) -> Self {
        let idle_connections = if keep_alive { MOST_REQUESTS_AT_ONCE } else { 0 };
        if keep_alive {
            // Connections stay open, so a room reconnects rarely, and mostly to a device that has
            // restarted and forgotten its tickets. Keeping them would take 3 KiB a room.
            tls.resumption = Resumption::disabled();
        }
        let client = legacy::Client::builder(TokioExecutor::new())
            .http1_max_buf_size(LARGEST_RESPONSE_HEAD)
            .http1_max_headers(MOST_RESPONSE_HEADERS)
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(idle_connections)
            .pool_idle_timeout(IDLE_CONNECTION_TIMEOUT)
            .build(DeviceConnector::new(tls));
        Self { client, device }
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
        let mut wanted = request.path.iter();
        let is_wanted = |segment: &str| {
            let wanted = wanted.next();
            wanted.is_some_and(|wanted| percent_decode_str(segment).eq(wanted.bytes()))
        };
        if !url.path_segments()?.all(is_wanted) || wanted.next().is_some() {
            return None;
        }
        let (content_type, body) = match &request.body {
            RequestBody::None => (None, Bytes::new()),
            RequestBody::Json(value) => (Some(JSON), to_json(value)),
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
            body: json.map(to_json).unwrap_or_default(),
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
        let mut outgoing = http::Request::new(OutgoingBody::default());
        *outgoing.method_mut() = request.method.clone();
        *outgoing.uri_mut() = Uri::try_from(request.url.as_str()).map_err(HttpError::broken)?;
        let is_read = request.is_read();
        let headers = outgoing.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
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
            let frames = chunks.map(|chunk| chunk.map(Frame::data));
            *outgoing.body_mut() = StreamBody::new(frames).boxed_unsync();
        } else if !is_read || !request.body.is_empty() {
            headers.insert(CONTENT_LENGTH, request.body.len().into());
            let body = Full::new(request.body.clone()).map_err(|never| match never {});
            *outgoing.body_mut() = body.boxed_unsync();
        }
        let response = self.client.request(outgoing).await?;
        HttpResponse::new(response, upload_guard)
    }
}

/// A [`Value`] has only strings as keys, so it always serialises.
fn to_json(value: &Value) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
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
