//! The dashboard: one HTML page, put together once from the files below `dashboard/`.
//!
//! Owns the page and the policy that protects it. The scripts are plain files that share one module
//! scope; they are joined in the order of `SCRIPT`, so there is no build step and the page stays a
//! single document. The `Content-Security-Policy` names the digests of its script and style: nothing
//! else runs in the page, even if a text from a device got into it as markup, and it connects to no
//! other server. Knows no rooms: the page gets everything over `/ws`.

use std::sync::LazyLock;

use axum::extract::{Path, Query};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use ring::digest::{SHA256, digest};
use serde::Deserialize;
use serde_json::json;

use crate::config::RoomId;
use crate::render::console;

#[cfg(test)]
mod scripts_test;

const STYLE: &str = concat!(
    include_str!("dashboard/style.css"),
    include_str!("dashboard/log.css"),
    include_str!("dashboard/wall_panel.css"),
);

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
    "token.js",
    "wake_lock.js",
    "connection.js",
    "store.js",
    "scope.js",
    "commands.js",
    "status_bar.js",
    "controls.js",
    "room_facts.js",
    "problem.js",
    "gateways.js",
    "overview.js",
    "log.js",
    "gateway_log.js",
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
    "wall_panel.js",
    "copies.js",
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
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; img-src 'self' blob: data:; \
         manifest-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'self'",
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

/// The icons of the installed page. Without a picture of its own a device shows a letter.
const ICONS: [(&str, &str, &[u8]); 3] = [
    (
        "any.svg",
        "image/svg+xml",
        include_bytes!("dashboard/icons/any.svg"),
    ),
    (
        "192.png",
        "image/png",
        include_bytes!("dashboard/icons/192.png"),
    ),
    (
        "512.png",
        "image/png",
        include_bytes!("dashboard/icons/512.png"),
    ),
];

/// `GET /icon/192.png`. It needs no token: it is the same for everyone.
pub async fn icon(Path(name): Path<String>) -> Response {
    let found = ICONS.iter().find(|(known, _, _)| *known == name);
    match found {
        Some((_, kind, bytes)) => ([(CONTENT_TYPE, *kind)], *bytes).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// What the address of a manifest may ask for.
#[derive(Debug, Deserialize)]
pub struct ManifestQuery {
    room: Option<String>,
}

/// `GET /manifest.webmanifest?room=1`: with it a tablet installs the page as an app that starts with the
/// panel of this room, or without a room with all rooms. It needs no token and says nothing of whether there
/// is such a room. All addresses are relative, so it works below the path of a proxy too.
pub async fn manifest(Query(query): Query<ManifestQuery>) -> Response {
    let room = query.room.and_then(|room| RoomId::new(&room));
    let (start, name) = match room {
        Some(room) => (format!("./#/panel/{room}"), format!("Room {room}")),
        None => ("./#/".to_owned(), "poly2mqtt".to_owned()),
    };
    let icon = |name: &str, size: &str, kind: &str, purpose: &str| json!({"src": format!("icon/{name}"), "sizes": size, "type": kind, "purpose": purpose});
    let manifest = json!({
        "id": start.replace("#/", ""),
        "name": name,
        "short_name": name,
        "start_url": start,
        "scope": "./",
        "display": "fullscreen",
        "background_color": "#0f1216",
        "theme_color": "#171b21",
        "icons": [
            icon("192.png", "192x192", "image/png", "any"),
            icon("512.png", "512x512", "image/png", "any"),
            icon("512.png", "512x512", "image/png", "maskable"),
            icon("any.svg", "any", "image/svg+xml", "any"),
        ],
    });
    let headers = [
        (CONTENT_TYPE, "application/manifest+json"),
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, manifest.to_string()).into_response()
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
