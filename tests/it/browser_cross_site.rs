//! A page of another site in headless Chromium: what the browser really sends, and that it gets nowhere.
//!
//! Skipped where Chromium and chromedriver are missing, as the tests of the dashboard.
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use poly2mqtt_test_support::browser::Browser;
use poly2mqtt_test_support::door::Doors;

/// Tries everything that a page can do to `GATEWAY`, and notes how each ended.
const PAGE: &str = r#"<!doctype html><title>evil</title><a href="GATEWAY/">the dashboard</a><script>
const gateway = "GATEWAY";
const element = (name, path) => new Promise((done) => {
  const made = document.createElement(name);
  made.onload = () => done("loaded");
  made.onerror = () => done("refused");
  made.src = gateway + path;
  document.body ? document.body.append(made) : document.head.append(made);
});
const request = (path, options) => fetch(gateway + path, { mode: "no-cors", ...options })
  .then(() => "loaded", () => "refused");
const socket = new Promise((done) => {
  const made = new WebSocket(gateway.replace("http", "ws") + "/ws");
  made.onopen = () => done("loaded");
  made.onerror = () => done("refused");
});
Promise.all([
  element("img", "/room/1/camera/snapshot/near/get"),
  element("script", "/asyncapi.json"),
  request("/room/1/system/logs/get"),
  request("/room/1/audio/volume/get"),
  request("/room/1/audio/mute", { method: "POST" }),
  request("/healthz"),
  socket,
]).then((results) => { window.results = results; });
</script>"#;

/// Serves the page at any path of `localhost`. The gateway is at `127.0.0.1`, which is another site.
async fn other_site(gateway: &str) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "http://localhost:{}/",
        listener.local_addr().unwrap().port()
    );
    let page = PAGE.replace("GATEWAY", gateway);
    let response = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}",
        page.len()
    );
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let response = response.clone();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(response.as_bytes()).await;
            });
        }
    });
    (url, serving)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_gets_nowhere_but_its_links_work() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let doors = Doors::start().await;
    let (url, serving) = other_site(&doors.url("")).await;
    browser.open(&url).await;
    browser.until("window.results").await;
    let results: Value = browser.value("window.results").await;
    assert_eq!(results, json!(vec!["refused"; 7]));
    let asked: Vec<String> = doors
        .device
        .journal()
        .into_iter()
        .map(|entry| format!("{} {}", entry.method, entry.path))
        .collect();
    let reached = |request: &&String| {
        let reads = request.contains("snapshot") || request.contains("logs");
        reads || request.starts_with("POST /rest/audio")
    };
    assert_eq!(asked.iter().find(reached), None);
    browser.click("a").await;
    browser.until("document.body?.dataset.link === 'up'").await;
    serving.abort();
    doors.stop().await;
}
