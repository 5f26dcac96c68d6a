//! Gateways whose configurations differ: no device has two of them, and a room that nobody can drive is said to be so.

use super::*;

/// A room that is placed at this gateway, and is not among these.
fn other_room(gateway: &str, rooms: &[String]) -> String {
    let names = (0..).map(|n| format!("other-{n}"));
    let mut names = names.filter(|name| wanted(name) == gateway && !rooms.contains(name));
    names.next().unwrap()
}

impl Gateway {
    /// Changes its file, and tells it so.
    fn reload(&self, change: impl Fn(&str) -> String) {
        let config = fs::read_to_string(&self.config).unwrap();
        fs::write(&self.config, change(&config)).unwrap();
        self.process.signal("HUP");
    }

    async fn text(&self, path: &str) -> String {
        door::text(&format!("http://127.0.0.1:{}{path}", self.port)).await
    }

    async fn until_text(&self, path: &str, wanted: &str) {
        let what = || format!("{path} has {wanted:?}");
        until(what, async || self.text(path).await.contains(wanted)).await;
    }

    async fn set_volume(&self, room: &str, volume: &str) -> u16 {
        let path = format!("/room/{room}/audio/volume/set");
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        door::post(&url, volume.to_owned()).await.0
    }
}

impl Campus {
    /// Starts another process with the configuration of a gateway and another port.
    fn copy_of(&self, gateway: &Gateway, change: impl Fn(&str) -> String) -> Gateway {
        let port = free_port();
        let config = fs::read_to_string(&gateway.config).unwrap();
        let config = config.replace(&format!(":{}\"", gateway.port), &format!(":{port}\""));
        let path = self.dir.path().join(format!("copy-{port}.toml"));
        Gateway::run(path, &change(&config), port)
    }
}

/// A room gets another name, and the gateway that is to have it is told first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_gets_another_name_has_one_gateway_all_the_time() {
    let rooms = [&*rooms_of("gw-1", 1), &rooms_of("gw-2", 1)].concat();
    let Some(campus) = Campus::start(&rooms).await else {
        return;
    };
    let [first, second] = campus.two().await;
    let (former, renamed) = (&rooms[0], &other_room("gw-2", &rooms));
    let rename =
        |config: &str| config.replace(&format!("[rooms.{former}]"), &format!("[rooms.{renamed}]"));
    second.reload(rename);
    let problem = format!("/room/{renamed}/problem");
    second.until_text(&problem, "under another name").await;
    assert_eq!(second.set_volume(renamed, "11").await, 503);
    assert_eq!(first.set_volume(former, "12").await, 200);
    let topic = format!("room/{renamed}/availability");
    campus.client.expect(&topic, "offline").await;
    for gateway in [&first, &second] {
        gateway
            .until_text("/metrics", "poly2mqtt_cluster_device_conflicts 1")
            .await;
    }
    // The one that had it gives it up.
    first.reload(rename);
    second
        .until_rooms("it is online under its new name", |rooms| {
            rooms.get(renamed) == Some(&("gw-2".into(), "online".into()))
        })
        .await;
    assert_eq!(first.set_volume(renamed, "13").await, 200);
    campus.client.expect(&topic, "online").await;
    first
        .until_text("/metrics", "poly2mqtt_cluster_device_conflicts 0")
        .await;
    campus.stop().await;
}

/// A room that only one gateway knows, in a shard that another one keeps.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_its_shards_gateway_does_not_know_is_offline_and_says_why() {
    let rooms = [&*rooms_of("gw-1", 1), &rooms_of("gw-2", 1)].concat();
    let Some(campus) = Campus::start(&rooms).await else {
        return;
    };
    let [_first, second] = campus.two().await;
    let names = (0..).map(|n: u32| format!("neighbour-{n}"));
    let mut names = names.filter(|name| shard_of(name) == shard_of(&rooms[0]));
    let new = names.next().unwrap();
    second.reload(|config| {
        format!("{config}\n[rooms.{new}]\nurl = \"https://127.0.0.1:1\"\npassword = \"456\"\n")
    });
    let problem = format!("room/{new}/problem");
    let says_why = |client: &Client| {
        let problem = client.last(&problem).unwrap_or_default();
        problem.contains("has it not in its configuration") && problem.contains("no_owner")
    };
    campus.client.until("the broker knows why", says_why).await;
    let topic = format!("room/{new}/availability");
    campus.client.expect(&topic, "offline").await;
    assert_eq!(second.set_volume(&new, "11").await, 503);
    let topic = format!("room/{new}/audio/volume/set");
    let result = campus.client.command(&topic, "11").await;
    assert_eq!(result["error"]["code"], "offline", "{result}");
    campus.stop().await;
}

/// A file that was copied with its name, or with another token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_cannot_join_leaves_the_others_alone_and_says_why() {
    let rooms = [&*rooms_of("gw-1", 1), &rooms_of("gw-2", 1)].concat();
    let Some(campus) = Campus::start(&rooms).await else {
        return;
    };
    let [first, _second] = campus.two().await;
    let own = "gateway/gw-1/availability";
    let before = campus.client.messages(own).len();
    let same_name = campus.copy_of(&first, str::to_owned);
    let another_token = campus.copy_of(&first, |config| {
        let config = config.replace("\"gw-1\"", "\"gw-3\"");
        config.replace("a token of the cluster", "another token of it")
    });
    for (gateway, why) in [
        (&same_name, "another gateway of this name is there"),
        (&another_token, "has another cluster.token"),
    ] {
        gateway.until_text("/gateway/cluster", why).await;
    }
    for volume in 20..40 {
        let topic = format!("room/{}/audio/volume/set", rooms[0]);
        let result = campus.client.command(&topic, volume.to_string()).await;
        assert_eq!(result["ok"], true, "{result}");
    }
    assert_eq!(campus.client.messages(own).len(), before);
    assert_eq!(campus.client.last("gateway/gw-3/availability"), None);
    for gateway in [same_name, another_token] {
        gateway.process.terminate();
    }
    assert_eq!(campus.client.last(own).as_deref(), Some("online"));
    campus.stop().await;
}
