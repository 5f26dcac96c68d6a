//! One request and its answer on the wire.
//!
//! Owns the headers and the reading of an answer up to its limit. Repeats nothing.

use bytes::{Bytes, BytesMut};

use super::{DeviceResponse, Large, Oversize, Shared};
use crate::catalogue::{Method, Request, RequestBody};
use crate::device::connections::{Lost, Streamed};
use crate::device::http1;
use crate::device::login::Session;
use crate::device::problem::{Problem, ProblemCode};
use crate::net::root_cause::root_cause;

/// The session's own requests and the probes behind a 403 are small.
pub(super) const SMALL: usize = 1 << 20;
/// A longer MIME type is none; a broker takes no property of more than 65,535 bytes.
const LONGEST_TYPE: usize = 128;

/// One attempt's end.
pub(super) enum Attempt {
    Answered(DeviceResponse),
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
        let (attempt, cookies) = self.exchange(request, upload, session, limit).await;
        self.settings.telemetry.device_request(match &attempt {
            Attempt::Answered(answer) => Some(answer.status),
            Attempt::Large(large) => Some(large.about.status),
            Attempt::Unreachable(_) | Attempt::Broken => None,
        });
        if let Some(session) = session {
            self.sessions.renew_token(session.generation, &cookies);
        }
        attempt
    }

    /// One request and its answer, read to the end so that the connection can be used again; with
    /// the cookies that the answer sets.
    pub(super) async fn exchange(
        &self,
        request: &Request,
        upload: Option<Streamed>,
        session: Option<&Session>,
        limit: usize,
    ) -> (Attempt, Vec<String>) {
        let length = upload.as_ref().map(|(length, _)| *length);
        let bytes = self.written(request, length, session);
        let mut response = match self.connections.send(&bytes, upload).await {
            Ok(response) => response,
            Err(lost) => return (self.lost(lost), Vec::new()),
        };
        let head = &mut response.head;
        let (status, length) = (head.status, head.length);
        let cookies = std::mem::take(&mut head.cookies);
        let content_type = head
            .content_type
            .take()
            .filter(|text| text.len() <= LONGEST_TYPE);
        // A refusal says why in a few words.
        let limit = if (200..=299).contains(&status) {
            limit
        } else {
            limit.max(SMALL)
        };
        let known = length.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        let mut body = Bytes::new();
        let mut large = known.is_some_and(|length| length > limit);
        while !large {
            match response.chunk().await {
                // Most are whole as they arrive.
                Ok(Some(chunk)) if body.is_empty() => body = chunk,
                Ok(Some(chunk)) => {
                    let mut more = BytesMut::from(body);
                    // It may be kept for long, so without room for more.
                    more.reserve(known.unwrap_or(0).saturating_sub(more.len()));
                    more.extend_from_slice(&chunk);
                    body = more.freeze();
                }
                Ok(None) => break,
                Err(_) => return (Attempt::Broken, cookies),
            }
            large = body.len() > limit;
        }
        if large && request.method != Method::Get {
            // The status says whether it was carried out, and nobody asked for more.
            let answer = DeviceResponse {
                status,
                content_type: None,
                body: Bytes::new(),
            };
            return (Attempt::Answered(answer), cookies);
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
            return (Attempt::Large(Box::new(large)), cookies);
        }
        response.end();
        let answer = DeviceResponse {
            status,
            content_type,
            body,
        };
        (Attempt::Answered(answer), cookies)
    }

    /// A request as it goes out, but for what of its body streams in.
    fn written(
        &self,
        request: &Request,
        length: Option<u64>,
        session: Option<&Session>,
    ) -> Vec<u8> {
        let mut bytes = http1::head(request.method, &request.target(), &self.connections.host);
        if let Some(session) = session {
            http1::field(&mut bytes, "Cookie", session.cookie().as_bytes());
            let token = session.token();
            if let Some(token) = token.filter(|_| request.method != Method::Get) {
                http1::field(&mut bytes, "X-XSRF-Token", token.as_bytes());
            }
        }
        let (content_type, body) = match &request.body {
            RequestBody::None => (None, Bytes::new()),
            // Only maps with string keys are in it, which cannot fail.
            RequestBody::Json(value) => {
                let text = serde_json::to_vec(value).unwrap_or_default();
                (Some("application/json"), text.into())
            }
            RequestBody::Bytes(kind, _) if length.is_some() => (Some(*kind), Bytes::new()),
            RequestBody::Bytes(kind, bytes) => (Some(*kind), bytes.clone()),
        };
        if let Some(content_type) = content_type {
            http1::field(&mut bytes, "Content-Type", content_type.as_bytes());
        }
        let whole = request.method != Method::Get || !body.is_empty();
        let whole = whole.then_some(body.len() as u64);
        http1::end_of_head(&mut bytes, length.or(whole));
        bytes.extend_from_slice(&body);
        bytes
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

    pub(super) fn unreachable(&self, cause: &(dyn std::error::Error + 'static)) -> Problem {
        let cause = root_cause(cause);
        let address = self.settings.url.host_str().unwrap_or_default();
        Problem::new(
            ProblemCode::Offline,
            format!("{address} cannot be reached: {cause}"),
        )
    }
}
