//! Links that break, members that hang, and gateways that disagree.
use super::*;

/// A device that takes long for the volume.
fn slow(cluster: &Cluster, room: &str) {
    let delay = FaultKind::Delay(Duration::from_secs(2));
    cluster.devices[room].add_fault(Fault::on("/rest/audio/volume", delay).times(1));
}

fn requests(cluster: &Cluster, room: &str) -> usize {
    let journal = cluster.devices[room].journal();
    let sets = journal.iter();
    let sets = sets.filter(|entry| entry.method == "POST" && entry.path == "/rest/audio/volume");
    sets.count()
}

#[tokio::test]
async fn an_owner_that_goes_after_it_got_the_command_leaves_the_outcome_unknown() {
    for path in [Path::Cut, Path::Frozen] {
        let cluster = two().await;
        slow(&cluster, "2");
        let url = cluster.url("a", "/room/2/audio/volume/set");
        let sent =
            tokio::spawn(
                async move { post(&url, "{\"volume\":40,\"request_id\":\"mine\"}").await },
            );
        until(
            || "the command arrives".into(),
            async || cluster.devices["2"].delayed() > 0,
        )
        .await;
        let broken = Instant::now();
        cluster.path_to("b", path);
        let (_, result) = sent.await.unwrap();
        assert_eq!(
            result["error"]["code"], "outcome_unknown",
            "{path:?}: {result}"
        );
        assert_eq!(result["request_id"], "mine");
        assert!(broken.elapsed() < Duration::from_secs(10), "{path:?}");
        // It is back as soon as the way is.
        cluster.path_to("b", Path::Clear);
        until(
            || "a command passes".into(),
            async || {
                let url = cluster.url("a", "/room/2/audio/volume/set");
                post(&url, "41").await.0 == 200
            },
        )
        .await;
        cluster.stop().await;
    }
}

#[tokio::test]
async fn an_owner_that_cannot_be_reached_is_waited_for_and_then_named() {
    let cluster = two().await;
    cluster.path_to("b", Path::Cut);
    let url = cluster.url("a", "/room/2/audio/volume/set");
    cluster.lists("a", "2", "offline").await;
    let problem: Value = get(&cluster.url("a", "/room/2/problem"))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(problem["code"], "no_owner", "{problem}");
    let begun = Instant::now();
    let (_, result) = post(&url, "40").await;
    assert_eq!(result["error"]["code"], "offline");
    let message = result["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("gateway \"b\" has the room and cannot be reached"),
        "{message}"
    );
    assert!((4.5..10.0).contains(&begun.elapsed().as_secs_f64()));
    // One that waits goes when the way is back.
    let waits = tokio::spawn(async move { post(&url, "41").await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    cluster.path_to("b", Path::Clear);
    assert_eq!(waits.await.unwrap().0, 200);
    cluster.lists("a", "2", "online").await;
    assert_eq!(requests(&cluster, "2"), 1);
    cluster.stop().await;
}

#[tokio::test]
async fn a_command_goes_in_no_circle_between_gateways_that_disagree() {
    let cluster = two().await;
    cluster.ends("2", "b").await;
    cluster.believes("a", "2", Owner::Gateway("b"));
    cluster.believes("b", "2", Owner::Gateway("a"));
    for name in ["a", "b"] {
        let begun = Instant::now();
        let (volume, logs, import) = (
            cluster.url(name, "/room/2/audio/volume/set"),
            cluster.url(name, "/room/2/system/logs/get"),
            cluster.url(name, "/room/2/directory/import"),
        );
        let download = async { get(&logs).await.json::<Value>().await.unwrap() };
        let (volume, download, upload) = tokio::join!(
            post(&volume, "{\"volume\":40,\"request_id\":5}"),
            download,
            post(&import, "<a/>"),
        );
        assert_eq!(volume.1["request_id"], 5);
        let message = volume.1["error"]["message"].as_str().unwrap();
        assert!(message.contains("the gateways disagree"), "{message}");
        for result in [volume.1, download, upload.1] {
            assert_eq!(result["error"]["code"], "offline", "{result}");
        }
        assert!(begun.elapsed() < Duration::from_secs(16));
    }
    assert_eq!(requests(&cluster, "2"), 0);
    cluster.stop().await;
}

#[tokio::test]
async fn a_member_that_hangs_delays_nobody_else() {
    let rooms = [("1", "a"), ("2", "b"), ("3", "c")];
    let cluster = Cluster::start(&["a", "b", "c"], &rooms).await;
    let mut watches = cluster.ws("a", "/ws?subscribe=%23").await;
    watches
        .until(|frame| frame["topic"] == "room/3/audio/volume")
        .await;
    cluster.path_to("c", Path::Frozen);
    let hanging: Vec<_> = (0..20)
        .map(|volume: u32| {
            let url = cluster.url("a", "/room/3/audio/volume/set");
            tokio::spawn(async move { post(&url, volume.to_string()).await })
        })
        .collect();
    let mut times = Vec::new();
    for volume in 30..60 {
        let begun = Instant::now();
        for room in ["1", "2"] {
            let url = cluster.url("a", &format!("/room/{room}/audio/volume/set"));
            let (status, result) = post(&url, volume.to_string()).await;
            assert_eq!(status, 200, "{result}");
        }
        watches
            .until(|frame| frame["topic"] == "room/2/audio/volume" && frame["payload"] == volume)
            .await;
        times.push(begun.elapsed());
    }
    // The machine may stand still for one of them; a member that hangs would delay them all.
    times.sort();
    assert!(times[times.len() / 2] < Duration::from_secs(2), "{times:?}");
    for command in hanging {
        let (_, result) = command.await.unwrap();
        let code = result["error"]["code"].as_str().unwrap();
        assert!(matches!(code, "outcome_unknown" | "offline"), "{result}");
    }
    cluster.stop().await;
}

/// Its link and its files belong to one connection each, so what stands between must not part them.
#[tokio::test]
async fn a_proxy_that_opens_a_connection_for_each_request_is_named() {
    let cluster = two().await;
    cluster.path_to("b", Path::Cut);
    cluster.lists("a", "2", "offline").await;
    cluster.path_to("b", Path::PerRequest);
    until(
        || "the proxy is named".into(),
        async || {
            let url = cluster.url("a", "/room/2/audio/volume/set");
            let (_, result) = post(&url, "40").await;
            let message = result["error"]["message"].as_str().unwrap_or_default();
            assert!(!message.contains("cluster.token"), "{message}");
            message.contains("no proxy may stand at its cluster.advertise")
        },
    )
    .await;
    cluster.path_to("b", Path::Clear);
    cluster.lists("a", "2", "online").await;
    cluster.stop().await;
}
