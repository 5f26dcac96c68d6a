//! The dashboard in headless Chromium, as a person uses it.
//!
//! Skipped where Chromium and chromedriver are missing; with `POLY2MQTT_TEST_BROWSER=required`
//! that is an error.
use poly2mqtt::app::App;
use poly2mqtt::config::{AccessLevel, Config};
use poly2mqtt::doors::clients::ClientLimits;
use poly2mqtt_simulator::{Condition, Fault, FaultKind};
use serde_json::{Value, json};

use poly2mqtt_test_support::SOON;
use poly2mqtt_test_support::browser::{Browser, LINK_IS_UP};
use poly2mqtt_test_support::door::{Doors, token};
use poly2mqtt_test_support::gateway::{configured, timings};

/// Sets `window.ran` if it gets into the page as markup.
const HOSTILE: &str = "<img src=x onerror=\"window.ran=true\"><script>window.ran=true</script>";
const MIC: &str = "[data-command='audio/muted/set']";
const LEFT: &str = "[data-direction=left]";

fn pressed(selector: &str, is: bool) -> String {
    format!("document.querySelector(\"{selector}\")?.ariaPressed === '{is}'")
}

fn named(config: &mut Config, names: &[(&str, &str)]) {
    for (id, name) in names {
        configured(config, id).name = Some((*name).to_owned());
    }
}

async fn open(browser: &Browser, doors: &Doors, path: &str) {
    browser.open(&doors.url(path)).await;
    connected(browser).await;
}

async fn connected(browser: &Browser) {
    browser.until(LINK_IS_UP).await;
}

/// Waits until this holds of the simulated device.
async fn device(doors: &Doors, what: &str, holds: impl Fn(&Value) -> bool) {
    let so = doors.device.wait_for(SOON, |device| holds(&device.state()));
    assert!(so.await, "{what}: {:#}", doors.device.state());
}

/// The starts and stops of the selected camera, in order.
fn moves(state: &Value) -> Vec<String> {
    let moves = state["cameras"]["moves"].as_array().unwrap().iter();
    let word = |entry: &Value| Some(entry.as_str()?.split_once(' ')?.1.to_owned());
    moves.map(|entry| word(entry).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_of_the_room_is_made_and_read() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let doors = Doors::start_with(ClientLimits::default(), |_| {}).await;
    doors.device.set_condition(Condition::NoMicrophones, true);
    open(&browser, &doors, "/#/room/1").await;
    let panel = "document.querySelector('[aria-label=Readiness]')";
    browser
        .until(&format!("{panel}?.textContent.includes('Not checked yet')"))
        .await;
    browser
        .until("!document.querySelector('fieldset.columns').disabled")
        .await;
    browser.click("[aria-label=Readiness] button").await;
    browser
        .until(&format!(
            "{panel}.querySelector('.pill').textContent === 'Not ready'"
        ))
        .await;
    // What failed comes first, with what to do.
    let first = format!("{panel}.querySelector('li').textContent");
    browser
        .until(&format!(
            "{first}.startsWith('Microphones') && {first}.includes('; check the microphones')"
        ))
        .await;
    doors.device.set_condition(Condition::NoMicrophones, false);
    browser
        .until(&format!(
            "{panel}.querySelector('button').ariaBusy !== 'true'"
        ))
        .await;
    browser.click("[aria-label=Readiness] button").await;
    browser
        .until(&format!(
            "{panel}.querySelector('.pill').textContent === 'Ready'"
        ))
        .await;
    assert_eq!(browser.errors().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_dials_with_the_keyboard_hangs_up_with_it() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let doors = Doors::start_with(ClientLimits::default(), |_| {}).await;
    open(&browser, &doors, "/#/room/1").await;
    browser
        .until("!document.querySelector('fieldset.columns').disabled")
        .await;
    let focused = |text: &str| format!("document.activeElement.textContent === '{text}'");
    browser.write("[name=address]", "echo@example.com").await;
    browser
        .value("document.querySelector('[name=address]').form.requestSubmit()")
        .await;
    browser.until(&focused("Hang up")).await;
    browser.value("document.activeElement.click()").await;
    browser
        .until("document.activeElement.name === 'address'")
        .await;
    assert_eq!(browser.errors().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_long_says_for_how_long_already() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let doors = Doors::start_with(ClientLimits::default(), |_| {}).await;
    let late = FaultKind::Delay(SOON);
    doors
        .device
        .add_fault(Fault::on("/rest/system/logs", late).times(1));
    open(&browser, &doors, "/#/console/system%2Flogs%2Fget").await;
    browser
        .until("document.querySelector('select[aria-label=Room]').value === '1'")
        .await;
    browser.click("form button[type=submit]").await;
    let shown = "document.querySelector('form button[type=submit]').dataset.busyFor";
    browser
        .until(&format!("/^[1-9][0-9]* s$/.test({shown} ?? '')"))
        .await;
    doors.device.end_delays();
    browser.until(&format!("{shown} === undefined")).await;
    browser
        .until("document.querySelector('[aria-label=Command] [role=status]').textContent.includes('ok · ')")
        .await;
    assert_eq!(browser.errors().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_is_used_and_a_restart_survived() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let mut doors = Doors::start_with(ClientLimits::default(), |config| {
        named(config, &[("1", "Boardroom"), ("2", HOSTILE)]);
        let room = configured(config, "1");
        room.presets.insert(3, "Lectern".into()).unwrap();
        room.presets.insert(4, HOSTILE[..60].into()).unwrap();
    })
    .await;
    doors.device.person_mutes(true);
    open(&browser, &doors, "/").await;

    // A name is shown as text, wherever it comes from.
    browser
        .until("document.querySelector('[data-room=\"2\"] h2')?.textContent.startsWith('<img')")
        .await;
    browser.click("[data-room='1']").await;

    // Unmuted here, muted by a person in the room.
    browser.until(&pressed(MIC, true)).await;
    browser.click(MIC).await;
    browser.until(&pressed(MIC, false)).await;
    device(&doors, "unmuted", |state| state["audio"]["muted"] == false).await;
    doors.device.person_mutes(true);
    browser.until(&pressed(MIC, true)).await;

    // Presets have their names, as text; they are recalled, stored, cleared.
    let label = |number: usize| {
        format!("document.querySelector('[data-preset=\"{number}\"]')?.textContent?")
    };
    for (number, starts) in [(3, "Lectern"), (4, "<img src=x"), (5, "5")] {
        browser
            .until(&format!("{}.startsWith('{starts}')", label(number)))
            .await;
    }
    browser.click("[data-preset='3']").await;
    device(&doors, "recalled", |state| {
        state["cameras"]["active_preset"] == 3
    })
    .await;
    let stored = |is: bool| {
        format!("document.querySelector('[data-preset=\"7\"]').dataset.stored === '{is}'")
    };
    browser.until(&stored(false)).await;
    for (mode, is) in [("store", true), ("clear", false)] {
        browser.click(&format!("[value='{mode}'][name]")).await;
        browser.click("[data-preset='7']").await;
        browser.click("#confirm-yes").await;
        browser.until(&stored(is)).await;
    }
    device(&doors, "cleared", |state| {
        state["cameras"]["stored"][6] == false
    })
    .await;

    // The connected cameras are listed by name; another one is selected.
    let select = "[data-command='camera/near/selected_people/set']";
    let shows = |name: &str| format!("document.querySelector(\"{select}\").value === '{name}'");
    browser.until(&shows("EagleEye Cube USB")).await;
    let names = format!("[...document.querySelector(\"{select}\").options].map((it) => it.text)");
    let names = browser.value(&names).await;
    assert_eq!(names, json!(["Main", "EagleEye Cube USB"]));
    for (name, index) in [("Main", 1), ("EagleEye Cube USB", 3)] {
        browser
            .value(&format!(
                "(document.querySelector(\"{select}\").value = '{name}', \
                 document.querySelector(\"{select}\").dispatchEvent(new Event('change')))"
            ))
            .await;
        device(&doors, "selected", |state| {
            state["cameras"]["people"] == index
        })
        .await;
        browser.until(&shows(name)).await;
        // A control takes nothing while its command is under way.
        let is_free = format!("document.querySelector(\"{select}\").ariaBusy !== 'true'");
        browser.until(&is_free).await;
    }

    // The camera moves while a button is held, and stops whatever ends that.
    browser.hold(LEFT).await;
    device(&doors, "moves", |state| moves(state) == ["MOVE_LEFT"]).await;
    browser.let_go().await;
    device(&doors, "let go", |state| {
        moves(state) == ["MOVE_LEFT", "stop"]
    })
    .await;
    browser.hold("[data-direction=zoom_in]").await;
    device(&doors, "zooms", |state| moves(state).len() == 3).await;
    browser.move_onto("h1").await;
    device(&doors, "left", |state| moves(state).len() == 4).await;
    browser.let_go().await;
    browser
        .value(&format!("document.querySelector('{LEFT}').focus()"))
        .await;
    let right = '\u{e014}';
    browser.key("keyDown", right).await;
    device(&doors, "by key", |state| moves(state).len() == 5).await;
    browser.key("keyUp", right).await;
    let all = [
        "MOVE_LEFT",
        "stop",
        "MOVE_ZOOMIN",
        "stop",
        "MOVE_RIGHT",
        "stop",
    ];
    device(&doors, "by key, let go", |state| moves(state) == all).await;

    // The page shows the device's volume.
    browser
        .value("document.querySelector('[type=range]').focus()")
        .await;
    browser.key("keyDown", right).await;
    browser.key("keyUp", right).await;
    browser
        .until("document.querySelector('output').textContent === '63'")
        .await;
    device(&doors, "louder", |state| state["audio"]["volume"] == 63).await;

    // A picture comes over the WebSocket.
    browser.click("[aria-label='Take a new picture']").await;
    browser
        .until("document.querySelector('figure img').naturalWidth === 640")
        .await;

    // A call from somebody whose name is markup.
    doors.device.person_calls_in(HOSTILE);
    browser
        .until("document.querySelector('.ringing b')?.textContent.startsWith('<img')")
        .await;
    browser.click("[data-verb=answer]").await;
    browser
        .until("[...document.querySelectorAll('.pill')].some((pill) => pill.textContent === 'In a call')")
        .await;

    // The console sends any command.
    browser.open(&doors.url("/#/console")).await;
    browser.write("[role=combobox]", "volume/set").await;
    browser.click("[data-topic='audio/volume/set']").await;
    browser.write("textarea", "41").await;
    browser.click("form [type=submit]").await;
    browser
        .until("document.querySelector('pre').textContent.includes('\"ok\": true')")
        .await;
    browser.write("textarea", "loud").await;
    browser.click("form [type=submit]").await;
    browser
        .until("document.querySelector('pre').textContent.includes('invalid_payload')")
        .await;
    device(&doors, "from the console", |state| {
        state["audio"]["volume"] == 41
    })
    .await;
    // A failure comes twice, as result and as event, but is logged once.
    browser.open(&doors.url("/#/log")).await;
    browser
        .until("document.querySelectorAll('.log-entry[data-ok=false]').length === 1")
        .await;

    assert_eq!(browser.value("window.ran === undefined").await, true);
    assert_eq!(browser.errors().await, Vec::<String>::new());

    // The gateway restarts: the page reconnects and shows what changed meanwhile.
    browser.open(&doors.url("/#/room/1")).await;
    browser.until(&pressed(MIC, true)).await;
    doors.config.http.listen = Some(doors.addr());
    doors.service.stop().await;
    browser.until("document.body.dataset.link === 'down'").await;
    browser
        .until("document.querySelector('fieldset.columns').disabled")
        .await;
    doors.device.person_mutes(false);
    doors.service = App::start(doors.config.clone(), timings()).await.unwrap();
    connected(&browser).await;
    browser.until(&pressed(MIC, false)).await;
    browser
        .until("!document.querySelector('fieldset.columns').disabled")
        .await;
    browser.click(MIC).await;
    device(&doors, "muted again", |state| {
        state["audio"]["muted"] == true
    })
    .await;

    // The page sent no request to any other server.
    let addr = doors.addr();
    let page = format!("http://{addr}/");
    let own = [
        page.clone(),
        format!("ws://{addr}/ws"),
        format!("blob:{page}"),
        "data:".to_owned(),
    ];
    let requests = browser.requests(&page).await;
    assert!(requests.len() > 2, "{requests:?}");
    for request in requests {
        let known = own.iter().any(|own| request.starts_with(own));
        assert!(known, "{request}");
    }
    drop(browser);
    doors.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_asked_for_and_a_read_only_one_changes_nothing() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let doors = Doors::start_with(ClientLimits::default(), |config| {
        config.http.tokens = vec![
            token("reads", AccessLevel::Read, Some(&["1"])),
            token("administers", AccessLevel::Admin, None),
        ];
    })
    .await;
    browser.open(&doors.url("/")).await;
    browser.until("document.querySelector('#token').open").await;
    browser.write("#token-input", "wrong").await;
    browser.click("#token [type=submit]").await;
    // The gateway refuses it so soon that the dialog may never be seen closed.
    browser
        .until(
            "document.querySelector('#token').open && \
             document.querySelector('#token-why').textContent.includes('does not accept')",
        )
        .await;
    browser.write("#token-input", "reads").await;
    browser.click("#token [type=submit]").await;
    connected(&browser).await;
    browser
        .until("!document.querySelector('#token').open")
        .await;
    // The page shows the token's room and no other, with its controls disabled.
    browser
        .until("document.querySelectorAll('.room-card').length === 1")
        .await;
    browser.click("[data-room='1']").await;
    browser
        .until("document.querySelector('#notice').textContent.startsWith('Read-only token: ')")
        .await;
    browser
        .until("document.querySelector('fieldset.columns').disabled")
        .await;
    browser.until(&pressed(MIC, false)).await;
    // The gateway refuses a command that is sent anyway.
    browser.open(&doors.url("/#/console/audio%2Fmute")).await;
    browser.click("form [type=submit]").await;
    browser
        .until("document.querySelector('pre').textContent.includes('forbidden')")
        .await;

    // After the token is forgotten, an admin token may send a guarded command.
    browser.click("#forget").await;
    browser.until("document.querySelector('#token').open").await;
    browser.write("#token-input", "administers").await;
    browser.click("#token [type=submit]").await;
    connected(&browser).await;
    browser.open(&doors.url("/#/room/2")).await;
    browser.click("button.warning").await;
    browser.click("#confirm-yes").await;
    let rebooted = doors.device.wait_for(SOON, |device| {
        let mut journal = device.journal().into_iter();
        journal.any(|entry| entry.path == "/rest/system/reboot" && entry.status == 200)
    });
    assert!(rebooted.await, "the device was not restarted");
    let token = browser.value("sessionStorage.getItem('token')").await;
    assert_eq!(token, "administers");
    drop(browser);
    doors.stop().await;
}
