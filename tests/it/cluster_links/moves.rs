//! Rooms that change hands while clients use them.
use super::*;

#[tokio::test]
async fn a_subscription_follows_its_room() {
    let rooms = [("1", "a"), ("2", "b")];
    let cluster = Cluster::start(&["a", "b", "c"], &rooms).await;
    let mut ws = cluster.ws("a", "/ws").await;
    ws.ask(1, "\"subscribe\":[\"room/2/#\"]").await;
    let mut volume = 20;
    // Also to the gateway that the client uses, and away from it again.
    for (from, to) in [("b", "c"), ("c", "a"), ("a", "b"), ("b", "a"), ("a", "c")] {
        cluster.moves("2", from, to).await;
        cluster.online(to, "2").await;
        volume += 1;
        let frame = format!("\"topic\":\"room/2/audio/volume/set\",\"payload\":{volume}");
        let frames = ws.frames_until(volume, &frame).await;
        let result: Value = serde_json::from_str(frames.last().unwrap()).unwrap();
        assert_eq!(result["payload"]["ok"], true, "{from} {to}: {result}");
        let state = format!("\"room/2/audio/volume\",\"payload\":{volume}");
        assert!(
            frames.iter().any(|frame| frame.contains(&state)),
            "{from} {to}: {frames:?}"
        );
        // No state went away on the way.
        let gone = frames
            .iter()
            .find(|frame| frame.contains("\"payload\":null"));
        assert_eq!(gone, None, "{from} {to}");
        let url = cluster.url("a", "/room/2/audio/volume");
        assert_eq!(text(&url).await, volume.to_string());
        let url = cluster.url("b", "/room/2/audio/volume");
        assert_eq!(text(&url).await, volume.to_string());
    }
    cluster.stop().await;
}

#[tokio::test]
async fn a_command_waits_for_the_next_owner_and_is_carried_out_once_in_its_turn() {
    let cluster = Cluster::start(&["a", "b", "c"], &[("2", "b")]).await;
    cluster.say("2", Owner::Moving);
    let mut tcp = cluster.tcp("a").await;
    for volume in [11, 12, 13] {
        tcp.send(&format!("room/2/audio/volume/set {volume}\n"))
            .await;
    }
    tcp.send("room/2/audio/mute\n").await;
    cluster.ends("2", "b").await;
    cluster.say("2", Owner::Gateway("c"));
    cluster.starts("c").await;
    let mut results = Vec::new();
    for _ in 0..4 {
        results.push(tcp.line().await.unwrap());
    }
    let wanted = |line: &String| line.ends_with("result ok") || line.contains(" superseded ");
    assert!(results.iter().all(wanted), "{results:?}");
    until(
        || "the volume".into(),
        async || text(&cluster.url("a", "/room/2/audio/volume")).await == "13",
    )
    .await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_room_in_nobodys_hands_is_offline_with_the_reason() {
    let cluster = two().await;
    let mut ws = cluster.ws("a", "/ws").await;
    ws.ask(1, "\"subscribe\":[\"room/2/#\"]").await;
    cluster.ends("2", "b").await;
    cluster.say("2", Owner::Nobody);
    let problem = ws.until(|frame| frame["topic"] == "room/2/problem").await;
    assert_eq!(problem["payload"]["code"], "no_owner", "{problem}");
    let offline = ws
        .until(|frame| frame["topic"] == "room/2/availability")
        .await;
    assert_eq!(offline["payload"], "offline");
    cluster.lists("a", "2", "offline").await;
    // What was known stays.
    assert_eq!(text(&cluster.url("a", "/room/2/audio/volume")).await, "62");
    let begun = Instant::now();
    let (_, result) = post(&cluster.url("a", "/room/2/audio/volume/set"), "40").await;
    assert_eq!(result["error"]["code"], "offline", "{result}");
    let message = result["error"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("no gateway that runs has the room"),
        "{message}"
    );
    assert!((4.5..10.0).contains(&begun.elapsed().as_secs_f64()));
    // It comes back.
    cluster.say("2", Owner::Gateway("b"));
    cluster.starts("b").await;
    ws.until(|frame| frame["topic"] == "room/2/availability" && frame["payload"] == "online")
        .await;
    cluster.lists("a", "2", "online").await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_room_that_nobody_takes_while_it_moves_is_offline_after_five_seconds() {
    let cluster = two().await;
    cluster.say("2", Owner::Moving);
    let begun = Instant::now();
    let (_, result) = post(&cluster.url("a", "/room/2/audio/volume/set"), "40").await;
    assert_eq!(result["error"]["code"], "offline", "{result}");
    let message = result["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("moves from one gateway to another"),
        "{message}"
    );
    assert!((4.5..10.0).contains(&begun.elapsed().as_secs_f64()));
    // Commands of the other rooms pass meanwhile.
    let (status, _) = post(&cluster.url("b", "/room/1/audio/volume/set"), "40").await;
    assert_eq!(status, 200);
    cluster.stop().await;
}

/// An owner that dies cannot be reached, then nobody has its rooms, then they start at the next one: a command waits
/// through all of that.
#[tokio::test]
async fn a_command_waits_from_the_death_of_an_owner_until_the_next_one_has_started_the_room() {
    let cluster = Cluster::start(&["a", "b", "c"], &[("2", "b")]).await;
    cluster.ends("2", "b").await;
    cluster.say("2", Owner::Nobody);
    let url = cluster.url("a", "/room/2/audio/volume/set");
    let result = tokio::spawn(async move { post(&url, "40").await });
    // As long as a take-over takes at most.
    tokio::time::sleep(Duration::from_millis(3500)).await;
    cluster.say("2", Owner::Moving);
    tokio::time::sleep(Duration::from_millis(200)).await;
    cluster.say("2", Owner::Gateway("c"));
    cluster.starts("c").await;
    let (status, result) = result.await.unwrap();
    assert_eq!(status, 200, "{result}");
    cluster.stop().await;
}

#[tokio::test]
async fn more_commands_than_a_queue_holds_do_not_wait() {
    let cluster = two().await;
    cluster.say("2", Owner::Moving);
    let mut lines = Vec::new();
    for _ in 0..2 {
        let mut tcp = cluster.tcp("a").await;
        for _ in 0..64 {
            tcp.send("room/2/audio/mute/set true\n").await;
        }
        lines.push(tcp);
    }
    let mut busy = 0;
    for tcp in &mut lines {
        for _ in 0..64 {
            let line = tcp.line().await.unwrap();
            assert!(
                line.contains("error busy") || line.contains("error offline"),
                "{line}"
            );
            busy += usize::from(line.contains("error busy"));
        }
    }
    assert_eq!(busy, 64);
    cluster.stop().await;
}

#[tokio::test]
async fn the_list_of_rooms_says_which_gateway_has_each() {
    let cluster = two().await;
    let gateways = async |name: &str| -> Vec<Value> {
        let list: Value = get(&cluster.url(name, "/room")).await.json().await.unwrap();
        let rooms = list.as_array().unwrap().iter();
        rooms.map(|room| room["gateway"].clone()).collect()
    };
    for name in ["a", "b"] {
        assert_eq!(gateways(name).await, [json!("a"), json!("b")]);
    }
    cluster.say("1", Owner::Moving);
    assert_eq!(gateways("b").await, [Value::Null, json!("b")]);
    cluster.say("1", Owner::Nobody);
    assert_eq!(gateways("b").await, [Value::Null, json!("b")]);
    cluster.say("1", Owner::Gateway("a"));
    cluster.moves("1", "a", "b").await;
    for name in ["a", "b"] {
        assert_eq!(gateways(name).await, [json!("b"), json!("b")]);
    }
    cluster.stop().await;
    // A gateway that is alone says nothing of gateways.
    let doors = poly2mqtt_test_support::door::Doors::start().await;
    let list: Value = get(&doors.url("/room")).await.json().await.unwrap();
    assert!(list[0].get("gateway").is_none(), "{list}");
    doors.stop().await;
}

/// All gateways are told of it, the one that has not got the room first.
#[tokio::test]
async fn a_room_that_is_configured_no_more_goes_at_every_gateway_though_a_client_watches_it() {
    let cluster = two().await;
    let mut ws = cluster.ws("a", "/ws?subscribe=room/2/%23").await;
    ws.until(|frame| frame["topic"] == "room/2/audio/volume")
        .await;
    cluster.forgets("2");
    for topic in ["audio/volume", "availability"] {
        let url = cluster.url("a", &format!("/room/2/{topic}"));
        until(
            || format!("{topic} has gone"),
            async || get(&url).await.status() == 404,
        )
        .await;
    }
    ws.until(|frame| frame["topic"] == "room/2/availability" && frame["payload"].is_null())
        .await;
    // It is as new when it is configured again.
    cluster.say("2", Owner::Gateway("b"));
    ws.until(|frame| frame["topic"] == "room/2/availability" && frame["payload"] == "online")
        .await;
    assert_eq!(text(&cluster.url("a", "/room/2/audio/volume")).await, "62");
    cluster.stop().await;
}
