//! Chromium, driven through chromedriver.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::programs::{CHROMEDRIVER, CHROMIUM};
use super::{SOON, watchdog};

/// True while the page is connected to the gateway, for [`Browser::until`].
pub const LINK_IS_UP: &str = "document.body.dataset.link === 'up'";

/// The key of an element's id in WebDriver's JSON.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// How often chromedriver is started before the test fails.
const DRIVER_ATTEMPTS: usize = 3;

/// A browser with one tab and an empty profile. It ends when it is dropped.
pub struct Browser {
    http: reqwest::Client,
    port: u16,
    session: String,
    driver: Child,
    _profile: TempDir,
}

/// Starts chromedriver; gives it and its port, or nothing if it ended before it listened.
fn start_driver(program: &Path) -> Option<(Child, u16)> {
    let mut driver = Command::new(program)
        .arg("--port=0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stdout = driver.stdout.take().unwrap();
    let port = BufReader::new(stdout)
        .lines()
        .map_while(Result::ok)
        .find_map(|line| {
            let port = line.split_once("started successfully on port ")?.1;
            port.trim_end_matches('.').parse().ok()
        });
    let Some(port) = port else {
        let _ = driver.kill();
        let _ = driver.wait();
        return None;
    };
    watchdog::started(driver.id());
    Some((driver, port))
}

impl Browser {
    /// Starts a browser. Without Chromium the test is skipped, unless the browser is required.
    pub async fn start() -> Option<Self> {
        let (Some(chromium), Some(driver)) = (CHROMIUM.find(), CHROMEDRIVER.find()) else {
            return None;
        };
        // It fails if another program takes the port that it chose.
        let started = (0..DRIVER_ATTEMPTS).find_map(|_| start_driver(&driver));
        let (driver, port) = started.expect("chromedriver says its port");
        let mut browser = Self {
            http: super::door::http(),
            port,
            session: String::new(),
            driver,
            _profile: tempfile::tempdir().unwrap(),
        };
        let profile = format!("--user-data-dir={}", browser._profile.path().display());
        let options = json!({
            "binary": chromium,
            // Chromium's sandbox does not work as root. Only pages of this machine are opened.
            "args": [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic",
                "--no-first-run", "--disable-background-networking",
                "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
                "--no-proxy-server", "--hide-scrollbars", "--window-size=1280,1000", profile,
            ],
        });
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}});
        let started = browser.call("POST", "/session", wanted).await;
        browser.session = started["sessionId"].as_str().unwrap().to_owned();
        let wait = json!({"script": u64::try_from(SOON.as_millis()).unwrap()});
        browser.ask("/timeouts", wait).await;
        Some(browser)
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> Value {
        watchdog::awaits(&format!("the browser: {path}"));
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let method = method.parse().unwrap();
        let request = self.http.request(method, url).json(&body);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        let value = &answer["value"];
        assert!(value.get("error").is_none(), "{path} {body}: {value:#}");
        value.clone()
    }

    async fn ask(&self, path: &str, body: Value) -> Value {
        let path = format!("/session/{}{path}", self.session);
        self.call("POST", &path, body).await
    }

    /// Sends a command of the DevTools.
    pub async fn devtools(&self, command: &str, params: Value) -> Value {
        let body = json!({"cmd": command, "params": params});
        self.ask("/goog/cdp/execute", body).await
    }

    pub async fn open(&self, url: &str) {
        self.ask("/url", json!({"url": url})).await;
    }

    /// The value of a JavaScript expression in the page.
    pub async fn value(&self, expression: &str) -> Value {
        let script = json!({"script": format!("return ({expression})"), "args": []});
        self.ask("/execute/sync", script).await
    }

    /// Waits until an expression is true in the page. While it throws it is not: what it names may not
    /// be there yet.
    pub async fn until(&self, expression: &str) {
        let script = format!(
            "const done = arguments[0];
             const end = Date.now() + {};
             const look = () => {{
               let holds = false;
               let error = '';
               try {{
                 holds = Boolean({expression});
               }} catch (thrown) {{
                 error = String(thrown);
               }}
               if (holds || Date.now() > end) done([holds, error]);
               else setTimeout(look, 10);
             }};
             look();",
            SOON.as_millis() - 1000
        );
        let held = self
            .ask("/execute/async", json!({"script": script, "args": []}))
            .await;
        if held[0] != true {
            let page = self.value("document.body.innerText").await;
            let (error, page) = (&held[1], page.as_str().unwrap_or_default());
            panic!("never: {expression} {error}\n{page}");
        }
    }

    /// Waits until the page has drawn what it knows: it draws changes with the next frame.
    pub async fn drawn(&self) {
        let script = "const done = arguments[0];
            requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done)));";
        let script = json!({"script": script, "args": []});
        self.ask("/execute/async", script).await;
    }

    /// The first element that matches a CSS selector, once it exists.
    async fn element(&self, selector: &str) -> Value {
        let there = format!("document.querySelector({})", json!(selector));
        self.until(&there).await;
        self.value(&there).await
    }

    /// Clicks as a person does: the element must be visible and not covered.
    pub async fn click(&self, selector: &str) {
        let element = self.element(selector).await;
        let id = element[ELEMENT].as_str().unwrap();
        self.ask(&format!("/element/{id}/click"), json!({})).await;
    }

    pub async fn write(&self, selector: &str, text: &str) {
        let element = self.element(selector).await;
        let id = element[ELEMENT].as_str().unwrap();
        self.ask(&format!("/element/{id}/clear"), json!({})).await;
        self.ask(&format!("/element/{id}/value"), json!({"text": text}))
            .await;
    }

    /// Moves the pointer onto an element and holds it down.
    pub async fn hold(&self, selector: &str) {
        let element = self.element(selector).await;
        self.pointer(json!([
            {"type": "pointerMove", "origin": element, "x": 0, "y": 0, "duration": 0},
            {"type": "pointerDown", "button": 0},
        ]))
        .await;
    }

    pub async fn let_go(&self) {
        self.pointer(json!([{"type": "pointerUp", "button": 0}]))
            .await;
    }

    pub async fn move_onto(&self, selector: &str) {
        let element = self.element(selector).await;
        self.pointer(json!([
            {"type": "pointerMove", "origin": element, "x": 0, "y": 0, "duration": 0},
        ]))
        .await;
    }

    async fn pointer(&self, actions: Value) {
        let mouse = json!({"type": "pointer", "id": "mouse", "actions": actions});
        self.ask("/actions", json!({"actions": [mouse]})).await;
    }

    /// Presses (`keyDown`) or releases (`keyUp`) a key where the focus is.
    pub async fn key(&self, action: &str, key: char) {
        let keys = json!({"type": "key", "id": "keys", "actions": [
            {"type": action, "value": key},
        ]});
        self.ask("/actions", json!({"actions": [keys]})).await;
    }

    /// The page's errors since the last call.
    pub async fn errors(&self) -> Vec<String> {
        let entries = self.ask("/se/log", json!({"type": "browser"})).await;
        let entries = entries.as_array().unwrap().iter();
        let severe = entries.filter(|entry| entry["level"] == "SEVERE");
        severe
            .map(|entry| entry["message"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The targets of all requests and WebSockets of pages of `origin`.
    pub async fn requests(&self, origin: &str) -> Vec<String> {
        let entries = self.ask("/se/log", json!({"type": "performance"})).await;
        let url = |entry: &Value| {
            let message: Value = serde_json::from_str(entry["message"].as_str()?).unwrap();
            let (message, params) = (&message["message"], &message["message"]["params"]);
            let url = match message["method"].as_str()? {
                // The browser's own pages send requests too.
                "Network.requestWillBeSent"
                    if params["documentURL"].as_str()?.starts_with(origin) =>
                {
                    &params["request"]["url"]
                }
                "Network.webSocketCreated" => &params["url"],
                _ => return None,
            };
            url.as_str().map(str::to_owned)
        };
        entries.as_array().unwrap().iter().filter_map(url).collect()
    }

    /// A picture of the page as PNG.
    pub async fn picture(&self) -> Vec<u8> {
        let picture = self
            .devtools("Page.captureScreenshot", json!({"format": "png"}))
            .await;
        STANDARD.decode(picture["data"].as_str().unwrap()).unwrap()
    }
}

impl Drop for Browser {
    /// Ends the session, and Chromium with it. Killing chromedriver alone would leave Chromium running.
    fn drop(&mut self) {
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) {
            let _ = stream.set_read_timeout(Some(SOON));
            let _ = write!(
                stream,
                "DELETE /session/{} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
                self.session
            );
            let _ = stream.read(&mut [0; 64]);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        watchdog::ended(self.driver.id());
    }
}
