//! The headers that every response has, whatever its status: what a browser must not do with it. Only
//! the HTTP library's own answers to a head that it cannot read lack them; they have no body.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::header::{
    CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};

/// For each header, what it keeps a browser from.
const HEADERS: [(HeaderName, &str); 5] = [
    // Handing the response to a page of another origin, as a picture or a script for example.
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    // Taking a file from a device for a script or a page.
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // Showing it inside a page of another origin, which could lead clicks astray. A page of the same
    // origin may: Home Assistant shows the pages of its add-ons in this way.
    (X_FRAME_OPTIONS, "SAMEORIGIN"),
    // Telling another site the address, which may hold a token.
    (REFERRER_POLICY, "no-referrer"),
    // Sharing a window with the page of another origin that opened it.
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
];

/// Everything but the dashboard is no page: nothing in it may run.
const NO_PAGE: &str = "default-src 'none'; frame-ancestors 'self'";

/// Middleware: adds the headers.
pub async fn add_security_headers(request: Request, next: Next) -> Response {
    with_security_headers(next.run(request).await)
}

/// The response with the headers.
pub fn with_security_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let no_page = HeaderValue::from_static(NO_PAGE);
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(no_page);
    response
}
