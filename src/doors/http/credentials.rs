//! The token that a request shows, and who may pass with it.
//!
//! `Authorization: Bearer`, the password of Basic, or `?token=` for controllers that can set no
//! headers.

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

use super::{Peer, Shared, answer};
use crate::doors::access::{Denied, Grant};
use crate::telemetry::ClientRefusal;

/// The token that a request shows.
fn shown(headers: &HeaderMap, uri: &Uri) -> Option<SecretString> {
    let Some(header) = headers.get(AUTHORIZATION) else {
        let query = uri.query().unwrap_or_default();
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        let token = pairs.find(|(name, _)| name == "token");
        return token.map(|(_, token)| token.into_owned().into());
    };
    let (scheme, rest) = header.to_str().ok()?.split_once(' ')?;
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

/// Who sends this request.
///
/// # Errors
/// Why it may not pass.
pub async fn admit(shared: &Shared, parts: &Parts) -> Result<Grant, Denied> {
    let peer = parts.extensions.get::<Peer>().map(|peer| peer.0.ip());
    // Every connection has a peer; if one had not, all such would share their wrong attempts.
    let peer = peer.unwrap_or(std::net::Ipv4Addr::UNSPECIFIED.into());
    let token = shown(&parts.headers, &parts.uri);
    let token = token.as_ref().map(ExposeSecret::expose_secret);
    let admitted = shared.clients.access.admit(peer, token).await;
    if admitted.is_err() {
        shared
            .clients
            .telemetry
            .client_refused(ClientRefusal::Token);
    }
    admitted
}

/// Somebody who may pass.
#[derive(Debug)]
pub struct Admitted(pub Grant);

impl FromRequestParts<Arc<Shared>> for Admitted {
    type Rejection = Response;

    async fn from_request_parts(
        parts: &mut Parts,
        shared: &Arc<Shared>,
    ) -> Result<Self, Self::Rejection> {
        admit(shared, parts).await.map(Self).map_err(denied)
    }
}

fn denied(denied: Denied) -> Response {
    let (status, message) = match denied {
        Denied::Missing => (
            StatusCode::UNAUTHORIZED,
            "a token is needed: Authorization: Bearer, the password of Basic, or ?token=",
        ),
        Denied::Wrong => (StatusCode::UNAUTHORIZED, "the token is wrong"),
        Denied::TooOften => (
            StatusCode::TOO_MANY_REQUESTS,
            "too many wrong tokens from this address; try again later",
        ),
    };
    let mut response = answer::error(status, "forbidden", message);
    let headers = response.headers_mut();
    if status == StatusCode::UNAUTHORIZED {
        let basic = HeaderValue::from_static("Basic realm=\"poly2mqtt\", charset=\"UTF-8\"");
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        headers.append(WWW_AUTHENTICATE, basic);
    } else {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(authorization: Option<&str>, uri: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        let token = shown(&headers, &uri.parse().unwrap())?;
        Some(token.expose_secret().to_owned())
    }

    #[test]
    fn a_token_is_shown_in_three_ways() {
        let tok = Some("t+/ok".to_owned());
        assert_eq!(given(Some("Bearer t+/ok"), "/ws"), tok);
        assert_eq!(given(Some("bearer  t+/ok"), "/ws"), tok);
        let basic = format!("Basic {}", STANDARD.encode("anyone:t+/ok"));
        assert_eq!(given(Some(&basic), "/ws"), tok);
        assert_eq!(given(None, "/ws?format=plain&token=t%2B/ok"), tok);
        assert_eq!(given(None, "/ws"), None);
        for bad in ["Bearer", "Basic !!", "Basic QQ==", "Digest x"] {
            assert_eq!(given(Some(bad), "/ws?token=x"), None, "{bad}");
        }
    }
}
