//! Devices that ask for fewer requests, or are in trouble: they get fewer, never more, and a device that answers some
//! is online.

use std::collections::BTreeMap;
use std::time::Duration;

use poly2mqtt::app::App;
use poly2mqtt::config::{BrokerUrl, RoomId};
use poly2mqtt::device::DeviceTimings;
use poly2mqtt_simulator::{Fault, FaultKind, Options, SimulatedDevice};
use poly2mqtt_test_support::gateway::{Gateway, config, room, timings};
use poly2mqtt_test_support::log::thread_log;
use poly2mqtt_test_support::until;
use tokio::time::{Instant, sleep};

const ASKS: &str = "the device asks for fewer requests";

/// How many requests were answered and how many refused in this time.
async fn counted(device: &SimulatedDevice, time: Duration) -> (usize, usize) {
    device.clear_journal();
    sleep(time).await;
    let journal = device.journal();
    let refused = journal.iter().filter(|entry| entry.status == 429).count();
    (journal.len() - refused, refused)
}

/// A proxy before the device lets some requests through in each second, and refuses the rest with `Retry-After`.
#[tokio::test]
async fn a_device_that_asks_for_fewer_requests_gets_fewer_and_stays_online() {
    let (log, _guard) = thread_log();
    let it = Gateway::start_online(Options::default()).await;
    let time = Duration::from_secs(3);
    let (usual, _) = counted(&it.device, time).await;
    it.device.limit_requests(6, Duration::from_secs(1));
    log.contains(ASKS).await;
    let mut refused_in_all = 0;
    for _ in 0..2 {
        let (answered, refused) = counted(&it.device, time).await;
        assert!(
            answered + refused < usual / 2,
            "{answered}, {refused} of {usual}"
        );
        refused_in_all += refused;
    }
    assert!(refused_in_all <= 8, "{refused_in_all}");
    it.never_offline();
    // Commands go on, and one that is refused says why.
    let result = it.client.command("room/1/audio/volume/set", "31").await;
    let told = result["error"]["message"].as_str().unwrap_or(ASKS);
    assert!(
        result["ok"] == true || told.contains("asks to wait"),
        "{result}"
    );
    it.device.limit_requests(0, Duration::ZERO);
    log.contains("the device is read at the usual pace again")
        .await;
    let (answered, refused) = counted(&it.device, time).await;
    assert!(
        answered > usual / 2 && refused == 0,
        "{answered} of {usual}"
    );
    it.never_offline();
    let said = log.text();
    assert_eq!(said.matches(ASKS).count(), 1, "{said}");
    assert!(
        said.contains("set poll = \"gentle\" for the room"),
        "{said}"
    );
    it.stop().await;
}

/// It may have been carried out by a device that refuses the answer, so it is sent once.
#[tokio::test]
async fn a_command_that_is_put_off_is_sent_once_and_says_for_how_long() {
    let it = Gateway::start_online(Options::default()).await;
    for (topic, payload, path) in [
        ("audio/volume/set", "31", "/rest/audio/volume"),
        ("call/dial", "alice@example.com", "/rest/conferences"),
    ] {
        for (status, after, words) in [
            (
                429,
                "9",
                "429: too many requests at a time; it asks to wait 9 s",
            ),
            (503, "30", "503; it asks to wait 30 s"),
        ] {
            let kind = FaultKind::RetryAfter(status, after.to_owned());
            it.device.add_fault(Fault::on(path, kind).method("POST"));
            it.device.clear_journal();
            let result = it.client.command(&format!("room/1/{topic}"), payload).await;
            assert_eq!(result["error"]["code"], "device_error", "{result}");
            assert_eq!(result["status"], status, "{result}");
            let message = result["error"]["message"].as_str().unwrap();
            assert!(message.contains(words), "{message}");
            let journal = it.device.journal().into_iter();
            let sent = journal.filter(|entry| entry.method == "POST" && entry.path == path);
            assert_eq!(sent.count(), 1, "{topic}");
            it.device.clear_faults();
        }
    }
    it.never_offline();
    it.stop().await;
}

/// One that answers nothing else for long is not online: its states are old. The log-in changes nothing of that.
#[tokio::test]
async fn a_device_that_only_asks_for_fewer_requests_is_offline_after_a_while() {
    let (log, _guard) = thread_log();
    let device = SimulatedDevice::start(Options::default()).await.unwrap();
    let rooms = BTreeMap::from([(RoomId::new("1").unwrap(), room(&device))]);
    let timings = DeviceTimings {
        loss_before_offline: Duration::from_secs(3),
        ..timings()
    };
    let service = App::start(config(BrokerUrl::Off, rooms), timings)
        .await
        .unwrap();
    let store = service.store();
    let text = |topic: &str| {
        let value = store.get(topic).map(|value| value.payload.to_vec());
        String::from_utf8(value.unwrap_or_default()).unwrap()
    };
    let is = async |wanted: &str| {
        let what = || format!("{wanted}, not {}", text("room/1/problem"));
        until(what, async || text("room/1/availability") == wanted).await;
    };
    is("online").await;
    let kind = FaultKind::RetryAfter(429, "1".into());
    device.add_fault(Fault::on("/rest/", kind));
    let began = Instant::now();
    is("offline").await;
    assert!(began.elapsed() > Duration::from_secs(2));
    let problem = text("room/1/problem");
    assert!(
        problem.contains("429") && problem.contains("gentle"),
        "{problem}"
    );
    // Each attempt is a look at the session and a read.
    let (_, refused) = counted(&device, Duration::from_secs(5)).await;
    assert!((1..=12).contains(&refused), "{refused}");
    let offline = log.text().matches("offline problem=").count();
    assert_eq!(offline, 1, "{}", log.text());
    device.clear_faults();
    is("online").await;
    service.stop().await;
    device.stop().await;
}

/// Each log-in reads everything, but not at once if the device was of no use after the one before.
#[tokio::test]
async fn a_device_in_trouble_gets_no_more_requests_than_one_that_is_well() {
    let it = Gateway::start_online(Options::default()).await;
    let time = Duration::from_secs(4);
    let (usual, _) = counted(&it.device, time).await;
    for kind in [
        FaultKind::Status(500),
        FaultKind::Status(503),
        FaultKind::Status(404),
        FaultKind::Page,
        FaultKind::DropBefore,
    ] {
        it.client.clear();
        it.device.add_fault(Fault::on("/rest/", kind.clone()));
        it.client.expect("room/1/availability", "offline").await;
        let (asked, _) = counted(&it.device, time).await;
        assert!(asked < usual, "{kind:?}: {asked} of {usual}");
        it.device.clear_faults();
        it.online().await;
    }
    it.stop().await;
}
