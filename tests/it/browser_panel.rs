//! The panel at the wall, the log and the presets' questions, in headless Chromium.
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use poly2mqtt::app::App;
use poly2mqtt::config::AccessLevel;
use poly2mqtt::doors::clients::ClientLimits;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use poly2mqtt_test_support::SOON;
use poly2mqtt_test_support::browser::{Browser, LINK_IS_UP};
use poly2mqtt_test_support::door::{Doors, post, token};
use poly2mqtt_test_support::gateway::{configured, timings};

const ENABLED: &str = "document.querySelector('.wall-controls').disabled === false";
const MIC: &str = ".wall-controls [data-command='audio/muted/set']";

async fn device(doors: &Doors, what: &str, holds: impl Fn(&Value) -> bool) {
    let so = doors.device.wait_for(SOON, |device| holds(&device.state()));
    assert!(so.await, "{what}: {:#}", doors.device.state());
}

/// Sets the size of the page, in CSS pixels.
async fn size(browser: &Browser, width: u32, height: u32) {
    let metrics =
        json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
    browser
        .devtools("Emulation.setDeviceMetricsOverride", metrics)
        .await;
}

/// Nothing is wider than the screen.
async fn fits(browser: &Browser, page: &str) {
    for (width, height) in [(320, 640), (390, 844), (768, 1024), (1280, 800)] {
        size(browser, width, height).await;
        let widest = "[...document.body.querySelectorAll('*')].filter((each) => each.checkVisibility() && !each.closest('pre, [hidden], svg, .off-screen')).map((each) => [each.getBoundingClientRect().right, each.tagName, each.className]).sort((a, b) => b[0] - a[0])[0]";
        let widest = browser.value(widest).await;
        let right = widest[0].as_f64().unwrap();
        assert!(
            right <= f64::from(width) + 0.5,
            "{page} at {width}: {widest}"
        );
    }
    size(browser, 1280, 1000).await;
}

/// A connection that can go silent without anybody being told, as with a cable that is pulled.
struct FreezingProxy {
    addr: SocketAddr,
    frozen: Arc<AtomicBool>,
}

impl FreezingProxy {
    async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let frozen = Arc::new(AtomicBool::new(false));
        let state = frozen.clone();
        tokio::spawn(async move {
            while let Ok((browser, _)) = listener.accept().await {
                let state = state.clone();
                tokio::spawn(async move {
                    thaw(&state).await;
                    let gateway = TcpStream::connect(to).await?;
                    let (from_browser, to_browser) = browser.into_split();
                    let (from_gateway, to_gateway) = gateway.into_split();
                    tokio::spawn(pass(from_gateway, to_browser, state.clone()));
                    pass(from_browser, to_gateway, state).await
                });
            }
        });
        Self { addr, frozen }
    }

    fn freeze(&self, frozen: bool) {
        self.frozen.store(frozen, SeqCst);
    }
}

async fn thaw(frozen: &AtomicBool) {
    while frozen.load(SeqCst) {
        sleep(Duration::from_millis(20)).await;
    }
}

/// Passes bytes on; what comes while it is frozen never arrives.
async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    frozen: Arc<AtomicBool>,
) -> std::io::Result<()> {
    let mut bytes = vec![0; 64 << 10];
    let mut is_dead = false;
    loop {
        let read = from.read(&mut bytes).await?;
        is_dead |= frozen.load(SeqCst);
        if is_dead {
            if read == 0 {
                sleep(SOON).await;
                return Ok(());
            }
            continue;
        }
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&bytes[..read]).await?;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panel_serves_its_room_with_a_token_for_that_room() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let mut doors = Doors::start_with(ClientLimits::default(), |config| {
        config.http.tokens = vec![token("of-room-1", AccessLevel::Control, Some(&["1"]))];
        let room = configured(config, "1");
        room.name = Some("Boardroom".into());
        room.presets.insert(3, "Lectern".into()).unwrap();
    })
    .await;
    // Headless browsers have no screen to keep on, so count who asks.
    let lock = "window.locks = 0; Object.defineProperty(navigator, 'wakeLock', { value: { request: async () => { \
        window.locks += 1; window.lock = new EventTarget(); window.lock.release = () => {}; return window.lock; } } });";
    browser
        .devtools(
            "Page.addScriptToEvaluateOnNewDocument",
            json!({"source": lock}),
        )
        .await;
    browser.open(&doors.url("/#/panel/1")).await;
    browser.until("document.querySelector('#token').open").await;
    browser.write("#token-input", "of-room-1").await;
    browser.click("#token [type=submit]").await;
    browser.until(ENABLED).await;
    browser
        .until("document.querySelector('h1').textContent === 'Boardroom'")
        .await;
    browser.until("window.locks === 1").await;
    // There is no way to other pages.
    let others = "[...document.querySelectorAll('a')].filter((link) => link.checkVisibility() && !link.closest('.skip')).length";
    assert_eq!(browser.value(others).await, 0);

    // Sound, volume, presets by name, inputs.
    browser
        .until(&format!(
            "document.querySelector(\"{MIC}\").ariaPressed === 'false'"
        ))
        .await;
    browser.click(MIC).await;
    device(&doors, "muted", |state| state["audio"]["muted"] == true).await;
    browser
        .until(&format!(
            "document.querySelector(\"{MIC}\").ariaPressed === 'true'"
        ))
        .await;
    browser.click(".wall-controls [aria-label=Louder]").await;
    device(&doors, "louder", |state| state["audio"]["volume"] == 67).await;
    browser
        .until("document.querySelector('.wall-controls [data-preset=\"3\"]').textContent === 'Lectern'")
        .await;
    browser.click(".wall-controls [data-preset='3']").await;
    device(&doors, "recalled", |state| {
        state["cameras"]["active_preset"] == 3
    })
    .await;
    browser
        .until("document.querySelectorAll('.wall-controls [data-input]').length > 0")
        .await;

    // A call from somebody with a long address: both buttons can be pressed, on a phone too.
    let long = format!("{}@{}.example.com", "a".repeat(60), "b".repeat(50));
    doors.device.person_calls_in(&long);
    browser
        .until("document.querySelectorAll('.ringing button').length === 2")
        .await;
    fits(&browser, "a panel that rings").await;
    size(&browser, 320, 640).await;
    let small = "[...document.querySelectorAll('.ringing button')].every((button) => button.getBoundingClientRect().height >= 64)";
    assert_eq!(browser.value(small).await, true);
    browser.click("[data-verb=answer]").await;
    browser
        .until("!document.querySelector('.wall-part button.danger').hidden && document.querySelectorAll('.ringing').length === 0")
        .await;
    browser.click("[aria-label=Call] button.danger").await;
    device(&doors, "hung up", |state| {
        state["calls"].as_array().is_none_or(Vec::is_empty)
    })
    .await;
    size(&browser, 1280, 1000).await;

    // It can be installed: the manifest starts this panel, and its icons are there.
    let manifest = "(() => { const request = new XMLHttpRequest(); request.open('GET', document.querySelector('[rel=manifest]').href, false); request.send(); return request.responseText; })()";
    let manifest = browser.value(manifest).await;
    let manifest: Value = serde_json::from_str(manifest.as_str().unwrap()).unwrap();
    assert_eq!(manifest["start_url"], "./#/panel/1");
    let errors = browser
        .devtools("Page.getInstallabilityErrors", json!({}))
        .await;
    assert_eq!(errors["installabilityErrors"], json!([]), "{errors}");

    // The lock goes with the screen, and comes again with it.
    browser
        .value("(window.lock.dispatchEvent(new Event('release')), document.dispatchEvent(new Event('visibilitychange')))")
        .await;
    browser.until("window.locks === 2").await;

    // The gateway restarts while nobody is there.
    doors.config.http.listen = Some(doors.addr());
    doors.service.stop().await;
    browser
        .until("document.querySelector('.wall-controls').disabled")
        .await;
    doors.device.person_mutes(false);
    doors.service = App::start(doors.config.clone(), timings()).await.unwrap();
    browser.until(ENABLED).await;
    browser
        .until(&format!(
            "document.querySelector(\"{MIC}\").ariaPressed === 'false'"
        ))
        .await;
    // It may have tried to connect while the gateway was gone.
    browser.errors().await;

    // The tablet restarts: the tab is gone, the token is not.
    browser
        .value("(sessionStorage.clear(), location.reload())")
        .await;
    browser.until(ENABLED).await;
    // Another room's panel says that the token is not for it.
    browser.value("location.hash = '#/panel/2'").await;
    browser
        .until("document.querySelector('.empty')?.checkVisibility() === true")
        .await;
    assert_eq!(browser.errors().await, [""; 0]);
    drop(browser);
    doors.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panel_survives_a_connection_that_died_silently() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let doors = Doors::start().await;
    let proxy = FreezingProxy::start(doors.addr()).await;
    let url = format!("http://{}/#/panel/1", proxy.addr);
    browser.open(&url).await;
    browser.until(ENABLED).await;

    // Nobody is told that the connection is dead: the silence tells.
    proxy.freeze(true);
    browser
        .until("document.querySelector('.wall-controls').disabled")
        .await;
    doors.device.person_mutes(true);
    // While it connects again, it hangs too.
    sleep(Duration::from_secs(3)).await;
    proxy.freeze(false);
    browser.until(ENABLED).await;
    browser
        .until(&format!(
            "document.querySelector(\"{MIC}\").ariaPressed === 'true'"
        ))
        .await;

    // After a standby the page looks at once, and connects again within a few seconds.
    for event in [
        "window.dispatchEvent(new Event('online'))",
        "document.dispatchEvent(new Event('visibilitychange'))",
    ] {
        browser.until(LINK_IS_UP).await;
        proxy.freeze(true);
        browser.value(event).await;
        let asked = Instant::now();
        browser.until("document.body.dataset.link === 'down'").await;
        assert!(asked.elapsed() < Duration::from_secs(7), "{event}");
        proxy.freeze(false);
        browser.until(ENABLED).await;
    }
    drop(browser);
    doors.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_there_after_a_reload_and_can_be_filtered() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let doors = Doors::start().await;
    post(&doors.url("/room/1/audio/volume/set"), "loud").await;
    post(&doors.url("/room/2/audio/volume/set"), "40").await;
    doors
        .device
        .person_calls_in("<img src=x onerror=\"window.ran=true\">");
    browser.open(&doors.url("/#/log")).await;
    let entries =
        |of: &str| format!("document.querySelectorAll('.log-page .log-entry{of}').length");
    let there = async || {
        browser
            .until(&format!("{} === 1", entries("[data-kind=failure]")))
            .await;
        browser
            .until(&format!("{} >= 1", entries("[data-kind=call]")))
            .await;
        browser
            .until(&format!("{} === 1", entries("[data-kind=command]")))
            .await;
        browser
            .until(&format!("{} === 2", entries("[data-kind=online]")))
            .await;
    };
    there().await;
    // What happens now comes by itself.
    post(&doors.url("/room/1/audio/volume/set"), "41").await;
    browser
        .until(&format!("{} === 2", entries("[data-kind=command]")))
        .await;
    post(&doors.url("/room/1/audio/volume/set"), "louder").await;
    browser
        .until(&format!("{} === 2", entries("[data-level=warn]")))
        .await;
    fits(&browser, "the log").await;

    let choose = async |label: &str, value: &str| {
        let script = format!(
            "(document.querySelector('[aria-label=\"{label}\"]').value = '{value}', \
             document.querySelector('[aria-label=\"{label}\"]').dispatchEvent(new Event('change')))"
        );
        browser.value(&script).await;
    };
    choose("Level", "warn").await;
    browser
        .until(&format!(
            "{} === 2 && {} === 2",
            entries(""),
            entries("[data-level=warn]")
        ))
        .await;
    // A reload keeps the lines and the filter.
    browser.value("location.reload()").await;
    browser
        .until(&format!(
            "{} === 2 && {} === 2",
            entries(""),
            entries("[data-level=warn]")
        ))
        .await;
    choose("Level", "info").await;
    choose("Room", "2").await;
    browser
        .until("[...document.querySelectorAll('.log-page .place')].length > 1 && [...document.querySelectorAll('.log-page .place a')].every((place) => place.hash === '#/room/2')")
        .await;
    choose("Room", "").await;
    browser
        .write("[aria-label='Filter the log']", "LOUDER")
        .await;
    browser.until(&format!("{} === 1", entries(""))).await;
    browser
        .write("[aria-label='Filter the log']", "onerror")
        .await;
    browser
        .until(&format!("{} >= 1", entries("[data-kind=call]")))
        .await;
    assert_eq!(browser.value("window.ran === undefined").await, true);
    assert_eq!(browser.errors().await, [""; 0]);
    drop(browser);
    doors.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn store_and_clear_ask_and_an_empty_preset_says_so() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let doors = Doors::start().await;
    browser.open(&doors.url("/#/room/1")).await;
    let stored = |is: bool| {
        format!("document.querySelector('[data-preset=\"7\"]').dataset.stored === '{is}'")
    };
    let asked = "document.querySelector('#confirm').open";
    let choose = async |mode: &str| browser.click(&format!("[value='{mode}'][name]")).await;
    let of_device = async |holds: bool| {
        device(&doors, "preset 7", |state| {
            state["cameras"]["stored"][6] == holds
        })
        .await;
    };
    browser.until(&stored(false)).await;
    browser
        .until("document.querySelector('[data-preset=\"7\"]').innerText.includes('empty')")
        .await;
    // An empty preset is neither recalled nor cleared.
    for mode in ["activate", "clear"] {
        choose(mode).await;
        browser.click("[data-preset='7']").await;
        browser
            .until("[...document.querySelectorAll('.toast')].some((toast) => toast.textContent.includes('Preset 7 is empty'))")
            .await;
        assert_eq!(browser.value(asked).await, false);
        browser.click(".toast button").await;
    }
    // Each question may be answered with no.
    for (mode, before) in [("store", false), ("clear", true)] {
        for yes in [false, true] {
            choose(mode).await;
            browser.click("[data-preset='7']").await;
            browser.until(asked).await;
            browser
                .click(if yes {
                    "#confirm-yes"
                } else {
                    "#confirm [value=no]"
                })
                .await;
            browser.until(&format!("!{asked}")).await;
            let wanted = before != yes;
            browser.until(&stored(wanted)).await;
            of_device(wanted).await;
        }
    }
    // What is stored at the device meanwhile is recalled, not said to be empty.
    post(&doors.url("/room/2/camera/preset/7/store"), "").await;
    choose("activate").await;
    browser.click("[data-preset='7']").await;
    device(&doors, "recalled", |state| {
        state["cameras"]["active_preset"] == 7
    })
    .await;
    assert_eq!(browser.errors().await, [""; 0]);
    drop(browser);
    doors.stop().await;
}
