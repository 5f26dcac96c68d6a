//! The console in headless Chromium: which room and value it begins with, and that its copies run as they are.
use std::process::Command;

use poly2mqtt::config::AccessLevel;
use poly2mqtt::doors::clients::ClientLimits;
use serde_json::json;

use poly2mqtt_test_support::browser::{Browser, LINK_IS_UP};
use poly2mqtt_test_support::door::{Doors, post, token};

/// The words that a shell gives to the program of this command line.
fn shell_words(line: &str) -> Vec<String> {
    let program = line.split(' ').next().unwrap();
    let script = format!("{program}() {{ printf '%s\\0' \"$@\"; }}\n{line}");
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
    let words = String::from_utf8(output.stdout).unwrap();
    words.split_terminator('\0').map(str::to_owned).collect()
}

/// Holds back that room 1 is there until the page has drawn all that came before the subscription's answer.
const ROOM_1_COMES_LAST: &str = r#"
    const held = [];
    let done = false;
    Object.defineProperty(WebSocket.prototype, "onmessage", { set(handle) {
      this.addEventListener("message", (event) => {
        const { topic, subscribed } = JSON.parse(event.data);
        if (done) return handle(event);
        if (topic === "room/1/availability") return held.push(event);
        if (!subscribed) return handle(event);
        done = true;
        const another = JSON.stringify({ topic: "room/0/availability", payload: "online", retain: true });
        window.another = () => handle({ data: another });
        requestAnimationFrame(() => requestAnimationFrame(() => {
          window.before = document.querySelector("select[aria-label=Room]").value;
          for (const each of [...held, event]) handle(each);
        }));
      });
    } });
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_console_begins_with_the_first_room_whichever_comes_first() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let doors = Doors::start().await;
    let source = json!({"source": ROOM_1_COMES_LAST});
    browser
        .devtools("Page.addScriptToEvaluateOnNewDocument", source)
        .await;
    browser.open(&doors.url("/#/console")).await;
    browser.until(LINK_IS_UP).await;
    browser.until("window.before === '2'").await;
    let room = "document.querySelector('select[aria-label=Room]')";
    browser.until(&format!("{room}.value === '1'")).await;
    // Once all are there it stays, also when another one comes before it.
    browser.value("window.another()").await;
    browser
        .until(&format!("{room}.options[0].value === '0'"))
        .await;
    assert_eq!(browser.value(&format!("{room}.value")).await, "1");
    assert_eq!(browser.errors().await, [""; 0]);
    doors.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_begins_with_the_value_of_now_and_copies_run_as_they_are() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let doors = Doors::start_with(ClientLimits::default(), |config| {
        config.http.tokens = vec![token("the-secret-token", AccessLevel::Admin, None)];
        config.mqtt.topic_prefix = "av x".into();
    })
    .await;
    browser.open(&doors.url("/")).await;
    browser.until("document.querySelector('#token').open").await;
    browser.write("#token-input", "the-secret-token").await;
    browser.click("#token [type=submit]").await;
    browser.until(LINK_IS_UP).await;

    // The value of now, also when it changes; what a person wrote stays.
    browser
        .open(&doors.url("/#/console/audio%2Fvolume%2Fset"))
        .await;
    browser
        .until("document.querySelector('textarea').value === '62'")
        .await;
    let set = doors.url("/room/1/audio/volume/set?token=the-secret-token");
    post(&set, "35").await;
    browser
        .until("document.querySelector('textarea').value === '35'")
        .await;
    browser.write("textarea", "36").await;
    post(&set, "37").await;
    browser
        .until("document.querySelector('.copy-box pre').textContent.includes('36')")
        .await;
    browser
        .open(&doors.url("/#/console/audio%2Fmuted%2Fset"))
        .await;
    browser
        .until("document.querySelector('textarea').value === 'false'")
        .await;

    browser.open(&doors.url("/#/console/call%2Fdial")).await;
    browser
        .until("document.querySelector('h2.mono').textContent === 'call/dial'")
        .await;
    let copy = async |name: &str| -> String {
        let script = format!(
            "(() => {{ const choice = document.querySelector('[aria-label=\"Copy as\"]'); choice.value = '{name}'; \
             choice.dispatchEvent(new Event('change')); return document.querySelector('.copy-box pre').textContent; }})()"
        );
        browser.value(&script).await.as_str().unwrap().to_owned()
    };
    for payload in [
        "ada@example.com",
        "it's \"quoted\"",
        "$HOME `id` $(id) \\ \\n !! *",
        "grüße 😀 مرحبا",
        "@file",
        "-n",
        "two\nlines",
        "{{ states('x') }}",
        "#comment: yes",
        "a\u{2028}b\u{85}c",
    ] {
        let script = format!(
            "(() => {{ const area = document.querySelector('textarea'); area.focus(); area.value = {}; \
             area.dispatchEvent(new Event('input')); }})()",
            json!(payload)
        );
        browser.value(&script).await;
        let publish = shell_words(&copy("mosquitto_pub").await);
        let last: Vec<&str> = publish
            .iter()
            .rev()
            .take(4)
            .rev()
            .map(String::as_str)
            .collect();
        assert_eq!(last, ["-t", "av x/room/1/call/dial", "-m", payload]);
        let curl = shell_words(&copy("curl").await);
        let url = doors.url("/room/1/call/dial");
        let wanted = [
            "-X",
            "POST",
            "-H",
            "Authorization: Bearer TOKEN",
            "--data-raw",
            payload,
            &url,
        ];
        assert_eq!(curl, wanted);
        let line = copy("TCP line").await;
        let (login, line) = line.split_once('\n').unwrap();
        assert_eq!(login, "token TOKEN");
        assert!(!line.contains('\n'), "{line}");
        let sent = line.strip_prefix("room/1/call/dial ").unwrap();
        let sent = if payload.contains('\n') {
            serde_json::from_str(sent).unwrap()
        } else {
            sent.to_owned()
        };
        assert_eq!(sent, payload);
        let action = copy("Home Assistant").await;
        let value = |key: &str| -> String {
            let lines: Vec<&str> = action.lines().collect();
            assert_eq!((lines.len(), lines[0]), (4, "action: mqtt.publish"));
            let found = lines
                .iter()
                .find_map(|line| line.strip_prefix(&format!("  {key}: ")));
            serde_json::from_str(found.unwrap()).unwrap()
        };
        assert_eq!(value("topic"), "av x/room/1/call/dial");
        let published = value("payload");
        if payload.contains("{{") {
            let literal = published
                .strip_prefix("{{ ")
                .unwrap()
                .strip_suffix(" }}")
                .unwrap();
            assert!(!literal.contains('{'), "{literal}");
            let literal: String = serde_json::from_str(literal).unwrap();
            assert_eq!(literal, payload);
        } else {
            assert_eq!(published, payload);
        }
        for name in ["mosquitto_pub", "curl", "TCP line", "Home Assistant"] {
            assert!(!copy(name).await.contains("the-secret-token"), "{name}");
        }
    }
    // Without a payload none is sent.
    browser.open(&doors.url("/#/console/audio%2Fmute")).await;
    browser
        .until("document.querySelector('h2.mono').textContent === 'audio/mute'")
        .await;
    assert_eq!(
        shell_words(&copy("mosquitto_pub").await).last().unwrap(),
        "-n"
    );
    assert!(!copy("curl").await.contains("--data"));
    assert_eq!(browser.errors().await, [""; 0]);
    drop(browser);
    doors.stop().await;
}
