//! The dashboard: one HTML page, put together once from the files below `dashboard/`.
//!
//! Owns the page and the policy that protects it. The scripts are plain files that share one module
//! scope; they are joined in the order of `SCRIPT`, so there is no build step and the page stays a
//! single document. The `Content-Security-Policy` names the digests of its script and style: nothing
//! else runs in the page, even if a text from a device got into it as markup, and it connects to no
//! other server. Knows no rooms: the page gets everything over `/ws`.

use std::sync::LazyLock;

use axum::response::{Html, IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use ring::digest::{SHA256, digest};

use crate::render::console;

const STYLE: &str = include_str!("dashboard/style.css");

/// Joins the scripts, each below a line with its name.
macro_rules! scripts {
    ($($name:literal),* $(,)?) => {
        concat!($("\n// ── ", $name, " ──\n\n", include_str!(concat!("dashboard/scripts/", $name))),*)
    };
}

/// All scripts. A file may use the functions of any other, but the classes and constants only of
/// those before it while the page starts. `start.js` comes last: it runs the page.
const SCRIPT: &str = scripts![
    "text.js",
    "elements.js",
    "messages.js",
    "connection.js",
    "store.js",
    "scope.js",
    "commands.js",
    "status_bar.js",
    "controls.js",
    "room_facts.js",
    "overview.js",
    "log.js",
    "panels/sound.js",
    "panels/call.js",
    "panels/presets.js",
    "panels/camera.js",
    "panels/picture.js",
    "panels/calendar.js",
    "panels/modes.js",
    "panels/readiness.js",
    "panels/system.js",
    "panels/commands.js",
    "panels/states.js",
    "room.js",
    "command_form.js",
    "console.js",
    "start.js",
];

static PAGE: LazyLock<String> = LazyLock::new(|| {
    let catalogue = console().to_string();
    let mut page = String::new();
    let mut rest = include_str!("dashboard/page.html");
    for (placeholder, text) in [
        ("{style}", STYLE),
        // Without `<` the catalogue cannot end the script element that holds it.
        ("{catalogue}", &catalogue.replace('<', "\\u003c")),
        ("{script}", SCRIPT),
    ] {
        let (before, after) = rest.split_once(placeholder).unwrap_or((rest, ""));
        page.extend([before, text]);
        rest = after;
    }
    page + rest
});

static POLICY: LazyLock<String> = LazyLock::new(|| {
    let source = |text: &str| STANDARD.encode(digest(&SHA256, text.as_bytes()));
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; img-src blob: data:; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
        source(SCRIPT),
        source(STYLE)
    )
});

/// Answers with the page. It needs no token: it holds nothing about the rooms, and asks for a token
/// itself where one is needed.
pub async fn dashboard() -> Response {
    // The policy is ASCII, so this does not fail; if it did, nothing would run in the page.
    let policy = HeaderValue::from_str(&POLICY);
    let policy = policy.unwrap_or(HeaderValue::from_static("default-src 'none'"));
    let headers = [
        (CONTENT_SECURITY_POLICY, policy),
        // A cached page of an older version would not know this version's topics.
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, Html(PAGE.as_str())).into_response()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[tokio::test]
    async fn the_page_is_whole_and_its_policy_names_its_script() {
        for placeholder in ["{style}", "{catalogue}"] {
            assert!(!PAGE.contains(placeholder), "{placeholder} is still there");
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
    fn every_script_file_is_in_the_page() {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/dashboard/scripts");
        for folder in [scripts.clone(), scripts.join("panels")] {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    let name = path.strip_prefix(&scripts).unwrap().to_str().unwrap();
                    assert!(SCRIPT.contains(&format!("\n// ── {name} ──\n")), "{name}");
                }
            }
        }
    }

    #[test]
    fn the_page_asks_no_other_server_and_takes_no_markup() {
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
