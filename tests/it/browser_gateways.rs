//! What the dashboard shows of several gateways: which there are, which of them has a room, and what is wrong; and
//! that nothing of it is shown where a gateway is alone.
use poly2mqtt::cluster::{
    ClusterFacts, ClusterState, ClusterView, MemberView, Shard, ShardRooms, cluster_document,
};
use poly2mqtt::config::AccessLevel;
use poly2mqtt::state::StateValue;
use serde_json::json;

use poly2mqtt_test_support::browser::{Browser, LINK_IS_UP};
use poly2mqtt_test_support::cluster::{Cluster, Owner};
use poly2mqtt_test_support::door::{Doors, token};

/// What gateway `from` sees of the members `a` and `b`, which have half of the shards each. `moved` shards of `a`
/// have gone to `b`.
fn view(from: &str, state: ClusterState, moved: usize) -> ClusterView {
    let member = |(name, shards): (&str, usize)| MemberView {
        name: name.into(),
        advertise: format!("http://{name}.example:8080"),
        weight: 1,
        version: "1.2.3".into(),
        since: 1_764_000_000,
        leaving: false,
        rooms: "one digest".into(),
        shards,
    };
    let owners = Shard::all().map(|shard| Some(u16::from(shard.index() >= 512 - moved)));
    ClusterView {
        me: from.into(),
        state,
        problem: None,
        members: [("a", 512 - moved), ("b", 512 + moved)].map(member).into(),
        owners: owners.collect(),
        revision: 1,
        ..ClusterView::unknown(from)
    }
}

/// The gateways say this of the cluster.
fn tell(cluster: &Cluster, state: ClusterState, moved: usize) {
    let facts = ClusterFacts {
        rooms: ShardRooms::of(["1", "2"]),
        lacks_owners: false,
    };
    for (name, gateway) in &cluster.gateways {
        let document = cluster_document(&view(name, state, moved), &facts);
        let store = gateway.service.store();
        store.set("gateway/cluster", StateValue::text(document.to_string()));
    }
}

/// Waits until the text of the elements contains this.
async fn shows(browser: &Browser, selector: &str, text: &str) {
    let text = json!(text);
    let found = format!(
        "[...document.querySelectorAll('{selector}')].some((each) => each.checkVisibility() && each.innerText.includes({text}))"
    );
    browser.until(&found).await;
}

async fn width(browser: &Browser, width: u32) {
    let metrics =
        json!({"width": width, "height": 640, "deviceScaleFactor": 1, "mobile": width < 500});
    browser
        .devtools("Emulation.setDeviceMetricsOverride", metrics)
        .await;
    browser.drawn().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_alone_shows_nothing_of_gateways() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let doors = Doors::start().await;
    browser.open(&doors.url("/")).await;
    browser.until(LINK_IS_UP).await;
    shows(&browser, ".room-card", "Online").await;
    browser.drawn().await;
    let nav = "[...document.querySelectorAll('nav a')].filter((each) => each.checkVisibility()).map((each) => each.innerText)";
    assert_eq!(browser.value(nav).await, json!(["Rooms", "Console", "Log"]));
    let text = browser.value("document.body.innerText").await;
    let text = text.as_str().unwrap().replace("Gateway running", "");
    for never in ["gateway ", "Gateways", " at "] {
        assert!(!text.contains(never), "{never}: {text}");
    }
    let asked = browser.requests(&doors.url("")).await;
    assert!(!asked.iter().any(|url| url.ends_with("/room")), "{asked:?}");
    // Somebody who knows the address.
    browser.open(&doors.url("/#/gateways")).await;
    shows(&browser, "main", "This gateway is alone").await;
    assert_eq!(browser.errors().await, [""; 0]);
    drop(browser);
    doors.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_who_has_what_and_follows_moves() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let cluster = Cluster::start(&["a", "b"], &[("1", "a"), ("2", "b")]).await;
    tell(&cluster, ClusterState::Ok, 0);
    browser.open(&cluster.url("b", "/")).await;
    shows(&browser, "[data-room=\"1\"]", "at a").await;
    shows(&browser, "[data-room=\"2\"]", "at b").await;
    shows(&browser, ".summary", "gateway b, 2 gateways in all").await;
    browser.click("#gateways-link").await;
    shows(&browser, "[data-gateway=a]", "512 (50 %)").await;
    shows(&browser, "[data-gateway=b]", "This page is connected to it").await;
    shows(&browser, ".head", "all 1024 shards have a gateway").await;
    assert_eq!(
        browser
            .value("document.querySelectorAll('.problem:not([hidden])').length")
            .await,
        0
    );
    for size in [320, 390, 1280] {
        width(&browser, size).await;
        let wide = "document.documentElement.scrollWidth - innerWidth";
        assert_eq!(browser.value(wide).await, 0, "{size}");
    }
    // The room moves, and the page of the room says so.
    browser.open(&cluster.url("b", "/#/room/1")).await;
    shows(&browser, ".head", "at a").await;
    cluster.moves("1", "a", "b").await;
    tell(&cluster, ClusterState::Ok, 1);
    shows(&browser, ".head", "at b").await;
    // No gateway has it.
    cluster.ends("1", "b").await;
    cluster.say("1", Owner::Nobody);
    tell(&cluster, ClusterState::Ok, 2);
    shows(&browser, ".head", "no gateway has it").await;
    shows(&browser, ".problem", "In no gateway's hands").await;
    // No contact with etcd.
    tell(&cluster, ClusterState::NoCluster, 2);
    browser.open(&cluster.url("b", "/#/gateways")).await;
    shows(&browser, ".problem", "No contact with etcd").await;
    shows(&browser, ".problem", "it uses no device").await;
    assert_eq!(browser.errors().await, [""; 0]);
    drop(browser);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limited_token_sees_the_gateways_and_its_room_alone() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let mut cluster = Cluster::start(&["a", "b"], &[("1", "a"), ("2", "b")]).await;
    let gateway = cluster.gateways.get_mut("a").unwrap();
    let mut config = gateway.config.clone();
    config.http.tokens = vec![token("one room", AccessLevel::Control, Some(&["2"]))];
    gateway.service.reload(config).await.unwrap();
    tell(&cluster, ClusterState::NoCluster, 0);
    browser.open(&cluster.url("a", "/healthz")).await;
    browser
        .value("sessionStorage.setItem('token', 'one room')")
        .await;
    browser.open(&cluster.url("a", "/#/")).await;
    shows(&browser, "[data-room=\"2\"]", "at b").await;
    assert_eq!(
        browser
            .value("document.querySelectorAll('[data-room]').length")
            .await,
        1
    );
    browser.click("#gateways-link").await;
    shows(&browser, "[data-gateway=b]", "512 (50 %)").await;
    shows(&browser, ".problem", "The gateway has no contact with etcd").await;
    let shown = browser
        .value("document.querySelector('main').innerText")
        .await;
    for never in ["Rooms", "rooms", "example:8080"] {
        assert!(!shown.as_str().unwrap().contains(never), "{never}: {shown}");
    }
    drop(browser);
    cluster.stop().await;
}
