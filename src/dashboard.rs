//! The dashboard: one page, made once from its three files and the catalogue.
//!
//! Owns the page and the headers that keep it to itself: nothing runs in it but its own script and
//! style, whose digests the policy names, and it talks to nobody but this gateway. A name from a
//! calendar that got into it as markup would still not run.

use std::sync::LazyLock;

use axum::response::{Html, IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_FRAME_OPTIONS};
use ring::digest::{SHA256, digest};

use crate::render::console;

const STYLE: &str = include_str!("dashboard/dashboard.css");
const SCRIPT: &str = include_str!("dashboard/dashboard.js");

static PAGE: LazyLock<String> = LazyLock::new(|| {
    let catalogue = console().to_string();
    let mut page = String::new();
    let mut rest = include_str!("dashboard/dashboard.html");
    for (place, text) in [
        ("{style}", STYLE),
        // Nothing in it can end the element it stands in.
        ("{catalogue}", &catalogue.replace('<', "\\u003c")),
        ("{script}", SCRIPT),
    ] {
        let (before, after) = rest.split_once(place).unwrap_or((rest, ""));
        page.extend([before, text]);
        rest = after;
    }
    page + rest
});

static POLICY: LazyLock<String> = LazyLock::new(|| {
    let source = |text: &str| STANDARD.encode(digest(&SHA256, text.as_bytes()));
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; img-src blob: data:; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        source(SCRIPT),
        source(STYLE)
    )
});

/// The page. It holds nothing of the rooms and asks for a token by itself.
pub async fn dashboard() -> Response {
    // Base64 and the words above are all that is in it.
    let policy = HeaderValue::from_str(&POLICY);
    let policy = policy.unwrap_or(HeaderValue::from_static("default-src 'none'"));
    let headers = [
        (CONTENT_SECURITY_POLICY, policy),
        (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        // The page of another version would speak of other topics.
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, Html(PAGE.as_str())).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_page_is_whole_and_its_policy_names_its_script() {
        for place in ["{style}", "{catalogue}"] {
            assert!(!PAGE.contains(place), "{place} is still there");
        }
        assert!(PAGE.contains(&format!("<script type=\"module\">{SCRIPT}</script>")));
        assert!(PAGE.contains(&format!("<style>{STYLE}</style>")));
        let response = dashboard().await;
        let policy = response.headers()[CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"));
        assert!(!policy.contains("unsafe"), "{policy}");
    }

    #[test]
    fn the_page_asks_nobody_else_and_takes_no_markup() {
        for never in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
        ] {
            assert!(!SCRIPT.contains(never), "{never}");
        }
        let own = PAGE.replace("http://www.w3.org/2000/svg", "");
        for elsewhere in ["http://", "https://", "src=\"", "@import", "url("] {
            assert!(!own.contains(elsewhere), "{elsewhere}");
        }
    }
}
