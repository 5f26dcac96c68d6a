//! `poly2mqtt clear`: what a gateway has left at a broker goes, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use poly2mqtt::app::App;
use poly2mqtt::config::{self, Config};
use poly2mqtt_simulator::{Options, SimulatedDevice};
use rumqttc::v5::mqttbytes::v5::{Publish, PublishProperties};
use tokio::task::{JoinSet, block_in_place};
use tokio::time::sleep;

use poly2mqtt_test_support::client::{Client, text};
use poly2mqtt_test_support::gateway::timings;
use poly2mqtt_test_support::program::{output, program};
use poly2mqtt_test_support::scripted_broker::{Answer, Script, ScriptedBroker, TAKEN};
use poly2mqtt_test_support::{Mosquitto, mosquitto, soon, until};

/// A configuration as a file, for the program and for a gateway in the test.
struct File<'a> {
    directory: &'a Path,
    text: String,
}

impl<'a> File<'a> {
    fn new(directory: &'a Path, broker: &Mosquitto, device: &SimulatedDevice, mqtt: &str) -> Self {
        let rooms = ["1", "2"].map(|id| {
            let (url, certificate) = (device.url(), device.fingerprint());
            format!(
                "[rooms.{id}]\nurl = \"{url}\"\npassword = \"456\"\ncertificate = \"{certificate}\"\n"
            )
        });
        let text = format!(
            "[http]\nlisten = \"127.0.0.1:0\"\n[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\n{mqtt}\n{}",
            broker.port,
            rooms.concat()
        );
        Self { directory, text }
    }

    fn config(&self) -> Config {
        config::read("file".into(), &self.text, []).unwrap().config
    }

    /// Runs the gateway until it has published everything. `device`: what the ids of its documents begin with.
    async fn run_once(&self, client: &Client, availability: &str, device: &str) {
        let app = App::start(self.config(), timings()).await.unwrap();
        client.expect(availability, "online").await;
        has_published(client, device, ["1", "2"]).await;
        app.stop().await;
        client.expect(availability, "offline").await;
    }

    /// Runs `poly2mqtt clear` with these words; gives what it prints, or its error.
    fn clear(&self, words: &[&str]) -> Result<String, String> {
        let path = self.directory.join("poly2mqtt.toml");
        fs::write(&path, &self.text).unwrap();
        let file = ["clear", "--config", path.to_str().unwrap()];
        let output = output(program(&[&file, words].concat()));
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        if output.status.success() {
            Ok(text(output.stdout))
        } else {
            Err(text(output.stderr))
        }
    }
}

/// Waits until the documents of the gateway and of these rooms are there, and no new topic has come for a while.
async fn has_published(client: &Client, device: &str, rooms: [&str; 2]) {
    let rooms = rooms.map(|room| format!("_{room}"));
    for id in rooms.into_iter().chain(["-gateway".to_owned()]) {
        let document = format!("homeassistant/device/{device}{id}/config");
        client.message(&document).await;
    }
    let topics = || {
        let topics = client.all().into_iter().map(|(topic, _)| topic);
        topics.collect::<BTreeSet<_>>().len()
    };
    let nothing_new = async || {
        let before = topics();
        sleep(Duration::from_secs(2)).await;
        topics() == before
    };
    until(|| "no new topic".into(), nothing_new).await;
}

async fn retained(broker: &Mosquitto) -> BTreeMap<String, String> {
    let all = Client::retained(broker.port).await;
    let topic = |message: &Publish| String::from_utf8_lossy(&message.topic).into_owned();
    all.iter().map(|it| (topic(it), text(it))).collect()
}

fn below<'a>(retained: &'a BTreeMap<String, String>, start: &str) -> Vec<&'a str> {
    let topics = retained.keys().map(String::as_str);
    topics.filter(|topic| topic.starts_with(start)).collect()
}

const STATES: [(&str, &str); 4] = [
    ("room/1/notes", "somebody's"),
    ("room/old/audio/volume", "unmarked"),
    ("homeassistant/device/zigbee/config", "{}"),
    ("other/thing", "x"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_former_prefix_is_listed_and_then_cleared() {
    if mosquitto().is_none() {
        return;
    }
    let broker = Mosquitto::start(0, "");
    let client = Client::connect(broker.port).await;
    let device = SimulatedDevice::start(Options::default()).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    for (topic, payload) in STATES {
        let none = PublishProperties::default();
        client.publish_with(topic, payload, true, none).await;
    }
    let without = File::new(directory.path(), &broker, &device, "");
    without
        .run_once(&client, "gateway/availability", "poly2mqtt")
        .await;
    let with = File::new(directory.path(), &broker, &device, "topic_prefix = \"av\"");
    with.run_once(&client, "av/gateway/availability", "poly2mqtt-av")
        .await;
    let before = retained(&broker).await;
    let rooms = below(&before, "room/1/").len();
    assert!(rooms > 30);

    // Of the present prefix there is nothing to clear.
    let told = with.clear(&[]).unwrap();
    assert!(told.contains("nothing of this gateway"), "{told}");
    // A dry list.
    let told = with.clear(&["--prefix", ""]).unwrap();
    for topic in [
        "room/1/audio/volume\n",
        "room/2/availability\n",
        "gateway/info\n",
        "homeassistant/device/poly2mqtt_1/config\n",
        "homeassistant/device/poly2mqtt-gateway/config\n",
        "would be cleared; --yes",
        "1 topic that no gateway has marked",
    ] {
        assert!(told.contains(topic), "{topic}\n{told}");
    }
    assert_eq!(retained(&broker).await, before);
    // Then in earnest.
    with.clear(&["--prefix", "", "--yes"]).unwrap();
    let after = retained(&broker).await;
    assert_eq!(
        below(&after, "room/"),
        ["room/1/notes", "room/old/audio/volume"]
    );
    assert!(below(&after, "gateway/").is_empty());
    for (topic, payload) in STATES {
        assert_eq!(after[topic], payload);
    }
    assert_eq!(below(&after, "av/"), below(&before, "av/"));
    let documents = [
        "homeassistant/device/poly2mqtt-av-gateway/config",
        "homeassistant/device/poly2mqtt-av_1/config",
        "homeassistant/device/poly2mqtt-av_2/config",
        "homeassistant/device/zigbee/config",
    ];
    assert_eq!(below(&after, "homeassistant/"), documents);
    // What an old version has left goes when it is asked for.
    with.clear(&["--prefix", "", "--unmarked", "--yes"])
        .unwrap();
    let after = retained(&broker).await;
    assert_eq!(below(&after, "room/"), ["room/1/notes"]);
    device.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_and_documents_that_are_not_wanted_any_more_go_and_others_stay() {
    if mosquitto().is_none() {
        return;
    }
    let broker = Mosquitto::start(0, "");
    let client = Client::connect(broker.port).await;
    let device = SimulatedDevice::start(Options::default()).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let own = File::new(directory.path(), &broker, &device, "");
    own.run_once(&client, "gateway/availability", "poly2mqtt")
        .await;
    // Another gateway, with the same topics.
    let other = File::new(directory.path(), &broker, &device, "client_id = \"other\"");
    let other = File {
        text: other
            .text
            .replace("rooms.1", "rooms.7")
            .replace("rooms.2", "rooms.8"),
        ..other
    };
    let theirs = App::start(other.config(), timings()).await.unwrap();
    client.expect("room/7/availability", "online").await;
    has_published(&client, "poly2mqtt", ["7", "8"]).await;
    let before = retained(&broker).await;

    // Without discovery, and without room 2.
    let (text, _) = own.text.split_once("[rooms.2]").unwrap();
    let own = File {
        text: format!("{text}[home_assistant]\ndiscovery = false\n"),
        ..own
    };
    let told = own.clear(&["--yes"]).unwrap();
    assert!(told.contains("of other gateways stay"), "{told}");
    let after = retained(&broker).await;
    assert!(below(&after, "room/2/").is_empty());
    for start in ["room/1/", "room/7/", "room/8/", "gateway/"] {
        assert_eq!(below(&after, start), below(&before, start), "{start}");
    }
    // The gateway's document is the other's, which has published it last.
    let documents = [
        "homeassistant/device/poly2mqtt-gateway/config",
        "homeassistant/device/poly2mqtt_7/config",
        "homeassistant/device/poly2mqtt_8/config",
    ];
    assert_eq!(below(&after, "homeassistant/"), documents);

    // What is running under that id is not cleared.
    let refused = own.clear(&["--client-id", "other", "--yes"]).unwrap_err();
    assert!(refused.contains("is running"), "{refused}");
    theirs.stop().await;
    own.clear(&["--client-id", "other", "--yes"]).unwrap();
    let after = retained(&broker).await;
    assert!(below(&after, "room/7/").is_empty() && below(&after, "homeassistant/").is_empty());
    assert_eq!(below(&after, "room/1/"), below(&before, "room/1/"));
    device.stop().await;
}

#[test]
fn without_a_broker_that_keeps_anything_there_is_nothing_to_clear() {
    let directory = tempfile::tempdir().unwrap();
    for (url, says) in [
        ("embedded://127.0.0.1:0", "keeps nothing over a restart"),
        ("off", "no broker is configured"),
    ] {
        let file = File {
            directory: directory.path(),
            text: format!("[mqtt]\nurl = \"{url}\"\n"),
        };
        let told = file.clear(&["--yes"]).unwrap();
        assert!(told.contains(says), "{told}");
    }
    let file = File {
        directory: directory.path(),
        text: "[mqtt]\nurl = \"mqtt://127.0.0.1:1\"\n".into(),
    };
    let refused = file.clear(&[]).unwrap_err();
    assert!(
        refused.contains("no connection to 127.0.0.1:1"),
        "{refused}"
    );
}

/// Whether the broker only tells what is asked for by name, what it holds, and what is said.
type Case = (
    bool,
    &'static [&'static str],
    Result<&'static str, &'static str>,
);

/// RabbitMQ tells what it retains only to those who ask for exactly that topic.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_does_not_tell_what_it_holds_is_not_said_to_be_clear() {
    let cases = [
        (
            true,
            &["gateway/info"][..],
            Err("does not tell what it holds"),
        ),
        (
            true,
            &["gateway/availability"],
            Err("It does hold gateway/availability"),
        ),
        (true, &[], Ok("nothing of this gateway")),
        (false, &["gateway/info"], Ok("nothing of this gateway")),
        (
            false,
            &["gateway/info", "room/1/audio/volume"],
            Ok("no gateway has marked"),
        ),
    ];
    let check = |(by_name_only, held, says): Case| async move {
        let broker = ScriptedBroker::start(Script {
            tells_retained: Box::new(move |filter, topic| !by_name_only || filter == topic),
            ..Script::default()
        })
        .await;
        for topic in held {
            broker.retain(topic, "x");
        }
        let directory = tempfile::tempdir().unwrap();
        let file = File {
            directory: directory.path(),
            text: format!("[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\n", broker.port),
        };
        for words in [&["--yes"][..], &[]] {
            match (block_in_place(|| file.clear(words)), says) {
                (Ok(told), Ok(says)) | (Err(told), Err(says)) => {
                    assert!(told.contains(says), "{told}");
                }
                (told, _) => panic!("{held:?} {told:?}"),
            }
        }
    };
    let mut running = JoinSet::new();
    for case in cases {
        running.spawn(check(case));
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
}

/// A gateway and its clients publish all the time while the broker tells what it holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_meanwhile_does_not_hold_it_up() {
    if mosquitto().is_none() {
        return;
    }
    let broker = Mosquitto::start(0, "");
    let client = Client::connect(broker.port).await;
    let publish = async |topic: &str, retain: bool| {
        let none = PublishProperties::default();
        client.publish_with(topic, "x", retain, none).await;
    };
    publish("room/1/audio/volume", true).await;
    let busy = async {
        loop {
            for topic in ["room/2/audio/volume/get", "gateway/log"] {
                publish(topic, false).await;
            }
            publish("room/2/audio/volume", true).await;
            sleep(Duration::from_millis(100)).await;
        }
    };
    let directory = tempfile::tempdir().unwrap();
    let text = format!("[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\n", broker.port);
    let path = directory.path().to_owned();
    let clears = tokio::task::spawn_blocking(move || {
        let file = File {
            directory: &path,
            text,
        };
        file.clear(&["--unmarked"])
    });
    let told = tokio::select! {
        told = soon("an answer", clears) => told.unwrap().unwrap(),
        () = busy => unreachable!(),
    };
    assert!(told.contains("room/1/audio/volume\n"), "{told}");
}

/// A broker that drops what is above its rate gets the rest again, more slowly.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_broker_leaves_unanswered_is_sent_again() {
    let dropped = AtomicUsize::new(0);
    let broker = ScriptedBroker::start(Script {
        publish: Box::new(move |_| match dropped.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => Answer::Silence,
            _ => TAKEN,
        }),
        tells_retained: Box::new(|_, _| true),
        ..Script::default()
    })
    .await;
    for topic in ["room/1/audio/volume", "room/1/audio/muted"] {
        broker.retain(topic, "x");
    }
    let directory = tempfile::tempdir().unwrap();
    let file = File {
        directory: directory.path(),
        text: format!("[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\n", broker.port),
    };
    let words = ["--yes", "--unmarked"];
    let told = block_in_place(|| file.clear(&words)).unwrap();
    assert!(told.contains("2 topics cleared"), "{told}");
}
