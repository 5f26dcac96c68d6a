//! Large files and states between gateways, over lines that are slow or long.
use poly2mqtt::state::StateValue;

use super::*;

/// Rooms 2 and 3 are at `b`.
async fn two_at_b() -> Cluster {
    Cluster::start_with(
        &["a", "b"],
        &[("1", "a"), ("2", "b"), ("3", "b")],
        |config| config.mqtt.max_payload = 32 << 20,
    )
    .await
}

const LARGE: usize = 6 << 20;
/// [`LARGE`] takes three seconds: longer than the silence after which a link is given up.
const SLOW: Path = Path::Slow(2 << 20);

/// Commands of the other room at `b` are carried out without delay until this ends.
async fn others_are_not_delayed_by<T>(cluster: &Cluster, large: impl Future<Output = T>) -> T {
    let url = cluster.url("a", "/room/3/audio/volume/set");
    let commands = async {
        let mut times = Vec::new();
        for volume in 0.. {
            let begun = Instant::now();
            let (status, result) = post(&url, (volume % 100).to_string()).await;
            assert_eq!(status, 200, "{result}");
            times.push(begun.elapsed());
            if volume >= 8 {
                break;
            }
        }
        times.sort();
        // All the large one takes three seconds.
        assert!(
            times[times.len() / 2] < Duration::from_millis(1200),
            "{times:?}"
        );
    };
    let (large, ()) = tokio::join!(large, commands);
    large
}

#[tokio::test]
async fn a_large_file_over_a_slow_line_ends_no_link_and_delays_no_other_room() {
    let cluster = two_at_b().await;
    let before = cluster.connections_to("b");
    let file = FaultKind::Huge(LARGE);
    cluster.devices["2"].add_fault(Fault::on("/rest/system/logs", file));
    cluster.path_to("b", SLOW);
    let mut ws = cluster.ws("a", "/ws").await;
    let logs = ws.ask(1, "\"topic\":\"room/2/system/logs/get\"");
    let result = others_are_not_delayed_by(&cluster, logs).await;
    assert_eq!(result["payload"]["ok"], true, "{result}");
    assert_eq!(cluster.connections_to("b"), before);
    cluster.stop().await;
}

#[tokio::test]
async fn a_large_state_over_a_slow_line_ends_no_link_and_delays_no_other_room() {
    let cluster = two_at_b().await;
    let before = cluster.connections_to("b");
    let topic = "room/2/camera/snapshot/near";
    let picture: Vec<u8> = (0..LARGE).map(|n| n.to_le_bytes()[n % 3]).collect();
    let value = StateValue {
        payload: picture.clone().into(),
        content_type: Some("image/jpeg".into()),
    };
    cluster.gateways["b"].service.store().set(topic, value);
    cluster.path_to("b", SLOW);
    let url = cluster.url("a", &format!("/{topic}"));
    let picture_came = until(
        || "the picture".into(),
        async || {
            let answer = get(&url).await;
            answer.status() == 200 && answer.bytes().await.unwrap() == picture
        },
    );
    others_are_not_delayed_by(&cluster, picture_came).await;
    assert_eq!(cluster.connections_to("b"), before);
    cluster.stop().await;
}

#[tokio::test]
async fn a_large_command_over_a_long_line_passes() {
    let cluster = two_at_b().await;
    let before = cluster.connections_to("b");
    cluster.path_to("b", Path::Late(Duration::from_millis(50)));
    let padded = format!("{}40", " ".repeat(200 << 10));
    let url = cluster.url("a", "/room/2/audio/volume/set");
    let (status, result) = others_are_not_delayed_by(&cluster, post(&url, padded)).await;
    assert_eq!(status, 200, "{result}");
    assert_eq!(cluster.connections_to("b"), before);
    cluster.stop().await;
}

/// A new link first asks for the availability of all rooms. The answer to that is not one to a client that asks for all
/// states a moment later.
#[tokio::test]
async fn a_client_gets_all_states_of_a_room_though_an_earlier_answer_is_on_its_way() {
    let cluster = two().await;
    cluster.path_to("b", Path::Cut);
    cluster.lists("a", "2", "offline").await;
    let before = cluster.connections_to("b");
    cluster.path_to("b", Path::Late(Duration::from_millis(200)));
    until(
        || "a link is being opened".into(),
        async || cluster.connections_to("b") > before,
    )
    .await;
    // It is open after 400 ms, and the answer comes after another 400 ms. At any other time nothing is tried, but
    // nothing fails.
    tokio::time::sleep(Duration::from_millis(600)).await;
    // On a busy machine the link can take longer than a client is kept waiting; what is wrong is another answer.
    let mut status = 504;
    for _ in 0..5 {
        let volume = get(&cluster.url("a", "/room/2/audio/volume")).await;
        status = volume.status().as_u16();
        if status != 504 {
            break;
        }
    }
    assert_eq!(status, 200);
    cluster.stop().await;
}

/// Waits until the device has answered with its logs, and the file has begun to pass.
async fn logs_pass(cluster: &Cluster) {
    until(
        || "the device is asked for its logs".into(),
        async || {
            let journal = cluster.devices["2"].journal();
            journal
                .iter()
                .any(|entry| entry.path == "/rest/system/logs")
        },
    )
    .await;
    // At any other time nothing is tried, but nothing fails.
    tokio::time::sleep(Duration::from_millis(300)).await;
}

#[tokio::test]
async fn the_states_of_a_room_and_its_other_commands_do_not_wait_for_its_file() {
    let cluster = two_at_b().await;
    let file = FaultKind::Huge(LARGE);
    cluster.devices["2"].add_fault(Fault::on("/rest/system/logs", file));
    // The file takes six seconds.
    cluster.path_to("b", Path::Slow(1 << 20));
    let mut ws = cluster.ws("a", "/ws").await;
    let logs = async {
        let result = ws.ask(1, "\"topic\":\"room/2/system/logs/get\"").await;
        assert_eq!(result["payload"]["ok"], true, "{result}");
        Instant::now()
    };
    let others = async {
        logs_pass(&cluster).await;
        let volume = get(&cluster.url("a", "/room/2/audio/volume")).await;
        assert_eq!(volume.status(), 200);
        let all: Value = get(&cluster.url("a", "/room/2"))
            .await
            .json()
            .await
            .unwrap();
        assert!(all.as_object().unwrap().len() > 20, "{all}");
        let url = cluster.url("a", "/room/2/audio/volume/set");
        let (status, result) = post(&url, "44").await;
        assert_eq!(status, 200, "{result}");
        Instant::now()
    };
    let (file_came, others_came) = tokio::join!(logs, others);
    assert!(others_came < file_came);
    cluster.stop().await;
}

#[tokio::test]
async fn a_gateway_that_stops_sends_what_is_on_its_way_in_pieces() {
    let mut cluster = two_at_b().await;
    let file = FaultKind::Huge(LARGE / 4);
    cluster.devices["2"].add_fault(Fault::on("/rest/system/logs", file));
    cluster.path_to("b", SLOW);
    let mut ws = cluster.ws("a", "/ws").await;
    let logs = ws.ask(1, "\"topic\":\"room/2/system/logs/get\"");
    let b = cluster.gateways.remove("b").unwrap();
    let stopped = async {
        logs_pass(&cluster).await;
        b.service.stop().await;
    };
    let (result, ()) = tokio::join!(logs, stopped);
    assert_eq!(result["payload"]["ok"], true, "{result}");
    cluster.stop().await;
}

#[tokio::test]
async fn a_state_that_did_not_come_in_time_is_not_said_to_be_none() {
    let cluster = two().await;
    cluster.path_to("b", Path::Frozen);
    let ask = async |path: &str| {
        let answer = get(&cluster.url("a", path)).await;
        (answer.status(), answer.text().await.unwrap())
    };
    let (state, room) = tokio::join!(ask("/room/2/audio/volume"), ask("/room/2"));
    for (status, text) in [state, room] {
        let is_said = text.contains("\"timeout\"") && text.contains("has not sent");
        assert!(status == 504 && is_said, "{status} {text}");
    }
    cluster.path_to("b", Path::Clear);
    until(
        || "the states come".into(),
        async || ask("/room/2/audio/volume").await.0 == 200,
    )
    .await;
    cluster.stop().await;
}
