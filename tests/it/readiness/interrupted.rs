//! What can come in between: the gateway stops, the client disappears, somebody's command arrives.

use super::*;
use poly2mqtt_test_support::{SOON, soon};

const WITHIN: Duration = Duration::from_secs(20);

/// Begins a run without waiting for it, until the test call is being dialled.
async fn dialling(it: &Gateway) {
    it.client.publish(RUN, "").await;
    let dialled = |device: &SimulatedDevice| dialled(device) == json!([ECHO]);
    assert!(
        it.device.wait_for(WITHIN, dialled).await,
        "{}",
        it.device.state()
    );
}

/// Begins a run without waiting for it, until the camera moves.
async fn moving(it: &Gateway) {
    it.client.publish(RUN, "").await;
    let moving = |device: &SimulatedDevice| !device.state()["cameras"]["moving"].is_null();
    assert!(
        it.device.wait_for(WITHIN, moving).await,
        "{}",
        it.device.state()
    );
}

async fn result(it: &Gateway) -> Value {
    let message = it.client.message(&format!("{RUN}/result")).await;
    serde_json::from_slice(&message.payload).unwrap()
}

#[tokio::test]
async fn a_gateway_that_stops_hangs_up_the_test_call() {
    let it = start(NEVER).await;
    dialling(&it).await;
    let Gateway {
        device,
        service,
        client,
        ..
    } = it;
    soon("the end of the gateway", service.stop()).await;
    assert!(has_no_call(&device), "{}", device.state());
    let journal = device.journal();
    let hung_up = |method: &str, path: &str| {
        method == "DELETE" && path.starts_with("/rest/conferences/0/connections/")
    };
    assert!(
        journal
            .iter()
            .any(|entry| hung_up(&entry.method, &entry.path))
    );
    // The session is released after that.
    assert_eq!(device.sessions(), 0);
    drop(client);
    device.stop().await;
}

#[tokio::test]
async fn a_gateway_that_stops_stops_the_camera() {
    let it = start(NEVER).await;
    moving(&it).await;
    let Gateway {
        device, service, ..
    } = it;
    soon("the end of the gateway", service.stop()).await;
    assert!(
        device.state()["cameras"]["moving"].is_null(),
        "{}",
        moves(&device)
    );
    device.stop().await;
}

#[tokio::test]
async fn a_client_that_disappears_changes_nothing() {
    let it = start(Duration::from_secs(2)).await;
    let other = Client::connect(it.port).await;
    other.publish(RUN, "").await;
    let is_dialled = |device: &SimulatedDevice| dialled(device) == json!([ECHO]);
    assert!(it.device.wait_for(WITHIN, is_dialled).await);
    drop(other);
    assert!(it.device.wait_for(WITHIN, has_no_call).await);
    let report = it.client.message(REPORT).await;
    let report: Value = serde_json::from_slice(&report.payload).unwrap();
    assert_eq!(report["ok"], true, "{report}");
    it.stop().await;
}

#[tokio::test]
async fn a_command_is_not_held_and_ends_the_run_cleanly() {
    let it = start(NEVER).await;
    moving(&it).await;
    let muted = it.client.command("room/1/audio/mute", "").await;
    assert_eq!(muted["ok"], true, "{muted}");
    let ended = result(&it).await;
    assert_eq!(ended["error"]["code"], "busy", "{ended}");
    assert!(ended.to_string().contains("audio/mute"), "{ended}");
    // On a busy machine the way back has begun before the command comes.
    let moved = moves(&it.device);
    let count = moved.as_array().unwrap().len();
    assert!(matches!(count, 2 | 4), "{moved}");
    assert_eq!(moved, json!(MOVED[..count]));
    assert!(it.client.messages(REPORT).is_empty());
    it.stop().await;
}

#[tokio::test]
async fn somebodys_own_move_takes_the_camera_over() {
    let it = start(NEVER).await;
    moving(&it).await;
    let moved = it.moves_left(5000).await;
    assert_eq!(moved["ok"], true, "{moved}");
    assert_eq!(result(&it).await["error"]["code"], "busy");
    // It goes on for its own time, and then stops.
    tokio::time::sleep(Duration::from_millis(600)).await;
    let state = it.device.state();
    assert!(
        !state["cameras"]["moving"].is_null(),
        "{}",
        state["cameras"]
    );
    it.camera_stops(SOON).await;
    it.stop().await;
}

#[tokio::test]
async fn somebodys_own_call_is_not_hung_up_with_the_test_call() {
    let it = start(NEVER).await;
    dialling(&it).await;
    let own = it
        .client
        .command("room/1/call/dial", "alice@example.com")
        .await;
    assert_eq!(own["ok"], true, "{own}");
    let ended = result(&it).await;
    assert_eq!(ended["error"]["code"], "busy", "{ended}");
    let calls = it.device.state()["calls"].to_string();
    assert!(calls.contains("alice@example.com"), "{calls}");
    assert!(!calls.contains(ECHO), "{calls}");
    // A hang-up by somebody ends both.
    it.device.person_hangs_up();
    it.client.expect("room/1/call/state", "idle").await;
    it.client.clear();
    let again = |device: &SimulatedDevice| dialled(device).as_array().unwrap().len() == 3;
    it.client.publish(RUN, "").await;
    assert!(it.device.wait_for(WITHIN, again).await);
    let hung_up = it.client.command("room/1/call/hangup", "").await;
    assert_eq!(hung_up["ok"], true, "{hung_up}");
    assert_eq!(result(&it).await["error"]["code"], "busy");
    assert!(has_no_call(&it.device));
    it.stop().await;
}

#[tokio::test]
async fn one_run_at_a_time_and_queries_do_not_end_it() {
    let it = start(Duration::from_secs(2)).await;
    dialling(&it).await;
    let second = run(&it).await;
    assert_eq!(second["error"]["code"], "busy", "{second}");
    assert!(
        second.to_string().contains("being checked already"),
        "{second}"
    );
    let asked = it.client.command("room/1/audio/volume/get", "").await;
    assert_eq!(asked["ok"], true, "{asked}");
    let report = it.client.message(REPORT).await;
    let report: Value = serde_json::from_slice(&report.payload).unwrap();
    assert_eq!(report["ok"], true, "{report}");
    it.stop().await;
}
