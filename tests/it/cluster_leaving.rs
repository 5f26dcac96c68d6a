//! Gateways of a cluster as processes that come, go and die: no command that takes long is lost, and when all have
//! ended nothing is `online` at the broker. With a real etcd; skipped where it is not installed.

mod differing;
mod ending;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use poly2mqtt::cluster::{Placement, shard_of};
use poly2mqtt_simulator::{Fault, FaultKind, Options, SimulatedDevice};
use poly2mqtt_test_support::client::{Client, text};
use poly2mqtt_test_support::door;
use poly2mqtt_test_support::program::{Running, free_port, listening, output, program};
use poly2mqtt_test_support::{EtcdCluster, Mosquitto, etcd, mosquitto, soon, until, watchdog};
use serde_json::Value;
use tokio::time::sleep;

/// Longer than rooms that move may finish ordinary commands.
const LONGER_THAN_A_HAND_OVER: Duration = Duration::from_secs(14);
/// Longer than a gateway that ends gives ordinary commands.
const LONGER_THAN_AN_END: Duration = Duration::from_secs(7);

struct Campus {
    broker: Mosquitto,
    etcd: EtcdCluster,
    client: Client,
    devices: BTreeMap<String, SimulatedDevice>,
    dir: tempfile::TempDir,
}

struct Gateway {
    process: Running,
    port: u16,
    config: PathBuf,
}

impl Gateway {
    /// Starts a process with this configuration, which nobody else may read, and waits until it listens.
    fn run(path: PathBuf, config: &str, port: u16) -> Self {
        fs::write(&path, config).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        let process = Running::start(program(&["run", "--config", path.to_str().unwrap()]));
        listening(port);
        Self {
            process,
            port,
            config: path,
        }
    }

    /// Which gateway has each room, and its availability, as this one says.
    async fn rooms(&self) -> BTreeMap<String, (String, String)> {
        let url = format!("http://127.0.0.1:{}/room", self.port);
        let list: Value = door::get(&url).await.json().await.unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let rooms = list.as_array().unwrap().iter();
        rooms
            .map(|it| {
                (
                    text(&it["id"]),
                    (text(&it["gateway"]), text(&it["availability"])),
                )
            })
            .collect()
    }

    async fn until_rooms(
        &self,
        what: &str,
        holds: impl Fn(&BTreeMap<String, (String, String)>) -> bool,
    ) {
        until(|| what.to_owned(), async || holds(&self.rooms().await)).await;
    }
}

impl Campus {
    async fn start(rooms: &[String]) -> Option<Self> {
        if etcd().is_none() || mosquitto().is_none() {
            return None;
        }
        watchdog::watch();
        let broker = Mosquitto::start(0, "");
        let mut devices = BTreeMap::new();
        for id in rooms {
            let device = SimulatedDevice::start(Options::default()).await.unwrap();
            devices.insert(id.clone(), device);
        }
        Some(Self {
            client: Client::connect(broker.port).await,
            broker,
            etcd: EtcdCluster::start(1),
            devices,
            dir: tempfile::tempdir().unwrap(),
        })
    }

    fn gateway(&self, name: &str) -> Gateway {
        let port = free_port();
        let rooms = self.devices.iter().map(|(id, device)| {
            let (url, certificate) = (device.url(), device.fingerprint());
            format!("[rooms.{id}]\nurl = \"{url}\"\npassword = \"456\"\ncertificate = \"{certificate}\"\n")
        });
        let rooms: String = rooms.collect();
        let config = format!(
            "[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\n[http]\nlisten = \"127.0.0.1:{port}\"\nopen = true\n\
             [cluster]\nname = \"{name}\"\netcd = {:?}\nprefix = \"/test/campus\"\n\
             advertise = \"http://127.0.0.1:{port}\"\ntoken = \"a token of the cluster\"\n{rooms}",
            self.broker.port,
            self.etcd.endpoints(),
        );
        let path = self.dir.path().join(format!("{name}.toml"));
        Gateway::run(path, &config, port)
    }

    /// Both gateways run, and all rooms are online where they belong.
    async fn two(&self) -> [Gateway; 2] {
        let gateways = ["gw-1", "gw-2"].map(|name| self.gateway(name));
        for gateway in &gateways {
            gateway
                .until_rooms("the rooms are online where they belong", |rooms| {
                    self.are_placed(rooms)
                })
                .await;
        }
        gateways
    }

    fn are_placed(&self, rooms: &BTreeMap<String, (String, String)>) -> bool {
        rooms.len() == self.devices.len()
            && rooms.iter().all(|(id, (gateway, availability))| {
                gateway == wanted(id) && availability == "online"
            })
    }

    /// Begins to dial in a room, and says when the device has the request.
    async fn dial(&self, room: &str) {
        let device = &self.devices[room];
        let late = FaultKind::Delay(Duration::from_secs(50));
        device.add_fault(Fault::on("/rest/conferences", late).method("POST").times(1));
        let topic = format!("room/{room}/call/dial");
        self.client
            .publish(&topic, r#"{"address":"sip:a@example.com","request_id":7}"#)
            .await;
        until(
            || format!("room {room} dials"),
            async || device.delayed() > 0,
        )
        .await;
    }

    fn dials(&self, room: &str) -> usize {
        let journal = self.devices[room].journal();
        let dials = journal.iter();
        let dials = dials.filter(|it| it.method == "POST" && it.path == "/rest/conferences");
        dials.count()
    }

    async fn dial_result(&self, room: &str) -> Value {
        let topic = format!("room/{room}/call/dial/result");
        let result = text(&self.client.message(&topic).await);
        serde_json::from_str(&result).unwrap()
    }

    /// What the broker retains of availability.
    async fn availability(&self) -> BTreeMap<String, String> {
        let all = Client::retained(self.broker.port).await;
        all.iter()
            .map(|it| (String::from_utf8_lossy(&it.topic).into_owned(), text(it)))
            .filter(|(topic, _)| topic.ends_with("availability"))
            .collect()
    }

    /// Everything that a gateway has said `online` of is `offline` at the broker.
    async fn assert_all_offline(&self) {
        let availability = self.availability().await;
        let said = self.client.messages("gateway/availability");
        let said: Vec<String> = said.iter().map(text).collect();
        let rooms = self.devices.keys();
        let rooms = rooms.map(|id| format!("room/{id}/availability"));
        for topic in rooms.chain(["gateway/availability".into()]) {
            let last = availability.get(&topic).map(|it| &**it);
            assert_eq!(
                last,
                Some("offline"),
                "{topic}: {availability:?}, said {said:?}"
            );
        }
        assert!(
            availability.values().all(|it| it == "offline"),
            "{availability:?}"
        );
        assert_eq!(self.client.last("gateway/cluster").as_deref(), Some(""));
    }

    async fn stop(self) {
        for (_, device) in self.devices {
            soon("the end of a device", device.stop()).await;
        }
    }
}

/// The gateway that has a room while both run.
fn wanted(room: &str) -> &'static str {
    static PLACEMENT: LazyLock<Placement> =
        LazyLock::new(|| Placement::new(["gw-1", "gw-2"].map(|name| (name.to_owned(), 1)).into()));
    PLACEMENT.owner(shard_of(room)).unwrap()
}

/// So many rooms that belong to this gateway while both run.
fn rooms_of(gateway: &str, count: usize) -> Vec<String> {
    let ids = (1..).map(|n: u32| n.to_string());
    ids.filter(|id| wanted(id) == gateway).take(count).collect()
}

async fn ended(process: Running) {
    let ended = tokio::task::spawn_blocking(|| process.wait());
    let status = soon("the end of a gateway", ended).await.unwrap();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_dials_moves_to_a_gateway_that_joins_when_it_has_dialled() {
    let (moving, staying) = (rooms_of("gw-2", 2), rooms_of("gw-1", 1));
    let rooms = [&*moving, &staying].concat();
    let Some(campus) = Campus::start(&rooms).await else {
        return;
    };
    let (busy, idle) = (&moving[0], &moving[1]);
    let first = campus.gateway("gw-1");
    first
        .until_rooms("the rooms are online", |rooms| {
            rooms.values().all(|it| it.1 == "online")
        })
        .await;
    campus.dial(busy).await;
    let second = campus.gateway("gw-2");
    second
        .until_rooms("the other room has moved", |rooms| {
            rooms[idle] == ("gw-2".into(), "online".into())
        })
        .await;
    let moved = Instant::now();
    // The room that dials is served as ever.
    for _ in 0..2 {
        sleep(LONGER_THAN_A_HAND_OVER / 2).await;
        let logs = format!(
            "http://127.0.0.1:{}/room/{busy}/system/logs/get",
            second.port
        );
        assert_eq!(door::get(&logs).await.status(), 200);
        assert_eq!(second.rooms().await[busy].0, "gw-1");
    }
    assert!(moved.elapsed() > LONGER_THAN_A_HAND_OVER);
    assert!(
        campus
            .client
            .messages(&format!("room/{busy}/call/dial/result"))
            .is_empty()
    );
    campus.devices[busy].end_delays();
    let result = campus.dial_result(busy).await;
    assert_eq!(
        (&result["ok"], &result["request_id"]),
        (&true.into(), &7.into()),
        "{result}"
    );
    second
        .until_rooms("it moves after that", |rooms| campus.are_placed(rooms))
        .await;
    assert_eq!(campus.dials(busy), 1);
    let results = campus
        .client
        .messages(&format!("room/{busy}/call/dial/result"));
    assert_eq!(results.len(), 1);
    campus.stop().await;
}

/// The others still have a room that one of them is told to have no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_a_reload_takes_out_moves_when_it_has_finished_its_command() {
    let Some(campus) = Campus::start(&[&*rooms_of("gw-1", 1), &rooms_of("gw-2", 1)].concat()).await
    else {
        return;
    };
    let room = &rooms_of("gw-1", 1)[0];
    let [first, second] = campus.two().await;
    let device = &campus.devices[room];
    // Shorter than a reload waits for it.
    let late = FaultKind::Delay(Duration::from_secs(3));
    device.add_fault(
        Fault::on("/rest/audio/volume", late)
            .method("POST")
            .times(1),
    );
    let url = format!(
        "http://127.0.0.1:{}/room/{room}/audio/volume/set",
        first.port
    );
    let result = tokio::spawn(async move { door::post(&url, "40").await });
    until(|| "the device has it".into(), async || device.delayed() > 0).await;
    let config = fs::read_to_string(&first.config).unwrap();
    let (before, rest) = config.split_once(&format!("[rooms.{room}]")).unwrap();
    let after = rest.split_once("[rooms.").map(|(_, after)| after);
    let after = after.map_or(String::new(), |after| format!("[rooms.{after}"));
    fs::write(&first.config, format!("{before}{after}")).unwrap();
    first.process.signal("HUP");
    second
        .until_rooms("the room has moved", |rooms| rooms[room].0 == "gw-2")
        .await;
    assert_eq!(device.delayed(), 0, "two gateways at one device");
    assert_eq!(result.await.unwrap().0, 200);
    second
        .until_rooms("it is online", |rooms| {
            rooms[room] == ("gw-2".into(), "online".into())
        })
        .await;
    // The other gateway has the room still, so nothing of it was cleared.
    let all = campus.client.all().into_iter();
    let of_room = all.filter(|(topic, _)| topic.starts_with(&format!("room/{room}/")));
    let cleared: Vec<_> = of_room.filter(|(_, payload)| payload.is_empty()).collect();
    assert_eq!(cleared, []);
    campus.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_leaves_waits_for_a_room_that_dials() {
    let (leaving, staying) = (rooms_of("gw-2", 2), rooms_of("gw-1", 1));
    let Some(campus) = Campus::start(&[&*leaving, &staying].concat()).await else {
        return;
    };
    let (busy, idle) = (&leaving[0], &leaving[1]);
    let [first, second] = campus.two().await;
    campus.dial(busy).await;
    second.process.signal("TERM");
    let begun = Instant::now();
    first
        .until_rooms("the other room has moved", |rooms| {
            rooms[idle] == ("gw-1".into(), "online".into())
        })
        .await;
    // It does not wait for the room that dials, whose device answers after 50 seconds.
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
    sleep(LONGER_THAN_AN_END).await;
    // It is served as ever, also by way of the other gateway.
    assert_eq!(first.rooms().await[busy], ("gw-2".into(), "online".into()));
    let logs = format!(
        "http://127.0.0.1:{}/room/{busy}/system/logs/get",
        first.port
    );
    assert_eq!(door::get(&logs).await.status(), 200);
    campus.devices[busy].end_delays();
    let result = campus.dial_result(busy).await;
    assert_eq!(
        (&result["ok"], &result["request_id"]),
        (&true.into(), &7.into()),
        "{result}"
    );
    let dialled = Instant::now();
    ended(second.process).await;
    assert!(
        dialled.elapsed() < Duration::from_secs(16),
        "{:?}",
        dialled.elapsed()
    );
    first
        .until_rooms("it has moved", |rooms| {
            rooms[busy] == ("gw-1".into(), "online".into())
        })
        .await;
    assert_eq!(campus.dials(busy), 1);
    assert_eq!(
        campus
            .client
            .messages(&format!("room/{busy}/call/dial/result"))
            .len(),
        1
    );
    let offline = campus.client.messages(&format!("room/{busy}/availability"));
    let offline = offline.iter().filter(|it| it.payload == "offline");
    assert!(offline.count() <= 1, "it never blinked after its start");
    campus.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_gateway_that_is_gone_has_left_goes_by_a_command() {
    let rooms = [rooms_of("gw-1", 1), rooms_of("gw-2", 1)].concat();
    let Some(campus) = Campus::start(&rooms).await else {
        return;
    };
    let [first, second] = campus.two().await;
    let config = campus.dir.path().join("gw-1.toml");
    let forget = async |words: &'static [&'static str]| {
        let path = config.to_str().unwrap().to_owned();
        let words = [&["cluster", "forget"], words].concat();
        let run = move || output(program(&[&words[..], &["--config", &path]].concat()));
        let output = tokio::task::spawn_blocking(run).await.unwrap();
        let all = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(all).unwrap())
    };
    let (status, told) = forget(&["gw-2"]).await;
    let refused = "gateway gw-2 is in the cluster /test/campus; stop it first";
    assert!(status == Some(1) && told.contains(refused), "{told}");
    let document = "homeassistant/device/poly2mqtt-Gateway-gw-2/config";
    campus.client.message(document).await;
    second.process.signal("TERM");
    ended(second.process).await;
    first
        .until_rooms("it has all rooms", |rooms| {
            rooms
                .values()
                .all(|it| it == &("gw-1".into(), "online".into()))
        })
        .await;
    let own = |campus: &Campus| {
        let all = campus.client.all();
        let topics = all.into_iter().map(|(topic, _)| topic);
        topics.filter(|it| it.starts_with("gateway/gw-2/")).count()
    };
    assert!(own(&campus) >= 3);
    let (status, told) = forget(&["gw-2"]).await;
    assert_eq!(status, Some(0), "{told}");
    // Before the states that its entities show.
    let first_line = format!("topic\t{document}\tcleared\n");
    assert!(told.starts_with(&first_line), "{told}");
    campus.client.expect(document, "").await;
    for wanted in [
        "topic\tgateway/gw-2/availability\tcleared",
        "topic\tgateway/gw-2/info\tcleared",
        "etcd\t/test/campus/session-writers/gw-2\tdeleted",
    ] {
        assert!(told.contains(wanted), "{told}");
    }
    let left = campus.availability().await;
    assert!(!left.contains_key("gateway/gw-2/availability"), "{left:?}");
    assert_eq!(left["gateway/gw-1/availability"], "online");
    let (status, told) = forget(&["gw-2"]).await;
    assert_eq!(
        (status, &*told),
        (Some(0), "there is nothing of gateway gw-2\n")
    );

    // A room that is taken out while the gateway is stopped leaves its sessions in etcd.
    let (status, told) = forget(&["--rooms"]).await;
    assert!(
        status == Some(0) && told.contains("no sessions of rooms"),
        "{told}"
    );
    let text = fs::read_to_string(&config).unwrap();
    let gone = campus.devices.keys().last().unwrap();
    let start = text.find(&format!("[rooms.{gone}]")).unwrap();
    let without = &text[..start];
    fs::write(&config, without).unwrap();
    let (status, told) = forget(&["--rooms"]).await;
    let refused = "gateway gw-1 has other rooms in its configuration";
    assert!(status == Some(1) && told.contains(refused), "{told}");
    // It frees no session of its rooms, and is there for nobody to remove it.
    first.process.signal("KILL");
    let (status, told) = forget(&["--rooms"]).await;
    let deleted = format!("sessions\t{gone}\tdeleted\n");
    assert_eq!((status, told), (Some(0), deleted));
    campus.stop().await;
}
