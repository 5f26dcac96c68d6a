//! The token of a request, and what its sender may do.
//!
//! A token comes as `Authorization: Bearer`, as the password of `Authorization: Basic`, or as
//! `?token=` for controllers that cannot set headers. A request that shows more than one was refused
//! before (`origin`). Whether the token is right is decided by
//! [`access`](crate::doors::access).

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use secrecy::{ExposeSecret, SecretString};
use url::form_urlencoded;

use super::client_address::client_address;
use super::connection::{KeepsPlace, RequestConnection};
use super::{HttpState, charge, response};
use crate::command::{DoorKind, ErrorCode};
use crate::doors::access::{Denied, Grant, Sender};
use crate::doors::payers::Payer;
use crate::telemetry::ClientRefusal;

/// The token of a request.
fn presented_token(headers: &HeaderMap, uri: &Uri) -> Option<SecretString> {
    let Some(header) = headers.get(AUTHORIZATION) else {
        let query = uri.query().unwrap_or_default();
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        let token = pairs.find(|(name, _)| name == "token");
        return token.map(|(_, token)| token.into_owned().into());
    };
    // Not `to_str`, which takes no letter beyond ASCII.
    let (scheme, rest) = std::str::from_utf8(header.as_bytes())
        .ok()?
        .split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.into());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let decoded = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
        let (_, password) = decoded.split_once(':')?;
        return Some(password.into());
    }
    None
}

/// What the sender of this request may do.
///
/// # Errors
/// Why it may do nothing. This is counted.
pub async fn authorize(state: &HttpState, door: DoorKind, parts: &Parts) -> Result<Grant, Denied> {
    let grant = admit(state, door, parts).await;
    if grant.is_err() {
        state.clients.telemetry.client_refused(ClientRefusal::Token);
    }
    grant
}

/// What the sender of a request that needs no token may see besides; `None` without a right token.
pub async fn authorize_if_shown(state: &HttpState, parts: &Parts) -> Option<Grant> {
    let grant = admit(state, DoorKind::Http, parts).await;
    if matches!(grant, Err(Denied::Wrong | Denied::TooOften { .. })) {
        state.clients.telemetry.client_refused(ClientRefusal::Token);
    }
    grant.ok()
}

/// The address of a request's client, behind a trusted proxy too.
pub fn sender_address(state: &HttpState, parts: &Parts) -> IpAddr {
    let connection = RequestConnection::of(&parts.extensions);
    let peer = connection.map(|it| it.peer.addr.ip());
    let peer = peer.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    client_address(peer, &parts.headers, &state.settings().trusted_proxies)
}

async fn admit(state: &HttpState, door: DoorKind, parts: &Parts) -> Result<Grant, Denied> {
    let address = sender_address(state, parts);
    let token = presented_token(&parts.headers, &parts.uri);
    let token = token.as_ref().map(ExposeSecret::expose_secret);
    let sender = Sender { door, address };
    state.clients.access.admit(sender, token).await
}

/// Who pays for this request.
pub fn payer(state: &HttpState, parts: &Parts, grant: &Grant) -> Arc<Payer> {
    state.clients.payer(grant, sender_address(state, parts))
}

/// An extractor for handlers that need a right token: gives its grant and keeps the connection's place, or answers 401
/// or 429. Waits until a request of its payer may be handled.
#[derive(Debug)]
pub struct Authorized {
    /// What the sender may see and do.
    pub grant: Grant,
    /// Who pays for what the request costs.
    pub payer: Arc<Payer>,
    _place: KeepsPlace,
}

impl FromRequestParts<Arc<HttpState>> for Authorized {
    type Rejection = Response;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &Arc<HttpState>,
    ) -> Result<Self, Self::Rejection> {
        let grant = authorize(state, DoorKind::Http, parts).await;
        let grant = grant.map_err(denied)?;
        let _place = KeepsPlace::of(parts);
        let payer = payer(state, parts, &grant);
        charge::admit(parts, &payer).await;
        Ok(Self {
            grant,
            payer,
            _place,
        })
    }
}

/// The answer to a sender who may do nothing.
pub fn denied(denied: Denied) -> Response {
    let (status, message) = match denied {
        Denied::Missing => (
            StatusCode::UNAUTHORIZED,
            "a token is needed: Authorization: Bearer, the password of Basic, or ?token=",
        ),
        Denied::Wrong => (StatusCode::UNAUTHORIZED, "the token is wrong"),
        Denied::TooOften { .. } => (
            StatusCode::TOO_MANY_REQUESTS,
            "too many wrong tokens from this address; try again later",
        ),
    };
    let mut response = response::error(status, ErrorCode::Forbidden, message);
    let headers = response.headers_mut();
    if status == StatusCode::UNAUTHORIZED {
        let basic = HeaderValue::from_static("Basic realm=\"poly2mqtt\", charset=\"UTF-8\"");
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        headers.append(WWW_AUTHENTICATE, basic);
    }
    if let Denied::TooOften { retry_after } = denied {
        // Rounded up: a client that keeps to it is not refused again for being early.
        headers.insert(RETRY_AFTER, (retry_after.as_secs() + 1).into());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(authorization: Option<&str>, uri: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(
                AUTHORIZATION,
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        let token = presented_token(&headers, &uri.parse().unwrap())?;
        Some(token.expose_secret().to_owned())
    }

    #[test]
    fn a_token_comes_in_three_ways() {
        let tok = Some("t+/ok".to_owned());
        assert_eq!(given(Some("Bearer t+/ok"), "/ws"), tok);
        assert_eq!(given(Some("bearer  t+/ok"), "/ws"), tok);
        let basic = format!("Basic {}", STANDARD.encode("anyone:t+/ok"));
        assert_eq!(given(Some(&basic), "/ws"), tok);
        assert_eq!(given(None, "/ws?format=plain&token=t%2B/ok"), tok);
        assert_eq!(
            given(Some("Bearer schlüssel"), "/ws"),
            Some("schlüssel".into())
        );
        assert_eq!(given(None, "/ws"), None);
        for bad in ["Bearer", "Basic !!", "Basic QQ==", "Digest x"] {
            assert_eq!(given(Some(bad), "/ws?token=x"), None, "{bad}");
        }
    }
}
