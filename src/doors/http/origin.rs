//! Refuses requests that a web page of another origin makes a browser send.
//!
//! A browser sends requests to any address that a page names, also to addresses behind a firewall.
//! These headers, which a page cannot change, say where a request comes from:
//!
//! - `Host` names the host that the browser asked for. It must be one of the gateway's: otherwise an
//!   attacker could point a name of his own at the gateway's address (DNS rebinding) and be of the
//!   same origin.
//! - `Origin` names the page's origin, which must be the gateway itself.
//! - `Sec-Fetch-Site` says how page and gateway are related. Browsers send it over HTTPS and to
//!   `localhost`, also where they send no `Origin`: with a picture or a link.
//!
//! Controllers and scripts send neither `Origin` nor `Sec-Fetch-Site`. A request that names two hosts,
//! two origins or two tokens is refused whatever they are: another program on the way may have read the
//! other one.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue, ORIGIN};
use http::{HeaderMap, Method, StatusCode, Uri, Version};
use url::form_urlencoded;

use super::authority::{Authority, Host};
use super::{HttpState, response};
use crate::cluster::link::{FILE_PATH, LINK_PATH, PROOF_PATH};
use crate::command::ErrorCode;
use crate::config::host_name;
use crate::telemetry::ClientRefusal;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// What a link on a page of another origin may lead to: everything that needs no token. The rest may
/// send a request to a device.
const LINKABLE_PATHS: [&str; 4] = ["/", "/healthz", "/readyz", "/asyncapi.json"];

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    /// It is no proper request.
    Malformed(&'static str),
    /// It is for another host.
    Host,
    /// It comes from a page of another origin.
    Origin,
}

/// Middleware: passes a request on, or refuses it and counts that.
pub async fn check_origin(
    State(state): State<Arc<HttpState>>,
    request: Request,
    next: Next,
) -> Response {
    let mut settings = state.settings();
    if is_for_members(&state, request.uri().path())
        && let Ok(Some(Authority {
            host: Host::Name(name),
            ..
        })) = host(&request)
    {
        // No page can show the cluster's token, so a name that leads here does no harm.
        Arc::make_mut(&mut settings).hosts.push(name);
    }
    let checked = check(&request, &settings.hosts);
    let Err(refused) = checked else {
        return next.run(request).await;
    };
    let (reason, status, code, message) = match refused {
        Refused::Malformed(message) => (
            ClientRefusal::Request,
            StatusCode::BAD_REQUEST,
            ErrorCode::InvalidPayload,
            message.to_owned(),
        ),
        Refused::Host => (
            ClientRefusal::Host,
            StatusCode::MISDIRECTED_REQUEST,
            ErrorCode::Forbidden,
            host_message(&request),
        ),
        Refused::Origin => (
            ClientRefusal::Origin,
            StatusCode::FORBIDDEN,
            ErrorCode::Forbidden,
            origin_message(&request),
        ),
    };
    state.clients.telemetry.client_refused(reason);
    response::error(status, code, &message)
}

/// Whether a path is for the other gateways of the cluster.
fn is_for_members(state: &HttpState, path: &str) -> bool {
    state.members.is_some() && matches!(path, LINK_PATH | PROOF_PATH | FILE_PATH)
}

/// What to do about a host name that is not the gateway's. The page that reads this is the one that
/// asked, so the name tells it nothing.
fn host_message<B>(request: &http::Request<B>) -> String {
    let name = match host(request) {
        Ok(Some(Authority {
            host: Host::Name(name),
            ..
        })) => format!("\"{name:.100}\""),
        _ => "this name".to_owned(),
    };
    format!("the gateway is not known as {name}: add the name to http.hosts, or use its address")
}

/// What to do about a page of another origin, which may be the gateway's own page behind a proxy.
fn origin_message<B>(request: &http::Request<B>) -> String {
    const REFUSED: &str = "pages of another origin may not use the gateway";
    let header = |name| request.headers().get(name)?.to_str().ok();
    let host = header(HOST).and_then(Authority::parse);
    let origin = header(ORIGIN).and_then(|origin| origin.split_once("://"));
    let origin = origin.and_then(|(_, authority)| Authority::parse(authority));
    let (Some(origin), Some(host)) = (origin, host) else {
        return REFUSED.to_owned();
    };
    format!(
        "{REFUSED}: this page is from {origin}, and the request is for {host}. If a proxy in between \
         changed the host, let it pass on the page's host and port (nginx: proxy_set_header Host \
         $http_host), and add the name to http.hosts"
    )
}

/// Whether a request is for this machine by an address or `localhost`, and from no page of another origin: for a
/// page that is not part of this door.
pub fn is_from_own_page<B>(request: &http::Request<B>) -> bool {
    check(request, &[]).is_ok()
}

fn check<B>(request: &http::Request<B>, hosts: &[String]) -> Result<(), Refused> {
    let headers = request.headers();
    let host = host(request)?;
    if let Some(host) = &host
        && !is_ours(&host.host, hosts)
    {
        return Err(Refused::Host);
    }
    let origin = single(headers, &ORIGIN, "a request has one Origin header")?;
    if let Some(origin) = origin
        && !is_same_origin(origin, host.as_ref())
    {
        return Err(Refused::Origin);
    }
    if !site_may(request)? {
        return Err(Refused::Origin);
    }
    let authorization = single(
        headers,
        &AUTHORIZATION,
        "a request has one Authorization header: Bearer or Basic",
    )?;
    match (authorization, tokens_in_query(request.uri())) {
        (_, 0) | (None, 1) => Ok(()),
        (Some(_), _) => Err(Refused::Malformed(
            "a request shows its token in one place: the Authorization header or ?token=",
        )),
        (None, _) => Err(Refused::Malformed("a request has one ?token=")),
    }
}

/// The only header of this name, if there is one.
fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    message: &'static str,
) -> Result<Option<&'a HeaderValue>, Refused> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        _ => Err(Refused::Malformed(message)),
    }
}

/// The host that a request is for; `None` for HTTP/1.0, which may leave it out. The target may name it
/// too (`GET http://host/path`); then both must be the same.
fn host<B>(request: &http::Request<B>) -> Result<Option<Authority>, Refused> {
    const BAD_HOST: Refused =
        Refused::Malformed("the Host header takes a host name or an address, and a port");
    let header = single(request.headers(), &HOST, "a request has one Host header")?;
    let Some(header) = header else {
        let may_lack_host = request.version() < Version::HTTP_11 && request.uri().host().is_none();
        return if may_lack_host {
            Ok(None)
        } else {
            Err(Refused::Malformed("a Host header is needed"))
        };
    };
    let header = header.to_str().ok().and_then(Authority::parse);
    let header = header.ok_or(BAD_HOST)?;
    if let Some(target) = request.uri().authority() {
        let default_port = default_port(request.uri().scheme_str().unwrap_or("http"));
        let target = Authority::parse(target.as_str());
        let is_same = target
            .zip(default_port)
            .is_some_and(|(target, port)| target.is_same(&header, port));
        if !is_same {
            return Err(Refused::Malformed(
                "the request's target and its Host header name different hosts",
            ));
        }
    }
    Ok(Some(header))
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// Whether the gateway is reached by this host. Any address is fine: an attacker can point a name
/// at the gateway, but not another address. The port does not matter: a proxy may have another one.
fn is_ours(host: &Host, hosts: &[String]) -> bool {
    match host {
        Host::Address(_) => true,
        Host::Name(name) => {
            let is_name = |known: &String| host_name(known).as_ref() == Some(name);
            name == "localhost" || hosts.iter().any(is_name)
        }
    }
}

/// Whether a page of this origin is one of the gateway's: the same host and port. The scheme may be
/// another one, since a proxy may add TLS.
fn is_same_origin(origin: &HeaderValue, host: Option<&Authority>) -> bool {
    let same = || {
        let (scheme, origin) = origin.to_str().ok()?.split_once("://")?;
        Some(Authority::parse(origin)?.is_same(host?, default_port(scheme)?))
    };
    same().unwrap_or(false)
}

/// Whether the site that a request comes from may send it (Fetch Metadata): the gateway itself, the
/// user who typed the address, a link to a page that needs no token, and everything that is no browser.
fn site_may<B>(request: &http::Request<B>) -> Result<bool, Refused> {
    let value = |name: HeaderName| {
        single(
            request.headers(),
            &name,
            "a request has each Sec-Fetch header once",
        )
    };
    let is_link = value(SEC_FETCH_MODE)?.is_some_and(|mode| mode == "navigate")
        && value(SEC_FETCH_DEST)?.is_some_and(|dest| dest == "document")
        && *request.method() == Method::GET;
    Ok(match value(SEC_FETCH_SITE)?.map(HeaderValue::as_bytes) {
        None | Some(b"same-origin" | b"none") => true,
        Some(_) => is_link && LINKABLE_PATHS.contains(&request.uri().path()),
    })
}

fn tokens_in_query(uri: &Uri) -> usize {
    let query = uri.query().unwrap_or_default();
    form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| name == "token")
        .count()
}

#[cfg(test)]
mod tests;
