//! Refuses requests that a web page of another origin makes a browser send.
//!
//! A browser sends requests to any address that a page names, also to addresses behind a firewall.
//! The
//! `Origin` header names the page's origin, which must be the gateway itself. The `Host` header
//! names the host the browser asked for, which must be one of the gateway's: otherwise an attacker
//! could point a name of his own at the gateway's address (DNS rebinding) and be of the same
//! origin.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{
    HOST, HeaderValue, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::uri::Authority;
use http::{HeaderMap, StatusCode};

use super::{HttpState, response};
use crate::telemetry::ClientRefusal;

/// Which header is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WrongHeader {
    Host,
    Origin,
}

/// Middleware: passes a request on, or refuses it and counts that.
pub async fn check_origin(
    State(state): State<Arc<HttpState>>,
    request: Request,
    next: Next,
) -> Response {
    let checked = {
        let hosts = state.hosts.read().unwrap_or_else(PoisonError::into_inner);
        check(request.headers(), &hosts)
    };
    let (reason, status, message) = match checked {
        Ok(()) => {
            let mut response = next.run(request).await;
            let headers = response.headers_mut();
            for (name, value) in [
                (X_CONTENT_TYPE_OPTIONS, "nosniff"),
                (X_FRAME_OPTIONS, "DENY"),
                // The address may hold a token, which another site must not learn.
                (REFERRER_POLICY, "no-referrer"),
            ] {
                headers.insert(name, HeaderValue::from_static(value));
            }
            return response;
        }
        Err(WrongHeader::Host) => (
            ClientRefusal::Host,
            StatusCode::MISDIRECTED_REQUEST,
            "the gateway is not known by this name; use its address, or add the name to http.hosts",
        ),
        Err(WrongHeader::Origin) => (
            ClientRefusal::Origin,
            StatusCode::FORBIDDEN,
            "pages of another origin may not use the gateway",
        ),
    };
    state.clients.telemetry.client_refused(reason);
    response::error(status, "forbidden", message)
}

fn check(headers: &HeaderMap, hosts: &[String]) -> Result<(), WrongHeader> {
    // Every browser sends Host.
    let Some(host) = headers.get(HOST) else {
        return match headers.get(ORIGIN) {
            Some(_) => Err(WrongHeader::Origin),
            None => Ok(()),
        };
    };
    let host = authority(host.to_str().unwrap_or_default()).ok_or(WrongHeader::Host)?;
    if !is_ours(host.host(), hosts) {
        return Err(WrongHeader::Host);
    }
    let Some(origin) = headers.get(ORIGIN) else {
        return Ok(());
    };
    let origin = origin.to_str().ok().and_then(|text| text.split_once("://"));
    let (scheme, origin) = origin.ok_or(WrongHeader::Origin)?;
    let default_port = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return Err(WrongHeader::Origin),
    };
    let origin = authority(origin).ok_or(WrongHeader::Origin)?;
    let port = |authority: &Authority| authority.port_u16().unwrap_or(default_port);
    let same = origin.host().eq_ignore_ascii_case(host.host()) && port(&origin) == port(&host);
    if same {
        Ok(())
    } else {
        Err(WrongHeader::Origin)
    }
}

fn authority(text: &str) -> Option<Authority> {
    let authority: Authority = text.parse().ok()?;
    (!authority.as_str().contains('@')).then_some(authority)
}

/// Whether the gateway is reached by this host. Any address is fine: an attacker can point a name
/// at the gateway, but not another address.
fn is_ours(host: &str, hosts: &[String]) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    address.parse::<IpAddr>().is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || hosts.iter().any(|known| known.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use http::header::HeaderName;

    use super::*;

    fn checked(host: &str, origin: Option<&str>) -> Result<(), WrongHeader> {
        let mut headers = HeaderMap::new();
        let mut put = |name: HeaderName, value: &str| {
            headers.insert(name, HeaderValue::from_str(value).unwrap());
        };
        put(HOST, host);
        if let Some(origin) = origin {
            put(ORIGIN, origin);
        }
        check(&headers, &["av.example.com".to_owned()])
    }

    #[test]
    fn only_the_gateways_own_names_are_answered() {
        for good in [
            "127.0.0.1:8080",
            "192.0.2.7",
            "[::1]:8080",
            "localhost:8080",
            "LOCALHOST",
            "AV.example.com:8443",
        ] {
            assert_eq!(checked(good, None), Ok(()), "{good}");
        }
        for bad in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "user@localhost",
            "",
            "a b",
        ] {
            assert_eq!(checked(bad, None), Err(WrongHeader::Host), "{bad}");
        }
    }

    #[test]
    fn only_pages_of_the_same_origin_are_answered() {
        let at = |origin| checked("127.0.0.1:8080", Some(origin));
        assert_eq!(at("http://127.0.0.1:8080"), Ok(()));
        assert_eq!(at("https://127.0.0.1:8080"), Ok(()));
        assert_eq!(
            checked("av.example.com", Some("https://av.example.com")),
            Ok(())
        );
        for bad in [
            "http://127.0.0.1",
            "http://127.0.0.1:8081",
            "http://localhost:8080",
            "http://evil.example",
            "null",
            "file://",
            "chrome-extension://x",
        ] {
            assert_eq!(at(bad), Err(WrongHeader::Origin), "{bad}");
        }
    }
}
