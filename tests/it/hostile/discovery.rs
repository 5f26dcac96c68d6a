//! Messages of other programs at Home Assistant's discovery topics: the gateway still publishes its
//! own documents, each at its own topic.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use poly2mqtt::config;
use poly2mqtt::device::LoginLimiter;
use poly2mqtt::gateway_id::MessageOwner;
use poly2mqtt::home_assistant::{
    Delays, DocumentLimits, InboundMessage, Namespace, Publisher, PublisherLinks, document_text,
};
use poly2mqtt::state::{StateStore, StateValue};
use serde_json::Value;
use tokio::sync::{mpsc, watch};

const FILE: &str =
    "[mqtt]\nurl = \"off\"\n[rooms.1]\nurl = \"https://192.0.2.1\"\npassword = \"4\"\n";
const STATUS: &str = "homeassistant/status";

thread_local! {
    // Nothing but time is waited for, so the clock may run ahead.
    static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
}

/// The first byte says where it is published, and whether the broker was there before; the rest is
/// the payload, published twice.
pub fn run(data: &[u8]) {
    let Some((first, payload)) = data.split_first() else {
        return;
    };
    let topic = match first % 4 {
        0 => "homeassistant/device/poly2mqtt_1/config",
        1 => "homeassistant/device/poly2mqtt_gone/config",
        2 => "homeassistant/device/poly2mqtt-gateway/config",
        _ => STATUS,
    };
    RUNTIME.with(|runtime| {
        runtime.block_on(published(topic, payload, first & 0x80 != 0));
    });
}

async fn published(topic: &str, payload: &[u8], connected_before: bool) {
    let rooms = config::read("file".into(), FILE, []).unwrap().config.rooms;
    let (store, announcements) = (StateStore::new(), StateStore::new());
    store.set("room/1/availability", StateValue::text("online"));
    let (sender, inbound) = mpsc::channel(4);
    let (connected, seen) = watch::channel(connected_before);
    let (_limits, limits) = watch::channel(DocumentLimits::new(usize::MAX));
    let namespace = Namespace {
        topic_prefix: String::new(),
        discovery_prefix: "homeassistant".into(),
    };
    let links = PublisherLinks {
        states: store,
        documents: announcements.clone(),
        inbound,
        connected: seen,
        document_limits: limits,
        may_clear: watch::channel(true).1,
        telemetry: Arc::default(),
        log_ins: Arc::new(LoginLimiter::default()),
        sharing: None,
    };
    let publisher = Publisher::start(namespace, STATUS.into(), Delays::default(), rooms, links);
    for _ in 0..2 {
        let message = InboundMessage {
            topic: topic.to_owned(),
            payload: Bytes::copy_from_slice(payload),
            owner: MessageOwner::ThisGateway,
        };
        sender.send(message).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    connected.send_replace(true);
    // Longer than a room takes to be settled.
    tokio::time::sleep(Duration::from_secs(180)).await;
    check(&announcements, payload);
    assert!(!sender.is_closed(), "the publisher has ended");
    publisher.stop();
}

fn check(announcements: &Arc<StateStore>, payload: &[u8]) {
    let documents = announcements.topics_below("");
    for topic in &documents {
        assert!(
            topic.starts_with("homeassistant/device/poly2mqtt") && topic.ends_with("/config"),
            "{topic}"
        );
        let document = announcements.get(topic).unwrap();
        let document: Value = serde_json::from_slice(&document_text(&document.payload)).unwrap();
        assert!(document["device"].is_object(), "{document}");
        assert!(document["components"].is_object(), "{document}");
    }
    // A person may have deleted one of the two devices, which is an empty document.
    assert!(
        documents.len() >= 2 - usize::from(payload.is_empty()),
        "{documents:?}"
    );
}
