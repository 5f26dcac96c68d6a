//! One request and its answer on the wire.
//!
//! Owns the headers and the reading of an answer up to its limit. Repeats nothing.

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderName, HeaderValue};
use http::{HeaderMap, Uri};
use http_body_util::{Either, Full};

use super::{Answer, Large, Oversize, Shared, Streamed};
use crate::catalogue::{Method, Request, RequestBody};
use crate::device::connections::{Body, Lost};
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
        let mut headers = HeaderMap::new();
        headers.insert(HOST, self.connections.host.clone());
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        if let Some(session) = session {
            headers.insert(COOKIE, session.cookie());
            if let Some(token) = session.token().filter(|_| request.method != Method::Get) {
                headers.insert(XSRF, token);
            }
        }
        let body = match &request.body {
            RequestBody::None => whole(Bytes::new()),
            RequestBody::Json(value) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                whole(value.to_string())
            }
            RequestBody::Bytes(content_type, bytes) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
                match upload {
                    Some((length, body)) => {
                        headers.insert(CONTENT_LENGTH, length.into());
                        body
                    }
                    None => whole(bytes.clone()),
                }
            }
        };
        let Ok(target) = Uri::try_from(request.target()) else {
            // No catalogue entry makes one that is none.
            return (Attempt::Broken, HeaderMap::new());
        };
        let mut outgoing = http::Request::new(body);
        *outgoing.method_mut() = method;
        *outgoing.uri_mut() = target;
        *outgoing.headers_mut() = headers;
        let mut response = match self.connections.send(outgoing).await {
            Ok(response) => response,
            Err(lost) => return (self.lost(lost), HeaderMap::new()),
        };
        let headers = std::mem::take(&mut response.head.headers);
        let length: Option<u64> = headers
            .get(CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse().ok());
        let content_type = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .map(|text| text.split(';').next().unwrap_or(text).trim().to_owned())
            .filter(|text| text.len() <= LONGEST_TYPE);
        let status = response.head.status;
        // A refusal says why in a few words.
        let limit = if status.is_success() {
            limit
        } else {
            limit.max(SMALL)
        };
        let status = status.as_u16();
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
        response.end();
        let answer = Answer {
            status,
            content_type,
            body: body.freeze(),
        };
        (Attempt::Answered(answer), headers)
    }

    fn lost(&self, lost: Lost) -> Attempt {
        let Lost::NotConnected(cause) = lost else {
            return Attempt::Broken;
        };
        Attempt::Unreachable(match self.handshakes.take_refusal() {
            Some(refusal) => refusal,
            None => self.unreachable(&*cause),
        })
    }

    pub(super) fn unreachable(&self, mut cause: &(dyn std::error::Error + 'static)) -> Problem {
        // Libraries wrap what went wrong in their own words; people need the cause.
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        let address = self.settings.url.host_str().unwrap_or_default();
        Problem::new(
            ProblemCode::Offline,
            format!("{address} cannot be reached: {cause}"),
        )
    }
}

fn whole(bytes: impl Into<Bytes>) -> Body {
    Either::Left(Full::new(bytes.into()))
}
