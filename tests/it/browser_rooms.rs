//! The dashboard's first page with many rooms, and what it and a room's page say of a room that is offline
//! or not known.
use poly2mqtt::app::App;
use poly2mqtt::config::{AccessLevel, BrokerUrl, MqttUser, Secret};
use poly2mqtt::doors::clients::ClientLimits;
use serde_json::json;

use poly2mqtt_test_support::browser::{Browser, LINK_IS_UP};
use poly2mqtt_test_support::door::{Doors, post, token};
use poly2mqtt_test_support::gateway::{configured, timings};

/// What no page may say before the gateway has told it.
const CLAIMS: [&str; 9] = [
    "Gateway stopped",
    "Gateway running",
    "Offline",
    "Online",
    "No meetings planned",
    "Not checked yet",
    "0 of 0",
    "No rooms yet",
    "No picture taken yet",
];

/// Fails if the page says anything of that, or shows the colour of what is well.
async fn says_nothing(browser: &Browser, when: &str) {
    let shown = browser
        .value("document.querySelector('main').innerText")
        .await;
    let shown = shown.as_str().unwrap();
    for claim in CLAIMS {
        assert!(!shown.contains(claim), "{when}: {claim}\n{shown}");
    }
    assert_eq!(green(browser).await, [""; 0], "{when}");
}

/// The texts in `main` that have the colour of what is well, as text, ground or dot.
async fn green(browser: &Browser) -> Vec<String> {
    let found = browser
        .value(
            "(() => {
               const probe = document.body.appendChild(document.createElement('i'));
               const colours = ['--good', '--good-tint'].map((name) => {
                 probe.style.color = `var(${name})`;
                 return getComputedStyle(probe).color;
               });
               probe.remove();
               const all = [...document.querySelectorAll('main *')].filter((each) => each.checkVisibility());
               const isGreen = (each) => [undefined, '::before'].some((part) => {
                 const style = getComputedStyle(each, part);
                 return (part === undefined || style.content !== 'none') && [style.color, style.backgroundColor].some((colour) => colours.includes(colour));
               });
               return all.filter(isGreen).map((each) => `${each.className} ${each.textContent}`);
             })()",
        )
        .await;
    let texts = found.as_array().unwrap().iter();
    texts
        .map(|text| text.as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_claimed_before_it_is_known() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let doors = Doors::start_with(ClientLimits::default(), |config| {
        config.http.tokens = vec![token("reads", AccessLevel::Read, None)];
    })
    .await;
    for page in ["/#/", "/#/room/1"] {
        browser.open("about:blank").await;
        browser.open(&doors.url(page)).await;
        browser.until("document.querySelector('#token').open").await;
        browser.drawn().await;
        says_nothing(&browser, &format!("{page} behind the token's dialog")).await;
    }

    // A gateway that accepts the connection and says nothing.
    let silent = "window.WebSocket = class extends WebSocket { set onmessage(handle) {} };";
    let silent = json!({"source": silent});
    let script = browser
        .devtools("Page.addScriptToEvaluateOnNewDocument", silent)
        .await;
    for page in ["/#/", "/#/room/1"] {
        browser.open("about:blank").await;
        browser.open(&doors.url(page)).await;
        browser.until("document.querySelector('main h1')").await;
        browser.drawn().await;
        says_nothing(&browser, &format!("{page} while connecting")).await;
    }
    browser
        .devtools("Page.removeScriptToEvaluateOnNewDocument", script)
        .await;
    drop(browser);
    doors.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_lost_connection_values_are_old_and_nothing_is_claimed() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let mut doors = Doors::start().await;
    for page in ["/#/room/1", "/#/"] {
        browser.open("about:blank").await;
        browser.open(&doors.url(page)).await;
        browser.until(LINK_IS_UP).await;
        browser
            .until("[...document.querySelectorAll('.pill')].some((pill) => pill.textContent === 'Online')")
            .await;
        assert_ne!(green(&browser).await, [""; 0]);
        doors.config.http.listen = Some(doors.addr());
        doors.service.stop().await;
        browser
            .until("document.body.dataset.link === 'down' && document.querySelector('.as-of:not([hidden])')?.textContent.startsWith('as of ')")
            .await;
        browser.drawn().await;
        let claims = "[...document.querySelectorAll('.pill, .status')].map((each) => each.textContent).filter((text) => /^(Online|Offline|Gateway (running|stopped))$/.test(text) && text !== document.querySelector('[aria-label=Calendar] .status')?.textContent)";
        assert_eq!(browser.value(claims).await, json!([]), "{page}");
        assert_eq!(green(&browser).await, [""; 0], "{page}");
        let says = "document.querySelector('#notice').textContent.includes('The values are as of')";
        browser.until(says).await;
        doors.service = App::start(doors.config.clone(), timings()).await.unwrap();
        browser
            .until("document.body.dataset.link === 'up' && !document.querySelector('[data-stale]')")
            .await;
    }
    drop(browser);
    doors.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offline_room_says_since_when_why_what_to_do_and_when_it_is_tried_again() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let doors = Doors::start().await;
    browser.open(&doors.url("/#/room/1")).await;
    browser
        .until("document.querySelector('.tile[data-tone=good]')")
        .await;
    doors.device.person_sets_password("another");
    doors.device.expire_sessions();
    let shown = "document.querySelector('.problem')?.innerText";
    browser
        .until(&format!("{shown}.includes('Log-in refused since ')"))
        .await;
    for says in [
        "(unauthorized)",
        "Correct the room\\'s user or password",
        "It is tried again at about ",
    ] {
        browser.until(&format!("{shown}.includes('{says}')")).await;
    }
    browser
        .until("document.querySelector('.head .as-of').textContent.startsWith('as of ')")
        .await;
    assert_eq!(green(&browser).await, [""; 0]);
    // Its values are still there.
    browser
        .until("document.querySelector('output').textContent === '62'")
        .await;
    drop(browser);
    doors.stop().await;
}

const NASTY: &str = include_str!("browser_pages/nasty.js");

/// The ids of the rooms that are shown, in order.
const SHOWN: &str = "[...document.querySelectorAll('[data-room]')].filter((each) => !each.hidden).map((each) => each.dataset.room)";

#[tokio::test(flavor = "multi_thread")]
async fn many_rooms_are_sorted_filtered_and_listed() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let doors = Doors::start().await;
    let source = json!({"source": format!("({NASTY})({{}})")});
    browser
        .devtools("Page.addScriptToEvaluateOnNewDocument", source)
        .await;
    browser.open(&doors.url("/#/")).await;
    browser
        .until("document.querySelectorAll('[data-room]').length > 100")
        .await;
    // Problems come first: the offline rooms, then those that are not ready.
    browser
        .until(&format!(
            "{SHOWN}.slice(1, 3).join() === 'many-50,many-100'"
        ))
        .await;
    let first = browser.value(&format!("{SHOWN}.slice(0, 1)")).await;
    assert_eq!(first, json!(["offline"]));
    // A card names the problem, and no certificate.
    let card = browser
        .value("document.querySelector('[data-room=offline]').innerText")
        .await;
    let card = card.as_str().unwrap();
    assert!(card.contains("Certificate changed since "), "{card}");
    assert!(!card.contains("sha256") && !card.contains("abab"), "{card}");

    let choose = async |label: &str, value: &str| {
        let list = format!("document.querySelector('[aria-label=\"{label}\"]')");
        browser
            .value(&format!(
                "({list}.value = '{value}', {list}.dispatchEvent(new Event('change')), 0)"
            ))
            .await;
    };
    choose("Which rooms", "offline").await;
    browser.until(&format!("{SHOWN}.length === 3")).await;
    choose("Which rooms", "call").await;
    browser
        .until(&format!(
            "{SHOWN}.includes('many-9') && !{SHOWN}.includes('many-10')"
        ))
        .await;
    browser.write("[type=search]", "room 99").await;
    browser
        .until(&format!("{SHOWN}.join() === 'many-99'"))
        .await;
    browser.write("[type=search]", " ").await;
    choose("Which rooms", "any").await;
    choose("Order", "names").await;
    browser
        .until(&format!("{SHOWN}.indexOf('many-1') < {SHOWN}.indexOf('many-2') && {SHOWN}.indexOf('many-49') < {SHOWN}.indexOf('many-50')"))
        .await;

    // So many rooms are a list, each in one line; cards are a choice, which lasts.
    let height = "document.querySelector('[data-room=many-1]').offsetHeight";
    let line = browser.value(height).await.as_f64().unwrap();
    assert!(line < 60.0, "{line}");
    browser.click("[name=view][value=cards]").await;
    browser.until(&format!("{height} > {line} + 30")).await;
    browser.value("location.reload()").await;
    browser
        .until("document.querySelector('.rooms')?.dataset.view === 'cards' && document.querySelector('[aria-label=Order]').value === 'names'")
        .await;
    assert_eq!(browser.errors().await, [""; 0]);
    drop(browser);
    doors.stop().await;
}

/// A room that is not there has nothing to press or to read, only what is the matter.
#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_is_not_there_shows_nothing_but_that() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let doors = Doors::start_with(ClientLimits::default(), |config| {
        config.http.tokens = vec![token("for-room-1", AccessLevel::Control, Some(&["1"]))];
    })
    .await;
    browser.open(&doors.url("/")).await;
    browser.until("document.querySelector('#token').open").await;
    browser.write("#token-input", "for-room-1").await;
    browser.click("#token [type=submit]").await;
    browser.until(LINK_IS_UP).await;
    // Another token's room, and one that nobody has.
    for room in ["2", "nowhere"] {
        browser
            .value(&format!("(location.hash = '#/room/{room}', 0)"))
            .await;
        browser
            .until("document.querySelector('main .empty')?.checkVisibility()")
            .await;
        let shown = browser
            .value("document.querySelector('main').innerText")
            .await;
        let shown = shown.as_str().unwrap();
        assert!(
            shown.contains("There is no such room, or this token is not for it."),
            "{shown}"
        );
        let pressable = "[...document.querySelectorAll('main button, main input, main summary')].filter((each) => each.checkVisibility()).length";
        assert_eq!(browser.value(pressable).await, 0, "{room}: {shown}");
        assert!(!shown.contains("Panel for a tablet"), "{shown}");
    }
    browser.value("(location.hash = '#/room/1', 0)").await;
    browser
        .until("document.querySelector('fieldset.columns')?.disabled === false")
        .await;
    drop(browser);
    doors.stop().await;
}

/// The embedded broker with users refuses a client that does not log in, so the copied command has a place
/// for both.
#[tokio::test(flavor = "multi_thread")]
async fn a_copied_publish_has_a_login_where_the_broker_asks_for_one() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    for with_users in [true, false] {
        let doors = Doors::start_with(ClientLimits::default(), |config| {
            config.mqtt.url = BrokerUrl::Embedded(([127, 0, 0, 1], 0).into());
            if with_users {
                config.mqtt.users = vec![MqttUser {
                    name: "panel".into(),
                    password: Secret::new("a-password-of-it"),
                    rooms: None,
                    control: true,
                }];
            }
        })
        .await;
        browser.open(&doors.url("/#/console/audio%2Fmute")).await;
        browser
            .until("document.querySelector('.copy-box pre')?.textContent.startsWith('mosquitto_pub -h 127.0.0.1')")
            .await;
        let copied = browser
            .value("document.querySelector('.copy-box pre').textContent")
            .await;
        let copied = copied.as_str().unwrap();
        assert_eq!(
            copied.contains(" -u USER -P PASSWORD "),
            with_users,
            "{copied}"
        );
        doors.stop().await;
    }
}

/// Two lines for a room's name leave the log readable, and topics are as they are written.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_stays_readable_with_a_long_name() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let doors = Doors::start_with(ClientLimits::default(), |config| {
        for (id, name) in [
            ("1", "Besprechungsraum".repeat(12)),
            ("2", "قاعة ".repeat(40)),
        ] {
            configured(config, id).name = Some(name.trim().to_owned());
        }
    })
    .await;
    post(&doors.url("/room/1/audio/volum/set"), "1").await;
    browser.open(&doors.url("/#/log")).await;
    browser
        .until("document.querySelectorAll('.log-page .log-entry[data-kind=online]').length === 2")
        .await;
    let heights = browser
        .value("[...document.querySelectorAll('.log-page .log-entry')].map((each) => each.getBoundingClientRect().height)")
        .await;
    for height in heights.as_array().unwrap() {
        assert!(height.as_f64() < Some(70.0), "{heights}");
    }
    // The whole name is there to be read.
    let title = browser
        .value("document.querySelector('.log-entry[data-kind=online] .place a').title.length > 100")
        .await;
    assert_eq!(title, true);
    let failure = browser
        .value("document.querySelector('.log-entry[data-kind=failure] .what').textContent")
        .await;
    let failure = failure.as_str().unwrap();
    assert!(
        failure.contains(" audio/volum/set is not a command; did you mean audio/volume/set?"),
        "{failure}"
    );
    drop(browser);
    doors.stop().await;
}
