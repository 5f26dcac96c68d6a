//! One request and its answer on the wire.
//!
//! Owns the headers of the session, the reading of an answer up to its limit, and the URL. Repeats
//! nothing.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HeaderName, HeaderValue};
use url::Url;

use super::{Answer, Large, Oversize, Shared, Streamed};
use crate::catalogue::{Method, Request, RequestBody};
use crate::device::login::Session;
use crate::device::problem::{Problem, ProblemCode};

const XSRF: HeaderName = HeaderName::from_static("x-xsrf-token");
/// The session's own requests and the probes behind a 403 are small.
pub(super) const SMALL: usize = 1 << 20;
/// A longer MIME type is none; a broker takes no property of more than 65,535 bytes.
const LONGEST_TYPE: usize = 128;

/// One attempt's end.
pub(super) enum Attempt {
    Answered(Answer),
    Unreachable(Problem),
    Broken,
    Large(Box<Large>),
}

impl Shared {
    pub(super) async fn attempt(
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
    pub(super) async fn exchange(
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

    pub(super) fn broken(&self, error: reqwest::Error) -> Attempt {
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
        Attempt::Unreachable(self.unreachable(&cause))
    }

    pub(super) fn unreachable(&self, cause: &dyn std::fmt::Display) -> Problem {
        let address = self.settings.url.host_str().unwrap_or_default();
        Problem::new(
            ProblemCode::Offline,
            format!("{address} cannot be reached: {cause}"),
        )
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
