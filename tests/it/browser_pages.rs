//! Every page of the dashboard, with the worst texts, in every size: nothing is wider than the screen, no
//! control is cut off or covered, and axe finds nothing.
//!
//! The pages are those that `start.js` knows, so a new one is measured too. Axe is not part of the
//! repository (its licence is the MPL); its test is skipped unless it is told where the script is:
//!
//! ```sh
//! npm install --prefix /tmp/axe axe-core
//! POLY2MQTT_TEST_AXE=/tmp/axe/node_modules/axe-core/axe.min.js cargo test --test it browser_pages
//! ```
use std::io::Write;

use poly2mqtt::config::AccessLevel;
use poly2mqtt::doors::clients::ClientLimits;
use serde_json::json;

use poly2mqtt_test_support::browser::{Browser, LINK_IS_UP};
use poly2mqtt_test_support::door::{Doors, text, token};

const NASTY: &str = include_str!("browser_pages/nasty.js");
const MEASURE: &str = include_str!("browser_pages/measure.js");
const START: &str = include_str!("../../src/dashboard/scripts/start.js");

/// The rooms of `nasty.js` that have a page of their own here, and one that does not exist.
const ROOMS: [&str; 7] = [
    "long",
    "twentyseven",
    "rtl",
    "emoji",
    "offline",
    "connected",
    "none",
];
const WIDTHS: [u32; 4] = [320, 390, 768, 1280];
const WIDEST_PHONE: u32 = 500;

/// The addresses of all pages.
fn pages() -> Vec<String> {
    let names: Vec<&str> = START
        .split("name === \"")
        .skip(1)
        .filter_map(|rest| rest.split_once('"'))
        .map(|(name, _)| name)
        .collect();
    assert!(
        names.contains(&"room") && names.contains(&"console"),
        "{names:?}"
    );
    let mut pages = vec!["#/".to_owned(), "#/console/call%2Fdial".to_owned()];
    for name in names {
        let of_a_room = START.contains(&format!("name === \"{name}\" && argument"));
        if of_a_room {
            pages.extend(ROOMS.map(|room| format!("#/{name}/{room}")));
        } else {
            pages.push(format!("#/{name}"));
        }
    }
    pages.sort();
    pages.dedup();
    pages
}

async fn size(browser: &Browser, width: u32, scheme: &str) {
    let phone = width <= WIDEST_PHONE;
    let metrics = json!({
        "width": width, "height": if phone { 640 } else { 900 }, "deviceScaleFactor": 1,
        "mobile": phone,
    });
    browser
        .devtools("Emulation.setDeviceMetricsOverride", metrics)
        .await;
    let scheme = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
    browser.devtools("Emulation.setEmulatedMedia", scheme).await;
}

/// A browser whose page knows the rooms of `nasty.js`.
async fn browser_with_nasty_rooms(doors: &Doors) -> Option<Browser> {
    let browser = Browser::start().await?;
    let base = text(&doors.url("/room/1")).await;
    let source = json!({"source": format!("({NASTY})({base})")});
    browser
        .devtools("Page.addScriptToEvaluateOnNewDocument", source)
        .await;
    browser.open(&doors.url("/")).await;
    browser.until(LINK_IS_UP).await;
    Some(browser)
}

async fn show(browser: &Browser, page: &str) {
    browser
        .value(&format!("(location.hash = '{page}', 0)"))
        .await;
    browser
        .until(
            "document.body.dataset.link === 'up' && window.unanswered === 0 && document.querySelector('main h1, main h2')",
        )
        .await;
    browser.drawn().await;
}

/// What is wrong with the page at every width.
async fn measured(browser: &Browser, what: &str, found: &mut Vec<String>) {
    for width in WIDTHS {
        size(browser, width, "light").await;
        browser.drawn().await;
        for wrong in browser.value(MEASURE).await.as_array().unwrap() {
            found.push(format!("{what} at {width}: {}", wrong.as_str().unwrap()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_fits_the_screen_whatever_is_in_it() {
    let doors = Doors::start().await;
    let Some(browser) = browser_with_nasty_rooms(&doors).await else {
        return doors.stop().await;
    };
    let mut found = Vec::new();
    for page in pages() {
        show(&browser, &page).await;
        measured(&browser, &page, &mut found).await;
        // What a call shows only when it is asked for.
        if page == "#/room/connected" {
            browser.click("[aria-expanded=false][type=button]").await;
            measured(&browser, "the keypad", &mut found).await;
        }
    }
    // Three messages at a time, each as long as can be, cover no button.
    show(&browser, "#/room/twentyseven").await;
    for _ in 0..3 {
        let sent = "document.querySelector(\"[data-command='video/muted/set']\").click()";
        browser.value(sent).await;
    }
    // The gateway has no such room, so the command fails.
    browser
        .until("document.querySelectorAll('.toast').length > 0")
        .await;
    browser
        .value("document.querySelectorAll('.toast b').forEach((text) => text.textContent = 'Besprechungsraum'.repeat(15))")
        .await;
    measured(&browser, "a message", &mut found).await;
    // The question before a restart.
    show(&browser, "#/room/long").await;
    browser
        .value("document.querySelector('button.warning').click()")
        .await;
    browser
        .until("document.querySelector('#confirm').open")
        .await;
    measured(&browser, "the question", &mut found).await;
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert_eq!(browser.errors().await, [""; 0]);
    drop(browser);
    doors.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_s_dialog_fits_the_screen() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let doors = Doors::start_with(ClientLimits::default(), |config| {
        config.http.tokens = vec![token("reads", AccessLevel::Read, None)];
    })
    .await;
    browser.open(&doors.url("/")).await;
    browser.until("document.querySelector('#token').open").await;
    let mut found = Vec::new();
    measured(&browser, "the token's dialog", &mut found).await;
    // A read-only token: its notice, and the button that forgets it.
    browser.write("#token-input", "reads").await;
    browser.click("#token [type=submit]").await;
    browser
        .until("!document.querySelector('#notice').hidden")
        .await;
    measured(&browser, "a read-only token", &mut found).await;
    // The bar is at its widest while the page reconnects.
    doors.stop().await;
    browser
        .until("!document.querySelector('#retry').hidden")
        .await;
    measured(&browser, "reconnecting", &mut found).await;
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// What axe finds, with the rule about labels that it does not run by itself.
async fn axe(browser: &Browser, script: &str, what: &str, found: &mut Vec<String>) {
    browser
        .value(&format!("(window.axe || (() => {{ {script} }})(), 0)"))
        .await;
    browser
        .value(
            "(window.report = null, axe.run({rules: {'label-content-name-mismatch': {enabled: true}}}).then((report) => window.report = report), 0)",
        )
        .await;
    browser.until("window.report").await;
    let violations = browser
        .value(
            "window.report.violations.map((each) => [each.id, each.help, ...each.nodes.slice(0, 3).map((node) => node.target.join(' ') + ' ' + node.failureSummary)])",
        )
        .await;
    for violation in violations.as_array().unwrap() {
        found.push(format!("{what}: {violation:#}"));
    }
    let passed = browser.value("window.report.passes.length").await;
    assert!(
        passed.as_u64() > Some(10),
        "{what}: axe checked {passed} rules"
    );
}

/// The script of axe, if the environment names it.
fn axe_script() -> Option<String> {
    let Some(file) = std::env::var_os("POLY2MQTT_TEST_AXE") else {
        let _ = writeln!(
            std::io::stderr(),
            "skipped: the test with axe needs POLY2MQTT_TEST_AXE (see tests/it/browser_pages.rs)"
        );
        return None;
    };
    Some(std::fs::read_to_string(&file).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn axe_finds_nothing_on_any_page() {
    let Some(script) = axe_script() else {
        return;
    };
    let doors = Doors::start().await;
    let Some(browser) = browser_with_nasty_rooms(&doors).await else {
        return doors.stop().await;
    };
    let mut found = Vec::new();
    for page in pages() {
        show(&browser, &page).await;
        for (scheme, width) in [
            ("light", 1280),
            ("dark", 1280),
            ("light", 390),
            ("dark", 390),
        ] {
            size(&browser, width, scheme).await;
            browser.drawn().await;
            let what = format!("{page}, {scheme}, {width}");
            axe(&browser, &script, &what, &mut found).await;
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    drop(browser);
    doors.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn axe_finds_nothing_on_the_token_s_dialog_and_in_messages() {
    let Some(script) = axe_script() else {
        return;
    };
    let Some(browser) = Browser::start().await else {
        return;
    };
    let doors = Doors::start_with(ClientLimits::default(), |config| {
        config.http.tokens = vec![token("reads", AccessLevel::Read, None)];
    })
    .await;
    browser.open(&doors.url("/#/room/1")).await;
    browser.until("document.querySelector('#token').open").await;
    let mut found = Vec::new();
    for scheme in ["light", "dark"] {
        size(&browser, 1280, scheme).await;
        axe(&browser, &script, "the token's dialog", &mut found).await;
    }
    browser.write("#token-input", "reads").await;
    browser.click("#token [type=submit]").await;
    browser
        .until("!document.querySelector('#notice').hidden")
        .await;
    browser.open(&doors.url("/#/console/audio%2Fmute")).await;
    doors.device.person_calls_in("ada@example.com");
    browser.until("document.querySelector('.toast')").await;
    for scheme in ["light", "dark"] {
        size(&browser, 1280, scheme).await;
        axe(&browser, &script, "a message", &mut found).await;
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    drop(browser);
    doors.stop().await;
}
