//! The pictures of the dashboard in `docs/`, made on demand:
//!
//! ```sh
//! POLY2MQTT_TEST_PICTURES=docs cargo test --test it browser_pictures
//! ```
use std::path::Path;

use poly2mqtt::doors::clients::ClientLimits;
use poly2mqtt_simulator::{Options, SimulatedDevice};
use serde_json::json;

use poly2mqtt_test_support::browser::{Browser, LINK_IS_UP};
use poly2mqtt_test_support::door::Doors;
use poly2mqtt_test_support::gateway::{configured, room};

const WIDE: (u32, f64) = (1280, 1010.0);
const PHONE: (u32, f64) = (390, 844.0);
const TABLET: (u32, f64) = (1024, 640.0);
const WIDEST_PHONE: u32 = 600;
/// As long as the addresses of conferences are.
const LONG_ADDRESS: &str = "sip:conference.room.4711.building-9@video.example.com.";

/// Sixty rooms beside the gateway's own: some offline, some in a call, one that rings.
const MANY_ROOMS: &str = include_str!("browser_pages/many_rooms.js");

struct Camera<'a> {
    browser: &'a Browser,
    doors: &'a Doors,
    dir: &'a Path,
}

impl Camera<'_> {
    /// Opens a page in this size, and waits until this holds.
    async fn open(&self, page: &str, size: (u32, f64), scheme: &str, until: &str) {
        self.resize(size).await;
        let scheme = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.browser
            .devtools("Emulation.setEmulatedMedia", scheme)
            .await;
        self.browser.open("about:blank").await;
        self.browser.open(&self.doors.url(page)).await;
        self.browser.until(LINK_IS_UP).await;
        self.browser.until(until).await;
    }

    async fn resize(&self, (width, height): (u32, f64)) {
        let metrics = json!({
            "width": width, "height": height, "mobile": width < WIDEST_PHONE,
            // Wide pages are shown smaller in the docs, which keeps the files small.
            "deviceScaleFactor": if width < WIDEST_PHONE { 1.0 } else { 0.75 },
        });
        self.browser
            .devtools("Emulation.setDeviceMetricsOverride", metrics)
            .await;
    }

    /// Takes a picture of the camera, as a person would.
    async fn snapshot(&self) {
        self.browser
            .click("[aria-label='Take a new picture']")
            .await;
        self.browser
            .until(
                "document.querySelector('figure img').naturalWidth > 0 && \
                 document.querySelectorAll('.meeting').length === 3 && !document.querySelector('[aria-busy=true]')",
            )
            .await;
    }

    /// Makes the page as high as its content, so that nothing is cut off.
    async fn fit(&self, width: u32, content: &str) {
        let bottom = format!("document.querySelector('{content}').getBoundingClientRect().bottom");
        let bottom = self.browser.value(&bottom).await.as_f64().unwrap();
        self.resize((width, bottom.ceil() + 16.0)).await;
    }

    async fn save(&self, name: &str) {
        self.browser
            .value("(document.activeElement.blur(), document.querySelector('main').scrollTop = 0)")
            .await;
        let file = self.dir.join(format!("{name}.png"));
        std::fs::write(file, self.browser.picture().await).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures() {
    let Some(dir) = std::env::var_os("POLY2MQTT_TEST_PICTURES") else {
        return;
    };
    let Some(browser) = Browser::start().await else {
        return;
    };
    let options = Options {
        name: "Boardroom".into(),
        ..Options::default()
    };
    let device = SimulatedDevice::start(options).await.unwrap();
    let doors = Doors::start_with(ClientLimits::default(), |config| {
        *configured(config, "1") = room(&device);
        configured(config, "2").name = Some("Lecture hall".into());
    })
    .await;
    let camera = Camera {
        browser: &browser,
        doors: &doors,
        dir: Path::new(&dir),
    };

    // A call rings, with an address as long as they come.
    device.person_calls_in(LONG_ADDRESS);
    let rings = "document.querySelector('[data-verb=reject]')";
    camera.open("/#/room/1", PHONE, "light", rings).await;
    let shown = "document.querySelector('.ringing').scrollIntoView({block: 'center'})";
    browser.value(shown).await;
    let file = camera.dir.join("dashboard-ringing.png");
    std::fs::write(file, browser.picture().await).unwrap();

    device.person_answers();
    let in_call = "document.querySelector('.calls li')";
    for (name, scheme) in [("dashboard", "light"), ("dashboard-dark", "dark")] {
        camera.open("/#/room/1", WIDE, scheme, in_call).await;
        if scheme == "light" {
            camera.snapshot().await;
        }
        camera.fit(WIDE.0, ".columns").await;
        camera.save(name).await;
    }
    camera.open("/#/room/1", PHONE, "light", in_call).await;
    camera.save("dashboard-phone").await;
    let panel = "document.querySelector('main h1')";
    camera.open("/#/panel/1", TABLET, "dark", panel).await;
    camera.browser.drawn().await;
    camera.save("dashboard-panel").await;

    device.person_hangs_up();
    device.person_sets_password("another");
    device.expire_sessions();
    let offline =
        "document.querySelector('.problem:not([hidden])') && document.querySelector('.meeting')";
    camera
        .open("/#/room/1", (1280, 700.0), "light", offline)
        .await;
    camera.save("dashboard-offline").await;

    let source = json!({"source": MANY_ROOMS});
    browser
        .devtools("Page.addScriptToEvaluateOnNewDocument", source)
        .await;
    let many = "document.querySelectorAll('[data-room]').length > 60";
    camera.open("/#/", (1280, 700.0), "light", many).await;
    camera.save("dashboard-rooms").await;

    drop(browser);
    doors.stop().await;
    device.stop().await;
}
